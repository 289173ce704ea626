# Sealpost.  `make demo` shows the main job live, `make check` runs all tests;
# both install what the build needs first.  `make` alone only builds.

B ?= build
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
LOCALSTATEDIR ?= /var
RUNDIR ?= /run

PACKAGES = gcc pkg-config libssl-dev libc-ares-dev libcurl4-openssl-dev \
	libbsd-dev libseccomp-dev
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
SANITIZE = -O1 -fno-omit-frame-pointer -fsanitize=address,undefined \
	-fno-sanitize-recover=all -fPIE
KIND := $(if $(findstring clang,$(shell $(CC) --version 2>/dev/null)),clang,gcc)

CPPFLAGS += -I. -D_GNU_SOURCE -DPREFIX='"$(PREFIX)"' \
	-DSYSCONFDIR='"$(SYSCONFDIR)"' -DLOCALSTATEDIR='"$(LOCALSTATEDIR)"' \
	-DRUNDIR='"$(RUNDIR)"' $(shell pkg-config --cflags $(LIBRARIES) 2>/dev/null)
CFLAGS += -std=c17 -g $(WARN) $(WARN_$(KIND)) $(if $(SAN),$(SANITIZE),$(HARDEN) $(HARDEN_$(KIND))) \
	-pthread -MMD -MP
LDFLAGS += -pie -pthread -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed \
	$(if $(SAN),-fsanitize=address,undefined)
LDLIBS = $(shell pkg-config --libs $(LIBRARIES) 2>/dev/null)

objects = $(patsubst %.c,$(B)/%.o,$(wildcard $(1)))
PROGRAMS = $(B)/sealpostd $(B)/sealpost $(B)/sendmail
QUEUE_A = $(B)/queue.a
MTASTS_A = $(B)/mtasts.a
BASE_A = $(B)/base.a
SMTPD_A = $(B)/smtpd.a
ALL_A = $(SMTPD_A) $(QUEUE_A) $(MTASTS_A) $(BASE_A)
TESTS = $(patsubst %.c,$(B)/%,$(wildcard tests/queue/*.c tests/mtasts/*.c \
	tests/base/*.c tests/smtpd/*.c))

all: $(PROGRAMS)

$(QUEUE_A): $(call objects,queue/*.c)
$(MTASTS_A): $(call objects,mtasts/*.c)
$(BASE_A): $(call objects,smtpd/base/*.c)
$(SMTPD_A): $(filter-out $(B)/smtpd/sealpostd.o,$(call objects,smtpd/*.c))
%.a:
	rm -f $@
	ar rcs $@ $^

$(B)/sealpostd: $(B)/smtpd/sealpostd.o $(ALL_A)
$(B)/sealpost: $(filter-out $(B)/smtpd/cli/sendmail.o,\
	$(call objects,smtpd/cli/*.c)) $(ALL_A)
$(B)/sendmail: $(B)/smtpd/cli/sendmail.o $(B)/smtpd/cli/ctl_client.o $(ALL_A)
$(PROGRAMS):
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# A test sees only what its module may: a leaf links without the rest.
$(B)/tests/queue/%: $(B)/tests/queue/%.o $(B)/tests/t.o $(QUEUE_A)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)
$(B)/tests/mtasts/%: $(B)/tests/mtasts/%.o $(B)/tests/t.o $(MTASTS_A)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)
$(B)/tests/base/%: $(B)/tests/base/%.o $(B)/tests/t.o $(BASE_A)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)
$(B)/tests/smtpd/%: $(B)/tests/smtpd/%.o $(B)/tests/t.o $(ALL_A)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

tests: $(TESTS)

clean:
	rm -rf $(B)

.PHONY: all tests clean
.SECONDARY:
-include $(shell find $(B) -name '*.d' 2>/dev/null)
