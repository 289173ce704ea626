"""What others push at us has an end: memory, sessions, time (section 9)."""

import collections
import os
import resource
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lab"))

from check import case, equal, main, true
from daemon import queue, sanitised, sealpost, sendmail, wait_empty
from lab import Lab
from script import Script
from space import put, wait_until

FROM = "carol@relay.example.org"
MIB = 1024  # KiB
LIMIT = (400 if sanitised() else 40) * MIB
host = []


def make():
    return Lab(())


def start(lab):
    host.append(lab.sink("a.example", kind=Script))
    put("/etc/aliases", "root: bob@a.example\nloop1: loop2\nloop2: loop1\n"
        "pipe: \"|/bin/sh\"\nfile: /etc/shadow\ninc: :include:/etc/passwd\n"
        "many: %s\n" % ", ".join("m%d@a.example" % i for i in range(50)))
    lab.start("message size 20M\nqueue retry 1s up to 2s\nrecipients 5000\n"
              "listen on 127.0.0.1\nlisten on 192.0.2.10\n")


def peaks(lab):
    """{role: KiB}, the most that any process of a role ever held."""
    found = {}
    for role, pids in lab.sealpostd.roles().items():
        for pid in pids:
            with open("/proc/%d/status" % pid) as status:
                for line in status:
                    if line.startswith("VmHWM:"):
                        found[role] = max(found.get(role, 0),
                                          int(line.split()[1]))
    return found


def bounded(lab):
    held = peaks(lab)
    true(max(held.values()) < LIMIT, held)


def talk(data, source=None, seconds=20):
    """Send all of it, as far as it is taken; all that comes back."""
    with socket.create_connection(("127.0.0.1", 25), seconds) as sock:
        sock.settimeout(seconds)
        answer = sock.recv(1000)
        try:
            for piece in data if not isinstance(data, bytes) else [data]:
                sock.sendall(piece)
            sock.shutdown(socket.SHUT_WR)
            while True:
                more = sock.recv(65536)
                if not more:
                    break
                answer += more
        except OSError:
            pass
        return answer


HELLO = b"EHLO c.example\r\nMAIL FROM:<a@b.example>\r\n"
TO = HELLO + b"RCPT TO:<bob@a.example>\r\n"


@case("a local part of 64 KB, a command without end: refused, bounded")
def _(lab):
    answer = talk(HELLO + b"RCPT TO:<%s@a.example>\r\nNOOP\r\nQUIT\r\n" % (
        b"l" * 65536))
    true(b"\r\n500 " in answer or b"\r\n501 " in answer, answer)
    talk([HELLO] + [b"R" * 65536] * 500)  # a reset may eat the reply
    bounded(lab)


@case("a header without end, a line without end: refused, bounded")
def _(lab):
    for unit in (b"X-A: b\r\n" * 8000, b" folded\r\n" * 8000, b"y" * 65536,
                 b"Received: by x\r\n" * 4000, b"To: a,b,c,,,,\r\n" * 4000):
        answer = talk([TO + b"DATA\r\nSubject: x\r\n"] + [unit] * 200 +
                      [b"\r\n.\r\nQUIT\r\n"])
        true(b"\r\n55" in answer, repr((unit[:20], answer[-200:])))
    bounded(lab)
    equal(queue(), [])


@case("5,000 recipients and not one more")
def _(lab):
    many = b"".join(b"RCPT TO:<r%d@a.example>\r\n" % i for i in range(6000))
    answer = talk(HELLO + many + b"QUIT\r\n")
    equal((answer.count(b"\r\n250 2.1.5"), answer.count(b"\r\n452 ")),
          (5000, 1000))
    bounded(lab)


@case("a client that reads nothing does not make us hold its replies")
def _(lab):
    with socket.create_connection(("127.0.0.1", 25), 10) as sock:
        sock.settimeout(2)
        sent = 0
        try:
            while sent < 60 << 20:
                sent += sock.send(b"HELP\r\n" * 10000)
        except OSError:
            pass
        bounded(lab)
    equal(talk(b"QUIT\r\n")[:3], b"220")


