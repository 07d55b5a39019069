# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154
# ballast-fetch by hand and as a job: what is brought, and what a person is told.

load lib
load fetch

setup() {
	use_test_dir
	need_built ballast-fetch
	make_model "$T/model" 40000000
}

teardown() { clean_up; }

@test "pull: a repository of large, small, empty and oddly named files" {
	: >"$T/model/empty"
	printf 'x\n' >"$T/model/tokenizer/a+b %41 & naïve.txt"
	start_hub --repo "owner/model=$T/model"
	hub_config
	run fetch pull hf://owner/model "$T/out"
	assert_status 0
	assert_output "5 files"
	assert_same "$T/model" "$T/out"
	run fetch pull --allow=config.json hf://owner/model "$T/one"
	assert_output "1 file, "
}

@test "pull: a second look brings only what changed" {
	start_hub --repo "owner/model=$T/model"
	hub_config
	fetch pull hf://owner/model "$T/out"
	printf '{"model_type":"other"}\n' >"$T/model/config.json"
	origin_control "$HUB" reset
	origin_control "$HUB" rescan
	run fetch pull hf://owner/model "$T/out"
	assert_status 0
	assert_output "of which 23 B brought"
	assert_same "$T/model" "$T/out"
	assert_equal "$(body_bytes /repos/)" 0
}

@test "pull: a file that was changed behind its back is brought again" {
	start_hub --repo "owner/model=$T/model"
	hub_config
	fetch pull hf://owner/model "$T/out"
	printf 'X' | dd of="$T/out/model.safetensors" bs=1 seek=1000000 conv=notrunc status=none
	run fetch pull hf://owner/model "$T/out"
	assert_status 0
	assert_same "$T/model" "$T/out"
}

@test "pull: a commit, a branch and a tag; one that does not exist" {
	start_hub --repo "owner/model=$T/model" --repo "owner/model@v1/x=$T/model/tokenizer"
	hub_config
	run fetch plan --json hf://owner/model@v1/x
	assert_status 0
	assert_equal "$(jq -r '.files[0].path' <<<"$output")" vocab.txt
	run fetch plan --json "hf://owner/model@$(jq -r .revision <<<"$output")"
	assert_status 0
	run fetch plan hf://owner/model@nope
	assert_status 64
	assert_output "has no revision 'nope'"
}

@test "pull: a commit is itself, whatever a mirror gives in its place" {
	local commit=0123456789abcdef0123456789abcdef01234567
	start_hub --repo "owner/model=$T/model" --repo "owner/model@$commit=$T/model"
	hub_config
	run fetch pull "hf://owner/model@$commit" "$T/out"
	assert_status 75
	assert_output "in the place of $commit; check the endpoint"
	assert_empty "$T/out"
}

@test "plan: what it prints goes nowhere where standard output is closed, and that is an error" {
	start_hub --repo "owner/model=$T/model"
	hub_config
	run bash -c '"$@" >&-' x "$BUILD/ballast-fetch" plan --config="$T/fetch.json" hf://owner/model
	assert_status 70
	assert_output "Bad file descriptor"
	run fetch pull hf://owner/model "$T/out"
	assert_status 0
}

# pull_on_terminal TERM: what a terminal of that kind is sent by a pull that takes its time.
pull_on_terminal() {
	script --quiet --return --command "TERM=$1 $BUILD/ballast-fetch pull --config=$T/fetch.json hf://owner/model $T/$1" \
		/dev/null </dev/null 3>&-
}

@test "pull: a bar on a terminal, none on one that cannot take a line back" {
	need script
	start_hub --repo "owner/model=$T/model"
	hub_config
	origin_control "$HUB" faults '[{"match": "^GET /repos/", "kind": "slow", "rate": 2000000}]'
	run pull_on_terminal xterm
	assert_status 0
	assert_output $'\e[K['
	assert_output " of 38.1 MiB, "
	run pull_on_terminal dumb
	assert_status 0
	refute_output $'\e'
	assert_output "3 files, 38.1 MiB, of which "
}

