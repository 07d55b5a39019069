# SPDX-License-Identifier: Apache-2.0
# All or nothing: every system call of the way fails in turn, each time it is made, and the hook is
# killed there. And what surrounds the hook makes no difference.

load hook

setup() { use_test_dir; }
teardown() { clean_up; }

# full_bundle: weights (a directory, a file), shim, secrets, superblock: every way through the code.
full_bundle() {
	make_bundle b true
	make_tree a
	answer /models/deep/a "$T/trees/a" /data/one "$T/trees/a/model"
	jq -n '[{source: "hf://o/r", mount_location: "/models/deep/a"}, {source: "https://h/one", mount_location: "/data/one"}]' \
		>"$T/weights"
	annotate weights.ballast.dev "$(cat "$T/weights")"
	annotate secrets.ballast.dev '["token"]'
	annotate docker-server.ballast.dev '{"no_build":true}'
	add_secret default token hush
	use_shim
	bundle_capabilities CAP_SYS_ADMIN CAP_SETUID CAP_SETGID
	R=$BUNDLE/rootfs
}

# start_box: a process in a mount namespace of its own that has the root file system mounted, as a
# runtime leaves it for its hooks.
start_box() {
	# shellcheck disable=SC2016
	spawn box unshare --mount --propagation private sh -c 'mount --bind "$1" "$1" && echo ready && exec sleep 1000' -- "$R"
	BOX=$(cat "$T/box.pid")
	STATE=$(hook_state x "$BOX")
}

end_box() {
	kill -KILL "$BOX"
	"$FIXTURES/process.py" wait "$BOX"
	rm -rf "$R/models" "$R/data" "$R/run/ballast" "$R/secrets"
}

# The root file system but for /bin, which is long.
table() {
	file_table "$R" | grep -v ' bin/'
}

box_table() {
	cut -d' ' -f3- "/proc/$BOX/mountinfo"
}

# Whether the hook, which has succeeded, makes that call so often: then it is killed by it.
is_made() {
	end_box
	start_box
	BL_FAULT=$1:KILL:$2 HOOK=$FAULTS/ballast-hook run hook_alone --timeout=3s
	end_box
	start_box
	[ "$status" -ne 0 ]
}

# fails_at CALL ERRNO [OPTION...]: the call fails the first time it is made, then the second, ... until
# it is not made so often. Each time the hook fails nothing is left; some failures it lives through.
fails_at() {
	local call=$1 errno=$2 nth files host box lived=0
	start_box
	files=$(table)
	host=$(mount_table)
	box=$(box_table)
	for ((nth = 1; nth < 200; nth++)); do
		BL_FAULT=$call:$errno:$nth HOOK=$FAULTS/ballast-hook run hook_alone --timeout=3s
		if [ "$status" -eq 0 ]; then
			assert_equal "$call:$errno:$nth $(box_table | grep -c ballast)" "$call:$errno:$nth 4"
			is_made "$call" "$nth" || break
			lived=$((lived + 1))
			continue
		fi
		[[ $status =~ ^(64|69|70|75|77)$ ]] || fail "$call:$errno:$nth: status $status: $output"
		assert_equal "$call:$errno:$nth $(table)" "$call:$errno:$nth $files"
		assert_equal "$call:$errno:$nth $(box_table)" "$call:$errno:$nth $box"
		assert_equal "$(mount_table)" "$host"
	done
	[ "$nth" -gt "$((lived + 1))" ] || fail "$call:$errno: never fails"
	[ "$nth" -lt 200 ]
	printf '# %s %s: %s times\n' "$call" "$errno" "$((nth - 1))" >&3
	end_box
}

each_errno() {
	local call=$1 errno
	shift
	for errno; do
		fails_at "$call" "$errno"
	done
}

@test "every call of the mounts fails, each time it is made" {
	need_faults
	full_bundle
	start_fake
	each_errno open_tree ENOSYS EPERM ENOMEM
	each_errno mount_setattr ENOSYS EPERM EINVAL
	each_errno move_mount EINVAL EBUSY ENOSPC
	each_errno fsopen ENOSYS EPERM ENODEV
	each_errno fsconfig EINVAL ENOMEM
	each_errno fsmount EPERM EBUSY
	each_errno fspick EPERM EMFILE
}

