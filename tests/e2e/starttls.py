"""STARTTLS beyond attacks.py: what hosts may do before, in and after TLS.

Whatever a host does, in the clear it sees EHLO, STARTTLS and QUIT, no more.
"""

import os
import ssl
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lab"))

from check import case, equal, main, true
from daemon import queue, sealpost, sendmail
from lab import Lab
from scenario import Table, deferred, delivered
from scene import Host, Scene, policy_text
from sink import Gone, Sink
from space import in_root, put, wait_until

T = ".t.example"
table = Table()
row = table.row
STS = dict(auth="mta-sts", policy="enforce", route="secure")


def policy(name):
    return policy_text("enforce", "mx." + name + T)


class Before(Sink):
    """Promises much in the clear, and nothing of it under TLS."""

    def offered(self, s):
        if s.tls:
            return ["ENHANCEDSTATUSCODES"]
        return ["SIZE 10", "PIPELINING", "CHUNKING", "8BITMIME", "DSN",
                "SMTPUTF8", "AUTH PLAIN", "STARTTLS", "LIMITS RCPTMAX=1"]


class Again(Sink):
    """Offers STARTTLS under TLS too."""

    def offered(self, s):
        return super().offered(s) + ["STARTTLS"] * s.tls


class Casual(Sink):
    """Keywords in small letters, a greeting of several lines."""

    def greet(self, s):
        s.write("220-hello\r\n220-this is\r\n220 %s\r\n" % self.name)

    def offered(self, s):
        return [c.lower() for c in super().offered(s)]


class Late(Sink):
    """Says 220 in pieces."""

    def starttls(self, s, line):
        for piece in ("2", "20 go", " ahead\r", "\n"):
            s.write(piece)
            time.sleep(0.02)
        self.handshake(s)


class TwoLines(Sink):
    """Says 220 in two lines, as it may."""

    def starttls(self, s, line):
        s.write("220-go\r\n220 ahead\r\n")
        self.handshake(s)


class Odd(Sink):
    """Answers STARTTLS with a code that is neither yes nor no."""

    reply = "250 2.0.0 fine\r\n"

    def starttls(self, s, line):
        s.write(self.reply)


class Odd3(Odd):
    reply = "334 go on\r\n"


class Odd1(Odd):
    reply = "221 2.0.0 bye\r\n"


class Leave(Odd):
    reply = "421 4.3.0 closing\r\n"


class Cut(Odd):
    """Closes instead of an answer to STARTTLS."""

    def starttls(self, s, line):
        raise Gone


class Hush(Sink):
    """Closes as soon as TLS is up."""

    def handshake(self, s):
        super().handshake(s)
        raise Gone


class Speak(Sink):
    """Greets anew under TLS, before EHLO: an answer without a question."""

    def handshake(self, s):
        super().handshake(s)
        s.write("220 %s again\r\n" % self.name)


class NoEhlo(Sink):
    """Refuses EHLO under TLS, for good."""

    def ehlo(self, s, line):
        if s.tls:
            return s.write("550 5.5.1 no\r\n")
        super().ehlo(s, line)


class Alert(Sink):
    """A fatal alert in answer to the ClientHello."""

    def handshake(self, s):
        s.fill()
        s.sock.sendall(b"\x15\x03\x03\x00\x02\x02\x28")
        raise Gone


class Noise(Sink):
    """Random bytes in answer to the ClientHello."""

    def handshake(self, s):
        s.fill()
        s.sock.sendall(os.urandom(70000))
        raise Gone


class Giant(Sink):
    """A handshake record of 2^24 bytes announced, and bytes without end."""

    def handshake(self, s):
        s.fill()
        try:
            s.sock.sendall(b"\x16\x03\x03\x40\x00\x0b\xff\xff\xff")
            for _ in range(4000):
                s.sock.sendall(b"\x16\x03\x03\x40\x00" + b"a" * 16384)
        except OSError:
            pass
        raise Gone


class NoTls(Sink):
    def offered(self, s):
        return [c for c in super().offered(s) if c != "STARTTLS"]


class Param(NoTls):
    """STARTTLS in a place where it is no keyword."""

    def offered(self, s):
        return ["X-STARTTLS", "STARTTLSX", "AUTH STARTTLS"]


