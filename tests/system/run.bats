# SPDX-License-Identifier: Apache-2.0
# The main job through all five programs: `ballast run` with runc, the hook, the agent and fetch.

load cli

setup() {
	need_root
	need runc jq curl busybox
	use_test_dir
}
teardown() { clean_up; }

# ---- The happy path

@test "a server reads its weights, and its exit status is ours" {
	start_hub_and_agent
	server 'cd /models/a && cat config.json tokenizer/vocab.txt && sha256sum model.safetensors; exit 7'
	run_config
	assert_status 7
	assert_output '{"model_type":"test"}'
	assert_output "the first token"
	assert_output "$(sha256sum <"$T/model/model.safetensors" | cut -d' ' -f1)"
}

@test "the second start is warm: the origin is not asked for a byte" {
	start_hub_and_agent
	server 'cat /models/a/config.json'
	run_config
	assert_status 0
	origin_control "$HUB" reset
	run_config
	assert_status 0
	assert_output test
	assert_equal "$(origin_stats "$HUB" '.requests | length')" 0
}

@test "two sets of weights, and a single file, each at its place" {
	make_model "$T/other"
	echo other >"$T/other/config.json"
	mkdir "$T/files"
	echo "a file alone" >"$T/files/data.bin"
	make_tls
	# The process that fetches is nobody's: it must reach the authority's certificate.
	chmod a+x "$BATS_RUN_TMPDIR" "$BATS_RUN_TMPDIR/test"
	start_origin --tls "$T/tls.pem" "$T/tls.key" "$T/files"
	make_model "$T/model"
	start_hub --repo "team/model=$T/model" --repo "team/other=$T/other"
	agent_config '.allowed_origins += [$origin] | .ca_file = $ca' --arg origin "$ORIGIN" --arg ca "$T/ca.pem"
	start_agent
	server 'cat /models/a/config.json /opt/b/config.json /data/x/data.bin' \
		"- {source: 'team/other', mount_location: /opt/b, allow_patterns: [config.json]}" \
		"- {source: '$ORIGIN/data.bin', mount_location: /data/x/data.bin}"
	run_config
	assert_status 0
	assert_equal "$output" $'{"model_type":"test"}\nother\na file alone'
}

@test "another person's config, with the older spelling, runs as it is" {
	mkdir -p "$T/theirs/original"
	head -c 70000 /dev/urandom >"$T/theirs/model-00001-of-00002.safetensors"
	head -c 70000 /dev/urandom >"$T/theirs/model-00002-of-00002.safetensors"
	echo '{}' >"$T/theirs/config.json"
	echo no >"$T/theirs/README.md"
	echo no >"$T/theirs/original/consolidated.00.pth"
	start_hub --repo "meta-llama/Llama-2-7b@v1.0=$T/theirs" --private meta-llama/Llama-2-7b=hf_theirs
	start_agent
	add_secret default hf_access_token hf_theirs
	config theirs <<-'YAML'
		base_image:
		  image: lmsysorg/sglang:v0.5.8.post1
		docker_server:
		  start_command: find /srv/their models -type f | sort && id -u && echo $HF_HOME
		    $LEVEL
		  server_port: 8000
		  predict_endpoint: /v1/chat/completions
		  readiness_endpoint: /health
		  liveness_endpoint: /health
		  run_as_user_id: 1234
		  no_build: yes
		environment_variables: {HF_HOME: /tmp/hf, LEVEL: 010}
		resources: {accelerator: H100, use_gpu: true}
		secrets: {hf_access_token: null}
		weights:
		  - source: "meta-llama/Llama-2-7b"
		    revision: v1.0
		    mount_location: "/srv/their models/llama 2"
		    runtime_secret_name: hf_access_token
		    allow_patterns: ["*.safetensors", "config.json"]
	YAML
	sed -i 's|find /srv/their models|find "/srv/their models"|' "$CONFIG"
	run_config
	assert_status 0
	assert_equal "$output" "/srv/their models/llama 2/config.json
/srv/their models/llama 2/model-00001-of-00002.safetensors
/srv/their models/llama 2/model-00002-of-00002.safetensors
1234
/tmp/hf 8"
}

