"""MTA-STS discovery, fetch, cache and enforcement against real servers."""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lab"))

from check import case, equal, main, true
from daemon import queue, sealpost, sendmail
from lab import Lab
from space import wait_until

STS = "version: STSv1\nmode: enforce\nmx: mx.%s\nmax_age: 86400\n"
REASONS = ("sts-policy-fetch-error", "sts-policy-invalid",
           "sts-webpki-invalid", "no-policy")

# name, what is wrong with the policy, how it is made so
BROKEN = [
    ("gone", "the policy host answers 404", lambda lab, d: lab.withdraw(
        d, txt=False)),
    ("redirect", "the policy host redirects (RFC 8461 3.3)",
     lambda lab, d: site(lab, d, "location / { return 302 https://mta-sts."
                         "good.example/.well-known/mta-sts.txt; }")),
    ("html", "the policy is not text/plain", lambda lab, d: site(
        lab, d, "types { } default_type text/html;")),
    ("expired", "the policy host's certificate expired", lambda lab, d:
     lab.web.site(d, lab.ca.issue("mta-sts." + d, expired=True))),
    ("untrusted", "the policy host's certificate is nobody's",
     lambda lab, d: lab.web.site(d, lab.bad_ca.issue("mta-sts." + d))),
    ("misnamed", "the policy host's certificate is for another name",
     lambda lab, d: lab.web.site(d, lab.ca.issue("www." + d))),
    ("nomode", "the policy has no mode", lambda lab, d: body(
        lab, d, "version: STSv1\nmx: mx.%s\nmax_age: 86400\n" % d)),
    ("version", "the policy has another version", lambda lab, d: body(
        lab, d, STS.replace("STSv1", "STSv2") % d)),
    ("nomx", "the policy has no mx", lambda lab, d: body(
        lab, d, "version: STSv1\nmode: enforce\nmax_age: 86400\n")),
    ("pattern", "the policy's pattern is a bare star", lambda lab, d: body(
        lab, d, "version: STSv1\nmode: enforce\nmx: *\nmax_age: 1\n")),
    ("colon", "a line of the policy has no colon", lambda lab, d: body(
        lab, d, STS % d + "nonsense\n")),
    ("huge", "the policy is larger than 64 KiB", lambda lab, d: body(
        lab, d, STS % d + "x: y\n" * 20000)),
    ("two", "there are two TXT records", lambda lab, d: lab.announce(
        d, "enforce", txt=['"v=STSv1; id=1;"', '"v=STSv1; id=2;"'])),
    ("noid", "the TXT record has no id", lambda lab, d: lab.announce(
        d, "enforce", txt=['"v=STSv1;"'])),
    ("badid", "the TXT record's id has a dash", lambda lab, d: lab.announce(
        d, "enforce", txt=['"v=STSv1; id=a-b;"'])),
]

# name, what is unusual but right, TXT and body
RIGHT = [
    ("plain", "LF line ends", None, STS),
    ("crlf", "CRLF line ends and blank lines at the end", None,
     STS.replace("\n", "\r\n") + "\r\n\r\n"),
    ("order", "any order, unknown keys", None, "future: x\nmax_age: 86400\n"
     "mx: mx.%s\nmode: enforce\nversion: STSv1\n"),
    ("wild", "a wildcard for the leftmost label", None,
     STS.replace("mx.%s", "*.%s")),
    ("case", "upper case in the pattern", None,
     STS.replace("mx.%s", "MX.%s")),
    ("strings", "a TXT record in several strings",
     ['"v=STS" "v1; id=20" "26;"'], STS),
    ("other", "other TXT records beside it",
     ['"v=STSv1; id=1;"', '"v=spf1 -all"', '"v=STSv2; id=3;"'], STS),
    ("field", "unknown fields in the TXT record",
     ['"v=STSv1; id=7; x=y;"'], STS),
]


def site(lab, domain, extra):
    lab.web.site(domain, lab.ca.issue("mta-sts." + domain), extra)


def body(lab, domain, text):
    lab.web.body(domain, text)


def make():
    return Lab(("postfix",))


def start(lab):
    for row in BROKEN:
        for level in ("require", "strict"):
            domain = "%s.%s.example" % (row[0], level)
            lab.domain(domain, "sink", address=lab.servers[
                "postfix"].addresses[1 + BROKEN.index(row)],
                policy="enforce")
            row[2](lab, domain)
    for name, _, txt, text in RIGHT:
        domain = name + ".right.example"
        lab.domain(domain, "sink", address=lab.servers[
            "postfix"].addresses[30 + RIGHT.index(
                [r for r in RIGHT if r[0] == name][0])])
        lab.announce(domain, "enforce", body=text % domain if "%s" in text
                     else text, txt=txt)
    for name in ("good.example", "change.example", "short.example"):
        lab.domain(name, policy="enforce")
    lab.domain("parent.example", policy="enforce")
    lab.domain("sub.parent.example")
    lab.announce("short.example", "enforce", max_age=3)
    certify(lab)
    lab.start("destination .strict.example {\n\ttls strict\n}\n")


def certify(lab):
    """Postfix's certificate shall name the MXs of all domains here."""
    for d in lab.domains.values():
        d.server = "postfix"


def send(lab, domain, token="x"):
    mark = lab.sealpostd.mark()
    done = sendmail("bob@" + domain, text=b"Subject: policy-%s-%s\n\nx\n" % (
        domain.encode(), token.encode()))
    equal(done.code, 0, done.err)
    return mark


