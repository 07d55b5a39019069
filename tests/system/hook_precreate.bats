# SPDX-License-Identifier: Apache-2.0
# Podman's precreate: what goes in, what comes out, byte for byte but for what is asked.

load hook

setup() {
	use_test_dir
	make_bundle b sleep 1
}
teardown() { clean_up; }

# precreate [OPTION...]: $output is what comes out, $T/out too.
precreate() {
	run "$BUILD/ballast-hook" "$@" precreate <"$BUNDLE/config.json"
	printf '%s' "$output" >"$T/out"
}

@test "without annotations every byte stays" {
	bundle_set '.linux.resources = {memory: {limit: 9223372036854771712}}'
	"$BUILD/ballast-hook" precreate <"$BUNDLE/config.json" >"$T/out"
	cmp "$T/out" "$BUNDLE/config.json"
	annotate weights.ballast.dev '[]'
	"$BUILD/ballast-hook" precreate <"$BUNDLE/config.json" >"$T/out"
	cmp "$T/out" "$BUNDLE/config.json"
}

@test "start_command: the shim in front, large numbers untouched" {
	bundle_user 1000
	annotate docker-server.ballast.dev '{"start_command":"serve"}'
	sed -i 's/"ociVersion"/"x": 18446744073709551615, "ociVersion"/' "$BUNDLE/config.json"
	precreate
	assert_status 0
	grep -q 18446744073709551615 "$T/out"
	assert_equal "$(jq -c .process.args "$T/out")" '["/run/ballast/shim","--","sleep","1"]'
	assert_equal "$(jq -c .process.user.uid "$T/out")" 1000
	assert_equal "$(jq -cS 'del(.process.args)' "$T/out")" "$(jq -cS 'del(.process.args)' "$BUNDLE/config.json")"
}

@test "another user: root with what it needs, out of the bounding set only" {
	bundle_user 1000
	bundle_set '.process.capabilities = {bounding: ["CAP_SETUID","CAP_SETGID","CAP_CHOWN","CAP_KILL"], effective: []}'
	annotate docker-server.ballast.dev '{"run_as_user_id":1234}'
	precreate
	assert_status 0
	assert_equal "$(jq -c '[.process.user.uid, .process.user.gid]' "$T/out")" '[0,0]'
	bundle_set '.process.user += {umask: 63, additionalGids: [2000]}'
	precreate
	assert_equal "$(jq -c '.process.user | [.uid, .gid, .umask, .additionalGids]' "$T/out")" '[0,0,63,[2000]]'
	assert_equal "$(jq -c .process.capabilities.effective "$T/out")" '["CAP_SETUID","CAP_SETGID","CAP_CHOWN"]'
	assert_equal "$(jq -c .process.capabilities.permitted "$T/out")" '["CAP_SETUID","CAP_SETGID","CAP_CHOWN"]'
	assert_equal "$(jq -c .process.capabilities.bounding "$T/out")" "$(jq -c .process.capabilities.bounding "$BUNDLE/config.json")"
	# Of Docker's what the shim needs, and no more.
	bundle_set '.process.capabilities = {bounding: ($caps + ["CAP_SYS_ADMIN", "CAP_SYS_PTRACE"])}' --argjson caps "$DOCKER_CAPABILITIES"
	precreate
	for set in effective permitted; do
		assert_equal "$(jq -c ".process.capabilities.$set | sort" "$T/out")" \
			'["CAP_CHOWN","CAP_DAC_OVERRIDE","CAP_SETGID","CAP_SETPCAP","CAP_SETUID"]'
	done
	assert_equal "$(jq -c '.process.capabilities | [.inheritable, .ambient]' "$T/out")" '[null,null]'
}

@test "the same user: nothing but the shim" {
	bundle_user 1000
	annotate docker-server.ballast.dev '{"run_as_user_id":1000}'
	precreate
	assert_status 0
	assert_equal "$(jq -c .process.user.uid "$T/out")" 1000
	assert_equal "$(jq -cS .process.capabilities "$T/out")" "$(jq -cS .process.capabilities "$BUNDLE/config.json")"
}

@test "the shim that is there already is not put there again" {
	use_shim
	annotate docker-server.ballast.dev '{"start_command":"serve"}'
	precreate
	assert_equal "$(jq -c .process.args "$T/out")" '["/run/ballast/shim","sleep","1"]'
}

@test "the shim is there already, and the server is to be another user: root with what it needs all the same" {
	use_shim
	bundle_user 1000
	bundle_set '.process.capabilities = {bounding: ["CAP_SETUID","CAP_SETGID"], effective: []}'
	annotate docker-server.ballast.dev '{"run_as_user_id":1234}'
	precreate
	assert_status 0
	assert_equal "$(jq -c '[.process.args[0], .process.user.uid, .process.capabilities.effective]' "$T/out")" \
		'["/run/ballast/shim",0,["CAP_SETUID","CAP_SETGID"]]'
}

@test "environment variables, and a wait that is deferred, want the shim too" {
	annotate environment-variables.ballast.dev '{"A":"b"}'
	precreate
	assert_equal "$(jq -c '.process.args[0]' "$T/out")" '"/run/ballast/shim"'
	bundle_set 'del(.annotations)'
	annotate wait.ballast.dev '{"on_timeout":"defer"}'
	precreate
	assert_equal "$(jq -c '.process.args[0]' "$T/out")" '"/run/ballast/shim"'
}

@test "no arguments at all, and an empty list" {
	annotate docker-server.ballast.dev '{"start_command":"serve"}'
	bundle_set 'del(.process.args)'
	precreate
	assert_equal "$(jq -c .process.args "$T/out")" '["/run/ballast/shim"]'
	bundle_set '.process.args = []'
	precreate
	assert_equal "$(jq -c .process.args "$T/out")" '["/run/ballast/shim"]'
	bundle_set '.process.args = null'
	precreate
	assert_equal "$(jq -c .process.args "$T/out")" '["/run/ballast/shim"]'
}

@test "wrong annotations are refused, and nothing comes out" {
	annotate docker-server.ballast.dev '{"start_command":""}'
	run --separate-stderr "$BUILD/ballast-hook" precreate <"$BUNDLE/config.json"
	assert_status 64
	assert_equal "$output" ""
	bundle_set 'del(.annotations) | .process.capabilities = {} | .process.user = {uid: 1000, gid: 1000}'
	annotate docker-server.ballast.dev '{"run_as_user_id":1234}'
	run --separate-stderr "$BUILD/ballast-hook" precreate <"$BUNDLE/config.json"
	assert_status 64
	assert_equal "$output" ""
}

@test "keys in escapes are not overlooked" {
	annotate docker-server.ballast.dev '{"start_command":"serve"}'
	sed -i 's/"args"/"\\u0061rgs"/' "$BUNDLE/config.json"
	precreate
	[ "$status" -ne 0 ] || assert_equal "$(jq -c '.process.args[0]' "$T/out")" '"/run/ballast/shim"'
}