@test "plan: says what each pattern took and dropped" {
	start_hub --repo "owner/model=$T/model"
	hub_config
	run fetch plan --allow '*.safetensors' --allow '**/*.txt' --ignore 'nothing*' hf://owner/model
	assert_status 0
	assert_output '+  38.1 MiB  model.safetensors'
	assert_output 'allowed by "**/*.txt"'
	assert_output '-      22 B  config.json'
	assert_output '"nothing*" matches nothing'
	assert_output 'config.json is left out'
	refute_output 'tokenizer files are left out'
	run fetch plan --allow '*.safetensors' --allow config.json hf://owner/model
	refute_output 'config.json is left out'
}

@test "plan: patterns that leave nothing are told with counts" {
	start_hub --repo "owner/model=$T/model"
	hub_config
	run fetch plan --json --allow '*.gguf' hf://owner/model
	assert_status 64
	assert_output "*.gguf"
}

@test "private: with its token, without, with a wrong one; no secret is shown" {
	start_hub --repo "owner/model=$T/model" --private owner/model=hf_canary_good
	hub_config
	mkdir -p "$T/secrets/default"
	printf 'hf_canary_good\n' >"$T/secrets/default/hub"
	printf 'hf_canary_wrong' >"$T/secrets/default/wrong"
	printf 'hf_canary\nEvil: x' >"$T/secrets/default/split"
	run fetch pull --secrets-dir="$T/secrets" --auth-secret-name=hub hf://owner/model "$T/out"
	assert_status 0
	assert_same "$T/model" "$T/out"
	# the second host never sees the token
	assert_equal "$(origin_stats "$HUB" '[.authorization | keys[] | select(startswith("/repos/"))] | length')" 0
	run fetch plan hf://owner/model
	assert_status 77
	assert_output "name a secret"
	# a header's value may end as one does that libcurl is to leave out
	start_hub --repo "owner/model=$T/model" --private owner/model=hf_canary:
	hub_config
	printf 'hf_canary:' >"$T/secrets/default/colon"
	run fetch pull --secrets-dir="$T/secrets" --auth-secret-name=colon hf://owner/model "$T/colon"
	assert_status 0
	run fetch plan --secrets-dir="$T/secrets" --auth-secret-name=wrong hf://owner/model
	assert_status 77
	refute_output canary
	run fetch plan --secrets-dir="$T/secrets" --auth-secret-name=split hf://owner/model
	assert_status 64
	assert_output "must be the token alone"
	refute_output canary
	run fetch plan --secrets-dir="$T/secrets" --auth-secret-name=none hf://owner/model
	assert_status 64
	assert_output "cannot be read"
}

@test "gated: the message says to accept the terms" {
	start_hub --repo "owner/model=$T/model" --gated owner/model=hf_canary_good --token hf_canary_other
	hub_config
	mkdir -p "$T/secrets/default"
	printf 'hf_canary_other' >"$T/secrets/default/hub"
	run fetch pull hf://owner/model "$T/out"
	assert_status 77
	assert_output "is gated"
	run fetch pull --secrets-dir="$T/secrets" --auth-secret-name=hub hf://owner/model "$T/out"
	assert_status 77
	assert_output "is gated and this token's account has no access"
	refute_output canary
	assert_empty "$T/out"
}

@test "renamed: a relative redirect is followed" {
	start_hub --repo "owner/model=$T/model" --renamed old/name=owner/model
	hub_config
	run fetch pull hf://old/name "$T/out"
	assert_status 0
	assert_same "$T/model" "$T/out"
}

@test "listing: pages to the end" {
	mkdir "$T/model/many"
	for i in $(seq 300); do echo "$i" >"$T/model/many/$i.txt"; done
	start_hub --repo "owner/model=$T/model" --page-size 7
	hub_config
	run fetch pull hf://owner/model "$T/out"
	assert_status 0
	assert_output "303 files"
	assert_same "$T/model" "$T/out"
}

