#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2034,SC2030,SC2031,SC2154
# s3, r2 and cw against a store that works out every signature for itself: what is listed, what
# comes, what a refusal says.

load lib
load sources

setup() {
	use_test_dir
	need jq openssl curl
}

teardown() { clean_up; }

@test "s3: a folder comes whole, without its siblings and without folder marks" {
	start_clouds
	put '{"bucket":"models","key":"llama/config.json"}' \
		'{"bucket":"models","key":"llama/model 1+2%.bin"}' \
		'{"bucket":"models","key":"llama/100%25/a&b=c?#;.txt"}' \
		'{"bucket":"models","key":"llama/sub/模型 ü.txt"}' \
		'{"bucket":"models","key":"llama/zero","data":""}' \
		'{"bucket":"models","key":"llama/","data":""}' \
		'{"bucket":"models","key":"llama/sub/","data":""}' \
		'{"bucket":"models","key":"llama-2/x"}' \
		'{"bucket":"models","key":"llama2"}' \
		'{"bucket":"models","key":"other"}'
	job s3://models/llama
	assert_done
	assert_listed '100%25/a&b=c?#;.txt' config.json 'model 1+2%.bin' 'sub/模型 ü.txt' zero
	for name in '100%25/a&b=c?#;.txt' config.json 'model 1+2%.bin' 'sub/模型 ü.txt'; do
		assert_equal "$(cat "$T/files/$name")" "$(printf "%.0sllama/${name//%/%%}" {1..10})"
	done
	assert_equal "$(stat -c %s "$T/files/zero")" 0
	assert_equal "$(origin_stats "$S3" '.statuses | del(."200", ."206") | length')" 0
}

@test "s3: a trailing slash and a whole bucket" {
	start_clouds
	put '{"bucket":"models","key":"a/x"}' '{"bucket":"models","key":"b"}'
	job s3://models/a/ resolve
	assert_listed x
	job s3://models resolve
	assert_listed a/x b
}

@test "s3: an exact key is one file under its own name" {
	start_clouds
	put '{"bucket":"models","key":"dir/model.bin"}' '{"bucket":"models","key":"dir/model.bin/x"}' \
		'{"bucket":"models","key":"dir/model.bin2"}'
	job s3://models/dir/model.bin
	assert_done
	assert_listed model.bin
	assert_equal "$(head -c 13 "$T/files/model.bin")" dir/model.bin
}

@test "s3: an empty object that marks a folder is the folder" {
	start_clouds
	put '{"bucket":"models","key":"dir","data":""}' '{"bucket":"models","key":"dir/x"}' \
		'{"bucket":"models","key":"alone","data":""}'
	job s3://models/dir resolve
	assert_listed x
	job s3://models/alone resolve
	assert_listed alone
}

@test "s3: nothing there, no bucket" {
	start_clouds
	put '{"bucket":"models","key":"a"}'
	job s3://models/nothing
	assert_error not_found "no files"
	job s3://missing/a
	assert_error not_found s3://missing/a "no such bucket" NoSuchBucket
}

@test "s3: ten thousand objects in pages" {
	start_clouds --page 777
	put '{"bucket":"models","key":"many/file %05d+","many":10000,"data":"x"}' \
		'{"bucket":"models","key":"many-more/x"}'
	job s3://models/many resolve
	assert_done
	assert_equal "$(listed | wc -l)" 10000
	assert_equal "$(listed | sort -u | wc -l)" 10000
	assert_equal "$(listed | sed -n '1p;$p')" $'file 00000+\nfile 09999+'
	# one look for the exact key, then 10000 / 777 pages
	assert_equal "$(origin_stats "$S3" '.requests["/models"]')" 14
}

@test "s3: a listing that never ends is given up" {
	start_clouds
	put '{"bucket":"models","key":"a"}'
	origin_control "$S3" faults '[{"match":"list-type=2","kind":"status","status":200,"body":
		"<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>x</NextContinuationToken></ListBucketResult>"}]'
	job s3://models/llama
	assert_error origin "does not come to its end"
	[ "$(origin_stats "$S3" '.requests["/models"]')" -lt 10 ]
}

