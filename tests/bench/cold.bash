# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2153,SC2154
# What the rows about cold downloads share: FILES files of SIZE bytes in nginx, behind a Hub that leads
# there; the agent's whole way to a published tree (resolve, download, SHA-256, fsync) against downloaders
# followed by a digest, which neither resolve nor make anything durable. A row sets SCHEME (http or https),
# FILES, SIZE, its TITLE and SIDES, and may set RATE, bytes a second that a connection gets at most, and
# TRANSFERS, files that rclone brings at once (4).

label_ballast() { echo '`ballastd`: resolve, download, verify, fsync, publish'; }
label_rclone() { echo "\`rclone copy\` (${TRANSFERS:-4} file(s) at once, 16 streams each), then \`openssl dgst -sha256\`"; }
label_curl() { echo '`curl --parallel`, then `sha256sum`'; }
label_bare() { echo 'recv and pwrite on 16 connections: no check, no digest, no sync'; }
label_floor() { echo 'the same loop, then `openssl dgst -sha256`, then `sync`: what ours does, one after the other'; }

free_port() {
	/usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

make_certificate() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=bench \
		-addext subjectAltName=IP:127.0.0.1 -keyout "$T/key.pem" -out "$T/ca.pem" 2>/dev/null
	TLS=("listen 127.0.0.1:$PORT ssl backlog=1024;" "ssl_certificate $T/ca.pem;" "ssl_certificate_key $T/key.pem;")
}

# With RATE, nginx is given a socket whose connections the kernel paces.
start_nginx() {
	local TLS=("listen 127.0.0.1:$PORT backlog=1024;")
	[ "$SCHEME" = http ] || make_certificate
	cat >"$T/nginx.conf" <<-CONF
		daemon off; user root; worker_processes 2; pid $T/nginx.pid; error_log $T/nginx.log;
		events { worker_connections 1024; }
		http {
			access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000;
			client_body_temp_path $T/nginx-body; proxy_temp_path $T/nginx-proxy;
			fastcgi_temp_path $T/nginx-f; uwsgi_temp_path $T/nginx-u; scgi_temp_path $T/nginx-s;
			server { ${TLS[*]} root $T/www; autoindex on; }
		}
	CONF
	/usr/bin/python3 - "$T/nginx.conf" "$PORT" "${RATE:-0}" <<-'PYTHON' &
		import os, socket, sys
		conf, port, rate = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
		if rate:
		    sock = socket.create_server(("127.0.0.1", port), backlog=1024)
		    sock.setsockopt(socket.SOL_SOCKET, 47, rate)  # SO_MAX_PACING_RATE: connections inherit it
		    sock.setblocking(False)  # nginx takes it as it is, and a worker would stand still in accept()
		    sock.set_inheritable(True)
		    os.environ["NGINX"] = f"{sock.fileno()};"
		os.execvp("nginx", ["nginx", "-c", conf])
	PYTHON
	echo $! >>"$T/pids"
	"$FIXTURES/process.py" path "$T/nginx.pid"
}

set_up() {
	local i file digest
	need nginx rclone curl openssl gcc
	need_built ballastd ballast-fetch ballast
	mkdir -p "$T/model" "$T/www/repos"
	for ((i = 1; i <= FILES; i++)); do
		openssl enc -aes-128-ctr -pass "pass:$i" -nosalt -in /dev/zero 2>/dev/null |
			head -c "$SIZE" >"$T/model/model-$i.safetensors"
	done
	PORT=$(free_port)
	start_hub --repo org/model="$T/model" --cdn-base "$SCHEME://127.0.0.1:$PORT"
	CDN=$SCHEME://127.0.0.1:$PORT
	# nginx has the files at the CDN's paths, and at their own for the others.
	ln -s "$T/model" "$T/www/files"
	for file in "$T"/model/*; do
		digest=$(openssl dgst -sha256 -r "$file" | cut -d' ' -f1)
		mkdir -p "$T/www/repos/${digest:0:2}"
		ln -s "$file" "$T/www/repos/${digest:0:2}/$digest"
	done
	start_nginx
	URL=$CDN/files
	gcc -O2 -D_GNU_SOURCE -o "$T/bare" "$BENCH/bare.c" -lssl -lcrypto
	if [ "$SCHEME" = https ]; then agent_config '.ca_file = $ca' --arg ca "$T/ca.pem"; else agent_config; fi
}

# What sides have brought before goes, right before the next one begins: it would fill the memory, and a guest
# whose host takes back memory that lies free pays for it by the second.
put_aside() {
	sync
	[ ! -e "$T/agent.pid" ] || { stop_agent && rm "$T/agent.pid"; } || return 1
	mkdir "$T/aside" && mkdir -p "$T"/{cache,rclone,curl,bare.d,floor} &&
		mv "$T"/{cache,rclone,curl,bare.d,floor} "$T/aside"
}

before_ballast() { put_aside && start_agent && rm -r "$T/aside"; }
run_ballast() {
	by_cost --of "$AGENT_PID" "$BUILD/ballast" pull --agent="unix:$T/agent.sock" --quiet hf://org/model
}

# empty SIDE: an empty directory to download to.
empty() { put_aside && mkdir "$T/$1" && rm -r "$T/aside"; }

# then_digest SIDE DIGEST-COMMAND... -- DOWNLOAD-COMMAND...: one after the other, in the side's directory.
DIGEST_AFTER='set -e; dir=$1; shift; cd "$dir"; digest=(); while [ "$1" != -- ]; do digest+=("$1"); shift; done
	shift; "$@"; "${digest[@]}" * >/dev/null'
then_digest() {
	local dir=$T/$1
	shift
	by_cost bash -c "$DIGEST_AFTER" bash "$dir" "$@"
}

before_rclone() { empty rclone; }
run_rclone() {
	local ca=()
	[ "$SCHEME" = http ] || ca=(--ca-cert "$T/ca.pem")
	then_digest rclone openssl dgst -sha256 -- rclone --config /dev/null --quiet --transfers "${TRANSFERS:-4}" \
		--multi-thread-streams 16 --multi-thread-cutoff 64M "${ca[@]}" --http-url "$URL" copy :http: "$T/rclone"
}

before_curl() { empty curl; }
run_curl() {
	local urls=() file
	[ "$SCHEME" = http ] || urls+=(--cacert "$T/ca.pem")
	for file in "$T"/model/*; do urls+=(-O "$URL/$(basename "$file")"); done
	then_digest curl sha256sum -- curl --noproxy '*' --silent --fail --parallel "${urls[@]}" 2>/dev/null # it shows progress all the same
}

bare() {
	local dir=$1 files=() tls=() file
	[ "$SCHEME" = http ] || tls=(--tls)
	for file in "$T"/model/*; do files+=("/files/$(basename "$file")" "$SIZE"); done
	BARE=("$T/bare" "${tls[@]}" 127.0.0.1 "$PORT" 16 "$dir" "${files[@]}")
}

before_bare() { empty bare.d; }
run_bare() {
	bare "$T/bare.d"
	by_cost "${BARE[@]}"
}

before_floor() { empty floor; }
run_floor() {
	bare "$T/floor"
	then_digest floor bash -c 'openssl dgst -sha256 "$@" && sync "$@"' bash -- "${BARE[@]}"
}
