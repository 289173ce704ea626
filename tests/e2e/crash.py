"""kill -9 of each process in turn, and of all: nothing acknowledged is lost."""

import collections
import os
import re
import signal
import smtplib
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lab"))

import attacker
from check import case, equal, main, true
from daemon import ROLES, sealpost, sendmail, wait_empty
from lab import Lab
from script import Script
from space import wait_until

COUNT, SESSIONS = 200, 4
sinks = []


def make():
    return Lab(())


def start(lab):
    sinks.append(lab.sink("sink.example"))
    sinks.append(lab.sink("slow.example", kind=Script))
    lab.start("queue retry 1s up to 2s\n")


def tokens():
    """{token: how often it arrived}"""
    found = collections.Counter()
    for _, _, content, _ in list(sinks[0].mails):
        match = re.search(rb"X-Token: <(\S+)>", content)
        if match:
            found[match.group(1).decode()] += 1
    return found


class Feeder(threading.Thread):
    """Submits messages one by one; remembers which were acknowledged."""

    def __init__(self, name, acknowledged):
        super().__init__(daemon=True)
        self.label = name
        self.acknowledged = acknowledged
        self.done = self.tries = 0

    def run(self):
        smtp = None
        deadline = time.monotonic() + 60
        while self.done < COUNT // SESSIONS and time.monotonic() < deadline:
            self.tries += 1
            token = "%s-%d-%d" % (self.label, self.done, self.tries)
            try:
                smtp = smtp or smtplib.SMTP("127.0.0.1", 25, "c.example", 10)
                smtp.sendmail("a@relay.example.org", ["b@sink.example"],
                              "Subject: crash\r\nX-Token: <%s>\r\n\r\n%s"
                              % (token, "some text\r\n" * 300))
                self.acknowledged.append(token)
                self.done += 1
            except (OSError, smtplib.SMTPException):
                # Not acknowledged: it may have arrived or not. Try again.
                smtp = None
                time.sleep(0.05)


def flow(lab, label, kill):
    """200 messages flow while kill() strikes; the acknowledged arrive."""
    acknowledged = []
    feeders = [Feeder("%s-%d" % (label, i), acknowledged)
               for i in range(SESSIONS)]
    for feeder in feeders:
        feeder.start()
    wait_until("mail to flow", lambda: len(acknowledged) > 20, 30)
    kill()
    for feeder in feeders:
        feeder.join(90)
        true(not feeder.is_alive(), "the door opened again")
    sealpost("retry", "all")
    wait_until("all %d acknowledged to arrive" % len(acknowledged),
               lambda: set(acknowledged) <= set(tokens()), 60)
    equal(len(acknowledged), COUNT)
    wait_empty(60)
    got = tokens()
    twice = [t for t in acknowledged if got[t] > 1]
    true(len(twice) <= 60, "only what was in flight came twice: %d" %
         len(twice))


def strike(role):
    @case("kill -9 of %s while 200 messages flow" % role)
    def _(lab):
        before = lab.sealpostd.roles()[role]
        mark = lab.sealpostd.mark()

        def kill():
            for pid in lab.sealpostd.roles()[role]:
                os.kill(pid, signal.SIGKILL)
        flow(lab, role, kill)
        wait_until("a new " + role, lambda: len(
            lab.sealpostd.roles()[role]) == len(before))
        true(not set(before) & set(lab.sealpostd.roles()[role]),
             "the processes are new")
        true(any(role in l for l in lab.sealpostd.lines(mark)),
             "the restart was logged")
        true(lab.sealpostd.process.poll() is None, "the parent lived on")


for each in ROLES:
    strike(each)


@case("kill -9 of the whole family while 200 messages flow, then a start")
def _(lab):
    def kill():
        lab.sealpostd.kill_all()
        lab.sealpostd.start()
    flow(lab, "all", kill)


@case("kill -9 of the parent: its children end with it")
def _(lab):
    os.kill(lab.sealpostd.process.pid, signal.SIGKILL)
    lab.sealpostd.process.wait()
    wait_until("the children to end", lambda: not lab.sealpostd.pids(), 10)
    lab.sealpostd.start()
    equal(sendmail("b@sink.example", text=b"X-Token: <last>\n\nx\n").code, 0)
    wait_until("the last", lambda: tokens()["last"] == 1)


@case("deferred mail survives a restart, with its history")
def _(lab):
    with lab.attack("sink.example", attacker.Refuse):
        mark = lab.sealpostd.mark()
        equal(sendmail("b@sink.example", text=b"X-Token: <kept>\n\nx\n").code,
              0)
        lab.sealpostd.wait_event("deferred", mark)
        lab.sealpostd.kill_all()
    lab.sealpostd.start()
    sealpost("retry", "all")
    wait_until("the kept one", lambda: tokens()["kept"] == 1)
    wait_empty()


@case("SIGTERM stops within five seconds, exit 0, while mail flows")
def _(lab):
    acknowledged = []
    feeder = Feeder("term", acknowledged)
    feeder.start()
    wait_until("mail to flow", lambda: len(acknowledged) > 5, 30)
    began = time.monotonic()
    equal(lab.sealpostd.stop(), 0)
    true(time.monotonic() - began < 5.5, "quick")
    lab.sealpostd.start()
    feeder.join(90)
    wait_until("all acknowledged", lambda: set(acknowledged) <=
               set(tokens()), 30)


@case("a host that says 250 three seconds after SIGTERM gets it once")
def _(lab):
    sent = threading.Event()

    def late(s, line):
        sent.set()
        time.sleep(3)

    sinks[1].say["dot"] = late
    equal(sendmail("b@slow.example", text=b"Subject: late\n\nx\n").code, 0)
    true(sent.wait(10), "it was sent")
    equal(lab.sealpostd.stop(), 0)
    sinks[1].say.clear()
    lab.sealpostd.start()
    wait_empty()
    equal(len(sinks[1].mails), 1)


@case("a connection lost after the final dot means: again, not: gone")
def _(lab):
    with lab.attack("sink.example", attacker.Drop,
                    cert=lab.ca.issue("mx.sink.example")) as drop:
        mark = lab.sealpostd.mark()
        equal(sendmail("b@sink.example", text=b"X-Token: <drop>\n\nx\n").code,
              0)
        lab.sealpostd.wait_event("deferred", mark)
        equal(len(drop.mails), 1)
    sealpost("retry", "all")
    wait_until("the dropped one", lambda: tokens()["drop"] >= 1)


main(make, start)
