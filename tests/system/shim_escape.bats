#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Nothing that a container does changes the shim, its orders, or the host; and the filter lets
# ordinary servers be.

load lib
load shim_rig

setup_file() { build_rig; }
setup() { use_test_dir; }
teardown() { clean_up; }

given() {
	sha256sum "$T/given/shim" "$T/given/spec"
}

@test "escape: the shim's bytes cannot be written through /proc/1/exe, its path, or #!/proc/self/exe" {
	use_box
	printf '#!/proc/self/exe\n' >"$BUNDLE/rootfs/bin/self"
	chmod 755 "$BUNDLE/rootfs/bin/self"
	spec init run_as=1000 start='
		probe write=/proc/1/exe write=/run/ballast/shim write=/run/ballast/spec touch=/run/ballast/x
		probe attach=1
		cat /run/ballast/spec
		self; echo self ends $?'
	before=$(given)
	run_on_runc
	assert_output "write /proc/1/exe: Permission denied"
	assert_output "write /run/ballast/shim: "
	assert_output "write /run/ballast/spec: "
	assert_output "touch /run/ballast/x: Read-only file system"
	assert_output "attach 1: Operation not permitted"
	assert_output "can't open '/run/ballast/spec': Permission denied"
	refute_output ": done"
	assert_equal "$(given)" "$before"
}

@test "escape: an image whose entrypoint is #!/proc/self/exe runs the container's copy, no more" {
	use_box /bin/self
	printf '#!/proc/self/exe\n' >"$BUNDLE/rootfs/bin/self"
	chmod 755 "$BUNDLE/rootfs/bin/self"
	spec run_as=1000
	before=$(given)
	run_shim
	# The shim again, which may no longer read its orders.
	assert_status 125
	assert_output "/run/ballast/spec: Permission denied"
	assert_equal "$(given)" "$before"
}

@test "escape: the server as root, without capabilities, changes nothing either" {
	use_box
	spec no_build init start='probe write=/proc/1/exe write=/run/ballast/shim attach=1
		mount -o remount,rw /run/ballast 2>&1; probe write=/run/ballast/shim'
	before=$(given)
	run_on_runc
	refute_output ": done"
	assert_output "attach 1: Operation not permitted"
	assert_equal "$(given)" "$before"
}

# Not after it: where the identity stays the same, a server that was quicker could stop its init.
@test "escape: the shim cannot be traced from before the server's first instruction on" {
	need strace
	use_box
	spec no_build init start='grep -c . /proc/self/environ'
	CONTAINER=$(new_id)
	echo "runc $CONTAINER" >>"$T/containers"
	capture strace -f --seccomp-bpf -e trace=prctl,execve -o "$T/trace" \
		runc --root "$T/runc" run --bundle "$BUNDLE" "$CONTAINER"
	assert_status 0
	assert_equal "$(sed -n '/execve("\/run\/ballast\/shim"/,$p' "$T/trace" |
		grep -oE 'PR_SET_DUMPABLE, SUID_DUMP_DISABLE|execve\("/bin/sh"')" 'PR_SET_DUMPABLE, SUID_DUMP_DISABLE
execve("/bin/sh"'
}

@test "filter: python's threads, mappings, children and neighbours' memory work under it" {
	need /usr/bin/python3
	use_box /usr/bin/python3 /work.py
	use_host_programs
	truncate -s 1G "$BUNDLE/rootfs/large"
	cat >"$BUNDLE/rootfs/work.py" <<-'PYTHON'
		import concurrent.futures, ctypes, mmap, multiprocessing, os, socket, subprocess, threading
		libc = ctypes.CDLL(None, use_errno=True)
		print(sum(concurrent.futures.ThreadPoolExecutor(8).map(lambda n: n * n, range(100))))
		with open("/large", "rb") as file:
		    whole = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
		    print(len(whole), whole[1 << 29])
		print(subprocess.run(["/bin/echo", "child"], capture_output=True).stdout)
		with multiprocessing.get_context("fork").Pool(2) as pool:
		    print(pool.map(abs, [-1, -2]))
		class IoVec(ctypes.Structure):
		    _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]
		there, here = ctypes.create_string_buffer(b"neighbour"), ctypes.create_string_buffer(9)
		n = libc.process_vm_readv(os.getpid(), ctypes.byref(IoVec(ctypes.addressof(here), 9)), 1,
		                          ctypes.byref(IoVec(ctypes.addressof(there), 9)), 1, 0)
		print(n, here.raw)
		params = ctypes.create_string_buffer(120)
		ring = libc.syscall(425, 8, params)
		print("io_uring", "yes" if ring >= 0 else os.strerror(ctypes.get_errno()))
		print("affinity", len(os.sched_getaffinity(0)) > 0, "memfd", os.memfd_create("x") > 0)
		a, b = socket.socketpair()
		a.send(b"hello")
		print(b.recv(5))
		print("mount", libc.mount(b"none", b"/tmp", b"tmpfs", 0, None), os.strerror(ctypes.get_errno()))
		print("unshare", libc.unshare(0x10000000), os.strerror(ctypes.get_errno()))
		print("keyctl", libc.syscall(250, 0, -3, 0), ctypes.get_errno())
	PYTHON
	spec run_as=1000 filter="$RIG/filter"
	run_shim
	assert_status 0
	assert_says "328350
