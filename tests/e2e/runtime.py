"""The daemon as a service: background, log, systemd, reload, restarts."""

import os
import re
import select
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lab"))

from check import case, equal, main, true
from daemon import CONF, ROLES, sealpost
from lab import Lab
from space import RUN, call, put, wait_until

PROGRAM = "/usr/local/sbin/sealpostd"
PID_FILE = "/run/sealpost/sealpostd.pid"


def make():
    return Lab(())


def start(lab):
    private_dev()
    lab.start()
    lab.conf = open(CONF).read()


def private_dev():
    """A /dev of our own, so that /dev/log is the test's."""
    folder = RUN + "/dev"
    os.makedirs(folder, exist_ok=True)
    for name in ("null", "zero", "urandom", "random", "full", "tty"):
        if os.path.exists("/dev/" + name):
            put(folder + "/" + name, "")
            call(["mount", "--bind", "/dev/" + name, folder + "/" + name])
    call(["mount", "--rbind", folder, "/dev"])


def banner(address="127.0.0.1", port=25, seconds=5):
    """The first line of an SMTP server, or None."""
    try:
        with socket.create_connection((address, port), seconds) as sock:
            return sock.recv(200).decode()
    except OSError:
        return None


class Reader:
    """A datagram socket at a path, and what came to it."""

    def __init__(self, path):
        if os.path.exists(path):
            os.unlink(path)
        self.path = path
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(path)
        self.seen = []

    def poll(self):
        while select.select([self.sock], [], [], 0)[0]:
            self.seen.append(self.sock.recv(65536).decode())
        return self.seen

    def wait(self, word, seconds=10):
        wait_until("%s to hear %s" % (self.path, word), lambda: [
            l for l in self.poll() if word in l], seconds)

    def close(self):
        self.sock.close()
        os.unlink(self.path)


def run(*argv, env=None, seconds=20):
    done = subprocess.run([PROGRAM] + list(argv), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=seconds, env=dict(os.environ, **(env or {})))
    return done.returncode, done.stdout.decode(errors="replace")


def end(lab, pid):
    """SIGTERM to a daemon that is not our child; it ends within 5 s."""
    began = time.monotonic()
    os.kill(pid, signal.SIGTERM)
    wait_until("the daemon to end", lambda: not lab.sealpostd.pids(), 6)
    return time.monotonic() - began


@case("a second daemon refuses to start and names the first")
def _(lab):
    code, out = run("-d", "-f", CONF)
    equal(code, 1)
    true("pid %d" % lab.sealpostd.process.pid in out, out)
    true(banner().startswith("220 "), "the first goes on")


