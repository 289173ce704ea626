"""Levels over time, expiry under a policy, accounting, and odd names."""

import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lab"))

from check import case, equal, main, true
from daemon import sealpost, sendmail, wait_empty
from lab import Lab
from scene import Host, Scene, policy_text
from sink import Sink
from space import wait_until

T = ".t.example"
IDN = "xn--bcher-kva"
scene = None
CONF = """queue expire 6s
queue retry 1h up to 1h
queue warn never
destination soon.t.example {
	tls opportunistic until %s because "ends soon"
}
destination later.t.example {
	tls opportunistic until %s because "ends later"
}
destination over.t.example {
	tls opportunistic until %s because "ended"
}
"""


class NoTls(Sink):
    def offered(self, s):
        return [c for c in super().offered(s) if c != "STARTTLS"]


def day(offset):
    return time.strftime("%Y-%m-%d", time.gmtime(time.time() +
                                                 offset * 86400))


def make():
    return Lab(())


def start(lab):
    global scene
    scene = Scene(lab)
    for name in ("soon", "later", "over"):
        scene.add(name, hosts=[Host(kind=NoTls)])
    for name in ("kept", "moved", "movedno"):
        scene.add(name, policy=policy_text("enforce", "mx.old" + T))
    scene.add(IDN, policy=policy_text("enforce", "mx." + IDN + T))
    scene.add("trusting")
    scene.add("home", policy=policy_text("enforce", "mx.home" + T))
    scene.start(CONF % (day(3), day(30), day(-3)))


def send(name, sender="carol@relay.example.org"):
    domain = scene.all[name].domain
    scene.marks[name] = scene.lab.sealpostd.mark()
    equal(sendmail("-f", sender, "bob@" + domain,
                   text=b"Subject: %s\n\nx\n" % name.encode()).code, 0)


@case("an exception is warned of in its last week, and when it has ended")
def _(lab):
    log = [l for l in lab.sealpostd.lines() if "accepted" not in l]
    true(any("soon" + T in l for l in log), "\n".join(log))
    true(any("over" + T in l for l in log), "\n".join(log))
    true(not any("later" + T in l for l in log), "not the one that is far")


@case("until its last day it serves, afterwards it is require")
def _(lab):
    for name in ("soon", "later"):
        send(name)
        e = scene.event(name)
        equal((e["event"], e["auth"], e["would-defer"]),
              ("delivered", "none", "starttls-not-supported"))
    send("over")
    e = scene.event("over")
    equal((e["event"], e["reason"]), ("deferred", "starttls-not-supported"))
    for name, level in (("soon", "opportunistic"), ("over", "require")):
        equal(scene.check(name)[1]["level"], level)


@case("what require would have deferred is counted")
def _(lab):
    facts = json.loads(sealpost("status", "--json").out)
    equal(facts["would_defer_by_reason"], {"starttls-not-supported": 2})
    text = sealpost("status", "--prometheus").out
    true(any("would_defer" in l and "starttls-not-supported" in l and
             l.rstrip().endswith(" 2") for l in text.splitlines()), text)


@case("expired under a policy: bounced, and the report says why (5)")
def _(lab):
    send("kept", "carol@home" + T)
    e = scene.event("kept")
    equal((e["event"], e["reason"]), ("deferred", "sts-mx-mismatch"))
    send("moved")
    scene.event("moved")
    send("movedno")
    scene.event("movedno")
    # Who repairs the policy in time gets the mail after all (5.1).
    scene.publish("moved", ['"v=STSv1; id=2;"'],
                  policy_text("enforce", "mx.moved" + T))
    scene.publish("movedno", ['"v=STSv1; id=2;"'],
                  policy_text("enforce", "mx.older" + T))
    b = lab.sealpostd.wait_event("bounced", scene.marks["kept"], 15,
                                 to="<bob@kept%s>" % T)
    equal(b["reason"], "expired")
    sink = scene.all["home"].hosts[0].sinks[0]
    wait_until("the report", lambda: sink.mails)
    report = sink.mails[0][2].decode()
    flat = " ".join(report.split())
    for words in ("bob@kept" + T, "MTA-STS policy does not name it",
                  "mx.old" + T, "sts-mx-mismatch"):
        true(words in flat, "%s in %s" % (words, report))
    true(sink.mails[0][3], "the report travelled by TLS")


