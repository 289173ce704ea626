"""What the sender is told: bounces, notices of delay, relayed (RFC 3464)."""

import email
import email.policy
import os
import re
import smtplib
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lab"))

import attacker
from check import case, equal, main, true
from daemon import queue, sealpost, sendmail, wait_queue
from lab import Lab
from script import Script, local
from space import put, wait_until

FROM = "carol@home.example"
hosts = {}
sent = {}

REPLIES = {
    "perm": "550 5.1.1 no such user here",
    "bare": "554 without a status code",
    "temp": "450 4.2.0 come back later",
    "evil": "550 5.7.1 x\x1b[31m\x07 --=_report_ \xff\xfe" + "y" * 400,
    "many": "550-5.1.1 first line\r\n550-5.1.1 second line\r\n"
            "550 5.1.1 third line",
}


class Reports(Script):
    """A host that knows DSN."""
    caps = Script.caps + ["DSN", "SMTPUTF8"]


class Seven(Script):
    """A host of the last century."""
    caps = ["SIZE 1000000"]


def make():
    return Lab(())


def start(lab):
    hosts["a"] = lab.sink("a.example", kind=Script)
    hosts["dsn"] = lab.sink("dsn.example", kind=Reports)
    hosts["home"] = lab.sink("home.example", kind=Reports)
    hosts["seven"] = lab.sink("seven.example", kind=Seven)
    hosts["strip"] = lab.sink("strip.example", kind=attacker.Strip)
    hosts["mended"] = lab.sink("mended.example", "enforce")
    lab.announce("mended.example", "enforce", ["other.mended.example"])
    for name in ("a", "dsn"):
        hosts[name].say["RCPT"] = lambda s, line: REPLIES.get(
            local(line).split("-")[0])
    hosts["home"].say["RCPT"] = lambda s, line: (
        "550 5.1.1 gone" if local(line) == "moved" else None)
    put("/etc/aliases", "root: duty\nduty: boss@home.example, "
        "deputy@home.example\nloop: loop\n")
    lab.start("queue retry 1s up to 2s\nqueue warn 3s tls 2s\n"
              "queue expire 7s\n")
    send_slow()


def send(token, to, sender=FROM, mail=(), rcpt=(), text="body of %s"):
    """By SMTP, with parameters."""
    content = "Subject: %s\r\n\r\n%s\r\n" % (token, text.replace("%s", token))
    with smtplib.SMTP("127.0.0.1", 25, timeout=20) as smtp:
        smtp.ehlo("client.example")
        smtp.sendmail(sender, [to] if isinstance(to, str) else to,
                      content.encode(), list(mail), list(rcpt))


def send_slow():
    """What the cases at the end look for takes seconds: all at once."""
    send("t-late", ["temp@a.example", "temp-2@a.example", "ok@a.example"])
    send("t-quiet", "temp@a.example", rcpt=["NOTIFY=FAILURE"])
    send("t-never", "temp@a.example", rcpt=["NOTIFY=NEVER"])
    send("t-null", "temp@a.example", sender="")
    send("t-tls", "bob@strip.example")
    send("t-behind", "bob@strip.example")


class Report:
    """A report that arrived, taken apart by Python's email package."""

    def __init__(self, mail):
        self.sender, self.rcpts, raw = mail[0], mail[1], mail[2]
        self.raw = re.sub(rb"(^|\r\n)\.\.", rb"\1.", raw)
        self.message = email.message_from_bytes(self.raw,
                                                policy=email.policy.SMTP)
        equal(self.message.get_content_type(), "multipart/report")
        equal(self.message.get_param("report-type"), "delivery-status")
        self.parts = self.message.get_payload()
        equal(len(self.parts), 3)
        equal(self.parts[0].get_content_type(), "text/plain")
        self.text = self.parts[0].get_content()
        self.words = " ".join(self.text.split())
        status = self.parts[1].get_payload()
        if isinstance(status, str):  # message/global-delivery-status
            status = [email.message_from_string(block) for block in
                      status.strip().replace("\r\n", "\n").split("\n\n")]
        self.fields, self.rcpt_fields = status[0], status[1:]
        for block in [self.message] + self.parts:
            equal(block.defects, [])


def reports(token, subject=None):
    """The reports at home about a message, by its own Subject."""
    found = [m for m in list(hosts["home"].mails)
             if m[0].startswith(b"MAIL FROM:<>") and
             b"\r\nSubject: %s\r\n" % token.encode() in m[2]]
    found = [Report(m) for m in found]
    return [r for r in found if subject in (None, r.message["Subject"])]


def wait_report(token, subject="Undelivered mail", seconds=20):
    return wait_until("a report about " + token,
                      lambda: reports(token, subject), seconds)[0]


