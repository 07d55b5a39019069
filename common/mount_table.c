// SPDX-License-Identifier: Apache-2.0
#include "common/mount_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"

int bl_mount_table_read(int fd, struct bl_mount_table *table, struct bl_err *err)
{
	int r = bl_buf_read(&table->text, fd, err);

	if (r < 0)
		bl_err_wrap(err, "mountinfo: ");
	return r;
}

void bl_mount_table_done(struct bl_mount_table *table)
{
	bl_buf_done(&table->text);
}

/* Copies the next word of *at, which ends at a blank or the line's end, and moves on. */
static void take_word(const char **at, char *to, size_t size)
{
	size_t len = strcspn(*at, " \n");
	size_t copied = len < size ? len : size ? size - 1 : 0;

	if (size > 0) {
		memcpy(to, *at, copied);
		to[copied] = '\0';
	}
	*at += len;
	if (**at == ' ')
		(*at)++;
}

/*
 * A line: "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue": id,
 * parent, device, root, mount point, options, optional fields, "-", type, source, options.
 */
static bool parse_line(const char *line, struct bl_mount_entry *ret)
{
	struct bl_mount_entry entry = {0};
	char word[64];
	const char *at = line;
	char *end;

	entry.id = strtoull(at, &end, 10);
	if (end == at || *end != ' ')
		return false;
	at = end + 1;
	take_word(&at, word, sizeof(word));
	take_word(&at, word, sizeof(word));
	if (sscanf(word, "%u:%u", &entry.major, &entry.minor) != 2)
		return false;
	take_word(&at, entry.root, sizeof(entry.root));
	take_word(&at, word, sizeof(word));
	take_word(&at, word, sizeof(word));
	for (;;) {
		take_word(&at, word, sizeof(word));
		if (word[0] == '\0')
			return false;
		if (strcmp(word, "-") == 0)
			break;
		if (strncmp(word, "shared:", 7) == 0)
			entry.shared = true;
	}
	take_word(&at, entry.type, sizeof(entry.type));
	take_word(&at, entry.source, sizeof(entry.source));
	*ret = entry;
	return true;
}

static const char *next_line(const char *line)
{
	const char *eol = strchr(line, '\n');

	return eol && eol[1] ? eol + 1 : NULL;
}

int bl_mount_table_find(const struct bl_mount_table *table, uint64_t id, struct bl_mount_entry *ret)
{
	for (const char *line = bl_buf_str(&table->text); line && *line; line = next_line(line))
		if (strtoull(line, NULL, 10) == id)
			return parse_line(line, ret) ? 1 : 0;
	return 0;
}

bool bl_mount_table_has_device(const struct bl_mount_table *table, unsigned major, unsigned minor)
{
	struct bl_mount_entry entry;

	for (const char *line = bl_buf_str(&table->text); line && *line; line = next_line(line))
		if (parse_line(line, &entry) && entry.major == major && entry.minor == minor)
			return true;
	return false;
}

/* A character of an escaped word, "\040" for a blank; moves *at on. */
static char take_character(const char **at)
{
	const char *c = *at;

	if (c[0] == '\\' && c[1] >= '0' && c[1] <= '3' && c[2] >= '0' && c[2] <= '7' &&
	    c[3] >= '0' && c[3] <= '7') {
		*at += 4;
		return (char)((c[1] - '0') << 6 | (c[2] - '0') << 3 | (c[3] - '0'));
	}
	*at += 1;
	return *c;
}

static bool begins_with(const char *word, const char *path)
{
	while (*path && *word != ' ' && *word != '\n' && *word)
		if (take_character(&word) != *path++)
			return false;
	return !*path && *word == '/';
}

bool bl_mount_table_beneath(const struct bl_mount_table *table, const char *path, char *to,
			    size_t size)
{
	for (const char *line = bl_buf_str(&table->text); line && *line; line = next_line(line)) {
		const char *at = line;

		for (int i = 0; i < 4; i++) /* the mount point is the fifth word */
			take_word(&at, NULL, 0);
		if (!begins_with(at, path))
			continue;
		take_word(&at, to, size);
		return true;
	}
	return false;
}
