# SPDX-License-Identifier: Apache-2.0
# The hook waits: for how long, what it then does, and what ends the wait at once.

load hook

setup() { use_test_dir; }
teardown() { clean_up; }

# waiting_bundle [COMMAND...]: weights that are never ready, the shim in front.
waiting_bundle() {
	simple_bundle "${@:-true}"
	answer_pending
	start_fake
}

# The hook that runs. One that was killed before may still wait to be reaped.
hook_pid() {
	pgrep -x --runstates R,S,D,T,t ballast-hook
}

# In the background: `runc run`; returns when the agent has the hook's first request.
run_waiting() {
	CONTAINER=$(new_id)
	echo "runc $CONTAINER" >>"$T/containers"
	runc --root "$T/runc" run --bundle "$BUNDLE" "$CONTAINER" >"$T/run.log" 2>&1 3>&- </dev/null &
	RUN_PID=$!
	"$FIXTURES/process.py" line "$T/requests" PUT >/dev/null || fail "$(cat "$T"/*.log)"
	HOOK_PID=$(hook_pid)
}

@test "fail: 75 at the timeout, and the message says what to do" {
	waiting_bundle
	add_hook createRuntime --timeout=1s --on-timeout=fail
	run_container
	[ "$status" -ne 0 ]
	assert_output "exit status 75"
	assert_output "longer --timeout"
	refute_hook_runs
}

@test "without the shim the default is to fail" {
	waiting_bundle
	add_hook createRuntime --timeout=1s
	run_container
	assert_output "exit status 75"
}

@test "the annotation shortens the operator's timeout and cannot lengthen it" {
	waiting_bundle
	annotate wait.ballast.dev '{"timeout":"1s"}'
	add_hook createRuntime
	run_container
	assert_output "not there after 1 s"
	assert_output "give wait.ballast.dev a longer timeout"
	annotate wait.ballast.dev '{"timeout":"1h"}'
	bundle_set 'del(.hooks)'
	add_hook createRuntime --timeout=1s
	run_container
	assert_output "not there after 1 s"
	assert_output "longer --timeout"
}

@test "progress lines while it waits" {
	waiting_bundle
	sleep 1000 3>&- &
	echo $! >>"$T/pids"
	STATE=$(hook_state x $!)
	run hook_alone --timeout=2s
	assert_status 75
	assert_output "waiting for the weights: 5 B of 10 B, 977 KiB/s"
	answer_pending 0
	run hook_alone --timeout=2s
	assert_output "waiting for the weights: asking the origin"
}

@test "defer: placeholders, the gate, the agent told which; the shim waits and obeys SIGTERM" {
	waiting_bundle true
	annotate docker-server.ballast.dev '{"no_build":true}'
	annotate wait.ballast.dev '{"timeout":"1s","on_timeout":"defer"}'
	use_shim
	add_hook
	start_container
	local root=/proc/$CONTAINER_PID/root
	[ -p "$root/run/ballast/gate" ]
	assert_equal "$(ls -A "$root/models/a")" ""
	run jq -c 'select(.method == "POST") | .body.mounts[0] | [.mount_location, .kind, .readonly_superblock, .exec,
		.placeholder_ino]' "$T/requests"
	assert_output "$(jq -nc --argjson i "$(stat -c %i "$root/models/a")" '["/models/a", "directory", false, false, $i]')"
	run jq -c 'select(.method == "POST") | .body.mounts[0].placeholder_dev' "$T/requests"
	assert_equal "$output" "$(stat -c %d "$root/models/a")"
	run jq -r 'select(.method == "POST") | .target' "$T/requests"
	assert_equal "$output" "/v1/containers/$CONTAINER/defer"
	run touch "$root/models/a/x"
	assert_output "Read-only"
	runc --root "$T/runc" kill "$CONTAINER" TERM
	"$FIXTURES/process.py" wait "$CONTAINER_PID"
}

