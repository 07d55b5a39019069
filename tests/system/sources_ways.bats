#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2034,SC2030,SC2031,SC2154
# The way to a store: by a proxy, by which host's name, and names that lead where nobody may go.
# fetch_net.bats has the rest of it.

load lib
load sources

setup() {
	use_test_dir
	need jq curl openssl
	mkdir "$T/www"
	printf 'the weights\n' >"$T/www/model.bin"
	AUTH='' SECRET='' TOKEN='' REVISION=''
}

teardown() {
	leave_hosts
	clean_up
	[ ! -e "$T/squid" ] || xargs rm -rf <"$T/squid"
}

assert_weights() {
	assert_done
	assert_equal "$(cat "$T/files/file")" "the weights"
}

# start_squid [deny]: PROXY is its URL; $SQUID/access.log has a line for every request.
start_squid() {
	local port
	need squid
	# It wants another user than root, who must reach its directory: bats' own is root's alone.
	SQUID=$(mktemp -d)
	echo "$SQUID" >>"$T/squid"
	chmod 777 "$SQUID"
	port=$(free_port)
	cat >"$SQUID/squid.conf" <<-CONF
		http_port 127.0.0.1:$port
		http_access ${1:-allow} all
		cache deny all
		pid_filename none
		access_log stdio:$SQUID/access.log
		cache_log $SQUID/cache.log
		coredump_dir none
		shutdown_lifetime 0
	CONF
	chmod 644 "$SQUID/squid.conf"
	squid -N -f "$SQUID/squid.conf" >"$T/squid.log" 2>&1 3>&- </dev/null &
	echo $! >>"$T/pids"
	SQUID_PID=$!
	PROXY=http://127.0.0.1:$port
	curl --silent --noproxy '*' --output /dev/null --retry 15 --retry-connrefused --retry-delay 1 "$PROXY/" ||
		fail "squid does not answer: $(cat "$T/squid.log" "$SQUID/cache.log")"
}

# Its log is whole when it has ended.
stop_squid() {
	kill "$SQUID_PID"
	"$FIXTURES/process.py" wait "$SQUID_PID" 20
}

@test "a certificate that has expired" {
	make_tls
	openssl x509 -req -in "$T/tls.csr" -CA "$T/ca.pem" -CAkey "$T/ca.key" -CAcreateserial -days -1 \
		-extfile <(echo subjectAltName=IP:127.0.0.1) -out "$T/tls.pem" 2>/dev/null
	start_origin --tls "$T/tls.pem" "$T/tls.key" "$T/www"
	CONFIG=$(jq -n --arg o "$ORIGIN" --arg ca "$T/ca.pem" '{allowed_origins: [$o], ca_file: $ca}')
	job "$ORIGIN/model.bin"
	assert_error origin TLS expired
}

@test "a proxy: the stores go through it too, signed for the origin" {
	start_squid
	start_clouds
	put '{"bucket":"models","key":"llama/a b"}'
	CONFIG=$(jq -c --arg p "$PROXY" '.proxy = {url: $p}' <<<"$CONFIG")
	job s3://models/llama
	assert_done
	assert_listed 'a b'
	stop_squid
	grep -q "$S3/models" "$SQUID/access.log"
	# what the proxy writes down holds neither key nor signature
	refute_logged
}

refute_logged() {
	if grep -E 'AKIDTEST|secret/KEY|Signature=' "$SQUID/access.log"; then
		fail "the proxy has seen it in a URL"
	fi
}

@test "a proxy that is not there, and one that refuses" {
	CONFIG='{"proxy":{"url":"http://127.0.0.1:1"}}'
	job https://example.com/model.bin
	assert_error origin proxy
	start_squid deny
	CONFIG=$(jq -n --arg p "$PROXY" '{proxy: {url: $p}}')
	job https://example.com/model.bin
	assert_error origin proxy
}

@test "a proxy: names of inner networks are not asked for through it" {
	local name
	start_squid
	CONFIG=$(jq -n --arg p "$PROXY" '{proxy: {url: $p}}')
	for name in localhost metadata.google.internal metadata 0x7f.1 2130706433 '[::ffff:169.254.169.254]' \
		'[64:ff9b::a9fe:a9fe]' minio.storage.svc.cluster.local $'169\xe3\x80\x82254\xe3\x80\x82169\xe3\x80\x82254'; do
		job "https://$name/latest/meta-data"
		[ "$status" -eq 1 ] || fail "$name: $status"
		[[ $(jq -r .class <<<"$output") == @(forbidden|config) ]] || fail "$name: $output"
	done
	stop_squid
	run grep -c CONNECT "$SQUID/access.log"
	assert_equal "$output" 0
}

