// SPDX-License-Identifier: Apache-2.0
#include "cli/truss_config.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/read_file.h"
#include "cli/yaml.h"
#include "common/attach.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"

#define WARNINGS_MAX (64 * 1024)

/* All that Truss knows; what is not here is a typing error there, too. */
static const char *const top_keys[] = {"apply_library_patches",
				       "base_image",
				       "build",
				       "build_commands",
				       "bundled_packages_dir",
				       "cache_internal",
				       "data_dir",
				       "description",
				       "docker_server",
				       "environment_variables",
				       "examples_filename",
				       "external_data",
				       "external_package_dirs",
				       "hf_cache",
				       "input_type",
				       "live_reload",
				       "model_cache",
				       "model_class_filename",
				       "model_class_name",
				       "model_framework",
				       "model_metadata",
				       "model_module_dir",
				       "model_name",
				       "model_type",
				       "python_version",
				       "requirements",
				       "requirements_file",
				       "resources",
				       "runtime",
				       "secrets",
				       "spec_version",
				       "system_packages",
				       "training_checkpoints",
				       "trt_llm",
				       "use_local_src",
				       "weights",
				       NULL};

static const char *const server_keys[] = {"start_command",
					  "server_port",
					  "predict_endpoint",
					  "readiness_endpoint",
					  "liveness_endpoint",
					  "run_as_user_id",
					  "no_build",
					  "init",
					  NULL};

/* Fields that change what would be in an image that Truss builds; here the image is what it is. */
static const char *const build_keys[] = {"build_commands",	 "requirements",
					 "requirements_file",	 "system_packages",
					 "training_checkpoints", NULL};

struct reader {
	const char *name;
	const struct bl_yaml *root;
	struct bl_truss_config *config;
	struct bl_err *err;
};

static bool is_empty(const struct bl_yaml *node)
{
	return !node || node->kind == BL_YAML_NULL ||
	       ((node->kind == BL_YAML_LIST || node->kind == BL_YAML_MAP) && node->count == 0);
}

static int bad(const struct reader *reader, const struct bl_yaml *at, const char *path,
	       const char *what)
{
	return bl_err_config(reader->err, "%s:%zu: %s: %s", reader->name, at->line, path, what);
}

static int wrong_kind(const struct reader *reader, const struct bl_yaml *at, const char *path,
		      const char *wanted)
{
	return bl_err_config(reader->err, "%s:%zu: %s: must be %s, not %s", reader->name, at->line,
			     path, wanted, bl_yaml_kind_name(at));
}

static int warn(const struct reader *reader, const struct bl_yaml *at, const char *text)
{
	return bl_buf_putf(&reader->config->warnings, reader->err, "%s:%zu: %s\n", reader->name,
			   at->line, text);
}

/* "; there are a, b and c": where no key is near, a short list helps. */
static void list_keys(const char *const *known, struct bl_err *err)
{
	size_t len = strlen(err->msg);

	for (size_t i = 0; known[i] && len < sizeof(err->msg); i++) {
		const char *before = i == 0 ? "; there are " : known[i + 1] ? ", " : " and ";

		len += (size_t)snprintf(err->msg + len, sizeof(err->msg) - len, "%s%s", before,
					known[i]);
	}
}

/* Keys of a map against a list, with a near miss named. */
static int check_keys(const struct reader *reader, const struct bl_yaml *map, const char *path,
		      const char *const *known)
{
	for (size_t i = 0; i < map->count; i++) {
		auto_json one = bl_json_new_object();

		if (!one || !bl_json_set_null(one, map->keys[i]->text))
			return bl_err_nomem(reader->err);
		if (bl_json_only_keys(one, known, reader->err) < 0) {
			if (*path && !strstr(reader->err->msg, "did you mean"))
				list_keys(known, reader->err);
			bl_err_wrap(reader->err, "%s:%zu: %s", reader->name, map->keys[i]->line,
				    path);
			return -EINVAL;
		}
	}
	return 0;
}

