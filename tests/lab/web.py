"""nginx as the HTTPS host of MTA-STS policies."""

import os

from space import in_root, put, wait_until, RUN

ADDRESS, ADDRESS6 = "203.0.113.80", "2001:db8:180::80"


class Web:
    """One virtual server a domain; bodies are files, read at each request."""

    def __init__(self, net):
        self.net = net
        self.sites = {}
        self.more = ""  # of nginx's language, for its http block
        self.master = None

    def site(self, domain, cert, extra=""):
        """Serve mta-sts.DOMAIN with this (chain, key); extra is nginx's."""
        self.sites[domain] = (cert, extra)
        if self.master is not None:
            self.reload()

    def body(self, domain, text):
        """Publish a policy body, as it stands; None: answer 404."""
        path = in_root("/var/www/%s/.well-known/mta-sts.txt" % domain)
        if text is not None:
            put(path, text)
        elif os.path.exists(path):
            os.unlink(path)

    def write(self):
        v6 = self.net.ipv6
        out = CONF % {"listen6": "listen [%s]:443 ssl default_server;"
                      % ADDRESS6 if v6 else "", "v4": ADDRESS}
        for domain, (cert, extra) in self.sites.items():
            out += SITE % {"domain": domain, "chain": cert[0], "key": cert[1],
                           "extra": extra, "v4": ADDRESS, "listen6":
                           "listen [%s]:443 ssl http2;" % ADDRESS6
                           if v6 else ""}
        put(in_root("/etc/nginx/lab.conf"), out + self.more + "}\n")

    def start(self):
        self.write()
        self.master = self.net.start("internet", RUN + "/nginx.log", "nginx",
                                     "-c", "/etc/nginx/lab.conf")
        wait_until("nginx", self.workers)

    def workers(self):
        path = "/proc/%d/task/%d/children" % (self.master.pid,
                                              self.master.pid)
        with open(path) as children:
            return children.read().split()

    def reload(self):
        before = self.workers()
        self.write()
        os.kill(self.master.pid, 1)
        wait_until("nginx to reload", lambda: set(self.workers()) and
                   not set(self.workers()) & set(before))

    def fetches(self, domain):
        """Status codes of the requests for a domain's policy so far."""
        with open(in_root("/var/log/nginx/access.log")) as log:
            lines = [line.split() for line in log]
        return [int(l[1]) for l in lines if l[0] == "mta-sts." + domain]


CONF = """daemon off;
user www-data;
worker_processes 1;
worker_shutdown_timeout 1s;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log;
events { worker_connections 512; }
http {
log_format lab "$host $status $request_uri $server_protocol";
access_log /var/log/nginx/access.log lab;
default_type text/plain;
ssl_protocols TLSv1.2 TLSv1.3;
server {
  listen %(v4)s:443 ssl default_server;
  %(listen6)s
  ssl_reject_handshake on;
}
"""

SITE = """server {
  listen %(v4)s:443 ssl http2;
  %(listen6)s
  server_name mta-sts.%(domain)s;
  ssl_certificate %(chain)s;
  ssl_certificate_key %(key)s;
  root /var/www/%(domain)s;
  %(extra)s
}
"""