@test "every call on paths fails, each time it is made" {
	need_faults
	full_bundle
	start_fake
	each_errno openat2 ENOSYS EPERM EAGAIN EMFILE
	each_errno statx ENOSYS EIO
	each_errno mkdirat ENOSPC EROFS EACCES EDQUOT
	each_errno readlinkat ENOENT EIO
}

@test "every call on files fails, each time it is made" {
	need_faults
	full_bundle
	start_fake
	each_errno fstat EIO
	each_errno write ENOSPC
	each_errno fchownat EPERM
	each_errno fchmod EPERM
	each_errno setfsids EPERM
	each_errno fstatvfs EIO
	each_errno dup EMFILE
}

@test "every call on processes and namespaces fails" {
	need_faults
	full_bundle
	start_fake
	each_errno pidfd_open ENOSYS EMFILE ESRCH
	each_errno setns EPERM EINVAL ENOMEM
	each_errno read EIO
	each_errno openat EMFILE ENOMEM
}

# agent_fails RULES STATUS TEXT [TIMEOUT]: the calls to the agent fail so; nothing is mounted or left.
agent_fails() {
	BL_FAULT=$1 HOOK=$FAULTS/ballast-hook run hook_alone --timeout="${4:-500ms}" --on-timeout=fail
	assert_equal "$1: $status" "$1: $2"
	assert_equal "$1: ${#lines[@]}" "$1: 1"
	assert_output "$3"
	assert_equal "$1: $(table)" "$1: $FILES"
	assert_equal "$1: $(box_table)" "$1: $INSIDE"
	assert_equal "$(mount_table)" "$HOST"
}

@test "every call to the agent fails: the right status, in one line" {
	need_faults
	full_bundle
	start_fake
	start_box
	FILES=$(table) INSIDE=$(box_table) HOST=$(mount_table)
	agent_fails socket:EMFILE 70 "error: socket: "
	agent_fails connect:ECONNREFUSED 69 "; start ballastd, or name its socket"
	agent_fails connect:ENOENT 69 "; start ballastd, or name its socket"
	agent_fails connect:EACCES 69 "; start ballastd, or name its socket"
	agent_fails connect:EAGAIN 75 "did not accept the connection in time"
	agent_fails peer:ENOBUFS 70 "ask who listens at $T/agent.sock: "
	agent_fails send:ECONNRESET 69 "the connection to the agent at $T/agent.sock broke: "
	agent_fails send:SHORT:1,send:ECONNRESET:2 69 "the connection to the agent at $T/agent.sock broke: "
	agent_fails recv:EAGAIN,poll:ENOMEM 70 "wait for the agent: "
	# After the first contact it is tried again, until the time is over.
	agent_fails send:EPIPE,recv:ECONNRESET 69 "the connection to the agent at $T/agent.sock broke: "
	agent_fails recv:ECONNRESET 69 "the connection to the agent at $T/agent.sock broke: "
	agent_fails recv:SKIP 69 "the connection to the agent at $T/agent.sock broke: "
	# The second try must come within the time, on a busy machine too; the twelfth would be far behind it.
	agent_fails "recv:SKIP:1$(printf ',connect:ECONNREFUSED:%d' {2..12})" 69 "cannot be reached: " 2s
}

@test "calls to the agent that are interrupted, cut short or broken once: all is attached" {
	need_faults
	full_bundle
	start_fake
	local rules
	for rules in connect:EINTR:1 connect:EAGAIN:1 send:EINTR:1 send:EAGAIN:1 send:SHORT recv:EINTR:1 recv:EAGAIN:1 \
		recv:SHORT poll:EINTR:1 recv:ECONNRESET:1 recv:SKIP:1 recv:SHORT:1,recv:SKIP:2 send:EPIPE:1,recv:ECONNRESET:1 \
		recv:SKIP:1,connect:ECONNREFUSED:2; do
		start_box
		BL_FAULT=$rules HOOK=$FAULTS/ballast-hook run hook_alone
		assert_equal "$rules: $status" "$rules: 0"
		assert_equal "$(box_table | grep -c ballast)" 4
		end_box
	done
}