def nothing_left(token):
    wait_until("%s to be gone" % token, lambda: not [
        e for e in queue() if token in sealpost("show", e["id"]).out])


@case("a bounce: three parts, the fields of RFC 3464, marked automatic")
def _(lab):
    send("b-one", "perm@a.example")
    r = wait_report("b-one")
    equal(r.sender[:11], b"MAIL FROM:<")
    equal([x.split()[1] for x in r.rcpts], [b"TO:<%s>" % FROM.encode()])
    m = r.message
    equal(m["To"].addresses[0].addr_spec, FROM)
    equal(m["Auto-Submitted"], "auto-replied")
    equal(m["From"].addresses[0].addr_spec,
          "MAILER-DAEMON@relay.example.org")
    true(m["Message-ID"] and m["Date"] and m["MIME-Version"], r.raw)
    equal(r.fields["Reporting-MTA"], "dns; relay.example.org")
    true(r.fields["Arrival-Date"], r.raw)
    f = r.rcpt_fields[0]
    equal((f["Final-Recipient"], f["Action"], f["Status"], f["Remote-MTA"],
           f["Diagnostic-Code"]),
          ("rfc822; perm@a.example", "failed", "5.1.1", "dns; mx.a.example",
           "smtp; 550 5.1.1 no such user here"))
    true(f["Last-Attempt-Date"], r.raw)


@case("... whose words for people name recipient, host and reply")
def _(lab):
    r = reports("b-one")[0]
    for word in ("relay.example.org", "<perm@a.example>",
                 "mx.a.example answered: 550 5.1.1 no such user here",
                 "remote-5xx", "will not be tried again"):
        true(word in r.words, "%r in %s" % (word, r.text))
    true(max(len(line) for line in r.text.splitlines()) <= 78, r.text)


@case("... which names the original and carries it (RET=FULL is usual)")
def _(lab):
    r = reports("b-one")[0]
    equal(r.parts[2].get_content_type(), "message/rfc822")
    inner = r.parts[2].get_payload()[0]
    equal(inner["Subject"], "b-one")
    equal(inner.get_content().strip(), "body of b-one")


@case("several recipients of one attempt: one bounce, a block for each")
def _(lab):
    send("b-three", ["perm-1@a.example", "ok@a.example", "perm-2@a.example",
                     "bare@a.example"])
    r = wait_report("b-three")
    equal([f["Final-Recipient"] for f in r.rcpt_fields],
          ["rfc822; perm-1@a.example", "rfc822; perm-2@a.example",
           "rfc822; bare@a.example"])
    true(r.rcpt_fields[2]["Status"].startswith("5."), "a status of ours")
    equal(len(reports("b-three")), 1)
    true("ok@a.example" not in r.text, r.text)


@case("ENVID and ORCPT come back decoded, RET=HDRS brings headers only")
def _(lab):
    send("b-hdrs", "perm@a.example", mail=["RET=HDRS", "ENVID=a+2Bb+3Dc"],
         rcpt=["ORCPT=rfc822;who+2Btag@list.example"])
    r = wait_report("b-hdrs")
    equal(r.fields["Original-Envelope-Id"], "a+b=c")
    equal(r.rcpt_fields[0]["Original-Recipient"],
          "rfc822; who+tag@list.example")
    equal(r.parts[2].get_content_type(), "text/rfc822-headers")
    true("Subject: b-hdrs" in r.parts[2].get_content(), r.raw)
    true(b"body of b-hdrs" not in r.raw, r.raw)


@case("sendmail -R, -V and -N say the same")
def _(lab):
    equal(sendmail("-f", FROM, "-R", "hdrs", "-V", "id 1", "-N", "failure",
                   "perm@a.example", text=b"Subject: b-send\n\nxyz\n").code,
          0)
    r = wait_report("b-send")
    equal(r.fields["Original-Envelope-Id"], "id 1")
    true(b"xyz" not in r.raw, r.raw)


@case("a local sender's reports go where its alias leads")
def _(lab):
    for args in ((), ("-f", "ROOT@localhost")):
        token = "b-local%d" % len(args)
        equal(sendmail(*args, "perm@a.example",
                       text=b"Subject: %s\n\nx\n" % token.encode()).code, 0)
        r = wait_report(token)
        equal([x.split()[1] for x in r.rcpts],
              [b"TO:<boss@home.example>", b"TO:<deputy@home.example>"])
    equal(sendmail("-f", "loop", "perm@a.example",
                   text=b"Subject: b-loop\n\nx\n").code, 0)
    wait_until("a report to loop, lost", lambda: lab.sealpostd.events(
        "bounced", to="<loop@relay.example.org>"))


