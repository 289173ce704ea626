"""A process that meets the network is taken over: what do the others do?"""

import os
import random
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lab"))

from check import case, equal, main, true
from daemon import queue, sealpost, sendmail, wait_empty
from lab import Lab
from space import wait_until
from taken import TABLE, VERBS, Taken

FROM = "carol@relay.example.org"
PEERS = {"listen": ("parent", "queue", "policy"),
         "policy": ("parent", "listen", "queue", "deliver"),
         "deliver": ("parent", "queue", "policy")}
PARENT, QUEUE, POLICY = range(3)


def make():
    return Lab(())


def start(lab):
    lab.sink("a.example")
    lab.start("queue retry 1s up to 2s\n")


def heard(sock):
    """All that comes until the other end is closed."""
    sock.settimeout(5)
    got = b""
    while True:
        more = sock.recv(65536)
        if not more:
            return got
        got += more


@case("listen: reads no message, removes none, stops nobody")
def _(lab):
    before = lab.sealpostd.roles()
    equal(sealpost("pause").code, 0)
    sendmail("-f", FROM, "bob@a.example", text=b"Subject: x\n\nsecret\n")
    entry = queue()[0]
    evil = Taken(before["listen"][0])
    for channel, message, verb in ((QUEUE, "ctl_queue", "SHOW"),
                                   (QUEUE, "ctl_queue", "REMOVE"),
                                   (QUEUE, "ctl_queue", "PROOF"),
                                   (POLICY, "ctl_policy", "POLICIES"),
                                   (PARENT, "ctl_parent", "STOP")):
        ours, theirs = socket.socketpair()
        evil.say(channel, message, theirs.fileno(), verb=VERBS[
            "CTL_" + verb], uid=-1, what=entry["id"].encode(), flags=1)
        theirs.close()
        equal(heard(ours), b"", verb)
    # Its own channel, which root has made, speaks for nobody either.
    for own in evil.channels:
        evil.say(QUEUE, "ctl_queue", own.fileno(), verb=VERBS["CTL_REMOVE"],
                 uid=-1, what=b"all")
    equal(sealpost("status").code, 0)
    equal([e["id"] for e in queue()], [entry["id"]])
    equal(sealpost("resume").code, 0)
    wait_empty()
    equal(lab.sealpostd.roles(), before)


@case("deliver: whom it accuses, and is no peer of, lives on")
def _(lab):
    before = lab.sealpostd.roles()
    evil = Taken(before["deliver"][0])
    for role in (0, 1, 4, 5, 31, 32, 0xffffffff):
        evil.say(PARENT, "broken", role=role)
    equal(sealpost("reload").code, 0)
    time.sleep(0.2)
    equal(lab.sealpostd.roles(), before)


def some_fd(dice):
    """A descriptor of a kind that nobody waits for."""
    make_one = dice.choice((
        lambda: os.memfd_create("x"), lambda: os.pipe()[0],
        lambda: os.open("/", os.O_RDONLY), lambda: os.open("/", os.O_PATH),
        lambda: os.open("/dev/zero", os.O_RDWR),
        lambda: socket.socketpair()[0].detach(),
        lambda: socket.socket().detach()))
    return make_one()


def some_value(dice, kind, size):
    if kind == "U32":
        return dice.choice((0, 1, 2, 5, 17, 256, 65536, 2**31, 2**32 - 1))
    if kind == "U64":
        return dice.choice((0, 1, 7, 2**32, 2**63, 2**64 - 1,
                            dice.randrange(1, 50) << 32 | dice.randrange(4)))
    if kind == "I64":
        return dice.choice((-2**63, -1, 0, 1, 2**63 - 1))
    return dice.choice((b"", b"bob@a.example", b"a.example", b"x" * size,
                        b"\r\n.\r\nX: y", b"\xff" * size, b"2.0.0",
                        b"mx.a.example:25"))[:size - 1]


def rave(evil, role, dice):
    """One message that the table permits, with whatever in it."""
    to = dice.randrange(len(PEERS[role]))
    name = dice.choice(sorted(n for n, m in TABLE.items() if n != "broken"
                              and m.goes(role, PEERS[role][to])) or ["ready"])
    message = TABLE[name]
    if not message.goes(role, PEERS[role][to]):
        return
    fd = some_fd(dice) if message.rule in ("", "MAY_") else None
    evil.say(to, name, fd, **{field: some_value(dice, kind, size)
                              for kind, field, size in message.fields})
    if fd is not None:
        os.close(fd)


def ravings(role):
    @case("%s: 1,500 messages that make no sense harm no other" % role)
    def _(lab):
        before = lab.sealpostd.roles()
        dice = random.Random(role)
        evil = Taken(before[role][0])
        for _ in range(1500):
            rave(evil, role, dice)
        sendmail("-f", FROM, "bob@a.example", text=b"\n\nx\n")
        wait_until("a delivery", lambda: lab.sealpostd.events(
            "delivered", to="<bob@a.example>"))
        equal(lab.sealpostd.roles(), before)
        equal(lab.sealpostd.events("bug") + lab.sealpostd.events("fatal"), [])


for each in PEERS:
    ravings(each)


@case("the family stops as ever")
def _(lab):
    equal(lab.sealpostd.stop(), 0)
    true(not lab.sealpostd.pids(), "all are gone")


main(make, start)
