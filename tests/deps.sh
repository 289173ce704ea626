#!/bin/sh
# Install the Debian packages named, those that are missing, and no other.
set -eu

missing=
for package; do
	state=$(dpkg-query -W -f '${db:Status-Status}' "$package" \
	    2>/dev/null || :)
	[ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
echo "deps: installing$missing"
if [ "$(id -u)" -ne 0 ]; then
	echo "deps: not root; install them yourself: apt-get install$missing" >&2
	exit 1
fi
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { apt-get -q update && apt-get -q -y install --no-install-recommends \
    $missing; } >"$log" 2>&1; then
	cat "$log" >&2
	echo "deps: apt-get failed (see above)" >&2
	exit 1
fi
