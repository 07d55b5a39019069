# SPDX-License-Identifier: Apache-2.0
# The hook under every runtime that is installed, and what a person there reads when it refuses.

load hook

setup() { use_test_dir; }
teardown() { clean_up; }

# hooks_json FILE STAGES PROGRAM OPTIONS...: a hooks.d file as packaging/ installs it.
hooks_json() {
	local file=$1 stages=$2
	shift 2
	jq -n '{version: "1.0.0", hook: {path: $hook, args: (["ballast-hook"] + $options), timeout: 120,
			env: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]},
		when: {annotations: {"\\.ballast\\.dev(/.*)?$": ".*"}}, stages: ($stages | split(","))}' \
		--arg hook "$BUILD/ballast-hook" --arg stages "$stages" \
		--argjson options "$(json_array --agent="unix:$T/agent.sock" --shim="$BUILD/ballast-shim" \
			--secrets-dir="$T/secrets" "$@")" >"$file"
}

# ---- crun

@test "crun: createRuntime, prestart, both" {
	need_crun
	simple_bundle sh -c 'cat /models/a/model; grep -c " /models/a " /proc/self/mountinfo; touch /models/a/x'
	start_fake
	add_hook
	run_crun
	assert_output "weights of a"
	assert_output "Read-only file system"
	bundle_set 'del(.hooks)'
	add_hook prestart
	run_crun
	assert_output "weights of a"
	add_hook createRuntime
	run_crun
	assert_output "weights of a"
	assert_equal "${lines[1]}" 1
}

@test "crun: shim, secrets, superblock" {
	need_crun
	simple_bundle sh -c 'id -u; cat /models/a/model /secrets/token; grep " /models/a " /proc/self/mountinfo'
	bundle_set '.process.capabilities |= with_entries(.value += ["CAP_SYS_ADMIN"])'
	add_secret default token hush
	annotate secrets.ballast.dev '["token"]'
	annotate docker-server.ballast.dev '{"run_as_user_id":1000}'
	use_shim
	start_fake
	add_hook
	run_crun
	assert_status 0
	assert_output 1000
	assert_output "weights of a"
	assert_output hush
	assert_output "overlay ballast ro"
}

@test "crun: a read-only root and a user namespace" {
	need_crun
	need_user_namespaces
	simple_bundle sh -c 'cat /models/a/model'
	bundle_set '.root.readonly = true'
	start_fake
	add_hook
	run_crun
	assert_status 0
	assert_output "weights of a"
	rm -r "$BUNDLE/rootfs/models"
	chown -R 200000:200000 "$BUNDLE/rootfs"
	bundle_set '.linux.namespaces += [{type: "user"}, {type: "network"}]
		| .linux.uidMappings = [{containerID: 0, hostID: 200000, size: 65536}]
		| .linux.gidMappings = .linux.uidMappings'
	open_way
	run_crun
	assert_status 0
	assert_output "weights of a"
	assert_equal "$(stat -c %u "$BUNDLE/rootfs/models")" 200000
}

@test "crun: what is refused does not start" {
	need_crun
	simple_bundle echo started
	annotate weights.ballast.dev '[{"source":"hf://o/r","mount_location":"/etc"}]'
	add_hook
	run_crun
	[ "$status" -ne 0 ]
	refute_output started
}

# ---- Podman

# podman_setup: an image's root file system, the hooks directory.
podman_setup() {
	need podman
	make_rootfs "$T/image"
	mkdir -p "$T/hooks.d"
	hooks_json "$T/hooks.d/50-ballast.json" createRuntime,poststop "$@"
	make_tree a
	answer /models/a "$T/trees/a"
	start_fake
}

# Podman 4 reads --annotation as one line of CSV: JSON needs quotes around it, and those in it doubled.
csv() {
	case $(podman --version) in
	*' '[1-4].*) printf '"%s"' "${1//\"/\"\"}" ;;
	*) printf '%s' "$1" ;;
	esac
}

