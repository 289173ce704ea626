"""A long queue: Sealpost alone with many messages deferred.

    scale.py [messages [destinations]]

Fills the spool by tests/bench/fill, starts sealpostd on it and prints, each
with the bar of it: how long until it listens and until it has delivered a
new message; its memory (PSS, all processes); its CPU time when nothing is
due; how long the commands about the queue take, and until the first line.
Exit 1 if a bar is missed.
"""

import os
import socket
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, TOP + "/tests/lab")

from daemon import SPOOL
from lab import Lab
from mta import cpu_seconds, memory_mib
from space import LabError, call, in_root, wait_until

SINK = "198.51.100.90"
IDLE_S = 10
COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 1000000
DOMAINS = int(sys.argv[2]) if len(sys.argv) > 2 else 10000
# A million may take 400 MiB; the bar for 100,000 is 43 (half of Postfix's).
MEMORY_MIB = 400 if COUNT > 100000 else 43

missed = []


def told(what, figure, bar, unit):
    over = figure > bar
    print("%-44s %8.3f %-4s (bar: %g)%s" % (
        what, figure, unit, bar, "  MISSED" if over else ""), flush=True)
    if over:
        missed.append(what)


def timed(what, bar, *words):
    """A command of sealpost: its first line, then all of it."""
    began = time.monotonic()
    asked = subprocess.Popen(["/usr/local/sbin/sealpost"] + list(words),
                             stdout=subprocess.PIPE)
    asked.stdout.readline()
    first = time.monotonic() - began
    lines = 1 + sum(1 for _ in asked.stdout)
    if asked.wait() != 0:
        raise LabError("%s: exit %d" % (what, asked.returncode))
    told("%s: first line" % what, first, bar, "s")
    print("%-44s %8.3f s    %d lines" % (
        "    all of it", time.monotonic() - began, lines), flush=True)


def fill(lab):
    """On the disk of build/, not on the run's tmpfs."""
    disk = TOP + "/build/bench/scale"
    call(["rm", "-rf", disk])
    os.makedirs(disk)
    call(["mount", "--bind", disk, SPOOL])
    os.chmod(SPOOL, 0o711)
    lab.sealpostd.start()
    lab.sealpostd.stop()
    began = time.monotonic()
    queue = SPOOL + "/queue"
    subprocess.run([TOP + "/build/tests/bench/fill", queue, str(COUNT),
                    str(DOMAINS)], check=True)
    call(["chown", "-R", "_sealpostq:_sealpostq", queue])
    for name in os.listdir(queue):
        if name.startswith("seg-"):  # as after a boot: not in memory
            fd = os.open(queue + "/" + name, os.O_RDONLY)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)
    print("%d messages to %d destinations on disk in %.0f s" % (
        COUNT, DOMAINS, time.monotonic() - began), flush=True)
    return disk


def sink(lab):
    chain, key = lab.ca.issue("mx.bench.test")
    taker = subprocess.Popen(
        ["nsenter", "--net=" + lab.net.path("internet"),
         TOP + "/build/tests/bench/sink", "-c", in_root(chain), "-k",
         in_root(key), "-a", SINK, "-p", "25", "-e", "1", "-t", "60"],
        stdout=subprocess.PIPE, text=True)
    if taker.stdout.readline().strip() != "ready":
        raise LabError("the sink is not ready")
    return taker


def listens():
    try:
        with socket.create_connection(("127.0.0.1", 25), 1) as sock:
            return sock.recv(3) == b"220"
    except OSError:
        return False


def restart(lab):
    taker = sink(lab)
    began = time.monotonic()
    lab.sealpostd.start(ready=False)
    wait_until("the port", listens, 60)
    told("restart: listening", time.monotonic() - began, 5, "s")
    call([TOP + "/build/tests/bench/load", "-p", "25", "-s", "1", "-n", "1",
          "-d", "1", "-z", "new.bench.test"])
    if taker.wait() != 0:
        raise LabError("sink: " + taker.stdout.read())
    told("restart: a new message is delivered", time.monotonic() - began, 5,
         "s")


def main():
    lab = Lab((), ttl=300)
    lab.dns.add("bench.test")
    for name in ("*", "*.new"):
        lab.dns.set("bench.test", name, "MX", "10 mx.bench.test.")
    lab.dns.set("bench.test", "mx", "A", SINK)
    lab.start(sealpostd=False)
    lab.install()
    os.makedirs(SPOOL, exist_ok=True)
    disk = fill(lab)
    try:
        restart(lab)
        pids = [lab.sealpostd.process.pid]
        told("memory after the start", memory_mib(pids), MEMORY_MIB, "MiB")
        time.sleep(25)  # what was opened is given back
        before = cpu_seconds(pids)
        time.sleep(IDLE_S)
        told("CPU at rest", (cpu_seconds(pids) - before) * 100 / IDLE_S, 1,
             "%")
        told("memory at rest", memory_mib(pids), MEMORY_MIB, "MiB")
        timed("queue --count", 0.1, "queue", "--count")
        timed("queue --count --domain", 0.1, "queue", "--count", "--domain",
              "d7.bench.test")
        timed("top", 0.1, "top")
        timed("status", 0.1, "status")
        timed("queue", 0.1, "queue")
        timed("queue --domain", 0.1, "queue", "--domain", "d7.bench.test")
        timed("queue --state held", 1, "queue", "--state", "held")
        timed("queue --sender", 0.1, "queue", "--sender", "fill@bench.test")
        told("memory after all that", memory_mib(pids), MEMORY_MIB, "MiB")
        lab.sealpostd.stop(30)
    finally:
        call(["rm", "-rf", disk])
    sys.exit(1 if missed else 0)


main()
