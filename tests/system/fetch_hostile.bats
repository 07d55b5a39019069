# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154
# Answers that no honest origin gives: each ends with one line that says what was wrong, in bounded
# time, and nothing of them is ever taken for the file. They are asked for all at once, since most of
# the time goes into pauses before another try.

load lib
load fetch

setup() {
	use_test_dir
	need_built ballast-fetch
	make_tls IP:127.0.0.1,DNS:*.h2.example
	mkdir -p "$T/raw" "$T/said/plain" "$T/out/plain"
	: >"$T/rows"
}

teardown() {
	[ ! -e "$T/hosts" ] || umount /etc/hosts
	clean_up
}

# row NAME STATUS TEXT: what `pull` of NAME must say; the answers are set by the caller.
row() {
	printf '%s\t%s\t%s\n' "$@" >>"$T/rows"
}

# first NAME STATUS TEXT ANSWER: the answer to any request.
first() {
	row "$1" "$2" "$3"
	printf '%b' "$4" >"$T/raw/$1"
}

# range NAME STATUS TEXT ANSWER [PLAIN-TEXT]: the answer to the request for the whole range, after a first look at a
# file of 1000 bytes that went well; over TLS, and after a redirect without.
range() {
	row "$1" "$2" "$3"
	row "plain/$1" "$2" "${5-$3}"
	printf 'HTTP/1.1 206 OK\nContent-Range: bytes 0-0/1000\nContent-Length: 1\nETag: "v1"\n\nx' >"$T/raw/$1"
	printf '%b' "$4" >"$T/raw/$1+"
}

# all NAME STATUS TEXT ANSWER: the answer to the request for all of it, where the server knows no ranges.
all() {
	row "$1" "$2" "$3"
	row "plain/$1" "$2" "$3"
	printf 'HTTP/1.1 200 OK\nContent-Length: 1000\nETag: "v1"\n\nx' >"$T/raw/$1"
	printf '%b' "$4" >"$T/raw/$1+"
}

# h2 NAME STATUS TEXT FRAMES
h2() {
	row "$1" "$2" "$3"
	printf '%b' "$4" >"$T/raw/$1.h2"
}

pull_row() {
	local url=https://127.0.0.1:$PORT/$1
	[ ! -e "$T/raw/$1.h2" ] || url=https://$1.h2.example:$PORT/x
	"$BUILD/ballast-fetch" pull --quiet --config="$T/fetch.json" "$url" "$T/out/$1" >"$T/said/$1" 2>&1 3>&-
	echo $? >"$T/said/$1.status"
}

# try_rows: every row, many at once; what is wrong with any is shown.
try_rows() {
	local name want text got wrong=0 plain
	spawn raw "$FIXTURES/raw.py" "$T/tls.pem" "$T/tls.key" "$T/raw"
	read -r PORT plain <<<"$REPLY"
	jq -n --arg ca "$T/ca.pem" --arg plain "http://127.0.0.1:$plain" '{ca_file: $ca,
		allowed_networks: ["127.0.0.0/8"], allowed_origins: [$plain]}' >"$T/fetch.json"
	export PORT T
	export -f pull_row
	cut -f1 "$T/rows" | timeout 120 xargs -P 100 -I{} bash -c 'pull_row {}'
	while IFS=$'\t' read -r name want text; do
		got=$(cat "$T/said/$name.status")
		if [ "$got" != "$want" ] || [[ $(cat "$T/said/$name") != *"$text"* ]] ||
			[ "$(wc -l <"$T/said/$name")" -gt 1 ]; then
			printf '%s: status %s, not %s, or no "%s":\n%s\n' "$name" "$got" "$want" "$text" "$(cat "$T/said/$name")"
			wrong=1
		fi
		[ "$want" -eq 0 ] || [ ! -e "$T/out/$name/file" ] || { echo "$name: taken"; wrong=1; }
	done <"$T/rows"
	return "$wrong"
}

CONTENT='HTTP/1.1 206 OK\nContent-Range: bytes 0-999/1000\nETag: "v1"\n'

