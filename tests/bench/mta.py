"""Those that are measured, Sealpost and Postfix, and what they use."""

import os
import re
import threading

import mx
import space
from daemon import sealpost
from space import LabError, call, in_root, put

TICK = os.sysconf("SC_CLK_TCK")


def children(pid):
    """A process and all that descend from it."""
    found, fresh = [], [pid]
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


def cpu_seconds(pid):
    """Used by the whole family, by those that ended too."""
    ticks = 0
    for member in children(pid):
        try:
            with open("/proc/%d/stat" % member) as stat:
                ticks += sum(int(t) for t in stat.read().rsplit(
                    ")", 1)[1].split()[11:15])
        except OSError:
            continue
    return ticks / TICK


def memory_mib(pid):
    """Proportional set size of the whole family."""
    total = 0
    for member in children(pid):
        try:
            with open("/proc/%d/smaps_rollup" % member) as rollup:
                total += int(re.search(r"^Pss:\s+(\d+)", rollup.read(),
                                       re.M)[1])
        except (OSError, TypeError):
            continue
    return total / 1024


class Peak(threading.Thread):
    """The most memory that a family held while the block ran."""

    def __init__(self, pid):
        super().__init__()
        self.pid, self.mib, self.over = pid, 0, threading.Event()

    def run(self):
        while not self.over.wait(0.1):
            self.mib = max(self.mib, memory_mib(self.pid))

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

    def pid(self):
        return self.lab.sealpostd.process.pid

    def deliver(self, on):
        done = sealpost("resume" if on else "pause")
        if done.code != 0:
            raise LabError(repr(done))

    def clear(self):
        sealpost("remove", "all", "--yes", seconds=300)


class Postfix:
    """The peer, tuned: more processes, reused connections, no delays."""

    name, port = "postfix", 2525

    def __init__(self, lab):
        self.lab = lab
        server = mx.Postfix(lab.net)
        spool = in_root("/var/spool/postfix")
        server.make_spool(spool)
        put(in_root("/etc/postfix/main.cf"), PEER_CF)
        put(in_root("/etc/postfix/master.cf"),
            mx.MASTER_CF + "127.0.0.1:2525 inet n - n - 200 smtpd\n")
        self.master = lab.net.start(
            "host", "/run/lab/peer.log", "/usr/lib/postfix/sbin/master",
            "-d", "-c", "/etc/postfix")

    def pid(self):
        # nsenter and chroot become master by exec.
        return self.master.pid

    def deliver(self, on):
        call(["chroot", space.ROOT, "postconf", "-e",
              "defer_transports=" + ("" if on else "smtp")])
        os.kill(self.pid(), 1)
        if on:
            self.lab.net.run("host", "postqueue", "-f", check=False)

    def clear(self):
        self.lab.net.run("host", "postsuper", "-d", "ALL", check=False)


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
smtp_tls_connection_reuse = yes
smtp_connection_cache_on_demand = yes
default_process_limit = 200
qmgr_message_active_limit = 40000
qmgr_message_recipient_limit = 40000
default_destination_concurrency_limit = 20
initial_destination_concurrency = 20
in_flow_delay = 0
"""
