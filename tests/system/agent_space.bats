#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The cache under the agent: quotas and what they evict, damage that is found before an attach, the
# agent killed at the store's labelled points, and disks that fail.

load lib
load agent

setup() {
	use_test_dir
	local i
	for i in 1 2 3; do
		make_model "$T/model$i"
		REPOS+=(--repo "org/m$i=$T/model$i")
	done
	start_hub "${REPOS[@]}"
}
teardown() { clean_up; }

# start_with FILTER: the agent with this configuration.
start_with() {
	agent_config "$1"
	start_agent
}

# start_container ID N [TENANT [WAIT]]: a new process that wants model N.
start_container() {
	new_process
	put "$1" "${3:-default}" "$(items "hf://org/m$2")" "${4:-60}"
}

# end_container ID PID
end_container() {
	end_process "$2"
	agent DELETE "/v1/containers/$1"
	until agent GET "/v1/containers/$1" && [ "$status_code" = 404 ]; do :; done
}

# use_all_models: each by a container that has ended.
use_all_models() {
	local i
	for i in 1 2 3; do
		start_container "c$i" "$i"
		expect_code 200
		end_container "c$i" "$PID"
	done
}

trees() {
	find "$T/cache/trees" -mindepth 1 -maxdepth 1 | wc -l
}

@test "space: what is unleased and oldest goes, what is leased or pinned stays, and then it is 507" {
	start_with '.quotas = {cache: 2500000} | .lease_grace = "0s" | .watermarks = {high: 100, low: 100}'
	start_container c1 1
	expect_code 200
	first=$(answer '.weights[0].path') one=$PID
	start_container c2 2
	expect_code 200
	second=$(answer '.weights[0].path')
	# Both are in use: nothing may go, and the message says how much is missing.
	start_container c3 3
	expect_code 507
	[[ $output == *"are missing"* ]]
	[ -e "$first/config.json" ]
	[ -e "$second/config.json" ]
	agent GET /metrics
	[[ $output == *"ballast_cache_evictions_total 0"* ]]
	# One has ended: it makes room.
	end_container c1 "$one"
	start_container c4 3
	expect_code 200
	[ ! -e "$first" ]
	[ -e "$second/config.json" ]
	agent GET /metrics
	[[ $output == *"ballast_cache_evictions_total 1"* ]]
	# The quota holds for the disk too.
	[ "$(du -s --block-size=1 "$T/cache/blobs" | cut -f1)" -lt 3700000 ]
}

@test "space: where a filesystem is short of inodes, trees go for those" {
	truncate -s 40M "$T/disk.img"
	mkfs.ext4 -q -N 720 "$T/disk.img"
	mkdir -m 700 "$T/cache"
	mount -o loop "$T/disk.img" "$T/cache" 2>/dev/null || skip "no loop device"
	chmod 700 "$T/cache"
	mkdir -p "$T/a/d" "$T/b"
	for i in {1..200}; do
		echo "a$i" >"$T/a/d/$i"
		echo "b$i" >"$T/b/$i"
	done
	start_hub --repo org/a="$T/a" --repo org/b="$T/b"
	start_with '.lease_grace = "0s"'
	# One has two thirds of them.
	"$BUILD/ballast" pull --agent="unix:$T/agent.sock" hf://org/a
	"$BUILD/ballast" pull --agent="unix:$T/agent.sock" hf://org/b
	agent GET /v1/cache
	assert_equal "$(answer '[.trees[].files, .evictions] | @text')" "[200,1]"
	# What no eviction can give is an error of the disk's own.
	agent PUT "/v1/cache/$(answer '.trees[0].manifest')/pin"
	run "$BUILD/ballast" pull --agent="unix:$T/agent.sock" hf://org/a
	assert_status 75
	assert_output "make room on the node's cache"
}

@test "space: a pinned tree stays" {
	start_with '.quotas = {cache: 1500000} | .lease_grace = "0s"'
	start_container c1 1
	pinned=$(answer '.weights[0].manifest')
	agent PUT "/v1/cache/$pinned/pin"
	expect_code 204
	end_container c1 "$PID"
	stop_agent
	start_agent
	start_container c2 2
	expect_code 507
	agent DELETE "/v1/cache/$pinned/pin"
	start_container c3 2
	expect_code 200
	assert_equal "$(trees)" 1
}

