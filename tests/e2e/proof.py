"""Delivery proofs: `sealpost proof` against what the lab knows it served."""

import hashlib
import json
import os
import re
import ssl
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lab"))

from check import case, equal, main, true
from daemon import SPOOL, queue, sealpost, sendmail
from lab import Lab
from sink import Sink
from space import in_root, wait_until

KEYS = ("id message_id recipient level auth route policy policy_id policy_age "
        "policy_sha256 tlsa tls cipher group cert_sha256 mx addr accepted "
        "delivered reply").split()
TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
BODY = "version: STSv1\r\nmode: %s\r\nmx: mx.%s\r\nmax_age: 86400\r\n"
CONF = """
destination strict.example {
	tls strict
}
destination clear.example {
	tls opportunistic until 2049-01-01 because "a test"
}
"""
FOLDER = SPOOL + "/queue/proof"
certs = {}
sinks = {}
sent = {}  # by domain, the proofs as first told


class NoTls(Sink):
    def offered(self, s):
        return [c for c in super().offered(s) if c != "STARTTLS"]


class Strange(Sink):
    """Ends its mail with a reply that no terminal should obey."""

    def dot(self, s):
        s.write("250-2.0.0 first line\r\n250 2.0.0 100% \x1b[31m red\r\n")


def make():
    return Lab(())


def add(lab, name, mode=None, **args):
    certs[name] = lab.ca.issue("mx." + name)
    sinks[name] = lab.sink(name, mode, cert=certs[name], **args)
    if mode:
        lab.announce(name, mode, body=BODY % (mode, name))


def start(lab):
    add(lab, "enforce.example", "enforce")
    add(lab, "strict.example", "enforce")
    add(lab, "testing.example", "testing")
    add(lab, "plain.example")
    add(lab, "clear.example", kind=NoTls)
    add(lab, "strange.example", kind=Strange)
    add(lab, "dane.example", signed=True)
    lab.dns.set("dane.example", "_25._tcp.mx.dane.example.", "TLSA",
                "3 1 1 " + lab.ca.digest(certs["dane.example"][0]))
    lab.start(CONF)


def message_id(domain):
    return "<proof.%s@relay.example.org>" % domain


def send(lab, domain, *people, token=""):
    """Send and wait for the delivery; the message's id."""
    to = [p + "@" + domain for p in people or ("bob",)]
    mark = lab.sealpostd.mark()
    done = sendmail(*to, text=(
        "Subject: proof\nMessage-ID: %s\n\nx\n" % message_id(
            token + domain)).encode())
    equal(done.code, 0, done.err)
    for rcpt in to:
        e = lab.sealpostd.wait_event("delivered", mark, to="<%s>" % rcpt)
    return e["id"]


def proofs(what):
    done = sealpost("proof", what, "--json")
    equal(done.code, 0, repr(done))
    return [json.loads(line) for line in done.out.splitlines()]


def certificate(domain):
    """SHA-256 of the certificate that the domain's MX shows."""
    with open(in_root(certs[domain][0])) as pem:
        leaf = pem.read().split("-----END CERTIFICATE-----")[0]
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(
        leaf + "-----END CERTIFICATE-----\n")).hexdigest()


def body_digest(mode, domain):
    return hashlib.sha256((BODY % (mode, domain)).encode()).hexdigest()


def show(lab, domain, *people):
    """Send one, and return its only proof."""
    ident = send(lab, domain, *people)
    found = proofs(ident)
    sent[domain] = found
    equal(len(found), max(1, len(people)))
    equal(found[0]["id"], ident)
    return found[0]


def secured(p, domain):
    """What holds of each delivery over TLS."""
    equal((p["mx"], p["tls"], p["cert_sha256"], p["reply"]),
          ("mx." + domain, "TLSv1.3", certificate(domain),
           "250 2.0.0 taken"), repr(p))
    equal(p["addr"], sinks[domain].address + ":25")
    true(p["cipher"].startswith("TLS_") and p["group"], repr(p))


