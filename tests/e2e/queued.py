"""The queue as the administrator and its users have it in hand."""

import json
import os
import re
import smtplib
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lab"))

from check import case, equal, main, same_bytes, true
from daemon import (SOCKET, command, queue, sealpost, sendmail, wait_empty,
                    wait_queue)
from lab import Lab
from script import Script, local
from space import wait_until

FROM = "carol@relay.example.org"
PERIOD = 2  # seconds
LATER = "450 4.2.0 later"
hosts = {}


class Timed(Script):
    """Remembers when it took each message, and how many came at once."""
    times = ()
    most = 0
    pause = 0

    def ehlo(self, s, line):
        with self.lock:
            self.most = max(self.most, len(self.live))
        super().ehlo(s, line)

    def dot(self, s):
        time.sleep(self.pause)
        self.times += (time.monotonic(),)
        super().dot(s)


def make():
    return Lab(())


def start(lab):
    for name in ("a", "b", "via"):
        hosts[name] = lab.sink(name + ".example", kind=Script)
    for name in ("rate", "slow"):
        hosts[name] = lab.sink(name + ".example", kind=Timed)
    lab.domain("dead.example", "none", address="198.51.100.250")
    lab.start("queue retry 1h up to 4h\n"
              "destination x.example {\n via mx.via.example\n}\n"
              "destination y.example {\n via mx.via.example\n tls strict\n}\n"
              "destination rate.example {\n rate 2 per %ds\n}\n" % PERIOD)


def defer(*rcpts, user=None, text=b"Subject: q\n\nx\n"):
    """A message to each, deferred; their ids."""
    for name in hosts:
        hosts[name].say["RCPT"] = LATER
    before = {e["id"] for e in queue()}
    for rcpt in rcpts:
        equal(sendmail("-i", "-f", FROM, rcpt, text=text, user=user).code, 0)

    def all_there():
        new = [e for e in queue() if e["id"] not in before and
               e["state"] == "deferred"]
        return new if len(new) == len(rcpts) else None
    found = {e["recipient"]: e["id"] for e in wait_until("deferral",
                                                         all_there)}
    return [found[r] for r in rcpts]


def clear():
    for name in hosts:
        hosts[name].say.clear()
    sealpost("remove", "all", "--yes")
    wait_empty()


def states():
    return sorted((e["recipient"], e["state"]) for e in queue())


def took(*words):
    """Run an order; how many recipients it says it was for."""
    done = sealpost(*words)
    equal(done.code, 0, repr(done))
    return int(re.search(r"\d+", done.out).group())


def kill_queue(lab):
    """kill -9 the queue process; back when there is another."""
    pid = lab.sealpostd.pids("queue")[0]
    os.kill(pid, 9)
    wait_until("another queue process", lambda: lab.sealpostd.pids(
        "queue") not in ([], [pid]))
    wait_until("its answer", lambda: sealpost("status").code == 0)


@case("hold, release: by id, by domain, all; twice does no harm")
def _(lab):
    one, _, _ = defer("1@a.example", "2@a.example", "3@b.example")
    equal(took("hold", one), 1)
    equal(states(), [("1@a.example", "held"), ("2@a.example", "deferred"),
                     ("3@b.example", "deferred")])
    equal(took("hold", "a.example"), 2)
    equal(took("hold", "a.example"), 2)
    equal(took("hold", "all"), 3)
    equal({s for _, s in states()}, {"held"})
    equal(took("release", "B.Example"), 1)
    wait_until("b released", lambda: ("3@b.example", "held") not in states())
    equal(took("release", "all"), 3)
    wait_until("all released", lambda: "held" not in [
        s for _, s in states()])


@case("what is held stays held at its time, at reload, after kill -9")
def _(lab):
    equal(took("hold", "all"), 3)
    equal(sealpost("reload").code, 0)
    uptime = wait_until("a second", lambda: json.loads(
        sealpost("status", "--json").out)["uptime"])
    kill_queue(lab)
    true(json.loads(sealpost("status", "--json").out)["uptime"] >= uptime,
         "it is the daemon's")
    equal({s for _, s in states()}, {"held"})
    lab.sealpostd.kill_all()
    lab.sealpostd.start()
    equal({s for _, s in states()}, {"held"})


