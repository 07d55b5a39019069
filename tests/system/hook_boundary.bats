# SPDX-License-Identifier: Apache-2.0
# A container with the capabilities that undo a plain read-only bind tries to reach the node's cache.

load hook

setup_file() {
	use_file_dir
	build_inside "$T/inside"
}

setup() {
	use_test_dir
	simple_bundle /inside /models/a
	cp "$BATS_FILE_TMPDIR/inside" "$BUNDLE/rootfs/inside"
	start_fake
	add_hook
	BEFORE=$(cd "$T/trees" && find . -printf '%y %m %U %s %i %P\n' | sort && cat a/model)
}

teardown() { clean_up; }

# Everything held, and the published tree is as it was.
held() {
	assert_status 0
	refute_output BROKEN
	assert_output "write at first: held"
	assert_equal "$(cd "$T/trees" && find . -printf '%y %m %U %s %i %P\n' | sort && cat a/model)" "$BEFORE"
}

ALL='["CAP_SYS_ADMIN","CAP_DAC_READ_SEARCH","CAP_DAC_OVERRIDE","CAP_CHOWN","CAP_FOWNER","CAP_MKNOD","CAP_SYS_PTRACE",
"CAP_SYS_CHROOT","CAP_SETUID","CAP_SETGID","CAP_LINUX_IMMUTABLE"]'

@test "a privileged container: remount, write, unlink, file handles" {
	bundle_set '.process.capabilities |= with_entries(.value = $caps)' --argjson caps "$ALL"
	bundle_args /inside /models/a "$(stat -c %i "$T")" "$(stat -c %i "$T/trees/a")" "$(stat -c %i "$T/trees/a/model")" 2
	run_container
	held
	assert_output "remount,bind,rw: done"
	assert_output "write after a bind remount: held (Read-only file system)"
	assert_output "write after a remount: held (Read-only file system)"
	assert_output "open_by_handle_at: held"
	assert_output "umount: done"
}

@test "what a bind mount would have given away, so that the test above can fail" {
	bundle_set '.process.capabilities |= with_entries(.value = $caps)' --argjson caps "$ALL"
	bundle_set 'del(.hooks) | .mounts += [{destination: "/models/a", type: "bind", source: $s, options: ["bind", "ro"]}]' \
		--arg s "$T/trees/a"
	run_container
	assert_output "write after a bind remount: BROKEN"
}

@test "CAP_DAC_READ_SEARCH alone gets a superblock of its own too" {
	bundle_capabilities CAP_DAC_READ_SEARCH
	bundle_args /inside /models/a "$(stat -c %i "$T")" 2
	run_container
	held
	assert_output "open_by_handle_at: held"
}

@test "a superblock of its own is as tight as a bind; --allow-exec leaves out noexec alone" {
	bundle_capabilities CAP_SYS_ADMIN
	bundle_args grep " /models/a " /proc/self/mountinfo
	run_container
	assert_status 0
	assert_output "/models/a ro,nosuid,nodev,noexec,relatime - overlay ballast ro"
	bundle_set 'del(.hooks)'
	add_hook createRuntime --allow-exec
	run_container
	assert_status 0
	assert_output "/models/a ro,nosuid,nodev,relatime - overlay ballast ro"
}

@test "after the umount the empty directory of the image is what is left" {
	bundle_set '.process.capabilities |= with_entries(.value = $caps)' --argjson caps "$ALL"
	bundle_args sh -c 'umount /models/a && ls -A /models/a | wc -l && echo x >/models/a/x && cat /models/a/x'
	run_container
	assert_status 0
	assert_equal "$(cat "$BUNDLE/rootfs/models/a/x")" x
	assert_equal "$(ls "$T/trees/a")" $'model\nsub'
}

@test "a capability in the bounding set counts, also where the process does not hold it" {
	bundle_set '.process.capabilities.bounding = ["CAP_SYS_ADMIN"] | .process.capabilities.effective = []
		| .process.capabilities.permitted = [] | .process.capabilities.inheritable = [] | .process.capabilities.ambient = []'
	bundle_args grep " /models/a " /proc/self/mountinfo
	run_container
	assert_status 0
	assert_output "overlay ballast ro"
}

@test "Docker's capabilities: a plain bind, and the same tries fail" {
	bundle_args sh -c 'grep " /models/a " /proc/self/mountinfo; /inside /models/a'
	run_container
	held
	refute_output overlay
	assert_output "remount,bind,rw: Operation not permitted"
}

@test "a user namespace of the container's own making does not help" {
	bundle_args sh -c 'unshare -U -r -m /inside /models/a || true; echo end'
	bundle_set 'del(.linux.seccomp)'
	run_container
	assert_output end
	refute_output BROKEN
}

@test "a user namespace with CAP_SYS_ADMIN over its own mounts" {
	need_user_namespaces
	bundle_set '.process.capabilities |= with_entries(.value = $caps)' --argjson caps "$ALL"
	chown -R 200000:200000 "$BUNDLE/rootfs"
	bundle_set '.linux.namespaces += [{type: "user"}, {type: "network"}]
		| .linux.uidMappings = [{containerID: 0, hostID: 200000, size: 65536}]
		| .linux.gidMappings = .linux.uidMappings'
	bundle_args /inside /models/a "$(stat -c %i "$T")" 2
	open_way
	run_container
	held
}

@test "no empty directory from the agent: refused, nothing weaker in its place" {
	bundle_capabilities CAP_SYS_ADMIN
	jq 'del(.empty)' "$T/answer" >"$T/answer.new"
	mv "$T/answer.new" "$T/answer"
	run_container
	[ "$status" -ne 0 ]
	assert_output "names no empty directory"
	assert_output "exit status 77"
}
