"""Discovery, fetch and body of policies: what counts, word by word.

Asked of `sealpost policy DOMAIN --json`, which takes the way of deliveries.
"""

import concurrent.futures
import json
import os
import ssl
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lab"))

from check import case, equal, main, true
from daemon import sealpost, sendmail
from lab import Lab
from policyhost import ADDRESS, PolicyHost, silent, trickle
from scene import Host, Scene, policy_text
from space import in_root, put, wait_until
import web

T = ".t.example"
OK = "version: STSv1\nmode: enforce\nmx: mx.example\nmax_age: 86400\n"
GOOD, FETCH, INVALID, WEBPKI, NONE = (
    "good", "sts-policy-fetch-error", "sts-policy-invalid",
    "sts-webpki-invalid", "none")
PLAIN = ["Content-Type: text/plain"]
MAX = 65536
scene = None
results = {}
rows = []


def head(*headers, status="200 OK"):
    return ("HTTP/1.1 %s\r\n%sConnection: close\r\n\r\n" % (
        status, "".join(h + "\r\n" for h in headers))).encode()


def row(name, sentence, want, body=OK, txt=None, **answer):
    rows.append((name, sentence, want, body, txt, answer))


def sized(n):
    filler = "x: " + "y" * 900 + "\n"
    text = OK + filler * ((n - len(OK)) // len(filler) - 1)
    return text + "z: " + "w" * (n - len(text) - 4) + "\n"


def raw(data):
    return dict(script=lambda sock: sock.sendall(data))


# The TXT record (3.1).
V = '"v=STSv1; id=1;"'
for name, sentence, want, txt in (
        ("end", "no semicolon at the end", GOOD, ['"v=STSv1; id=1"']),
        ("tight", "no blanks", GOOD, ['"v=STSv1;id=1;"']),
        ("loose", "many blanks", GOOD, ['"v=STSv1;   id=1  ;  "']),
        ("long", "an id of 32", GOOD, ['"v=STSv1; id=%s;"' % ("a1B2" * 8)]),
        ("join", "strings joined without a blank", GOOD,
         ['"v=STS" "v1; i" "d=1;"']),
        ("ext", "unknown fields", GOOD, ['"v=STSv1; id=1; a=b; c-d=e f;"']),
        ("extfirst", "unknown fields before the id", GOOD,
         ['"v=STSv1; a=b; id=1;"']),
        ("junk", "other records beside it", GOOD,
         [V, '"v=spf1 -all"', '"STSv1"', '"x" "v=STSv1; id=2;"']),
        ("two2", "another version beside it", GOOD,
         [V, '"v=STSv2; id=2;"']),
        ("two", "two records", NONE, [V, '"v=STSv1; id=2;"']),
        ("split", "one record's halves in two", NONE,
         ['"v=STSv1;"', '"id=1;"']),
        ("noid", "no id", NONE, ['"v=STSv1;"']),
        ("empty", "an empty id", NONE, ['"v=STSv1; id=;"']),
        ("id33", "an id of 33", NONE, ['"v=STSv1; id=%s;"' % ("a" * 33)]),
        ("idbad", "an id with a dash", NONE, ['"v=STSv1; id=1-2;"']),
        ("idspace", "an id with a blank", NONE, ['"v=STSv1; id=1 2;"']),
        ("low", "v=stsv1", NONE, ['"v=stsv1; id=1;"']),
        ("ver", "v=STSv10", NONE, ['"v=STSv10; id=1;"']),
        ("late", "the version not first", NONE, ['"id=1; v=STSv1;"']),
        ("blank", "a blank in front", NONE, ['" v=STSv1; id=1;"']),
        ("twobad", "a right one and a broken one", NONE,
         [V, '"v=STSv1; id=-;"'])):
    row("t-" + name, "TXT: " + sentence, want, txt=txt)

# The answer (3.3).
for code in ("201 Created", "202 Accepted", "204 No Content",
             "206 Partial Content", "301 Moved", "302 Found", "303 See",
             "304 Not Modified", "307 Temporary", "308 Permanent",
             "400 Bad", "403 Forbidden", "404 Not Found", "410 Gone",
             "429 Slow", "500 Oops", "503 Busy"):
    row("s-" + code[:3], "status " + code, FETCH, status=code,
        headers=PLAIN + (["Location: https://mta-sts.t-end.t.example/"
                          ".well-known/mta-sts.txt"]
                         if code[0] == "3" else []))
for name, want, headers in (
        ("plain", GOOD, PLAIN),
        ("param", GOOD, ["Content-Type: text/plain; charset=utf-8"]),
        ("paramx", GOOD, ["Content-Type: text/plain;x=\"y;z\""]),
        ("upper", GOOD, ["Content-Type: TEXT/Plain"]),
        ("lower", GOOD, ["content-type: text/plain"]),
        ("none", INVALID, []),
        ("html", INVALID, ["Content-Type: text/html"]),
        ("octet", INVALID, ["Content-Type: application/octet-stream"]),
        ("plainer", INVALID, ["Content-Type: text/plainer"]),
        ("gzip", INVALID, PLAIN + ["Content-Encoding: gzip"])):
    row("c-" + name, "media type: %s" % (headers or "none"), want,
        headers=headers, **({"body": b"\x1f\x8b\x08\0\0\0\0\0\0\3abc"}
                            if name == "gzip" else {}))
row("z-max", "64 KiB exactly", GOOD, body=sized(MAX))
row("z-over", "64 KiB and one byte", FETCH, body=sized(MAX + 1))
row("z-lie", "more than 64 KiB without a length", FETCH, **raw(
    head(*PLAIN) + sized(200000).encode()))
row("z-nolen", "no length, closed at the end", GOOD, **raw(
    head(*PLAIN) + OK.encode()))
row("z-chunk", "chunked", GOOD, **raw(
    head("Transfer-Encoding: chunked", *PLAIN) + b"%x\r\n%s\r\n0\r\n\r\n" % (
        len(OK), OK.encode())))
row("z-short", "shorter than its length says", FETCH, **raw(
    head("Content-Length: 5000", *PLAIN) + OK.encode()))
row("z-bomb", "endless headers", FETCH, **raw(
    b"HTTP/1.1 200 OK\r\n" + b"X-Fill: %s\r\n" % (b"y" * 8000) * 100))
row("z-junk", "no HTTP at all", FETCH, **raw(b"220 hello\r\n\r\n" + b"x" * 99))
row("z-09", "HTTP/0.9", FETCH, **raw(OK.encode()))
row("z-100", "an interim reply first", GOOD, **raw(
    b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" + head(*PLAIN) +
    OK.encode()))
row("z-close", "closed without an answer", FETCH, script=lambda sock: None)
row("z-piece", "byte by byte, but quick", GOOD, script=trickle(
    head(*PLAIN), [bytes([b]) for b in OK.encode()], 0.002))
row("z-set", "cookies, HSTS and Alt-Svc change nothing", GOOD,
    headers=PLAIN + ["Set-Cookie: a=b", "Alt-Svc: h2=\":444\"",
                     "Strict-Transport-Security: max-age=99999",
                     "Cache-Control: max-age=1"])

# The body (3.2).
for name, sentence, want, body in (
        ("crlf", "CRLF", GOOD, OK.replace("\n", "\r\n")),
        ("mixed", "LF and CRLF mixed", GOOD,
         OK.replace("\n", "\r\n", 2)),
        ("noend", "no line end at the end", GOOD, OK[:-1]),
        ("ends", "empty lines at the end", GOOD, OK + "\n\r\n\n"),
        ("order", "any order", GOOD, "mx: a.example\nmax_age: 1\nmode: "
         "enforce\nversion: STSv1\n"),
        ("blanks", "blanks around the colon and at the end", GOOD,
         "version:STSv1\nmode :  enforce  \nmx:\tmx.example\t\n"
         "max_age   :500\n"),
        ("unknown", "unknown keys", GOOD, OK + "future: x: y\na:\n"),
        ("utf8", "UTF-8 in an unknown key", GOOD, OK + "who: J\u00fcrgen\n"),
        ("dupmode", "mode twice: the first counts", GOOD,
         OK + "mode: none\n"),
        ("dupage", "max_age twice: the first counts", GOOD,
         OK + "max_age: x\n"),
        ("dupver", "version twice: the first counts", GOOD,
         OK + "version: STSv2\n"),
        ("manymx", "many mx", GOOD, OK + "".join(
            "mx: mx%d.example\n" % i for i in range(500))),
        ("zero", "max_age 0 serves this once", GOOD,
         OK.replace("86400", "0")),
        ("cap", "a max_age too large is capped", GOOD,
         OK.replace("86400", "4000000000")),
        ("none", "mode none without mx", GOOD,
         "version: STSv1\nmode: none\nmax_age: 600\n"),
        ("testing", "mode testing", GOOD, OK.replace("enforce", "testing")),
        ("empty", "empty", INVALID, ""),
        ("nover", "no version", INVALID, OK.replace("version: STSv1\n", "")),
        ("ver2", "version STSv2", INVALID, OK.replace("STSv1", "STSv2")),
        ("verlow", "version stsv1", INVALID, OK.replace("STSv1", "stsv1")),
        ("keycase", "keys in capitals are other keys", INVALID,
         OK.replace("mode", "Mode")),
        ("nomode", "no mode", INVALID, OK.replace("mode: enforce\n", "")),
        ("modex", "an unknown mode", INVALID,
         OK.replace("enforce", "report")),
        ("modeup", "a mode in capitals", INVALID,
         OK.replace("enforce", "Enforce")),
        ("noage", "no max_age", INVALID, OK.replace("max_age: 86400\n", "")),
        ("ageneg", "max_age negative", INVALID, OK.replace("86400", "-1")),
        ("agex", "max_age in hex", INVALID, OK.replace("86400", "0x10")),
        ("agefrac", "max_age with a fraction", INVALID,
         OK.replace("86400", "1.5")),
        ("age11", "max_age of 11 digits", INVALID,
         OK.replace("86400", "00000086400")),
        ("ageempty", "max_age empty", INVALID, OK.replace("86400", "")),
        ("nomx", "no mx", INVALID, OK.replace("mx: mx.example\n", "")),
        ("star", "mx: *", INVALID, OK.replace("mx.example", "*")),
        ("partial", "mx: m*.example", INVALID,
         OK.replace("mx.example", "m*.example")),
        ("inner", "mx: a.*.example", INVALID,
         OK.replace("mx.example", "a.*.example")),
        ("ulabel", "mx with a U-label", INVALID,
         OK.replace("mx.example", "m\u00fcx.example")),
        ("mxempty", "an empty mx", INVALID, OK.replace("mx.example", "")),
        ("onebad", "one bad mx spoils the policy", INVALID,
         OK + "mx: a b\n"),
        ("colon", "a line without a colon", INVALID, OK + "nonsense\n"),
        ("barecr", "a bare CR", INVALID, OK.replace("\n", "\r")),
        ("innercr", "a bare CR within a line", INVALID, OK + "x: a\rb\n"),
        ("nul", "a NUL", INVALID, OK + "x: a\0b\n"),
        ("bom", "a byte order mark", INVALID, b"\xef\xbb\xbf" + OK.encode()),
        ("utf16", "UTF-16", INVALID, OK.encode("utf-16")),
        ("html", "HTML", INVALID, "<html><body>hello</body></html>\n")):
    row("b-" + name, "body: " + sentence, want, body=body)

# TLS of the policy host (3.3, 7.1).
TLS = [
    ("selfsigned", "a certificate of nobody", WEBPKI,
     lambda lab, n: lab.bad_ca.issue(n)),
    ("expired", "expired", WEBPKI,
     lambda lab, n: lab.ca.issue(n, expired=True)),
    ("future", "not valid yet", WEBPKI,
     lambda lab, n: lab.ca.issue(n, future=True)),
    ("other", "for another name", WEBPKI,
     lambda lab, n: lab.ca.issue("mta-sts.example")),
    ("cn", "the name in the subject only", WEBPKI,
     lambda lab, n: lab.ca.issue("x.example", common_name=n)),
    ("wild", "a wildcard of one label", GOOD,
     lambda lab, n: lab.ca.issue("*." + n.split(".", 1)[1])),
    ("wildtwo", "a wildcard that would stand for two", WEBPKI,
     lambda lab, n: lab.ca.issue("*.t.example")),
    ("partial", "a wildcard within a label", WEBPKI,
     lambda lab, n: lab.ca.issue("mta*." + n.split(".", 1)[1])),
]


def old(context):
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1


def tls12(context):
    context.maximum_version = ssl.TLSVersion.TLSv1_2


VERSIONS = [("tls11", "203.0.113.82", old, FETCH),
            ("tls12", "203.0.113.83", tls12, GOOD)]


def certify(cert):
    return lambda s, r: s.web.certify(r.domain, cert(
        s.lab, "mta-sts." + r.domain))


def make():
    return Lab(())


def start(lab):
    global scene
    scene = Scene(lab)
    for name, _, _, _, txt, _ in rows:
        scene.add(name, policy="", txt=txt, hosts=[], send=False)
    for name, _, _, cert in TLS:
        scene.add("x-" + name, policy=OK, hosts=[], send=False,
                  extra=certify(cert))
    for name, address, prepare, _ in VERSIONS:
        scene.add(name, policy=OK, hosts=[], policy_address=address,
                  send=False)
        PolicyHost(lab.net, address, lab.ca.issue("mta-sts." + name + T),
                   prepare).answer(name + T, OK)
    for name in ("noaddr", "closed", "v6", "cname", "slow", "stall", "h2",
                 "multi", "semi"):
        scene.add(name, policy=OK, hosts=[Host(real=False)], send=False)
    scene.add("load", policy=policy_text("enforce", "mx.load" + T),
              send=False)
    scene.add("lame", policy=OK, hosts=[], zone="bog.example", send=False)
    scene.add("parent", policy=OK, hosts=[], send=False)
    scene.build()
    for name, _, _, body, _, answer in rows:
        scene.web.answer(name + T, body, **answer)
    dns = lab.dns
    dns.set("t.example", "mta-sts.noaddr.t.example.", "A")
    dns.set("t.example", "mta-sts.closed.t.example.", "A", "203.0.113.99")
    dns.set("t.example", "mta-sts.cname.t.example.", "A")
    dns.set("t.example", "mta-sts.cname.t.example.", "CNAME",
            "hosting.t.example.")
    dns.set("t.example", "_mta-sts.cname.t.example.", "TXT")
    dns.set("t.example", "_mta-sts.cname.t.example.", "CNAME",
            "txt.t.example.")
    dns.set("t.example", "txt", "TXT", V)
    dns.set("t.example", "hosting", "A", ADDRESS)
    dns.set("t.example", "mta-sts.multi.t.example.", "A", "203.0.113.98",
            "203.0.113.99", ADDRESS)
    dns.set("t.example", "mta-sts.semi.t.example.", "A", "10.0.0.1",
            "127.0.0.1", ADDRESS)
    if lab.net.ipv6:
        dns.set("t.example", "mta-sts.v6.t.example.", "A")
        dns.set("t.example", "mta-sts.v6.t.example.", "AAAA",
                "2001:db8:180::81")
        PolicyHost(lab.net, "2001:db8:180::81",
                   lab.ca.issue("mta-sts.v6" + T)).answer("v6" + T, OK)
    # nginx speaks HTTP/2.
    dns.set("t.example", "mta-sts.h2.t.example.", "A", web.ADDRESS)
    lab.web.site("h2" + T, lab.ca.issue("mta-sts.h2" + T))
    lab.web.body("h2" + T, OK)
    scene.web.answer("slow" + T, script=trickle(
        head(*PLAIN), [b"x"] * 200, 1))
    scene.web.answer("stall" + T, script=silent)
    for name in ("https_proxy", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"):
        os.environ[name] = "http://203.0.113.99:3128"
    put("/root/.netrc", "default login secret password secret\n", 0o600)
    lab.start(scene.conf())
    names = [r[0] for r in rows] + ["x-" + t[0] for t in TLS]
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        slow = [pool.submit(scene.policy, n) for n in ("slow", "stall")]
        for name, answer in zip(names, pool.map(scene.policy, names)):
            results[name] = answer
    results["pending"] = slow


def judge(name, want):
    p = results.get(name) or scene.policy(name)
    error = p["last_error"]
    if want == GOOD:
        equal((p["source"], error), ("fetched", None))
        true(p["mode"] and p["id"] and p["fetched"] and p["expires"], p)
    else:
        equal((p["source"], p["mode"], p["mx"], p["id"]),
              ("none", None, [], None))
        equal(error.split(":")[0] if error else NONE, want, error)
        if error:
            true(len(error) > len(want) + 10, "says more: " + error)
    return p


def show(name, sentence, want):
    @case(sentence + (": counts" if want == GOOD else ": " + want))
    def _(lab):
        judge(name, want)


for r in rows:
    show(r[0], r[1], r[2])
for t in TLS:
    show("x-" + t[0], "policy host: " + t[1], t[2])


@case("what a good policy says is what `sealpost policy` tells")
def _(lab):
    p = results["b-order"]
    equal((p["domain"], p["mode"], p["mx"], p["max_age"]),
          ("b-order" + T, "enforce", ["a.example"], 1))
    equal(results["b-cap"]["max_age"], 31557600)
    for name, capped in (("b-cap", "yes"), ("b-order", None)):
        noted = lab.sealpostd.events("policy-new", domain=name + T)
        equal([e.get("capped") for e in noted], [capped], name)
    equal((results["b-none"]["mode"], results["b-none"]["mx"]), ("none", []))
    equal(results["b-dupmode"]["mode"], "enforce")
    equal(len(results["b-manymx"]["mx"]), 501)
    equal(results["t-long"]["id"], "a1B2" * 8)


@case("no redirect was followed, and each was fetched once")
def _(lab):
    for r in rows:
        want = 0 if r[2] == NONE else 1
        equal(len(scene.web.fetches(r[0] + T)), want, r[0])


@case("the request: GET of the one path, the right Host, nothing else told")
def _(lab):
    _, text, version = scene.web.fetches("t-end" + T)[0]
    lines = text.split("\r\n")
    equal(lines[0], "GET /.well-known/mta-sts.txt HTTP/1.1")
    true("Host: mta-sts.t-end" + T in lines, text)
    for word in ("cookie", "authorization", "referer", "accept-encoding"):
        true(word not in text.lower(), "%s in %s" % (word, text))
    equal(version, "TLSv1.3")


for v in VERSIONS:
    show(v[0], "policy host: no more than " + v[0], v[3])


@case("the policy host has no address")
def _(lab):
    judge("noaddr", FETCH)


@case("the policy host is down")
def _(lab):
    judge("closed", FETCH)


@case("the policy host has an IPv6 address only")
def _(lab):
    if lab.net.ipv6:
        judge("v6", GOOD)


@case("the policy host and the TXT record are CNAMEs (8.2)")
def _(lab):
    judge("cname", GOOD)


@case("the policy host's first addresses are closed")
def _(lab):
    began = time.monotonic()
    judge("multi", GOOD)
    true(time.monotonic() - began < 2, "none of them costs time")


@case("the policy host's private addresses are passed over")
def _(lab):
    judge("semi", GOOD)


@case("DNS fails for TXT: nothing is known, and that is told")
def _(lab):
    p = scene.policy("lame")
    equal((p["source"], p["mode"], p["last_error"].split(":")[0]),
          ("none", None, "dns-error"), repr(p))


@case("HTTP/2")
def _(lab):
    judge("h2", GOOD)
    with open(in_root("/var/log/nginx/access.log")) as log:
        true("HTTP/2.0" in log.read(), "it was spoken")


@case("nothing is inherited from a parent (3.4)")
def _(lab):
    done = sealpost("policy", "sub.parent" + T, "--json")
    equal(json.loads(done.out)["source"], "none")


@case("500 messages to a cold domain: one fetch")
def _(lab):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for done in pool.map(lambda i: sendmail(
                *["u%d-%d@load%s" % (i, k, T) for k in range(25)],
                text=b"x: y\n\nz\n"), range(20)):
            equal(done.code, 0, done.err)
    wait_until("outcomes", lambda: len(lab.sealpostd.events("delivered"))
               >= 500, 30)
    equal(len(scene.web.fetches("load" + T)), 1)


@case("a failed fetch is not tried again within five minutes (3.3)")
def _(lab):
    for name in ("s-404", "b-nomode", "x-expired"):
        before = len(scene.web.fetches(name + T))
        p = scene.policy(name)
        equal(len(scene.web.fetches(name + T)), before)
        true(p["last_error"], "the error is still told: %r" % p)


@case("but at once where the administrator asks, or the id is new")
def _(lab):
    before = len(scene.web.fetches("s-404" + T))
    scene.policy("s-404", "--refresh")
    equal(len(scene.web.fetches("s-404" + T)), before + 1)
    scene.publish("s-404", ['"v=STSv1; id=2;"'], OK)
    wait_until("the new id", lambda: scene.policy("s-404")["source"] !=
               "none", 5)


@case("a policy host that stalls or trickles ends within its time")
def _(lab):
    began = time.monotonic()
    for pending in results["pending"]:
        p = pending.result()
        equal(p["source"], "none")
        true(p["last_error"].startswith(FETCH), p)
    true(time.monotonic() - began < 40, "sooner than a minute")


main(make, start)
