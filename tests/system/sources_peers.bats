#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2034,SC2030,SC2031,SC2154
# Object stores that others wrote: s3rver and azurite (npm), moto (pip), fake-gcs-server and MinIO (Go), by
# `make peers`. Each is skipped by name where it is not installed. azurite, moto and MinIO check
# signatures; s3rver looks at the key alone, fake-gcs-server at nothing.

load lib
load sources

AZURE_ACCOUNT=devstoreaccount1
# The key that the emulators' documentation gives everybody.
AZURE_KEY='Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=='

setup() {
	use_test_dir
	need jq curl
	AUTH=$CUSTOM TOKEN='' REVISION=''
}

teardown() {
	leave_hosts
	clean_up
}

need_npm_peer() {
	need node
	[ -e "$PEERS/node_modules/.bin/$1" ] || skip "npm's $1 is not installed: make peers"
}

# start_peer NAME COMMAND...: PORT in the command stands for a free port; BASE when it answers.
start_peer() {
	local name=$1 port tries
	shift
	for tries in 1 2 3; do
		port=$(free_port)
		"${@//PORT/$port}" >"$T/$name.log" 2>&1 3>&- </dev/null &
		echo $! >>"$T/pids"
		BASE=http://127.0.0.1:$port
		if curl --silent --noproxy '*' --output /dev/null --retry 60 --retry-connrefused \
			--retry-delay 1 "$BASE/"; then
			return 0
		fi
	done
	fail "$name does not answer: $(cat "$T/$name.log")"
}

ODD=('100%25/a&b=c?.txt' config.json 'model 1+2%.bin' 'sub/模型 ü.txt')

assert_odd_files() {
	local name
	assert_done
	assert_listed "${ODD[@]}" zero
	for name in "${ODD[@]}"; do
		assert_equal "$(cat "$T/files/$name")" "$(printf "%.0sllama/${name//%/%%}" {1..10})"
	done
	assert_equal "$(stat -c %s "$T/files/zero")" 0
}

# ---- s3rver

start_s3rver() {
	need_npm_peer s3rver
	mkdir "$T/s3"
	# Its continuation tokens want a cipher that newer OpenSSL keeps among the legacy ones.
	NODE_OPTIONS=--openssl-legacy-provider start_peer s3rver node "$PEERS/node_modules/.bin/s3rver" \
		--directory "$T/s3" --address 127.0.0.1 --port PORT --no-vhost-buckets --configure-bucket models
	CONFIG=$(jq -n --arg base "$BASE" '{endpoints: {s3: $base, r2: $base}}')
	SECRET='{"aws_access_key_id":"S3RVER","aws_secret_access_key":"S3RVER"}'
}

# s3rver_put KEY DATA
s3rver_put() {
	local key
	key=$(command jq -rn --arg key "$1" '$key | split("/") | map(@uri) | join("/")')
	printf '%s' "$2" | curl --fail --silent --show-error --noproxy '*' --output /dev/null \
		--aws-sigv4 aws:amz:us-east-1:s3 --user S3RVER:S3RVER \
		--upload-file - --header "x-amz-content-sha256: UNSIGNED-PAYLOAD" "$BASE/models/$key"
}

@test "s3rver: a folder with odd names, an exact key, nothing" {
	local name
	start_s3rver
	for name in "${ODD[@]}"; do
		s3rver_put "llama/$name" "$(printf "%.0sllama/${name//%/%%}" {1..10})"
	done
	s3rver_put llama/zero ''
	s3rver_put llama-2/x x
	s3rver_put single.bin single
	job s3://models/llama
	assert_odd_files
	job r2://account.models/single.bin
	assert_done
	assert_equal "$(cat "$T/files/single.bin")" single
	job s3://models/none
	assert_error not_found
	job s3://missing/none
	assert_error not_found NoSuchBucket
	SECRET='{"aws_access_key_id":"NOBODY","aws_secret_access_key":"S3RVER"}'
	job s3://models/llama
	assert_error unauthorized InvalidAccessKeyId
}

@test "s3rver: pages to the end" {
	start_s3rver
	# As it lays them on disk: faster than 2,500 requests, and the listing is what is tried.
	mkdir -p "$T/s3/models/many"
	for number in $(seq -w 2500); do
		printf x >"$T/s3/models/many/file $number._S3rver_object"
		printf 9dd4e461268c8034f5c8564e155c67a6 >"$T/s3/models/many/file $number._S3rver_object.md5"
		printf '{"content-type":"x/y"}' >"$T/s3/models/many/file $number._S3rver_metadata.json"
	done
	job s3://models/many resolve
	assert_done
	assert_equal "$(listed | sort -u | wc -l)" 2500
}

# ---- azurite

start_azurite() {
	need_npm_peer azurite-blob
	mkdir "$T/azure"
	start_peer azurite node "$PEERS/node_modules/.bin/azurite-blob" --silent --disableTelemetry \
		--location "$T/azure" --blobHost 127.0.0.1 --blobPort PORT
	CONFIG=$(jq -n --arg base "$BASE" '{endpoints: {azure: $base}}')
	SECRET=$(jq -cn --arg key "$AZURE_KEY" '{account_key: $key}')
	jq -n '[$ARGS.positional[] | {name: ("llama/" + .)}] + [{name: "llama/zero", data: ""},
		{name: "llama-2/x"}, {name: "single.bin"}]' --args "${ODD[@]}" | azure_put models
}

azure_put() {
	"$FIXTURES/azure_put.py" "$BASE/$AZURE_ACCOUNT" "$AZURE_ACCOUNT" "$AZURE_KEY" "$1"
}

@test "azurite: a folder with odd names, an exact name, by the account's key" {
	start_azurite
	job azure://$AZURE_ACCOUNT/models/llama
	assert_odd_files
	assert_equal "$(listed 'has("md5")' | sort -u)" true
	job azure://$AZURE_ACCOUNT/models/single.bin
	assert_done
	assert_listed single.bin
	job azure://$AZURE_ACCOUNT/models resolve
	assert_done
	assert_equal "$(listed | wc -l)" 7
}

@test "azurite: blobs that mark folders, whatever the case that their mark is written in" {
	start_azurite
	jq -n '[("hdi_isfolder", "Hdi_isfolder") as $mark | ("marked/" + $mark) |
		{name: ., data: "", headers: {("x-ms-meta-" + $mark): "true"}}, {name: (. + "/x")}]' | azure_put models
	job azure://$AZURE_ACCOUNT/models/marked
	assert_done
	assert_listed Hdi_isfolder/x hdi_isfolder/x
}

