# SPDX-License-Identifier: Apache-2.0
# The agent's store alone, driven by tests/fixtures/store: killed anywhere, with failing calls, after
# a loss of power, and with evictions that race with starts. What each state must hold is in the
# driver's check.c. STORE_ROUNDS=10 runs ten times as long.

load lib

setup() {
	use_test_dir
	need_faults
	DRIVER=$FAULTS/tests/fixtures/store-driver
	ROUNDS=${STORE_ROUNDS:-1}
	# A kill leaves the page cache alone: memory serves as well as a disk, and faster.
	CACHE=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d -p "$T")
}

teardown() {
	[ -z "${CACHE:-}" ] || rm -rf "$CACHE"
	clean_up
}

labels() {
	grep -oh 'bl_sys_point("[a-z-]*")' \
		"$BATS_TEST_DIRNAME"/../../agent/{blob,gc,manifest,partial,ref,store_lease,tree}.c | cut -d'"' -f2 | sort -u
}

@test "killed at every labelled point, nothing visible is half made and nothing needs a hand" {
	local all
	mapfile -t all < <(labels)
	[ ${#all[@]} -ge 20 ] || fail "only ${#all[@]} labels"
	run "$DRIVER" points "$CACHE/c" "${all[@]}"
	assert_status 0
}

@test "killed at hundreds of random calls and moments, likewise" {
	run "$DRIVER" kills "$CACHE/c" $((400 * ROUNDS)) "${STORE_SEED:-1}"
	assert_status 0
}

@test "every call fails with ENOSPC, EIO, EMFILE and EDQUOT, once and always" {
	run "$DRIVER" faults "$CACHE/c"
	assert_status 0
}

@test "whatever a loss of power leaves of what was not synced, a visible name is whole" {
	local seed
	for ((seed = 1; seed <= ROUNDS; seed++)); do
		run "$DRIVER" replay "$CACHE/r$seed" "$seed" 2
		assert_status 0
	done
}

@test "what is leased is never evicted: 100,000 starts against evictions" {
	run "$DRIVER" race "$CACHE/c" $((100000 * ROUNDS))
	assert_status 0
}