@test "space: a tenant's quota takes from that tenant alone" {
	start_with '.quotas = {tenants: {small: 1500000}} | .lease_grace = "0s"'
	start_container big 1 big
	expect_code 200
	start_container s1 2 small
	expect_code 200
	one=$PID
	start_container s2 3 small
	expect_code 507
	[[ $output == *"quota of tenant 'small'"* ]]
	end_container s1 "$one"
	start_container s3 3 small
	expect_code 200
	assert_equal "$(trees)" 2
	agent GET /v1/containers/big
	assert_equal "$(answer .state)" ready
}

@test "space: a refresh that finds nothing new needs no room in the quota" {
	start_with '.quotas = {tenants: {small: 1500000}}'
	start_container c1 1 small
	expect_code 200
	agent POST /v1/pulls "$(jq -cn --argjson w "$(items hf://org/m1)" '{tenant: "small", weights: $w, refresh: true}')"
	agent GET "/v1/pulls/$(answer .id)?wait=30"
	assert_equal "$(answer .state)" ready
}

@test "space: above the high mark the cache shrinks to the low one" {
	start_with '.quotas = {cache: 4000000} | .watermarks = {high: 60, low: 30} | .lease_grace = "0s"'
	use_all_models
	agent POST /v1/cache/gc
	expect_code 200
	assert_equal "$(trees)" 1
}

@test "space: ten crash restarts under pressure fetch nothing again" {
	start_with '.quotas = {cache: 1500000}'
	start_container c1 1
	expect_code 200
	for i in {1..10}; do
		end_process "$PID"
		start_container "other-$i" 2
		expect_code 507
		end_process "$PID"
		start_container c1 1
		expect_code 200
	done
	assert_equal "$(bytes_of 'repos/')" "$(stat -c %s "$T/model1/model.safetensors")"
}

@test "space: a download that goes on after a restart needs no room for what it has already" {
	local sent
	head -c 60000000 /dev/urandom >"$T/model2/model.safetensors"
	origin_control "$HUB" rescan
	start_with '.quotas = {cache: 80000000} | .lease_grace = "0s"'
	start_container c1 1
	expect_code 200
	end_container c1 "$PID"
	origin_control "$CDN" faults "$HALF"
	start_container c2 2 default 0
	"$FIXTURES/process.py" path "$T/cache/partial"
	until [ -n "$(find "$T/cache/partial" -name '*.ranges' -size +0c)" ]; do
		agent GET "/v1/containers/c2?wait=0.2"
		[ "$(answer .state)" = pending ] || fail "$output"
	done
	stop_agent KILL
	origin_control "$CDN" faults '[]'
	sent=$(bytes_of 'repos/')
	start_agent
	wait_state c2 ready
	[ "$(($(bytes_of 'repos/') - sent))" -lt 60000000 ]
	cmp "$T/model2/model.safetensors" "$(answer '.weights[0].path')/model.safetensors"
	# Nothing had to go for it.
	assert_equal "$(trees)" 2
}

@test "space: an agent whose disk takes no lease says so to who asks whether it is well" {
	mkdir -m 700 "$T/cache"
	mount -t tmpfs -o size=8m,mode=0700 cache "$T/cache"
	start_with .
	start_container c1 1
	expect_code 200
	head -c 100m /dev/zero >"$T/cache/full" 2>/dev/null || true
	start_container c2 1
	expect_code 507
	agent GET /healthz
	expect_code 500
	[[ $output == *"no container can have a lease"*"No space left"*"look at the disk of '$T/cache'"* ]]
	run "$BUILD/ballast" doctor --agent="unix:$T/agent.sock"
	assert_output "no container can have a lease"
	# It looks anew.
	rm "$T/cache/full"
	agent GET /healthz
	expect_code 200
	assert_equal "$(find "$T/cache/partial" -name 'spare.*' | wc -l)" 0
	start_container c2 1
	expect_code 200
}

@test "damage: a truncated file is found before the attach, and only it is fetched again" {
	start_with .
	start_container c1 1
	blob=$(find "$T/cache/blobs" -type f -size +900k)
	chmod 600 "$blob"
	truncate -s 5000 "$blob"
	chmod 444 "$blob"
	origin_control "$HUB" reset
	origin_control "$CDN" reset
	start_container c2 1
	expect_code 200
	cmp "$T/model1/model.safetensors" "$(answer '.weights[0].path')/model.safetensors"
	assert_equal "$(find "$T/cache/quarantine" -mindepth 1 | wc -l)" 1
	assert_equal "$(bytes_of 'config.json|vocab.txt')" 0
	grep -q "was damaged on disk (.*does not have its size); it is fetched again" "$T/agent.log"
	agent GET /metrics
	grep -qx 'ballast_damaged_blobs_total 1' <<<"$output"
}

@test "damage: a planted file, link or owner in a tree is never handed out" {
	start_with .
	for i in 1 2 3; do
		start_container "c$i" "$i"
		tree=$(answer '.weights[0].path')
		case $i in
		1) cp /bin/true "$tree/setup.py" ;;
		2)
			rm -f "$tree/config.json"
			ln -s /etc/shadow "$tree/config.json"
			;;
		3) chown 1234 "$tree/config.json" ;;
		esac
		start_container "again$i" "$i"
		expect_code 200
		tree=$(answer '.weights[0].path')
		diff -r "$T/model$i" "$tree"
		assert_equal "$(stat -c %u%a "$tree/config.json")" 0444
	done
	# Nor what others may write, or a directory that they may.
	for i in config.json tokenizer .; do
		chmod a+w "$tree/$i"
		start_container "mode-$i" 3
		expect_code 200
		tree=$(answer '.weights[0].path')
		diff -r "$T/model3" "$tree"
		assert_equal "$(stat -c %a "$tree" "$tree/tokenizer" "$tree/config.json" | xargs)" "555 555 444"
	done
}

