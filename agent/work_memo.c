// SPDX-License-Identifier: Apache-2.0
#include "agent/work_memo.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/cachedir.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/fs.h"
#include "common/sys.h"

#define SUFFIX	 ".memo"
#define HEX	 (BL_DIGEST_HEX - 1)
#define LINE	 (2 * HEX + 2)
#define NAME_LEN (HEX + sizeof(SUFFIX))

static void name_of(const char *ref_name, char name[NAME_LEN])
{
	(void)snprintf(name, NAME_LEN, "%.64s%s", ref_name, SUFFIX);
}

void bl_memo_add(const struct bl_cachedir *dirs, const char *ref_name, const struct bl_digest *key,
		 const struct bl_digest *content)
{
	char name[NAME_LEN];
	char line[LINE + 1];
	auto_fd fd = -1;

	name_of(ref_name, name);
	bl_digest_to_hex(key, line);
	line[HEX] = ' ';
	bl_digest_to_hex(content, line + HEX + 1);
	line[LINE - 1] = '\n';
	fd = bl_sys_openat(dirs->partial, name, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600);
	if (fd >= 0)
		(void)bl_sys_write_all(fd, line, LINE);
}

static int compare(const void *a, const void *b)
{
	return bl_digest_compare(&((const struct bl_memo_entry *)a)->key,
				 &((const struct bl_memo_entry *)b)->key);
}

size_t bl_memo_load(const struct bl_cachedir *dirs, const char *ref_name,
		    struct bl_memo_entry **ret)
{
	auto_buf text = BL_BUF_INIT(BL_MEMO_MAX);
	struct bl_memo_entry *entries;
	char name[NAME_LEN];
	size_t count = 0;

	*ret = NULL;
	name_of(ref_name, name);
	if (bl_fs_read_file(dirs->partial, name, &text, NULL) < 0)
		return 0;
	entries = calloc(text.len / LINE + 1, sizeof(*entries));
	/* Lines are of one length; a torn one ends what can be relied on. */
	for (size_t at = 0; entries && at + LINE <= text.len; at += LINE) {
		char *line = text.data + at;

		if (line[HEX] != ' ' || line[LINE - 1] != '\n')
			break;
		line[HEX] = line[LINE - 1] = '\0';
		if (bl_digest_from_hex(line, &entries[count].key) < 0 ||
		    bl_digest_from_hex(line + HEX + 1, &entries[count].content) < 0)
			break;
		count++;
	}
	if (entries)
		qsort(entries, count, sizeof(*entries), compare);
	*ret = entries;
	return count;
}

const struct bl_digest *bl_memo_find(const struct bl_memo_entry *entries, size_t count,
				     const struct bl_digest *key)
{
	const struct bl_memo_entry wanted = {.key = *key};
	const struct bl_memo_entry *found =
		count ? bsearch(&wanted, entries, count, sizeof(*entries), compare) : NULL;

	return found ? &found->content : NULL;
}

void bl_memo_remove(const struct bl_cachedir *dirs, const char *ref_name)
{
	char name[NAME_LEN];

	name_of(ref_name, name);
	(void)bl_sys_unlinkat(dirs->partial, name, 0);
}

void bl_memo_collect(const struct bl_cachedir *dirs, long age)
{
	auto_dir dir = NULL;
	const struct dirent *entry;
	time_t before = time(NULL) - age;

	(void)bl_fs_list(dirs->partial, ".", &dir);
	while (dir && (entry = readdir(dir))) {
		size_t len = strlen(entry->d_name);
		struct stat st;

		if (len != NAME_LEN - 1 || strcmp(entry->d_name + HEX, SUFFIX) != 0)
			continue;
		if (bl_sys_fstatat(dirs->partial, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    st.st_mtime < before)
			(void)bl_sys_unlinkat(dirs->partial, entry->d_name, 0);
	}
}
