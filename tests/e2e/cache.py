"""What is kept of policies: over restarts, failures, changes, age, damage.

Each domain's mail first arrives under an enforce policy. Then, with the
daemon down, its MX becomes a host that the policy does not name (good in
every other way): while the policy holds, mail must be deferred. Ages are
made by writing other times into the files of the cache.
"""

import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lab"))

from check import case, equal, main, true
from daemon import SPOOL, queue, sealpost
from lab import Lab
from policyhost import silent
from scene import Host, Scene, policy_text
from space import put, wait_until

T = ".t.example"
POLICY = SPOOL + "/policy"
DAY = 86400
HOLDS, NEW, NONE, ABSENT, ONCE = "holds", "new", "none", "absent", "once"
FORMER = '"v=STSv1; id=1;"'
NEXT = '"v=STSv1; id=2;"'
scene = None
mark = 0


def former(name, max_age=10 * DAY):
    return policy_text("enforce", "mx." + name + T, max_age=max_age)


def other(name, mode="enforce"):
    return policy_text(mode, "mx2." + name + T)


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def path_of(name):
    found = [f for f in os.listdir(POLICY) if f.startswith(name + T)]
    equal(len(found), 1, "files of %s: %r" % (name, os.listdir(POLICY)))
    return POLICY + "/" + found[0]


def rewrite(name, change):
    """Apply a change to the text of a domain's file, checksum made right."""
    path = path_of(name)
    facts = os.stat(path)
    with open(path, "rb") as file:
        text = file.read()
    text = change(text[:text.rindex(b"crc32c ")])
    put(path, text + b"crc32c %08x\n" % crc32c(text), facts.st_mode & 0o777)
    os.chown(path, facts.st_uid, facts.st_gid)


def aged(seconds):
    """The policy was fetched so long ago."""
    def change(name):
        when = b"fetched %d\n" % (time.time() - seconds)
        rewrite(name, lambda text: b"".join(
            when if l.startswith(b"fetched ") else l
            for l in text.splitlines(True)))
    return change


def damaged(name):
    with open(path_of(name), "r+b") as file:
        file.seek(40)
        file.write(b"!")


def emptied(name):
    with open(path_of(name), "wb"):
        pass


# name, what happens, outcome; txt and body after the change, file edits
rows = []


def row(name, sentence, want, txt=(FORMER,), body=None, edit=None, cert=None,
        servfail=False, max_age=10 * DAY):
    rows.append((name, sentence, want, txt, body, edit, cert, servfail,
                 max_age))


OLD = aged(600)
row("same", "nothing but the MX", HOLDS)
row("gone", "TXT is gone (10.2)", HOLDS, txt=())
row("two", "two TXT records", HOLDS, txt=(FORMER, NEXT))
row("badid", "a broken TXT record", HOLDS, txt=('"v=STSv1; id=-;"',))
row("servfail", "DNS fails for TXT", HOLDS, servfail=True)
row("down", "a new id, the host answers 503", HOLDS, txt=(NEXT,), body=503)
row("invalid", "a new id, an invalid policy", HOLDS, txt=(NEXT,),
    body="version: STSv1\nmode: none\n")
row("cert", "a new id, the host's certificate is nobody's", HOLDS,
    txt=(NEXT,), body="new", cert=True)
row("cutoff", "TXT gone, host down", HOLDS, txt=(), body=503)
row("new", "a new id, a new policy", NEW, txt=(NEXT,), body="new")
row("none", "a new id, mode none (8.3)", NONE, txt=(NEXT,), body="none")
row("sameid", "a new policy behind the same id: who fails asks for it (5.1)",
    NEW, body="new")
row("fail", "also for an old policy", NEW, body="new", edit=OLD)
row("failgone", "even where TXT is gone", NEW, txt=(), body="new", edit=OLD)
row("dead", "expired, TXT gone: it ends", ABSENT, txt=(),
    edit=aged(11 * DAY))
row("deadhost", "expired, host down: it ends", ABSENT, body=503,
    edit=aged(11 * DAY))
row("deadnew", "expired, but there: it is fetched again", HOLDS,
    edit=aged(11 * DAY))
row("last", "an hour before its end it holds", HOLDS, txt=(), body=503,
    edit=aged(10 * DAY - 3600))
row("future", "the clock was set back: it holds", HOLDS, txt=(), body=503,
    edit=aged(-30 * DAY))
row("hurt", "a damaged file: deferred once, then fetched anew", ONCE,
    edit=damaged)
row("hurtnew", "a damaged file, and a new policy", ONCE, txt=(NEXT,),
    body="new", edit=damaged)
