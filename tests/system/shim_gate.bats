#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The deferred wait: the test is the agent.

load lib
load shim_rig

setup_file() { build_rig; }

setup() {
	use_test_dir
	use_box probe ids
	mkdir -p "$BUNDLE/rootfs/models/a" "$BUNDLE/rootfs/models/b c"
	mkfifo "$T/given/gate"
	# As the agent holds it: both ways, so that no line is lost.
	exec 9<>"$T/given/gate"
}

teardown() {
	exec 9>&-
	clean_up
}

container_pid() {
	if [ "$RUNTIME" = crun ]; then
		crun_in_test state "$CONTAINER"
	else
		runc --root "$T/runc" state "$CONTAINER"
	fi | jq .pid
}

# Mounts a new file system at a location of the container, and says DEV INO of it.
attach() {
	local pid
	pid=$(container_pid)
	nsenter --target "$pid" --mount --root /bin/busybox mount -t tmpfs -o "${2:-ro}" tmpfs "$1" &&
		stat -c '%d %i' "/proc/$pid/root$1"
}

say() {
	printf '%s\n' "$*" >&9
}

@test "gate: waits, shows progress, checks every mount, then runs the server" {
	for runtime in $(runtimes); do
		spec deferred run_as=1000 mount=/models/a "mount=/models/b c"
		run_in_background "$runtime"
		wait_line 'ballast: waiting for the weights'
		say progress 1048576 10485760
		wait_line 'ballast: weights: 1 of 10 MiB'
		a=$(attach /models/a)
		b=$(attach "/models/b c")
		say mount $a /models/a
		say mount $b "/models/b c"
		# All again, as after the agent's restart.
		say progress 10485760 10485760
		say mount $a /models/a
		say mount $b "/models/b c"
		say ready
		end_background
		assert_status 0
		assert_output "uid 1000 1000 1000"
	done
}

@test "gate: lines that were written before the shim opened it count" {
	spec deferred run_as=1000
	say progress 1 2
	say ready
	run_in_background
	end_background
	assert_status 0
	assert_output "uid 1000 1000 1000"
}

@test "gate: failed ends with 125 and the agent's reason, on stderr and in termination-log" {
	install -m 666 /dev/null "$T/log"
	bundle_set '.mounts += [{destination: "/dev/termination-log", type: "bind", source: $log,
		options: ["bind", "rw"]}]' --arg log "$T/log"
	spec deferred run_as=1000 mount=/models/a
	say $'failed hf://a/b: 404: \e[31mno such model'
	run_in_background
	end_background
	assert_status 125
	assert_says 'ballast: error: weights: hf://a/b: 404: \x1b[31mno such model'
	refute_output "uid 1000"
	assert_equal "$(cat "$T/log")" 'weights: hf://a/b: 404: \x1b[31mno such model'
}

@test "gate: what is mounted must be what was told, and read-only, and all of it" {
	check_refused() { # MESSAGE LINE...
		local message=$1
		shift
		spec deferred run_as=1000 mount=/models/a
		run_in_background
		wait_line 'waiting for the weights'
		for line; do
			[ "$line" != rw ] || line="mount $(attach /models/a rw) /models/a"
			[ "$line" != ro ] || line="mount $(attach /models/a) /models/a"
			# On the right file system, but another file of it; and the other way round.
			[ "$line" != other-file ] || line="mount $(attach /models/a | awk '{print $1, $2 + 1}') /models/a"
			[ "$line" != other-device ] || line="mount $(attach /models/a | awk '{print $1 + 1, $2}') /models/a"
			say "$line"
		done
		end_background
		assert_status 125
		assert_output "$message"
		refute_output "uid 1000"
		# What the shim left unread is not for the next one.
		exec 9>&-
		exec 9<>"$T/given/gate"
	}
	check_refused "mount '/models/a': it is not read-only" rw ready
	check_refused "mount '/models/a': what is there is not what the agent mounted" \
		"mount 1 1 /models/a" ready
	check_refused "mount '/models/a': what is there is not what the agent mounted" other-file ready
	check_refused "mount '/models/a': what is there is not what the agent mounted" other-device ready
	check_refused "mount '/models/a': the agent is ready without it" ready
	check_refused "mount '/models': the agent mounted what nobody asked for" ro "mount 1 1 /models"
	check_refused "the agent said something that is not understood" "mount all of it"
}

@test "gate: SIGTERM while waiting is 143, SIGINT 130" {
	spec deferred run_as=1000 mount=/models/a
	for runtime in $(runtimes); do
		run_in_background "$runtime"
		wait_line 'waiting for the weights'
		signal_container TERM
		end_background
		assert_status 143
		assert_output "ended by signal 15 before the weights were there"
		run_in_background "$runtime"
		wait_line 'waiting for the weights'
		signal_container INT
		end_background
		assert_status 130
	done
}

@test "gate: an agent that ends and comes back is waited for" {
	spec deferred run_as=1000
	run_in_background
	wait_line 'waiting for the weights'
	say progress 204800 512000
	wait_line 'weights: 200 of 500 KiB'
	printf 'prog' >&9
	exec 9>&-
	wait_line "the node's agent has gone"
	# The shim opens anew after the end; only then is there a new agent (it closes the old end last).
	"$FIXTURES/process.py" path "/proc/$(container_pid)/root/run/ballast/gate" 20
	exec 9<>"$T/given/gate"
	say ready
	end_background
	assert_status 0
	assert_output "uid 1000 1000 1000"
}

@test "gate: half a line of an agent that died is void, also where the next was there at once" {
	spec deferred run_as=1000 mount=/models/a
	run_in_background
	wait_line 'waiting for the weights'
	a=$(attach /models/a)
	printf 'mount %s /mod' "$a" >&9
	say $'\x18'
	say mount $a /models/a
	say ready
	end_background
	assert_status 0
	assert_output "uid 1000 1000 1000"
}

@test "gate: nothing of the wait is handed on to the server" {
	bundle_args /run/ballast/shim probe fds signals
	spec deferred run_as=1000
	say ready
	run_in_background
	end_background
	# what the shim says to stderr may come in between
	grep -qx 'fds 0 1 2' <<<"$output" || fail "$output"
	grep -qx 'blocked 0 ignored' <<<"$output" || fail "$output"
}

@test "gate: a gate that is missing, or no FIFO, is 125" {
	spec deferred run_as=1000
	rm "$T/given/gate"
	run_on_runc
	assert_status 125
	assert_output "/run/ballast/gate: No such file or directory"
	touch "$T/given/gate"
	run_on_runc
	assert_status 125
	assert_output "/run/ballast/gate: this is no FIFO"
}
