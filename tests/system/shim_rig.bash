# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154,SC2034,SC2119,SC2120
# The shim without the hook: tests write its spec themselves and mount it where the hook would.
# A .bats file says `load lib`, `load shim_rig`, and setup_file() { build_rig; }.

# The runtimes that are here.
runtimes() {
	echo runc
	! command -v crun >/dev/null || echo crun
}

# The tools, once a file: mkspec, mkfilter, and the probe in three kinds.
build_rig() {
	local root
	need_root
	need_built ballast-shim
	root=$(realpath "$TESTS/..")
	RIG=$BATS_FILE_TMPDIR
	cc -std=gnu17 -I"$root" -D_GNU_SOURCE "$FIXTURES/mkspec.c" "$root"/common/{spec,buf,err,sys}.c \
		-o "$RIG/mkspec"
	cc -std=gnu17 -I"$root" -D_GNU_SOURCE "$FIXTURES/mkfilter.c" "$root/hook/seccomp.c" \
		"$root"/common/{buf,err,sys}.c -o "$RIG/mkfilter"
	cc -std=gnu17 -D_GNU_SOURCE -static "$FIXTURES/probe.c" -o "$RIG/probe"
	"$RIG/mkfilter" >"$RIG/filter"
}

# use_box [ARG...]: makes $BUNDLE a container whose process is the shim, then ARG...; SHIM is the
# program (default the built one). $T/given will be its /run/ballast, on a file system of its own.
use_box() {
	RIG=$BATS_FILE_TMPDIR
	make_bundle box /run/ballast/shim "$@"
	mkdir -p "$BUNDLE/rootfs/run/ballast" "$T/given"
	cp "$RIG/probe" "$BUNDLE/rootfs/bin/probe"
	mount -t tmpfs -o mode=0755 box "$T/given"
	install -m 0555 "${SHIM:-$BUILD/ballast-shim}" "$T/given/shim"
	bundle_set '.mounts += [{destination: "/run/ballast", type: "bind", source: $box,
		options: ["bind", "ro", "nosuid", "nodev"]}]
		| .process.noNewPrivileges = false' --arg box "$T/given"
	spec
}

# spec [MKSPEC-ARG...]: the shim's orders.
spec() {
	"$RIG/mkspec" "$@" >"$T/given/spec.new" || return 1
	chmod 0400 "$T/given/spec.new"
	chown "$(jq -r '.process.user | "\(.uid):\(.gid)"' "$BUNDLE/config.json")" "$T/given/spec.new"
	mv -f "$T/given/spec.new" "$T/given/spec"
}

set_env() {
	bundle_set '.process.env = $env' --argjson env "$(json_array "$@")"
}

# Like bats' run, which would warn of 127: that is an answer here.
capture() {
	status=0
	output=$("$@" 2>&1 </dev/null) || status=$?
}

run_on_runc() {
	CONTAINER=$(new_id)
	echo "runc $CONTAINER" >>"$T/containers"
	capture runc --root "$T/runc" run --bundle "$BUNDLE" "$CONTAINER"
}

run_on_crun() {
	CONTAINER=$(new_id crun)
	echo "crun $CONTAINER" >>"$T/containers"
	capture crun_in_test run --bundle "$BUNDLE" "$CONTAINER"
}

# run_shim: under runc and then under crun: both must say and end the same. Sets $status, $output.
# BETWEEN is a function to call in between, where the first run left something behind.
run_shim() {
	local first first_status
	run_on_runc
	command -v crun >/dev/null || return 0
	first=$output first_status=$status
	[ -z "${BETWEEN:-}" ] || "$BETWEEN"
	run_on_crun
	# stdout and stderr come through runc by ways of their own.
	if [ "$status" != "$first_status" ] || [ "$(sort <<<"$output")" != "$(sort <<<"$first")" ]; then
		fail "runc ($first_status):
$first
crun ($status):
$output"
	fi
}

# wait_line REGEX: until the container of run_in_background has said it.
wait_line() {
	"$FIXTURES/process.py" line "$T/$CONTAINER.log" "$1" 20
}

# run_in_background [runc|crun]: its output goes to $T/$CONTAINER.log. (9: a test's own
# gate, of which only the test is the agent.)
run_in_background() {
	local runtime=${1:-runc}
	CONTAINER=$(new_id "$runtime")
	echo "$runtime $CONTAINER" >>"$T/containers"
	: >"$T/$CONTAINER.log"
	if [ "$runtime" = crun ]; then
		(end=0; crun_in_test run --bundle "$BUNDLE" "$CONTAINER" || end=$?
			echo "$end" >"$T/$CONTAINER.status") \
			>"$T/$CONTAINER.log" 2>&1 </dev/null 3>&- 9>&- &
	else
		(end=0; runc --root "$T/runc" run --bundle "$BUNDLE" "$CONTAINER" || end=$?
			echo "$end" >"$T/$CONTAINER.status") \
			>"$T/$CONTAINER.log" 2>&1 </dev/null 3>&- 9>&- &
	fi
	BACKGROUND=$!
	RUNTIME=$runtime
}

signal_container() {
	if [ "$RUNTIME" = crun ]; then
		crun_in_test kill "$CONTAINER" "$1"
	else
		runc --root "$T/runc" kill "$CONTAINER" "$1"
	fi
}

# After run_in_background: waits for its end; $status and $output as after run.
end_background() {
	wait "$BACKGROUND" || true
	status=$(cat "$T/$CONTAINER.status")
	# runc forwards the SIGURG of its own run-time library.
	output=$(grep -v '^signal 23$' "$T/$CONTAINER.log") || true
}

# The host's own Debian as the image's programs: /usr read-only, and the links into it.
use_host_programs() {
	local name
	rm -rf "$BUNDLE/rootfs"/{bin,usr}
	mkdir -p "$BUNDLE/rootfs/usr"
	for name in bin sbin lib lib64; do
		[ ! -L "/$name" ] || ln -sfn "usr/$name" "$BUNDLE/rootfs/$name"
	done
	bundle_set '.mounts += [{destination: "/usr", type: "bind", source: "/usr",
		options: ["rbind", "ro"]}]'
}

# assert_says TEXT: as assert_output, but nothing in TEXT is a pattern.
assert_says() {
	[[ $output == *"$1"* ]] || fail "expected \"$1\" in:
$output"
}
