# SPDX-License-Identifier: Apache-2.0
# The hook under runc with an agent that answers as told: what is attached, and every exit status.

load hook

setup() { use_test_dir; }
teardown() { clean_up; }

@test "createRuntime attaches a tree, read-only and tight" {
	simple_bundle sh -c 'cat /models/a/model /models/a/sub/part; grep " /models/a " /proc/self/mountinfo'
	start_fake
	add_hook
	run_container
	assert_status 0
	assert_output "weights of a"
	assert_output "more"
	assert_output "/models/a ro,nosuid,nodev,noexec"
}

@test "prestart does the same" {
	simple_bundle cat /models/a/model
	start_fake
	add_hook prestart
	run_container
	assert_status 0
	assert_output "weights of a"
}

@test "the mount is private: the container's namespace shares nothing with it" {
	simple_bundle sh -c 'grep " /models/a " /proc/self/mountinfo'
	start_fake
	add_hook
	run_container
	assert_status 0
	refute_output "shared:"
	refute_output "master:"
}

@test "--allow-exec leaves noexec out" {
	simple_bundle sh -c 'grep " /models/a " /proc/self/mountinfo'
	start_fake
	add_hook createRuntime --allow-exec
	run_container
	assert_status 0
	assert_output "ro,nosuid,nodev,relatime"
}

@test "null in config.json is nothing, as the runtime itself has it" {
	simple_bundle /bin/cat /models/a/model
	start_fake
	add_hook
	bundle_set '.linux.maskedPaths = null | .process.capabilities.bounding = null
		| .process.user.additionalGids = null | .process.env = null | .hooks.poststop = null'
	run_container
	assert_status 0
	assert_output "weights of a"
}

@test "registered under two stages it attaches once" {
	simple_bundle sh -c 'grep -c " /models/a " /proc/self/mountinfo; grep -c " /run/ballast " /proc/self/mountinfo;
		grep -c " /secrets " /proc/self/mountinfo'
	add_secret default token hush
	annotate secrets.ballast.dev '["token"]'
	annotate docker-server.ballast.dev '{"no_build":true}'
	use_shim
	start_fake
	add_hook prestart
	add_hook createRuntime
	run_container
	assert_status 0
	assert_equal "$(tail -n 3 <<<"$output")" $'1\n1\n1'
}

@test "twice with a superblock of its own: once too" {
	simple_bundle sh -c 'grep -c " /models/a " /proc/self/mountinfo'
	bundle_capabilities CAP_SYS_ADMIN
	start_fake
	add_hook prestart
	add_hook createRuntime
	run_container
	assert_status 0
	assert_equal "$(tail -n 1 <<<"$output")" 1
}

@test "eight weights sets, one of them a file" {
	local i arguments=() items=()
	make_bundle b sh -c 'cat /models/*/model /data/one.bin'
	for i in 1 2 3 4 5 6 7; do
		make_tree "t$i"
		arguments+=("/models/$i" "$T/trees/t$i")
		items+=("hf://owner/repo$i" "/models/$i")
	done
	make_tree file
	answer "${arguments[@]}" /data/one.bin "$T/trees/file/model"
	annotate_weights "${items[@]}" https://host/one.bin /data/one.bin
	start_fake
	add_hook
	run_container
	assert_status 0
	for i in 1 2 3 4 5 6 7; do
		assert_output "weights of t$i"
	done
	assert_output "weights of file"
}

@test "a file in a container that may remount comes out of a superblock of its own" {
	make_bundle b sh -c 'cat /data/one.bin; grep " /data/one.bin " /proc/self/mountinfo; mount -o remount,bind,rw /data/one.bin;
		echo x >/data/one.bin'
	bundle_capabilities CAP_SYS_ADMIN
	make_tree file
	answer /data/one.bin "$T/trees/file/model"
	annotate_weights https://host/one.bin /data/one.bin
	start_fake
	add_hook
	run_container
	assert_output "weights of file"
	assert_output "overlay ballast ro"
	assert_output "Read-only file system"
	assert_equal "$(cat "$T/trees/file/model")" "weights of file"
}