@test "s3: hostile names refuse the whole source" {
	local key
	for key in '../x' 'a//b' 'a/./b' 'a\\b' '/etc/x' 'a\nb' 'x\u007f'; do
		start_clouds
		put '{"bucket":"models","key":"llama/fine"}' "{\"bucket\":\"models\",\"key\":\"llama/$key\"}"
		job s3://models/llama
		assert_error hostile
		assert_equal "$(find "$T/files" -type f | wc -l)" 0
	done
	put '{"bucket":"both","key":"m/a"}' '{"bucket":"both","key":"m/a/b"}' '{"bucket":"both","key":"m/a.c"}'
	job s3://both/m
	assert_error hostile
	put '{"bucket":"case","key":"m/README"}' '{"bucket":"case","key":"m/readme"}'
	job s3://case/m
	assert_done
}

@test "s3: whoever may read a key but not list gets that key" {
	start_clouds
	put '{"bucket":"models","key":"dir/model.bin"}'
	SECRET='{"aws_access_key_id":"AKIDPOOR","aws_secret_access_key":"secret/KEY+1"}'
	job s3://models/dir/model.bin
	assert_done
	assert_listed model.bin
	job s3://models/dir
	assert_error forbidden "s3:ListBucket" AccessDenied
}

@test "s3: a bucket in another region is asked there, signed anew" {
	local answer
	for answer in 301 400; do
		start_clouds --region eu-central-1 --region-answer "$answer"
		put '{"bucket":"models","key":"llama/a"}' '{"bucket":"models","key":"llama/b"}'
		job s3://models/llama
		assert_done
		assert_listed a b
		assert_equal "$(origin_stats "$S3" ".statuses[\"$answer\"]")" 1
	done
	SECRET=$(jq -c '.aws_region = "eu-central-1"' <<<"$S3_SECRET")
	origin_control "$S3" reset
	job s3://models/llama
	assert_done
	assert_equal "$(origin_stats "$S3" '.statuses["400"]')" null
	# r2 has one region alone: nobody moves it
	job r2://account.models/llama
	assert_error config "another region"
}

@test "s3: a region that is none, which would lead to another host, is not gone to" {
	local region
	start_clouds
	put '{"bucket":"models","key":"llama/a"}'
	for region in 'evil.example/' 'a@evil.example' "$(printf 'a%.0s' {1..41})" ''; do
		origin_control "$S3" reset
		origin_control "$S3" faults "$(jq -cn --arg r "$region" '[{server: "s3", match: "GET /models", kind: "status",
			status: 301, headers: {"x-amz-bucket-region": $r}, times: 1}]')"
		job s3://models/llama
		assert_error config "another region"
		assert_equal "$(origin_stats "$S3" '.requests["/models"]')" 1
	done
}

@test "s3: temporary keys need their session token" {
	start_clouds
	put '{"bucket":"models","key":"llama/a"}'
	SECRET='{"aws_access_key_id":"ASIATEST","aws_secret_access_key":"secret/KEY+1","aws_session_token":"SESSION\n"}'
	job s3://models/llama
	assert_done
	SECRET=$(jq -c 'del(.aws_session_token)' <<<"$SECRET")
	job s3://models/llama
	assert_error unauthorized aws_session_token
	origin_control "$S3" expire
	SECRET=$(jq -c '.aws_session_token = "SESSION"' <<<"$SECRET")
	job s3://models/llama
	assert_error unauthorized "has expired" "new key"
}

@test "s3: r2 and cw by the same protocol" {
	start_clouds --region auto
	put '{"bucket":"models","key":"llama/a"}'
	job r2://abc123.models/llama
	assert_done
	assert_listed a
	start_clouds
	put '{"bucket":"models","key":"llama/a"}'
	job cw://models/llama
	assert_done
	job cw://models resolve
	assert_listed llama/a
}

