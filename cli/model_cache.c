// SPDX-License-Identifier: Apache-2.0
#include "cli/model_cache.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "cli/yaml.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/json.h"

#define CACHE_DIR      "/app/model_cache"
#define DATA_DIR       "/app/data"
#define DEFAULT_SECRET "hf_access_token" /* model_cache's, where the config names none */

struct migration {
	const char *name;
	struct bl_buf *weights; /* the items, as YAML */
	struct bl_buf *notes;
	struct bl_err *err;
	int count;
};

static int bad(const struct migration *m, const struct bl_yaml *at, const char *what)
{
	return bl_err_config(m->err, "%s:%zu: %s", m->name, at->line, what);
}

/* The text of a key, NULL where it is absent or null; a number counts as its text. */
static const char *text_of(const struct bl_yaml *item, const char *key)
{
	const struct bl_yaml *node = bl_yaml_get(item, key);

	return node && node->kind != BL_YAML_NULL && node->kind != BL_YAML_LIST &&
			       node->kind != BL_YAML_MAP && *node->text
		       ? node->text
		       : NULL;
}

/* "KEY: "TEXT"" on a line of its own; JSON's strings are YAML's. */
static int put(const struct migration *m, const char *lead, const char *text)
{
	int r = bl_buf_puts(m->weights, lead, m->err);

	if (r == 0)
		r = bl_json_write_string(m->weights, text, m->err);
	return r < 0 ? r : bl_buf_puts(m->weights, "\n", m->err);
}

static int put_patterns(const struct migration *m, const struct bl_yaml *item, const char *key)
{
	const struct bl_yaml *list = bl_yaml_get(item, key);
	int r;

	if (!list || list->kind != BL_YAML_LIST || list->count == 0)
		return 0;
	r = bl_buf_putf(m->weights, m->err, "    %s:\n", key);
	for (size_t i = 0; r == 0 && i < list->count; i++)
		r = put(m, "      - ", list->items[i]->text);
	return r;
}

/* The prefix of a kind, NULL for an unknown one; Truss's own names. */
static const char *prefix_of(const char *kind)
{
	static const char *const kinds[][2] = {{"hf", "hf://"},	      {"s3", "s3://"},
					       {"gcs", "gs://"},      {"gs", "gs://"},
					       {"azure", "azure://"}, {"r2", "r2://"}};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kind, kinds[i][0]) == 0)
			return kinds[i][1];
	return NULL;
}

static int put_source(const struct migration *m, const struct bl_yaml *item, const char *prefix)
{
	const char *repo = text_of(item, "repo_id");
	const char *revision = text_of(item, "revision");
	const char *colon = strstr(repo, "://");
	auto_buf source = BL_BUF_INIT(4096);
	int r = bl_buf_putf(&source, m->err, "%s%s", prefix, colon ? colon + 3 : repo);

	if (r == 0 && revision && strcmp(prefix, "hf://") == 0)
		r = bl_buf_putf(&source, m->err, "@%s", revision);
	return r < 0 ? r : put(m, "  - source: ", bl_buf_str(&source));
}

/* Where the files have been, or will be. */
static int put_location(const struct migration *m, const struct bl_yaml *item)
{
	const char *folder = text_of(item, "volume_folder");
	const char *repo = text_of(item, "repo_id");
	const struct bl_yaml *volume = bl_yaml_get(item, "use_volume");
	const char *slash = strrchr(repo, '/');
	auto_buf path = BL_BUF_INIT(4096);
	int r = bl_buf_putf(&path, m->err, CACHE_DIR "/%s",
			    folder  ? folder
			    : slash ? slash + 1
				    : repo);

	if (r == 0)
		r = put(m, "    mount_location: ", bl_buf_str(&path));
	if (r == 0 && !(volume && volume->kind == BL_YAML_BOOL && volume->integer))
		r = bl_buf_putf(m->notes, m->err,
				"%s used to lie in the cache directory of its client; load it from "
				"%s now\n",
				repo, bl_buf_str(&path));
	return r;
}

