"""Mail comes in: by the programs people use, and not by those who may not."""

import os
import re
import signal
import smtplib
import socket
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lab"))

from check import case, equal, main, true
from daemon import SPOOL, command, sendmail, wait_empty
from lab import Lab
from space import in_root, put, wait_until

sinks = []
TO = "bob@sink.example"
FROM = "carol@relay.example.org"


def make():
    return Lab(())


def start(lab):
    sinks.append(lab.sink("sink.example"))
    lab.start("message size 2M\nrecipients 20\n"
              "listen on 127.0.0.1\nlisten on 192.0.2.10\n")


def wait_sink(token, count=1):
    """The messages with the token, once there are so many; dots undone."""
    def found():
        hits = [m for m in sinks[0].mails if token in m[2]]
        return hits if len(hits) >= count else None
    return wait_until("%r at the sink" % token, found)


def headers(content):
    """Unfolded header lines."""
    head = content.split(b"\r\n\r\n")[0]
    return re.sub(rb"\r\n[ \t]+", b" ", head).split(b"\r\n")


class Talk:
    """A raw SMTP dialogue."""

    def __init__(self, address=("127.0.0.1", 25), source=None):
        if isinstance(address, str):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(10)
            self.sock.connect(address)
        else:
            self.sock = socket.create_connection(address, 10,
                                                 source_address=source)
        self.file = self.sock.makefile("rb")
        self.greeting = self.reply()

    def reply(self):
        while True:
            line = self.file.readline()
            if not line:
                return b""
            if line[3:4] != b"-":
                return line

    def say(self, data):
        """Send bytes (CRLF added to text); the reply line, b"" if closed."""
        if isinstance(data, str):
            data = data.encode() + b"\r\n"
        try:
            self.sock.sendall(data)
            return self.reply()
        except OSError:
            return b""

    def to_data(self):
        equal(self.say("EHLO client.example")[:3], b"250")
        equal(self.say("MAIL FROM:<%s>" % FROM)[:3], b"250")
        equal(self.say("RCPT TO:<%s>" % TO)[:3], b"250")
        equal(self.say("DATA")[:3], b"354")
        return self


@case("sendmail -t: recipients from headers, Bcc removed")
def _(lab):
    done = sendmail("-t", user="carol", text=b"To: Bob <bob@sink.example>\n"
                    b"Bcc: secret@sink.example\nSubject: sub-sendmail\n\n"
                    b"x\n")
    equal(done.code, 0, done.err)
    mail = wait_sink(b"sub-sendmail")[0]
    true(b"secret" not in mail[2], "no Bcc")
    names = [h.split(b":")[0].lower() for h in headers(mail[2])]
    for name in (b"received", b"date", b"message-id", b"from"):
        true(name in names, "%r is among %r" % (name, names))
    true(mail[0].startswith(b"MAIL FROM:<carol@relay.example.org>"), mail[0])
    wait_empty()


@case("sendmail -f and plain arguments; LF, CRLF and mixed line ends")
def _(lab):
    for token, text in ((b"ends-lf", b"Subject: ends-lf\n\na\nb\n"),
                        (b"ends-crlf", b"Subject: ends-crlf\r\n\r\na\r\nb"
                         b"\r\n"),
                        (b"ends-mix", b"Subject: ends-mix\n\na\r\nb\n")):
        done = sendmail("-i", "-f", "boss@example.org", TO, text=text)
        equal(done.code, 0, done.err)
        mail = wait_sink(token)[0]
        true(mail[2].endswith(b"\r\n\r\na\r\nb\r\n"), mail[2][-60:])
        true(mail[0].startswith(b"MAIL FROM:<boss@example.org>"), mail[0])


@case("sendmail without -i ends at a line of one dot, with -i it does not")
def _(lab):
    equal(sendmail(TO, text=b"Subject: dot-ends\n\na\n.\nb\n").code, 0)
    true(wait_sink(b"dot-ends")[0][2].endswith(b"\r\n\r\na\r\n"), "ended")
    equal(sendmail("-i", TO, text=b"Subject: dot-stays\n\na\n.\nb\n").code, 0)
    true(wait_sink(b"dot-stays")[0][2].endswith(b"a\r\n..\r\nb\r\n"),
         "stuffed on the wire")