@test "s3: what is wrong with a credential is said, with the next step" {
	start_clouds
	put '{"bucket":"models","key":"llama/a"}'
	AUTH='' SECRET=''
	job s3://models/llama
	assert_error config "secret_id is required" auth_secret_name
	job r2://abc.models/llama
	assert_error config "secret_id is required"
	AUTH=$CUSTOM
	SECRET='{"access_key_id":"AKIDTEST","secret_access_key":"secret/KEY+1"}'
	job s3://models/llama
	assert_error config "aws_access_key_id and aws_secret_access_key are required in S3 credentials" \
		'"access_key_id"'
	SECRET='{"aws_access_key_id":"AKIDTEST"}'
	job s3://models/llama
	assert_error config "aws_access_key_id and aws_secret_access_key are required in S3 credentials"
	SECRET='AKIDTEST:secret/KEY+1'
	job s3://models/llama
	assert_error config s3://models/llama "secret 's'" "must be a JSON object"
	SECRET='{"aws_access_key_id":"AKIDTEST\r\nX-Evil: 1","aws_secret_access_key":"x"}'
	job s3://models/llama
	assert_error config "control character"
	SECRET='{"aws_access_key_id":"AKIDTEST","aws_secret_access_key":"x","aws_region":"evil.example/"}'
	job s3://models/llama
	assert_error config aws_region "secret 's'"
	# A key in the region's place is shown by nothing, and no host's name is made of it.
	SECRET='{"aws_access_key_id":"AKIDTEST","aws_secret_access_key":"x","aws_region":"s3cretvalue1s3cretvalue1s3cretvalue1abcd"}'
	job s3://models/llama
	assert_error config "aws_region in the secret: is no region"
	refute_said '[sS]3cretvalue'
	SECRET='{"aws_access_key_id":"AKIDNONE","aws_secret_access_key":"secret/KEY+1"}'
	job s3://models/llama
	assert_error unauthorized aws_access_key_id InvalidAccessKeyId
	SECRET='{"aws_access_key_id":"AKIDTEST","aws_secret_access_key":"secret/KEY+2"}'
	job s3://models/llama
	assert_error unauthorized aws_secret_access_key SignatureDoesNotMatch
}

@test "s3: an answer that is no listing is said, with the next step" {
	local body
	start_clouds
	put '{"bucket":"models","key":"llama/a"}'
	for body in '' '{"error":"no"}' '<!DOCTYPE html><html><body>login</body></html>' '<html/>' \
		'<!DOCTYPE l [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><ListBucketResult>&b;</ListBucketResult>' \
		'<ListBucketResult><IsTruncated>yes</IsTruncated></ListBucketResult>' \
		'<ListBucketResult><Contents><Key>llama/a</Key><Size>-1</Size></Contents></ListBucketResult>'; do
		origin_control "$S3" faults "$(jq -n --arg b "$body" '[{match: "list-type=2", kind: "status", status: 200, body: $b}]')"
		job s3://models/llama
		assert_error hostile s3://models/llama "check that the endpoint"
	done
	# nobody says where the bucket is
	origin_control "$S3" faults '[{"match":"list-type=2","kind":"status","status":307,"body":"",
		"headers":{"Location":"https://elsewhere.example/"}}]'
	job s3://models/llama
	assert_error config "another region" aws_region
}

