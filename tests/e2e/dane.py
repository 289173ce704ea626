"""DANE (RFC 7671, 7672): which records count, and when they cannot be had."""

import hashlib
import os
import re
import socket
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lab"))

from check import case, equal, main, true
from daemon import queue, sealpost
from lab import Lab
from scenario import Table, deferred, delivered
from scene import Host, Scene, policy_text
from sink import Sink
from space import in_root, wait_until

table = Table()
S = ".sec.example"
DANE = dict(auth="dane", policy="absent", route="secure")
OPP = '\ttls opportunistic until 2049-01-01 because "a test"'


class NoTls(Sink):
    def offered(self, s):
        return [c for c in super().offered(s) if c != "STARTTLS"]


def der(lab, chain, what, which=0):
    """The DER of a chain's certificate, or of its public key."""
    with open(in_root(chain)) as pem:
        one = re.findall("-----BEGIN.*?-----END CERTIFICATE-----\n",
                         pem.read(), re.S)[which]
    path = "/tmp/ca/one"
    with open(in_root(path), "w") as out:
        out.write(one)
    if what == 0:
        lab.ca.openssl("x509", "-in", path, "-outform", "DER", "-out",
                       path + ".der")
    else:
        with open(in_root(path + ".pub"), "w") as out:
            out.write(lab.ca.openssl("x509", "-in", path, "-noout",
                                     "-pubkey").stdout)
        lab.ca.openssl("pkey", "-pubin", "-in", path + ".pub", "-outform",
                       "DER", "-out", path + ".der")
    with open(in_root(path + ".der"), "rb") as out:
        return out.read()


def record(usage, selector, matching, wrong=False, at=None):
    """A TLSA record of the certificate shown (usage 2: of its issuer)."""
    def make(scene, cert, name):
        data = der(scene.lab, cert[0], selector, 1 if usage in (0, 2) else 0)
        if matching == 1:
            data = hashlib.sha256(data).digest()
        if matching == 2:
            data = hashlib.sha512(data).digest()
        if wrong:
            data = bytes([data[0] ^ 255]) + data[1:]
        return at or name, "%d %d %d %s" % (usage, selector, matching,
                                            data.hex())
    return make


def own(lab, name):
    return lab.bad_ca.issue(name)


def own_other(lab, name):
    return lab.bad_ca.issue("other" + S)


def own_expired(lab, name):
    return lab.bad_ca.issue("other" + S, expired=True)


def own_domain(lab, name):
    """A certificate for the next-hop domain, not the host."""
    return lab.bad_ca.issue(name.split(".", 1)[1])


def row(name, sentence, want, zone="sec.example", **args):
    table.row(name, sentence, want, zone=zone, **args)


# Usages, selectors, matching types.
for u in (2, 3):
    for s in (0, 1):
        for m in (0, 1, 2):
            row("u%d%d%d" % (u, s, m), "TLSA %d %d %d that fits" % (u, s, m),
                delivered(**DANE), hosts=[Host(cert=own, tlsa=[
                    record(u, s, m)])])
row("wrong3", "TLSA 3 1 1 that does not fit, though web PKI would do",
    deferred("tlsa-invalid", "4.7.5"), hosts=[Host(tlsa=[
        record(3, 1, 1, wrong=True)])])
row("wrong2", "TLSA 2 0 1 that does not fit",
    deferred("tlsa-invalid"), hosts=[Host(cert=own, tlsa=[
        record(2, 0, 1, wrong=True)])])
row("ee", "usage 3 ignores names and expiry (RFC 7672 3.1.1)",
    delivered(**DANE), hosts=[Host(cert=own_expired, tlsa=[
        record(3, 1, 1)])])
row("taname", "usage 2 checks names (RFC 7672 3.1.2)",
    deferred("certificate-host-mismatch"), hosts=[Host(cert=own_other, tlsa=[
        record(2, 0, 1)])])
row("tahop", "usage 2 takes the next-hop domain as a name (3.2.2)",
    delivered(**DANE), hosts=[Host(cert=own_domain, tlsa=[record(2, 0, 1)])])
row("taexp", "usage 2 checks expiry", deferred("certificate-expired"),
    hosts=[Host(cert=lambda lab, n: lab.bad_ca.issue(n, expired=True),
                tlsa=[record(2, 0, 1)])])
row("several", "one of several records fits", delivered(**DANE),
    hosts=[Host(cert=own, tlsa=[record(3, 1, 1, wrong=True),
                                record(3, 1, 1)])])
row("mixed", "an unusable record beside one that fits", delivered(**DANE),
    hosts=[Host(cert=own, tlsa=["1 1 1 " + "ab" * 32, record(3, 1, 1)])])
