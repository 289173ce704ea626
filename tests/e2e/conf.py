"""sealpost.conf: each directive, each error by its line, and unsafe files."""

import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lab"))

from check import case, equal, main, true
from daemon import CONF, SPOOL, command, sealpost
from lab import Lab
from space import put, wait_until

FILE = "/run/lab/t.conf"


def make():
    return Lab(())


def start(lab):
    put("/run/lab/secret", "user:password\n", 0o600)
    put("/run/lab/loose", "user:password\n", 0o644)
    lab.start()


def check(text):
    """`sealpostd -n`: exit code, and what it says with FILE as F."""
    put(FILE, text)
    done = command("/usr/local/sbin/sealpostd", "-n", "-f", FILE)
    return done.code, (done.out + done.err).replace(FILE, "F").strip()


GOOD = """# all of it
hostname relay.example.org
listen on 127.0.0.1 port 2525
listen on ::1
listen on [::1] port 26
relay from 127.0.0.0/8 ::1 10.0.0.0/8
relay from 2001:db8::/32
resolver 127.0.0.1 port 53
resolver 192.0.2.53 trusted
tls opportunistic until 2099-01-31 because "two words # no comment"
allow private 10.0.0.0/8 fc00::/7
message size 25M\t# a comment
recipients 100
queue directory /var/spool/sealpost
queue expire 5d
queue warn 4h tls 1h
queue retry 30s up to 4h
connections 20
aliases /etc/aliases
source 192.0.2.10
source 2001:db8::10
destination example.net {
    tls strict
    via smtp.example.net port 587
    auth /run/lab/secret
    connections 5
    rate 100 per 1m
}
destination .example.net { tls require }
destination * { connections 2 }
destination b\u00fccher.example { via mx.example.net implicit-tls }"""

BAD = [
    ("hostname", "`hostname` wants NAME"),
    ("hostname a..b", "an empty label"),
    ("hostname a b", "one word too many"),
    ("listen on localhost", "not an IP address"),
    ("listen on 127.0.0.1 port 0", "not a port"),
    ("listen on 127.0.0.1\nlisten on 127.0.0.1 port 25", "2: the same"),
    ("listen on 192.0.2.1 tls cert /c key /k", "not yet supported"),
    ("listen on 192.0.2.1 auth /p", "not yet supported"),
    ("dkim example.org selector s1 key /k", "not yet supported"),
    ("report tls from r@example.org", "not yet supported"),
    ("metrics on 127.0.0.1 port 9725", "not yet supported"),
    ("relay from 0.0.0.0/0", "open relay"),
    ("relay from ::/0", "open relay"),
    ("relay from 0.0.0.0/1 128.0.0.0/1", "open relay"),
    ("relay from ::ffff:0:0/96", "open relay"),
    ("relay from 10.0.0.1/8", "bits are set"),
    ("resolver ns.example", "not an IP address"),
    ("trust /nonexistent", "No such file"),
    ("trust ca.pem", "no absolute path"),
    ("trust /etc/passwd", "no certificate"),
    ("tls never", "no TLS level"),
    ("tls opportunistic", "until DATE because TEXT"),
    ("tls opportunistic until 2027-02-30 because x", "not a date"),
    ("tls require until 2027-01-31 because x", "alone"),
    ("tls require\ntls strict", "2: `tls` is already on line 1"),
    ("message size 10", "not between"),
    ("message size 50MB", "not a size"),
    ("recipients 0", "too small"),
    ("queue expire 5", "not a duration"),
    ("queue expire 0s", "too short"),
    ("queue warn 1h tls 4h", "later"),
    ("queue warn never tls 1h", "one word too many"),
    ("queue retry 4h up to 5m", "shorter"),
    ("queue retry 5m", "DURATION up to DURATION"),
    ("queue directory spool", "no absolute path"),
    ("connections 1001", "too large"),
    ("aliases /nonexistent", "No such file"),
    ("aliases /etc", "not a regular file"),
    ("aliases etc", "no absolute path"),
    ("aliases", "wants FILE"),
    ("source 1.2.3.4\nsource 1.2.3.5", "2: a second source"),
    ("destination x.example", "wants NAME { ... }"),
    ("destination x.example {", "not closed"),
    ("}", "closes nothing"),
    ("destination x.example {\nhostname a.b\n}", "2: `hostname` cannot"),
    ("via mx.example.net", "only in a destination block"),
    ("destination x.example {\nvia 192.0.2.1\n}", "2: `via` wants a host"),
    ("destination x.example {\nauth /run/lab/secret\n}", "2: `auth` wants"),
    ("destination x.example {\nvia m.b\nauth /run/lab/loose\n}", "F:3: "),
    ("destination x.example {\nrate 5\n}", "2: `rate` wants"),
    ("destination x.example { }\ndestination X.Example { }", "already on"),
    ("hostnam x.example", "is it `hostname`?"),
    ("hostname \"a.example", "not closed"),
    ("hostname a.example\r", "carriage return"),
    ("include /etc/other", "unknown directive"),
]


@case("every directive of the manual, in one file: configuration OK")
def _(lab):
    equal(check(GOOD), (0, "configuration OK"))
    equal(check(""), (0, "configuration OK"))


def bad(text, words):
    @case("refused, with line and reason: " + text.replace("\n", " / "))
    def _(lab):
        code, said = check(text)
        equal(code, 1, said)
        true(said.startswith("F:") and words in said, said)
        true(all(len(l) < 200 for l in said.splitlines()), said)
        true("null" not in said, said)