@case("a flood of connections: refused with 421, others are served")
def _(lab):
    resource.setrlimit(resource.RLIMIT_NOFILE, (20000, 20000))
    socks = []
    for _ in range(3000):
        sock = socket.socket()
        sock.settimeout(10)
        sock.connect(("127.0.0.1", 25))
        socks.append(sock)
    bounded(lab)
    done = sendmail("-f", FROM, "bob@a.example", text=b"\n\nx\n")
    equal(done.code, 0, repr(done))
    equal(sealpost("status").code, 0)
    for sock in socks:
        sock.close()
    wait_until("room", lambda: talk(b"QUIT\r\n")[:3] == b"220")
    wait_empty()


@case("few descriptors: as many sessions as they are enough for, others 421")
def _(lab):
    listener = lab.sealpostd.pids("listen")[0]
    resource.prlimit(lab.sealpostd.process.pid, resource.RLIMIT_NOFILE,
                     (200, 200))
    os.kill(listener, signal.SIGKILL)
    wait_until("another listener",
               lambda: listener not in lab.sealpostd.pids("listen"))
    wait_until("it answers", lambda: talk(b"QUIT\r\n")[:3] == b"220")
    socks = []
    said = collections.Counter()
    for _ in range(250):
        sock = socket.create_connection(("127.0.0.1", 25), 10)
        socks.append(sock)
        said[sock.recv(3)] += 1
        if said[b"421"] == 0:  # with a body each
            sock.sendall(TO + b"DATA\r\n\r\n")
    true(set(said) <= {b"220", b"421"}, said)
    taken = 0
    for sock in socks[:said[b"220"]]:
        sock.sendall(b"x\r\n.\r\nQUIT\r\n")
        answer = b""
        while b"\n221 " not in answer:
            answer += sock.recv(1000) or b"\n221 "
        taken += b"\n250 2.0.0 " in answer.split(b"\n354")[-1]
    equal(taken, said[b"220"], "messages taken")
    for sock in socks:
        sock.close()
    wait_empty()


@case("sessions of strangers: a few lines a second in the log, the rest counted")
def _(lab):
    mark = lab.sealpostd.mark()
    began = time.monotonic()
    for _ in range(300):
        with socket.create_connection(("192.0.2.10", 25), 10) as sock:
            sock.sendall(b"EHLO c.example\r\nMAIL FROM:<a@b.example>\r\n"
                         b"RCPT TO:<bob@a.example>\r\nQUIT\r\n")
            while sock.recv(1000):
                pass
    seconds = time.monotonic() - began

    def counted():
        return sum(int(e["count"]) for e in lab.sealpostd.events(
            "sessions-not-logged", mark))
    wait_until("all 300 to be told of", lambda: counted() + len(
        lab.sealpostd.events("session", mark)) == 300)
    true(len(lab.sealpostd.lines(mark)) < 12 * (seconds + 2),
         "%d lines in %.1f s" % (len(lab.sealpostd.lines(mark)), seconds))


@case("replies of a host: a megabyte to each command costs little")
def _(lab):
    for verb in ("greeting", "EHLO", "RCPT", "dot"):
        host[0].cut()
        host[0].say[verb] = lambda s, line: "250-" + "x" * (1 << 20)
        mark = lab.sealpostd.mark()
        sendmail("-f", FROM, "bob@a.example", text=b"\n\nx\n")
        e = lab.sealpostd.wait_event("deferred", mark)
        equal(e["reason"], "protocol-error", e["line"][:300])
        true(len(e["line"]) < 3000, "a short line")
        host[0].say.clear()
        sealpost("retry", "all")
        wait_empty()
    bounded(lab)


# sendmail: the user's own process, but not without bounds either.

