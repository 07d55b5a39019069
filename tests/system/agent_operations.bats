#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What an operator relies on: the unit, the metrics, the scrub, and what docs/operations.md says.

load lib
load agent

setup() { use_test_dir; }
teardown() { clean_up; }

# ---- The unit

# The unit as it is installed, its program the one that was built.
make_unit() {
	sed "s|@sbindir@/ballastd|$BUILD/ballastd|" "$TESTS/../packaging/ballastd.service.in" >"$T/ballastd.service"
}

@test "unit: systemd takes it without a word" {
	need systemd-analyze
	make_unit
	run systemd-analyze verify --man=no "$T/ballastd.service"
	assert_status 0
	assert_equal "$(grep -F ballastd.service <<<"$output" || true)" ""
}

@test "unit: its exposure, as systemd counts it, is not more than it was" {
	need systemd-analyze
	make_unit
	run systemd-analyze security --offline=true --threshold=60 --no-pager "$T/ballastd.service"
	assert_status 0
	# Nothing may give it a mount namespace of its own: the paths that it answers are the host's. And
	# RestrictSUIDSGID= makes openat2 fail, which a late attach needs.
	run grep -E '^(RestrictSUIDSGID|Private(Tmp|Devices|Mounts|Users)|Protect(System|Home|Proc|Kernel|Control|Clock|Hostname).*|ReadOnlyPaths|ReadWritePaths|InaccessiblePaths|BindPaths|TemporaryFileSystem|RootDirectory)=' \
		"$T/ballastd.service"
	assert_equal "$output" ""
}

@test "unit: but for systemctl stop it comes back whatever ended it, however often; Podman's containers wait for it" {
	# SIGHUP and SIGTERM are no failures to systemd; after five starts in ten seconds it gives up.
	grep -qx 'Restart=always' "$TESTS/../packaging/ballastd.service.in"
	sed '/^\[Service\]/,$d' "$TESTS/../packaging/ballastd.service.in" | grep -qx 'StartLimitIntervalSec=0'
	# podman-restart.service starts each container once: one that is refused for want of an agent stays away.
	grep -qx 'Before=podman-restart.service' "$TESTS/../packaging/ballastd.service.in"
}

# ---- Metrics

@test "metrics: promtool finds nothing to say of them" {
	need promtool
	make_model "$T/model"
	start_hub --repo org/model="$T/model"
	start_agent
	new_process
	put c1 default "$(items hf://org/model)"
	expect_code 200
	agent GET /metrics
	run promtool check metrics <<<"$output"
	assert_status 0
	assert_equal "$output" ""
}

# ---- The scrub

@test "scrub: a bit that flips on disk is found by itself, put aside and fetched again" {
	make_model "$T/model"
	start_hub --repo org/model="$T/model"
	start_agent
	new_process
	put c1 default "$(items hf://org/model)"
	expect_code 200
	stop_agent
	local blob
	blob=$(find "$T/cache/blobs" -type f -size +900k)
	damage "$blob"
	origin_control "$CDN" reset
	agent_config '.scrub_rate = "1GiB"'
	start_agent
	"$FIXTURES/process.py" line "$T/agent.log" "warning: blob $(basename "$blob") was damaged on disk" >/dev/null
	[ ! -e "$blob" ]
	assert_equal "$(find "$T/cache/quarantine" -type f | wc -l)" 1
	agent GET /metrics
	grep -qx 'ballast_damaged_blobs_total 1' <<<"$output"
	new_process
	put c2 default "$(items hf://org/model)"
	expect_code 200
	cmp "$T/model/model.safetensors" "$(answer '.weights[0].path')/model.safetensors"
	# Only that file came again.
	assert_equal "$(origin_stats "$CDN" '[.bytes | to_entries[] | select(.key | test("^/api/models") | not) | .value] | add')" \
		"$(stat -c %s "$T/model/model.safetensors")"
}

@test "fs-verity: where the filesystem has it, the kernel checks what is published" {
	make_model "$T/model"
	mkdir "$T/disk"
	truncate -s 64M "$T/disk.img"
	mkfs.ext4 -q -O verity "$T/disk.img" 2>/dev/null || skip "mkfs.ext4 knows no verity"
	mount -o loop "$T/disk.img" "$T/disk" 2>/dev/null || skip "no loop device, or a kernel without ext4's verity"
	start_hub --repo org/model="$T/model"
	agent_config
	mkdir -m 700 "$T/disk/cache" "$T/cache"
	mount --bind "$T/disk/cache" "$T/cache"
	start_agent
	new_process
	put c1 default "$(items hf://org/model)"
	expect_code 200
	lsattr "$(answer '.weights[0].path')/model.safetensors" | grep -q '^[^ ]*V' ||
		skip "this kernel has no fs-verity"
	stop_agent
}

# ---- Words

@test "operations.md: every message that it quotes is in the sources" {
	run /usr/bin/python3 - "$TESTS/.." <<-'PYTHON'
		import glob, re, sys
		top = sys.argv[1]
		code = ""
		for program in ("agent", "fetch", "common", "cli"):
		    for name in glob.glob(f"{top}/{program}/**/*.c", recursive=True):
		        code += re.sub(r'"\s*"', "", open(name, encoding="utf-8").read()) + "\n"
		table = open(top + "/docs/operations.md", encoding="utf-8").read().split("## Trouble")[1]
		rows = re.findall(r"^\| (`.*?) \|", table, re.M)
		assert len(rows) >= 12, len(rows)
		for quote in re.findall(r"`(.*?)`", "\n".join(rows)):
		    for piece in quote.split("..."):
		        piece = piece.strip(" '")
		        assert piece in code, f"not in the sources: {piece!r}"
	PYTHON
	assert_status 0
}

# ---- Many trees

@test "status: ten thousand trees are shown" {
	start_agent
	stop_agent
	/usr/bin/python3 - "$T/cache" <<-'END'
		import hashlib, os, sys
		for i in range(10000):
		    name = hashlib.sha256(str(i).encode()).hexdigest()
		    os.mkdir(f"{sys.argv[1]}/trees/{name}", 0o555)
		    open(f"{sys.argv[1]}/manifests/{name}.json", "w").close()
	END
	start_agent
	run "$BUILD/ballast" status --agent="unix:$T/agent.sock"
	assert_status 0
	assert_equal "$(grep -c -E '[0-9a-f]{12}' <<<"$output")" 10000
}
