"""The private world a run lives in: namespaces, mounts, three hosts.

enter() moves the program into its own PID, mount and network namespaces; all
that it starts dies with it, and all that it mounts is seen by nobody else.

Three network namespaces are three places:

    host      the machine that Sealpost is installed on, 192.0.2.10
    internet  name server, policy host, MXs; every address of
              198.51.100.0/24, 203.0.113.0/24 and 2001:db8:100::/40 is theirs
    mallory   the attackers; a route on "host" leads single addresses there,
              as a hijacked router would (divert, restore)
"""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
# Packages that a program wants beside the usual servers: a root of its own.
MORE = os.environ.get("SEALPOST_LAB_MORE", "").split()
ROOT = os.path.join(TOP, "build", "root-more" if MORE else "root")
RUN = "/run/lab"
HOST4, HOST6 = "192.0.2.10", "2001:db8::10"
INSIDE = "SEALPOST_LAB"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
UNSHARE = ["unshare", "--net", "--mount", "--pid", "--uts", "--fork",
           "--mount-proc", "--kill-child"]
CLONE_NEWNET = 0x40000000

libc = ctypes.CDLL(None, use_errno=True)


class LabError(Exception):
    """The lab itself failed; says nothing about Sealpost."""


def wait_until(what, condition, seconds=10.0):
    """Poll until condition() is true; its value. LabError at the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise LabError("waited %g s in vain: %s" % (seconds, what))
        time.sleep(0.02)


def call(argv, text=None, check=True, **kw):
    """Run a program to its end; CompletedProcess with text output."""
    done = subprocess.run(argv, input=text, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True,
                          errors="replace", timeout=120, **kw)
    if check and done.returncode != 0:
        raise LabError("%s: exit %d\n%s" % (" ".join(argv), done.returncode,
                                            done.stdout))
    return done


def enter():
    """Re-execute in private namespaces, once; returns inside them."""
    if os.environ.get(INSIDE) != "1":
        if os.geteuid() != 0:
            sys.exit("lab: must run as root (namespaces, real ports)")
        made = subprocess.run(
            ["sh", os.path.join(TOP, "tests/lab/root.sh"), ROOT] +
            (["+"] + MORE if MORE else []))
        if made.returncode != 0:
            sys.exit(75)
        tried = subprocess.run(UNSHARE + ["true"])
        if tried.returncode != 0:
            sys.exit("lab: this machine allows no namespaces (in a "
                     "container: run it with --privileged)")
        os.environ.update({INSIDE: "1", "LC_ALL": "C", "PATH": PATH})
        os.execvp(UNSHARE[0], UNSHARE + [sys.executable] + sys.argv)
    if os.getpid() == 1:
        be_init()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if not os.path.exists(RUN + "/mounted"):
        mount_all()


def be_init():
    """Fork; the child returns, process 1 reaps orphans until it ends."""
    child = os.fork()
    if child == 0:
        return
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A terminal signals the child itself; kill(1) reaches only us.
        signal.signal(sig, lambda s, _: s != signal.SIGINT and
                      os.kill(child, signal.SIGTERM))
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)


def mount_all():
    """Private /run, /etc, /usr/local, /var/spool; the servers' root."""
    call(["mount", "-t", "tmpfs", "-o", "mode=755", "lab", "/run"])
    os.makedirs(RUN)
    call(["cp", "-a", "/etc", RUN + "/etc"])
    call(["mount", "--bind", RUN + "/etc", "/etc"])
    for path in ("/usr/local", "/var/spool"):
        call(["mount", "-t", "tmpfs", "-o", "mode=755", "lab", path])
    for name in ("etc", "var"):
        call(["cp", "-a", os.path.join(ROOT, name), RUN + "/root-" + name])
    for name in ("run", "tmp"):
        os.mkdir(RUN + "/root-" + name)
    os.chmod(RUN + "/root-tmp", 0o1777)
    for name in ("etc", "var", "run", "tmp"):
        call(["mount", "--bind", RUN + "/root-" + name,
              os.path.join(ROOT, name)])
    call(["mount", "--rbind", "/dev", ROOT + "/dev"])
    call(["mount", "--rbind", "/proc", ROOT + "/proc"])
    open(RUN + "/mounted", "w").close()


