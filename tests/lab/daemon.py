"""Sealpost as a user has it: installed, configured, started, asked."""

import json
import os
import re
import signal
import socket
import subprocess
import time

from space import LabError, call, put, wait_until, RUN, TOP

CONF = "/etc/sealpost/sealpost.conf"
SOCKET = "/run/sealpost/sealpost.sock"
SPOOL = "/var/spool/sealpost"
ROLES = ("listen", "queue", "policy", "deliver")
PAIR = re.compile(r'([a-z][a-z0-9_-]*)=("(?:[^"\\]|\\.)*"|\S*)')


def sanitised():
    return bool(os.environ.get("SAN"))


def install():
    """`make install` into the private host; users and all."""
    argv = ["make", "-s", "-C", TOP, "install", "PREFIX=/usr/local"]
    for name in ("B", "SAN"):
        if os.environ.get(name):
            argv.append("%s=%s" % (name, os.environ[name]))
    call(argv)


def event(line):
    """The key=value pairs of a log line, as a dict; {} if there are none."""
    return {k: v[1:-1].replace('\\"', '"') if v.startswith('"') else v
            for k, v in PAIR.findall(line)}


class Daemon:
    """sealpostd in the foreground, its log in a file."""

    def __init__(self, conf="", name="sealpostd"):
        self.log = "%s/%s.log" % (RUN, name)
        self.process = None
        self.configure(conf)

    def configure(self, conf):
        put(CONF, conf)

    def start(self, *flags, ready=True):
        env = dict(os.environ)
        env.setdefault("ASAN_OPTIONS", "exitcode=99")
        env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
        mark = self.mark() if os.path.exists(self.log) else 0
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen(
                ["/usr/local/sbin/sealpostd", "-d", "-f", CONF] + list(flags),
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env)
        if ready:
            wait_until("sealpostd to start", lambda: self.ready() and
                       self.events("started", mark), 20)

    def ready(self):
        if self.process.poll() is not None:
            raise LabError("sealpostd ended with %d\n%s" % (
                self.process.returncode, self.tail()))
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(2)
            try:
                sock.connect(SOCKET)
                return sock.recv(100).startswith(b"220")
            except OSError:
                return False

    def stop(self, seconds=10):
        """SIGTERM; the exit code."""
        if self.process is None:
            return None
        self.process.terminate()
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill_all()
            raise LabError("sealpostd did not stop within %d s" % seconds)
        wait_until("sealpostd's children to end", lambda: not self.pids(), 5)
        self.process = None
        return code

    def kill_all(self):
        """kill -9 the whole family at one stroke."""
        for pid in [self.process.pid] + self.pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        wait_until("all to be gone", lambda: not self.pids(), 5)
        self.process = None

    # The family.

    def pids(self, role=None):
        """Process ids of sealpostd: of one role, or of all."""
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit():
                line = command_line(int(name))
                if line is not None and "sealpostd" in line and (
                        role is None or role_of(line) == role):
                    found.append(int(name))
        return found

    def roles(self):
        """{role: [pid]}; "parent" is the process that was started."""
        family = {"parent": [self.process.pid]}
        for role in ROLES:
            family[role] = self.pids(role)
        return family

    def memory_kib(self):
        """Proportional set size of the whole family."""
        total = 0
        for pid in self.pids():
            with open("/proc/%d/smaps_rollup" % pid) as rollup:
                total += sum(int(l.split()[1]) for l in rollup
                             if l.startswith("Pss:"))
        return total

    # Its log.

    def lines(self, since=0):
        with open(self.log, errors="replace") as log:
            return log.read().split("\n")[since:]

    def mark(self):
        """A place in the log, for lines(since) and events(since)."""
        return len(self.lines()) - 1

    def events(self, kind=None, since=0, **fields):
        """Log events as dicts, of one kind and with these fields."""
        found = []
        for line in self.lines(since):
            e = event(line)
            if "event" in e and kind in (None, e["event"]) and all(
                    e.get(k.rstrip("_")) == v for k, v in fields.items()):
                e["line"] = line
                found.append(e)
        return found

    def wait_event(self, kind, since=0, seconds=20, **fields):
        found = wait_until(
            "log event=%s %s" % (kind, fields),
            lambda: self.events(kind, since, **fields), seconds)
        return found[-1]

    def tail(self, count=60):
        return "\n".join(self.lines()[-count:])


def command_line(pid):
    """Words of a live process, or None; zombies count as gone."""
    try:
        with open("/proc/%d/stat" % pid) as stat:
            if stat.read().rsplit(")", 1)[1].split()[0] in "ZX":
                return None
        if "sealpostd" not in os.readlink("/proc/%d/exe" % pid):
            return None
        with open("/proc/%d/cmdline" % pid, "rb") as cmd:
            return "sealpostd " + cmd.read().replace(
                b"\0", b" ").decode(errors="replace")
    except OSError:
        return None


def role_of(line):
    for word in re.split(r"[\s:]+", line):
        for role in ROLES:
            if word == role or word == role + "er":
                return role
    return None


class Result:
    """What a command did: code, out, err."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def __repr__(self):
        return "exit %d\nout: %s\nerr: %s" % (self.code, self.out, self.err)


def command(*argv, stdin=b"", user=None, seconds=60):
    """Run a program of the private host as one of its users; Result."""
    words = list(argv)
    if user:
        words = ["setpriv", "--reuid=" + user, "--regid=" + user,
                 "--clear-groups"] + words
    env = dict(os.environ)
    if sanitised() and "check" in words:
        # It gives up root and is not dumpable; the leak checker needs both.
        env["ASAN_OPTIONS"] = "detect_leaks=0"
    done = subprocess.run(words, input=stdin, timeout=seconds, env=env,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return Result(done.returncode, done.stdout.decode(errors="replace"),
                  done.stderr.decode(errors="replace"))


def sealpost(*args, user=None, stdin=b"", seconds=60):
    return command("/usr/local/sbin/sealpost", *args, user=user, stdin=stdin,
                   seconds=seconds)


def sendmail(*args, text=b"", user=None):
    return command("/usr/local/sbin/sendmail", *args, stdin=text, user=user)


def queue(*args):
    """`sealpost queue --json` as a list of dicts."""
    done = sealpost("queue", "--json", *args)
    if done.code != 0:
        raise LabError("sealpost queue: %r" % done)
    return [json.loads(line) for line in done.out.splitlines() if line]


def wait_queue(count, seconds=20, **fields):
    """Wait until the queue holds this many entries with these fields."""
    def entries():
        held = [e for e in queue() if all(
            e.get(k) == v for k, v in fields.items())]
        return (held, True) if len(held) == count else None
    try:
        return wait_until("queue of %d with %s" % (count, fields), entries,
                          seconds)[0]
    except LabError as why:
        raise LabError("%s; it holds %s" % (why, queue()))


def wait_empty(seconds=20):
    wait_queue(0, seconds)
    time.sleep(0)
