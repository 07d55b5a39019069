# SPDX-License-Identifier: Apache-2.0
# The hook with the real agent and the real fetch.

load hook

setup() {
	use_test_dir
	need_built ballastd ballast-fetch
}
teardown() { clean_up; }

# real_bundle COMMAND...: weights out of a directory of this machine.
real_bundle() {
	make_bundle b "$@"
	make_model "$T/model"
	open_way # fetch is not root
	agent_config '.file_roots = [$r]' --arg r "$T/model"
	annotate_weights "file://$T/model" /models/a
	add_hook
}

@test "fetched, verified, mounted; then warm" {
	real_bundle sha256sum /models/a/model.safetensors /models/a/tokenizer/vocab.txt
	start_agent
	run_container
	assert_status 0
	assert_output "$(sha256sum <"$T/model/model.safetensors" | cut -d' ' -f1)"
	run_container
	assert_status 0
	assert_output "$(sha256sum <"$T/model/tokenizer/vocab.txt" | cut -d' ' -f1)"
}

@test "a container that may remount gets a read-only superblock of the real tree" {
	real_bundle sh -c 'grep " /models/a " /proc/self/mountinfo; cat /models/a/config.json'
	bundle_set '.process.capabilities |= with_entries(.value += ["CAP_SYS_ADMIN"])'
	start_agent
	run_container
	assert_status 0
	assert_output "overlay ballast ro"
	assert_output '"model_type":"test"'
}

@test "what the agent says reaches the person: no such directory" {
	real_bundle true
	rm -r "$T/model"
	start_agent
	run_container
	[ "$status" -ne 0 ]
	assert_output "exit status 64"
	[ -z "$(pgrep -x ballast-hook)" ]
}

@test "the hook is killed while it attaches: the agent ends the lease of the container that never ran" {
	need_faults
	real_bundle echo started
	start_agent
	run_container
	assert_output started
	bundle_set 'del(.hooks)'
	HOOK_ENV='["PATH=/usr/bin:/bin","BL_FAULT=move_mount:KILL"]' HOOK=$FAULTS/ballast-hook add_hook
	run_container
	[ "$status" -ne 0 ]
	refute_output started
	# Nothing waits for an end: it is asked for again.
	until agent GET "/v1/containers/$CONTAINER" && [ "$(jq -r .state <<<"$output")" = ended ]; do :; done
}

@test "an ordinary start takes at most 8 MiB" {
	real_bundle true
	annotate docker-server.ballast.dev '{"no_build":true}'
	use_shim
	start_agent
	run_container
	assert_status 0
	R=$BUNDLE/rootfs
	# shellcheck disable=SC2016
	spawn box unshare --mount --propagation private sh -c 'mount --bind "$1" "$1" && echo ready && exec sleep 1000' -- "$R"
	STATE=$(hook_state memory "$(cat "$T/box.pid")")
	run /usr/bin/time -f 'peak %M' "$BUILD/ballast-hook" --agent="unix:$T/agent.sock" --shim="$BUILD/ballast-shim" <<<"$STATE"
	assert_status 0
	[[ $BUILD == */san ]] || [ "$(sed -n 's/^peak //p' <<<"$output")" -le 8192 ] || fail "$output"
}

# ---- Late weights under the other runtimes (under runc: agent_late.bats)

# slow_hub: a Hub whose answers are held back until let_come.
slow_hub() {
	make_model "$T/model"
	start_hub --repo org/model="$T/model"
	agent_config '.environment = {BDN_PROXY: "the proxy"}'
	start_agent
	origin_control "$CDN" faults '[{"match": "repos", "kind": "hold", "times": 640}]'
}

let_come() {
	origin_control "$CDN" faults '[]'
	origin_control "$CDN" release
}

# until_deferred: the shim has shown that it waits.
until_deferred() {
	"$FIXTURES/process.py" line "$T/late.log" 'wait' 60 >/dev/null
}

@test "late under crun: the shim waits, the agent restarts meanwhile, the server gets its weights" {
	need_crun
	slow_hub
	make_bundle b sh -c 'sha256sum /models/a/model.safetensors; echo "by $BDN_PROXY"'
	annotate_weights hf://org/model /models/a
	annotate docker-server.ballast.dev '{"no_build":true}'
	annotate wait.ballast.dev '{"timeout":"1s","on_timeout":"defer"}'
	use_shim
	add_hook
	crun_in_test run --bundle "$BUNDLE" "$(new_id crun)" >"$T/late.log" 2>&1 3>&- </dev/null &
	local crun=$!
	until_deferred
	stop_agent KILL
	start_agent
	let_come
	wait "$crun"
	run cat "$T/late.log"
	assert_output "by the proxy"
	assert_output "$(sha256sum <"$T/model/model.safetensors" | cut -d' ' -f1)"
}

# hooks_d: hooks directories as packaging installs them.
hooks_d() {
	local stage
	mkdir -p "$T/hooks.d"
	for stage in createRuntime precreate; do
		jq -n '{version: "1.0.0", hook: {path: $hook, timeout: 120, env: ["PATH=/usr/bin:/bin"],
				args: ["ballast-hook", "--agent=unix:" + $t + "/agent.sock", "--shim=" + $shim, $stage]},
			when: {annotations: {"\\.ballast\\.dev(/.*)?$": ".*"}}, stages: [$stage]}' \
			--arg hook "$BUILD/ballast-hook" --arg shim "$BUILD/ballast-shim" --arg t "$T" --arg stage "$stage" \
			>"$T/hooks.d/$stage.json"
	done
}

podman_late() {
	need podman
	slow_hub
	hooks_d
	make_rootfs "$T/image"
	printf '%s\n' '{"weights.ballast.dev": "[{\"source\":\"hf://org/model\",\"mount_location\":\"/models/a\"}]",
		"docker-server.ballast.dev": "{\"start_command\":\"sha256sum /models/a/model.safetensors\",\"no_build\":true}",
		"wait.ballast.dev": "{\"timeout\":\"1s\",\"on_timeout\":\"defer\"}"}' >"$T/annotations"
	local arguments=() key
	while read -r key; do
		arguments+=(--annotation "$key")
	done < <(jq -r 'to_entries[] | (.key + "=" + .value) | "\"" + gsub("\""; "\"\"") + "\""' "$T/annotations")
	podman_in_test "--$1" run --rm --network host "${arguments[@]}" --rootfs "$T/image" true \
		>"$T/late.log" 2>&1 3>&- </dev/null &
	local podman=$!
	until_deferred
	let_come
	wait "$podman"
	run cat "$T/late.log"
	assert_output "$(sha256sum <"$T/model/model.safetensors" | cut -d' ' -f1)"
}

@test "late under Podman with runc" {
	podman_late runc
}

@test "late under Podman with crun" {
	need_crun
	podman_late crun
}