heads_of_ranges() {
	range whole 0 '' "${CONTENT}Content-Length: 1000\n\n@BODY@"
	range encoded 75 'encodes what it should send as it is; whoever runs it' "${CONTENT}Content-Encoding: gzip\nContent-Length: 1000\n\n@BODY@"
	range multipart 75 'without its Content-Range; whoever runs it' \
		'HTTP/1.1 206 OK\nETag: "v1"\nContent-Type: multipart/byteranges; boundary=b\nContent-Length: 1000\n\n@BODY@'
	range star 75 'without its Content-Range' \
		'HTTP/1.1 206 OK\nContent-Range: bytes */1000\nETag: "v1"\nContent-Length: 1000\n\n@BODY@'
	range size-star 75 'without its Content-Range' \
		'HTTP/1.1 206 OK\nContent-Range: bytes 0-999/*\nETag: "v1"\nContent-Length: 1000\n\n@BODY@'
	range unit 75 'without its Content-Range' \
		'HTTP/1.1 206 OK\nContent-Range: lines 0-999/1000\nETag: "v1"\nContent-Length: 1000\n\n@BODY@'
	range backwards 75 'without its Content-Range' \
		'HTTP/1.1 206 OK\nContent-Range: bytes 999-0/1000\nETag: "v1"\nContent-Length: 1000\n\n@BODY@'
	range shorter 75 'another one; whoever runs it' \
		'HTTP/1.1 206 OK\nContent-Range: bytes 0-998/1000\nETag: "v1"\nContent-Length: 999\n\n@BODY@'
	range shifted 75 'another one' \
		'HTTP/1.1 206 OK\nContent-Range: bytes 1-999/1000\nETag: "v1"\nContent-Length: 999\n\n@BODY@'
	range no-range 75 'does not know ranges' 'HTTP/1.1 200 OK\nETag: "v1"\nContent-Length: 1000\n\n@BODY@'
	range other-length 75 'not that of the range; whoever runs it' "${CONTENT}Content-Length: 900\n\n@BODY@"
	range bad-gateway 75 '502 Bad Gateway' 'HTTP/1.1 502 No\nContent-Length: 0\n\n'
	range other-size 75 'changed' \
		'HTTP/1.1 206 OK\nContent-Range: bytes 0-999/1001\nETag: "v1"\nContent-Length: 1000\n\n@BODY@'
	range etag-case 75 'changed' \
		'HTTP/1.1 206 OK\nContent-Range: bytes 0-999/1000\nETag: "V1"\nContent-Length: 1000\n\n@BODY@'
	range etag-weak 75 'without the ETag of its file; whoever runs it' \
		'HTTP/1.1 206 OK\nContent-Range: bytes 0-999/1000\nETag: W/"v1"\nContent-Length: 1000\n\n@BODY@'
	range etag-gone 75 'without the ETag' \
		'HTTP/1.1 206 OK\nContent-Range: bytes 0-999/1000\nContent-Length: 1000\n\n@BODY@'
	range length-negative 75 '' "${CONTENT}Content-Length: -1000\n\n@BODY@"
	range length-endless 75 '' "${CONTENT}Content-Length: 99999999999999999999\n\n@BODY@"
	range lengths-two 75 '' "${CONTENT}Content-Length: 1000\nContent-Length: 5\n\n@BODY@"
	range lengths-swapped 75 '' "${CONTENT}Content-Length: 5\nContent-Length: 1000\n\n@BODY@"
	range ranges-two 75 'contradict' "${CONTENT}Content-Range: bytes 0-999/2000\nContent-Length: 1000\n\n@BODY@"
	range etags-two 75 'contradict' "${CONTENT}ETag: \"v2\"\nContent-Length: 1000\n\n@BODY@"
	range encodings-two 75 'encodes' \
		"${CONTENT}Content-Encoding: identity\nContent-Encoding: gzip\nContent-Length: 1000\n\n@BODY@"
	range no-content 75 'before its length' 'HTTP/1.1 204 OK\nETag: "v1"\n\n'
	range not-modified 75 'not expected' 'HTTP/1.1 304 OK\nETag: "v1"\n\n'
	range nowhere 75 'not expected' 'HTTP/1.1 302 OK\nContent-Length: 0\n\n'
	range status-999 75 'the origin fails' 'HTTP/1.1 999 OK\nContent-Length: 0\n\n'
	range to-zone 77 'zone' 'HTTP/1.1 302 OK\nLocation: https://[fe80::1%25lo]/\nContent-Length: 0\n\n'
	range to-nat64 77 'public' 'HTTP/1.1 302 OK\nLocation: https://[64:ff9b::a9fe:a9fe]/\nContent-Length: 0\n\n'
	range to-6to4 77 'public' 'HTTP/1.1 302 OK\nLocation: https://[2002:a9fe:a9fe::1]/\nContent-Length: 0\n\n'
	range to-user 77 'user name' 'HTTP/1.1 302 OK\nLocation: https://127.0.0.1@example.com/\nContent-Length: 0\n\n'
	range to-idn 77 'ASCII' 'HTTP/1.1 302 OK\nLocation: https://169\xe3\x80\x82254\xe3\x80\x82169\xe3\x80\x82254/\nContent-Length: 0\n\n'
	range to-http 77 'not https' 'HTTP/1.1 302 OK\nLocation: http://example.com/\nContent-Length: 0\n\n'
}

