#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Late attach: a real container whose shim waits at the gate, weights that come after its hook.

load lib
load agent

setup() {
	use_test_dir
	make_model "$T/model"
	start_hub --repo org/model="$T/model" --repo org/other="$T/model"
	start_agent
	origin_control "$CDN" faults '[{"match": "repos", "kind": "hold", "times": 640}]'
}
teardown() { clean_up; }

# late_bundle COMMAND: waits for its weights, then runs the command.
late_bundle() {
	make_bundle box sh -c "$1"
	annotate_weights hf://org/model /models/a hf://org/other /models/b
	annotate docker-server.ballast.dev '{"no_build":true}'
	annotate wait.ballast.dev '{"timeout":"1s","on_timeout":"defer"}'
	use_shim
	add_hook
}

let_come() {
	origin_control "$CDN" faults '[]'
	origin_control "$CDN" release
}

@test "late: the weights come, the shim starts the server with them, read-only" {
	late_bundle 'sha256sum /models/a/model.safetensors /models/b/config.json; touch /models/a/x
		grep " /models/a " /proc/self/mountinfo | tail -n 1; echo end'
	start_container
	agent GET /v1/containers
	assert_equal "$(answer '.containers[0].state')" pending
	before=$(mount_table)
	let_come
	"$FIXTURES/process.py" line "$T/$CONTAINER.log" '^end$' >/dev/null
	run cat "$T/$CONTAINER.log"
	assert_output "$(sha256sum <"$T/model/model.safetensors" | cut -d' ' -f1)  /models/a/model.safetensors"
	assert_output "$(sha256sum <"$T/model/config.json" | cut -d' ' -f1)  /models/b/config.json"
	assert_output "Read-only file system"
	assert_output "/models/a ro,nosuid,nodev,noexec,relatime"
	grep -q "attached late" "$T/agent.log"
	assert_equal "$(mount_table)" "$before"
}

@test "late: --allow-exec leaves noexec out, and nothing else" {
	late_bundle 'grep " /models/a " /proc/self/mountinfo | tail -n 1; echo end'
	bundle_set 'del(.hooks)'
	add_hook createRuntime --allow-exec
	start_container
	let_come
	"$FIXTURES/process.py" line "$T/$CONTAINER.log" '^end$' >/dev/null
	run cat "$T/$CONTAINER.log"
	assert_output "/models/a ro,nosuid,nodev,relatime"
}

@test "late: with CAP_SYS_ADMIN the weights are a read-only superblock" {
	late_bundle 'grep " /models/a " /proc/self/mountinfo; mount -o remount,rw /models/a; touch /models/a/x; echo end'
	bundle_capabilities CAP_SYS_ADMIN CAP_SETUID CAP_SETGID
	start_container
	let_come
	"$FIXTURES/process.py" line "$T/$CONTAINER.log" '^end$' >/dev/null
	run cat "$T/$CONTAINER.log"
	assert_output "overlay"
	[ -z "$(find "$T/cache/trees" -name x)" ]
}

@test "late: the agent restarts while the shim waits, and again after the attach" {
	late_bundle 'ls /models/a; echo end; sleep 1000'
	start_container
	stop_agent KILL
	start_agent
	wait_restored() { agent GET "/v1/containers/$CONTAINER"; assert_equal "$(answer .state)" "$1"; }
	wait_restored pending
	let_come
	"$FIXTURES/process.py" line "$T/$CONTAINER.log" '^end$' >/dev/null
	stop_agent
	start_agent
	wait_restored ready
	"$FIXTURES/process.py" line "$T/agent.log" 'attached late.*' >/dev/null
	run cat "$T/$CONTAINER.log"
	assert_output "model.safetensors"
	assert_equal "$(grep -c ' /models/a ' "/proc/$CONTAINER_PID/mountinfo")" 2
}

