// SPDX-License-Identifier: Apache-2.0
/*
 * A journal and a record of `pull`: what is believed of them lies within the file, and says the same when
 * it is written and read again.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "fetch/shelf_journal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A file of each kind of promise. */
static struct bl_manifest *files(void)
{
	static struct bl_manifest *made;
	const struct bl_digest sha256 = {.bytes = {1, 2, 3}, .len = 32};
	const struct bl_digest md5 = {.bytes = {4}, .len = 16};
	struct bl_entry entries[] = {
		{.path = "a/model", .size = 1000},
		{.path = "config", .size = 10, .etag = "\"e\""},
		{.path = "generation", .size = INT64_C(1) << 40, .generation = "17"},
	};

	if (made)
		return made;
	bl_manifest_promise(&entries[0], BL_DIGEST_SHA256, &sha256);
	bl_manifest_promise(&entries[1], BL_DIGEST_MD5, &md5);
	if (bl_manifest_new(NULL, NULL, &made, NULL) < 0)
		abort();
	for (size_t i = 0; i < sizeof(entries) / sizeof(*entries); i++)
		if (bl_manifest_add(made, &entries[i], NULL) < 0)
			abort();
	if (bl_manifest_finish(made, NULL) < 0)
		abort();
	return made;
}

static void check_journal(const struct bl_entry *entry, const char *text, size_t len)
{
	auto_buf again = BL_BUF_INIT(BL_SHELF_JOURNAL_MAX);
	auto_ranges have = {0};
	auto_ranges same = {0};

	bl_shelf_journal_read(text, len, "s", entry, &have);
	for (size_t i = 0; i < have.count; i++) {
		assert(have.at[i].from >= (i ? have.at[i - 1].to : 0));
		assert(have.at[i].from < have.at[i].to && have.at[i].to <= entry->size);
	}
	if (bl_shelf_journal_write(entry, "s", &have, &again, NULL) < 0)
		return;
	bl_shelf_journal_read(bl_buf_str(&again), again.len, "s", entry, &same);
	assert(same.count == have.count);
	assert(have.count == 0 || memcmp(same.at, have.at, have.count * sizeof(*have.at)) == 0);
}

static void check_record(struct bl_manifest *manifest, const char *line, size_t len)
{
	auto_buf again = BL_BUF_INIT(BL_SHELF_LINE_MAX);
	struct bl_digest found, same;
	struct bl_entry *entry = bl_shelf_record_read(line, len, "s", manifest, &found);

	if (!entry)
		return;
	assert(found.len == 32);
	if (bl_shelf_record_write(entry, "s", &found, &again, NULL) < 0)
		abort();
	assert(bl_shelf_record_read(again.data, again.len - 1, "s", manifest, &same) == entry);
	assert(bl_digest_equal(&same, &found));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bl_manifest *manifest = files();

	for (size_t i = 0; i < bl_manifest_count(manifest); i++)
		check_journal(bl_manifest_at(manifest, i), (const char *)data, size);
	check_record(manifest, (const char *)data, size);
	return 0;
}