@case("NOTIFY=NEVER: no bounce; and none for the null sender")
def _(lab):
    mark = lab.sealpostd.mark()
    send("b-never", "perm@a.example", rcpt=["NOTIFY=NEVER"])
    send("b-delayonly", "perm@a.example", rcpt=["NOTIFY=DELAY,SUCCESS"])
    send("b-null", "perm@a.example", sender="")
    wait_until("three bounced", lambda: len(lab.sealpostd.events(
        "bounced", mark, to="<perm@a.example>")) == 3)
    for e in lab.sealpostd.events("bounced", mark, to="<perm@a.example>"):
        equal(lab.sealpostd.events("reported", mark, of=e["id"]), [])
    for token in ("b-never", "b-delayonly", "b-null"):
        equal(reports(token), [])


@case("NOTIFY=SUCCESS: `relayed` where the host knows no DSN")
def _(lab):
    send("b-relayed", ["ok@a.example", "ok-2@a.example", "perm@a.example"],
         rcpt=["NOTIFY=SUCCESS"])
    r = wait_report("b-relayed", "Relayed mail")
    equal([(f["Action"], f["Status"], f["Final-Recipient"])
           for f in r.rcpt_fields],
          [("relayed", "2.0.0", "rfc822; ok@a.example"),
           ("relayed", "2.0.0", "rfc822; ok-2@a.example")])
    equal(r.parts[2].get_content_type(), "text/rfc822-headers")
    equal(len(reports("b-relayed")), 1)


@case("... and passed on, without a notice of ours, where it does")
def _(lab):
    send("b-passed", "ok@dsn.example", mail=["RET=HDRS", "ENVID=e+2B1"],
         rcpt=["NOTIFY=SUCCESS,DELAY", "ORCPT=rfc822;x+2By@l.example"])
    mail = wait_until("b-passed", lambda: [
        m for m in hosts["dsn"].mails if b"b-passed" in m[2]])[0]
    for word in (b"RET=HDRS", b"ENVID=e+2B1"):
        true(word in mail[0], mail[0])
    for word in (b"NOTIFY=SUCCESS,DELAY", b"ORCPT=rfc822;x+2By@l.example"):
        true(word in mail[1][0], mail[1])
    nothing_left("b-passed")
    equal(reports("b-passed"), [])


@case("a bounce that is refused is dropped, with a log line, not bounced")
def _(lab):
    mark = lab.sealpostd.mark()
    send("b-moved", "perm@a.example", sender="moved@home.example")
    lab.sealpostd.wait_event("bounced", mark, to="<moved@home.example>",
                             from_="<>")
    nothing_left("b-moved")
    report, = lab.sealpostd.events("reported", mark, to="<moved@home.example>")
    equal(lab.sealpostd.events("reported", mark, of=report["id"]), [])


@case("a hostile reply stays inside its field: no controls, no new lines")
def _(lab):
    send("b-evil", ["evil@a.example", "many@a.example"])
    r = wait_report("b-evil")
    true(not re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\xff]", r.raw),
         r.raw)
    true(max(len(line) for line in r.raw.split(b"\r\n")) <= 998, "short")
    true("first line" in r.words and "third line" in r.words, r.text)


@case("8-bit content comes back whole, in an 8-bit bounce")
def _(lab):
    send("b-eight", "perm@a.example", mail=["BODY=8BITMIME"],
         text="gr\u00fc\u00dfe")
    r = wait_report("b-eight")
    equal(r.message["Content-Transfer-Encoding"], "8bit")
    true("gr\u00fc\u00dfe".encode() in r.raw, r.raw)
    true(b"BODY=8BITMIME" in r.sender, r.sender)


@case("... or in seven bits, where the sender's host knows no 8BITMIME")
def _(lab):
    for local, mail in (("perm", ["BODY=8BITMIME"]),
                        ("perm-j\u00f6rg", ["BODY=8BITMIME", "SMTPUTF8"])):
        with smtplib.SMTP("127.0.0.1", 25, timeout=20) as smtp:
            smtp.ehlo("client.example")
            smtp.sendmail("amy@seven.example", [local + "@dsn.example"],
                          "Subject: b-seven gr\u00fc\r\n\r\n"
                          "gr\u00fc\u00dfe\r\n".encode(), mail)
        mail = wait_until("the bounce", lambda: hosts["seven"].mails)[0]
        r = Report(mail)
        hosts["seven"].mails.clear()
        true(r.raw.isascii() and b"BODY" not in r.sender, r.raw)
        equal(r.parts[2]["Content-Transfer-Encoding"], "quoted-printable")
        true(b"\r\nSubject: b-seven gr=C3=BC" in r.raw, r.raw)