floods_and_chunks() {
	range hints 0 '' "HTTP/1.1 103 Hints\nLink: </x>\n\nHTTP/1.1 100 Continue\n\n${CONTENT}Content-Length: 1000\n\n@BODY@"
	range hints-flood 75 '' 'HTTP/1.1 103 Hints\nLink: </x>\n\n@REPEAT@\nHTTP/1.1 103 Hints\nLink: </x>\n\n'
	range header-flood 75 '' "${CONTENT}@REPEAT@\nX-Flood: y\n"
	range header-long 75 'too long' "${CONTENT}X-Flood: @REPEAT@\nyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
	range header-nul 75 '' "HTTP/1.1 206 OK\nContent-Ra\\0nge: bytes 0-999/1000\nContent-Length: 1000\n\n@BODY@"
	range status-flood 75 'too long' 'HTTP/1.1 206 @REPEAT@\nOOOOOOOOOOOOOOOOOOOOO'
	range pieces 0 '' 'HTTP/1.1 2@PIECE@06 OK\nContent-Range: byt@PIECE@es 0-999/1000\n@PIECE@ETag: "v1"\nContent-Length: 1000\n@PIECE@\n@PIECE@@BODY@'
	range http-1.0 0 '' 'HTTP/1.0 206 OK\nContent-Range: bytes 0-999/1000\nETag: "v1"\nContent-Length: 1000\n\n@BODY@'
	range closed 0 '' "${CONTENT}Connection: close\n\n@BODY@"
	range closed-early 75 '' "${CONTENT}Connection: close\n\nonly its beginning"
	range cut-off 75 '' "${CONTENT}Content-Length: 1000\n\nonly its beginning"
	range chunks 0 '' "${CONTENT}Transfer-Encoding: chunked\nTrailer: Content-Range\n\n3e8;x=y\n@BODY@\n0\nContent-Range: bytes 1-2/3\nETag: \"v2\"\nLocation: https://example.com/\nContent-Encoding: gzip\n\n"
	range chunks-short 75 '' "${CONTENT}Transfer-Encoding: chunked\n\n1\nx\n0\n\n"
	range chunks-long 0 '' "${CONTENT}Transfer-Encoding: chunked\n\n3e8\n@BODY@\n3e8\n@BODY@\n0\n\n"
	range chunks-bad 75 '' "${CONTENT}Transfer-Encoding: chunked\n\nzz\n@BODY@\n0\n\n"
	range chunks-endless 75 '' "${CONTENT}Transfer-Encoding: chunked\n\nffffffffffffffffff\n@BODY@"
	range trailer-flood 0 '' "${CONTENT}Transfer-Encoding: chunked\n\n3e8\n@BODY@\n0\n@REPEAT@\nX: y\n"
	range gzip-transfer 75 '' "${CONTENT}Transfer-Encoding: gzip, chunked\n\n3e8\n@BODY@\n0\n\n"
	range http-0.9 75 '' '@BODY@'
	range http-9 75 '' 'HTTP/9.9 206 OK\nContent-Range: bytes 0-999/1000\nETag: "v1"\nContent-Length: 1000\n\n@BODY@'
	range status-word 75 '' 'HTTP/1.1 2O6 OK\nContent-Range: bytes 0-999/1000\nETag: "v1"\nContent-Length: 1000\n\n@BODY@'
	range status-wrap 75 '' 'HTTP/1.1 4294967502 OK\nContent-Range: bytes 0-999/1000\nETag: "v1"\nContent-Length: 1000\n\n@BODY@'
	range error-flood 77 'may not be read' 'HTTP/1.1 403 No\n\n@REPEAT@\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'
}