@test "damage: what a container has mounted stays there until it ends, though it is brought anew" {
	local tree one
	# have: it is mounted as it is now. keep: and has not changed, whatever is collected.
	have() {
		mkdir "$T/$1"
		mount --bind "$tree" "$T/$1"
		cp -r "$tree" "$T/$1.copy"
	}
	keep() {
		agent POST /v1/cache/gc
		expect_code 200
		diff -r "$T/$1.copy" "$T/$1"
	}
	start_with '.lease_grace = "0s"'
	start_container c1 1
	expect_code 200
	one=$PID tree=$(answer '.weights[0].path')
	damage "$tree/model.safetensors"
	have damaged
	agent POST /v1/cache/verify
	assert_equal "$(answer '.damaged | length')" 1
	keep damaged
	stop_agent
	start_agent
	keep damaged
	put c1 default "$(items hf://org/m1)"
	expect_code 200
	diff -r "$T/model1" "$tree"
	keep damaged
	# Nor does one go that is found out only when the next container asks.
	touch "$tree/planted"
	have planted
	start_container c2 1
	expect_code 200
	diff -r "$T/model1" "$tree"
	keep planted
	# Nor one that a start finds without its manifest.
	have lost
	stop_agent
	rm "$T/cache/manifests/${tree##*/}.json"
	start_agent
	keep lost
	umount "$T/damaged" "$T/planted" "$T/lost"
	end_container c1 "$one"
	end_container c2 "$PID"
	agent POST /v1/cache/gc
	assert_equal "$(find "$T/cache/partial" -name 'trash.*' | wc -l)" 0
}

@test "damage: where a filesystem has no links, what is spoilt is not copied into a tree" {
	need_faults
	local blob tree
	AGENT=$FAULTS/ballastd
	BL_FAULT=linkat:EPERM start_agent
	start_container c1 1
	expect_code 200
	blob=$(sha256sum <"$T/model1/model.safetensors" | cut -c1-64)
	damage "$T/cache/blobs/sha256/${blob:0:2}/$blob"
	new_process
	put c2 default "$(items hf://org/m1 '{"allow_patterns": ["*.safetensors"]}')"
	expect_code 200
	tree=$(answer '.weights[0].path')
	cmp "$T/model1/model.safetensors" "$tree/model.safetensors"
	assert_equal "$(find "$T/cache/quarantine" -type f | wc -l)" 1
}