/* Adds the value as an annotation: its canonical JSON. */
static int annotate(const struct reader *reader, const char *key, const bl_json *value)
{
	auto_buf text = BL_BUF_INIT(BL_MAX_ANNOTATION);
	int r = bl_json_write(&text, value, reader->err);

	if (r == -EFBIG)
		return bl_err_config(reader->err, "%s: %s would have more than %d bytes",
				     reader->name, key, BL_MAX_ANNOTATION);
	if (r < 0)
		return r;
	return bl_json_set_string(reader->config->annotations, key, bl_buf_str(&text))
		       ? 0
		       : bl_err_nomem(reader->err);
}

static int keep(char **ret, const char *text, struct bl_err *err)
{
	*ret = strdup(text);
	return *ret ? 0 : bl_err_nomem(err);
}

/* ---- weights ---- */

/* Puts the file's place before an error of the weights parser, whose path begins with "$". */
static int place_weights_error(const struct reader *reader, const struct bl_yaml *node)
{
	const char *path = reader->err->msg + 1;

	bl_err_wrap(reader->err, "%s:%zu: weights", reader->name, bl_yaml_find(node, path)->line);
	/* "weights$[1].x" reads better without the dollar, which stands for the list itself. */
	char *dollar = strstr(reader->err->msg, ": weights$");

	if (dollar) {
		dollar += strlen(": weights");
		memmove(dollar, dollar + 1, strlen(dollar));
	}
	return -EINVAL;
}

static int read_weights(const struct reader *reader)
{
	const struct bl_yaml *node = bl_yaml_get(reader->root, "weights");
	struct bl_truss_config *config = reader->config;
	auto_json holder = bl_json_new_array();
	auto_json canonical = bl_json_new_array();
	int r;

	if (is_empty(node))
		return 0;
	if (!holder || !canonical)
		return bl_err_nomem(reader->err);
	r = bl_yaml_to_json(node, holder, NULL, reader->err);
	if (r < 0) {
		bl_err_wrap(reader->err, "%s:%zu: weights: ", reader->name, node->line);
		return r;
	}
	if (bl_weights_from_json(bl_json_first(holder), &config->weights, reader->err) < 0)
		return place_weights_error(reader, node);
	for (size_t i = 0; i < config->weights.count; i++) {
		const struct bl_weights_item *item = &config->weights.items[i];

		/* What the hook would refuse when the container starts is better said now. */
		if (bl_attach_check_location(item->mount_location, reader->err) < 0) {
			bl_err_wrap(reader->err, "$[%zu].mount_location: ", i);
			return place_weights_error(reader, node);
		}
		r = bl_weights_item_to_json(item, canonical, reader->err);
		if (r < 0)
			return r;
	}
	return annotate(reader, BL_KEY_WEIGHTS, canonical);
}

/* ---- docker_server ---- */

static int read_user(const struct reader *reader, const struct bl_yaml *node, bl_json *server)
{
	static const char path[] = "docker_server.run_as_user_id";

	if (is_empty(node))
		return 0;
	if (node->kind != BL_YAML_INT)
		return wrong_kind(reader, node, path, "an integer");
	if (node->integer == 0 || node->integer == BL_UID_DEFAULT)
		return bl_err_config(reader->err,
				     "%s:%zu: %s: run_as_user_id cannot be %lld. Use a different "
				     "user ID.",
				     reader->name, node->line, path, (long long)node->integer);
	if (node->integer < BL_UID_MIN || node->integer > BL_UID_MAX)
		return bad(reader, node, path, "must be an integer from 1 to 2147483647");
	reader->config->run_as_user_id = node->integer;
	return bl_json_set_int(server, "run_as_user_id", node->integer) ? 0
									: bl_err_nomem(reader->err);
}

