#!/bin/sh
# Words that must not appear in C sources, and sources that grew too long.
set -u
cd "$(dirname "$0")/.." || exit 1
LINES_MAX=600
TEST_LINES_MAX=800
failed=0

sources=$(find queue mtasts smtpd tests -name '*.[ch]')
calls='strcpy|strcat|sprintf|vsprintf|gets|strtok|atoi|system|popen'
calls="$calls|alloca|getaddrinfo|gethostbyname|tmpnam|mktemp"
found=$(grep -nwE "($calls) ?\\(" $sources /dev/null |
    grep -vE ':[[:space:]]*(\*|/\*|//)')
if [ -n "$found" ]; then
	echo "calls that are banned:"
	echo "$found" | sed 's/^/	/'
	failed=1
fi
found=$(grep -nE '\<XXX\>|\<FIXME\>|^#[[:space:]]*if 0' $sources /dev/null)
if [ -n "$found" ]; then
	echo "left undone:"
	echo "$found" | sed 's/^/	/'
	failed=1
fi
for c in $(find queue mtasts smtpd tests -name '*.c'); do
	lines=$(wc -l <"$c")
	most=$LINES_MAX
	case $c in tests/*) most=$TEST_LINES_MAX ;; esac
	if [ "$lines" -gt "$most" ]; then
		echo "$c: $lines lines, $most at most"
		failed=1
	fi
done

[ $failed -eq 0 ] && echo "banned: none of it"
exit $failed
