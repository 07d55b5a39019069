#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Who the server is and what it has given up; and that it never runs where any of that fails.

load lib
load shim_rig

setup_file() { build_rig; }
setup() { use_test_dir; }
teardown() { clean_up; }

nothing_left="effective 000000000 permitted 000000000 inheritable 000000000 bounding 0 ambient 0"

@test "shim: the default user is 60000:60000, without any capability, with no_new_privs" {
	use_box probe ids groups caps nnp seccomp user
	run_shim
	assert_status 0
	assert_equal "$output" "uid 60000 60000 60000 gid 60000 60000 60000
groups
$nothing_left
nnp 1
seccomp 0
user app app home /home/app"
}

@test "shim: run_as_user_id with gid, groups, name and home of the image's files" {
	use_box probe ids groups user
	printf 'root:x:0:0::/root:/bin/sh\nserver:x:1000:1001:A Server:/srv/home:/bin/sh\n' \
		>"$BUNDLE/rootfs/etc/passwd"
	printf 'server:x:1001:\nvideo:x:44:server,other\nrender:x:105:server\nother:x:106:other\n' \
		>"$BUNDLE/rootfs/etc/group"
	bundle_set '.process.user.additionalGids = [7, 8]'
	spec run_as=1000
	run_shim
	assert_status 0
	assert_equal "$output" "uid 1000 1000 1000 gid 1001 1001 1001
groups 44 105
user server server home /srv/home"
}

@test "shim: a uid that no file knows gets gid = uid, no groups, and a name" {
	use_box probe ids groups user
	bundle_set '.process.user.additionalGids = [7, 8]'
	spec run_as=2147483647
	run_shim
	assert_equal "$output" "uid 2147483647 2147483647 2147483647 gid 2147483647 2147483647 2147483647
groups
user app app home /home/app"
}

@test "shim: no_build without run_as_user_id keeps process.user and its groups" {
	use_box probe ids groups caps nnp
	bundle_set '.process.user.additionalGids = [7, 8]'
	spec no_build
	run_shim
	assert_equal "$output" "uid 0 0 0 gid 0 0 0
groups 7 8
$nothing_left
nnp 1"
}

@test "shim: as a user that is not root it keeps that user; bounding stays, the rest is empty" {
	use_box probe ids groups caps nnp
	bundle_user 1000 1001
	bundle_set '.process.user.additionalGids = [7, 8]'
	bundle_capabilities CAP_CHOWN CAP_NET_BIND_SERVICE
	bundle_set '.process.capabilities |= (.inheritable = .bounding | .ambient = .bounding)'
	for args in '' run_as=1000 no_build; do
		spec $args
		run_shim
		assert_status 0
		assert_equal "$output" "uid 1000 1000 1000 gid 1001 1001 1001
groups 7 8
effective 000000000 permitted 000000000 inheritable 000000000 bounding 401 ambient 0
nnp 1"
	done
}

@test "shim: another user without CAP_SETUID and CAP_SETGID is 125 that says so" {
	use_box probe ids
	bundle_user 1000
	bundle_capabilities CAP_NET_BIND_SERVICE
	spec run_as=1001
	run_shim
	assert_status 125
	assert_output "is to run as uid 1001, but the container runs as uid 1000 without CAP_SETUID"
	bundle_user 0
	spec run_as=1001
	run_shim
	assert_status 125
	refute_output "uid 1001 1001"
}

@test "shim: capabilities that the operator keeps are kept over the change of user, no others" {
	use_box probe ids caps
	# CAP_NET_BIND_SERVICE is there, CAP_SYS_ADMIN is not.
	spec run_as=1000 keep=$((1 << 10 | 1 << 21))
	run_shim
	assert_equal "$output" "uid 1000 1000 1000 gid 1000 1000 1000
effective 000000400 permitted 000000400 inheritable 000000400 bounding 400 ambient 400"
}

@test "shim: where the bounding set cannot be dropped nothing is kept in the others" {
	use_box probe ids caps nnp
	bundle_capabilities CAP_SETUID CAP_SETGID CAP_NET_BIND_SERVICE
	spec run_as=1000 keep=$((1 << 10))
	run_shim
	assert_equal "$output" "uid 1000 1000 1000 gid 1000 1000 1000
effective 000000000 permitted 000000000 inheritable 000000000 bounding 4c0 ambient 0
nnp 1"
	# Nor does root get them back by executing.
	spec no_build
	run_shim
	assert_output "uid 0 0 0 gid 0 0 0
effective 000000000 permitted 000000000 inheritable 000000000 bounding 4c0"
}

@test "shim: setuid programs of the image give nothing back" {
	use_box /bin/sh -c '/bin/setuid-probe ids caps'
	cp "$BUNDLE/rootfs/bin/probe" "$BUNDLE/rootfs/bin/setuid-probe"
	chmod 4755 "$BUNDLE/rootfs/bin/setuid-probe"
	spec run_as=1000
	run_shim
	assert_equal "$output" "uid 1000 1000 1000 gid 1000 1000 1000
$nothing_left"
}

