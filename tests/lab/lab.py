"""The lab as one object: a small Internet around an installed Sealpost.

    lab = Lab()                 enters the private world
    lab.domain("a.example")     names, certificates, policies
    lab.start()                 DNS, nginx, MXs, Sealpost
    with lab.attack("a.example", attacker.Strip) as strip: ...

Domains whose MX is Postfix each have an MX host and address of their own.
"""

import contextlib
import os
import pwd
import socket

import attacker
import ca
import daemon
import mx
import space
import web
from dns import DNS
from sink import Sink
from space import keep, put, wait_until, RUN, TOP

POLICY = "version: STSv1\r\nmode: %s\r\nmx: %s\r\nmax_age: %d\r\n"


class Domain:
    """A recipient domain: where its mail goes and what it announces."""

    def __init__(self, name, host, address, server):
        self.name = name
        self.host = host
        self.address = address
        self.server = server
        self.mode = None
        self.serial = 0


class Lab:
    """Everything of one run; dies with the process."""

    def __init__(self, servers=("postfix",), ttl=1):
        space.enter()
        self.net = space.Net()
        self.ca = ca.CA("good")
        self.bad_ca = ca.CA("attacker")
        ca.trust(self.ca)
        self.dns = DNS(self.net, ttl)
        self.web = web.Web(self.net)
        self.domains = {}
        self.servers = {}
        for kind in (mx.Postfix, mx.Exim, mx.OpenSMTPD):
            if kind.name in servers:
                self.servers[kind.name] = kind(self.net)
        self.sealpostd = None
        self.private_host()

    def private_host(self):
        """Names and people of the machine that Sealpost runs on."""
        put("/etc/hostname", "relay.example.org\n")
        put("/etc/hosts", "127.0.0.1 localhost\n"
            "192.0.2.10 relay.example.org relay\n::1 localhost\n")
        if os.path.lexists("/etc/resolv.conf"):
            os.unlink("/etc/resolv.conf")
        put("/etc/resolv.conf", "nameserver 127.0.0.1\n")
        put("/etc/aliases", "root: admin@plain.example\n")
        socket.sethostname("relay.example.org")
        for name, uid in (("carol", 7201), ("dave", 7202)):
            try:
                pwd.getpwnam(name)
            except KeyError:
                with open("/etc/passwd", "a") as passwd:
                    passwd.write("%s:x:%d:%d:%s:/tmp:/bin/sh\n" % (
                        name, uid, uid, name.capitalize()))
                with open("/etc/group", "a") as group:
                    group.write("%s:x:%d:\n" % (name, uid))

    # Building the Internet.

    def domain(self, name, server="postfix", policy=None, signed=False,
               host=None, address=None, ipv6=False, dane=False):
        """A domain with one MX; policy is a mode, or None for none."""
        host = host or "mx." + name
        if address is None:
            address = self.servers[server].address
            if server == "postfix":
                used = [d.address for d in self.domains.values()]
                address = [a for a in self.servers[server].addresses[1:]
                           if a not in used][0]
        domain = Domain(name, host, address, server)
        self.domains[name] = domain
        self.dns.add(name, signed)
        self.dns.set(name, "@", "MX", "10 %s." % host)
        if host.endswith("." + name):
            self.dns.set(name, host + ".", "A", address)
            if ipv6 and self.net.ipv6 and server == "postfix":
                self.dns.set(name, host + ".", "AAAA",
                             self.servers[server].address6)
        self.dns.set(name, "mta-sts.%s." % name, "A", web.ADDRESS)
        if self.net.ipv6:
            self.dns.set(name, "mta-sts.%s." % name, "AAAA", web.ADDRESS6)
        self.web.site(name, self.ca.issue("mta-sts." + name))
        if policy:
            self.announce(name, policy)
        elif self.dns.running:
            self.dns.publish(name)
        return domain

    def announce(self, name, mode, patterns=None, max_age=86400, body=None,
                 txt=None):
        """Publish or replace a policy: the body, then the TXT record."""
        domain = self.domains[name]
        domain.mode = mode
        domain.serial += 1
        text = POLICY % (mode, "\r\nmx: ".join(patterns or [domain.host]),
                         max_age) if body is None else body
        self.web.body(name, text)
        self.dns.set(name, "_mta-sts.%s." % name, "TXT", *(
            txt or ['"v=STSv1; id=%d;"' % domain.serial]))
        if self.dns.running:
            self.dns.publish(name)

    def withdraw(self, name, txt=True, body=True):
        """Take away the TXT record, the body, or both."""
        if txt:
            self.dns.set(name, "_mta-sts.%s." % name, "TXT")
            if self.dns.running:
                self.dns.publish(name)
        if body:
            self.web.body(name, None)

    def sink(self, name, policy=None, kind=Sink, cert=None, address=None,
             **facts):
        """A domain whose MX is a scripted server of the honest Internet."""
        address = address or "198.51.100.%d" % (
            200 + len([d for d in self.domains.values()
                       if d.server == "sink"]))
        host = "mx." + name
        server = kind(self.net, "internet", address,
                      cert or self.ca.issue(host), host)
        self.domain(name, "sink", policy, host=host, address=address, **facts)
        return server

    def start(self, conf=None, flags=(), sealpostd=True):
        """Start all servers and, unless told otherwise, Sealpost."""
        self.dns.start()
        self.web.start()
        for name, server in self.servers.items():
            hosts = [d.host for d in self.domains.values()
                     if d.server == name] or ["mx.%s.example" % name]
            cert = self.ca.issue(*hosts, kind="rsa" if name == "exim"
                                 else "leaf")
            if name == "postfix":
                server.start(cert)
            else:
                server.start(cert, hosts[0])
        if sealpostd:
            self.install()
            self.sealpostd.configure(conf if conf is not None else "")
            self.sealpostd.start(*flags)

    def install(self):
        daemon.install()
        self.sealpostd = daemon.Daemon()

    # Attacks.

    def attacker_cert(self, *names):
        """A certificate of the attacker's own authority."""
        return self.bad_ca.issue(*names)

    @contextlib.contextmanager
    def attack(self, name, kind=attacker.Strip, cert=None, address=None):
        """While it lasts, packets for the domain's MX reach an attacker.

        It begins when no connection is open that the attacker would only
        cut: the next one shall be theirs from its first packet.
        """
        domain = self.domains[name]
        address = address or domain.address
        wait_until("connections to %s to close" % address,
                   lambda: not self.net.connected(address))
        villain = kind(self.net, "mallory", address,
                       cert or self.attacker_cert(domain.host), domain.host)
        self.net.divert(address)
        try:
            yield villain
        finally:
            self.net.restore(address)
            villain.stop()

    nothing = staticmethod(contextlib.nullcontext)

    def spoof_mx(self, name, host):
        """Answer with this MX host from now on."""
        self.dns.set(name, "@", "MX", "10 %s." % host)
        self.dns.publish(name)
        wait_until("the MX to be " + host,
                   lambda: self.dns.ask(name, "MX") == ["10 %s." % host])

    # Afterwards.

    def save(self, folder):
        """Copy logs and transcripts to where they outlive the run."""
        for name in os.listdir(RUN):
            if name.endswith(".log"):
                keep("%s/%s" % (RUN, name), folder)
        keep(RUN + "/transcripts", folder)
        for path in ("/var/log/postfix.log", "/var/log/nginx",
                     "/var/log/exim4"):
            keep(space.in_root(path), folder)

    def evidence(self):
        """What to print when a test failed."""
        out = ""
        if self.sealpostd:
            out += "--- sealpostd's log ends\n%s\n" % self.sealpostd.tail()
        folder = RUN + "/transcripts"
        files = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        for name in files[-2:]:
            with open("%s/%s" % (folder, name)) as transcript:
                out += "--- %s ends\n%s" % (name, "".join(
                    transcript.readlines()[-25:]))
        return out


def logs_folder(name):
    """Where a run that failed leaves its logs."""
    return os.path.join(TOP, "build", "logs", name)