@test "the host's mounts and files are the same before and after" {
	simple_bundle true
	start_fake
	add_hook
	local mounts files
	mounts=$(mount_table)
	files=$(file_table "$BUNDLE/rootfs")
	run_container
	assert_status 0
	assert_equal "$(mount_table)" "$mounts"
	assert_equal "$(file_table "$BUNDLE/rootfs" | grep -v ' models')" "$files"
	assert_equal "$(find "$BUNDLE/rootfs/models" | sort)" "$BUNDLE/rootfs/models
$BUNDLE/rootfs/models/a"
	refute_hook_runs
}

@test "the shim, its orders and the secrets are there as the server's user has them" {
	simple_bundle sh -c 'id -u; cat /secrets/token; ls -ln /secrets /run/ballast; echo "A is $A and B is $B"'
	add_secret default token hush
	annotate secrets.ballast.dev '["token"]'
	annotate environment-variables.ballast.dev '{"A":"of the annotation"}'
	annotate docker-server.ballast.dev '{"run_as_user_id":1000}'
	jq '.environment = {A: "of the agent", B: "of the agent"}' "$T/answer" >"$T/answer.new"
	mv "$T/answer.new" "$T/answer"
	use_shim
	start_fake
	add_hook
	run_container
	assert_status 0
	assert_output 1000
	assert_output hush
	assert_output "-r-xr-xr-x    1 0        0"
	assert_output "-r--------    1 1000"
	assert_output "A is of the annotation and B is of the agent"
}

@test "secrets: too many, and one that is none, are said at once" {
	simple_bundle true
	annotate secrets.ballast.dev "$(jq -cn '[range(1001) | "s\(.)"]')"
	start_fake
	add_hook
	run_container
	assert_output "has more than 1000 names"
	annotate secrets.ballast.dev '["big"]'
	add_secret default big "$(head -c 70000 /dev/zero | tr '\0' x)"
	run_container
	assert_output "'big' has more than 65536 bytes, and is no secret"
	ln -s ../other/big "$T/secrets/default/link"
	add_secret other big "of another"
	annotate secrets.ballast.dev '["link"]'
	run_container
	assert_output "exit status 64"
	assert_output "'link': *ymbolic link" # as the C library says it
	annotate secrets.ballast.dev '["big"]'
	add_secret default big hush
	chmod g+w "$T/secrets/default/big"
	run_container
	assert_output "exit status 77"
	assert_output "'big' is no file that root alone can write: let it be a regular file, chown root and chmod go-w it"
}

@test "a secret that others may read is refused, as the agent refuses it" {
	simple_bundle cat /secrets/token
	add_secret default token hush
	chmod 644 "$T/secrets/default/token"
	annotate secrets.ballast.dev '["token"]'
	start_fake
	add_hook
	run_container
	assert_output "exit status 64"
	assert_output "'token' has mode 0644; chmod it to 0600"
	chmod 600 "$T/secrets/default/token"
	mv "$T/secrets/default" "$T/secrets/other"
	ln -s other "$T/secrets/default"
	run_container
	assert_output "exit status 64"
	assert_output "'$T/secrets/default' is no directory"
	rm "$T/secrets/default"
	mv "$T/secrets/other" "$T/secrets/default"
	chmod 775 "$T/secrets/default"
	run_container
	assert_output "exit status 77"
	assert_output "others than root may write '$T/secrets/default': chown root and chmod go-w it"
	# Whoever owns a directory, or a file, may write there, whatever its mode says.
	chmod 700 "$T/secrets/default"
	chown 1000 "$T/secrets/default"
	run_container
	assert_output "exit status 77"
	assert_output "others than root may write '$T/secrets/default': chown root and chmod go-w it"
	chown 0 "$T/secrets/default"
	chown 1000 "$T/secrets/default/token"
	run_container
	assert_output "exit status 77"
	assert_output "'token' is no file that root alone can write: let it be a regular file, chown root and chmod go-w it"
	chown 0 "$T/secrets/default/token"
	answer /models/a "$T/trees/a"
	run_container
	assert_status 0
	assert_output "hush"
}

@test "--keep-capabilities and --seccomp=off reach the server" {
	simple_bundle sh -c 'grep -E "^(CapEff|CapBnd|Seccomp):" /proc/self/status; grep " /run/ballast " /proc/self/mountinfo'
	annotate docker-server.ballast.dev '{"run_as_user_id":1000}'
	use_shim
	start_fake
	add_hook createRuntime --keep-capabilities=cap_net_bind_service,cap_sys_admin --seccomp=off
	run_container
	assert_status 0
	assert_output $'CapEff:\t0000000000000400'
	assert_output $'CapBnd:\t0000000000000400'
	assert_output $'Seccomp:\t0'
	# What the shim lies on: tight but for noexec.
	assert_output "/run/ballast ro,nosuid,nodev,relatime"
}