@test "late: half a line that an agent left in the gate when it died is void" {
	late_bundle 'cat /models/a/config.json; echo end'
	start_container
	stop_agent KILL
	# Held open: the shim sees no end of file, at which it would forget the half line by itself.
	exec 9<>"/proc/$CONTAINER_PID/root/run/ballast/gate"
	printf 'progress 1' >&9
	start_agent
	let_come
	"$FIXTURES/process.py" line "$T/$CONTAINER.log" '^end$' >/dev/null
	exec 9>&-
	run cat "$T/$CONTAINER.log"
	assert_output "$(cat "$T/model/config.json")"
}

@test "late: a server whose working directory is its weights is in them" {
	late_bundle 'pwd; cat config.json; echo end'
	bundle_set '.process.cwd = "/models/a"'
	start_container
	let_come
	"$FIXTURES/process.py" line "$T/$CONTAINER.log" '^end$' >/dev/null
	run cat "$T/$CONTAINER.log"
	assert_output "/models/a
$(cat "$T/model/config.json")"
	# In one of their directories no runtime could start it: that is said, and not tried where it need not be.
	bundle_set '.process.cwd = "/models/a/tokenizer"'
	run_container
	[ "$status" -ne 0 ]
	assert_output "lies in weights"
	annotate wait.ballast.dev '{"timeout":"20s"}'
	run_container
	assert_status 0
	assert_output "/models/a/tokenizer"
}

@test "late: an agent that may not enter containers takes over no waiting" {
	need setpriv
	local cap
	for cap in sys_admin sys_chroot; do
		stop_agent
		printf '#!/bin/sh\nexec setpriv --bounding-set -%s --inh-caps -%s %q "$@"\n' "$cap" "$cap" "$BUILD/ballastd" >"$T/less"
		chmod +x "$T/less"
		AGENT=$T/less start_agent
		rm -rf "$T/box"
		late_bundle 'echo never'
		[ "$cap" = sys_chroot ] || annotate wait.ballast.dev '{"timeout":"20s","on_timeout":"defer"}'
		CONTAINER=$(new_id)
		echo "runc $CONTAINER" >>"$T/containers"
		run timeout --signal KILL 30 runc --root "$T/runc" run --bundle "$BUNDLE" "$CONTAINER"
		[ "$status" -ne 0 ] && [ "$status" -ne 137 ] || fail "it waits for ever, or started: $output"
		refute_output never
		[ "$cap" = sys_admin ] || assert_output "may not enter containers"
	done
}

@test "late: what a runtime has mounted over itself is no hindrance" {
	late_bundle 'cat /models/a/config.json; echo end'
	bundle_set '.linux.readonlyPaths += ["/models", "/run"]'
	start_container
	let_come
	"$FIXTURES/process.py" line "$T/$CONTAINER.log" '^end$' >/dev/null
	run cat "$T/$CONTAINER.log"
	assert_output "$(cat "$T/model/config.json")"
}

@test "late: nor is it where the weights lie deeper in that, and behind a link" {
	late_bundle 'cat /opt/models/a/config.json; echo middle; cat /opt/current/b/config.json; echo end'
	mkdir -p "$BUNDLE/rootfs/opt/other/deep"
	ln -s .././opt/./models/../other/deep/. "$BUNDLE/rootfs/opt/current"
	mkdir "$BUNDLE/rootfs/opt/models"
	annotate_weights hf://org/model /opt/models/a hf://org/other /opt/current/b
	bundle_set '.linux.readonlyPaths += ["/opt", "/run"]'
	start_container
	let_come
	"$FIXTURES/process.py" line "$T/$CONTAINER.log" '^end$|^ballast-shim' 20 >/dev/null
	run cat "$T/$CONTAINER.log" "$T/agent.log"
	assert_output "$(cat "$T/model/config.json")
middle
$(cat "$T/model/config.json")
end"
}

@test "late: weights that fail are told, and the shim ends with 125" {
	late_bundle 'echo never'
	origin_control "$CDN" faults '[{"match": "repos", "kind": "hold"}, {"match": "repos", "kind": "flip"}]'
	start_container
	# What does not verify is asked for again, and is not to be held again.
	origin_control "$CDN" faults '[{"match": "repos", "kind": "flip"}]'
	origin_control "$CDN" release
	"$FIXTURES/process.py" wait "$CONTAINER_PID"
	run cat "$T/$CONTAINER.log"
	assert_output "not what the origin promised"
	refute_output "never"
}