def broken(name, what):
    @case("%s: under require as if there were none" % what)
    def _(lab):
        domain = name + ".require.example"
        mark = send(lab, domain)
        e = lab.sealpostd.wait_event("delivered", mark,
                                     to="<bob@%s>" % domain)
        equal((e["auth"], e["policy"]), ("webpki", "absent"))

    @case("%s: under strict deferred" % what)
    def _(lab):
        domain = name + ".strict.example"
        mark = send(lab, domain)
        e = lab.sealpostd.wait_event("deferred", mark,
                                     to="<bob@%s>" % domain)
        true(e["reason"] in REASONS, e["line"])
        equal(lab.servers["postfix"].mails(domain.encode()), [])


def right(name, what):
    @case("%s: the policy is in force" % what)
    def _(lab):
        domain = name + ".right.example"
        mark = send(lab, domain)
        e = lab.sealpostd.wait_event("delivered", mark,
                                     to="<bob@%s>" % domain)
        equal((e["auth"], e["policy"], e["route"]),
              ("mta-sts", "enforce", "secure"))


for title in BROKEN:
    broken(title[0], title[1])
for title in RIGHT:
    right(title[0], title[1])


@case("a redirect was never followed")
def _(lab):
    equal(lab.web.fetches("good.example"), [])


@case("a subdomain inherits nothing from its parent (RFC 8461 3.1)")
def _(lab):
    mark = send(lab, "sub.parent.example")
    e = lab.sealpostd.wait_event("delivered", mark,
                                 to="<bob@sub.parent.example>")
    equal(e["policy"], "absent")


@case("a broken policy host is asked once, not once a message")
def _(lab):
    sealpost("remove", "all", "--yes")
    before = len(lab.web.fetches("gone.strict.example"))
    mark = lab.sealpostd.mark()
    for i in range(5):
        send(lab, "gone.strict.example", str(i))

    def all_tried():
        sealpost("retry", "all")
        return len(set(e["id"] for e in lab.sealpostd.events(
            "deferred", mark))) == 5
    wait_until("five attempts", all_tried)
    equal(len(lab.web.fetches("gone.strict.example")), before)
    sealpost("remove", "all", "--yes")


def policy(domain, *args):
    done = sealpost("policy", domain, "--json", *args)
    equal(done.code, 0, repr(done))
    return json.loads(done.out)


@case("`sealpost policy` tells what is in force")
def _(lab):
    mark = send(lab, "good.example")
    lab.sealpostd.wait_event("delivered", mark)
    p = policy("good.example")
    for key in ("domain source mode mx id max_age fetched expires refresh "
                "last_error").split():
        true(key in p, "%s in %r" % (key, p))
    equal((p["domain"], p["mode"], p["mx"], p["max_age"], p["source"]),
          ("good.example", "enforce", ["mx.good.example"], 86400, "cache"))
    listed = [json.loads(l) for l in sealpost(
        "policies", "--json").out.splitlines()]
    true("good.example" in [l["domain"] for l in listed], listed)
    done = sealpost("policy", "nothing.example", "--json")
    equal(json.loads(done.out)["source"], "none")


@case("a changed id prompts a fetch, and the new policy binds at once")
def _(lab):
    mark = send(lab, "change.example", "1")
    lab.sealpostd.wait_event("delivered", mark)
    lab.announce("change.example", "enforce", ["mx.elsewhere.example"])
    wait_until("the new id", lambda: "id=2" in "".join(lab.dns.ask(
        "_mta-sts.change.example", "TXT")))
    wait_until("our own cache of the TXT record to end", lambda: [
        send(lab, "change.example", "2"),
        lab.sealpostd.events("deferred", to="<bob@change.example>")][1])
    equal(lab.sealpostd.events("deferred", to="<bob@change.example>")[-1]
          ["reason"], "sts-mx-mismatch")
    lab.announce("change.example", "enforce")
    p = policy("change.example", "--refresh")
    equal((p["source"], p["mx"]), ("fetched", ["mx.change.example"]))
    # One retry is enough: it looks anew, whatever an answer's lifetime.
    equal(sealpost("retry", "change.example").code, 0)
    wait_until("all of it delivered", lambda: queue() == [])


@case("a policy survives a restart, though TXT and host are gone")
def _(lab):
    lab.withdraw("good.example")
    equal(lab.sealpostd.stop(), 0)
    lab.sealpostd.start()
    mark = send(lab, "good.example", "restart")
    e = lab.sealpostd.wait_event("delivered", mark)
    equal((e["auth"], e["policy"]), ("mta-sts", "enforce"))


@case("a policy that expired and cannot be had again ends, with a log line")
def _(lab):
    mark = send(lab, "short.example", "1")
    e = lab.sealpostd.wait_event("delivered", mark)
    equal(e["policy"], "enforce")
    lab.withdraw("short.example")

    def over():
        m = send(lab, "short.example", "2")
        return lab.sealpostd.wait_event("delivered", m)["policy"] == "absent"
    wait_until("the policy to end", over, 15)
    true(any("short.example" in l and "policy" in l
             for l in lab.sealpostd.lines(mark) if "delivered" not in l and
             "accepted" not in l), "it was logged")


@case("nothing is left in the queue")
def _(lab):
    equal(queue(), [])


main(make, start)