@test "defer: an agent that hangs while the waiting is handed over does not hold the hook beyond its time" {
	simple_bundle true
	answer_pending
	start_fake hangdefer
	annotate docker-server.ballast.dev '{"no_build":true}'
	annotate wait.ballast.dev '{"on_timeout":"defer"}'
	use_shim
	spawn box unshare --mount --propagation private sh -c 'mount --bind "$1" "$1" && echo ready && exec sleep 1000' -- "$BUNDLE/rootfs"
	STATE=$(hook_state x "$(cat "$T/box.pid")")
	run timeout --signal=KILL 9 "$BUILD/ballast-hook" --agent="unix:$T/agent.sock" --shim="$BUILD/ballast-shim" \
		--secrets-dir="$T/secrets" --timeout=1s <<<"$STATE"
	assert_status 75
	assert_output "hand the waiting over"
}

@test "defer: the shortest time hands over too" {
	waiting_bundle true
	annotate docker-server.ballast.dev '{"no_build":true}'
	annotate wait.ballast.dev '{"timeout":"1ms","on_timeout":"defer"}'
	use_shim
	add_hook
	for _ in {1..4}; do
		start_container
		stop_container
	done
}

# As on a busy machine: the state is there, and the hook comes to it when its time is over.
@test "a state that was there in time is read, however late" {
	need_faults
	local hook
	waiting_bundle true
	annotate docker-server.ballast.dev '{"no_build":true}'
	use_shim
	# shellcheck disable=SC2016
	spawn box unshare --mount --propagation private sh -c 'mount --bind "$1" "$1" && echo ready && exec sleep 1000' -- "$BUNDLE/rootfs"
	STATE=$(hook_state x "$(cat "$T/box.pid")")
	mkfifo "$T/gate"
	BL_FAULT=read:WAIT:1 BL_FAULT_GATE=$T/gate HOOK=$FAULTS/ballast-hook hook_alone --timeout=1ms >"$T/said" 2>&1 3>&- &
	hook=$!
	exec 9>"$T/gate"                      # returns when the hook is there
	"$FIXTURES/process.py" path "$T/gate" # a program takes longer than a millisecond
	exec 9>&-
	status=0
	wait "$hook" || status=$?
	output=$(cat "$T/said")
	assert_status 0
	assert_output "handed the waiting to the shim"
}

@test "defer, registered under two stages: the placeholders of the first stand" {
	waiting_bundle true
	annotate docker-server.ballast.dev '{"no_build":true}'
	annotate wait.ballast.dev '{"timeout":"1s","on_timeout":"defer"}'
	use_shim
	add_hook prestart
	add_hook createRuntime
	start_container
	local root=/proc/$CONTAINER_PID/root
	run jq -c 'select(.method == "POST") | .body.mounts[0].placeholder_ino' "$T/requests"
	assert_equal "$(sort -u <<<"$output")" "$(stat -c %i "$root/models/a")"
	assert_equal "$(grep -c ' /models/a ' "/proc/$CONTAINER_PID/mountinfo")" 1
}

@test "defer without the shim is a wrong annotation" {
	waiting_bundle
	annotate wait.ballast.dev '{"on_timeout":"defer"}'
	add_hook
	run_container
	assert_output "exit status 64"
	assert_output "needs the shim"
}

@test "the runtime is killed: the hook leaves at once" {
	waiting_bundle
	add_hook
	run_waiting
	# The parent of the hook is the runc that makes the container.
	kill -KILL "$(ps -o ppid= -p "$HOOK_PID")"
	"$FIXTURES/process.py" wait "$HOOK_PID" 10
	refute_hook_runs
}

@test "the container's init dies: the hook leaves at once" {
	waiting_bundle
	add_hook
	run_waiting
	kill -KILL "$(jq -r .body.pid "$T/requests" | head -n 1)"
	"$FIXTURES/process.py" wait "$HOOK_PID" 10
	wait "$RUN_PID" || true
	assert_equal "$(cat "$T/run.log" | grep -c 'container or its runtime is gone')" 1
}

