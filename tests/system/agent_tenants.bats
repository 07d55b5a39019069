#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Who may have what: promises A1 to A4 and C2 of the agent, with gated and private repositories.

load lib
load agent

setup() {
	use_test_dir
	make_model "$T/model"
	start_hub --repo org/model="$T/model" --repo org/gated="$T/model" --repo org/private="$T/model" \
		--gated org/gated=token-a --gated org/gated=token-b --private org/private=token-a --token token-c \
		--renamed org/old=org/gated
	agent_config
	start_agent
	add_secret team-a hf token-a
	add_secret team-b hf token-b
	add_secret team-c hf token-c
	new_process
	GATED=$(items hf://org/gated '{"auth_secret_name": "hf"}')
	PRIVATE=$(items hf://org/private '{"auth_secret_name": "hf"}')
}
teardown() { clean_up; }

# put_as TENANT WEIGHTS: for a new container
put_as() {
	new_process
	put "of-$1-$PID" "$1" "$2"
}

restart_with() {
	stop_agent
	agent_config "$1"
	start_agent
}

@test "tenants: gated content goes to one whose own token was accepted, on a hit too" {
	put_as team-a "$GATED"
	expect_code 200
	tree=$(answer '.weights[0].path')
	# No credential, a token without access, and no secret at all: refused, although it is here.
	put_as team-d "$(items hf://org/gated)"
	expect_code 401
	put_as team-c "$GATED"
	expect_code 403
	put_as team-d "$GATED"
	expect_code 422
	# With access of its own, from the same bytes, without another download of the weights.
	before=$(bytes_of 'safetensors|^/repos')
	put_as team-b "$GATED"
	expect_code 200
	assert_equal "$(answer '.weights[0].path')" "$tree"
	assert_equal "$(bytes_of 'safetensors|^/repos')" "$before"
}

@test "tenants: that a gated repository's model card is open opens nothing else of it" {
	head -c 100 /dev/zero | tr "\\0" x >"$T/model/README.md"
	origin_control "$HUB" rescan
	put_as team-a "$GATED"
	expect_code 200
	put_as team-c "$GATED"
	expect_code 403
	put_as team-c "$(items hf://org/gated '{"auth_secret_name": "hf", "allow_patterns": ["README.md"]}')"
	expect_code 200
	assert_equal "$(ls "$(answer '.weights[0].path')")" README.md
	# Nor where the card is the largest of what is asked for.
	put_as team-c "$(items hf://org/gated '{"auth_secret_name": "hf", "allow_patterns": ["README.md", "tokenizer/*"]}')"
	expect_code 403
}

@test "tenants: who names another credential does not wait for the answer to the first one" {
	add_secret team-a other token-c
	origin_control "$HUB" faults '[{"match": "/api/", "kind": "hold", "times": 1}]'
	new_process
	curl --silent --unix-socket "$T/agent.sock" --request PUT \
		--data "$(body team-a "$(items hf://org/gated '{"auth_secret_name": "other"}')")" \
		--output "$T/answer.other" "http://agent/v1/containers/other?wait=60" 3>&- &
	first=$!
	origin_control "$HUB" "wait?reached=1"
	put_as team-a "$GATED"
	expect_code 200
	origin_control "$HUB" release
	wait "$first"
	assert_equal "$(jq -r .status "$T/answer.other")" 403
}

@test "tenants: that a gated repository was renamed, which anybody is told, opens nothing of it" {
	local old
	# Of small files the bytes themselves are asked for.
	old=$(items hf://org/old '{"auth_secret_name": "hf", "allow_patterns": ["*.safetensors"]}')
	put_as team-a "$old"
	expect_code 200
	put_as team-c "$old"
	expect_code 403
}

@test "tenants: hit and miss look alike to one who may not have it" {
	put_as team-c "$GATED"
	miss="$status_code $output"
	put_as team-a "$GATED"
	expect_code 200
	put_as team-c "$GATED"
	assert_equal "$status_code $output" "$miss"
	put_as team-d "$(items hf://org/private)"
	expect_code 401
}

@test "tenants: another's secret cannot be named" {
	local name
	for name in ../team-a/hf team-a/hf '..%2fteam-a%2fhf' .. hf/; do
		put_as team-d "$(items hf://org/gated "$(jq -cn --arg n "$name" '{auth_secret_name: $n}')")"
		expect_code 422
	done
	put_as team-d "$GATED"
	expect_code 422
	for name in .. . ../team-a 'team-a/../team-a' '' 'team a'; do
		put_as "$name" "$MODEL" 2>/dev/null || true
		new_process
		agent PUT /v1/containers/evil "$(body "$name" "$GATED")"
		expect_code 400
	done
	ln -s team-a "$T/secrets/team-x"
	put_as team-x "$GATED"
	expect_code 422
	chmod 644 "$T/secrets/team-a/hf"
	put_as team-a "$GATED"
	expect_code 422
	[[ $(answer .detail) == *0644*0600* ]]
}

@test "tenants: within the recorded authorisation a warm start asks nobody, another tenant is refused" {
	put_as team-a "$PRIVATE"
	expect_code 200
	end_spawned hub
	put_as team-a "$PRIVATE"
	expect_code 200
	put_as team-b "$PRIVATE"
	expect_code 502
}

@test "tenants: after the ttl the origin is asked again; while it is away the grace holds" {
	restart_with '.authorisation_ttl = "0s" | .authorisation_grace = "1d"'
	put_as team-a "$PRIVATE"
	expect_code 200
	origin_control "$HUB" reset
	put_as team-a "$PRIVATE"
	expect_code 200
	[ "$(origin_stats "$HUB" '[.requests[]] | add')" -gt 0 ]
	# Nothing but the listing was asked for, and whether the weights would be given.
	assert_equal "$(origin_stats "$HUB" '[.requests | keys[] | select(test("repos"))] | length')" 0
	assert_equal "$(bytes_of 'safetensors|repos')" 0

	end_spawned hub
	put_as team-a "$PRIVATE"
	expect_code 200
	restart_with '.authorisation_ttl = "0s" | .authorisation_grace = "0s"'
	put_as team-a "$PRIVATE"
	expect_code 502
}

@test "tenants: damage that is found once the origin has said yes again is counted, and brought anew" {
	restart_with '.authorisation_ttl = "0s" | .authorisation_grace = "1d"'
	put_as team-a "$PRIVATE"
	expect_code 200
	rm -f "$(answer '.weights[0].path')/config.json"
	put_as team-a "$PRIVATE"
	expect_code 200
	diff -r "$T/model" "$(answer '.weights[0].path')"
	grep -q "was damaged on disk (.*'config.json' is missing); it is fetched again" "$T/agent.log"
	agent GET /metrics
	grep -qx 'ballast_damaged_blobs_total 1' <<<"$output"
}

@test "tenants: a token that the origin no longer accepts ends the authorisation" {
	restart_with '.authorisation_ttl = "0s" | .authorisation_grace = "1d"'
	put_as team-a "$GATED"
	expect_code 200
	add_secret team-a hf token-c
	put_as team-a "$GATED"
	expect_code 403
	# The grace is for an origin that cannot be asked, not for one that has said no.
	end_spawned hub
	put_as team-a "$GATED"
	expect_code 502
}

@test "tenants: public content is shared, and needs no second download" {
	put_as team-a "$(items hf://org/model)"
	expect_code 200
	end_spawned hub
	put_as team-b "$(items hf://org/model)"
	expect_code 200
}

@test "tenants: a listing that claims another's digest gets nothing by it" {
	put_as team-a "$PRIVATE"
	expect_code 200
	secret=$(sha256sum <"$T/model/model.safetensors" | cut -c1-64)
	# A repository of the attacker's own lists a file by that digest, but cannot send its bytes.
	mkdir "$T/evil"
	head -c 1048576 /dev/zero >"$T/evil/model.safetensors"
	start_hub --repo evil/repo="$T/evil"
	origin_control "$HUB" tree "$(jq -cn --arg oid "$secret" '{repo: "evil/repo", entries: [
		{type: "file", oid: ("0" * 40), path: "stolen.safetensors", size: 1048576,
		 lfs: {oid: $oid, size: 1048576, pointerSize: 133}}]}')"
	restart_with .
	put_as team-d "$(items hf://evil/repo)"
	[ "$status_code" -ge 400 ] || fail "$output"
	assert_equal "$(find "$T/cache/trees" -name stolen.safetensors | wc -l)" 0
}

@test "tenants: no secret in a log, an answer, a metric, an argument or a file of ours" {
	put_as team-a "$GATED"
	expect_code 200
	put_as team-c "$GATED"
	said=$output
	agent GET /metrics
	said+=$output
	agent GET /v1/containers
	said+=$output
	[[ $said != *token-* ]]
	run grep -rl -e token-a -e token-c "$T/agent.log" "$T/cache" --exclude-dir=trees --exclude-dir=blobs
	assert_equal "$output" ""
}

@test "tenants: a directory that the agent makes for its socket lets the group reach it" {
	stop_agent
	start_agent --socket="$T/made/agent.sock"
	assert_equal "$(stat -c %a "$T/made" "$T/made/agent.sock" | xargs)" "755 600"
}

@test "tenants: only root may PUT, defer, DELETE; the group may GET, and pull for its tenants" {
	getent group nogroup >/dev/null || skip "no group nogroup"
	restart_with '.socket_group = "nogroup" | .group_tenants = ["team-g"]'
	chmod 755 "$T"
	chmod o+x "$BATS_RUN_TMPDIR" "$BATS_TEST_TMPDIR/.."
	as() {
		output=$(setpriv --reuid 65534 --regid "$1" --clear-groups curl --silent --unix-socket "$T/agent.sock" \
			--request "$2" --data "${4:-}" --write-out '\n%{http_code}' "http://agent$3" || true)
		status_code=${output##*$'\n'}
		output=${output%$'\n'*}
	}
	local group
	group=$(getent group nogroup | cut -d: -f3)
	assert_equal "$(stat -c '%a %G' "$T/agent.sock")" "660 nogroup"
	as "$group" GET /v1/containers
	expect_code 200
	as "$group" PUT /v1/containers/x "$(body team-g '[]')"
	expect_code 403
	as "$group" POST /v1/containers/x/defer '{}'
	expect_code 403
	as "$group" DELETE /v1/containers/x
	expect_code 403
	as "$group" GET /v1/cache
	expect_code 200
	local tree
	tree=sha256:$(printf '0%.0s' {1..64})
	for route in "POST /v1/cache/gc" "POST /v1/cache/verify" "DELETE /v1/cache/$tree" "PUT /v1/cache/$tree/pin" \
		"DELETE /v1/cache/$tree/pin"; do
		as "$group" ${route% *} "${route#* }"
		expect_code 403
	done
	# A pull of another tenant is as if it were not there.
	agent POST /v1/pulls "$(jq -cn --argjson w "$(items hf://org/model)" '{tenant: "team-a", weights: $w}')"
	local id
	id=$(answer .id)
	as "$group" GET "/v1/pulls/$id"
	expect_code 404
	as "$group" DELETE "/v1/pulls/$id"
	expect_code 404
	as "$group" POST /v1/pulls "$(jq -cn --argjson w "$(items hf://org/model)" '{tenant: "team-a", weights: $w}')"
	expect_code 403
	as "$group" POST /v1/pulls "$(jq -cn --argjson w "$(items hf://org/model)" '{tenant: "team-g", weights: $w}')"
	expect_code 202
	# Its own pull it may see and end; another tenant's is none to it.
	local own other
	own=$(answer .id)
	agent POST /v1/pulls "$(jq -cn --argjson w "$(items hf://org/model)" '{tenant: "team-a", weights: $w}')"
	expect_code 202
	other=$(answer .id)
	for method in GET DELETE; do
		as "$group" "$method" "/v1/pulls/$other"
		expect_code 404
	done
	agent GET "/v1/pulls/$other?wait=60"
	assert_equal "$(answer .state)" ready
	as "$group" GET "/v1/pulls/$own"
	expect_code 200
	as "$group" DELETE "/v1/pulls/$own"
	expect_code 204
	# As usermod -aG makes somebody a member: by a group beside the own one.
	output=$(setpriv --reuid 65534 --regid 54321 --groups "$group" curl --silent --unix-socket "$T/agent.sock" \
		--output /dev/null --write-out '%{http_code}' http://agent/v1/containers)
	assert_equal "$output" 200
	# Another user is kept out by the socket's mode.
	as 54321 GET /v1/containers
	expect_code 000
}

@test "tenants: many tenants at once for one public source are one download" {
	local i pids=()
	origin_control "$CDN" reset
	for i in $(seq 16); do
		new_process
		curl --silent --unix-socket "$T/agent.sock" --request PUT --data "$(body "tenant-$i" "$(items hf://org/model)")" \
			--output "$T/answer.$i" "http://agent/v1/containers/many-$i?wait=60" 3>&- &
		pids+=($!)
	done
	wait "${pids[@]}"
	assert_equal "$(jq -r .state "$T"/answer.* | sort | uniq -c | xargs)" "16 ready"
	assert_equal "$(origin_stats "$CDN" '[.bytes | to_entries[] | select(.key | test("^/api/models") | not) | .value] | add')" \
		"$(cat "$T/model/model.safetensors" "$T/model/config.json" "$T/model/tokenizer/vocab.txt" | wc -c)"
	# With a credential each tenant's own is asked about, and the bytes still come once for each at most.
	put_as team-a "$GATED"
	expect_code 200
	put_as tenant-1 "$(items hf://org/gated)"
	expect_code 401
}

@test "tenants: one who has it by a credential opens it to nobody who waits at the same time" {
	restart_with '.authorisation_ttl = "0s" | .authorisation_grace = "1d"'
	put_as team-a "$GATED"
	expect_code 200
	# The origin is away; team-a's grace holds, and another's start at the same time gains nothing.
	end_spawned hub
	new_process
	curl --silent --unix-socket "$T/agent.sock" --request PUT --data "$(body team-a "$(items hf://org/gated)")" \
		--output "$T/answer.a" "http://agent/v1/containers/a?wait=60" 3>&- &
	first=$!
	new_process
	curl --silent --unix-socket "$T/agent.sock" --request PUT --data "$(body team-d "$(items hf://org/gated)")" \
		--output "$T/answer.d" "http://agent/v1/containers/d?wait=60" 3>&- &
	wait "$first" $!
	assert_equal "$(jq -r .state "$T/answer.a")" ready
	assert_equal "$(jq -r .status "$T/answer.d")" 502
}