@test "s3: AWS_OIDC: what STS answers" {
	local body code
	start_clouds
	put '{"bucket":"models","key":"llama/a"}'
	AUTH='{"auth_method":"AWS_OIDC","aws_oidc_role_arn":"arn:aws:iam::123456789012:role/reader","aws_oidc_region":"us-east-1"}'
	SECRET='' TOKEN=CANARY-ID
	# keys that are empty, or would add a header
	for body in '<a><AccessKeyId/><SecretAccessKey/><SessionToken/><Expiration>2099-01-01T00:00:00Z</Expiration></a>' \
		'<a><AccessKeyId>A</AccessKeyId><SecretAccessKey>S</SecretAccessKey><SessionToken>TOKEN-&#13;&#10;X: y</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></a>' \
		'<a><AccessKeyId>A</AccessKeyId><SecretAccessKey>S</SecretAccessKey><SessionToken>T</SessionToken></a>' \
		'<!DOCTYPE html><html><body>login</body></html>'; do
		origin_control "$S3" faults "$(jq -n --arg b "$body" '[{server: "sts", match: "POST", kind: "status", status: 200, body: $b}]')"
		job s3://models/llama
		assert_error origin s3://models/llama "AWS STS"
		assert_equal "$(origin_stats "$S3" '.requests["/models"]')" null
	done
	# 400, and yet another try may go well
	for code in IDPCommunicationError Throttling; do
		origin_control "$S3" faults "[{\"server\":\"sts\",\"match\":\"POST\",\"kind\":\"status\",\"status\":400,
			\"body\":\"<ErrorResponse><Error><Code>$code</Code></Error></ErrorResponse>\"}]"
		job s3://models/llama
		assert_error origin "$code" "try again later"
	done
	TOKEN=$' \n'
	job s3://models/llama
	assert_error config "the identity token of this tenant is empty"
}

@test "r2: a store of another region is told as the endpoint's fault: its secret names none" {
	start_clouds --region us-west-2
	put '{"bucket":"models","key":"llama/a"}'
	job r2://account.models/llama
	assert_error config PermanentRedirect 'endpoint "r2"'
	refute_said aws_region
}

@test "s3: a policy that lets list what lies beneath the path, and not the path" {
	start_clouds
	put '{"bucket":"models","key":"llama/a"}' '{"bucket":"models","key":"llama-2/a"}'
	origin_control "$S3" faults '[{"match":"list-type=2.*prefix=llama(&|$)","kind":"status","status":403,"body":
		"<Error><Code>AccessDenied</Code></Error>"}]'
	job s3://models/llama
	assert_done
	assert_listed a
	origin_control "$S3" faults '[{"match":"list-type=2","kind":"status","status":403,"body":
		"<Error><Code>AccessDenied</Code></Error>"}]'
	job s3://models/llama
	assert_error forbidden AccessDenied
}

@test "s3: an origin's own text is not repeated" {
	start_clouds
	put '{"bucket":"models","key":"llama/a"}'
	origin_control "$S3" faults '[{"match":"list-type=2","kind":"status","status":403,"body":
		"<Error><Code>secret/KEY+1</Code><Message>secret/KEY+1</Message></Error>"}]'
	job s3://models/llama
	assert_error forbidden "s3:ListBucket"
}

@test "s3: AWS_OIDC: keys for the identity token, renewed when they end" {
	start_clouds --region us-west-2
	put '{"bucket":"models","key":"llama/a"}' '{"bucket":"models","key":"llama/b"}'
	AUTH='{"auth_method":"AWS_OIDC","aws_oidc_role_arn":"arn:aws:iam::123456789012:role/reader","aws_oidc_region":"us-west-2"}'
	SECRET='' TOKEN=$'CANARY-ID\n'
	job s3://models/llama
	assert_done
	assert_listed a b
	assert_equal "$(origin_stats "$S3" '.requests["/"]')" 1
	TOKEN=OLD
	job s3://models/llama
	assert_error unauthorized "identity token has expired"
	TOKEN=FORGED
	job s3://models/llama
	assert_error unauthorized "does not accept the identity token"
	TOKEN=CANARY-ID
	AUTH=$(jq -c '.aws_oidc_role_arn = "arn:aws:iam::123456789012:role/other"' <<<"$AUTH")
	job s3://models/llama
	assert_error forbidden "trust policy"
	TOKEN=''
	job s3://models/llama
	assert_error config "no identity token"
}

