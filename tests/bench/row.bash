#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# row.bash ROW-FILE: does what tests/bench/run asks on stdin, an answer a line on stdout. It gives a
# row the helpers of tests/system/lib.bash ($T, $BUILD, start_hub, make_bundle, ...). A row defines
#
#   TITLE, SIDES (ours first), ROUNDS   what is measured, and how often
#   label_<side>                        optional: the side's command as a person would read it
#   set_up, tear_down                   optional: before and after all; `skip WHY` where it cannot run
#   before_<side>                       optional: before each run, not timed
#   run_<side>                          what is timed; its failure ends the bench. One that times
#                                       by itself sets ELAPSED to the seconds; it may set CPU to
#                                       the processor's seconds and PEAK to KiB of memory
#                                       (by_cost does all three)
set -uo pipefail

exec 4>&1 1>&2
bats_require_minimum_version() { :; }
run() { output=$("$@" 2>&1) && status=0 || status=$?; }
skip() {
	echo "skip $*" >&4
	exit 0
}
BATS_RUN_TMPDIR=$T
BENCH=$(dirname "$(realpath "$0")")
# shellcheck source=tests/system/lib.bash
. "$BENCH/../system/lib.bash"
prepare_dir
ROUNDS=7
# shellcheck source=/dev/null
. "$1"

# by_cost [--of PID] COMMAND...: runs it by tests/bench/cost.c, which says what it cost.
by_cost() {
	local of=()
	[ "$1" != --of ] || { of=("$1" "$2") && shift 2; }
	[ -x "$T/cost" ] || gcc -O2 -D_GNU_SOURCE -o "$T/cost" "$BENCH/cost.c" || return 1
	"$T/cost" "${of[@]}" "$T/cost.result" "$@" || return 1
	read -r ELAPSED CPU PEAK <"$T/cost.result"
}

defined() { declare -F "$1" >/dev/null; }

# Everything goes, whatever way this ends.
finish() {
	! defined tear_down || tear_down
	clean_up
}
trap finish EXIT

timed() {
	local side=$1 start end
	ELAPSED='' CPU='' PEAK=''
	! defined "before_$side" || "before_$side" || exit 1
	start=${EPOCHREALTIME/[.,]/}
	"run_$side" || {
		echo "row.bash: $side failed" >&2
		exit 1
	}
	end=${EPOCHREALTIME/[.,]/}
	if [ -n "$ELAPSED" ]; then
		echo "ok $ELAPSED $CPU $PEAK" >&4
		return
	fi
	printf 'ok %d.%06d\n' $(((end - start) / 1000000)) $(((end - start) % 1000000)) >&4
}

while read -r command side; do
	case $command in
	setup)
		! defined set_up || set_up || exit 1
		echo "ok" >&4
		;;
	title) echo "ok $TITLE" >&4 ;;
	sides) echo "ok $SIDES" >&4 ;;
	rounds) echo "ok $ROUNDS" >&4 ;;
	label) if defined "label_$side"; then echo "ok $("label_$side")" >&4; else echo "ok $side" >&4; fi ;;
	run) timed "$side" ;;
	esac
done