def under(p, mode, domain):
    """The policy is the one that was served."""
    equal((p["policy"], p["policy_sha256"]),
          (mode, body_digest(mode, domain)), repr(p))
    true(p["policy_id"] is not None and 0 <= p["policy_age"] < 60, repr(p))


@case("under enforce: all keys; certificate and policy are those served")
def _(lab):
    p = show(lab, "enforce.example")
    equal(list(p), KEYS)
    secured(p, "enforce.example")
    under(p, "enforce", "enforce.example")
    equal((p["level"], p["auth"], p["route"], p["tlsa"]),
          ("require", "mta-sts", "secure", None))
    equal((p["recipient"], p["message_id"]),
          ("bob@enforce.example", message_id("enforce.example")))
    true(TIME.match(p["accepted"]) and TIME.match(p["delivered"]), repr(p))
    true(p["accepted"] <= p["delivered"], repr(p))


@case("level strict is told")
def _(lab):
    p = show(lab, "strict.example")
    secured(p, "strict.example")
    under(p, "enforce", "strict.example")
    equal((p["level"], p["auth"]), ("strict", "mta-sts"))


@case("under testing: the policy is told, the web's authorities vouch")
def _(lab):
    p = show(lab, "testing.example")
    secured(p, "testing.example")
    under(p, "testing", "testing.example")
    equal((p["level"], p["auth"], p["route"]),
          ("require", "webpki", "insecure"))


@case("without a policy: nothing is said of one")
def _(lab):
    p = show(lab, "plain.example")
    secured(p, "plain.example")
    equal((p["auth"], p["route"], p["policy"], p["policy_id"],
           p["policy_age"], p["policy_sha256"]),
          ("webpki", "insecure", "absent", None, None, None))


@case("under DANE: the record that matched")
def _(lab):
    p = show(lab, "dane.example")
    secured(p, "dane.example")
    equal((p["auth"], p["route"], p["tlsa"]), ("dane", "secure", "3 1 1"))


@case("in the clear: the level that allowed it, and no TLS")
def _(lab):
    p = show(lab, "clear.example")
    equal((p["level"], p["auth"], p["tls"], p["cipher"], p["group"],
           p["cert_sha256"]), ("opportunistic", "none", None, None, None,
                               None))
    equal(sealpost("proof", p["id"]).out.count("in the clear"), 1)
    status = json.loads(sealpost("status", "--json").out)
    equal(status["tls"]["clear"], 1)


@case("several recipients: an object each")
def _(lab):
    ident = send(lab, "plain.example", "ann", "ben", "cy", token="many.")
    equal(sorted(p["recipient"] for p in proofs(ident)),
          [n + "@plain.example" for n in ("ann", "ben", "cy")])


@case("by Message-ID, with its brackets or without")
def _(lab):
    for domain, found in sent.items():
        equal(proofs(message_id(domain)), found)
        equal(proofs(message_id(domain)[1:-1]), found)


@case("a reply comes back as one line; for people it is made safe")
def _(lab):
    p = show(lab, "strange.example")
    true("100%" in p["reply"], p["reply"])
    out = sealpost("proof", p["id"]).out
    true("\x1b" not in out and "100%" in out, out)


@case("for people: short, with what it means")
def _(lab):
    done = sealpost("proof", message_id("enforce.example"))
    equal(done.code, 0, repr(done))
    for text in ("bob@enforce.example", "  authenticated by a", "secure",
                 "TLSv1.3", certificate("enforce.example"),
                 body_digest("enforce", "enforce.example"),
                 "250 2.0.0 taken"):
        true(text in done.out, "%r in %s" % (text, done.out))
    true(done.out.count("\n") <= 14, done.out)


@case("unknown: exit 1, and why")
def _(lab):
    for what in ("0000000000001", "<nothing@example.org>", "%", "mx",
                 "bob@enforce.example", "enforce.example"):
        done = sealpost("proof", what)
        equal((done.code, done.out), (1, ""), what)
        true("no proof of that" in done.err, done.err)
    equal(sealpost("proof").code, 64)
    equal(sealpost("proof", "").code, 64)
    equal(sealpost("proof", "x" * 400).code, 64)


