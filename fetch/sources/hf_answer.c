/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/sources/hf_answer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/err.h"

#define MAX_VALUES (128 * 1024) /* JSON values of one answer */

static int parse(const char *text, size_t len, bl_json **ret, struct bl_err *err)
{
	const struct bl_json_limits limits = {
		.max_bytes = BL_HF_MAX_ANSWER, .max_values = MAX_VALUES, .fractions = true};

	if (bl_json_parse(text, len, &limits, ret, err) < 0) {
		bl_err_wrap(err, "the Hub's answer is not what its protocol says: ");
		err->code = BL_EX_RETRY;
		return -EIO;
	}
	return 0;
}

static bool is_commit(const char *text)
{
	return strlen(text) >= 40 && strlen(text) < BL_HF_COMMIT_SIZE &&
	       strspn(text, "0123456789abcdef") == strlen(text);
}

int bl_hf_answer_revision(const char *text, size_t len, char commit[BL_HF_COMMIT_SIZE],
			  bool *credential, struct bl_err *err)
{
	auto_json json = NULL;
	const bl_json *gated = NULL;
	const char *sha = NULL;
	bool private = *credential;
	int rc = parse(text, len, &json, err);

	if (rc < 0)
		return rc;
	if (!bl_json_is_object(json) || bl_json_get_string(json, "sha", &sha, err) <= 0 ||
	    !is_commit(sha))
		return bl_err_set(err, BL_EX_RETRY, EIO,
				  "the Hub does not say which commit the revision is");
	(void)bl_json_get_bool(json, "private", &private, NULL);
	*credential = private || (bl_json_get(json, "gated", &gated, NULL) > 0 &&
				  (bl_json_is_string(gated) || bl_json_bool(gated)));
	snprintf(commit, BL_HF_COMMIT_SIZE, "%s", sha);
	return 0;
}

/* What the tree says of one file. */
static int add_file(struct bl_manifest *manifest, const bl_json *item, struct bl_err *err)
{
	struct bl_entry entry = {0};
	struct bl_digest digest = {0};
	const char *oid = NULL;
	const bl_json *lfs = NULL;
	int rc;

	/* Some mirrors write null where the Hub leaves the member out. */
	bool has_lfs = bl_json_get(item, "lfs", &lfs, err) > 0 && !bl_json_is_null(lfs);
	lfs = NULL;
	if ((rc = bl_json_get_string(item, "path", &entry.path, err)) <= 0 ||
	    (rc = bl_json_get_int(item, "size", 0, BL_MANIFEST_MAX_SIZE, &entry.size, err)) <= 0 ||
	    (rc = bl_json_get_string(item, "oid", &oid, err)) <= 0 ||
	    (has_lfs && (rc = bl_json_get_object(item, "lfs", &lfs, err)) < 0))
		return bl_err_set(err, BL_EX_RETRY, EIO,
				  "a file of the Hub's listing lacks path, size or oid");
	if (lfs) {
		if (bl_json_get_string(lfs, "oid", &oid, err) <= 0 ||
		    bl_digest_from_hex(oid, 32, &digest) < 0 ||
		    bl_json_get_int(lfs, "size", 0, BL_MANIFEST_MAX_SIZE, &entry.size, err) <= 0)
			return bl_err_set(err, BL_EX_RETRY, EIO,
					  "'%.200s' of the Hub's listing has no usable lfs.oid",
					  entry.path);
	} else if (bl_digest_from_hex(oid, 20, &digest) < 0) {
		return bl_err_set(err, BL_EX_RETRY, EIO,
				  "'%.200s' of the Hub's listing has no usable oid", entry.path);
	}
	bl_manifest_promise(&entry, lfs ? BL_DIGEST_SHA256 : BL_DIGEST_GIT_SHA1, &digest);
	return bl_manifest_add(manifest, &entry, err);
}

int bl_hf_answer_page(const char *text, size_t len, struct bl_manifest *manifest,
		      struct bl_err *err)
{
	auto_json page = NULL;
	int rc = parse(text, len, &page, err);

	if (rc < 0)
		return rc;
	if (!bl_json_is_array(page))
		return bl_err_set(err, BL_EX_RETRY, EIO, "the Hub's listing is no array");
	for (const bl_json *at = bl_json_first(page); at; at = bl_json_next(at)) {
		const char *type = NULL;

		if (!bl_json_is_object(at) || bl_json_get_string(at, "type", &type, err) <= 0)
			return bl_err_set(err, BL_EX_RETRY, EIO,
					  "an element of the Hub's listing has no type");
		if (strcmp(type, "file") == 0 && (rc = add_file(manifest, at, err)) < 0)
			return rc;
	}
	return 0;
}
