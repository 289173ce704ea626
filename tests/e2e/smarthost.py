"""A fixed next hop: `via`, `implicit-tls`, and credentials that it gets only
once it has proved to be the one."""

import base64
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lab"))

from check import case, equal, main, true
from daemon import queue
from lab import Lab
from scenario import Table, deferred, delivered
from scene import Host, Scene
from sink import Sink
from space import put

T = ".t.example"
OPP = '\ttls opportunistic until 2049-01-01 because "a test"\n'
SECRET = "us er:pass:word"
OK = delivered("webpki", route="secure")
table = Table()


class Auth(Sink):
    """Offers AUTH under TLS, and keeps what it is told."""

    ways = "AUTH PLAIN LOGIN"
    reply = "235 2.7.0 welcome\r\n"
    told = b""

    def offered(self, s):
        return super().offered(s) + [self.ways] * s.tls

    def command(self, s, line):
        if not line.upper().startswith(b"AUTH "):
            return super().command(s, line)
        if b" " in line[5:]:
            self.told = base64.b64decode(line.split()[2])
        else:
            for prompt in ("VXNlcm5hbWU6", "UGFzc3dvcmQ6"):
                s.write("334 %s\r\n" % prompt)
                self.told += b"\0" + base64.b64decode(s.line())
        s.write(self.reply)


class Login(Auth):
    ways = "AUTH LOGIN"


class Wrong(Auth):
    reply = "535 5.7.8 who are you?\r\n"


class Later(Auth):
    reply = "454 4.7.0 not now\r\n"


class Cram(Auth):
    ways = "AUTH CRAM-MD5"


class Before(Auth):
    """Offers it in the clear only."""

    def offered(self, s):
        return Sink.offered(self, s) + [self.ways] * (not s.tls)


class NoTls(Auth):
    def offered(self, s):
        return [self.ways]


class Implicit(Auth):
    def greet(self, s):
        self.handshake(s)
        super().greet(s)


def own(lab, name):
    return lab.bad_ca.issue(name)


def row(name, sentence, want, kind=Auth, conf="", cert=None, port=587,
        via=""):
    table.row(name, sentence, want, mx=["10 x.example."], hosts=[
        Host("fixed", kind=kind, cert=cert, port=port)],
        conf="\tvia fixed.%s port %d %s\n\tauth /run/lab/secret\n%s" % (
            name + T, port, via, conf))


row("plain", "AUTH PLAIN (RFC 4616)", OK)
row("login", "AUTH LOGIN", OK, Login)
row("wrong", "refused credentials are no verdict on the message",
    deferred("remote-5xx", "4.7.8"), Wrong)
row("later", "nor are those that are refused for now",
    deferred("remote-4xx", "4.7.0"), Later)
row("cram", "no way to log in that we know", deferred("protocol-error"), Cram)
row("before", "what was offered in the clear is forgotten",
    deferred("protocol-error"), Before)
row("notls", "no TLS, no credentials", deferred("starttls-not-supported"),
    NoTls)
row("notlsopp", "nor under opportunistic",
    deferred("starttls-not-supported"), NoTls, OPP)
row("own", "a certificate of nobody's", deferred("certificate-not-trusted"),
    cert=own)
row("ownopp", "nor under opportunistic",
    deferred("certificate-not-trusted"), conf=OPP, cert=own)
row("implicit", "TLS from the first byte", OK, Implicit, port=465,
    via="implicit-tls")
row("implicitopp", "under opportunistic the same", OK, Implicit, OPP,
    port=465, via="implicit-tls")
row("clear", "a host that speaks first in the clear there",
    deferred("validation-failure"), port=465, via="implicit-tls")
row("clearopp", "nor has it a clear to fall back on under opportunistic",
    deferred("validation-failure"), conf=OPP, port=465, via="implicit-tls")


def make():
    return Lab(())


def start(lab):
    put("/run/lab/secret", SECRET + "\n")
    os.chmod("/run/lab/secret", 0o600)
    scene = Scene(lab)
    table.build(scene)
    scene.build()
    lab.start(scene.conf(), ("-v",))
    scene.send_all()


table.cases(check=False)


@case("details are about the host, its certificate, its words")
def _(lab):
    for name, word in (("wrong", "535 5.7.8 who are you?"),
                       ("cram", "): the host offers no way to log in"),
                       ("ownopp", "does not verify: "),
                       ("notlsopp", "does not offer STARTTLS")):
        detail = queue("--domain", name + T)[0]["detail"]
        true(word in detail, "%s in %r" % (word, detail))


def sink(name):
    return table.scene.all[name].hosts[0].sinks[0]


@case("`sealpost check` knows that credentials want proof")
def _(lab):
    for name in ("own", "ownopp", "notls", "notlsopp", "plain", "implicit"):
        want = [r for r in table.rows if r.name == name][0]
        code, c = table.scene.check(name)
        equal((code == 0, c["reason"]), (want.kind == "delivered",
                                         want.fields.get("reason")), name)


@case("who is proved hears user and password, and nobody else does")
def _(lab):
    for r in table.rows:
        told = r.kind == "delivered" or r.name in ("wrong", "later")
        equal(sink(r.name).told, b"\0us er\0pass:word" if told else b"",
              r.name)
        equal(b"AUTH" in sink(r.name).received(), told, r.name)


@case("a port that speaks TLS only gets one connection an attempt")
def _(lab):
    for name in ("clear", "clearopp"):
        equal(sink(name).sessions, 1, name)


@case("the log shows that there was a dialogue, not what the secret is")
def _(lab):
    log = "\n".join(lab.sealpostd.lines())
    true('text="AUTH PLAIN' in log or "text=(secret)" in log, "a dialogue")
    for secret in (b"pass:word", base64.b64encode(b"pass:word"),
                   base64.b64encode(b"us er"),
                   base64.b64encode(b"\0us er\0pass:word")):
        true(secret.decode() not in log, secret)


main(make, start)
