// SPDX-License-Identifier: Apache-2.0
#include "hook/precreate.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/json.h"
#include "hook/annotations.h"
#include "hook/bundle.h"
#include "hook/options.h"
#include "hook/plan.h"
#include "hook/splice.h"

/* What the shim needs as root to become the server: no more, and only what the process may have. */
static const char *const wanted[] = {"CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP", "CAP_CHOWN",
				     "CAP_DAC_OVERRIDE"};

#define EDITS_MAX 8
#define TEXT_MAX  65536

/* The texts of the edits, kept until they are applied. */
struct edits {
	struct bl_splice_edit list[EDITS_MAX];
	struct bl_buf texts[EDITS_MAX];
	size_t count;
};

static void edits_done(struct edits *edits)
{
	for (size_t i = 0; i < EDITS_MAX; i++)
		bl_buf_done(&edits->texts[i]);
}

#define auto_edits __attribute__((cleanup(edits_done))) struct edits

/* The text of a new edit, to be appended to. */
static struct bl_buf *new_edit(struct edits *edits, struct bl_splice_span where)
{
	edits->texts[edits->count] = BL_BUF_INIT(TEXT_MAX);
	edits->list[edits->count].where = where;
	return &edits->texts[edits->count++];
}

/*
 * An edit that gives a member of the object a new value: what stood there is replaced, what did not
 * is put first. The caller appends the value.
 */
static struct bl_buf *set_member(struct edits *edits, const char *text,
				 struct bl_splice_span object, const char *key, bool *missing,
				 struct bl_err *err)
{
	struct bl_splice_span where;
	struct bl_buf *to;

	*missing = !bl_splice_find(text, object, key, &where);
	if (*missing)
		where = (struct bl_splice_span){object.from + 1, object.from + 1};
	to = new_edit(edits, where);
	if (*missing && bl_buf_putf(to, err, "\"%s\":", key) < 0)
		return NULL;
	return to;
}

static bool is_empty(const char *text, struct bl_splice_span container)
{
	size_t at = container.from + 1;

	return at + strspn(text + at, " \t\r\n") + 1 == container.to;
}

/* ---- The three changes ---- */

static int put_shim_first(struct edits *edits, const char *text, struct bl_splice_span process,
			  struct bl_err *err)
{
	struct bl_splice_span args;
	bool missing = false;
	struct bl_buf *to;

	if (bl_splice_find(text, process, "args", &args) && text[args.from] == '[') {
		to = new_edit(edits, (struct bl_splice_span){args.from + 1, args.from + 1});
		/* What the image begins with may look like an option of the shim's. */
		return bl_buf_putf(to, err, "\"%s\"%s", BL_BOX_SHIM,
				   is_empty(text, args) ? "" : ",\"--\",");
	}
	to = set_member(edits, text, process, "args", &missing, err);
	return to ? bl_buf_putf(to, err, "[\"%s\"]%s", BL_BOX_SHIM,
				missing && !is_empty(text, process) ? "," : "")
		  : -ENOMEM;
}

static int become_root(struct edits *edits, const char *text, struct bl_splice_span process,
		       struct bl_err *err)
{
	static const char *const ids[] = {"uid", "gid"};
	struct bl_splice_span user;
	bool missing = false;
	struct bl_buf *to;
	int r = 0;

	if (!bl_splice_find(text, process, "user", &user) || text[user.from] != '{' ||
	    is_empty(text, user)) {
		to = set_member(edits, text, process, "user", &missing, err);
		return to ? bl_buf_putf(to, err, "{\"uid\":0,\"gid\":0}%s", missing ? "," : "")
			  : -ENOMEM;
	}
	/* What else is there (the umask, --group-add) stays. */
	for (size_t i = 0; i < sizeof(ids) / sizeof(*ids) && r == 0; i++) {
		to = set_member(edits, text, user, ids[i], &missing, err);
		r = to ? bl_buf_putf(to, err, "0%s", missing ? "," : "") : -ENOMEM;
	}
	return r;
}

static bool has(const bl_json *set, const char *name)
{
	for (const bl_json *e = set ? bl_json_first(set) : NULL; e; e = bl_json_next(e))
		if (bl_json_string(e) && strcasecmp(bl_json_string(e), name) == 0)
			return true;
	return false;
}

/* The set as it is and those of `wanted` that the bounding set has. */
static int write_set(struct bl_buf *to, const bl_json *set, const bl_json *bounding,
		     struct bl_err *err)
{
	const char *comma = "";
	int r = bl_buf_puts(to, "[", err);

	for (const bl_json *e = set ? bl_json_first(set) : NULL; e && r == 0; e = bl_json_next(e)) {
		r = bl_buf_puts(to, comma, err);
		if (r == 0)
			r = bl_json_write_string(to, bl_json_string(e), err);
		comma = ",";
	}
	for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted) && r == 0; i++) {
		if (!has(bounding, wanted[i]) || has(set, wanted[i]))
			continue;
		r = bl_buf_putf(to, err, "%s\"%s\"", comma, wanted[i]);
		comma = ",";
	}
	return r < 0 ? r : bl_buf_puts(to, "]", err);
}