row("hollow", "an empty file", ONCE, edit=emptied)
row("hurtdown", "a damaged file, host down", ONCE, body=503, edit=damaged)
for quiet in ("due", "dueless", "duedown", "young"):
    row(quiet, "", None, txt=() if quiet == "dueless" else (FORMER,),
        body=503 if quiet == "duedown" else None,
        edit=OLD if quiet == "young" else aged(2 * DAY))


def make():
    return Lab(())


def start(lab):
    global scene, mark
    scene = Scene(lab)
    for name, _, _, _, _, _, _, _, max_age in rows:
        scene.add(name, policy=former(name, max_age),
                  hosts=[Host("mx"), Host("mx2", 20)],
                  mx=["10 mx." + name + T + "."])
    scene.add("zero", policy=former("zero", 0), hosts=[Host("mx")])
    scene.add("quick", policy=former("quick", 2), hosts=[Host("mx")])
    scene.add("hang", policy=former("hang"), hosts=[Host("mx")])
    scene.add("tight", policy=former("tight"), hosts=[Host("mx")])
    scene.start()
    scene.send_all()
    for name in scene.all:
        e = scene.event(name)
        equal((e["event"], e["policy"]), ("delivered", "enforce"), e["line"])


def change(lab):
    """The daemon is down; the world changes."""
    for name, _, _, txt, body, edit, cert, servfail, _ in rows:
        scene.set(scene.all[name], name + T, "MX", "10 mx2." + name + T + ".")
        owner = "_mta-sts." + name + T
        scene.set(scene.all[name], owner, "TXT", *txt)
        if servfail:
            scene.set(scene.all[name], owner, "TXT")
            scene.set(scene.all[name], owner, "NS", "ns.dead" + T + ".")
            scene.set(scene.all[name], "ns.dead" + T, "A", "203.0.113.90")
        if body == 503:
            scene.web.answer(name + T, status="503 Busy")
        elif body:
            scene.web.answer(name + T, {"new": other(name), "none": other(
                name, "none")}.get(body, body))
        if cert:
            scene.web.certify(name + T, lab.bad_ca.issue("mta-sts." + name +
                                                         T))
        if edit:
            edit(name)
    lab.dns.publish("t.example")
    wait_until("the new MX", lambda: lab.dns.ask("same" + T, "MX") ==
               ["10 mx2.same" + T + "."])


@case("a file a domain, owned by _sealpost, for nobody else to read")
def _(lab):
    wait_until("all files", lambda: len(os.listdir(POLICY)) >= len(rows))
    facts = os.stat(path_of("same"))
    equal(facts.st_mode & 0o077, 0)


@case("`sealpost policy` and `policies`: from the cache, times that fit")
def _(lab):
    p = scene.policy("same")
    equal((p["source"], p["mode"], p["mx"], p["id"], p["max_age"],
           p["last_error"]),
          ("cache", "enforce", ["mx.same" + T], "1", 10 * DAY, None))

    def at(key):
        return time.mktime(time.strptime(p[key][:19], "%Y-%m-%dT%H:%M:%S"))
    equal(at("expires") - at("fetched"), 10 * DAY)
    true(0 < at("refresh") - at("fetched") <= DAY * 1.1, p)
    done = sealpost("policies", "--json")
    listed = [json.loads(l) for l in done.out.splitlines()]
    equal(sorted(l["domain"] for l in listed if l["domain"] not in (
        "zero" + T, "quick" + T, "hang" + T, "tight" + T)),
          sorted(r[0] + T for r in rows))


@case("max_age 0 serves once, and is fetched for the next message")
def _(lab):
    before = len(scene.web.fetches("zero" + T))
    scene.send("zero")
    equal(scene.event("zero")["policy"], "enforce")
    true(len(scene.web.fetches("zero" + T)) <= before + 1, "one fetch")


@case("a new id, and a policy host that hangs: mail does not wait for it")
def _(lab):
    scene.web.answer("hang" + T, script=silent)
    scene.publish("hang", [NEXT])
    wait_until("the fetch", lambda: [
        scene.send("hang"), time.sleep(0.2),
        len(scene.web.fetches("hang" + T)) == 2][2])
    began = time.monotonic()
    scene.send("hang")
    equal(scene.event("hang")["policy"], "enforce")
    true(time.monotonic() - began < 8, "the policy held serves")


@case("a policy is refreshed before it ends, without mail")
def _(lab):
    def fetches():
        return len(scene.web.fetches("quick" + T))
    wait_until("a second fetch", lambda: fetches() >= 2, 10)
    equal(sealpost("policy", "quick" + T, "--forget").code, 0)
    time.sleep(1.5)  # now the next look at the cache is far away
    before = fetches()
    scene.send("quick")
    wait_until("a fetch for the mail", lambda: fetches() > before, 10)
    wait_until("one without mail", lambda: fetches() > before + 1, 10)