@test "damage: a directory in the place of a manifest or a blob makes way, and no gc fails for it" {
	local nobody manifest
	nobody=$(printf nobody | sha256sum | cut -c1-64)
	start_with '.quotas = {cache: 1500000} | .lease_grace = "0s"'
	# Planted while no agent runs: its first collection would take them away between two mkdirs.
	stop_agent
	mkdir -p "$T/cache/blobs/sha256/${nobody:0:2}/$nobody/x" "$T/cache/manifests/$nobody.json/x"
	start_agent
	start_container c1 1
	expect_code 200
	manifest=$(answer '.weights[0].manifest')
	manifest=$T/cache/manifests/${manifest#sha256:}.json
	end_container c1 "$PID"
	stop_agent
	rm -f "$manifest"
	mkdir -p "$manifest/x"
	start_agent
	start_container c2 1
	expect_code 200
	diff -r "$T/model1" "$(answer '.weights[0].path')"
	[ -f "$manifest" ]
	end_container c2 "$PID"
	start_container c3 2
	expect_code 200
	agent POST /v1/cache/gc
	expect_code 200
	[ ! -e "$T/cache/manifests/$nobody.json" ]
	[ ! -e "$T/cache/blobs/sha256/${nobody:0:2}/$nobody" ]
}

@test "damage: a socket among the leases keeps no agent from starting" {
	start_with .
	stop_agent
	(cd "$T/cache/leases" && /usr/bin/python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("odd.json")')
	start_agent
	start_container c1 1
	expect_code 200
}

@test "verify: a tree that was taken away by hand, or cannot be read, is not said to be whole" {
	local one
	start_with .
	start_container c1 1
	expect_code 200
	one=$(answer '.weights[0].manifest')
	rm -rf "$T/cache/trees/${one#sha256:}"
	agent POST /v1/cache/verify
	assert_equal "$(answer '.damaged[0]')" "$one"
	start_container c2 1
	expect_code 200
	diff -r "$T/model1" "$(answer '.weights[0].path')"
	# No descriptor is left to read by: on a connection that is there already.
	run /usr/bin/python3 - "$T/agent.sock" "$AGENT_PID" <<-'PYTHON'
		import http.client, json, resource, socket, sys
		class Agent(http.client.HTTPConnection):
		    def connect(self):
		        self.sock = socket.socket(socket.AF_UNIX)
		        self.sock.connect(sys.argv[1])
		def ask(method, path):
		    agent.request(method, path)
		    answer = agent.getresponse()
		    return answer.status, answer.read().decode()
		agent = Agent("agent")
		ask("GET", "/healthz")
		before = resource.prlimit(int(sys.argv[2]), resource.RLIMIT_NOFILE)
		resource.prlimit(int(sys.argv[2]), resource.RLIMIT_NOFILE, (3, before[1]))
		status, text = ask("POST", "/v1/cache/verify")
		resource.prlimit(int(sys.argv[2]), resource.RLIMIT_NOFILE, before)
		print(status, text)
		print(*ask("POST", "/v1/cache/verify"))
	PYTHON
	[[ ${lines[0]} == "500 "*"tree ${one#sha256:} could not be read to its end: "*"Too many open files"* ]] || fail "$output"
	assert_equal "${lines[1]}" '200 {"damaged":[],"trees":1}'
}

@test "crash: killed at each labelled point, the agent starts again and the container gets its weights" {
	need_faults
	local label labels n=0
	mapfile -t labels < <(grep -oh 'bl_sys_point("[a-z-]*")' \
		"$BATS_TEST_DIRNAME"/../../agent/{blob,manifest,partial,ref,store_lease_file,tree}.c | cut -d'"' -f2 |
		grep -v -e renewed -e retired -e noted -e partial-synced | sort -u)
	agent_config
	AGENT=$FAULTS/ballastd
	for label in "${labels[@]}"; do
		rm -rf "$T/cache"
		BL_FAULT=$label:KILL:1 start_agent
		new_process
		# It dies in the middle: no answer.
		run put "c$((++n))" default "$(items hf://org/m1)"
		[ "$status" -ne 0 ] || fail "$label: not killed, HTTP $status_code"
		"$FIXTURES/process.py" wait "$(cat "$T/agent.pid")"
		start_agent
		put "c$n" default "$(items hf://org/m1)"
		expect_code 200
		diff -r "$T/model1" "$(answer '.weights[0].path')"
		stop_agent
	done
}

@test "faults: bytes that cannot be read back are brought again, and are in the way of no later try" {
	need_faults
	agent_config
	AGENT=$FAULTS/ballastd
	BL_FAULT=pread:EIO:1 start_agent
	new_process
	put c1 default "$(items hf://org/m1 '{"allow_patterns": ["*.safetensors"]}')"
	expect_code 200
	cmp "$T/model1/model.safetensors" "$(answer '.weights[0].path')/model.safetensors"
	assert_equal "$(bytes_of 'repos/')" "$((2 * $(stat -c %s "$T/model1/model.safetensors")))"
}

@test "faults: a full, failing or limited disk is an error that passes, and the agent lives" {
	need_faults
	local call what n=0
	agent_config
	AGENT=$FAULTS/ballastd
	for what in ENOSPC EDQUOT EIO EMFILE; do
		for call in fallocate fsync linkat renameat2; do
			rm -rf "$T/cache"
			mkdir -m 700 "$T/cache"
			# Not while it opens: the fan of blobs is made, and then it fails for good.
			BL_FAULT=$call:$what:6 start_agent
			start_container "c$((++n))" 1
			case $status_code in
			200) ;;
			500 | 502 | 507)
				start_container "c$((++n))" 1
				expect_code 200
				;;
			*) fail "$call:$what: HTTP $status_code: $output" ;;
			esac
			diff -r "$T/model1" "$(answer '.weights[0].path')"
			stop_agent
		done
	done
}

