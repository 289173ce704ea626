"""Who runs as whom, and with what powers: /proc of each running role."""

import os
import pwd
import stat
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lab"))

from check import case, equal, main, true
from daemon import ROLES, SOCKET, SPOOL, command, sealpost
from lab import Lab

USERS = {"listen": "_sealpost", "queue": "_sealpostq", "policy": "_sealpost",
         "deliver": "_sealpost"}
ROOTS = {"listen": None, "queue": SPOOL, "policy": SPOOL + "/policy",
         "deliver": None}


def make():
    return Lab(())


def start(lab):
    lab.start()


def facts(pid):
    with open("/proc/%d/status" % pid) as status:
        return dict(l.rstrip("\n").split(":\t", 1) for l in status
                    if ":\t" in l)


@case("every role runs, delivery once a processor")
def _(lab):
    family = lab.sealpostd.roles()
    for role in ROLES[:3]:
        equal(len(family[role]), 1, role)
    equal(len(family["deliver"]), len(os.sched_getaffinity(0)))


def show(role):
    @case("%s: its own user, no groups of others, no way back" % role)
    def _(lab):
        user = pwd.getpwnam(USERS[role])
        for pid in lab.sealpostd.roles()[role]:
            f = facts(pid)
            equal(f["Uid"].split(), [str(user.pw_uid)] * 4)
            equal(f["Gid"].split(), [str(user.pw_gid)] * 4)
            true(f["Groups"].split() in ([], [str(user.pw_gid)]),
                 "groups: " + f["Groups"])

    @case("%s: no capabilities, no_new_privs, seccomp filter" % role)
    def _(lab):
        for pid in lab.sealpostd.roles()[role]:
            f = facts(pid)
            for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
                equal(int(f[name], 16), 0, name)
            equal(f["NoNewPrivs"], "1")
            if not os.environ.get("SAN"):
                equal(f["Seccomp"], "2")

    @case("%s: a root directory of its own, and it stands there" % role)
    def _(lab):
        for pid in lab.sealpostd.roles()[role]:
            root = os.readlink("/proc/%d/root" % pid)
            true(root != "/", "chrooted: " + root)
            if ROOTS[role]:
                true(root.startswith(ROOTS[role]), root)
            else:
                seen = os.listdir("/proc/%d/root" % pid)
                equal(seen, [], "an empty root")
            equal(os.readlink("/proc/%d/cwd" % pid), root)

    @case("%s: not dumpable: its /proc belongs to root" % role)
    def _(lab):
        for pid in lab.sealpostd.roles()[role]:
            equal(os.stat("/proc/%d/maps" % pid).st_uid, 0)
            done = command("cat", "/proc/%d/maps" % pid, user=USERS[role])
            true(done.code != 0, "its own user cannot read its memory map")

    @case("%s: holds only sockets, pipes and files it was given" % role)
    def _(lab):
        for pid in lab.sealpostd.roles()[role]:
            for fd in os.listdir("/proc/%d/fd" % pid):
                try:
                    name = os.readlink("/proc/%d/fd/%s" % (pid, fd))
                except OSError:
                    continue
                true(not name.startswith(("/etc/", "/root")), name)


for each in ROLES:
    show(each)


@case("the parent is root, and only the parent")
def _(lab):
    roots = [p for p in lab.sealpostd.pids() if facts(p)["Uid"].split()[0]
             == "0"]
    equal(roots, [lab.sealpostd.process.pid])


def mode(path):
    info = os.stat(path)
    return "%s:%04o" % (pwd.getpwuid(info.st_uid).pw_name,
                        stat.S_IMODE(info.st_mode))


@case("socket and spool have the owners and modes of the interface")
def _(lab):
    equal(mode(SOCKET)[-4:], "0666")
    equal(mode(SPOOL), "root:0711")
    equal(mode(SPOOL + "/queue"), "_sealpostq:0700")
    equal(mode(SPOOL + "/policy"), "_sealpost:0700")
    equal(mode(SPOOL + "/offline"), "root:1733")


@case("nothing installed is setuid or setgid")
def _(lab):
    for folder, _, names in os.walk("/usr/local"):
        for name in names:
            bits = os.lstat(os.path.join(folder, name)).st_mode
            true(not bits & (stat.S_ISUID | stat.S_ISGID), name)


@case("an unsafe spool is refused at start, by its path")
def _(lab):
    equal(lab.sealpostd.stop(), 0)
    os.chmod(SPOOL + "/queue", 0o777)
    lab.sealpostd.start(ready=False)
    true(lab.sealpostd.process.wait(10) != 0, "it did not start")
    true(SPOOL + "/queue" in lab.sealpostd.tail(5), "the path is named")
    os.chmod(SPOOL + "/queue", 0o700)
    lab.sealpostd.start()
    equal(sealpost("status").code, 0)


main(make, start)
