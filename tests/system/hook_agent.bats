# SPDX-License-Identifier: Apache-2.0
# The hook with the real agent and the real fetch.

load hook

setup() {
	use_test_dir
	need_built ballastd ballast-fetch
}
teardown() { clean_up; }

# real_bundle COMMAND...: weights out of a directory of this machine.
real_bundle() {
	make_bundle b "$@"
	make_model "$T/model"
	open_way # fetch is not root
	agent_config '.file_roots = [$r]' --arg r "$T/model"
	annotate_weights "file://$T/model" /models/a
	add_hook
}

@test "fetched, verified, mounted; then warm" {
	real_bundle sha256sum /models/a/model.safetensors /models/a/tokenizer/vocab.txt
	start_agent
	run_container
	assert_status 0
	assert_output "$(sha256sum <"$T/model/model.safetensors" | cut -d' ' -f1)"
	run_container
	assert_status 0
	assert_output "$(sha256sum <"$T/model/tokenizer/vocab.txt" | cut -d' ' -f1)"
}

@test "a container that may remount gets a read-only superblock of the real tree" {
	real_bundle sh -c 'grep " /models/a " /proc/self/mountinfo; cat /models/a/config.json'
	bundle_set '.process.capabilities |= with_entries(.value += ["CAP_SYS_ADMIN"])'
	start_agent
	run_container
	assert_status 0
	assert_output "overlay ballast ro"
	assert_output '"model_type":"test"'
}

@test "what the agent says reaches the person: no such directory" {
	real_bundle true
	rm -r "$T/model"
	start_agent
	run_container
	[ "$status" -ne 0 ]
	assert_output "exit status 64"
	[ -z "$(pgrep -x ballast-hook)" ]
}