class OnlyHelo(Sink):
    """Knows no EHLO, therefore no STARTTLS."""

    def ehlo(self, s, line):
        s.write("502 5.5.1 what?\r\n")


def huge(lab, name):
    """A good certificate with thousands of names."""
    lab.ca.count += 1
    return lab.ca.issue(name, *["%s%d.example" % ("n" * 40, i)
                                for i in range(3000)])


def chained(count):
    def make(lab, name):
        chain, key = lab.ca.issue(name)
        with open(in_root(chain)) as pem, open(lab.bad_ca.pem) as more:
            put(in_root(chain + ".long"), pem.read() + more.read() * count)
        return chain + ".long", key
    return make


OK = delivered("webpki")
row("before", "promises made in the clear are forgotten", OK,
    hosts=[Host(kind=Before)])
row("again", "STARTTLS offered again under TLS", OK, hosts=[Host(kind=Again)])
row("casual", "keywords in small letters, a long greeting", OK,
    hosts=[Host(kind=Casual)])
row("late", "220 in pieces", OK, hosts=[Host(kind=Late)])
row("twolines", "220 in two lines", OK, hosts=[Host(kind=TwoLines)])
row("odd", "STARTTLS answered 250", deferred("starttls-not-supported",
                                             "4.7.5"),
    hosts=[Host(kind=Odd)], policy=policy("odd"))
row("odd3", "STARTTLS answered 334", deferred("starttls-not-supported"),
    hosts=[Host(kind=Odd3)])
row("odd1", "STARTTLS answered 221", deferred("starttls-not-supported"),
    hosts=[Host(kind=Odd1)])
row("leave", "STARTTLS answered 421", deferred("starttls-not-supported"),
    hosts=[Host(kind=Leave)])
row("cut", "closed instead of an answer to STARTTLS",
    deferred("validation-failure", "4.7.5"), hosts=[Host(kind=Cut)])
row("cutopp", "closed instead of an answer to STARTTLS, under opportunistic",
    delivered("none", clear=True, would_defer="validation-failure"),
    hosts=[Host(kind=Cut)],
    conf='\ttls opportunistic until 2049-01-01 because "a test"')
row("hush", "closed as soon as TLS is up", deferred("connect-failed"),
    hosts=[Host(kind=Hush)])
row("noehlo", "EHLO refused under TLS: no verdict on the message",
    deferred("remote-5xx"), hosts=[Host(kind=NoEhlo)])
row("alert", "a fatal alert", deferred("validation-failure", "4.7.5"),
    hosts=[Host(kind=Alert)])
row("noise", "noise for a handshake", deferred("validation-failure"),
    hosts=[Host(kind=Noise)])
row("giant", "a handshake message of 16 MiB", deferred("validation-failure"),
    hosts=[Host(kind=Giant)])
row("param", "keywords that only look like STARTTLS",
    deferred("starttls-not-supported"), hosts=[Host(kind=Param)])
row("helo", "a host that knows HELO only",
    deferred("starttls-not-supported"), hosts=[Host(kind=OnlyHelo)])
row("heloopp", "a host that knows HELO only, under opportunistic",
    delivered("none", clear=True, would_defer="starttls-not-supported"),
    hosts=[Host(kind=OnlyHelo)],
    conf='\ttls opportunistic until 2049-01-01 because "a test"')
row("huge", "a certificate of 150 KB", deferred("validation-failure"),
    hosts=[Host(cert=huge)])
row("chain", "a chain of 300 certificates", deferred("validation-failure"),
    hosts=[Host(cert=chained(300))])
row("chain9", "a few superfluous certificates in the chain", OK,
    hosts=[Host(cert=chained(9))])
row("shared", "an MX that two domains share, under a policy",
    delivered(**STS), policy=policy("shared"))
row("sharing", "the same MX for a domain without a policy", delivered(
    "webpki", mx="mx.shared" + T), hosts=[], mx=["10 mx.shared" + T + "."],
    extra=lambda s, r: None)
row("other", "the same MX for a domain whose policy names another",
    deferred("sts-mx-mismatch"), hosts=[], mx=["10 mx.shared" + T + "."],
    policy=policy_text("enforce", "mx.other" + T))