@test "azurite: the account in the host's name" {
	start_azurite
	use_hosts "127.0.0.1 $AZURE_ACCOUNT.blob.example"
	CONFIG=$(jq -n --arg base "http://{account}.blob.example:${BASE##*:}" '{endpoints: {azure: $base}}')
	job azure://$AZURE_ACCOUNT/models/llama
	assert_odd_files
}

@test "azurite: a SAS token, and what it may not do" {
	start_azurite
	SECRET=$(jq -cn --arg sas "?$("$FIXTURES/azure_put.py" --sas $AZURE_ACCOUNT "$AZURE_KEY" 600)" '{sas_token: $sas}')
	job azure://$AZURE_ACCOUNT/models/llama
	assert_odd_files
	refute_said sig=
	SECRET=$(jq -cn --arg sas "$("$FIXTURES/azure_put.py" --sas $AZURE_ACCOUNT "$AZURE_KEY" 600 r)" '{sas_token: $sas}')
	job azure://$AZURE_ACCOUNT/models/llama
	assert_error forbidden "read and list"
	# Who may only list is told so, also by a job that brings nothing.
	SECRET=$(jq -cn --arg sas "$("$FIXTURES/azure_put.py" --sas $AZURE_ACCOUNT "$AZURE_KEY" 600 l)" '{sas_token: $sas}')
	job azure://$AZURE_ACCOUNT/models/llama resolve
	assert_error forbidden
	refute_said sig=
	SECRET=$(jq -cn --arg sas "$("$FIXTURES/azure_put.py" --sas $AZURE_ACCOUNT "$AZURE_KEY" -600)" '{sas_token: $sas}')
	job azure://$AZURE_ACCOUNT/models/llama
	assert_error unauthorized "has expired"
	refute_said sig=
	SECRET=$(jq -cn --arg sas "$("$FIXTURES/azure_put.py" --sas $AZURE_ACCOUNT "${AZURE_KEY/Eby8/Eby9}" 600)" '{sas_token: $sas}')
	job azure://$AZURE_ACCOUNT/models/llama
	assert_error forbidden AuthorizationFailure "SAS token"
	refute_said sig=
}

