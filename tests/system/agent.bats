#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The agent with a real ballast-fetch: containers, leases, pulls, cache, restarts.

load lib
load agent

setup() {
	use_test_dir
	make_model "$T/model"
	start_hub --repo org/model="$T/model"
	start_agent
	new_process
	MODEL=$(items hf://org/model)
}
teardown() { clean_up; }

# with_https_origin: $T/www/model.bin, 8 MiB, at $ORIGIN, and an agent that may fetch it.
with_https_origin() {
	make_tls IP:127.0.0.1
	mkdir "$T/www"
	head -c 8M /dev/urandom >"$T/www/model.bin"
	start_origin --tls "$T/tls.pem" "$T/tls.key" "$T/www"
	# The process that fetches is nobody's: it must reach the authority's certificate.
	chmod a+x "$BATS_RUN_TMPDIR" "$BATS_RUN_TMPDIR/test"
	stop_agent
	agent_config '.allowed_origins += [$origin] | .ca_file = $ca' --arg origin "$ORIGIN" --arg ca "$T/ca.pem"
	start_agent
}

@test "agent: PUT fetches, publishes and answers; a second is warm and asks nobody" {
	put c1 default "$MODEL"
	expect_code 200
	assert_equal "$(answer '.state, .weights[0].mount_location, .weights[0].kind, (.environment | length)')" \
		$'ready\n/models/m\ndirectory\n0'
	path=$(answer '.weights[0].path')
	cmp "$T/model/model.safetensors" "$path/model.safetensors"
	cmp "$T/model/tokenizer/vocab.txt" "$path/tokenizer/vocab.txt"
	assert_equal "$(stat -c %a%u "$path" "$path/config.json" "$(answer .empty)" | xargs)" "5550 4440 7000"
	manifest=$(answer '.weights[0].manifest')
	assert_equal "sha256:$(sha256sum <"$T/cache/manifests/${manifest#sha256:}.json" | cut -d' ' -f1)" "$manifest"
	assert_equal "$(answer '.weights[0].files, .weights[0].bytes')" "3
$(($(cat "$T/model/model.safetensors" "$T/model/config.json" "$T/model/tokenizer/vocab.txt" | wc -c)))"

	end_spawned hub
	new_process
	put c2 default "$MODEL" 0
	expect_code 200
	assert_equal "$(answer '.weights[0].path')" "$path"
}

@test "agent: the same PUT joins, another body is 409, a dead process makes room for its id" {
	put c1 default "$MODEL"
	put c1 default "$MODEL" 0
	expect_code 200
	put c1 default "$(items hf://org/other)"
	expect_code 409
	first=$PID
	new_process
	put c1 default "$MODEL"
	expect_code 409
	end_process "$first"
	put c1 default "$MODEL"
	expect_code 200
	assert_equal "$(answer .state)" ready
}

@test "agent: what a process has stays protected when it asks under another id, after a restart too" {
	local tree
	start_model_twice() { put "$1" default "$2"; expect_code 200; }
	start_model_twice c1 "$MODEL"
	tree=$(answer '.weights[0].manifest')
	start_model_twice c2 "$(items hf://org/model '{"allow_patterns": ["config.json"]}')"
	start_model_twice c3 '[]'
	agent DELETE "/v1/cache/$tree"
	expect_code 409
	# An older version, which knows one list alone, must not take them for the last one's.
	assert_equal "$(jq -c '[.trees, .earlier | length]' "$T"/cache/leases/*.json)" '[0,2]'
	stop_agent KILL
	start_agent
	agent DELETE "/v1/cache/$tree"
	expect_code 409
	agent GET /v1/cache
	assert_equal "$(answer '[.trees[].leases] | add')" 2
	put c3 default '[]'
	expect_code 200
	end_process "$PID"
	# Nothing waits for an end: it is asked for again.
	until agent GET /v1/containers/c3 && [ "$(answer .state)" = ended ]; do :; done
}

@test "agent: a process that is not there, or is another one by now, gets nothing" {
	START=$((START + 1))
	put c1 default "$MODEL"
	expect_code 409
	START=$((START - 1))
	end_process "$PID"
	put c1 default "$MODEL"
	expect_code 409
	# The number of a thread: a process's no more.
	spawn threads /usr/bin/python3 -c 'import os, threading, time
threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
print(max(map(int, os.listdir("/proc/self/task"))), flush=True)
time.sleep(1000)'
	PID=$REPLY
	START=$(awk '{print $22}' "/proc/$PID/stat")
	put c1 default "$MODEL"
	expect_code 409
	agent GET /v1/containers
	assert_equal "$(answer '.containers | length')" 0
	assert_equal "$(find "$T/cache/leases" -type f | wc -l)" 0
}

@test "agent: wait=0 answers 202 with progress, the next PUT the rest" {
	origin_control "$CDN" faults '[{"match": "safetensors|repos", "kind": "stall", "at": 0.5, "times": 64}]'
	put c1 default "$MODEL" 0
	expect_code 202
	assert_equal "$(answer '.state, (.progress | keys | join(","))')" \
		"pending
bytes_done,bytes_per_second,bytes_total,files_done,files_total"
	origin_control "$CDN" "wait?reached=1"
	agent GET "/v1/containers/c1"
	assert_equal "$(answer '.state, .progress.files_total')" $'pending\n3'
	origin_control "$CDN" faults '[]'
	origin_control "$CDN" release
	put c1 default "$MODEL"
	expect_code 200
}

@test "agent: an id may be any that runc takes" {
	new_process
	put 'a+b,c_1.x-y' default '[]'
	expect_code 200
	new_process
	put 'a%2Bb' default '[]'
	expect_code 400
}

@test "agent: an empty list is ready at once; a lease is on disk before the answer" {
	put c1 default '[]' 0
	expect_code 200
	assert_equal "$(answer '.state, (.weights | length)')" $'ready\n0'
	assert_equal "$(find "$T/cache/leases" -name '*.json' | wc -l)" 1
}

@test "agent: no path is answered that is not there: the empty layer comes back, or it is a 500" {
	put c1 default '[]' 0
	expect_code 200
	rmdir "$T/cache/empty"
	new_process
	put c2 default '[]' 0
	expect_code 200
	assert_equal "$(answer .empty)" "$T/cache/empty"
	assert_equal "$(stat -c '%F %u %a' "$T/cache/empty")" "directory 0 700"
	rmdir "$T/cache/empty"
	ln -s /etc "$T/cache/empty"
	new_process
	put c3 default '[]' 0
	expect_code 500
	[[ $(answer .detail) == *"$T/cache/empty' is no directory of the agent's own"*"remove it"* ]] || fail "$output"
	rm "$T/cache/empty"
	put c3 default '[]' 0
	expect_code 200
	[ -d "$(answer .empty)" ]
}

@test "agent: no path is answered that leads elsewhere: a cache that is unmounted, or mounted over, is a 500" {
	stop_agent
	mount -t tmpfs -o mode=0700 cache "$T/cache"
	start_agent
	put c1 default "$MODEL"
	expect_code 200
	mkdir -m 700 "$T/over"
	mount --bind "$T/over" "$T/cache"
	put c1 default "$MODEL"
	expect_code 500
	[[ $(answer .detail) == *"$T/cache' is no longer the cache"*"restart ballastd"* ]] || fail "$output"
	# Who only asks whether it is well is told so, too.
	agent GET /healthz
	expect_code 500
	run "$BUILD/ballast" doctor --agent="unix:$T/agent.sock"
	assert_output "BAD   agent: '$T/cache' is no longer the cache"
	umount "$T/cache"
	agent GET /healthz
	expect_code 200
	put c1 default "$MODEL"
	expect_code 200
	umount --lazy "$T/cache"
	put c1 default "$MODEL"
	expect_code 500
}

@test "agent: 64 containers at once are one download" {
	local i pids=()
	for i in $(seq 64); do
		new_process
		body default "$MODEL" >"$T/body.$i"
	done
	origin_control "$HUB" reset
	origin_control "$CDN" reset
	for i in $(seq 64); do
		curl --silent --unix-socket "$T/agent.sock" --request PUT --data "@$T/body.$i" \
			--output "$T/answer.$i" "http://agent/v1/containers/many-$i?wait=60" 3>&- &
		pids+=($!)
	done
	wait "${pids[@]}"
	assert_equal "$(jq -r .state "$T"/answer.* | sort | uniq -c | xargs)" "64 ready"
	assert_equal "$(origin_stats "$CDN" '[.bytes | to_entries[] | select(.key | test("^/api/models") | not) | .value] | add')" \
		"$(cat "$T/model/model.safetensors" "$T/model/config.json" "$T/model/tokenizer/vocab.txt" | wc -c)"
	agent GET /metrics
	grep -qx 'ballast_jobs_total 1' <<<"$output"
}

@test "agent: errors are problem+json with the person's next step" {
	put c1 default "$(items hf://org/missing)"
	expect_code 401
	assert_equal "$(answer '.status, .class')" $'401\nunauthorized'
	[[ $(answer .detail) == *hf://org/missing* ]]
	put c2 default "$(items hf://org/model@v9)"
	expect_code 404
	put c3 default "$(items file:///etc)"
	expect_code 403
	# What nobody may have is no failure of the agent, which asking again would heal.
	put c6 default '[{"source": "hf://org/model", "mount_location": "/"}]'
	assert_equal "$status_code $(answer .class)" "403 forbidden"
	assert_equal "$(answer .detail)" '$[0].mount_location: is the root of the container; name a directory below it'
	agent POST /v1/pulls '{"tenant": "default", "weights": [{"source": "hf://org/model", "mount_location": "/"}]}'
	expect_code 403
	put c4 default "$(items hf://org/model '{"auth_secret_name": "nothing"}')"
	expect_code 422
	[[ $(answer .detail) == *"secrets/default/nothing"* ]]
	put c5 default "$(items hf://org/model '{"manifest": "sha256:0000000000000000000000000000000000000000000000000000000000000000"}')"
	expect_code 422
	[[ $(answer .detail) == *pin* ]]
	# Warm too: what the pin does not name is not given, what it names is.
	new_process
	put warm default "$(items hf://org/model '{"manifest": "sha256:0000000000000000000000000000000000000000000000000000000000000000"}')"
	expect_code 422
	[[ $(answer .detail) == *pin* ]]
	new_process
	put right default "$(items hf://org/model "$(jq -c '{manifest: ("sha256:" + .)}' <<<"\"$(basename "$T"/cache/trees/*)\"")")"
	expect_code 200
	curl --silent --unix-socket "$T/agent.sock" -X PUT -d '{}' -D "$T/head" -o /dev/null http://agent/v1/containers/c6
	grep -qi '^content-type: application/problem+json' "$T/head"
	agent GET /healthz
	expect_code 200
}

@test "agent: bytes that are not what was promised are refused, and nothing of them stays" {
	origin_control "$CDN" faults '[{"match": "repos", "kind": "flip", "offset": 1000}]'
	put c1 default "$MODEL"
	expect_code 502
	assert_equal "$(answer .class)" corrupt
	assert_equal "$(find "$T/cache/trees" -mindepth 1)" ""
	# Small files that were good, or on their way when the job ended, may stay.
	assert_equal "$(find "$T/cache/partial" "$T/cache/blobs" -type f -size +900k)" ""
	origin_control "$CDN" faults '[]'
	put c1 default "$MODEL"
	expect_code 200
}

# Git's SHA-1 is all that the Hub promises of a small file, and fetch computes it, not the agent.
@test "agent: bytes with another digest than fetch computes are brought again, then refused, and nothing of them stays" {
	origin_control "$CDN" faults '[{"match": "resolve-cache.*config.json", "kind": "flip", "times": 1}]'
	put c1 default "$MODEL"
	expect_code 200
	cmp "$T/model/config.json" "$(answer '.weights[0].path')/config.json"
	echo '{"another": "one"}' >"$T/model/config.json"
	origin_control "$HUB" rescan
	origin_control "$CDN" faults '[{"match": "resolve-cache.*config.json", "kind": "flip"}]'
	put c2 default "$(items hf://org/model '{"ignore_patterns": ["*.md"]}')"
	expect_code 502
	assert_equal "$(answer .class)" corrupt
	assert_equal "$(find "$T/cache/partial" -mindepth 1 -not -name '*.memo' -not -name 'spare.*' | wc -l)" 0
	origin_control "$CDN" faults '[]'
	put c2 default "$(items hf://org/model '{"ignore_patterns": ["*.md"]}')"
	expect_code 200
	cmp "$T/model/config.json" "$(answer '.weights[0].path')/config.json"
}

# Nothing says whether the second answer is of the same version: what came of the first is given up.
@test "agent: an origin without ranges and without versions, whose answer breaks, gives no mixture" {
	with_https_origin
	origin_control "$ORIGIN" faults '[{"match": "model", "kind": "no-range"},
		{"match": "model", "kind": "headers", "headers": {"ETag": null, "Last-Modified": null}},
		{"match": "model", "kind": "short", "at": 0.5, "after": 1, "times": 1},
		{"match": "model", "kind": "replace", "after": 2}]'
	put c1 default "$(items "$ORIGIN/model.bin")"
	expect_code 200
	python3 -c 'import sys; a, b = (open(p, "rb").read() for p in sys.argv[1:]); sys.exit(a != bytes(x ^ 255 for x in b))' \
		"$(answer '.weights[0].path')" "$T/www/model.bin"
}

@test "agent: half of a file of an origin without ranges is no hindrance, where it says which version it is" {
	with_https_origin
	origin_control "$ORIGIN" faults '[{"match": "model", "kind": "no-range"},
		{"match": "model", "kind": "short", "at": 0.5, "after": 1, "times": 1},
		{"match": "model", "kind": "status", "status": 404, "after": 2, "times": 1}]'
	put c1 default "$(items "$ORIGIN/model.bin")"
	[ "$status_code" -ge 400 ]
	[ -n "$(find "$T/cache/partial" -name '*.ranges' -size +0c)" ]
	origin_control "$ORIGIN" faults '[{"match": "model", "kind": "no-range"}]'
	put c1 default "$(items "$ORIGIN/model.bin")"
	expect_code 200
	cmp "$T/www/model.bin" "$(answer '.weights[0].path')"
}

# A part of model.bin has come, under a weak ETag, when the agent is stopped.
leave_half_of_a_weak_version() {
	with_https_origin
	origin_control "$ORIGIN" faults '[{"match": "model", "kind": "headers", "headers": {"ETag": "W/\"1\""}},
		{"match": "model", "kind": "stall", "at": 0.5, "after": 1}]'
	put c1 default "$(items "$ORIGIN/model.bin")" 0
	expect_code 202
	origin_control "$ORIGIN" "wait?reached=8"
	until [ "$(answer .progress.bytes_done)" -gt 0 ]; do agent GET "/v1/containers/c1?wait=0.1"; done
	stop_agent
}

# A weak ETag promises nothing of bytes: what an earlier try has brought may be of another version.
@test "agent: bytes of an earlier try are taken up only where the origin says which version they are of" {
	leave_half_of_a_weak_version
	origin_control "$ORIGIN" faults '[{"match": "model", "kind": "headers", "headers": {"ETag": "W/\"2\""}},
		{"match": "model", "kind": "replace"}]'
	start_agent
	wait_state c1 ready
	python3 -c 'import sys; a, b = (open(p, "rb").read() for p in sys.argv[1:]); sys.exit(a != bytes(x ^ 255 for x in b))' \
		"$(answer '.weights[0].path')" "$T/www/model.bin"
}

