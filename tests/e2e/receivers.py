"""Postfix, Exim and OpenSMTPD as receiving MX: what leaves is what came."""

import base64
import os
import random
import smtplib
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lab"))

from check import case, equal, main, same_bytes, true
from daemon import wait_empty
from lab import Lab
from sink import Sink

DOMAINS = {"postfix": "postfix.example", "exim": "exim.example",
           "opensmtpd": "opensmtpd.example"}
CHANCE = random.Random(8461)
sinks = {}


class Bdat(Sink):
    """An honest sink that offers CHUNKING."""

    caps = Sink.caps + ["CHUNKING"]


def bulk(size):
    """Lines of base64, about this many bytes."""
    raw = CHANCE.randbytes(size * 3 // 4)
    text = base64.b64encode(raw)
    return b"".join(text[i:i + 76] + b"\r\n" for i in range(
        0, len(text), 76))


# name, headers' addition, body; whether real MXs keep it as it is
BODIES = [
    ("a short text", b"", b"hello\r\n"),
    ("an empty body", b"", b""),
    ("dots at the start of lines", b"",
     b".\r\n..\r\n...\r\n.x\r\n. \r\nx.\r\n\r\n.\r\n.\r\n"),
    ("a last line that is one dot", b"", b"before\r\n.\r\n"),
    ("empty lines at the end", b"", b"text\r\n\r\n\r\n\r\n"),
    ("blanks and tabs at line ends", b"", b"a \r\nb\t\r\n \r\n"),
    ("a line of 998 octets", b"", b"x" * 998 + b"\r\nend\r\n"),
    ("8-bit text, declared", b"MIME-Version: 1.0\r\nContent-Type: "
     b"text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n",
     "Grüße, zażółć, 日本\r\n".encode()),
    ("From at the start of a line", b"", b"From me\r\n>From you\r\n"),
    ("10 MB", b"", bulk(10 * 1024 * 1024)),
]
LONG = ("a line of 20,000 octets", b"", b"y" * 20000 + b"\r\nend\r\n")


def make():
    return Lab(tuple(DOMAINS))


def start(lab):
    for server, domain in DOMAINS.items():
        lab.domain(domain, server, policy="enforce")
    sinks["data"] = lab.sink("sink.example")
    sinks["bdat"] = lab.sink("chunk.example", kind=Bdat)
    lab.start()


def message(token, extra, body):
    return (b"From: a@relay.example.org\r\nTo: b@example.net\r\n"
            b"Subject: " + token + b"\r\nX-First: the test's own\r\n" +
            extra + b"X-Last: header\r\n\r\n" + body)


def submit(domain, data):
    """Over TCP, by our own bytes: smtplib would change line ends."""
    with smtplib.SMTP("127.0.0.1", 25, "client.example", 30) as smtp:
        smtp.ehlo()
        for line in ("MAIL FROM:<a@relay.example.org> BODY=8BITMIME",
                     "RCPT TO:<bob@%s>" % domain):
            code, text = smtp.docmd(line)
            equal(code, 250, text)
        equal(smtp.docmd("DATA")[0], 354)
        smtp.send(b"".join(b"." + l if l.startswith(b".") else l
                           for l in data.splitlines(True)) + b".\r\n")
        code, text = smtp.getreply()
        equal(code, 250, text)


def rest(data, first):
    """From the first of the test's own headers on."""
    at = data.find(first)
    true(at >= 0, "the header %r is there: %r" % (first, data[:500]))
    return data[at:]


def real(server, row, number):
    name, extra, body = row

    @case("%s arrives at %s byte for byte" % (name, server))
    def _(lab):
        token = b"recv-%d-%s" % (number, server.encode())
        data = message(token, extra, body)
        submit(DOMAINS[server], data)
        got = lab.servers[server].wait_mail(token + b"\n", 1, 60)
        equal(len(got), 1, "once")
        if server == "exim":
            # Its appendfile escapes this word in mail boxes by default.
            got[0] = got[0].replace(b"\n>From me", b"\nFrom me")
        # A mail box has line ends of its own; Exim may end a body anew.
        want = rest(data, b"X-First").replace(b"\r\n", b"\n")
        same_bytes(rest(got[0], b"X-First"), want, server)


def wire(kind, row, number):
    name, extra, body = row

    @case("%s on the wire by %s: CRLF only, dots right" % (
        name, kind.upper()))
    def _(lab):
        sink = sinks[kind]
        before = len(sink.mails)
        data = message(b"wire-%d" % number, extra, body)
        submit("sink.example" if kind == "data" else "chunk.example", data)
        wait_empty(60)
        equal(len(sink.mails), before + 1)
        sender, rcpts, content, tls = sink.mails[-1]
        true(tls, "over TLS")
        true(sender.startswith(b"MAIL FROM:<a@relay.example.org>"), sender)
        equal(len(rcpts), 1)
        own = rest(content, b"X-First")
        if kind == "data" or b"BDAT" not in sink.received():
            own = b"".join(l[1:] if l.startswith(b".") else l
                           for l in own.splitlines(True))
        same_bytes(own, rest(data, b"X-First"), "content")
        true(b"\n" not in content.replace(b"\r\n", b""), "no bare LF")
        true(b"\r" not in content.replace(b"\r\n", b""), "no bare CR")


for index, body_row in enumerate(BODIES):
    for which in DOMAINS:
        real(which, body_row, index)
for index, body_row in enumerate(BODIES + [LONG]):
    for which in ("data", "bdat"):
        wire(which, body_row, index)


@case("a message has one Received: of ours, with id and protocol")
def _(lab):
    content = sinks["data"].mails[0][2]
    head = content.split(b"\r\n\r\n")[0]
    ours = [l for l in head.replace(b"\r\n\t", b" ").replace(
        b"\r\n ", b" ").split(b"\r\n") if l.lower().startswith(b"received:")]
    equal(len(ours), 1)
    true(b"relay.example.org" in ours[0] and b" id " in ours[0], ours[0])


@case("recipients are refused one by one, the others get the message")
def _(lab):
    mark = lab.sealpostd.mark()
    with smtplib.SMTP("127.0.0.1", 25, "client.example", 30) as smtp:
        refused = smtp.sendmail("a@relay.example.org", [
            "bob@postfix.example", "bounce@postfix.example",
            "defer@postfix.example"], "Subject: mixed-rcpt\r\n\r\nx\r\n")
    equal(refused, {})
    lab.servers["postfix"].wait_mail("mixed-rcpt")
    e = lab.sealpostd.wait_event("bounced", mark,
                                 to="<bounce@postfix.example>")
    equal((e["reason"], e["dsn"]), ("remote-5xx", "5.1.1"))
    e = lab.sealpostd.wait_event("deferred", mark,
                                 to="<defer@postfix.example>")
    equal((e["reason"], e["dsn"]), ("remote-4xx", "4.2.0"))
    lab.sealpostd.wait_event("delivered", mark, to="<bob@postfix.example>")


main(make, start)