@test "the deferred way: placeholders and the gate" {
	need_faults
	full_bundle
	annotate wait.ballast.dev '{"timeout":"20ms","on_timeout":"defer"}'
	answer_pending
	start_fake
	each_errno mkfifoat EPERM
	each_errno open_tree EPERM
	each_errno move_mount EINVAL
	each_errno fsopen ENOSYS
}

@test "the agent refuses to take over the waiting: nothing is left of the placeholders" {
	full_bundle
	annotate wait.ballast.dev '{"timeout":"20ms","on_timeout":"defer"}'
	answer_pending
	start_fake nodefer
	start_box
	local files box
	files=$(table)
	box=$(box_table)
	run hook_alone
	assert_status 77
	assert_equal "$(table)" "$files"
	assert_equal "$(box_table)" "$box"
}

@test "killed at each call under runc: the container does not start, the host is as before" {
	need_faults
	full_bundle
	bundle_set '.process.args = ["/run/ballast/shim", "echo", "started"]'
	start_fake
	local host rule
	host=$(mount_table)
	for rule in pidfd_open:KILL:2 openat2:KILL:1 open_tree:KILL:1 fsopen:KILL:2 fspick:KILL:1 setns:KILL:1 mkdirat:KILL:2 \
		move_mount:KILL:1 move_mount:KILL:2 move_mount:KILL:4 attach:KILL:3 enter:KILL:1; do
		bundle_set 'del(.hooks)'
		HOOK_ENV="[\"PATH=/usr/bin:/bin\",\"BL_FAULT=$rule\"]" HOOK=$FAULTS/ballast-hook add_hook
		run_container
		[ "$status" -ne 0 ] || fail "$rule: it started"
		refute_output started
		assert_equal "$(mount_table)" "$host"
		refute_hook_runs
		! pgrep -f 'runc init' || fail "$rule: an init is left"
		rm -rf "$R/models" "$R/data" "$R/run/ballast" "$R/secrets"
	done
	bundle_set 'del(.hooks)'
	add_hook
	run_container
	assert_output started
}

# What a kill may leave in the root file system: empty places where something was to be mounted.
leftovers() {
	table | grep -vxF -f "$T/before" | awk '$1 != "d" && $4 != 0 { print }
		$5 !~ /^(models|models\/deep|models\/deep\/a|data|data\/one|run\/ballast|secrets)$/ && $1 != "d" { print }'
}

# killed_at CALL: the hook is killed before the first such call, then before the second, ... until it
# is not made so often and the hook succeeds.
killed_at() {
	local call=$1 nth box
	start_box
	box=$(box_table)
	for ((nth = 1; nth < 200; nth++)); do
		BL_FAULT=$call:KILL:$nth HOOK=$FAULTS/ballast-hook run hook_alone
		[ "$status" -ne 0 ] || break
		assert_equal "$call:$nth $status" "$call:$nth 137"
		assert_equal "$(mount_table)" "$HOST"
		assert_equal "$call:$nth $(leftovers)" "$call:$nth "
		[ "$(box_table)" = "$box" ] || {
			end_box
			start_box
		}
	done
	[ "$nth" -gt 1 ] || fail "$call: never made"
	printf '# %s killed: %s times\n' "$call" "$((nth - 1))" >&3
	end_box
}

@test "killed before every call of the attach phase: the host is as before" {
	need_faults
	full_bundle
	start_fake
	HOST=$(mount_table)
	table >"$T/before"
	local call
	for call in open_tree mount_setattr move_mount fsopen fsconfig fsmount fspick openat2 statx mkdirat fstat \
		write fchownat fchmod setfsids pidfd_open setns; do
		killed_at "$call"
	done
	refute_hook_runs
}

@test "a kernel that clones no file out of a file system of its own: 77, and what to do" {
	need_faults
	full_bundle
	start_fake
	start_box
	local files box
	files=$(table)
	box=$(box_table)
	# The directory's overlay is mounted as it is; the file is the one clone.
	BL_FAULT=open_tree:EINVAL HOOK=$FAULTS/ballast-hook run hook_alone
	assert_status 77
	assert_output "/data/one: this kernel cannot mount one file"
	assert_output "let the source be a directory"
	assert_equal "$(table)" "$files"
	assert_equal "$(box_table)" "$box"
	end_box
}

