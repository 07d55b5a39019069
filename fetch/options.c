/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/options.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/fs.h"
#include "common/sys.h"
#include "common/weights.h"
#include "fetch/auth/crypto.h"

#define CONFIG_BYTES (1024 * 1024)
#define AUTH_BYTES   65536 /* bytes of --auth */

enum {
	OPT_CONFIG,
	OPT_SECRETS,
	OPT_TENANT,
	OPT_SECRET,
	OPT_AUTH,
	OPT_ALLOW,
	OPT_IGNORE,
	OPT_JSON,
	OPT_QUIET
};

static const struct option long_options[] = {
	{"config", required_argument, NULL, OPT_CONFIG},
	{"secrets-dir", required_argument, NULL, OPT_SECRETS},
	{"tenant", required_argument, NULL, OPT_TENANT},
	{"auth-secret-name", required_argument, NULL, OPT_SECRET},
	{"auth", required_argument, NULL, OPT_AUTH},
	{"allow", required_argument, NULL, OPT_ALLOW},
	{"ignore", required_argument, NULL, OPT_IGNORE},
	{"json", no_argument, NULL, OPT_JSON},
	{"quiet", no_argument, NULL, OPT_QUIET},
	{NULL, 0, NULL, 0},
};

void bl_options_done(struct bl_options *options)
{
	int saved = errno;

	bl_json_free(&options->item);
	bl_json_free(&options->config);
	bl_crypto_free_secret(&options->secret);
	bl_crypto_free_secret(&options->token);
	*options = (struct bl_options){0};
	errno = saved;
}

static int add_pattern(bl_json *item, const char *key, const char *pattern, struct bl_err *err)
{
	const bl_json *list = NULL;
	int rc = bl_json_get_array(item, key, &list, err);

	if (rc < 0)
		return rc;
	/* the tree is ours: the constness is only that of the look-up */
	bl_json *array = list ? (bl_json *)(uintptr_t)list : bl_json_set_array(item, key);
	return array && bl_json_set_string(array, NULL, pattern) ? 0 : bl_err_nomem(err);
}

static int take_option(struct bl_options *options, int option, struct bl_err *err)
{
	switch (option) {
	case OPT_CONFIG:
		options->config_path = optarg;
		return 0;
	case OPT_SECRETS:
		options->secrets_dir = optarg;
		return 0;
	case OPT_TENANT:
		options->tenant = optarg;
		return 0;
	case OPT_SECRET:
		options->secret_name = optarg;
		return 0;
	case OPT_AUTH:
		options->auth = optarg;
		return 0;
	case OPT_ALLOW:
		return add_pattern(options->item, "allow_patterns", optarg, err);
	case OPT_IGNORE:
		return add_pattern(options->item, "ignore_patterns", optarg, err);
	case OPT_JSON:
		options->as_json = true;
		return 0;
	case OPT_QUIET:
		options->quiet = true;
		return 0;
	default:
		return bl_err_config(err, "an unknown option; see ballast-fetch --help");
	}
}

static int parse_arguments(struct bl_options *options, int argc, char **argv, struct bl_err *err)
{
	bool pull = strcmp(argv[0], "pull") == 0;
	int option, rc;

	opterr = 0;
	optind = 1;
	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (option == '?')
			return bl_err_config(err,
					     "'%.100s' is no option of %s, or lacks its value; "
					     "see ballast-fetch --help",
					     argv[optind - 1], argv[0]);
		if ((rc = take_option(options, option, err)) < 0)
			return rc;
	}
	int left = argc - optind;
	if (left != (pull ? 2 : 1))
		return bl_err_config(err, "%s wants SOURCE%s; see ballast-fetch --help", argv[0],
				     pull ? " and DIR" : "");
	options->source = argv[optind];
	options->dir = pull ? argv[optind + 1] : NULL;
	return 0;
}

/* ---- What they name ---- */

static int read_config(struct bl_options *options, struct bl_err *err)
{
	const struct bl_json_limits limits = {.max_bytes = CONFIG_BYTES, .fractions = true};
	const char *path = options->config_path ? options->config_path : BL_PATH_CONFIG;
	auto_buf text = BL_BUF_INIT(CONFIG_BYTES);
	int rc = bl_fs_read_config(path, &text, err);

	if (rc == -ENOENT && !options->config_path) {
		options->config = bl_json_new_object();
		return options->config ? 0 : bl_err_nomem(err);
	}
	if (rc >= 0)
		rc = bl_json_parse(bl_buf_str(&text), text.len, &limits, &options->config, err);
	if (rc >= 0 && !bl_json_is_object(options->config))
		rc = bl_err_config(err, "it must be an object");
	if (rc < 0) {
		bl_err_wrap(err, "configuration '%.200s': ", path);
		err->code = BL_EX_CONFIG;
		return -EINVAL;
	}
	return 0;
}

