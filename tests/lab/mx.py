"""Postfix, Exim and OpenSMTPD as receiving MXs on port 25.

Each takes mail for any domain and leaves it in one maildir of its own, which
mails() reads; a local part "bounce" is refused with 550, "defer" with 450
(Postfix alone).
"""

import os

from space import in_root, put, wait_until, RUN

VMAIL = 7108


class Server:
    """What the three have in common."""

    name = ""
    address = ""

    def __init__(self, net):
        self.net = net
        self.log = "%s/%s.log" % (RUN, self.name)

    def box(self):
        return in_root("/var/mail/%s/all" % self.name)

    def prepare(self):
        # Not the last part: each makes the maildir itself, as its own user.
        os.makedirs(os.path.dirname(self.box()))
        os.chown(os.path.dirname(self.box()), VMAIL, VMAIL)

    def mails(self, token=b""):
        """Delivered messages (bytes) that hold the token, oldest first."""
        folder = self.box() + "/new"
        found = []
        names = os.listdir(folder) if os.path.isdir(folder) else []
        for name in sorted(names):
            with open(os.path.join(folder, name), "rb") as mail:
                data = mail.read()
            if token in data:
                found.append(data)
        return found

    def wait_mail(self, token, count=1, seconds=20):
        if isinstance(token, str):
            token = token.encode()
        wait_until("%d mail(s) with %r at %s" % (count, token, self.name),
                   lambda: len(self.mails(token)) >= count, seconds)
        return self.mails(token)

    def wait_port(self, address=None):
        def listening():
            done = self.net.run(
                "internet", "sh", "-c", "grep -q ':0019 .* 0A ' "
                "/proc/net/tcp && grep -qi '%s:0019 00000000:0000 0A' "
                "/proc/net/tcp" % hexed(address or self.address), check=False)
            return done.returncode == 0
        wait_until(self.name + " to listen", listening, 20)


def hexed(address):
    return "".join("%02X" % int(p) for p in reversed(address.split(".")))


class Postfix(Server):
    """Listens on many addresses, so that each domain can have its own."""

    name = "postfix"
    address = "198.51.100.25"

    def __init__(self, net):
        super().__init__(net)
        self.addresses = [self.address]
        self.addresses += ["198.51.100.%d" % (100 + i) for i in range(40)]
        self.address6 = "2001:db8:125::25"

    def start(self, cert):
        self.prepare()
        etc = "/etc/postfix/"
        put(in_root(etc + "main.cf"), MAIN_CF % {
            "chain": cert[0], "key": cert[1],
            "protocols": "all" if self.net.ipv6 else "ipv4"})
        put(in_root(etc + "boxes"), "/./ all/\n")
        put(in_root(etc + "access"), "/^bounce@/ 550 5.1.1 no such person\n"
            "/^defer@/ 450 4.2.0 come back later\n")
        listeners = [a + ":25" for a in self.addresses]
        if self.net.ipv6:
            listeners.append("[%s]:25" % self.address6)
        put(in_root(etc + "master.cf"), MASTER_CF + "".join(
            "%s inet n - n - - smtpd\n" % l for l in listeners))
        self.make_spool(in_root("/var/spool/postfix"))
        self.net.start("internet", self.log, "/usr/lib/postfix/sbin/master",
                       "-d", "-c", "/etc/postfix")
        self.wait_port(self.addresses[-1])

    def make_spool(self, spool):
        """The folders that `postfix start` would make."""
        for name in ("active bounce corrupt defer deferred flush hold "
                     "incoming private saved trace").split():
            os.makedirs("%s/%s" % (spool, name), mode=0o700)
            os.chown("%s/%s" % (spool, name), 7101, 0)
        for name, mode in (("maildrop", 0o1730), ("public", 0o2710)):
            os.makedirs("%s/%s" % (spool, name))
            os.chown("%s/%s" % (spool, name), 7101, 7102)
            os.chmod("%s/%s" % (spool, name), mode)
        os.makedirs(spool + "/pid", exist_ok=True)
        os.chown(in_root("/var/lib/postfix"), 7101, 7101)


