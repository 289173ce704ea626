"""make demo: the main job, shown live and checked step by step.

Everything printed in a frame is of this run: log lines of sealpostd, what
`sealpost queue` says, what the attackers recorded. Exit 0 only if all came
out as told.
"""

import os
import re
import sys
import textwrap
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lab"))

import attacker
from check import Failed, equal, true
from daemon import (CONF, ROLES, sealpost, sendmail, wait_empty,
                    wait_queue)
from lab import Lab, logs_folder
from space import LabError, enter

WIDTH = 76
LINES_SHOWN = 24
COLOUR = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
SHOWN = ("event", "to", "mx", "tls", "auth", "policy", "route", "reason",
         "dsn", "next", "reply")


def paint(code, text):
    return "\033[%sm%s\033[0m" % (code, text) if COLOUR else text


def tell(text, indent=""):
    print(textwrap.fill(" ".join(text.split()), WIDTH, initial_indent=indent,
                        subsequent_indent=indent), flush=True)


class Step:
    number = 0


def step(title):
    Step.number += 1
    print("\n" + paint("1", "%d. %s" % (Step.number, title)), flush=True)


def frame(source, lines):
    """Text of this run, marked at the left."""
    print(paint("2", "   %s" % source))
    for line in lines:
        first = True
        for part in textwrap.wrap(line.rstrip(), WIDTH - 5,
                                  break_on_hyphens=False) or [""]:
            print("   %s %s%s" % (paint("36", "|"), "" if first else "    ",
                                  part))
            first = False
    sys.stdout.flush()


def good(text):
    print("   %s %s" % (paint("32", "ok"), text), flush=True)


def show_event(e):
    """One log line, without what varies from run to run."""
    frame("sealpostd's log:", [" ".join(
        m.group(0) for m in re.finditer(
            r'([a-z]+)=("(?:[^"\\]|\\.)*"|\S+)', e["line"])
        if m.group(1) in SHOWN)])


def show_queue(domain):
    done = sealpost("queue", "--domain", domain)
    equal(done.code, 0, "sealpost queue: " + done.err)
    frame("$ sealpost queue --domain " + domain, done.out.splitlines())


def show_transcript(villain):
    with open(villain.transcript) as file:
        lines = [re.sub(r"^\d+ ", "", l) for l in file.read().splitlines()]
    if len(lines) > LINES_SHOWN:
        lines = lines[:LINES_SHOWN] + ["... %d lines more" % (
            len(lines) - LINES_SHOWN)]
    frame("the attacker's transcript (C is Sealpost, S the attacker):",
          lines)


def send(domain, words):
    """What a user types; returns the mark in the log before it."""
    done = sendmail("-t", text=("To: bob@%s\nSubject: %s\n\n%s\n" % (
        domain, words, words)).encode())
    frame("$ sendmail -t   (To: bob@%s)" % domain, [])
    equal(done.code, 0, "sendmail: " + done.err)


def delivered(lab, domain, words, auth, policy, route):
    mark = lab.sealpostd.mark()
    send(domain, words)
    e = lab.sealpostd.wait_event("delivered", mark)
    show_event(e)
    equal(e["to"], "<bob@%s>" % domain, "recipient")
    equal((e["auth"], e["policy"], e["route"]), (auth, policy, route),
          "auth, policy, route")
    mail = lab.servers["postfix"].wait_mail(words)
    equal(len(mail), 1, "mails in the mail box")
    true(b"using TLSv1" in mail[0], "Postfix notes TLS in Received:")
    good("it is in Bob's mail box at Postfix, which took it over %s"
         % e["tls"])


def under_attack(lab, domain, words, villains, reason):
    """Send while the attackers have their way; deferred, nothing leaked."""
    mark = lab.sealpostd.mark()
    send(domain, words)
    e = lab.sealpostd.wait_event("deferred", mark)
    show_event(e)
    equal(e["reason"], reason, "reason")
    held = wait_queue(1, state="deferred")[0]
    equal(held["reason"], reason, "reason in the queue")
    show_queue(domain)
    for villain in villains:
        if villain.sessions:
            show_transcript(villain)
        true(not villain.leaked(), "no MAIL FROM, RCPT TO or content in the "
             "attacker's transcript:\n" + villain.text())
    equal(lab.servers["postfix"].mails(words.encode()), [], "mail boxes")
    good("deferred; the attacker saw no sender, no recipient, no content")


def attack_ends(lab, domain, words):
    tell("The attack ends, and the administrator does not want to wait:",
         "   ")
    done = sealpost("retry", domain)
    frame("$ sealpost retry " + domain, done.out.splitlines())
    equal(done.code, 0, "sealpost retry: " + done.err)
    lab.servers["postfix"].wait_mail(words)
    e = lab.sealpostd.events("delivered")[-1]
    show_event(e)
    equal(e["to"], "<bob@%s>" % domain, "recipient")
    wait_empty()
    good("the deferred mail has arrived, once; the queue is empty")


