# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154,SC2120,SC2119
# What the tests of object stores share: jobs of ballast-fetch by hand, and the stores to ask.

S3_SECRET='{"aws_access_key_id":"AKIDTEST","aws_secret_access_key":"secret/KEY+1"}'
CUSTOM='{"auth_method":"CUSTOM_SECRET","auth_secret_name":"s"}'

# start_clouds OPTIONS...: tests/fixtures/clouds.py; S3, GS, STS, BT and CDN are base URLs, CONFIG a
# configuration that names them.
start_clouds() {
	local ports
	spawn clouds "$FIXTURES/clouds.py" "$@"
	read -r -a ports <<<"$REPLY"
	S3=http://127.0.0.1:${ports[0]}
	GS=http://127.0.0.1:${ports[1]}
	STS=http://127.0.0.1:${ports[2]}
	BT=http://127.0.0.1:${ports[3]}
	CDN=http://127.0.0.1:${ports[4]}
	CONFIG=$(jq -n --arg s3 "$S3" --arg gs "$GS" --arg sts "$STS" --arg bt "$BT" --arg cdn "$CDN" \
		'{endpoints: {s3: $s3, r2: $s3, cw: $s3, gs: $gs, sts: $sts, bt: $bt},
		allowed_origins: [$cdn]}')
	AUTH=$CUSTOM
	SECRET=$S3_SECRET
	TOKEN='' REVISION=''
}

# use_hosts LINE...: names of this test's own, in the mount namespace that run-system gives each file;
# leave_hosts at its end.
use_hosts() {
	printf '%s\n' '127.0.0.1 localhost' "$@" >"$T/names"
	mount --bind "$T/names" /etc/hosts 2>/dev/null || skip "cannot mount over /etc/hosts"
	touch "$T/hosts"
}

leave_hosts() {
	[ ! -e "$T/hosts" ] || umount /etc/hosts
}

# A Google service account's key in $T/account.json.
make_service_account() {
	openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$T/account.pem" 2>/dev/null
	jq -n --rawfile key "$T/account.pem" '{type: "service_account", project_id: "p",
		client_email: "reader@project.iam.gserviceaccount.com", private_key: $key,
		token_uri: "https://oauth2.googleapis.com/token"}' >"$T/account.json"
}

# put JSON...: objects of the clouds, as clouds.py has them.
put() {
	origin_control "$S3" objects "$(printf '%s\n' "$@" | jq -s .)"
}

# job SOURCE [MODE [ITEM-FILTER]]: one job of ballast-fetch with $CONFIG, $AUTH, $SECRET, $TOKEN and
# $REVISION; its files go to $T/files. $status, and in $T/job.out its messages. No secret may be in
# anything that it says.
job() {
	rm -rf "$T/files"
	mkdir "$T/files"
	jq -n --arg source "$1" --arg mode "${2:-fetch}" --argjson config "$CONFIG" \
		--argjson auth "${AUTH:-null}" --arg secret "$SECRET" --arg token "$TOKEN" \
		--arg revision "$REVISION" '
		{schema: 1, mode: $mode, item: {source: $source, mount_location: "/m"}, config: $config}
		| if $auth then .item.auth = $auth else . end
		| if $secret != "" then .secret = $secret else . end
		| if $token != "" then .identity_token = $token else . end
		| if $revision != "" then .revision = $revision else . end'" | ${3:-.}" >"$T/job.json"
	status=0
	"$FIXTURES/fetch_job.py" "$BUILD/ballast-fetch" "$T/files" <"$T/job.json" >"$T/job.out" \
		2>>"$T/job.log" || status=$?
	output=$(tail -n 1 "$T/job.out")
	refute_said 'secret/KEY|CANARY|TOKEN-|SESSION|BEGIN PRIVATE'
}

# refute_said REGEX: the job has said nothing of the kind, neither to the agent nor on stderr.
refute_said() {
	if grep -E -- "$1" "$T/job.out" "$T/job.log"; then
		fail "that was said"
	fi
}

# What the job lists: one path a line, or what FILTER makes of each file.
listed() {
	jq -r "select(.type == \"files\").files[] | ${1:-.path}" "$T/job.out"
}

assert_listed() {
	assert_equal "$(listed)" "$(printf '%s\n' "$@")"
}

# assert_error CLASS TEXT...: the job ended with an error of this class that has these texts.
assert_error() {
	local class=$1 text
	shift
	assert_equal "$(jq -r .class <<<"$output")" "$class"
	[ "$status" -eq 1 ] || fail "status $status, not 1"
	for text; do
		[[ $(jq -r .detail <<<"$output") == *"$text"* ]] || fail "no '$text' in: $output"
	done
}

assert_done() {
	[ "$status" -eq 0 ] || fail "status $status: $output"
}
