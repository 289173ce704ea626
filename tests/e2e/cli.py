"""sealpost(8): every command, its exit code, its JSON keys, who may."""

import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lab"))

import attacker
from check import case, equal, main, true
from daemon import (CONF, command, queue, sealpost, sendmail, wait_empty,
                    wait_queue)
from lab import Lab
from space import put, wait_until

QUEUE_KEYS = ("id age size sender recipient state attempts next reason "
              "detail mx last").split()
POLICY_KEYS = ("domain source mode mx id max_age fetched expires refresh "
               "last_error").split()
CHECK_KEYS = "domain level policy dane route hosts verdict reason detail"
HOST_KEYS = "mx preference addresses matches tls certificate auth verdict " \
    "reason"
TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")


def make():
    return Lab(("postfix",))


def start(lab):
    lab.domain("good.example", policy="enforce")
    lab.domain("other.example")
    lab.sink("strip.example", "enforce", attacker.Strip)
    lab.sink("own.example", cert=lab.bad_ca.issue("mx.own.example"))
    lab.start()


def send(to, user=None, token="cli"):
    equal(sendmail("-f", "carol@relay.example.org", to, user=user,
                   text=b"Subject: %s\n\nthe body\n" % token.encode()).code,
          0)


def defer(lab, count=1, domain="strip.example"):
    for i in range(count):
        send("r%d@%s" % (i, domain))
    return wait_queue(count, state="deferred")


def clear():
    sealpost("remove", "all", "--yes")
    wait_empty()


@case("an empty queue: exit 0, no lines of JSON")
def _(lab):
    done = sealpost("queue", "--json")
    equal((done.code, done.out), (0, ""))


@case("queue --json: the keys of the interface, times in RFC 3339")
def _(lab):
    e = defer(lab)[0]
    for key in QUEUE_KEYS:
        true(key in e, "%s in %r" % (key, e))
    equal((e["sender"], e["recipient"], e["state"], e["attempts"],
           e["reason"], e["mx"]),
          ("carol@relay.example.org", "r0@strip.example", "deferred", 1,
           "starttls-not-supported", "mx.strip.example"))
    true(TIME.match(e["next"]) and TIME.match(e["last"]), repr(e))
    true(isinstance(e["age"], int) and isinstance(e["size"], int), repr(e))
    true(re.match("^[0-9abcdefghjkmnpqrstvwxyz]{13}$", e["id"]), e["id"])


@case("queue in words names recipient, state and reason")
def _(lab):
    done = sealpost("queue")
    equal(done.code, 0)
    for word in ("r0@strip.example", "deferred", "starttls-not-supported"):
        true(word in done.out, done.out)


@case("mailq shows the same")
def _(lab):
    done = command("/usr/local/bin/mailq")
    equal(done.code, 0, done.err)
    true("r0@strip.example" in done.out, done.out)
    equal(command("/usr/local/bin/newaliases").code, 0)


@case("queue filters by domain, sender and state")
def _(lab):
    equal(len(queue("--domain", "strip.example")), 1)
    equal(len(queue("--domain", "good.example")), 0)
    equal(len(queue("--sender", "carol@relay.example.org")), 1)
    equal(len(queue("--sender", "<carol@relay.example.org>")), 1)
    equal(len(queue("--sender", "x@y.example")), 0)
    equal(len(queue("--state", "deferred")), 1)
    equal(len(queue("--state", "held")), 0)
    equal(sealpost("queue", "--state", "nonsense").code, 64)


@case("show: envelope, history, headers; --body the message; --json")
def _(lab):
    ident = queue()[0]["id"]
    done = sealpost("show", ident)
    equal(done.code, 0, done.err)
    for word in ("carol@relay.example.org", "r0@strip.example",
                 "Subject: cli", "starttls-not-supported"):
        true(word in done.out, "%s in %s" % (word, done.out))
    true("the body" not in done.out, "no body")
    true("the body" in sealpost("show", ident, "--body").out, "body")
    shown = json.loads(sealpost("show", ident, "--json").out.splitlines()[0])
    equal(shown["id"], ident)
    equal(sealpost("show", "0000000000000").code != 0, True)


