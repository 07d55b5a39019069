#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The fixtures against clients that are not ours: what they serve must be the real protocol, and
# what they are told to get wrong must be wrong.

load lib

setup() { use_test_dir; }
teardown() { clean_up; }

fetch() { curl --silent --show-error --noproxy '*' "$@"; }

@test "hub: Hugging Face's own client brings a snapshot, with a token, renamed, and refused" {
	local python=$PEERS/venv/bin/python3
	"$python" -c 'import huggingface_hub' 2>/dev/null || skip "huggingface_hub is not installed: make peers"
	make_model "$T/model" 300000
	make_model "$T/old" 1000
	start_hub --repo org/model="$T/model" --repo org/model@v1/x="$T/old" \
		--repo org/gated="$T/model" --gated org/gated=hf_good --token hf_other \
		--repo org/hidden="$T/old" --private org/hidden=hf_good --renamed was/model=org/model --page-size 2
	cat >"$T/client.py" <<-'PY'
		import sys
		from huggingface_hub import HfApi, snapshot_download
		from huggingface_hub import errors
		cache = sys.argv[1]
		def get(repo, token=False, cache_dir=cache, **more):
		    return snapshot_download(repo, token=token, cache_dir=cache_dir, **more)
		def refused(error, repo, token=False, **more):
		    try:
		        get(repo, token, cache + "-refused", **more)
		    except error:
		        return
		    raise SystemExit(f"{repo}: expected {error}")
		print(get("org/model"))
		print(get("was/model"))
		print(get("org/model", revision="v1/x"))
		print(get("org/gated", token="hf_good"))
		print(get("org/hidden", token="hf_good"))
		refused(errors.GatedRepoError, "org/gated", token="hf_other")
		refused(errors.RepositoryNotFoundError, "org/hidden", token="hf_other")
		refused(errors.RepositoryNotFoundError, "org/hidden")
		refused(errors.RepositoryNotFoundError, "org/none")
		refused(errors.RevisionNotFoundError, "org/model", revision="v2")
		names = sorted(e.path for e in HfApi().list_repo_tree("org/model", recursive=True, token=False))
		assert names == ["config.json", "model.safetensors", "tokenizer", "tokenizer/vocab.txt"], names
	PY
	HF_ENDPOINT=$HUB HF_HUB_DISABLE_XET=1 HF_HUB_DISABLE_TELEMETRY=1 HF_HUB_DISABLE_PROGRESS_BARS=1 \
		HOME=$T no_proxy=127.0.0.1 run --separate-stderr "$python" "$T/client.py" "$T/hf"
	[ "$status" -eq 0 ] || fail "$stderr"
	for i in 0 1 3; do diff -r "$T/model" "${lines[$i]}"; done
	for i in 2 4; do diff -r "$T/old" "${lines[$i]}"; done
}

@test "hub: a signature is checked, runs out, and no credential may come with it" {
	make_model "$T/model" 300000
	start_hub --repo org/model="$T/model"
	local url
	url=$(fetch --output /dev/null --write-out '%{redirect_url}' "$HUB/org/model/resolve/main/model.safetensors")
	fetch "$url" | cmp - "$T/model/model.safetensors"
	assert_equal "$(fetch -o /dev/null -w '%{http_code}' "${url/Signature=/Signature=0}")" 403
	assert_equal "$(fetch -o /dev/null -w '%{http_code}' -H 'Authorization: Bearer x' "$url")" 400
	origin_control "$HUB" expire
	assert_equal "$(fetch -o /dev/null -w '%{http_code}' "$url")" 403
}

@test "origin: ranges, If-Match and the counts are right" {
	mkdir "$T/files"
	head -c 100000 /dev/urandom >"$T/files/x"
	start_origin "$T/files"
	local etag
	etag=$(fetch --head "$ORIGIN/x" | sed -n 's/^ETag: \(.*\)\r$/\1/p')
	fetch -H "If-Match: $etag" -r 10-19 "$ORIGIN/x" | cmp - <(tail -c +11 "$T/files/x" | head -c 10)
	assert_equal "$(fetch -o /dev/null -w '%{http_code}' -H 'If-Match: "no"' "$ORIGIN/x")" 412
	assert_equal "$(fetch -o /dev/null -w '%{http_code}' -r 100000- "$ORIGIN/x")" 416
	fetch -r -7 "$ORIGIN/x" | cmp - <(tail -c 7 "$T/files/x")
	assert_equal "$(origin_stats "$ORIGIN" '.bytes["/x"], .requests["/x"]' | xargs)" "17 5"
}

@test "origin: every fault does what it says" {
	mkdir "$T/files"
	head -c 100000 /dev/urandom >"$T/files/x"
	start_origin "$T/files"
	fault() { origin_control "$ORIGIN" faults "[{\"match\":\"GET /x\",$1}]"; }
	get() { run --separate-stderr fetch --max-time 20 -D "$T/head" -o "$T/got" -w '%{http_code}' "$@" "$ORIGIN/x"; }

	fault '"kind":"flip","offset":5,"times":1'
	get && cmp -l "$T/got" "$T/files/x" >"$T/differ" || true
	assert_equal "$(cut -c1-6 "$T/differ" | xargs)" 6
	get && cmp "$T/got" "$T/files/x"

	fault '"kind":"short","bytes":10'
	get
	assert_equal "$status $(stat -c %s "$T/got")" "18 10"
	fault '"kind":"truncate","bytes":10'
	get
	assert_equal "$status $(stat -c %s "$T/got")" "0 10"
	fault '"kind":"no-range"'
	get -r 10-19
	assert_equal "$output $(stat -c %s "$T/got")" "200 100000"
	fault '"kind":"shift"'
	get -r 10-19
	grep -q '^Content-Range: bytes 11-20/100000' "$T/head"
	fault '"kind":"status","status":429,"headers":{"Retry-After":"1000000000"},"after":1'
	get
	assert_equal "$output" 200
	get
	assert_equal "$output" 429
	grep -q '^Retry-After: 1000000000' "$T/head"
	fault '"kind":"redirect","to":"http://169.254.169.254/"'
	get
	assert_equal "$output" 302
	fault '"kind":"close"'
	get
	assert_equal "$status" 52
	fault '"kind":"headers","headers":{"ETag":null,"X-New":"1"}'
	get
	grep -q '^X-New: 1' "$T/head"
	run ! grep '^ETag' "$T/head"
	fault '"kind":"replace"'
	get -H "If-Match: $(fetch --head "$ORIGIN/x" | sed -n 's/^ETag: \(.*\)\r$/\1/p')"
	assert_equal "$output" 412
}

@test "origin: a stall is waited for and let go" {
	mkdir "$T/files"
	head -c 100000 /dev/urandom >"$T/files/x"
	start_origin "$T/files"
	origin_control "$ORIGIN" faults '[{"match":"GET /x","kind":"stall","at":0.99}]'
	fetch "$ORIGIN/x" >"$T/got" 3>&- &
	origin_control "$ORIGIN" "wait?reached=1"
	assert_equal "$(origin_stats "$ORIGIN" '.bytes["/x"]')" 99000
	origin_control "$ORIGIN" release
	wait $!
	cmp "$T/got" "$T/files/x"
}

@test "origin: https with a CA of the test's own" {
	mkdir "$T/files"
	head -c 300000 /dev/urandom >"$T/files/x"
	make_tls
	start_origin --tls "$T/tls.pem" "$T/tls.key" "$T/files"
	fetch --cacert "$T/ca.pem" "$ORIGIN/x" | cmp - "$T/files/x"
	run fetch "$ORIGIN/x"
	assert_status 60
}
