"""A mail host that says what a test tells it to.

    host = Script(...)              a Sink; lab.sink(name, kind=Script)
    host.say["RCPT"] = answer       answer(session, line): a reply to send,
                                    None for the usual one

Keys are the verbs, "greeting", and "dot" for the end of the content. An
answer may raise Gone to close, and CLOSE after a reply closes as well.
"""

import socket

from sink import Gone, Sink
from space import wait_until

CLOSE = "<close>"


class Script(Sink):
    def __init__(self, *args, **kw):
        self.say = {}
        self.live = set()
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

    def talk(self, session):
        self.live.add(session)
        try:
            super().talk(session)
        finally:
            self.live.discard(session)

    def cut(self):
        """End all sessions; back when the peer has seen it."""
        for session in list(self.live):
            try:
                session.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it ends by itself
        wait_until("sessions to end", lambda: not self.live)

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