@case("retry does not release what is held, and says so; nor sendmail -q")
def _(lab):
    ids = {e["recipient"]: e["id"] for e in queue()}
    for what in (ids["2@a.example"], "a.example"):
        done = sealpost("retry", what)
        equal((done.code, done.err), (
            1, "sealpost: it is held: release it first\n"))
    equal(took("retry", "all"), 0)
    equal(sendmail("-q").code, 0)
    equal({s for _, s in states()}, {"held"})


@case("release takes it up; remove is for good, over kill -9 too")
def _(lab):
    ids = {e["recipient"]: e["id"] for e in queue()}
    equal(took("remove", ids["1@a.example"]), 1)
    hosts["a"].say.clear()
    equal(took("release", ids["2@a.example"]), 1)
    wait_queue(1)
    equal(took("remove", "b.example"), 1)
    equal(queue(), [])
    lab.sealpostd.kill_all()
    lab.sealpostd.start()
    equal(queue(), [])
    equal([m[1][0].split()[1] for m in hosts["a"].mails if m[1]],
          [b"TO:<2@a.example>"])


@case("what is not there: exit 1, and words; what is no id or domain: 64")
def _(lab):
    for verb in ("retry", "hold", "release", "remove", "bounce", "show"):
        done = sealpost(verb, "0000000000000")
        equal((done.code, done.err), (
            1, "sealpost: no such message in the queue\n"), verb)
        if verb != "show":
            equal(sealpost(verb, "nosuch.example").code, 1, verb)
        equal(sealpost(verb, "a b").code, 64, verb)
        equal(sealpost(verb).code, 64, verb)
        equal(sealpost(verb, "a.example", "b.example").code, 64, verb)


@case("a via host is a destination: listed, counted, addressed by name")
def _(lab):
    defer("u@x.example")
    sendmail("-f", FROM, "u@y.example", text=b"Subject: q\n\nx\n")
    wait_queue(2, state="deferred")
    done = sealpost("queue", "--count", "--json")
    rows = [json.loads(line) for line in done.out.splitlines()]
    equal(sorted(r["destination"] for r in rows),
          ["mx.via.example:25", "mx.via.example:25;strict"])
    equal([(r["total"], r["deferred"], r["age_5m"], r["age_30m"],
            r["age_more"]) for r in rows], [(1, 1, 1, 0, 0)] * 2)
    equal([e["recipient"] for e in queue("--domain", "mx.via.example:25")],
          ["u@x.example"])
    equal([e["recipient"] for e in queue("--domain", "x.example")],
          ["u@x.example"])
    attempts = {e["recipient"]: e["attempts"] for e in queue()}
    equal(took("retry", "mx.via.example:25"), 1)
    wait_until("another attempt", lambda: [
        e for e in queue() if e["recipient"] == "u@x.example" and
        e["attempts"] > attempts["u@x.example"]])
    equal(took("retry", "mx.via.example:25;strict"), 1)
    equal(took("hold", "y.example"), 1)
    clear()


@case("filters alone and together; nothing found is said as such")
def _(lab):
    defer("1@a.example", "2@b.example")
    equal(len(queue("--domain", "a.example", "--sender", FROM, "--state",
                    "deferred")), 1)
    equal(queue("--domain", "a.example", "--state", "held"), [])
    done = sealpost("queue", "--state", "held")
    equal((done.code, done.out), (0, "nothing in the queue matches\n"))
    equal(sealpost("queue", "--count", "--domain", "x.a.example").out,
          "nothing in the queue matches\n")
    for name in ("A.Example", "a.example."):
        equal([e["recipient"] for e in queue("--domain", name)],
              ["1@a.example"])
    for words in (["--state", "x"], ["--domain", ".."], ["--sender", "x@"],
                  ["--domain"], ["extra"]):
        equal(sealpost("queue", *words).code, 64, words)
    clear()
    equal(sealpost("queue").out, "the queue is empty\n")


@case("show --body gives the content byte for byte")
def _(lab):
    body = b"".join(b"%c line %d\n" % (33 + i % 94, i) for i in range(3000))
    body += b".\n..\n\n" + "\u00fc\n".encode() + b"x" * 3000 + b"\n"
    for shift in range(4):  # of lines longer than what is read at a time
        body += b"x" * shift + "\u00fc\u20ac".encode() * 9000 + b"\n"
    body += b"end\n"
    ident, = defer("1@a.example", text=b"Subject: exact\n\n" + body)
    done = json.loads(sealpost("show", ident, "--body", "--json").out)
    same_bytes(done["body"].encode(), body.replace(b"\n", b"\r\n"), "body")
    true("Subject: exact\r\n" in done["headers"], done["headers"])
    text = sealpost("show", ident, "--body").out
    true(text.endswith("\nend\n") and "\n.\n..\n\n\u00fc\n" in text,
         text[-100:])
    clear()


