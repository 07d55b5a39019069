/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/shelf_journal.h"

#include <string.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/err.h"

/* The entry and where it is from as one JSON object. */
static bl_json *describe(const struct bl_entry *entry, const char *source, struct bl_err *err)
{
	auto_json list = bl_json_new_array();
	auto_json object = NULL;

	if (!list || bl_manifest_entry_to_json(entry, list, err) < 0)
		return NULL;
	object = bl_json_copy(bl_json_first(list));
	return object && bl_json_set_string(object, "source", source) ? TAKE_PTR(object) : NULL;
}

/* Whether what is described is still what the entry promises. */
static bool is_of(const struct bl_entry *entry, const char *source, const bl_json *described)
{
	const char *from = NULL;

	return bl_manifest_same_promise(entry, described,
					bl_json_get_string(described, "source", &from, NULL) > 0 &&
						strcmp(from, source) == 0);
}

void bl_shelf_journal_read(const char *text, size_t len, const char *source,
			   const struct bl_entry *entry, struct bl_ranges *have)
{
	const struct bl_json_limits limits = {.max_bytes = BL_SHELF_JOURNAL_MAX};
	const bl_json *list = NULL;
	auto_json json = NULL;

	if (bl_json_parse(text, len, &limits, &json, NULL) < 0 || !bl_json_is_object(json) ||
	    !is_of(entry, source, json) || bl_json_get_array(json, "have", &list, NULL) <= 0)
		return;
	(void)bl_ranges_from_json(list, entry->size, have, NULL);
}

int bl_shelf_journal_write(const struct bl_entry *entry, const char *source,
			   const struct bl_ranges *have, struct bl_buf *to, struct bl_err *err)
{
	auto_json journal = describe(entry, source, err);
	int rc;

	if (!journal)
		return bl_err_nomem(err);
	rc = bl_ranges_to_json(have, journal, "have", err);
	return rc < 0 ? rc : bl_json_write(to, journal, err);
}

struct bl_entry *bl_shelf_record_read(const char *line, size_t len, const char *source,
				      struct bl_manifest *manifest, struct bl_digest *found)
{
	const struct bl_json_limits limits = {.max_bytes = BL_SHELF_LINE_MAX};
	const char *path = NULL, *hex = NULL;
	struct bl_entry *entry;
	auto_json json = NULL;

	if (bl_json_parse(line, len, &limits, &json, NULL) < 0 || !bl_json_is_object(json) ||
	    bl_json_get_string(json, "path", &path, NULL) <= 0 ||
	    bl_json_get_string(json, "found", &hex, NULL) <= 0 ||
	    bl_digest_from_hex(hex, 32, found) < 0)
		return NULL;
	entry = bl_manifest_find(manifest, path);
	return entry && is_of(entry, source, json) ? entry : NULL;
}

int bl_shelf_record_write(const struct bl_entry *entry, const char *source,
			  const struct bl_digest *found, struct bl_buf *to, struct bl_err *err)
{
	auto_json line = describe(entry, source, err);
	char hex[65];
	int rc;

	bl_digest_to_hex(found, hex);
	if (!line || !bl_json_set_string(line, "found", hex))
		return bl_err_nomem(err);
	rc = bl_json_write(to, line, err);
	return rc < 0 ? rc : bl_buf_puts(to, "\n", err);
}
