#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2034,SC2030,SC2031,SC2154
# gs against a store that knows only the tokens it gave out, and a token server that verifies the
# service account's signature.

load lib
load sources

setup() {
	use_test_dir
	need jq openssl curl
}

teardown() { clean_up; }

start_gs() {
	make_service_account
	start_clouds --service-account "$T/account.json" "$@"
	SECRET=$(cat "$T/account.json")
}

PROVIDER=projects/1/locations/global/workloadIdentityPools/pool/providers/provider
OIDC="{\"auth_method\":\"GCP_OIDC\",\"gcp_oidc_service_account\":\"reader@project.iam.gserviceaccount.com\",\"gcp_oidc_workload_id_provider\":\"$PROVIDER\"}"

@test "gs: a folder comes whole, pinned to generations, by a service account" {
	start_gs
	put '{"bucket":"models","key":"llama/config.json"}' \
		'{"bucket":"models","key":"llama/model 1+2%.bin"}' \
		'{"bucket":"models","key":"llama/100%25/a&b=c?#;.txt"}' \
		'{"bucket":"models","key":"llama/sub/模型 ü.txt"}' \
		'{"bucket":"models","key":"llama/zero","data":""}' \
		'{"bucket":"models","key":"llama/","data":""}' \
		'{"bucket":"models","key":"llama-2/x"}' '{"bucket":"models","key":"llama2"}' \
		'{"bucket":"models","key":"llama/composite","md5":false}'
	job gs://models/llama
	assert_done
	assert_listed '100%25/a&b=c?#;.txt' composite config.json 'model 1+2%.bin' 'sub/模型 ü.txt' zero
	for name in '100%25/a&b=c?#;.txt' config.json 'model 1+2%.bin' 'sub/模型 ü.txt'; do
		assert_equal "$(cat "$T/files/$name")" "$(printf "%.0sllama/${name//%/%%}" {1..10})"
	done
	assert_equal "$(listed 'select(.path == "composite") | [has("md5"), has("crc32c"), has("generation")] | @csv')" \
		false,true,true
	assert_equal "$(origin_stats "$GS" '.log | map(select(test("alt=media")) | test("generation=")) | all')" true
	assert_equal "$(origin_stats "$GS" '.requests["/token"]')" 1
}

@test "gs: an exact name is one file; nothing, no bucket" {
	start_gs
	put '{"bucket":"models","key":"dir/model.bin"}' '{"bucket":"models","key":"dir/model.bin2"}'
	job gs://models/dir/model.bin
	assert_done
	assert_listed model.bin
	job gs://models/none
	assert_error not_found "no files"
	job gs://missing/x
	assert_error not_found gs://missing/x "bucket's spelling"
}

@test "gs: who may list a managed folder alone" {
	start_gs
	put '{"bucket":"models","key":"llama/a"}' '{"bucket":"models","key":"llama-2/a"}'
	origin_control "$GS" faults '[{"match":"prefix=llama&","kind":"status","status":403}]'
	job gs://models/llama
	assert_done
	assert_listed a
	origin_control "$GS" faults '[{"match":"prefix=llama","kind":"status","status":403}]'
	job gs://models/llama
	assert_error forbidden storage.objects.list
}

@test "gs: ten thousand objects in pages" {
	start_gs --page 900
	put '{"bucket":"models","key":"many/file %05d","many":10000,"data":"x"}'
	job gs://models/many resolve
	assert_done
	assert_equal "$(listed | sort -u | wc -l)" 10000
	assert_equal "$(origin_stats "$GS" '.requests["/storage/v1/b/models/o"]')" 13
}

@test "gs: bytes that do not have the promised digest are refused, CRC-32C too" {
	start_gs
	put '{"bucket":"models","key":"l/md5","size":100000}'
	origin_control "$GS" faults '[{"match":"alt=media","kind":"flip"}]'
	job gs://models/l
	assert_error corrupt md5
	start_gs
	put '{"bucket":"models","key":"l/crc","size":100000,"md5":false}'
	origin_control "$GS" faults '[{"match":"alt=media","kind":"flip"}]'
	job gs://models/l
	assert_error corrupt crc
}

@test "gs: an object that is replaced after it was listed is a change, not another file" {
	start_gs
	put '{"bucket":"models","key":"l/a","size":100000}'
	origin_control "$GS" faults '[{"match":"alt=media","kind":"status","status":404}]'
	job gs://models/l
	assert_error origin changed
}

@test "gs: tokens that end at once are got again" {
	start_gs --token-seconds 1
	put '{"bucket":"models","key":"l/a"}'
	job gs://models/l
	assert_done
	[ "$(origin_stats "$GS" '.requests["/token"]')" -ge 3 ]
}

@test "gs: GCP_OIDC: exchange, then the service account's token" {
	start_gs
	put '{"bucket":"models","key":"l/a"}'
	AUTH=$OIDC SECRET='' TOKEN=$'CANARY-ID\n'
	job gs://models/l
	assert_done
	assert_listed a
	assert_equal "$(origin_stats "$GS" '.requests["/token"]')" null
	TOKEN=CANARY-FORGED
	job gs://models/l
	assert_error unauthorized "token exchange" gcp_oidc_workload_id_provider
	TOKEN=CANARY-ID
	AUTH=$(jq -c '.gcp_oidc_service_account = "other@project.iam.gserviceaccount.com"' <<<"$OIDC")
	job gs://models/l
	assert_error forbidden gcp_oidc_service_account workloadIdentityUser
	TOKEN=''
	job gs://models/l
	assert_error config "no identity token"
}

@test "gs: one object: behind a page of no names, and looked at again" {
	start_gs
	put '{"bucket":"models","key":"llama/a.bin"}' '{"bucket":"models","key":"llama/b.bin"}'
	origin_control "$GS" faults '[{"match":"maxResults=1&","kind":"status","status":200,"times":1,"body":"{\"nextPageToken\":\"A\"}"}]'
	job gs://models/llama/a.bin
	assert_done
	assert_listed a.bin
	mkdir -p "$T/secrets/default"
	cp "$T/account.json" "$T/secrets/default/g"
	echo "$CONFIG" >"$T/fetch.json"
	origin_control "$GS" faults '[{"match":"alt=media","kind":"status","status":412,"times":1}]'
	run "$BUILD/ballast-fetch" pull --config="$T/fetch.json" --secrets-dir="$T/secrets" --auth-secret-name=g gs://models/llama/a.bin "$T/out"
	assert_status 0
	assert_equal "$(ls "$T/out")" a.bin
}

@test "gs: what is wrong with a credential is said, with the next step" {
	start_gs
	put '{"bucket":"models","key":"l/a"}'
	AUTH='' SECRET=''
	job gs://models/l
	assert_error config "no credentials configured: need either OIDC config or secret_id"
	AUTH=$CUSTOM
	SECRET='not json'
	job gs://models/l
	assert_error config "must be a JSON object"
	SECRET='{"type":"authorized_user"}'
	job gs://models/l
	assert_error config authorized_user "service account"
	# a credential in the wrong place
	SECRET='{"type":"ya29.a-token"}'
	job gs://models/l
	assert_error config "service account"
	[[ $output != *ya29* ]] || fail "$output"
	SECRET=$(jq -c 'del(.private_key)' "$T/account.json")
	job gs://models/l
	assert_error config private_key
	SECRET=$(jq -c '.private_key = "-----BEGIN KEY-----"' "$T/account.json")
	job gs://models/l
	assert_error config "secret 's'" "no RSA key" "as it was downloaded"
	# as tools write it that escape twice
	SECRET=$(jq -c '.private_key |= gsub("\n"; "\\n")' "$T/account.json")
	job gs://models/l
	# Without the backslash itself, which is shown as two.
	assert_error config "no RSA key" "a backslash and an n, once"
	# a key that the server does not know
	SECRET=$(openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 2>/dev/null |
		jq -cR --slurp --slurpfile a "$T/account.json" '$a[0] + {private_key: .}')
	job gs://models/l
	assert_error unauthorized "does not accept the service account's key"
	# a token_uri of another host, where the operator has not set one
	SECRET=$(jq -c '.token_uri = "https://evil.example/token"' "$T/account.json")
	CONFIG=$(jq -c 'del(.endpoints.sts)' <<<"$CONFIG")
	job gs://models/l
	assert_error config token_uri
	# a key of another cloud than Google's own
	SECRET=$(jq -c '.universe_domain = "cloud.example"' "$T/account.json")
	job gs://models/l
	assert_error config universe_domain endpoints
}

@test "gs: a token server's answer that is no token is not sent on" {
	start_gs
	put '{"bucket":"models","key":"l/a"}'
	for body in '{}' '{"access_token":""}' '{"access_token":7}' '{"access_token":"TOKEN-x\r\nX-Evil: 1"}' '<html>login</html>'; do
		origin_control "$GS" faults "$(jq -n --arg b "$body" '[{match: "/token", kind: "status", status: 200, body: $b}]')"
		job gs://models/l
		assert_error origin "token server answers without a token"
	done
}

@test "gs: the store's refusals" {
	start_gs
	put '{"bucket":"models","key":"l/a"}'
	origin_control "$GS" faults '[{"match":"prefix=","kind":"status","status":403,"body":"{\"error\":{\"message\":\"TOKEN-x\"}}"}]'
	job gs://models/l
	assert_error forbidden storage.objects.list objectViewer
	origin_control "$GS" faults '[{"match":"prefix=","kind":"status","status":401}]'
	job gs://models/l
	assert_error unauthorized "access token"
	origin_control "$GS" faults '[{"match":"prefix=","kind":"status","status":200,"body":"<html>login</html>"}]'
	job gs://models/l
	assert_error hostile gs://models/l "no listing" "check that the endpoint"
	origin_control "$GS" faults '[{"match":"prefix=","kind":"status","status":400,"body":"{\"error\":{\"message\":\"TOKEN-x\"}}"}]'
	job gs://models/l
	assert_error forbidden gs://models/l "requester pays"
	origin_control "$GS" faults '[{"match":"alt=media","kind":"status","status":400}]'
	job gs://models/l
	assert_error forbidden "gs://models/l: a: 400" CSEK
}
