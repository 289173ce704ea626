"""DNS and the walk over hosts: order, addresses, loops, failing resolvers."""

import os
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lab"))

from check import case, equal, main, true
from daemon import queue, sealpost, sendmail
from lab import Lab
from scenario import Table, bounced, deferred, delivered
from scene import Host, Scene, policy_text
from sink import Sink
from space import wait_until

T = ".t.example"
CLOSED = "203.0.113.90"  # nobody listens
HOLE = "203.0.113.91"    # packets vanish
LOST6 = "2001:db8:1ff::1"
PAIRS = 12
table = Table()
row = table.row
scene = None
OK = delivered("webpki")


class NoTls(Sink):
    def offered(self, s):
        return [c for c in super().offered(s) if c != "STARTTLS"]


class Busy(Sink):
    """Greets with 421."""

    def greet(self, s):
        s.write("421 4.3.2 too busy\r\n")


class Refuse(Sink):
    """Greets with 554."""

    def greet(self, s):
        s.write("554 5.7.1 no service\r\n")


def a(host, *addresses):
    def extra(s, r):
        s.set(r, host + "." + r.domain, "A", *addresses)
    return extra


def first_then(host, address):
    """One more address, beside those of the host's sinks."""
    def extra(s, r):
        h = [h for h in r.hosts if h.name == host][0]
        s.set(r, host + "." + r.domain, "A", address, *h.addresses)
    return extra


def lame(s, r):
    """AAAA and all else below the host fails; its A record stands."""
    s.set(r, "bad." + r.domain, "NS", "ns.lab.")


# Order of hosts, and when the next one helps.
row("order", "by preference, whatever the order of records",
    delivered("webpki", mx="mx1.order" + T),
    hosts=[Host("mx3", 30), Host("mx1", 10), Host("mx2", 20)])
row("zero", "preference 0 and 65535", delivered("webpki", mx="mx0.zero" + T),
    hosts=[Host("mx9", 65535), Host("mx0", 0)])
row("closed", "the first host is closed",
    delivered("webpki", mx="mx2.closed" + T),
    hosts=[Host("mx1", 5, real=False), Host("mx2")], extra=a("mx1", CLOSED))
row("busy", "the first host says 421", delivered("webpki",
                                                 mx="mx2.busy" + T),
    hosts=[Host("mx1", 5, kind=Busy), Host("mx2")])
row("refuse", "the first host refuses service",
    delivered("webpki", mx="mx2.refuse" + T),
    hosts=[Host("mx1", 5, kind=Refuse), Host("mx2")])
row("gone", "the first host does not exist",
    delivered("webpki", mx="mx2.gone" + T),
    hosts=[Host("mx1", 5, real=False), Host("mx2")])
row("lame", "the first host's name cannot be looked up",
    delivered("webpki", mx="mx2.lame" + T),
    hosts=[Host("x.bad.lame" + T, 5, real=False), Host("mx2")], extra=lame)
row("private", "the first host's address is private",
    delivered("webpki", mx="mx2.private" + T),
    hosts=[Host("mx1", 5, real=False), Host("mx2")], extra=a("mx1",
                                                             "10.0.0.1"))
row("allbusy", "all say 421: deferred, with their words",
    deferred("remote-4xx", "4.3.2"), hosts=[Host("mx1", 5, kind=Busy)])
row("allrefuse", "554 for a greeting is no verdict on the message",
    deferred("remote-5xx"), hosts=[Host("mx1", 5, kind=Refuse)])
row("allgone", "no host exists: deferred, it may yet be put right",
    deferred("dns-error"), hosts=[Host("mx1", real=False)])
row("allclosed", "all closed", deferred("connect-failed", "4.4.1"),
    hosts=[Host("mx1", real=False)], extra=a("mx1", CLOSED))
# Addresses of one host.
row("two", "the second address of a host", OK, hosts=[Host()],
    extra=first_then("mx", CLOSED))
row("hole", "an address that does not answer", OK, hosts=[Host()],
    extra=first_then("mx", HOLE))
row("lost6", "IPv6 that leads nowhere, IPv4 that serves", OK, hosts=[Host(
    records=[("AAAA", LOST6)])])
row("many", "forty addresses, the last ones closed", OK,
    hosts=[Host(addresses=3)])
# Special MX records.
row("nullmx", "null MX (RFC 7505)", bounced("null-mx", "5.1.10"), hosts=[],
    mx=["0 ."])
row("nullandmx", "a null MX beside others is none",
    delivered("webpki", mx="mx.nullandmx" + T), hosts=[Host()],
    mx=["0 .", "10 mx.nullandmx" + T + "."])
row("implicit", "no MX: the address of the domain",
    delivered("webpki", mx="implicit" + T), hosts=[Host("@")])
row("nothing", "neither MX nor address", bounced("no-such-domain", "5.1.2"),
    hosts=[], records=[("nothing" + T, "TXT", '"x"')])
row("missing", "no such domain", bounced("no-such-domain", "5.1.2"),
    hosts=[])
row("dup", "one host twice", delivered("webpki", mx="mx.dup" + T),
    hosts=[Host()], mx=["10 mx.dup" + T + ".", "20 MX.DUP.T.EXAMPLE."])
row("cnamed", "the domain is a CNAME: its target's MX",
    delivered("webpki", mx="mx.target" + T), hosts=[
        Host("mx.target" + T)], mx=[], records=[
            ("cnamed" + T, "CNAME", "target" + T + "."),
            ("target" + T, "MX", "10 mx.target" + T + ".")])
# Loops (RFC 5321 5.1, RFC 8461 8.4).
SELF = "relay.example.org."
row("self", "we are the only MX", bounced("mail-loop", "5.4.6"), hosts=[],
    mx=["10 " + SELF])
