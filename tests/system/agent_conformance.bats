#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Our own agent against the script that any node agent can be held against, and against docs/.

load lib
load agent

setup() { use_test_dir; }
teardown() { clean_up; }

@test "conformance: ballastd is a node agent" {
	make_model "$T/model"
	start_hub --repo org/model="$T/model"
	start_agent
	run "$TESTS/conformance/agent" "$T/agent.sock" "$(items hf://org/model)"
	assert_status 0
	refute_output "not ok"
}

@test "conformance: every route is in openapi.yaml and in agent-api.md, and no other" {
	need_python yaml
	run /usr/bin/python3 - "$TESTS/.." <<-'END'
		import re, sys, yaml
		top = sys.argv[1]
		code = set()
		for method, path in re.findall(r'\{"([A-Z]+)", "(/[^"]*)", BL_HTTP', open(top + "/agent/api.c").read()):
		    code.add((method, re.sub(r"\*", "{}", path)))
		described = set()
		for path, methods in yaml.safe_load(open(top + "/docs/openapi.yaml"))["paths"].items():
		    for method in methods:
		        if method != "parameters":
		            described.add((method.upper(), re.sub(r"\{[a-z]*\}", "{}", path)))
		assert code == described, code ^ described
		text = open(top + "/docs/agent-api.md").read()
		for method, path in code:
		    assert re.sub(r"\{\}.*", "", path) in text, path
	END
	assert_status 0
}

# described METHOD PATH NAME [BODY]: asks, and holds the answer against NAME in openapi.yaml.
described() {
	agent "$1" "$2" ${4+"$4"}
	assert_equal "$("$FIXTURES/described.py" "$TESTS/../docs/openapi.yaml" "$1" "$3" "$status_code" <<<"$output" 2>&1)" ""
}

@test "conformance: each answer has the members that openapi.yaml describes, and no other" {
	need_python yaml
	make_model "$T/model"
	start_hub --repo org/model="$T/model"
	start_agent
	new_process
	described PUT "/v1/containers/a?wait=60" "/v1/containers/{id}" "$(body default "$(items hf://org/model)")"
	expect_code 200
	described GET /v1/containers/a "/v1/containers/{id}"
	new_process
	described PUT /v1/containers/b "/v1/containers/{id}" "$(body default "$(items hf://org/none)")"
	expect_code 202
	described POST /v1/containers/b/defer "/v1/containers/{id}/defer" \
		'{"mounts":[{"mount_location":"/models/m","placeholder_dev":1,"placeholder_ino":1}]}'
	expect_code 202
	described GET "/v1/containers/b?wait=60" "/v1/containers/{id}"
	assert_equal "$(answer '.state, .problem.status, .problem.title' | xargs)" "failed 401 The origin wants a credential"
	described GET /v1/containers /v1/containers
	described GET /v1/containers/none "/v1/containers/{id}"
	described DELETE /v1/containers/none "/v1/containers/{id}"
	described POST /v1/pulls /v1/pulls "$(jq -cn --argjson w "$(items hf://org/none)" '{tenant: "default", weights: $w}')"
	described GET "/v1/pulls/$(answer .id)?wait=60" "/v1/pulls/{id}"
	assert_equal "$(answer '.state, .problem.status' | xargs)" "failed 401"
	described POST /v1/pulls /v1/pulls "$(jq -cn --argjson w "$(items hf://org/model)" '{tenant: "default", weights: $w, refresh: true}')"
	described GET "/v1/pulls/$(answer .id)?wait=60" "/v1/pulls/{id}"
	assert_equal "$(answer .state)" ready
	described GET /v1/cache /v1/cache
	described DELETE "/v1/cache/$(answer '.trees[0].manifest')" "/v1/cache/{tree}"
	expect_code 409
	described POST "/v1/cache/verify?wait=0" /v1/cache/verify
	described POST /v1/cache/verify /v1/cache/verify
	described POST /v1/cache/gc /v1/cache/gc
	described GET /v1/version /v1/version
	described GET "/v1/version?wait=1000000" /v1/version
	expect_code 400
}

@test "conformance: every key of ballastd.json is in its schema, and no other; the pages have them" {
	run bash -c "diff <(sed -n 's/^\t{\"\([a-z_]*\)\", take_.*/\1/p' '$TESTS/../agent/config.c' | sort) \
		<(jq -r '.properties | keys[]' '$TESTS/../docs/ballastd.schema.json' | sort)"
	assert_status 0
	assert_equal "$output" ""
	local key
	for key in $(jq -r '.properties | keys[]' "$TESTS/../docs/ballastd.schema.json"); do
		grep -qE "^\| (\`[a-z_]*\`, )?\`$key\`" "$TESTS/../docs/operations.md" || fail "$key is not in operations.md"
		sed '/^\.SH CONFIGURATION/,/^\.SH FILES/!d' "$TESTS/../docs/man/ballastd.8" | grep -qw "$key" ||
			fail "$key is not in ballastd(8)"
	done
}

@test "conformance: the metrics are as Prometheus wants them, and all in operations.md" {
	start_agent
	agent GET /metrics
	for name in $(awk '/^# TYPE/ {print $3}' <<<"$output"); do
		grep -q "\`$name" "$TESTS/../docs/operations.md" || fail "$name is not in operations.md"
	done
	# HELP and TYPE before the samples, one of each.
	assert_equal "$(grep -c '^# HELP' <<<"$output")" "$(grep -c '^# TYPE' <<<"$output")"
	assert_equal "$(awk '/^# TYPE/ {print $3}' <<<"$output" | sort | uniq -d)" ""
	# The same by TCP, and nothing else there.
	stop_agent
	port=$(free_port)
	start_agent --metrics-listen="127.0.0.1:$port"
	curl --silent --fail --noproxy '*' "http://127.0.0.1:$port/metrics" | grep -q ballast_build_info
	assert_equal "$(curl --silent --noproxy '*' -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/v1/containers")" 403
	assert_equal "$(curl --silent --noproxy '*' -o /dev/null -w '%{http_code}' -X POST "http://127.0.0.1:$port/v1/cache/gc")" 403
}
