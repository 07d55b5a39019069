# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Counting TAP for the run-* scripts: they source this, and close with one line that the next
# script up (run-check) can add to its own.
passed=0
failed=0
skipped=0
tap_passed=0
tap_failed=0
tap_skipped=0

# tally_tap FILE: counts one TAP output in tap_*. A "not ok ... # SKIP" (cmocka) is a skip too.
tally_tap() {
	tap_skipped=$(grep -ciE '^(not )?ok\b.*# skip' "$1")
	tap_failed=$(grep -iE '^not ok\b' "$1" | grep -civE '# skip')
	tap_passed=$(grep -iE '^ok\b' "$1" | grep -civE '# skip')
}

tally_add() {
	passed=$((passed + tap_passed))
	failed=$((failed + tap_failed))
	skipped=$((skipped + tap_skipped))
}

# tally_show_skips NAME FILE: a skip is never silent.
tally_show_skips() {
	sed -nE "s|^(not )?ok [0-9]* ?-? ?(.*)# [Ss][Kk][Ii][Pp] ?(.*)$|  skip  $1: \2(\3)|p" "$2"
}

tally_line() {
	printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
}

# Prints the closing line; fails where a test failed or nothing ran at all.
tally_close() {
	tally_line
	if [ -n "${TALLY_FILE:-}" ]; then
		printf '%d %d %d\n' "$passed" "$failed" "$skipped" >>"$TALLY_FILE"
		[ "$failed" -eq 0 ]
	else
		[ "$failed" -eq 0 ] && [ "$((passed + skipped))" -gt 0 ]
	fi
}
