#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2034,SC2030,SC2031,SC2154
# Object stores through the agent: a tenant's secret or identity token, a published tree, a second look
# that brings only what changed, and a tenant who has no credential.

load lib
load sources

setup() {
	use_test_dir
	need jq openssl curl
	need_root
	make_service_account
	start_clouds --service-account "$T/account.json"
	jq --arg dir "$T/identity" '. + {identity_dir: $dir}' <<<"$CONFIG" >"$T/ballastd.json"
	mkdir -m 755 -p "$T/identity/default"
	printf 'CANARY-ID\n' >"$T/identity/default/aws"
	printf 'CANARY-ID\n' >"$T/identity/default/gcp"
	printf 'KEY\n' >"$T/identity/default/bt"
	add_secret default s "$S3_SECRET"
	add_secret default g "$(cat "$T/account.json")"
	start_agent
	put '{"bucket":"models","key":"llama/config.json","data":"one"}' \
		'{"bucket":"models","key":"llama/sub/模型 +%.bin","size":3000000}' \
		'{"bucket":"models","key":"llama/zero","data":""}'
}

teardown() { clean_up; }

# pull TENANT SOURCE AUTH [REFRESH]: $output is the pull's last answer, TREE its path if it is ready.
pull() {
	local id
	agent POST /v1/pulls "$(jq -cn --arg t "$1" --arg s "$2" --argjson a "$3" --argjson r "${4:-false}" \
		'{tenant: $t, refresh: $r, weights: [{source: $s, mount_location: "/m"} + (if $a then {auth: $a} else {} end)]}')"
	id=$(jq -r '.id // empty' <<<"$output")
	[ -n "$id" ] || return 0
	agent GET "/v1/pulls/$id?wait=60"
	TREE=$T/cache/trees/$(jq -r '.weights[0].manifest // "" | ltrimstr("sha256:")' <<<"$output")
}

assert_ready() {
	assert_equal "$(jq -r .state <<<"$output")" ready
}

answer_state() {
	jq -r .state <<<"$output"
}

assert_llama() {
	assert_equal "$(cd "$TREE" && find . -type f | sort)" "$(printf '%s\n' ./config.json './sub/模型 +%.bin' ./zero)"
	assert_equal "$(cat "$TREE/config.json")" "$1"
	assert_equal "$(stat -c %s "$TREE/sub/模型 +%.bin")" 3000000
}

refute_leaks() {
	if grep -E 'secret/KEY|CANARY|TOKEN-|BEGIN PRIVATE' "$T/agent.log" ||
		grep -rlE 'secret/KEY|CANARY|TOKEN-|BEGIN PRIVATE' "$T/cache"; then
		fail "a secret was written down"
	fi
}

@test "s3 through the agent: a tree, and a second look that brings what changed" {
	pull default s3://models/llama "$CUSTOM"
	assert_ready
	assert_llama one
	refute_leaks
	origin_control "$S3" reset
	put '{"bucket":"models","key":"llama/config.json","data":"two"}'
	pull default s3://models/llama "$CUSTOM" true
	assert_ready
	assert_llama two
	assert_equal "$(origin_stats "$S3" '.bytes["/models/llama/config.json"]')" 3
	assert_equal "$(origin_stats "$S3" '.bytes | keys | map(select(test("bin$"))) | length')" 0
	refute_leaks
}

@test "an object that changes in mid-download: looked at again, and only it is brought again" {
	put '{"bucket":"models","key":"mix/big","data":"old","size":20000000}' \
		'{"bucket":"models","key":"mix/other","size":3000000}' '{"bucket":"models","key":"mix/config.json","data":"one"}'
	origin_control "$S3" faults '[{"match":"GET /models/mix/big","kind":"hold","after":3,"times":1000}]'
	(origin_control "$S3" 'wait?reached=1'
		origin_control "$S3" 'wait?path=/models/mix/other&bytes=3000000'
		origin_control "$S3" 'wait?path=/models/mix/config.json&bytes=3'
		put '{"bucket":"models","key":"mix/big","data":"new","size":20000000}'
		origin_control "$S3" faults "[]"
		origin_control "$S3" release) 3>&- &
	local beside=$!
	pull default s3://models/mix "$CUSTOM"
	wait "$beside"
	assert_ready
	assert_equal "$(head -c 3 "$TREE/big")" new
	assert_equal "$(tr -d . <"$TREE/big" | sed 's/new//g' | wc -c)" 0
	assert_equal "$(origin_stats "$S3" '.bytes["/models/mix/other"]')" 3000000
	assert_equal "$(origin_stats "$S3" '.bytes["/models/mix/config.json"]')" 3
	[ "$(origin_stats "$S3" '.statuses["412"]')" -ge 1 ]
}

