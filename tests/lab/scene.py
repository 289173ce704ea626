"""Many recipient domains at once, each a scene: DNS, a policy, mail hosts.

    scene = Scene(lab)
    scene.add("mismatch", policy=enforce("mx.other.example"))
    scene.start(conf)             the lab with all of them, one message each
    scene.event("mismatch")       what became of the message
    scene.check("mismatch")       what `sealpost check` says of it

A scene's domain is NAME.ZONE; zones are "t.example" (unsigned), "sec.example"
(signed) and "bog.example" (bogus). Its policy, if any, comes from one
PolicyHost. All honest hosts share one good certificate.
"""

import concurrent.futures
import json

import policyhost
from daemon import sealpost, sendmail
from sink import Sink
from space import wait_until

POLICY = "version: STSv1\r\nmode: %s\r\n%smax_age: %d\r\n"


def policy_text(mode, *patterns, max_age=86400):
    return POLICY % (mode, "".join("mx: %s\r\n" % p for p in patterns),
                     max_age)


class Host:
    """A mail host of a scene: "mx" is its name below the domain, or whole."""

    def __init__(self, name="mx", pref=10, kind=Sink, cert=None, addresses=1,
                 tlsa=(), real=True, cname=None, records=(), port=25):
        self.name, self.pref, self.kind, self.cert = name, pref, kind, cert
        self.count, self.tlsa, self.real = addresses, tlsa, real
        self.cname, self.records, self.port = cname, records, port
        self.sinks = []
        self.addresses = []

    def full(self, domain):
        if self.name == "@":
            return domain
        if "." in self.name:
            return self.name
        return self.name + "." + domain