@test "what a kernel lacks is never replaced by something weaker" {
	need_faults
	full_bundle
	bundle_set '.process.args = ["/run/ballast/shim", "echo", "started"]'
	start_fake
	local call errno
	for call in openat2 mount_setattr open_tree fsopen; do
		for errno in ENOSYS EPERM; do
			bundle_set 'del(.hooks)'
			HOOK_ENV="[\"PATH=/usr/bin:/bin\",\"BL_FAULT=$call:$errno\"]" HOOK=$FAULTS/ballast-hook add_hook
			run_container
			[ "$status" -ne 0 ] || fail "$call $errno: it started"
			assert_output "exit status 77"
			assert_output "Linux 5.12 or later"
			refute_output started
		done
	done
}

# ---- What surrounds the hook

# same_under COMMAND...: COMMAND runs the hook on $STATE, and it does what it always does.
same_under() {
	start_box
	run "$@" "$BUILD/ballast-hook" --agent="unix:$T/agent.sock" --shim="$BUILD/ballast-shim" \
		--secrets-dir="$T/secrets" <<<"$STATE"
	assert_status 0
	assert_equal "$(grep -c ballast "/proc/$BOX/mountinfo")" 4
	assert_equal "$(stat -c %a "$R/models/deep")" 755
	end_box
}

@test "cwd, umask, signals, limits and descriptors of the runtime make no difference" {
	full_bundle
	start_fake
	mkdir "$T/gone"
	same_under env
	same_under sh -c 'cd "$0" && rmdir "$0" && exec "$@"' "$T/gone"
	same_under sh -c 'umask 0; exec "$@"' --
	same_under sh -c 'umask 0777; exec "$@"' --
	same_under sh -c 'ulimit -Sn 8; exec "$@"' --
	same_under sh -c 'ulimit -Hn 64; exec "$@"' --
	same_under sh -c 'ulimit -Sf 1; exec "$@"' --
	same_under env --ignore-signal=CHLD --ignore-signal=TERM --ignore-signal=ALRM
	same_under env --block-signal
	same_under /usr/bin/python3 -c 'import os, sys
for i in range(1000): os.set_inheritable(os.dup(2), True)
os.execv(sys.argv[1], sys.argv[1:])'
	same_under sh -c 'exec "$@" 1>&-' --
	same_under sh -c 'exec "$@" 2>&-' --
	same_under sh -c 'exec "$@" 1>&- 2>&- 3>&-' --
}

@test "a limit on files that the hook may not raise is an error with a message" {
	full_bundle
	start_fake
	start_box
	run sh -c 'ulimit -f 1; exec "$@"' -- "$BUILD/ballast-hook" --agent="unix:$T/agent.sock" \
		--shim="$BUILD/ballast-shim" --secrets-dir="$T/secrets" <<<"$STATE"
	assert_status 70
	assert_equal "$output" "ballast-hook: error: /run/ballast: write 'shim': File too large"
	assert_equal "$(grep -c ballast "/proc/$BOX/mountinfo")" 0
	end_box
}

@test "the runtime's environment does not reach the hook: runc, crun" {
	full_bundle
	bundle_set '.process.args = ["/run/ballast/shim", "echo", "started"]'
	start_fake
	add_hook
	mkdir "$T/home"
	echo 'machine localhost login a password b' >"$T/home/.netrc"
	local hostile=(env LD_PRELOAD=/nonexistent/evil.so http_proxy=http://127.0.0.1:1 all_proxy=http://127.0.0.1:1
		HOME="$T/home" GCONV_PATH="$T" LD_LIBRARY_PATH="$T/home" MALLOC_PERTURB_=1)
	run "${hostile[@]}" runc --root "$T/runc" run --bundle "$BUNDLE" "$(new_id)"
	assert_output started
	need_crun
	run with_cgroup2 "${hostile[@]}" crun --cgroup-manager=cgroupfs --root "$T/crun" run --bundle "$BUNDLE" "$(new_id crun)"
	assert_output started
}

