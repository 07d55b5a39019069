#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The shim as init.

load lib
load shim_rig

setup_file() { build_rig; }
setup() { use_test_dir; }
teardown() { clean_up; }

# The first process of the container of run_in_background, as this namespace sees it.
container_pid() {
	if [ "$RUNTIME" = crun ]; then
		crun_in_test state "$CONTAINER"
	else
		runc --root "$T/runc" state "$CONTAINER"
	fi | jq .pid
}

# The state letter of a process.
state_of() {
	sed -n 's/^State:\t\(.\).*/\1/p' "/proc/$1/status"
}

# No event tells of a state: looked at until it is there, at most 20 seconds.
await_state() {
	local end=$((SECONDS + 20))
	until [ "$(state_of "$1")" = "$2" ]; do
		[ "$SECONDS" -lt "$end" ] || fail "process $1 is $(state_of "$1"), not $2"
	done
}

@test "init: the server is a child and leads a group of its own; without init it is PID 1" {
	use_box
	spec start='read -r pid comm state parent group rest </proc/self/stat; echo $$ $((group == $$))' \
		run_as=1000
	run_shim
	assert_equal "$output" "1 1"
	spec init start='read -r pid comm state parent group rest </proc/self/stat
		echo $(($$ > 1)) $((group == $$)) $(cat /proc/$$/stat | cut -d" " -f4)' run_as=1000
	run_shim
	assert_equal "$output" "1 1 1"
}

@test "init: the exit status is the server's, or 128 + the signal that it died of" {
	use_box
	for end in exit=0:0 exit=42:42 exit=255:255 kill=9:137 kill=15:143 kill=11:139 kill=34:162; do
		bundle_args /run/ballast/shim --init probe "${end%:*}"
		spec run_as=1000
		run_shim
		assert_status "${end#*:}"
		assert_equal "$output" ""
	done
}

@test "init: every signal that can be forwarded reaches the server, that of the end last" {
	local n
	use_box --init probe trap
	spec run_as=1000
	for runtime in $(runtimes); do
		run_in_background "$runtime"
		wait_line '^up$'
		pid=$(container_pid)
		for n in {1..63}; do
			case $n in 9 | 15 | 17 | 19 | 32 | 33) continue ;; esac
			kill -"$n" "$pid"
			wait_line "^signal $n\$"
		done
		kill -TERM "$pid"
		end_background
		assert_status 0
		assert_output "signal 15"
	done
}

@test "init: cd /x && server ends on SIGTERM, and the server may take its time" {
	use_box
	spec init start='cd /tmp && probe cwd trap; true' run_as=1000
	for runtime in $(runtimes); do
		run_in_background "$runtime"
		wait_line '^up$'
		signal_container TERM
		end_background
		# The shell died of it; the server was not killed but said what it had to say.
		assert_status 143
		assert_equal "$output" "cwd /tmp
up
signal 15"
	done
}

@test "init: a plain server ends on SIGTERM; one without a handler too" {
	use_box --init probe wait
	spec run_as=1000
	run_in_background
	wait_line '^up$'
	signal_container TERM
	end_background
	assert_status 0
	spec init start='echo up; exec sleep 1000000' run_as=1000
	run_in_background
	wait_line '^up$'
	signal_container TERM
	end_background
	assert_status 143
}

@test "init: the server's end is the container's, whatever else still runs" {
	use_box
	spec init start='trap "" TERM HUP; sleep 1000000 & exit 6' run_as=1000
	run_shim
	assert_status 6
}

@test "init: 10,000 orphans are reaped, and PID 1 is no larger for it" {
	use_box
	spec init run_as=1000 start='
		until grep -q "^State:.S" /proc/1/status; do :; done
		grep VmRSS /proc/1/status >/tmp/before
		probe orphans=10000
		end=$(($(date +%s) + 20))
		while grep -qs "^State:.Z" /proc/[0-9]*/status; do
			[ $(date +%s) -lt $end ] || { echo zombies are left; break; }
		done
		grep VmRSS /proc/1/status >/tmp/after
		[ "$(tr -dc 0-9 </tmp/after)" -le "$(tr -dc 0-9 </tmp/before)" ] && echo no larger'
	run_shim
	assert_equal "$output" "10000 orphans
no larger"
}

