"""A mail host that says what a test tells it to.

    host = Script(...)              a Sink; lab.sink(name, kind=Script)
    host.say["RCPT"] = answer       answer(session, line): a reply to send,
                                    None for the usual one

Keys are the verbs, "greeting", and "dot" for the end of the content. An
answer may raise Gone to close, and CLOSE after a reply closes as well.
"""

from sink import Gone, Sink

CLOSE = "<close>"


class Script(Sink):
    def __init__(self, *args, **kw):
        self.say = {}
        super().__init__(*args, **kw)

    def said(self, s, key, line):
        """Was the test's own answer given?"""
        answer = self.say.get(key)
        text = answer(s, line) if callable(answer) else answer
        if text is None:
            return False
        if text.endswith(CLOSE):
            if text != CLOSE:
                s.write(text[:-len(CLOSE)] + "\r\n")
            raise Gone
        s.write(text + "\r\n")
        return True

    def greet(self, s):
        if not self.said(s, "greeting", b""):
            super().greet(s)

    def command(self, s, line):
        verb = line.split(b" ")[0].upper().decode("latin-1")
        if not self.said(s, verb, line):
            super().command(s, line)

    def dot(self, s):
        if not self.said(s, "dot", b""):
            super().dot(s)


def local(line):
    """The local part of a RCPT or MAIL line."""
    return line.split(b"<")[1].split(b"@")[0].decode()
