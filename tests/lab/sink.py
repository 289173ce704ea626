"""A scripted SMTP server with a transcript: the honest sink.

Attackers (attacker.py) are subclasses that answer wrongly in one place. All
of them take mail if it is offered: what a sender gives away is seen.
"""

import os
import select
import socket
import ssl
import struct
import threading
import time

from space import in_root, wait_until, RUN


class Gone(Exception):
    """The client went away, or this session is over."""



class Session:
    """One connection: buffered lines in, bytes out, all of it recorded."""

    def __init__(self, server, sock, number):
        self.server = server
        self.sock = sock
        self.number = number
        self.buffer = b""
        self.tls = False
        self.sender = None
        self.rcpts = []

    def record(self, who, data):
        tag = "%d %s%s" % (self.number, who, "(tls)" if self.tls else "")
        self.server.record(tag, data)

    def fill(self):
        try:
            data = self.sock.recv(65536)
        except (OSError, ValueError):
            raise Gone
        if not data:
            raise Gone
        self.buffer += data

    def line(self):
        while b"\n" not in self.buffer:
            self.fill()
            if len(self.buffer) > 70000:
                raise Gone
        text, self.buffer = self.buffer.split(b"\n", 1)
        self.record("C", text + b"\n")
        return text.rstrip(b"\r")

    def write(self, data):
        if isinstance(data, str):
            data = data.encode("latin-1")
        self.record("S", data)
        try:
            self.sock.sendall(data)
        except OSError:
            raise Gone

    def reset(self):
        """End the connection by a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             struct.pack("ii", 1, 0))
        raise Gone


class Sink:
    """Serves port 25 of an address at one place until stop()."""

    caps = ["PIPELINING", "SIZE 104857600", "8BITMIME", "ENHANCEDSTATUSCODES"]
    keep_content = True

    def __init__(self, net, place, address, cert=None, name="sink.example",
                 port=25):
        self.address = address
        self.name = name
        self.context = self.make_context(cert) if cert else None
        self.lock = threading.Lock()
        self.mails = []
        self.bytes = []
        self.sessions = 0
        self.resumed = 0
        self.snis = []
        self.over = False
        self.transcript = "%s/transcripts/%s-%s-%.0f.txt" % (
            RUN, type(self).__name__, address.replace(":", "_"),
            time.monotonic() * 1000)
        os.makedirs(os.path.dirname(self.transcript), exist_ok=True)
        self.file = open(self.transcript, "w", buffering=1)
        if self.context:
            self.context.sni_callback = lambda sock, name, ctx: \
                self.snis.append(name)
        self.socket = net.listen(place, address, port)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def make_context(self, cert):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.prepare(context)
        context.load_cert_chain(in_root(cert[0]), in_root(cert[1]))
        return context

    def prepare(self, context):
        """Set what differs from Python's defaults."""

    def stop(self):
        """Stop listening; sessions under way go on until they end."""
        self.over = True
        self.thread.join()
        self.socket.close()

    def serve(self):
        while not self.over:
            ready, _, _ = select.select([self.socket], [], [], 0.1)
            if not ready:
                continue
            sock, _ = self.socket.accept()
            self.sessions += 1
            threading.Thread(target=self.talk, daemon=True, args=(
                Session(self, sock, self.sessions),)).start()

    def talk(self, session):
        session.sock.settimeout(300)
        session.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.greet(session)
            while True:
                self.command(session, session.line())
        except (Gone, OSError) as why:
            self.record("%d --" % session.number, b"closed\n" if isinstance(
                why, Gone) else b"%s\n" % str(why).encode())
        finally:
            session.sock.close()

    def record(self, tag, data):
        with self.lock:
            if tag.split(" ")[1].startswith("C"):
                self.bytes.append(data)
            for line in data.splitlines():
                self.file.write("%s: %s\n" % (
                    tag, line[:500].decode("latin-1").encode(
                        "unicode_escape").decode()))

    # What a server says, each a method that an attacker may replace.

    def greet(self, s):
        s.write("220 %s ESMTP\r\n" % self.name)

    def command(self, s, line):
        verb = line.split(b" ")[0].upper().decode("latin-1")
        handler = {"EHLO": self.ehlo, "HELO": self.helo, "MAIL": self.mail,
                   "RCPT": self.rcpt, "DATA": self.data, "BDAT": self.bdat,
                   "STARTTLS": self.starttls, "QUIT": self.quit}.get(verb)
        if handler:
            handler(s, line)
        elif verb in ("RSET", "NOOP"):
            s.sender, s.rcpts = None, []
            s.write("250 2.0.0 ok\r\n")
        else:
            s.write("502 5.5.1 what?\r\n")

    def offered(self, s):
        caps = list(self.caps)
        if self.context and not s.tls:
            caps.append("STARTTLS")
        return caps

    def ehlo(self, s, line):
        lines = [self.name] + self.offered(s)
        s.write("".join("250%s%s\r\n" % ("-" if i + 1 < len(lines) else " ",
                                         l) for i, l in enumerate(lines)))

    def helo(self, s, line):
        s.write("250 %s\r\n" % self.name)

    def starttls(self, s, line):
        if not self.context or s.tls:
            return s.write("502 5.5.1 not here\r\n")
        s.write("220 2.0.0 go ahead\r\n")
        self.handshake(s)

    def handshake(self, s):
        try:
            s.sock = self.context.wrap_socket(s.sock, server_side=True)
        except (ssl.SSLError, OSError) as why:
            self.record("%d --" % s.number, b"handshake failed: %s\n"
                        % str(why).encode())
            raise Gone
        if s.sock.session_reused:
            self.resumed += 1
        s.tls = True
        s.buffer = b""
        self.record("%d --" % s.number, b"%s begins, server name %s\n" % (
            str(s.sock.version()).encode(), str(self.snis[-1:]).encode()))

    def mail(self, s, line):
        s.sender, s.rcpts = line, []
        s.write("250 2.1.0 ok\r\n")

    def rcpt(self, s, line):
        s.rcpts.append(line)
        s.write("250 2.1.5 ok\r\n")

    def data(self, s, line):
        s.write("354 go on\r\n")
        content = []
        while True:
            text = self.data_line(s)
            if text == b".\r\n":
                break
            content.append(text)
        self.record("%d C%s" % (s.number, "(tls)" if s.tls else ""),
                    b"... %d lines of content, then the dot\n" % len(content))
        self.store(s, b"".join(content))
        self.dot(s)

    def dot(self, s):
        s.write("250 2.0.0 taken\r\n")

    def data_line(self, s):
        while b"\n" not in s.buffer:
            s.fill()
        text, s.buffer = s.buffer.split(b"\n", 1)
        return text + b"\n"

    def bdat(self, s, line):
        words = line.split()
        size = int(words[1])
        while len(s.buffer) < size:
            s.fill()
        s.chunk = getattr(s, "chunk", b"") + s.buffer[:size]
        s.buffer = s.buffer[size:]
        if len(words) > 2:
            self.store(s, s.chunk)
            s.chunk = b""
        self.dot(s)

    def store(self, s, content):
        """Content as it was on the wire: dot-stuffed unless by BDAT."""
        with self.lock:
            self.mails.append((s.sender, list(s.rcpts),
                               content if self.keep_content else b"", s.tls))
        s.sender, s.rcpts = None, []

    def quit(self, s, line):
        s.write("221 2.0.0 bye\r\n")
        raise Gone

    # What a test asks afterwards.

    def received(self):
        """All bytes that clients sent, commands and content, joined."""
        with self.lock:
            return b"".join(self.bytes)

    def leaked(self):
        """Did a client name a sender or recipient, or send content?"""
        upper = self.received().upper()
        return b"MAIL FROM" in upper or b"RCPT TO" in upper or \
            len(self.mails) > 0

    def wait_session(self, count=1, seconds=20):
        wait_until("%d session(s) at %s" % (count, self.address),
                   lambda: self.sessions >= count, seconds)

    def text(self):
        """The transcript so far."""
        with open(self.transcript) as file:
            return file.read()