static int put_secret(const struct migration *m, const struct bl_yaml *item, bool always)
{
	const char *secret = text_of(item, "runtime_secret_name");
	int r;

	if (!secret && !always)
		return 0;
	r = bl_buf_puts(m->weights, "    auth:\n      auth_method: CUSTOM_SECRET\n", m->err);
	if (r == 0)
		r = put(m, "      auth_secret_name: ", secret ? secret : DEFAULT_SECRET);
	if (r == 0 && !secret)
		r = bl_buf_putf(
			m->notes, m->err,
			"%s names no secret, so it gets model_cache's default, " DEFAULT_SECRET
			"\n",
			text_of(item, "repo_id"));
	return r;
}

static int migrate_repo(struct migration *m, const struct bl_yaml *item)
{
	const char *kind = text_of(item, "kind");
	const char *repo = text_of(item, "repo_id");
	const char *prefix = NULL;
	int r;

	if (item->kind != BL_YAML_MAP || !repo)
		return bad(m, item, "an item without repo_id");
	if (kind)
		prefix = prefix_of(kind);
	else if (strstr(repo, "://"))
		prefix = strncmp(repo, "gs://", 5) == 0	     ? "gs://"
			 : strncmp(repo, "s3://", 5) == 0    ? "s3://"
			 : strncmp(repo, "r2://", 5) == 0    ? "r2://"
			 : strncmp(repo, "azure://", 8) == 0 ? "azure://"
							     : NULL;
	else
		prefix = "hf://";
	if (!prefix)
		return bad(m, item,
			   "an item of an unknown kind; it must be hf, s3, gcs, azure or r2");
	r = put_source(m, item, prefix);
	if (r == 0)
		r = put_location(m, item);
	if (r == 0)
		r = put_secret(m, item, strcmp(prefix, "hf://") != 0);
	if (r == 0)
		r = put_patterns(m, item, "allow_patterns");
	if (r == 0)
		r = put_patterns(m, item, "ignore_patterns");
	m->count++;
	return r;
}

static int migrate_external(struct migration *m, const struct bl_yaml *item)
{
	const char *url = text_of(item, "url");
	const char *path = text_of(item, "local_data_path");
	auto_buf location = BL_BUF_INIT(4096);
	int r;

	if (item->kind != BL_YAML_MAP || !url || !path)
		return bad(m, item, "an item without url or local_data_path");
	if (strncmp(path, "./", 2) == 0)
		path += 2;
	r = bl_buf_putf(&location, m->err, DATA_DIR "/%s", path);
	if (r == 0)
		r = put(m, "  - source: ", url);
	if (r == 0)
		r = put(m, "    mount_location: ", bl_buf_str(&location));
	m->count++;
	return r;
}

/* ---- The text ---- */

/* A top-level key and the lines [from, to) that it takes; lines are counted from 1. */
struct block {
	size_t from, to;
};

static const char *line_at(const char *text, size_t line)
{
	for (; line > 1 && *text; line--) {
		text += strcspn(text, "\n");
		text += *text == '\n';
	}
	return text;
}

static bool is_comment_or_blank(const char *line)
{
	line += strspn(line, " \t\r");
	return *line == '#' || *line == '\n' || *line == '\0';
}

/* Up to the next key's line, less the comments and blank lines before that, which are its own. */
static int find_block(const struct migration *m, const struct bl_yaml *root, const char *text,
		      const char *key, struct block *ret)
{
	size_t last = SIZE_MAX;

	*ret = (struct block){0};
	for (size_t i = 0; i < root->count; i++)
		if (strcmp(root->keys[i]->text, key) == 0)
			ret->from = root->keys[i]->line;
	if (ret->from == 0)
		return 0;
	for (size_t i = 0; i < root->count; i++)
		if (root->keys[i]->line > ret->from && root->keys[i]->line < last)
			last = root->keys[i]->line;
		else if (root->keys[i]->line == ret->from && strcmp(root->keys[i]->text, key) != 0)
			return bad(
				m, root->keys[i],
				"keys that share a line cannot be changed; write each on its own");
	if (last == SIZE_MAX)
		for (last = ret->from + 1; *line_at(text, last); last++)
			;
	while (last > ret->from + 1 && is_comment_or_blank(line_at(text, last - 1)))
		last--;
	ret->to = last;
	return 1;
}