@case("the world changes while the daemon is down")
def _(lab):
    global mark
    equal(lab.sealpostd.stop(), 0)
    change(lab)
    mark = lab.sealpostd.mark()
    for name in ("young", "due", "dueless", "duedown"):
        scene.web.requests[:] = [r for r in scene.web.requests
                                 if r[0] != name + T]
    lab.sealpostd.start()
    for r in rows:
        if r[2]:
            scene.send(r[0])


def held(name):
    entries = queue("--domain", name + T)
    return entries[0] if entries else None


def show(name, sentence, want):
    @case("%s: %s" % (sentence, {
        HOLDS: "the policy holds", NEW: "the new one is in force",
        NONE: "it is lifted", ABSENT: "it ends with a log line",
        ONCE: "and then as it is"}[want]))
    def _(lab):
        if want == HOLDS:
            e = scene.event(name)
            equal((e["event"], e.get("reason"), e["policy"]),
                  ("deferred", "sts-mx-mismatch", "enforce"), e["line"])
            return
        if want == NEW:
            deliver(lab, name, "enforce")
        elif want == NONE:
            equal(scene.event(name)["policy"], "none")
        elif want == ABSENT:
            equal(scene.event(name)["policy"], "absent")
            lab.sealpostd.wait_event("policy-expired", mark, 5,
                                     domain=name + T)
        else:
            hurt(lab, name)


def deliver(lab, name, mode):
    """At once, or by the next attempt."""
    def arrived():
        found = lab.sealpostd.events("delivered", mark,
                                     to="<bob@%s>" % (name + T))
        if not found:
            sealpost("retry", name + T)
            time.sleep(0.1)
        return found
    equal(wait_until("delivery", arrived, 8)[0]["policy"], mode)


def hurt(lab, name):
    e = scene.event(name)
    equal((e["event"], e["reason"]), ("deferred", "sts-policy-fetch-error"))
    entry = held(name)
    true("damaged" in entry["detail"], entry["detail"])
    true("`" not in entry["detail"], "no exception: " + entry["detail"])
    true(any(name + T in l for l in lab.sealpostd.lines(mark)
             if "policy-damaged" in l), "it is logged")
    if name in ("hurtnew", "hurtdown"):
        deliver(lab, name, "enforce" if name == "hurtnew" else "absent")
        return
    wait_until("the policy to bind again", lambda: [
        sealpost("retry", name + T), time.sleep(0.1), held(name)][2][
            "reason"] == "sts-mx-mismatch", 8)


for r in rows:
    if r[2]:
        show(r[0], r[1], r[2])


@case("a policy that is due is fetched again without mail, TXT or not")
def _(lab):
    for name in ("due", "dueless", "duedown"):
        wait_until("a fetch for " + name, lambda: len(scene.web.fetches(
            name + T)) == 1, 10)
    equal(len(scene.web.fetches("young" + T)), 0)
    due = scene.policy("due")
    true(due["fetched"] > time.strftime("%Y-%m-%dT%H:%M", time.gmtime(
        time.time() - 120)), due)
    p = scene.policy("duedown")
    equal(p["mode"], "enforce")
    true(p["last_error"].startswith("sts-policy-fetch-error"), p)


@case("failed fetches are not repeated, though messages are tried again")
def _(lab):
    for name in ("down", "invalid", "cert"):
        before = len(scene.web.fetches(name + T))
        for _ in range(3):
            sealpost("retry", name + T)
            time.sleep(0.1)
        equal(len(scene.web.fetches(name + T)), before, name)


@case("check without the daemon reads the cache")
def _(lab):
    equal(lab.sealpostd.stop(), 0)
    for name in ("gone", "cutoff", "last"):
        code, c = scene.check(name)
        equal((c["verdict"], c["policy"], c["policy_source"], code != 0),
              ("would defer: sts-mx-mismatch", "enforce", "cache", True))
    lab.sealpostd.start()


@case("--refresh fetches now; --forget forgets, and the next message asks")
def _(lab):
    before = len(scene.web.fetches("sameid" + T))
    p = scene.policy("sameid", "--refresh")
    equal((p["source"], p["mx"]), ("fetched", ["mx2.sameid" + T]))
    equal(len(scene.web.fetches("sameid" + T)), before + 1)
    equal(sealpost("policy", "gone" + T, "--forget").code, 0)
    equal(scene.policy("gone")["source"], "none")
    true(lab.sealpostd.events("policy-forgotten", domain="gone" + T), "log")


@case("what --refresh found binds the very next message")
def _(lab):
    scene.send("tight")
    equal(scene.event("tight")["event"], "delivered")
    scene.publish("tight", body=other("tight"))
    equal(scene.policy("tight", "--refresh")["mx"], ["mx2.tight" + T])
    scene.send("tight", "dave")
    e = scene.event("tight")
    equal((e["event"], e.get("reason")), ("deferred", "sts-mx-mismatch"),
          e["line"])


main(make, start)
