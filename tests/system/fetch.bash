# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154
# What the tests of ballast-fetch share: pulls and jobs against the Hub's fixture.

# hub_config [JQ-FILTER]: $T/fetch.json with the Hub of start_hub.
hub_config() {
	jq -n --arg hub "$HUB" --arg cdn "$CDN" \
		"{endpoints: {hf: \$hub}, allowed_origins: [\$cdn]} | ${1:-.}" >"$T/fetch.json"
}

# https_origin: $T/www/model.bin, 8 MiB, at $ORIGIN by https, and $T/fetch.json for it.
https_origin() {
	make_tls IP:127.0.0.1
	mkdir "$T/www"
	head -c 8M /dev/urandom >"$T/www/model.bin"
	start_origin --tls "$T/tls.pem" "$T/tls.key" "$T/www"
	jq -n --arg ca "$T/ca.pem" --arg o "$ORIGIN" '{ca_file: $ca, allowed_origins: [$o]}' >"$T/fetch.json"
}

fetch() {
	local command=$1
	shift
	timeout 120 "$BUILD/ballast-fetch" "$command" --config="$T/fetch.json" "$@"
}

# job DIR [OPTION...]: one job of owner/model as the agent would run it; its messages in $T/messages.
job() {
	local dir=$1
	shift
	jq -n --slurpfile config "$T/fetch.json" \
		'{item: {source: "hf://owner/model", mount_location: "/m"}, config: $config[0]}' |
		timeout 120 "$FIXTURES/fetch_job.py" "$@" "$BUILD/ballast-fetch" "$dir" >"$T/messages"
}

# assert_same DIR DIR: the same files, but for what fetch or the stand-in keeps.
assert_same() {
	diff -r --exclude .ballast-fetch --exclude .have "$1" "$2"
}

# assert_empty DIR: nothing is published there.
assert_empty() {
	[ -z "$(find "$1" -type f -not -path '*/.ballast-fetch/*' 2>/dev/null)" ] ||
		fail "published: $(find "$1" -type f)"
}

# body_bytes FILE: how much of the bodies of a file the origins sent.
body_bytes() {
	origin_stats "$HUB" '[.bytes | to_entries[] | select(.key | test($what)) | .value] | add // 0' \
		--arg what "$1"
}
