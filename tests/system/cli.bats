# SPDX-License-Identifier: Apache-2.0
# The commands of ballast but `run`: what they print, what they change, how they end.

load cli

setup() {
	need jq
	use_test_dir
	cd "$T" || return 1
}
teardown() { clean_up; }

# ---- Command lines

@test "every command has a help, and --version is the version" {
	ballast --help
	assert_status 0
	local commands
	mapfile -t commands < <(sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p' <<<"$output")
	[ "${#commands[@]}" -ge 12 ]
	for command in "${commands[@]}"; do
		ballast "$command" --help
		assert_status 0
		assert_output "Usage: ballast $command"
		ballast help "$command"
		assert_output "Usage: ballast $command"
	done
	ballast --version
	assert_status 0
	[[ $output =~ ^ballast\ [0-9]+\.[0-9]+\.[0-9]+$ ]]
}

# complete WORD...: what bash would offer for the last word.
complete_words() {
	PATH=$BUILD:$PATH bash -c 'compopt() { :; }; . "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _ballast
		printf "%s\n" "${COMPREPLY[@]}"' bash "$TESTS/../packaging/completions/ballast" "$@"
}

@test "the manual and bash's completion know every command and option" {
	local commands command options option manual=$TESTS/../docs/man/ballast.1
	mapfile -t commands < <("$BUILD/ballast" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
	assert_equal "$(complete_words ballast '' | grep -v '^--')" "$(printf '%s\n' "${commands[@]}")"
	for command in "${commands[@]}"; do
		grep -qE "^\.(Cm|Ss) (.*[ |])?$command( |\$)" "$manual" || fail "the manual lacks $command"
	done
	mapfile -t options < <("$BUILD/ballast" run --help | sed -n 's/^  --\([a-z-]*\).*/\1/p' | grep -v '^help$')
	[ "${#options[@]}" -gt 10 ]
	for option in "${options[@]}"; do
		grep -qE "Fl -$option( |\$)" "$manual" || fail "the manual lacks --$option"
		complete_words ballast run "--$option" | grep -q "^--$option=" || fail "no completion of --$option"
	done
	assert_equal "$(complete_words ballast run --network = h)" host
	assert_equal "$(complete_words ballast help pu)" pull
	for command in "${commands[@]}"; do
		for option in $("$BUILD/ballast" "$command" --help | grep -oE '^  --[a-z-]+' | cut -c5- | grep -v '^help$'); do
			grep -qE "Fl -$option( |\$)" "$manual" || fail "the manual lacks --$option of $command"
			complete_words ballast "$command" "--$option" | grep -qE "^--$option=?\$" || fail "no completion of $command --$option"
		done
	done
}

@test "each program's --help and its manual name the same options" {
	local page program
	for page in ballast-hook.8 ballastd.8 ballast-fetch.1; do
		program=${page%.*}
		assert_equal "$("$BUILD/$program" --help | grep -oE -- '--[a-z-]+' | grep -v -- '--help\|--version' | sort -u)" \
			"$(sed '/^\.SH OPTIONS/,/^\.SH [^O]/!d; s/\\//g' "$TESTS/../docs/man/$page" | grep -E '^\.(BI?R?|IR) ?"?--|" --' |
				grep -oE -- '--[a-z-]+' | grep -v -- '--help\|--version' | sort -u)"
	done
}

@test "what --help names is what is accepted; the manual and the completion name nothing else" {
	local program table command
	for program in ballast-hook:hook/options.c ballastd:agent/options.c ballast-fetch:fetch/options.c; do
		table=$TESTS/../${program#*:}
		assert_equal "$("$BUILD/${program%:*}" --help | grep -oE -- '--[a-z-]+' | grep -v -- '--help\|--version' | sort -u)" \
			"$(sed -nE 's/^\t+\{"(--)?([a-z][a-z-]+)", (true|false|required_argument|no_argument).*/--\2/p' "$table" |
				grep -v -- '--help\|--version' | sort -u)"
	done
	for command in $("$BUILD/ballast" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
		"$BUILD/ballast" "$command" --help | grep -oE '^  --[a-z-]+' | cut -c3-
	done | sort -u >"$T/options"
	# --name and --option stand for any.
	sed -nE 's/Fl -([a-z-]+)/\n--\1\n/gp' "$TESTS/../docs/man/ballast.1" | grep -E '^--[a-z]' | grep -v '^--name$\|^--version$' | sort -u >"$T/manual"
	assert_equal "$(comm -3 "$T/options" "$T/manual")" ""
	grep -oE -- '--[a-z][a-z-]*' "$TESTS/../packaging/completions/ballast" | grep -v '^--option$\|^--version$' | sort -u >"$T/completed"
	assert_equal "$(comm -13 "$T/options" "$T/completed")" ""
}

@test "a wrong command line is 64 and says what is wrong" {
	ballast
	assert_status 64
	ballast nothing
	assert_status 64
	assert_output "no such command: nothing"
	ballast validate --nothing x.yaml
	assert_status 64
	assert_output "unknown option --nothing"
	ballast validate --json=yes x.yaml
	assert_status 64
	assert_output "--json takes no value"
	ballast validate
	assert_status 64
	assert_output "operand is missing"
	ballast validate a b
	assert_status 64
	assert_output "one operand too many: b"
	ballast run --rootfs=/ --bundle=/ x.yaml
	assert_status 64
	assert_output "give one of --rootfs=DIR and --bundle=DIR"
	ballast run --rootfs=/ --network=bridge x.yaml
	assert_status 64
	assert_output "--network: must be host or none"
	ballast run --rootfs=. --id='a b' x.yaml
	assert_status 64
	assert_output "--id: 'a b' is no container's id"
	ballast run --rootfs=. --id=--help x.yaml
	assert_status 64
	assert_output "--id: '--help' is no container's id"
	ballast pull --agent=tcp:1 hf://a/b
	assert_status 64
	assert_output "--agent"
}

@test "closed, standard input and output are told of, and are no file of ours" {
	server serve
	run bash -c '"$@" >&-' closed "$BUILD/ballast" validate "$CONFIG"
	assert_status 70
	assert_output "cannot write to standard output: Bad file descriptor"
	run bash -c '"$@" <&-' closed "$BUILD/ballast" validate -
	assert_status 64
	assert_output "standard input: read: Bad file descriptor"
}

@test "a hostile byte of a file is shown as an escape" {
	printf 'weights:\n- {source: a/b, mount_location: "\\e[2Jx"}\n' >bad.yaml
	ballast validate bad.yaml
	assert_status 64
	refute_output $'\e'
	printf '"w\\e[31m": 1\n' >bad.yaml
	ballast validate bad.yaml
	assert_status 64
	refute_output $'\e'
	assert_output '\x1b'
}

# ---- validate

@test "validate: a config, its annotations, and what has no effect" {
	server 'serve' 'requirements: [torch]'
	ballast validate "$CONFIG"
	assert_status 0
	assert_output "valid, 1 set of weights"
	assert_output "requirements has no effect"
	run --separate-stderr "$BUILD/ballast" validate --json "$CONFIG"
	assert_status 0
	assert_equal "$(jq -r '."weights.ballast.dev"' <<<"$output")" \
		'[{"mount_location":"/models/a","source":"hf://team/model@main"}]'
	ballast validate --quiet "$CONFIG"
	refute_output valid
}

@test "validate: a key that is near none, and YAML's usual traps, with what to do" {
	server serve
	sed 's/start_command:/command:/' "$CONFIG" >bad.yaml
	ballast validate bad.yaml
	assert_status 64
	assert_output "bad.yaml:3: docker_server.command: unknown key; there are start_command, server_port, "
	assert_output " and init"
	printf '  allow_patterns: [*.json]\n' | cat "$CONFIG" - >bad.yaml
	ballast validate bad.yaml
	assert_status 64
	assert_output "a text that begins with \* or & needs quotes"
	printf 'description: Llama: tuned\n' | cat "$CONFIG" - >bad.yaml
	ballast validate bad.yaml
	assert_status 64
	assert_output "look at the indentation, and quote a text that holds a colon"
	printf 'weights:\n\t- source: a/b\n' >bad.yaml
	ballast validate bad.yaml
	assert_status 64
	assert_output "bad.yaml:2: not valid YAML: found character that cannot start any token; indent with spaces, not with a tab"
}

@test "validate: a location that every container would be refused for" {
	local location
	for location in /etc /proc/x /dev/shm /run/ballast/x /secrets; do
		printf 'weights:\n- source: a/b\n  mount_location: %s\n' "$location" >bad.yaml
		run "$BUILD/ballast" validate bad.yaml
		assert_status 77
		assert_output "bad.yaml:3: weights?0?.mount_location: nothing may be mounted"
	done
}

@test "validate: more secrets than a container may have are said before it is refused" {
	{ echo 'secrets:' && seq -f '  s%g:' 1000; } >many.yaml
	ballast validate --quiet many.yaml
	assert_status 0
	echo '  one-more:' >>many.yaml
	ballast validate many.yaml
	assert_status 64
	assert_output "many.yaml:2: secrets: has more than 1000 names"
}

@test "validate: a data directory, which the platform copies, is said not to be there" {
	server 'serve' 'data_dir: things'
	mkdir data things
	ballast validate "$CONFIG"
	assert_status 0
	refute_output "/app/data"
	touch data/x
	ballast validate "$CONFIG"
	refute_output "/app/data"
	touch things/x
	ballast validate "$CONFIG"
	assert_status 0
	assert_output "things is not copied to /app/data, as the platform does"
	ballast validate - <"$CONFIG"
	assert_status 0
	refute_output "/app/data"
}

@test "validate: each bad item of tests/data gives its message, with the place in the file" {
	local file count=0
	for file in "$TESTS"/data/bad/weights-*.json; do
		# What YAML says otherwise: JSON's own faults, a list that is none, U+0085 (a line's end).
		case $file in *nul.json | *utf8.json | *trailing.json | *fraction.json | *duplicate-key.json | *not-a-list.json | *-control.json) continue ;; esac
		jq '{weights: .}' "$file" >item.yaml
		ballast validate item.yaml
		[ "$status" -eq 64 ] || [ "$status" -eq 77 ] || fail "$file: status $status"
		local message
		message=$(sed 's/^\$//' "${file%.json}.msg")
		[[ $output == *": weights$message" ]] || fail "$file: $output"
		count=$((count + 1))
	done
	[ "$count" -gt 40 ]
}

@test "validate: bombs, depth and size are refused at once" {
	/usr/bin/python3 - <<-'PY'
		open("deep.yaml", "w").write("a: " + "[" * 100000)
		laughs = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n"
		for i in range(1, 30):
		    laughs += f"a{i}: &a{i} [" + ",".join([f"*a{i-1}"] * 9) + "]\n"
		open("laughs.yaml", "w").write(laughs)
		open("large.yaml", "w").write("a: " + "x" * (2 << 20))
		open("keys.yaml", "w").write("".join(f"k{i}: 1\n" for i in range(100000)))
	PY
	local file
	for file in deep laughs large keys; do
		run timeout 10 "$BUILD/ballast" validate "$file.yaml"
		assert_status 64
		assert_output "$file.yaml"
	done
	ballast validate - <large.yaml
	assert_status 64
	assert_output "standard input: more than the maximum of 1048576 bytes"
	ballast validate "$T"
	assert_status 64
	ballast validate no-such.yaml
	assert_status 64
	assert_output "No such file"
}

# ---- bundle

@test "bundle: any runtime runs what it writes, and twice is once" {
	need_root
	need runc
	make_model "$T/model"
	start_hub --repo "team/model=$T/model"
	start_agent
	make_bundle image cat /models/a/config.json
	# No limit, as Go writes it: more than a double can hold.
	bundle_set '.process.rlimits = [{type: "RLIMIT_CORE", hard: 424242, soft: 424242}]'
	sed -i 's/424242/18446744073709551615/' "$BUNDLE/config.json"
	config image <<<'{docker_server: {no_build: true}, weights: [{source: hf://team/model, mount_location: /models/a}]}'
	ballast bundle --bundle="$BUNDLE" --agent="unix:$T/agent.sock" "$CONFIG"
	assert_status 0
	local once
	once=$(cat "$BUNDLE/config.json")
	ballast bundle --bundle="$BUNDLE" --agent="unix:$T/agent.sock" "$CONFIG"
	assert_status 0
	assert_equal "$(cat "$BUNDLE/config.json")" "$once"
	assert_equal "$(grep -o 18446744073709551615 "$BUNDLE/config.json" | wc -l)" 2
	run_container
	assert_status 0
	assert_output '{"model_type":"test"}'
}

@test "bundle: over its own bundle the image's user is what it was" {
	need_built ballast-hook ballast-shim
	local user='{"uid":500,"gid":500,"additionalGids":[7]}'
	make_bundle image true
	bundle_set '.process.user = '"$user"
	server serve
	ballast bundle --bundle="$BUNDLE" "$CONFIG"
	assert_status 0
	assert_equal "$(jq -c '.process.user | [.uid, .gid, .additionalGids]' "$BUNDLE/config.json")" '[0,0,null]'
	sed -i '/run_as_user_id/d' "$CONFIG"
	(cd "$BUNDLE" && "$BUILD/ballast" bundle --bundle=. "$CONFIG")
	assert_equal "$(jq -c '.process.user | [.uid, .gid, .additionalGids]' "$BUNDLE/config.json")" '[500,500,[7]]'
}

@test "bundle: a COMMAND given once does not become the image's own" {
	need_built ballast-hook ballast-shim
	make_bundle image /serve --port 1
	config image <<<'docker_server: {no_build: true}'
	ballast bundle --bundle="$BUNDLE" "$CONFIG" -- sh -c 'a look'
	assert_status 0
	assert_equal "$(jq -c '.process.args' "$BUNDLE/config.json")" '["/run/ballast/shim","--","sh","-c","a look"]'
	ballast bundle --bundle="$BUNDLE" "$CONFIG" -- true
	assert_status 0
	ballast bundle --rootfs="$BUNDLE/rootfs" --output=beside "$CONFIG"
	assert_status 0
	assert_equal "$(jq -c '.process.args' beside/config.json)" '["/run/ballast/shim","--","/serve","--port","1"]'
	ballast bundle --bundle="$BUNDLE" "$CONFIG"
	assert_status 0
	assert_equal "$(jq -c '.process.args' "$BUNDLE/config.json")" '["/run/ballast/shim","--","/serve","--port","1"]'
	assert_equal "$(jq -c '.annotations | keys' "$BUNDLE/config.json")" '["docker-server.ballast.dev"]'

	# And where nothing is known of the image's own, nothing is after it.
	mkdir -p bare/rootfs
	ballast bundle --rootfs=bare/rootfs --output=bare "$CONFIG" -- true
	assert_status 0
	ballast bundle --rootfs=bare/rootfs --output=bare "$CONFIG"
	assert_status 64
	assert_output "there is nothing to run"
}

@test "bundle: a config.json that is not its own stays, where nobody said where to write" {
	need_built ballast-hook ballast-shim
	mkdir rootfs
	server serve
	echo '{"not": "ours"}' >config.json
	ballast bundle --rootfs=rootfs "$CONFIG"
	assert_status 64
	assert_output "name another one with --output"
	echo '{"config":{"User":"77"}}' >image.json
	ln -s image.json link.json
	ballast bundle --rootfs=rootfs --image-config=link.json --output=beside "$CONFIG"
	assert_status 0
	assert_equal "$(jq -r '.annotations["dev.ballast.bundle.user"] | fromjson.uid' beside/config.json)" 77
	ballast bundle --rootfs=rootfs --image-config=<(echo '{"config":{"User":"78"}}') --output=piped <(cat "$CONFIG")
	assert_status 0
	assert_equal "$(jq -r '.annotations["dev.ballast.bundle.user"] | fromjson.uid' piped/config.json)" 78
	ballast bundle --rootfs=rootfs --image-config=rootfs --output=other "$CONFIG"
	assert_status 64
	assert_output "--image-config: rootfs: is no file"
	refute_output "config.yaml"
	ballast validate rootfs
	assert_status 64
	assert_output "rootfs: is no file; name the config.yaml in it"
	assert_equal "$(cat config.json)" '{"not": "ours"}'
	rm config.json
	ballast bundle --rootfs=rootfs "$CONFIG"
	assert_status 0
	assert_equal "$(stat -c %a config.json)" 644
	# Environment variables are in it.
	umask 077
	ballast bundle --rootfs=rootfs "$CONFIG"
	assert_status 0
	assert_equal "$(stat -c %a config.json)" 600
}

@test "bundle: an image's User is as the image specification has it" {
	need_built ballast-hook ballast-shim
	local user want
	mkdir -p rootfs/etc
	printf '%s\n' root:x:0:0::/root:/bin/sh app:x:1000:1001::/home/app:/bin/sh >rootfs/etc/passwd
	printf '%s\n' root:x:0: app:x:1001: video:x:44:other,app wheel:x:10:app >rootfs/etc/group
	config image <<<'docker_server: {no_build: true}'
	while read -r user want; do
		echo "{\"config\":{\"Cmd\":[\"x\"],\"User\":\"$user\"}}" >image.json
		ballast bundle --rootfs=rootfs --image-config=image.json --output=out "$CONFIG"
		assert_status 0
		assert_equal "$user $(jq -c '.process.user | [.uid, .gid, .additionalGids]' out/config.json)" "$user $want"
	done <<-'CASES'
		1000 [1000,1001,[44,10]]
		app [1000,1001,[44,10]]
		1000: [1000,1001,[44,10]]
		1000:1000 [1000,1000,null]
		app:video [1000,44,null]
		4321 [4321,0,null]
		root [0,0,[]]
	CASES
	for user in nobody 1000:nogroup 4294967296 -1; do
		echo "{\"config\":{\"Cmd\":[\"x\"],\"User\":\"$user\"}}" >image.json
		ballast bundle --rootfs=rootfs --image-config=image.json --output=out "$CONFIG"
		assert_status 64
		assert_output "--image-config: User: the image's /etc/"
	done

	# The files are the image's own, wherever its links lead.
	rm rootfs/etc/passwd
	ln -s /../../../../../../../../etc/passwd rootfs/etc/passwd
	echo '{"config":{"Cmd":["x"],"User":"daemon"}}' >image.json
	ballast bundle --rootfs=rootfs --image-config=image.json --output=out "$CONFIG"
	assert_status 64
	mkfifo rootfs/fifo
	ln -sf /fifo rootfs/etc/passwd
	ballast bundle --rootfs=rootfs --image-config=image.json --output=out "$CONFIG"
	assert_status 64
}

@test "bundle: into another directory, with the hook's options and an explicit environment" {
	need_built ballast-hook ballast-shim
	mkdir rootfs
	server serve
	ballast bundle --rootfs=rootfs --output=out --agent="unix:$T/a.sock" --tenant=team-a --timeout=5m \
		--on-timeout=defer --secrets-dir=/s "$CONFIG"
	assert_status 0
	assert_equal "$(jq -c '.root' out/config.json)" "{\"path\":\"$T/rootfs\",\"readonly\":false}"
	assert_equal "$(jq -c '.hooks.createRuntime[0] | [.timeout, .env, .args[1:]]' out/config.json)" \
		"[330,[\"PATH=/usr/sbin:/usr/bin:/sbin:/bin\"],[\"--agent=unix:$T/a.sock\",\"--shim=$BUILD/ballast-shim\",\"--secrets-dir=/s\",\"--tenant=team-a\",\"--timeout=5m\",\"--on-timeout=defer\",\"--runtime=none\",\"createRuntime\"]]"
	assert_equal "$(jq -c '.hooks.poststop[0].args[-1]' out/config.json)" '"poststop"'
	ballast bundle --rootfs=rootfs --timeout=soon "$CONFIG"
	assert_status 64
	assert_output "--timeout"
	ballast bundle --rootfs=rootfs --output=out "$CONFIG" -- echo $'caf\xe9'
	assert_status 64
	assert_output 'caf\\xe9'
	assert_output "is not UTF-8"
}

@test "bundle: what the hook would not take as an option is not written" {
	need_built ballast-hook ballast-shim
	mkdir rootfs secrets
	server serve
	ballast bundle --rootfs=rootfs --output=out --secrets-dir=secrets "$CONFIG"
	assert_status 0
	assert_equal "$(jq -r '.hooks.createRuntime[0].args[]' out/config.json | grep secrets)" "--secrets-dir=$T/secrets"
	ballast bundle --rootfs=rootfs --output=other --secrets-dir=none "$CONFIG"
	assert_status 64
	assert_output "--secrets-dir: 'none': No such file or directory"
	ballast bundle --bundle=none "$CONFIG"
	assert_status 64
	assert_equal "$output" "ballast: --bundle: 'none': No such file or directory"
	ballast bundle --rootfs=rootfs --output=other --tenant=../b "$CONFIG"
	assert_status 64
	assert_output "--tenant: '../b' is no tenant's name"
	[ ! -e other ]
}

# ---- migrate

@test "migrate: shows, asks, keeps the file as it was, and leaves the rest alone" {
	cat >config.yaml <<-'YAML'
		# ours
		model_name: x   # its name
		model_cache:
		  - repo_id: meta-llama/Llama-3.1-8B
		    revision: main
		    use_volume: true
		    volume_folder: llama
		    allow_patterns: ["*.safetensors", config.json]
		    runtime_secret_name: hf_access_token

		# the server
		docker_server:
		  start_command: sh -c "truss-transfer-cli && serve"
	YAML
	cp config.yaml before.yaml
	run "$BUILD/ballast" migrate <<<n
	assert_status 1
	assert_output '+  - source: "hf://meta-llama/Llama-3.1-8B@main"'
	assert_output '-  - repo_id: meta-llama/Llama-3.1-8B'
	cmp config.yaml before.yaml
	ballast migrate --dry-run .
	assert_status 0
	cmp config.yaml before.yaml
	[ ! -e config.yaml.bak ]
	run "$BUILD/ballast" migrate <<<y
	assert_status 0
	assert_output "remove truss-transfer-cli"
	cmp config.yaml.bak before.yaml
	run --separate-stderr "$BUILD/ballast" validate --json config.yaml
	assert_status 0
	assert_equal "$(jq -r '."weights.ballast.dev"' <<<"$output" | jq -c '.[0] | [.source, .mount_location, .auth.auth_secret_name, .allow_patterns]')" \
		'["hf://meta-llama/Llama-3.1-8B@main","/app/model_cache/llama","hf_access_token",["*.safetensors","config.json"]]'
	grep -q '^# ours$' config.yaml
	grep -q 'model_name: x   # its name' config.yaml
	grep -q '^# the server$' config.yaml
	ballast migrate --yes
	assert_status 0
	assert_output "nothing to migrate"
	[ ! -e config.yaml.bak.1 ]
}

@test "migrate: a directory; what the code must know; colours on a terminal alone" {
	mkdir -p truss/model
	printf 'model_cache:\n- {repo_id: a/b}\n- {repo_id: "bucket/p", kind: s3, use_volume: true, volume_folder: p}\n' >truss/config.yaml
	echo 'self._lazy_data_resolver.block_until_download_complete()' >truss/model/model.py
	ballast migrate --dry-run truss
	assert_status 0
	assert_output "a/b used to lie in the cache directory of its client; load it from /app/model_cache/b now"
	assert_output "bucket/p names no secret, so it gets model_cache's default, hf_access_token"
	refute_output "bucket/p used to lie"
	assert_output "truss/model/model.py speaks of the old cache: let it load from the mount locations"
	refute_output $'\e'
	mv truss/model truss/src
	mv truss/src/model.py truss/src/other.py
	printf 'model_module_dir: src\nmodel_class_filename: other.py\n' >>truss/config.yaml
	ballast migrate --dry-run truss
	assert_output "truss/src/other.py speaks of the old cache: let it load from the mount locations"
	need script
	local plain
	for plain in TERM=xterm "TERM=xterm NO_COLOR="; do
		run script --quiet --return --command "$plain '$BUILD/ballast' migrate --dry-run truss" /dev/null
		assert_output $'\e[32m+  - source: "hf://a/b"'
	done
	for plain in "TERM=xterm NO_COLOR=1" TERM=dumb TERM=; do
		run script --quiet --return --command "$plain '$BUILD/ballast' migrate --dry-run truss" /dev/null
		refute_output $'\e'
	done
}

@test "migrate: a pipe is read, and nothing else is put in its place" {
	printf 'model_cache:\n- {repo_id: a/b}\n' >config.yaml
	mkfifo pipe
	cat config.yaml >pipe &
	ballast migrate --dry-run pipe
	assert_status 0
	cat config.yaml >pipe &
	ballast migrate --yes pipe
	assert_status 64
	assert_output "pipe: is a pipe, and cannot be changed: name the file, or see the changes with --dry-run"
	[ -p pipe ] || fail "it is no pipe any more"
	[ ! -e pipe.bak ]
}

@test "migrate: what root changes for somebody stays theirs" {
	need_root
	printf 'model_cache:\n- {repo_id: a/b}\n' >config.yaml
	chown 1000:1001 config.yaml
	chmod 640 config.yaml
	ballast migrate --yes
	assert_status 0
	assert_equal "$(stat -c '%u:%g %a' config.yaml config.yaml.bak)" $'1000:1001 640\n1000:1001 640'
}

@test "migrate: where the disk is full the file is as it was, and half a copy is not left" {
	need_faults
	local call
	printf 'model_cache:\n- {repo_id: a/b}\n' >config.yaml
	cp config.yaml before.yaml
	for call in write:ENOSPC:1 fsync:EIO:1 write:ENOSPC:2 renameat2:EIO; do
		run env BL_FAULT="$call" "$FAULTS/ballast" migrate --yes
		assert_status 70
		cmp config.yaml before.yaml
		[[ $call == *:1 ]] || rm config.yaml.bak
		assert_equal "$(find . -name '*config.yaml*')" ./config.yaml
	done
}

@test "a limit on files' size is an error that says so, and nothing is left" {
	make_rootfs "$T/rootfs"
	server serve
	mkdir "$T/out" "$T/migrate"
	run bash -c 'ulimit -f 0; "$@"' limited "$BUILD/ballast" bundle --rootfs="$T/rootfs" --output="$T/out" "$CONFIG"
	assert_status 70
	assert_output "File too large"
	assert_equal "$(ls -A "$T/out")" ""
	printf 'model_cache:\n- {repo_id: a/b}\n' >"$T/migrate/config.yaml"
	run bash -c 'ulimit -f 0; "$@"' limited "$BUILD/ballast" migrate --yes "$T/migrate/config.yaml"
	assert_status 70
	assert_output "File too large"
	assert_equal "$(ls -A "$T/migrate")" config.yaml
}

@test "validate: truss-transfer-cli in front of a server that has weights" {
	server 'truss-transfer-cli && serve'
	ballast validate "$CONFIG"
	assert_status 0
	assert_output "remove truss-transfer-cli"
}

@test "migrate: buckets, external data, and a key that is there already" {
	cat >config.yaml <<-'YAML'
		external_data:
		- {url: "https://example.com/x.bin", local_data_path: a/x.bin}
		hf_cache:
		- {repo_id: "gs://bucket/path", runtime_secret_name: gcp}
		- {repo_id: acc.bucket/p, kind: r2, volume_folder: r2}
	YAML
	ballast migrate --yes config.yaml
	assert_status 0
	ballast validate --json config.yaml
	assert_equal "$(jq -r '."weights.ballast.dev"' <<<"$output" | jq -c '[.[] | [.source, .mount_location]]')" \
		'[["gs://bucket/path","/app/model_cache/path"],["r2://acc.bucket/p","/app/model_cache/r2"],["https://example.com/x.bin","/app/data/a/x.bin"]]'
	printf 'model_cache: [{repo_id: a/b}]\nweights: [{source: c/d, mount_location: /m}]\n' >config.yaml
	ballast migrate --yes config.yaml
	assert_status 64
	assert_output "there is a weights key already"
	printf 'model_cache: [{revision: x}]\n' >config.yaml
	ballast migrate --yes config.yaml
	assert_status 64
	assert_output "without repo_id"
}

# ---- Through the agent

@test "pull: a config, then a source; status, pin, rm, gc, verify" {
	need_root
	make_model "$T/model"
	start_hub --repo "team/model=$T/model"
	start_agent
	local at=--agent=unix:$T/agent.sock tree
	server serve
	ballast pull "$at" - <"$CONFIG"
	assert_status 0
	assert_output "hf://team/model  3 files, 1.0 MiB  sha256:"
	ballast pull "$at" --json --allow='*.json' team/model
	assert_status 0
	assert_equal "$(jq -r '.state, .weights[0].files' <<<"${lines[-1]}")" $'ready\n1'
	ballast status "$at"
	assert_status 0
	assert_output "agent: ballastd"
	assert_output "containers: 0"
	assert_output "3 files"
	ballast status "$at" --json
	assert_equal "$(jq -r '.cache.trees | length' <<<"$output")" 2
	tree=$(jq -r '.cache.trees[] | select(.files == 3) | .manifest' <<<"$output")
	ballast pin "$at" "${tree:7:12}"
	assert_status 0
	ballast status "$at"
	assert_output "trees: 2, 0 in use, 0 held, 1 pinned"
	ballast rm "$at" "${tree:7:12}"
	assert_status 77
	ballast pin "$at" --remove "$tree"
	assert_status 0
	# the pin of one that is not there any more goes, too
	ballast pin "$at" --remove "$tree"
	assert_status 0
	ballast verify "$at"
	assert_status 0
	assert_output "2 trees read, 0 damaged"
	ballast rm "$at" "$tree"
	assert_status 0
	ballast rm "$at" -- "$tree"
	assert_status 64
	assert_output "no tree of that name"
	ballast rm "$at" xyz
	assert_status 64
	ballast gc "$at"
	assert_status 0
	assert_output " trees, 0 files, 0 unfinished downloads"
	ballast status "$at" --json
	assert_equal "$(jq -r '.cache.trees | length' <<<"$output")" 1
}

@test "rm: one tree that may not go keeps none of the others" {
	need_root
	make_model "$T/model"
	start_hub --repo "team/model=$T/model"
	start_agent
	local at=--agent=unix:$T/agent.sock trees
	ballast pull "$at" team/model
	ballast pull "$at" --allow='*.json' team/model
	ballast status "$at" --json
	mapfile -t trees < <(jq -r '.cache.trees[].manifest' <<<"$output")
	ballast pin "$at" xyz "${trees[0]}"
	assert_status 64
	ballast rm "$at" "${trees[0]}" xyz "${trees[1]}"
	assert_status 64
	assert_output "${trees[0]}: "
	assert_output "xyz: "
	ballast status "$at" --json
	assert_equal "$(jq -r '.cache.trees[] | [.manifest, .pinned] | @text' <<<"$output")" "[\"${trees[0]}\",true]"
}

@test "output: JSON stays JSON, nothing in it moves a cursor, what cannot be written is said" {
	need_root
	make_model "$T/model"
	start_hub --repo "team/model=$T/model"
	start_agent
	run --separate-stderr "$BUILD/ballast" pull --agent="unix:$T/agent.sock" --json --allow='"\x"' team/model
	[ "$status" -ne 0 ] || fail "a pattern that matches nothing was taken"
	[[ $(jq -r '.problem.detail' <<<"$output") == *'"'* ]] || fail "no JSON, or no quotes: $output"
	config odd <<-'YAML'
		environment_variables:
		  A: "\u009b1m \u202e \\ \U0001F600"
	YAML
	run --separate-stderr "$BUILD/ballast" validate --json - <"$CONFIG"
	assert_status 0
	# In bytes: what bash makes of \u depends on the locale.
	[[ $output != *$'\xc2\x9b'* && $output != *$'\xe2\x80\xae'* ]] || fail "$output"
	assert_equal "$(jq -r '.[] | fromjson.A' <<<"$output")" \
		$'\xc2\x9b1m \xe2\x80\xae \\ \xf0\x9f\x98\x80'
	for command in --help --version "validate --json $CONFIG" "help pull"; do
		# shellcheck disable=SC2086
		run bash -c '"$@" >/dev/full' full "$BUILD/ballast" $command
		assert_status 70
		assert_output "cannot write to standard output: No space left on device"
	done
	run bash -c '"$1" --help | true' closed "$BUILD/ballast"
	assert_equal "$output" ""
	run "$BUILD/ballast-fetch" plan --help
	assert_status 0
	assert_output "--auth-secret-name"
	run "$BUILD/ballast-fetch" bring
	assert_status 64
	assert_output "'bring' is no command"
}

@test "pull: what goes wrong has the exit status of a start, and one line" {
	need_root
	make_model "$T/model"
	start_hub --repo "team/model=$T/model"
	start_agent
	local at=--agent=unix:$T/agent.sock
	ballast pull "$at" hf://team/model@v9
	assert_status 64
	assert_output v9
	refute_output '$['
	SOURCE=team/model@v9 server serve
	ballast pull "$at" "$CONFIG"
	assert_status 64
	assert_output 'server.yaml: weights\[0\].source: hf://team/model'
	ballast pull "$at" hf://team/private
	assert_status 77
	origin_control "$CDN" faults '[{"match":"GET /repos/","kind":"flip"}]'
	ballast pull "$at" hf://team/model
	assert_status 75
	assert_output "are not what the origin promised"
	ballast pull "$at" no/such/thing
	assert_status 64
	assert_output "neither a file nor a source"
	ballast pull "$at" s3://bucket/x
	assert_status 64
	assert_output "secret_id is required"
	ballast pull --agent="unix:$T/none.sock" hf://team/model
	assert_status 69
	assert_output "the agent is not running"
	assert_output "ballastd --socket=$T/none.sock"
}

@test "status shows a container that runs, and after its end that nobody uses its weights" {
	need_root
	need runc
	start_hub_and_agent
	local id
	id=$(printf 'shown %s' "$T" | sha256sum | cut -c1-64)
	server 'echo up; trap "exit 0" TERM; sleep 600 & wait'
	start_config --id="$id"
	"$FIXTURES/process.py" line "$T/run.log" up
	ballast status --agent="unix:$T/agent.sock"
	assert_status 0
	grep -qx 'containers: 1' <<<"$output" || fail "$output"
	# As `podman ps` shows it, so that the columns stay in line.
	assert_output "  ${id:0:12} "
	refute_output "${id:0:13}"
	assert_output "in use by 1"
	assert_output "trees: 1, 1 in use, 0 held"
	kill -TERM "$RUN_PID"
	end_config
	assert_status 0
	agent GET "/v1/containers/$id"
	assert_equal "$(jq -r .state <<<"$output")" ended
	ballast status --agent="unix:$T/agent.sock"
	grep -qx 'containers: 0, 1 more ended' <<<"$output" || fail "$output"
	assert_output "trees: 1, 0 in use, 1 held"
	assert_output "ago, held"
	refute_output "in use by"
}

@test "verify: what is damaged is named, with what becomes of it, and status does not count it" {
	need_root
	need runc
	start_hub_and_agent
	server 'exit 0'
	run_config
	assert_status 0
	damage "$(find "$T/cache/blobs" -type f -size +100k)"
	ballast verify --agent="unix:$T/agent.sock"
	assert_status 1
	assert_output "1 tree read, 1 damaged"
	assert_output "  sha256:"
	assert_output "brought anew when they are next asked for"
	[ "$(find "$T/cache/quarantine" -type f | wc -l)" -eq 1 ] || fail "nothing is in quarantine/"
	ballast status --agent="unix:$T/agent.sock"
	assert_output "trees: 0, 0 in use, 0 held"
}

@test "a person who may not open the agent's socket is told so, not that there is no agent" {
	need_root
	start_agent
	chmod 755 "$T"
	for command in status "pull hf://team/model"; do
		# shellcheck disable=SC2086
		run setpriv --reuid=65534 --regid=65534 --clear-groups "$BUILD/ballast" $command --agent="unix:$T/agent.sock"
		assert_status 77
		assert_output "is not for you"
		assert_output socket_group
	done
	run setpriv --reuid=65534 --regid=65534 --clear-groups "$BUILD/ballast" doctor --agent="unix:$T/agent.sock"
	assert_output "BAD   agent: the agent's socket $T/agent.sock is not for you"
}

@test "pull shows how far it is, once on a line elsewhere than on a terminal" {
	need_root
	need script
	make_model "$T/model" 8388608
	start_hub --repo "team/model=$T/model"
	start_agent
	origin_control "$CDN" faults '[{"match":"GET /repos/","kind":"stall","at":0.5}]'
	script --quiet --return --command "TERM=xterm $BUILD/ballast pull --agent=unix:$T/agent.sock team/model" \
		"$T/script.log" </dev/null >"$T/shown.log" 2>&1 3>&- &
	local pid=$!
	origin_control "$CDN" 'wait?reached=1'
	"$FIXTURES/process.py" line "$T/shown.log" '%  .* of 8\.0 MiB'
	origin_control "$CDN" faults '[]'
	origin_control "$CDN" release
	wait "$pid"
	grep -q '\[#' "$T/shown.log"
	grep -q 'hf://team/model  3 files' "$T/shown.log"
}

# pull_half: a pull in the background, PULL, whose origin has given half of a file and stands still.
pull_half() {
	need_root
	make_model "$T/model" 8388608
	start_hub --repo "team/model=$T/model"
	start_agent
	origin_control "$CDN" faults '[{"match":"GET /repos/","kind":"stall","at":0.5}]'
	# A shell's job in the background ignores SIGINT, and what it starts may not take it back.
	env --default-signal=INT "$BUILD/ballast" pull --agent="unix:$T/agent.sock" team/model >"$T/pull.log" 2>&1 3>&- &
	PULL=$!
	origin_control "$CDN" 'wait?reached=1'
}

@test "pull: Ctrl-C ends the waiting with a word, and the agent goes on" {
	local status=0
	pull_half
	kill -INT "$PULL"
	wait "$PULL" || status=$?
	assert_equal "$status" 130
	grep -q '^ballast: stopped waiting; the agent goes on' "$T/pull.log" || fail "$(cat "$T/pull.log")"
	origin_control "$CDN" faults '[]'
	origin_control "$CDN" release
	ballast pull --agent="unix:$T/agent.sock" team/model
	assert_status 0
	assert_output "3 files"
}

@test "pull: the agent's restart is waited out, and the same pull goes on" {
	local status=0
	pull_half
	stop_agent
	origin_control "$CDN" faults '[]'
	origin_control "$CDN" release
	start_agent
	wait "$PULL" || status=$?
	assert_equal "$status" 0
	grep -q 'hf://team/model  3 files' "$T/pull.log" || fail "$(cat "$T/pull.log")"
}

# A pull that Ctrl-Z stops while it waits has its answer, and no connection, when the agent is started anew.
@test "pull: a restart of the agent between two of its questions is waited out, too" {
	local status=0
	pull_half
	kill -STOP "$PULL"
	until agent GET /metrics && grep -q '^ballast_api_connections 1$' <<<"$output"; do :; done
	stop_agent
	origin_control "$CDN" faults '[]'
	origin_control "$CDN" release
	start_agent
	kill -CONT "$PULL"
	wait "$PULL" || status=$?
	assert_equal "$status" 0
	grep -q 'hf://team/model  3 files' "$T/pull.log" || fail "$(cat "$T/pull.log")"
}

@test "pull: Ctrl-C while the agent is away ends the waiting" {
	local status=0
	pull_half
	stop_agent
	kill -INT "$PULL"
	"$FIXTURES/process.py" wait "$PULL" 10
	wait "$PULL" || status=$?
	assert_equal "$status" 130
	grep -q '^ballast: stopped waiting' "$T/pull.log" || fail "$(cat "$T/pull.log")"
}

# odd_agent STATUS BODY [STATUS BODY]: an agent, at $T/agent.sock, with that answer to everything, or with the
# second one to all that is no POST. $T/agent.log has the method of each request.
odd_agent() {
	cat >"$T/odd.py" <<-'END'
		import socket, sys
		s = socket.socket(socket.AF_UNIX)
		s.bind(sys.argv[1])
		s.listen()
		print("ready", flush=True)
		while True:
		    c, _ = s.accept()
		    method = c.recv(65536).split(b" ")[0].decode()
		    print(method, file=sys.stderr, flush=True)
		    status, text = sys.argv[2:4] if method == "POST" else sys.argv[-2:]
		    body = text.encode()
		    c.sendall(f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
		    c.shutdown(socket.SHUT_WR)
		    while c.recv(65536):
		        pass
	END
	spawn agent /usr/bin/python3 "$T/odd.py" "$T/agent.sock" "$@"
}

@test "pull: one that is gone from an agent that has stood is not begun again" {
	odd_agent 202 '{"id":"1","state":"pending"}' \
		404 '{"class":"not_found","detail":"no such pull","status":404,"title":"No such pull"}'
	run timeout 60 "$BUILD/ballast" pull --agent="unix:$T/agent.sock" team/model
	assert_status 64
	assert_output "no such pull"
	assert_equal "$(grep -c POST "$T/agent.log")" 1
}

@test "pull: an agent's word on an item is told, whatever its form" {
	need_root
	odd_agent 422 '{"detail":"$[0]"}'
	ballast pull --agent="unix:$T/agent.sock" team/model
	assert_status 64
	assert_equal "$output" 'ballast: $[0]'
	server serve
	ballast pull --agent="unix:$T/agent.sock" "$CONFIG"
	assert_status 64
	assert_output "server.yaml: weights\[0\]"
}

@test "pull: neither there nor with a reason why not is no success" {
	need_root
	odd_agent 202 '{"id":"1","state":"failed"}'
	ballast pull --agent="unix:$T/agent.sock" team/model
	assert_status 70
	assert_output "neither that the weights are there nor why not"
}

@test "status: an agent that names no containers is told so, as JSON too" {
	need_root
	odd_agent 200 '{}'
	for json in "" --json; do
		# shellcheck disable=SC2086
		ballast status --agent="unix:$T/agent.sock" $json
		assert_status 70
		assert_equal "${lines[-1]}" "ballast: the agent names no containers"
	done
}

@test "plan: what ends ballast-fetch is told where that cannot tell it itself" {
	mkdir bin
	cp "$BUILD/ballast" bin/
	printf '#!/bin/sh\nkill -KILL $$\n' >bin/ballast-fetch
	chmod 755 bin/ballast-fetch
	run bin/ballast plan team/model
	assert_status 70
	assert_output "ballast-fetch was ended by signal 9"
}

@test "plan lists what would be brought, and downloads nothing" {
	make_model "$T/model"
	start_hub --repo "team/model=$T/model"
	agent_config
	server serve '  ignore_patterns: ["tokenizer/*"]'
	ballast plan --config="$T/ballastd.json" "$CONFIG"
	assert_status 0
	assert_output "model.safetensors"
	assert_output "2 files"
	ballast plan --config="$T/ballastd.json" --json --allow='*.json' team/model@main
	assert_status 0
	assert_equal "$(jq -c '[.files[].path]' <<<"$output")" '["config.json"]'
	assert_equal "$(origin_stats "$HUB" '[.requests | keys[] | select(startswith("/repos/"))] | length')" 0
	ballast plan --config="$T/ballastd.json" team/model@v9
	assert_status 64
}

# ---- doctor

# containerd_is STATUS MARK TEXT: doctor says that of containerd.
containerd_is() {
	ballast doctor "--agent=unix:$T/agent.sock" --root="$T/root"
	assert_status "$1"
	assert_output "$2  /etc/containerd/config.toml: $3"
}

# An installation in $T/root that has nothing wrong but that its agent does not run.
healthy_root() {
	local root=$T/root
	mkdir -p "$root"/usr/libexec/{oci/hooks.d,ballast} "$root"/usr/sbin "$root"/usr/share/containers/oci/hooks.d \
		"$root"/etc/{ballast,containerd}
	install -m 755 "$BUILD/ballast-hook" "$root/usr/libexec/oci/hooks.d/"
	install -m 755 "$BUILD/ballast-shim" "$BUILD/ballast-fetch" "$root/usr/libexec/ballast/"
	install -m 755 "$BUILD/ballastd" "$root/usr/sbin/"
	echo '{"version":"1.0.0","hook":{"path":"/usr/libexec/oci/hooks.d/ballast-hook"}}' \
		>"$root/usr/share/containers/oci/hooks.d/50-ballast.json"
	echo 'pod_annotations = ["*.ballast.dev", "*.ballast.dev/*"]' >"$root/etc/containerd/config.toml"
	mkdir -m 700 "$root/etc/ballast/secrets" "$root/etc/ballast/secrets/default"
	(umask 077 && echo x >"$root/etc/ballast/secrets/default/token")
}

@test "doctor: all well, then one fault after the other" {
	need_root
	start_agent
	healthy_root
	local at=--agent=unix:$T/agent.sock
	ballast doctor "$at" --root="$T/root"
	assert_status 0
	refute_output BAD
	assert_output "secrets: /etc/ballast/secrets: 1 secret of 1 tenant"
	chmod 644 "$T/root/etc/ballast/secrets/default/token"
	ballast doctor "$at" --root="$T/root"
	assert_status 1
	assert_output "default/token: must be a regular file of root's alone"
	chmod 600 "$T/root/etc/ballast/secrets/default/token"
	chmod 730 "$T/root/etc/ballast/secrets/default"
	ballast doctor "$at" --root="$T/root"
	assert_status 1
	assert_output "BAD   secrets: default: others than root may write it; chown root, chmod 700"
	chmod 700 "$T/root/etc/ballast/secrets/default"
	touch "$T/root/etc/ballast/secrets/stray"
	ballast doctor "$at" --root="$T/root"
	assert_status 1
	assert_output "BAD   secrets: stray: is no directory"
	assert_output "1 secret of 1 tenant"
	rm "$T/root/etc/ballast/secrets/stray"
	local hook=$T/root/usr/share/containers/oci/hooks.d/51-ballast.json
	echo '{"version":"1.0.0","hook":{}}' >"$hook"
	ballast doctor "$at" --root="$T/root"
	assert_status 1
	assert_output "51-ballast.json: registers no program"
	echo '{"version":"1.0.0","hook":{"path":"/usr/sbin"}}' >"$hook"
	ballast doctor "$at" --root="$T/root"
	assert_status 1
	assert_output "51-ballast.json: registers /usr/sbin, which is not there"
	echo '[]' >"$hook"
	ballast doctor "$at" --root="$T/root"
	assert_output '51-ballast.json: cannot be read as a hook: there is no object "hook" in it'
	rm "$hook"
	rm "$T/root/etc/containerd/config.toml" "$T/root/usr/libexec/oci/hooks.d/ballast-hook"
	ballast doctor "$at" --root="$T/root"
	assert_status 1
	assert_output "containers start without weights"
	cp "$BUILD/ballastd" "$T/root/usr/libexec/ballast/ballast-shim"
	ballast doctor "$at" --root="$T/root"
	assert_output "is not static"
	# A pipe in a hook's place has no writer, and is not waited for.
	rm "$T/root/usr/share/containers/oci/hooks.d/50-ballast.json"
	mkfifo "$T/root/usr/share/containers/oci/hooks.d/50-ballast.json"
	run timeout 20 "$BUILD/ballast" doctor "$at" --root="$T/root"
	assert_status 1
	assert_output "50-ballast.json: is no file"
	run --separate-stderr "$BUILD/ballast" doctor --agent="unix:$T/none.sock" --root="$T/root" --json
	assert_status 1
	assert_equal "$(jq -r '.[] | select(.what == "agent") | .finding' <<<"$output")" bad
}

@test "doctor: a containerd that nobody uses is skipped, one that serves pods must pass the annotations on" {
	need_root
	start_agent
	healthy_root
	local config=$T/root/etc/containerd/config.toml hooks=$T/root/usr/share/containers/oci/hooks.d
	containerd_is 0 "ok  " "passes our annotations on"
	mv "$hooks/50-ballast.json" "$hooks/50-ballast.json.disabled"
	echo "pod_annotations = ['*.ballast.dev', '*.ballast.dev/*']" >"$T/toml"
	ln -sf "$T/toml" "$config"
	containerd_is 0 "ok  " "passes our annotations on"
	assert_output "no registration with Podman or CRI-O"
	ln -s 50-ballast.json.disabled "$hooks/50-ballast.json"
	containerd_is 0 "ok  " "passes our annotations on"
	assert_output "50-ballast.json: registers"
	rm "$config"
	echo '# pod_annotations = ["*.ballast.dev", "*.ballast.dev/*"]' >"$config"
	containerd_is 0 note "skipped: containerd is not running; before it serves pods, in the runtime's section write"
	mkdir -p "$T/root/run/containerd"
	spawn containerd /usr/bin/python3 -c 'import socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
print("listens", flush=True)
while True:
    listener.accept()' "$T/root/run/containerd/containerd.sock"
	containerd_is 1 "BAD " "does not pass our annotations on"
	assert_output 'pod_annotations = \["\*.ballast.dev", "\*.ballast.dev/\*"\]'
	echo 'disabled_plugins = ["cri"]' >"$config"
	containerd_is 0 note "skipped: this containerd serves no pods"
	: >"$config"
	containerd_is 1 "BAD " "does not pass our annotations on"
}
