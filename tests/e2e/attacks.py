"""Attacks on TLS, each against a domain of its own, at both levels.

Every attacker would take the mail. Unless told otherwise it even has a good
certificate for the name of the MX, so that only the attack itself protects.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lab"))

import attacker
from check import case, equal, main, true
from daemon import queue, sendmail
from lab import Lab
from space import wait_until

TLS = ("validation-failure", "starttls-not-supported")
WIRE = ("protocol-error", "connect-failed", "timeout")

# name, what it does, attacker, certificate, reasons that fit
ATTACKS = [
    ("strip", "STARTTLS removed from the EHLO reply", attacker.Strip, "good",
     ("starttls-not-supported",)),
    ("refuse4", "STARTTLS refused with 454", attacker.Refuse, "good",
     ("starttls-not-supported",)),
    ("refuse5", "STARTTLS refused with 502", attacker.RefuseForGood, "good",
     ("starttls-not-supported",)),
    ("own", "a certificate of an authority nobody trusts", attacker.Impostor,
     "bad", ("certificate-not-trusted",)),
    ("name", "a good certificate for another name", attacker.Impostor,
     "name", ("certificate-host-mismatch",)),
    ("cn", "the name in the subject only, not in a SAN (RFC 6125)",
     attacker.Impostor, "cn", ("certificate-host-mismatch",)),
    ("wild", "a wildcard that would have to stand for two labels",
     attacker.Impostor, "wild", ("certificate-host-mismatch",)),
    ("expired", "a certificate that expired", attacker.Impostor, "expired",
     ("certificate-expired",)),
    ("future", "a certificate that is not valid yet", attacker.Impostor,
     "future", ("certificate-expired", "certificate-not-trusted") + TLS),
    ("weak", "a certificate with a key of 1024 bits", attacker.Weak, "weak",
     ("certificate-not-trusted",) + TLS),
    ("old", "nothing newer than TLS 1.1", attacker.Outdated, "good", TLS),
    ("inject", "replies injected behind the answer to STARTTLS",
     attacker.Inject, "good", TLS + WIRE),
    ("inject1", "one line injected behind the answer to STARTTLS",
     attacker.InjectEhlo, "good", TLS + WIRE),
    ("plain", "clear text in answer to the ClientHello",
     attacker.PlainHandshake, "good", TLS + WIRE),
    ("reset", "a reset within the handshake", attacker.Reset, "good",
     TLS + WIRE),
    ("endless", "an EHLO reply that never ends", attacker.Endless, "good",
     WIRE),
    ("line", "a reply line that never ends", attacker.EndlessLine, "good",
     WIRE),
    ("garbage", "a greeting of random bytes", attacker.Garbage, "good", WIRE),
    ("nonsense", "an EHLO reply of nonsense", attacker.GarbageEhlo, "good",
     WIRE + TLS),
    ("codes", "a reply whose codes disagree", attacker.MixedCodes, "good",
     WIRE + TLS),
    ("preauth", "a reply sent before its question", attacker.Preauth, "good",
     WIRE + TLS),
    ("hangup", "a connection closed before any greeting", attacker.HangUp,
     "good", WIRE),
    ("slow", "a greeting of one byte a second", attacker.Slow, "good", None),
    ("silent", "no greeting at all", attacker.Silent, "good", None),
]
LEVELS = ("require", "strict")
villains = {}


def certificate(lab, kind, host):
    if kind == "bad":
        return lab.bad_ca.issue(host)
    if kind == "name":
        return lab.ca.issue("mx.attacker.example", "attacker.example")
    if kind == "cn":
        return lab.ca.issue("other.example", common_name=host)
    if kind == "wild":
        return lab.ca.issue("*.example", "*.strict.example")
    return lab.ca.issue(host, expired=kind == "expired",
                        future=kind == "future",
                        kind="weak" if kind == "weak" else "leaf")


def make():
    return Lab(("postfix",))


def start(lab):
    lab.domain("plain.example")
    lab.domain("good.strict.example", policy="enforce")
    number = 0
    for name, _, kind, cert, _ in ATTACKS:
        for level in LEVELS:
            number += 1
            domain = "%s.%s.example" % (name, level)
            host = "mx." + domain
            villains[domain] = lab.sink(
                domain, "enforce" if level == "strict" else None, kind,
                certificate(lab, cert, host), "198.51.100.%d" % (
                    160 + number))
    lab.start("destination .strict.example {\n\ttls strict\n}\n"
              "destination good.strict.example {\n\ttls strict\n}\n")
    for domain in villains:
        equal(sendmail("bob@" + domain, text=b"Subject: secret\n\n"
                       b"secret\n").code, 0)


def show(name, what, level, reasons):
    domain = "%s.%s.example" % (name, level)

    @case("%s: nothing is given away under %s" % (what, level))
    def _(lab):
        villain = villains[domain]
        villain.wait_session()
        if reasons:
            e = wait_until("a deferral for " + domain, lambda: [
                e for e in lab.sealpostd.events("deferred")
                if e["to"].endswith("@%s>" % domain)], 30)[0]
            true(e["reason"] in reasons, "%s is one of %s in %s" % (
                e["reason"], reasons, e["line"]))
            equal(e["dsn"][:2], "4.")
        true(not villain.leaked(), "nothing leaked:\n" + villain.text())
        equal(lab.sealpostd.events("delivered", to="<bob@%s>" % domain), [])


for row in ATTACKS:
    for at in LEVELS:
        show(row[0], row[1], at, row[4])


@case("all of it is still queued, each with its reason word")
def _(lab):
    held = queue()
    equal(len(held), len(villains))
    for e in held:
        name = e["recipient"].split("@")[1].split(".")[0]
        reasons = [r for n, _, _, _, r in ATTACKS if n == name][0]
        if reasons:
            true(e["reason"] in reasons, "%r" % e)
            true(e["detail"], "there is a detail: %r" % e)


@case("other mail flows while attackers hold on to their sessions")
def _(lab):
    for domain in ("plain.example", "good.strict.example"):
        equal(sendmail("bob@" + domain, text=b"Subject: x\n\nattack-%s\n"
                       % domain.encode()).code, 0)
        lab.servers["postfix"].wait_mail("attack-" + domain)


@case("the daemon's memory stays small under endless replies")
def _(lab):
    if not os.environ.get("SAN"):
        kib = lab.sealpostd.memory_kib()
        true(kib < 64 * 1024, "%d KiB is under 64 MiB" % kib)


main(make, start)