@case("hold and release, by id, by domain and all")
def _(lab):
    ident = queue()[0]["id"]
    for what in (ident, "strip.example", "all"):
        equal(sealpost("hold", what).code, 0)
        wait_queue(1, state="held")
        equal(sealpost("release", what).code, 0)
        wait_until("released", lambda: queue()[0]["state"] != "held")


@case("held mail stays held over retry and restart")
def _(lab):
    equal(sealpost("hold", "all").code, 0)
    equal(sealpost("retry", "all").code, 0)
    lab.sealpostd.kill_all()
    lab.sealpostd.start()
    equal(wait_queue(1)[0]["state"], "held")
    equal(sealpost("release", "all").code, 0)


@case("remove deletes without a bounce; all asks unless --yes")
def _(lab):
    clear()
    defer(lab)
    mark = lab.sealpostd.mark()
    sealpost("remove", "all", stdin=b"n\n")
    equal(len(queue()), 1)
    equal(sealpost("remove", queue()[0]["id"]).code, 0)
    wait_empty()
    equal(lab.sealpostd.events("bounced", mark), [])


@case("bounce gives up now, with a report to the sender")
def _(lab):
    mark = lab.sealpostd.mark()
    equal(sendmail("-f", "carol@good.example", "x@strip.example",
                   text=b"Subject: cli-bounce\n\nx\n").code, 0)
    wait_queue(1, state="deferred")
    equal(sealpost("bounce", "strip.example").code, 0)
    lab.sealpostd.wait_event("bounced", mark)
    mail = lab.servers["postfix"].wait_mail(b"cli-bounce")[0]
    true(b"starttls-not-supported" in mail or b"STARTTLS" in mail,
         "the report says why: %r" % mail)
    wait_empty()


@case("retry makes an attempt now")
def _(lab):
    before = defer(lab)[0]["attempts"]
    equal(sealpost("retry", "all").code, 0)
    wait_until("another attempt", lambda: queue()[0]["attempts"] > before)
    clear()


@case("pause stops deliveries, resume takes them up")
def _(lab):
    equal(sealpost("pause").code, 0)
    send("bob@good.example", token="cli-paused")
    wait_queue(1, state="ready")
    equal(lab.servers["postfix"].mails(b"cli-paused"), [])
    equal(sealpost("resume").code, 0)
    lab.servers["postfix"].wait_mail("cli-paused")
    wait_empty()


@case("status: words, JSON, Prometheus")
def _(lab):
    equal(sealpost("status").code, 0)
    facts = json.loads(sealpost("status", "--json").out)
    true(isinstance(facts, dict) and facts, repr(facts))
    text = sealpost("status", "--prometheus").out
    true(re.search(r"^sealpost_\w+(\{[^}]*\})? [0-9.e+]+$", text, re.M),
         text[:300])
    types = re.findall(r"^# TYPE (\w+) (?:gauge|counter)$", text, re.M)
    names = re.findall(r"^(\w+)", text, re.M)
    equal(sorted(types), sorted(set(names)))
    for line in ("# TYPE sealpost_queue_deferred gauge",
                 "# TYPE sealpost_delivered counter",
                 "sealpost_spool_failing 0"):
        true(line + "\n" in text, line)


@case("policy and policies: the keys of the interface")
def _(lab):
    done = sealpost("policy", "good.example", "--json", "--refresh")
    equal(done.code, 0, repr(done))
    p = json.loads(done.out)
    for key in POLICY_KEYS:
        true(key in p, "%s in %r" % (key, p))
    equal((p["mode"], p["source"]), ("enforce", "fetched"))
    true(TIME.match(p["fetched"]) and TIME.match(p["expires"]), repr(p))
    for line in sealpost("policies", "--json").out.splitlines():
        p = json.loads(line)
        true(all(k in p for k in POLICY_KEYS), repr(p))


def check(address, code, verdict):
    done = sealpost("check", address, "--json")
    equal(done.code == 0, code == 0, repr(done))
    c = json.loads(done.out)
    for key in CHECK_KEYS.split():
        true(key in c, "%s in %r" % (key, c))
    for host in c["hosts"]:
        for key in HOST_KEYS.split():
            true(key in host, "%s in %r" % (key, host))
    true(c["verdict"].startswith(verdict), repr(c))
    return c


