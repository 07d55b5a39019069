#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What the shim runs, with what environment and descriptors, and how it ends. Each under runc and
# crun.

load lib
load shim_rig

setup_file() { build_rig; }
setup() { use_test_dir; }
teardown() { clean_up; }

@test "shim: start_command runs as sh -c does" {
	use_box
	spec 'start=cd /tmp && echo "$0 $# in $PWD" | tr a-z A-Z; exit 7' run_as=1000
	run_shim
	assert_status 7
	assert_equal "$output" "SH 0 IN /TMP"
}

@test "shim: without start_command the image's own runs, byte for byte, where the image has it" {
	use_box /bin/probe args cwd '' 'a b' '$HOME;"' $'new\nline' 'ü' --init
	bundle_set '.process.cwd = "/var/tmp"'
	spec run_as=1000
	run_shim
	assert_status 0
	assert_output $'arg <>\narg <a b>\narg <$HOME;">\narg <new\nline>\narg <ü>\narg <--init>'
	assert_output "cwd /var/tmp"
}

@test "shim: COMMAND is looked up on the image's PATH; -- ends the options" {
	use_box --init -- probe ids
	set_env PATH=/nowhere:/bin
	spec run_as=1000
	run_shim
	assert_status 0
	assert_equal "$output" "uid 1000 1000 1000 gid 1000 1000 1000"
}

@test "shim: whoever finds it on the host is told what it is" {
	run "$BUILD/ballast-shim" --version
	assert_status 0
	assert_equal "$output" "ballast-shim $("$BUILD/ballast" --version | cut -d' ' -f2)"
	run "$BUILD/ballast-shim" --init --help
	assert_status 0
	assert_equal "$output" "usage: /run/ballast/shim [--init] [--] [COMMAND [ARG...]]"
	run bash -c '"$1" --version >/dev/full' bash "$BUILD/ballast-shim"
	assert_status 125
	assert_output "writing to standard output"
}

@test "shim: start_command comes before a COMMAND" {
	use_box probe exit=3
	spec start='echo start_command' run_as=1000
	run_shim
	assert_status 0
	assert_equal "$output" start_command
}

@test "shim: nothing to run, an unknown option, a spec that is missing or wrong: 125, said" {
	use_box
	run_shim
	assert_status 125
	assert_output "ballast: error: there is nothing to run: set start_command"
	bundle_args /run/ballast/shim --oops
	run_shim
	assert_status 125
	assert_output "unknown option --oops"
	bundle_args /run/ballast/shim probe exit=0
	head -c 20 "$T/given/spec" >"$T/given/cut" && mv "$T/given/cut" "$T/given/spec"
	run_shim
	assert_status 125
	assert_output "/run/ballast/spec: spec: "
	rm "$T/given/spec"
	run_shim
	assert_status 125
	assert_output "/run/ballast/spec: No such file or directory"
}

@test "shim: a record it does not know is a refusal" {
	use_box probe exit=0
	printf '\143\0\0\0\1\0\0\0x' >"$T/raw"
	spec run_as=1000 raw="$T/raw"
	run_shim
	assert_status 125
	assert_output "a type that this version does not know"
}

@test "shim: a uid that must not be, in whatever way it came into the spec, is refused" {
	local uid
	use_box probe ids
	for uid in '\0\0\0\0' '\x60\xea\0\0' '\0\0\0\x80' '\xff\xff\xff\xff'; do
		printf "\\2\\0\\0\\0\\4\\0\\0\\0$uid" >"$T/raw"
		spec raw="$T/raw"
		run_shim
		assert_status 125
		assert_output "spec: run_as_user_id: not from 1 to 2147483647, or 60000"
	done
	printf '\2\0\0\0\x8\0\0\0\x1\0\0\0\x1\0\0\0' >"$T/raw"
	spec raw="$T/raw"
	run_shim
	assert_status 125
	assert_output "spec: run_as_user_id: wrong length"
}

@test "shim: 127 for what is not there, 126 for what cannot be executed, each said" {
	use_box
	printf 'no program' >"$BUNDLE/rootfs/bin/text"
	printf '#!/nowhere/python\n' >"$BUNDLE/rootfs/bin/script"
	chmod 755 "$BUNDLE/rootfs/bin/text" "$BUNDLE/rootfs/bin/script"
	touch "$BUNDLE/rootfs/bin/plain"
	for init in '' --init; do
		check_end() { # STATUS MESSAGE COMMAND
			bundle_args /run/ballast/shim $init -- "$3"
			run_shim
			assert_status "$1"
			assert_output "$2"
		}
		check_end 127 "nosuch: not found" nosuch
		check_end 127 "/bin/nosuch: not found" /bin/nosuch
		check_end 127 ": not found" ''
		check_end 127 "/bin/script: its interpreter or loader is not in the image" script
		check_end 126 "plain: cannot be executed: Permission denied" plain
		check_end 126 "/bin: cannot be executed: Permission denied" /bin
		check_end 126 "/bin/text: not a program of this machine" text
	done
}