# gate_agent RULE: the agent, whose first thread to meet the rule waits at $T/gate.
gate_agent() {
	mkfifo "$T/gate"
	agent_config "${2:-.}"
	AGENT=$FAULTS/ballastd
	BL_FAULT=$1 BL_FAULT_GATE=$T/gate start_agent
}

# is_awake: the agent answers. One that does not must not keep the test, and with it the gate.
is_awake() {
	curl --silent --fail --max-time 30 --unix-socket "$T/agent.sock" http://agent/healthz >/dev/null || {
		exec 9>&-
		fail "the agent waits"
	}
}

# use_process ID: the next put is for that process, made before: one made now would keep the gate open.
use_process() {
	PID=$1
	START=$(awk '{print $22}' "/proc/$PID/stat")
}

@test "faults: a disk that takes its time to make room for one download keeps nobody else waiting" {
	need_faults
	local spare=() i
	# Model 1 has three files.
	gate_agent fallocate:WAIT:4
	start_container c1 1
	expect_code 200
	for i in 1 2 3; do
		new_process
		spare+=("$PID")
	done
	use_process "${spare[0]}"
	put c2 default "$(items hf://org/m2)" 0
	expect_code 202
	exec 9>"$T/gate" # returns when a thread is there
	is_awake
	use_process "${spare[1]}"
	put c3 default "$(items hf://org/m1)"
	expect_code 200
	use_process "${spare[2]}"
	put c4 default "$(items hf://org/m3)"
	expect_code 200
	agent GET /v1/containers/c2
	assert_equal "$(answer .state)" pending
	exec 9>&-
	wait_state c2 ready
	diff -r "$T/model2" "$(answer '.weights[0].path')"
}

@test "faults: a disk that is full when the lease is to name what has come is 507, and the next try is good" {
	need_faults
	mkdir -p "$T/cache"
	mount -t tmpfs -o mode=0700,size=32m cache "$T/cache"
	gate_agent lease-begun:WAIT:2 '.lease_grace = "0s"'
	start_container c1 1 default 0
	expect_code 202
	exec 9>"$T/gate"
	run dd if=/dev/zero of="$T/cache/partial/full" bs=4k
	exec 9>&-
	wait_state c1 failed
	assert_equal "$(answer '.problem | "\(.status) \(.class)"')" "507 space"
	[[ $output == *"the lease cannot be written: "*"No space left on device"* ]] || fail "$output"
	rm "$T/cache/partial/full"
	put c1 default "$(items hf://org/m1)"
	expect_code 200
	assert_equal "$(jq '.trees | length' "$T"/cache/leases/*.json)" 1
	stop_agent
	umount "$T/cache"
}

@test "faults: a disk that takes its time to read refs for one tenant's quota keeps nobody else waiting" {
	need_faults
	local second
	gate_agent tenant-refs:WAIT:2 '.quotas = {tenants: {small: 1500000}}'
	start_container s1 1 small
	expect_code 200
	new_process
	second=$PID
	start_container s2 2 small 0
	expect_code 202
	exec 9>"$T/gate"
	is_awake
	use_process "$second"
	put big big "$(items hf://org/m3)"
	expect_code 200
	exec 9>&-
	wait_state s2 failed
	[[ $output == *"quota of tenant 'small'"* ]] || fail "$output"
}

@test "faults: a disk that takes its time to read refs for a removal keeps nobody else waiting" {
	need_faults
	local tree spare deleter
	gate_agent tree-refs:WAIT:1 '.lease_grace = "0s"'
	start_container c1 1
	expect_code 200
	tree=$(answer '.weights[0].manifest')
	end_container c1 "$PID"
	new_process
	spare=$PID
	curl --silent --max-time 60 --unix-socket "$T/agent.sock" --request DELETE --write-out '%{http_code}' \
		"http://agent/v1/cache/$tree" >"$T/removed" 3>&- &
	deleter=$!
	exec 9>"$T/gate"
	is_awake
	use_process "$spare"
	put c2 default "$(items hf://org/m2)"
	expect_code 200
	agent DELETE "/v1/cache/$tree"
	expect_code 404
	[ ! -s "$T/removed" ]
	exec 9>&-
	wait "$deleter"
	assert_equal "$(cat "$T/removed")" 204
	[ -n "$(find "$T/cache/refs" -type f)" ]
	run grep -rl "${tree#sha256:}" "$T/cache/refs"
	assert_equal "$output" ""
}

