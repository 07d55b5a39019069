#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A fetch process that has gone bad (promise A6), and clients that mean harm.

load lib
load agent

setup() {
	use_test_dir
	mkdir "$T/bin"
	gcc -O1 -o "$T/bin/evil" "$FIXTURES/evil_fetch.c"
	agent_config
}
teardown() { clean_up; }

# Every blob is what its name says, every tree's files are blobs, 0444 and root's.
check_cache() {
	local blob
	while read -r blob; do
		assert_equal "$(sha256sum <"$blob" | cut -d' ' -f1)" "$(basename "$blob")"
		assert_equal "$(stat -c '%a %u' "$blob")" "444 0"
	done < <(find "$T/cache/blobs" -type f)
	agent POST /v1/cache/verify
	assert_equal "$(answer '.damaged | length')" 0
}

evil() {
	new_process
	put "c-$1" default "$(items "hf://evil/$1")" "${2:-30}"
}

# evil_all WHAT...: all of them at once, since each is tried again after a pause; each must fail.
evil_all() {
	local what
	for what; do evil "$what" 0; done
	for what; do
		agent GET "/v1/containers/c-$what?wait=60"
		[ "$(answer .state)" = failed ] || fail "$what: $status_code $output"
	done
}

# until_none PGREP-OPTIONS...: who was killed may take a moment to go, and to be reaped.
until_none() {
	while pgrep "$@"; do agent GET /healthz; done
}

@test "hostile fetch: what breaks the protocol, or lists what may not be, ends the job" {
	start_agent --fetch="$T/bin/evil"
	evil_all not-json not-object no-type unknown open-unlisted done-unopened done-unwritten dot-dot absolute \
		inner-dots empty-part backslash newline negative fraction no-size bad-digest no-files miscount \
		bad-class collide twice huge end-early unknown-number bytes-unopened far-away half-frame
	assert_equal "$(find "$T/cache/trees" "$T/cache/blobs" -type f | wc -l)" 0
	agent GET /healthz
	expect_code 200
	until_none -P "$AGENT_PID"
}

@test "hostile fetch: bytes never get a name that is not theirs, and never change" {
	start_agent --fetch="$T/bin/evil"
	evil_all wrong-bytes short-file long-file more-bytes
	assert_equal "$(find "$T/cache/trees" -mindepth 1 | wc -l)" 0
	evil unopened
	[ "$status_code" -ge 400 ]
	# What has arrived stays as it came, and what it can read it cannot write.
	for what in second-thoughts rewrite; do
		evil $what
		expect_code 200
		assert_equal "$(cat "$(answer '.weights[0].path')/f")" abcdefghijklmnopqrstuvwxyz012345
	done
	check_cache
	# Nobody lives on: not what it started either.
	until_none -x evil
	until_none -x ballast-fetch
}

@test "hostile fetch: its words are escaped where they are shown" {
	start_agent --fetch="$T/bin/evil"
	evil escapes
	expect_code 422
	[[ $(cat "$T/agent.log") != *$'\033'* ]]
	assert_equal "$(answer .detail | wc -l)" 1
	assert_equal "$(grep -c red "$T/agent.log")" 1
}

@test "hostile fetch: a flood and a crash do not keep others waiting" {
	start_agent --fetch="$T/bin/evil"
	evil flood 0
	expect_code 202
	evil good
	expect_code 200
	evil crash
	expect_code 500
	check_cache
}

@test "hostile fetch: it reads nothing of the host but the system, and writes nowhere" {
	# landlock_create_ruleset(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION)
	/usr/bin/python3 -c 'import ctypes, sys; sys.exit(ctypes.CDLL(None).syscall(444, 0, 0, 1) < 1)' ||
		skip "this kernel has no Landlock"
	start_agent --fetch="$T/bin/evil"
	evil roam
	expect_code 200
}

@test "hostile fetch: it has no memory that its limit does not count, and leaves none behind" {
	start_agent --fetch="$T/bin/evil"
	evil hoard
	expect_code 200
}

@test "hostile fetch: it looks into no other process, and has no calls nor sockets that a download does not need" {
	start_agent --fetch="$T/bin/evil"
	evil meddle
	expect_code 200
	# The sanitizers' leak checker is a process of its own, and traces.
	[[ $BUILD == *san* ]] || evil trace
	expect_code 200
}

@test "hostile fetch: where it is only to ask, it brings nothing" {
	agent_config '.authorisation_ttl = "0s" | .authorisation_grace = "0s"'
	start_agent --fetch="$T/bin/evil"
	new_process
	put c1 default "$(items hf://evil/eager)"
	expect_code 200
	new_process
	put c2 default "$(items hf://evil/eager)"
	expect_code 500
	assert_output "only to ask"
	assert_equal "$(find "$T/cache/partial" -type f -not -name 'spare.*' | wc -l)" 0
}