static int read_flag(const struct reader *reader, const struct bl_yaml *map, const char *key,
		     bl_json *server, bool *ret)
{
	const struct bl_yaml *node = bl_yaml_get(map, key);
	char path[64];

	if (is_empty(node))
		return 0;
	(void)snprintf(path, sizeof(path), "docker_server.%s", key);
	if (node->kind != BL_YAML_BOOL)
		return wrong_kind(reader, node, path, "true or false");
	if (ret)
		*ret = node->integer != 0;
	return bl_json_set_bool(server, key, node->integer != 0) ? 0 : bl_err_nomem(reader->err);
}

static int read_command(const struct reader *reader, const struct bl_yaml *node, bl_json *server)
{
	static const char path[] = "docker_server.start_command";

	if (is_empty(node))
		return 0;
	if (node->kind != BL_YAML_STRING)
		return wrong_kind(reader, node, path, "a text");
	if (node->text[strspn(node->text, " \t\r\n")] == '\0')
		return bad(reader, node, path, "is empty");
	if (!bl_json_set_string(server, "start_command", node->text))
		return bl_err_nomem(reader->err);
	return keep(&reader->config->start_command, node->text, reader->err);
}

static int read_server(const struct reader *reader)
{
	const struct bl_yaml *node = bl_yaml_get(reader->root, "docker_server");
	const struct bl_yaml *port;
	auto_json server = bl_json_new_object();
	int r;

	if (is_empty(node))
		return 0;
	if (!server)
		return bl_err_nomem(reader->err);
	if (node->kind != BL_YAML_MAP)
		return wrong_kind(reader, node, "docker_server", "a mapping");
	r = check_keys(reader, node, "docker_server.", server_keys);
	if (r == 0)
		r = read_command(reader, bl_yaml_get(node, "start_command"), server);
	if (r == 0)
		r = read_user(reader, bl_yaml_get(node, "run_as_user_id"), server);
	if (r == 0)
		r = read_flag(reader, node, "no_build", server, &reader->config->no_build);
	if (r == 0)
		r = read_flag(reader, node, "init", server, NULL);
	if (r < 0)
		return r;
	port = bl_yaml_get(node, "server_port");
	if (!is_empty(port)) {
		if (port->kind != BL_YAML_INT || port->integer < 1 || port->integer > 65535)
			return bad(reader, port, "docker_server.server_port",
				   "must be an integer from 1 to 65535");
		reader->config->server_port = port->integer;
	}
	return annotate(reader, BL_KEY_DOCKER_SERVER, server);
}

/* ---- environment_variables, secrets ---- */

static int read_environment(const struct reader *reader)
{
	const struct bl_yaml *node = bl_yaml_get(reader->root, "environment_variables");
	auto_json environment = bl_json_new_object();

	if (is_empty(node))
		return 0;
	if (!environment)
		return bl_err_nomem(reader->err);
	if (node->kind != BL_YAML_MAP)
		return wrong_kind(reader, node, "environment_variables", "a mapping");
	for (size_t i = 0; i < node->count; i++) {
		auto_buf text = BL_BUF_INIT(BL_MAX_ANNOTATION);
		const char *name = node->keys[i]->text;

		if (*name == '\0' || strchr(name, '='))
			return bad(reader, node->keys[i], "environment_variables",
				   "a name must not be empty or hold \"=\"");
		if (bl_yaml_to_text(node->items[i], &text, reader->err) < 0) {
			bl_err_wrap(reader->err,
				    "%s:%zu: environment_variables.%.64s: ", reader->name,
				    node->keys[i]->line, name);
			return -EINVAL;
		}
		if (!bl_json_set_string(environment, name, bl_buf_str(&text)))
			return bl_err_nomem(reader->err);
	}
	return annotate(reader, BL_KEY_ENVIRONMENT, environment);
}

