"""Knot as signing authority for a small tree of zones, Unbound validating.

The root zone is ours and signed; every domain is a zone of its own below it,
signed (a DS in the root), unsigned, or bogus (a DS that fits no key). Records
live one second unless told otherwise, so that a change is seen at once.
"""

import os
import re

from space import in_root, put, wait_until, LabError, RUN

SERVER = "203.0.113.53"
KNOT = 7106
SOA = "@ 1 SOA ns.lab. hostmaster.lab. 1 3600 600 86400 1\n@ 1 NS ns.lab.\n"


class Zone:
    """Records of one zone; signed is True, False or "bogus"."""

    def __init__(self, name, signed):
        self.name = name
        self.signed = signed
        self.records = {}
        self.ds = []

    def text(self, ttl):
        lines = ["$ORIGIN %s.\n" % self.name.rstrip("."), SOA]
        for (owner, kind), datas in self.records.items():
            lines += ["%s %d %s %s\n" % (owner, ttl, kind, d) for d in datas]
        return "".join(lines).replace("$ORIGIN ..", "$ORIGIN .")


class DNS:
    """Both servers, and the helpers that change what they answer."""

    def __init__(self, net, ttl=1):
        self.net = net
        self.ttl = ttl
        for path in ("/var/lib/knot", "/run/knot"):
            os.makedirs(in_root(path), exist_ok=True)
            os.chown(in_root(path), KNOT, KNOT)
        self.zones = {".": Zone(".", True)}
        self.set(".", "ns.lab.", "A", SERVER)
        self.running = False

    def add(self, name, signed=False):
        """A new zone; call publish() or start() afterwards."""
        zone = self.zones[name] = Zone(name, signed)
        self.set(".", name + ".", "NS", "ns.lab.")
        if signed:
            self.keys(zone)
        if self.running:
            self.write_file(zone)
            self.write_conf()
            self.knotc("reload")
            self.write_file(self.zones["."])
            self.knotc("zone-reload", ".")
            wait_until("zone " + name, lambda: self.ask(name, "SOA"))

    def keys(self, zone):
        self.write_conf()
        self.keymgr(zone.name, "generate", "algorithm=ECDSAP256SHA256",
                    "ksk=yes", "zsk=yes")
        out = self.keymgr(zone.name, "ds").stdout
        zone.ds = re.findall(r" DS (\d+ \d+ 2 [0-9a-fA-F]+)", out)
        if zone.name != ".":
            ds = zone.ds
            if zone.signed == "bogus":
                ds = ["%s %s" % (d.rsplit(" ", 1)[0], "00" * 32) for d in ds]
            self.set(".", zone.name + ".", "DS", *ds)

    def keymgr(self, *args):
        return self.net.run("internet", "keymgr", "-c", "/etc/knot/knot.conf",
                            *args, user="knot")

    def set(self, zone, owner, kind, *datas):
        """Replace one RRset (no data: remove it); publish() shows it."""
        records = self.zones[zone].records
        records.pop((owner, kind), None)
        if datas:
            records[(owner, kind)] = list(datas)

    def publish(self, *names):
        """Load the records of these zones into the running server."""
        for name in names:
            self.write_file(self.zones[name])
            self.knotc("-b", "zone-reload", name)

    def write_file(self, zone):
        put(in_root("/var/lib/knot/%szone" % self.file(zone.name)),
            zone.text(self.ttl))

    def file(self, name):
        return "root." if name == "." else name + "."

    def write_conf(self):
        out = CONF
        for zone in self.zones.values():
            out += " - domain: %s\n   file: %szone\n" % (
                zone.name if zone.name == "." else zone.name + ".",
                self.file(zone.name))
            if zone.signed:
                out += "   dnssec-signing: on\n   dnssec-policy: lab\n"
        put(in_root("/etc/knot/knot.conf"), out)

    def start(self):
        for zone in self.zones.values():
            if zone.signed and not zone.ds:
                self.keys(zone)
        for zone in self.zones.values():
            self.write_file(zone)
        self.write_conf()
        self.net.start("internet", RUN + "/knot.log", "knotd", "-c",
                       "/etc/knot/knot.conf")
        anchor = "".join("  trust-anchor: \". DS %s\"\n" % d
                         for d in self.zones["."].ds)
        put(in_root("/etc/unbound/root.hints"),
            ". 3600 IN NS ns.lab.\nns.lab. 3600 IN A %s\n" % SERVER)
        put(in_root("/etc/unbound/lab.conf"), UNBOUND % self.ttl + anchor)
        self.start_resolver()
        self.running = True
        for name in self.zones:
            if self.zones[name].signed != "bogus":
                wait_until("zone " + name, lambda: self.ask(name, "SOA"), 20)

    def start_resolver(self):
        self.unbound = self.net.start("host", RUN + "/unbound.log", "unbound",
                                      "-c", "/etc/unbound/lab.conf")

    def stop_resolver(self):
        self.unbound.kill()
        self.unbound.wait()

    def knotc(self, *args):
        return self.net.run("internet", "knotc", "-c", "/etc/knot/knot.conf",
                            *args)

    def ask(self, name, kind):
        """The resolver's answers, as text lines; [] for none or failure."""
        done = self.net.run("host", "kdig", "+short", "+timeout=1",
                            "+retry=0", "@127.0.0.1", name, kind, check=False)
        if done.returncode != 0:
            return []
        return [l for l in done.stdout.split("\n") if l and l[0] != ";"]

    def header(self, name, kind):
        """Status and flags of the resolver's answer: "NOERROR qr rd ra"."""
        out = self.net.run("host", "kdig", "+dnssec", "+timeout=2",
                           "@127.0.0.1", name, kind, check=False).stdout
        found = re.search(r"status: (\w+);.*?Flags: ([a-z ]+);", out, re.S)
        if not found:
            raise LabError("kdig %s %s:\n%s" % (name, kind, out))
        return "%s %s" % found.groups()


CONF = """server:
  rundir: /run/knot
  user: knot:knot
  listen: %s@53
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
log:
 - target: stderr
   any: notice
database:
  storage: /var/lib/knot
policy:
 - id: lab
   manual: on
   algorithm: ECDSAP256SHA256
   single-type-signing: on
   dnskey-ttl: 1
   zone-max-ttl: 3600
   rrsig-lifetime: 14d
   rrsig-refresh: 7d
template:
 - id: default
   storage: /var/lib/knot
   zonefile-load: difference-no-serial
   zonefile-sync: -1
   journal-content: all
   semantic-checks: off
zone:
""" % SERVER

UNBOUND = """server:
  interface: 127.0.0.1
  access-control: 127.0.0.0/8 allow
  do-daemonize: no
  username: unbound
  chroot: ""
  directory: /etc/unbound
  pidfile: ""
  use-syslog: no
  logfile: ""
  root-hints: /etc/unbound/root.hints
  num-threads: 1
  cache-max-ttl: %d
  cache-max-negative-ttl: 1
  infra-host-ttl: 1
  val-bogus-ttl: 1
  key-cache-size: 64k
  qname-minimisation: no
  local-zone: "test." transparent
  module-config: "validator iterator"
"""
