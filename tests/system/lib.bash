# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154,SC2119,SC2120
# What the system tests share; a .bats file says `load lib` and, in most cases,
#
#   setup() { use_test_dir; }
#   teardown() { clean_up; }
#
# $T is the test's directory, $BUILD has the programs. run-system gives every file mount and process
# namespaces of its own. Nothing here sleeps: everything that takes time is waited for by an event.

bats_require_minimum_version 1.5.0

TESTS=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")
FIXTURES=$TESTS/fixtures
BUILD=$(realpath "${BUILD:-$TESTS/../build}")
FAULTS=$BUILD/faults # the programs with the seam of common/sys.h
PEERS=$TESTS/../build/peers # what make peers installed
PATH=$PATH:/usr/sbin:/sbin

# Five thousand times in a run, and jq takes 20 ms of a processor to begin; gojq takes 2. Its
# @uri writes a space as +: that is a "command jq"; and it has no -S.
! command -v gojq >/dev/null || jq() { case ${1:-} in -*S*) command jq "$@" ;; *) gojq "$@" ;; esac; }

# ---- The test's directory, and its end

use_test_dir() {
	T=$BATS_TEST_TMPDIR
	prepare_dir
}

# For what a whole file shares: in setup_file, with clean_up in teardown_file. Tests find it in $T
# by calling this again in setup.
use_file_dir() {
	T=$BATS_FILE_TMPDIR
	prepare_dir
}

prepare_dir() {
	mkdir -p "$T"
	chmod 755 "$T"
	touch "$T/pids" "$T/containers"
}

