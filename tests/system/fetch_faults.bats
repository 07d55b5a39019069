# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154
# Origins that fail, lie, change and stall: what arrives is right, or nothing does.

load lib
load fetch

setup() {
	use_test_dir
	need_built ballast-fetch
	make_model "$T/model" "${BYTES:-40000000}"
	start_hub --repo "owner/model=$T/model"
	hub_config
}

teardown() { clean_up; }

# over_tls [OPTION...]: the same origins by https.
over_tls() {
	make_tls
	start_hub "$@" --tls "$T/tls.pem" "$T/tls.key" --repo "owner/model=$T/model"
	HUB=https${HUB#http} CDN=https${CDN#http}
	hub_config ".ca_file = \"$T/ca.pem\""
}

# mends FAULTS: the pull succeeds all the same.
mends() {
	origin_control "$HUB" faults "$1"
	run fetch pull hf://owner/model "$T/out"
	assert_status 0
	assert_same "$T/model" "$T/out"
}

# refuses FAULTS STATUS TEXT: it does not, says so in one line, and nothing wrong is published.
refuses() {
	origin_control "$HUB" faults "$1"
	run fetch pull --quiet hf://owner/model "$T/out"
	assert_status "$2"
	assert_output "$3"
	[ "${#lines[@]}" -eq 1 ] || fail "more than one line: $output"
	[ ! -e "$T/out/${4:-model.safetensors}" ]
}

@test "a flipped bit, once: the file is brought again" {
	mends '[{"match": "^GET /repos/", "kind": "flip", "offset": 5000000, "times": 3}]'
}

@test "a flipped bit, always: refused, and what went wrong is said" {
	refuses '[{"match": "^GET /repos/", "kind": "flip"}]' 75 "does not have the digest"
}

@test "a flipped bit in a small file, which only git's SHA-1 covers" {
	refuses '[{"match": "resolve-cache.*config.json", "kind": "flip"}]' 75 "'config.json' does not have the digest" config.json
}

@test "connections that end in the middle, at random places" {
	mends '[{"match": "^GET /repos/", "kind": "short", "at": 0.5, "times": 9},
		{"match": "^GET /repos/", "kind": "close", "times": 3}]'
}

@test "a byte and no more in each answer is no progress" {
	refuses '[{"match": "^GET /repos/", "kind": "short", "bytes": 1}]' 75 "tried 7 times"
}

@test "bytes behind the range are not taken" {
	mends '[{"match": "^GET /repos/", "kind": "long", "bytes": 100, "times": 4}]'
}

@test "an object that is replaced while it is read: looked at again, then refused" {
	refuses '[{"match": "^GET /repos/", "kind": "replace", "after": 5}]' 75 ""
}

