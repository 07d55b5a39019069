#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2034,SC2030,SC2031,SC2154
# bt: a project's job and checkpoint are resolved and pinned; files come by signed URLs, without the
# API's key, and with new ones when they end.

load lib
load sources

setup() {
	use_test_dir
	need jq curl
	start_clouds --page 2
	put '{"bucket":"job1","key":"checkpoint-9/old"}' \
		'{"bucket":"job2","key":"checkpoint-1/a"}' '{"bucket":"job2","key":"checkpoint-1/b"}' \
		'{"bucket":"job2","key":"checkpoint-2/config.json"}' \
		'{"bucket":"job2","key":"checkpoint-2/model 1+2%.bin"}' \
		'{"bucket":"job2","key":"checkpoint-2/sub/zero","data":""}' \
		'{"bucket":"job2","key":"checkpoint-20/x"}'
	AUTH='' SECRET='' TOKEN=KEY
}

teardown() { clean_up; }

@test "bt: the latest checkpoint of the latest job" {
	origin_control "$BT" delete '{"bucket":"job2","key":"checkpoint-20/x"}'
	job bt://my-project
	assert_done
	assert_listed config.json 'model 1+2%.bin' sub/zero
	assert_equal "$(jq -r 'select(.type == "manifest").revision' "$T/job.out")" job2/checkpoint-2
	assert_equal "$(head -c 12 "$T/files/config.json")" checkpoint-2
	# the key went to the API, and not to where the files are
	assert_equal "$(origin_stats "$BT" '.statuses["400"]')" null
}

@test "bt: a job and a checkpoint by name, a project by id" {
	job bt://p1@job2/checkpoint-1
	assert_done
	assert_listed a b
	job bt://my-project@job1
	assert_done
	assert_listed old
}

@test "bt: a pinned download goes on with the job it began with" {
	REVISION=job1/checkpoint-9
	job bt://my-project
	assert_done
	assert_listed old
}

@test "bt: URLs that have ended are asked for again" {
	for status in 403 400; do
		origin_control "$BT" faults '[{"match":"GET /job2/checkpoint-1/a","kind":"status","status":'$status',"times":1}]'
		job bt://my-project@job2/checkpoint-1
		assert_done
		assert_equal "$(head -c 14 "$T/files/a")" checkpoint-1/a
	done
	assert_equal "$(find "$T/files" -type f ! -name .have | wc -l)" 2
	origin_control "$BT" faults '[{"match":"GET /job2/checkpoint-1/a","kind":"status","status":403}]'
	job bt://my-project@job2/checkpoint-1
	assert_error forbidden "'a': 403 Forbidden" "check this node's clock"
}

# The sixteenth range is refused, and the list of new URLs held back until most of the fifteen others has
# come: that is more than sockets hold of what nobody reads.
@test "bt: while URLs are asked for again, what is under way goes on" {
	put '{"bucket":"job2","key":"checkpoint-1/a","size":160000000}'
	origin_control "$BT" faults '[{"match":"GET /job2/checkpoint-1/a","kind":"status","status":403,"after":15,"times":1},
		{"match":"checkpoint_files","kind":"hold","after":3,"times":1},
		{"match":"GET /job2/checkpoint-1/a","kind":"slow","rate":4000000,"buffer":65536}]'
	(origin_control "$BT" 'wait?path=/job2/checkpoint-1/a&bytes=4000000' && touch "$T/came"
		origin_control "$BT" release) 3>&- &
	local beside=$!
	job bt://my-project@job2/checkpoint-1
	wait "$beside"
	assert_done
	[ -e "$T/came" ] || fail "nothing came while the list was asked for"
	# the answer that was held is the one that was used
	assert_equal "$(origin_stats "$BT" '[.requests | to_entries[] | select(.key | test("checkpoint_files")).value] | add')" 6
	assert_equal "$(stat -c %s "$T/files/a")" 160000000
	assert_equal "$(origin_stats "$BT" '.statuses["403"]')" 1
}

@test "bt: what is missing or wrong is said" {
	job bt://nobody
	assert_error not_found nobody
	job bt://twin
	assert_error config "write its id"
	job bt://my-project@job7
	assert_error not_found "training job"
	job bt://my-project@job2/none
	assert_error not_found checkpoint none
	TOKEN=WRONG
	job bt://my-project
	assert_error forbidden "API key"
	TOKEN=''
	job bt://my-project
	assert_error config "API key" IDENTITY_DIR
	TOKEN=KEY
	CONFIG='{}'
	job bt://my-project
	assert_error config 'endpoint "bt"'
}