row("mixedbad", "an unusable record beside one that does not fit",
    deferred("tlsa-invalid"), hosts=[Host(tlsa=[
        record(1, 1, 1), record(3, 1, 1, wrong=True)])])
# All unusable: TLS, and the level decides.
row("pkix", "usages 0 and 1 only: web PKI by the level",
    delivered("webpki", route="secure"), hosts=[Host(tlsa=[
        "0 0 1 " + "ab" * 32, "1 1 1 " + "cd" * 32])])
row("pkixbad", "unusable records, and web PKI fails",
    deferred("certificate-not-trusted"), hosts=[Host(
        cert=own, tlsa=["1 1 1 " + "cd" * 32])])
row("short", "a digest of the wrong length is unusable",
    delivered("webpki", route="secure"), hosts=[Host(tlsa=[
        "3 1 1 abcdef"])])
row("garble", "what should be a certificate or a key is none: unusable",
    delivered("webpki", route="secure"), hosts=[Host(tlsa=[
        "3 0 0 deadbeef", "2 1 0 " + "ab" * 91])])
row("garbled", "and so it is beside a record that does not fit",
    deferred("tlsa-invalid"), hosts=[Host(tlsa=[
        "3 0 0 deadbeef", record(3, 1, 1, wrong=True)])])
row("unmatch", "an unknown matching type is unusable",
    delivered("webpki", route="secure"), hosts=[Host(tlsa=[
        "3 1 9 " + "ab" * 32])])
row("opptls", "unusable records under opportunistic: TLS, unverified",
    delivered("none", route="secure", would_defer="certificate-not-trusted"),
    hosts=[Host(cert=own, tlsa=["1 1 1 " + "cd" * 32])], conf=OPP)
row("oppclear", "unusable records forbid the clear (RFC 7672 2.2)",
    deferred("starttls-not-supported"), hosts=[Host(
        kind=NoTls, tlsa=["1 1 1 " + "cd" * 32])], conf=OPP)
row("oppdane", "records that do not fit bind under opportunistic",
    deferred("tlsa-invalid"), hosts=[Host(tlsa=[
        record(3, 1, 1, wrong=True)])], conf=OPP)
row("strip", "STARTTLS missing where there are records",
    deferred("starttls-not-supported"), hosts=[Host(
        kind=NoTls, tlsa=["3 1 1 " + "ab" * 32])])
row("strict", "strict: DANE suffices", delivered(**DANE), hosts=[Host(
    cert=own, tlsa=[record(3, 1, 1)])], conf="\ttls strict")
row("strictno", "strict: a signed domain without records or policy",
    deferred("no-policy"), conf="\ttls strict")
row("plain", "signed, without records: web PKI by a secure route",
    delivered("webpki", route="secure"))
# DANE and MTA-STS (RFC 8461 2).
row("both", "DANE and a policy that names the host",
    delivered("dane", "enforce", "secure"), hosts=[Host(
        cert=own, tlsa=[record(3, 1, 1)])],
    policy=policy_text("enforce", "mx.both" + S))
row("bothmx", "DANE fits, the policy names another host",
    deferred("sts-mx-mismatch"), hosts=[Host(
        cert=own, tlsa=[record(3, 1, 1)])],
    policy=policy_text("enforce", "mx.other.example"))
row("rescue", "a policy never rescues what DANE fails",
    deferred("tlsa-invalid", policy="enforce"), hosts=[Host(
        tlsa=[record(3, 1, 1, wrong=True)])],
    policy=policy_text("enforce", "mx.rescue" + S))
# CNAMEs (RFC 7672 2.2.3).
row("cname", "the host is a CNAME: records where it leads",
    delivered(**DANE), hosts=[Host(
        cname="real.cname" + S, cert=own,
        tlsa=[record(3, 1, 1, at="real.cname" + S)])])
row("cnameown", "the host is a CNAME: records at its own name",
    delivered(**DANE), hosts=[Host(cname="real.cnameown" + S, cert=own,
                                   tlsa=[record(3, 1, 1)])])
row("cnamebad", "the host is a CNAME: where it leads the records fail",
    deferred("tlsa-invalid"), hosts=[Host(
        cname="real.cnamebad" + S, tlsa=[record(3, 1, 1, True,
                                                "real.cnamebad" + S)])])
row("cnameta", "usage 2 takes the name that a CNAME leads to",
    delivered(**DANE), hosts=[Host(
        cname="real.cnameta" + S, tlsa=[
            record(2, 0, 1, at="real.cnameta" + S)],
        cert=lambda lab, n: lab.bad_ca.issue("real.cnameta" + S))])
