# Sealpost.  `make demo` shows the main job live, `make check` runs all tests;
# both install what the build needs first.  `make` alone only builds.
# V=1 shows the commands, B=folder builds there, SAN=1 with sanitizers.

comma := ,
Q = $(if $(V),,@)
SAY = @$(if $(V)$(findstring s,$(firstword -$(MAKEFLAGS))),:,printf '%-8s%s\n')
B ?= build
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
LOCALSTATEDIR ?= /var
RUNDIR ?= /run

PACKAGES = gcc libc6-dev pkg-config libssl-dev libc-ares-dev libcurl4-openssl-dev \
	libbsd-dev libseccomp-dev python3
LIBRARIES = libcares libcurl openssl libseccomp libbsd-overlay

WARN = -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes \
	-Wmissing-prototypes -Wold-style-definition -Wpointer-arith \
	-Wcast-align -Wcast-qual -Wwrite-strings -Wformat=2 -Wundef -Wvla \
	-Wswitch-enum -Wnull-dereference -Wredundant-decls -Wconversion \
	-Wsign-conversion -Wdouble-promotion -Werror
WARN_gcc = -Wimplicit-fallthrough=5 -Wduplicated-cond -Wduplicated-branches \
	-Wlogical-op
WARN_clang = -Wimplicit-fallthrough
HARDEN = -O2 -D_FORTIFY_SOURCE=3 -fstack-protector-strong \
	-fstack-clash-protection -fcf-protection=full \
	-ftrivial-auto-var-init=zero -fno-common -fPIE
# clang before 16 wants this asked for by name.
HARDEN_clang = \
	-enable-trivial-auto-var-init-zero-knowing-it-will-be-removed-from-clang
SANITIZERS = address,undefined$(if $(FUZZ),$(comma)fuzzer-no-link)
SANITIZE = -O1 -fno-omit-frame-pointer -fsanitize=$(SANITIZERS) \
	-fno-sanitize-recover=all -fPIE
KIND := $(if $(findstring clang,$(shell $(CC) --version 2>/dev/null)),clang,gcc)

CPPFLAGS += -I. -D_GNU_SOURCE -DPREFIX='"$(PREFIX)"' \
	-DSYSCONFDIR='"$(SYSCONFDIR)"' -DLOCALSTATEDIR='"$(LOCALSTATEDIR)"' \
	-DRUNDIR='"$(RUNDIR)"' -DSANITIZED=$(if $(SAN),1,0) \
	$(shell pkg-config --cflags $(LIBRARIES) 2>/dev/null)
CFLAGS += -std=c17 -g $(WARN) $(WARN_$(KIND)) $(if $(SAN),$(SANITIZE),$(HARDEN) $(HARDEN_$(KIND))) \
	-pthread -MMD -MP
LDFLAGS += -pie -pthread -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed \
	$(if $(SAN),-fsanitize=$(SANITIZERS))
LDLIBS = $(shell pkg-config --libs $(LIBRARIES) 2>/dev/null)

