#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# /app, /workspace, /packages and $HOME become the server's, and nothing else does.

load lib
load shim_rig

setup_file() { build_rig; }
setup() { use_test_dir && use_box probe exit=0; }
teardown() { clean_up; }

# Owners of everything in the image but what lies below the named directories.
owners() {
	find "$BUNDLE/rootfs" \( "$@" \) -prune -o -printf '%u:%g %i %P\n' | sort
}

of() {
	stat -c %u:%g "$BUNDLE/rootfs/$1"
}

@test "owned: the four directories with all that is in them, and nothing else" {
	cd "$BUNDLE/rootfs"
	mkdir -p app/data/deep workspace/x packages srv/me other
	touch app/f app/data/deep/f packages/p srv/me/.profile other/f
	ln -s ../other app/link
	mkfifo app/fifo
	spec run_as=1000 home=/srv/me
	before=$(owners -path "$PWD/app" -o -path "$PWD/workspace" -o -path "$PWD/packages" -o -path "$PWD/srv/me")
	run_shim
	assert_status 0
	assert_equal "$output" ""
	assert_equal "$(owners -path "$PWD/app" -o -path "$PWD/workspace" -o -path "$PWD/packages" -o -path "$PWD/srv/me")" "$before"
	assert_equal "$(find app workspace packages srv/me -printf '%U:%G\n' | sort -u)" 1000:1000
}

@test "owned: what a link of the image names is left alone, whatever is linked" {
	cd "$BUNDLE/rootfs"
	mkdir -p target/sub home
	touch target/f
	ln -s /target app
	ln -s ../target home/app
	mkdir workspace
	ln -s /target workspace/in
	ln -s /etc/passwd workspace/passwd
	before=$(owners -path "$PWD/workspace")
	spec
	run_shim
	assert_status 0
	assert_output "ballast: /app: is no directory, or lies behind a link: its owner is left as it is"
	assert_output "ballast: /home/app: is no directory, or lies behind a link: its owner is left as it is"
	assert_equal "$(owners -path "$PWD/workspace")" "$before"
	assert_equal "$(of workspace/in)" 60000:60000
}

@test "owned: a file that has a name elsewhere is left alone, one whose names are all here is not" {
	cd "$BUNDLE/rootfs"
	mkdir -p app/a workspace
	touch etc/shadow app/both
	ln etc/shadow app/shadow
	ln etc/shadow app/a/shadow
	ln app/both app/a/both
	ln app/both workspace/both
	spec
	run_shim
	assert_status 0
	assert_equal "$output" "ballast: /app: 2 files have a name elsewhere too: their owner is left as it is"
	assert_equal "$(of etc/shadow)" 0:0
	assert_equal "$(of app/both)" 60000:60000
}

@test "owned: one directory inside another counts each name once" {
	cd "$BUNDLE/rootfs"
	mkdir -p app/home/deep
	touch etc/shadow app/home/deep/f
	ln etc/shadow app/home/deep/shadow
	spec home=/app/home
	run_shim
	assert_equal "$output" "ballast: /app/home: 1 files have a name elsewhere too: their owner is left as it is"
	assert_equal "$(of etc/shadow)" 0:0
	assert_equal "$(of app/home/deep/f)" 60000:60000
}

@test "owned: mounts are not entered: a volume, a file, the weights, /proc" {
	mkdir -p "$BUNDLE/rootfs/app/volume" "$BUNDLE/rootfs/workspace" "$BUNDLE/rootfs/app/proc" "$T/volume"
	touch "$T/volume/f" "$T/file" "$BUNDLE/rootfs/app/file" "$BUNDLE/rootfs/app/own"
	bundle_set '.mounts += [
		{destination: "/app/volume", type: "bind", source: ($t + "/volume"), options: ["bind", "rw"]},
		{destination: "/app/file", type: "bind", source: ($t + "/file"), options: ["bind", "rw"]},
		{destination: "/app/proc", type: "bind", source: "/proc", options: ["rbind", "rw"]},
		{destination: "/workspace", type: "bind", source: ($t + "/volume"), options: ["bind", "rw"]}]' \
		--arg t "$T"
	spec
	# crun does not put /proc where a link could be.
	run_on_runc
	assert_status 0
	assert_equal "$output" "ballast: /workspace: is on a mount of its own: its owner is left as it is"
	assert_equal "$(stat -c %u:%g "$T/volume" "$T/volume/f" "$T/file" | sort -u)" 0:0
	assert_equal "$(of app/own)" 60000:60000
}

