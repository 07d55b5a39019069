# Ballast: build, test, install. `make help` says what there is.
#
# Everything goes to $(BUILD); variants build beside each other: SAN=1 (ASan and UBSan) in
# build/san, FAULTS=1 (the seam of common/sys.h) in build/faults.

VERSION := 0.1.0

# GNU's names for directories (make install prefix=/opt/x bindir=...), and ours, in capitals.
prefix ?= /usr
PREFIX ?= $(prefix)
bindir ?= $(PREFIX)/bin
sbindir ?= $(PREFIX)/sbin
libexecdir ?= $(PREFIX)/libexec
datadir ?= $(PREFIX)/share
mandir ?= $(DATADIR)/man
sysconfdir ?= /etc
BINDIR ?= $(bindir)
SBINDIR ?= $(sbindir)
LIBEXECDIR ?= $(libexecdir)
DATADIR ?= $(datadir)
MANDIR ?= $(mandir)
SYSCONFDIR ?= $(sysconfdir)
UNITDIR ?= $(PREFIX)/lib/systemd/system
HOOKSDIR ?= $(LIBEXECDIR)/oci/hooks.d
COMPLETIONSDIR ?= $(DATADIR)/bash-completion/completions

CFLAGS ?= -O2 -g
PKG_CONFIG ?= pkg-config
V ?= 0
Q := $(if $(filter 1,$(V)),,@)

variant := $(if $(filter 1,$(SAN)),/san)$(if $(filter 1,$(FAULTS)),/faults)
BUILD ?= build$(variant)

