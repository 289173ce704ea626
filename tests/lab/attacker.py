"""Attackers on port 25: each a sink that is dishonest in one place.

Give them the address of the MX they take over and lead its packets to them
(Lab.attack does both). All would take the mail, were it given to them.
"""

import os
import ssl
import time
import warnings

from sink import Gone, Sink

warnings.simplefilter("ignore", DeprecationWarning)


class Strip(Sink):
    """Removes STARTTLS from the EHLO reply (STRIPTLS)."""

    def offered(self, s):
        return [c for c in super().offered(s) if c != "STARTTLS"]


class Refuse(Sink):
    """Offers STARTTLS and refuses it, for a moment (454)."""

    reply = "454 4.7.0 TLS not available due to temporary reason\r\n"

    def starttls(self, s, line):
        s.write(self.reply)


class RefuseForGood(Refuse):
    """Offers STARTTLS and refuses it, permanently (502)."""

    reply = "502 5.5.1 command not implemented\r\n"


class Impostor(Sink):
    """Speaks TLS with whatever certificate it was given."""


class Outdated(Sink):
    """Speaks nothing newer than TLS 1.1."""

    def prepare(self, context):
        context.set_ciphers("DEFAULT@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1


class Weak(Sink):
    """Speaks TLS 1.2 at security level 0, for a key that is too short."""

    def prepare(self, context):
        context.set_ciphers("DEFAULT@SECLEVEL=0")
        context.maximum_version = ssl.TLSVersion.TLSv1_2


class Inject(Sink):
    """Appends a forged reply to the clear-text answer to STARTTLS."""

    def starttls(self, s, line):
        s.write("220 2.0.0 go ahead\r\n250-injected.example\r\n"
                "250 PIPELINING\r\n")
        self.handshake(s)


class InjectEhlo(Sink):
    """As Inject, but one line only, within the same segment."""

    def starttls(self, s, line):
        s.write("220 go ahead\r\n250 2.1.0 sender ok\r\n")
        self.handshake(s)


class Endless(Sink):
    """Answers EHLO with a reply that never ends."""

    def ehlo(self, s, line):
        for i in range(1000000):
            s.write("250-EXTENSION%d\r\n" % i * 50)


class EndlessLine(Sink):
    """Answers EHLO with one line that never ends."""

    def ehlo(self, s, line):
        s.write("250-")
        for _ in range(1000000):
            s.write("x" * 4096)


class Garbage(Sink):
    """Greets with random bytes and lines."""

    def greet(self, s):
        s.write(os.urandom(3000) + b"\r\n" + os.urandom(500) + b"\r\n")


class GarbageEhlo(Sink):
    """A good greeting, then nonsense."""

    def ehlo(self, s, line):
        s.write(b"25\x00 \xff\xfe\r\nhello\r\n")


class MixedCodes(Sink):
    """A multi-line reply whose codes disagree."""

    def ehlo(self, s, line):
        s.write("250-%s\r\n550 STARTTLS\r\n" % self.name)


class Preauth(Sink):
    """Two greetings in one: the second would answer EHLO in advance."""

    def greet(self, s):
        s.write("220 %s ESMTP\r\n250 %s\r\n" % (self.name, self.name))


class Reset(Sink):
    """Resets the connection within the handshake."""

    def handshake(self, s):
        s.fill()
        s.reset()


class PlainHandshake(Sink):
    """Answers the ClientHello with clear text."""

    def handshake(self, s):
        s.fill()
        s.write("250 2.0.0 no need for that\r\n")
        while True:
            self.command(s, s.line())


class HangUp(Sink):
    """Closes at once after accepting."""

    def greet(self, s):
        raise Gone


class Slow(Sink):
    """Sends one byte of a greeting a second."""

    def greet(self, s):
        for byte in "220-" + "slow " * 200:
            s.write(byte)
            time.sleep(1)


class Silent(Sink):
    """Accepts and says nothing."""

    def greet(self, s):
        while True:
            s.line()


class Drop(Sink):
    """Takes all of the content and closes instead of answering the dot."""

    drops = 1

    def dot(self, s):
        if self.drops > 0:
            self.drops -= 1
            raise Gone
        super().dot(s)