static int raise_capabilities(struct edits *edits, const char *text, struct bl_splice_span process,
			      const bl_json *config, struct bl_err *err)
{
	static const char *const names[] = {"permitted", "effective"};
	const bl_json *object = NULL;
	const bl_json *sets = NULL;
	const bl_json *bounding = NULL;
	struct bl_splice_span where;
	int r = bl_json_get_object(config, "process", &object, err);

	if (r == 1)
		r = bl_json_get_object(object, "capabilities", &sets, err);
	if (r == 1)
		r = bl_json_get_strings(sets, "bounding", &bounding, err);
	/* Without a bounding set there is nothing to be had; the plan says what that means. */
	if (r <= 0 || !bl_splice_find(text, process, "capabilities", &where))
		return r;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		const bl_json *set = NULL;
		bool missing = false;
		struct bl_buf *to;

		r = bl_json_get_strings(sets, names[i], &set, err);
		if (r < 0)
			return r;
		to = set_member(edits, text, where, names[i], &missing, err);
		r = to ? write_set(to, set, bounding, err) : -ENOMEM;
		if (r == 0 && missing)
			r = bl_buf_puts(to, ",", err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- All of it ---- */

/* Whether what is asked for is the shim's to do. */
static bool needs_shim(const struct bl_annotations *annotations)
{
	const char *wait = annotations->values[BL_ANNOTATION_WAIT].text;

	return annotations->values[BL_ANNOTATION_DOCKER_SERVER].text ||
	       annotations->values[BL_ANNOTATION_ENVIRONMENT].text ||
	       (wait && strstr(wait, "\"defer\""));
}

/* The plan as it will be with the shim: it says which user the server is to have. */
static int plan_with_shim(const struct bl_annotations *annotations, const struct bl_bundle *bundle,
			  const struct bl_options *options, bool *root, struct bl_err *err)
{
	struct bl_bundle with = *bundle;
	auto_plan plan = {0};
	int r;

	with.command = BL_BOX_SHIM;
	with.own_mounts = true; /* judged when the container is made */
	with.may_set_ids = true;
	r = bl_plan_make(annotations, &with, options, &plan, err);
	*root = plan.server_uid != bundle->uid;
	return r;
}

static int edit(const struct bl_bundle *bundle, const char *text, bool root, struct edits *edits,
		struct bl_err *err)
{
	bool there = bundle->command && strcmp(bundle->command, BL_BOX_SHIM) == 0;
	struct bl_splice_span process;
	int r;

	if (!bl_splice_find(text, bl_splice_value(text, 0), "process", &process) ||
	    text[process.from] != '{')
		return bl_err_config(err, "config.json: process: is missing");
	r = there ? 0 : put_shim_first(edits, text, process, err);
	if (r == 0 && root)
		r = become_root(edits, text, process, err);
	if (r == 0 && root)
		r = raise_capabilities(edits, text, process, bundle->json, err);
	for (size_t i = 0; i < edits->count; i++)
		edits->list[i].with = bl_buf_str(&edits->texts[i]);
	return r < 0 ? r : 0;
}

/* The result is read as a runtime reads it: it must say what was meant. */
static int check_result(const struct bl_buf *to, const struct bl_annotations *annotations,
			const struct bl_options *options, struct bl_err *err)
{
	auto_bundle bundle = {0};
	auto_plan plan = {0};
	int r = bl_bundle_parse(bl_buf_str(to), to->len, "/", &bundle, err);

	bundle.own_mounts = true;
	if (r == 0)
		r = bl_plan_make(annotations, &bundle, options, &plan, err);
	if (r == 0 && !plan.shim)
		return bl_err_config(err, "config.json: process: its keys must be written without "
					  "escapes");
	return r;
}

int bl_precreate_run(const char *text, size_t len, const struct bl_options *options,
		     struct bl_buf *to, struct bl_err *err)
{
	struct bl_annotations annotations;
	auto_bundle bundle = {0};
	auto_edits edits = {.count = 0};
	bool root = false;
	int r = bl_bundle_parse(text, len, "/", &bundle, err);

	if (r == 0)
		r = bl_annotations_read(bundle.annotations, options, &annotations, err);
	if (r < 0)
		return r;
	if (annotations.sandbox || !needs_shim(&annotations))
		return bl_buf_append(to, text, len, err);
	r = plan_with_shim(&annotations, &bundle, options, &root, err);
	if (r == 0)
		r = edit(&bundle, text, root, &edits, err);
	if (r == 0)
		r = bl_splice_apply(to, text, len, edits.list, edits.count, err);
	return r < 0 ? r : check_result(to, &annotations, options, err);
}
