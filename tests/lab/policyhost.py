"""A policy host whose every byte is scripted, on port 443 of one address.

    host = PolicyHost(net, "203.0.113.81", cert)
    host.answer("a.example", body="version: STSv1...")
    host.answer("b.example", status="302 Found", headers=["Location: ..."])
    host.answer("c.example", script=function_of_the_socket)

It speaks HTTP/1.1 only; Web (web.py) is nginx and speaks HTTP/2.
"""

import socket
import ssl
import threading
import time

from space import in_root

ADDRESS = "203.0.113.81"


class PolicyHost:
    """Answers by the name asked for in SNI."""

    def __init__(self, net, address=ADDRESS, cert=None, prepare=None):
        self.answers = {}
        self.requests = []  # (domain, first line, TLS version)
        self.special = {}
        self.default = self.make_context(cert, prepare)
        self.default.sni_callback = self.choose
        self.socket = net.listen("internet", address, 443)
        threading.Thread(target=self.serve, daemon=True).start()

    def make_context(self, cert, prepare=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if prepare:
            prepare(context)
        context.load_cert_chain(in_root(cert[0]), in_root(cert[1]))
        return context

    def certify(self, domain, cert):
        """Another certificate for one domain."""
        self.special[domain] = self.make_context(cert)

    def answer(self, domain, body="", status="200 OK", headers=None,
               script=None):
        """What a GET gets. headers replace Content-Type; None: text/plain."""
        if headers is None:
            headers = ["Content-Type: text/plain"]
        data = body if isinstance(body, bytes) else body.encode()
        self.answers[domain] = script or (
            ("HTTP/1.1 %s\r\n%s" % (status, "".join(
                h + "\r\n" for h in headers))).encode() +
            b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(data) +
            data)

    def fetches(self, domain):
        return [r for r in self.requests if r[0] == domain]

    def choose(self, sock, name, context):
        sock.lab_name = name
        domain = (name or "").replace("mta-sts.", "", 1)
        if domain in self.special:
            sock.context = self.special[domain]

    def serve(self):
        while True:
            sock, _ = self.socket.accept()
            threading.Thread(target=self.talk, args=(sock,),
                             daemon=True).start()

    def talk(self, raw):
        raw.settimeout(100)
        try:
            sock = self.default.wrap_socket(raw, server_side=True)
            domain = (getattr(sock, "lab_name", None) or "").replace(
                "mta-sts.", "", 1)
            asked = b""
            while b"\r\n\r\n" not in asked:
                data = sock.recv(4096)
                if not data:
                    return
                asked += data
            self.requests.append((domain, asked.decode("latin-1"),
                                  sock.version()))
            answer = self.answers.get(
                domain, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n"
                b"Content-Type: text/plain\r\nConnection: close\r\n\r\n")
            if callable(answer):
                answer(sock)
            else:
                sock.sendall(answer)
            sock.settimeout(2)
            sock.unwrap()
        except (OSError, ssl.SSLError, ValueError):
            pass
        finally:
            raw.close()


def trickle(head, pieces, pause):
    """A script: the head at once, then a piece at a time."""
    def run(sock):
        sock.sendall(head)
        for piece in pieces:
            time.sleep(pause)
            sock.sendall(piece)
    return run


def silent(sock):
    """A script: nothing at all until the client goes."""
    sock.settimeout(100)
    try:
        sock.recv(1)
    except socket.timeout:
        pass