# As btrfs does when it is full.
@test "agent: where an earlier try's bytes cannot be removed, that is said, and none of them is taken up" {
	need_faults
	leave_half_of_a_weak_version
	origin_control "$ORIGIN" faults '[{"match": "model", "kind": "headers", "headers": {"ETag": "W/\"1\""}}]'
	BL_FAULT=unlinkat:ENOSPC AGENT=$FAULTS/ballastd start_agent
	wait_state c1 failed
	assert_output "removal of an earlier download"
	stop_agent
}

@test "agent: an item may have as many and as long patterns as there may be" {
	/usr/bin/python3 - "$PID" "$START" >"$T/body" <<-'END'
		import json, sys
		def long(count, letter):
		    return [str(i).rjust(1024, letter) for i in range(count)]
		print(json.dumps({"tenant": "default", "pid": int(sys.argv[1]), "start_time": int(sys.argv[2]),
		    "weights": [{"source": "hf://org/model", "mount_location": "/m",
		                 "allow_patterns": long(1023, "x") + ["*.json"], "ignore_patterns": long(1024, "y")}]}))
	END
	curl --silent --show-error --unix-socket "$T/agent.sock" --request PUT --data-binary "@$T/body" \
		"http://agent/v1/containers/c1?wait=60" >"$T/answer"
	assert_equal "$(jq -r .state "$T/answer")" ready
}

