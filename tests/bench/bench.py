"""make bench: Sealpost beside Postfix, alternating, in one namespace.

    bench.py [-r rounds] [-n messages] [-q queued] [row ...]

Both spool on the disk that build/ is on, both verify certificates. Rows:

    written   bytes that go to the disk for a message (ours alone)
    accept    durable messages a second from 1, 10 and 50 sessions while
              nothing is delivered; how many a bare loop of group commits
              writes to the same disk, and we accept into memory
    through   messages a second from the first injection to the last delivery
              into a TLS sink, to one domain and to a hundred, with the CPU
              time of all processes of each MTA and its most memory (PSS)
    acks      the same to one domain whose host delays its ACKs
    default   through, one domain, beside a Postfix that is not tuned
    latency   ms from the 250 of one message to its arrival at the sink, over
              an open connection and over a new one, beside that Postfix
    cold      seconds for one message each to 1,000 domains with an enforced
              policy each: first with no policy known, then with all; Postfix
              asks postfix-mta-sts-resolver, which is counted with it
    due       a start with many due: seconds to the first delivery, and how
              many come in the first 20 seconds
The machine's speed drifts: only the ratios of neighbouring runs count, and
ours against ourselves shows the noise. All rows without arguments.
"""

import os
import re
import socket
import statistics
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, TOP + "/tests/lab")
# Where the lab's module space looks.
os.environ["SEALPOST_LAB_MORE"] = "postfix-mta-sts-resolver python3-uvloop"

import web
from daemon import SPOOL
from lab import Lab
from mta import Peak, Postfix, Sealpost, cpu_seconds, memory_mib
from space import LabError, call, in_root, put, wait_until

SINK = "198.51.100.90"
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
SESSIONS = (1, 10, 50)
COLD = 1000      # domains
COLD_GROUP = 50  # names a certificate of the policy host
COLD_ROUNDS = 3  # at most
SAMPLES = 25     # of latency
DUE_S = 20
PORTION = 20000


def option(words, name, default):
    """Take it from the words of the command line."""
    if name not in words:
        return default
    at = words.index(name)
    value = int(words[at + 1])
    del words[at:at + 2]
    return value


def facts(line):
    """The numbers of a line "a=1 b=2.5"."""
    return {k: float(v) for k, v in re.findall(r"(\w+)=([0-9.e+]+)", line)}


def load(port, sessions, count, domains, zone="bench.test"):
    done = call([TOP + "/build/tests/bench/load", "-p", str(port), "-s",
                 str(sessions), "-n", str(count), "-d", str(domains), "-z",
                 zone])
    result = facts(done.stdout)
    if result.get("accepted") != count:
        raise LabError("load: " + done.stdout)
    return result