@test "linux.mountLabel is the label of what is made for the container" {
	simple_bundle cat /secrets/token
	add_secret default token hush
	annotate secrets.ballast.dev '["token"]'
	bundle_set '.linux.mountLabel = "system_u:object_r:container_file_t:s0:c1,c2"'
	start_fake
	spawn box unshare --mount --propagation private sh -c 'mount --bind "$1" "$1" && echo ready && exec sleep 1000' -- "$BUNDLE/rootfs"
	STATE=$(hook_state x "$(cat "$T/box.pid")")
	run hook_alone
	if [ -d /sys/fs/selinux ]; then
		assert_equal "$(stat -c %C "/proc/$(cat "$T/box.pid")/root$BUNDLE/rootfs/secrets/token")" \
			system_u:object_r:container_file_t:s0:c1,c2
	else # a kernel without labels says so
		assert_status 70
		assert_output "fsconfig tmpfs: Invalid argument"
	fi
}

@test "secrets come without the shim too, for the process's user" {
	make_bundle b sh -c 'cat /secrets/token; grep " /secrets " /proc/self/mountinfo; echo x >/secrets/token'
	bundle_user 1000
	add_secret default token hush
	annotate secrets.ballast.dev '["token"]'
	answer
	start_fake
	add_hook
	run_container
	assert_output hush
	assert_output "/secrets ro,nosuid,nodev,noexec"
	assert_output "can't create /secrets/token"
}

@test "nothing to do: 0 without an agent" {
	make_bundle b echo hello
	add_hook
	run_container
	assert_status 0
	assert_output hello
}

@test "poststop tells the agent; without one it is silent success" {
	simple_bundle true
	start_fake
	add_hook createRuntime
	add_hook poststop
	run_container
	assert_status 0
	run jq -r 'select(.method == "DELETE").target' "$T/requests"
	assert_output "/v1/containers/$CONTAINER"
	STATE=$(hook_state x 0 '.status = "stopped"')
	rm "$T/agent.sock"
	run hook_alone
	assert_status 0
	STATE='{"id":'
	run hook_alone poststop
	assert_status 0
	assert_output "the agent was not told of the container's end: state on standard input: not valid JSON"
}

@test "64: config.json that is missing, or a link, is named with its bundle" {
	simple_bundle true
	STATE=$(hook_state x "$$")
	mv "$BUNDLE/config.json" "$BUNDLE/elsewhere.json"
	run hook_alone
	assert_status 64
	assert_output "bundle '$BUNDLE': open 'config.json': No such file"
	ln -s elsewhere.json "$BUNDLE/config.json"
	run hook_alone
	assert_status 64
	assert_output "bundle '$BUNDLE': config.json is a symbolic link: put the file itself there"
}

@test "64: a wrong annotation names key, place and reason; nothing is mounted" {
	simple_bundle true
	start_fake
	annotate weights.ballast.dev '[{"source":"hf://o/r","mount_location":"models"}]'
	add_hook
	run_container
	[ "$status" -ne 0 ]
	assert_output 'weights.ballast.dev: $\[0\].mount_location'
	[ ! -s "$T/requests" ]
	STATE=$(hook_state x "$$")
	run hook_alone
	assert_status 64
	assert_equal "${#lines[@]}" 1
}

# alone_status STATUS TEXT [OPTION...]: the hook alone on the state of a sleeping process.
alone_status() {
	local wanted=$1 text=$2
	shift 2
	run hook_alone "$@"
	assert_status "$wanted"
	assert_output "$text"
	refute_hook_runs
}

@test "69: no socket, nobody listening, a socket that is not root's" {
	simple_bundle true
	sleep 1000 3>&- &
	echo $! >>"$T/pids"
	STATE=$(hook_state x $!)
	alone_status 69 "start ballastd"
	start_fake
	kill "$(cat "$T/fake.pid")"
	"$FIXTURES/process.py" wait "$(cat "$T/fake.pid")"
	alone_status 69 "Connection refused"
	start_fake normal --owner=1000
	alone_status 69 "belongs to uid 1000"
}