@test "agent: started where SIGCHLD is ignored it sees its downloads end all the same" {
	stop_agent
	printf '#!/usr/bin/python3\nimport os, signal, sys\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\nos.execv("%s", sys.argv)\n' \
		"$BUILD/ballastd" >"$T/ignoring"
	chmod +x "$T/ignoring"
	AGENT=$T/ignoring start_agent
	[ $((0x$(sed -n 's/^SigIgn:\t//p' "/proc/$AGENT_PID/status") & 1 << 16)) -eq 0 ]
	put c1 default "$(items hf://org/model)"
	expect_code 200
	diff -r "$T/model" "$(answer '.weights[0].path')"
}

@test "agent: a leader's crash is retried and told to nobody" {
	origin_control "$CDN" faults '[{"match": "repos", "kind": "hold", "times": 64}]'
	put c1 default "$MODEL" 0
	expect_code 202
	origin_control "$CDN" "wait?reached=1"
	kill -KILL "$(pgrep -P "$AGENT_PID" -x ballast-fetch)"
	origin_control "$CDN" faults '[]'
	origin_control "$CDN" release
	put c1 default "$MODEL"
	expect_code 200
	agent GET /metrics
	grep -qx 'ballast_retries_total 1' <<<"$output"
}

@test "agent: killed in mid-download it goes on where it was, for the same container" {
	head -c 60000000 /dev/urandom >"$T/model/model.safetensors"
	origin_control "$HUB" rescan
	origin_control "$CDN" faults "$HALF"
	put c1 default "$MODEL" 0
	expect_code 202
	# Wait until something is in a journal.
	"$FIXTURES/process.py" path "$T/cache/partial"
	until [ -n "$(find "$T/cache/partial" -name '*.ranges' -size +0c)" ]; do
		agent GET "/v1/containers/c1?wait=0.2"
	done
	stop_agent KILL
	origin_control "$CDN" faults '[]'
	sent=$(origin_stats "$CDN" '[.bytes[]] | add')
	start_agent
	wait_state c1 ready
	total=$(origin_stats "$CDN" '[.bytes[]] | add')
	[ "$((total - sent))" -lt 60000000 ]
	cmp "$T/model/model.safetensors" "$(answer '.weights[0].path')/model.safetensors"
}