/* The text with the blocks (in the order of the file) taken out and weights in the first's place. */
static int splice(const struct migration *m, const char *text, const struct block *blocks,
		  size_t count, struct bl_buf *ret)
{
	size_t at = 1;
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++) {
		const char *from = line_at(text, at);
		const char *to = line_at(text, blocks[i].from);

		r = bl_buf_append(ret, from, (size_t)(to - from), m->err);
		if (r == 0 && i == 0)
			r = bl_buf_puts(ret, "weights:\n", m->err);
		if (r == 0 && i == 0)
			r = bl_buf_puts(ret, bl_buf_str(m->weights), m->err);
		at = blocks[i].to;
	}
	return r < 0 ? r : bl_buf_puts(ret, line_at(text, at), m->err);
}

static int migrate_list(struct migration *m, const struct bl_yaml *root, const char *key,
			int (*item)(struct migration *, const struct bl_yaml *))
{
	const struct bl_yaml *list = bl_yaml_get(root, key);
	int r = 0;

	if (!list || list->kind == BL_YAML_NULL)
		return 0;
	if (list->kind != BL_YAML_LIST)
		return bad(m, list, "must be a list");
	for (size_t i = 0; i < list->count && r == 0; i++)
		r = item(m, list->items[i]);
	return r;
}

static int note_start_command(const struct migration *m, const struct bl_yaml *root)
{
	const struct bl_yaml *server = bl_yaml_get(root, "docker_server");
	const char *command = server ? text_of(server, "start_command") : NULL;

	if (!command || !strstr(command, "truss-transfer-cli"))
		return 0;
	return bl_buf_puts(
		m->notes,
		"docker_server.start_command: remove truss-transfer-cli; the weights are "
		"there before the server starts\n",
		m->err);
}

int bl_model_cache_migrate(const char *name, const char *text, size_t len, struct bl_buf *ret,
			   struct bl_buf *notes, struct bl_err *err)
{
	static const struct {
		const char *key;
		int (*item)(struct migration *, const struct bl_yaml *);
	} olds[] = {{"hf_cache", migrate_repo},
		    {"model_cache", migrate_repo},
		    {"external_data", migrate_external}};
	auto_buf weights = BL_BUF_INIT(BL_YAML_MAX_BYTES);
	auto_yaml document = NULL;
	struct migration m = {.name = name, .weights = &weights, .notes = notes, .err = err};
	struct block blocks[3];
	const struct bl_yaml *root;
	const struct bl_yaml *present;
	size_t count = 0;
	int r = bl_yaml_parse(name, text, len, &document, err);

	if (r < 0)
		return r;
	root = bl_yaml_root(document);
	if (root->kind != BL_YAML_MAP)
		return root->kind == BL_YAML_NULL ? 0 : bad(&m, root, "the file must be a mapping");
	present = bl_yaml_get(root, "weights");
	for (size_t i = 0; i < 3 && r >= 0; i++) {
		r = migrate_list(&m, root, olds[i].key, olds[i].item);
		if (r == 0)
			r = find_block(&m, root, text, olds[i].key, &blocks[count]);
		count += r > 0;
	}
	if (r < 0 || m.count == 0)
		return r < 0 ? r : 0;
	if (present)
		return bad(&m, present, "there is a weights key already; move the items by hand");
	/* Two or three blocks: into the file's order. */
	for (size_t i = 1; i < count; i++)
		for (size_t j = i; j > 0 && blocks[j].from < blocks[j - 1].from; j--) {
			struct block other = blocks[j];

			blocks[j] = blocks[j - 1];
			blocks[j - 1] = other;
		}
	r = splice(&m, text, blocks, count, ret);
	if (r == 0)
		r = note_start_command(&m, root);
	return r < 0 ? r : m.count;
}