@case("sendmail: no recipient is a usage error")
def _(lab):
    equal(sendmail("-t", text=b"Subject: nobody\n\n").code, 64)


@case("swaks delivers through the door")
def _(lab):
    done = lab.net.run("host", "swaks", "--server", "127.0.0.1", "--to", TO,
                       "--from", FROM, "--header", "Subject: sub-swaks",
                       check=False)
    equal(done.returncode, 0, done.stdout)
    wait_sink(b"sub-swaks")


@case("curl delivers through the door")
def _(lab):
    put(in_root("/tmp/curl.eml"), "Subject: sub-curl\r\n\r\n.dot\r\n")
    done = lab.net.run("host", "curl", "-sS", "smtp://127.0.0.1:25",
                       "--mail-from", FROM, "--mail-rcpt", TO, "-T",
                       "/tmp/curl.eml", check=False)
    equal(done.returncode, 0, done.stdout)
    true(b"\r\n..dot\r\n" in wait_sink(b"sub-curl")[0][2], "dot is kept")


@case("Python's smtplib delivers through the door")
def _(lab):
    with smtplib.SMTP("127.0.0.1", 25, timeout=20) as smtp:
        smtp.sendmail(FROM, [TO], "Subject: sub-python\r\n\r\nx\r\n")
    wait_sink(b"sub-python")


@case("git send-email delivers through the door, a series of three")
def _(lab):
    for i in range(3):
        put(in_root("/tmp/git/%d.patch" % i),
            "From 0000000000000000000000000000000000000001 Mon Sep 17 "
            "00:00:00 2001\nFrom: Carol <%s>\nDate: Mon, 2 Nov 2026 10:00:00 "
            "+0000\nSubject: [PATCH %d/3] sub-git-%d\n\n---\n x\n" % (
                FROM, i + 1, i))
    done = lab.net.run(
        "host", "sh", "-c", "cd /tmp/git && HOME=/tmp git send-email --quiet "
        "--confirm=never --from='Carol <%s>' --to=%s "
        "--smtp-server=127.0.0.1 *.patch" % (FROM, TO), check=False)
    equal(done.returncode, 0, done.stdout)
    for i in range(3):
        wait_sink(b"sub-git-%d" % i)


@case("Postfix's smtp-source delivers through the door, in parallel")
def _(lab):
    done = lab.net.run("host", "smtp-source", "-s", "5", "-m", "50", "-S",
                       "sub-source", "-f", FROM, "-t", TO, "127.0.0.1:25",
                       check=False)
    equal(done.returncode, 0, done.stdout)
    equal(len(wait_sink(b"sub-source", 50)), 50)
    wait_empty()


@case("Postfix's smtp-source with pipelining off and 100 KB messages")
def _(lab):
    done = lab.net.run("host", "smtp-source", "-d", "-s", "2", "-m", "6",
                       "-l", "100000", "-S", "sub-big", "-f", FROM, "-t", TO,
                       "127.0.0.1:25", check=False)
    equal(done.returncode, 0, done.stdout)
    equal(len(wait_sink(b"sub-big", 6)), 6)


@case("a whole dialogue in one segment (PIPELINING, RFC 2920)")
def _(lab):
    t = Talk()
    t.sock.sendall(b"EHLO c.example\r\nMAIL FROM:<%s>\r\nRCPT TO:<%s>\r\n"
                   b"DATA\r\n" % (FROM.encode(), TO.encode()))
    equal([t.reply()[:3] for _ in range(4)], [b"250"] * 3 + [b"354"])
    equal(t.say(b"Subject: sub-pipe\r\n\r\nx\r\n.\r\n")[:3], b"250")
    wait_sink(b"sub-pipe")


