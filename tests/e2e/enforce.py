"""Which hosts may have the mail: policies, levels, private addresses.

Every sink would take what it is given; one message goes to each domain.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lab"))

import attacker
from check import case, equal, main, true
from daemon import queue
from lab import Lab
from scenario import Table, bounced, deferred, delivered
from scene import Host, Scene, policy_text
from sink import Sink

table = Table()
row = table.row
T = ".t.example"
STS = dict(auth="mta-sts", policy="enforce", route="secure")
OPP = '\ttls opportunistic until 2049-01-01 because "a test"'
STRICT = "\ttls strict"


def enforce(name, *patterns):
    return policy_text("enforce", *(patterns or ["mx." + name + T]))


def testing(name, *patterns):
    return policy_text("testing", *(patterns or ["mx." + name + T]))


def none():
    return policy_text("none")


def other(lab, name):
    return lab.ca.issue("other" + T)


def untrusted(lab, name):
    return lab.bad_ca.issue(name)


def expired(lab, name):
    return lab.ca.issue(name, expired=True)


class Refuse5(attacker.Refuse):
    reply = "554 5.7.0 no TLS for you\r\n"


class Ehlo5(Sink):
    def ehlo(self, s, line):
        s.write("554 5.7.1 go away\r\n")


class NoTls(Sink):
    def offered(self, s):
        return [c for c in super().offered(s) if c != "STARTTLS"]


# RFC 8461 4.1, 4.2 and 5: who matches, and whose certificate.
row("match", "the MX that the policy names", delivered(**STS),
    policy=enforce("match"))
row("mismatch", "an MX that the policy does not name is not contacted",
    deferred("sts-mx-mismatch", "4.7.5", policy="enforce"),
    policy=enforce("mismatch", "mx.elsewhere.example"))
row("wild", "a wildcard stands for one label", delivered(**STS),
    policy=enforce("wild", "*.wild" + T))
row("wildtwo", "a wildcard does not stand for two labels",
    deferred("sts-mx-mismatch"), policy=enforce("wildtwo", "*.wildtwo" + T),
    hosts=[Host("a.mx.wildtwo" + T)])
row("wildnone", "a wildcard does not stand for no label",
    deferred("sts-mx-mismatch"), policy=enforce("wildnone", "*.wildnone" + T),
    hosts=[Host("@")], mx=["10 wildnone" + T + "."])
row("implicit", "no MX: the domain is the host, and must match",
    delivered(**STS), policy=enforce("implicit", "implicit" + T),
    hosts=[Host("@")])
row("implicitno", "no MX, and the policy names another host",
    deferred("sts-mx-mismatch"), policy=enforce("implicitno"),
    hosts=[Host("@")])
row("cname", "the MX is a CNAME: the MX record's name counts",
    delivered(**STS), policy=enforce("cname"),
    hosts=[Host(cname="real.cname" + T)])
row("cnameto", "the MX is a CNAME: where it leads does not match",
    deferred("sts-mx-mismatch"), policy=enforce("cnameto",
                                                "real.cnameto" + T),
    hosts=[Host(cname="real.cnameto" + T)])
row("cnamecert", "the MX is a CNAME: a certificate for where it leads",
    deferred("certificate-host-mismatch"), policy=enforce("cnamecert"),
    hosts=[Host(cname="real.cnamecert" + T, cert=lambda lab, n:
                lab.ca.issue("real.cnamecert" + T))])
row("second", "the first MX does not match, the second does",
    delivered(mx="mx2.second" + T, **STS),
    policy=enforce("second", "mx2.second" + T),
    hosts=[Host("mx1", 5), Host("mx2", 10)])
row("sibling", "a certificate for another host that matches (4.2)",
    deferred("certificate-host-mismatch"),
    policy=enforce("sibling", "*.sibling" + T),
    hosts=[Host(cert=lambda lab, n: lab.ca.issue("other.sibling" + T))])
row("wildcert", "a certificate with a wildcard for one label",
    delivered(**STS), policy=enforce("wildcert"), hosts=[Host(
        cert=lambda lab, n: lab.ca.issue("*.wildcert" + T))])
row("partcert", "a certificate with a wildcard within a label",
    deferred("certificate-host-mismatch"), policy=enforce("partcert"),
    hosts=[Host(cert=lambda lab, n: lab.ca.issue("m*.partcert" + T))])
row("nextmx", "the first MX fails to prove itself, the second does",
    delivered(mx="mx2.nextmx" + T, **STS),
    policy=enforce("nextmx", "*.nextmx" + T),
    hosts=[Host("mx1", 5, cert=untrusted), Host("mx2", 10)])
row("allfail", "all hosts fail, each in its way",
    deferred("certificate-not-trusted"),
    policy=enforce("allfail", "*.allfail" + T),
    hosts=[Host("mx1", 5, cert=untrusted), Host("mx2", 10, kind=NoTls)])
row("mixed", "one host is not named, the other does not prove itself",
    deferred("certificate-not-trusted", mx="mx2.mixed" + T),
    policy=enforce("mixed", "mx2.mixed" + T),
    hosts=[Host("mx1", 5), Host("mx2", 10, cert=untrusted)])
row("upper", "the MX in capitals", delivered(**STS), policy=enforce("upper"),
    mx=["10 MX.UPPER.T.EXAMPLE."])
row("literal", "an MX that is an address in letters is a name, and no host",
    deferred("dns-error"), hosts=[], mx=["10 192.0.2.1."])
row("refuse5", "STARTTLS refused for good is no verdict on the message",
    deferred("starttls-not-supported", "4.7.5"), policy=enforce("refuse5"),
    hosts=[Host(kind=Refuse5)])
row("ehlo5", "EHLO refused for good is no verdict on the message (5.1)",
    deferred("remote-5xx"), policy=enforce("ehlo5"), hosts=[Host(kind=Ehlo5)])

# Modes testing and none.
row("testok", "testing: kept", delivered("webpki", "testing"),
    policy=testing("testok"))
row("testmx", "testing: the MX is not named, and that is logged",
    delivered("webpki", "testing", sts_failure="sts-mx-mismatch"),
    policy=testing("testmx", "mx.elsewhere.example"))
row("teststrip", "testing never lowers the level",
    deferred("starttls-not-supported"), policy=testing("teststrip"),
    hosts=[Host(kind=NoTls)])
row("testopp", "testing under opportunistic: in the clear, and noted",
    delivered("none", "testing", clear=True,
              sts_failure="starttls-not-supported",
              would_defer="starttls-not-supported"),
    policy=testing("testopp"), hosts=[Host(kind=NoTls)], conf=OPP)
row("none", "none: as if there were no policy", delivered("webpki", "none"),
    policy=none())
row("nonemx", "none with patterns that do not match binds nothing",
    delivered("webpki", "none"), policy=policy_text("none", "x.example"))

# Levels.
row("require", "require: web PKI", delivered("webpki"))
row("reqexp", "require: expired", deferred("certificate-expired", "4.7.5"),
    hosts=[Host(cert=expired)])
row("strict", "strict: an enforce policy", delivered(**STS),
    policy=enforce("strict"), conf=STRICT)
row("strictno", "strict: no policy", deferred("no-policy", "4.7.5"),
    conf=STRICT)
row("stricttest", "strict: testing is not enough",
    deferred("no-policy", policy="testing"), policy=testing("stricttest"),
    conf=STRICT)
row("strictnone", "strict: none is not enough",
    deferred("no-policy", policy="none"), policy=none(), conf=STRICT)
row("strict404", "strict: announced, but not there",
    deferred("sts-policy-fetch-error", "4.7.5"), txt=['"v=STSv1; id=1;"'],
    conf=STRICT)
row("strictbad", "strict: announced, but invalid",
    deferred("sts-policy-invalid", "4.7.5"), policy="version: STSv1\n",
    conf=STRICT)
row("strictcert", "strict: the policy host's certificate is not trusted",
    deferred("sts-webpki-invalid", "4.7.5"), policy=enforce("strictcert"),
    conf=STRICT, extra=lambda s, r: s.web.certify(
        r.domain, s.lab.bad_ca.issue("mta-sts." + r.domain)))
row("req404", "require: announced, but not there: as without",
    delivered("webpki"), txt=['"v=STSv1; id=1;"'])
row("oppgood", "opportunistic: all is well", delivered("webpki"), conf=OPP)
row("oppplain", "opportunistic: in the clear",
    delivered("none", clear=True, would_defer="starttls-not-supported"),
    hosts=[Host(kind=NoTls)], conf=OPP)
row("oppcert", "opportunistic: encrypted, though the host proves nothing",
    delivered("none", would_defer="certificate-not-trusted"),
    hosts=[Host(cert=untrusted)], conf=OPP)
row("oppname", "opportunistic: a certificate for another name",
    delivered("none", would_defer="certificate-host-mismatch"),
    hosts=[Host(cert=other)], conf=OPP)
row("opprefuse", "opportunistic: STARTTLS refused",
    delivered("none", clear=True, would_defer="starttls-not-supported"),
    hosts=[Host(kind=attacker.Refuse)], conf=OPP)
row("oppreset", "opportunistic: a handshake that breaks",
    delivered("none", clear=True, would_defer="validation-failure"),
    hosts=[Host(kind=attacker.Reset)], conf=OPP)
row("opphash", "opportunistic: an enforce policy binds all the same",
    deferred("starttls-not-supported"), policy=enforce("opphash"),
    hosts=[Host(kind=NoTls)], conf=OPP)
row("oppmx", "opportunistic: an enforce policy and another MX",
    deferred("sts-mx-mismatch"), policy=enforce("oppmx", "x.example"),
    conf=OPP)
row("oppend", "opportunistic that has ended is require",
    deferred("starttls-not-supported"), hosts=[Host(kind=NoTls)],
    conf='\ttls opportunistic until 2026-01-01 because "over"')

# via: the policy domain is the fixed host's (RFC 8461 3.4).
row("via", "via: the recipient domain's policy does not matter",
    delivered("webpki", route="secure", mx="fixed.via" + T),
    policy=enforce("via", "x.example"), hosts=[Host("fixed")],
    mx=["10 nowhere.example."], conf="\tvia fixed.via" + T + " port 25")
row("viacert", "via: the certificate must name the fixed host",
    deferred("certificate-host-mismatch"),
    hosts=[Host("fixed", cert=other)],
    conf="\tvia fixed.viacert" + T + " port 25")
row("viasts", "via: the fixed host's own policy binds",
    deferred("sts-mx-mismatch"), hosts=[Host("@")], mx=["10 x.example."],
    policy=enforce("viasts", "x.example"),
    conf="\tvia viasts" + T + " port 25")

# Private addresses, in all their forms.
PRIVATE = [
    ("this", "A", "0.0.0.0"), ("ten", "A", "10.1.2.3"),
    ("cgn", "A", "100.64.0.1"), ("loop", "A", "127.0.0.53"),
    ("link", "A", "169.254.169.254"), ("twelve", "A", "172.31.255.1"),
    ("one92", "A", "192.168.255.255"), ("multi", "A", "224.0.0.1"),
    ("resv", "A", "250.1.1.1"), ("bcast", "A", "255.255.255.255"),
    ("unspec6", "AAAA", "::"), ("loop6", "AAAA", "::1"),
    ("ula", "AAAA", "fd12::1"), ("link6", "AAAA", "fe80::1"),
    ("multi6", "AAAA", "ff02::1"), ("mapped", "AAAA", "::ffff:10.0.0.1"),
    ("nat64", "AAAA", "64:ff9b::7f00:1"),
    ("sixtofour", "AAAA", "2002:c0a8:0101::1"),
]
for name, kind, address in PRIVATE:
    row("p" + name, "an MX at %s is not contacted" % address,
        deferred("private-address", "4.4.4"),
        hosts=[Host(real=False, records=[(kind, address)])])
row("pmix", "an MX with a private and a public address: the public one",
    delivered("webpki"), hosts=[Host()], extra=lambda s, r: s.set(
        r, "mx." + r.domain, "AAAA", "fd00::1"))
row("ppolicy", "a policy host at a private address is not contacted",
    deferred("private-address"), policy=enforce("ppolicy"), conf=STRICT,
    policy_address="10.0.0.80")
row("ppolicy2", "a policy host at a private address: as if none, by require",
    delivered("webpki"), policy=enforce("ppolicy2"),
    policy_address="127.0.0.1")


def make():
    return Lab(())


def start(lab):
    scene = Scene(lab)
    table.build(scene)
    scene.start()
    scene.send_all()


table.cases()


@case("SNI is the MX host's name (RFC 8461 7.1)")
def _(lab):
    for name in ("match", "require"):
        host = table.scene.all[name].hosts[0]
        equal(set(host.sinks[0].snis), {host.full(
            table.scene.all[name].domain)})


@case("a host that does not match is never contacted, though it comes first")
def _(lab):
    equal(table.scene.all["second"].hosts[0].sinks[0].sessions, 0)


@case("a detail of several hosts names each")
def _(lab):
    detail = queue("--domain", "allfail" + T)[0]["detail"]
    for word in ("mx1.allfail", "mx2.allfail", "starttls-not-supported"):
        true(word in detail, "%s in %r" % (word, detail))


@case("details name what was found and the lines of an exception, once")
def _(lab):
    for name, words in (
            ("mismatch", ["mx.elsewhere.example", "via HOST"]),
            ("strict404", ["404", "tls require"]),
            ("strictbad", ["policy is invalid: it has no mode", "tls require"]),
            ("strictno", ["tls require"]),
            ("stricttest", ["tls require"]),
            ("reqexp", ["2025-02-01", "tls opportunistic until"]),
            ("ppolicy", ["10.0.0.80", "mta-sts.ppolicy"]),
            ("pten", ["allow private 10.1.2.3"]),
            ("teststrip", ["does not offer STARTTLS",
                           "destination teststrip" + T]),
            ("refuse5", ["no TLS for you"])):
        detail = queue("--domain", name + T)[0]["detail"]
        for word in words:
            true(word in detail, "%s in %r" % (word, detail))
        if name != "ppolicy":  # of the policy host, and of the level
            true(detail.count("`") <= 2, "one exception in %r" % detail)


@case("a redirect, a strict level or an attack never made a bounce")
def _(lab):
    equal(lab.sealpostd.events("bounced"), [])


main(make, start)