warnings := -Wall -Wextra -Wshadow -Wconversion -Wformat=2 -Wmissing-prototypes $(if $(filter 1,$(WERROR)),-Werror)
base_cflags := -std=gnu17 $(warnings) -fstack-protector-strong -fPIE -ffunction-sections -fdata-sections
base_cppflags := -I. -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DBL_VERSION='"$(VERSION)"' $(if $(filter 1,$(FAULTS)),-DBL_FAULTS)
base_ldflags := -pie -Wl,-z,relro,-z,now -Wl,--gc-sections
ifeq ($(SAN),1)
base_cflags += -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
base_ldflags += -fsanitize=address,undefined
ifeq ($(FUZZER),1)
base_cflags += -fsanitize=fuzzer-no-link
endif
else
base_cppflags += $(if $(filter -O0,$(CFLAGS)),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
endif

# The libraries that each program loads; hook and shim load none.
pkgs_agent := libmicrohttpd libcrypto libseccomp
pkgs_fetch := libcurl libssl libcrypto expat
pkgs_cli := yaml-0.1
pkgs_all := libseccomp libmicrohttpd libcrypto libcurl libssl expat yaml-0.1
pkg_cflags := $(shell $(PKG_CONFIG) --cflags $(pkgs_all) 2>/dev/null)
libs_of = $(if $(pkgs_$(1)),$(shell $(PKG_CONFIG) --libs $(pkgs_$(1))))

programs := hook agent fetch cli
binary_hook := ballast-hook
binary_agent := ballastd
binary_fetch := ballast-fetch
binary_cli := ballast
binaries := $(foreach p,$(programs),$(if $(wildcard $(p)/main.c),$(BUILD)/$(binary_$(p)))) $(if $(wildcard shim/main.c),$(BUILD)/ballast-shim)

sources = $(wildcard $(1)/*.c) $(wildcard $(1)/*/*.c)
objects = $(patsubst %.c,$(BUILD)/%.o,$(1))

all: $(binaries)

# What every object is compiled with. Objects depend on the file that holds it, which is written only
# when it is another: an edit of this Makefile compiles nothing anew by itself. (WERROR changes no object.)
compile = $(CC) $(base_cppflags) $(CPPFLAGS) $(base_cflags) $(pkg_cflags) $(CFLAGS)
write_flags = @mkdir -p $(@D); printf '%s\n' "$$flags" >$@.new; cmp -s $@.new $@ && rm $@.new || mv $@.new $@
$(BUILD)/flags: export flags = $(filter-out -Werror,$(compile))
$(BUILD)/flags: FORCE
	$(write_flags)

$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	@$(if $(Q),echo "  CC    $<")
	$(Q)$(compile) -MMD -MP -c $< -o $@

$(BUILD)/common.a: $(call objects,$(call sources,common))
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

# A program's objects but main.o, so that unit tests can link them.
define archive_rule
$(BUILD)/$(1).a: $$(call objects,$$(filter-out $(1)/main.c,$$(call sources,$(1))))
	@mkdir -p $$(@D)
	@rm -f $$@
	$$(Q)$$(AR) rcs $$@ $$^
endef
$(foreach p,$(programs) shim,$(eval $(call archive_rule,$(p))))

define program_rule
$(BUILD)/$(binary_$(1)): $(BUILD)/$(1)/main.o $(BUILD)/$(1).a $(BUILD)/common.a
	@$$(if $$(Q),echo "  LD    $$@")
	$$(Q)$$(CC) $$(base_ldflags) $$(CFLAGS) $$(LDFLAGS) $$^ -o $$@ -Wl,--as-needed $$(call libs_of,$(1))
endef
# Sanitizers are for programs that load their C library; so the hook is one then, and so it is where
# there is no musl, or where it is told to be built for another machine.
MUSL_CC := $(shell command -v musl-gcc 2>/dev/null)
SHIM_CC ?= $(or $(MUSL_CC),$(CC))
static_hook := $(if $(filter 1,$(SAN)),,$(filter $(MUSL_CC),$(SHIM_CC)))
$(foreach p,$(if $(static_hook),$(filter-out hook,$(programs)),$(programs)),$(eval $(call program_rule,$(p))))

# ---- Shim and hook: static, by musl where there is one (0.15 ms and 36 kB against 0.65 ms and 700 kB
# with glibc, from exec to exit).
shim_multiarch := $(shell $(CC) -print-multiarch 2>/dev/null)
shim_common := common/err.c common/buf.c common/log.c common/spec.c common/sys.c common/utf8.c
shim_objects := $(patsubst %.c,$(BUILD)/static/%.o,$(call sources,shim) $(shim_common))
shim_cflags := -std=gnu17 $(warnings) -Os -g -fstack-protector-strong -fno-pie -ffunction-sections -fdata-sections \
	-fno-asynchronous-unwind-tables -fno-unwind-tables -flto=auto
shim_cppflags := -I. -D_GNU_SOURCE -DBL_VERSION='"$(VERSION)"' -idirafter /usr/include -idirafter /usr/include/$(shim_multiarch) $(if $(filter 1,$(FAULTS)),-DBL_FAULTS)

# All of its data on as few pages as can be: each takes a microsecond to be there. (No part of it is made
# read-only in a program without a dynamic linker, so that a page of its own for that would be for nothing.)
shim_ldflags := -static -no-pie -Wl,--gc-sections -Wl,-z,norelro,-z,noseparate-code

static_compile = $(SHIM_CC) $(shim_cppflags) $(CPPFLAGS) $(shim_cflags)
$(BUILD)/static/flags: export flags = $(filter-out -Werror,$(static_compile))
$(BUILD)/static/flags: FORCE
	$(write_flags)

$(BUILD)/static/%.o: %.c $(BUILD)/static/flags
	@mkdir -p $(@D)
	@$(if $(Q),echo "  CC    $< (static)")
	$(Q)$(static_compile) -MMD -MP -c $< -o $@

$(BUILD)/ballast-shim: $(shim_objects)
	@$(if $(Q),echo "  LD    $@")
	$(Q)$(SHIM_CC) $(shim_cflags) $(shim_ldflags) -s $(LDFLAGS) $^ -o $@

ifneq ($(static_hook),)
hook_objects := $(patsubst %.c,$(BUILD)/static/%.o,$(call sources,hook) $(call sources,common))

$(BUILD)/ballast-hook: $(hook_objects)
	@$(if $(Q),echo "  LD    $@")
	$(Q)$(SHIM_CC) $(shim_cflags) $(shim_ldflags) $(LDFLAGS) $^ -o $@
endif

# ---- Unit tests: tests/unit/<program>/test_<file>.c, linked with that program's objects.
unit_sources := $(wildcard tests/unit/*/test_*.c)
unit_binaries := $(patsubst %.c,$(BUILD)/%,$(unit_sources))

.SECONDEXPANSION:
$(unit_binaries): $(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $$(if $$(filter common,$$(firstword $$(subst /, ,$$*))),,$(BUILD)/$$(firstword $$(subst /, ,$$*)).a) $(BUILD)/common.a
	@$(if $(Q),echo "  LD    $@")
	$(Q)$(CC) $(base_ldflags) $(CFLAGS) $(LDFLAGS) $^ -o $@ -Wl,--as-needed -lcmocka -lm $(call libs_of,$(firstword $(subst /, ,$*)))

unit-binaries: $(unit_binaries)

unit: $(unit_binaries)
	$(Q)tests/run-unit $(BUILD) $(T)

# ---- Fuzz targets: tests/fuzz/<program>/fuzz_<parser>.c, linked with that program's objects. An
# ordinary build links them with replay.c, so that their corpora are tests; make fuzz (clang, in
# build/fuzz) with libFuzzer.
fuzz_sources := $(wildcard tests/fuzz/*/fuzz_*.c)
fuzz_binaries := $(patsubst %.c,$(BUILD)/%,$(fuzz_sources))
fuzz_main := $(if $(filter 1,$(FUZZER)),,$(BUILD)/tests/fuzz/replay.o)

$(fuzz_binaries): $(BUILD)/tests/fuzz/%: $(BUILD)/tests/fuzz/%.o $(fuzz_main) $$(if $$(filter common,$$(firstword $$(subst /, ,$$*))),,$(BUILD)/$$(firstword $$(subst /, ,$$*)).a) $(BUILD)/common.a
	@$(if $(Q),echo "  LD    $@")
	$(Q)$(CC) $(base_ldflags) $(if $(filter 1,$(FUZZER)),-fsanitize=fuzzer) $(CFLAGS) $(LDFLAGS) $^ -o $@ -Wl,--as-needed -lm $(call libs_of,$(firstword $(subst /, ,$*)))

fuzz-binaries: $(fuzz_binaries)

FUZZ_SECONDS ?= 60
fuzz:
	$(Q)tests/install-deps build fuzz
	$(Q)$(MAKE) --no-print-directory CC=clang SAN=1 FUZZER=1 BUILD=build/fuzz fuzz-binaries
	$(Q)tests/run-fuzz build/fuzz --fuzz $(FUZZ_SECONDS)

# ---- store-driver works on a cache while calls fail or it is killed, and checks what is left. It is
# built with the seam only; its record.c stands between the store and the calls that change a disk.
driver := $(BUILD)/tests/fixtures/store-driver
driver_calls := openat mkdirat unlinkat linkat renameat2 fchmod write_all pwrite_all fsync fdatasync ftruncate fallocate
$(driver): $(call objects,$(wildcard tests/fixtures/store/*.c)) $(BUILD)/agent.a $(BUILD)/common.a
	@$(if $(Q),echo "  LD    $@")
	$(Q)$(CC) $(base_ldflags) $(foreach c,$(driver_calls),-Wl,--wrap=bl_sys_$(c)) $(CFLAGS) $(LDFLAGS) $^ -o $@ -Wl,--as-needed -lpthread $(call libs_of,agent)
ifeq ($(FAULTS),1)
all: $(driver)
endif

# ---- Tests of the built programs; T=hook runs what has "hook" in its name. Root, but for unit.
system: $(binaries)
	$(Q)tests/run-system $(BUILD) $(T)

# Everything, on a bare Debian too: installs what is missing, so the build comes after it, anew.
check:
	$(Q)tests/install-deps build test
	$(Q)tests/install-peers build
	$(Q)$(MAKE) --no-print-directory -j$(shell nproc) all unit-binaries fuzz-binaries SAN=$(SAN) FAULTS=
	$(Q)$(MAKE) --no-print-directory -j$(shell nproc) all SAN=$(SAN) FAULTS=1
	$(Q)tests/run-check $(BUILD) $(T)

# ---- Installing. A program is put in place by a rename, so that none is ever missing on an upgrade:
# runtimes skip a hook whose program is missing without a word. For the same reason hooks.d's files
# come after it, and go before it.
man_pages := $(wildcard docs/man/*.[1-8])
completions := $(wildcard packaging/completions/*)
documents := README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md LICENSE $(wildcard docs/*.md docs/*.json docs/*.yaml docs/runtimes/*.md)
document_at = $(DATADIR)/doc/ballast/$(patsubst docs/%,%,$(1))
put = install -d $(DESTDIR)$(dir $(2)) && install -m $(3) $(1) $(DESTDIR)$(2).new && mv -f $(DESTDIR)$(2).new $(DESTDIR)$(2)
fill = rm -f $(BUILD)/$(notdir $(1:.in=)) && sed -e 's|@hooksdir@|$(HOOKSDIR)|g; s|@libexecdir@|$(LIBEXECDIR)|g; s|@sbindir@|$(SBINDIR)|g' $(1) >$(BUILD)/$(notdir $(1:.in=))
installed_data := $(DATADIR)/containers/oci/hooks.d/50-ballast.json $(DATADIR)/ballast/podman-hooks.d/40-ballast-precreate.json \
	$(UNITDIR)/ballastd.service $(foreach d,$(documents),$(call document_at,$(d))) \
	$(foreach m,$(man_pages),$(MANDIR)/man$(subst .,,$(suffix $(m)))/$(notdir $(m))) \
	$(foreach c,$(completions),$(COMPLETIONSDIR)/$(notdir $(c)))
installed_programs := $(HOOKSDIR)/ballast-hook $(LIBEXECDIR)/ballast/ballast-shim \
	$(LIBEXECDIR)/ballast/ballast-fetch $(SBINDIR)/ballastd $(BINDIR)/ballast

install: $(binaries)
	$(Q)$(call put,$(BUILD)/ballast-hook,$(HOOKSDIR)/ballast-hook,755)
	$(Q)$(call put,$(BUILD)/ballast-shim,$(LIBEXECDIR)/ballast/ballast-shim,755)
	$(Q)$(call put,$(BUILD)/ballast-fetch,$(LIBEXECDIR)/ballast/ballast-fetch,755)
	$(Q)$(call put,$(BUILD)/ballastd,$(SBINDIR)/ballastd,755)
	$(Q)$(call put,$(BUILD)/ballast,$(BINDIR)/ballast,755)
	$(Q)install -d -m 755 $(DESTDIR)$(SYSCONFDIR)/ballast && install -d -m 700 $(DESTDIR)$(SYSCONFDIR)/ballast/secrets
	$(Q)$(call fill,packaging/50-ballast.json.in)
	$(Q)$(call fill,packaging/40-ballast-precreate.json.in)
	$(Q)$(call fill,packaging/ballastd.service.in)
	$(Q)$(call put,$(BUILD)/50-ballast.json,$(DATADIR)/containers/oci/hooks.d/50-ballast.json,644)
	$(Q)$(call put,$(BUILD)/40-ballast-precreate.json,$(DATADIR)/ballast/podman-hooks.d/40-ballast-precreate.json,644)
	$(Q)$(call put,$(BUILD)/ballastd.service,$(UNITDIR)/ballastd.service,644)
	$(Q)$(foreach d,$(documents),$(call put,$(d),$(call document_at,$(d)),644) &&) true
	$(Q)sed -i 's|](docs/|](|g' $(foreach d,README.md CONTRIBUTING.md SECURITY.md,$(DESTDIR)$(call document_at,$(d)))
	$(Q)$(foreach m,$(man_pages),$(call put,$(m),$(MANDIR)/man$(subst .,,$(suffix $(m)))/$(notdir $(m)),644) &&) true
	$(Q)$(foreach c,$(completions),$(call put,$(c),$(COMPLETIONSDIR)/$(notdir $(c)),644) &&) true

# Leaves /etc/ballast and the cache. Containers that are being made keep the programs that they run.
uninstall:
	$(Q)rm -f $(addprefix $(DESTDIR),$(installed_data))
	$(Q)rm -f $(addprefix $(DESTDIR),$(installed_programs))
	$(Q)rmdir --ignore-fail-on-non-empty $(wildcard $(addprefix $(DESTDIR),$(DATADIR)/doc/ballast/runtimes \
		$(DATADIR)/doc/ballast $(DATADIR)/ballast/podman-hooks.d $(DATADIR)/ballast $(LIBEXECDIR)/ballast)) 2>/dev/null || true

# A tarball of what is committed.
dist:
	$(Q)mkdir -p build
	$(Q)git archive --prefix=ballast-$(VERSION)/ -o build/ballast-$(VERSION).tar.gz HEAD
	@echo build/ballast-$(VERSION).tar.gz

# ---- What a machine can check. Each .c file has a stamp, so that clang-tidy sees only what changed.
checked := $(foreach d,common hook shim agent fetch cli,$(call sources,$(d)))
tidy_stamps := $(patsubst %.c,build/lint/%.tidy,$(checked))

build/lint/%.tidy: %.c .clang-tidy $$(wildcard common/*.h $$(firstword $$(subst /, ,$$*))/*.h $$(firstword $$(subst /, ,$$*))/*/*.h)
	@mkdir -p $(@D)
	@$(if $(Q),echo "  TIDY  $<")
	$(Q)clang-tidy --quiet $< -- -std=gnu17 $(base_cppflags) $(pkg_cflags) >$@.log 2>/dev/null || { grep -E ' (error|warning): ' $@.log; exit 1; }
	@rm -f $@.log; touch $@

tidy: $(tidy_stamps)

lint:
	$(Q)ok=0; $(MAKE) --no-print-directory --keep-going -j$(shell nproc) tidy || ok=1; tests/lint || ok=1; exit $$ok

# The files that git knows; clang-format 14, as in Debian 12.
format:
	$(Q)git ls-files '*.[ch]' | xargs clang-format -i

# make bench ROWS="warm-start" ROUNDS=11
bench: $(binaries)
	$(Q)tests/install-deps build test bench
	$(Q)tests/bench/run --build $(BUILD) $(if $(ROUNDS),--rounds $(ROUNDS)) $(ROWS)

# Other projects' clients and servers, for the tests that want them (pip, npm).
peers: $(binaries)
	$(Q)tests/install-peers build all
	$(Q)tests/run-system $(BUILD) peers

# arm64, as far as another machine can see: all compiles, and the shim runs (qemu-user).
cross-check:
	$(Q)tests/install-deps build cross
	$(Q)tests/cross-check

deps:
	$(Q)tests/install-deps build test lint

# The main job with real parts, in build/demo.
demo:
	$(Q)examples/demo/run

help:
	@echo "make            build the five programs into $(BUILD)/"
	@echo "make install    into PREFIX=/usr below DESTDIR; also: make uninstall"
	@echo "make dist       a tarball of what is committed, build/ballast-$(VERSION).tar.gz"
	@echo "make check      as root: install Debian packages that are missing, build, run every test"
	@echo "make demo       as root: the main job with real parts, start to end, in build/demo"
	@echo "make unit       build and run the unit tests (no root)"
	@echo "make system     build and run the system tests (root)"
	@echo "make deps       as root: install the Debian packages for build, check and lint"
	@echo "make fuzz       as root: libFuzzer on every parser, FUZZ_SECONDS=60 each"
	@echo "make bench      as root: ratios against other tools, into docs/performance.md; ROWS=warm-start"
	@echo "make lint       clang-tidy, cppcheck, shellcheck, and the rules of docs/architecture.md"
	@echo "make format     clang-format on every C file"
	@echo "make peers      as root: installs other projects' clients and servers (pip, npm, Go), runs what"
	@echo "                compares with them"
	@echo "make cross-check  as root: compiles everything for arm64, and runs the shim there by qemu-user"
	@echo "make clean      remove build/"
	@echo "variants: SAN=1 (sanitizers), FAULTS=1 (failing system calls), WERROR=1, V=1;"
	@echo "          T=hook: only tests with \"hook\" in their file's name"

clean:
	$(Q)rm -rf build 2>/dev/null || { echo "build/ holds files of root (make demo, make check): sudo make clean" >&2; exit 1; }

-include $(shell find $(BUILD) \( -path '*/demo' -o -path '*/rootfs' -o -path '*/peers' \) -prune -o -type f -name '*.d' -print 2>/dev/null)

.PHONY: all bench cross-check demo install uninstall dist unit unit-binaries fuzz fuzz-binaries system check lint tidy format peers deps help clean FORCE
.DELETE_ON_ERROR:
