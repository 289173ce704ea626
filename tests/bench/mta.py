"""Those that are measured, Sealpost and Postfix, and what they use."""

import os
import re
import signal
import socket
import tempfile
import threading
import time

import mx
import space
from daemon import SPOOL, sealpost
from space import LabError, call, in_root, put, wait_until

TICK = os.sysconf("SC_CLK_TCK")


def children(pids):
    """These processes and all that descend from them."""
    found, fresh = [], list(pids)
    while fresh:
        found += fresh
        following = []
        for p in fresh:
            try:
                for task in os.listdir("/proc/%d/task" % p):
                    with open("/proc/%d/task/%s/children" % (p, task)) as f:
                        following += [int(c) for c in f.read().split()]
            except OSError:
                continue
        fresh = following
    return found


def cpu_seconds(pids):
    """Used by the whole family, by those that ended too."""
    ticks = 0
    for member in children(pids):
        try:
            with open("/proc/%d/stat" % member) as stat:
                ticks += sum(int(t) for t in stat.read().rsplit(
                    ")", 1)[1].split()[11:15])
        except OSError:
            continue
    return ticks / TICK


def memory_mib(pids):
    """Proportional set size of the whole family."""
    total = 0
    for member in children(pids):
        try:
            with open("/proc/%d/smaps_rollup" % member) as rollup:
                total += int(re.search(r"^Pss:\s+(\d+)", rollup.read(),
                                       re.M)[1])
        except (OSError, TypeError):
            continue
    return total / 1024


class Peak(threading.Thread):
    """The most memory that a family held while the block ran."""

    def __init__(self, pids):
        super().__init__()
        self.pids, self.mib, self.over = pids, 0, threading.Event()

    def run(self):
        while not self.over.wait(0.1):
            self.mib = max(self.mib, memory_mib(self.pids))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()


class Sealpost:
    """What is measured."""

    name, port = "sealpost", 25

    def __init__(self, lab):
        self.lab = lab

    def pids(self):
        return [self.lab.sealpostd.process.pid]

    def deliver(self, on):
        done = sealpost("resume" if on else "pause")
        if done.code != 0:
            raise LabError(repr(done))

    def clear(self):
        sealpost("remove", "all", "--yes", seconds=300)

    def pile_up(self, fill):
        """Call fill() while nothing is delivered, then stop."""
        self.deliver(False)
        fill()
        self.stop()

    def stop(self):
        self.lab.sealpostd.stop(30)

    def start(self):
        """With a new log: whoever waits for a line of it reads it all."""
        log = self.lab.sealpostd.log
        os.replace(log, log + ".before")
        self.lab.sealpostd.start()

    def forget(self):
        """Start anew, knowing no policy."""
        self.lab.sealpostd.stop(30)
        # Set aside, not removed: for minutes ext4 passes over the inodes of
        # removed files, one by one, whenever it makes a new one.
        os.rename(SPOOL + "/policy", tempfile.mkdtemp(dir=SPOOL))
        self.start()


class Postfix:
    """The peer; tuned: more processes, reused connections, no delays."""

    name, port = "postfix", 2525

    def __init__(self, lab):
        self.lab = lab
        self.resolver = None
        server = mx.Postfix(lab.net)
        spool = in_root("/var/spool/postfix")
        server.make_spool(spool)
        with open("/etc/ssl/certs/ca-certificates.crt") as bundle:
            put(in_root("/etc/ssl/certs/lab.pem"), bundle.read())
        self.start()

    def start(self, tuned=True, sends=True):
        """With Debian's defaults unless tuned; or a queue that only grows."""
        put(in_root("/etc/postfix/main.cf"),
            PEER_CF + (TUNED_CF if tuned else ""))
        put(in_root("/etc/postfix/master.cf"), "".join(
            line + "\n" for line in mx.MASTER_CF.splitlines()
            if sends or not line.startswith("qmgr ")) +
            "127.0.0.1:2525 inet n - n - %s smtpd\n" % (
                "200" if tuned else "-"))
        self.master = self.lab.net.start(
            "host", "/run/lab/peer.log", "/usr/lib/postfix/sbin/master",
            "-d", "-c", "/etc/postfix")
        wait_until("the peer to greet", lambda: greets(self.port), 60)

    def stop(self):
        family = children([self.master.pid])
        for p in family:
            try:
                os.kill(p, signal.SIGTERM)
            except ProcessLookupError:
                pass
        self.master.wait(30)
        wait_until("the peer to end", lambda: not any(
            os.path.exists("/proc/%d" % p) for p in family), 30)

    def pids(self):
        # nsenter and chroot become master by exec.
        return [self.master.pid] + (
            [self.resolver.pid] if self.resolver else [])

    def set(self, *lines):
        call(["chroot", space.ROOT, "postconf", "-e"] + list(lines))
        os.kill(self.master.pid, 1)

    def deliver(self, on):
        self.set("defer_transports=" + ("" if on else "smtp"))
        if on:
            self.lab.net.run("host", "postqueue", "-f", check=False)

    def clear(self):
        self.lab.net.run("host", "postsuper", "-d", "ALL", check=False)

    def pile_up(self, fill):
        self.stop()
        self.start(sends=False)
        fill()
        self.stop()

    def forget(self):
        """Start anew, knowing no policy but asking for them from now on."""
        self.heed_none()
        put(in_root("/etc/mta-sts-daemon.yml"), RESOLVER_YML)
        self.resolver = self.lab.net.start(
            "host", "/run/lab/resolver.log", "env",
            "SSL_CERT_FILE=/etc/ssl/certs/lab.pem", "mta-sts-daemon")
        wait_until("the resolver of policies", lambda: listens(8461))
        self.set("smtp_tls_security_level=may", "smtp_tls_policy_maps="
                 "socketmap:inet:127.0.0.1:8461:postfix")
        time.sleep(1)  # reads it

    def heed_none(self):
        """As it is in all other rows."""
        if self.resolver:
            self.resolver.kill()
            self.resolver.wait()
            self.resolver = None
            self.set("smtp_tls_security_level=secure", "smtp_tls_policy_maps=")


def greets(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as sock:
            return sock.recv(3) == b"220"
    except OSError:
        return False


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


PEER_CF = """compatibility_level = 3.6
myhostname = relay.example.org
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
maillog_file = /var/log/peer.log
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
smtp_tls_security_level = secure
smtp_tls_secure_cert_match = nexthop, dot-nexthop, hostname
smtp_tls_CAfile = /tmp/ca/good/ca.pem
smtp_tls_session_cache_database = btree:/var/lib/postfix/smtp_scache
"""

TUNED_CF = """smtp_tls_connection_reuse = yes
smtp_connection_cache_on_demand = yes
default_process_limit = 200
qmgr_message_active_limit = 40000
qmgr_message_recipient_limit = 40000
default_destination_concurrency_limit = 20
initial_destination_concurrency = 20
in_flow_delay = 0
"""

# Policies for Postfix: the resolver of Debian, its cache in memory.
RESOLVER_YML = """host: 127.0.0.1
port: 8461
cache:
  type: internal
default_zone:
  strict_testing: false
  timeout: 4
"""
