# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154
# What the agent's tests share: processes that stand for containers, and requests.

# new_process: a process that lives until end_process PID; PID and START are its identity.
new_process() {
	sleep infinity 3>&- &
	PID=$!
	echo "$PID" >>"$T/pids"
	START=$(awk '{print $22}' "/proc/$PID/stat")
}

# end_process PID: it is dead when this returns.
end_process() {
	kill -KILL "$1"
	"$FIXTURES/process.py" wait "$1"
}

# items SOURCE [MEMBERS]...: weights; MEMBERS are more members of the item, as JSON text.
items() {
	jq -cn --arg source "$1" --argjson more "${2:-{\}}" \
		'[{source: $source, mount_location: "/models/m"} + $more]'
}

# body TENANT WEIGHTS: what a PUT for the last new_process says.
body() {
	jq -cn --arg tenant "$1" --argjson weights "$2" --argjson pid "$PID" --argjson start "$START" \
		'{tenant: $tenant, pid: $pid, start_time: $start, weights: $weights}'
}

# put ID TENANT WEIGHTS [WAIT]
put() {
	agent PUT "/v1/containers/$1?wait=${4:-60}" "$(body "$2" "$3")"
}

answer() {
	jq -r "$1" <<<"$output"
}

expect_code() {
	[ "$status_code" = "$1" ] || fail "expected HTTP $1, got $status_code: $output; $(cat "$T/agent.log")"
}

# wait_state ID STATE: waits, by the agent, until the container is in that state.
wait_state() {
	agent GET "/v1/containers/$1?wait=60"
	assert_equal "$(answer .state)" "$2"
}

# Faults of the Hub: of all that is asked of the CDN half comes, slowly, and then nothing: journals are written,
# and no download comes to its end before somebody looks.
HALF='[{"match": "repos", "kind": "slow", "rate": 3000000}, {"match": "repos", "kind": "stall", "at": 0.5}]'

# bytes_of PATTERN: body bytes that the Hub and its CDN, which count together, have sent for paths
# that match.
bytes_of() {
	origin_stats "$CDN" '[.bytes | to_entries[] | select(.key | test($p)) | .value] | add // 0' --arg p "$1"
}
