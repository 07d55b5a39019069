# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154
# What the rows about warm starts share. A row sets RUNTIME, SETS and FILES and says its TITLE; each
# run of a side is STARTS starts, one after the other.
SIDES="ballast noop"
ROUNDS=20
STARTS=10

label_ballast() { echo "\`$RUNTIME run\`, \`ballast-hook\` mounts $SETS weights set(s) of $FILES file(s)"; }
label_noop() { echo "\`$RUNTIME run\`, a static hook that only exits"; }

# A tree of FILES files, made in one go.
make_files() {
	mkdir -p "$1"
	/usr/bin/python3 -c 'import sys
for i in range(int(sys.argv[2])):
    with open(f"{sys.argv[1]}/{i:05}", "w") as file:
        file.write(str(i))' "$1" "$2"
}

set_up() {
	local i parent=$T items=()
	need "$RUNTIME" gcc
	need_built ballastd ballast-hook ballast-fetch
	gcc -O2 -o "$T/spawn" "$FIXTURES/spawn.c"
	printf '#include <unistd.h>\nint main(void) { char b[4096]; while (read(0, b, sizeof(b)) > 0) ; return 0; }\n' >"$T/nothing.c"
	gcc -O2 -static -s "$T/nothing.c" -o "$T/nothing"
	while [ "$parent" != / ]; do
		chmod o+x "$parent"
		parent=$(dirname "$parent")
	done
	for ((i = 0; i < SETS; i++)); do
		make_files "$T/model/$i" "$FILES"
		items+=("file://$T/model/$i" "/models/$i")
	done
	agent_config '.file_roots = [$r]' --arg r "$T/model"
	start_agent
	make_bundle noop true
	bundle_set '.hooks.createRuntime = [{path: $path, args: ["noop"], env: []}]' --arg path "$T/nothing"
	make_bundle ballast true
	annotate_weights "${items[@]}"
	add_hook
	# The first start brings the weights.
	start ballast 1
}

# start SIDE N
start() {
	if [ "$RUNTIME" = crun ]; then
		with_cgroup2 "$T/spawn" "$2" /dev/null crun --cgroup-manager=cgroupfs --root "$T/crun" run \
			--bundle "$T/$1" "warm-$1-$$"
	else
		"$T/spawn" "$2" /dev/null runc --root "$T/runc" run --bundle "$T/$1" "warm-$1-$$"
	fi
}

run_ballast() { start ballast "$STARTS"; }
run_noop() { start noop "$STARTS"; }