scene = None


def make():
    return Lab(())


def start(lab):
    global scene
    scene = Scene(lab)
    table.build(scene)
    scene.start()
    scene.send_all()


def outcome(name):
    return [r for r in table.rows if r.name == name][0]


shared = [outcome("shared"), outcome("sharing"), outcome("other")]
for r in table.rows:
    if r not in shared:
        table.outcome_case(r)


@case("one MX, three domains: each by its own policy and connection")
def _(lab):
    for name, event, word in (("shared", "delivered", "mta-sts"),
                              ("sharing", "delivered", "webpki"),
                              ("other", "deferred", None)):
        e = scene.event(name)
        equal((e["event"], e.get("auth")), (event, word))
    sink = scene.all["shared"].hosts[0].sinks[0]
    equal((sink.sessions, sink.resumed), (2, 0))
    true(b"@other" not in sink.received(), "nothing for the third")


@case("one message to the three: no recipient travels under another's policy")
def _(lab):
    sink = scene.all["shared"].hosts[0].sinks[0]
    mark = lab.sealpostd.mark()
    equal(sendmail(*["eve@" + n + T for n in ("shared", "sharing", "other")],
                   text=b"Subject: x\n\nx\n").code, 0)
    for name in ("shared", "sharing"):
        lab.sealpostd.wait_event("delivered", mark, to="<eve@%s>" % (
            name + T))
    sealpost("retry", "all")
    equal([len(m[1]) for m in sink.mails[-2:]], [1, 1])
    true(b"@other" not in sink.received(), "nothing for the third")


table.check_case("with the daemon", False)
table.check_case("without the daemon", True)


@case("in the clear: EHLO, HELO, STARTTLS, QUIT, and nothing else")
def _(lab):
    for name, r in scene.all.items():
        for host in r.hosts if name not in ("heloopp", "cutopp") else ():
            for sink in host.sinks:
                for line in sink.text().splitlines():
                    who, _, said = line.partition(": ")
                    if who.endswith(" C"):
                        true(said.split(" ")[0].strip() in (
                            "EHLO", "HELO", "STARTTLS", "QUIT"),
                            "%s: %s" % (name, line))


@case("what was promised in the clear was not used")
def _(lab):
    sink = scene.all["before"].hosts[0].sinks[0]
    sender = sink.mails[0][0]
    for word in (b"SIZE=", b"BODY=", b"SMTPUTF8", b"AUTH"):
        true(word not in sender.upper(), sender)
    true(b"BDAT" not in sink.received(), "no CHUNKING")


@case("one STARTTLS a connection")
def _(lab):
    for name in ("again", "late", "casual"):
        sink = scene.all[name].hosts[0].sinks[0]
        equal(sink.received().count(b"STARTTLS"), sink.sessions, name)


@case("a session is resumed for the same policy, and still authenticated")
def _(lab):
    row = scene.all["shared"]
    sink = row.hosts[0].sinks[0]
    address = row.hosts[0].addresses[0]
    scene.send("shared")
    scene.event("shared")
    wait_until("idle connections to close", lambda: not lab.net.connected(
        address))
    before = sink.resumed
    scene.send("shared")
    e = scene.event("shared")
    equal((e["auth"], e["policy"], e["tls"]), ("mta-sts", "enforce",
                                              "TLSv1.3"))
    true(sink.resumed in (before, before + 1), "or not, as it likes")
    # Nor has the other domain any part in it.
    now = sink.resumed
    scene.send("sharing")
    scene.event("sharing")
    equal(sink.resumed, now)


@case("details are about what the host did")
def _(lab):
    for name, word in (("odd", "250 2.0.0 fine"), ("leave", "421 4.3.0"),
                       ("alert", "alert"), ("helo", "STARTTLS"),
                       ("huge", "TLS handshake"), ("chain", "TLS handshake")):
        detail = queue("--domain", name + T)[0]["detail"]
        true(word in detail, "%s in %r" % (word, detail))


@case("memory stays small")
def _(lab):
    if not os.environ.get("SAN"):
        true(lab.sealpostd.memory_kib() < 64 * 1024, "under 64 MiB")


main(make, start)