static int read_secrets(const struct reader *reader)
{
	const struct bl_yaml *node = bl_yaml_get(reader->root, "secrets");
	auto_json secrets = bl_json_new_array();

	if (is_empty(node))
		return 0;
	if (!secrets)
		return bl_err_nomem(reader->err);
	if (node->kind != BL_YAML_MAP)
		return wrong_kind(reader, node, "secrets", "a mapping of names to null");
	if (node->count > BL_MAX_SECRETS)
		return bl_err_config(reader->err, "%s:%zu: secrets: has more than %d names",
				     reader->name, node->line, BL_MAX_SECRETS);
	for (size_t i = 0; i < node->count; i++) {
		const char *name = node->keys[i]->text;
		int r = 0;

		if (!bl_weights_is_secret_name(name))
			return bl_err_config(reader->err,
					     "%s:%zu: secrets: %.64s is no secret's name (letters, "
					     "digits, and \".\", \"_\", \"-\" between them)",
					     reader->name, node->keys[i]->line, name);
		if (!is_empty(node->items[i]))
			r = warn(reader, node->items[i],
				 "a secret's value in this file is not used; it belongs in the "
				 "secrets directory");
		if (r < 0)
			return r;
		if (!bl_json_set_string(secrets, NULL, name))
			return bl_err_nomem(reader->err);
	}
	return annotate(reader, BL_KEY_SECRETS, secrets);
}

/* ---- The rest ---- */

/* Fields that would leave the server without data that it expects, and fields without effect. */
static int check_others(const struct reader *reader)
{
	static const char *const moved[] = {"model_cache", "hf_cache", "external_data", NULL};
	int r = 0;

	for (size_t i = 0; moved[i]; i++) {
		const struct bl_yaml *node = bl_yaml_get(reader->root, moved[i]);

		if (!is_empty(node) && i < 2 && !is_empty(bl_yaml_get(reader->root, "weights")))
			return bad(reader, node, moved[i],
				   "Please ensure that only one of `model_cache` and `weights` is "
				   "specified");
		if (!is_empty(node))
			return bad(reader, node, moved[i],
				   "is not mounted; `ballast migrate` turns it into weights");
	}
	if (reader->config->start_command && reader->config->weights.count > 0 &&
	    strstr(reader->config->start_command, "truss-transfer-cli"))
		r = warn(reader,
			 bl_yaml_get(bl_yaml_get(reader->root, "docker_server"), "start_command"),
			 "docker_server.start_command: remove truss-transfer-cli; the weights are "
			 "there before the server starts");
	for (size_t i = 0; build_keys[i] && r == 0; i++) {
		const struct bl_yaml *node = bl_yaml_get(reader->root, build_keys[i]);
		char text[128];

		(void)snprintf(text, sizeof(text),
			       "%s has no effect: the image is run as it is, nothing is built",
			       build_keys[i]);
		if (!is_empty(node))
			r = warn(reader, node, text);
	}
	return r;
}

static int read_names(const struct reader *reader)
{
	const struct bl_yaml *data = bl_yaml_get(reader->root, "data_dir");
	const struct bl_yaml *name = bl_yaml_get(reader->root, "model_name");
	const struct bl_yaml *base = bl_yaml_get(reader->root, "base_image");
	const struct bl_yaml *image;
	int r = 0;

	if (name && name->kind == BL_YAML_STRING)
		r = keep(&reader->config->model_name, name->text, reader->err);
	if (r == 0 && data && data->kind == BL_YAML_STRING)
		r = keep(&reader->config->data_dir, data->text, reader->err);
	if (r < 0 || is_empty(base))
		return r;
	if (base->kind != BL_YAML_MAP)
		return wrong_kind(reader, base, "base_image", "a mapping");
	image = bl_yaml_get(base, "image");
	if (is_empty(image))
		return 0;
	if (image->kind != BL_YAML_STRING)
		return wrong_kind(reader, image, "base_image.image", "a text");
	return keep(&reader->config->image, image->text, reader->err);
}

#define PIPED "standard input" /* what messages call it */

