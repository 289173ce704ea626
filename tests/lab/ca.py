"""A throw-away certificate authority, by the openssl tool of the root."""

import os

from space import call, in_root, put, ROOT

DIR = "/tmp/ca"


class CA:
    """Makes certificates; files live in the servers' root under /tmp/ca."""

    def __init__(self, name):
        self.name = name
        self.count = 0
        self.dir = "%s/%s" % (DIR, name)
        os.makedirs(in_root(self.dir), exist_ok=True)
        self.openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout",
                     "-out", self.dir + "/ca.key")
        self.openssl("req", "-x509", "-new", "-key", self.dir + "/ca.key",
                     "-subj", "/CN=Lab CA " + name, "-days", "30",
                     "-addext", "keyUsage=critical,keyCertSign,cRLSign",
                     "-out", self.dir + "/ca.pem")
        self.openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout",
                     "-out", self.dir + "/leaf.key")
        self.openssl("genrsa", "-out", self.dir + "/rsa.key", "2048")
        self.openssl("genrsa", "-out", self.dir + "/weak.key", "1024")
        put(in_root(self.dir + "/index"), "")
        put(in_root(self.dir + "/ca.cnf"), CONF % {"dir": self.dir})
        self.pem = in_root(self.dir + "/ca.pem")

    def openssl(self, *args):
        return call(["chroot", ROOT, "openssl"] + list(args))

    def issue(self, *names, kind="leaf", expired=False, future=False,
              common_name=None):
        """A certificate for these DNS names; (chain, key) in the root.

        kind is "leaf" (ECDSA P-256), "rsa" or "weak" (RSA, 1024 bits).
        """
        self.count += 1
        base = "%s/%d" % (self.dir, self.count)
        private = "%s/%s.key" % (self.dir, kind)
        self.openssl("req", "-new", "-key", private, "-subj",
                     "/CN=" + (common_name or names[0])[:60], "-out", base + ".csr")
        put(in_root(base + ".ext"), "[v3]\nbasicConstraints=CA:FALSE\n"
            "extendedKeyUsage=serverAuth\nsubjectAltName=%s\n"
            % ",".join("DNS:" + n for n in names))
        since, until = "20250101000000Z", "20491231000000Z"
        if expired:
            until = "20250201000000Z"
        if future:
            since = "20480101000000Z"
        self.openssl("ca", "-batch", "-notext", "-config",
                     self.dir + "/ca.cnf", "-in", base + ".csr",
                     "-extfile", base + ".ext", "-extensions", "v3",
                     "-startdate", since, "-enddate", until,
                     "-out", base + ".crt")
        with open(in_root(base + ".crt")) as leaf, open(self.pem) as ca:
            put(in_root(base + ".pem"), leaf.read() + ca.read())
        # A copy for each: servers differ in who must (not) read a key.
        with open(in_root(private)) as key:
            put(in_root(base + ".key"), key.read(), 0o600)
        return base + ".pem", base + ".key"

    def digest(self, chain):
        """SHA-256 of the first certificate's public key (TLSA 3 1 1)."""
        pub = self.openssl("x509", "-in", chain, "-noout", "-pubkey").stdout
        put(in_root(self.dir + "/pub.pem"), pub)
        self.openssl("pkey", "-pubin", "-in", self.dir + "/pub.pem",
                     "-outform", "DER", "-out", self.dir + "/pub.der")
        import hashlib
        with open(in_root(self.dir + "/pub.der"), "rb") as der:
            return hashlib.sha256(der.read()).hexdigest()


CONF = """[ca]
default_ca=lab
[lab]
database=%(dir)s/index
new_certs_dir=%(dir)s
certificate=%(dir)s/ca.pem
private_key=%(dir)s/ca.key
default_md=sha256
policy=any
unique_subject=no
rand_serial=yes
[any]
commonName=optional
"""


def trust(*cas):
    """Make these the system's trust store on the private host."""
    bundle = ""
    for ca in cas:
        with open(ca.pem) as pem:
            bundle += pem.read()
    put("/etc/ssl/certs/ca-certificates.crt", bundle)
    put("/etc/ssl/cert.pem", bundle)
