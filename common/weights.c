// SPDX-License-Identifier: Apache-2.0
/*
 * One item at a time, field by field, then the list as a whole (mount locations against each
 * other). The source's text is taken apart in source.c.
 */
#include "common/weights.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/source.h"

#define SHA256_HEX 64
#define SHOWN	   96 /* bytes of a value that a message shows */

static const char *const item_keys[] = {
	"source",	   "mount_location", "auth",	 "auth_secret_name",	"allow_patterns",
	"ignore_patterns", "manifest",	     "revision", "runtime_secret_name", NULL};

/* Keys of the older model_cache, which people carry over. */
static const char *const model_cache_keys[] = {"repo_id", "kind", "use_volume", "volume_folder",
					       NULL};

static const char *const auth_keys[] = {"auth_method",
					"auth_secret_name",
					"aws_oidc_role_arn",
					"aws_oidc_region",
					"gcp_oidc_service_account",
					"gcp_oidc_workload_id_provider",
					NULL};

static const char *const method_names[] = {
	[BL_AUTH_NONE] = "",
	[BL_AUTH_CUSTOM_SECRET] = "CUSTOM_SECRET",
	[BL_AUTH_AWS_OIDC] = "AWS_OIDC",
	[BL_AUTH_GCP_OIDC] = "GCP_OIDC",
};

bool bl_weights_is_secret_name(const char *text)
{
	size_t len = strlen(text);

	if (len == 0 || len > BL_MAX_SECRET_NAME || strspn(text, "._-") > 0 ||
	    strchr("._-", text[len - 1]))
		return false;
	for (const char *c = text; *c; c++)
		if (!isascii((unsigned char)*c) ||
		    (!isalnum((unsigned char)*c) && !strchr("._-", *c)))
			return false;
	return true;
}

bool bl_weights_is_tenant(const char *text)
{
	return strlen(text) <= BL_MAX_TENANT && bl_weights_is_secret_name(text);
}

/* ---- Fields ---- */

/* As bl_json_get_string(), but null counts as absent (as it does for Truss), and bounded. */
static int get_text(const bl_json *object, const char *key, size_t max, const char **ret,
		    struct bl_err *err)
{
	const bl_json *value;
	const char *text;
	int r = bl_json_get(object, key, &value, err);

	if (r <= 0 || bl_json_is_null(value))
		return r < 0 ? r : 0;
	r = bl_json_get_string(object, key, &text, err);
	if (r < 0)
		return r;
	if (strlen(text) > max)
		return bl_err_config(err, "%s: is longer than %zu bytes", key, max);
	if (bl_source_has_control(text))
		return bl_err_config(err, "%s: has a control character", key);
	*ret = text;
	return 1;
}

static int keep(char **ret, const char *text, struct bl_err *err)
{
	*ret = strdup(text);
	return *ret ? 0 : bl_err_nomem(err);
}

static int parse_source(const bl_json *json, struct bl_weights_item *item, struct bl_err *err)
{
	const char *text;
	const char *revision = NULL;
	int r = get_text(json, "source", BL_MAX_SOURCE, &text, err);

	if (r == 0)
		return bl_err_config(err, "source: is required");
	if (r > 0)
		r = get_text(json, "revision", BL_MAX_FIELD, &revision, err);
	if (r < 0)
		return r;
	r = bl_source_parse(text, NULL, &item->source, err);
	if (r < 0) {
		bl_err_wrap(err, "source: ");
	} else if (revision) {
		bl_source_done(&item->source);
		r = bl_source_parse(text, revision, &item->source, err);
		if (r < 0)
			bl_err_wrap(err, "revision: ");
	}
	item->single_file = item->source.scheme == BL_SCHEME_HTTPS;
	return r;
}

static int parse_mount_location(const bl_json *json, struct bl_weights_item *item,
				struct bl_err *err)
{
	const char *text;
	const char *what;
	int r = get_text(json, "mount_location", BL_MAX_PATH, &text, err);

	if (r < 0)
		return r;
	if (r == 0)
		return bl_err_config(err, "mount_location: is required");
	if (text[0] != '/')
		return bl_err_config(err,
				     "mount_location: must be an absolute path (start with /), "
				     "got: %.*s",
				     SHOWN, text);
	if (text[1] == '\0')
		return bl_err_refuse(err, "mount_location: is the root of the container; name a "
					  "directory below it");
	if (text[strlen(text) - 1] == '/')
		return bl_err_config(err, "mount_location: must not end with a slash");
	what = bl_source_path_fault(text + 1);
	if (what)
		return bl_err_config(err, "mount_location: %s; write the path without it", what);
	return keep(&item->mount_location, text, err);
}

