# SPDX-License-Identifier: Apache-2.0
# Where the hook mounts and where it refuses to, by what a target resolves to in the image.

load hook

setup() { use_test_dir; }
teardown() { clean_up; }

# at LOCATION [COMMAND...]: the bundle b with weights at LOCATION, its agent and its hook.
at() {
	local location=$1
	shift
	make_bundle b "${@:-true}"
	make_tree a
	answer "$location" "$T/trees/a"
	annotate_weights hf://owner/repo "$location"
	start_fake
	add_hook
	R=$BUNDLE/rootfs
}

# refused TEXT: the container does not start, the message has TEXT and nothing was made or left.
refused() {
	local before mounts
	before=$(file_table "$R")
	mounts=$(mount_table)
	run_container
	[ "$status" -ne 0 ] || fail "it started"
	assert_output "$1"
	assert_equal "$(file_table "$R")" "$before"
	assert_equal "$(mount_table)" "$mounts"
}

@test "missing directories are made, owned as the root file system's root is" {
	at /opt/deep/er/models cat /opt/deep/er/models/model
	chown -R 1234:1235 "$R"
	run_container
	assert_status 0
	assert_output "weights of a"
	assert_equal "$(stat -c '%u:%g %a' "$R/opt" "$R/opt/deep" "$R/opt/deep/er/models" | sort -u)" "1234:1235 755"
}

@test "whatever the runtime's umask is" {
	at /opt/models true
	umask 0077
	run_container
	assert_status 0
	assert_equal "$(stat -c %a "$R/opt/models")" 755
	rm -r "$R/opt"
	umask 0
	run_container
	assert_equal "$(stat -c %a "$R/opt/models")" 755
}

@test "a directory of another owner in the image is no obstacle" {
	at /opt/models cat /opt/models/model
	mkdir "$R/opt"
	chown 77:77 "$R/opt"
	chmod 700 "$R/opt"
	chown 1000:1000 "$R"
	run_container
	assert_status 0
	assert_equal "$(stat -c %u "$R/opt/models")" 1000
}

@test "links in the image stay in it: absolute, relative, a chain of dots" {
	at /models/a cat /models/a/model
	mkdir -p "$R/data/real"
	ln -s /data/real "$R/models"
	run_container
	assert_status 0
	assert_output "weights of a"
	[ -d "$R/data/real/a" ]
	rm "$R/models"
	ln -s ../../../../../../data/real "$R/models"
	run_container
	assert_status 0
	[ ! -e /data/real ]
}

@test "a final link to a directory of the image is followed inside" {
	at /models cat /data/real/model
	mkdir -p "$R/data/real"
	ln -s /data/real "$R/models"
	run_container
	assert_status 0
	assert_output "weights of a"
}

@test "a link to nowhere, a circle of links, a file in the way" {
	at /models/a
	ln -s /nowhere "$R/models"
	refused "symbolic link that leads nowhere"
	rm "$R/models"
	ln -s models "$R/models"
	refused "circle"
	rm "$R/models"
	touch "$R/models"
	refused "no directory in the image"
}

@test "a directory item onto a file, a fifo, a device" {
	at /models/a
	mkdir "$R/models"
	touch "$R/models/a"
	refused "a file there, and a directory is wanted"
	rm "$R/models/a"
	mkfifo "$R/models/a"
	refused "a special file there"
	rm "$R/models/a"
	mknod "$R/models/a" c 1 3
	refused "a special file there"
}

@test "a file item onto a directory" {
	make_bundle b true
	make_tree a
	answer /data/one "$T/trees/a/model"
	annotate_weights https://host/one /data/one
	start_fake
	add_hook
	R=$BUNDLE/rootfs
	mkdir -p "$R/data/one"
	refused "a directory there, and this source is one file"
	rmdir "$R/data/one"
	ln -s nowhere "$R/data/one"
	refused "'one' in the image is a symbolic link that leads nowhere"
}

@test "forbidden places, as written" {
	local location
	for location in / /run /etc /proc /proc/1 /sys/fs /dev/shm/x /run/ballast /run/ballast/x /secrets /secrets/x \
		/etc/passwd /etc/group /etc/hosts /etc/hostname /etc/resolv.conf /etc/mtab /etc/localtime; do
		at "$location"
		refused 77
		kill "$(cat "$T/fake.pid")"
		rm -rf "$BUNDLE"
	done
}