@test "faults: a disk that takes its time to read manifests for a damaged blob keeps nobody else waiting" {
	need_faults
	local spare blob tree
	start_with .
	start_container c1 1
	expect_code 200
	tree=$(answer '.weights[0].path')
	stop_agent
	blob=$(find "$T/cache/blobs" -type f -size +900k)
	damage "$blob"
	new_process
	spare=$PID
	gate_agent blob-trees:WAIT:1 '.scrub_rate = "1GiB"'
	exec 9>"$T/gate"
	is_awake
	use_process "$spare"
	put c2 default "$(items hf://org/m2)"
	expect_code 200
	[ -d "$tree" ]
	exec 9>&-
	"$FIXTURES/process.py" line "$T/agent.log" "blob $(basename "$blob") was damaged on disk" >/dev/null
	is_awake
	[ ! -d "$tree" ]
	start_container c3 1
	expect_code 200
	diff -r "$T/model1" "$(answer '.weights[0].path')"
}

@test "faults: a tree that may have a damaged blob, and whose manifest cannot be read, is told of" {
	need_faults
	local blob before
	start_with .
	start_container c1 1
	expect_code 200
	stop_agent
	blob=$(find "$T/cache/blobs" -type f -size +900k)
	damage "$blob"
	gate_agent blob-trees:WAIT:1 '.scrub_rate = "1GiB"'
	exec 9>"$T/gate"
	# No descriptor is left to read manifests by.
	before=$(prlimit --pid "$AGENT_PID" --nofile --output SOFT,HARD --noheadings --raw | tr ' ' :)
	prlimit --pid "$AGENT_PID" --nofile="3:${before#*:}"
	exec 9>&-
	"$FIXTURES/process.py" line "$T/agent.log" "blob $(basename "$blob") was damaged on disk" >/dev/null
	"$FIXTURES/process.py" line "$T/agent.log" "trees that have it may be left: manifest .*run ballast verify" >/dev/null
	prlimit --pid "$AGENT_PID" --nofile="$before"
	agent POST /v1/cache/verify
	assert_equal "$(answer '.damaged | length')" 1
	start_container c2 1
	expect_code 200
	diff -r "$T/model1" "$(answer '.weights[0].path')"
}

@test "faults: a file that is found damaged while a tree is made of it gets into no container" {
	need_faults
	local tree
	gate_agent tree-filled:WAIT:2
	start_container c1 1
	expect_code 200
	tree=$(answer '.weights[0].manifest')
	new_process
	put c2 default "$(items hf://org/m1 '{"allow_patterns": ["*.safetensors"]}')" 0
	expect_code 202
	exec 9>"$T/gate"
	damage "$(find "$T/cache/blobs" -type f -size +900k)"
	agent POST /v1/cache/verify
	assert_equal "$(answer '.damaged | join(" ")')" "$tree"
	exec 9>&-
	wait_state c2 ready
	cmp "$T/model1/model.safetensors" "$(answer '.weights[0].path')/model.safetensors"
}

# sizes_at_gate REQUEST...: an agent with one tree of an agent before it, that has to read its size for
# the request, which runs as ASKER with its answer in $T/asked; its thread is at the gate.
sizes_at_gate() {
	start_with "$1"
	start_container c1 1
	expect_code 200
	end_container c1 "$PID"
	stop_agent
	new_process
	SPARE=$PID
	gate_agent tree-sizes:WAIT:1 "$1"
	curl --silent --max-time 60 --unix-socket "$T/agent.sock" "${@:2}" >"$T/asked" 3>&- &
	ASKER=$!
	exec 9>"$T/gate"
	is_awake
}

@test "faults: a disk that takes its time to read the sizes of trees keeps nobody else waiting" {
	need_faults
	sizes_at_gate '.lease_grace = "0s"' http://agent/v1/cache
	use_process "$SPARE"
	put c2 default "$(items hf://org/m2)"
	expect_code 200
	[ ! -s "$T/asked" ]
	exec 9>&-
	wait "$ASKER"
	output=$(cat "$T/asked")
	assert_equal "$(answer '[.trees[] | select(.bytes > 900000)] | length')" 2
}