class Exim(Server):
    """Port 25 of one address, GnuTLS."""

    name = "exim"
    address = "198.51.100.26"

    def start(self, cert, hostname):
        self.prepare()
        put(in_root("/etc/exim4/exim4.conf"), EXIM_CONF % {
            "chain": cert[0], "key": cert[1], "hostname": hostname,
            "address": self.address})
        # Exim reads key and certificate as its own user.
        for path in cert:
            os.chmod(in_root(path), 0o644)
        for path in ("/var/spool/exim4", "/var/log/exim4"):
            os.makedirs(in_root(path), exist_ok=True)
            os.chown(in_root(path), 7103, 7103)
        self.net.start("internet", self.log, "exim4", "-bdf", "-q1m")
        self.wait_port()


class OpenSMTPD(Server):
    """Port 25 of one address."""

    name = "opensmtpd"
    address = "198.51.100.27"

    def start(self, cert, hostname):
        self.prepare()
        put(in_root("/etc/smtpd.conf"), SMTPD_CONF % {
            "chain": cert[0], "key": cert[1], "hostname": hostname,
            "address": self.address}, 0o600)
        os.chmod(in_root(cert[1]), 0o600)
        self.net.start("internet", self.log, "/usr/sbin/smtpd", "-d", "-F")
        self.wait_port()


MAIN_CF = """compatibility_level = 3.6
myhostname = postfix.lab.example
mydestination =
inet_interfaces = all
inet_protocols = %(protocols)s
maillog_file = /var/log/postfix.log
virtual_mailbox_domains = static:all
virtual_mailbox_maps = regexp:/etc/postfix/boxes
virtual_mailbox_base = /var/mail/postfix
virtual_uid_maps = static:7108
virtual_gid_maps = static:7108
virtual_mailbox_limit = 0
message_size_limit = 104857600
mailbox_size_limit = 0
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions =
  check_recipient_access regexp:/etc/postfix/access, permit
smtpd_tls_security_level = may
smtpd_tls_chain_files = %(key)s, %(chain)s
smtpd_tls_loglevel = 1
smtpd_tls_received_header = yes
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
smtpd_error_sleep_time = 0
strict_rfc821_envelopes = no
alias_maps =
local_recipient_maps =
"""

MASTER_CF = """pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsproxy unix - - n - 0 tlsproxy
postlog unix-dgram n - n - 1 postlogd
"""

EXIM_CONF = """primary_hostname = %(hostname)s
daemon_smtp_ports = 25
local_interfaces = %(address)s
acl_smtp_rcpt = take
acl_smtp_data = take
tls_advertise_hosts = *
tls_certificate = %(chain)s
tls_privatekey = %(key)s
message_size_limit = 100M
accept_8bitmime = true
chunking_advertise_hosts = *
smtp_accept_max = 200
smtp_accept_queue_per_connection = 0
smtp_receive_timeout = 5m
host_lookup =
rfc1413_query_timeout = 0s
log_file_path = /var/log/exim4/%%slog
never_users =
begin acl
take:
  accept
begin routers
all:
  driver = accept
  transport = box
begin transports
box:
  driver = appendfile
  directory = /var/mail/exim/all
  maildir_format
  create_directory
  envelope_to_add
  return_path_add
  user = vmail
  group = vmail
  message_prefix =
  message_suffix =
begin retry
* * F,1h,1m
"""

SMTPD_CONF = """pki lab cert "%(chain)s"
pki lab key "%(key)s"
table people { "@" = "vmail" }
smtp max-message-size 100M
listen on %(address)s port 25 tls pki lab hostname %(hostname)s
action "box" maildir "/var/mail/opensmtpd/all" virtual <people>
match from any for any action "box"
"""