@test "azurite: pages to the end" {
	start_azurite
	printf '[{"name":"many/file %%04d","many":2500,"data":"x"}]' | azure_put models
	job azure://$AZURE_ACCOUNT/models/many resolve
	assert_done
	assert_equal "$(listed | sort -u | wc -l)" 2500
}

@test "azurite: what is wrong is said, with the next step" {
	start_azurite
	job azure://$AZURE_ACCOUNT/missing/x
	assert_error not_found ContainerNotFound
	job azure://$AZURE_ACCOUNT/models/none
	assert_error not_found
	SECRET=$(jq -cn --arg key "${AZURE_KEY/Eby8/Eby9}" '{account_key: $key}')
	job azure://$AZURE_ACCOUNT/models/llama
	assert_error forbidden account_key
	SECRET='{"account_key":"no base64!"}'
	job azure://$AZURE_ACCOUNT/models/llama
	assert_error config "account_key is not base64"
	SECRET='{"key":"x"}'
	job azure://$AZURE_ACCOUNT/models/llama
	assert_error config "account_key or sas_token is required"
	AUTH='' SECRET=''
	job azure://$AZURE_ACCOUNT/models/llama
	assert_error config "secret_id is required"
}

# ---- moto

start_moto() {
	[ -x "$PEERS/venv/bin/moto_server" ] || skip "pip's moto is not installed: make peers"
	start_peer moto "$PEERS/venv/bin/moto_server" -H 127.0.0.1 -p PORT
	KEYS=$("$PEERS/venv/bin/python3" "$FIXTURES/moto_put.py" "$@" "$BASE")
	CONFIG=$(jq -n --arg base "$BASE" '{endpoints: {s3: $base, sts: $base}}')
	SECRET=$(jq -c .reader <<<"$KEYS")
}

@test "moto: signatures, policies and promises as AWS's client made them" {
	start_moto
	job s3://models/llama
	assert_odd_files
	job s3://models/large
	assert_done
	assert_equal "$(listed '[.path, has("md5"), has("sha256")] | @csv' | tr -d '"')" \
		$'kms,false,false\nparts,false,false\nparts-sha256,false,false\nplain,true,false\nsha256,true,true'
	SECRET=$(jq -c .poor <<<"$KEYS")
	job s3://models/llama
	assert_error forbidden AccessDenied
	SECRET=$(jq -c '.reader | .aws_secret_access_key = "wrong"' <<<"$KEYS")
	job s3://models/llama
	assert_error unauthorized SignatureDoesNotMatch
}

@test "moto: AWS_OIDC" {
	start_moto --free
	AUTH=$(jq -c '{auth_method: "AWS_OIDC", aws_oidc_role_arn: .role, aws_oidc_region: "us-east-1"}' <<<"$KEYS")
	SECRET='' TOKEN=eyJhbGciOiJub25lIn0.e30.
	job s3://models/llama
	assert_odd_files
}

# ---- fake-gcs-server (it takes any token: the one that it gets is of clouds.py)

@test "fake-gcs-server: a folder with odd names, pages, an exact name" {
	local name
	[ -x "$PEERS/bin/fake-gcs-server" ] || skip "Go's fake-gcs-server is not installed: make peers"
	make_service_account
	start_clouds --service-account "$T/account.json"
	for name in "${ODD[@]}"; do
		mkdir -p "$(dirname "$T/gcs/models/llama/$name")"
		printf "%.0sllama/${name//%/%%}" {1..10} >"$T/gcs/models/llama/$name"
	done
	: >"$T/gcs/models/llama/zero"
	mkdir "$T/gcs/models/llama-2" "$T/gcs/models/many"
	printf x >"$T/gcs/models/llama-2/x"
	for name in $(seq -w 2500); do printf x >"$T/gcs/models/many/$name"; done
	start_peer gcs "$PEERS/bin/fake-gcs-server" -scheme http -host 127.0.0.1 -port PORT \
		-backend memory -data "$T/gcs" -log-level error
	CONFIG=$(jq --arg base "$BASE" '.endpoints.gs = $base' <<<"$CONFIG")
	SECRET=$(cat "$T/account.json")
	job gs://models/llama
	assert_odd_files
	assert_equal "$(listed 'has("md5") and has("crc32c") and has("generation")' | sort -u)" true
	job gs://models/llama-2/x
	assert_done
	assert_listed x
	job gs://models/many resolve
	assert_done
	assert_equal "$(listed | sort -u | wc -l)" 2500
	job gs://missing/x
	assert_error not_found
}

# ---- MinIO