@case("only root may start it")
def _(lab):
    done = subprocess.run(["setpriv", "--reuid=nobody", "--clear-groups",
                           PROGRAM, "-d", "-f", CONF], timeout=10,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    equal(done.returncode, 1)
    true(b"root" in done.stdout, done.stdout)


@case("SIGTERM, SIGINT and SIGHUP to a child are none of its business")
def _(lab):
    before = lab.sealpostd.roles()
    for role in ROLES:
        for pid in before[role]:
            for signo in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                os.kill(pid, signo)
    time.sleep(0.3)
    equal(lab.sealpostd.roles(), before)


def restarted(role):
    @case("%s killed: restarted, logged with pid and status" % role)
    def _(lab):
        old = lab.sealpostd.roles()[role]
        mark = lab.sealpostd.mark()
        os.kill(old[0], signal.SIGKILL)
        wait_until("the event", lambda: [
            l for l in lab.sealpostd.lines(mark) if re.search(
                r"event=restarted role=%s .*pid=\d+ status=\"signal 9"
                % role, l)])
        wait_until("a new one", lambda: len(
            lab.sealpostd.roles()[role]) == len(old))
        true(banner().startswith("220 "), "the door is open")
        wait_until("all to answer", lambda: sealpost("status").code == 0 and
                   sealpost("policies").code == 0)


for each in ROLES:
    restarted(each)


@case("a child that dies again and again is restarted ever later")
def _(lab):
    mark = lab.sealpostd.mark()
    began = time.monotonic()
    for _ in range(4):
        pid = wait_until("the listener", lambda: lab.sealpostd.roles()[
            "listen"])[0]
        os.kill(pid, signal.SIGKILL)
        wait_until("its end", lambda: pid not in lab.sealpostd.pids())
    wait_until("four restarts", lambda: len(
        [l for l in lab.sealpostd.lines(mark) if
         "event=restarted role=listen" in l]) == 4)
    took = time.monotonic() - began
    true(took > 1.0, "0.2 + 0.4 + 0.8 + ... at least: %.1f s" % took)
    wait_until("the door", banner)


@case("SIGHUP: new addresses are opened, old ones closed, same processes")
def _(lab):
    pids = lab.sealpostd.roles()
    mark = lab.sealpostd.mark()
    put(CONF, lab.conf + "listen on 127.0.0.1 port 25\n"
        "listen on 127.0.0.1 port 2525\n")
    os.kill(lab.sealpostd.process.pid, signal.SIGHUP)
    wait_until("port 2525", lambda: banner(port=2525))
    put(CONF, lab.conf + "listen on 127.0.0.1 port 25\n")
    equal(sealpost("reload").code, 0)
    wait_until("port 2525 to close", lambda: banner(port=2525) is None)
    true(banner().startswith("220 "), "port 25 stayed")
    equal(lab.sealpostd.roles(), pids)
    true([l for l in lab.sealpostd.lines(mark) if "reloaded" in l], "logged")


@case("a bad configuration is refused line by line, the old one stays")
def _(lab):
    mark = lab.sealpostd.mark()
    put(CONF, lab.conf + "bogus\ntls sometimes\n")
    bad = len(lab.conf.splitlines()) + 1
    os.kill(lab.sealpostd.process.pid, signal.SIGHUP)
    wait_until("both lines", lambda: all(
        any("%s:%d: " % (CONF, n) in l for l in lab.sealpostd.lines(mark))
        for n in (bad, bad + 1)))
    done = sealpost("reload")
    true(done.code != 0, done)
    true("%s:%d: " % (CONF, bad) in done.out + done.err, done)
    true(banner().startswith("220 "), "still serving")
    put(CONF, lab.conf + "listen on 192.0.2.77 port 25\n")
    done = sealpost("reload")
    true(done.code != 0 and "192.0.2.77:25" in done.out + done.err, done)
    true(banner().startswith("220 "), "still serving")
    put(CONF, lab.conf)
    equal(sealpost("reload").code, 0)


@case("the parent killed: its children leave, and a start follows at once")
def _(lab):
    listener = lab.sealpostd.roles()["listen"][0]
    # The moment in which the old listener still has the ports, made long.
    os.kill(listener, signal.SIGSTOP)
    os.kill(lab.sealpostd.process.pid, signal.SIGKILL)
    lab.sealpostd.process.wait()
    mark = lab.sealpostd.mark()
    lab.sealpostd.start(ready=False)
    time.sleep(0.3)
    os.kill(listener, signal.SIGCONT)
    lab.sealpostd.wait_event("started", mark)
    wait_until("the new one", lambda: lab.sealpostd.ready() and len(
        lab.sealpostd.pids()) == 1 + sum(
            len(lab.sealpostd.roles()[role]) for role in ROLES))
    true(listener not in lab.sealpostd.pids(), "the old listener is gone")


@case("a child that hangs does not keep it from stopping within 5 s")
def _(lab):
    for pid in (lab.sealpostd.roles()["deliver"][0],
                lab.sealpostd.roles()["queue"][0]):
        os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    equal(lab.sealpostd.stop(), 0)
    true(time.monotonic() - began < 5.5, time.monotonic() - began)
    true(not os.path.exists("/run/sealpost/sealpost.sock"), "socket removed")


@case("without -d: exit 0 only once it serves; log lines go to syslog")
def _(lab):
    log = Reader("/dev/log")
    code, out = run("-f", CONF)
    equal((code, out), (0, ""))
    true(banner(seconds=1).startswith("220 "), "it serves at once")
    pid = int(open(PID_FILE).read())
    log.wait("event=started")
    true(all(l.startswith("<") for l in log.poll()), log.seen)
    equal([l for l in log.seen if "event=started" in l][0].split(
        "event=")[0].split("[")[1], "%d]: " % pid)
    equal(os.getsid(pid), pid)
    for fd in range(3):
        equal(os.readlink("/proc/%d/fd/%d" % (pid, fd)), "/dev/null")
    # The log's reader goes away and comes back: children, too, go on.
    log.close()
    sealpost("reload")
    log = Reader("/dev/log")
    with socket.create_connection(("127.0.0.1", 25), 5) as sock:
        sock.recv(200)
        sock.sendall(b"MAIL FROM:<a@b.example>\n")
        sock.recv(200)
    log.wait("process=listen")
    true(end(lab, pid) < 5.5, "in time")
    log.wait("stopped")
    log.close()


@case("without -d: exit 1 and words where it cannot start")
def _(lab):
    put(CONF, lab.conf + "listen on 192.0.2.77 port 25\n")
    code, out = run("-f", CONF)
    equal(code, 1)
    true("192.0.2.77:25" in out, out)
    put(CONF, "bogus\n")
    code, out = run("-f", CONF)
    equal(code, 1)
    true("%s:1: " % CONF in out, out)
    put(CONF, lab.conf)
    equal(lab.sealpostd.pids(), [])


@case("a stray file in the empty root: no start, and the path is named")
def _(lab):
    put("/run/sealpost/empty/stray", "x")
    code, out = run("-d", "-f", CONF)
    os.unlink("/run/sealpost/empty/stray")
    equal(code, 1)
    true("/run/sealpost/empty" in out, out)
    wait_until("all to be gone", lambda: not lab.sealpostd.pids())


@case("systemd hears READY, RELOADING, READY, STOPPING in time")
def _(lab):
    notify = Reader(RUN + "/notify")
    process = subprocess.Popen([PROGRAM, "-d", "-f", CONF], env=dict(
        os.environ, NOTIFY_SOCKET=notify.path), stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    notify.wait("READY=1")
    true(banner(seconds=1).startswith("220 "), "every socket listens")
    process.send_signal(signal.SIGHUP)
    notify.wait("RELOADING=1")
    wait_until("the second READY", lambda: len(
        [l for l in notify.poll() if l == "READY=1"]) == 2)
    process.terminate()
    equal(process.wait(6), 0)
    words = [l.split("\n")[0] for l in notify.poll()]
    equal(words, ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"])
    true("MONOTONIC_USEC=" in notify.seen[1], notify.seen[1])


@case("under systemd it stays in the foreground without -d")
def _(lab):
    notify = Reader(RUN + "/notify")
    process = subprocess.Popen([PROGRAM, "-f", CONF], env=dict(
        os.environ, NOTIFY_SOCKET=notify.path), stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    notify.wait("READY=1")
    equal(process.poll(), None)
    equal(int(open(PID_FILE).read()), process.pid)
    process.terminate()
    equal(process.wait(6), 0)


@case("started by one who ignores SIGCHLD, it restarts its children as well")
def _(lab):
    mark = lab.sealpostd.mark()
    kept = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    lab.sealpostd.start(ready=False)
    signal.signal(signal.SIGCHLD, kept)
    lab.sealpostd.wait_event("started", mark)
    old = lab.sealpostd.roles()["policy"]
    os.kill(old[0], signal.SIGKILL)
    wait_until("a new one", lambda: lab.sealpostd.roles()["policy"] not in (
        [], old))
    equal(lab.sealpostd.stop(), 0)


@case("a child killed while it starts is restarted as well")
def _(lab):
    for role in ROLES:
        true(any(killed_at_start(lab, role) for _ in range(20)),
             "%s was hit before all had started" % role)


def killed_at_start(lab, role):
    """Kill one as soon as it is there; whether the start waited for it."""
    mark = lab.sealpostd.mark()
    lab.sealpostd.start(ready=False)
    deadline = time.monotonic() + 10
    while not (old := lab.sealpostd.pids(role)):
        true(time.monotonic() < deadline, "%s appears" % role)
    os.kill(old[0], signal.SIGKILL)
    lab.sealpostd.wait_event("started", mark)
    lab.sealpostd.wait_event("restarted", mark, role=role)
    wait_until("another", lambda: set(lab.sealpostd.pids(role)) - set(old))
    equal(lab.sealpostd.stop(), 0)
    kinds = [e["event"] for e in lab.sealpostd.events(since=mark)]
    return kinds.index("restarted") < kinds.index("started")


@case("no CA bundle, no resolv.conf: it starts, and names what is missing")
def _(lab):
    bundle = "/etc/ssl/certs/ca-certificates.crt"
    for path in (bundle, "/etc/resolv.conf"):
        os.rename(path, path + ".away")
    mark = lab.sealpostd.mark()
    lab.sealpostd.start()
    true([l for l in lab.sealpostd.lines(mark) if bundle in l], "named")
    equal(sealpost("status").code, 0)
    equal(lab.sealpostd.stop(), 0)
    for path in (bundle, "/etc/resolv.conf"):
        os.rename(path + ".away", path)


@case("`sealpost stop` stops, and a start follows at once")
def _(lab):
    lab.sealpostd.start()
    equal(sealpost("stop").code, 0)
    equal(lab.sealpostd.process.wait(6), 0)
    lab.sealpostd.start()
    equal(sealpost("status").code, 0)
    equal(sealpost("stop", user="daemon").code, 77)


main(make, start)
