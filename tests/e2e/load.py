"""A thousand messages from ten sessions: each arrives once, memory stays."""

import collections
import os
import re
import smtplib
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lab"))

from check import case, equal, main, true
from daemon import wait_empty
from lab import Lab
from space import wait_until

COUNT, SESSIONS = 1000, 10
sinks = []
peak = [0]


def make():
    return Lab(())


def start(lab):
    sinks.append(lab.sink("bulk.example", policy="enforce"))
    lab.start()


def submit(session, failures):
    try:
        with smtplib.SMTP("127.0.0.1", 25, "client.example", 60) as smtp:
            for i in range(COUNT // SESSIONS):
                smtp.sendmail("a@relay.example.org", ["bob@bulk.example"],
                              b"Subject: load\r\nX-Token: <%d-%d>\r\n\r\n%s"
                              % (session, i, b"0123456789abcde\r\n" * 240))
    except (OSError, smtplib.SMTPException) as why:
        failures.append(why)


@case("1,000 messages of 4 KiB from ten sessions arrive, each once")
def _(lab):
    failures = []
    threads = [threading.Thread(target=submit, args=(s, failures))
               for s in range(SESSIONS)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    while any(t.is_alive() for t in threads):
        peak[0] = max(peak[0], lab.sealpostd.memory_kib())
        time.sleep(0.05)
    equal(failures, [])

    def arrived():
        peak[0] = max(peak[0], lab.sealpostd.memory_kib())
        return len(sinks[0].mails) >= COUNT
    wait_until("%d messages at the sink" % COUNT, arrived, 60)
    took = time.monotonic() - began
    wait_empty(30)
    tokens = collections.Counter(
        re.search(rb"X-Token: <(\S+)>", content).group(1)
        for _, _, content, _ in sinks[0].mails)
    equal(len(tokens), COUNT)
    equal([t for t, n in tokens.items() if n != 1], [], "more than once")
    true(all(tls for _, _, _, tls in sinks[0].mails), "all over TLS")
    print("%d messages in %.1f s, memory at most %d KiB" % (
        COUNT, took, peak[0]))


@case("connections are reused: far fewer sessions than messages")
def _(lab):
    true(sinks[0].sessions <= COUNT // 5, "%d sessions" % sinks[0].sessions)


@case("the policy was fetched once for all of them")
def _(lab):
    equal(lab.web.fetches("bulk.example"), [200])


@case("the daemon's memory stays under 64 MiB (PSS, all processes)")
def _(lab):
    if not os.environ.get("SAN"):
        true(peak[0] < 64 * 1024, "%d KiB" % peak[0])


main(make, start)