@test "late: a container that puts a daemon of its own in the way holds up nobody else" {
	need_fuse
	late_bundle 'echo never'
	start_container
	kill -STOP "$CONTAINER_PID" # it would look for the gate itself
	spawn before "$FIXTURES/fuse.py" --into "$CONTAINER_PID" /run/ballast
	spawn models "$FIXTURES/fuse.py" --into "$CONTAINER_PID" /models
	# The next agent has to find the gate.
	stop_agent KILL
	let_come
	start_agent
	"$FIXTURES/process.py" line "$T/agent.log" '.*/run/ballast.*' >/dev/null
	stop_container
	wait_state "$CONTAINER" ended
	assert_equal "$(cat "$T/before.log" "$T/models.log")" ""
}

@test "late: a defer that does not fit is refused" {
	new_process
	put c1 default "$(items hf://org/model)" 0
	expect_code 202
	mount='{"mount_location":"/models/m","kind":"directory","readonly_superblock":false,"exec":false,"placeholder_dev":1,"placeholder_ino":2}'
	for bad in '{}' '{"mounts":[]}' '{"mounts":[{}]}' '{"mounts":[1]}' \
		"{\"mounts\":[${mount/models/elsewhere}]}" "{\"mounts\":[$mount,$mount]}" \
		"{\"mounts\":[${mount/directory/file}]}" "{\"mounts\":[${mount/\"exec\"/\"x\"}]}"; do
		agent POST /v1/containers/c1/defer "$bad"
		expect_code 400
	done
	agent POST /v1/containers/c2/defer "{\"mounts\":[$mount]}"
	expect_code 404
	agent POST /v1/containers/c1/defer "{\"mounts\":[$mount]}"
	expect_code 202
	agent POST /v1/containers/c1/defer "{\"mounts\":[$mount]}"
	expect_code 202
	agent POST /v1/containers/c1/defer "{\"mounts\":[${mount/2\}/3\}}]}"
	expect_code 409
	new_process
	put c3 default "$(items hf://org/model | jq -c '. + [.[0] | .mount_location = "/models/n"]')" 0
	agent POST /v1/containers/c3/defer "{\"mounts\":[$mount,$mount]}"
	expect_code 400
	assert_output "/models/n"
	# That process has no gate, and no mount namespace of its own: nothing is ever attached.
	let_come
	wait_state c1 ready
	assert_equal "$(grep -c /models/m /proc/self/mountinfo)" 0
}

# pod_agent: ballastd as in a Pod with hostPID: another root in a mount namespace of its own, which has
# the programs, this test's directory at its own path, and nothing else of the host.
pod_agent() {
	cat >"$T/pod" <<-END
		#!/bin/bash
		set -e
		if [ -z "\${IN_POD:-}" ]; then
			IN_POD=1 exec unshare --mount --propagation private "\$0" "\$@"
		fi
		mkdir -p "$T/pod-root"
		mount -t tmpfs pod "$T/pod-root"
		cd "$T/pod-root"
		cp -P /bin /sbin /lib /lib64 . 2>/dev/null || true
		mkdir -p old
		for dir in /usr /etc /proc /dev "\$(dirname "\$NOTIFY_SOCKET")" "$BUILD" "$T"; do
			mkdir -p "./\$dir"
			mount --rbind "\$dir" "./\$dir"
		done
		pivot_root . old
		umount -l /old
		cd /
		exec "$BUILD/ballastd" "\$@"
	END
	chmod 755 "$T/pod"
	stop_agent
	AGENT=$T/pod start_agent
	[ "$(readlink "/proc/$AGENT_PID/ns/mnt")" != "$(readlink /proc/self/ns/mnt)" ]
	[ ! -e "/proc/$AGENT_PID/root/sys" ]
}