@test "s3, gs and bt by the tenant's identity" {
	put '{"bucket":"job2","key":"checkpoint-1/config.json","data":"one"}' \
		'{"bucket":"job2","key":"checkpoint-1/sub/模型 +%.bin","size":3000000}' \
		'{"bucket":"job2","key":"checkpoint-1/zero","data":""}'
	pull default s3://models/llama '{"auth_method":"AWS_OIDC","aws_oidc_role_arn":"arn:aws:iam::123456789012:role/reader","aws_oidc_region":"us-east-1"}'
	assert_ready
	assert_llama one
	pull default gs://models/llama '{"auth_method":"GCP_OIDC","gcp_oidc_service_account":"reader@project.iam.gserviceaccount.com","gcp_oidc_workload_id_provider":"projects/1/locations/global/workloadIdentityPools/pool/providers/provider"}'
	assert_ready
	pull default gs://models/llama '{"auth_method":"CUSTOM_SECRET","auth_secret_name":"g"}'
	assert_ready
	pull default bt://my-project null
	assert_ready
	refute_leaks
}

@test "another tenant, who has no credential, gets nothing of it" {
	pull default s3://models/llama "$CUSTOM"
	assert_ready
	pull other s3://models/llama "$CUSTOM"
	[ "$(jq -r .state <<<"$output")" != ready ] || fail "given away"
	[[ $output == *"secret_id is required: secret 's' is not on this node"* ]] || fail "$output"
	pull other s3://models/llama null
	[ "$(jq -r .state <<<"$output")" != ready ] || fail "given away"
	[[ $output == *"secret_id is required"* ]] || fail "$output"
	pull other bt://my-project null
	[ "$(jq -r .state <<<"$output")" != ready ] || fail "given away"
	add_secret poor s '{"aws_access_key_id":"AKIDPOOR","aws_secret_access_key":"secret/KEY+1"}'
	pull poor s3://models/llama "$CUSTOM"
	[[ $output == *"s3:ListBucket"* ]] || fail "$output"
	refute_leaks
}

@test "who may list and not read gets nothing of it, nor keeps what it had" {
	local source auth
	stop_agent
	jq '. + {authorisation_ttl: "0s"}' "$T/ballastd.json" >"$T/new.json"
	mv "$T/new.json" "$T/ballastd.json"
	start_agent
	add_secret other s "$S3_SECRET"
	add_secret other g "$(cat "$T/account.json")"
	for source in s3://models/llama gs://models/llama; do
		auth=$CUSTOM
		[[ $source == s3:* ]] || auth='{"auth_method":"CUSTOM_SECRET","auth_secret_name":"g"}'
		origin_control "$S3" listing false
		pull default "$source" "$auth"
		assert_ready
		origin_control "$S3" listing true
		pull other "$source" "$auth"
		[ "$(answer_state)" = failed ] || fail "given away: $output"
		[[ $output == *403* ]] || fail "$output"
		# Looked at again: every file is as it was, so that none would have to come.
		pull default "$source" "$auth" true
		[ "$(answer_state)" = failed ] || fail "authorised anew: $output"
		pull default "$source" "$auth"
		[ "$(answer_state)" = failed ] || fail "authorised anew: $output"
	done
	refute_leaks
}

# peak PID: kB
peak() {
	awk '/^VmHWM/ { print $2 }' "/proc/$1/status"
}

@test "s3 through the agent: 80,000 names take less than the 64 MiB that agent and fetch have together" {
	[ "$BUILD" != "${BUILD%/san}" ] && skip "a sanitizer's memory is not ours"
	local id total=0 fetch
	origin_control "$S3" long '{"bucket":"many","key":"model/shards/part-%07d-of-1000000-with-a-name-of-sixty.safetensors","count":80000}'
	agent POST /v1/pulls "$(jq -cn --argjson a "$CUSTOM" \
		'{tenant: "default", weights: [{source: "s3://many/model", mount_location: "/m", auth: $a}]}')"
	id=$(jq -r .id <<<"$output")
	until [ "$total" = 80000 ]; do
		agent GET "/v1/pulls/$id?wait=0.2"
		assert_equal "$(answer_state)" pending
		total=$(jq -r '.progress.files_total' <<<"$output")
	done
	fetch=$(pgrep -P "$AGENT_PID" -x ballast-fetch)
	total=$(($(peak "$AGENT_PID") + $(peak "$fetch")))
	agent DELETE "/v1/pulls/$id"
	[ "$total" -lt 57344 ] || fail "$total kB"
}
