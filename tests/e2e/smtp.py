"""Both ends of SMTP at their edges: replies, extensions, limits, smuggling."""

import os
import smtplib
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lab"))

from check import case, equal, main, true
from daemon import queue, sealpost, sendmail, wait_empty, wait_queue
from lab import Lab
from script import CLOSE, Script, local
from sink import Gone
from space import wait_until

FROM = "carol@relay.example.org"
hosts = {}


class Bare(Script):
    """RFC 5321 without extensions."""
    caps = []


class Small(Script):
    caps = ["PIPELINING", "SIZE 1000", "8BITMIME"]


class Rich(Script):
    caps = Script.caps + ["CHUNKING", "SMTPUTF8", "DSN", "LIMITS RCPTMAX=7"]


class Limited(Script):
    caps = Script.caps + ["LIMITS RCPTMAX=7 MAILMAX=3"]


def once(reply):
    """This reply the first time, the usual one then."""
    left = [reply]
    return lambda s, line: left.pop() if left else None


def make():
    return Lab(())


def start(lab):
    for name, kind in (("a", Script), ("bare", Bare), ("small", Small),
                       ("rich", Rich), ("limited", Limited)):
        hosts[name] = lab.sink(name + ".example", kind=kind)
    # Two hosts: what the first refuses, the second takes.
    hosts["one"] = lab.sink("two.example", kind=Script)
    hosts["two"] = Script(lab.net, "internet", "198.51.100.230", lab.ca.issue(
        "mx2.two.example"), "mx2.two.example")
    lab.dns.set("two.example", "mx2.two.example.", "A", "198.51.100.230")
    lab.dns.set("two.example", "@", "MX", "10 mx.two.example.",
                "20 mx2.two.example.")
    lab.start("queue retry 1s up to 2s\nrecipients 3000\n")


def submit(token, to, sender=FROM, text=b"x", mail=()):
    with smtplib.SMTP("127.0.0.1", 25, timeout=30) as smtp:
        smtp.ehlo("client.example")
        smtp.sendmail(sender, [to] if isinstance(to, str) else to,
                      b"Subject: %s\r\n\r\n%s\r\n" % (token.encode(), text),
                      list(mail))


def came(name, token, count=1):
    def found():
        mails = [m for m in list(hosts[name].mails) if token.encode() in m[2]]
        return mails if len(mails) >= count else None
    return wait_until("%s at %s" % (token, name), found)


def outcome(lab, mark, kind, **fields):
    return lab.sealpostd.wait_event(kind, mark, **fields)


# The client: replies.

def step(verb, reply, reason, dsn):
    @case("%s at %s: deferred as %s, delivered at the next attempt" % (
        reply[:12].replace("\r\n", " "), verb, reason))
    def _(lab):
        mark = lab.sealpostd.mark()
        # What fails on a session in use is tried on a new one at once.
        hosts["a"].cut()
        token = "s-%s-%s" % (verb, reply[:3])
        hosts["a"].say[verb] = once(reply)
        try:
            submit(token, "bob@a.example")
            e = outcome(lab, mark, "deferred", to="<bob@a.example>")
            equal((e["reason"], e["dsn"]), (reason, dsn), e["line"])
            true("mx.a.example" in e["detail"], e["line"])
            sealpost("retry", "all")
            came("a", token)
        finally:
            hosts["a"].say.clear()
        wait_empty()


for _verb in ("greeting", "EHLO", "MAIL", "RCPT", "DATA", "dot"):
    step(_verb, "421 4.3.2 closing" + CLOSE, "remote-4xx", "4.3.2")
step("MAIL", "451 4.7.1 greylisted", "remote-4xx", "4.7.1")
step("DATA", "451 4.3.0 no", "remote-4xx", "4.3.0")
step("dot", "452 4.3.1 full", "remote-4xx", "4.3.1")
step("dot", CLOSE, "connect-failed", "4.4.2")
step("RCPT", "999 what", "protocol-error", "4.5.0")
step("MAIL", "no code at all", "protocol-error", "4.5.0")
step("RCPT", "250-a\r\n550 b", "protocol-error", "4.5.0")


def next_host(verb, reply):
    @case("%s at %s of the first host: the next one is tried" % (
        reply[:3], verb))
    def _(lab):
        hosts["one"].cut()
        token = "n-%s-%s" % (verb, reply[:3])
        hosts["one"].say[verb] = reply
        try:
            submit(token, "bob@two.example")
            came("two", token)
        finally:
            hosts["one"].say.clear()
        wait_empty()


next_host("greeting", "554 5.3.2 not here" + CLOSE)
next_host("greeting", "421 4.3.2 busy" + CLOSE)
next_host("EHLO", "550 5.7.1 not you")


