"""Where mail goes: DNS, private addresses, null MX, loops, via, levels."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lab"))

import attacker
from check import case, equal, main, true
from daemon import command, queue, sealpost, sendmail, wait_empty
from lab import Lab
from sink import Sink
from space import put, wait_until

CONF = """
listen on 127.0.0.1
listen on 192.0.2.10
destination via.example {
	via smarthost.example port 587
}
destination lenient.example {
	tls opportunistic until 2049-01-01 because "a test"
}
destination late.example {
	tls opportunistic until 2020-01-01 because "long over"
}
destination strict.example {
	tls strict
}
"""
sinks = {}


def make():
    return Lab(("postfix",))


def start(lab):
    dns = lab.dns
    lab.domain("plain.example", ipv6=True)
    for name, kind, data in (
            ("nullmx.example", "MX", ["0 ."]),
            ("nowhere.example", "TXT", ['"no mail here"']),
            ("self.example", "MX", ["10 relay.example.org."]),
            ("ownaddr.example", "MX", ["10 mx.ownaddr.example."]),
            ("closed.example", "MX", ["10 mx.closed.example."]),
            ("loopback.example", "MX", ["10 mx.loopback.example."]),
            ("private.example", "MX", ["10 mx.private.example."]),
            ("mapped.example", "MX", ["10 mx.mapped.example."])):
        dns.add(name)
        dns.set(name, "@", kind, *data)
    dns.set("ownaddr.example", "mx", "A", "192.0.2.10")
    dns.set("closed.example", "mx", "A", "203.0.113.99")
    dns.set("loopback.example", "mx", "A", "127.0.0.1")
    dns.set("private.example", "mx", "A", "10.1.2.3")
    dns.set("mapped.example", "mx", "AAAA", "::ffff:192.168.1.1")
    dns.add("bogus.example", signed="bogus")
    dns.set("bogus.example", "@", "MX", "10 mx.plain.example.")
    dns.add("implicit.example")
    sinks["implicit"] = Sink(lab.net, "internet", "198.51.100.240",
                             lab.ca.issue("implicit.example"))
    dns.set("implicit.example", "@", "A", "198.51.100.240")
    # A first MX that is closed, a second that works.
    sinks["second"] = lab.sink("two.example", address="198.51.100.241")
    dns.set("two.example", "@", "MX", "5 mx1.two.example.",
            "10 mx.two.example.")
    dns.set("two.example", "mx1", "A", "203.0.113.98")
    # Two MXs of one preference, the one of them an attacker's.
    sinks["strip"] = Sink(lab.net, "internet", "198.51.100.242", None,
                          "mx0.mixed.example")
    sinks["mixed"] = lab.sink("mixed.example", address="198.51.100.243")
    dns.set("mixed.example", "@", "MX", "5 mx0.mixed.example.",
            "10 mx.mixed.example.")
    dns.set("mixed.example", "mx0", "A", "198.51.100.242")
    dns.add("smarthost.example")
    dns.set("smarthost.example", "@", "A", "198.51.100.244")
    sinks["via"] = Sink(lab.net, "internet", "198.51.100.244",
                        lab.ca.issue("smarthost.example"), port=587)
    for name, address in (("lenient", "198.51.100.245"),
                          ("late", "198.51.100.246")):
        dns.add(name + ".example")
        dns.set(name + ".example", "@", "MX", "10 mx.%s.example." % name)
        dns.set(name + ".example", "mx", "A", address)
        sinks[name] = Sink(lab.net, "internet", address)
    sinks["strict"] = lab.sink("strict.example", address="198.51.100.247")
    # DANE: a certificate nobody else trusts, and one that fits no record.
    for name, fits in (("dane.example", True), ("danebad.example", False)):
        host = "mx." + name
        cert = lab.bad_ca.issue(host) if fits else lab.ca.issue(host)
        sinks[name] = lab.sink(name, cert=cert, signed=True, address=(
            "198.51.100.248" if fits else "198.51.100.249"))
        digest = lab.bad_ca.digest(cert[0]) if fits else "ab" * 32
        dns.set(name, "_25._tcp.mx", "TLSA", "3 1 1 " + digest)
    lab.start(CONF)


def send(lab, domain, token):
    mark = lab.sealpostd.mark()
    done = sendmail("-f", "carol@relay.example.org", "bob@" + domain,
                    text=b"Subject: %s\n\nx\n" % token.encode())
    equal(done.code, 0, done.err)
    return mark


def outcome(lab, kind, domain, reason=None, dsn=None):
    mark = send(lab, domain, "route-" + domain)
    e = lab.sealpostd.wait_event(kind, mark, 30, to="<bob@%s>" % domain)
    if reason:
        true(e["reason"] in reason.split(), "%s in %s" % (reason, e["line"]))
    if dsn:
        equal(e["dsn"], dsn)
    return e


def verdict(sentence, kind, domain, reason, dsn=None):
    @case(sentence)
    def _(lab):
        outcome(lab, kind, domain, reason, dsn)
        sealpost("remove", "all", "--yes")


verdict("null MX bounces at once (RFC 7505)", "bounced", "nullmx.example",
        "null-mx", "5.1.10")
verdict("a domain that does not exist bounces at once", "bounced",
        "missing.example", "no-such-domain", "5.1.2")
verdict("a domain with neither MX nor address does not deliver", "bounced",
        "nowhere.example", "no-such-domain dns-error")
verdict("an MX that is our own name is a loop", "bounced", "self.example",
        "mail-loop", "5.4.6")
verdict("an MX with an address that we listen on is a loop", "bounced",
        "ownaddr.example", "mail-loop", "5.4.6")
verdict("DNS that fails validation defers", "deferred", "bogus.example",
        "dns-error dnssec-invalid")
verdict("an MX that refuses connections defers", "deferred",
        "closed.example", "connect-failed")
verdict("an MX at a loopback address is not contacted", "deferred",
        "loopback.example", "private-address")
verdict("an MX at a private address is not contacted", "deferred",
        "private.example", "private-address")
verdict("an MX at an IPv4-mapped private address is not contacted",
        "deferred", "mapped.example", "private-address")
verdict("level strict without a policy defers", "deferred", "strict.example",
        "no-policy")
verdict("a certificate that fits no TLSA record defers, though web PKI "
        "would do", "deferred", "danebad.example",
        "validation-failure tlsa-invalid certificate-not-trusted "
        "certificate-host-mismatch")


@case("a dead resolver defers, and all is well when it is back")
def _(lab):
    lab.dns.stop_resolver()
    try:
        outcome(lab, "deferred", "plain.example", "dns-error")
    finally:
        lab.dns.start_resolver()
    wait_until("the resolver", lambda: lab.dns.ask("plain.example", "MX"))
    # The answer that failed serves for a second more.
    wait_until("delivery", lambda: [
        sealpost("retry", "all"), queue() == []][1])
    lab.servers["postfix"].wait_mail("route-plain.example")


@case("a domain without MX: its own name is the host, and is verified")
def _(lab):
    e = outcome(lab, "delivered", "implicit.example")
    equal((e["mx"], e["auth"]), ("implicit.example", "webpki"))


@case("the next MX is tried when the first is closed")
def _(lab):
    equal(outcome(lab, "delivered", "two.example")["mx"], "mx.two.example")


@case("the next MX is tried when the first offers no TLS")
def _(lab):
    equal(outcome(lab, "delivered", "mixed.example")["mx"],
          "mx.mixed.example")
    true(not sinks["strip"].leaked(), sinks["strip"].text())
    true(sinks["strip"].sessions > 0, "the first was tried")


@case("IPv6 serves where IPv4 does not")
def _(lab):
    if not lab.net.ipv6:
        return
    with lab.attack("plain.example", attacker.HangUp):
        mark = send(lab, "plain.example", "route-six")
        lab.servers["postfix"].wait_mail("route-six")
        e = lab.sealpostd.wait_event("delivered", mark)
        true("2001:db8" in e["addr"], e["addr"])


@case("via: the fixed next hop and port, verified, route=secure")
def _(lab):
    e = outcome(lab, "delivered", "via.example")
    equal((e["mx"], e["auth"], e["route"]),
          ("smarthost.example", "webpki", "secure"))
    true(e["addr"].endswith(":587"), e["addr"])


@case("opportunistic: in the clear, and what require would say is logged")
def _(lab):
    e = outcome(lab, "delivered", "lenient.example")
    equal((e["auth"], e["would-defer"]), ("none", "starttls-not-supported"))
    true(not sinks["lenient"].mails[0][3], "in the clear")


@case("opportunistic that has run out is require again")
def _(lab):
    outcome(lab, "deferred", "late.example", "starttls-not-supported")
    true(not sinks["late"].leaked(), sinks["late"].text())
    sealpost("remove", "all", "--yes")


@case("opportunistic without until and because is a configuration error")
def _(lab):
    put("/run/lab/bad.conf", "tls opportunistic\n")
    done = command("/usr/local/sbin/sealpostd", "-n", "-f",
                   "/run/lab/bad.conf")
    equal(done.code, 1)
    true("/run/lab/bad.conf:1: " in done.out + done.err, repr(done))


@case("DANE: a certificate that its TLSA record names, and nobody else")
def _(lab):
    e = outcome(lab, "delivered", "dane.example")
    equal((e["auth"], e["route"]), ("dane", "secure"))


@case("a bounce comes back to the sender as an RFC 3464 report, by TLS")
def _(lab):
    sealpost("remove", "all", "--yes")
    mark = lab.sealpostd.mark()
    done = sendmail("-f", "carol@plain.example", "bob@missing.example",
                    text=b"Subject: route-report\n\nthe text\n")
    equal(done.code, 0, done.err)
    lab.sealpostd.wait_event("bounced", mark)
    mail = lab.servers["postfix"].wait_mail(b"multipart/report")[-1]
    for words in (b"Return-Path: <>", b"report-type=delivery-status",
                  b"Final-Recipient: rfc822;", b"bob@missing.example",
                  b"Action: failed", b"Status: 5.1.2", b"Auto-Submitted: "
                  b"auto-replied", b"route-report"):
        true(words.lower().replace(b" ", b"") in
             mail.lower().replace(b" ", b""), "%r in %r" % (words, mail))
    wait_empty()


@case("a bounce of a bounce is never sent")
def _(lab):
    mark = lab.sealpostd.mark()
    equal(sendmail("-f", "<>", "bob@missing.example", text=b"Subject: x\n\n"
                   b"x\n").code, 0)
    lab.sealpostd.wait_event("bounced", mark)
    wait_empty()
    equal(len(lab.sealpostd.events("accepted", mark)), 1)


@case("nothing is left in the queue")
def _(lab):
    equal(queue(), [])


main(make, start)