weights() {
	csv 'weights.ballast.dev=[{"source":"hf://owner/repo","mount_location":"/models/a"}]'
}

# podman_run RUNTIME OPTIONS-AND-COMMAND...
podman_run() {
	local runtime=$1
	shift
	run podman_in_test "--$runtime" run --rm --network host --rootfs "$@"
}

podman_plain() {
	podman_setup
	podman_run "$1" --annotation "$(weights)" "$T/image" sh -c 'cat /models/a/model; touch /models/a/x'
	assert_output "weights of a"
	assert_output "Read-only file system"
	run jq -r 'select(.method == "DELETE") | .method' "$T/requests"
	assert_output DELETE
}

@test "Podman with runc: weights by annotation" {
	podman_plain runc
}

@test "Podman with crun: weights by annotation" {
	need_crun
	podman_plain crun
}

# Where two directories have a file of one name, Podman takes the later only.
installed_name() {
	basename "$(ls "$TESTS/../packaging/"*"$1"*.json.in)" .in
}

podman_shim() {
	podman_setup
	# Two directories, as docs/runtimes/podman.md has it, and the names under which they are installed.
	mkdir -p "$T/precreate.d"
	rm "$T/hooks.d"/*
	hooks_json "$T/hooks.d/$(installed_name 50)" createRuntime,poststop
	hooks_json "$T/precreate.d/$(installed_name precreate)" precreate precreate
	podman_in_test "--$1" info >/dev/null 2>&1
	sed -i "s|hooks_dir = .*|hooks_dir = [\"$T/hooks.d\", \"$T/precreate.d\"]|" "$T"/containers*.conf
	podman_run "$1" --annotation "$(weights)" \
		--annotation "$(csv 'docker-server.ballast.dev={"start_command":"id -u; cat /models/a/model","run_as_user_id":1000}')" \
		"$T/image" the-command-of-the-image
	assert_status 0
	assert_equal "${lines[0]}" 1000
	assert_output "weights of a"
}

@test "Podman with runc: precreate starts start_command as run_as_user_id, no other option needed" {
	podman_shim runc
}

@test "Podman with crun: the same" {
	need_crun
	podman_shim crun
}

@test "Podman: read-only, with /run as its tmpfs" {
	podman_setup
	hooks_json "$T/hooks.d/40-ballast-precreate.json" precreate precreate
	mkdir -p "$T/image/models/a"
	podman_run runc --read-only --annotation "$(weights)" \
		--annotation "$(csv 'docker-server.ballast.dev={"start_command":"cat /models/a/model","run_as_user_id":1000}')" "$T/image" true
	assert_status 0
	assert_output "weights of a"
}

@test "Podman: its own pods are refused with what to do, and have their weights then" {
	podman_setup
	tar -C "$T/image" -c . | podman_in_test import --quiet --change 'ENTRYPOINT ["/bin/sleep","1000"]' - pause
	podman_in_test pod create --name pod --network host --infra-image pause
	in_pod() { run podman_in_test run --rm --pod pod --annotation "$(weights)" --rootfs "$T/image" cat /models/a/model; }
	in_pod
	[ "$status" -ne 0 ]
	assert_output "exit status 77"
	assert_output "for pods of Podman's own give the hook --runtime=none"
	hooks_json "$T/hooks.d/50-ballast.json" createRuntime,poststop --runtime=none
	in_pod
	assert_status 0
	assert_output "weights of a"
	podman_in_test pod rm --force --time 0 pod
}

@test "Podman --privileged gets a superblock of its own" {
	podman_setup
	podman_run runc --privileged --annotation "$(weights)" "$T/image" \
		sh -c 'grep " /models/a " /proc/self/mountinfo; mount -o remount,rw /models/a'
	assert_output "overlay ballast ro"
	[ "$status" -ne 0 ]
}

# podman_killed RUNTIME WHOM: while the hook waits, WHOM (the hook's parent, or the container) is killed.
podman_killed() {
	podman_setup --timeout=60s
	answer_pending
	podman_in_test "--$1" run --rm --network host --annotation "$(weights)" --rootfs "$T/image" echo started \
		>"$T/run.out" 2>&1 3>&- </dev/null &
	local podman=$! hook victim
	"$FIXTURES/process.py" line "$T/requests" PUT >/dev/null
	hook=$(pgrep -x ballast-hook)
	victim=$(ps -o ppid= -p "$hook")
	[ "$2" = runtime ] || victim=$(jq -r .body.pid "$T/requests" | head -n 1)
	kill -KILL "$victim"
	"$FIXTURES/process.py" wait "$hook" 10
	! wait "$podman" || fail "it started"
	run cat "$T/run.out"
	refute_output started
	refute_hook_runs
}

@test "Podman with runc: the runtime is killed while the hook waits" {
	podman_killed runc runtime
}

@test "Podman with crun: the container's init dies while the hook waits" {
	need_crun
	podman_killed crun container
}

# ---- What a person reads

# reads TEXT COMMAND...: the command fails and TEXT is in what it prints.
reads() {
	local text=$1
	shift
	run "$@"
	[ "$status" -ne 0 ] || fail "it started: $output"
	assert_output "$text"
}

@test "runc prints the reason: wrong annotation, no agent, timeout" {
	simple_bundle true
	add_hook createRuntime --timeout=1s
	CONTAINER=$(new_id)
	reads "start ballastd" runc --root "$T/runc" run --bundle "$BUNDLE" "$CONTAINER"
	answer_pending
	start_fake
	reads "are not there after 1 s" runc --root "$T/runc" run --bundle "$BUNDLE" "$CONTAINER"
	annotate weights.ballast.dev '[{"source":"hf://o/r"}]'
	reads "mount_location" runc --root "$T/runc" run --bundle "$BUNDLE" "$CONTAINER"
}

@test "crun prints the reason, or its hook's annotation names the file that has it" {
	need_crun
	simple_bundle true
	add_hook createRuntime --timeout=1s
	bundle_set '.annotations["run.oci.hooks.stderr"] = $f' --arg f "$T/hooks.log"
	touch "$T/hooks.log"
	CONTAINER=$(new_id crun)
	run crun_in_test run --bundle "$BUNDLE" "$CONTAINER"
	[ "$status" -ne 0 ]
	run cat "$T/hooks.log"
	assert_output "start ballastd"
	answer_pending
	start_fake
	run crun_in_test run --bundle "$BUNDLE" "$CONTAINER"
	run cat "$T/hooks.log"
	assert_output "are not there after 1 s"
	annotate weights.ballast.dev '[{"source":"hf://o/r"}]'
	run crun_in_test run --bundle "$BUNDLE" "$CONTAINER"
	run cat "$T/hooks.log"
	assert_output "mount_location"
}

@test "Podman prints the reason with runc" {
	podman_setup --timeout=1s
	answer_pending
	podman_run runc --annotation "$(weights)" "$T/image" true
	[ "$status" -ne 0 ]
	assert_output "are not there after 1 s"
	podman_run runc --annotation "$(csv 'weights.ballast.dev=[{"source":"hf://o/r"}]')" "$T/image" true
	assert_output "mount_location"
	kill "$(cat "$T/fake.pid")"
	"$FIXTURES/process.py" wait "$(cat "$T/fake.pid")"
	podman_run runc --annotation "$(weights)" "$T/image" true
	assert_output "start ballastd"
}

# What a runtime throws away is in the system's log: with_log COMMAND... has one at /dev/log, whose
# lines are in $T/log.
with_log() {
	local node
	mkdir -p "$T/dev/shm" "$T/dev/pts"
	for node in null zero full random urandom tty; do
		[ -e "$T/dev/$node" ] || cp -a "/dev/$node" "$T/dev/$node"
	done
	[ -e "$T/log" ] || spawn log "$FIXTURES/process.py" datagrams "$T/dev/log" "$T/log"
	# shellcheck disable=SC2016
	run unshare --mount --propagation private sh -c 'mount --bind "$0" /dev && exec "$@"' "$T/dev" "$@"
}

@test "the system's log has the reason too: precreate, whose words Podman throws away" {
	simple_bundle true
	annotate docker-server.ballast.dev '{"run_as_user_id":0}'
	with_log "$BUILD/ballast-hook" precreate <"$BUNDLE/config.json"
	assert_status 64
	run "$FIXTURES/process.py" line "$T/log" 'run_as_user_id: 0 .root. is not allowed' 10
	assert_status 0
	assert_output "<27>ballast-hook"
}

@test "the system's log says which container it was" {
	need_crun
	simple_bundle true
	annotate weights.ballast.dev '[{"source":"hf://o/r"}]'
	add_hook
	with_log bash -c '. "$1/lib.bash"; T=$2 crun_in_test run --bundle "$3" some-name' x "$TESTS/system" "$T" "$BUNDLE"
	[ "$status" -ne 0 ]
	run "$FIXTURES/process.py" line "$T/log" 'mount_location: is required container=some-name$' 10
	assert_status 0
}

@test "Podman does not start what precreate refuses" {
	podman_setup
	hooks_json "$T/hooks.d/40-ballast-precreate.json" precreate precreate
	podman_run runc --annotation "$(csv 'docker-server.ballast.dev={"run_as_user_id":0}')" "$T/image" echo started
	[ "$status" -ne 0 ]
	refute_output started
	assert_output "exit status 64"
}

# ---- containerd

# A containerd of the test's own; ctr_in_test talks to it.
start_containerd() {
	need containerd ctr
	cat >"$T/containerd.toml" <<-CONF
		version = 2
		root = "$T/ctd-root"
		state = "$T/ctd-state"
		disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
		[grpc]
		  address = "$T/ctd.sock"
		[ttrpc]
		  address = "$T/ctd.sock.ttrpc"
	CONF
	containerd --config "$T/containerd.toml" >"$T/containerd.log" 2>&1 3>&- </dev/null &
	echo $! >>"$T/pids"
	"$FIXTURES/process.py" path "$T/ctd.sock" 30
}

ctr_in_test() {
	ctr --address "$T/ctd.sock" --namespace ballast "$@"
}

@test "containerd through ctr: weights, shim, what it prints when the hook refuses" {
	start_containerd
	simple_bundle sh -c 'id -u; cat /models/a/model'
	annotate docker-server.ballast.dev '{"run_as_user_id":1000}'
	use_shim
	start_fake
	add_hook
	bundle_set '.root.path = $r' --arg r "$BUNDLE/rootfs"
	run ctr_in_test run --rm --config "$BUNDLE/config.json" "$(new_id ctr)"
	assert_status 0
	assert_equal "${lines[0]}" 1000
	assert_output "weights of a"
	annotate weights.ballast.dev '[{"source":"hf://o/r"}]'
	run ctr_in_test run --rm --config "$BUNDLE/config.json" "$(new_id ctr)"
	[ "$status" -ne 0 ]
	assert_output "mount_location"
}

@test "containerd: the base specification of docs/runtimes/containerd.md has the hooks, and none of ctr's limits" {
	need ctr
	sed -n '/^```sh/,/^```/p; /^```toml/q' "$TESTS/../docs/runtimes/containerd.md" | grep -v '^```' |
		sed "s|/etc/containerd|$T|g" >"$T/register"
	bash -e "$T/register"
	# Containers of the ordinary runtime have containerd's own; those of ctr may open 1024 files.
	assert_equal "$(jq -c '[.process.rlimits, (.hooks | keys)]' "$T/ballast-base.json")" \
		'[null,["createRuntime","poststop"]]'
}