row("cnhop", "and the next-hop domain as well (3.2.2)", delivered(**DANE),
    hosts=[Host(cname="real.cnhop" + S, cert=own_domain, tlsa=[
        record(2, 0, 1, at="real.cnhop" + S)])])
row("cndom", "the domain is a CNAME: usage 2 takes its name",
    delivered(**DANE), hosts=[Host(
        "mx.cntarget" + S, tlsa=[record(2, 0, 1)],
        cert=lambda lab, n: lab.bad_ca.issue("cndom" + S))], mx=[], records=[
            ("cndom" + S, "CNAME", "cntarget" + S + "."),
            ("cntarget" + S, "MX", "10 mx.cntarget" + S + ".")])
row("cndom2", "and the name that the CNAME leads to",
    delivered(**DANE), hosts=[Host(
        "mx.cntarget2" + S, tlsa=[record(2, 0, 1)], cert=own_domain)], mx=[],
    records=[("cndom2" + S, "CNAME", "cntarget2" + S + "."),
             ("cntarget2" + S, "MX", "10 mx.cntarget2" + S + ".")])
row("cnameout", "a CNAME out of the signed world ends DANE",
    delivered("webpki", route="secure"), hosts=[Host(
        cname="out.t.example", tlsa=[record(3, 1, 1, wrong=True)])])
row("implicit", "no MX: the domain's own records", delivered(**DANE),
    hosts=[Host("@", cert=own, tlsa=[record(3, 1, 1)])])
row("via", "via: records of the fixed host's port", delivered(**DANE),
    hosts=[Host("fixed", port=587, cert=own, tlsa=[record(3, 1, 1)])],
    mx=["10 x.example."], conf="\tvia fixed.via" + S + " port 587")
row("viabad", "via: records that do not fit", deferred("tlsa-invalid"),
    hosts=[Host("fixed", port=587, tlsa=[record(3, 1, 1, wrong=True)])],
    mx=["10 x.example."], conf="\tvia fixed.viabad" + S + " port 587")
# Not secure, or not to be had.
row("unsigned", "records in an unsigned zone do not count",
    delivered("webpki"), zone="t.example", hosts=[Host(tlsa=[
        record(3, 1, 1, wrong=True)])])
row("mxout", "an unsigned domain with an MX in a signed one: no DANE",
    delivered("webpki"), zone="t.example",
    hosts=[Host("mx.mxout" + S, tlsa=[record(3, 1, 1, wrong=True)])])
row("bogus", "a bogus domain", deferred("dns-error"), zone="bog.example",
    hosts=[Host(real=False)])
row("forged", "a bogus domain whose MX would take the mail",
    deferred("dns-error"), zone="bog.example")
row("bogushost", "an MX in a bogus zone is passed over",
    delivered(mx="mx2.bogushost" + S, **DANE), hosts=[
        Host("mx.there.bog.example", 5, real=False),
        Host("mx2", 10, cert=own, tlsa=[record(3, 1, 1)])])
row("servfail", "a TLSA look-up that fails skips the host",
    deferred("dnssec-invalid", "4.7.5"), hosts=[Host()], records=[])
row("servnext", "and the next host gets the mail",
    delivered(mx="mx2.servnext" + S, **DANE), hosts=[
        Host("mx1", 5), Host("mx2", 10, cert=own, tlsa=[record(3, 1, 1)])])
row("servopp", "a TLSA look-up that fails binds under opportunistic",
    deferred("dnssec-invalid"), hosts=[Host()], conf=OPP)
BROKEN = ("mx.servfail", "mx1.servnext", "mx.servopp")


def make():
    return Lab(())


def start(lab):
    scene = Scene(lab)
    table.build(scene)
    scene.build()
    # A delegation to a server that knows nothing of it: SERVFAIL.
    for host in BROKEN:
        lab.dns.set("sec.example", "_tcp.%s%s." % (host, S), "NS", "ns.lab.")
        lab.dns.set("sec.example", "_tcp.%s%s." % (host, S), "DS",
                    "1 13 2 " + "00" * 32)
    lab.start(scene.conf())
    scene.send_all()


table.cases()


@case("SNI is the name that bears the records (RFC 7672 8.1)")
def _(lab):
    for name, sni in (("cname", "real.cname"), ("cnameown", "mx.cnameown"),
                      ("u311", "mx.u311")):
        snis = table.scene.all[name].hosts[0].sinks[0].snis
        equal(set(snis), {sni + S})


@case("details tell what failed, and what goes past it")
def _(lab):
    for name, words in (("wrong3", ["TLSA", "via HOST"]),
                        ("servfail", ["TLSA", "mx.servfail"]),
                        ("bothmx", ["mx.other.example"])):
        detail = queue("--domain", name + S)[0]["detail"]
        for word in words:
            true(word in detail, "%s in %r" % (word, detail))


