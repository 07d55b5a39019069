#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The main job with nothing made up: runc, hook, shim, agent, fetch, and the Hub's protocol.

load lib

setup() {
	use_test_dir
	need_root
	need_built ballastd ballast-fetch ballast-hook ballast-shim
	make_model "$T/model" 3000000
}
teardown() { clean_up; }

# A hub with that model, an agent, and a bundle that reads it under the shim as uid 1000.
whole_path() {
	start_hub --repo org/model="$T/model" "$@"
	start_agent
	server_bundle server hf://org/model /models/m
}

# server_bundle NAME SOURCE LOCATION [COMMAND]
server_bundle() {
	make_bundle "$1" true
	annotate_weights "$2" "$3"
	annotate docker-server.ballast.dev "$(jq -nc --arg c "${4:-sha256sum /models/m/model.safetensors}" \
		'{start_command: $c, run_as_user_id: 1000, no_build: true}')"
	use_shim
	add_hook
}

model_digest() { sha256sum <"$T/model/model.safetensors" | cut -d' ' -f1; }

# Bytes of all bodies that came from the CDN: the large files.
cdn_bytes() { origin_stats "$HUB" '[.bytes | to_entries[] | select(.key | startswith("/repos/")).value] | add // 0'; }

@test "main job: the server reads its weights, as its user, and the host stays as it was" {
	whole_path
	mounts=$(mount_table)
	run_container
	assert_status 0
	assert_output "$(model_digest)"
	assert_equal "$(mount_table)" "$mounts"
	assert_equal "$(cdn_bytes)" 3000000
}

@test "main job: uid, capabilities and no_new_privs are as meant" {
	whole_path
	annotate docker-server.ballast.dev '{"start_command":"id -u; grep -E \"^(Cap|NoNewPrivs|Groups)\" /proc/self/status","run_as_user_id":1000,"no_build":true}'
	run_container
	assert_status 0
	assert_equal "${lines[0]}" 1000
	for set in CapInh CapPrm CapEff CapBnd CapAmb; do assert_output "$set:	0000000000000000"; done
	assert_output "NoNewPrivs:	1"
}

@test "main job: a uid that the image's passwd does not know has a name and a home" {
	whole_path
	annotate docker-server.ballast.dev '{"start_command":"echo $(id -u) $USER $HOME","run_as_user_id":4711,"no_build":true}'
	run_container
	assert_status 0
	assert_output "4711 app /"
}

