#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Any image: what it has and lacks makes no difference to what the server finds. Images are built
# from Debian's packages; the musl one from Debian's musl, laid out as Alpine's is.

load lib
load shim_rig

setup_file() { build_rig; }
setup() { use_test_dir && RIG=$BATS_FILE_TMPDIR; }
teardown() { clean_up; }

# An image of nothing but what is named: SOURCE:PATH...
use_image() {
	local pair
	use_box
	rm -rf "${BUNDLE:?}/rootfs"
	mkdir -p "$BUNDLE/rootfs/run/ballast" "$BUNDLE/rootfs/proc" "$BUNDLE/rootfs/dev"
	for pair; do
		mkdir -p "$(dirname "$BUNDLE/rootfs/${pair#*:}")"
		cp -L "${pair%%:*}" "$BUNDLE/rootfs/${pair#*:}"
	done
	bundle_set '.mounts |= map(select(.destination | IN("/proc", "/dev", "/run/ballast")))'
}

# The loader and the libraries of a program, where it looks for them.
libraries_of() {
	ldd "$1" | sed -n 's#.* \(/[^ ]*\) (0x.*#\1#p; s#^\t\(/[^ ]*\) (0x.*#\1#p' | sort -u
}

@test "image: Debian with its own shell" {
	use_box
	use_host_programs
	spec init start='cd /tmp && /bin/ls -d /usr/share/doc && id -u'
	run_shim
	assert_status 0
	assert_output "/usr/share/doc
60000"
}

@test "image: musl and busybox, as Alpine is" {
	need musl-gcc
	musl-gcc -std=gnu17 -D_GNU_SOURCE -idirafter /usr/include \
		-idirafter "/usr/include/$(gcc -print-multiarch)" "$FIXTURES/probe.c" -o "$T/probe"
	loader=$(readelf -l "$T/probe" | sed -n 's/.*interpreter: \(.*\)\]/\1/p')
	use_image "$T/probe:/usr/local/bin/probe" "$loader:$loader" "$(command -v busybox):/bin/busybox"
	ln -s busybox "$BUNDLE/rootfs/bin/sh"
	mkdir -p "$BUNDLE/rootfs/etc"
	printf 'root:x:0:0:root:/root:/bin/ash\nguest:x:405:100:guest:/dev/null:/sbin/nologin\n' \
		>"$BUNDLE/rootfs/etc/passwd"
	printf 'users:x:100:games\naudio:x:18:guest\n' >"$BUNDLE/rootfs/etc/group"
	set_env PATH=/usr/local/bin:/bin
	spec init start='probe ids groups user && exit 4' run_as=405
	run_shim
	assert_status 4
	assert_output "uid 405 405 405 gid 100 100 100
groups 18
user guest guest home /dev/null"
}

@test "image: distroless: a C library, certificates, passwd, no shell" {
	cc -std=gnu17 -D_GNU_SOURCE "$FIXTURES/probe.c" -o "$T/probe"
	pairs=("$T/probe:/app/server")
	for library in $(libraries_of "$T/probe"); do pairs+=("$library:$library"); done
	use_image "${pairs[@]}"
	mkdir -p "$BUNDLE/rootfs/etc" "$BUNDLE/rootfs/home/nonroot"
	printf 'nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n' >"$BUNDLE/rootfs/etc/passwd"
	spec init start="/app/server ids user args 'two words' \"three \\\"quoted\\\" words\"" run_as=65532
	run_shim
	assert_output "uid 65532 65532 65532 gid 65532 65532 65532
user nonroot nonroot home /home/nonroot"
	assert_output "arg <two words>
arg <three \"quoted\" words>"
	spec init start='cd /app && ./server ids' run_as=65532
	run_shim
	assert_status 125
	assert_output "start_command: 'cd' is a command of the shell itself, and the image has no /bin/sh"
	spec init start='/app/server ids; true' run_as=65532
	run_shim
	assert_status 125
	assert_output "';' is an operator"
	spec init start='server ids' run_as=65532
	run_shim
	assert_status 127
}

@test "image: scratch: one static program, nothing else" {
	use_image "$RIG/probe:/server"
	bundle_args /run/ballast/shim /server ids groups user fds cwd
	spec
	run_shim
	assert_status 0
	assert_output "uid 60000 60000 60000 gid 60000 60000 60000
groups
user app app home /home/app
fds 0 1 2
cwd /"
}

@test "image: no /proc, no /dev, no /tmp" {
	use_image "$RIG/probe:/server"
	# crun itself wants /proc.
	bundle_set '.mounts |= map(select(.destination == "/run/ballast"))'
	bundle_args /run/ballast/shim --init /server ids exit=5
	spec run_as=1000
	mount --bind "$BUNDLE/rootfs" "$BUNDLE/rootfs"
	mount --bind "$T/given" "$BUNDLE/rootfs/run/ballast"
	rmdir "$BUNDLE/rootfs"/{proc,dev}
	capture chroot "$BUNDLE/rootfs" /run/ballast/shim --init /server ids exit=5
	assert_status 5
	assert_equal "$output" "uid 1000 1000 1000 gid 1000 1000 1000"
}

@test "image: a read-only root filesystem" {
	use_box probe ids path=/app touch=/app/x touch=/tmp/x
	mkdir "$BUNDLE/rootfs/app"
	bundle_set '.root.readonly = true | .mounts += [{destination: "/tmp", type: "tmpfs", source: "tmpfs"}]'
	run_shim
	assert_status 0
	assert_output "ballast: /home/app: the home directory cannot be made: Read-only file system"
	assert_output "ballast: /app: the filesystem is read-only: its owner is left as it is"
	assert_output "uid 60000 60000 60000"
	assert_output "/app is of 0:0"
	assert_output "touch /app/x: Read-only file system"
	assert_output "touch /tmp/x: done"
}

@test "image: a root filesystem of another owner" {
	use_box probe ids path=/app path=/home/app touch=/app/x
	mkdir "$BUNDLE/rootfs/app"
	chown -hR 12345:12345 "$BUNDLE/rootfs"
	BETWEEN=restore_owner
	restore_owner() {
		rm -rf "$BUNDLE/rootfs/home/app" "$BUNDLE/rootfs/app/x"
		chown -hR 12345:12345 "$BUNDLE/rootfs"
	}
	spec
	run_shim
	assert_equal "$output" "uid 60000 60000 60000 gid 60000 60000 60000
/app is of 60000:60000
/home/app is of 60000:60000
touch /app/x: done"
}

@test "image: a server on a noexec mount is 126; the shim itself is not on one" {
	use_box /data/server
	mkdir "$BUNDLE/rootfs/data" "$T/data"
	install -m 755 "$RIG/probe" "$T/data/server"
	bundle_set '.mounts += [{destination: "/data", type: "bind", source: $data,
		options: ["bind", "ro", "noexec"]}]' --arg data "$T/data"
	spec run_as=1000
	run_shim
	assert_status 126
	assert_output "/data/server: cannot be executed: Permission denied"
}

# runc itself would wait for the FIFO: in a chroot.
@test "image: passwd that is a FIFO, a device, a directory, enormous: no hang, gid = uid" {
	use_box
	spec run_as=1000
	mount --bind "$BUNDLE/rootfs" "$BUNDLE/rootfs"
	mount --bind "$T/given" "$BUNDLE/rootfs/run/ballast"
	etc=$BUNDLE/rootfs/etc
	run_chroot() {
		capture timeout 20 chroot "$BUNDLE/rootfs" /run/ballast/shim probe ids
	}
	same="uid 1000 1000 1000 gid 1000 1000 1000"
	rm "$etc/passwd"
	mkfifo "$etc/passwd"
	run_chroot
	assert_equal "$output" "$same"
	rm "$etc/passwd"
	mknod "$etc/passwd" c 1 5
	run_chroot
	assert_equal "$output" "$same"
	rm "$etc/passwd"
	mkdir "$etc/passwd"
	run_chroot
	assert_equal "$output" "$same"
	rmdir "$etc/passwd"
	truncate -s 20M "$etc/passwd"
	run_chroot
	assert_status 125
	assert_output "/etc/passwd: more than the maximum of 16777216 bytes"
}