class Net:
    """The three hosts and the links between them."""

    def __init__(self):
        self.holders = {}
        for name in ("internet", "mallory"):
            self.holders[name] = self.hold(name)
        self.ip("host", "link set lo up",
                "link add inet type veth peer name host netns %d"
                % self.holders["internet"].pid,
                "link add mal type veth peer name host netns %d"
                % self.holders["mallory"].pid,
                "addr add 192.0.2.10/24 dev inet", "link set inet up",
                "addr add 192.0.2.201 peer 192.0.2.202 dev mal",
                "link set mal up",
                "route add default via 192.0.2.1")
        self.ip("internet", "link set lo up",
                "addr add 192.0.2.1/24 dev host", "link set host up",
                "route add local 198.51.100.0/24 dev lo",
                "route add local 203.0.113.0/24 dev lo")
        self.ip("mallory", "link set lo up",
                "addr add 192.0.2.202 peer 192.0.2.201 dev host",
                "link set host up",
                "route add 192.0.2.10/32 via 192.0.2.201",
                "route add local 198.51.100.0/24 dev lo",
                "route add local 203.0.113.0/24 dev lo")
        self.ipv6 = os.path.exists("/proc/net/if_inet6")
        if self.ipv6:
            self.wire_ipv6()

    def hold(self, name):
        holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        mine = os.readlink("/proc/self/ns/net")
        wait_until("namespace " + name, lambda: os.readlink(
            "/proc/%d/ns/net" % holder.pid) != mine)
        return holder

    def wire_ipv6(self):
        try:
            self.ip("host", "addr add 2001:db8::10/64 dev inet nodad",
                    "addr add 2001:db8:bad::10/64 dev mal nodad",
                    "route add ::/0 via 2001:db8::1")
            for name, own in (("internet", "2001:db8::1/64"),
                              ("mallory", "2001:db8:bad::1/64")):
                self.ip(name, "addr add %s dev host nodad" % own,
                        "route add local 2001:db8:100::/40 dev lo")
                # Unlike IPv4, a local route alone does not allow bind(2).
                call(["nsenter", "--net=" + self.path(name), "sh", "-c",
                      "echo 1 >/proc/sys/net/ipv6/ip_nonlocal_bind"])
            self.ip("mallory",
                    "route add 2001:db8::10/128 via 2001:db8:bad::10")
        except LabError as why:
            print("lab: goes on without IPv6: %s" % why, file=sys.stderr)
            self.ipv6 = False

    def path(self, name):
        if name == "host":
            return "/proc/1/ns/net"
        return "/proc/%d/ns/net" % self.holders[name].pid

    def ip(self, name, *lines):
        call(["nsenter", "--net=" + self.path(name), "chroot", ROOT, "ip",
              "-batch", "-"], "\n".join(lines) + "\n")

    def divert(self, address):
        """Lead packets for this address to the attackers."""
        if ":" in address:
            self.ip("host", "route replace %s/128 via 2001:db8:bad::1 "
                    "src %s" % (address, HOST6))
        else:
            self.ip("host", "route replace %s/32 via 192.0.2.202 dev mal "
                    "src %s" % (address, HOST4))

    def restore(self, address):
        """Undo divert()."""
        self.ip("host", ("route del %s/128" if ":" in address
                         else "route del %s/32") % address)

    def connected(self, address):
        """Is a connection from the host to this address established?"""
        table = "/proc/net/tcp6" if ":" in address else "/proc/net/tcp"
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        raw = socket.inet_pton(family, address)
        wanted = "".join(raw[i:i + 4][::-1].hex().upper()
                         for i in range(0, len(raw), 4))
        with open(table) as lines:
            return any(l.split()[2].startswith(wanted + ":") and
                       l.split()[3] == "01" for l in list(lines)[1:])

    def listen(self, name, address, port=25):
        """A listening TCP socket at one of the three places."""
        result = []

        def make():
            fd = os.open(self.path(name), os.O_RDONLY)
            if libc.setns(fd, CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
            os.close(fd)
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            sock = socket.socket(family)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((address, port))
            sock.listen(128)
            result.append(sock)

        # setns moves one thread; a thread of its own leaves ours at home.
        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        if not result:
            raise LabError("cannot listen on %s:%d" % (address, port))
        return result[0]

    def run(self, name, *argv, text=None, check=True, user=None):
        """Run a program of the private root at one of the places."""
        return call(self.command(name, *argv, user=user), text, check)

    def start(self, name, log, *argv):
        """Start a server of the private root; Popen. Output goes to log."""
        with open(log, "ab") as out:
            return subprocess.Popen(self.command(name, *argv), stdout=out,
                                    stderr=out, stdin=subprocess.DEVNULL)

    def command(self, name, *argv, user=None):
        as_user = ["--userspec=" + user] if user else []
        return ["nsenter", "--net=" + self.path(name), "chroot"] + as_user + \
            [ROOT] + list(argv)


def in_root(path):
    """Where the host sees a file of the servers' root."""
    return ROOT + path


def put(path, text, mode=0o644):
    """Write a file atomically, making its folders."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    data = text if isinstance(text, bytes) else text.encode()
    with open(path + ".new", "wb") as out:
        out.write(data)
    os.chmod(path + ".new", mode)
    os.replace(path + ".new", path)


def keep(path, folder):
    """Copy a file or folder of the run to where it outlives it."""
    os.makedirs(folder, exist_ok=True)
    if os.path.isdir(path):
        shutil.copytree(path, os.path.join(folder, os.path.basename(path)),
                        dirs_exist_ok=True)
    elif os.path.exists(path):
        shutil.copy(path, folder)
