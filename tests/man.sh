#!/bin/sh
# The manuals against the programs: lint, cross references, and an entry for
# every command, option, directive and reason that the programs' tables hold.
set -u
cd "$(dirname "$0")/.." || exit 1
sealpost=${B:-build}/sealpost
failed=0

complain() {
	printf '%s\n' "$*"
	failed=1
}

out=$(mandoc -Tlint -Wwarning man/* 2>&1) || complain "$out"
[ -x "$sealpost" ] || { echo "$sealpost is not built"; exit 1; }

# Every .Xr to a page of ours leads to one; the others name known pages.
for page in $(sed -n 's/^\.Xr \([^ ]*\) \([0-9]\).*/\1.\2/p' man/* | sort -u)
do
	case $page in
	seal*|sendmail.*|mailq.*|newaliases.*)
		[ -f "man/$page" ] || complain ".Xr to $page: no such manual" ;;
	esac
done
for page in sealpost.8 sealpostd.8 sendmail.8 sealpost.conf.5; do
	[ -f "man/$page" ] || complain "man/$page is missing"
done

# The sections stand in one order.
order='NAME SYNOPSIS DESCRIPTION FILES EXIT-STATUS EXAMPLES SEE-ALSO STANDARDS'
for page in man/*; do
	last=0
	for section in $(sed -n 's/^\.Sh \(.*\)/\1/p' "$page" | tr ' ' -); do
		n=$(echo "$order" | tr ' ' '\n' | grep -nx "$section" |
		    cut -d: -f1)
		[ -n "$n" ] || continue
		[ "$n" -gt "$last" ] || complain "$page: $section is misplaced"
		last=$n
	done
	grep -q '^\.Dd [A-Z][a-z]* [0-9]*, [0-9]*$' "$page" ||
	    complain "$page: .Dd is not a date"
done

# sealpost(8): each command, with each of its options.
"$sealpost" help --commands | while read -r name synopsis; do
	entry=$(awk -v name="$name" '
	    $1 == ".It" && $2 == "Cm" { on = $3 == name; more = 0 }
	    $1 == ".It" && $2 == "Cm" && on || more && on { print }
	    { more = /\\$/ }' man/sealpost.8)
	[ -n "$entry" ] || echo "sealpost.8: no .It Cm $name"
	for option in $(echo "$synopsis" | grep -o -- '--[a-z]*'); do
		echo "$entry" | grep -q -- "-${option#--}" ||
		    echo "sealpost.8: $name lacks $option"
	done
done >"${B:-build}/man.out"
[ -s "${B:-build}/man.out" ] && complain "$(cat "${B:-build}/man.out")"
"$sealpost" help --commands | grep -q '^queue ' ||
    complain "sealpost help --commands: no table"

# ...and no command that there is not.
for name in $(sed -n '/^\.Ss The queue/,/^\.Sh FILES/s/^\.It Cm \([a-z]*\).*/\1/p' \
    man/sealpost.8); do
	"$sealpost" help --commands | grep -q "^$name" ||
	    complain "sealpost.8: $name is no command"
done

# sealpostd(8): its options, and every reason.
for option in d f n v; do
	grep -q "^\.It Fl $option" man/sealpostd.8 ||
	    complain "sealpostd.8: no .It Fl $option"
done
for reason in $("$sealpost" help --reasons); do
	grep -q "^\.Li $reason\( \|$\)" man/sealpostd.8 ||
	    complain "sealpostd.8: no reason $reason"
done

# sendmail(8): each letter that getopt is told.
for letter in $("$sealpost" help --sendmail | sed 's/[:+]//g; s/./& /g'); do
	grep -qE "^\.(It )?.*Fl $letter( |$)" man/sendmail.8 ||
	    complain "sendmail.8: no -$letter"
done

# sealpost.conf(5): each directive.
"$sealpost" help --directives | sort -u | while read -r words; do
	grep -q "^\\.It Cm $words\\( \\|\$\\)" man/sealpost.conf.5 ||
	    echo "sealpost.conf.5: no .It Cm $words"
done >"${B:-build}/man.out"
[ -s "${B:-build}/man.out" ] && complain "$(cat "${B:-build}/man.out")"
rm -f "${B:-build}/man.out"

[ $failed -eq 0 ] && echo "man: complete"
exit $failed