class Scene:
    def __init__(self, lab, first=(198, 51, 100, 30)):
        self.lab = lab
        self.all = {}
        self.next = list(first)
        self.zones = {"t.example": False, "sec.example": True,
                      "bog.example": "bogus"}
        self.marks = {}

    def add(self, name, policy=None, hosts=None, zone="t.example", conf="",
            mx=None, txt=None, records=(), policy_address=None, extra=None,
            send=True):
        """policy is a body or None; mx replaces the MX records."""
        domain = name + "." + zone
        self.all[name] = self.Row(domain, policy, [Host()] if hosts is None
                                  else hosts, zone, conf, mx, txt, records,
                                  policy_address, extra, send)
        return domain

    class Row:
        def __init__(self, domain, policy, hosts, zone, conf, mx, txt,
                     records, policy_address, extra, send):
            self.domain, self.policy, self.hosts = domain, policy, hosts
            self.zone, self.conf, self.mx, self.txt = zone, conf, mx, txt
            self.records, self.policy_address = records, policy_address
            self.extra, self.send = extra, send

        def leaked(self):
            return any(s.leaked() for h in self.hosts for s in h.sinks)

        def mails(self):
            return [m for h in self.hosts for s in h.sinks for m in s.mails]

        def text(self):
            return "".join(s.text() for h in self.hosts for s in h.sinks)

    def address(self):
        self.next[3] += 1
        if self.next[3] in (53, 80, 81):
            self.next[3] += 1
        if self.next[3] > 250:
            self.next[1:] = [0, 113, 100]
            self.next[0] = 203
        return "%d.%d.%d.%d" % tuple(self.next)

    # Building.

    def build(self):
        lab = self.lab
        for zone, signed in self.zones.items():
            if any(r.zone == zone for r in self.all.values()):
                lab.dns.add(zone, signed)
        names = sorted({h.full(r.domain) for r in self.all.values()
                        for h in r.hosts} | {r.domain
                                             for r in self.all.values()})
        self.good = lab.ca.issue(*names)
        self.web = policyhost.PolicyHost(lab.net, cert=lab.ca.issue(
            *["mta-sts." + r.domain for r in self.all.values()]))
        for row in self.all.values():
            self.build_row(row)

    def set(self, row, owner, kind, *data):
        zone = row.zone
        if not (owner + ".").endswith("." + zone + ".") and owner != zone:
            zone = next((z for z in self.lab.dns.zones if z != "." and
                         owner.endswith("." + z)), row.zone)
        self.lab.dns.set(zone, owner + ".", kind, *data)

    def build_row(self, row):
        if row.mx is not None:
            mx = row.mx
        else:
            mx = ["%d %s." % (h.pref, h.full(row.domain)) for h in row.hosts
                  if h.name != "@"]
        if mx:
            self.set(row, row.domain, "MX", *mx)
        for host in row.hosts:
            self.build_host(row, host)
        for owner, kind, data in row.records:
            self.set(row, owner, kind, data)
        if row.policy is not None or row.txt is not None:
            self.set(row, "_mta-sts." + row.domain, "TXT", *(
                row.txt or ['"v=STSv1; id=1;"']))
            self.set(row, "mta-sts." + row.domain, "A",
                     row.policy_address or policyhost.ADDRESS)
        if row.policy is not None:
            self.web.answer(row.domain, row.policy)
        if row.extra:
            row.extra(self, row)

    def build_host(self, row, host):
        lab, name = self.lab, host.full(row.domain)
        cert = host.cert
        if callable(cert):
            cert = cert(lab, name)
        cert = cert or self.good
        for _ in range(host.count if host.real else 0):
            address = self.address()
            host.addresses.append(address)
            host.sinks.append(host.kind(lab.net, "internet", address, cert,
                                        name, host.port))
        owner = name
        if host.cname:
            self.set(row, name, "CNAME", host.cname + ".")
            owner = host.cname
        if host.addresses:
            self.set(row, owner, "A", *host.addresses)
        for kind, data in host.records:
            self.set(row, owner, kind, data)
        by_owner = {}
        for record in host.tlsa:
            at, data = record(self, cert, name) if callable(record) else (
                name, record)
            by_owner.setdefault(at, []).append(data)
        for at, data in by_owner.items():
            self.set(row, "_%d._tcp.%s" % (host.port, at), "TLSA", *data)

    def conf(self):
        return "".join("destination %s {\n%s\n}\n" % (r.domain, r.conf)
                       for r in self.all.values() if r.conf)

    def start(self, conf=""):
        self.build()
        self.lab.start(conf + self.conf())

    # Doing.

    def send(self, name, user="bob"):
        """One more message; waits for nothing."""
        domain = self.all[name].domain
        self.marks[name] = self.lab.sealpostd.mark()
        done = sendmail("-f", "carol@relay.example.org", user + "@" + domain,
                        text=b"Subject: %s\n\nthe secret\n" % name.encode())
        if done.code:
            raise RuntimeError(repr(done))

    def send_all(self):
        for name, row in self.all.items():
            if row.send:
                self.send(name)

    def event(self, name, seconds=30):
        """The first outcome logged for the last message sent."""
        to = "@%s>" % self.all[name].domain

        def outcome():
            return [e for e in self.lab.sealpostd.events(
                since=self.marks[name]) if e["event"] in (
                    "delivered", "deferred", "bounced") and
                    e["to"].endswith(to)]
        return wait_until("an outcome for " + name, outcome, seconds)[0]

    def check(self, name):
        done = sealpost("check", "bob@" + self.all[name].domain, "--json")
        return done.code, json.loads(done.out)

    def check_all(self, names):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            return dict(zip(names, pool.map(self.check, names)))

    def policy(self, name, *args):
        """`sealpost policy --json`."""
        done = sealpost("policy", self.all[name].domain, "--json", *args)
        if done.code:
            raise RuntimeError(repr(done))
        return json.loads(done.out)

    def publish(self, name, txt=None, body=None):
        """Change a policy and its TXT record in the running world."""
        row = self.all[name]
        if body is not None:
            self.web.answer(row.domain, body)
        if txt is not None:
            self.set(row, "_mta-sts." + row.domain, "TXT", *txt)
            self.lab.dns.publish(row.zone)
            wait_until("the TXT record", lambda: sorted(self.lab.dns.ask(
                "_mta-sts." + row.domain, "TXT")) == sorted(txt))