@case("an international sender gets the types of RFC 6533")
def _(lab):
    with smtplib.SMTP("127.0.0.1", 25, timeout=20) as smtp:
        smtp.ehlo("client.example")
        smtp.sendmail("j\u00f6rg@home.example", ["perm@dsn.example"],
                      b"Subject: b-utf8\r\n\r\nx\r\n",
                      ["SMTPUTF8", "BODY=8BITMIME"])
    r = wait_report("b-utf8")
    equal(r.parts[1].get_content_type(), "message/global-delivery-status")
    equal(r.parts[2].get_content_type(), "message/global")
    true(b"SMTPUTF8" in r.sender, r.sender)


@case("`sealpost bounce`: the report says who gave up, and the last reason")
def _(lab):
    send("b-order", "temp-order@a.example")
    e = wait_until("deferred", lambda: [
        x for x in queue() if x["recipient"] == "temp-order@a.example" and
        x["state"] == "deferred"])[0]
    equal(sealpost("bounce", e["id"]).code, 0)
    r = wait_report("b-order")
    true("administrator gave the message up" in r.words, r.text)
    true("come back later" in r.words, r.text)


@case("TLS is the reason: a notice at `queue warn tls`, with what to do")
def _(lab):
    r = wait_report("t-tls", "Delayed mail")
    f = r.rcpt_fields[0]
    equal((f["Action"], f["Final-Recipient"]),
          ("delayed", "rfc822; bob@strip.example"))
    true(f["Status"].startswith("4.7"), f["Status"])
    true(f["Will-Retry-Until"], r.raw)
    for word in ("starttls-not-supported", "mx.strip.example", "STARTTLS",
                 "need not send it again"):
        true(word in r.words, "%r in %s" % (word, r.text))
    for word in ("destination strip.example", "tls opportunistic until",
                 "because"):
        true(word in r.words, "the exception, %r in %s" % (word, r.text))
    equal(r.parts[2].get_content_type(), "text/rfc822-headers")


@case("... the same to those whose messages only wait behind it")
def _(lab):
    r = wait_report("t-behind", "Delayed mail")
    true(r.rcpt_fields[0]["Status"].startswith("4.7"), r.raw)
    for word in ("starttls-not-supported", "mx.strip.example",
                 "destination strip.example", "prove who they are"):
        true(word in r.words, "%r in %s" % (word, r.text))


@case("a notice of delay at `queue warn`, one for all recipients")
def _(lab):
    r = wait_report("t-late", "Delayed mail")
    equal([f["Final-Recipient"] for f in r.rcpt_fields],
          ["rfc822; temp@a.example", "rfc822; temp-2@a.example"])
    true("450 4.2.0 come back later" in r.words, r.text)


@case("at `queue expire`: a bounce with reason expired and the last detail")
def _(lab):
    r = wait_report("t-late")
    equal(len(r.rcpt_fields), 2)
    f = r.rcpt_fields[0]
    equal((f["Action"], f["Status"]), ("failed", "5.4.7"))
    for word in ("not delivered in time", "Reason: expired", "remote-4xx",
                 "450 4.2.0 come back later"):
        true(word in r.words, "%r in %s" % (word, r.text))
    true("asks to try again later" not in r.words, r.text)
    e = lab.sealpostd.events("bounced", to="<temp@a.example>",
                             from_="<%s>" % FROM)[-1]
    equal((e["reason"], e["dsn"]), ("expired", "5.4.7"))
    true("come back later" in e["line"], e["line"])


@case("... also where TLS was the reason: in plain words")
def _(lab):
    r = wait_report("t-tls")
    for word in ("starttls-not-supported", "mx.strip.example", "expired"):
        true(word in r.words, "%r in %s" % (word, r.text))


@case("one notice and one bounce, not one an attempt; quiet ones are quiet")
def _(lab):
    wait_queue(0)
    equal(len(reports("t-late", "Delayed mail")), 1)
    equal(len(reports("t-late")), 2)
    equal([r.message["Subject"] for r in reports("t-quiet")],
          ["Undelivered mail"])
    equal(reports("t-never") + reports("t-null"), [])


@case("under enforce the policy is looked at anew before the bounce (5.1)")
def _(lab):
    equal(lab.sealpostd.stop(), 0)
    lab.sealpostd.configure("queue retry 1h up to 1h\nqueue expire 3s\n"
                            "queue warn never\n")
    lab.sealpostd.start()
    send("m-mend", "bob@mended.example")
    wait_queue(1, state="deferred", reason="sts-mx-mismatch")
    lab.announce("mended.example", "enforce")
    mail = wait_until("the mail", lambda: hosts["mended"].mails)
    true(b"m-mend" in mail[0][2], mail[0][2])
    equal(reports("m-mend"), [])


main(make, start)
