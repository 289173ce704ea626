#!/bin/sh
# The star: who may include whom, and which file may use which library.
#
#	queue/		queue/
#	mtasts/		mtasts/
#	smtpd/base/	smtpd/base/
#	smtpd/		everything
#
# The leaves know no clock, process, thread or log either.
set -u
cd "$(dirname "$0")/.." || exit 1

complain() { # what; the lines that prove it come on standard input
	found=$(cat)
	[ -n "$found" ] || return 0
	printf '%s\n%s\n' "$found" "^ $1" | sed '/^\^/!s/^/	/'
}

# Project includes of one folder that lie outside the allowed ones.
may_include() { # folder allowed-regex
	grep -n '^#include "' $(ls "$1"/*.[ch] 2>/dev/null) /dev/null |
	    grep -Ev "#include \"($2)" |
	    complain "$1/ may include only ${2%/}/"
}

# A library's headers belong to the files named, and to no other.
belongs_to() { # header-regex file-regex
	grep -En "^#include <($1)" $(find queue mtasts smtpd -name '*.[ch]') \
	    /dev/null |
	    grep -Ev "^($2):" |
	    complain "<$1> belongs to $2"
}

rules() {
	may_include queue 'queue/'
	may_include mtasts 'mtasts/'
	may_include smtpd/base 'smtpd/base/'
	may_include smtpd '(smtpd|queue|mtasts)/'
	may_include smtpd/cli '(smtpd|queue|mtasts)/'

	belongs_to 'ares' 'smtpd/dns[a-z_]*\.c'
	belongs_to 'curl/' 'mtasts/curl\.h'
	belongs_to 'openssl/' 'smtpd/base/tls[a-z_]*\.[ch]|smtpd/(dane|dkim)\.c'
	belongs_to 'seccomp' 'smtpd/base/(sandbox|seccomp)[a-z_]*\.c'

	grep -nwE '(time|clock_gettime|gettimeofday|fork|pthread_create|syslog|openlog|printf|fprintf|getenv) ?\(' \
	    $(find queue mtasts -name '*.c') /dev/null |
	    grep -vE ':[[:space:]]*(\*|/\*)' |
	    complain "a leaf is given its time and returns facts"
}

# complain() runs in pipelines: what it says is what has failed.
complaints=$(rules)
[ -z "$complaints" ] && echo "layering: as style demands" && exit 0
printf '%s\n' "$complaints"
exit 1