@test "main job: inside, the weights cannot be changed, by root and CAP_SYS_ADMIN neither" {
	whole_path
	local attempts='cd /models/m; for c in "touch x" "mv config.json y" "rm config.json" "chmod 777 config.json" \
		"ln config.json z" "mkdir d" "dd if=/dev/zero of=config.json bs=1 count=1 conv=notrunc"; do
		if $c 2>/dev/null; then echo "possible: $c"; fi; done
	mount -o remount,rw,bind /models/m 2>/dev/null; mount -o remount,rw /models/m 2>/dev/null
	touch x 2>/dev/null && echo "possible: remount"; echo done'
	annotate docker-server.ballast.dev "$(jq -nc --arg c "$attempts" '{start_command: $c, run_as_user_id: 1000, no_build: true}')"
	run_container
	assert_output done
	refute_output possible

	make_bundle root sh -c "$attempts"
	bundle_set '.process.capabilities |= with_entries(.value += ["CAP_SYS_ADMIN"])'
	annotate_weights hf://org/model /models/m
	add_hook
	run_container
	assert_output done
	refute_output possible
	find "$T/cache" -name x | grep . && fail "the cache was written to"
	diff -r "$T/model" "$T"/cache/trees/*/
}

@test "main job: a warm start asks nobody, and a third container of another name neither" {
	whole_path
	run_container
	assert_status 0
	origin_control "$HUB" reset
	run_container
	assert_status 0
	assert_output "$(model_digest)"
	server_bundle other hf://org/model@main /models/m
	run_container
	assert_equal "$(origin_stats "$HUB" '[.requests | keys[] | select(startswith("/repos/"))] | length')" 0
	server_bundle again hf://org/model /models/m
	origin_control "$HUB" reset
	run_container
	assert_status 0
	assert_equal "$(origin_stats "$HUB" '.requests | length')" 0
}

@test "main job: two weights sets, one a single file" {
	mkdir "$T/files"
	printf 'one file\n' >"$T/files/vocab.txt"
	start_hub --repo org/model="$T/model"
	start_origin "$T/files"
	agent_config '.allowed_origins += [$origin]' --arg origin "$ORIGIN"
	start_agent
	make_bundle two sh -c 'cat /models/m/tokenizer/vocab.txt /data/vocab.txt'
	# https is what may be written; the operator allows this http origin under its own scheme.
	annotate_weights hf://org/model /models/m hf://org/model /models/n
	add_hook
	bundle_args sh -c 'cat /models/m/tokenizer/vocab.txt /models/n/config.json'
	run_container
	assert_status 0
	assert_output 'the first token
{"model_type":"test"}'
	assert_equal "$(cdn_bytes)" 3000000
}

@test "main job: a private and a gated repository, with the tenant's token from the secrets directory" {
	whole_path --private org/model=hf_good --token hf_other
	run_container
	assert_status 1
	assert_output org/model
	assert_equal "$(cdn_bytes)" 0

	annotate weights.ballast.dev '[{"source":"hf://org/model","mount_location":"/models/m","auth_secret_name":"hf_token"}]'
	run_container
	assert_status 1
	assert_output hf_token

	add_secret default hf_token hf_good
	run_container
	assert_status 0
	assert_output "$(model_digest)"
	# Nothing of ours says the token: not a log, not a file.
	! grep -r hf_good "$T/agent.log" "$T/cache" "$T/server/config.json" "$T/runc" || fail "the token was written down"
}

@test "main job: gated content is not for a tenant whose token was not accepted, cached or not" {
	whole_path --gated org/model=hf_good --token hf_other
	annotate weights.ballast.dev '[{"source":"hf://org/model","mount_location":"/models/m","auth_secret_name":"t"}]'
	add_secret default t hf_good
	run_container
	assert_status 0
	add_secret default t hf_other
	bundle_set '.hooks.createRuntime[0].args |= .[:1] + ["--tenant=other"] + .[1:]'
	add_secret other t hf_other
	run_container
	assert_status 1
	assert_output gated
}

@test "main job: content that does not verify is told, never visible, and right the next time" {
	whole_path
	origin_control "$HUB" faults '[{"match":"GET /repos/","server":"cdn","kind":"flip"}]'
	mounts=$(mount_table)
	run_container
	assert_status 1
	assert_output "exit status 75"
	assert_output model.safetensors
	assert_equal "$(mount_table)" "$mounts"
	assert_equal "$(find "$T/cache/trees" -mindepth 1 | wc -l)" 0
	origin_control "$HUB" faults '[]'
	run_container
	assert_status 0
	assert_output "$(model_digest)"
}

@test "main job: no agent, one line that says so" {
	whole_path
	stop_agent
	run_container
	assert_status 1
	assert_output "exit status 69"
	assert_output agent.sock
}

@test "main job: the agent is killed in mid-download; restarted, it goes on where it was" {
	make_model "$T/model" 40000000
	whole_path
	origin_control "$HUB" faults '[{"match":"GET /repos/","server":"cdn","kind":"stall","at":0.5,"times":1}]'
	echo "runc waits-$$" >>"$T/containers"
	runc --root "$T/runc" run --bundle "$BUNDLE" "waits-$$" >"$T/run.log" 2>&1 3>&- </dev/null &
	local waiting=$!
	origin_control "$HUB" "wait?reached=1"
	stop_agent KILL
	origin_control "$HUB" release
	start_agent
	wait "$waiting" || fail "$(cat "$T/run.log" "$T/agent.log")"
	grep -q "$(model_digest)" "$T/run.log"
	# At most what was on its way came twice.
	[ "$(cdn_bytes)" -le 80000000 ] || fail "$(cdn_bytes) bytes for 40000000"
	assert_equal "$(find "$T/cache/trees" -mindepth 1 -maxdepth 1 | wc -l)" 1
}

@test "main job: many containers at once are one download" {
	whole_path
	local i pids=()
	for i in 1 2 3 4 5 6; do
		echo "runc many-$$-$i" >>"$T/containers"
		cp -a "$BUNDLE" "$T/bundle-$i"
		runc --root "$T/runc" run --bundle "$T/bundle-$i" "many-$$-$i" >"$T/many-$i.log" 2>&1 3>&- </dev/null &
		pids+=($!)
	done
	for i in 1 2 3 4 5 6; do
		wait "${pids[i - 1]}" || fail "$(cat "$T/many-$i.log")"
		grep -q "$(model_digest)" "$T/many-$i.log"
	done
	assert_equal "$(cdn_bytes)" 3000000
}

# refused STATUS TEXT SOURCE LOCATION: the container does not start, for this reason, and nothing stays.
refused() {
	local status_wanted=$1 text=$2
	server_bundle "refused-$RANDOM" "$3" "$4"
	run_container
	assert_status 1
	assert_output "exit status $status_wanted"
	assert_output "$text"
	assert_equal "$(mount_table)" "$mounts"
	agent GET /healthz
	assert_equal "$status_code" 200
}

@test "main job: bad input is one line that names it, nothing stays, and the agent lives" {
	whole_path --gated org/model=hf_x
	mounts=$(mount_table)
	refused 77 org/none hf://org/none /models/m
	refused 64 v9 hf://org/model@v9 /models/m
	refused 77 gated hf://org/model /models/m
	refused 64 mount_location hf://org/model models/m
	refused 77 /etc/passwd hf://org/model /etc/passwd
	refused 77 /proc hf://org/model /proc/x
	refused 64 source ftp://org/model /models/m
}

@test "main job: another person's config, repository, paths and uid, unedited" {
	mkdir -p "$T/theirs/weights/deep/er"
	head -c 500000 /dev/urandom >"$T/theirs/weights/deep/er/part-00001.bin"
	printf 'x' >"$T/theirs/weights/one"
	: >"$T/theirs/weights/empty"
	start_hub --repo Their-Org/Their.Model_v2@refs/pr/1="$T/theirs"
	start_agent
	make_bundle theirs true
	annotate weights.ballast.dev '[{"source":"Their-Org/Their.Model_v2","revision":"refs/pr/1",
		"mount_location":"/srv/très long/path","ignore_patterns":["**/one"]}]'
	annotate docker-server.ballast.dev '{"start_command":"cd \"/srv/très long/path\" && find . -type f | sort && id -u","run_as_user_id":54321,"no_build":true}'
	use_shim
	add_hook
	run_container
	assert_status 0
	assert_output "./weights/deep/er/part-00001.bin
./weights/empty
54321"
	refute_output /one
}