@test "init: as waiting PID 1 it holds at most 100 kB, and shows itself to nobody" {
	use_box
	spec init run_as=1000 filter="$RIG/filter" env=A=1 mount=/models/a start='
		until grep -q "^State:.S" /proc/1/status; do :; done
		grep VmRSS /proc/1/status; probe attach=1; ls -l /proc/1/exe 2>&1
		cat /proc/1/environ 2>&1; cat /proc/1/mem 2>&1'
	for runtime in $(runtimes); do
		"run_on_$runtime"
		assert_hidden
	done
}

assert_hidden() {
	assert_output "attach 1: Operation not permitted"
	assert_output "/proc/1/exe: cannot read link: Permission denied"
	assert_output "'/proc/1/environ': Permission denied"
	assert_output "'/proc/1/mem': Permission denied"
	rss=$(sed -n 's/^VmRSS:\t *\([0-9]*\) kB$/\1/p' <<<"$output")
	[ "$rss" -gt 0 ] && [ "$rss" -le 100 ] || fail "$rss kB"
	[ "$(stat -c %s "$T/given/shim")" -le 100000 ]
}

@test "init: PID 1 has given up everything too" {
	use_box
	spec init run_as=1000 filter="$RIG/filter" start='
		grep -E "^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp:)" /proc/1/status | tr -s "[:space:]" " "'
	run_shim
	assert_equal "$output" "Uid: 1000 1000 1000 1000 Gid: 1000 1000 1000 1000 Groups: \
CapInh: 0000000000000000 CapPrm: 0000000000000000 CapEff: 0000000000000000 \
CapBnd: 0000000000000000 CapAmb: 0000000000000000 NoNewPrivs: 1 Seccomp: 2 "
}

@test "init: a server that is stopped is not one that has ended" {
	use_box --init probe wait
	spec run_as=1000
	run_in_background
	wait_line '^up$'
	pid=$(container_pid)
	server=$(cat "/proc/$pid/task/$pid/children")
	kill -TSTP "$pid"
	await_state "${server% }" T
	kill -CONT "$pid"
	await_state "${server% }" S
	kill -TERM "$pid"
	end_background
	assert_status 0
	assert_output "signal 15"
}

@test "init: where it is not PID 1 it stops with its server, and reaps for it" {
	use_box
	spec init start='probe wait' run_as=1000
	mount --bind "$BUNDLE/rootfs" "$BUNDLE/rootfs"
	mount --bind "$T/given" "$BUNDLE/rootfs/run/ballast"
	: >"$T/out"
	chroot "$BUNDLE/rootfs" /run/ballast/shim --init >"$T/out" 2>&1 3>&- &
	shim=$!
	"$FIXTURES/process.py" line "$T/out" '^up$' 20
	server=$(cat "/proc/$shim/task/$shim/children")
	kill -STOP "${server% }"
	await_state "$shim" T
	kill -CONT "$shim"
	await_state "${server% }" S
	kill -TERM "$shim"
	status=0
	wait "$shim" || status=$?
	assert_status 0
}

@test "init: not PID 1 of a container, it goes on when its server is stopped: nobody would continue it" {
	use_box --init probe wait
	spec run_as=1000
	bundle_set '.linux.namespaces |= map(select(.type != "pid"))'
	run_in_background
	wait_line '^up$'
	pid=$(container_pid)
	server=$(cat "/proc/$pid/task/$pid/children")
	kill -STOP "${server% }"
	await_state "${server% }" T
	kill -CONT "${server% }"
	await_state "${server% }" S
	kill -TERM "$pid"
	end_background
	assert_status 0
	assert_output "signal 15"
}