/* What cannot be read of it is a fault of the caller's, as with a file that is named. */
static int load_piped(struct bl_buf *buf, struct bl_err *err)
{
	int r = bl_buf_read(buf, STDIN_FILENO, err);

	if (r < 0) {
		bl_err_wrap(err, PIPED ": ");
		err->code = BL_EX_CONFIG;
	}
	return r;
}

int bl_truss_config_load(const char *path, struct bl_buf *buf, struct bl_err *err)
{
	int r = bl_read_file(path, true, buf, err);

	return r == -EISDIR ? bl_err_config(err, "%s: is no file; name the config.yaml in it", path)
			    : r;
}

int bl_truss_config_parse(const char *name, const char *text, size_t len,
			  struct bl_truss_config *ret, struct bl_err *err)
{
	auto_truss_config config = {.warnings = BL_BUF_INIT(WARNINGS_MAX)};
	auto_yaml document = NULL;
	struct reader reader = {.name = name, .config = &config, .err = err};
	static int (*const steps[])(const struct reader *) = {read_names,	read_server,
							      read_environment, read_secrets,
							      read_weights,	check_others};
	int r = bl_yaml_parse(name, text, len, &document, err);

	if (r < 0)
		return r;
	config.annotations = bl_json_new_object();
	if (!config.annotations)
		return bl_err_nomem(err);
	reader.root = bl_yaml_root(document);
	if (reader.root->kind != BL_YAML_MAP && reader.root->kind != BL_YAML_NULL)
		return wrong_kind(&reader, reader.root, "the file", "a mapping");
	r = check_keys(&reader, reader.root, "", top_keys);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && r == 0; i++)
		r = steps[i](&reader);
	if (r < 0)
		return r;
	*ret = config;
	config = (struct bl_truss_config){0};
	return 0;
}

static bool has_entries(const char *path)
{
	auto_dir dir = opendir(path);
	const struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			return true;
	return false;
}

/*
 * The platform copies this directory to /app/data. Copied here it would change the image; mounted, it
 * would stand in the way of weights below it, which are refused beneath another mount.
 */
static int check_data(const char *path, struct bl_truss_config *config, struct bl_err *err)
{
	const char *name = config->data_dir ? config->data_dir : "data";
	const char *slash = strrchr(path, '/');
	auto_buf beside = BL_BUF_INIT(2UL * BL_MAX_PATH);
	int r = bl_buf_putf(&beside, err, "%.*s%s", slash ? (int)(slash + 1 - path) : 0, path,
			    name);

	if (r == 0 && has_entries(bl_buf_str(&beside)))
		r = bl_buf_putf(
			&config->warnings, err,
			"%s: %s is not copied to /app/data, as the platform does: put it into the "
			"image, or give it as weights with the source file:///...\n",
			path, bl_buf_str(&beside));
	return r;
}

int bl_truss_config_read(const char *path, struct bl_truss_config *ret, struct bl_err *err)
{
	auto_buf text = BL_BUF_INIT(BL_YAML_MAX_BYTES);
	bool piped = strcmp(path, "-") == 0;
	int r = piped ? load_piped(&text, err) : bl_truss_config_load(path, &text, err);

	if (piped)
		path = PIPED;
	if (r == 0)
		r = bl_truss_config_parse(path, bl_buf_str(&text), text.len, ret, err);
	if (r < 0 || piped)
		return r;
	r = check_data(path, ret, err);
	if (r < 0)
		bl_truss_config_done(ret);
	return r;
}

void bl_truss_config_done(struct bl_truss_config *config)
{
	int saved = errno;

	bl_json_free(&config->annotations);
	bl_weights_done(&config->weights);
	free(config->model_name);
	free(config->image);
	free(config->data_dir);
	free(config->start_command);
	bl_buf_done(&config->warnings);
	*config = (struct bl_truss_config){0};
	errno = saved;
}