@test "forbidden places, by a link" {
	local place
	at /models/a
	for place in /proc /sys /dev /etc /run /secrets /run/ballast; do
		rm -rf "${R:?}/models"
		mkdir -p "$R/models"
		ln -s "$place" "$R/models/a"
		mkdir -p "$R/secrets"
		refused 77
	done
	rm -rf "$R/models" "$R/secrets"
	ln -s /secrets "$R/models"
	mkdir "$R/secrets"
	refused "beneath /secrets"
	rm -r "$R/models"
	ln -s /proc/self/root "$R/models"
	refused 77
}

@test "beneath another mount of the container: a bind, a tmpfs, the place itself" {
	at /vol/models
	mkdir "$T/volume" "$R/vol"
	bundle_set '.mounts += [{destination: "/vol", type: "bind", source: $s, options: ["rbind", "rw"]}]' --arg s "$T/volume"
	refused "another mount of the container"
	assert_equal "$(ls "$T/volume")" ""
	bundle_set '.mounts[-1] = {destination: "/vol", type: "tmpfs", source: "tmpfs"}'
	refused "another mount of the container"
	mkdir "$R/vol/models"
	bundle_set '.mounts[-1] = {destination: "/vol/models", type: "bind", source: $s, options: ["rbind", "rw"]}' --arg s "$T/volume"
	refused "another mount of the container"
}

@test "a volume that is called as our mounts are is a volume" {
	at /models/a
	mkdir "$T/volume"
	mount -t tmpfs -o ro ballast "$T/volume"
	bundle_set '.mounts += [{destination: "/models/a", type: "bind", source: $s, options: ["bind", "ro"]}]' --arg s "$T/volume"
	run_container
	[ "$status" -ne 0 ] || fail "it started with the volume for its weights"
	assert_output "another mount of the container"
	umount "$T/volume"
}

@test "the weights' own tree, mounted there by the bundle, is taken for ours only where it is read-only" {
	at /models/a cat /models/a/model
	mkdir -p "$R/models/a"
	bundle_set '.mounts += [{destination: "/models/a", type: "bind", source: $s, options: ["rbind", "rw"]}]' --arg s "$T/trees/a"
	refused "another mount of the container"
	bundle_set '.mounts[-1].options = ["rbind", "ro"]'
	run_container
	assert_status 0
	assert_output "weights of a"
}

@test "no name is looked up on a volume, whose daemon may be one that never answers" {
	need_fuse
	at /vol/models
	mkdir "$T/volume" "$R/vol" "$R/opt"
	spawn volume "$FIXTURES/fuse.py" --answer "$T/volume"
	# Beneath it, on it, by a link of the image to either.
	bundle_set '.mounts += [{destination: "/vol", type: "bind", source: $s, options: ["rbind", "rw"]}]' --arg s "$T/volume"
	refused "another mount of the container"
	bundle_set '.mounts[-1].destination = "/vol/models"'
	mkdir "$R/vol/models"
	refused "another mount of the container"
	rmdir "$R/vol/models" "$R/vol"
	ln -s opt/../data "$R/vol"
	mkdir "$R/data"
	bundle_set '.mounts[-1].destination = "/data"'
	refused "another mount of the container"
	rm "$R/vol"
	mkdir "$R/vol"
	ln -s ../data/./ "$R/vol/models"
	refused "another mount of the container"
	# Our own places too.
	use_shim
	annotate_weights hf://owner/repo /opt/models
	answer /opt/models "$T/trees/a"
	bundle_set '.mounts[-1].destination = "/run"'
	refused "no tmpfs of its own"
	rmdir "$R/run"
	ln -s data/run "$R/run"
	bundle_set '.mounts[-1].destination = "/data"'
	refused "no tmpfs of its own"
	assert_equal "$(cat "$T/volume.log")" ""
}

@test "a location that is longer than can be: 64, and nothing is left" {
	local name location
	name=$(printf 'd%.0s' {1..255})
	location=$(for _ in {1..15}; do printf '/%s' "$name"; done)/$(printf 'e%.0s' {1..254})
	at "$location"
	refused "longer than the kernel can name"
	kill "$(cat "$T/fake.pid")"
	rm -rf "$BUNDLE"
	at "/models/d$name/x"
	refused "a part of more than 255 bytes"
}