# Ends what the test started, and fails where a program under a sanitizer had something to say.
clean_up() {
	local id pid
	[ -n "${T:-}" ] || return 0
	while read -r runtime id; do
		"$runtime" --root "$T/$runtime" delete --force "$id" >/dev/null 2>&1 || true
	done <"$T/containers"
	for pid in $(tac "$T/pids"); do
		kill "$pid" 2>/dev/null || continue
		"$FIXTURES/process.py" wait "$pid" 20 || kill -KILL "$pid" 2>/dev/null || true
	done
	: >"$T/pids"
	unmount_below "$T"
	if grep -lE 'ERROR: (Address|Leak)Sanitizer|runtime error:' "$T"/*.log 2>/dev/null; then
		cat "$T"/*.log >&2
		return 1
	fi
}

unmount_below() {
	local point
	findmnt --noheadings --raw --output TARGET | grep -F -- "$1/" | tac | while read -r point; do
		umount --lazy "$(printf '%b' "$point")"
	done
}

# ---- Saying what is expected

fail() {
	printf '%s\n' "$*" >&2
	return 1
}

# After `run`: the status must be that, and the output is shown where it is not.
assert_status() {
	[ "$status" -eq "$1" ] || fail "status $status, expected $1; output:
$output"
}

# assert_output PATTERN: the output matches the glob *PATTERN*.
assert_output() {
	# shellcheck disable=SC2053
	[[ $output == *$1* ]] || fail "expected \"$1\" in:
$output"
}

refute_output() {
	[[ $output != *$1* ]] || fail "unexpected \"$1\" in:
$output"
}

assert_equal() {
	[ "$1" = "$2" ] || fail "is:       $1
expected: $2"
}

# The mount table without its ids; compare two with assert_equal.
mount_table() {
	cut -d' ' -f3- /proc/self/mountinfo | grep -vF -- " $T/runc" | sort
}

# Every file below a directory with type, mode, owner, size and name.
file_table() {
	find "$1" -printf '%y %m %U:%G %s %P\n' | sort -k5
}

# ---- What a machine may lack: named skips

need() {
	local tool
	for tool; do
		command -v "$tool" >/dev/null || skip "$tool is not installed"
	done
}

need_root() {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
}

# The programs with failing system calls: make FAULTS=1 (make check builds them).
need_faults() {
	[ -d "$FAULTS" ] || skip "no $FAULTS: make FAULTS=1"
}

# need_python MODULE
need_python() {
	/usr/bin/python3 -c "import $1" 2>/dev/null || skip "Python's $1 is not installed"
}

need_built() {
	local program
	for program; do
		[ -x "$BUILD/$program" ] || skip "$program is not built"
	done
}

need_fuse() {
	{ : <>/dev/fuse; } 2>/dev/null || skip "no /dev/fuse here"
}

need_user_namespaces() {
	unshare --user true 2>/dev/null || skip "no user namespaces here"
}

# ---- Models, the Hub and other origins

# make_model DIR [BYTES]: a small model: one LFS file, one plain, one in a directory.
make_model() {
	mkdir -p "$1/tokenizer"
	head -c "${2:-1048576}" /dev/urandom >"$1/model.safetensors"
	printf '{"model_type":"test"}\n' >"$1/config.json"
	printf 'the first token\n' >"$1/tokenizer/vocab.txt"
}

# spawn NAME COMMAND...: starts a fixture, waits for its first line (ports), gives it in $REPLY; what
# else it says is in $T/NAME.log.
spawn() {
	local name=$1
	shift
	rm -f "$T/$name.ready"
	mkfifo "$T/$name.ready"
	"$@" >"$T/$name.ready" 2>>"$T/$name.log" 3>&- </dev/null &
	echo $! >>"$T/pids"
	echo $! >"$T/$name.pid"
	read -r REPLY <"$T/$name.ready" || fail "$name did not start: $(cat "$T/$name.log")"
	rm -f "$T/$name.ready"
}

# end_spawned NAME: the fixture of spawn is dead when this returns, and its sockets are closed.
end_spawned() {
	local pid
	pid=$(cat "$T/$1.pid")
	kill -KILL "$pid"
	"$FIXTURES/process.py" wait "$pid"
}

# A port that nothing listens on, for servers that cannot be given port 0. None that the kernel gives away by
# itself: files run at the same time, and it would be another's before the server has it.
free_port() {
	/usr/bin/python3 -c 'import random, socket
least = int(open("/proc/sys/net/ipv4/ip_local_port_range").read().split()[0])
while True:
    port = random.randrange(10000, max(least, 30000))
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        continue
    print(port)
    break'
}

# start_hub OPTIONS...: tests/fixtures/hub.py; HUB and CDN are the base URLs.
start_hub() {
	local ports
	spawn hub "$FIXTURES/hub.py" "$@"
	read -r -a ports <<<"$REPLY"
	HUB=http://127.0.0.1:${ports[0]}
	CDN=http://127.0.0.1:${ports[1]}
	printf 'HUB=%s\nCDN=%s\n' "$HUB" "$CDN" >"$T/hub.env"
}

# start_origin OPTIONS... DIR: tests/fixtures/origin.py; ORIGIN is the base URL.
start_origin() {
	local scheme=http
	[[ " $* " != *" --tls "* ]] || scheme=https
	spawn origin "$FIXTURES/origin.py" "$@"
	ORIGIN=$scheme://127.0.0.1:$REPLY
}

# origin_control URL WHAT [JSON]: reset, faults, release, wait?reached=1, rescan, expire, ...
origin_control() {
	local method=(-X POST --data "${3:-}")
	[[ $2 != wait* ]] || method=()
	curl --fail --silent --show-error --noproxy '*' --insecure "${method[@]}" "$1/_control/$2" >/dev/null
}

# origin_stats URL JQ-FILTER [JQ-OPTIONS...]
origin_stats() {
	local url=$1 filter=$2
	shift 2
	curl --fail --silent --noproxy '*' --insecure "$url/_control/stats" | jq -r "$@" "$filter"
}

# A CA and a certificate for 127.0.0.1 and localhost (or NAMES): $T/ca.pem, $T/tls.pem, $T/tls.key.
make_tls() {
	local names=${1:-IP:127.0.0.1,DNS:localhost}
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test-ca \
		-keyout "$T/ca.key" -out "$T/ca.pem" 2>/dev/null
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=test \
		-keyout "$T/tls.key" -out "$T/tls.csr" 2>/dev/null
	openssl x509 -req -in "$T/tls.csr" -CA "$T/ca.pem" -CAkey "$T/ca.key" -CAcreateserial -days 2 \
		-extfile <(printf 'subjectAltName=%s\n' "$names") -out "$T/tls.pem" 2>/dev/null
}

# ---- The agent



# agent_config [JQ-FILTER [JQ-OPTIONS...]]: writes $T/ballastd.json: the Hub of start_hub where there
# is one, changed by the filter.
agent_config() {
	local filter=${1:-.}
	[ $# -eq 0 ] || shift
	jq -n --arg hub "${HUB:-}" --arg cdn "${CDN:-}" "$@" \
		"(if \$hub == \"\" then {} else {endpoints: {hf: \$hub}, allowed_origins: [\$cdn]} end) | $filter" \
		>"$T/ballastd.json"
}

# start_agent [OPTIONS...]: ballastd with everything in $T, ready when this returns. AGENT is the
# program (default $BUILD/ballastd), AGENT_PID its process, $T/agent.log what it says.
start_agent() {
	[ -e "$T/ballastd.json" ] || agent_config
	mkdir -p "$T/secrets"
	chmod 700 "$T/secrets"
	AGENT_PID=$("$FIXTURES/process.py" start "$T/agent.log" "${AGENT:-$BUILD/ballastd}" \
		--socket="$T/agent.sock" --cache-dir="$T/cache" --secrets-dir="$T/secrets" \
		--config="$T/ballastd.json" "$@" 3>&-) || return 1
	echo "$AGENT_PID" >>"$T/pids"
	echo "$AGENT_PID" >"$T/agent.pid"
}

# stop_agent [SIGNAL]: returns when it has ended.
stop_agent() {
	local pid
	pid=$(cat "$T/agent.pid")
	kill -"${1:-TERM}" "$pid" && "$FIXTURES/process.py" wait "$pid"
}

# damage FILE: a bit of it is another.
damage() {
	/usr/bin/python3 -c 'import sys
with open(sys.argv[1], "r+b") as file:
    file.seek(5000)
    byte = file.read(1)[0]
    file.seek(5000)
    file.write(bytes([byte ^ 1]))' "$1"
}

# agent METHOD PATH [JSON]: one request; $output is the body, $status_code the HTTP status.
agent() {
	local body=()
	[ -z "${3:-}" ] || body=(--header 'Content-Type: application/json' --data "$3")
	output=$(curl --silent --show-error --unix-socket "$T/agent.sock" --request "$1" "${body[@]}" \
		--write-out '\n%{http_code}' "http://agent$2") || return 1
	status_code=${output##*$'\n'}
	output=${output%$'\n'*}
}

# add_secret TENANT NAME VALUE
add_secret() {
	mkdir -p "$T/secrets/$1"
	chmod 700 "$T/secrets" "$T/secrets/$1"
	(umask 077 && printf '%s' "$3" >"$T/secrets/$1/$2")
}

# ---- Bundles and containers

DOCKER_CAPABILITIES='["CAP_CHOWN","CAP_DAC_OVERRIDE","CAP_FSETID","CAP_FOWNER","CAP_MKNOD","CAP_NET_RAW",
"CAP_SETGID","CAP_SETUID","CAP_SETFCAP","CAP_SETPCAP","CAP_NET_BIND_SERVICE","CAP_SYS_CHROOT","CAP_KILL",
"CAP_AUDIT_WRITE"]'

# make_rootfs DIR: busybox, a passwd file with root and user (1000), and the usual directories.
make_rootfs() {
	local template=$BATS_RUN_TMPDIR/rootfs
	if [ ! -e "$template.done" ]; then
		mkdir -p "$template"/{bin,dev,etc,home/user,proc,root,run,sys,tmp,usr/bin,var/tmp}
		chmod 1777 "$template/tmp" "$template/var/tmp"
		chown 1000:1000 "$template/home/user"
		cp "$(command -v busybox)" "$template/bin/busybox"
		chroot "$template" /bin/busybox --install -s /bin
		printf 'root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n' >"$template/etc/passwd"
		printf 'root:x:0:\nuser:x:1000:\n' >"$template/etc/group"
		touch "$template/etc/hosts" "$template/etc/resolv.conf" "$template/etc/hostname" "$template.done"
	fi
	cp -a "$template" "$1"
}

# make_bundle NAME [ARG...]: $T/NAME with rootfs and config.json: root, Docker's capabilities, the
# host's network, ARG... as the process. BUNDLE is its path. No rules for devices: crun wants to raise
# an rlimit for them.
make_bundle() {
	BUNDLE=$T/$1
	shift
	mkdir -p "$BUNDLE"
	make_rootfs "$BUNDLE/rootfs"
	(cd "$BUNDLE" && runc spec)
	bundle_set '.process.terminal = false | .root.readonly = false
		| .process.capabilities |= with_entries(.value = $caps)
		| del(.linux.resources)
		| .linux.namespaces |= map(select(.type != "network"))' --argjson caps "$DOCKER_CAPABILITIES"
	[ $# -eq 0 ] || bundle_args "$@"
}

# json_array TEXT...: a JSON array of these strings.
json_array() {
	/usr/bin/python3 -c 'import json, sys; print(json.dumps(sys.argv[1:]))' "$@"
}

# bundle_set JQ-FILTER [JQ-OPTIONS...]: changes $BUNDLE/config.json.
bundle_set() {
	local filter=$1
	shift
	jq "$@" "$filter" "$BUNDLE/config.json" >"$BUNDLE/config.json.new" &&
		mv "$BUNDLE/config.json.new" "$BUNDLE/config.json"
}

bundle_args() {
	bundle_set '.process.args = $args' --argjson args "$(json_array "$@")"
}

# bundle_user UID [GID]
bundle_user() {
	bundle_set '.process.user = {uid: $uid, gid: $gid}' --argjson uid "$1" --argjson gid "${2:-$1}"
}

# bundle_capabilities NAME...: all five sets.
bundle_capabilities() {
	bundle_set '.process.capabilities |= with_entries(.value = $caps)' \
		--argjson caps "$(json_array "$@")"
}

annotate() {
	bundle_set '.annotations[$key] = $value' --arg key "$1" --arg value "$2"
}

# annotate_weights SOURCE MOUNT_LOCATION [SOURCE MOUNT_LOCATION]...
annotate_weights() {
	local items=()
	while [ $# -gt 0 ]; do
		items+=("$(jq -nc '{source: $s, mount_location: $m}' --arg s "$1" --arg m "$2")")
		shift 2
	done
	annotate weights.ballast.dev "$(printf '%s\n' "${items[@]}" | jq -sc .)"
}

# add_hook [STAGE [OPTION...]]: registers the hook (HOOK, default $BUILD/ballast-hook) as a person's
# hooks.d would, with an explicit environment, and with this test's agent, secrets and shim.
add_hook() {
	local stage=${1:-createRuntime}
	[ $# -eq 0 ] || shift
	bundle_set '.hooks[$stage] += [{path: $hook, timeout: 120, env: $env,
			args: (["ballast-hook"] + $options + [$stage])}]' \
		--arg stage "$stage" --arg hook "${HOOK:-$BUILD/ballast-hook}" \
		--argjson env "${HOOK_ENV:-[\"PATH=/usr/sbin:/usr/bin:/sbin:/bin\"]}" \
		--argjson options "$(json_array --agent="unix:$T/agent.sock" --shim="$BUILD/ballast-shim" \
			--secrets-dir="$T/secrets" --timeout=60s "$@")"
}

# Puts the shim in front of the process.
use_shim() {
	bundle_set '.process.args = ["/run/ballast/shim"] + .process.args'
}

# A container's id that no other test has; `new_id NAME`. Files that run at the same time share their cgroups,
# which have its name, and may have the same pids.
new_id() {
	printf 'bl-%s-%s-%s' "${1:-c}" "$$" "$RANDOM$RANDOM"
}

# run_container [RUNC-OPTIONS...]: runs $BUNDLE in the foreground under bats' run: $status, $output.
# CONTAINER is its id.
run_container() {
	CONTAINER=$(new_id)
	echo "runc $CONTAINER" >>"$T/containers"
	run runc --root "$T/runc" run --bundle "$BUNDLE" "$@" "$CONTAINER"
}

# start_container: runs $BUNDLE detached, its output in $T/ID.log; CONTAINER_PID is its first process.
start_container() {
	CONTAINER=$(new_id)
	echo "runc $CONTAINER" >>"$T/containers"
	runc --root "$T/runc" run --detach --pid-file "$T/$CONTAINER.pid" --bundle "$BUNDLE" "$@" \
		"$CONTAINER" </dev/null >"$T/$CONTAINER.log" 2>&1 3>&- || {
		cat "$T/$CONTAINER.log" >&2
		return 1
	}
	CONTAINER_PID=$(cat "$T/$CONTAINER.pid")
}

# in_container COMMAND...: runc exec in the container of start_container.
in_container() {
	runc --root "$T/runc" exec "$CONTAINER" "$@"
}

# stop_container [SIGNAL]: kills and deletes it.
stop_container() {
	runc --root "$T/runc" kill "$CONTAINER" "${1:-KILL}" &&
		"$FIXTURES/process.py" wait "$CONTAINER_PID" &&
		runc --root "$T/runc" delete --force "$CONTAINER"
}

# ---- Other runtimes, as they need it on machines with both kinds of cgroups

# with_cgroup2 COMMAND...: where cgroup2 alone is mounted.
with_cgroup2() {
	if [ "$(stat --file-system --format=%T /sys/fs/cgroup)" = cgroup2fs ]; then
		"$@"
	else
		# shellcheck disable=SC2016
		unshare --mount --propagation private sh -c \
			'umount --recursive /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@"' -- "$@"
	fi
}

need_crun() {
	need crun
	with_cgroup2 true 2>/dev/null || skip "cgroup2 cannot be mounted here"
}

crun_in_test() {
	with_cgroup2 crun --cgroup-manager=cgroupfs --root "$T/crun" "$@"
}

# Like run_container, by crun.
run_crun() {
	CONTAINER=$(new_id crun)
	echo "crun $CONTAINER" >>"$T/containers"
	run crun_in_test run --bundle "$BUNDLE" "$@" "$CONTAINER"
}

# podman_in_test [--crun|--runc] ARGS...: Podman with its storage and its configuration in $T.
podman_in_test() {
	local runtime=runc
	case $1 in
	--crun | --runc) runtime=${1#--} && shift ;;
	esac
	if [ ! -e "$T/containers.conf" ]; then
		cat >"$T/containers.conf" <<-CONF
			[containers]
			default_ulimits = ["nofile=$(ulimit -Sn):$(ulimit -Hn)", "nproc=$(ulimit -Su):$(ulimit -Hu)"]
			cgroups = "CGROUPS"
			[engine]
			cgroup_manager = "cgroupfs"
			events_logger = "file"
			hooks_dir = ["$T/hooks.d"]
		CONF
		sed 's/CGROUPS/disabled/' "$T/containers.conf" >"$T/containers-crun.conf"
		sed -i 's/CGROUPS/enabled/' "$T/containers.conf"
		mkdir -p "$T/hooks.d"
	fi
	local podman=(podman --root "$T/podman" --runroot "$T/podman-run" --tmpdir "$T/podman-tmp"
		--storage-driver vfs --runtime "$runtime")
	if [ "$runtime" = crun ]; then
		CONTAINERS_CONF=$T/containers-crun.conf with_cgroup2 "${podman[@]}" "$@"
	else
		CONTAINERS_CONF=$T/containers.conf "${podman[@]}" "$@"
	fi
}

# debian_rootfs DIR [PACKAGE...]: a Debian rootfs, made once by mmdebstrap below $BUILD and copied.
debian_rootfs() {
	local to=$1 name tree
	shift
	need mmdebstrap
	name=$(printf '%s-' minbase "$@")
	tree=$BUILD/rootfs/${name%-}
	mkdir -p "$BUILD/rootfs"
	(
		flock 9
		[ -e "$tree.done" ] || {
			rm -rf "$tree"
			mmdebstrap --quiet --variant=minbase --include="$(IFS=, && echo "$*")" bookworm "$tree" \
				>"$tree.log" 2>&1 && touch "$tree.done"
		}
	) 9>"$BUILD/rootfs/lock" || skip "mmdebstrap cannot reach a mirror: $(tail -n 1 "$tree.log")"
	cp -a "$tree" "$to"
}