@test "names that lead to addresses which are nobody's business are refused, unless allowed" {
	local name port
	make_tls DNS:inner.example
	start_origin --tls "$T/tls.pem" "$T/tls.key" "$T/www"
	port=$REPLY
	use_hosts '127.0.0.1 inner.example' '169.254.169.254 meta.example' '10.1.2.3 ten.example' \
		'::1 six.example' 'fd00:ec2::254 ec2.example' '::ffff:127.0.0.1 mapped.example' \
		'100.64.0.1 shared.example' 'fe80::1 link.example' '0.0.0.0 any.example'
	CONFIG=$(jq -n --arg ca "$T/ca.pem" '{ca_file: $ca}')
	for name in inner meta ten six ec2 mapped shared link any; do
		job "https://$name.example:$port/model.bin"
		assert_error forbidden allowed_
	done
	assert_equal "$(origin_stats "$ORIGIN" '.requests | length')" 0
	CONFIG=$(jq -c '.allowed_networks = ["127.0.0.0/8"]' <<<"$CONFIG")
	job "https://inner.example:$port/model.bin"
	assert_weights
}

@test "endpoints by host: the bucket or the account is a part of the name" {
	local scheme
	start_clouds --s3-host s3.example
	use_hosts '127.0.0.1 models.s3.example'
	CONFIG=$(jq -c --arg s3 "http://{bucket}.s3.example:${S3##*:}" '.endpoints = {s3: $s3, cw: $s3}' <<<"$CONFIG")
	put '{"bucket":"models","key":"llama/a b"}' '{"bucket":"models","key":"llama/c/d","data":""}'
	for scheme in s3 cw; do
		job $scheme://models/llama
		assert_done
		assert_listed 'a b' c/d
		assert_equal "$(origin_stats "$S3" '.requests | keys | map(select(startswith("/models"))) | length')" 0
	done
	job s3://dotted.name/x
	assert_error config "part of a host's name"
}

# offline SOURCE TEXT...: job, where no network is: what is asked for can be seen in the error, which has these
# texts. Beside the test: most of the time goes into pauses before another try. all_offline waits for all.
offline() {
	(
		T=$(mktemp -d -p "$T")
		printf '#!/bin/sh\nexec unshare --net "%s/ballast-fetch" "$@"\n' "$BUILD" >"$T/ballast-fetch"
		chmod 755 "$T/ballast-fetch"
		BUILD=$T job "$1"
		assert_error origin "${@:2}"
	) 3>&- &
	OFFLINE+=($!)
}

all_offline() {
	local pid
	for pid in "${OFFLINE[@]}"; do wait "$pid"; done
}

@test "the stores' own hosts, where the operator names no endpoint" {
	local want source
	unshare --net true || skip "no network namespaces here"
	CONFIG='{}' AUTH=$CUSTOM
	SECRET='{"aws_access_key_id":"AKIDTEST","aws_secret_access_key":"secret/KEY+1","account_key":"MDEy"}'
	while read -r source want; do
		offline "$source" "https://$want:443" "looked up"
	done <<-'TABLE'
		s3://models/x models.s3.us-east-1.amazonaws.com
		s3://dotted.models/x s3.us-east-1.amazonaws.com
		r2://abc123.models/x abc123.r2.cloudflarestorage.com
		cw://models/x models.cwobject.com
		azure://account/models/x account.blob.core.windows.net
	TABLE
	SECRET='{"aws_access_key_id":"AKIDTEST","aws_secret_access_key":"secret/KEY+1","aws_region":"eusc-de-east-1"}'
	offline s3://models/x "https://models.s3.eusc-de-east-1.amazonaws.eu:443"
	SECRET='{"aws_access_key_id":"AKIDTEST","aws_secret_access_key":"secret/KEY+1","account_key":"MDEy"}'
	CONFIG='{"endpoints": {"azure": "https://{account}.blob.core.usgovcloudapi.net",
		"r2": "https://{account}.eu.r2.cloudflarestorage.com", "cw": "https://{bucket}.cwlota.com"}}'
	while read -r source want; do
		offline "$source" "https://$want:443" "looked up"
	done <<-'TABLE'
		azure://account/models/x account.blob.core.usgovcloudapi.net
		r2://abc123.models/x abc123.eu.r2.cloudflarestorage.com
		cw://models/x models.cwlota.com
	TABLE
	all_offline
}

@test "azure: a SAS token is looked at before it is sent" {
	local sas
	CONFIG='{"endpoints": {"azure": "http://127.0.0.1:1"}}' AUTH=$CUSTOM
	for sas in 'https://account.blob.core.windows.net/models?sv=1&sig=CANARY' '?sv=1&sig=CANARY x' 'sv=1&sp=rl' \
		'?https://a/?sig=CANARY'; do
		SECRET=$(jq -n --arg s "$sas" '{sas_token: $s}')
		job azure://account/models/x
		assert_error config "secret 's'" sas_token copy
	done
	# each form in which Azure takes a time
	for sas in 2020-01-01 2020-01-01T00:00Z 2020-01-01T00%3A00Z 2020-01-01T00%3A00%3A00Z 2020-01-01T00:00:00.1234567Z; do
		SECRET="{\"sas_token\":\"?sv=1&se=$sas&sig=CANARY\"}"
		job azure://account/models/x
		assert_error unauthorized expired "make a new one"
	done
	SECRET='{"sas_token":"?sv=1&se=2999-01-01&sig=CANARY\n"}'
	job azure://account/models/x
	assert_error origin "cannot connect"
}