@case("the greeting and EHLO offer what the checklist names")
def _(lab):
    t = Talk()
    true(t.greeting.startswith(b"220 relay.example.org"), t.greeting)
    t.sock.sendall(b"EHLO c.example\r\n")
    lines = []
    while True:
        lines.append(t.file.readline())
        if lines[-1][3:4] == b" ":
            break
    words = [l[4:].strip().split(b" ")[0] for l in lines[1:]]
    for word in (b"PIPELINING", b"SIZE", b"8BITMIME", b"SMTPUTF8", b"DSN",
                 b"CHUNKING", b"ENHANCEDSTATUSCODES"):
        true(word in words, "%r is among %r" % (word, words))


@case("BDAT in several chunks arrives as one message")
def _(lab):
    t = Talk()
    for line in ("EHLO c.example", "MAIL FROM:<%s>" % FROM,
                 "RCPT TO:<%s>" % TO):
        equal(t.say(line)[:3], b"250")
    first, second = b"Subject: sub-bdat\r\n\r\n.a\r\n", b".\r\nb\r\n"
    equal(t.say(b"BDAT %d\r\n%s" % (len(first), first))[:3], b"250")
    equal(t.say(b"BDAT %d LAST\r\n%s" % (len(second), second))[:3], b"250")
    true(wait_sink(b"sub-bdat")[0][2].endswith(b"\r\n\r\n..a\r\n..\r\nb\r\n"),
         "content as it was")


# Who and what is refused.

BARE = [("a bare LF in the content", b"Subject: x\r\n\r\nbare\nline\r\n.\r\n"),
        ("a bare CR in the content", b"Subject: x\r\n\r\nbare\rline\r\n.\r\n"),
        ("an end of data with bare LFs", b"Subject: x\r\n\r\nx\n.\nMAIL FROM:"
         b"<evil@example.org>\r\n.\r\n"),
        ("LF dot CRLF", b"Subject: x\r\n\r\nx\n.\r\nRSET\r\n.\r\n"),
        ("CRLF dot LF", b"Subject: x\r\n\r\nx\r\n.\nRSET\r\n.\r\n"),
        ("CRLF dot CR", b"Subject: x\r\n\r\nx\r\n.\rRSET\r\n.\r\n")]


def refused(name, data):
    @case("%s is refused with 554 and the session closed" % name)
    def _(lab):
        before = len(sinks[0].mails)
        t = Talk().to_data()
        answer = t.say(data)
        true(answer.startswith(b"554 5.6.0"), answer)
        equal(t.say("NOOP"), b"", "closed")
        wait_empty()
        equal(len(sinks[0].mails), before)


for title, octets in BARE:
    refused(title, octets)


@case("a bare LF in a command is refused and the session closed")
def _(lab):
    t = Talk()
    answer = t.say(b"EHLO c.example\nMAIL FROM:<x@y.example>\r\n")
    true(answer[:3] in (b"554", b"500", b"501"), answer)
    equal(t.say("NOOP"), b"", "closed")


@case("a client from elsewhere may not relay: 550 5.7.1 at RCPT")
def _(lab):
    done = lab.net.run(
        "internet", "swaks", "--server", "192.0.2.10", "--to", TO, "--from",
        "eve@elsewhere.example", check=False)
    true("550 5.7.1" in done.stdout, done.stdout)
    true(done.returncode != 0, "swaks failed")


@case("AUTH is not offered in the clear")
def _(lab):
    t = Talk()
    true(t.say("AUTH PLAIN AGEAYg==")[:1] == b"5", "refused")


@case("a message over the size limit is refused: at MAIL, and at the end")
def _(lab):
    t = Talk()
    t.say("EHLO c.example")
    equal(t.say("MAIL FROM:<%s> SIZE=3000000" % FROM)[:9], b"552 5.3.4")
    for lines in (30000, 200000):
        t = Talk().to_data()
        t.sock.sendall(b"Subject: big\r\n\r\n" +
                       (b"x" * 78 + b"\r\n") * lines + b".\r\n")
        equal(t.reply()[:9], b"552 5.3.4", lines)
        equal(t.say("NOOP")[:3], b"250", "the session goes on")