# record TYPE TEXT: a record as raw bytes, for what is too long to be an argument of mkspec.
record() {
	local head
	printf -v head '\\x%02x\\0\\0\\0\\x%02x\\x%02x\\x%02x\\0' "$1" $((${#2} & 255)) \
		$((${#2} >> 8 & 255)) $((${#2} >> 16))
	printf '%b%s' "$head" "$2"
}

@test "shim: a start_command at the kernel's limit runs, one byte more is 126 and says so" {
	use_box
	printf -v long '%131071s' 'exit 9'
	record 1 "$long" >"$T/raw"
	spec run_as=1000 raw="$T/raw"
	run_shim
	assert_status 9
	record 1 " $long" >"$T/raw"
	spec run_as=1000 raw="$T/raw"
	run_shim
	assert_status 126
	assert_output "has 131072 bytes: the kernel takes at most 131071 in one"
}

@test "shim: an environment beyond the kernel's limits is 126 and says which" {
	local i
	use_box probe exit=0
	printf -v long '%131070s' ''
	record 4 "A=$long" >"$T/raw"
	spec run_as=1000 raw="$T/raw"
	run_shim
	assert_status 126
	assert_output "the environment variable 'A="
	# A quarter of the stack's limit, which is 8 MiB as a rule, but at most 6 MiB.
	for i in {1..70}; do record 4 "V$i=${long:0:100000}"; done >"$T/raw"
	spec run_as=1000 raw="$T/raw"
	run_shim
	assert_status 126
	assert_output "together more than the kernel takes"
}

@test "shim: the environment is as the contract has it" {
	use_box probe env
	set_env PATH=/bin HOSTNAME=box PORT=8080 IMAGE=own HOME=/root LD_LIBRARY_PATH=/opt
	touch "$BUNDLE/rootfs/bin/python3"
	chmod 755 "$BUNDLE/rootfs/bin/python3"
	spec env=NEW=1 env=IMAGE=changed env=PORT=1 env=HOSTNAME=x env=PYTHONPATH=/x \
		env=A_SERVICE_HOST=y env=A_SERVICE_PORT=z env=HOST=h env=BT_MODEL_ID=m1 \
		env=BDN_PROXY=http://proxy:3128
	run_shim
	assert_status 0
	said=$(grep '^ballast: ' <<<"$output" | sort)
	assert_equal "$(grep -c 'dropped: the platform sets this name' <<<"$said")" 6
	assert_equal "$(grep '^env ' <<<"$output" | sort)" "env APP_HOME=/app
env BDN_PROXY=http://proxy:3128
env BT_MODEL_ID=m1
env HOME=/home/app
env HOSTNAME=box
env IMAGE=changed
env LD_LIBRARY_PATH=/opt
env LOGNAME=app
env NEW=1
env PATH=/bin
env PORT=8080
env PYTHON_EXECUTABLE=/bin/python3
env USER=app"
}

@test "shim: only descriptors 0 to 2 survive, signals are as new, the working directory is inside" {
	use_box probe fds signals cwd
	spec run_as=1000
	for init in '' init; do
		spec run_as=1000 $init
		exec 7</ 8</etc/passwd
		CONTAINER=$(new_id)
		echo "runc $CONTAINER" >>"$T/containers"
		# Signals that the runtime ignores must not stay ignored.
		run sh -c 'trap "" PIPE HUP USR1 CHLD; exec "$@"' sh \
			runc --root "$T/runc" run --preserve-fds 6 --bundle "$BUNDLE" "$CONTAINER"
		exec 7<&- 8<&-
		assert_status 0
		assert_output "fds 0 1 2"
		refute_output "fds 0 1 2 "
		assert_output "blocked 0 ignored"
		refute_output "ignored "
		assert_output "cwd /"
	done
}

@test "shim: a working directory that is not inside the container is refused" {
	need unshare
	use_box
	mkdir "$T/outside"
	# As a runtime that left a descriptor of the host behind would: the root changes, the cwd stays.
	mount --bind "$BUNDLE/rootfs" "$BUNDLE/rootfs"
	mount --bind "$T/given" "$BUNDLE/rootfs/run/ballast"
	spec start='pwd; ls' run_as=1000
	cd "$T/outside"
	run /usr/bin/python3 -c 'import os, sys
fd = os.open(".", os.O_RDONLY)
os.chroot(sys.argv[1])
os.fchdir(fd)
os.execv("/run/ballast/shim", ["shim"])' "$BUNDLE/rootfs"
	assert_status 125
	assert_output "the working directory is not inside the container"
}

@test "shim: closed standard descriptors are filled, so that no file becomes the server's output" {
	use_box
	mount --bind "$BUNDLE/rootfs" "$BUNDLE/rootfs"
	mount --bind "$T/given" "$BUNDLE/rootfs/run/ballast"
	mknod -m 666 "$BUNDLE/rootfs/dev/null" c 1 3
	spec start='probe fds >/tmp/fds' run_as=1000
	chroot "$BUNDLE/rootfs" /bin/sh -c 'exec /run/ballast/shim <&- >&- 2>&-'
	assert_equal "$(cat "$BUNDLE/rootfs/tmp/fds")" "fds 0 1 2"
	rm "$BUNDLE/rootfs/tmp/fds" "$BUNDLE/rootfs/dev/null"
	run chroot "$BUNDLE/rootfs" /bin/sh -c 'exec /run/ballast/shim <&-'
	assert_status 125
	assert_output "descriptor 0 is closed"
}

@test "shim: its last error is in /dev/termination-log too, where there is one" {
	use_box nosuch
	# As the kubelet makes it.
	install -m 666 /dev/null "$T/log"
	bundle_set '.mounts += [{destination: "/dev/termination-log", type: "bind", source: $log,
		options: ["bind", "rw"]}]' --arg log "$T/log"
	spec run_as=1000
	run_on_runc
	assert_status 127
	assert_equal "$(cat "$T/log")" "nosuch: not found"
	: >"$T/log"
	spec run_as=1000 init
	run_on_runc
	assert_status 127
	assert_equal "$(cat "$T/log")" "nosuch: not found"
}