@case("check: would deliver, and says why")
def _(lab):
    c = check("bob@good.example", 0, "would deliver")
    equal((c["domain"], c["level"]), ("good.example", "require"))
    equal(c["hosts"][0]["mx"], "mx.good.example")
    done = sealpost("check", "good.example")
    equal(done.code, 0)
    true("would deliver" in done.out, done.out)


@case("check: would defer, and says why; no mail is sent")
def _(lab):
    c = check("strip.example", 1, "would defer")
    equal(c["reason"], "starttls-not-supported")
    c = check("own.example", 1, "would defer")
    equal(c["reason"], "certificate-not-trusted")
    equal(queue(), [])


@case("check works without the daemon; the rest says 69")
def _(lab):
    equal(lab.sealpostd.stop(), 0)
    try:
        check("bob@good.example", 0, "would deliver")
        check("strip.example", 1, "would defer")
        for words in (["queue"], ["status"], ["retry", "all"], ["policies"]):
            equal(sealpost(*words).code, 69, repr(words))
    finally:
        lab.sealpostd.start()


@case("wrong usage is 64")
def _(lab):
    for words in ([], ["nonsense"], ["queue", "--nonsense"], ["show"],
                  ["retry"], ["show", "not an id"]):
        equal(sealpost(*words).code, 64, repr(words))


@case("a user sees own messages only and may not steer: 77")
def _(lab):
    send("r@strip.example", user="carol")
    send("s@strip.example", user="dave")
    wait_queue(2, state="deferred")
    done = sealpost("queue", "--json", user="carol")
    equal(done.code, 0, done.err)
    equal([json.loads(l)["recipient"] for l in done.out.splitlines()],
          ["r@strip.example"])
    for words in (["retry", "all"], ["remove", "all", "--yes"], ["pause"],
                  ["stop"], ["hold", "all"], ["reload"]):
        equal(sealpost(*words, user="carol").code, 77, repr(words))
    equal(len(queue()), 2)
    clear()


@case("sealpostd -n: configuration OK, or every error by file:line")
def _(lab):
    done = command("/usr/local/sbin/sealpostd", "-n")
    equal((done.code, done.out.strip()), (0, "configuration OK"))
    put("/run/lab/x.conf", "nonsense\nmessage size many\n"
        "relay from 0.0.0.0/0\nrelay from ::/0\nhostname a.example\n"
        "dkim example.org selector s1 key /x\n")
    done = command("/usr/local/sbin/sealpostd", "-n", "-f",
                   "/run/lab/x.conf")
    equal(done.code, 1)
    text = done.out + done.err
    for line in (1, 2, 3, 4, 6):
        true("/run/lab/x.conf:%d: " % line in text, "line %d: %s" % (
            line, text))
    true("x.conf:5" not in text, text)
    true("not yet supported" in text, text)


@case("reload takes a new configuration, without losing anything")
def _(lab):
    send("x@own.example")
    wait_queue(1, state="deferred")
    put(CONF, "trust %s\n" % lab.bad_ca.pem)
    equal(sealpost("reload").code, 0)

    def delivered():
        sealpost("retry", "all")
        return lab.sealpostd.events("delivered", to="<x@own.example>")
    wait_until("delivery under the new trust", delivered)
    put(CONF, "nonsense\n")
    sealpost("reload")
    equal(sealpost("status").code, 0)
    put(CONF, "")
    equal(sealpost("reload").code, 0)
    wait_empty()


@case("SIGHUP reloads too")
def _(lab):
    put(CONF, "message size 64K\n")
    os.kill(lab.sealpostd.process.pid, 1)

    def smaller():
        done = sendmail("bob@good.example", text=b"Subject: x\n\n" +
                        b"y" * 70 + b"\n" + b"z" * 60000 + b"\n" * 20000)
        return done.code != 0
    wait_until("the smaller limit", smaller)
    put(CONF, "")
    equal(sealpost("reload").code, 0)


@case("stop ends the daemon, exit 0")
def _(lab):
    sealpost("remove", "all", "--yes")
    equal(sealpost("stop").code, 0)
    equal(lab.sealpostd.process.wait(10), 0)
    lab.sealpostd.process = None
    equal(sealpost("status").code, 69)


main(make, start)