@test "faults: a disk that takes its time to read what an eviction would give keeps nobody else waiting" {
	need_faults
	start_with '.lease_grace = "0s" | .quotas = {cache: 1500000}'
	start_container c1 1
	expect_code 200
	end_container c1 "$PID"
	stop_agent
	gate_agent tree-sizes:WAIT:1 '.lease_grace = "0s" | .quotas = {cache: 1500000}'
	start_container c2 2 default 0
	expect_code 202
	exec 9>"$T/gate"
	is_awake
	agent GET /v1/containers/c2
	assert_equal "$(answer .state)" pending
	assert_equal "$(trees)" 1
	exec 9>&-
	wait_state c2 ready
	assert_equal "$(trees)" 1
	diff -r "$T/model2" "$(answer '.weights[0].path')"
}

@test "space: an agent that was just started evicts at once for a gc above the high mark" {
	start_with '.lease_grace = "0s"'
	use_all_models
	stop_agent
	start_with '.quotas = {cache: 4000000} | .watermarks = {high: 60, low: 30} | .lease_grace = "0s"'
	agent POST /v1/cache/gc
	expect_code 200
	assert_equal "$(trees)" 1
}

# No agent runs; its cache has a tree of one large file, which nobody leases.
leave_large() {
	make_model "$T/large" 20000000
	start_hub --repo org/large="$T/large"
	start_with '.lease_grace = "0s"'
	new_process
	put c1 default "$(items hf://org/large '{"allow_patterns": ["*.safetensors"]}')"
	expect_code 200
	end_container c1 "$PID"
	stop_agent
}

@test "faults: a disk that takes its time to remove a large file keeps nobody else waiting" {
	need_faults
	local spare
	leave_large
	new_process
	spare=$PID
	# It evicts at its start: the tree's link goes first, then the blob.
	gate_agent unlinkat:WAIT:2 '.lease_grace = "0s" | .quotas = {cache: 1000000}'
	exec 9>"$T/gate"
	assert_equal "$(trees) $(find "$T/cache/partial" -path '*/trash.*/*' -type f | wc -l)" "0 0"
	is_awake
	use_process "$spare"
	output=$(curl --silent --max-time 30 --unix-socket "$T/agent.sock" --request PUT --data "$(body default '[]')" \
		--write-out '%{http_code}' http://agent/v1/containers/c2) || {
		exec 9>&-
		fail "the agent waits"
	}
	assert_equal "${output: -3}" 200
	exec 9>&-
	agent POST /v1/cache/gc
	assert_equal "$(find "$T/cache/blobs" "$T/cache/partial" -type f -size +1M | wc -l)" 0
}

@test "faults: a large file goes also where a full disk has no room for one name more" {
	need_faults
	leave_large
	rm -r "$T/cache/trees/"* "$T/cache/manifests/"*
	AGENT=$FAULTS/ballastd
	BL_FAULT=renameat2:ENOSPC:1 start_agent
	agent POST /v1/cache/gc
	expect_code 200
	assert_equal "$(find "$T/cache/blobs" "$T/cache/partial" -type f -size +1M | wc -l)" 0
}

# What fails behind a tree's name: its directory's sync, its refs. Its bytes are there, so it is listed, and goes.
@test "faults: a tree whose publication fails behind its name is one of the cache's" {
	need_faults
	local nth
	AGENT=$FAULTS/ballastd
	agent_config '.lease_grace = "0s"'
	for nth in {3..8}; do
		rm -rf "$T/cache"
		BL_FAULT=renameat2:ENOSPC:$nth start_agent
		start_container "c$nth" 1
		agent GET /v1/cache
		assert_equal "$(answer '.trees | length')" "$(trees)"
		end_process "$PID"
		stop_agent
	done
}

@test "space: after a gc the cache is said to have what it has" {
	mkdir "$T/files"
	cp "$T/model1/model.safetensors" "$T/files"
	local at=$T
	while [ "$at" != / ]; do chmod o+x "$at"; at=$(dirname "$at"); done
	start_with ".file_roots = [\"$T/files\"] | .lease_grace = \"0s\""
	# One content from two origins: the second one's bytes came, and went.
	"$BUILD/ballast" pull --agent="unix:$T/agent.sock" --allow='*.safetensors' hf://org/m1
	"$BUILD/ballast" pull --agent="unix:$T/agent.sock" "file://$T/files"
	agent POST /v1/cache/gc
	expect_code 200
	agent GET /v1/cache
	assert_equal "$(answer .bytes)" "$(stat -c %b "$(find "$T/cache/blobs" -type f)" | awk '{print $1 * 512}')"
}