@test "75, 64 and 77: what the agent answers becomes the status" {
	simple_bundle true
	sleep 1000 3>&- &
	echo $! >>"$T/pids"
	STATE=$(hook_state x $!)
	start_fake
	local pair
	for pair in 400:64 404:64 422:64 401:77 403:77 409:77 500:75 502:75 503:75 507:75; do
		answer_problem "${pair%:*}" "the reason is ${pair%:*}"
		alone_status "${pair#*:}" "the reason is ${pair%:*}"
	done
}

@test "70: an answer that is not of our dialect" {
	simple_bundle true
	sleep 1000 3>&- &
	echo $! >>"$T/pids"
	STATE=$(hook_state x $!)
	local mode
	for mode in huge chunked nolength redirect garbage nojson long; do
		start_fake "$mode"
		alone_status 70 "agent"
		kill "$(cat "$T/fake.pid")"
		"$FIXTURES/process.py" wait "$(cat "$T/fake.pid")"
	done
}

@test "70: paths and places in the answer that were not asked for" {
	simple_bundle true
	sleep 1000 3>&- &
	echo $! >>"$T/pids"
	STATE=$(hook_state x $!)
	start_fake
	local path change
	for path in "$T/trees/../trees/a" "$T/trees/./a" "$T/trees//a" "$T/trees/a/" trees/a ''; do
		answer /models/a "$path"
		alone_status 70 "without a plain mount_location and path"
	done
	answer /models/a "$T/trees/a"
	cp "$T/answer" "$T/good"
	for change in '.empty = "empty"' '.empty += "/../empty"' '.empty = 1' '.environment = {"": "x"}' \
		'.environment = {"A=B": "x"}' '.environment = {A: 1}' '.environment = []'; do
		jq "$change" "$T/good" >"$T/answer"
		alone_status 70 "malformed: e"
	done
	answer /models/b "$T/trees/a"
	alone_status 70 "not asked for"
	answer
	alone_status 70 missing
	answer /models/a "$T/trees/a" /models/a "$T/trees/a"
	alone_status 70 twice
	answer /models/a "$T/trees/a/model"
	alone_status 70 kind
	echo '{"state":"ready"}' >"$T/answer"
	alone_status 70 "no weights"
	echo '{"state":"pending","status":200}' >"$T/answer"
	alone_status 70 state
	echo '[]' >"$T/answer"
	alone_status 70 malformed
}

@test "75: an agent that trickles, hangs or never reads is left at the deadline" {
	simple_bundle true
	sleep 1000 3>&- &
	echo $! >>"$T/pids"
	STATE=$(hook_state x $!)
	local mode
	for mode in trickle hang deaf; do
		start_fake "$mode"
		alone_status 75 "in time" --timeout=1s
		kill "$(cat "$T/fake.pid")"
		"$FIXTURES/process.py" wait "$(cat "$T/fake.pid")"
	done
}

@test "77: a published tree that others can write, or that is behind a link" {
	simple_bundle true
	add_hook
	start_fake
	chmod 0777 "$T/trees/a"
	run_container
	[ "$status" -ne 0 ]
	assert_output "can be written by others"
	chmod 0555 "$T/trees/a"
	chown 1000 "$T/trees/a"
	run_container
	[ "$status" -ne 0 ]
	assert_output "can be written by others"
	chown 0 "$T/trees/a"
	ln -s trees/a "$T/link"
	answer /models/a "$T/link"
	run_container
	[ "$status" -ne 0 ]
	assert_output "a symbolic link is in the agent's path"
}

@test "--log-format=json: one object a line" {
	simple_bundle true
	STATE=$(hook_state x 0)
	run hook_alone --log-format=json
	assert_status 64
	assert_equal "$(jq -r '.level + " " + .program' <<<"${lines[-1]}")" "error ballast-hook"
}

@test "messages are one escaped line whatever is in them" {
	simple_bundle true
	annotate weights.ballast.dev '[{"source":"hf://o/r","mount_location":"/m","\u001b[31m%n\nkey":1}]'
	STATE=$(hook_state x 0)
	run hook_alone
	assert_status 64
	assert_equal "${#lines[@]}" 1
	refute_output $'\e'
}