def run_sendmail(pieces, *args, memory=None):
    """Exit code, error text and peak KiB of sendmail fed with pieces."""
    path = "/run/lab/input"
    with open(path, "wb") as out:
        for piece in pieces:
            out.write(piece)
    with open(path, "rb") as text:
        process = subprocess.Popen(
            ["/usr/local/sbin/sendmail"] + list(args), stdin=text,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        said = process.stderr.read(10000).decode()
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    os.unlink(path)
    return process.returncode, said, usage.ru_maxrss


@case("sendmail -t with a million commas, brackets, comments: quick, bounded")
def _(lab):
    for text in (b"," * 1000000, b"<" * 1000000, b"(" * 1000000,
                 b"\"" * 999999, b"a:" * 500000, b"a@b.example," * 80000):
        code, said, peak = run_sendmail([b"To: ", text, b"\n\nx\n"], "-t",
                                        "-f", FROM)
        true(code in (64, 65, 67, 69, 75, 78), repr((text[:10], code, said)))
        true(said and len(said) < 2000, said[:300])
        true(peak < 10 * LIMIT, peak)
    equal(queue(), [])
    bounded(lab)


@case("a body over the limit: refused with words, nothing is queued")
def _(lab):
    code, said, peak = run_sendmail([b"Subject: x\n\n"] + [
        b"z" * 70 + b"\n"] * 1400000, "-f", FROM, "bob@a.example")
    true(code in (65, 69), repr((code, said)))
    true("large" in said, said)
    true(peak < 4 * LIMIT, peak)
    bounded(lab)
    equal(queue(), [])


@case("18 MB by sendmail arrive whole")
def _(lab):
    body = [b"%07d%s\n" % (i, b"q" * 70) for i in range(230000)]
    code, said, _ = run_sendmail([b"Subject: b-whole\n\n"] + body, "-i",
                                 "-f", FROM, "bob@a.example")
    equal(code, 0, said)
    wait_until("it", lambda: [m for m in host[0].mails
                              if b"b-whole" in m[2][:2000]])
    mail = [m for m in host[0].mails if b"b-whole" in m[2][:2000]][0][2]
    equal(mail.split(b"\r\n\r\n", 1)[1] ==
          b"".join(body).replace(b"\n", b"\r\n"), True)
    wait_empty()
    bounded(lab)


@case("sendmail: as many recipients as `recipients` says are one message")
def _(lab):
    rcpts = ["r%d@a.example" % i for i in range(1500)]
    mark = lab.sealpostd.mark()
    done = sendmail("-t", "-f", FROM, text=("Bcc: " + ",\n ".join(rcpts) +
                    "\nSubject: b-rcpts\n\nx\n").encode())
    equal(done.code, 0, done.err)
    wait_until("all", lambda: sum(len(m[1]) for m in host[0].mails
                                  if b"b-rcpts" in m[2]) == 1500, 30)
    equal([e["nrcpt"] for e in lab.sealpostd.events("accepted", mark)],
          ["1500"])


@case("aliases: loops end in an error, pipes, files, includes are refused")
def _(lab):
    done = sendmail("-f", FROM, "loop1", text=b"\n\nx\n")
    true(done.code != 0 and "alias" in done.err, repr(done))
    for name in ("pipe", "file", "inc@localhost"):
        done = sendmail("-f", FROM, name, text=b"\n\nx\n")
        equal((done.code, "alias" in done.err), (67, True), repr(done))
    true([l for l in lab.sealpostd.lines() if "/etc/aliases:4:" in l and
          "pipes are not supported" in l], "logged by its line")
    equal(sendmail("-f", FROM, "many", text=b"Subject: b-many\n\nx\n").code,
          0)
    wait_until("all fifty", lambda: sum(len(m[1]) for m in host[0].mails
                                        if b"b-many" in m[2]) == 50)


@case("sendmail's other faces: -bd has a hint, unknown ones are usage errors")
def _(lab):
    done = sendmail("-bd")
    true(done.code != 0 and "sealpostd" in done.err, repr(done))
    equal(sendmail("-bp").code, 0)
    equal(sendmail("-bi").code, 0)
    for args in (["-bz"], ["-f"], ["-t", "-f"], []):
        equal(sendmail(*args, text=b"\n\nx\n").code, 64, args)
    for args in (["-oi", "-om", "-oem", "-odb", "-B8BITMIME", "-h", "5",
                  "-L", "tag", "-p", "smtp", "-G", "-n", "-U",
                  "-F", "Carol C", "-X", "/dev/null"],):
        equal(sendmail(*args, "-f", FROM, "--", "bob@a.example",
                       text=b"\n\nx\n").code, 0, args)
    wait_empty()


@case("at the end each process holds little, and all still run")
def _(lab):
    bounded(lab)
    equal(lab.sealpostd.events("died"), [])
    true(all(lab.sealpostd.roles().values()), lab.sealpostd.roles())


main(make, start)