@case("421 in a session that served before: another one, not a deferral")
def _(lab):
    mark = lab.sealpostd.mark()
    submit("u-first", "bob@a.example")
    came("a", "u-first")
    hosts["a"].say["MAIL"] = once("421 4.3.2 enough" + CLOSE)
    submit("u-second", "bob@a.example")
    came("a", "u-second")
    hosts["a"].say.clear()
    equal(lab.sealpostd.events("deferred", mark, to="<bob@a.example>"), [])


@case("recipients of one message end each in their own way")
def _(lab):
    mark = lab.sealpostd.mark()
    hosts["a"].say["RCPT"] = lambda s, line: {
        "perm": "550 5.1.1 unknown", "temp": "452 4.2.2 over quota"}.get(
            local(line))
    submit("e-each", ["perm@a.example", "ok@a.example", "temp@a.example"],
           sender="")
    b = outcome(lab, mark, "bounced", to="<perm@a.example>")
    equal((b["reason"], b["dsn"]), ("remote-5xx", "5.1.1"))
    equal(b["reply"], "550 5.1.1 unknown")
    outcome(lab, mark, "delivered", to="<ok@a.example>")
    d = outcome(lab, mark, "deferred", to="<temp@a.example>")
    equal(d["dsn"], "4.2.2")
    equal([e["recipient"] for e in queue()], ["temp@a.example"])
    hosts["a"].say.clear()
    sealpost("retry", "all")
    wait_empty()
    equal([m[1][-1].split()[1] for m in came("a", "e-each", 2)],
          [b"TO:<ok@a.example>", b"TO:<temp@a.example>"])


@case("a 5xx after the final dot bounces; so does one at MAIL, everywhere")
def _(lab):
    for verb in ("dot", "MAIL"):
        mark = lab.sealpostd.mark()
        hosts["a"].say[verb] = "554 5.6.0 never"
        submit("f-" + verb, "bob@a.example", sender="")
        e = outcome(lab, mark, "bounced", to="<bob@a.example>")
        equal((e["reason"], e["dsn"]), ("remote-5xx", "5.6.0"))
        hosts["a"].say.clear()
    wait_empty()


@case("a message larger than the host's SIZE: bounced 5.3.4, unsent")
def _(lab):
    mark = lab.sealpostd.mark()
    submit("z-size", "bob@small.example", sender="", text=b"y" * 5000)
    e = outcome(lab, mark, "bounced", to="<bob@small.example>")
    equal(e["dsn"], "5.3.4")
    true("larger than the host accepts" in e["detail"], e["line"])
    true(b"MAIL" not in hosts["small"].received(), "unsent")


@case("8-bit text to a host without 8BITMIME: converted, or bounced 5.6.3")
def _(lab):
    mark = lab.sealpostd.mark()
    submit("8-plain", "bob@bare.example", sender="",
           text="gr\u00fc\u00dfe".encode(), mail=["BODY=8BITMIME"])
    e = wait_until("an outcome", lambda: lab.sealpostd.events(
        "bounced", mark) + lab.sealpostd.events("delivered", mark))[0]
    if e["event"] == "bounced":
        equal(e["dsn"], "5.6.3")
    for mail in hosts["bare"].mails:
        true(max(mail[2]) < 128, "7 bits only")


@case("an address beyond ASCII to a host without SMTPUTF8: bounced 5.6.7")
def _(lab):
    mark = lab.sealpostd.mark()
    with smtplib.SMTP("127.0.0.1", 25, timeout=30) as smtp:
        smtp.ehlo("client.example")
        smtp.sendmail("", ["j\u00f6rg@a.example"], b"Subject: u-no\r\n\r\nx"
                      b"\r\n", ["SMTPUTF8"])
        smtp.sendmail("", ["j\u00f6rg@rich.example"], b"Subject: u-yes\r\n"
                      b"\r\nx\r\n", ["SMTPUTF8"])
    equal(outcome(lab, mark, "bounced")["dsn"], "5.6.7")
    mail = came("rich", "u-yes")[0]
    true(b"SMTPUTF8" in mail[0] and "j\u00f6rg".encode() in mail[1][0],
         repr(mail[:2]))


@case("LIMITS RCPTMAX is kept, MAILMAX too; nobody is left out (RFC 9422)")
def _(lab):
    submit("l-max", ["r%d@limited.example" % i for i in range(40)])
    wait_empty()
    mails = [m for m in hosts["limited"].mails if b"l-max" in m[2]]
    true(max(len(m[1]) for m in mails) <= 7, [len(m[1]) for m in mails])
    equal(len({r for m in mails for r in m[1]}), 40)


@case("2,000 recipients of one message arrive, each once")
def _(lab):
    submit("m-many", ["r%d@a.example" % i for i in range(2000)])
    wait_empty(30)
    mails = [m for m in hosts["a"].mails if b"m-many" in m[2]]
    rcpts = [r for m in mails for r in m[1]]
    equal((len(rcpts), len(set(rcpts))), (2000, 2000))
    true(max(len(m[1]) for m in mails) <= 100, "RFC 5321 4.5.3.1.8")