@test "s3: AWS_OIDC: keys that end at once are got again for each request" {
	start_clouds --token-seconds 1
	put '{"bucket":"models","key":"llama/a"}'
	AUTH='{"auth_method":"AWS_OIDC","aws_oidc_role_arn":"arn:aws:iam::123456789012:role/reader","aws_oidc_region":"us-east-1"}'
	SECRET='' TOKEN=CANARY-ID
	job s3://models/llama
	assert_done
	[ "$(origin_stats "$S3" '.requests["/"]')" -ge 3 ]
}

# start_with_sts_once SECONDS: STS gives keys for so long, once; then the identity token has expired.
start_with_sts_once() {
	start_clouds --token-seconds "$1"
	put '{"bucket":"models","key":"llama/a"}'
	AUTH='{"auth_method":"AWS_OIDC","aws_oidc_role_arn":"arn:aws:iam::123456789012:role/reader","aws_oidc_region":"us-east-1"}'
	SECRET='' TOKEN=CANARY-ID
	origin_control "$S3" faults '[{"match":"POST /","kind":"status","status":400,"after":1,"body":
		"<ErrorResponse><Error><Code>ExpiredTokenException</Code></Error></ErrorResponse>"}]'
}

@test "s3: AWS_OIDC: keys that are good still outlive the identity token" {
	start_with_sts_once 200
	job s3://models/llama
	assert_done
	assert_equal "$(origin_stats "$S3" '.requests["/"]')" 2
	# and where they are not, whoever begins again does so with a new one
	start_with_sts_once 0
	job s3://models/llama
	assert_error origin "identity token has expired" "is kept"
}

@test "s3: an object whose listing begins with a page of no names" {
	start_clouds
	put '{"bucket":"models","key":"llama/a"}'
	origin_control "$S3" faults '[{"match":"list-type=2.*max-keys=1&","kind":"status","status":200,"times":1,"body":
		"<ListBucketResult><IsTruncated>true</IsTruncated><KeyCount>0</KeyCount><NextContinuationToken>QQ==</NextContinuationToken></ListBucketResult>"}]'
	job s3://models/llama/a
	assert_done
	assert_listed a
}

@test "s3: a Content-Encoding that an object was stored with is no encoding of the answer" {
	start_clouds
	put '{"bucket":"models","key":"l/a.gz","data":"as it is stored","headers":{"Content-Encoding":"gzip"}}' \
		'{"bucket":"models","key":"l/b","headers":{"Content-Encoding":"aws-chunked"}}'
	job s3://models/l
	assert_done
	assert_equal "$(cat "$T/files/a.gz")" "as it is stored"
}

@test "s3: a listing that goes in circles ends" {
	local page='<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>%s</NextContinuationToken>
		<Contents><Key>llama/a%s</Key><Size>1</Size></Contents></ListBucketResult>'
	start_clouds
	put '{"bucket":"models","key":"a"}'
	origin_control "$S3" faults "$(jq -n --arg page "$page" '
		def answer($from; $to): {match: ("list-type=2" + $from), kind: "status", status: 200, body:
			($page | sub("%s"; $to) | sub("%s"; $to))};
		[answer(".*token=x"; "y"), answer(".*token=y"; "z"), answer(".*token=z"; "x"), answer(""; "x")]')"
	job s3://models/llama
	assert_error origin "does not come to its end"
	[ "$(origin_stats "$S3" '.requests["/models"]')" -lt 15 ]
}