@test "two locations that links of the image make one, or one inside the other" {
	at /models/a
	make_tree b
	answer /models/a "$T/trees/a" /models/b "$T/trees/b"
	annotate_weights hf://owner/repo /models/a hf://owner/other /models/b
	mkdir -p "$R/models/a/sub"
	ln -s a "$R/models/b"
	refused "/models/b: by a link in the image it lies in the same place as '/models/a'"
	ln -sfn a/sub "$R/models/b"
	refused "/models/b: by a link in the image"
	ln -sfn . "$R/models/b"
	refused "/models/b: by a link in the image"
}

@test "weights that a link of the image puts over another mount of the container" {
	at /data
	mkdir -p "$T/volume" "$R/vol/my cache"
	ln -s vol "$R/data"
	bundle_set '.mounts += [{destination: "/vol/my cache", type: "bind", source: $s, options: ["rbind", "rw"]}]' --arg s "$T/volume"
	refused "would hide the container's own mount '/vol/my"
}

@test "weights would hide another mount of the container" {
	at /vol
	mkdir "$T/volume"
	bundle_set '.mounts += [{destination: "/vol/cache", type: "bind", source: $s, options: ["rbind", "rw"]}]' --arg s "$T/volume"
	run_container
	[ "$status" -ne 0 ]
	assert_output "would hide the container's own mount '/vol/cache'"
}

@test "weights that linux.maskedPaths would hide" {
	local path
	at /models/a cat /models/a/model
	for path in /models /models/a /models/; do
		bundle_set '.linux.maskedPaths = ["/proc/kcore", $p]' --arg p "$path"
		run_container
		[ "$status" -ne 0 ]
		assert_output "mount_location: linux.maskedPaths has '$path', which would hide the weights"
	done
	bundle_set '.linux.maskedPaths = ["/models/ab", "/models/a/none"]'
	run_container
	assert_status 0
	assert_output "weights of a"
}

# process_with SCRIPT: a process whose mount namespace SCRIPT has changed; $STATE has it.
process_with() {
	# shellcheck disable=SC2016
	spawn box unshare --mount --propagation private sh -c "$1"' && echo ready && exec sleep 1000' -- "$R"
	STATE=$(hook_state x "$(cat "$T/box.pid")")
}

@test "a root file system whose mount is shared is refused" {
	at /models/a
	process_with 'mount --bind "$1" "$1" && mount --make-shared "$1"'
	run hook_alone
	assert_status 77
	assert_output "is shared"
	[ ! -e "$R/models" ]
	kill "$(cat "$T/box.pid")"
	process_with 'mount --bind "$1" "$1"'
	run hook_alone
	assert_status 0
}

@test "a mount that the container gets while the hook waits is seen" {
	local hook
	at /models/a
	mkdir -p "$R/models/a/cache"
	answer_pending
	process_with 'mount --bind "$1" "$1"'
	hook_alone >"$T/said" 2>&1 3>&- &
	hook=$!
	# The next request, the third, comes a second later: what was looked at before the first is old.
	until [ "$(grep -c PUT "$T/requests")" -ge 2 ]; do :; done
	nsenter --target "$(cat "$T/box.pid")" --mount mount -t tmpfs tmpfs "$R/models/a/cache"
	answer /models/a "$T/trees/a"
	status=0
	wait "$hook" || status=$?
	output=$(cat "$T/said")
	assert_status 64
	assert_output "would hide the container's own mount '/models/a/cache'"
}

@test "runc's rootfsPropagation: nothing of ours reaches the host" {
	at /models/a cat /models/a/model
	local propagation mounts
	mounts=$(mount_table)
	for propagation in shared rshared slave rslave private; do
		bundle_set '.linux.rootfsPropagation = $p' --arg p "$propagation"
		run_container
		assert_status 0
		assert_equal "$(mount_table)" "$mounts"
	done
}

@test "a read-only root file system of the runtime, and one that cannot be written at all" {
	at /models/a cat /models/a/model
	bundle_set '.root.readonly = true'
	run_container
	assert_status 0
	assert_output "weights of a"
	rm -r "$R/models"
	mount --bind "$R" "$R"
	mount -o remount,bind,ro "$R"
	run_container
	[ "$status" -ne 0 ]
	assert_output "create the directory in the image"
	mount -o remount,bind,rw "$R"
	mkdir -p "$R/models/a"
	mount -o remount,bind,ro "$R"
	run_container
	assert_status 0
	umount "$R"
}

