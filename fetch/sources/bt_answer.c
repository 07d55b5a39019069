/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/sources/bt_answer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "fetch/auth/crypto.h"
#include "fetch/sources/cloud.h"

static int no_answer(struct bl_err *err)
{
	return bl_cloud_fail(err, EBADMSG,
			     "the training API gives another answer than its client "
			     "knows; the endpoint \"bt\" may be wrong");
}

static int read_object(const char *text, size_t len, bl_json **ret, struct bl_err *err)
{
	const struct bl_json_limits limits = {.max_bytes = BL_BT_ANSWER_MAX, .fractions = true};
	auto_json json = NULL;
	int r = bl_json_parse(text, len, &limits, &json, NULL);

	if (r == -ENOMEM)
		return bl_err_nomem(err);
	if (r < 0 || !bl_json_is_object(json))
		return no_answer(err);
	*ret = TAKE_PTR(json);
	return 0;
}

/* ---- One of a list ---- */

static bool is(const bl_json *element, const char *key, const char *wanted)
{
	const char *text = NULL;

	return key && bl_json_get_string(element, key, &text, NULL) > 0 &&
	       strcmp(text, wanted) == 0;
}

/* Dates are ISO 8601 in one zone: the later one is the greater text. */
static bool later(const bl_json *element, const bl_json *than)
{
	const char *a = "";
	const char *b = "";

	(void)bl_json_get_string(element, "created_at", &a, NULL);
	(void)bl_json_get_string(than, "created_at", &b, NULL);
	return strcmp(a, b) > 0;
}

static int find(const bl_json *array, const char *id, const char *name, const char *wanted,
		const bl_json **ret, struct bl_err *err)
{
	size_t named = 0;

	*ret = NULL;
	for (const bl_json *at = bl_json_first(array); at; at = bl_json_next(at)) {
		if (!bl_json_is_object(at))
			return no_answer(err);
		if (!wanted) {
			if (!*ret || later(at, *ret))
				*ret = at;
		} else if (is(at, id, wanted)) {
			*ret = at;
			return 0;
		} else if (is(at, name, wanted)) {
			*ret = at;
			named++;
		}
	}
	if (named > 1)
		return bl_cloud_fail(err, EINVAL, "'%.100s' is the name of %zu; write its id",
				     wanted, named);
	return *ret ? 0 : bl_cloud_fail(err, ENOENT, "there is none; check its name");
}

int bl_bt_pick(const char *text, size_t len, const char *list, const char *id, const char *name,
	       const char *wanted, char **ret, struct bl_err *err)
{
	auto_json json = NULL;
	const bl_json *array = NULL;
	const bl_json *element = NULL;
	const char *found = NULL;
	int r = read_object(text, len, &json, err);

	if (r < 0)
		return r;
	if (bl_json_get_array(json, list, &array, NULL) <= 0)
		return no_answer(err);
	r = find(array, id, name, wanted, &element, err);
	if (r < 0)
		return r;
	if (bl_json_get_string(element, id, &found, NULL) <= 0 || strlen(found) > BL_BT_TEXT_MAX)
		return no_answer(err);
	*ret = strdup(found);
	return *ret ? 0 : bl_err_nomem(err);
}

/* ---- Files ---- */

static void file_done(struct bl_bt_file *file)
{
	free(file->name);
	bl_crypto_free_secret(&file->url);
	free(file->modified);
}

void bl_bt_files_done(struct bl_bt_files *files)
{
	int saved = errno;

	for (size_t i = 0; i < files->count; i++)
		file_done(&files->files[i]);
	free(files->files);
	*files = (struct bl_bt_files){0};
	errno = saved;
}

/* What follows "CHECKPOINT/"; NULL for another checkpoint's file. */
static const char *name_beneath(const char *name, const char *checkpoint)
{
	size_t len = strlen(checkpoint);

	if (strcmp(checkpoint, ".") == 0)
		return name;
	return strncmp(name, checkpoint, len) == 0 && name[len] == '/' ? name + len + 1 : NULL;
}

static int add(struct bl_bt_files *files, const char *name, const char *url, const char *modified,
	       int64_t size, struct bl_err *err)
{
	struct bl_bt_file file = {.name = strdup(name), .url = strdup(url), .size = size};
	struct bl_bt_file *grown;

	if (modified && bl_cloud_is_word(modified, 64, "-:.+"))
		file.modified = strdup(modified);
	files->bytes += strlen(url);
	if (!file.name || !file.url || files->count == BL_BT_FILES_MAX ||
	    files->bytes > BL_BT_URLS_MAX) {
		bool nomem = !file.name || !file.url;

		file_done(&file);
		return nomem ? bl_err_nomem(err)
			     : bl_cloud_fail(err, EFBIG,
					     "the job has more files than Ballast "
					     "handles; name a checkpoint");
	}
	grown = reallocarray(files->files, files->count + 1, sizeof(*grown));
	if (!grown) {
		file_done(&file);
		return bl_err_nomem(err);
	}
	files->files = grown;
	files->files[files->count++] = file;
	return 0;
}

static int add_element(const bl_json *element, const char *checkpoint, struct bl_bt_files *files,
		       struct bl_err *err)
{
	const char *name = NULL;
	const char *url = NULL;
	const char *modified = NULL;
	int64_t size;

	if (!bl_json_is_object(element) ||
	    bl_json_get_string(element, "relative_file_name", &name, NULL) <= 0 ||
	    bl_json_get_string(element, "url", &url, NULL) <= 0 ||
	    bl_json_get_int(element, "size_bytes", 0, BL_JSON_INT_MAX, &size, NULL) <= 0)
		return no_answer(err);
	(void)bl_json_get_string(element, "last_modified", &modified, NULL);
	name = name_beneath(name, checkpoint);
	return name ? add(files, name, url, modified, size, err) : 0;
}

int bl_bt_page_parse(const char *text, size_t len, const char *checkpoint,
		     struct bl_bt_files *files, char **next, size_t *listed, struct bl_err *err)
{
	auto_json json = NULL;
	const bl_json *array = NULL;
	const bl_json *value = NULL;
	const char *mark = NULL;
	int r = read_object(text, len, &json, err);

	if (r < 0)
		return r;
	if (bl_json_get_array(json, "presigned_urls", &array, NULL) <= 0)
		return no_answer(err);
	*listed = bl_json_length(array);
	for (const bl_json *at = bl_json_first(array); at; at = bl_json_next(at)) {
		r = add_element(at, checkpoint, files, err);
		if (r < 0)
			return r;
	}
	*next = NULL;
	/* Null on the last page. What is no text must not end the listing: what follows would be missing in
	 * silence. */
	if (bl_json_get(json, "next_page_token", &value, NULL) > 0 && !bl_json_is_null(value)) {
		mark = bl_json_string(value);
		if (!mark)
			return no_answer(err);
	}
	if (mark && *mark && !(*next = strdup(mark)))
		return bl_err_nomem(err);
	return 0;
}