/* The file DIR/TENANT/NAME, of which `what` is said in messages, as a text of the caller's. */
static int read_credential(const struct bl_options *options, const char *what, const char *dir,
			   const char *name, char **ret, struct bl_err *err)
{
	auto_buf text = BL_BUF_INIT(BL_MAX_SECRET);
	auto_free char *path = NULL;

	if (!bl_weights_is_secret_name(name))
		return bl_err_config(err,
				     "'%.100s' of tenant '%.100s' is not a secret's name: "
				     "letters, digits, '.', '_' and '-'",
				     name, options->tenant);
	if (asprintf(&path, "%s/%s/%s", dir, options->tenant, name) < 0) {
		path = NULL;
		return bl_err_nomem(err);
	}
	int rc = bl_fs_read_file(AT_FDCWD, path, &text, err);
	if (rc < 0)
		return bl_err_config(err,
				     "the %s '%.100s' cannot be read: %s: '%.200s'; it must be a "
				     "file of at most %d KiB that you may read",
				     what, name, strerror(-rc), path, BL_MAX_SECRET / 1024);
	if (memchr(bl_buf_str(&text), '\0', text.len))
		return bl_err_config(err, "the %s '%.100s' holds a NUL", what, name);
	*ret = strdup(bl_buf_str(&text));
	if (text.data)
		explicit_bzero(text.data, text.len);
	return *ret ? 0 : bl_err_nomem(err);
}

/* The token by which the tenant signs in itself, as the agent would give it. */
static int read_token(struct bl_options *options, const struct bl_weights_item *item,
		      struct bl_err *err)
{
	const char *name = item->auth_method == BL_AUTH_AWS_OIDC   ? "aws"
			   : item->auth_method == BL_AUTH_GCP_OIDC ? "gcp"
			   : item->source.scheme == BL_SCHEME_BT   ? "bt"
								   : NULL;
	const char *dir = NULL;
	int rc = name ? bl_json_get_string(options->config, "identity_dir", &dir, err) : 0;

	if (!name || rc < 0)
		return rc;
	if (rc == 0)
		return bl_err_config(
			err,
			"%.200s wants the tenant's identity token: name identity_dir in "
			"the configuration (--config), and put the token into "
			"IDENTITY_DIR/%.100s/%s",
			item->source.text, options->tenant, name);
	return read_credential(options, "identity token", dir, name, &options->token, err);
}

/* Also where no secret or token of the tenant's is wanted: else a mistake shows when one is. */
static int check_tenant(const char *tenant, struct bl_err *err)
{
	return bl_weights_is_tenant(tenant)
		       ? 0
		       : bl_err_config(err,
				       "--tenant: '%.100s' is no tenant's name: it may have "
				       "letters, digits, '.', '_' and '-'",
				       tenant);
}

/* The auth object of the item: given whole, or as a secret's name. */
static int make_auth(struct bl_options *options, struct bl_err *err)
{
	const struct bl_json_limits limits = {.max_bytes = AUTH_BYTES};
	auto_json auth = NULL;
	int rc;

	if (options->auth && options->secret_name)
		return bl_err_config(err, "--auth and --auth-secret-name: one of them");
	if (options->auth) {
		rc = bl_json_parse(options->auth, strlen(options->auth), &limits, &auth, err);
		if (rc < 0) {
			bl_err_wrap(err, "--auth: ");
			return rc;
		}
	} else if (options->secret_name) {
		auth = bl_json_new_object();
		if (!auth || !bl_json_set_string(auth, "auth_method", "CUSTOM_SECRET") ||
		    !bl_json_set_string(auth, "auth_secret_name", options->secret_name))
			return bl_err_nomem(err);
	}
	return !auth || bl_json_set_copy(options->item, "auth", auth) ? 0 : bl_err_nomem(err);
}

static int make_item(struct bl_options *options, struct bl_err *err)
{
	/* Nothing is mounted; the item has to have a place all the same. */
	if (!bl_json_set_string(options->item, "source", options->source) ||
	    !bl_json_set_string(options->item, "mount_location", "/pull"))
		return bl_err_nomem(err);
	return make_auth(options, err);
}

/* What the item wants of credentials, once it is checked as every item is. */
static int read_credentials(struct bl_options *options, struct bl_err *err)
{
	auto_json list = bl_json_new_array();
	auto_weights weights = {0};

	if (!list || !bl_json_set_copy(list, NULL, options->item))
		return bl_err_nomem(err);
	int rc = bl_weights_from_json(list, &weights, err);
	/* There is one item, and no list that the person knows of. */
	if (rc < 0 && err && strncmp(err->msg, "$[0].", 5) == 0)
		memmove(err->msg, err->msg + 5, strlen(err->msg + 5) + 1);
	if (rc < 0)
		return rc;
	const struct bl_weights_item *item = &weights.items[0];
	if (item->auth_secret_name)
		rc = read_credential(options, "secret", options->secrets_dir,
				     item->auth_secret_name, &options->secret, err);
	return rc < 0 ? rc : read_token(options, item, err);
}

int bl_options_read(struct bl_options *options, int argc, char **argv, struct bl_err *err)
{
	int rc;

	options->secrets_dir = BL_PATH_SECRETS;
	options->tenant = "default";
	options->item = bl_json_new_object();
	if (!options->item)
		return bl_err_nomem(err);
	if ((rc = parse_arguments(options, argc, argv, err)) < 0 ||
	    (rc = check_tenant(options->tenant, err)) < 0 || (rc = make_item(options, err)) < 0 ||
	    (rc = read_config(options, err)) < 0)
		return rc;
	return read_credentials(options, err);
}