@case("no AD bit was ever trusted from elsewhere, and DANE is on: no alarm")
def _(lab):
    said = [l for l in lab.sealpostd.lines() if "DANE" in l and
            "event=deferred" not in l]
    equal(said, [])


def relay_dns(address, port=53, checks=True, root=True):
    """A resolver at this address: what it hears goes to the real one."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, port))

    def serve():
        while True:
            query, who = sock.recvfrom(4096)
            if not checks:  # CD: give me what does not validate as well
                query = query[:3] + bytes([query[3] | 0x10]) + query[4:]
            if query[12] == 0 and not root:  # REFUSED
                sock.sendto(query[:2] + b"\x81\x85" + query[4:], who)
                continue
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
                out.settimeout(5)
                try:
                    out.sendto(query, ("127.0.0.1", 53))
                    sock.sendto(out.recv(65536), who)
                except OSError:
                    pass
    threading.Thread(target=serve, daemon=True).start()


@case("AD counts from a resolver elsewhere only if it is marked trusted")
def _(lab):
    relay_dns("192.0.2.10")
    sealpost("remove", "all", "--yes")
    for word, events in (("", [("u311", "deferred", None),
                               ("wrong3", "delivered", "webpki")]),
                         (" trusted", [("u311", "delivered", "dane"),
                                       ("wrong3", "deferred", None)])):
        equal(lab.sealpostd.stop(), 0)
        lab.sealpostd.configure("resolver 192.0.2.10 port 53%s\n" % word +
                                table.scene.conf())
        lab.sealpostd.start()
        for name, kind, auth in events:
            table.scene.send(name)
            e = table.scene.event(name)
            equal((e["event"], e.get("auth")), (kind, auth), e["line"])
            code, c = table.scene.check(name)
            equal(code == 0, kind == "delivered", c["verdict"])
            sealpost("remove", "all", "--yes")
    lab.sealpostd.configure(table.scene.conf())


@case("what one that validates refuses, one that does not cannot give")
def _(lab):
    relay_dns("192.0.2.10", 5353, checks=False)
    lax = "resolver 192.0.2.10 port 5353\n"
    for resolvers, want in ((lax, "delivered"),
                            ("resolver 127.0.0.1\n" + lax, "deferred")):
        equal(lab.sealpostd.stop(), 0)
        lab.sealpostd.configure(resolvers + table.scene.conf())
        lab.sealpostd.start()
        table.scene.send("forged")
        equal(table.scene.event("forged")["event"], want)
        sealpost("remove", "all", "--yes")
    equal(lab.sealpostd.stop(), 0)
    lab.sealpostd.configure(table.scene.conf())
    lab.sealpostd.start()


@case("a resolver that does not validate: DANE is off, said once, loudly")
def _(lab):
    sealpost("remove", "all", "--yes")
    equal(lab.sealpostd.stop(), 0)
    lab.dns.stop_resolver()
    path = in_root("/etc/unbound/lab.conf")
    with open(path) as conf:
        text = conf.read()
    with open(path, "w") as conf:
        conf.write(text.replace("validator iterator", "iterator"))
    lab.dns.start_resolver()
    wait_until("the resolver", lambda: lab.dns.ask("plain" + S, "MX"))
    mark = lab.sealpostd.mark()
    lab.sealpostd.start()
    scene = table.scene
    for name in ("plain", "wrong3", "both"):
        scene.send(name)
    # Records count no more, so web PKI decides, and nothing is held back.
    equal(scene.event("wrong3")["auth"], "webpki")
    equal(scene.event("plain")["route"], "insecure")
    equal(scene.event("both")["event"], "deferred")
    said = [l for l in lab.sealpostd.lines(mark) if "DANE" in l]
    equal(len(said), 1, "\n".join(said))
    for name in ("plain", "wrong3"):
        scene.send(name)
        scene.event(name)
    equal(len([l for l in lab.sealpostd.lines(mark) if "DANE" in l]), 1)


@case("nor one that does not answer for the root")
def _(lab):
    sealpost("remove", "all", "--yes")
    relay_dns("127.0.0.1", 5354, root=False)
    mark = lab.sealpostd.mark()
    equal(lab.sealpostd.stop(), 0)
    lab.sealpostd.configure("resolver 127.0.0.1 port 5354\n" +
                            table.scene.conf())
    lab.sealpostd.start()
    for name in ("plain", "wrong3"):
        table.scene.send(name)
        equal(table.scene.event(name)["auth"], "webpki")
    equal(len([l for l in lab.sealpostd.lines(mark) if "DANE" in l]), 1)


main(make, start)