@test "a full root file system is a retry, and leaves nothing" {
	at /models/deep/a
	mkdir "$T/small"
	mount -t tmpfs -o "nr_inodes=$(($(find "$R" | wc -l) + 8))" tmpfs "$T/small"
	cp -a "$R" "$T/small/rootfs"
	R=$T/small/rootfs
	bundle_set '.root.path = $p' --arg p "$R"
	# room for one directory more, where two are missing
	touch "$R"/tmp/{1,2,3,4,5,6,7,8,9} 2>/dev/null || true
	find "$R/tmp" -name '[0-9]' | tail -n 1 | xargs rm
	refused "root file system is full"
	umount "$T/small"
}

@test "the second of two targets fails: nothing of the first is left" {
	make_bundle b true
	make_tree a
	make_tree b
	answer /models/a "$T/trees/a" /other/b "$T/trees/b"
	annotate_weights hf://o/a /models/a hf://o/b /other/b
	start_fake
	add_hook
	R=$BUNDLE/rootfs
	touch "$R/other"
	refused "no directory in the image"
	[ ! -e "$R/models" ]
}

@test "/run as a tmpfs of the container carries /run/ballast" {
	at /models/a cat /models/a/model
	annotate docker-server.ballast.dev '{"no_build":true}'
	use_shim
	bundle_set '.mounts += [{destination: "/run", type: "tmpfs", source: "tmpfs", options: ["mode=755"]}]'
	run_container
	assert_status 0
	assert_output "weights of a"
}

@test "/run bound from the host is refused, private or shared, tmpfs or not" {
	at /models/a true
	annotate docker-server.ballast.dev '{"no_build":true}'
	use_shim
	mkdir "$T/hostrun"
	bundle_set '.mounts += [{destination: "/run", type: "bind", source: $s, options: ["rbind", "rw"]}]' --arg s "$T/hostrun"
	refused "/run/ballast: it lies on a mount of the container that is no tmpfs of its own: mount a tmpfs"
	assert_equal "$(ls "$T/hostrun")" ""
	mount -t tmpfs tmpfs "$T/hostrun"
	rm -rf "$R/models"
	refused "a tmpfs of the host"
	assert_equal "$(ls "$T/hostrun")" ""
	mount --make-shared "$T/hostrun"
	refused "a tmpfs of the host"
	assert_equal "$(ls "$T/hostrun")" ""
	umount "$T/hostrun"
}

@test "/secrets on a volume is refused" {
	at /models/a true
	add_secret default token hush
	annotate secrets.ballast.dev '["token"]'
	mkdir "$T/volume"
	bundle_set '.mounts += [{destination: "/secrets", type: "bind", source: $s, options: ["rbind", "rw"]}]' --arg s "$T/volume"
	run_container
	[ "$status" -ne 0 ]
	assert_output "no tmpfs of its own"
	assert_equal "$(ls "$T/volume")" ""
}

@test "no mount namespace of its own: none asked for, or another's by path" {
	at /models/a
	STATE=$(hook_state x "$$")
	bundle_set '.linux.namespaces |= map(select(.type != "mount"))'
	run hook_alone
	assert_status 77
	assert_output "no mount namespace of its own"
	bundle_set '.linux.namespaces += [{type: "mount", path: "/proc/1/ns/mnt"}]'
	run hook_alone
	assert_status 77
}

@test "another container's namespace: the root file system is not mounted there" {
	at /models/a
	process_with true
	run hook_alone
	assert_status 77
	assert_output "is not mounted in the mount namespace"
	[ ! -e "$R/models" ]
}

@test "the process of the state: none, this one, the host's, dead, another container's" {
	at /models/a
	STATE=$(hook_state x 0)
	run hook_alone
	assert_status 64
	STATE=$(hook_state x -1)
	run hook_alone
	assert_status 64
	STATE=$(hook_state x 1)
	run hook_alone
	assert_status 77
	sleep 1000 3>&- &
	echo $! >>"$T/pids"
	STATE=$(hook_state x $!)
	run hook_alone
	assert_status 77
	assert_output "no mount namespace of its own"
	kill $!
	wait $! || true
	run hook_alone
	assert_status 77
	assert_output "is gone"
	process_with true
	run hook_alone
	assert_status 77
}

