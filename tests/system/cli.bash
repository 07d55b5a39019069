# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154
# What the tests of `ballast run` share, on top of lib.bash.

load lib

# config NAME: writes standard input to $T/NAME.yaml; CONFIG is its path.
config() {
	CONFIG=$T/$1.yaml
	cat >"$CONFIG"
}

# server COMMAND [LINE...]: a config whose server is that command, as user 1000 in an image that is
# left as it is, with one set of weights; LINEs are added.
server() {
	local command=$1
	shift
	config server <<-YAML
		model_name: Test
		docker_server:
		  start_command: $(jq -n --arg text "$command" '$text')
		  run_as_user_id: ${SERVER_UID:-1000}
		  no_build: true
		weights:
		- source: ${SOURCE:-hf://team/model@main}
		  mount_location: ${LOCATION:-/models/a}
		$(printf '%s\n' "$@")
	YAML
}

# ballast COMMAND...: the program under test, under bats' run.
ballast() {
	run "$BUILD/ballast" "$@"
}

# The options of every `ballast run` here.
run_options() {
	printf '%s\n' run --agent="unix:$T/agent.sock" --secrets-dir="$T/secrets" \
		--runtime-option="--root=$T/runc" --on-timeout=fail --timeout=60s
}

# run_config [OPTION...]: runs $CONFIG on $T/rootfs; $status, $output.
run_config() {
	local options
	mapfile -t options < <(run_options)
	[ -d "$T/rootfs" ] || make_rootfs "$T/rootfs"
	ballast "${options[@]}" --rootfs="$T/rootfs" "$@" "$CONFIG"
}

# start_config [OPTION...]: the same in the background; RUN_PID, what it says is in $T/run.log.
start_config() {
	local options
	mapfile -t options < <(run_options)
	[ -d "$T/rootfs" ] || make_rootfs "$T/rootfs"
	"$BUILD/ballast" "${options[@]}" --rootfs="$T/rootfs" "$@" "$CONFIG" </dev/null >"$T/run.log" 2>&1 3>&- &
	RUN_PID=$!
	echo "$RUN_PID" >>"$T/pids"
}

# Waits for the end of start_config's: $status, $output.
end_config() {
	status=0
	wait "$RUN_PID" || status=$?
	output=$(cat "$T/run.log")
}

# No container is left, and nothing in the image.
assert_nothing_left() {
	assert_equal "$(ls "$T/runc" 2>/dev/null)" ""
	assert_equal "$(find "$T/rootfs/models" "$T/rootfs/run" -type f 2>/dev/null)" ""
}

# The same where the container never started: the mount points are gone again, too.
assert_never_there() {
	assert_nothing_left
	assert_equal "$(find "$T/rootfs/models" "$T/rootfs/run/ballast" 2>/dev/null)" ""
}

# A hub with a small model as team/model, and the agent that uses it.
start_hub_and_agent() {
	[ -d "$T/model" ] || make_model "$T/model"
	start_hub --repo "team/model=$T/model" "$@"
	start_agent
}
