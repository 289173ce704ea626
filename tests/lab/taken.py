"""What a process of the family could say if it were taken over.

    evil = Taken(pid)
    evil.say(1, "ctl_queue", fd, verb=VERBS["CTL_STOP"], uid=-1)

As root, the test takes copies of the process's own channels (pidfd_getfd(2))
and sends on them what smtpd/msg.def permits, whatever it may hold.
"""

import array
import ctypes
import os
import re
import socket
import struct

from space import TOP, LabError

PIDFD_OPEN, PIDFD_GETFD = 434, 438
KINDS = {"U32": ("I", 4), "I64": ("q", 8), "U64": ("Q", 8)}
FIELD = re.compile(r"(U32|I64|U64|STR|BYTES)\((\w+)(?:, ([^)]*))?\)")
libc = ctypes.CDLL(None, use_errno=True)


def source(path):
    with open(os.path.join(TOP, path)) as text:
        return re.sub(r"/\*.*?\*/", "", text.read(), flags=re.S)


HEADERS = source("smtpd/msg.h") + source("smtpd/address.h")
SIZES = {name: int(size) for name, size in re.findall(
    r"#define (\w+) (\d+)\s", HEADERS)}
VERBS = {name: number for number, name in enumerate(re.search(
    r"enum ctl_verb \{(.*?)\}", HEADERS, re.S).group(1).replace(
        ",", " ").split())}


class Message:
    """A row of the table."""

    def __init__(self, number, text):
        head, fields = text.split(", ", 1)[1].split("FD,", 1)
        self.number = number
        self.senders, self.receivers, self.rule = head.split(", ")
        self.fields = [(kind, name, size and eval(size, {}, SIZES))
                       for kind, name, size in FIELD.findall(fields)]

    def goes(self, sender, receiver):
        def holds(roles, role):
            return role in roles or (roles == "CHILDREN" and role != "PARENT")
        return holds(self.senders, sender.upper()) and \
            holds(self.receivers, receiver.upper())

    def pack(self, values):
        body, align = b"", 1
        for kind, name, size in self.fields:
            code, width = KINDS.get(kind, (None, 1))
            align = max(align, width)
            body += bytes(-len(body) % width)
            value = values.get(name, 0 if code else b"")
            body += struct.pack(code, value) if code else value.ljust(
                size, b"\0")
        body += bytes(-len(body) % align)
        return struct.pack("II", self.number, len(body)) + body


TABLE = {text.split(",")[0]: Message(number + 1, text) for number, text
         in enumerate(source("smtpd/msg.def").split("MSG(")[1:])}


class Taken:
    def __init__(self, pid):
        self.channels = []
        pidfd = libc.syscall(PIDFD_OPEN, pid, 0)
        for number in sorted(map(int, os.listdir("/proc/%d/fd" % pid))):
            fd = libc.syscall(PIDFD_GETFD, pidfd, number, 0)
            if fd == -1:
                raise LabError("cannot take descriptor %d of %d" % (
                    number, pid))
            self.keep(fd)
        os.close(pidfd)

    def keep(self, fd):
        """The parent's channel comes first, then those to the siblings."""
        try:
            sock = socket.socket(fileno=fd)
        except OSError:
            os.close(fd)
            return
        if sock.type == socket.SOCK_SEQPACKET:
            self.channels.append(sock)
        else:
            sock.close()

    def say(self, channel, message, fd=None, **values):
        rights = [] if fd is None else [(
            socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
        self.channels[channel].sendmsg([TABLE[message].pack(values)], rights)