@test "standard input: closed, empty, larger than the limit" {
	full_bundle
	run "$BUILD/ballast-hook" <&-
	assert_status 64
	run "$BUILD/ballast-hook" </dev/null
	assert_status 64
	run sh -c 'head -c 1048577 /dev/zero | "$0"' "$BUILD/ballast-hook"
	assert_status 64
	assert_output "more than 1048576 bytes"
}

write_bad() {
	local to=$1
	head -c 100000 /dev/zero | tr '\0' '[' >"$to/deep"
	(head -c 1000 /dev/zero | tr '\0' '[' && head -c 1000 /dev/zero | tr '\0' ']') >"$to/deep-closed"
	(printf '[' && yes '1,' | head -n 70000 && printf '1]') >"$to/many"
	printf '{"id":"x","pid":1,' >"$to/truncated"
	printf '{"id":"x\000y"}' >"$to/nul"
	printf '{"id":"x\\u0000y"}' >"$to/nul-escaped"
	printf '{"id":"\377\376"}' >"$to/utf8"
	printf '{"id":"\\ud800"}' >"$to/surrogate"
	printf '{"id":"x","id":"y"}' >"$to/twice"
	printf '{"id":"x"} {"id":"y"}' >"$to/trailing"
	printf '{"id":"x","pid":1e400}' >"$to/huge-number"
	printf '{"id":"x","pid":1.5}' >"$to/float-pid"
	printf '{"Id":"x","pid":1}' >"$to/case"
	printf '[]' >"$to/array"
	printf '{"id":"x","pid":"1"}' >"$to/string-pid"
	printf '{"id":"x","pid":1,"annotations":[]}' >"$to/annotations"
	printf '{"id":"x","pid":1,"status":"running"}' >"$to/status"
	printf '{"id":"x","pid":1,"bundle":"b"}' >"$to/relative"
}

@test "hostile state and config.json: 64, bounded in memory" {
	full_bundle
	local name
	mkdir "$T/bad"
	write_bad "$T/bad"
	for name in "$T/bad"/*; do
		run /usr/bin/time -f 'peak %M' "$BUILD/ballast-hook" <"$name"
		[[ $output == *"exited with non-zero status 64"* ]] || fail "$name: $output"
		[ "$(sed -n 's/^peak //p' <<<"$output")" -lt 32768 ]
	done
	for name in deep deep-closed truncated nul utf8 twice trailing many annotations; do
		cp "$T/bad/$name" "$BUNDLE/config.json"
		STATE=$(hook_state x "$$")
		run hook_alone
		assert_status 64
		assert_output "config.json"
	done
}

# large_input STATE CONFIG ANSWER: each with as many values and bytes as may be; nothing else changes.
large_input() {
	/usr/bin/python3 -c 'import json, sys
def fill(path, most, text):
    with open(path) as file:
        value = json.load(file)
    def count(v):
        inner = v.values() if isinstance(v, dict) else v if isinstance(v, list) else []
        return 1 + sum(count(i) for i in inner)
    left = 65536 - count(value) - 1
    value["more"] = [text] * left
    size = len(json.dumps(value, separators=(",", ":")))
    value["more"] = [text + "x" * ((most - size) // left)] * left
    out = json.dumps(value, separators=(",", ":"))
    with open(path, "w") as file:
        file.write(out + " " * (most - len(out)))
fill(sys.argv[1], 1 << 20, "")
fill(sys.argv[2], 4 << 20, "")
fill(sys.argv[3], 8 << 20, "")' "$@"
}

@test "state, config.json and the agent's answer at every limit at once: at most 32 MiB" {
	full_bundle
	start_box
	printf '%s' "$STATE" >"$T/state"
	large_input "$T/state" "$BUNDLE/config.json" "$T/answer"
	assert_equal "$(stat -c %s "$T/state" "$BUNDLE/config.json" "$T/answer" | xargs)" "1048576 4194304 8388608"
	start_fake
	run /usr/bin/time -f 'peak %M' "$BUILD/ballast-hook" --agent="unix:$T/agent.sock" --shim="$BUILD/ballast-shim" \
		--secrets-dir="$T/secrets" <"$T/state"
	assert_status 0
	assert_equal "$(box_table | grep -c ballast)" 4
	[[ $BUILD == */san ]] || [ "$(sed -n 's/^peak //p' <<<"$output")" -le 32768 ] || fail "$output"
	end_box
}