@case("an ordinary user may not ask: 77")
def _(lab):
    done = sealpost("proof", sent["enforce.example"][0]["id"], user="carol")
    equal((done.code, done.out), (77, ""), repr(done))


@case("status counts them")
def _(lab):
    status = json.loads(sealpost("status", "--json").out)
    equal(status["proofs"], {"added": status["delivered"], "lost": 0})


@case("the store is the queue's own, and small")
def _(lab):
    stat = os.stat(FOLDER)
    equal(stat.st_mode & 0o7777, 0o700)
    equal(stat.st_uid, os.stat(SPOOL + "/queue").st_uid)
    size = sum(os.stat(os.path.join(FOLDER, f)).st_size
               for f in os.listdir(FOLDER))
    true(size < 600 * sum(len(f) for f in sent.values()) + 1000, size)


@case("after a restart: the same, by id and by Message-ID")
def _(lab):
    late = send(lab, "plain.example", token="late.")
    equal(lab.sealpostd.stop(), 0)
    lab.sealpostd.start()
    equal(len(proofs(late)), 1)
    for domain, found in sent.items():
        equal(proofs(found[0]["id"]), found)
        equal(proofs(message_id(domain)), found)
    # The policy is the cache's now, its digest and age too.
    p = show(lab, "enforce.example")
    under(p, "enforce", "enforce.example")
    equal(p["auth"], "mta-sts")


@case("what was told when kill -9 came is told afterwards")
def _(lab):
    ident = send(lab, "plain.example", token="kill.")
    time.sleep(0.3)
    lab.sealpostd.kill_all()
    lab.sealpostd.start()
    equal([p["recipient"] for p in proofs(ident)], ["bob@plain.example"])


@case("a folder that cannot be used: logged once, counted, mail goes on")
def _(lab):
    equal(lab.sealpostd.stop(), 0)
    os.rename(FOLDER, FOLDER + ".away")
    with open(FOLDER, "w"):
        pass
    lab.sealpostd.start()
    mark = lab.sealpostd.mark()
    for i in range(3):
        ident = send(lab, "plain.example", token="lost%d." % i)
    equal(json.loads(sealpost("status", "--json").out)["proofs"],
          {"added": 0, "lost": 3})
    equal(sealpost("proof", ident).code, 1)
    equal(len([l for l in lab.sealpostd.lines(0) if "proofs-failing" in l]),
          1)
    equal(lab.sealpostd.stop(), 0)
    os.unlink(FOLDER)
    os.rename(FOLDER + ".away", FOLDER)
    lab.sealpostd.start()
    equal(proofs(sent["plain.example"][0]["id"]), sent["plain.example"])


@case("`proof keep never`: what was kept goes, nothing is added")
def _(lab):
    lab.sealpostd.configure("proof keep never\n" + CONF)
    equal(sealpost("reload").code, 0)
    wait_until("the proofs to go", lambda: not os.path.exists(FOLDER))
    ident = send(lab, "plain.example", token="never.")
    for what in (ident, sent["enforce.example"][0]["id"]):
        done = sealpost("proof", what)
        equal(done.code, 1)
        true("no proof of that: none are kept" in done.err, done.err)
    equal(lab.sealpostd.stop(), 0)
    lab.sealpostd.start()
    equal(sealpost("proof", ident).code, 1)
    true(not os.path.exists(FOLDER), "no folder")


@case("kept again: from now on")
def _(lab):
    lab.sealpostd.configure("proof keep 1d\n" + CONF)
    equal(sealpost("reload").code, 0)
    wait_until("the folder", lambda: os.path.exists(FOLDER))
    ident = send(lab, "plain.example", token="again.")
    equal(len(proofs(ident)), 1)
    equal(queue(), [])


main(make, start)
