#!/bin/sh
# Each header compiles alone and has a guard named after itself.
set -u
cd "$(dirname "$0")/.." || exit 1
CC=${CC:-cc}
failed=0

flags=$(pkg-config --cflags libcares libcurl openssl libseccomp \
    libbsd-overlay 2>/dev/null)
for h in $(find queue mtasts smtpd tests -name '*.h'); do
	if ! out=$($CC -std=c17 -I. -D_GNU_SOURCE $flags -Wall -Wextra \
	    -Wno-unused-function -Werror -fsyntax-only -x c "$h" \
	    -DPREFIX='""' -DSYSCONFDIR='""' -DLOCALSTATEDIR='""' \
	    -DRUNDIR='""' -DSANITIZED=0 2>&1); then
		echo "$h does not stand alone:"
		echo "$out" | sed 's/^/	/'
		failed=1
	fi
	guard=$(echo "$h" | tr 'a-z/.-' 'A-Z___')
	if ! grep -q "^#ifndef $guard\$" "$h"; then
		echo "$h: its guard should be $guard"
		failed=1
	fi
done

[ $failed -eq 0 ] && echo "headers: each stands alone"
exit $failed