@case("before the bounce the policy is asked once more (5.1)")
def _(lab):
    e = lab.sealpostd.wait_event("delivered", scene.marks["moved"], 15,
                                 to="<bob@moved%s>" % T)
    equal((e["policy"], e["auth"]), ("enforce", "mta-sts"))
    equal([x for x in lab.sealpostd.events("bounced")
           if x["to"] == "<bob@moved%s>" % T], [])


@case("a changed policy that forbids all the same ends in a bounce")
def _(lab):
    lab.sealpostd.wait_event("bounced", scene.marks["movedno"], 15,
                             to="<bob@movedno%s>" % T)
    wait_empty()


@case("a domain in letters beyond ASCII is asked for by its A-labels")
def _(lab):
    mark = lab.sealpostd.mark()
    for to in ("bob@" + IDN + T, "bob@b\u00fccher" + T,
               "bob@B\u00dcCHER.T.Example"):
        done = sendmail(to, text=b"Subject: x\n\nx\n")
        equal(done.code, 0, repr(done))
    wait_until("three deliveries", lambda: len(lab.sealpostd.events(
        "delivered", mark, policy="enforce", auth="mta-sts")) == 3)
    done = sealpost("policy", "b\u00fccher" + T, "--json")
    equal((done.code, json.loads(done.out)["domain"]), (0, IDN + T))
    equal(sealpost("check", "bob@b\u00fccher" + T).code, 0)


def reconfigure(lab, text):
    lab.sealpostd.configure(text)
    equal(sealpost("reload").code, 0)


@case("a reload that trusts others binds at once, sessions or not")
def _(lab):
    send("trusting")
    equal(scene.event("trusting")["event"], "delivered")
    # Its connection is still open, its TLS session could be resumed.
    reconfigure(lab, "trust %s\n" % lab.bad_ca.pem)
    send("trusting")
    e = scene.event("trusting")
    equal((e["event"], e.get("reason")),
          ("deferred", "certificate-not-trusted"), e["line"])
    reconfigure(lab, "")
    sealpost("retry", "all")
    wait_empty()


@case("a reload to a stricter level binds at once")
def _(lab):
    send("trusting")
    equal(scene.event("trusting")["event"], "delivered")
    reconfigure(lab, "tls strict\n")
    send("trusting")
    e = scene.event("trusting")
    equal((e["event"], e.get("reason")), ("deferred", "no-policy"), e["line"])
    reconfigure(lab, "")
    sealpost("retry", "all")
    wait_empty()


@case("check is for every user")
def _(lab):
    for user in ("carol", None):
        done = sealpost("check", "bob@home" + T, "--json", user=user)
        equal((done.code, json.loads(done.out)["verdict"]),
              (0, "would deliver"), repr(done))


@case("names that are none: usage, or nothing found; never a crash")
def _(lab):
    for words in (["policy", "a b"], ["policy", ""], ["policy", "-x"],
                  ["check", "a..b"], ["check", "@"], ["check", "x@"],
                  ["policy", "a" * 300], ["policy", "192.0.2.1/24"]):
        equal(sealpost(*words).code, 64, repr(words))
    done = sealpost("policy", "nowhere.example", "--json")
    p = json.loads(done.out)
    equal((done.code, p["source"], p["mode"], p["mx"]),
          (0, "none", None, []))
    true(sealpost("policy", "nowhere.example", "--forget").code != 0,
         "nothing to forget")


@case("`check` for people names each step")
def _(lab):
    done = sealpost("check", "bob@home" + T)
    equal(done.code, 0)
    for words in ("home" + T, "require", "enforce", "mx.home" + T, "TLSv1.3",
                  "names it", "trusted authority", "SHA-256", "mta-sts",
                  "would deliver"):
        true(words in done.out, "%s in %s" % (words, done.out))
    done = sealpost("check", "kept" + T)
    equal(done.code, 1)
    for words in ("does not name it", "would defer: sts-mx-mismatch",
                  "via HOST"):
        true(words in done.out, "%s in %s" % (words, done.out))


main(make, start)