# What came since the last note is noted when a download fails, or the agent ends in good order.
@test "agent: stopped, or its job killed, in mid-download: nothing that the agent had is brought twice" {
	local how sent had
	for how in stop kill; do
		head -c 8388608 /dev/urandom >"$T/model/$how.bin"
		origin_control "$HUB" rescan
		origin_control "$CDN" reset
		origin_control "$CDN" faults '[{"match": "repos", "kind": "stall", "at": 0.7}]'
		put "$how" default "$(items hf://org/model "{\"allow_patterns\": [\"$how.bin\"]}")" 0
		expect_code 202
		origin_control "$CDN" "wait?reached=8"
		had=0
		until [ "$had" -gt 0 ]; do
			agent GET "/v1/containers/$how?wait=0.1"
			had=$(answer .progress.bytes_done)
		done
		if [ "$how" = stop ]; then
			stop_agent
		else
			kill -KILL "$(pgrep -P "$AGENT_PID" -x ballast-fetch)"
		fi
		sent=$(bytes_of repos)
		origin_control "$CDN" faults '[]'
		[ "$how" = kill ] || start_agent
		wait_state "$how" ready
		cmp "$T/model/$how.bin" "$(answer '.weights[0].path')/$how.bin"
		[ "$(($(bytes_of repos) - sent))" -le $((8388608 - had)) ]
	done
}

@test "agent: finished files of an unfinished work are not brought again after a crash" {
	head -c 3000000 /dev/urandom >"$T/model/a.bin"
	origin_control "$HUB" rescan
	origin_control "$CDN" faults "[{\"match\": \"$(sha256sum <"$T/model/model.safetensors" | cut -c1-64)\", \"kind\": \"hold\"}]"
	put c1 default "$MODEL" 0
	until [ "$(cat "$T"/cache/partial/*.memo 2>/dev/null | wc -l)" = 3 ]; do
		agent GET "/v1/containers/c1?wait=0.2"
	done
	stop_agent KILL
	# What is held is not let go: its first bytes would count, whether or not anybody still takes them.
	origin_control "$CDN" reset
	origin_control "$CDN" faults '[]'
	start_agent
	wait_state c1 ready
	assert_equal "$(origin_stats "$CDN" '[.bytes[]] | add')" "$(stat -c %s "$T/model/model.safetensors")"
	assert_equal "$(find "$T/cache/partial" -mindepth 1 -not -name 'spare.*' | wc -l)" 0
}

@test "agent: a restart keeps leases of the living and ends those of the dead" {
	put c1 default "$MODEL"
	first=$PID
	new_process
	put c2 default "$MODEL"
	stop_agent
	end_process "$first"
	start_agent
	agent GET /v1/containers
	assert_equal "$(answer '[.containers[] | .id + " " + .state] | join(", ")')" "c2 ready"
	agent GET /v1/cache
	assert_equal "$(answer '.trees[0].leases')" 2
	agent DELETE "/v1/cache/$(answer '.trees[0].manifest')"
	expect_code 409
}

@test "agent: a lease that another version wrote protects for as long as its process lives" {
	put c1 default "$MODEL"
	tree=$(answer '.weights[0].manifest')
	stop_agent
	local lease
	lease=$(find "$T/cache/leases" -type f)
	jq -c '.extra.weights[0].source = "later://word"' "$lease" >"$T/lease"
	cat "$T/lease" >"$lease"
	agent_config '.lease_grace = "0s"'
	start_agent
	assert_equal "$(jq .ended_at "$lease")" 0
	agent DELETE "/v1/cache/$tree"
	expect_code 409
	stop_agent
	end_process "$PID"
	start_agent
	agent DELETE "/v1/cache/$tree"
	expect_code 204
}

@test "agent: DELETE ends the lease of the dead alone" {
	put c1 default "$MODEL"
	agent DELETE /v1/containers/c1
	expect_code 204
	agent GET /v1/containers/c1
	assert_equal "$(answer .state)" ready
	end_process "$PID"
	agent DELETE /v1/containers/c1
	agent DELETE /v1/containers/c1
	agent DELETE /v1/containers/never
	expect_code 204
	agent GET /v1/containers/c1
	assert_equal "$(answer .state)" ended
}

@test "agent: the process's death ends the lease, and after the grace the tree may go" {
	stop_agent
	agent_config '.lease_grace = "0s"'
	start_agent
	put c1 default "$MODEL"
	tree=$(answer '.weights[0].manifest')
	agent DELETE "/v1/cache/$tree"
	expect_code 409
	end_process "$PID"
	agent DELETE /v1/containers/c1
	until agent GET /v1/containers/c1 && [ "$status_code" = 404 ]; do :; done
	agent DELETE "/v1/cache/$tree"
	expect_code 204
	assert_equal "$(find "$T/cache/leases" -type f | wc -l)" 0
}