@case("a connection serves many messages")
def _(lab):
    before = hosts["a"].sessions
    for i in range(30):
        submit("r-%d." % i, "bob@a.example")
    for i in range(30):
        came("a", "r-%d." % i)
    true(hosts["a"].sessions - before <= 3, hosts["a"].sessions - before)


@case("a host without any extension gets the message, one command a time")
def _(lab):
    submit("x-bare", "bob@bare.example", text=b".\r\n..\r\nx")
    mail = came("bare", "x-bare")[0]
    equal(mail[0], b"MAIL FROM:<%s>" % FROM.encode())
    true(mail[2].endswith(b"\r\n..\r\n...\r\nx\r\n"), mail[2][-40:])


# The server.

class Talk:
    """A raw dialogue with the daemon."""

    def __init__(self):
        self.sock = socket.create_connection(("127.0.0.1", 25), 20)
        self.file = self.sock.makefile("rb")
        self.reply()

    def reply(self):
        lines = b""
        while True:
            line = self.file.readline()
            lines += line
            if not line or line[3:4] != b"-":
                return lines

    def say(self, data):
        if isinstance(data, str):
            data = data.encode() + b"\r\n"
        try:
            self.sock.sendall(data)
            return self.reply()
        except OSError:
            return b""

    def codes(self, *lines):
        return [self.say(line)[:3].decode() for line in lines]


@case("commands out of order are 503, and the session goes on")
def _(lab):
    t = Talk()
    equal(t.codes("MAIL FROM:<a@b.example>", "EHLO c.example",
                  "RCPT TO:<x@a.example>", "DATA", b"BDAT 3 LAST\r\nabc",
                  "MAIL FROM:<a@b.example>", "MAIL FROM:<a@b.example>",
                  "DATA", "RSET", "RCPT TO:<x@a.example>", "NOOP", "HELP",
                  "VRFY bob", "EXPN list", "TURN", "QUIT"),
          ["503", "250", "503", "503", "503", "250", "503", "554", "250",
           "503", "250", "214", "252", "502", "500", "221"])


@case("parameters: unknown 555, wrong or double 501")
def _(lab):
    for line, code in (
            ("MAIL FROM:<a@b.example> FOO=1", "555"),
            ("MAIL FROM:<a@b.example> SIZE=1 SIZE=2", "501"),
            ("MAIL FROM:<a@b.example> BODY=FOO", "501"),
            ("MAIL FROM:<a@b.example> RET=ALL", "501"),
            ("MAIL FROM:<a@b.example> ENVID=a+ZZ", "501"),
            ("MAIL FROM:<a@b.example> SIZE=99999999999", "552"),
            ("MAIL FROM:<\u00fc@b.example>", "553"),
            ("MAIL FROM:<@x.example:a@b.example>", "250"),
            ("MAIL FROM:<\"a b\"@b.example>", "250")):
        t = Talk()
        t.say("EHLO c.example")
        equal(t.say(line)[:3].decode(), code, line)
    for line, code in (
            ("RCPT TO:<x@a.example> NOTIFY=NEVER,SUCCESS", "501"),
            ("RCPT TO:<x@a.example> NOTIFY=", "501"),
            ("RCPT TO:<x@a.example> ORCPT=x", "501"),
            ("RCPT TO:<x@[192.0.2.1]>", "550"),
            ("RCPT TO:<>", "501"),
            ("RCPT TO:<Postmaster>", "250"),
            ("RCPT TO:<%s@a.example>" % ("l" * 64), "250"),
            ("RCPT TO:<%s@a.example>" % ("l" * 65), "501"),
            ("RCPT TO:<x@%s>" % ".".join(["d" * 63] * 5), "501")):
        t = Talk()
        t.codes("EHLO c.example", "MAIL FROM:<a@b.example>")
        equal(t.say(line)[:3].decode(), code, line)


@case("smuggling: no variant of the end makes two messages of one")
def _(lab):
    inner = (b"MAIL FROM:<evil@b.example>\r\nRCPT TO:<evil@a.example>\r\n"
             b"DATA\r\nSubject: smuggled\r\n\r\nx")
    for end in (b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r",
                b"\r.\r\n", b"\r\n\x00.\r\n", b"\r\n.\x00\r\n",
                b"\r\r\n.\r\r\n", b"\n\n.\r\n"):
        t = Talk()
        equal(t.codes("EHLO c.example", "MAIL FROM:<a@b.example>",
                      "RCPT TO:<ok@a.example>", "DATA")[-1], "354")
        answer = t.say(b"Subject: outer\r\n\r\ny" + end + inner +
                       b"\r\n.\r\n")
        if answer[:1] == b"2":
            came("a", "Subject: outer")
        else:
            true(answer.startswith(b"554 5.6.0"), (end, answer))
            if b"\0" not in end:
                equal(t.say("NOOP"), b"", "closed after %r" % end)
    wait_empty()
    for mail in hosts["a"].mails:
        true(not any(b"evil" in r for r in mail[1]), mail[:2])


