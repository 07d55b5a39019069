#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The helpers of lib.bash themselves: they must work before anything else can be believed.

load lib

setup() { use_test_dir; }
teardown() { clean_up; }

@test "harness: a busybox bundle runs under runc" {
	make_bundle box sh -c 'id -u; cat /proc/self/status | grep CapBnd; exit 7'
	run_container
	assert_status 7
	assert_output "0
CapBnd:	00000000a80425fb"
}

@test "harness: the same bundle runs under crun" {
	need_crun
	make_bundle box sh -c 'echo from crun; exit 7'
	run_crun
	assert_status 7
	assert_output "from crun"
}

@test "harness: podman runs a rootfs with runc and with crun" {
	need podman
	make_rootfs "$T/rootfs"
	run podman_in_test --runc run --rm --network host --rootfs "$T/rootfs" echo from runc
	assert_status 0
	assert_output "from runc"
	need_crun
	run podman_in_test --crun run --rm --network host --rootfs "$T/rootfs" echo from crun
	assert_status 0
	assert_output "from crun"
}

@test "harness: a detached container can be entered, and ends" {
	make_bundle box sleep 1000
	start_container
	run in_container hostname
	assert_status 0
	stop_container
	# Whoever has adopted it reaps it.
	while [ -e "/proc/$CONTAINER_PID" ]; do :; done
}

@test "harness: mounts below the test's directory go away with it" {
	mkdir "$T/a" "$T/a/b c"
	before=$(mount_table)
	mount -t tmpfs none "$T/a/b c"
	[ "$(mount_table)" != "$before" ]
	clean_up
	assert_equal "$(mount_table)" "$before"
}

@test "harness: a daemon that says READY=1 is waited for, one that dies is reported" {
	cat >"$T/daemon" <<-'PY'
		#!/usr/bin/python3
		import os, signal, socket
		s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
		s.sendto(b"STATUS=hello\nREADY=1", os.environ["NOTIFY_SOCKET"])
		signal.pause()
	PY
	chmod +x "$T/daemon"
	AGENT=$T/daemon start_agent
	[ -d "/proc/$AGENT_PID" ]
	stop_agent
	AGENT=/bin/false run start_agent
	assert_status 1
	assert_output "ended with 1"
}
