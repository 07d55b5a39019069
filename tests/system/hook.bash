# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154
# What the tests of the hook share: an agent that answers as told (tests/fixtures/fake_agent.py) and
# trees as an agent publishes them.

load lib

# make_tree NAME: $T/trees/NAME with a file `model`, and $T/empty.
make_tree() {
	mkdir -p "$T/trees/$1/sub" "$T/empty"
	printf 'weights of %s\n' "$1" >"$T/trees/$1/model"
	printf 'more\n' >"$T/trees/$1/sub/part"
	chmod 0444 "$T/trees/$1/model" "$T/trees/$1/sub/part"
	chmod 0555 "$T/trees/$1/sub" "$T/trees/$1" "$T/empty"
}

# answer LOCATION PATH [LOCATION PATH]...: what the agent answers: ready.
answer() {
	local list='[]' kind
	while [ $# -gt 0 ]; do
		kind='directory'
		[ -d "$2" ] || kind='file'
		list=$(jq -c '. + [{mount_location: $l, path: $p, kind: $k}]' --arg l "$1" --arg p "$2" \
			--arg k "$kind" <<<"$list")
		shift 2
	done
	jq -n '{state: "ready", environment: {}, empty: $e, weights: $w}' --arg e "$T/empty" \
		--argjson w "$list" >"$T/answer.new"
	mv "$T/answer.new" "$T/answer"
}

answer_pending() {
	echo '{"state":"pending","progress":{"bytes_done":5,"bytes_total":'"${1:-10}"',"bytes_per_second":1000000}}' \
		>"$T/answer.new"
	mv "$T/answer.new" "$T/answer"
}

# answer_problem STATUS DETAIL
answer_problem() {
	jq -n '{title: "a title", status: $s, detail: $d}' --argjson s "$1" --arg d "$2" >"$T/answer.new"
	mv "$T/answer.new" "$T/answer"
}

# start_fake [MODE [OPTION...]]
start_fake() {
	local mode=${1:-normal}
	[ $# -eq 0 ] || shift
	touch "$T/requests"
	spawn fake "$FIXTURES/fake_agent.py" --mode="$mode" "$@" "$T/agent.sock" "$T/answer" "$T/requests"
}

# simple_bundle COMMAND...: a bundle b with one weights set at /models/a, its tree and its agent.
simple_bundle() {
	make_bundle b "$@"
	make_tree a
	answer /models/a "$T/trees/a"
	annotate_weights hf://owner/repo /models/a
}

# The hook alone, with the bundle of make_bundle: hook_state ID PID [JQ-FILTER] prints a state.
hook_state() {
	jq -n '{ociVersion: "1.0.2", id: $id, status: "creating", pid: $pid, bundle: $bundle} | '"${3:-.}" \
		--arg id "$1" --argjson pid "$2" --arg bundle "$BUNDLE"
}

# hook_alone [OPTION...]: $BUILD/ballast-hook on the state in $STATE.
hook_alone() {
	"${HOOK:-$BUILD/ballast-hook}" --agent="unix:$T/agent.sock" --shim="$BUILD/ballast-shim" \
		--secrets-dir="$T/secrets" --timeout=20s "$@" <<<"$STATE"
}

# No process of the hook is left in this file's namespace, but one that waits to be reaped.
refute_hook_runs() {
	! pgrep -x --runstates R,S,D,T,t ballast-hook || fail "a hook is still there"
}

# build_inside: tests/fixtures/inside.c as $T/inside, static.
build_inside() {
	need gcc
	gcc -static -O1 -o "$1" "$FIXTURES/inside.c" || fail "inside.c does not compile"
}

# Everybody may pass through the directories above $T: for users that are not root.
open_way() {
	local parent=$T
	while [ "$parent" != / ]; do
		chmod o+x "$parent"
		parent=$(dirname "$parent")
	done
}
