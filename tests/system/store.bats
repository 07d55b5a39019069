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
	# The sanitizers make everything ten times as slow, and as large.
	LESS=1
	[[ $BUILD != *san* ]] || LESS=10
	# A kill leaves the page cache alone: memory serves as well as a disk, and faster.
	CACHE=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d -p "$T")
}

teardown() {
	[ -z "${CACHE:-}" ] || rm -rf "$CACHE"
	clean_up
}

labels() {
	grep -oh 'bl_sys_point("[a-z-]*")' \
		"$BATS_TEST_DIRNAME"/../../agent/{blob,gc,manifest,partial,ref,store_lease_file,tree}.c | cut -d'"' -f2 | sort -u
}

@test "killed at every labelled point, nothing visible is half made and nothing needs a hand" {
	local all
	mapfile -t all < <(labels)
	[ ${#all[@]} -ge 20 ] || fail "only ${#all[@]} labels"
	run "$DRIVER" points "$CACHE/c" "${all[@]}"
	assert_status 0
}

@test "killed at hundreds of random calls and moments, likewise" {
	run "$DRIVER" kills "$CACHE/c" $((400 * ROUNDS / LESS)) "${STORE_SEED:-1}"
	assert_status 0
}

@test "every call fails with ENOSPC, EIO, EMFILE and EDQUOT, once and always" {
	run "$DRIVER" faults "$CACHE/c"
	assert_status 0
}

@test "what is held stays held when a start cannot read it: it refuses to start, and puts nothing aside" {
	run "$DRIVER" starts "$CACHE/c"
	assert_status 0
}

@test "a filesystem without hard links, without room for one more link, or without fallocate" {
	run "$DRIVER" lacks "$CACHE/c"
	assert_status 0
}

@test "one content in 140,000 files: where the links of a file run out, another takes over" {
	local inodes
	# The disk itself: ext4 gives a file 65,000 links, memory gives any number.
	run "$DRIVER" wide "$T/w" 140000
	assert_status 0
	run "$DRIVER" check "$T/w"
	assert_status 0
	inodes=$(find "$T/w/trees" -type f -printf '%i\n' | sort -u | wc -l)
	[ "$inodes" -lt 140 ] || fail "$inodes copies of one content"
}

@test "a tree of a million files takes less than 256 MiB to publish" {
	[ "$LESS" = 1 ] || skip "the sanitizers take memory of their own"
	run "$DRIVER" wide "$CACHE/w" 1000000
	assert_status 0
	[[ $output =~ at\ most\ ([0-9]+)\ KiB ]] || fail "$output"
	[ "${BASH_REMATCH[1]}" -lt $((256 * 1024)) ] || fail "$output"
}

@test "whatever a loss of power leaves of what was not synced, a visible name is whole" {
	local seed
	for ((seed = 1; seed <= ROUNDS; seed++)); do
		run "$DRIVER" replay "$CACHE/r$seed" "$seed" $((LESS > 1 ? 0 : 2))
		assert_status 0
	done
}

# replay_with RULE: the same, where the calls fail so. Each is a test of its own: together they would come near
# the time that a test may take under the sanitizers.
replay_with() {
	BL_FAULT=$1 run "$DRIVER" replay "$CACHE/r" 1 0
	assert_status 0
}

@test "a loss of power where files are copied into a tree, since there are no links" {
	replay_with linkat:EPERM
}

@test "a loss of power where there are no links any more" {
	replay_with linkat:EMLINK
}

@test "a loss of power where a sync fails, and the next one, which has nothing left to write, does not" {
	replay_with fdatasync:EIO:2
}

@test "a tree whose maker died before its name was synced is durable once a container has it" {
	run "$DRIVER" found "$CACHE/f"
	assert_status 0
}

@test "what is leased is never evicted: 100,000 starts against evictions" {
	run "$DRIVER" race "$CACHE/c" $((100000 * ROUNDS / LESS))
	assert_status 0
}