@case("show: the history of each recipient, oldest first")
def _(lab):
    ident, = defer("1@a.example")
    hosts["a"].say["RCPT"] = "451 4.7.1 second"
    sealpost("retry", ident)
    wait_until("two attempts", lambda: queue()[0]["attempts"] == 2)
    history = json.loads(sealpost("show", ident, "--json").out)[
        "recipients"][0]["history"]
    equal([(h["outcome"], h["reply"]) for h in history],
          [("deferred", LATER), ("deferred", "451 4.7.1 second")])
    equal([h["dsn"] for h in history], ["4.2.0", "4.7.1"])
    lab.sealpostd.stop()
    lab.sealpostd.start()
    equal(json.loads(sealpost("show", ident, "--json").out)["recipients"][0]
          ["history"], history)
    clear()


@case("show: a message with many recipients, none left out or twice")
def _(lab):
    hosts["a"].say["RCPT"] = LATER
    to = ["u%d@a.example" % i for i in range(321)]
    with smtplib.SMTP("127.0.0.1", 25, timeout=20) as smtp:
        smtp.ehlo("client.example")
        smtp.sendmail(FROM, to, b"Subject: many\r\n\r\nend\r\n")
    ident = wait_queue(321, state="deferred")[0]["id"]
    for words in ([], ["--body"]):
        done = json.loads(sealpost("show", ident, "--json", *words).out)
        equal([(r["recipient"], len(r["history"]))
               for r in done["recipients"]], [(r, 1) for r in to])
        true("Subject: many" in done["headers"], done["headers"])
        equal(done.get("body"), "end\r\n" if words else None)
    equal(sealpost("show", ident).out.count("recipient:"), 321)
    clear()


@case("users list their own messages, and may no more")
def _(lab):
    mine, = defer("1@a.example", user="carol")
    other, = defer("2@a.example", user="dave")
    done = sealpost("queue", "--json", user="carol")
    equal([json.loads(l)["id"] for l in done.out.splitlines()], [mine])
    for ident in (mine, other, "0000000000000"):
        equal(sealpost("show", ident, user="carol").code, 77)
    for verb in ("retry", "hold", "release", "remove", "bounce"):
        equal(sealpost(verb, mine, user="carol").code, 77, verb)
    for words in (["status"], ["top"], ["policies"], ["pause"], ["resume"],
                  ["reload"], ["stop"], ["policy", "a.example"]):
        equal(sealpost(*words, user="carol").code, 77, words)
    equal(command("/usr/local/bin/mailq", user="carol").out.count(
        "a.example"), sealpost("queue", user="carol").out.count("a.example"))


@case("a member of _sealpostq may all that root may")
def _(lab):
    def member(*words):
        return command("setpriv", "--reuid=carol", "--regid=carol",
                       "--groups=_sealpostq", "/usr/local/sbin/sealpost",
                       *words)
    equal(len(member("queue", "--json").out.splitlines()), 2)
    for words in (["status"], ["hold", "all"], ["release", "all"],
                  ["policies"], ["pause"], ["resume"], ["reload"],
                  ["remove", "all", "--yes"]):
        done = member(*words)
        equal(done.code, 0, (words, done))
    wait_empty()
    clear()


@case("a user who asks and does not read keeps no administrator out")
def _(lab):
    sealpost("pause")
    with smtplib.SMTP("127.0.0.1", 25, timeout=20) as smtp:
        smtp.ehlo("client.example")
        smtp.sendmail(FROM, ["u%d@a.example" % i for i in range(1000)],
                      b"\r\n\r\nx\r\n")
    for _ in range(3):
        sendmail("-f", FROM, *["u%d@a.example" % i for i in range(1000)],
                 user="carol", text=b"\n\nx\n")
    wait_queue(4000)
    script = ("import socket, time\n"
              "all = [socket.socket(socket.AF_UNIX) for i in range(80)]\n"
              "for s in all:\n"
              "    s.connect('%s')\n"
              "    s.sendall(b'CTL queue\\r\\n')\n"
              "print('asked', flush=True)\n"
              "time.sleep(60)\n" % SOCKET)
    with subprocess.Popen(["setpriv", "--reuid=carol", "--regid=carol",
                           "--clear-groups", sys.executable, "-c", script],
                          stdout=subprocess.PIPE) as idler:
        equal(idler.stdout.readline(), b"asked\n")
        wait_until("all to be asked", lambda: sealpost(
            "queue", "--json", user="carol").code == 75)
        equal(sealpost("hold", "all").code, 0)
        equal(sealpost("status").code, 0)
        idler.kill()
    sealpost("resume")
    clear()