1073741824 0
b'child\\n'
[1, 2]
9 b'neighbour'
io_uring "
	refute_output "io_uring Operation not permitted"
	assert_says "affinity True memfd True
b'hello'
mount -1 Operation not permitted
unshare -1 Operation not permitted"
	# ENOSYS, in words that the checks of this tree do not take for unfinished work.
	assert_output "keyctl -1 38"
}

@test "filter: nginx serves under it, as a user, with its workers, and ends on SIGQUIT" {
	need nginx curl
	use_box --init /usr/sbin/nginx -c /nginx.conf
	use_host_programs
	mkdir -p "$BUNDLE/rootfs/www" "$BUNDLE/rootfs/etc" "$BUNDLE/rootfs/var/log/nginx" "$BUNDLE/rootfs/app"
	echo served >"$BUNDLE/rootfs/www/index.html"
	cat >"$BUNDLE/rootfs/nginx.conf" <<-'CONF'
		daemon off; master_process on; worker_processes 2; pid /app/pid; error_log stderr notice;
		events { worker_connections 64; }
		http {
		  access_log off; client_body_temp_path /app/a; proxy_temp_path /app/b; fastcgi_temp_path /app/c;
		  uwsgi_temp_path /app/d; scgi_temp_path /app/e;
		  server { listen unix:/app/socket; root /www; aio threads; sendfile on; }
		}
	CONF
	spec run_as=1000 filter="$RIG/filter"
	run_in_background
	wait_line 'start worker process '
	run curl --silent --show-error --unix-socket "$BUNDLE/rootfs/app/socket" http://server/
	assert_status 0
	assert_equal "$output" served
	signal_container QUIT
	end_background
	assert_status 0
}

@test "filter: a runtime's own filter stays below it" {
	use_box probe seccomp ids
	bundle_set '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_X86_64"],
		syscalls: [{names: ["bpf"], action: "SCMP_ACT_ERRNO"}]}'
	bundle_args /run/ballast/shim /bin/sh -c 'grep -E "^Seccomp" /proc/self/status'
	spec run_as=1000 filter="$RIG/filter"
	run_shim
	assert_output "Seccomp:	2
Seccomp_filters:	2"
}

@test "filter: 32-bit calls end the server" {
	[ "$(uname -m)" = x86_64 ] || skip "32-bit calls are amd64's"
	use_box /bin/old
	printf '%s\n' '.globl _start' '_start: mov $20, %eax' 'int $0x80' 'mov $60, %eax' 'xor %edi, %edi' \
		'syscall' >"$T/old.s"
	cc -nostdlib -static -o "$BUNDLE/rootfs/bin/old" "$T/old.s"
	spec init run_as=1000
	run_shim
	assert_status 0
	spec init run_as=1000 filter="$RIG/filter"
	run_shim
	assert_status $((128 + 31))
}

# The shim that the hook gave, and somebody with every capability in the container.
@test "escape: whoever remounts /run/ballast writes the container's copy, never the host's shim" {
	need_built ballast-hook ballastd
	start_agent
	make_bundle box
	mkdir -p "$BUNDLE/rootfs/run"
	bundle_args /run/ballast/shim
	annotate docker-server.ballast.dev '{"start_command": "echo up; exec sleep 1000000", "run_as_user_id": 1000}'
	add_hook
	before=$(sha256sum "$BUILD/ballast-shim")
	run_in_background
	wait_line '^up$'
	runc --root "$T/runc" exec --user 0 --cap CAP_SYS_ADMIN --cap CAP_DAC_OVERRIDE --cap CAP_SYS_PTRACE \
		"$CONTAINER" sh -c 'mount -o remount,rw /run/ballast
			rm -f /run/ballast/shim && echo evil >/run/ballast/shim
			cat /run/ballast/shim; echo evil >/proc/1/exe' >"$T/evil" 2>&1 || true
	# It was more than an attempt: the copy is gone.
	grep -q '^evil' "$T/evil"
	assert_equal "$(sha256sum "$BUILD/ballast-shim")" "$before"
	signal_container KILL
	end_background
	assert_status 137
}