@test "hostile fetch: it cannot make public what is of a kind that never is" {
	agent_config '.identity_dir = $dir' --arg dir "$T/ids"
	mkdir -p "$T/ids/team-a"
	printf key >"$T/ids/team-a/bt"
	chmod -R go-rwx "$T/ids"
	start_agent --fetch="$T/bin/evil"
	new_process
	put c1 team-a "$(items bt://evil/good)"
	expect_code 200
	new_process
	put c2 team-b "$(items bt://evil/good)"
	expect_code 422
	assert_output "no bt identity token"
	# Nor what a credential was named for, though it says that none was wanted.
	add_secret team-a hf token-a
	new_process
	put c3 team-a "$(items hf://evil/good '{"auth_secret_name": "hf"}')"
	expect_code 200
	new_process
	put c4 team-b "$(items hf://evil/good '{"auth_secret_name": "hf"}')"
	expect_code 422
	assert_output "secret 'hf' is not on this node"
}

# ---- Clients

# raw TEXT: what the agent says to these bytes.
raw() {
	/usr/bin/python3 - "$T/agent.sock" "$1" <<-'END'
		import socket, sys
		s = socket.socket(socket.AF_UNIX)
		s.settimeout(20)
		s.connect(sys.argv[1])
		s.sendall(sys.argv[2].encode().decode("unicode_escape").encode())
		s.shutdown(socket.SHUT_WR)
		while data := s.recv(65536):
		    sys.stdout.write(data.decode())
	END
}