def build():
    tell("A private network namespace, and in it a small Internet of real "
         "servers: Knot DNS signs the zones, Unbound validates, nginx is the "
         "HTTPS policy host, Postfix the receiving MX, each with "
         "certificates of a throw-away CA. Nothing is installed on this "
         "machine, and all of it ends with this demo.")
    lab = Lab(("postfix",))
    for name, mode in (("sealed.example", "enforce"),
                       ("testing.example", "testing"),
                       ("none.example", "none"), ("plain.example", None)):
        lab.domain(name, policy=mode)
    lab.dns.add("attacker.example")
    lab.dns.set("attacker.example", "mx", "A", "198.51.100.250")
    return lab


def story_start(lab):
    step("sealpostd starts as installed, with an empty configuration file")
    lab.start()
    true(os.path.getsize(CONF) == 0, "the configuration file is empty")
    family = lab.sealpostd.roles()
    lines = []
    for role in ("parent",) + ROLES:
        true(family[role], "there is a process " + role)
        with open("/proc/%d/status" % family[role][0]) as status:
            facts = dict(l.rstrip("\n").split(":\t", 1) for l in status
                         if ":\t" in l)
        lines.append("%-8s uid %-6s no_new_privs %s  seccomp %s  x%d" % (
            role, facts["Uid"].split("\t")[0], facts["NoNewPrivs"],
            facts["Seccomp"], len(family[role])))
        if role != "parent":
            true(facts["Uid"].split("\t")[0] != "0", role + " is not root")
            equal((facts["NoNewPrivs"], facts["Seccomp"]), ("1", "2"),
                  role + ": no_new_privs, seccomp")
    frame("its processes, as /proc tells:", lines)
    good("root parent, its children caged")


def story_delivered(lab):
    step("A domain with an MTA-STS policy in mode enforce")
    delivered(lab, "sealed.example", "hello-sealed", "mta-sts", "enforce",
              "secure")
    step("A domain whose policy is only in mode testing")
    delivered(lab, "testing.example", "hello-testing", "webpki", "testing",
              "insecure")
    step("A domain whose policy says none")
    delivered(lab, "none.example", "hello-none", "webpki", "none", "insecure")
    step("A domain without any policy")
    tell("Nothing obliges this domain, but the level `require` does: "
         "authenticated TLS or no delivery. That the MX name came from "
         "unsigned DNS is said by route=insecure.", "   ")
    delivered(lab, "plain.example", "hello-plain", "webpki", "absent",
              "insecure")


def story_strip(lab):
    step("An attacker on the path strips STARTTLS")
    with lab.attack("sealed.example", attacker.Strip) as villain:
        under_attack(lab, "sealed.example", "secret-strip", [villain],
                     "starttls-not-supported")
    attack_ends(lab, "sealed.example", "secret-strip")


def story_certificate(lab):
    step("An attacker on the path presents a certificate of their own")
    with lab.attack("plain.example", attacker.Impostor) as villain:
        under_attack(lab, "plain.example", "secret-certificate", [villain],
                     "certificate-not-trusted")
    attack_ends(lab, "plain.example", "secret-certificate")


def story_spoof(lab):
    step("An attacker spoofs the MX, with a good certificate for their host")
    villain = attacker.Impostor(
        lab.net, "internet", "198.51.100.250",
        lab.ca.issue("mx.attacker.example"), "mx.attacker.example")
    lab.spoof_mx("sealed.example", "mx.attacker.example")
    frame("DNS now says:", ["sealed.example MX " + l for l in
                            lab.dns.ask("sealed.example", "MX")])
    under_attack(lab, "sealed.example", "secret-spoof", [villain],
                 "sts-mx-mismatch")
    true(villain.sessions == 0, "the spoofed host was not even contacted")
    good("the policy was remembered: the wrong host was not even contacted")
    lab.spoof_mx("sealed.example", "mx.sealed.example")
    attack_ends(lab, "sealed.example", "secret-spoof")
    villain.stop()


def story_end(lab):
    step("The books")
    for words in ("hello-sealed", "hello-testing", "hello-none",
                  "hello-plain", "secret-strip", "secret-certificate",
                  "secret-spoof"):
        mails = lab.servers["postfix"].mails(
            b"Subject: " + words.encode() + b"\n")
        equal(len(mails), 1, "mails with subject " + words)
    done = sealpost("status")
    equal(done.code, 0, "sealpost status: " + done.err)
    frame("$ sealpost status", done.out.splitlines()[:24])
    equal(lab.sealpostd.stop(), 0, "exit code of sealpostd")
    good("seven messages sent, seven arrived once, none in the clear")
    good("sealpostd stopped cleanly")


def main():
    enter()
    started = time.monotonic()
    lab = None
    try:
        lab = build()
        for chapter in (story_start, story_delivered, story_strip,
                        story_certificate, story_spoof, story_end):
            chapter(lab)
    except KeyboardInterrupt:
        print("\nstopped; nothing is left behind")
        sys.exit(130)
    except (Failed, LabError) as error:
        print(paint("31", "\nNot as it should be: ") + str(error))
        if lab:
            print(lab.evidence())
            lab.save(logs_folder("demo"))
            print("logs and transcripts: " + os.path.relpath(
                logs_folder("demo")))
        sys.exit(1)
    print("\n" + paint("1;32", "All of it came out so") +
          ", in %.0f seconds." % (time.monotonic() - started))


main()