@test "agent: pull, pull with refresh, pin, remove, gc, verify" {
	agent POST /v1/pulls "$(jq -cn --argjson w "$MODEL" '{tenant: "default", weights: $w}')"
	expect_code 202
	id=$(answer .id)
	agent GET "/v1/pulls/$id?wait=60"
	assert_equal "$(answer '.state, .progress.files_done')" $'ready\n3'
	tree=$(answer '.weights[0].manifest')

	printf '{"changed": true}\n' >"$T/model/config.json"
	origin_control "$HUB" rescan
	origin_control "$CDN" reset
	agent POST /v1/pulls "$(jq -cn --argjson w "$MODEL" '{tenant: "default", weights: $w}')"
	assert_equal "$(answer '.state, .weights[0].manifest')" "ready
$tree"
	agent POST /v1/pulls "$(jq -cn --argjson w "$MODEL" '{tenant: "default", weights: $w, refresh: true}')"
	agent GET "/v1/pulls/$(answer .id)?wait=60"
	assert_equal "$(answer .state)" ready
	new=$(answer '.weights[0].manifest')
	[ "$new" != "$tree" ]
	# What has not changed was not brought again.
	assert_equal "$(origin_stats "$CDN" '[.bytes[]] | add')" "$(stat -c %s "$T/model/config.json")"

	agent PUT "/v1/cache/$tree/pin"
	expect_code 204
	agent DELETE "/v1/cache/$tree"
	expect_code 409
	assert_equal "$(answer .detail)" "tree ${tree#sha256:} is pinned: unpin it first, by ballast pin --remove"
	agent DELETE "/v1/cache/$tree/pin"
	agent DELETE "/v1/cache/$tree"
	expect_code 204
	agent DELETE "/v1/cache/$tree"
	expect_code 404
	agent POST /v1/cache/gc
	expect_code 200
	agent POST /v1/cache/verify
	assert_equal "$(answer '.trees, (.damaged | length)')" $'1\n0'
	# A flipped bit is found.
	blob=$(find "$T/cache/blobs" -type f -size +900k)
	chmod 600 "$blob"
	damage "$blob"
	chmod 444 "$blob"
	agent POST /v1/cache/verify
	assert_equal "$(answer '.damaged[0]')" "$new"
	grep -q "tree ${new#sha256:} was damaged on disk" "$T/agent.log"
	new_process
	put c9 default "$MODEL"
	expect_code 200
	cmp "$T/model/model.safetensors" "$(answer '.weights[0].path')/model.safetensors"
}

@test "agent: a container's tree that is found damaged is brought again, whatever it waits for" {
	local tree both
	make_model "$T/other"
	start_hub --repo org/model="$T/model" --repo org/other="$T/other"
	stop_agent
	agent_config
	start_agent
	both=$(jq -cn --argjson a "$(items hf://org/model)" --argjson b "$(items hf://org/other)" \
		'$a + ($b | map(.mount_location = "/other"))')
	put c1 default "$MODEL"
	expect_code 200
	tree=$(answer '.weights[0].path')
	origin_control "$CDN" faults '[{"match": "repos", "kind": "hold", "times": 64}]'
	new_process
	put c2 default "$both" 0
	expect_code 202
	origin_control "$CDN" "wait?reached=1"
	damage "$tree/model.safetensors"
	agent POST /v1/cache/verify
	assert_equal "$(answer '.damaged | length')" 1
	origin_control "$CDN" faults '[]'
	origin_control "$CDN" release
	put c2 default "$both"
	expect_code 200
	diff -r "$T/model" "$(answer '.weights[0].path')"
	# one that was ready is asked for again
	damage "$tree/model.safetensors"
	agent POST /v1/cache/verify
	put c2 default "$both"
	expect_code 200
	diff -r "$T/model" "$(answer '.weights[0].path')"
	diff -r "$T/other" "$(answer '.weights[1].path')"
}

@test "agent: a pull that is deleted is cancelled" {
	origin_control "$CDN" faults '[{"match": "repos", "kind": "hold"}]'
	agent POST /v1/pulls "$(jq -cn --argjson w "$MODEL" '{tenant: "default", weights: $w}')"
	id=$(answer .id)
	origin_control "$CDN" "wait?reached=1"
	fetch=$(pgrep -P "$AGENT_PID" -x ballast-fetch)
	agent DELETE "/v1/pulls/$id"
	expect_code 204
	"$FIXTURES/process.py" wait "$fetch"
	agent GET "/v1/pulls/$id"
	expect_code 404
}

@test "agent: a fetch process that a file system holds holds up nobody else" {
	need_fuse
	stop_agent
	mkdir "$T/volume"
	chmod a+x "$BATS_RUN_TMPDIR" "$(dirname "$T")" # the fetch process is another user
	spawn volume "$FIXTURES/fuse.py" "$T/volume"
	agent_config '.file_roots = [$root]' --arg root "$T/volume"
	start_agent
	agent POST /v1/pulls "$(jq -cn --argjson w "$(items "file://$T/volume/model")" '{tenant: "default", weights: $w}')"
	id=$(answer .id)
	"$FIXTURES/process.py" line "$T/volume.log" 'lookup model' >/dev/null
	agent DELETE "/v1/pulls/$id"
	expect_code 204
	agent GET /healthz
	expect_code 200
	stop_agent
}

@test "agent: the fetch process has no privilege, no environment and no descriptors but its own" {
	origin_control "$CDN" faults '[{"match": "repos", "kind": "hold"}]'
	put c1 default "$MODEL" 0
	origin_control "$CDN" "wait?reached=1"
	fetch=$(pgrep -P "$AGENT_PID" -x ballast-fetch)
	uid=$(id -u ballast-fetch 2>/dev/null || echo 65534)
	assert_equal "$(awk '/^(Uid|Gid):/ {print $2, $3, $4, $5}' "/proc/$fetch/status" | sort -u)" "$uid $uid $uid $uid"
	assert_equal "$(awk '/^Cap(Inh|Prm|Eff|Bnd|Amb):/ {print $2}' "/proc/$fetch/status" | sort -u)" 0000000000000000
	assert_equal "$(awk '/^NoNewPrivs:/ {print $2}' "/proc/$fetch/status")" 1
	assert_equal "$(awk '/^Groups:/ {print NF}' "/proc/$fetch/status")" 1
	assert_equal "$(cat "/proc/$fetch/oom_score_adj")" 500
	assert_equal "$(tr -d '\0' <"/proc/$fetch/environ" | wc -c)" 0
	assert_equal "$(tr '\0' ' ' <"/proc/$fetch/cmdline")" "ballast-fetch job "
	assert_equal "$(awk '/Max core file size/ {print $5, $6}' "/proc/$fetch/limits")" "0 0"
	for fd in "/proc/$fetch/fd/"*; do
		[[ $(readlink "$fd") != *agent.sock* && $(readlink "$fd") != *index.json* ]]
	done
	stop_agent KILL
	"$FIXTURES/process.py" wait "$fetch"
}