@test "init: started where SIGCHLD is ignored it sees the server's end all the same" {
	use_box
	spec init start='exit 7' run_as=1000
	mount --bind "$BUNDLE/rootfs" "$BUNDLE/rootfs"
	mount --bind "$T/given" "$BUNDLE/rootfs/run/ballast"
	capture timeout -s KILL 20 env --ignore-signal=CHLD chroot "$BUNDLE/rootfs" /run/ballast/shim
	assert_status 7
}

# has_begun PID: the shim holds signals back, or is gone again. (What comes before it executes its first
# instruction the kernel throws away, as it does for every PID 1.)
has_begun() {
	local comm blocked
	comm=$(cat "/proc/$1/comm" 2>/dev/null) || return 0
	[ "$comm" != "runc:[2:INIT]" ] || return 1
	blocked=$(sed -n 's/^SigBlk:\t//p' "/proc/$1/status" 2>/dev/null) || return 0
	[ $((0x0$blocked & 1 << 14)) -ne 0 ]
}

@test "a line of the shim that nobody reads is no SIGPIPE for the server, with init and without" {
	local end=0
	use_box
	mkfifo "$T/unread"
	exec 7<>"$T/unread"
	exec 8>"$T/unread"
	exec 7>&-
	# It says that PORT is dropped. A PID 1 that sleeps has nothing more to forward.
	spec init start='until grep -q "^State:.S" /proc/1/status; do :; done; echo >/tmp/well' run_as=1000 env=PORT=1
	CONTAINER=$(new_id)
	echo "runc $CONTAINER" >>"$T/containers"
	# Detached: else runc would copy, and read what nobody else does.
	runc --root "$T/runc" run --detach --bundle "$BUNDLE" "$CONTAINER" </dev/null >"$T/out" 2>&8
	"$FIXTURES/process.py" path "$BUNDLE/rootfs/tmp/well" 20
	spec start='exit 7' run_as=1000 env=PORT=1
	mount --bind "$BUNDLE/rootfs" "$BUNDLE/rootfs"
	mount --bind "$T/given" "$BUNDLE/rootfs/run/ballast"
	chroot "$BUNDLE/rootfs" /run/ballast/shim 2>&8 || end=$?
	exec 8>&-
	assert_equal "$end" 7
}

@test "init: a signal that comes while the shim is starting ends the server all the same" {
	local i
	use_box --init probe wait
	spec run_as=1000
	mkdir -p "$T/runc"
	for i in {1..10}; do
		run_in_background
		"$FIXTURES/process.py" path "$T/runc/$CONTAINER" 20
		"$FIXTURES/process.py" path "$T/runc/$CONTAINER/state.json" 20
		until pid=$(container_pid 2>/dev/null) && [ "${pid:-0}" -gt 0 ] && has_begun "$pid"; do
			kill -0 "$BACKGROUND" || break
		done
		kill -TERM "$pid" || true
		end_background
		[ "$status" -eq 143 ] || [ "$status" -eq 0 ] || fail "status $status: $output"
	done
}

@test "init: the terminal's signals reach the server" {
	use_box --init probe trap
	bundle_set '.process.terminal = true'
	spec run_as=1000
	cat >"$T/terminal.py" <<-'PYTHON'
		import os, pty, sys
		pid, fd = pty.fork()
		if pid == 0:
		    os.execvp(sys.argv[1], sys.argv[1:])
		said = b""
		def until(what):
		    global said
		    while what not in said:
		        said += os.read(fd, 4096)
		until(b"up")
		os.write(fd, b"\x03")
		until(b"signal 2\r")
		os.write(fd, b"\x1c")
		until(b"signal 3\r")
		os.write(fd, b"\x1a")
		until(b"signal 20\r")
		os.system("runc --root %s kill %s TERM" % (sys.argv[3], sys.argv[-1]))
		until(b"signal 15\r")
		print("all of them", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
	PYTHON
	capture /usr/bin/python3 "$T/terminal.py" runc --root "$T/runc" run --bundle "$BUNDLE" "$(new_id)"
	assert_output "all of them 0"
}