@test "owned: / is never given, nor what belongs to the system" {
	cd "$BUNDLE/rootfs"
	before=$(owners -false)
	for home in / /.. /../app/.. /etc /usr/bin //usr//bin /proc /dev relative; do
		spec env=HOME="$home" run_as=1000
		run_shim
		assert_status 0
		assert_output "is not a directory that is given"
		[ "$(owners -false)" = "$before" ] || fail "HOME=$home"
	done
	# Debian's daemon lives in /usr/sbin.
	printf 'daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n' >>etc/passwd
	before=$(owners -false)
	spec run_as=1
	run_shim
	assert_equal "$(owners -false | sed 's/ [0-9]* / /')" "$(sed 's/ [0-9]* / /' <<<"$before")"
}

@test "owned: a home that is missing is made for the user, those above it stay root's" {
	cd "$BUNDLE/rootfs"
	rm -rf home
	BETWEEN=remove_home
	remove_home() { rm -r "$BUNDLE/rootfs/home"; }
	spec
	bundle_args /run/ballast/shim probe touch=/home/app/x
	bundle_set '.process.user.umask = 63'
	run_shim
	assert_output "touch /home/app/x: done"
	assert_equal "$(stat -c '%u:%g %a' home home/app home/app/x)" "0:0 755
60000:60000 755
60000:60000 600"
}

@test "owned: device nodes, and entries that are given already, are left alone" {
	cd "$BUNDLE/rootfs"
	mkdir app
	mknod app/null c 1 3
	touch app/own app/setuid
	chmod 4755 app/setuid
	chown 60000:60000 app/own app
	touch -d '2001-01-01' app/own
	before=$(stat -c %Z app/own)
	spec
	run_shim
	assert_equal "$output" ""
	assert_equal "$(of app/null)" 0:0
	assert_equal "$(stat -c %Z app/own)" "$before"
	assert_equal "$(stat -c %a app/setuid)" 755
}

@test "owned: no_chown leaves all as it is; so does a shim that is not root" {
	cd "$BUNDLE/rootfs"
	mkdir app home/app
	spec no_chown
	run_shim
	assert_equal "$(of app)" 0:0
	bundle_user 1000
	spec
	run_shim
	assert_status 0
	assert_equal "$(of app)" 0:0
}

@test "owned: without CAP_CHOWN it is a fact, no failure" {
	mkdir "$BUNDLE/rootfs/app"
	touch "$BUNDLE/rootfs/app/f"
	bundle_capabilities CAP_SETUID CAP_SETGID CAP_SETPCAP
	bundle_args /run/ballast/shim probe ids
	spec run_as=1000
	run_shim
	assert_status 0
	assert_output "ballast: /app: 2 entries could not be given to uid 1000: Operation not permitted"
	assert_output "uid 1000 1000 1000"
}

@test "owned: overlayfs, where each name of a file is given by itself" {
	mkdir -p "$T/lower/app/a" "$T/upper" "$T/work"
	touch "$T/lower/app/f" "$T/lower/secret"
	ln "$T/lower/app/f" "$T/lower/app/a/g"
	ln "$T/lower/secret" "$T/lower/app/secret"
	cp -a "$BUNDLE/rootfs/." "$T/lower"
	mount -t overlay -o "lowerdir=$T/lower,upperdir=$T/upper,workdir=$T/work" overlay "$BUNDLE/rootfs"
	spec
	run_shim
	assert_status 0
	assert_equal "$(of app/f) $(of app/a/g) $(of secret)" "60000:60000 60000:60000 0:0"
	assert_equal "$(stat -c %u "$T/lower/secret" "$T/lower/app/f" | sort -u)" 0
}

