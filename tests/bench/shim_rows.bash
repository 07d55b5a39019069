# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154,SC2034
# What the rows about the shim share: a root filesystem with the host's programs, the shim and its
# orders in it, and a clock that runs from an exec to the server's main().

# make_root: $ROOT.
make_root() {
	local top name
	top=$(realpath "$TESTS/..")
	ROOT=$T/root
	make_rootfs "$ROOT"
	rm -rf "${ROOT:?}"/{bin,usr}
	mkdir -p "$ROOT/usr" "$ROOT/run/ballast" "$ROOT/home/app" "$T/given"
	for name in bin sbin lib lib64; do
		[ ! -L "/$name" ] || ln -sfn "usr/$name" "$ROOT/$name"
	done
	mount --bind "$ROOT" "$ROOT"
	mount --bind -o ro /usr "$ROOT/usr"
	mount -t tmpfs -o mode=0755 box "$T/given"
	install -m 0555 "$BUILD/ballast-shim" "$T/given/shim"
	mount --bind "$T/given" "$ROOT/run/ballast"
	cc -std=gnu17 -O2 -I"$top" -D_GNU_SOURCE "$FIXTURES/mkspec.c" \
		"$top"/common/{spec,buf,err,sys}.c -o "$T/mkspec"
	cc -std=gnu17 -O2 -I"$top" -D_GNU_SOURCE "$FIXTURES/mkfilter.c" "$top/hook/seccomp.c" \
		"$top"/common/{buf,err,sys}.c -o "$T/mkfilter"
	"$T/mkfilter" >"$T/filter"
	cc -std=gnu17 -O2 -static -D_GNU_SOURCE "$FIXTURES/execclock.c" -o "$T/execclock"
	"$(command -v musl-gcc || echo cc)" -std=gnu17 -Os -static -s -D_GNU_SOURCE "$FIXTURES/execclock.c" \
		-o "$ROOT/stamp"
}

# Runs PROGRAM [ARG...] in the root; the row's time is the clock's.
clock() {
	ELAPSED=$("$T/execclock" "$ROOT" "$@")
}

# The peers of the rows shim-start and shim-init, and what they share.
label_catatonit() { echo '`catatonit`: drops nothing'; }
label_tini() { echo '`tini`, then `setpriv`: user, groups, capabilities, no_new_privs'; }

set_up_inits() {
	need catatonit tini setpriv
	need_built ballast-shim
	make_root
	"$T/mkspec" run_as=1000 env=A=1 env=B=2 >"$T/given/spec"
}

run_catatonit() { clock "$(command -v catatonit)" -- /stamp; }
run_tini() {
	clock "$(command -v tini)" -- /usr/bin/setpriv --reuid=1000 --regid=1000 --clear-groups \
		--inh-caps=-all --ambient-caps=-all --bounding-set=-all --no-new-privs /stamp
}