class Bench:
    """The lab, both MTAs, and the rows."""

    def __init__(self, rounds, count, queued):
        self.rounds, self.count, self.queued = rounds, count, queued
        with open(BUNDLE) as bundle:
            roots = bundle.read()  # a trust store of ordinary size
        self.lab = lab = Lab((), ttl=300)
        with open(BUNDLE, "a") as bundle:
            bundle.write(roots)
        spools()
        for zone in ("bench.test", "cold.test"):
            lab.dns.add(zone)
            lab.dns.set(zone, "*", "MX", "10 mx.bench.test.")
        lab.dns.set("bench.test", "mx", "A", SINK)
        self.cold_domains()
        lab.start("connections 20\n")
        self.cert = lab.ca.issue("mx.bench.test")
        self.ours, self.peer = Sealpost(lab), Postfix(lab)

    def cold_domains(self):
        """Wildcards are their TXT and A records, one file their policies."""
        dns, out = self.lab.dns, "server_names_hash_max_size 8192;\n"
        dns.set("cold.test", "*", "TXT", '"v=STSv1; id=1;"')
        dns.set("cold.test", "*", "A", web.ADDRESS)
        put(in_root("/var/www/cold/.well-known/mta-sts.txt"),
            "version: STSv1\r\nmode: enforce\r\nmx: mx.bench.test\r\n"
            "max_age: 86400\r\n")
        for first in range(0, COLD, COLD_GROUP):
            names = ["mta-sts.d%d.cold.test" % i
                     for i in range(first, first + COLD_GROUP)]
            chain, key = self.lab.ca.issue(*names)
            out += ("server { listen %s:443 ssl; server_name %s;\n"
                    "ssl_certificate %s; ssl_certificate_key %s;\n"
                    "root /var/www/cold; }\n" % (
                        web.ADDRESS, " ".join(names), chain, key))
        self.lab.web.more = out

    def sink(self, count, *flags, seconds=120):
        sink = subprocess.Popen(
            ["nsenter", "--net=" + self.lab.net.path("internet"),
             TOP + "/build/tests/bench/sink", "-c", in_root(self.cert[0]),
             "-k", in_root(self.cert[1]), "-a", SINK, "-p", "25", "-e",
             str(count), "-t", str(seconds)] + list(flags),
            stdout=subprocess.PIPE, text=True)
        if sink.stdout.readline().strip() != "ready":
            raise LabError("the sink is not ready")
        return sink

    # One measurement each: (figure, CPU s for 1,000, MiB at most).

    def accept(self, mta, sessions):
        mta.deliver(False)
        count = self.count if sessions > 1 else self.count // 4
        rate = load(mta.port, sessions, count, 1)["rate"]
        mta.clear()
        mta.deliver(True)
        return rate, None, None

    def through(self, mta, domains, *flags, zone="bench.test"):
        count = self.count if zone == "bench.test" else COLD
        sink = self.sink(count, *flags)
        before = cpu_seconds(mta.pids())
        with Peak(mta.pids()) as peak:
            loaded = load(mta.port, 10, count, domains, zone)
            out = sink.communicate(timeout=150)[0]
        if sink.returncode != 0:
            raise LabError("%s: sink: %s" % (mta.name, out))
        used = cpu_seconds(mta.pids()) - before
        return (count / (facts(out)["last"] - loaded["first"]),
                used * 1000 / count, peak.mib)

    def latency(self, mta, cold):
        """Median of SAMPLES messages."""
        client = Client(mta.port)
        took, sink = [], None if cold else self.sink(SAMPLES + 1, "-w")
        for i in range(SAMPLES + 1):
            if cold:
                sink = self.sink(1, "-w")
            said = client.send(i)
            came = float(sink.stdout.readline().split()[1])
            took.append((came - said) * 1000)
            if cold:
                sink.communicate()
            time.sleep(0.05)
        if not cold:
            sink.communicate()
        # The first one finds nothing open.
        return statistics.median(took[1:]), None, None

    def cold(self, mta):
        """Nothing is known: no policy, no name, no open connection."""
        mta.forget()
        self.lab.dns.stop_resolver()
        self.lab.dns.start_resolver()
        wait_until("the resolver", lambda: self.lab.dns.ask("cold.test",
                                                            "SOA"))
        before = fetched()
        result = self.warm(mta)
        missing = COLD - (fetched() - before)
        if missing > COLD // 20:
            raise LabError("%s: %d policies were not fetched" % (
                mta.name, missing))
        if missing > 0:  # its sender gave up on some, and went without
            print("%s: %d policies were not fetched" % (mta.name, missing),
                  flush=True)
        return result

    def warm(self, mta):
        rate, used, mib = self.through(mta, COLD, zone="cold.test")
        return COLD / rate, used, mib

    # Rows.

    def table(self, title, measure, unit="", rounds=None):
        rows, ours, peer = [], self.ours, self.peer
        for _ in range(rounds or self.rounds):
            rows.append((measure(ours), measure(peer), measure(ours)))
        median = statistics.median
        line = "%-22s %8.4g %8.4g %7.3g   noise %.2f" % (
            title + unit, median(o[0] for o, _, _ in rows),
            median(p[0] for _, p, _ in rows),
            median(o[0] / p[0] for o, p, _ in rows),
            median(o[0] / q[0] for o, _, q in rows))
        for i, what in ((1, "CPU s/1000"), (2, "MiB")):
            if rows[0][0][i] is not None:
                line += "   %s: %.3g %.3g %.2g" % (
                    what, (median if i == 1 else max)(o[i] for o, _, _ in
                                                      rows),
                    (median if i == 1 else max)(p[i] for _, p, _ in rows),
                    median(o[i] / (p[i] or 1) for o, p, _ in rows))
        print(line, flush=True)

    def row_accept(self):
        for n in SESSIONS:
            self.table("accept, %d session%s" % (n, "s" * (n > 1)),
                       lambda m: self.accept(m, n))
        self.limit(n)

    def limit(self, n):
        """Is it the disk that holds us up, or SMTP?"""
        loop = facts(call([TOP + "/build/tests/bench/loop", "-g", str(n),
                           "-f", TOP + "/build/bench/loop"]).stdout)["rate"]
        on_disk = self.accept(self.ours, n)[0]
        self.ours.stop()
        call(["mount", "-t", "tmpfs", "-o", "mode=711", "tmpfs", SPOOL])
        self.ours.start()
        in_memory = self.accept(self.ours, n)[0]
        self.ours.stop()
        call(["umount", SPOOL])
        self.ours.start()
        print("group commits of %d, bare: %.0f/s; ours %.0f/s, with the "
              "spool in memory %.0f/s" % (n, loop, on_disk, in_memory),
              flush=True)

    def row_through(self):
        for n in (1, 100):
            self.table("through, %d domain%s" % (n, "s" * (n > 1)),
                       lambda m: self.through(m, n))

    def row_acks(self):
        self.table("through, delayed ACKs",
                   lambda m: self.through(m, 1, "-q"))

    def row_default(self):
        self.peer.stop()
        self.peer.start(tuned=False)
        self.table("through, default", lambda m: self.through(m, 1))
        self.peer.stop()
        self.peer.start()

    def row_latency(self):
        self.peer.stop()
        self.peer.start(tuned=False)
        for cold in (False, True):
            self.table("latency, %s" % ("cold" if cold else "warm"),
                       lambda m: self.latency(m, cold), ", ms")
        self.peer.stop()
        self.peer.start()

    def row_cold(self):
        for name, measure in (("cold", self.cold), ("warm", self.warm)):
            self.table("%d %s domains" % (COLD, name), measure, ", s",
                       min(self.rounds, COLD_ROUNDS))
        self.peer.heed_none()

    def due(self, mta):
        mta.pile_up(lambda: queue_up(mta.port, self.queued))
        sink = self.sink(self.queued, seconds=DUE_S)
        began = time.monotonic()
        mta.start()
        out = facts(sink.communicate(timeout=DUE_S + 30)[0])
        mta.clear()
        return out["first"] - began, out["received"]

    def row_due(self):
        ours, peer = self.due(self.ours), self.due(self.peer)
        print("%d due: the first after %.2f s, Postfix %.2f (%.2f); in %d s "
              "%.0f, Postfix %.0f (%.1f)" % (
                  self.queued, ours[0], peer[0], ours[0] / peer[0], DUE_S,
                  ours[1], peer[1], ours[1] / peer[1]), flush=True)

    def row_written(self):
        """What the queue process writes, its log apart."""
        pid, log = self.lab.sealpostd.pids("queue")[0], self.lab.sealpostd.log
        sink = self.sink(self.count)
        before, mark = written(pid), os.path.getsize(log)
        load(self.ours.port, 10, self.count, 1)
        sink.communicate(timeout=120)
        time.sleep(1)  # outcomes follow within 100 ms
        each = (written(pid) - before - os.path.getsize(log) + mark) / \
            self.count
        size = int(self.lab.sealpostd.events("accepted")[-1]["size"])
        print("written for a message of %d bytes, accepted and delivered: "
              "%.0f, which is %.0f more" % (size, each, each - size),
              flush=True)

    def run(self, rows):
        print("%d rounds of %d messages of 4 KiB; ours / Postfix / ratio; "
              "noise is ours against ourselves" % (self.rounds, self.count))
        print("memory at rest: %.1f MiB, Postfix %.1f" % (
            memory_mib(self.ours.pids()), memory_mib(self.peer.pids())))
        for name in rows:
            getattr(self, "row_" + name)()
        self.lab.sealpostd.stop(30)


class Client:
    """One SMTP session that says when its 250 came."""

    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port), 10)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.replies = self.sock.makefile("rb")
        self.reply()
        self.ask("EHLO load.bench.test")

    def reply(self):
        while True:
            line = self.replies.readline()
            if line[3:4] != b"-":
                break
        if line[:1] not in b"23":
            raise LabError("latency: %r" % line)

    def ask(self, text):
        self.sock.sendall(text.encode() + b"\r\n")
        self.reply()

    def send(self, number):
        self.ask("MAIL FROM:<load@bench.test>")
        self.ask("RCPT TO:<u@d0.bench.test>")
        self.ask("DATA")
        self.ask("From: <load@bench.test>\r\nX-Bench: %d\r\n\r\n%s." % (
            number, ("x" * 74 + "\r\n") * 50))
        return time.monotonic()


def queue_up(port, count):
    """In portions: call() has its patience."""
    for first in range(0, count, PORTION):
        load(port, 50, min(PORTION, count - first), COLD)


def written(pid):
    """Bytes of all write(2) of the process so far."""
    with open("/proc/%d/io" % pid) as io:
        return int(re.search(r"^wchar: (\d+)", io.read(), re.M)[1])


def fetched():
    """Policies that the policy host gave out so far."""
    with open(in_root("/var/log/nginx/access.log")) as log:
        return sum(".cold.test 200 " in line for line in log)


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


def main():
    words = sys.argv[1:]  # a copy: the lab starts the program anew
    bench = Bench(option(words, "-r", 5), option(words, "-n", 20000),
                  option(words, "-q", 100000))
    bench.run(words or ["written", "accept", "through", "acks", "default",
                        "latency", "cold", "due"])


main()