@test "listing: one hostile name refuses the source whole" {
	start_hub --repo "owner/model=$T/model"
	hub_config
	for name in '../x' '/etc/x' 'a/../b' 'a//b' 'a\\b' 'a\u0000b' 'a\nb' './x' 'config.json/x' 'config.json'; do
		origin_control "$HUB" rescan
		origin_control "$HUB" tree "{\"repo\": \"owner/model\", \"entries\": [{\"type\": \"file\", \"path\":
			\"$name\", \"size\": 1, \"oid\": \"0123456789012345678901234567890123456789\"}]}"
		run fetch pull hf://owner/model "$T/out"
		[ "$status" -ne 0 ] || fail "accepted: $name"
		assert_empty "$T/out"
		[ "${#lines[@]}" -eq 1 ] || fail "more than one line: $output"
	done
	[ ! -e "$T/x" ]
}

@test "pull: names of its own state in a source are refused, or left out" {
	mkdir "$T/model/.ballast-fetch"
	echo "not ours" >"$T/model/.ballast-fetch/record"
	start_hub --repo "owner/model=$T/model"
	hub_config
	run fetch pull hf://owner/model "$T/out"
	[ "$status" -ne 0 ]
	assert_output "'.ballast-fetch/record'"
	assert_output "--ignore='.ballast-fetch/**'"
	assert_empty "$T/out"
	fetch pull --quiet --ignore='.ballast-fetch/**' hf://owner/model "$T/out"
	assert_same "$T/model" "$T/out"
	run ! grep "not ours" "$T/out/.ballast-fetch/record"
}

# in_the_way STATUS TEXT COMMAND...: what the pull into $T/way says after that was done to an earlier one.
in_the_way() {
	local status=$1 text=$2
	shift 2
	rm -rf "$T/way"
	fetch pull --quiet hf://owner/model "$T/way"
	(cd "$T/way" && "$@")
	run fetch pull --quiet hf://owner/model "$T/way"
	assert_status "$status"
	assert_output "$text"
	[ "$status" -ne 0 ] || assert_same "$T/model" "$T/way"
}

@test "pull: what stands in its way is said with DIR and the next step, or makes way; nothing holds it up" {
	local state=.ballast-fetch
	truncate -s 100000 "$T/model/model.safetensors"
	start_hub --repo "owner/model=$T/model"
	hub_config
	in_the_way 0 '' bash -c 'rm config.json && mkfifo config.json'
	in_the_way 0 '' bash -c 'rm config.json && ln -s /etc/passwd config.json'
	in_the_way 64 "put in place 'config.json' in '$T/way': Is a directory; remove what is in the way" \
		bash -c 'rm config.json && mkdir config.json'
	in_the_way 64 "open the directory of 'tokenizer/vocab.txt' in '$T/way'" bash -c 'rm -r tokenizer && ln -s /etc tokenizer'
	in_the_way 64 "make '$state' in '$T/way': Not a directory" bash -c "rm -r $state && touch $state"
	in_the_way 0 '' bash -c "rm $state/record && mkfifo $state/record"
	in_the_way 0 '' bash -c "rm $state/record && ln -s /etc/passwd $state/record"
	in_the_way 64 "open '$state/record' in '$T/way'" bash -c "rm $state/record && mkdir $state/record"
	mkdir "$T/small"
	mount -t tmpfs -o size=4k,nr_inodes=4 none "$T/small"
	run fetch pull --quiet hf://owner/model "$T/small"
	assert_status 75
	assert_output "in '$T/small': No space left on device; make room there"
	mount -o remount,size=48k,nr_inodes=100 "$T/small"
	run fetch pull --quiet hf://owner/model "$T/small"
	assert_status 75
	assert_output "write 'model.safetensors': No space left on device; make room there"
	mount -o remount,ro "$T/small"
	run fetch pull --quiet hf://owner/model "$T/small"
	assert_status 64
	assert_output "in '$T/small': Read-only file system; choose a directory that can be written to"
	umount "$T/small"
}