# Enough for a helper to be started: what each does must be the whole, and no name counted twice.
@test "owned: a large tree is given whole" {
	cd "$BUNDLE/rootfs"
	/usr/bin/python3 - <<-'PYTHON'
		import os
		os.mkdir("app")
		os.mkdir("outside")
		def touch(path):
		    os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
		for f in range(9000):
		    touch(f"app/f{f}")
		for d in range(60):
		    os.makedirs(f"app/d{d}/deep/er")
		    for f in range(60):
		        touch(f"app/d{d}/deep/f{f}")
		        os.link(f"app/d{d}/deep/f{f}", f"app/d{d}/deep/er/l{f}")
		        os.link(f"app/d{d}/deep/f{f}", f"app/d{d}/l{f}")
		    os.link(f"app/d{d}/deep/f0", f"outside/l{d}")
	PYTHON
	spec
	run_shim
	assert_equal "$output" "ballast: /app: 180 files have a name elsewhere too: their owner is left as it is"
	assert_equal "$(find app -uid 0 | wc -l) $(find app -uid 60000 | wc -l)" "180 $((1 + 9000 + 60 * 3 + 59 * 60 * 3))"
	assert_equal "$(find outside ! -uid 0 | wc -l)" 0
}

@test "owned: where the kernel has no openat2, or chown fails, all is left as it is, and said" {
	need_faults
	install -m 555 "$FAULTS/ballast-shim" "$T/given/shim"
	bundle_args /run/ballast/shim probe ids
	mkdir "$BUNDLE/rootfs/app"
	touch "$BUNDLE/rootfs/app/f"
	for fault in openat2:ENOSYS openat2:EPERM fchownat:EIO mkdirat:ENOSPC getdents:EIO; do
		set_env PATH=/bin BL_FAULT="$fault"
		run_on_runc
		[ "$status" -eq 0 ] || fail "$fault: $output"
		[[ $output == *"ballast: /"* ]] || fail "$fault: $output"
		assert_output "uid 60000 60000 60000"
		rm -rf "$BUNDLE/rootfs/home/app"
	done
}

# Names are swapped for others all the while: directories for links out of the image, files for
# names of a file that lies elsewhere.
@test "owned: what is swapped while it works is never followed" {
	local i
	cd "$BUNDLE/rootfs"
	mkdir -p app/dir outside/dir
	touch outside/dir/f outside/g
	for i in {1..2000}; do mkdir "app/d$i"; : >"app/d$i/f"; done
	ln -s /outside app/evil
	ln outside/g app/hard
	: >app/plain
	spec
	/usr/bin/python3 - app <<-'PYTHON' 3>&- &
		import ctypes, os, sys
		libc = ctypes.CDLL(None)
		fd = os.open(sys.argv[1], os.O_RDONLY)
		def swap(a, b):
		    libc.renameat2(fd, a, fd, b, 2)
		while True:
		    swap(b"dir", b"evil")
		    swap(b"plain", b"hard")
	PYTHON
	echo $! >>"$T/pids"
	for i in {1..5}; do
		run_on_runc
		assert_status 0
		assert_equal "$(stat -c %u:%g outside outside/dir outside/dir/f outside/g | sort -u)" 0:0
		# Only so that there is something to give again: the swaps may trip chown, too.
		chown -hR 0:0 app 2>/dev/null || true
	done
	kill "$(tail -1 "$T/pids")"
}

@test "owned: depth and number without end cost neither memory nor the start" {
	/usr/bin/python3 - "$BUNDLE/rootfs" <<-'PYTHON'
		import os, sys
		os.chdir(sys.argv[1])
		os.mkdir("app")
		os.chdir("app")
		for i in range(3000):
		    os.mkdir("d")
		    os.chdir("d")
	PYTHON
	bundle_args /run/ballast/shim probe ids
	spec
	run_on_runc
	assert_status 0
	assert_output "entries could not be given to uid 60000"
	assert_output "uid 60000 60000 60000"
	assert_equal "$(of app/d/d/d)" 60000:60000
}

@test "owned: without CAP_DAC_OVERRIDE what lies in a closed directory is given too" {
	mkdir -p "$BUNDLE/rootfs/app/sub"
	touch "$BUNDLE/rootfs/app/f" "$BUNDLE/rootfs/app/sub/g"
	ln "$BUNDLE/rootfs/app/f" "$BUNDLE/rootfs/app/sub/f"
	chmod 0750 "$BUNDLE/rootfs/app" "$BUNDLE/rootfs/app/sub"
	bundle_set '.process.capabilities |= with_entries(.value = ["CAP_CHOWN", "CAP_SETUID", "CAP_SETGID"])'
	spec
	run_on_runc
	assert_equal "$(stat -c %u:%g "$BUNDLE/rootfs/app" "$BUNDLE/rootfs/app/f" "$BUNDLE/rootfs/app/sub" \
		"$BUNDLE/rootfs/app/sub/g" | sort -u)" 60000:60000
}