@test "the image's own entrypoint runs where there is no start_command" {
	start_hub_and_agent
	make_bundle image sh -c 'echo entry "$@"; id -u; cat /models/a/config.json; pwd' entry one
	bundle_user 1000
	bundle_set '.process.cwd = "/tmp"'
	config entry <<-'YAML'
		docker_server: {no_build: true}
		weights: [{source: hf://team/model, mount_location: /models/a}]
	YAML
	local before options
	before=$(cat "$BUNDLE/config.json")
	mapfile -t options < <(run_options)
	ballast "${options[@]}" --bundle="$BUNDLE" "$CONFIG"
	assert_status 0
	assert_equal "$output" $'entry one\n1000\n{"model_type":"test"}\n/tmp'
	assert_equal "$(cat "$BUNDLE/config.json")" "$before"

	ballast "${options[@]}" --rootfs="$BUNDLE/rootfs" "$CONFIG" -- echo 'given here'
	assert_status 0
	assert_equal "$output" "given here"

	# Beside a start_command it does not run, and that is said.
	server 'echo of the config'
	ballast "${options[@]}" --rootfs="$BUNDLE/rootfs" "$CONFIG" -- echo 'given here'
	assert_output "of the config"
	assert_output "ballast: the command after -- does not run: docker_server.start_command of the config does"
}

@test "a standard descriptor that is closed is no file of ours in the container" {
	local options
	start_hub_and_agent
	make_rootfs "$T/rootfs"
	server 'exec 3>&1; readlink /proc/self/fd/0 >&2; readlink /proc/self/fd/3 >&2'
	mapfile -t options < <(run_options)
	run bash -c '"$@" <&- >&-' x "$BUILD/ballast" "${options[@]}" --rootfs="$T/rootfs" "$CONFIG"
	assert_status 0
	assert_equal "$output" $'/dev/null\n/dev/null'
	# What cannot be told is still an error.
	run bash -c '"$@" >&-' x "$BUILD/ballast" validate "$CONFIG"
	assert_status 70
	assert_output "cannot write to standard output"
}

@test "an image's configuration gives entrypoint, environment and user" {
	start_hub_and_agent
	make_rootfs "$T/rootfs"
	config image <<-'YAML'
		docker_server: {no_build: true}
		weights: [{source: hf://team/model, mount_location: /models/a}]
	YAML
	echo '{"config":{"Entrypoint":["/bin/sh","-c"],"Cmd":["echo $A; id -u; pwd"],"WorkingDir":"/var",
		"Env":["A=of the image","PATH=/bin"],"User":"1000"}}' >"$T/image.json"
	run_config --image-config="$T/image.json"
	assert_status 0
	assert_equal "$output" $'of the image\n1000\n/var'
}

@test "a config with weights alone, and one with nothing, run what is given" {
	start_hub_and_agent
	make_rootfs "$T/rootfs"
	local options
	mapfile -t options < <(run_options)
	config alone <<<'weights: [{source: hf://team/model, mount_location: /models/a}]'
	ballast "${options[@]}" --rootfs="$T/rootfs" "$CONFIG" -- cat /models/a/config.json
	assert_status 0
	assert_equal "$output" '{"model_type":"test"}'
	config empty <<<''
	ballast "${options[@]}" --rootfs="$T/rootfs" "$CONFIG" -- id -u
	assert_status 0
	assert_equal "$output" 60000
}

@test "what a person built in a home of their own runs from there, and nobody else's shim does" {
	local options
	mkdir -m 700 "$T/home"
	cp "$BUILD"/ballast "$BUILD"/ballastd "$BUILD"/ballast-* "$T/home/"
	chown -R 1000:1000 "$T/home"
	AGENT=$T/home/ballastd start_hub_and_agent
	make_rootfs "$T/rootfs"
	server 'cat /models/a/config.json'
	mapfile -t options < <(run_options)
	run "$T/home/ballast" "${options[@]}" --rootfs="$T/rootfs" "$CONFIG"
	assert_status 0
	assert_equal "$output" '{"model_type":"test"}'
	chown 1001 "$T/home/ballast-shim"
	run "$T/home/ballast" "${options[@]}" --rootfs="$T/rootfs" "$CONFIG"
	assert_status 77
	assert_output "ballast-shim"
}

@test "the machine's own root, and a time that the hook would not take, are refused before anything is started" {
	server 'echo never'
	ballast run --agent="unix:$T/none.sock" --rootfs=/ "$CONFIG"
	assert_status 77
	assert_output "--rootfs: '/' is this machine's own root file system; unpack an image"
	make_rootfs "$T/rootfs"
	for time in 3 0s 25h 1d s +9s ' 9s' 0000000009s; do
		ballast run --agent="unix:$T/none.sock" --rootfs="$T/rootfs" --timeout="$time" "$CONFIG"
		assert_status 64
		assert_output "--timeout: '$time' is no time from 1ms to 24h"
	done
	for time in 1ms 24h; do
		ballast run --agent="unix:$T/none.sock" --rootfs="$T/rootfs" --timeout="$time" "$CONFIG"
		assert_status 69
	done
}

@test "nothing to run is said before anything is started" {
	config nothing <<<'weights: [{source: hf://team/model, mount_location: /models/a}]'
	run_config
	assert_status 64
	assert_output "there is nothing to run"
}

# ---- What the server is

@test "inside, the weights cannot be changed" {
	start_hub_and_agent
	server 'cd /models/a; id -u
		for try in "echo x >config.json" "echo x >new" "mv config.json c" "rm config.json" \
			"chmod 600 config.json" "mkdir d" "ln config.json l" "truncate -s 0 config.json" "touch config.json"; do
			(eval "$try") 2>/dev/null && echo "DONE: $try"
		done; grep " /models/a " /proc/self/mountinfo'
	run_config
	assert_status 0
	assert_output 1000
	refute_output "DONE:"
	assert_output "/models/a ro,nosuid,nodev,noexec"
	assert_equal "$(diff -r "$T/model" "$T"/cache/trees/*)" ""
}

@test "the server has the configured user, no capability, and no way to gain any" {
	start_hub_and_agent
	server 'id -u; id -g; id -G; echo $USER $HOME; grep -E "^(Cap|NoNewPrivs|Seccomp:)" /proc/self/status; grep -E "^Cap" /proc/1/status'
	run_config
	assert_status 0
	assert_equal "$(head -n 4 <<<"$output")" $'1000\n1000\n1000\nuser /home/user'
	assert_equal "$(grep -c '^Cap.*0000000000000000$' <<<"$output")" 10
	assert_output $'NoNewPrivs:\t1'
	assert_output $'Seccomp:\t2'
}

@test "a uid that the image's passwd does not know" {
	start_hub_and_agent
	SERVER_UID=54321 server 'id -u; id -g; echo $USER; touch /app/mine && stat -c %u /app /app/mine'
	make_rootfs "$T/rootfs"
	mkdir "$T/rootfs/app"
	run_config
	assert_status 0
	assert_equal "$output" $'54321\n54321\napp\n54321\n54321'
}

@test "an image that is no custom server's runs as 60000" {
	start_hub_and_agent
	config built <<-'YAML'
		docker_server: {start_command: id -u}
		weights: [{source: hf://team/model, mount_location: /models/a}]
	YAML
	run_config
	assert_status 0
	assert_equal "$output" 60000
}

@test "environment and secrets arrive; reserved names do not" {
	start_hub_and_agent
	add_secret default api_key 'hush hush'
	server 'echo "$A|$B"; [ "$PORT" != 1 ] && echo "no port"; cat /secrets/api_key; stat -c "%a %u" /secrets/api_key' \
		"environment_variables: {A: 'x y', B: true, PORT: 1}" "secrets: {api_key: null}"
	run_config
	assert_status 0
	assert_output 'x y|true'
	assert_output 'no port'
	assert_output 'hush hush'
	assert_output '400 1000'
}

@test "the host's mount table is the same before, during and after, and the image gains empty mount points alone" {
	start_hub_and_agent
	make_rootfs "$T/rootfs"
	local before during
	before=$(mount_table)
	file_table "$T/rootfs" | sort >"$T/files.before"
	server 'echo up; trap "exit 0" TERM; sleep 600 & wait'
	start_config
	"$FIXTURES/process.py" line "$T/run.log" up
	during=$(mount_table)
	assert_equal "$during" "$before"
	kill -TERM "$RUN_PID"
	end_config
	assert_status 0
	assert_equal "$(mount_table)" "$before"
	file_table "$T/rootfs" | sort >"$T/files.after"
	run comm -13 "$T/files.before" "$T/files.after"
	assert_equal "$(grep -v -E ' (models|models/a|run/ballast|run|)$' <<<"$output")" ""
	assert_equal "$(find "$T/rootfs/models/a" "$T/rootfs/run/ballast" -mindepth 1)" ""
}

@test "the host's network is there by default, and none when asked" {
	start_hub_and_agent
	server 'tail -n +3 /proc/net/dev | wc -l'
	run_config
	assert_status 0
	assert_equal "$output" "$(tail -n +3 /proc/net/dev | wc -l)"
	run_config --network=none
	assert_status 0
	[ "$output" -le "$(tail -n +3 /proc/net/dev | wc -l)" ]
	server 'wget -q -O /dev/null http://127.0.0.1:'"${HUB##*:}"'/_control/stats && echo reached'
	run_config --network=none
	refute_output reached
	run_config
	assert_output reached
}

# ---- Signals, and the end

@test "signals go on to the server" {
	start_hub_and_agent
	server 'trap "echo hup" HUP; trap "echo term; exit 5" TERM; echo up; while :; do sleep 600 & wait $!; done'
	start_config
	"$FIXTURES/process.py" line "$T/run.log" up
	kill -HUP "$RUN_PID"
	"$FIXTURES/process.py" line "$T/run.log" hup
	kill -TERM "$RUN_PID"
	end_config
	assert_status 5
	assert_nothing_left
}

@test "under nohup the terminal's end is none of the server's business" {
	start_hub_and_agent
	make_rootfs "$T/rootfs"
	local options
	mapfile -t options < <(run_options)
	server 'trap "echo hup" HUP; trap "echo term; exit 5" TERM; echo up; while :; do sleep 600 & wait $!; done'
	env --ignore-signal=HUP "$BUILD/ballast" "${options[@]}" --rootfs="$T/rootfs" "$CONFIG" \
		</dev/null >"$T/run.log" 2>&1 3>&- &
	RUN_PID=$!
	echo "$RUN_PID" >>"$T/pids"
	"$FIXTURES/process.py" line "$T/run.log" up
	kill -HUP "$RUN_PID"
	kill -TERM "$RUN_PID"
	end_config
	assert_status 5
	refute_output hup
	assert_nothing_left
}

@test "signals go on to a server whose messages nobody reads for now" {
	export TMPDIR=$T
	start_hub_and_agent
	make_rootfs "$T/rootfs"
	local options
	mapfile -t options < <(run_options)
	server 'trap "echo term; exit 5" TERM; head -c 300000 /dev/zero | tr "\0" x >&2 & exec 2>/dev/null; echo up; while :; do sleep 600 & wait $!; done'
	mkfifo "$T/unread"
	exec 8<>"$T/unread"
	"$BUILD/ballast" "${options[@]}" --rootfs="$T/rootfs" "$CONFIG" </dev/null >"$T/run.log" 2>&8 3>&- 8>&- &
	RUN_PID=$!
	echo "$RUN_PID" >>"$T/pids"
	"$FIXTURES/process.py" line "$T/run.log" up
	# Until the pipe is full.
	/usr/bin/python3 - <<-'END'
		import array, fcntl, termios
		n = array.array("i", [0])
		while n[0] < 61440:
		    fcntl.ioctl(8, termios.FIONREAD, n)
	END
	kill -TERM "$RUN_PID"
	"$FIXTURES/process.py" line "$T/run.log" term 20
	# What it said is waited for, until a signal says that it is enough.
	until "$FIXTURES/process.py" wait "$RUN_PID" 1; do kill -TERM "$RUN_PID" || true; done
	exec 8>&-
	end_config
	assert_status 5
	assert_nothing_left
}

# A runtime whose `start` comes to its end when $T/go is there.
make_slow_runtime() {
	cat >"$T/slow-runtime" <<-SH
		#!/bin/bash
		runc "\$@" || exit
		case " \$* " in *' start '*) "$FIXTURES/process.py" path "$T/go" ;; esac
	SH
	chmod 755 "$T/slow-runtime"
}

@test "signals that come when the server runs, and the runtime has not said so, go on to it too" {
	export TMPDIR=$T
	start_hub_and_agent
	make_slow_runtime
	server 'trap "echo hup" HUP; trap "echo term; exit 5" TERM; echo up; while :; do sleep 600 & wait $!; done'
	start_config --runtime="$T/slow-runtime"
	"$FIXTURES/process.py" line "$T/run.log" up
	kill -HUP "$RUN_PID"
	touch "$T/go"
	"$FIXTURES/process.py" line "$T/run.log" hup
	kill -TERM "$RUN_PID"
	end_config
	assert_status 5
	assert_nothing_left
	# The third ends it whether or not the runtime ever says so.
	rm "$T/go" "$T/run.log"
	start_config --runtime="$T/slow-runtime"
	"$FIXTURES/process.py" line "$T/run.log" up
	kill -INT "$RUN_PID"
	kill -TERM "$RUN_PID"
	kill -QUIT "$RUN_PID"
	"$FIXTURES/process.py" wait "$RUN_PID" 20
	touch "$T/go"
	end_config
	assert_status 137
	assert_nothing_left
}

@test "a signal that comes while the bundle is made leaves none of it" {
	need_faults
	export TMPDIR=$T
	start_hub_and_agent
	make_rootfs "$T/rootfs"
	local options
	mapfile -t options < <(run_options)
	server 'echo never'
	mkfifo "$T/gate"
	BL_FAULT=fsync:WAIT:1 BL_FAULT_GATE=$T/gate "$FAULTS/ballast" "${options[@]}" --rootfs="$T/rootfs" "$CONFIG" \
		</dev/null >"$T/run.log" 2>&1 3>&- &
	RUN_PID=$!
	echo "$RUN_PID" >>"$T/pids"
	exec 9>"$T/gate"
	[ -d "$(echo "$T"/ballast-run-*)" ] || fail "no bundle is being made"
	kill -TERM "$RUN_PID"
	exec 9>&-
	end_config
	assert_status 143
	assert_equal "$(find "$T" -maxdepth 1 -name 'ballast-run-*')" ""
	assert_never_there
}

@test "a server that a signal ends is 128 + n" {
	start_hub_and_agent
	server 'kill -USR1 $$; sleep 600'
	run_config
	assert_status 138
}

@test "a server that does not heed a signal is killed at the third" {
	start_hub_and_agent
	server 'trap "echo no1" INT; trap "echo no2" TERM; echo up; while :; do sleep 600 & wait $!; done'
	start_config
	"$FIXTURES/process.py" line "$T/run.log" up
	kill -INT "$RUN_PID"
	"$FIXTURES/process.py" line "$T/run.log" no1
	kill -TERM "$RUN_PID"
	"$FIXTURES/process.py" line "$T/run.log" no2
	kill -INT "$RUN_PID"
	end_config
	assert_status 137
	assert_nothing_left
}

# The directory of bundles gets empty, by somebody who is no child of ours.
wait_for_empty() {
	timeout 60 sh -c 'until rmdir "$1" 2>/dev/null; do :; done' - "$1" || fail "there is $(ls "$1")"
}

@test "SIGKILL of ballast run ends the container too, and nothing is left" {
	mkdir "$T/tmp"
	export TMPDIR=$T/tmp
	start_hub_and_agent
	server 'echo up; exec sleep 1000000'
	start_config --id="killed-$$"
	"$FIXTURES/process.py" line "$T/run.log" up
	local server
	server=$(runc --root "$T/runc" state "killed-$$" | jq .pid)
	kill -KILL "$RUN_PID"
	"$FIXTURES/process.py" wait "$server"
	until [ ! -e "$T/runc/killed-$$" ]; do :; done
	wait_for_empty "$T/tmp"
	assert_nothing_left
}

# Where its runtime's process has not come to the call yet that has it told of that end.
@test "SIGKILL of ballast run before its runtime runs: no container is made" {
	need strace
	local options ballast runtime
	mkdir "$T/tmp"
	export TMPDIR=$T/tmp
	start_hub_and_agent
	server 'echo up; exec sleep 1000000'
	make_rootfs "$T/rootfs"
	mapfile -t options < <(run_options)
	# The first of these calls of each process takes three seconds. (The leak sanitizer cannot look while strace does.)
	ASAN_OPTIONS=detect_leaks=0 strace -f -o "$T/trace" -e trace=prctl -e inject=prctl:delay_enter=3000000:when=1 \
		"$BUILD/ballast" "${options[@]}" --rootfs="$T/rootfs" "$CONFIG" </dev/null >"$T/run.log" 2>&1 3>&- &
	echo $! >>"$T/pids"
	"$FIXTURES/process.py" line "$T/trace" 'PR_SET_CHILD_SUBREAPER.* = 0' >/dev/null
	ballast=$(pgrep -P $! -x ballast)
	until runtime=$(pgrep -P "$ballast"); do :; done
	kill -KILL "$ballast"
	"$FIXTURES/process.py" wait "$runtime"
	wait_for_empty "$T/tmp"
	assert_nothing_left
}

@test "a caller who has closed descriptors and ignores SIGCHLD makes no difference" {
	export TMPDIR=$T
	start_hub_and_agent
	make_rootfs "$T/rootfs"
	local options
	mapfile -t options < <(run_options)
	server 'cat; echo up >/tmp/up; echo out; exit 6'
	run timeout -k 5 60 bash -c 'exec env --ignore-signal=CHLD "$@" <&- >&-' closed "$BUILD/ballast" "${options[@]}" --rootfs="$T/rootfs" "$CONFIG"
	assert_status 6
	assert_equal "$output" ""
	[ -e "$T/rootfs/tmp/up" ] || fail "it did not run"
	# Killed so, it still takes its container with it.
	server 'echo up; exec sleep 1000000'
	"$BUILD/ballast" "${options[@]}" --rootfs="$T/rootfs" --id="closed-$$" "$CONFIG" <&- >"$T/run.log" 2>&- 3>&- &
	RUN_PID=$!
	echo "$RUN_PID" >>"$T/pids"
	echo "runc closed-$$" >>"$T/containers"
	"$FIXTURES/process.py" line "$T/run.log" up
	local server
	server=$(runc --root "$T/runc" state "closed-$$" | jq .pid)
	kill -KILL "$RUN_PID"
	"$FIXTURES/process.py" wait "$server" 20
	until [ ! -e "$T/runc/closed-$$" ]; do :; done
	assert_nothing_left
}

@test "an id that a container has already is refused, and that container goes on" {
	start_hub_and_agent
	server 'trap "exit 5" TERM; echo up; while :; do sleep 600 & wait $!; done'
	start_config --id="twice-$$"
	"$FIXTURES/process.py" line "$T/run.log" up
	run_config --id="twice-$$"
	assert_status 64
	assert_output "--id: there is a container 'twice-$$' already"
	# Also where it came between the look and the creation.
	cat >"$T/late-runtime" <<-'SH'
		#!/bin/sh
		case " $* " in *' state '*) exit 1 ;; esac
		exec runc "$@"
	SH
	chmod 755 "$T/late-runtime"
	run_config --id="twice-$$" --runtime="$T/late-runtime"
	assert_status 70
	assert_output "the runtime did not create the container"
	assert_equal "$(runc --root "$T/runc" state "twice-$$" | jq -r .status)" running
	kill -TERM "$RUN_PID"
	end_config
	assert_status 5
	assert_nothing_left
}

@test "Ctrl-C while the weights arrive ends at once, and nothing is left" {
	make_model "$T/model"
	start_hub --repo "team/model=$T/model"
	start_agent
	origin_control "$CDN" faults '[{"match":"GET /repos/","kind":"hold"}]'
	server 'echo never'
	start_config --id="stopped-$$"
	origin_control "$CDN" 'wait?reached=1'
	hook=$(pgrep -f "ballast-hook.*$T/agent.sock")
	kill -INT "$RUN_PID"
	end_config
	assert_status 130
	refute_output never
	assert_output "stopped before the container was started"
	assert_never_there
	# It sees by itself that its runtime is gone.
	"$FIXTURES/process.py" wait "$hook" 20
	assert_equal "$(find /sys/fs/cgroup -name "stopped-$$" 2>/dev/null)" ""
	# Another runtime may have no hook that could end.
	cat >"$T/deaf-runtime" <<-SH
		#!/bin/sh
		case " \$* " in *' create '*) : >"$T/there"; exec sleep 1000000 ;; esac
		exec runc "\$@"
	SH
	chmod 755 "$T/deaf-runtime"
	start_config --runtime="$T/deaf-runtime"
	"$FIXTURES/process.py" path "$T/there"
	kill -INT "$RUN_PID"
	"$FIXTURES/process.py" wait "$RUN_PID" 20
	end_config
	assert_status 130
	run pgrep -f "ballast-hook.*$T/agent.sock"
	assert_equal "$output" ""
	origin_control "$CDN" release
}

@test "a server that cannot be run says so: 127 and 126" {
	start_hub_and_agent
	server 'exec /no/such/server'
	run_config
	[ "$status" -eq 127 ]
	config command <<-'YAML'
		docker_server: {no_build: true}
		weights: [{source: hf://team/model, mount_location: /models/a}]
	YAML
	local options
	mapfile -t options < <(run_options)
	ballast "${options[@]}" --rootfs="$T/rootfs" "$CONFIG" -- /etc/passwd
	assert_status 126
}

# ---- Weights that come later than the hook waits

# start_deferred [FAULT]: the origin holds the large file back (and more), and the hook leaves the
# waiting to the shim.
start_deferred() {
	make_model "$T/model"
	start_hub --repo "team/model=$T/model"
	start_agent
	origin_control "$CDN" faults "[{\"match\":\"GET /repos/\",\"kind\":\"hold\"}${1:+,$1}]"
	server 'echo started; sha256sum </models/a/model.safetensors'
	start_config --on-timeout=defer --timeout=1s
	"$FIXTURES/process.py" line "$T/run.log" 'waiting for the weights'
}

@test "deferred: the shim waits and says so, then the server starts with its weights" {
	start_deferred
	run grep started "$T/run.log"
	assert_status 1
	origin_control "$CDN" faults '[]'
	origin_control "$CDN" release
	end_config
	assert_status 0
	assert_output started
	assert_output "$(sha256sum <"$T/model/model.safetensors" | cut -d' ' -f1)"
}

@test "deferred: SIGTERM ends the waiting, 143" {
	start_deferred
	kill -TERM "$RUN_PID"
	end_config
	assert_status 143
	refute_output started
	assert_nothing_left
	origin_control "$CDN" release
}

@test "deferred: weights that never verify end it with 125, and the reason" {
	start_deferred '{"match":"GET /repos/","kind":"flip"}'
	# What does not verify is asked for again, and is not to be held again.
	origin_control "$CDN" faults '[{"match":"GET /repos/","kind":"flip"}]'
	origin_control "$CDN" release
	end_config
	assert_status 125
	assert_output 'are not what the origin promised'
	refute_output started
}

# ---- What goes wrong, and what is said then

@test "no agent: 69, and how to start one" {
	server 'echo never'
	run_config
	assert_status 69
	assert_output "the agent is not running"
	assert_output "systemctl start ballastd"
	assert_output "ballastd --socket=$T/agent.sock"
	refute_output never
}

@test "content that does not verify: 75, nothing mounted, the agent alive, and well again afterwards" {
	start_hub_and_agent
	origin_control "$CDN" faults '[{"match":"GET /repos/","kind":"flip"}]'
	server 'cat /models/a/config.json'
	run_config
	assert_status 75
	assert_output "model.safetensors"
	assert_output "are not what the origin promised"
	refute_output '{"model_type"'
	assert_equal "$(wc -l <<<"$output")" 1
	assert_never_there
	assert_equal "$(find "$T/cache/trees" -mindepth 1 | wc -l)" 0
	agent GET /healthz
	assert_equal "$status_code" 200
	origin_control "$CDN" faults '[]'
	run_config
	assert_status 0
	assert_output '{"model_type":"test"}'
}

@test "a private repository: with its token from the secrets directory, and refused without" {
	start_hub_and_agent --private team/model=hf_right --token hf_other
	server 'cat /models/a/config.json'
	run_config
	assert_status 77
	assert_output team/model
	refute_output '{"model_type"'
	server 'cat /models/a/config.json' '  auth: {auth_method: CUSTOM_SECRET, auth_secret_name: hf_token}'
	run_config
	assert_status 64
	assert_output hf_token
	add_secret default hf_token hf_wrong
	run_config
	assert_status 77
	refute_output hf_wrong
	add_secret default hf_token hf_right
	run_config
	assert_status 0
	assert_output '{"model_type":"test"}'
	# Another tenant has shown no credential of its own.
	run_config --tenant=stranger
	[ "$status" -ne 0 ]
	refute_output '{"model_type"'
}

@test "a gated repository: 77, and what to do" {
	start_hub_and_agent --gated team/model=hf_right --token hf_other
	add_secret default hf_token hf_other
	server 'echo never' '  auth: {auth_method: CUSTOM_SECRET, auth_secret_name: hf_token}'
	run_config
	assert_status 77
	assert_output "team/model is gated and this token's account has no access; accept its terms"
	refute_output never
	assert_never_there
}

@test "a repository, a revision, a bucket's credential that is not there: 64, one line that names it" {
	start_hub_and_agent --token hf_any
	add_secret default any hf_any
	SOURCE=hf://team/nothing server 'echo never' '  auth_secret_name: any'
	run_config
	assert_status 64
	assert_output 'weights.ballast.dev: $\[0\].source: hf://team/nothing'
	SOURCE=hf://team/model@v9 server 'echo never'
	run_config
	assert_status 64
	assert_output v9
	assert_equal "$(wc -l <<<"$output")" 1
	SOURCE=s3://bucket/path server 'echo never'
	run_config
	assert_status 64
	assert_output "weights\[0\].auth: secret_id is required"
	assert_never_there
}

@test "patterns that leave nothing: 64, with patterns and counts" {
	start_hub_and_agent
	server 'echo never' '  allow_patterns: ["*.gguf"]'
	run_config
	assert_status 64
	assert_output '*.gguf'
	refute_output never
}

@test "a mount location that is a file, or beneath one: refused" {
	start_hub_and_agent
	LOCATION=/etc/passwd server 'echo never'
	run_config
	[ "$status" -eq 64 ] || [ "$status" -eq 77 ]
	assert_output /etc/passwd
	LOCATION=/etc/group/x server 'echo never'
	run_config
	[ "$status" -eq 64 ] || [ "$status" -eq 77 ]
	assert_output /etc/group/x
	LOCATION=/proc/x server 'echo never'
	run_config
	assert_status 77
	refute_output never
	assert_equal "$(mount_table | grep -c "$T/rootfs")" 0
}

@test "the agent is killed in mid-download and started again: the start that waits goes on" {
	make_model "$T/model" 4194304
	start_hub --repo "team/model=$T/model"
	start_agent
	origin_control "$CDN" faults '[{"match":"GET /repos/","kind":"stall","at":0.5}]'
	server 'sha256sum </models/a/model.safetensors'
	start_config
	origin_control "$CDN" 'wait?reached=1'
	stop_agent KILL || true
	origin_control "$CDN" faults '[]'
	origin_control "$CDN" release
	start_agent
	end_config
	assert_status 0
	assert_output "$(sha256sum <"$T/model/model.safetensors" | cut -d' ' -f1)"
}

@test "a runtime that is not there, and one that fails" {
	start_hub_and_agent
	server 'echo never'
	run_config --runtime=no-such-runtime
	assert_status 64
	assert_output "no-such-runtime cannot be run"
	run_config --runtime=false
	assert_status 70
	assert_output "did not create the container"
	run_config --runtime=true
	assert_status 70
	assert_output "true says that it created the container, and wrote no pid"
}

@test "a bundle that cannot be made is told of, and not left" {
	start_hub_and_agent
	server true
	TMPDIR=$T/nowhere run_config
	assert_status 64
	assert_output "No such file or directory; TMPDIR names another directory for it"
	mkdir "$T/tmp"
	export TMPDIR=$T/tmp
	(ulimit -f 0 && run_config && assert_status 70 && assert_output "File too large")
	rmdir "$T/tmp"
}

@test "crun runs it too" {
	need_crun
	start_hub_and_agent
	make_rootfs "$T/rootfs"
	server 'id -u; cat /models/a/config.json; exit 3'
	run with_cgroup2 "$BUILD/ballast" run --runtime=crun --runtime-option=--cgroup-manager=cgroupfs \
		--runtime-option="--root=$T/crun" --agent="unix:$T/agent.sock" --rootfs="$T/rootfs" "$CONFIG"
	assert_status 3
	assert_equal "$output" $'1000\n{"model_type":"test"}'
	SOURCE=hf://team/model@v9 server 'echo never'
	run with_cgroup2 "$BUILD/ballast" run --runtime=crun --runtime-option=--cgroup-manager=cgroupfs \
		--runtime-option="--root=$T/crun" --agent="unix:$T/agent.sock" --rootfs="$T/rootfs" "$CONFIG"
	assert_status 64
	assert_output v9
}
