#!/bin/sh
# Make the private root: the servers that demo and tests need, unpacked under
# build/ and run from there by chroot.  Nothing is installed on, started on or
# left in the host; apt works on a state directory of its own.
#
#	root.sh DIR		the servers (DIR defaults to build/root)
#	root.sh DIR + PACKAGE...	the servers and these, with what they need
#	root.sh DIR PACKAGE...	only these packages, without what they need
#
# A second run costs nothing: DIR/.stamp names what DIR was made from.
set -eu

DIR=${1:-build/root}
[ $# -eq 0 ] || shift
MORE=
if [ "${1:-}" = + ]; then
	shift
	MORE=$*
	set --
fi

# Debian will not install these three side by side, so each is resolved alone.
MTAS="postfix exim4-daemon-light opensmtpd"
# Bookworm's own OpenSMTPD fails every handshake (its key process and OpenSSL 3
# do not fit, OpenSMTPD issue 1171): take the backport.
BACKPORTS=opensmtpd
SERVERS="knot knot-dnsutils unbound nginx-light openssl swaks curl git-email
	libnet-smtp-ssl-perl libmailtools-perl ca-certificates dash coreutils sed grep findutils"
VERSION=4

say() {
	echo "root: $*" >&2
}

fail() {
	say "$*"
	exit 1
}

want="$VERSION $(. /etc/os-release && echo "$VERSION_CODENAME") \
$(dpkg --print-architecture) $* $MTAS $SERVERS${MORE:+ $MORE}"
made() {
	[ "$(cat "$DIR/.stamp" 2>/dev/null)" = "$want" ]
}

if made; then
	exit 0
fi
[ "$(id -u)" -eq 0 ] || fail "must run as root (it unpacks and will chroot)"
for tool in apt-get dpkg-deb tar xargs; do
	command -v $tool >/dev/null || fail "$tool is missing: needs Debian"
done

mkdir -p "$(dirname "$DIR")"
DIR=$(cd "$(dirname "$DIR")" && pwd)/$(basename "$DIR")
APT=$DIR.apt
exec 9>"$DIR.lock"
flock 9 # two runs side by side: the second finds what the first made
if made; then
	exit 0
fi
rm -rf "$DIR" "$APT"
mkdir -p "$DIR" "$APT/lists/partial" "$APT/cache/archives/partial"
trap 'rm -rf "$APT"' EXIT
trap 'exit 1' INT TERM

# An empty status: the closure is complete, whatever the host has.
: >"$APT/status"
cat >"$APT/apt.conf" <<CONF
Dir::State "$APT";
Dir::State::lists "$APT/lists";
Dir::State::status "$APT/status";
Dir::Cache "$APT/cache";
Dir::Cache::archives "archives/";
Dir::Log "$APT";
APT::Sandbox::User "root";
APT::Install-Recommends "false";
APT::Get::Assume-Yes "true";
Acquire::Retries "3";
Acquire::Languages "none";
Acquire::GzipIndexes "false";
Dpkg::Use-Pty "0";
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Update::Pre-Invoke;
CONF

apt() {
	if ! apt-get -q -c "$APT/apt.conf" "$@" >"$APT/log" 2>&1; then
		cat "$APT/log" >&2
		fail "apt-get $1 failed (see above): is the network there, and" \
		    "does /etc/apt name Debian's mirrors?"
	fi
}

say "asking Debian for package lists"
apt update
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
cp /etc/apt/sources.list "$APT/sources.list" 2>/dev/null ||
    : >"$APT/sources.list"
mirror=$(apt-get -c "$APT/apt.conf" indextargets --format '$(REPO_URI)' \
    "Codename: $codename" "Created-By: Packages" 2>/dev/null | sed -n 1p)
if [ "$codename" = bookworm ] && [ -n "$mirror" ]; then
	echo "deb $mirror bookworm-backports main" >>"$APT/sources.list"
	echo "Dir::Etc::sourcelist \"$APT/sources.list\";" >>"$APT/apt.conf"
	apt update
fi
if [ $# -gt 0 ]; then
	say "downloading $*"
	(cd "$APT/cache/archives" && apt download "$@")
else
	say "downloading servers: $(echo $MTAS $SERVERS $MORE | cut -c1-200)"
	for mta in $MTAS; do
		if [ $mta = $BACKPORTS ] && [ "$codename" = bookworm ]; then
			mta=$mta/bookworm-backports
		fi
		apt install --download-only $mta $SERVERS $MORE
	done
fi

if [ $# -eq 0 ]; then
	mkdir -p "$DIR/usr/bin" "$DIR/usr/sbin" "$DIR/usr/lib" "$DIR/usr/lib64"
	for d in bin sbin lib lib64; do
		ln -s usr/$d "$DIR/$d"
	done
fi
say "unpacking $(ls "$APT/cache/archives" | grep -c '\.deb$') packages"
# What several MTAs own (sendmail, mailq) is left out: each server is started
# by the path that is its own.
export DIR
find "$APT/cache/archives" -name '*.deb' -print0 |
    xargs -0 -n 4 -P "$(nproc)" sh -c 'for deb do
	dpkg-deb --fsys-tarfile "$deb" | tar -C "$DIR" -xp \
	    --keep-directory-symlink \
	    --exclude=./usr/sbin/sendmail --exclude=./usr/lib/sendmail \
	    --exclude=./usr/bin/mailq --exclude=./usr/bin/newaliases \
	    --exclude=./usr/share/doc --exclude=./usr/share/man \
	    --exclude=./usr/share/locale --exclude=./usr/share/info \
	    --exclude=./usr/share/i18n --exclude=./usr/share/gitweb ||
	    exit 255
done' sh || fail "unpacking failed: is the disk full?"

[ $# -gt 0 ] || sh "$(dirname "$0")/furnish.sh" "$DIR"
echo "$want" >"$DIR/.stamp"
say "ready: $(du -sh "$DIR" | cut -f1) in $DIR"
