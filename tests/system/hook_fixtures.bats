# SPDX-License-Identifier: Apache-2.0
# What runtimes that are not installed here hand to a hook: tests/data/runtimes.

load hook

setup() { use_test_dir; }
teardown() { clean_up; }

# fixture NAME: the hook on it, with a living process and a root file system put in.
fixture() {
	local from=$TESTS/data/runtimes/$1 options
	BUNDLE=$T/bundle
	rm -rf "$BUNDLE"
	mkdir -p "$BUNDLE"
	: >"$T/requests"
	make_rootfs "$BUNDLE/rootfs"
	# shellcheck disable=SC2016
	spawn box unshare --mount --propagation private sh -c 'mount --bind "$1" "$1" && echo ready && exec sleep 1000' \
		-- "$BUNDLE/rootfs"
	STATE=$(jq 'if .pid then .pid = $pid else . end | if .bundle != "/" then .bundle = $b else . end
		| if .root and .root != "rootfs" then .root = $b + "/rootfs" else . end' \
		--argjson pid "$(cat "$T/box.pid")" --arg b "$BUNDLE" "$from/state.json")
	if [ -e "$from/config.json" ]; then
		jq 'if .root.path != "rootfs" then .root.path = $b + "/rootfs" else . end' --arg b "$BUNDLE" \
			"$from/config.json" >"$BUNDLE/config.json"
	fi
	mapfile -t options < <(jq -r '.options // [] | .[]' "$from/expect.json")
	run hook_alone "${options[@]}"
	assert_status "$(jq .status "$from/expect.json")"
	assert_output "$(jq -r '.message // ""' "$from/expect.json")"
	if [ "$(jq '.requests' "$from/expect.json")" = 0 ]; then
		assert_equal "$(cat "$T/requests")" ""
	else
		assert_equal "$(jq -r '.body.tenant + " " + .body.container' "$T/requests")" \
			"$(jq -r '.tenant + " " + .container' "$from/expect.json")"
		grep -q ' /models/a\| .*/rootfs/models/a ' "/proc/$(cat "$T/box.pid")/mountinfo"
	fi
	kill "$(cat "$T/box.pid")"
}

each() {
	local name
	make_tree a
	answer /models/a "$T/trees/a"
	start_fake
	for name in "$TESTS/data/runtimes"/$1; do
		echo "fixture ${name##*/}"
		fixture "${name##*/}"
	done
}

@test "CRI-O" { each 'cri-o*'; }

@test "containerd 1.7 and 2.x" { each 'containerd*'; }

@test "youki" { each 'youki*'; }

@test "runc, crun, Podman, as recorded" {
	each 'runc*'
	each 'crun*'
	each 'podman*'
}

@test "no bundle" { each 'no-bundle*'; }

@test "--runtime says whose keys count" {
	make_tree a
	answer /models/a "$T/trees/a"
	start_fake
	local runtime
	BUNDLE=$T/bundle
	mkdir "$BUNDLE"
	cp "$TESTS/data/runtimes/cri-o-both-families/config.json" "$BUNDLE/config.json"
	STATE=$(jq '.bundle = $b' --arg b "$BUNDLE" "$TESTS/data/runtimes/cri-o-both-families/state.json")
	for runtime in auto:77:both containerd:77:gone cri-o:77:gone; do
		run hook_alone --runtime="${runtime%%:*}"
		assert_status 77
	done
	bundle_set 'del(.annotations["io.kubernetes.cri-o.SandboxID"])'
	run hook_alone --runtime=cri-o
	assert_status 77
	assert_output "--runtime says"
}
