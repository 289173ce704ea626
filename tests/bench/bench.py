"""make bench: Sealpost beside Postfix, alternating, in one namespace.

    bench.py [-r rounds] [-n messages]

Both spool on the disk that build/ is on, both verify certificates. Measured:
messages accepted durably a second from 1, 10 and 50 sessions while nothing is
delivered, and messages a second from the first injection to the last delivery
into a TLS sink, to one domain and to a hundred, with the CPU time of all
processes of each MTA. The machine's speed drifts: only the ratios of
neighbouring runs count, and Postfix against itself shows the noise.
"""

import os
import re
import socket
import statistics
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, TOP + "/tests/lab")

import mx
import space
from daemon import sealpost
from lab import Lab
from space import LabError, call, in_root, put, wait_until

SINK = "198.51.100.90"
SESSIONS = (1, 10, 50)
TICK = os.sysconf("SC_CLK_TCK")


def option(name, default):
    if name in sys.argv:
        return int(sys.argv[sys.argv.index(name) + 1])
    return default


ROUNDS = option("-r", 5)
COUNT = option("-n", 2000)


def facts(line):
    """The numbers of a line "a=1 b=2.5"."""
    return {k: float(v) for k, v in re.findall(r"(\w+)=([0-9.e+]+)", line)}


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


def load(port, sessions, count, domains, first):
    done = call([TOP + "/build/tests/bench/load", "-p", str(port), "-s",
                 str(sessions), "-n", str(count), "-d", str(domains), "-f",
                 str(first)])
    result = facts(done.stdout)
    if result.get("accepted") != count:
        raise LabError("load: " + done.stdout)
    return result


def accept(mta, sessions):
    mta.deliver(False)
    rate = load(mta.port, sessions, COUNT if sessions > 1 else COUNT // 4, 1,
                0)["rate"]
    mta.clear()
    return rate


def through(lab, cert, mta, domains):
    """(messages a second, CPU seconds for 1,000) end to end."""
    mta.deliver(True)
    sink = subprocess.Popen(
        ["nsenter", "--net=" + lab.net.path("internet"),
         TOP + "/build/tests/bench/sink", "-c", in_root(cert[0]), "-k",
         in_root(cert[1]), "-a", SINK, "-p", "25", "-e", str(COUNT), "-t",
         "120"], stdout=subprocess.PIPE, text=True)
    if sink.stdout.readline().strip() != "ready":
        raise LabError("the sink is not ready")
    before = cpu_seconds(mta.pid())
    loaded = load(mta.port, 10, COUNT, domains, 0)
    out = sink.communicate(timeout=150)[0]
    got = facts(out)
    if sink.returncode != 0:
        raise LabError("%s: sink: %s" % (mta.name, out))
    used = cpu_seconds(mta.pid()) - before
    return COUNT / (got["last"] - loaded["first"]), used * 1000 / COUNT


def spools():
    """Both spools on the disk of build/, not on the run's tmpfs."""
    for name, path in (("sealpost", "/var/spool/sealpost"),
                       ("postfix", in_root("/var/spool/postfix"))):
        disk = "%s/build/bench/%s" % (TOP, name)
        call(["rm", "-rf", disk])
        os.makedirs(disk)
        os.makedirs(path, exist_ok=True)
        call(["mount", "--bind", disk, path])
        os.chmod(path, 0o755 if name == "postfix" else 0o711)


def answers(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as sock:
            return sock.recv(3) == b"220"
    except OSError:
        return False


def main():
    lab = Lab((), ttl=300)
    spools()
    lab.dns.add("bench.test")
    lab.dns.set("bench.test", "*", "MX", "10 mx.bench.test.")
    lab.dns.set("bench.test", "mx", "A", SINK)
    lab.start("connections 20\n")
    cert = lab.ca.issue("mx.bench.test")
    ours, peer = Sealpost(lab), Postfix(lab)
    wait_until("the peer to listen", lambda: answers(peer.port))
    print("%d rounds of %d messages of 4 KiB; ours / Postfix / ratio; "
          "noise is Postfix against itself" % (ROUNDS, COUNT))
    for sessions in SESSIONS:
        table("accept, %d session%s" % (sessions, "s" * (sessions > 1)),
              lambda m: (accept(m, sessions), None), ours, peer)
    for domains in (1, 100):
        table("through, %d domain%s" % (domains, "s" * (domains > 1)),
              lambda m: through(lab, cert, m, domains), ours, peer)
    print("memory at rest: %d KiB" % lab.sealpostd.memory_kib())
    lab.sealpostd.stop()


def table(title, measure, ours, peer):
    rows = []
    for _ in range(ROUNDS):
        rows.append((measure(ours), measure(peer), measure(peer)))
    rate = statistics.median(o[0] for o, _, _ in rows)
    theirs = statistics.median(p[0] for _, p, _ in rows)
    ratio = statistics.median(o[0] / p[0] for o, p, _ in rows)
    noise = statistics.median(p[0] / q[0] for _, p, q in rows)
    line = "%-20s %8.0f %8.0f %7.1f   noise %.2f" % (title, rate, theirs,
                                                    ratio, noise)
    if rows[0][0][1] is not None:
        line += "   CPU s/1000: %.2f %.2f" % (
            statistics.median(o[1] for o, _, _ in rows),
            statistics.median(p[1] for _, p, _ in rows))
    print(line, flush=True)


main()
