"""The demo's story as assertions: who gets mail, who does not, and why."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lab"))

import attacker
from check import case, equal, main, true
from daemon import sealpost, sendmail, wait_empty, wait_queue
from lab import Lab


def make():
    return Lab(("postfix",))


def start(lab):
    for name, mode in (("sealed.example", "enforce"),
                       ("testing.example", "testing"),
                       ("none.example", "none"), ("plain.example", None)):
        lab.domain(name, policy=mode, ipv6=name == "sealed.example")
    lab.start()


def send(lab, domain, token, who="bob"):
    """A message by sendmail to somebody at the domain."""
    done = sendmail("-t", text=(
        "To: %s@%s\nSubject: %s\n\n%s\n" % (who, domain, token,
                                            token)).encode())
    equal(done.code, 0, done.err)


def arrives(lab, domain, token, auth, policy, route):
    mark = lab.sealpostd.mark()
    send(lab, domain, token)
    lab.servers["postfix"].wait_mail(token)
    e = lab.sealpostd.wait_event("delivered", mark)
    equal(e["to"], "<bob@%s>" % domain)
    equal(e["mx"], "mx." + domain)
    equal(e["auth"], auth)
    equal(e["policy"], policy)
    equal(e.get("route"), route)
    equal(e["tls"], "TLSv1.3")
    equal(e["dsn"][:2], "2.")
    true(e["addr"].endswith(":25"), "addr ends in the port: " + e["addr"])
    true("cipher" in e and float(e["delay"]) >= 0 and "reply" in e,
         "cipher, delay, reply are logged: " + e["line"])
    wait_empty()


@case("an enforce policy: delivered, auth=mta-sts, route=secure")
def _(lab):
    arrives(lab, "sealed.example", "story-enforce", "mta-sts", "enforce",
            "secure")


@case("a testing policy: delivered by web PKI, never weaker than the level")
def _(lab):
    arrives(lab, "testing.example", "story-testing", "webpki", "testing",
            "insecure")


@case("a policy of mode none: delivered by web PKI")
def _(lab):
    arrives(lab, "none.example", "story-none", "webpki", "none", "insecure")


@case("no policy at all: delivered by web PKI")
def _(lab):
    arrives(lab, "plain.example", "story-absent", "webpki", "absent",
            "insecure")


def deferred(lab, domain, kind, reason, token, cert=None):
    """Send under an attack; nothing leaks, the word stands everywhere."""
    mark = lab.sealpostd.mark()
    addresses = [lab.domains[domain].address]
    if domain == "sealed.example" and lab.net.ipv6:
        addresses.append(lab.servers["postfix"].address6)
    with lab.attack(domain, kind, cert) as villain, \
            lab.attack(domain, kind, cert, addresses[-1]) \
            if len(addresses) > 1 else lab.nothing() as second:
        send(lab, domain, token)
        e = lab.sealpostd.wait_event("deferred", mark)
        equal(e["reason"], reason)
        equal(e["dsn"], "4.7.5" if "certificate" in reason else e["dsn"])
        true("next" in e, "the next attempt is logged: " + e["line"])
        held = wait_queue(1, state="deferred")[0]
        equal(held["reason"], reason)
        equal(held["recipient"], "bob@" + domain)
        true(held["detail"] and "mx." + domain in held["detail"],
             "the detail names the host: %r" % held["detail"])
        for v in (villain, second):
            if v:
                true(not v.leaked(), "nothing leaked:\n" + v.text())
        true(villain.sessions + (second.sessions if second else 0) > 0,
             "the attacker was contacted")
    equal(lab.servers["postfix"].mails(token.encode()), [])
    equal(sealpost("retry", "all").code, 0)
    lab.servers["postfix"].wait_mail(token)
    wait_empty()


@case("STARTTLS stripped under enforce: deferred, arrives when it ends")
def _(lab):
    deferred(lab, "sealed.example", attacker.Strip,
             "starttls-not-supported", "story-strip")


@case("STARTTLS stripped without a policy: deferred as well")
def _(lab):
    deferred(lab, "plain.example", attacker.Strip, "starttls-not-supported",
             "story-strip-plain")


@case("a certificate of the attacker's own authority: deferred")
def _(lab):
    deferred(lab, "sealed.example", attacker.Impostor,
             "certificate-not-trusted", "story-own-cert")


@case("an attacker with a good certificate for another name: deferred")
def _(lab):
    deferred(lab, "testing.example", attacker.Impostor,
             "certificate-host-mismatch", "story-other-name",
             lab.ca.issue("mx.attacker.example"))


@case("a certificate that expired: deferred")
def _(lab):
    deferred(lab, "none.example", attacker.Impostor, "certificate-expired",
             "story-expired", lab.ca.issue("mx.none.example", expired=True))


@case("a spoofed MX that has a good certificate of its own: deferred")
def _(lab):
    villain = attacker.Impostor(
        lab.net, "internet", "198.51.100.250",
        lab.ca.issue("mx.attacker.example"), "mx.attacker.example")
    if "attacker.example" not in lab.dns.zones:
        lab.dns.add("attacker.example")
    lab.dns.set("attacker.example", "mx", "A", "198.51.100.250")
    lab.dns.publish("attacker.example")
    lab.spoof_mx("sealed.example", "mx.attacker.example")
    try:
        mark = lab.sealpostd.mark()
        send(lab, "sealed.example", "story-spoof")
        e = lab.sealpostd.wait_event("deferred", mark)
        equal(e["reason"], "sts-mx-mismatch")
        true("mx.attacker.example" in wait_queue(1)[0]["detail"],
             "the detail names the host that was found")
        true(not villain.leaked(), "nothing leaked:\n" + villain.text())
    finally:
        lab.spoof_mx("sealed.example", "mx.sealed.example")
        villain.stop()
    equal(sealpost("retry", "all").code, 0)
    lab.servers["postfix"].wait_mail("story-spoof")
    wait_empty()


@case("the policy outlives an attacker who hides TXT record and policy host")
def _(lab):
    lab.withdraw("sealed.example")
    try:
        deferred(lab, "sealed.example", attacker.Strip,
                 "starttls-not-supported", "story-hidden")
        e = lab.sealpostd.events("delivered")[-1]
        equal(e["policy"], "enforce")
    finally:
        lab.announce("sealed.example", "enforce")


@case("in all of this, nobody but the right host was given a message twice")
def _(lab):
    for e in ("enforce", "testing", "none", "absent", "strip", "own-cert",
              "spoof"):
        mails = lab.servers["postfix"].mails(b"Subject: story-%s\n"
                                             % e.encode())
        equal(len(mails), 1, "story-" + e)


main(make, start)