for _text, _words in BAD:
    bad(_text, _words)


@case("all errors of a file in one pass, those of files it names too")
def _(lab):
    texts = [t for t, _ in BAD if "\n" not in t and "destination" not in t
             and t not in ("}", "tls require")]
    code, said = check("\n".join(texts) + "\n")
    equal(code, 1)
    lines = [int(l.split(":")[1]) for l in said.splitlines()]
    equal(set(lines), set(range(1, len(texts) + 1)), said)


@case("... and where they are too many, that there are more")
def _(lab):
    code, said = check("x\n" * 202)
    lines = said.splitlines()
    equal((code, len(lines), lines[199][:6], lines[200]),
          (1, 201, "F:200:", "F: further errors are not shown"))


@case("what a start would refuse is refused: a machine without a usable name")
def _(lab):
    socket.sethostname("my_machine")
    try:
        code, said = check("connections 5\n")
        equal((code, "write a `hostname` line" in said), (1, True), said)
        equal(check("hostname a.example\n"), (0, "configuration OK"))
    finally:
        socket.sethostname("relay.example.org")


@case("noise is refused line by line, without control characters")
def _(lab):
    for text in (os.urandom(20000), b"\0" * 100, b"\x1b[31m\n", b"a\xff\n",
                 b"{" * 5000, b"x " * 5000, b"\xef\xbb\xbfhostname a.b\n"):
        with open(FILE, "wb") as out:
            out.write(text)
        done = command("/usr/local/sbin/sealpostd", "-n", "-f", FILE)
        equal(done.code, 1, text[:40])
        true("\x1b" not in done.err + done.out, "no escape")


@case("a configuration that is no plain file, or others may write: refused")
def _(lab):
    for make_it, words in (
            (lambda: os.mkdir(FILE), "not a regular file"),
            (lambda: os.mkfifo(FILE), "not a regular file"),
            (lambda: os.symlink("/nonexistent", FILE), "No such file"),
            (lambda: put(FILE, "x" * (2 << 20)), "")):
        remove()
        make_it()
        done = command("/usr/local/sbin/sealpostd", "-n", "-f", FILE)
        equal(done.code, 1, repr(done))
        true(FILE in done.err + done.out and
             words in done.err + done.out, repr(done))
    remove()


def remove():
    if os.path.isdir(FILE) and not os.path.islink(FILE):
        os.rmdir(FILE)
    elif os.path.lexists(FILE):
        os.unlink(FILE)


def refuses_to_start(path):
    done = command("timeout", "10", "/usr/local/sbin/sealpostd", "-d", "-f",
                   CONF)
    equal(done.code, 1, repr(done))
    true(path in done.err + done.out, repr(done))


@case("unsafe folders: no start, and the path is named")
def _(lab):
    equal(lab.sealpostd.stop(), 0)
    for path, bad_mode in ((SPOOL, 0o777), (SPOOL + "/queue", 0o755),
                           (SPOOL + "/policy", 0o770),
                           (SPOOL + "/offline", 0o777),
                           ("/run/sealpost", 0o777)):
        mode = os.stat(path).st_mode & 0o7777
        os.chmod(path, bad_mode)
        refuses_to_start(path)
        os.chmod(path, mode)
    for path in (SPOOL, SPOOL + "/queue", SPOOL + "/policy"):
        info = os.stat(path)
        os.chown(path, 7201, -1)
        refuses_to_start(path)
        os.chown(path, info.st_uid, -1)


@case("... a link or a file where a folder should be as well")
def _(lab):
    for name in ("queue", "policy", "offline"):
        path = "%s/%s" % (SPOOL, name)
        os.rename(path, path + ".old")
        os.mkdir("/run/lab/elsewhere")
        os.symlink("/run/lab/elsewhere", path)
        refuses_to_start(path)
        os.unlink(path)
        put(path, "")
        refuses_to_start(path)
        os.unlink(path)
        os.rmdir("/run/lab/elsewhere")
        os.rename(path + ".old", path)
    lab.sealpostd.start()


@case("files have the owners and modes of the interface, whatever the umask")
def _(lab):
    equal(lab.sealpostd.stop(), 0)
    for mask in (0o077, 0):
        command("sh", "-c", "rm -rf %s /run/sealpost" % SPOOL)
        old = os.umask(mask)
        lab.sealpostd.start()
        os.umask(old)
        for path, mode in ((SPOOL, 0o711), (SPOOL + "/queue", 0o700),
                           (SPOOL + "/policy", 0o700),
                           (SPOOL + "/offline", 0o1733),
                           ("/run/sealpost/sealpost.sock", 0o666)):
            equal(oct(os.stat(path).st_mode & 0o7777), oct(mode), path)
        for path, _, names in os.walk(SPOOL + "/queue"):
            for name in names:
                equal(os.stat(path + "/" + name).st_mode & 0o077, 0, name)
        equal(lab.sealpostd.stop(), 0)
    lab.sealpostd.start()


@case("reload with errors: exit 1, each line said, the old one in force")
def _(lab):
    put(CONF, "nonsense\n" * 100 + "message size x\n")
    done = sealpost("reload")
    equal((done.code, done.out), (1, ""), repr(done))
    lines = done.err.splitlines()
    equal(len(lines), 101, done.err[:300])
    true(lines[0].startswith("sealpost: %s:1: " % CONF), lines[0])
    true(lines[100].startswith("%s:101: `x`" % CONF), lines[100])
    equal(sealpost("status").code, 0)
    put(CONF, "")
    equal(sealpost("reload").code, 0)


main(make, start)