@test "shim: a user namespace in which 60000 is not mapped is 125 that says so" {
	need_user_namespaces
	use_box probe ids
	chown -R 100000:100000 "$BUNDLE/rootfs"
	bundle_set '.linux.namespaces += [{type: "user"}]
		| .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 2000}]
		| .linux.gidMappings = [{containerID: 0, hostID: 100000, size: 2000}]
		| .mounts |= map(select(.type != "sysfs" and .type != "cgroup"))
		| .mounts += [{destination: "/sys", type: "none", source: "/sys", options: ["rbind", "ro"]}]'
	chmod 755 "$T" "$(dirname "$T")" "$(dirname "$(dirname "$T")")"
	spec
	chown 100000:100000 "$T/given/spec"
	run_on_runc
	assert_status 125
	assert_output "uid 60000 or gid 60000 does not exist in this container's user namespace"
	spec run_as=1000
	chown 100000:100000 "$T/given/spec"
	run_on_runc
	assert_status 0
	assert_output "uid 1000 1000 1000 gid 1000 1000 1000"
	echo 'me:x:1000:1000::/:' >"$BUNDLE/rootfs/etc/passwd"
	echo 'far:x:2000:me' >"$BUNDLE/rootfs/etc/group"
	run_on_runc
	assert_status 125
	assert_output "uid 1000 or one of its groups does not exist in this container's user namespace: map it"
}

@test "shim: setgroups denied by the user namespace: the server does not run" {
	need_user_namespaces
	use_box probe ids
	spec run_as=1
	chmod 444 "$T/given/spec"
	mount --bind "$BUNDLE/rootfs" "$BUNDLE/rootfs"
	mount --bind "$T/given" "$BUNDLE/rootfs/run/ballast"
	# A mapping made from inside: setgroups is "deny", uid 0 is all there is.
	capture unshare --user --map-root-user chroot "$BUNDLE/rootfs" \
		/run/ballast/shim probe ids
	assert_status 125
	assert_output "setting the groups of uid 1: Operation not permitted"
	refute_output "uid 1 1"
}

# Each step fails in turn, or says that it worked without having been done: the server never runs.
@test "shim: whatever step of the drop fails or lies, the server never runs" {
	need_faults
	SHIM=$FAULTS/ballast-shim use_box probe ids
	bundle_set '.process.user.additionalGids = [7, 8]'
	spec run_as=1000 keep=$((1 << 10)) filter="$RIG/filter"
	set_env PATH=/bin
	run_on_runc
	assert_status 0
	assert_output "uid 1000 1000 1000"
	local fault n=0
	for fault in \
		setgroups:EPERM setresgid:EPERM setresuid:EAGAIN setresuid:EPERM setresuid:EINVAL \
		capset:EPERM capbset_drop:EPERM capbset_drop:EPERM:13 capbset_read:EPERM \
		capbset_read:EPERM:30 ambient_clear:EPERM ambient_raise:EPERM ambient_read:EPERM \
		set_keepcaps:EPERM set_no_new_privs:EPERM set_seccomp:EACCES set_seccomp:ENOSYS \
		set_seccomp:EINVAL getids:EPERM:1 getids:EPERM:2 getgroups:EPERM capget:EPERM:1 \
		capget:EPERM:2 capget:EPERM:3 get_no_new_privs:EPERM get_seccomp:EPERM close_range:EPERM \
		sigmask:EPERM:1 sigmask:EPERM:2 signals_default:EPERM \
		setgroups:SKIP setresgid:SKIP setresuid:SKIP capset:SKIP capbset_drop:SKIP \
		capbset_drop:SKIP:9 ambient_raise:SKIP set_keepcaps:SKIP set_no_new_privs:SKIP \
		set_seccomp:SKIP; do
		set_env PATH=/bin BL_FAULT="$fault"
		run_on_runc
		[ "$status" -eq 125 ] || fail "$fault: status $status: $output"
		[[ $output == "ballast: error: "* ]] || fail "$fault: $output"
		refute_output "uid 1000 1000"
		n=$((n + 1))
	done
	[ "$n" -ge 40 ]
}

# Not through a runtime, which would take ten times as long: the calls are many.
@test "shim: each call of the drop fails in turn, every time that it is made" {
	need_faults
	SHIM=$FAULTS/ballast-shim use_box
	spec run_as=1000 keep=$((1 << 10)) filter="$RIG/filter"
	mount --bind "$BUNDLE/rootfs" "$BUNDLE/rootfs"
	mount --bind "$T/given" "$BUNDLE/rootfs/run/ballast"
	local call nth
	for call in $(grep -o 'bl_sys_[a-z_]*(\|bl_sys_[a-z_]*_read' "$TESTS/../shim/privileges.c" |
		sed 's/bl_sys_//; s/(//; s/get_ids/getids/' | sort -u); do
		for ((nth = 1; ; nth++)); do
			capture env -i PATH=/bin BL_FAULT="$call:EPERM:$nth" "$(command -v chroot)" "$BUNDLE/rootfs" \
				/run/ballast/shim probe ids
			[ "$status" -eq 125 ] || break
			[[ $output == "ballast: error: "* ]] || fail "$call:$nth: $output"
			refute_output "uid 1000 1000"
		done
		[ "$status" -eq 0 ] && [ "$nth" -gt 1 ] || fail "$call:$nth: status $status: $output"
	done
}

@test "shim: an ambient set that was not cleared is seen" {
	need_faults
	SHIM=$FAULTS/ballast-shim use_box probe ids
	bundle_user 1000
	bundle_set '.process.capabilities |= (.inheritable = .bounding | .ambient = .bounding)'
	spec run_as=1000
	run_on_runc
	assert_status 0
	set_env PATH=/bin BL_FAULT=ambient_clear:SKIP,capset:SKIP
	run_on_runc
	assert_status 125
	assert_output "capabilities: read back, it is not as it was set: the server is not run"
}

@test "shim: python finds a name for a uid that no file knows" {
	need /usr/bin/python3
	use_box /usr/bin/python3 -c 'import getpass, os.path
print(getpass.getuser(), os.path.expanduser("~"))'
	use_host_programs
	spec run_as=4321
	run_shim
	assert_status 0
	assert_equal "$output" "app /home/app"
}