@test "without a strong ETag too: an object that is replaced while it is read is no mixture" {
	local etag old new pid
	https_origin
	for etag in '"ETag": "W/\\"%d\\""' '"ETag": null, "Last-Modified": "Mon, 0%d Jan 2024 00:00:00 GMT"'; do
		# shellcheck disable=SC2059
		old=$(printf "$etag" 1) new=$(printf "$etag" 2)
		origin_control "$ORIGIN" reset
		origin_control "$ORIGIN" faults "[{\"match\": \"model\", \"kind\": \"headers\", \"headers\": {$old}},
			{\"match\": \"model\", \"kind\": \"short\", \"at\": 0.5, \"after\": 1},
			{\"match\": \"model\", \"kind\": \"hold\", \"after\": 9}]"
		fetch pull --quiet "$ORIGIN/model.bin" "$T/mix" 3>&- &
		pid=$!
		origin_control "$ORIGIN" "wait?reached=1"
		origin_control "$ORIGIN" faults "[{\"match\": \"model\", \"kind\": \"headers\", \"headers\": {$new}},
			{\"match\": \"model\", \"kind\": \"replace\"}]"
		origin_control "$ORIGIN" release
		wait "$pid"
		python3 -c 'import sys; a, b = (open(p, "rb").read() for p in sys.argv[1:]); sys.exit(a != bytes(x ^ 255 for x in b))' \
			"$T/mix/file" "$T/www/model.bin"
		rm -r "$T/mix"
	done
}

@test "without a digest: a location that moves to another host in mid-file is no mixture" {
	local main first second pid
	https_origin
	main=$ORIGIN
	mkdir "$T/other"
	head -c 8M /dev/urandom >"$T/other/model.bin"
	start_origin --tls "$T/tls.pem" "$T/tls.key" "$T/www"
	first=$ORIGIN
	start_origin --tls "$T/tls.pem" "$T/tls.key" "$T/other"
	second=$ORIGIN
	jq -n --arg ca "$T/ca.pem" --args '{ca_file: $ca, allowed_origins: $ARGS.positional}' "$main" "$first" "$second" >"$T/fetch.json"
	origin_control "$main" faults "[{\"match\": \"model\", \"kind\": \"redirect\", \"to\": \"$first/model.bin\"}]"
	origin_control "$first" faults '[{"match": "model", "kind": "headers", "headers": {"ETag": null, "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}},
		{"match": "model", "kind": "short", "at": 0.5, "after": 1}, {"match": "model", "kind": "hold", "after": 9}]'
	origin_control "$second" faults '[{"match": "model", "kind": "headers", "headers": {"ETag": null, "Last-Modified": "Tue, 02 Jan 2024 00:00:00 GMT"}}]'
	fetch pull --quiet "$main/model.bin" "$T/mix" 3>&- &
	pid=$!
	origin_control "$first" "wait?reached=1"
	origin_control "$main" faults "[{\"match\": \"model\", \"kind\": \"redirect\", \"to\": \"$second/model.bin\"}]"
	origin_control "$first" faults '[{"match": "model", "kind": "status", "status": 403}]'
	origin_control "$first" release
	wait "$pid"
	cmp "$T/other/model.bin" "$T/mix/file"
}

@test "a range behind the end: looked at again" {
	mends '[{"match": "^GET /repos/", "kind": "status", "status": 416, "times": 1}]'
}

@test "a stall at 99 %: another connection brings the rest" {
	mends '[{"match": "^GET /repos/", "kind": "stall", "at": 0.99, "times": 2}]'
}

# pull_by_tail WAY: what tail.py tells of a pull by that way, in $tail.
pull_by_tail() {
	local port plain
	spawn tail "$FIXTURES/tail.py" "$T/tls.pem" "$T/tls.key" "$T/www"
	read -r port plain <<<"$REPLY"
	jq -n --arg ca "$T/ca.pem" --arg o "https://127.0.0.1:$port" --arg p "http://127.0.0.1:$plain" \
		'{ca_file: $ca, allowed_origins: [$o, $p]}' >"$T/fetch.json"
	run fetch pull --quiet "https://127.0.0.1:$port/$1" "$T/tail"
	assert_status 0
	cmp "$T/www/model.bin" "$T/tail/file"
	rm -r "$T/tail"
	tail=$(curl --silent --noproxy '*' "http://127.0.0.1:$plain/_tail/$1")
	end_spawned tail
}

# Which way the rest comes is the origin's to say, without a clock: a connection that was given up is closed.
# On a busy machine the lane itself may pause, and be given up whole, before: then it is tried again.
@test "a lane that stalls once its tail was given away is asked for twice, a slow one is not waited for" {
	local way wanted tail tries
	make_tls IP:127.0.0.1
	mkdir "$T/www"
	head -c 64M /dev/urandom >"$T/www/model.bin"
	for way in model.bin plain/model.bin slow/model.bin; do
		wanted='.given and .hedged' tries=0
		[[ $way != slow/* ]] || wanted='.given and .share < 0.25'
		pull_by_tail "$way"
		while [ "$(jq "$wanted" <<<"$tail")" != true ]; do
			[ "$((++tries))" -lt 5 ] || fail "$way: $tail"
			pull_by_tail "$way"
		done
	done
}

# A file is then one answer to one request: nothing but all of it may be asked for, also after half of it came.
@test "an origin without ranges: one request brings all, with a length or without, and begins anew when it breaks" {
	local more
	https_origin
	for more in '' ', {"match": "model", "kind": "headers", "after": 1, "headers": {"Content-Length": null, "Connection": "close"}}'; do
		origin_control "$ORIGIN" reset
		origin_control "$ORIGIN" faults '[{"match": "model", "kind": "no-range"},
			{"match": "model", "kind": "short", "at": 0.5, "after": 1, "times": 1}'"$more]"
		run fetch pull --quiet "$ORIGIN/model.bin" "$T/all"
		assert_status 0
		cmp "$T/www/model.bin" "$T/all/file"
		assert_equal "$(origin_stats "$ORIGIN" '.requests["/model.bin"]')" 3 # the look, half, all
		rm -r "$T/all"
	done
}

@test "no answer at all: another connection is tried" {
	mends '[{"match": "^GET /repos/", "kind": "hold", "times": 2}]'
}

# Some requests come later than others, as on a busy machine: the refusals come one after another then.
@test "a signature that expires in mid-file is renewed" {
	mends '[{"match": "/resolve/.*model", "kind": "latency", "seconds": 0.5, "after": 5, "times": 11},
		{"match": "^GET /repos/", "kind": "expire", "after": 4, "times": 1},
		{"match": "^GET /repos/", "kind": "expire", "after": 20, "times": 1}]'
}

@test "429 and 503 with Retry-After are obeyed" {
	mends '[{"match": "^GET /repos/", "kind": "status", "status": 503, "headers": {"Retry-After": "1"}, "times": 3},
		{"match": "/tree/", "kind": "status", "status": 429, "headers": {"Retry-After": "0"}, "times": 2}]'
}

@test "all connections at once: broken, or told to come back" {
	mends '[{"match": "^GET /repos/", "kind": "close", "after": 3, "times": 14}]'
	rm -r "$T/out"
	mends '[{"match": "^GET /repos/", "kind": "status", "status": 503, "headers": {"Retry-After": "0"}, "times": 14}]'
}

# None that is done with, as the listing's is, may stand in the way of those that bring content.
@test "an origin that takes few connections, and resets the others without a word" {
	local most
	for most in 1 3; do
		start_hub --most "$most" --repo "owner/model=$T/model"
		hub_config
		run fetch pull hf://owner/model "$T/out$most"
		assert_status 0
		assert_same "$T/model" "$T/out$most"
	done
	over_tls --most 2
	run fetch pull hf://owner/model "$T/out"
	assert_status 0
	assert_same "$T/model" "$T/out"
}

@test "500 for a while is lived through" {
	mends '[{"match": "^GET /repos/", "kind": "status", "status": 500, "times": 4}]'
}

@test "a redirect loop ends" {
	refuses "[{\"match\": \"/resolve/\", \"kind\": \"redirect\", \"to\": \"$HUB/owner/model/resolve/main/config.json\"}]" 75 "they may go round in a circle"
	# Five for each connection's first request, not more; how far the others are when the first gives up is theirs.
	run origin_stats "$HUB" '.requests["/owner/model/resolve/main/config.json"] as $redirects |
		([.requests | to_entries[] | select(.key | test("/resolve/")) | .value] | add - $redirects) as $first |
		"\($redirects <= 5 * $first and $redirects >= 5): \($redirects) redirects of \($first)"'
	assert_output "true: "
}

@test "redirects elsewhere are refused: http, userinfo, other schemes, addresses" {
	for to in http://example.com/ 'https://user:hf_canary@example.com/' ftp://example.com/ file:///etc/passwd \
		https://127.1/ https://2130706433/ 'https://[::1]/' 'https://[::ffff:10.0.0.1]/' \
		https://169.254.169.254/latest 'https://[fd00:ec2::254]/' gopher://x/ '//0x7f.1/'; do
		origin_control "$HUB" faults "[{\"match\": \"/resolve/\", \"kind\": \"redirect\", \"to\": \"$to\"}]"
		run fetch pull hf://owner/model "$T/out"
		assert_status 77
		refute_output canary
		assert_empty "$T/out"
	done
}

@test "a listing that goes on at another origin is refused" {
	refuses '[{"match": "/tree/", "kind": "headers", "headers": {"Link": "<https://example.com/x>; rel=\"next\""}}]' 77 "another origin"
}

@test "a listing that never ends, or is no listing" {
	refuses '[{"match": "/tree/", "kind": "status", "status": 200, "body": "[[[["}]' 75 "not what its protocol says"
	refuses '[{"match": "/tree/", "kind": "status", "status": 200, "body": "{}"}]' 75 "no array"
}

@test "a link whose own promise disagrees with the listing" {
	refuses '[{"match": "/resolve/.*model", "kind": "headers", "headers": {"X-Linked-Size": "1"}}]' 75 "another version"
	refuses "$(jq -cn '[{match: "/resolve/.*model", kind: "headers", headers: {"X-Repo-Commit": ("0" * 40)}}]')" 75 \
		"another version"
	refuses "$(jq -cn '[{match: "/resolve/.*model", kind: "headers", headers: {"X-Linked-Etag": ("\"" + "0" * 64 + "\"")}}]')" \
		75 "other content"
}

# lacks_descriptors NTH: what is said where a file cannot be published; a connection that cannot be taken
# over stays libcurl's.
lacks_descriptors() {
	BL_FAULT=dup:EMFILE$1 BUILD=$FAULTS run fetch pull --quiet hf://owner/model "$T/out$1"
	[ "$status" -ne 0 ] || return 0
	assert_status 70
	assert_equal "$output" "ballast-fetch: error: duplicate a descriptor: Too many open files"
}

@test "no descriptor to spare: said in one line, or done another way" {
	need_faults
	local nth
	lacks_descriptors ""
	assert_status 70
	assert_empty "$T/out"
	for nth in :1 :2 :3 :4; do
		lacks_descriptors "$nth"
		[ "$status" -ne 0 ] || assert_same "$T/model" "$T/out$nth"
	done
}

@test "file: a directory that cannot be read to its end is an error, and no smaller model" {
	need_faults
	local nth
	cp -r "$T/model" "$T/root"
	jq -n --arg root "$T/root" '{file_roots: [$root]}' >"$T/fetch.json"
	for nth in 1 2 3 4; do
		BL_FAULT=readdir:EIO:$nth BUILD=$FAULTS run fetch pull --quiet "file://$T/root" "$T/from-file$nth"
		assert_status 75
		assert_output "Input/output error"
		assert_empty "$T/from-file$nth"
	done
}

# killed_often JOURNAL COMMAND...: COMMAND with a number of seconds behind it is killed after that
# time, again and again (KILLS times, 12 by default), and JOURNAL prints the ranges [from, to) that are
# on disk of the large file, as JSON. What comes is right, what was there is never asked for again, and
# a kill costs no more than what was in flight and not yet synced.
killed_often() {
	local journal=$1 size=48000000 kills=0 since=0 sent=0 all=0 have
	shift
	head -c "$size" /dev/urandom >"$T/model/model.safetensors"
	origin_control "$HUB" rescan
	origin_control "$HUB" faults '[{"match": "^GET /repos/", "kind": "slow", "rate": 400000}]'
	while [ "$kills" -lt "${KILLS:-12}" ]; do
		have=$("$journal")
		origin_control "$HUB" reset
		run "$@" "0.$((RANDOM % 80 + 10))"
		assert_not_asked "$have"
		sent=$((sent + $(body_bytes /repos/)))
		if [ "$status" -eq 0 ]; then
			assert_round
			rm -r "$T/out"
			continue
		fi
		assert_status 137
		kills=$((kills + 1)) since=$((since + 1))
	done
	have=$("$journal")
	origin_control "$HUB" faults '[]'
	origin_control "$HUB" reset
	run "$@" 100
	assert_status 0
	assert_not_asked "$have"
	sent=$((sent + $(body_bytes /repos/)))
	assert_round
	echo "# killed $kills times: $all bytes in all" >&3
}

# A file is there after `since` kills and `sent` bytes. All connections together bring 26 MB a second; what
# comes between two syncs, and while one lasts, is what a kill may cost: a tenth of a second each on a machine
# that has nothing else to do.
assert_round() {
	assert_same "$T/model" "$T/out"
	[ "$sent" -le $((size + since * 10000000)) ] || fail "$sent bytes for $size after $since kills"
	all=$((all + sent)) since=0 sent=0
}

# assert_not_asked RANGES: no request was for any of these bytes.
assert_not_asked() {
	local overlap
	overlap=$(origin_stats "$HUB" '[.ranges | to_entries[] | select(.key | startswith("/repos/")).value[]
		| . as [$first, $last] | $have[] | . as [$from, $to] | select($first < $to and $last >= $from)] | length' \
		--argjson have "$1")
	assert_equal "$overlap" 0
}

job_journal() { jq -c '."model.safetensors" // []' "$T/out/.have" 2>/dev/null || echo '[]'; }
kill_job() { job "$T/out" --kill-after "$1"; }

pull_journal() { cat "$T"/out/.ballast-fetch/*.json 2>/dev/null | jq -cs 'map(select(.path == "model.safetensors").have) | add // []'; }
kill_pull() {
	timeout --signal=KILL "$1" "$BUILD/ballast-fetch" pull --quiet --config="$T/fetch.json" hf://owner/model "$T/out"
}

@test "a job that is killed at any moment and started again: only what is missing is fetched" {
	killed_often job_journal kill_job
}

@test "a pull that is killed at any moment and started again: only what is missing is fetched" {
	killed_often pull_journal kill_pull
}

@test "a pull that is killed while its origin stands still: nothing of what came is fetched again" {
	local size=48000000 have=0 pid
	head -c "$size" /dev/urandom >"$T/model/model.safetensors"
	origin_control "$HUB" rescan
	origin_control "$HUB" faults '[{"match": "^GET /repos/", "kind": "stall", "at": 0.5}]'
	"$BUILD/ballast-fetch" pull --quiet --config="$T/fetch.json" hf://owner/model "$T/out" 3>&- &
	pid=$!
	# Half of 16 ranges of a MiB, without a clock: a journal that is never written ends the test by its own.
	until [ "$have" -ge 8000000 ]; do have=$(pull_journal | jq '[.[] | .[1] - .[0]] | add // 0'); done
	kill -KILL "$pid"
	wait "$pid" || true
	have=$(pull_journal)
	origin_control "$HUB" faults '[]'
	origin_control "$HUB" reset
	fetch pull --quiet hf://owner/model "$T/out"
	assert_same "$T/model" "$T/out"
	# By what was asked for: on a busy machine some of what is missing may come twice.
	assert_not_asked "$have"
}

# Neither this origin nor most that fail end TLS before they end the connection.
@test "over TLS: connections that break in mid-body, with or without a length, or end while they are idle" {
	over_tls
	mends '[{"match": "^GET /repos/", "kind": "short", "at": 0.5, "times": 9},
		{"match": "^GET /repos/", "kind": "close", "times": 3}]'
	rm -r "$T/out"
	mends '[{"match": "^GET /repos/", "kind": "short", "at": 1}]'
	rm -r "$T/out"
	mends '[{"match": "^GET /repos/", "kind": "headers", "headers": {"Content-Length": null, "Connection": "close"}}]'
	rm -r "$T/out"
	mends '[{"match": "^GET /repos/", "kind": "short", "at": 0.5, "times": 4},
		{"match": "^GET /repos/", "kind": "headers", "headers": {"Content-Length": null, "Connection": "close"}}]'
}

@test "over TLS: a job that is killed at any moment and started again: only what is missing is fetched" {
	over_tls
	KILLS=${KILLS:-4} killed_often job_journal kill_job
}