static int parse_patterns(const bl_json *json, const char *key, char ***ret, struct bl_err *err)
{
	const bl_json *list;
	size_t i = 0;
	int r = bl_json_get(json, key, &list, err);

	if (r <= 0 || bl_json_is_null(list))
		return r < 0 ? r : 0;
	r = bl_json_get_strings(json, key, &list, err);
	if (r < 0 || bl_json_length(list) == 0)
		return r < 0 ? r : 0;
	if (bl_json_length(list) > BL_MAX_PATTERNS)
		return bl_err_config(err, "%s: has more than %d patterns", key, BL_MAX_PATTERNS);
	*ret = calloc(bl_json_length(list) + 1, sizeof(**ret));
	if (!*ret)
		return bl_err_nomem(err);
	for (const bl_json *e = bl_json_first(list); e; e = bl_json_next(e), i++) {
		const char *text = bl_json_string(e);

		if (*text == '\0')
			return bl_err_config(err, "%s[%zu]: is empty", key, i);
		if (strlen(text) > BL_MAX_PATTERN)
			return bl_err_config(err, "%s[%zu]: is longer than %d bytes", key, i,
					     BL_MAX_PATTERN);
		if (bl_source_has_control(text))
			return bl_err_config(err, "%s[%zu]: has a control character", key, i);
		r = keep(&(*ret)[i], text, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int parse_manifest(const bl_json *json, struct bl_weights_item *item, struct bl_err *err)
{
	const char *text;
	int r = get_text(json, "manifest", BL_MAX_FIELD, &text, err);

	if (r <= 0)
		return r;
	if (strncmp(text, "sha256:", 7) != 0 || strlen(text + 7) != SHA256_HEX ||
	    strspn(text + 7, "0123456789abcdefABCDEF") != SHA256_HEX)
		return bl_err_config(err, "manifest: must be sha256: and 64 hexadecimal digits");
	r = keep(&item->manifest, text + 7, err);
	for (char *c = item->manifest; r == 0 && *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return r;
}

/* ---- Credentials ---- */

/* The fields of `auth`: where each goes, and which method it belongs to. */
struct auth_field {
	const char *key;
	enum bl_auth_method method;
	char **to;
};

#define AUTH_FIELDS(item)                                                                    \
	{                                                                                    \
		{"auth_secret_name", BL_AUTH_CUSTOM_SECRET, &(item)->auth_secret_name},      \
			{"aws_oidc_role_arn", BL_AUTH_AWS_OIDC, &(item)->aws_oidc_role_arn}, \
			{"aws_oidc_region", BL_AUTH_AWS_OIDC, &(item)->aws_oidc_region},     \
			{"gcp_oidc_service_account", BL_AUTH_GCP_OIDC,                       \
			 &(item)->gcp_oidc_service_account},                                 \
			{"gcp_oidc_workload_id_provider", BL_AUTH_GCP_OIDC,                  \
			 &(item)->gcp_oidc_workload_id_provider},                            \
	}
#define AUTH_FIELD_COUNT 5

static int parse_method(const bl_json *auth, enum bl_auth_method *ret, struct bl_err *err)
{
	const char *text;
	int r = get_text(auth, "auth_method", BL_MAX_FIELD, &text, err);

	if (r < 0)
		return r;
	if (r == 0)
		return bl_err_config(err, "auth_method: is required: CUSTOM_SECRET, AWS_OIDC or "
					  "GCP_OIDC");
	for (int m = BL_AUTH_CUSTOM_SECRET; m <= BL_AUTH_GCP_OIDC; m++) {
		if (strcasecmp(text, method_names[m]) == 0) {
			*ret = (enum bl_auth_method)m;
			return 0;
		}
	}
	return bl_err_config(err,
			     "auth_method: must be CUSTOM_SECRET, AWS_OIDC or GCP_OIDC, not %.*s",
			     SHOWN, text);
}

/* The region and the account become parts of host names and paths. */
static int check_oidc(const struct bl_weights_item *item, struct bl_err *err)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	const char *region = item->aws_oidc_region;
	const char *account = item->gcp_oidc_service_account;

	if (item->aws_oidc_role_arn && strncmp(item->aws_oidc_role_arn, "arn:", 4) != 0)
		return bl_err_config(err, "aws_oidc_role_arn: must start with arn:");
	if (region && (strlen(region) > 40 || region[strspn(region, "abcdefghijklmnopqrstuvwxyz"
								    "0123456789-")] != '\0'))
		return bl_err_config(err,
				     "aws_oidc_region: is no region's name, such as us-west-2");
	for (const char *c = account; c && *c; c++)
		if (!strchr(plain, *c) && !strchr("-._@", *c))
			return bl_err_config(err, "gcp_oidc_service_account: is no service "
						  "account's address");
	return 0;
}

/* What is inside `auth`; messages as Truss has them. */
static int parse_auth_fields(const bl_json *auth, struct bl_weights_item *item,
			     bool secret_elsewhere, struct bl_err *err)
{
	const struct auth_field fields[AUTH_FIELD_COUNT] = AUTH_FIELDS(item);
	int r = bl_json_only_keys(auth, auth_keys, err);

	if (r == 0)
		r = parse_method(auth, &item->auth_method, err);
	for (size_t i = 0; r == 0 && i < AUTH_FIELD_COUNT; i++) {
		const struct auth_field *f = &fields[i];
		const char *text = "";

		r = get_text(auth, f->key, BL_MAX_FIELD, &text, err);
		if (r < 0)
			return r;
		r = 0;
		if (*text && f->method != item->auth_method)
			return bl_err_config(err, "%s: cannot be specified when auth_method is %s",
					     f->key, method_names[item->auth_method]);
		if (!*text && f->method == item->auth_method &&
		    !(secret_elsewhere && f->method == BL_AUTH_CUSTOM_SECRET))
			return bl_err_config(err, "%s: must be provided when auth_method is %s",
					     f->key, method_names[item->auth_method]);
		if (*text)
			r = keep(f->to, text, err);
	}
	return r < 0 ? r : check_oidc(item, err);
}

/* A secret named beside the source: auth_secret_name, or runtime_secret_name as it used to be. */
static int parse_secret_beside(const bl_json *json, const char **ret, const char **ret_key,
			       struct bl_err *err)
{
	const char *older = NULL;
	int r = get_text(json, "auth_secret_name", BL_MAX_FIELD, ret, err);

	*ret_key = "auth_secret_name";
	if (r >= 0)
		r = get_text(json, "runtime_secret_name", BL_MAX_FIELD, &older, err);
	if (r < 0 || !older)
		return r < 0 ? r : 0;
	if (*ret)
		return bl_err_config(err, "runtime_secret_name: is the older name of "
					  "auth_secret_name; write only one of them");
	*ret = older;
	*ret_key = "runtime_secret_name";
	return 0;
}

static int parse_auth(const bl_json *json, struct bl_weights_item *item, struct bl_err *err)
{
	const bl_json *auth = NULL;
	const char *beside = NULL;
	const char *key;
	int r = parse_secret_beside(json, &beside, &key, err);

	if (r >= 0)
		r = bl_json_get(json, "auth", &auth, err);
	if (r > 0 && !bl_json_is_null(auth)) {
		r = bl_json_get_object(json, "auth", &auth, err);
		if (r > 0) {
			r = parse_auth_fields(auth, item, beside != NULL, err);
			if (r < 0)
				bl_err_wrap(err, "auth.");
		}
	}
	if (r < 0)
		return r;
	if (beside && item->auth_secret_name)
		return bl_err_config(err,
				     "%s: cannot be specified both at the top level and in auth "
				     "section. Please use only one location.",
				     key);
	if (beside && item->auth_method != BL_AUTH_NONE &&
	    item->auth_method != BL_AUTH_CUSTOM_SECRET)
		return bl_err_config(err, "%s: cannot be specified when auth_method is %s", key,
				     method_names[item->auth_method]);
	if (beside) {
		item->auth_method = BL_AUTH_CUSTOM_SECRET;
		r = keep(&item->auth_secret_name, beside, err);
	}
	if (r >= 0 && item->auth_secret_name && !bl_weights_is_secret_name(item->auth_secret_name))
		return bl_err_config(err,
				     "%s: is no secret's name (letters, digits, and \".\", "
				     "\"_\", \"-\" between them)",
				     beside ? key : "auth.auth_secret_name");
	return r < 0 ? r : 0;
}

/* What each kind of source needs or takes; the platform's own words where it has some. */
static int check_auth_of_source(const struct bl_weights_item *item, struct bl_err *err)
{
	enum bl_scheme scheme = item->source.scheme;
	bool none = item->auth_method == BL_AUTH_NONE;
	bool secret = item->auth_method == BL_AUTH_CUSTOM_SECRET;

	switch (scheme) {
	case BL_SCHEME_S3:
	case BL_SCHEME_R2:
	case BL_SCHEME_CW:
	case BL_SCHEME_AZURE:
		if (none)
			return bl_err_config(err,
					     "auth: secret_id is required: %s:// needs "
					     "credentials; add auth: {auth_method: "
					     "CUSTOM_SECRET, auth_secret_name: NAME}",
					     bl_weights_scheme_name(scheme));
		if (!secret && !(scheme == BL_SCHEME_S3 && item->auth_method == BL_AUTH_AWS_OIDC))
			break;
		return 0;
	case BL_SCHEME_GS:
		if (none)
			return bl_err_config(err,
					     "auth: no credentials configured: need either "
					     "OIDC config or secret_id; add auth: {auth_method:"
					     " GCP_OIDC, ...} or {auth_method: CUSTOM_SECRET, "
					     "auth_secret_name: NAME}");
		if (!secret && item->auth_method != BL_AUTH_GCP_OIDC)
			break;
		return 0;
	case BL_SCHEME_BT:
	case BL_SCHEME_FILE:
		if (!none)
			return bl_err_config(err, "auth: %s:// takes no credentials; remove it",
					     bl_weights_scheme_name(scheme));
		return 0;
	default:
		if (!none && !secret)
			break;
		return 0;
	}
	return bl_err_config(err, "auth.auth_method: %s is not for %s:// sources",
			     method_names[item->auth_method], bl_weights_scheme_name(scheme));
}

/* ---- Items and the list ---- */

static int check_keys(const bl_json *json, struct bl_err *err)
{
	for (const bl_json *m = bl_json_first(json); m; m = bl_json_next(m))
		for (size_t i = 0; model_cache_keys[i]; i++)
			if (strcmp(bl_json_key(m), model_cache_keys[i]) == 0)
				return bl_err_config(err,
						     "%s: is a key of model_cache; `ballast "
						     "migrate` turns one into weights",
						     model_cache_keys[i]);
	return bl_json_only_keys(json, item_keys, err);
}

static int parse_item(const bl_json *json, struct bl_weights_item *item, struct bl_err *err)
{
	int r = check_keys(json, err);

	if (r == 0)
		r = parse_source(json, item, err);
	if (r == 0)
		r = parse_mount_location(json, item, err);
	if (r == 0)
		r = parse_auth(json, item, err);
	if (r == 0)
		r = check_auth_of_source(item, err);
	if (r == 0)
		r = parse_patterns(json, "allow_patterns", &item->allow_patterns, err);
	if (r == 0)
		r = parse_patterns(json, "ignore_patterns", &item->ignore_patterns, err);
	if (r == 0)
		r = parse_manifest(json, item, err);
	return r;
}

/* Whether inner lies in outer, or is it; both are normalised. */
static bool is_within(const char *inner, const char *outer)
{
	size_t len = strlen(outer);

	return strncmp(inner, outer, len) == 0 && (inner[len] == '/' || inner[len] == '\0');
}

/* The item at `last` against those before it. */
static int check_location(const struct bl_weights *weights, size_t last, struct bl_err *err)
{
	const char *mine = weights->items[last].mount_location;

	for (size_t i = 0; i < last; i++) {
		const char *other = weights->items[i].mount_location;

		if (strcmp(mine, other) == 0)
			return bl_err_config(
				err,
				"mount_location: Duplicate mount_location '%.*s' - each "
				"weights source must have a unique mount path; $[%zu] "
				"has it too",
				SHOWN, mine, i);
		if (is_within(mine, other) || is_within(other, mine))
			return bl_err_config(err,
					     "mount_location: '%.*s' and '%.*s' of $[%zu] lie one "
					     "inside the other; give each a directory of its own",
					     SHOWN, mine, SHOWN, other, i);
	}
	return 0;
}

int bl_weights_from_json(const bl_json *list, struct bl_weights *ret, struct bl_err *err)
{
	auto_weights weights = {0};
	size_t count;

	if (!bl_json_is_array(list))
		return bl_err_config(err, "$: must be an array of weights items, not %s",
				     bl_json_kind(list));
	count = bl_json_length(list);
	if (count > BL_MAX_WEIGHTS)
		return bl_err_config(err, "$: has %zu items, the maximum is %d", count,
				     BL_MAX_WEIGHTS);
	weights.items = calloc(count ? count : 1, sizeof(*weights.items));
	if (!weights.items)
		return bl_err_nomem(err);
	for (const bl_json *e = bl_json_first(list); e; e = bl_json_next(e)) {
		size_t i = weights.count;
		int r;

		if (!bl_json_is_object(e))
			return bl_err_config(err, "$[%zu]: must be an object, not %s", i,
					     bl_json_kind(e));
		weights.count++;
		r = parse_item(e, &weights.items[i], err);
		if (r == 0)
			r = check_location(&weights, i, err);
		if (r < 0) {
			bl_err_wrap(err, "$[%zu].", i);
			return r;
		}
	}
	*ret = weights;
	weights = (struct bl_weights){0};
	return 0;
}

int bl_weights_parse(const char *text, size_t len, struct bl_weights *ret, struct bl_err *err)
{
	const struct bl_json_limits limits = {.max_bytes = BL_MAX_ANNOTATION};
	auto_json list = NULL;
	int r = bl_json_parse(text, len, &limits, &list, err);

	if (r < 0) {
		bl_err_wrap(err, "$: ");
		return r;
	}
	return bl_weights_from_json(list, ret, err);
}

static void free_texts(char **texts)
{
	for (size_t i = 0; texts && texts[i]; i++)
		free(texts[i]);
	free(texts);
}

void bl_weights_done(struct bl_weights *weights)
{
	int saved = errno;

	for (size_t i = 0; i < weights->count; i++) {
		struct bl_weights_item *item = &weights->items[i];
		const struct auth_field fields[AUTH_FIELD_COUNT] = AUTH_FIELDS(item);

		bl_source_done(&item->source);
		free(item->mount_location);
		for (size_t j = 0; j < AUTH_FIELD_COUNT; j++)
			free(*fields[j].to);
		free_texts(item->allow_patterns);
		free_texts(item->ignore_patterns);
		free(item->manifest);
	}
	free(weights->items);
	*weights = (struct bl_weights){0};
	errno = saved;
}

/* ---- Writing ---- */

static bool put_patterns(bl_json *object, const char *key, char *const *patterns)
{
	bl_json *list;

	if (!patterns)
		return true;
	list = bl_json_set_array(object, key);
	for (size_t i = 0; list && patterns[i]; i++)
		if (!bl_json_set_string(list, NULL, patterns[i]))
			return false;
	return list != NULL;
}

static bool put_auth(bl_json *object, const struct bl_weights_item *item)
{
	struct bl_weights_item fields_of = *item; /* a view, so that the table serves here too */
	const struct auth_field fields[AUTH_FIELD_COUNT] = AUTH_FIELDS(&fields_of);
	bl_json *auth;

	if (item->auth_method == BL_AUTH_NONE)
		return true;
	auth = bl_json_set_object(object, "auth");
	if (!auth || !bl_json_set_string(auth, "auth_method", method_names[item->auth_method]))
		return false;
	for (size_t i = 0; i < AUTH_FIELD_COUNT; i++)
		if (*fields[i].to && !bl_json_set_string(auth, fields[i].key, *fields[i].to))
			return false;
	return true;
}

int bl_weights_item_to_json(const struct bl_weights_item *item, bl_json *list, struct bl_err *err)
{
	auto_buf text = BL_BUF_INIT(2 * BL_MAX_SOURCE);
	auto_buf pin = BL_BUF_INIT(BL_MAX_FIELD);
	bl_json *object;
	int r = bl_source_write(&text, &item->source, err);

	if (r == 0 && item->manifest)
		r = bl_buf_putf(&pin, err, "sha256:%s", item->manifest);
	if (r < 0)
		return r;
	object = bl_json_set_object(list, NULL);
	if (!object || !bl_json_set_string(object, "source", bl_buf_str(&text)) ||
	    !bl_json_set_string(object, "mount_location", item->mount_location) ||
	    !put_auth(object, item) ||
	    !put_patterns(object, "allow_patterns", item->allow_patterns) ||
	    !put_patterns(object, "ignore_patterns", item->ignore_patterns) ||
	    (item->manifest && !bl_json_set_string(object, "manifest", bl_buf_str(&pin))))
		return bl_err_nomem(err);
	return 0;
}