@test "agent: it does not take a living agent's socket or cache, and takes a dead one's" {
	run "$BUILD/ballastd" --socket="$T/agent.sock" --cache-dir="$T/other" --secrets-dir="$T/secrets" --config="$T/ballastd.json"
	assert_status 77
	[[ $output == *"already serves"* ]]
	run "$BUILD/ballastd" --socket="$T/other.sock" --cache-dir="$T/cache" --secrets-dir="$T/secrets" --config="$T/ballastd.json"
	assert_status 77
	[ ! -e "$T/other.sock" ]
	stop_agent KILL
	[ -S "$T/agent.sock" ]
	start_agent
	agent GET /healthz
	expect_code 200
	stop_agent
	[ ! -e "$T/agent.sock" ]
}

@test "agent: a mistake in its options costs nobody a file" {
	stop_agent
	echo mine >"$T/file"
	options=(--cache-dir="$T/cache" --secrets-dir="$T/secrets" --config="$T/ballastd.json")
	run timeout 20 "$BUILD/ballastd" --socket="$T/file" "${options[@]}"
	assert_status 64
	assert_output "is no socket"
	assert_equal "$(cat "$T/file")" mine
	for port in 65536 99999 -1 "" x 080808; do
		run timeout 20 "$BUILD/ballastd" --socket="$T/agent.sock" "${options[@]}" --metrics-listen="127.0.0.1:$port"
		assert_status 64
		assert_output "is no ADDR:PORT"
	done
	run timeout 20 "$BUILD/ballastd" --socket="$T/none/none/agent.sock" "${options[@]}"
	assert_status 64
	assert_output "--socket: '$T/none/none' is in no directory that is there: make it first"
	spawn taken /usr/bin/python3 -c 'import socket, time
s = socket.create_server(("127.0.0.1", 0))
print(s.getsockname()[1], flush=True)
time.sleep(1000)'
	run timeout 20 "$BUILD/ballastd" --socket="$T/agent.sock" "${options[@]}" --metrics-listen="127.0.0.1:$REPLY"
	assert_status 64
	assert_output "--metrics-listen: '127.0.0.1:$REPLY': Address already in use; give an address"
	run timeout 20 "$BUILD/ballastd" --socket="$T/agent.sock" "${options[@]}" --cache-dir="$T/none/cache"
	assert_status 64
	assert_output "cache '$T/none/cache': it is in no directory that is there: make that first"
	# A directory of somebody's is not to be closed for us.
	install -d -m 755 "$T/home"
	touch "$T/home/mine"
	run timeout 20 "$BUILD/ballastd" --socket="$T/agent.sock" "${options[@]}" --cache-dir="$T/home"
	assert_status 77
	assert_output "it is no cache (no index.json) and holds 'mine': take that out, or give an empty directory"
	run timeout 20 "$BUILD/ballastd" --socket="$T/agent.sock" "${options[@]}" --fetch="$T/none"
	assert_status 64
	assert_output "--fetch=PROGRAM names another"
	run timeout 20 setpriv --reuid 65534 --clear-groups "$BUILD/ballastd" --socket="$T/agent.sock" "${options[@]}"
	assert_status 77
	assert_output "run it with sudo"
	ln -s cache "$T/elsewhere"
	run timeout 20 "$BUILD/ballastd" --socket="$T/agent.sock" "${options[@]}" --cache-dir="$T/elsewhere"
	assert_status 77
	assert_output "'$T/elsewhere': it is a link or no directory: give the directory itself as --cache-dir"
	echo '{' >"$T/cache/index.json"
	run timeout 20 "$BUILD/ballastd" --socket="$T/agent.sock" "${options[@]}"
	assert_status 64
	assert_output "index.json is damaged: remove it"
	mv "$T/cache/index.json" "$T/cache/index.json.damaged"
	run timeout 20 "$BUILD/ballastd" --socket="$T/agent.sock" "${options[@]}"
	assert_status 77
	assert_output "holds 'index.json.damaged': take that out, or give an empty directory"
	rm "$T/cache/index.json.damaged"
	start_agent
}

@test "agent: its configuration may be a link, as a ConfigMap's files are; what is no file or too long is exit 64" {
	stop_agent
	mkdir "$T/..2026"
	mv "$T/ballastd.json" "$T/..2026/"
	ln -s ..2026 "$T/..data"
	ln -s ..data/ballastd.json "$T/ballastd.json"
	run "$BUILD/ballast-fetch" plan --config="$T/ballastd.json" hf://org/model
	assert_status 0
	start_agent
	stop_agent
	head -c 1048577 /dev/zero | tr '\0' ' ' >"$T/long"
	for config in "$T/long" "$T" /dev/null "$T/none"; do
		run timeout 20 "$BUILD/ballastd" --socket="$T/agent.sock" --cache-dir="$T/cache" --config="$config"
		assert_status 64
		assert_output "'$config'"
	done
}

@test "agent: configuration that is wrong is exit 64 and names the key" {
	stop_agent
	while read -r text where; do
		printf '%s' "$text" >"$T/ballastd.json"
		run "$BUILD/ballastd" --socket="$T/agent.sock" --cache-dir="$T/cache" --config="$T/ballastd.json"
		assert_status 64
		[[ $output == *"$where"* ]] || fail "$text: $output"
		refute_output hush
	done <<-'END'
		{"lease_grac":"1m"} lease_grac
		{"lease_grace":"1"} lease_grace
		{"endpoints":{"ftp":"http://x"}} endpoints
		{"endpoints":{"hf":"ftp://x"}} endpoints
		{"endpoints":{"s3":"https://{bucket}.{bucket}.example"}} endpoints
		{"endpoints":{"hf":"https://hub.example/?a=b"}} endpoints
		{"endpoints":{"hf":"https://user:hush@hub.example"}} endpoints
		{"allowed_origins":["https://user:hush@hub.example"]} allowed_origins
		{"prefetch":[{"tenant":"../b","weights":[]}]} prefetch
		{"allowed_origins":["https://hub.example/path"]} allowed_origins
		{"allowed_origins":["https://user@hub.example"]} allowed_origins
		{"allowed_origins":["https://"]} allowed_origins
		{"allowed_networks":["10.0.0.0/33"]} allowed_networks
		{"quotas":{"cache":-1}} quotas
		{"watermarks":{"high":50,"low":60}} watermarks
		{"watermarks":{"high":70}} low (80) must not be above high (70)
		{"socket_group":"no-such-group"} socket_group
		{"prefetch":[{"tenant":"a","weights":[{"source":"x:"}]}]} prefetch
		[] object
	END
	[ ! -e "$T/agent.sock" ]
}