row("selfcase", "our name in capitals", bounced("mail-loop", "5.4.6"),
    hosts=[], mx=["10 RELAY.Example.ORG."])
row("selfbest", "we are the best MX: worse ones are not tried",
    bounced("mail-loop", "5.4.6"), hosts=[Host("mx2", 20)],
    mx=["10 " + SELF, "20 mx2.selfbest" + T + "."])
row("selfequal", "an equal one is not tried either",
    bounced("mail-loop", "5.4.6"), hosts=[Host("mx2", 10)],
    mx=["10 " + SELF, "10 mx2.selfequal" + T + "."])
row("selfworse", "a better one takes the mail",
    delivered("webpki", mx="mx1.selfworse" + T), hosts=[Host("mx1", 5)],
    mx=["5 mx1.selfworse" + T + ".", "10 " + SELF])
row("selfcut", "behind us nobody is tried, and the mail waits",
    deferred("connect-failed"), hosts=[Host("mx1", 5, real=False),
                                       Host("mx3", 30)],
    mx=["5 mx1.selfcut" + T + ".", "10 " + SELF,
        "30 mx3.selfcut" + T + "."], extra=a("mx1", CLOSED))
row("selfaddr", "our address behind another name",
    bounced("mail-loop", "5.4.6"), hosts=[Host("mx", real=False)],
    extra=a("mx", "192.0.2.10"))
row("selfsts", "a policy that names only others does not hide the loop",
    bounced("mail-loop", "5.4.6"), hosts=[Host("mx2", 20)],
    mx=["10 " + SELF, "20 mx2.selfsts" + T + "."],
    policy=policy_text("enforce", "mx2.selfsts" + T))
row("localhost", "an MX called localhost", deferred("private-address"),
    hosts=[], mx=["10 localhost."])
# Large answers: UDP is not enough.
row("large", "an answer that needs TCP", delivered("webpki",
                                                   mx="mx.large" + T),
    hosts=[Host()], mx=["10 mx.large" + T + "."] + [
        "%d %s%d.%s.example." % (100 + i, "n" * 50, i, "m" * 60)
        for i in range(30)])


def make():
    return Lab(())


def start(lab):
    global scene
    scene = Scene(lab)
    table.build(scene)
    for i in range(PAIRS):
        scene.add("pair%d" % i, hosts=[Host("mx1", 10), Host("mx2", 10)])
    lab.net.ip("internet", "route add blackhole %s/32 table local" % HOLE)
    scene.start("listen on 0.0.0.0 port 25\n")
    scene.send_all()


table.cases()


@case("hosts of one preference share the load (RFC 5321 5.1)")
def _(lab):
    firsts = {scene.event("pair%d" % i)["mx"].split(".")[0]
              for i in range(PAIRS)}
    equal(firsts, {"mx1", "mx2"})


@case("a hole costs seconds, not minutes")
def _(lab):
    for name in ("hole", "lost6", "two"):
        true(float(scene.event(name)["delay"]) < 12, name)


@case("details hold the words of the host")
def _(lab):
    for name, word in (("allbusy", "421 4.3.2 too busy"),
                       ("allrefuse", "554 5.7.1 no service"),
                       ("allgone", "does not exist")):
        detail = queue("--domain", name + T)[0]["detail"]
        true(word in detail, "%s in %r" % (word, detail))
        equal(detail.count(word), 1, detail)


@case("address literals are refused at the door")
def _(lab):
    for to in ("bob@[192.0.2.1]", "bob@[IPv6:2001:db8::1]",
               "bob@192.0.2.1"):
        mark = lab.sealpostd.mark()
        done = sendmail(to, text=b"x: y\n\nz\n")
        true(done.code != 0 or lab.sealpostd.wait_event("bounced", mark),
             "%s: %r" % (to, done))
    equal(sealpost("check", "bob@[192.0.2.1]").code, 64)


@case("a dead resolver is passed over for the next")
def _(lab):
    sealpost("remove", "all", "--yes")
    equal(lab.sealpostd.stop(), 0)
    lab.sealpostd.configure("resolver 203.0.113.91 port 53\n"
                            "resolver 127.0.0.1 port 53\n")
    lab.sealpostd.start()
    began = time.monotonic()
    for name in ("order", "implicit"):
        scene.send(name)
        equal(scene.event(name)["event"], "delivered")
    true(time.monotonic() - began < 10, "within seconds")


@case("a resolver that answers SERVFAIL to all is passed over as well")
def _(lab):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.2", 53))

    def servfail():
        while True:
            query, who = sock.recvfrom(4096)
            sock.sendto(query[:2] + b"\x81\x82" + query[4:], who)
    threading.Thread(target=servfail, daemon=True).start()
    equal(lab.sealpostd.stop(), 0)
    lab.sealpostd.configure("resolver 127.0.0.2 port 53\n"
                            "resolver 127.0.0.1 port 53\n")
    lab.sealpostd.start()
    scene.send("order")
    equal(scene.event("order")["event"], "delivered")


@case("no resolver answers: deferred, never bounced, and check says so")
def _(lab):
    equal(lab.sealpostd.stop(), 0)
    lab.sealpostd.configure("resolver 203.0.113.90 port 53\n")
    lab.sealpostd.start()
    scene.send("missing")
    e = scene.event("missing", 40)
    equal((e["event"], e["reason"], e["dsn"]),
          ("deferred", "dns-error", "4.4.3"))
    code, c = scene.check("missing")
    equal((c["verdict"], code != 0), ("would defer: dns-error", True))


main(make, start)
