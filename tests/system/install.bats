#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What make install puts where, and that what it put there works; that a tarball builds.

load lib

setup() {
	use_test_dir
	TOP=$(realpath "$TESTS/..")
	RELATIVE=$(realpath --relative-to="$TOP" "$BUILD")
	# What a make above has told its children is not for these.
	unset MAKEFLAGS MAKELEVEL MFLAGS SAN FAULTS WERROR
	export -n BUILD
	INODES=$(inodes)
}
teardown() { clean_up; }

# The programs are what other tests run at this moment, and their flags are not known here: --old-file
# keeps make from building them anew.
inodes() { (cd "$BUILD" && stat -c '%n %i %Y' ballast ballastd ballast-hook ballast-shim ballast-fetch 2>&1) || true; }
make_install() {
	local old=() program
	for program in ballast ballastd ballast-hook ballast-shim ballast-fetch; do
		old+=("--old-file=$RELATIVE/$program")
	done
	make -s -C "$TOP" "${old[@]}" install BUILD="$RELATIVE" "$@"
	assert_equal "$(inodes)" "$INODES"
}

installed() { (cd "$1" && find . \( -type f -o -type l \) -printf '%m %p\n' | sort -k2); }

@test "install: programs, hooks.d, unit and empty directories are where the contract says" {
	need_built ballast ballastd ballast-hook ballast-shim ballast-fetch
	make_install DESTDIR="$T/root"
	run installed "$T/root"
	for wanted in '755 ./usr/libexec/oci/hooks.d/ballast-hook' '755 ./usr/libexec/ballast/ballast-shim' \
		'755 ./usr/libexec/ballast/ballast-fetch' '755 ./usr/sbin/ballastd' '755 ./usr/bin/ballast' \
		'644 ./usr/share/containers/oci/hooks.d/50-ballast.json' \
		'644 ./usr/share/ballast/podman-hooks.d/40-ballast-precreate.json' \
		'644 ./usr/lib/systemd/system/ballastd.service' '644 ./usr/share/doc/ballast/ballastd.schema.json' \
		'644 ./usr/share/bash-completion/completions/ballast' '644 ./usr/share/man/man8/ballastd.8'; do
		assert_output "$wanted"
	done
	refute_output '.new'
	assert_equal "$(stat -c '%a' "$T/root/etc/ballast/secrets")" 700
	run "$T/root/usr/bin/ballast" --version
	assert_status 0

	# Each page of the manual is installed, whatever its section.
	for page in "$TOP"/docs/man/*.[1-8]; do
		[ -e "$page" ] || continue
		[ -s "$T/root/usr/share/man/man${page##*.}/$(basename "$page")" ] || fail "$page is not installed"
	done

	# What a document links to is there.
	run /usr/bin/python3 - "$T/root/usr/share/doc/ballast" "$TOP" <<-'PYTHON'
		import glob, os, re, sys
		for top in sys.argv[1:]:
		    for page in glob.glob(top + "/*.md") + glob.glob(top + "/**/*.md", recursive=True):
		        if "/build/" in page:
		            continue
		        for to in re.findall(r"\]\(([^)#]+)", open(page, encoding="utf-8").read()):
		            if "://" not in to and not os.path.exists(os.path.join(os.path.dirname(page), to)):
		                print(f"{page}: {to} is not there")
	PYTHON
	assert_equal "$output" ""

	make -s -C "$TOP" uninstall DESTDIR="$T/root"
	assert_equal "$(installed "$T/root")" ""
	assert_equal "$(find "$T/root" -ipath '*ballast*')" "$T/root/etc/ballast
$T/root/etc/ballast/secrets"
}