without_ranges() {
	local body head='HTTP/1.1 200 OK\nETag: "v1"\n'
	body=$(printf 'x%.0s' {1..1000})
	all all-chunks 0 '' "${head}Transfer-Encoding: chunked\n\n3e8\n$body\n0\n\n"
	# All of what was listed, and then some: another file.
	all all-longer 75 'more than the range' "${head}Transfer-Encoding: chunked\n\n3e8\n$body\n@PIECE@1\nx\n0\n\n"
	all all-shorter 75 'before its length' "${head}Transfer-Encoding: chunked\n\n1\nx\n0\n\n"
	all all-another 75 'changed' "HTTP/1.1 200 OK\nETag: \"v2\"\nContent-Length: 1000\n\n$body"
}

first_looks() {
	first empty 0 '' 'HTTP/1.1 416 No\nContent-Range: bytes */0\nContent-Length: 0\n\n'
	first empty-not 75 'how long' 'HTTP/1.1 416 No\nContent-Range: bytes */x\nContent-Length: 0\n\n'
	first look-star 75 'does not say how long the file is' 'HTTP/1.1 206 OK\nContent-Range: bytes 0-0/*\nContent-Length: 1\n\nx'
	first look-2-63 75 'another one' 'HTTP/1.1 206 OK\nContent-Range: bytes 0-0/9223372036854775808\nContent-Length: 1\n\nx'
	first look-minus 75 'another one' 'HTTP/1.1 206 OK\nContent-Range: bytes 0-0/-1\nContent-Length: 1\n\nx'
	first look-2-53 64 'impossible size' 'HTTP/1.1 206 OK\nContent-Range: bytes 0-0/9007199254740991\nContent-Length: 1\n\nx'
	first look-length-minus 75 '' 'HTTP/1.1 200 OK\nContent-Length: -1\n\nx'
	first look-chunks 75 'how long' 'HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n1\nx\n0\n\n'
	first look-encoded 75 "encoded as 'gzip'" 'HTTP/1.1 200 OK\nContent-Encoding: gzip\nContent-Length: 1000\n\nx'
	first look-header-flood 75 '' 'HTTP/1.1 200 OK\n@REPEAT@\nX-Flood: y\n'
	first look-http-0.9 75 '' 'the weights'
	first look-nothing 75 '' ''
}

# By names, which HTTP/2 is agreed on for; where /etc/hosts can be given for this test.
http_2() {
	printf '%s\n' '127.0.0.1 localhost' '127.0.0.1 rst.h2.example' '127.0.0.1 goaway.h2.example' \
		'127.0.0.1 pings.h2.example' '127.0.0.1 continuation.h2.example' '127.0.0.1 garbage.h2.example' >"$T/names"
	mount --bind "$T/names" /etc/hosts 2>/dev/null || return 0
	touch "$T/hosts"
	h2 rst 75 '' '000004 03 00 00000001 00000007'
	h2 goaway 75 '' '000008 07 00 00000000 00000000 0000000b'
	h2 pings 75 '' '@REPEAT@ 000008 06 00 00000000 0000000000000000 000000 04 00 00000000'
	h2 continuation 75 '' '000001 01 00 00000001 88 @REPEAT@ 000004 09 00 00000001 00016100'
	h2 garbage 75 '' 'ffffff ff ff ffffffff 00'
}

@test "answers that no honest origin gives: one line that says so, in bounded time, and no file" {
	heads_of_ranges
	floods_and_chunks
	without_ranges
	first_looks
	http_2
	try_rows
	for name in whole plain/whole hints pieces plain/pieces http-1.0 closed plain/closed chunks chunks-long trailer-flood \
		all-chunks plain/all-chunks; do
		[ "$(stat -c %s "$T/out/$name/file")" -eq 1000 ]
	done
	[ "$(stat -c %s "$T/out/empty/file")" -eq 0 ]
	# a flood is cut off, and not asked for again and again (by either way)
	[ "$(curl --silent --insecure --noproxy '*' "https://127.0.0.1:$PORT/_asked/header-flood")" -le 16 ]
	[ -e "$T/hosts" ] || skip "all but HTTP/2: cannot mount over /etc/hosts"
}