@case("too many recipients: 452 for those over the limit")
def _(lab):
    t = Talk()
    t.say("EHLO c.example")
    t.say("MAIL FROM:<%s>" % FROM)
    codes = [t.say("RCPT TO:<r%d@sink.example>" % i)[:3] for i in range(25)]
    equal(codes, [b"250"] * 20 + [b"452"] * 5)
    equal(t.say("RSET")[:3], b"250")


@case("more than 50 Received: is a loop: 554 5.4.6")
def _(lab):
    t = Talk().to_data()
    equal(t.say(b"Received: by x.example; now\r\n" * 51 +
                b"Subject: loop\r\n\r\n.\r\n")[:9], b"554 5.4.6")


@case("hostile addresses and commands are errors, never accepted")
def _(lab):
    for line in ("MAIL FROM:<a@b@c>", "MAIL FROM:<a\0@b.example>",
                 "MAIL FROM:a@b.example", "RCPT TO:<x@y.example>", "DATA",
                 "MAIL FROM:<%s@b.example>" % ("x" * 65), "BDAT -1",
                 "BDAT 99999999999999999999", "STARTTLS", "FOO",
                 "MAIL FROM:<a@b.example> SIZE=x", "MAIL FROM:<a@[1.2.3>"):
        t = Talk()
        t.say("EHLO c.example")
        answer = t.say(line)
        true(answer[:1] == b"5", "%r for %r" % (answer, line))


@case("an overlong command is 500, and memory does not grow")
def _(lab):
    t = Talk()
    answer = t.say(b"EHLO " + b"x" * 5000 + b"\r\n")
    true(answer[:3] in (b"500", b"501"), answer)


# The machine's own mail.

@case("aliases: mail to root goes to whom /etc/aliases names")
def _(lab):
    put("/etc/aliases", "root: admin\nadmin: chief@sink.example, "
        "deputy@sink.example\n")
    lab.sealpostd.stop()
    lab.sealpostd.start()
    equal(sendmail("root", text=b"Subject: sub-alias\n\nx\n").code, 0)
    rcpts = []

    def both():
        del rcpts[:]
        for m in sinks[0].mails:
            if b"sub-alias" in m[2]:
                rcpts.extend(m[1])
        return len(rcpts) >= 2
    wait_until("two recipients", both)
    equal(sorted(r.split(b"<")[1].split(b">")[0] for r in rcpts),
          [b"chief@sink.example", b"deputy@sink.example"])


@case("... with addresses in its header that others know, too")
def _(lab):
    equal(sendmail("-i", "-FCronDaemon", "-odi", "-oem", "root", text=b"""\
From: root (Cron Daemon)
To: root, Bob <bob@sink.example>
Subject: sub-cron

root
""").code, 0)
    text = wait_sink(b"sub-cron")[0][2]
    true(b"\r\nFrom: root@relay.example.org (Cron Daemon)\r\n"
         b"To: root@relay.example.org, Bob <bob@sink.example>\r\n"
         in text, text)
    true(text.endswith(b"\r\n\r\nroot\r\n"), text)


@case("daemon down: sendmail leaves the mail offline, the start takes it in")
def _(lab):
    wait_empty()
    equal(lab.sealpostd.stop(), 0)
    done = sendmail("-t", user="carol", text=b"To: bob@sink.example\n"
                    b"Subject: sub-offline\n\n.x\n")
    equal(done.code, 0, done.err)
    names = os.listdir(SPOOL + "/offline")
    equal(len(names), 1)
    info = os.stat("%s/offline/%s" % (SPOOL, names[0]))
    equal((info.st_uid, info.st_mode & 0o7777), (7201, 0o600))
    lab.sealpostd.start()
    mail = wait_sink(b"sub-offline")[0]
    true(mail[0].startswith(b"MAIL FROM:<carol@relay.example.org>"), mail[0])
    true(b"\r\n..x\r\n" in mail[2], "dot kept")
    wait_until("the folder to be empty",
               lambda: not os.listdir(SPOOL + "/offline"))