@test "s3: what the store promises of large objects" {
	local sum
	start_clouds
	sum=$(head -c 17000000 /dev/zero | openssl dgst -sha256 -binary | base64)
	put '{"bucket":"models","key":"l/plain","size":17000000}' \
		"{\"bucket\":\"models\",\"key\":\"l/sha256\",\"size\":17000000,\"headers\":
			{\"x-amz-checksum-sha256\":\"$sum\",\"x-amz-checksum-type\":\"FULL_OBJECT\"}}" \
		"{\"bucket\":\"models\",\"key\":\"l/composite\",\"size\":17000000,\"etag\":\"\\\"0123-2\\\"\",\"headers\":
			{\"x-amz-checksum-sha256\":\"$sum\",\"x-amz-checksum-type\":\"COMPOSITE\"}}" \
		"{\"bucket\":\"models\",\"key\":\"l/untold\",\"size\":17000000,\"etag\":\"\\\"0123-2\\\"\",\"headers\":
			{\"x-amz-checksum-sha256\":\"$sum\"}}" \
		'{"bucket":"models","key":"l/kms","size":17000000,"headers":{"x-amz-server-side-encryption":"aws:kms"}}' \
		'{"bucket":"models","key":"l/small"}'
	job s3://models/l resolve
	assert_done
	assert_equal "$(listed '[.path, has("md5"), has("sha256"), has("etag")] | @csv' | tr -d '"')" \
		$'composite,false,false,true\nkms,false,false,true\nplain,true,false,true\nsha256,true,true,true\nsmall,false,false,true\nuntold,false,false,true'
}

@test "s3: bytes that do not have the promised MD5 are refused" {
	start_clouds
	put '{"bucket":"models","key":"l/big","size":17000000}'
	job s3://models/l
	assert_done
	origin_control "$S3" faults '[{"match":"GET /models/l/big","kind":"flip"}]'
	job s3://models/l
	assert_error corrupt l
}

@test "s3: the CRCs of objects whose ETag is no MD5 are checked" {
	local name
	start_clouds
	put "$(jq -n '{nvme: {"x-amz-checksum-crc64nvme": "xTWfGwKf3Ww="}, crc32: {"x-amz-checksum-crc32": "D74yQw=="},
		castagnoli: {"x-amz-checksum-crc32c": "sTc0rA=="}} | to_entries[] |
		{bucket: "models", key: ("l/" + .key), size: 17000000, etag: "\"0123-2\"",
			headers: (.value + {"x-amz-checksum-type": "FULL_OBJECT"})}')"
	job s3://models/l
	assert_done
	assert_equal "$(listed '[.path, .crc64nvme, .crc32, .crc32c] | @csv' | tr -d '"')" \
		$'castagnoli,,,b13734ac\ncrc32,,0fbe3243,\nnvme,c5359f1b029fdd6c,,'
	for name in castagnoli crc32 nvme; do
		origin_control "$S3" faults "[{\"match\":\"GET /models/l/$name\",\"kind\":\"flip\"}]"
		job s3://models/l
		assert_error corrupt "$name"
	done
}

@test "s3: an object that wants a key of the customer's own is told as that" {
	start_clouds
	put '{"bucket":"models","key":"llama/a"}'
	# S3 lists such an object as any other; HEAD has no body, and of a range's answer none is kept.
	origin_control "$S3" faults '[{"match":"(GET|HEAD) /models/llama/a","kind":"status","status":400,"body":
		"<Error><Code>InvalidRequest</Code></Error>"}]'
	job s3://models/llama
	assert_error forbidden "s3://models/llama: a: 400" SSE-C
}

@test "s3: an object that is replaced while it is read is no mixture" {
	start_clouds
	put '{"bucket":"models","key":"l/a","size":3000000}'
	origin_control "$S3" faults '[{"match":"GET /models/l/a","kind":"replace"}]'
	job s3://models/l
	[ "$status" -eq 1 ] || fail "taken"
	[[ $output == *"changed"* ]]
}