@test "hostile client: requests that are malformed, too large or too many" {
	start_agent
	run raw 'GET /v1/version HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'
	[[ $output == *"200 OK"* ]]
	# By its absolute form, too.
	run raw 'GET http://agent:80/v1/version?wait=1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'
	[[ $output == *"200 OK"* ]] || fail "$output"
	for bad in http://agent http:///v2 https://agent/v1/version http:/v1/version; do
		run raw "GET $bad HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
		[[ $output == *" 404 "* ]] || fail "$bad: $output"
	done
	run raw 'NONSENSE\r\n\r\n'
	[[ $output != *"200 OK"* ]]
	run raw "GET /$(printf 'x%.0s' {1..20000}) HTTP/1.1\r\nHost: a\r\n\r\n"
	[[ $output != *"200 OK"* ]]
	run raw 'PUT /v1/containers/x HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n'
	[[ $output == *" 413 "* ]]
	# Nor where no length is told before.
	run bash -c "head -c 5000000 /dev/zero | curl --silent --unix-socket '$T/agent.sock' -T - -w '%{http_code}' http://agent/v1/containers/x"
	[[ $output == *"has at most 4 MiB"*413 ]] || fail "$output"
	run raw 'PUT /v1/containers/x HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n'
	[[ $output != *"HTTP/1.1 2"* ]]
	new_process
	for bad in '' '[]' '{' '{"tenant":"a"}' '{"tenant":"a","pid":0,"start_time":1,"weights":[]}' \
		'{"tenant":"a","pid":-1,"start_time":1,"weights":[]}' \
		'{"tenant":"a","pid":1e3,"start_time":1,"weights":[]}' \
		'{"tenant":"a","tenant":"b","pid":2,"start_time":1,"weights":[]}' \
		'{"tenant":"a","pid":2,"start_time":1,"weights":[],"more":1}' \
		'{"tenant":"a","pid":2,"start_time":1,"weights":{}}'; do
		agent PUT /v1/containers/x "$bad"
		expect_code 400
	done
	agent POST /v1/pulls '{"tenant": "a\n\u001bb", "weights": []}'
	expect_code 422
	assert_equal "$(answer .detail)" "tenant must be letters and digits, and any of _.- between them, at most 253"
	for id in '..' '.x' 'a%2fb' 'a b' "$(printf 'x%.0s' {1..256})"; do
		output=$(curl --silent --path-as-is --unix-socket "$T/agent.sock" -X PUT -d "$(body a '[]')" -w '\n%{http_code}' \
			"http://agent/v1/containers/${id// /%20}")
		[[ ${output##*$'\n'} == 4* ]] || fail "$id: $output"
	done
	for query in wait=x wait= wait=-1 wat=1 'wait=1&wait=2' wait=1.2345; do
		agent GET "/v1/containers?$query"
		expect_code 400
	done
	agent POST /v1/version
	expect_code 405
	run curl --silent --fail --head --unix-socket "$T/agent.sock" http://agent/healthz
	assert_status 0
	assert_output "Content-Length: 3"
	assert_equal "$(curl --silent --unix-socket "$T/agent.sock" --request PATCH --dump-header - --output /dev/null http://agent/v1/pulls/x | tr -d '\r' | grep ^Allow)" "Allow: GET, DELETE"
	assert_equal "$(curl --silent --unix-socket "$T/agent.sock" --request PATCH --dump-header - --output /dev/null http://agent/v1/cache/gc | tr -d '\r' | grep ^Allow)" "Allow: POST"
	# A colon that a client escapes is one.
	agent DELETE "/v1/cache/sha256%3A$(printf '0%.0s' {1..64})"
	expect_code 404
	agent GET /v2
	expect_code 404
	agent GET /v1/version
	assert_equal "$(answer .api)" v1
}

@test "hostile client: a thousand connections that say nothing leave the agent be" {
	start_agent
	run timeout 60 /usr/bin/python3 - "$T/agent.sock" <<-'END'
		import socket, sys
		held = []
		for i in range(1000):
		    s = socket.socket(socket.AF_UNIX)
		    s.connect(sys.argv[1])
		    s.send(b"GET /v1/ver")
		    held.append(s)
		s = socket.socket(socket.AF_UNIX)
		s.connect(sys.argv[1])
		s.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
		assert b"200 OK" in s.recv(1000)
	END
	assert_status 0
	agent GET /metrics
	# All of them are gone again but this one.
	until grep -q '^ballast_api_connections 1$' <<<"$output"; do agent GET /metrics; done
}

@test "hostile client: who goes away while it waits is forgotten, and what it asked for goes on" {
	make_model "$T/model"
	start_hub --repo org/model="$T/model"
	agent_config
	start_agent
	origin_control "$CDN" faults '[{"match": "repos", "kind": "hold"}]'
	new_process
	curl --silent --unix-socket "$T/agent.sock" -X PUT -d "$(body default "$(items hf://org/model)")" \
		"http://agent/v1/containers/c1?wait=60" >/dev/null 3>&- &
	client=$!
	origin_control "$CDN" "wait?reached=1"
	kill -KILL "$client"
	agent GET /metrics
	until grep -q '^ballast_api_connections 1$' <<<"$output"; do agent GET /metrics; done
	origin_control "$CDN" release
	wait_state c1 ready
}

@test "hostile client: a message that is cut stays an answer, and shows no query" {
	start_agent
	local part pad
	part=$(printf 'é%.0s' {1..100})
	for pad in '' x; do
		new_process
		put "cut$pad" default "$(items "file:///$pad$part/$part/$part")"
		expect_code 403
		iconv -f UTF-8 -t UTF-8 <<<"$output" >/dev/null
		# One container's failure must not spoil the list of all.
		agent GET /v1/containers
		iconv -f UTF-8 -t UTF-8 <<<"$output" >/dev/null
	done
	new_process
	put query default "$(items 'https://127.0.0.1:1/a/b?sig=canary')"
	expect_code 403
	assert_output "https://127.0.0.1:1/a/b"
	refute_output canary
	assert_equal "$(grep -c canary "$T/agent.log")" 0
}

@test "hostile client: pulls that are over keep nobody from another" {
	start_agent
	local i
	for i in {1..1030}; do
		printf 'unix-socket = "%s"\nurl = "http://agent/v1/pulls"\nrequest = POST\nsilent\noutput = /dev/null\n' "$T/agent.sock"
		printf 'data = "{\\"tenant\\":\\"a\\",\\"weights\\":[]}"\nwrite-out = "%%{http_code}\\n"\nnext\n'
	done | sed '$d' >"$T/pulls"
	assert_equal "$(curl --config "$T/pulls" | sort | uniq -c | xargs)" "1030 202"
}

@test "hostile client: who asks for more than there may be is told so, and keeps nobody waiting" {
	local codes='' list i
	make_model "$T/model"
	start_hub --repo org/model="$T/model"
	agent_config '.max_jobs = 8'
	start_agent
	origin_control "$HUB" faults '[{"match": "/slow/", "kind": "hold", "times": 64}]'
	for i in 1 2 3; do
		list=$(jq -cn --arg i "$i" '{tenant: "greedy", weights:
			[range(1024) | {source: "hf://slow/r\($i)-\(.)", mount_location: "/m\(.)"}]}')
		printf '%s' "$list" >"$T/list"
		agent POST /v1/pulls "@$T/list"
		codes+=" $status_code"
	done
	assert_equal "$codes" " 202 202 503"
	assert_output "too many downloads"
	new_process
	put modest modest "$(items hf://org/model)"
	expect_code 200
}

@test "hostile client: without a descriptor left the agent waits for one, and does not spin" {
	printf '#!/bin/sh\nexec prlimit --nofile=60:60 "%s" "$@"\n' "$BUILD/ballastd" >"$T/limited"
	chmod 755 "$T/limited"
	AGENT=$T/limited start_agent
	run timeout 60 /usr/bin/python3 - "$T/agent.sock" "$AGENT_PID" <<-'END'
		import os, socket, sys
		def connect():
		    s = socket.socket(socket.AF_UNIX)
		    s.connect(sys.argv[1])
		    return s
		held = [connect() for _ in range(100)]
		while len(os.listdir(f"/proc/{sys.argv[2]}/fd")) < 60:
		    os.sched_yield()
		def state():
		    return open(f"/proc/{sys.argv[2]}/stat").read().rpartition(")")[2].split()[0]
		def sleeps():
		    """While others have the processor it may be seen to wait for it; one that spins never sleeps."""
		    return [state() for _ in range(2000)].count("S") > 1500
		assert any(sleeps() for _ in range(100))
		for s in held[:90]:
		    s.close()
		s = connect()
		s.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
		assert b"200 OK" in s.recv(1000)
	END
	assert_status 0
}

@test "hostile client: one user of the group has a share of pulls and connections, TCP has its own" {
	getent group nogroup >/dev/null || skip "no group nogroup"
	local port
	make_model "$T/model"
	start_hub --repo org/model="$T/model"
	origin_control "$HUB" faults '[{"match": "/api/", "kind": "hold", "times": 100000}]'
	agent_config '.socket_group = "nogroup" | .group_tenants = ["a"]'
	port=$(free_port)
	start_agent --metrics-listen="127.0.0.1:$port"
	chmod 755 "$T"
	chmod o+x "$BATS_RUN_TMPDIR" "$BATS_TEST_TMPDIR/.."
	cat >"$T/member.py" <<-'END'
		import json, os, socket, sys
		def connect():
		    s = socket.socket(socket.AF_UNIX)
		    s.connect(sys.argv[1])
		    return s
		def post(s, pattern):
		    item = {"source": "hf://org/model", "mount_location": "/m", "allow_patterns": [pattern]}
		    body = json.dumps({"tenant": "a", "weights": [item]})
		    s.sendall(f"POST /v1/pulls HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
		    return int(s.recv(65536).split()[1])
		def is_closed(s):
		    s.settimeout(20)
		    try:
		        s.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
		        return not s.recv(65536)
		    except (BrokenPipeError, ConnectionResetError):
		        return True
		def as_user(uid):
		    child = os.fork()
		    if child:
		        assert os.waitpid(child, 0)[1] == 0, uid
		        return
		    os.setgroups([])
		    os.setresgid(65534, 65534, 65534)
		    os.setresuid(uid, uid, uid)
		    s = connect()
		    codes = [post(s, f"{i}-{uid}") for i in range(65)]
		    assert codes == [202] * 64 + [503], codes
		    closed = sum(map(is_closed, [connect() for _ in range(70)]))
		    assert closed == 7, closed
		    os._exit(0)
		scrapers = [socket.create_connection(("127.0.0.1", int(sys.argv[2]))) for _ in range(40)]
		closed = sum(map(is_closed, scrapers))
		assert closed == 8, closed
		as_user(54321)
		as_user(54322)
		# Root is never kept out.
		assert post(connect(), "root") == 202
	END
	run timeout 120 /usr/bin/python3 "$T/member.py" "$T/agent.sock" "$port"
	assert_status 0
}

@test "an answer that would be too large is a problem that says what to ask for" {
	need_root
	local i
	make_model "$T/model"
	chmod 755 "$T"
	chmod o+x "$BATS_RUN_TMPDIR" "$BATS_TEST_TMPDIR/.."
	agent_config '.file_roots = [$root]' --arg root "$T/model"
	start_agent
	for i in 1 2 3; do
		new_process
		# 900 weights whose locations fill most of a request
		jq -cn --argjson pid "$PID" --argjson start "$START" --arg source "file://$T/model" '
			([range(16) | "a" * 240] | join("/")) as $deep |
			{tenant: "a", pid: $pid, start_time: $start,
			 weights: [range(900) | {source: $source, mount_location: "/m\(.)/\($deep)"}]}' >"$T/body"
		output=$(curl --silent --unix-socket "$T/agent.sock" -X PUT --data-binary @"$T/body" -w '\n%{http_code}' \
			"http://agent/v1/containers/c$i?wait=60")
		assert_equal "${output##*$'\n'}" 200
	done
	agent GET /v1/containers
	expect_code 500
	[[ $(answer .detail) == *"ask for a part of it, such as GET /v1/containers/ID"* ]] || fail "$output"
	run "$BUILD/ballast" status --agent="unix:$T/agent.sock"
	assert_output "ask for a part of it"
}

@test "a container whose weights all fail is told of once" {
	need_root
	start_agent
	new_process
	put c1 default "$(jq -cn '[range(20) | {source: "file:///none/\(.)", mount_location: "/m\(.)"}]')"
	expect_code 403
	assert_equal "$(grep -c 'container=c1 .*state=failed' "$T/agent.log")" 1
}