@case("daemon down: as many recipients as there are, whatever the limit")
def _(lab):
    equal(lab.sealpostd.stop(), 0)
    rcpts = [b"off%d@sink.example" % i for i in range(150)]
    done = sendmail("-t", text=b"Bcc: " + b",\n ".join(rcpts) +
                    b"\nSubject: sub-off-many\n\nx\n")
    equal(done.code, 0, done.err)
    mark = lab.sealpostd.mark()
    lab.sealpostd.start()
    e = lab.sealpostd.wait_event("offline", mark)
    equal(e["status"], "250", e["line"])
    wait_empty()
    got = [r for m in sinks[0].mails if b"sub-off-many" in m[2]
           for r in m[1]]
    equal((len(got), len(set(got))), (150, 150))


@case("daemon down: what is refused later for some is kept, and said")
def _(lab):
    equal(lab.sealpostd.stop(), 0)
    done = sendmail(TO, "x@[192.0.2.1]", text=b"Subject: sub-off-part\n\n")
    equal(done.code, 0, done.err)
    mark = lab.sealpostd.mark()
    lab.sealpostd.start()
    wait_sink(b"sub-off-part")
    e = lab.sealpostd.wait_event("offline", mark)
    equal(e["status"], "554", e["line"])
    true(e["text"].startswith("in part: 550 5.1.2"), e["line"])
    equal(os.listdir(SPOOL + "/offline"), ["refused-" + e["file"]])
    os.unlink(SPOOL + "/offline/refused-" + e["file"])


@case("the queue is down alone: sendmail leaves the mail offline as well")
def _(lab):
    equal(sendmail(TO, text=b"Subject: sub-warm\n\n").code, 0)
    wait_sink(b"sub-warm")
    over = threading.Event()

    def kill():
        while not over.wait(0.01):
            for pid in lab.sealpostd.pids("queue"):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
    killer = threading.Thread(target=kill)
    killer.start()
    try:
        for i in range(4):
            done = sendmail(TO, text=b"Subject: sub-noq-%d\n\n" % i)
            equal(done.code, 0, done)
    finally:
        over.set()
        killer.join()
    lab.sealpostd.stop()
    lab.sealpostd.start()
    for i in range(4):
        wait_sink(b"sub-noq-%d" % i)
    wait_empty()


@case("the offline folder is not believed: links, sockets, foreign modes")
def _(lab):
    equal(lab.sealpostd.stop(), 0)
    folder = SPOOL + "/offline/"
    put("/run/lab/secret", "MAIL FROM:<x@relay.example.org>\r\nRCPT TO:"
        "<bob@sink.example>\r\nDATA\r\nSubject: sub-link\r\n\r\n.\r\n", 0o600)
    os.symlink("/run/lab/secret", folder + "link")
    os.mkfifo(folder + "fifo")
    put(folder + "loose", "MAIL FROM:<x@relay.example.org>\r\nRCPT TO:"
        "<bob@sink.example>\r\nDATA\r\nSubject: sub-loose\r\n\r\n.\r\n",
        0o666)
    lab.sealpostd.start()
    equal(sendmail(TO, text=b"Subject: sub-after\n\nx\n").code, 0)
    wait_sink(b"sub-after")
    for m in sinks[0].mails:
        true(b"sub-link" not in m[2] and b"sub-loose" not in m[2],
             "not taken")
    for name in ("link", "fifo", "loose"):
        if os.path.lexists(folder + name):
            os.unlink(folder + name)


@case("-bs speaks SMTP on standard input and output")
def _(lab):
    done = command("/usr/local/sbin/sendmail", "-bs", user="dave",
                   stdin=b"EHLO x\r\nMAIL FROM:<dave@relay.example.org>\r\n"
                   b"RCPT TO:<bob@sink.example>\r\nDATA\r\nSubject: sub-bs"
                   b"\r\n\r\nx\r\n.\r\nQUIT\r\n")
    equal(done.code, 0, done.err)
    true(done.out.startswith("220 "), done.out[:80])
    wait_sink(b"sub-bs")


main(make, start)