@test "s3: a redirect to another host gets no credential" {
	start_clouds
	put '{"bucket":"models","key":"l/a"}'
	origin_control "$S3" faults "[{\"server\":\"s3\",\"match\":\"GET /models/l/a\",\"kind\":\"redirect\",\"to\":\"$CDN/models/l/a\"}]"
	job s3://models/l
	assert_error forbidden
	assert_equal "$(origin_stats "$S3" '.log | map(select(test("^GET /models/l/a 400"))) | length')" 0
	assert_equal "$(origin_stats "$S3" '.log | map(select(test("^GET /models/l/a 403"))) | length > 0')" true
}

@test "s3: a million names are refused early, within bounds" {
	start_clouds
	origin_control "$S3" long '{"bucket":"many","key":"model/shards/part-%07d-of-1000000.safetensors","count":1000000}'
	mkdir -p "$T/secrets/default"
	printf '%s' "$S3_SECRET" >"$T/secrets/default/s"
	printf '%s' "$CONFIG" >"$T/hand.json"
	run /usr/bin/python3 -c 'import resource, subprocess, sys
status = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
print("kB:", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status)' "$BUILD/ballast-fetch" plan --config="$T/hand.json" --secrets-dir="$T/secrets" \
		--auth-secret-name=s s3://many/model
	assert_status 64
	assert_output "names fill the 18 MiB"
	assert_output allow_patterns
	[ "$(origin_stats "$S3" '.requests["/many"]')" -lt 200 ]
	[ "$BUILD" != "${BUILD%/san}" ] || [ "${output##*kB: }" -lt 40960 ] || fail "$output"
}

@test "by hand: a secret or an identity token, as the agent would give them" {
	local oidc='{"auth_method":"AWS_OIDC","aws_oidc_role_arn":"arn:aws:iam::123456789012:role/reader","aws_oidc_region":"us-east-1"}'
	start_clouds
	put '{"bucket":"models","key":"llama/a"}' '{"bucket":"job2","key":"c/d"}'
	jq --arg dir "$T/identity" '. + {identity_dir: $dir}' <<<"$CONFIG" >"$T/hand.json"
	mkdir -p "$T/identity/team" "$T/secrets/team"
	printf 'CANARY-ID\n' >"$T/identity/team/aws"
	printf 'KEY\n' >"$T/identity/team/bt"
	printf '%s' "$S3_SECRET" >"$T/secrets/team/s"
	hand plan --tenant=team --auth="$oidc" s3://models/llama
	assert_status 0
	assert_output '  a  '
	hand plan --tenant=team --auth="$CUSTOM" s3://models/llama
	assert_status 0
	hand pull --tenant=team --auth="$oidc" s3://models/llama "$T/out"
	assert_status 0
	assert_equal "$(cat "$T/out/a")" "$(printf 'llama/a%.0s' {1..10})"
	hand plan --tenant=team bt://my-project
	assert_status 0
	hand plan --tenant=other --auth="$oidc" s3://models/llama
	assert_status 64
	assert_output "identity token 'aws' cannot be read"
	assert_output "must be a file of at most 64 KiB"
	hand plan --tenant=team --auth="$oidc" --auth-secret-name=s s3://models/llama
	assert_status 64
	hand plan --auth='{' s3://models/llama
	assert_status 64
	assert_output "--auth: "
	printf 'weights:\n- {source: "s3://models/llama", mount_location: /m, auth: %s}\n' "$oidc" >"$T/config.yaml"
	run "$BUILD/ballast" plan --config="$T/hand.json" --tenant=team "$T/config.yaml"
	assert_status 0
	assert_output '  a  '
	jq 'del(.identity_dir)' "$T/hand.json" >"$T/none.json" && mv "$T/none.json" "$T/hand.json"
	hand plan --tenant=team --auth="$oidc" s3://models/llama
	assert_status 64
	assert_output "IDENTITY_DIR/team/aws"
}

hand() {
	local command=$1
	shift
	run "$BUILD/ballast-fetch" "$command" --config="$T/hand.json" --secrets-dir="$T/secrets" "$@"
	refute_output CANARY
	refute_output secret/KEY
}
