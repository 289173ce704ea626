"""The disk fails: full, damaged. Nothing acknowledged is lost."""

import glob
import json
import os
import smtplib
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lab"))

from check import case, equal, main, true
from daemon import SPOOL, queue, sealpost, sendmail, wait_empty, wait_queue
from lab import Lab
from script import Script
from space import call, wait_until

FROM = "carol@relay.example.org"
SIZE = "48m"
host = []
filler = SPOOL + "/filler"


def make():
    return Lab(())


def start(lab):
    host.append(lab.sink("a.example", kind=Script))
    os.makedirs(SPOOL, mode=0o711)
    call(["mount", "-t", "tmpfs", "-o", "mode=711,size=" + SIZE, "spool",
          SPOOL])
    lab.start("queue retry 1s up to 2s\n")


def submit(token, size=100, to="bob@a.example"):
    """The reply to one message by SMTP: its code and text."""
    with smtplib.SMTP("127.0.0.1", 25, timeout=30) as smtp:
        smtp.ehlo("client.example")
        smtp.mail(FROM)
        smtp.rcpt(to)
        try:
            return smtp.data(b"Subject: %s\r\n\r\n%s" % (
                token.encode(), (b"x" * 70 + b"\r\n") * (size // 72 + 1)))
        except smtplib.SMTPDataError as refused:
            return refused.smtp_code, refused.smtp_error


def status():
    return json.loads(sealpost("status", "--json").out)


def fill():
    """No space is left, whatever is preallocated."""
    fd = os.open(filler, os.O_WRONLY | os.O_CREAT)
    size = 1 << 20
    while size > 0:
        try:
            os.write(fd, b"f" * size)
        except OSError:
            size //= 16
    os.close(fd)


def until_refused(token):
    """Submit until it is refused; tokens taken, and the refusal."""
    taken = []
    for i in range(600):
        name = "%s-%03d." % (token, i)
        code, text = submit(name, 200000)
        if code != 250:
            return taken, code, text
        taken.append(name)
    return taken, 250, b"never refused"


def arrived(tokens):
    def all_here():
        text = b"".join(m[2][:2000] for m in host[0].mails)
        return all(t.encode() in text for t in tokens)
    wait_until("all that was taken to arrive", all_here, 30)


@case("full: 452 for new mail, what was taken stays, an alarm in the log")
def _(lab):
    equal(submit("d-first")[0], 250)
    wait_empty()
    host[0].say["MAIL"] = "450 4.3.0 not now"
    mark = lab.sealpostd.mark()
    equal(submit("d-kept")[0], 250)
    fill()
    lab.taken, code, text = until_refused("d-full")
    equal((code, text[:5]), (452, b"4.3.1"))
    alarm = wait_until("an alarm", lambda: [
        l for l in lab.sealpostd.lines(mark) if "No space left" in l])
    true(len(alarm) <= 5, "few lines: %r" % alarm)


@case("... a refusal at once at the next, also for what is large")
def _(lab):
    for size in (100, 400000):
        code, text = submit("d-again", size)
        true(code in (451, 452) and text.startswith(b"4.3"), text)
    done = sendmail("bob@a.example", text=b"Subject: d-cmd\n\nx\n")
    equal(done.code, 75, repr(done))
    true(done.err.strip(), "it says why")


@case("... `status` tells")
def _(lab):
    true("space" in (status()["spool_error"] or ""), status())
    equal(status()["spool_failing"], True)
    true("No space left" in sealpost("status").out, "in words")


@case("... deliveries go on, and orders are obeyed")
def _(lab):
    del host[0].say["MAIL"]
    equal(sealpost("retry", "all").code, 0)
    arrived(["d-kept"] + lab.taken)
    wait_empty()


@case("... what was delivered is not sent again after a kill -9 of all")
def _(lab):
    before = len(host[0].mails)
    time.sleep(1)  # results are durable within 0.1
    lab.sealpostd.kill_all()
    lab.sealpostd.start()
    sealpost("retry", "all")
    wait_empty()
    equal(len(host[0].mails), before)
    fill()  # a restart cuts what was preallocated
    taken, code, _ = until_refused("d-more")
    equal(code, 452)
    arrived(taken)


@case("space again: mail is taken without a restart, and the log says so")
def _(lab):
    mark = lab.sealpostd.mark()
    os.unlink(filler)
    wait_until("250 again", lambda: submit("d-space")[0] == 250)
    arrived(["d-space"])
    equal(status()["spool_error"], None)
    true([l for l in lab.sealpostd.lines(mark) if "spool" in l or
          "queue" in l.split("process=")[0]], "a line says it is over")


@case("a full disk at start: it starts, and delivers what there is")
def _(lab):
    host[0].say["MAIL"] = "450 4.3.0 not now"
    equal(submit("d-before")[0], 250)
    wait_queue(1, state="deferred")
    equal(lab.sealpostd.stop(), 0)
    fill()
    del host[0].say["MAIL"]
    lab.sealpostd.start()
    sealpost("retry", "all")
    arrived(["d-before"])
    wait_empty()
    os.unlink(filler)
    wait_until("250 again", lambda: submit("d-after")[0] == 250)
    wait_empty()


def fill_with_mail(lab, token):
    """The spool fills the disk itself, and is started anew."""
    host[0].say["MAIL"] = "450 4.3.0 not now"
    taken, code, _ = until_refused(token)
    equal(code, 452)
    equal(lab.sealpostd.stop(), 0)
    lab.sealpostd.start()
    del host[0].say["MAIL"]
    return taken


@case("full of its own mail at start: it empties itself, and takes mail again")
def _(lab):
    taken = fill_with_mail(lab, "d-own")
    sealpost("retry", "all")
    arrived(taken)
    wait_empty()
    wait_until("250 again", lambda: submit("d-emptied")[0] == 250)
    wait_empty()


@case("... also if all of it comes back")
def _(lab):
    fill_with_mail(lab, "d-back")
    host[0].say["RCPT"] = "550 5.1.1 nobody"
    for _ in range(3):  # the first finds no room for a report yet
        sealpost("retry", "all")
        time.sleep(1)
    wait_empty(60)
    del host[0].say["RCPT"]
    wait_until("250 again", lambda: submit("d-returned")[0] == 250)
    wait_empty()


@case("a damaged record costs that message only, is logged and kept aside")
def _(lab):
    host[0].say["MAIL"] = "450 4.3.0 not now"
    tokens = ["d-rec-%d." % i for i in range(5)]
    for token in tokens:
        equal(submit(token, 2000)[0], 250)
    wait_queue(5, state="deferred")
    lab.sealpostd.kill_all()
    found = 0
    for path in glob.glob(SPOOL + "/queue/*"):
        if not os.path.isfile(path):
            continue
        data = open(path, "rb").read()
        at = data.find(b"Subject: " + tokens[2].encode())
        if at >= 0:
            found += 1
            with open(path, "r+b") as segment:
                segment.seek(at + 200)
                segment.write(b"Y")
    true(found >= 1, "the message stands in a segment")
    mark = lab.sealpostd.mark()
    lab.sealpostd.start()
    left = wait_queue(4)
    said = "".join(sealpost("show", e["id"]).out for e in left)
    for token in tokens:
        equal(token in said, token != tokens[2], token)
    true([l for l in lab.sealpostd.lines(mark) if "damaged" in l],
         lab.sealpostd.tail(8))
    kept = glob.glob(SPOOL + "/queue/damaged/*") + glob.glob(
        SPOOL + "/damaged/*")
    true(any(tokens[2].encode() in open(p, "rb").read() for p in kept),
         "its bytes are kept: %r" % kept)
    del host[0].say["MAIL"]
    sealpost("retry", "all")
    arrived([t for t in tokens if t != tokens[2]])
    wait_empty()


@case("segments of noise, of nothing, cut short: it starts and works")
def _(lab):
    host[0].say["MAIL"] = "450 4.3.0 not now"
    equal(submit("d-good")[0], 250)
    wait_queue(1, state="deferred")
    equal(lab.sealpostd.stop(), 0)
    names = sorted(glob.glob(SPOOL + "/queue/seg-*"))
    info = os.stat(names[0])
    for i, data in enumerate((os.urandom(300000), b"", b"\0" * 5000,
                              open(names[0], "rb").read(100))):
        path = "%s/queue/seg-%08x" % (SPOOL, 0xff00 + i)
        with open(path, "wb") as out:
            out.write(data)
        os.chown(path, info.st_uid, info.st_gid)
        os.chmod(path, info.st_mode & 0o777)
    lab.sealpostd.start()
    wait_queue(1)
    del host[0].say["MAIL"]
    sealpost("retry", "all")
    arrived(["d-good"])
    equal(submit("d-noise")[0], 250)
    arrived(["d-noise"])
    wait_empty()


main(make, start)
