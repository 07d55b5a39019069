# SPDX-License-Identifier: Apache-2.0
# docs/errors.md keeps up with the code, and the code with docs/errors.md.

load hook

# messages FILE...: the constant parts of the messages in these files, one a line.
messages() {
	/usr/bin/python3 -c 'import re, sys
for name in sys.argv[1:]:
    text = open(name, encoding="utf-8").read()
    text = re.sub(r"BL_BOX_SHIM|BL_BOX_DIR", "\"/run/ballast/shim\"", text)
    text = text.replace("\" DOMAIN \"", "ballast.dev")
    text = re.sub(r"\" DOMAIN \"|\" BL_KEY_WEIGHTS|\" CONFIG_NAME \"", "", text)
    for call in re.finditer(r"bl_err_(?:config|refuse|retry)\(\s*\w+,\s*((?:\"(?:[^\"\\]|\\.)*\"\s*)+)|bl_err_set\(\s*\w+,\s*\w+,\s*-?\w+,\s*((?:\"(?:[^\"\\]|\\.)*\"\s*)+)|malformed\((\"[^\"]*\")", text):
        literal = "".join(re.findall(r"\"((?:[^\"\\]|\\.)*)\"", call.group(1) or call.group(2) or ""))
        parts = [p.strip(" :;,.\x27()") for p in re.split(r"%[-+ #0-9.*]*(?:z|ll|l)?[a-z]|\\.", literal)]
        longest = max(parts, key=len, default="")
        if len(longest) > 11:
            print(longest[:24].strip())' "$@" | sort -u
}

@test "every message of hook and shim is in docs/errors.md" {
	local missing=0 page text
	page=$(tr -s ' \n' ' ' <"$TESTS/../docs/errors.md")
	while read -r text; do
		if [[ $page != *"$text"* ]]; then
			echo "not in docs/errors.md: $text" >&2
			missing=$((missing + 1))
		fi
	done < <(cd "$TESTS/.." && messages hook/*.c shim/*.c common/attach*.c common/mount.c common/agent_client.c)
	[ "$missing" -eq 0 ]
}

@test "every message in docs/errors.md is one that hook or shim can say" {
	run /usr/bin/python3 - "$TESTS/.." <<-'PYTHON'
		import glob, re, sys
		top = sys.argv[1]
		literal = r'"(?:[^"\\\n]|\\.)*"'
		said = []
		for program in ("hook", "shim", "common"):
		    for name in glob.glob(f"{top}/{program}/*.[ch]"):
		        text = open(name, encoding="utf-8").read()
		        text = re.sub(r"BL_BOX_SHIM", '"/run/ballast/shim"', text)
		        for run in re.findall(rf"{literal}(?:\s+(?:BL_\w+|PRI\w+|{literal}))*", text):
		            joined = "".join(part[1:-1] for part in re.findall(literal, run)).replace('\\"', '"')
		            said.append(re.sub(r"%[-0-9.*]*(?:z|ll|l)?[a-z]", "\0", joined))
		said = "\n".join(said)
		# What stands for "...", a name, or a number that the code has in a macro.
		hole = re.compile(r"'\.\.\.'|\"\.\.\.\"|\.\.\.|\b[NM]\b|\b\d+\b|DIR/TENANT/NAME")
		page = open(f"{top}/docs/errors.md", encoding="utf-8").read().split("## Annotations")[1]
		quotes = re.findall(r"`(.*?)`", "\n".join(re.findall(r"^\| (`.*?) \|", page, re.M)))
		assert len(quotes) > 100, len(quotes)
		words = lambda text: " ".join(re.findall(r"[A-Za-z_']+", text))
		spoken = " % ".join(words(part) for part in re.split(r"\0|\n", said))
		def sayable(piece, parts):
		    """Put together from so many parts of messages: what a %s stands for is another literal."""
		    if f" {' '.join(piece)} " in f" {spoken} ":
		        return True
		    return parts > 1 and any(sayable(piece[:n], 1) and sayable(piece[n:], parts - 1)
		                             for n in range(1, len(piece)))
		for quote in quotes:
		    for piece in hole.split(quote.replace("No such file or directory", "...")):
		        piece = words(piece).split()
		        if not sayable(piece, min(3, 1 + len(piece) // 2)):
		            print(f"nobody says {' '.join(piece)!r}, of {quote!r}")
	PYTHON
	assert_equal "$output" ""
}
