#!/bin/sh
# What maintainer scripts would have done in the private root: users, groups,
# empty folders.  No script of a package is ever run.
set -eu

ROOT=$1

cat >"$ROOT/etc/passwd" <<'PASSWD'
root:x:0:0:root:/root:/bin/sh
mail:x:8:8:mail:/var/mail:/usr/sbin/nologin
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
postfix:x:7101:7101:Postfix:/var/spool/postfix:/usr/sbin/nologin
Debian-exim:x:7103:7103:Exim:/var/spool/exim4:/usr/sbin/nologin
opensmtpd:x:7104:7104:OpenSMTPD:/var/lib/opensmtpd/empty:/usr/sbin/nologin
opensmtpq:x:7105:7105:OpenSMTPD queue:/var/lib/opensmtpd/empty:/usr/sbin/nologin
knot:x:7106:7106:Knot DNS:/var/lib/knot:/usr/sbin/nologin
unbound:x:7107:7107:Unbound:/var/lib/unbound:/usr/sbin/nologin
vmail:x:7108:7108:test mail boxes:/var/mail:/usr/sbin/nologin
PASSWD
cat >"$ROOT/etc/group" <<'GROUP'
root:x:0:
mail:x:8:
www-data:x:33:
nogroup:x:65534:
postfix:x:7101:
postdrop:x:7102:
Debian-exim:x:7103:
opensmtpd:x:7104:
opensmtpq:x:7105:
knot:x:7106:
unbound:x:7107:
vmail:x:7108:
GROUP
: >"$ROOT/etc/shadow"
chmod 600 "$ROOT/etc/shadow"
printf 'passwd: files\ngroup: files\nhosts: files dns\nservices: files\n' \
    >"$ROOT/etc/nsswitch.conf"
printf '127.0.0.1 localhost\n::1 localhost\n' >"$ROOT/etc/hosts"
printf 'nameserver 127.0.0.1\n' >"$ROOT/etc/resolv.conf"
mkdir -p "$ROOT/dev" "$ROOT/proc" "$ROOT/sys" "$ROOT/run" "$ROOT/tmp" \
    "$ROOT/root" "$ROOT/mnt" "$ROOT/var/lib/knot" "$ROOT/var/lib/unbound" \
    "$ROOT/var/lib/opensmtpd/empty" "$ROOT/var/lib/postfix" \
    "$ROOT/var/log/nginx" "$ROOT/var/spool/exim4" "$ROOT/var/mail"
cat "$ROOT"/usr/share/ca-certificates/mozilla/*.crt \
    >"$ROOT/etc/ssl/certs/ca-certificates.crt"
rm -rf "$ROOT/var/run"
ln -s ../run "$ROOT/var/run"
for program in knotd kdig unbound nginx postconf smtp-source exim4 smtpctl \
    openssl swaks git curl; do
	found=
	for d in usr/bin usr/sbin; do
		[ ! -x "$ROOT/$d/$program" ] || found=yes
	done
	if [ -z "$found" ]; then
		echo "root: $program is not in the tree" >&2
		exit 1
	fi
done
