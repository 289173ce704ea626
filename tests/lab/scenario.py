"""Cases of a table of scenes: what is logged, queued, and said by `check`.

    row("mismatch", "an MX the policy does not name (RFC 8461 4.1)",
        deferred("sts-mx-mismatch"), policy=..., hosts=...)
    table_cases(rows)

For each row three things must agree: the log line of its message, the entry
of `sealpost queue --json`, and `sealpost check`, with and without a daemon.
"""

from check import case, equal, true
from daemon import queue

CONTACTLESS = ("sts-mx-mismatch", "no-policy", "private-address",
               "dnssec-invalid", "sts-policy-fetch-error",
               "sts-policy-invalid", "sts-webpki-invalid", "dns-error")


class Row:
    def __init__(self, name, sentence, want, args):
        self.name, self.sentence = name, sentence
        self.kind, self.fields, self.leak = want
        self.args = args


def delivered(auth, policy="absent", route="insecure", clear=False, **fields):
    return ("delivered", dict(fields, auth=auth, policy=policy, route=route),
            "clear" if clear else "tls")


def deferred(reason, dsn=None, **fields):
    want = dict(fields, reason=reason)
    if dsn:
        want["dsn"] = dsn
    return "deferred", want, None


def bounced(reason, dsn, **fields):
    return "bounced", dict(fields, reason=reason, dsn=dsn), None


class Table:
    def __init__(self):
        self.rows = []
        self.scene = None

    def row(self, name, sentence, want, **args):
        self.rows.append(Row(name, sentence, want, args))

    def build(self, scene):
        self.scene = scene
        for row in self.rows:
            scene.add(row.name, **row.args)

    def cases(self, check=True):
        for row in self.rows:
            self.outcome_case(row)
        if not check:
            return
        self.check_case("with the daemon", False)
        self.check_case("without the daemon", True)

    def outcome_case(self, row):
        @case(row.sentence)
        def _(lab):
            e = self.scene.event(row.name)
            true(e["event"] == row.kind, "%s, not %s" % (row.kind, e["line"]))
            for key, value in row.fields.items():
                true(e.get(key.replace("_", "-")) == value, "%s=%s in %s" % (
                    key, value, e["line"]))
            scene_row = self.scene.all[row.name]
            if row.kind == "delivered":
                mails = scene_row.mails()
                equal([m[3] for m in mails], [row.leak == "tls"])
                return
            true(not scene_row.leaked(), scene_row.text())
            if row.kind == "deferred":
                self.queued(row, e)

    def queued(self, row, e):
        """The queue says the same, in words that help and do not repeat."""
        held = queue("--domain", self.scene.all[row.name].domain)
        equal(len(held), 1)
        equal((held[0]["reason"], held[0]["state"]),
              (row.fields["reason"], "deferred"))
        detail = held[0]["detail"]
        true(detail and len(detail) < 600, "short: %r" % detail)
        clauses = [c.strip() for c in detail.split(";")]
        equal(len(clauses), len(set(clauses)), detail)
        if "mx" in e:
            equal(held[0]["mx"], e["mx"])
            true(e["mx"] in detail, "the host stands in %r" % detail)
        if row.fields["reason"] in CONTACTLESS:
            equal(sum(s.sessions for h in self.scene.all[row.name].hosts
                      for s in h.sinks if row.fields["reason"] !=
                      "dns-error"), 0, "it was not contacted")

    def check_case(self, when, stop):
        @case("`sealpost check` says what deliveries do, " + when)
        def _(lab):
            if stop:
                equal(lab.sealpostd.stop(), 0)
            try:
                said = self.scene.check_all([r.name for r in self.rows])
            finally:
                if stop:
                    lab.sealpostd.start()
            wrong = []
            for row in self.rows:
                code, c = said[row.name]
                want = "would deliver" if row.kind == "delivered" else (
                    "would %s: %s" % (row.kind.replace("deferred", "defer")
                                      .replace("bounced", "bounce"),
                                      row.fields["reason"]))
                if c["verdict"] != want or (code == 0) != (
                        row.kind == "delivered"):
                    wrong.append("%s: %s, exit %d: %s" % (
                        row.name, c["verdict"], code, c["detail"]))
                if row.kind == "delivered":
                    go = [h for h in c["hosts"]
                          if h["verdict"] == "would deliver"][:1]
                    for key in ("auth", "route"):
                        if go and go[0][key] != row.fields[key]:
                            wrong.append("%s: %s=%s" % (row.name, key,
                                                        go[0][key]))
                    if c["route"] != row.fields["route"]:
                        wrong.append("%s: route=%s" % (row.name, c["route"]))
                    if c["policy"] != row.fields["policy"]:
                        wrong.append("%s: policy=%s" % (row.name,
                                                        c["policy"]))
                elif c["reason"] != row.fields["reason"]:
                    wrong.append("%s: reason %s" % (row.name, c["reason"]))
            true(not wrong, "\n".join(wrong))