# half_pull SOURCE DIR: killed once it has journalled something of its one file.
half_pull() {
	local pid
	"$BUILD/ballast-fetch" pull --quiet --config="$T/fetch.json" "$1" "$2" 3>&- &
	pid=$!
	until [ -d "$2/.ballast-fetch" ]; do :; done
	"$FIXTURES/process.py" path "$2/.ballast-fetch/$(printf file | sha256sum | cut -d' ' -f1).json"
	kill -KILL "$pid"
	wait "$pid" || true
}

# Of all that is asked for behind the first look half comes, slowly, and then nothing: the pull does not end.
# The origin's ETag, as nginx's, is of a file's time and size.
SLOW='[{"match": "model", "kind": "slow", "rate": 400000}, {"match": "model", "kind": "stall", "at": 0.5, "after": 1}]'

@test "pull: what another source has left in DIR is not taken for its own by the same ETag" {
	https_origin
	head -c 8M /dev/urandom >"$T/www/two.bin"
	touch -d @1700000000 "$T"/www/*.bin
	fetch pull --quiet "$ORIGIN/model.bin" "$T/out"
	fetch pull --quiet "$ORIGIN/two.bin" "$T/out"
	cmp "$T/www/two.bin" "$T/out/file"
	origin_control "$ORIGIN" faults "$SLOW"
	half_pull "$ORIGIN/model.bin" "$T/half"
	fetch pull --quiet "$ORIGIN/two.bin" "$T/half"
	cmp "$T/www/two.bin" "$T/half/file"
}

@test "pull: an empty file by https, of a server that does not tell its size with 416" {
	https_origin
	: >"$T/www/empty.bin"
	origin_control "$ORIGIN" faults '[{"match": "empty", "kind": "headers", "headers": {"Content-Range": null}}]'
	fetch pull --quiet "$ORIGIN/empty.bin" "$T/out"
	cmp "$T/www/empty.bin" "$T/out/file"
	# One that breaks off behind the head, which was all that was wanted.
	origin_control "$ORIGIN" faults '[{"match": "empty", "kind": "headers", "headers": {"Content-Length": "7", "Connection": "close"}}]'
	fetch pull --quiet "$ORIGIN/empty.bin" "$T/out"
	cmp "$T/www/empty.bin" "$T/out/file"
	origin_control "$ORIGIN" faults '[{"match": "model", "kind": "headers", "headers": {"Content-Encoding": "Identity"}}]'
	fetch pull --quiet "$ORIGIN/model.bin" "$T/out"
	cmp "$T/www/model.bin" "$T/out/file"
}

@test "https: a web page in the file's place is no file, unless it is one" {
	local headers
	https_origin
	echo '<html>please sign in</html>' >"$T/www/sign-in.html"
	for headers in '"Content-Type": "text/html; charset=utf-8"' '"Content-Type": "TEXT/HTML", "Content-Disposition": "inline"'; do
		origin_control "$ORIGIN" faults "[{\"match\": \"model\", \"kind\": \"headers\", \"headers\": {$headers}}]"
		run fetch pull --quiet "$ORIGIN/model.bin" "$T/page"
		assert_status 64
		assert_output "$ORIGIN/model.bin: the server sends a web page"
		[ ! -e "$T/page/file" ] || fail "taken"
	done
	# A sign-in that is redirected to; a page that is asked for; a program that forgets the type of what it sends.
	origin_control "$ORIGIN" faults '[{"match": "model", "kind": "redirect", "to": "/sign-in.html"},
		{"match": "sign-in", "kind": "headers", "headers": {"Content-Type": "text/html"}}]'
	run fetch pull --quiet "$ORIGIN/model.bin" "$T/page"
	assert_status 64
	assert_output "the server sends a web page"
	fetch pull --quiet "$ORIGIN/sign-in.html" "$T/page"
	cmp "$T/www/sign-in.html" "$T/page/file"
	origin_control "$ORIGIN" faults '[{"match": "model", "kind": "headers", "headers": {"Content-Type": "text/html",
		"Content-Disposition": "attachment; filename=model.bin"}}]'
	fetch pull --quiet "$ORIGIN/model.bin" "$T/saved"
	cmp "$T/www/model.bin" "$T/saved/file"
}

@test "pull: a version that comes back finds no journal of its bytes where another was begun" {
	https_origin
	touch -d @1700000000 "$T/www/model.bin"
	origin_control "$ORIGIN" faults "$SLOW"
	half_pull "$ORIGIN/model.bin" "$T/out"
	touch -d @1700000001 "$T/www/model.bin"
	origin_control "$ORIGIN" faults '[{"match": "model", "kind": "status", "status": 404, "after": 1}]'
	run fetch pull --quiet "$ORIGIN/model.bin" "$T/out"
	[ "$status" -ne 0 ]
	touch -d @1700000000 "$T/www/model.bin"
	origin_control "$ORIGIN" faults '[]'
	fetch pull --quiet "$ORIGIN/model.bin" "$T/out"
	cmp "$T/www/model.bin" "$T/out/file"
}

@test "pull: what is left of a file that the source no longer has goes" {
	start_hub --repo "owner/model=$T/model"
	hub_config
	origin_control "$HUB" faults '[{"match": "^GET /repos/", "kind": "stall", "at": 0.5}]'
	"$BUILD/ballast-fetch" pull --config="$T/fetch.json" --quiet hf://owner/model "$T/out" 3>&- &
	origin_control "$HUB" "wait?reached=1"
	kill -KILL $!
	wait $! || true
	[ -n "$(find "$T/out/.ballast-fetch" -name '*.part')" ]
	origin_control "$HUB" faults '[]'
	rm "$T/model/model.safetensors"
	start_hub --repo "owner/model=$T/model"
	hub_config
	run fetch pull --quiet hf://owner/model "$T/out"
	assert_status 0
	assert_equal "$(find "$T/out/.ballast-fetch" -type f -printf '%f\n' | sort)" $'lock\nrecord'
}

@test "pull: an end that cannot be said is no success" {
	start_hub --repo "owner/model=$T/model"
	hub_config
	run bash -c "\"\$1\" pull --config=\"\$2\" hf://owner/model \"\$3\" >/dev/full" bash \
		"$BUILD/ballast-fetch" "$T/fetch.json" "$T/out"
	assert_status 70
	assert_output "No space left on device"
	assert_same "$T/model" "$T/out"
}

@test "pull: a limit of the size of files is an error that is said" {
	start_hub --repo "owner/model=$T/model"
	hub_config
	run bash -c "ulimit -S -f 1; exec \"\$1\" pull --config=\"\$2\" hf://owner/model \"\$3\"" bash \
		"$BUILD/ballast-fetch" "$T/fetch.json" "$T/out"
	[ "$status" -gt 0 ] && [ "$status" -lt 128 ] || fail "status $status: $output"
	assert_output "File too large"
}

@test "by hand: a password in an URL of the configuration is shown to nobody" {
	local text
	for text in https://user:hush@ https://user:hush@host:99999 'https://user:hush@host x' https://user:hush@host; do
		jq -n --arg t "$text" '{endpoints: {hf: $t}}' >"$T/fetch.json"
		run fetch plan hf://owner/model
		[ "$status" -ne 0 ]
		assert_output "endpoints.hf"
		refute_output hush
	done
}

@test "by hand: what is no tenant's name is refused, also where nothing of the tenant's is wanted" {
	start_hub --repo "owner/model=$T/model"
	hub_config
	for tenant in ../x '' a/b .; do
		run fetch plan --tenant="$tenant" hf://owner/model
		assert_status 64
		assert_output "--tenant: '$tenant' is no tenant's name"
	done
}

# A request to the public host, with the credential, is what a misspelt endpoint would lead to.
@test "by hand: a configuration's unknown key is an error, at every depth" {
	local change
	start_hub --repo "owner/model=$T/model"
	for change in '.endpoint = .endpoints' '.endpoints.hff = .endpoints.hf' '.proxy = {"urll": "http://127.0.0.1:1"}'; do
		hub_config "$change"
		run fetch plan hf://owner/model
		assert_status 64
		assert_output "unknown"
		assert_equal "$(origin_stats "$HUB" '.requests | length')" 0
	done
}

@test "https: one file, called file; a server without ranges; a size that nobody says" {
	make_tls
	mkdir "$T/www"
	head -c 9000000 /dev/urandom >"$T/www/m.bin"
	start_origin --tls "$T/tls.pem" "$T/tls.key" "$T/www"
	jq -n --arg o "$ORIGIN" --arg ca "$T/ca.pem" '{allowed_origins: [$o], ca_file: $ca}' >"$T/fetch.json"
	run fetch pull "$ORIGIN/m.bin" "$T/out"
	assert_status 0
	cmp "$T/www/m.bin" "$T/out/file"
	origin_control "$ORIGIN" faults '[{"match": "m.bin", "kind": "no-range"}]'
	run fetch pull "$ORIGIN/m.bin" "$T/out2"
	assert_status 0
	cmp "$T/www/m.bin" "$T/out2/file"
	origin_control "$ORIGIN" faults '[{"match": "m.bin", "kind": "no-range"},
		{"match": "m.bin", "kind": "headers", "headers": {"Content-Length": null}}]'
	run fetch pull "$ORIGIN/m.bin" "$T/out3"
	assert_status 75
	assert_output "does not say how long"
	run fetch plan "$ORIGIN/none"
	assert_status 64
	assert_output "404"
}

@test "file: a directory below a root; links within it, out of it, and what is no file" {
	mkdir "$T/root" && cp -r "$T/model" "$T/root/model"
	ln -s ../model/config.json "$T/root/model/tokenizer/link.json" 2>/dev/null
	ln -sf ../config.json "$T/root/model/tokenizer/link.json"
	jq -n --arg r "$T/root" '{file_roots: [$r]}' >"$T/fetch.json"
	run fetch pull "file://$T/root/model" "$T/out"
	assert_status 0
	cmp "$T/model/model.safetensors" "$T/out/model.safetensors"
	cmp "$T/model/config.json" "$T/out/tokenizer/link.json"
	run fetch plan "file://$T/model"
	assert_status 77
	assert_output "file_roots"
	# a name that only begins as a root does
	mkdir "$T/root-of-another"
	run fetch plan "file://$T/root-of-another"
	assert_status 77
	assert_output "lies in no directory that the operator allows"
	# what a pull keeps for the next one is no file of the source
	mv "$T/out" "$T/root/pulled"
	run fetch plan "file://$T/root/pulled"
	assert_status 0
	refute_output .ballast-fetch
	ln -s /etc/passwd "$T/root/model/out"
	run fetch plan "file://$T/root/model"
	assert_status 77
	assert_output "leads out of its file root"
	rm "$T/root/model/out"
	ln -s . "$T/root/model/circle"
	run fetch plan "file://$T/root/model"
	assert_status 77
	assert_output "circle of links"
	rm "$T/root/model/circle"
	mkfifo "$T/root/model/fifo"
	run fetch plan "file://$T/root/model"
	assert_status 64
	assert_output "neither a file nor a directory"
	run fetch plan http://host/file
	assert_status 64
	assert_output "error: source: Unsupported source scheme 'http://'"
}

@test "job: the agent's messages, in order; skip, resolve" {
	start_hub --repo "owner/model=$T/model"
	hub_config
	job "$T/out"
	assert_same "$T/model" "$T/out"
	assert_equal "$(jq -r .type "$T/messages" | uniq | sed '/progress/d' | head -3 | paste -sd' ')" "files manifest open"
	assert_equal "$(tail -1 "$T/messages" | jq -r .type)" end
	job "$T/out2" --skip model.safetensors
	[ ! -e "$T/out2/model.safetensors" ]
	assert_equal "$(tail -1 "$T/messages" | jq -r .type)" end
	jq -n --slurpfile config "$T/fetch.json" \
		'{mode: "resolve", item: {source: "hf://owner/model", mount_location: "/m"}, config: $config[0]}' |
		"$FIXTURES/fetch_job.py" "$BUILD/ballast-fetch" "$T/out4" >"$T/resolve"
	assert_equal "$(jq -r .type "$T/resolve" | paste -sd' ')" "files manifest end"
}

@test "job: the class of an error is the agent's to act on" {
	start_hub --repo "owner/model=$T/model" --private owner/model=hf_canary_good
	hub_config
	run ! job "$T/out"
	assert_equal "$(jq -r 'select(.type == "error").class' "$T/messages")" unauthorized
	jq '.endpoints.hf = "http://127.0.0.1:1"' "$T/fetch.json" >"$T/none.json"
	mv "$T/none.json" "$T/fetch.json"
	run ! job "$T/out"
	assert_equal "$(jq -r 'select(.type == "error").class' "$T/messages")" origin
}

@test "the environment of the caller has no effect" {
	start_hub --repo "owner/model=$T/model"
	hub_config
	printf 'machine 127.0.0.1 login canary password canary\n' >"$T/.netrc"
	HOME=$T http_proxy=http://127.0.0.1:1 https_proxy=http://127.0.0.1:1 ALL_PROXY=http://127.0.0.1:1 \
		SSLKEYLOGFILE=$T/keys run fetch pull hf://owner/model "$T/out"
	assert_status 0
	assert_equal "$(origin_stats "$HUB" '.authorization | length')" 0
	[ ! -e "$T/keys" ]
}

# The agent's share comes on top: 64 MiB are for both.
@test "memory does not grow with the size of a model" {
	[ "$BUILD" != "${BUILD%/san}" ] && skip "a sanitizer's memory is not ours"
	truncate -s 1500000000 "$T/model/model.safetensors"
	start_hub --repo "owner/model=$T/model"
	hub_config
	run /usr/bin/python3 -c 'import resource, subprocess, sys
status = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status)' "$BUILD/ballast-fetch" pull --quiet --config="$T/fetch.json" hf://owner/model "$T/out"
	assert_status 0
	[ "$output" -lt 49152 ] || fail "$output kB"
}

@test "pull: small files are synced before it ends, those of a pull that was killed too" {
	need strace
	start_hub --repo "owner/model=$T/model"
	hub_config
	synced() { grep -c 'fsync(' "$T/trace"; }
	# The leak sanitizer cannot look while strace does.
	export ASAN_OPTIONS=detect_leaks=0
	strace -f -e trace=fsync -o "$T/trace" "$BUILD/ballast-fetch" pull --quiet --config="$T/fetch.json" \
		hf://owner/model "$T/out"
	# the large file by itself, two small ones, two directories, the record
	[ "$(synced)" -ge 6 ] || fail "$(cat "$T/trace")"
	[ ! -e "$T/out/.ballast-fetch/unsettled" ]
	# as a kill leaves it
	touch "$T/out/.ballast-fetch/unsettled"
	strace -f -e trace=fsync -o "$T/trace" "$BUILD/ballast-fetch" pull --quiet --config="$T/fetch.json" \
		hf://owner/model "$T/out"
	[ "$(synced)" -ge 5 ] || fail "$(cat "$T/trace")"
	[ ! -e "$T/out/.ballast-fetch/unsettled" ]
	strace -f -e trace=fsync -o "$T/trace" "$BUILD/ballast-fetch" pull --quiet --config="$T/fetch.json" \
		hf://owner/model "$T/out"
	[ "$(synced)" -le 2 ]
}