@test "late: the agent in a mount namespace of its own, as in a Pod: at once, late, and for the privileged" {
	local capabilities
	pod_agent
	before=$(mount_table)
	for capabilities in CAP_CHOWN CAP_SYS_ADMIN; do
		late_bundle 'sha256sum /models/a/model.safetensors /models/b/config.json; touch /models/a/x; echo end'
		bundle_capabilities "$capabilities" CAP_SETUID CAP_SETGID CAP_SETPCAP
		start_container
		let_come
		"$FIXTURES/process.py" line "$T/$CONTAINER.log" '^end$' >/dev/null
		run cat "$T/$CONTAINER.log"
		assert_output "$(sha256sum <"$T/model/model.safetensors" | cut -d' ' -f1)  /models/a/model.safetensors"
		assert_output "$(sha256sum <"$T/model/config.json" | cut -d' ' -f1)  /models/b/config.json"
		assert_output "Read-only file system"
		rm -rf "$BUNDLE"
	done
	# The second found all in the cache: its hook attached it.
	assert_equal "$(grep -c "attached late" "$T/agent.log")" 1
	assert_equal "$(mount_table)" "$before"
}

# LATE_FAULTS=all tries every call; by default those that decide.
late_faults() {
	local call nth what
	for call in move_mount setns openat2 statx open_tree mount_setattr; do
		echo "$call:EPERM:1" "$call:KILL:1"
	done
	echo move_mount:EIO:2 move_mount:KILL:2
	[ "${LATE_FAULTS:-}" = all ] || return 0
	for call in openat openat2 fstat fstatat statx open_tree mount_setattr move_mount setns unshare fchdir \
		pidfd_open read umount2 fsopen fsconfig fsmount; do
		for nth in 1 2 3 4 5; do
			for what in EIO ENOMEM EMFILE KILL; do
				echo "$call:$what:$nth"
			done
		done
	done
}

@test "late: a gate that cannot be opened at once is looked at again" {
	need_faults
	stop_agent
	late_bundle 'test -s /models/a/model.safetensors && echo whole; echo end'
	BL_LATE_GATE_FAULT=openat2:ENOMEM:1 AGENT=$FAULTS/ballastd start_agent
	start_container
	let_come
	"$FIXTURES/process.py" wait "$CONTAINER_PID"
	grep -qx whole "$T/$CONTAINER.log" || fail "$(cat "$T/$CONTAINER.log")"
}

@test "late: whatever call of the attach fails, or wherever it is killed, no server runs without its weights" {
	need_faults
	local rule rules good=0 refused=0
	mapfile -t rules < <(late_faults | tr ' ' '\n')
	stop_agent
	late_bundle 'test -s /models/a/model.safetensors && test -s /models/b/config.json && echo whole || echo LACKS; echo end'
	bundle_set '.annotations["wait.ballast.dev"] = "{\"timeout\":\"200ms\",\"on_timeout\":\"defer\"}"'
	before=$(mount_table)
	for rule in "${rules[@]}"; do
		rm -rf "$T/cache"
		origin_control "$CDN" faults '[{"match": "repos", "kind": "hold", "times": 640}]'
		BL_LATE_FAULT=$rule AGENT=$FAULTS/ballastd start_agent
		start_container
		let_come
		"$FIXTURES/process.py" wait "$CONTAINER_PID"
		if grep -qx whole "$T/$CONTAINER.log"; then
			good=$((good + 1))
		else
			grep -q '^ballast: error: ' "$T/$CONTAINER.log" || fail "$rule: $(cat "$T/$CONTAINER.log")"
			! grep -qx end "$T/$CONTAINER.log" || fail "$rule: it ran: $(cat "$T/$CONTAINER.log")"
			refused=$((refused + 1))
		fi
		! grep -q LACKS "$T/$CONTAINER.log" || fail "$rule: it ran without its weights"
		runc --root "$T/runc" delete --force "$CONTAINER"
		stop_agent
		assert_equal "$(mount_table)" "$before"
	done
	echo "$good ran whole, $refused were refused"
	[ "$good" -gt 0 ] && [ "$refused" -gt 0 ]
}