@test "space: a gc that has to wait for another collect answers when what it evicts is gone" {
	need_faults
	local old asker
	start_with '.lease_grace = "0s"'
	use_all_models
	stop_agent
	old=$T/cache/partial/spare.0000000000000000.1
	touch "$old"
	gate_agent unlinkat:WAIT:1 '.quotas = {cache: 4000000} | .watermarks = {high: 60, low: 30} | .lease_grace = "0s"'
	exec 9>"$T/gate"
	[ -e "$old" ]
	curl --verbose --max-time 60 --unix-socket "$T/agent.sock" --request POST http://agent/v1/cache/gc \
		>"$T/asked" 2>"$T/sent" 3>&- 9>&- &
	asker=$!
	"$FIXTURES/process.py" line "$T/sent" "> POST /v1/cache/gc" >/dev/null
	is_awake
	[ ! -s "$T/asked" ]
	exec 9>&-
	wait "$asker"
	output=$(cat "$T/asked")
	assert_equal "$(answer .trees)" 2
	assert_equal "$(trees)" 1
}

# A process whose pidfd cannot be had is given up, and with it what was made for it, and nothing else.
@test "faults: a fetch process that cannot be watched costs the agent no descriptor of its own" {
	need_faults
	AGENT=$FAULTS/ballastd
	agent_config
	BL_FAULT=pidfd_open:EMFILE:1 start_agent
	agent POST /v1/pulls '{"tenant":"default","weights":[{"source":"hf://org/m1","mount_location":"/m"}]}'
	expect_code 202
	agent GET "/v1/pulls/$(answer .id)?wait=60"
	assert_equal "$(answer .state)" failed
	assert_equal "$(readlink "/proc/$AGENT_PID/fd/0")" /dev/null
}

# What keeps a credential from being read for a moment is said, and is no fault of the item's.
@test "faults: a credential that cannot be opened for a moment is an error that passes" {
	need_faults
	local nth
	AGENT=$FAULTS/ballastd
	agent_config
	add_secret default token hf_x
	for nth in 1 2; do # the tenant's directory, the file
		rm -rf "$T/cache"
		BL_FAULT=openat2:EMFILE:$nth start_agent
		new_process
		put "c$nth" default "$(items hf://org/m1 '{"auth_secret_name": "token"}')"
		expect_code 500
		assert_output "Too many open files"
		stop_agent
	done
}

# What a lease holds is a request of as many values as a request may have, and more.
@test "restart: a container with as much in its request as there may be keeps its lease" {
	local many
	many=$(jq -cn '[range(64) as $i | {source: "hf://org/m1", mount_location: "/m/\($i)",
		allow_patterns: [range(1019) | "*"]}]')
	start_agent
	new_process
	jq -n --argjson pid "$PID" --argjson start "$START" --slurpfile weights <(echo "$many") \
		'{tenant: "default", pid: $pid, start_time: $start, weights: $weights[0]}' >"$T/body"
	curl --silent --fail --unix-socket "$T/agent.sock" --request PUT --data-binary "@$T/body" \
		"http://agent/v1/containers/c1?wait=60" >"$T/answer"
	stop_agent
	start_agent
	wait_state c1 ready
	assert_equal "$(find "$T/cache/quarantine" -type f | wc -l)" 0
}

# Between the signal and the end of the last connection a request may still come.
@test "faults: who asks while the agent stops is not heard, and the agent stops in good order" {
	need_faults
	local asker
	start_agent
	stop_agent
	gate_agent mkdirat:WAIT:12 # 10 of the cache's, one for the socket's directory; then its removal's
	mkfifo "$T/go"
	/usr/bin/python3 - "$T/agent.sock" "$T/go" >"$T/asked" 3>&- <<-'END' &
		import socket, sys
		s = socket.socket(socket.AF_UNIX)
		s.connect(sys.argv[1])
		s.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
		assert b"200 OK" in s.recv(1000)
		print("heard", flush=True)
		open(sys.argv[2]).read()
		s.sendall(b"POST /v1/cache/gc HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
		print("asked", flush=True)
		print(len(s.recv(1000)), flush=True)
	END
	asker=$!
	"$FIXTURES/process.py" line "$T/asked" heard >/dev/null
	kill -TERM "$AGENT_PID"
	exec 9>"$T/gate"
	: >"$T/go"
	"$FIXTURES/process.py" line "$T/asked" asked >/dev/null
	exec 9>&-
	wait "$asker"
	"$FIXTURES/process.py" wait "$AGENT_PID"
	assert_equal "$(tail -n 1 "$T/asked")" 0
	[[ $(cat "$T/agent.log") != *Fatal* ]] || fail "$(cat "$T/agent.log")"
}