@test "agent: who may only read the socket's directory cannot keep it from starting; it may be the cache's, too" {
	stop_agent
	mkdir -m 755 "$T/run"
	chmod a+x "$BATS_RUN_TMPDIR" "$BATS_RUN_TMPDIR/test"
	setpriv --reuid 65534 --clear-groups flock "$T/run" sleep infinity 3>&- &
	echo $! >>"$T/pids"
	while flock --nonblock "$T/run" true; do :; done
	start_agent --socket="$T/run/agent.sock"
	curl --silent --fail --unix-socket "$T/run/agent.sock" http://agent/healthz
	stop_agent
	start_agent --socket="$T/cache/agent.sock"
	stop_agent
	# A lock that others may open is one that they may keep.
	rm -f "$T/run/agent.sock.lock"
	install -m 644 /dev/null "$T/run/agent.sock.lock"
	run timeout 20 "$BUILD/ballastd" --socket="$T/run/agent.sock" --cache-dir="$T/cache" --config="$T/ballastd.json"
	assert_status 77
	assert_output "'$T/run/agent.sock.lock' is not ours alone: remove it"
	install -m 600 -o 65534 /dev/null "$T/run/agent.sock.lock"
	run timeout 20 "$BUILD/ballastd" --socket="$T/run/agent.sock" --cache-dir="$T/cache" --config="$T/ballastd.json"
	assert_status 77
}

@test "agent: a ca_file that cannot be of use is found at the start" {
	local what words
	stop_agent
	printf 'x\n-----BEGIN PRIVATE KEY-----\nAAAA\n a -----BEGIN CERTIFICATE-----\n' >"$T/key"
	printf -- '-----BEGIN CERT' >"$T/short"
	: >"$T/none"
	mkfifo "$T/fifo"
	truncate -s 17M "$T/long"
	install -m 600 /dev/null "$T/roots"
	printf 'My authority\r\n-----BEGIN CERTIFICATE-----\r\nAAAA\r\n' >"$T/roots"
	while read -r what words; do
		jq -n --arg ca "$T/$what" '{ca_file: $ca}' >"$T/ballastd.json"
		run timeout 20 "$BUILD/ballastd" --socket="$T/agent.sock" --cache-dir="$T/cache" --config="$T/ballastd.json"
		assert_status 64
		assert_output "$T/ballastd.json: ca_file: '$T/$what'"
		assert_output "$words"
	done <<-'END'
		missing No such file or directory
		none holds no certificate: no line of it begins with -----BEGIN CERTIFICATE-----
		key holds no certificate
		short holds no certificate
		secrets is no regular file
		fifo is no regular file
		long is longer than 16 MiB
		roots has mode 0600, and downloads do not run as root: chmod 0644 it
	END
	# A link to it is as good, with whatever stands before the first line of PEM.
	chmod 644 "$T/roots"
	ln -s roots "$T/link"
	jq -n --arg ca "$T/link" '{ca_file: $ca}' >"$T/ballastd.json"
	local at=$T
	while [ "$at" != / ]; do chmod o+x "$at"; at=$(dirname "$at"); done
	start_agent
}

@test "agent: a ca_file that downloads cannot open, as they are not root's, is found at the start" {
	stop_agent
	make_tls
	open_all() { local at=$T; while [ "$at" != / ]; do chmod o+x "$at"; at=$(dirname "$at"); done; }
	open_all
	install -m 0640 "$T/ca.pem" "$T/group.pem"
	install -d -m 0700 "$T/closed"
	install -m 0644 "$T/ca.pem" "$T/closed/ca.pem"
	for what in group.pem closed/ca.pem; do
		jq -n --arg ca "$T/$what" '{ca_file: $ca}' >"$T/ballastd.json"
		run timeout 20 "$BUILD/ballastd" --socket="$T/agent.sock" --cache-dir="$T/cache" --config="$T/ballastd.json"
		assert_status 64
		assert_output "'$T/$what' cannot be opened by uid"
	done
}

@test "agent: file roots that are mounted later, and a ca_file that is replaced, are what downloads see" {
	stop_agent
	make_tls IP:127.0.0.1
	mkdir "$T/www" "$T/volume"
	printf one >"$T/www/one"
	printf two >"$T/www/two"
	start_origin --tls "$T/tls.pem" "$T/tls.key" "$T/www"
	local at=$T
	while [ "$at" != / ]; do chmod o+x "$at"; at=$(dirname "$at"); done
	agent_config '.allowed_origins += [$o] | .ca_file = $ca | .file_roots = [$r, $s]' --arg o "$ORIGIN" \
		--arg ca "$T/ca.pem" --arg r "$T/volume" --arg s "$T/later"
	start_agent
	put c1 default "$(items "$ORIGIN/one")"
	expect_code 200
	cp "$T/ca.pem" "$T/ca.new"
	mv "$T/ca.new" "$T/ca.pem"
	new_process
	put c2 default "$(items "$ORIGIN/two")"
	expect_code 200
	mount -t tmpfs -o mode=0755 volume "$T/volume"
	cp -r "$T/model" "$T/volume/model"
	cp -r "$T/model" "$T/later"
	new_process
	put c3 default "$(items "file://$T/volume/model")"
	expect_code 200
	new_process
	put c4 default "$(items "file://$T/later")"
	expect_code 200
	umount "$T/volume"
}

