# SPDX-License-Identifier: Apache-2.0
# docs/errors.md keeps up with the code.

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

@test "every message of the hook is in docs/errors.md" {
	local missing=0 page text
	page=$(tr -s ' \n' ' ' <"$TESTS/../docs/errors.md")
	while read -r text; do
		if [[ $page != *"$text"* ]]; then
			echo "not in docs/errors.md: $text" >&2
			missing=$((missing + 1))
		fi
	done < <(cd "$TESTS/.." && messages hook/*.c common/attach*.c common/mount.c common/agent_client.c)
	[ "$missing" -eq 0 ]
}