@case("back-off doubles up to its limit, spread by an eighth")
def _(lab):
    ident, = defer("1@a.example")
    for count, hours in ((1, 1), (2, 2), (3, 4), (4, 4)):
        e = wait_until("attempt %d" % count, lambda: [
            x for x in queue() if x["attempts"] == count and
            x["state"] == "deferred"])[0]
        wait = parse(e["next"]) - parse(e["last"])
        true(hours * 3600 * 0.874 <= wait <= hours * 3600 * 1.126,
             "%d s after failure %d" % (wait, count))
        sealpost("retry", ident)
    clear()


def parse(text):
    return time.mktime(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))


@case("a rate holds in every period, and is made use of")
def _(lab):
    for i in range(5):
        sendmail("-f", FROM, "u%d@rate.example" % i, text=b"\n\nx\n")
    wait_until("all five", lambda: len(hosts["rate"].times) == 5,
               3 * PERIOD + 5)
    at = hosts["rate"].times
    true(all(b - a > 0.95 * PERIOD for a, b in zip(at, at[2:])), repr(at))


@case("connections: all workers together have no more than 20 to one host")
def _(lab):
    hosts["slow"].pause = 0.2
    with smtplib.SMTP("127.0.0.1", 25, timeout=20) as smtp:
        smtp.ehlo("client.example")
        for i in range(300):
            smtp.sendmail(FROM, "u%d@slow.example" % i, b"\r\n\r\nx\r\n")
    wait_until("all", lambda: len(hosts["slow"].times) == 300, 30)
    true(10 < hosts["slow"].most <= 20, hosts["slow"].most)


@case("one recipient's 4xx delays neither its domain nor its message")
def _(lab):
    hosts["a"].say["RCPT"] = lambda s, line: (
        LATER if local(line) == "slow" else None)
    sendmail("-f", FROM, "slow@a.example", "fast@a.example",
             text=b"Subject: q\n\nx\n")
    wait_queue(1, recipient="slow@a.example", state="deferred")
    sendmail("-f", FROM, "next@a.example", text=b"Subject: q-next\n\nx\n")
    wait_until("the next", lambda: [m for m in hosts["a"].mails
                                    if b"q-next" in m[2]])
    clear()


@case("a dead destination costs a probe; mail to others is not delayed")
def _(lab):
    mark = lab.sealpostd.mark()
    for i in range(20):
        sendmail("-f", FROM, "u%d@dead.example" % i, text=b"\n\nx\n")
    began = time.monotonic()
    sendmail("-f", FROM, "bob@b.example", text=b"Subject: q-live\n\nx\n")
    wait_until("the live one", lambda: [m for m in hosts["b"].mails
                                        if b"q-live" in m[2]], 3)
    true(time.monotonic() - began < 3, "at once")
    wait_queue(20)
    wait_until("a reason for each", lambda: all(
        x["reason"] == "connect-failed" and "198.51.100.250" in x["detail"]
        for x in queue()))
    true(all((x["last"] is None) == (x["attempts"] == 0) for x in queue()),
         "only what was tried has a last attempt")
    true(len(lab.sealpostd.events("deferred", mark)) <= 20, "no storm")
    line, = [l for l in sealpost("top").out.splitlines() if "dead" in l]
    true(re.search(r" (1h(\d+m)?|5\dm) +connect-failed$", line), line)
    clear()


@case("pause survives nothing but itself: deliveries stop, orders go on")
def _(lab):
    equal(sealpost("pause").code, 0)
    sendmail("-f", FROM, "bob@b.example", text=b"Subject: q-paused\n\nx\n")
    wait_queue(1, state="ready")
    equal(json.loads(sealpost("status", "--json").out)["paused"], True)
    sealpost("retry", "all")
    equal(sealpost("reload").code, 0)
    wait_queue(1, state="ready")
    kill_queue(lab)
    wait_queue(1, state="ready")
    equal([m for m in hosts["b"].mails if b"q-paused" in m[2]], [])
    equal(sealpost("resume").code, 0)
    wait_empty()


main(make, start)