@test "install: PREFIX is in the paths that hooks.d and the unit name" {
	need_built ballast ballastd ballast-hook ballast-shim ballast-fetch
	make_install DESTDIR="$T/root" PREFIX=/opt/ballast
	local file=$T/root/opt/ballast/share/containers/oci/hooks.d/50-ballast.json
	assert_equal "$(jq -r .hook.path "$file")" /opt/ballast/libexec/oci/hooks.d/ballast-hook
	assert_equal "$(jq -c '.stages, .hook.env' "$file" | xargs)" \
		"[createRuntime,poststop] [PATH=/usr/sbin:/usr/bin:/sbin:/bin]"
	jq -e '.hook.args | index("--required")' "$file"
	grep -q '^ExecStart=/opt/ballast/sbin/ballastd$' "$T/root/opt/ballast/lib/systemd/system/ballastd.service"
	# The programs find each other there.
	run "$T/root/opt/ballast/bin/ballast" doctor
	assert_output "ok    $T/root/opt/ballast/libexec/ballast/ballast-shim: there, static"
	run "$T/root/opt/ballast/bin/ballast" plan file:///nowhere
	assert_output "ballast-fetch: error: file:///nowhere "
	# Nothing is left to fill in.
	run ! grep -r '@[a-z]*@' "$T/root/opt/ballast/share/containers" "$T/root/opt/ballast/share/ballast" \
		"$T/root/opt/ballast/lib"
}

@test "install: GNU's names of directories count, in small letters and in capitals" {
	need_built ballast ballastd ballast-hook ballast-shim ballast-fetch
	make_install DESTDIR="$T/root" prefix=/opt/b bindir=/opt/bin SBINDIR=/opt/sbin libexecdir=/opt/lib
	for file in /opt/bin/ballast /opt/sbin/ballastd /opt/lib/ballast/ballast-shim /opt/lib/oci/hooks.d/ballast-hook \
		/opt/b/share/containers/oci/hooks.d/50-ballast.json; do
		[ -e "$T/root$file" ] || fail "$file is not there"
	done
	[ ! -e "$T/root/usr" ] || fail "$(find "$T/root/usr")"
}

@test "install: hooks.d's key matches our annotations, scoped or not, and no others" {
	local key
	key=$(jq -r '.when.annotations | keys[0]' "$TOP/packaging/50-ballast.json.in")
	for annotation in weights.ballast.dev docker-server.ballast.dev/pod secrets.ballast.dev/container.web; do
		grep -qE "$key" <<<"$annotation" || fail "$annotation does not match"
	done
	for annotation in ballast.dev weights.ballast.devel weights.ballast.dev.example.org io.kubernetes.pod.name; do
		! grep -qE "$key" <<<"$annotation" || fail "$annotation matches"
	done
}

@test "install: a command of ours that a page shows is one that a shell finds" {
	need_built ballast ballastd ballast-hook ballast-shim ballast-fetch
	make_install DESTDIR="$T/root"
	local word shown=0
	while read -r word; do
		shown=$((shown + 1))
		[ -x "$T/root$word" ] || [ -x "$T/root/usr/bin/$word" ] || [ -x "$T/root/usr/sbin/$word" ] ||
			fail "$word is in no PATH"
	done < <(sed -nE 's/^(    |# |)(sudo )?(([a-z/]*\/)?ballast[a-z-]*) [^\\].*/\3/p; s/^\.Dl (ballast[a-z-]*) .*/\1/p' \
		"$TOP"/docs/*.md "$TOP"/docs/runtimes/*.md "$TOP"/docs/man/*.[1-8] "$TOP/README.md" |
		grep -v '^build/')
	[ "$shown" -gt 8 ] || fail "only $shown commands found"
}

@test "install: the pages of the manual have no errors" {
	need mandoc
	compgen -G "$TOP/docs/man/*.[1-8]" >/dev/null || skip "there are no pages"
	run mandoc -Tlint -Wwarning "$TOP"/docs/man/*.[1-8]
	assert_status 0
}

@test "install: bash takes the completions" {
	compgen -G "$TOP/packaging/completions/*" >/dev/null || skip "there are no completions"
	for file in "$TOP"/packaging/completions/*; do bash -n "$file"; done
}

@test "dist: the tarball builds by itself" {
	[[ $BUILD != */san ]] || skip "once is enough: not under the sanitizers"
	git -C "$TOP" rev-parse HEAD >/dev/null 2>&1 || skip "no git here"
	need git
	local tarball
	tarball=$(make -s -C "$TOP" dist)
	tar -xzf "$TOP/$tarball" -C "$T"
	make -s -C "$T"/ballast-* -j"$(nproc)" CFLAGS=-O0 all >"$T/make.log" 2>&1 || fail "$(tail "$T/make.log")"
	for program in ballast ballastd ballast-fetch ballast-hook ballast-shim; do
		[ -e "$BUILD/$program" ] || continue
		[ -x "$(echo "$T"/ballast-*/build/"$program")" ] || fail "no $program"
	done
}