# crun_waiting: as run_waiting, by crun.
crun_waiting() {
	: >"$T/requests"
	CONTAINER=$(new_id crun)
	echo "crun $CONTAINER" >>"$T/containers"
	crun_in_test run --bundle "$BUNDLE" "$CONTAINER" >"$T/run.log" 2>&1 3>&- </dev/null &
	RUN_PID=$!
	"$FIXTURES/process.py" line "$T/requests" PUT >/dev/null || fail "$(cat "$T"/*.log)"
	HOOK_PID=$(hook_pid)
}

@test "under crun: the runtime is killed, or the container's init dies: the hook leaves at once" {
	need_crun
	waiting_bundle echo started
	add_hook
	# Of two children that end at once crun 1.8 may hear of one only, the init: it waits for the hook, which
	# has ended, until the hook's time is up.
	bundle_set '.hooks.createRuntime[].timeout = 60'
	crun_waiting
	kill -KILL "$(ps -o ppid= -p "$HOOK_PID")"
	"$FIXTURES/process.py" wait "$HOOK_PID" 10
	wait "$RUN_PID" || true
	crun_waiting
	kill -KILL "$(jq -r .body.pid "$T/requests" | head -n 1)"
	"$FIXTURES/process.py" wait "$HOOK_PID" 10
	! wait "$RUN_PID" || fail "it started"
	run cat "$T/run.log"
	refute_output started
	refute_hook_runs
}

@test "runc delete --force of a container whose shim waits ends all of it" {
	waiting_bundle true
	annotate docker-server.ballast.dev '{"no_build":true}'
	annotate wait.ballast.dev '{"timeout":"1s"}'
	use_shim
	add_hook
	start_container
	runc --root "$T/runc" delete --force "$CONTAINER"
	"$FIXTURES/process.py" wait "$CONTAINER_PID"
	refute_hook_runs
}

@test "runc delete --force of a container in creation: it never starts" {
	waiting_bundle echo started
	add_hook
	run_waiting
	runc --root "$T/runc" delete --force "$CONTAINER" || true
	# runc 1.1 knows no process of such a container yet, and only forgets it.
	answer /models/a "$T/trees/a"
	wait "$RUN_PID" || true
	run cat "$T/run.log"
	refute_output started
	refute_hook_runs
}

@test "the agent restarts: the hook goes on with the next one" {
	simple_bundle cat /models/a/model
	answer_pending
	start_fake
	add_hook
	run_waiting
	"$FIXTURES/process.py" line "$T/requests" '(?s)PUT' >/dev/null
	kill -KILL "$(cat "$T/fake.pid")"
	"$FIXTURES/process.py" wait "$(cat "$T/fake.pid")"
	answer /models/a "$T/trees/a"
	start_fake
	wait "$RUN_PID"
	assert_equal "$(tail -n 1 "$T/run.log")" "weights of a"
}

@test "the agent goes away for good after the first contact: 69 at the deadline" {
	waiting_bundle
	kill "$(cat "$T/fake.pid")"
	"$FIXTURES/process.py" wait "$(cat "$T/fake.pid")"
	start_fake break
	sleep 1000 3>&- &
	echo $! >>"$T/pids"
	STATE=$(hook_state x $!)
	run hook_alone --timeout=3s
	assert_status 69
	assert_output "connection to the agent"
}

@test "never contacted: no retry, 69 at once" {
	simple_bundle true
	sleep 1000 3>&- &
	echo $! >>"$T/pids"
	STATE=$(hook_state x $!)
	run hook_alone --timeout=1h
	assert_status 69
}

@test "standard input that never ends is not waited for longer than the timeout" {
	simple_bundle true
	mkfifo "$T/never"
	exec 7<>"$T/never"
	run "$BUILD/ballast-hook" --agent="unix:$T/agent.sock" --timeout=1s <&7 7<&-
	exec 7<&-
	assert_status 64
	assert_output "does not end"
}