@test "a root file system that is the host's own is refused, and nothing is made in it" {
	at "$T/made/here"
	bundle_set '.root.path = "/"'
	process_with true
	run hook_alone createRuntime
	assert_status 77
	assert_output "the host's own root file system"
	[ ! -e "$T/made" ] || fail "made on the host"
}

@test "an idmapped root file system" {
	at /models/a sh -c 'cat /models/a/model; stat -c %u /models'
	need gcc
	gcc -o "$T/idmap" "$FIXTURES/idmap.c"
	mkdir "$T/mapped"
	"$T/idmap" "$R" "$T/mapped" 100000 || skip "no idmapped mounts here"
	assert_equal "$(stat -c %u "$T/mapped")" 100000
	bundle_set '.root.path = $p' --arg p "$T/mapped"
	run_container
	assert_status 0
	assert_output "weights of a"
	assert_output 100000
	assert_equal "$(stat -c %u "$R/models")" 0
	umount "$T/mapped"
}

@test "a user namespace: targets, secrets and orders belong to the container's ids" {
	need_user_namespaces
	at /models/a sh -c 'cat /models/a/model /secrets/token; id -u; stat -c %u /models'
	add_secret default token hush
	annotate secrets.ballast.dev '["token"]'
	annotate docker-server.ballast.dev '{"run_as_user_id":1000}'
	use_shim
	chown -R 200000:200000 "$R"
	chmod 755 "$T" "$BUNDLE" "$R"
	bundle_set '.linux.namespaces += [{type: "user"}, {type: "network"}]
		| .linux.uidMappings = [{containerID: 0, hostID: 200000, size: 65536}]
		| .linux.gidMappings = .linux.uidMappings'
	open_way
	run_container
	assert_status 0
	assert_output "weights of a"
	assert_output hush
	assert_equal "$(stat -c %u "$R/models")" 200000
}

@test "a user namespace in which the server's user is not mapped is refused" {
	need_user_namespaces
	at /models/a true
	add_secret default token hush
	annotate secrets.ballast.dev '["token"]'
	annotate docker-server.ballast.dev '{"run_as_user_id":70000}'
	use_shim
	chown -R 200000:200000 "$R"
	bundle_set '.linux.namespaces += [{type: "user"}, {type: "network"}]
		| .linux.uidMappings = [{containerID: 0, hostID: 200000, size: 65536}]
		| .linux.gidMappings = .linux.uidMappings'
	open_way
	run_container
	[ "$status" -ne 0 ]
	assert_output "is not mapped"
}

@test "rootless: not root of the host is a clear answer" {
	need_user_namespaces
	at /models/a
	STATE=$(hook_state x "$$")
	run unshare --user --map-root-user "$BUILD/ballast-hook" --agent="unix:$T/agent.sock" <<<"$STATE"
	assert_status 77
	assert_output rootless
}

@test "a directory that is swapped for a link while the hook works: inside, or refused" {
	local i escaped=0 inside=0 refused=0
	at /models/a
	mkdir -p "$R/models" "$T/outside/a"
	ln -s "../../../../../../../../../..$T/outside" "$R/link"
	spawn racer /usr/bin/python3 -c 'import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
a, b = (name.encode() for name in sys.argv[1:3])
print("ready", flush=True)
sys.stdout.close()
while True:
    libc.renameat2(-100, a, -100, b, 2)' "$R/models" "$R/link"
	for ((i = 0; i < 60; i++)); do
		process_with 'mount --bind "$1" "$1"'
		run hook_alone
		if grep -q " $T/outside" "/proc/$(cat "$T/box.pid")/mountinfo"; then
			escaped=$((escaped + 1))
		elif [ "$status" -eq 0 ]; then
			inside=$((inside + 1))
			grep -q " $R/.* ro," "/proc/$(cat "$T/box.pid")/mountinfo"
		else
			refused=$((refused + 1))
			! grep " $R/.* ro," "/proc/$(cat "$T/box.pid")/mountinfo" || fail "refused, and mounted"
		fi
		kill -KILL "$(cat "$T/box.pid")"
	done
	echo "# inside $inside, refused $refused" >&3
	assert_equal "$escaped" 0
	assert_equal "$(ls -A "$T/outside" "$T/outside/a")" "$T/outside:
a

$T/outside/a:"
}