@test "agent: an agent that is itself among the first to go for want of memory has downloads that are so, too" {
	stop_agent
	AGENT_PID=
	printf '#!/bin/bash\necho 900 >/proc/self/oom_score_adj\nexec %q "$@"\n' "$BUILD/ballastd" >"$T/more"
	chmod +x "$T/more"
	origin_control "$CDN" faults '[{"match": "repos", "kind": "hold"}]'
	AGENT=$T/more start_agent
	put c1 default "$MODEL" 0
	origin_control "$CDN" 'wait?reached=1'
	assert_equal "$(cat "/proc/$(pgrep -P "$AGENT_PID" -x ballast-fetch)/oom_score_adj")" 900
}

@test "agent: a file root that hangs holds up its own downloads alone" {
	need_fuse
	stop_agent
	mkdir "$T/volume"
	agent_config '.file_roots = [$r]' --arg r "$T/volume/models"
	start_agent
	spawn volume "$FIXTURES/fuse.py" "$T/volume"
	put c1 default "$(items hf://org/model)"
	expect_code 200
}

@test "agent: a limit of the size of files is an error of a write" {
	stop_agent
	AGENT_PID=
	printf '#!/bin/bash\nulimit -S -f 1\nexec %q "$@"\n' "$BUILD/ballastd" >"$T/less"
	chmod +x "$T/less"
	mkfifo "$T/to-cat"
	AGENT=$T/less start_agent
	new_process
	put c1 default "$(seq 30 | jq -R '{source: "hf://org/model", mount_location: ("/m/" + .)}' | jq -sc .)"
	expect_code 500
	agent GET /healthz
	expect_code 200
}

@test "agent: what the configuration lists is fetched without being asked for" {
	stop_agent
	agent_config '.prefetch = [{tenant: "default", weights: $w}]' --argjson w "$MODEL"
	start_agent
	"$FIXTURES/process.py" line "$T/agent.log" 'pulled' >/dev/null || fail "$(cat "$T/agent.log" "$T/ballastd.json")"
	end_spawned hub
	put c1 default "$MODEL" 0
	expect_code 200
	# Of what is there already no look says anything: it comes every ten minutes.
	stop_agent
	start_agent
	agent GET /healthz
	assert_equal "$(grep -c pulled "$T/agent.log")" 1
}

# fewest_descriptors: the least of many counts of what the agent has open: what its threads have open for a
# moment, and a connection that is just going, are closed again; what is not is a leak.
fewest_descriptors() {
	local least=1000000 now
	for _ in {1..10}; do
		now=$(find "/proc/$AGENT_PID/fd" -mindepth 1 | wc -l)
		[ "$now" -ge "$least" ] || least=$now
		agent GET /healthz
	done
	echo "$least"
}

@test "agent: a thousand create and delete cycles leave descriptors, leases and memory as they were" {
	stop_agent
	agent_config '.lease_grace = "0s"'
	start_agent
	put c1 default "$MODEL"
	expect_code 200
	# Warm up: what is allocated once is allocated.
	/usr/bin/python3 "$FIXTURES/agent_cycles.py" "$T/agent.sock" 100 "$MODEL"
	fds=$(fewest_descriptors)
	rss=$(awk '/^RssAnon/ {print $2}' "/proc/$AGENT_PID/status")
	/usr/bin/python3 "$FIXTURES/agent_cycles.py" "$T/agent.sock" 1000 "$MODEL"
	agent GET /v1/containers
	assert_equal "$(answer '.containers | length')" 1
	assert_equal "$(find "$T/cache/leases" -type f | wc -l)" 1
	# A directory that is being synced all this time, as on a busy disk, may be among them before or after.
	until [ "$(fewest_descriptors)" -le "$fds" ]; do :; done
	grown=$(($(awk '/^RssAnon/ {print $2}' "/proc/$AGENT_PID/status") - rss))
	echo "grown by $grown KiB"
	[[ $BUILD == */san* ]] || [ "$grown" -lt 512 ]
}

@test "agent: stopped in good order it answers nobody who waits, and the next agent takes up all of it" {
	origin_control "$CDN" faults '[{"match": "repos", "kind": "hold", "times": 64}]'
	curl --silent --unix-socket "$T/agent.sock" --request PUT --data "$(body default "$MODEL")" --output "$T/answer" \
		"http://agent/v1/containers/c1?wait=60" 3>&- &
	client=$!
	origin_control "$CDN" "wait?reached=1"
	stop_agent
	status=0
	wait "$client" || status=$?
	assert_status 52 # an empty reply: what the hook tries again
	[ ! -s "$T/answer" ]
	start_agent
	agent GET /v1/containers/c1
	assert_equal "$(answer .state)" pending
	origin_control "$CDN" faults '[]'
	origin_control "$CDN" release
	put c1 default "$MODEL"
	expect_code 200
}

@test "agent: the lease of a container that died while no agent ran ends after its grace too" {
	stop_agent
	agent_config '.lease_grace = "1s"'
	start_agent
	put c1 default "$MODEL"
	stop_agent
	end_process "$PID"
	start_agent
	"$FIXTURES/process.py" path "$T/cache/leases"
	until [ -z "$(find "$T/cache/leases" -type f)" ]; do agent GET /healthz; done
	agent GET /v1/cache
	assert_equal "$(answer '.leased, .trees[0].leases')" $'0\n0'
}

@test "agent: with one job at a time, who is cancelled or fails makes way for the next" {
	stop_agent
	agent_config '.max_jobs = 1'
	start_agent
	origin_control "$CDN" faults '[{"match": "repos", "kind": "hold"}]'
	agent POST /v1/pulls "$(jq -cn --argjson w "$MODEL" '{tenant: "default", weights: $w}')"
	id=$(answer .id)
	origin_control "$CDN" "wait?reached=1"
	put c1 default "$(items hf://org/model '{"allow_patterns": ["config.json"]}')" 0
	expect_code 202
	put c2 default "$(items hf://org/missing)" 0
	expect_code 202
	new_process
	put c3 default "$(items hf://org/model '{"allow_patterns": ["tokenizer/*"]}')" 0
	expect_code 202
	agent DELETE "/v1/pulls/$id"
	wait_state c1 ready
	wait_state c2 failed
	wait_state c3 ready
}
