# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154
# The way to the origin: where fetch may connect to, proxies, certificates, and where secrets go.

load lib
load fetch

setup() {
	use_test_dir
	need_built ballast-fetch
	make_model "$T/model" 3000000
	mkdir "$T/www"
	head -c 3000000 /dev/urandom >"$T/www/m.bin"
}

teardown() {
	clean_up
	[ -z "${SQUID:-}" ] || rm -rf "$SQUID"
}

@test "an origin that the operator does not name is refused, in every spelling of this node" {
	start_origin "$T/www"
	echo '{}' >"$T/fetch.json"
	port=${ORIGIN##*:}
	for host in 127.0.0.1 127.1 2130706433 0x7f000001 017700000001 0 localhost localhost. LOCALHOST \
		'[::1]' '[::ffff:127.0.0.1]' '[::ffff:7f00:1]' '[::127.0.0.1]' '[64:ff9b::7f00:1]' '[::]' \
		169.254.169.254 10.0.0.1 100.64.0.1 192.168.1.1 172.31.0.1 '[fe80::1]' '[fd00:ec2::254]' \
		'%31%32%37.0.0.1' '127。0。0。1'; do
		run fetch plan "https://$host:$port/m.bin"
		[ "$status" -eq 77 ] || [ "$status" -eq 64 ] || fail "$host: $status $output"
	done
	assert_equal "$(origin_stats "$ORIGIN" '.requests | length')" 0
}

@test "a name that resolves to this node is refused where the socket is made" {
	start_origin "$T/www"
	echo '{}' >"$T/fetch.json"
	grep -q localhost /etc/hosts || skip "no localhost in /etc/hosts"
	run fetch plan "https://localhost:${ORIGIN##*:}/m.bin"
	assert_status 77
	assert_output "is at"
	assert_output "allowed_networks"
}

@test "allowed_networks and allowed_origins open the way, each for itself" {
	make_tls
	start_origin --tls "$T/tls.pem" "$T/tls.key" "$T/www"
	jq -n --arg ca "$T/ca.pem" '{ca_file: $ca, allowed_networks: ["127.0.0.0/8", "::1/128"]}' >"$T/fetch.json"
	run fetch pull "$ORIGIN/m.bin" "$T/out"
	assert_status 0
	cmp "$T/www/m.bin" "$T/out/file"
	jq -n --arg ca "$T/ca.pem" --arg o "$ORIGIN" '{ca_file: $ca, allowed_origins: [$o]}' >"$T/fetch.json"
	run fetch pull "$ORIGIN/m.bin" "$T/out2"
	assert_status 0
}

@test "TLS: self-signed, another host's name, no CA: refused, with the next step" {
	make_tls DNS:example.com
	start_origin --tls "$T/tls.pem" "$T/tls.key" "$T/www"
	jq -n --arg o "$ORIGIN" '{allowed_origins: [$o]}' >"$T/fetch.json"
	run fetch plan "$ORIGIN/m.bin"
	assert_status 75
	assert_output "TLS with"
	assert_output "ca_file"
	jq -n --arg o "$ORIGIN" --arg ca "$T/ca.pem" '{allowed_origins: [$o], ca_file: $ca}' >"$T/fetch.json"
	run fetch plan "$ORIGIN/m.bin"
	assert_status 75
	assert_output "TLS with"
	# The authority is known: another one would not help.
	assert_output "the origin needs a certificate that is for that name"
	refute_output ca_file
}

@test "an origin that has IPv6 only" {
	[ -e /proc/net/if_inet6 ] || skip "no IPv6 here"
	make_tls IP:::1
	start_origin --address ::1 --tls "$T/tls.pem" "$T/tls.key" "$T/www" || skip "no ::1 here"
	url="https://[::1]:${ORIGIN##*:}"
	jq -n --arg o "$url" --arg ca "$T/ca.pem" '{allowed_origins: [$o], ca_file: $ca}' >"$T/fetch.json"
	run fetch pull "$url/m.bin" "$T/out"
	assert_status 0
	cmp "$T/www/m.bin" "$T/out/file"
}

# start_squid: a real proxy on $PROXY that lets through to any port; its log is $SQUID/access.log.
start_squid() {
	need squid
	# as root it changes to a user who cannot enter $T
	SQUID=$(mktemp -d /tmp/ballast-squid.XXXXXX)
	chmod 777 "$SQUID"
	PROXY_PORT=$(free_port)
	cat >"$SQUID/conf" <<-END
		http_port 127.0.0.1:$PROXY_PORT
		http_access allow all
		cache deny all
		access_log stdio:$SQUID/access.log
		cache_log $SQUID/cache.log
		pid_filename none
		coredump_dir $SQUID
		shutdown_lifetime 0 seconds
		via off
	END
	squid -N -n "ballast$$" -f "$SQUID/conf" >"$SQUID/out" 2>&1 3>&- &
	SQUID_PID=$!
	echo "$SQUID_PID" >>"$T/pids"
	timeout 20 bash -c "until exec 4<>/dev/tcp/127.0.0.1/$PROXY_PORT; do :; done" 2>/dev/null ||
		fail "squid does not start: $(cat "$SQUID/out")"
}

# Its log is whole when it has ended: it writes of a tunnel some time after that has ended.
stop_squid() {
	kill "$SQUID_PID"
	"$FIXTURES/process.py" wait "$SQUID_PID"
}

@test "the operator's proxy, with a private CA behind it, and no_proxy" {
	make_tls
	start_origin --tls "$T/tls.pem" "$T/tls.key" "$T/www"
	start_squid
	jq -n --arg o "$ORIGIN" --arg ca "$T/ca.pem" --arg p "http://127.0.0.1:$PROXY_PORT" \
		'{allowed_origins: [$o], ca_file: $ca, proxy: {url: $p}}' >"$T/fetch.json"
	run fetch pull "$ORIGIN/m.bin" "$T/out"
	assert_status 0
	cmp "$T/www/m.bin" "$T/out/file"
	stop_squid
	grep -q "CONNECT 127.0.0.1:${ORIGIN##*:}" "$SQUID/access.log"
	# Nobody listens there any more.
	run fetch plan "$ORIGIN/m.bin"
	assert_status 75
	assert_output "proxy"
	jq '.proxy.no_proxy = ["127.0.0.0/8"]' "$T/fetch.json" >"$T/no.json" && mv "$T/no.json" "$T/fetch.json"
	run fetch pull "$ORIGIN/m.bin" "$T/out2"
	assert_status 0
}

@test "an address that is refused is refused behind a proxy too" {
	start_squid
	jq -n --arg p "http://127.0.0.1:$PROXY_PORT" '{proxy: {url: $p}}' >"$T/fetch.json"
	run fetch plan https://169.254.169.254/latest/meta-data
	assert_status 77
	stop_squid
	run grep 169.254 "$SQUID/access.log"
	assert_status 1
}

@test "a canary token: in no message, argument, file, or request to another place" {
	start_hub --repo "owner/model=$T/model" --private owner/model=hf_canary
	hub_config
	mkdir -p "$T/secrets/default"
	printf 'hf_canary' >"$T/secrets/default/hub"
	start_origin "$T/www"
	jq --arg o "$ORIGIN" '.allowed_origins += [$o]' "$T/fetch.json" >"$T/c.json" && mv "$T/c.json" "$T/fetch.json"
	pull() { fetch pull --secrets-dir="$T/secrets" --auth-secret-name=hub hf://owner/model "$T/out"; }
	origin_control "$HUB" faults '[{"match": "^GET /repos/", "kind": "hold", "times": 1}]'
	pull >"$T/said" 2>&1 3>&- &
	pid=$!
	curl --fail --silent "$HUB/_control/wait?reached=1" >/dev/null
	children=$(pgrep -x ballast-fetch)
	for child in $children; do
		! cat "/proc/$child/cmdline" "/proc/$child/environ" | grep -q hf_canary || fail "in the arguments"
	done
	origin_control "$HUB" release
	wait "$pid"
	for fault in '{"kind": "status", "status": 403, "body": "hf_canary"}' \
		'{"kind": "status", "status": 500, "body": "hf_canary", "times": 3}' '{"kind": "close"}' \
		"{\"kind\": \"redirect\", \"to\": \"$ORIGIN/m.bin?token=hf_canary\"}" \
		"{\"kind\": \"redirect\", \"to\": \"https://hf_canary:x@example.com/\"}"; do
		rm -rf "$T/out"
		origin_control "$HUB" faults "[$(jq -c '. + {match: "/resolve/|/tree/"}' <<<"$fault")]"
		run pull
		refute_output canary
	done
	! grep -rq canary "$T/out" "$T/said" || fail "in a file"
	# the redirect's target was asked, and was given nothing
	[ "$(origin_stats "$ORIGIN" '.requests["/m.bin"] // 0')" -gt 0 ]
	assert_equal "$(origin_stats "$ORIGIN" '.authorization | length')" 0
	assert_equal "$(origin_stats "$HUB" '[.authorization | keys[] | select(startswith("/repos/"))] | length')" 0
}

# crash: a pull that is killed by a signal that leaves a core, once it has reached the Hub; prints what it
# left.
crash() {
	(ulimit -c unlimited && cd "$T/crash" && exec "$BUILD/ballast-fetch" pull --config="$T/fetch.json" \
		--secrets-dir="$T/secrets" --auth-secret-name=hub hf://owner/model "$T/out" >/dev/null 2>&1 3>&-) &
	pid=$!
	origin_control "$HUB" 'wait?reached=1'
	kill -ABRT "$pid"
	wait "$pid" || true
	find "$T/crash" -type f
}

@test "a crash leaves no memory on disk" {
	[ "$BUILD" = "${BUILD%/san}" ] || skip "a sanitizer wants to look into its own process"
	! grep -q '^[/|]' /proc/sys/kernel/core_pattern || skip "this host's cores go elsewhere"
	start_hub --repo "owner/model=$T/model" --private owner/model=hf_canary
	hub_config
	mkdir -p "$T/secrets/default"
	printf 'hf_canary' >"$T/secrets/default/hub"
	mkdir "$T/crash"
	# shellcheck disable=SC2016 # for the inner shell
	(ulimit -c unlimited && cd "$T/crash" && bash -c 'kill -ABRT $$' 2>/dev/null) || true
	[ -n "$(ls "$T/crash")" ] || skip "no cores on this host"
	rm "$T/crash"/*
	origin_control "$HUB" faults '[{"match": "^GET /repos/", "kind": "hold"}]'
	run crash
	assert_equal "$output" ""
}

# static_hub DIR FILE...: the Hub's answers as files below DIR, for servers that only serve files.
static_hub() {
	local root=$1 sha file
	sha=$(printf 'a%.0s' {1..40})
	shift
	mkdir -p "$root/api/models/owner/model/revision" "$root/api/models/owner/model/tree" \
		"$root/owner/model/resolve/$sha"
	for file; do
		cp "$file" "$root/owner/model/resolve/$sha/"
		printf '{"type": "file", "path": "%s", "oid": "%s", "size": %d}\n' "${file##*/}" \
			"$(git hash-object "$file")" "$(stat -c %s "$file")"
	done | jq -s . >"$root/api/models/owner/model/tree/$sha"
	printf '{"sha": "%s"}' "$sha" >"$root/api/models/owner/model/revision/main"
}

@test "nginx over TLS with HTTP/2: small files share a connection, long ranges do not" {
	need nginx git
	make_tls
	mkdir "$T/files" "$T/nginx"
	head -c 30000000 /dev/urandom >"$T/files/large.bin"
	for i in $(seq 200); do head -c 5000 /dev/urandom >"$T/files/small-$i.bin"; done
	static_hub "$T/root" "$T"/files/*
	port=$(free_port)
	cat >"$T/nginx.conf" <<-END
		daemon off; user root; worker_processes 1; pid $T/nginx/pid; error_log $T/nginx/error;
		events { worker_connections 256; }
		http {
			log_format seen '\$connection \$server_protocol \$status \$uri';
			access_log $T/nginx/access seen;
			client_body_temp_path $T/nginx/1; proxy_temp_path $T/nginx/2;
			fastcgi_temp_path $T/nginx/3; uwsgi_temp_path $T/nginx/4; scgi_temp_path $T/nginx/5;
			server {
				listen 127.0.0.1:$port ssl http2; root $T/root;
				ssl_certificate $T/tls.pem; ssl_certificate_key $T/tls.key;
			}
		}
	END
	nginx -c "$T/nginx.conf" 3>&- &
	nginx=$!
	echo "$nginx" >>"$T/pids"
	"$FIXTURES/process.py" path "$T/nginx/pid"
	jq -n --arg hub "https://127.0.0.1:$port" --arg ca "$T/ca.pem" '{endpoints: {hf: $hub}, ca_file: $ca}' >"$T/fetch.json"
	# Apart from each other: connections that the long ranges are done with may serve small files as well.
	run fetch pull --allow='small-*' hf://owner/model "$T/out"
	assert_status 0
	run fetch pull hf://owner/model "$T/out"
	assert_status 0
	assert_same "$T/files" "$T/out"
	# Its log is whole when it has ended.
	kill -QUIT "$nginx"
	"$FIXTURES/process.py" wait "$nginx"
	# A busy machine may have one asked for twice.
	assert_equal "$(grep 'HTTP/2.0 206 .*small' "$T/nginx/access" | cut -d' ' -f4 | sort -u | wc -l)" 200
	run grep -c 'HTTP/2.0 206 .*large' "$T/nginx/access"
	assert_equal "$output" 0
	run grep -c 'HTTP/1.1 206 .*large' "$T/nginx/access"
	[ "$output" -gt 1 ]
}