# minio_put NAME DATA-FILE: by curl's own signatures; without a name, the bucket.
minio_put() {
	local key
	key=$(command jq -rn --arg key "$1" '$key | split("/") | map(@uri) | join("/")')
	curl --fail --silent --show-error --noproxy '*' --output /dev/null --aws-sigv4 aws:amz:us-east-1:s3 \
		--user minio:secret/KEY+1 --request PUT ${2:+--upload-file "$2"} "$BASE/models${key:+/$key}"
}

@test "MinIO: a folder with odd names, an exact key, wrong keys" {
	local name
	[ -x "$PEERS/bin/minio" ] || skip "Go's minio is not installed: make peers"
	mkdir "$T/minio"
	use_hosts '127.0.0.1 models.minio.example' '127.0.0.1 missing.minio.example'
	MINIO_DOMAIN=minio.example MINIO_ROOT_USER=minio MINIO_ROOT_PASSWORD=secret/KEY+1 MINIO_UPDATE=off MINIO_BROWSER=off \
		start_peer minio "$PEERS/bin/minio" server --quiet --address 127.0.0.1:PORT "$T/minio"
	CONFIG=$(jq -n --arg base "$BASE" '{endpoints: {s3: $base, cw: $base}}')
	SECRET='{"aws_access_key_id":"minio","aws_secret_access_key":"secret/KEY+1"}'
	minio_put ''
	for name in "${ODD[@]}"; do
		printf "%.0sllama/${name//%/%%}" {1..10} >"$T/data"
		minio_put "llama/$name" "$T/data"
	done
	: >"$T/empty"
	minio_put llama/zero "$T/empty"
	minio_put llama-2/x "$T/data"
	job s3://models/llama
	assert_odd_files
	job cw://models/llama-2/x
	assert_done
	assert_listed x
	CONFIG=$(jq -n --arg base "http://{bucket}.minio.example:${BASE##*:}" '{endpoints: {s3: $base, cw: $base}}')
	job s3://models/llama
	assert_odd_files
	job cw://models/llama-2/x
	assert_done
	job s3://missing/x
	assert_error not_found NoSuchBucket
	SECRET='{"aws_access_key_id":"minio","aws_secret_access_key":"wrong-wrong"}'
	job s3://models/llama
	assert_error unauthorized SignatureDoesNotMatch
}

# minio_session POLICY: SECRET is a session's that may do what the policy allows.
minio_session() {
	local answer
	answer=$(curl --fail --silent --show-error --noproxy '*' --aws-sigv4 aws:amz:us-east-1:sts --user minio:secret/KEY+1 \
		--data "Action=AssumeRole&Version=2011-06-15" --data-urlencode "Policy=$1" "$BASE/")
	member() { sed -n "s|.*<$1>\(.*\)</$1>.*|\1|p" <<<"$answer" | tr -d '\n'; }
	SECRET=$(jq -cn --arg id "$(member AccessKeyId)" --arg key "$(member SecretAccessKey)" \
		--arg token "$(member SessionToken)" \
		'{aws_access_key_id: $id, aws_secret_access_key: $key, aws_session_token: $token}')
}

@test "MinIO: a session that may list what lies beneath the path, and not the path" {
	[ -x "$PEERS/bin/minio" ] || skip "Go's minio is not installed: make peers"
	mkdir "$T/minio"
	MINIO_ROOT_USER=minio MINIO_ROOT_PASSWORD=secret/KEY+1 MINIO_UPDATE=off MINIO_BROWSER=off \
		start_peer minio "$PEERS/bin/minio" server --quiet --address 127.0.0.1:PORT "$T/minio"
	CONFIG=$(jq -n --arg base "$BASE" '{endpoints: {s3: $base}}')
	minio_put ''
	printf data >"$T/data"
	minio_put llama/x "$T/data"
	minio_put llama-2/x "$T/data"
	minio_session '{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":["s3:GetObject"],"Resource":["arn:aws:s3:::models/llama/*"]},
		{"Effect":"Allow","Action":["s3:ListBucket"],"Resource":["arn:aws:s3:::models"],
			"Condition":{"StringLike":{"s3:prefix":["llama/*"]}}}]}'
	job s3://models/llama
	assert_done
	assert_listed x
	job s3://models/llama/x
	assert_done
	job s3://models/llama-2
	assert_error forbidden AccessDenied
	SECRET=$(jq -c '.aws_session_token = "x"' <<<"$SECRET")
	job s3://models/llama
	assert_error unauthorized InvalidTokenId
}