objects = $(patsubst %.c,$(B)/%.o,$(wildcard $(1)))
PROGRAMS = $(B)/sealpostd $(B)/sealpost $(B)/sendmail
QUEUE_A = $(B)/queue.a
MTASTS_A = $(B)/mtasts.a
BASE_A = $(B)/base.a
SMTPD_A = $(B)/smtpd.a
CLI_A = $(B)/cli.a
ALL_A = $(SMTPD_A) $(QUEUE_A) $(MTASTS_A) $(BASE_A)
TESTS = $(patsubst %.c,$(B)/%,$(wildcard tests/queue/*.c tests/mtasts/*.c \
	tests/base/*.c tests/smtpd/*.c))

define LINK
$(SAY) link $@
$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)
endef

all: $(PROGRAMS)

$(QUEUE_A): $(call objects,queue/*.c)
$(MTASTS_A): $(call objects,mtasts/*.c)
$(BASE_A): $(call objects,smtpd/base/*.c)
$(SMTPD_A): $(filter-out $(B)/smtpd/sealpostd.o,$(call objects,smtpd/*.c))
$(CLI_A): $(filter-out $(B)/smtpd/cli/sealpost.o $(B)/smtpd/cli/sendmail.o,\
	$(call objects,smtpd/cli/*.c))
%.a:
	$(Q)rm -f $@
	$(Q)ar rcs $@ $^

$(B)/sealpostd: $(B)/smtpd/sealpostd.o $(ALL_A)
$(B)/sealpost: $(B)/smtpd/cli/sealpost.o $(CLI_A) $(ALL_A)
$(B)/sendmail: $(B)/smtpd/cli/sendmail.o $(CLI_A) $(ALL_A)
$(PROGRAMS):
	$(LINK)

# A test sees only what its module may: a leaf links without the rest.
$(B)/tests/queue/%: $(B)/tests/queue/%.o $(B)/tests/t.o $(QUEUE_A)
	$(LINK)
$(B)/tests/mtasts/%: $(B)/tests/mtasts/%.o $(B)/tests/t.o $(MTASTS_A)
	$(LINK)
$(B)/tests/base/%: $(B)/tests/base/%.o $(B)/tests/t.o \
	$(B)/tests/pki.o $(BASE_A)
	$(LINK)
$(B)/tests/smtpd/%: $(B)/tests/smtpd/%.o $(B)/tests/t.o \
	$(B)/tests/script.o $(B)/tests/pki.o $(B)/tests/mx.o \
	$(B)/tests/fakedns.o $(CLI_A) $(ALL_A)
	$(LINK)

# What measures: a loader and a mail host that stand alone.
$(B)/tests/bench/fill: $(QUEUE_A)
$(B)/tests/bench/%: $(B)/tests/bench/%.o
	$(LINK)
bench-tools: $(patsubst %.c,$(B)/%,$(wildcard tests/bench/*.c))

# Other flags or paths than last time: build anew.
$(B)/flags: export FLAGS = $(CC) $(CPPFLAGS) $(CFLAGS)
$(B)/flags: FORCE
	@pkg-config --exists $(LIBRARIES) || { exec >&2; echo \
	    "make: libraries are missing; as root, run \`make deps' first"; \
	    exit 1; }
	@mkdir -p $(@D)
	@printf '%s\n' "$$FLAGS" | cmp -s - $@ || \
	    printf '%s\n' "$$FLAGS" >$@

$(B)/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	$(SAY) cc $<
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

tests: $(TESTS)

# ---- what a user runs ----
# They call make anew: what is installed first changes the flags above.

PYTHON = $(firstword $(wildcard /usr/bin/python3) python3)

deps:
	@sh tests/deps.sh $(PACKAGES)
root: deps
	@sh tests/lab/root.sh build/root
demo: root
	@$(MAKE) --no-print-directory -s -j2 all
	@$(PYTHON) tests/demo/demo.py
check: root
	@$(PYTHON) tests/run
bench: deps
	@$(MAKE) --no-print-directory -s -j2 all bench-tools
	@$(PYTHON) tests/bench/bench.py
	@$(PYTHON) tests/bench/scale.py 100000 1000
	@$(PYTHON) tests/bench/scale.py

# Installed for another root (DESTDIR), nothing of this system is changed.
I = $(DESTDIR)$(PREFIX)
FILL = sed -e 's|@PREFIX@|$(PREFIX)|g' -e 's|@RUNDIR@|$(RUNDIR)|g' \
	-e 's|@LOCALSTATEDIR@|$(LOCALSTATEDIR)|g'
MANUALS = $(wildcard man/*.5 man/*.8)

install: all
	@test -n "$(DESTDIR)" || test "$$(id -u)" = 0 || \
	    { echo "make: install as root, or with DESTDIR=folder" >&2; exit 1; }
	$(Q)install -d $(I)/sbin $(I)/bin $(I)/share/man/man5 \
	    $(I)/share/man/man8 $(I)/lib/systemd/system $(I)/lib/sysusers.d \
	    $(I)/lib/tmpfiles.d $(DESTDIR)$(SYSCONFDIR)/sealpost
	$(Q)install -m 755 $(PROGRAMS) $(I)/sbin
	$(Q)ln -sf ../sbin/sealpost $(I)/bin/sealpost
	$(Q)ln -sf ../sbin/sendmail $(I)/bin/mailq
	$(Q)ln -sf ../sbin/sendmail $(I)/bin/newaliases
	$(Q)for m in $(MANUALS); do \
	    install -m 644 $$m $(I)/share/man/man$${m##*.} || exit 1; done
	$(Q)test -e $(DESTDIR)$(SYSCONFDIR)/sealpost/sealpost.conf || \
	    install -m 644 etc/sealpost.conf $(DESTDIR)$(SYSCONFDIR)/sealpost
	$(Q)umask 022; $(FILL) etc/sealpostd.service \
	    >$(I)/lib/systemd/system/sealpostd.service
	$(Q)umask 022; $(FILL) etc/sealpost.sysusers \
	    >$(I)/lib/sysusers.d/sealpost.conf
	$(Q)umask 022; $(FILL) etc/sealpost.tmpfiles \
	    >$(I)/lib/tmpfiles.d/sealpost.conf
	$(Q)test -n "$(DESTDIR)" || $(MAKE) --no-print-directory users
	$(SAY) "" "sealpostd and sealpost are in $(I)/sbin,"
	$(SAY) "" "the configuration in $(DESTDIR)$(SYSCONFDIR)/sealpost."

# The daemon's users, and the folders that must be there before its start.
users:
	$(Q)for u in _sealpost _sealpostq; do \
	    getent passwd $$u >/dev/null || useradd --system --user-group \
	    --no-create-home --home-dir /nonexistent \
	    --shell /usr/sbin/nologin $$u || exit 1; done
	$(Q)mkdir -p $(RUNDIR)
	$(Q)install -d -m 711 $(LOCALSTATEDIR)/spool/sealpost
	$(Q)install -d -m 1733 $(LOCALSTATEDIR)/spool/sealpost/offline

# Configuration, spool and users stay.
uninstall:
	$(Q)rm -f $(addprefix $(I)/sbin/,$(notdir $(PROGRAMS))) \
	    $(I)/bin/sealpost $(I)/bin/mailq $(I)/bin/newaliases \
	    $(I)/lib/systemd/system/sealpostd.service \
	    $(I)/lib/sysusers.d/sealpost.conf $(I)/lib/tmpfiles.d/sealpost.conf
	$(Q)for m in $(notdir $(MANUALS)); do \
	    rm -f $(I)/share/man/man$${m##*.}/$$m; done

# ---- what a maintainer runs besides `make check` ----

SOURCES = $(wildcard smtpd/*.c smtpd/base/*.c smtpd/cli/*.c queue/*.c \
	mtasts/*.c)
TEST_SOURCES = $(wildcard tests/*.c tests/*/*.c)
HEADERS = $(wildcard smtpd/*.h smtpd/base/*.h smtpd/cli/*.h queue/*.h \
	mtasts/*.h tests/*.h tests/*/*.h)
# Leaves, parsers and engines.  gcc 12 loses sight of an array that grows.
PURE = $(filter-out mtasts/fetch.c mtasts/policy.c smtpd/conf_set.c,\
	$(wildcard queue/*.c mtasts/*.c \
	$(patsubst %,smtpd/%*.c,address alias client conf ctl \
	dns_packet explain header host idn netaddr reply server trouble)))

# The compiler's warnings on all tests, without code.
syntax:
	$(SAY) syntax tests
	$(Q)echo $(TEST_SOURCES) | xargs -P 2 -n 16 \
	    $(CC) -fsyntax-only $(CPPFLAGS) $(filter-out -M%,$(CFLAGS))

# A file that passed is looked at again once it, or a header, has changed.
lint:
	@$(MAKE) --no-print-directory -k -j$$(nproc) lint-format lint-cppcheck \
	    lint-analyzer lint-tidy
lint-format:
	$(Q)clang-format --dry-run -Werror $(SOURCES) $(TEST_SOURCES) $(HEADERS)
lint-cppcheck:
	$(SAY) cppcheck
	$(Q)cppcheck -j 2 --quiet --enable=warning,style,performance,portability \
	    --inconclusive --std=c11 --error-exitcode=1 --inline-suppr \
	    --suppressions-list=tests/cppcheck.txt --suppress='*:/usr/*' \
	    $(subst -isystem ,-I,$(CPPFLAGS)) $(SOURCES)
# A third of the analyzer's own bound, for a third of its time.
TIDY_DEPTH = -Xclang -analyzer-config -Xclang max-nodes=75000
lint-tidy: $(SOURCES:%.c=$(B)/lint/%.tidy)
lint-analyzer: $(PURE:%.c=$(B)/lint/%.analyzer)
$(B)/lint/%.tidy: %.c .clang-tidy $(HEADERS)
	@mkdir -p $(@D)
	$(SAY) tidy $<
	$(Q)clang-tidy --quiet $< -- $(CPPFLAGS) -std=c17 $(TIDY_DEPTH) \
	    >$@.log 2>&1 || \
	    { cat $@.log; exit 1; }
	@touch $@
$(B)/lint/%.analyzer: %.c $(HEADERS)
	@mkdir -p $(@D)
	$(SAY) analyze $<
	$(Q)gcc -fanalyzer -O2 -std=c17 -Werror $(CPPFLAGS) -c -o /dev/null $<
	@touch $@

# Each parser under libFuzzer for FUZZ_SECONDS, from the corpus in the tree.
FUZZ_SECONDS ?= 30
FUZZERS = $(notdir $(basename $(wildcard tests/fuzz/*.c)))
fuzz:
	$(MAKE) B=$(B)/fuzz CC=clang SAN=1 FUZZ=1 fuzzers
	@for f in $(FUZZERS); do \
	    mkdir -p $(B)/fuzz/corpus/$$f; \
	    $(B)/fuzz/tests/fuzz/$$f -max_total_time=$(FUZZ_SECONDS) \
	        -timeout=10 -rss_limit_mb=1024 -verbosity=0 -print_final_stats=1 \
	        $(B)/fuzz/corpus/$$f $$(ls -d tests/fuzz/$$f 2>/dev/null) \
	        >$(B)/fuzz/$$f.log 2>&1 && echo "fuzz $$f: no finding" || \
	        { tail -n 40 $(B)/fuzz/$$f.log; echo "fuzz $$f: FOUND"; exit 1; }; \
	done
fuzzers: $(patsubst %,$(B)/tests/fuzz/%,$(FUZZERS))
$(B)/tests/fuzz/%: $(B)/tests/fuzz/%.o $(ALL_A)
	$(LINK) -fsanitize=fuzzer

clean:
	rm -rf $(B)

.PHONY: all deps root demo check bench tests install users uninstall \
	bench-tools clean syntax lint lint-format lint-tidy lint-cppcheck lint-analyzer \
	fuzz fuzzers FORCE
.SECONDARY:
-include $(shell find $(B)/smtpd $(B)/queue $(B)/mtasts $(B)/tests -name '*.d' \
	2>/dev/null)