@test "main job: nothing is left behind by fifty starts and ends" {
	whole_path
	run_container
	local before i
	before=$(mount_table)
	descriptors=$(find /proc/"$(cat "$T/agent.pid")"/fd -mindepth 1 | wc -l)
	for ((i = 0; i < 50; i++)); do
		runc --root "$T/runc" run --bundle "$BUNDLE" "$(new_id many)" >/dev/null
	done
	assert_equal "$(mount_table)" "$before"
	# Five more than at the start are not fifty: connections and pidfds that are just going, once they are gone.
	until [ "$(find /proc/"$(cat "$T/agent.pid")"/fd -mindepth 1 | wc -l)" -le $((descriptors + 5)) ]; do
		agent GET /healthz
	done
}

@test "main job: the capabilities that the unit leaves to the agent are enough, deferred too" {
	need setpriv
	local caps
	caps=$(sed -n 's/^CapabilityBoundingSet=//p' "$TESTS/../packaging/ballastd.service.in" | tr ' ' '\n' |
		sed 's/^CAP_/+/' | tr '[:upper:]\n' '[:lower:],')
	printf '#!/bin/sh\nexec setpriv --no-new-privs --bounding-set=-all,%s "%s" "$@"\n' "${caps%,}" \
		"$BUILD/ballastd" >"$T/unit"
	chmod +x "$T/unit"
	start_hub --repo org/model="$T/model"
	AGENT=$T/unit start_agent
	grep -q '^NoNewPrivs:.1$' "/proc/$AGENT_PID/status"
	server_bundle server hf://org/model /models/m
	origin_control "$HUB" faults '[{"match":"GET /repos/","server":"cdn","kind":"hold","times":1}]'
	bundle_set '.hooks.createRuntime[0].args |= .[:1] + ["--timeout=1s"] + (.[1:] | map(select(startswith("--timeout") | not)))'
	start_container
	origin_control "$HUB" "wait?reached=1"
	origin_control "$HUB" release
	"$FIXTURES/process.py" line "$T/$CONTAINER.log" "$(model_digest)"
}