@case("who is sent away in the midst of much content reads why")
def _(lab):
    t = Talk()
    t.codes("EHLO c.example", "MAIL FROM:<a@b.example>",
            "RCPT TO:<ok@a.example>", "DATA")
    t.sock.sendall(b"Subject: x\r\n\r\nbare\nLF\r\n" +
                   (b"y" * 78 + b"\r\n") * 250000 + b".\r\n")
    equal(t.reply()[:9], b"554 5.6.0")
    equal(t.reply(), b"", "closed")


@case("lines up to 64 KiB are kept, longer ones are refused")
def _(lab):
    for size, code in ((998, b"250"), (5000, b"250"), (60000, b"250"),
                       (70000, b"554")):
        t = Talk()
        t.codes("EHLO c.example", "MAIL FROM:<a@b.example>",
                "RCPT TO:<ok@a.example>", "DATA")
        answer = t.say(b"Subject: w-%d.\r\n\r\n%s\r\n.\r\n" % (
            size, b"w" * size))
        true(answer[:1] == code[:1], (size, answer))
        if code == b"250":
            mail = came("a", "w-%d." % size)[0]
            true(b"\r\n" + b"w" * size + b"\r\n" in mail[2], "kept")


@case("errors without end: the session is closed with 421, nothing silent")
def _(lab):
    t = Talk()
    answers = []
    for _ in range(1000):
        answers.append(t.say("FOO"))
        if answers[-1][:3] in (b"421", b""):
            break
    equal(answers[-1][:3], b"421")
    true(len(answers) <= 250, len(answers))


@case("too many sessions of one client: 421, and those there go on")
def _(lab):
    socks, refused = [], b""
    first = Talk()
    for _ in range(2000):
        sock = socket.create_connection(("127.0.0.1", 25), 20)
        socks.append(sock)
        line = sock.recv(200)
        if not line.startswith(b"220"):
            refused = line
            break
    equal(refused[:3], b"421", "%d sessions" % len(socks))
    equal(first.say("NOOP")[:3], b"250")
    other = socket.create_connection(("127.0.0.1", 25), 20,
                                     source_address=("127.0.0.2", 0))
    equal(other.recv(200)[:3], b"220", "another client gets in")
    for sock in socks:
        sock.close()
    wait_until("room again", lambda: Talk().say("NOOP")[:3] == b"250")


@case("BDAT: bytes as they are; a chunk too large is refused")
def _(lab):
    t = Talk()
    t.codes("EHLO c.example", "MAIL FROM:<a@b.example>",
            "RCPT TO:<ok@a.example>")
    body = b"Subject: bd-1\r\n\r\n.\r\nx\r\n"
    equal(t.say(b"BDAT %d\r\n%s" % (len(body), body))[:3], b"250")
    equal(t.say(b"BDAT 0 LAST\r\n")[:3], b"250")
    true(came("a", "bd-1")[0][2].endswith(b"\r\n\r\n..\r\nx\r\n"), "dots")
    equal(t.codes("MAIL FROM:<a@b.example>", "RCPT TO:<ok@a.example>"),
          ["250", "250"])
    size = (50 << 20) + 50000
    answer = t.say(b"BDAT %d\r\n" % size + b"x" * size)
    equal(answer[:9], b"552 5.3.4")
    equal(t.say("NOOP")[:3], b"250", "all of it was passed over")


@case("BDAT: bare LF and CR are no way in either")
def _(lab):
    for body in (b"Subject: x\r\n\r\na\nb\r\n", b"a\rb\r\n", b"a\0b\r\n"):
        t = Talk()
        t.codes("EHLO c.example", "MAIL FROM:<a@b.example>",
                "RCPT TO:<ok@a.example>")
        answer = t.say(b"BDAT %d LAST\r\n%s" % (len(body), body))
        equal(answer[:9], b"554 5.6.0", body)


@case("a client that hangs up in DATA leaves nothing behind")
def _(lab):
    t = Talk()
    t.codes("EHLO c.example", "MAIL FROM:<a@b.example>",
            "RCPT TO:<ok@a.example>", "DATA")
    t.sock.sendall(b"Subject: gone\r\n\r\nhalf")
    t.file.close()
    t.sock.close()
    equal(queue(), [])
    submit("after", "ok@a.example")
    came("a", "after")
    true(not [m for m in hosts["a"].mails if b"Subject: gone" in m[2]], "")


main(make, start)
