// SPDX-License-Identifier: Apache-2.0
#include "cli/oci_config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "cli/image_user.h"
#include "cli/read_file.h"
#include "cli/truss_config.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/fs.h"

#define HOOK_NAME     "ballast-hook"
#define PATH_ENV      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define HOOK_PATH_ENV "PATH=/usr/sbin:/usr/bin:/sbin:/bin"

/* The runtime's own limit on the hook, above the hook's own: it is there for a hook that hangs. */
#define HOOK_GRACE   30
#define HOOK_TIMEOUT 90	    /* seconds; the hook's default */
#define TIMEOUT_MAX  86400L /* seconds, which is the hook's own maximum */

/* As `runc spec` has it, but: writable, no terminal, no capabilities, no limits, /dev/shm of the
 * kernel's default size, since models are loaded through it. */
static const char base[] =
	"{\"ociVersion\":\"1.0.2\","
	"\"process\":{\"terminal\":false,\"user\":{\"uid\":0,\"gid\":0},\"args\":[],"
	"\"env\":[\"" PATH_ENV "\"],\"cwd\":\"/\",\"noNewPrivileges\":true},"
	"\"root\":{\"path\":\"rootfs\",\"readonly\":false},"
	"\"mounts\":["
	"{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"
	"{\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\","
	"\"options\":[\"nosuid\",\"strictatime\",\"mode=755\",\"size=65536k\"]},"
	"{\"destination\":\"/dev/pts\",\"type\":\"devpts\",\"source\":\"devpts\","
	"\"options\":[\"nosuid\",\"noexec\",\"newinstance\",\"ptmxmode=0666\",\"mode=0620\"]},"
	"{\"destination\":\"/dev/shm\",\"type\":\"tmpfs\",\"source\":\"shm\","
	"\"options\":[\"nosuid\",\"noexec\",\"nodev\",\"mode=1777\"]},"
	"{\"destination\":\"/dev/mqueue\",\"type\":\"mqueue\",\"source\":\"mqueue\","
	"\"options\":[\"nosuid\",\"noexec\",\"nodev\"]},"
	"{\"destination\":\"/sys\",\"type\":\"sysfs\",\"source\":\"sysfs\","
	"\"options\":[\"nosuid\",\"noexec\",\"nodev\",\"ro\"]}],"
	"\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"ipc\"},{\"type\":\"uts\"},"
	"{\"type\":\"mount\"}],"
	"\"maskedPaths\":[\"/proc/acpi\",\"/proc/asound\",\"/proc/kcore\",\"/proc/keys\","
	"\"/proc/latency_stats\",\"/proc/timer_list\",\"/proc/timer_stats\",\"/proc/sched_debug\","
	"\"/sys/firmware\",\"/proc/scsi\"],"
	"\"readonlyPaths\":[\"/proc/bus\",\"/proc/fs\",\"/proc/irq\",\"/proc/sys\","
	"\"/proc/sysrq-trigger\"]}}";

static const struct bl_json_limits limits = {
	.max_bytes = BL_MAX_CONFIG, .fractions = true, .absent_nulls = true};

int bl_oci_config_base(bl_json **ret, struct bl_err *err)
{
	return bl_json_parse(base, sizeof(base) - 1, &limits, ret, err);
}

int bl_oci_config_read(int dirfd, const char *path, bl_json **ret, struct bl_err *err)
{
	auto_buf text = BL_BUF_INIT(BL_MAX_CONFIG);
	auto_json config = NULL;
	/* What a person has named may be a link. */
	int r = dirfd == AT_FDCWD ? bl_read_file(path, true, &text, err)
				  : bl_fs_read_file(dirfd, path, &text, err);

	if (r == 0) {
		r = bl_json_parse(bl_buf_str(&text), text.len, &limits, &config, err);
		if (r < 0)
			bl_err_wrap(err, "%s: ", path);
	}
	if (r == 0 && !bl_json_is_object(config))
		r = bl_err_config(err, "%s: must be an object, not %s", path, bl_json_kind(config));
	if (r < 0) {
		if (err)
			err->code = BL_EX_CONFIG;
		return r;
	}
	*ret = TAKE_PTR(config);
	return 0;
}

/* ---- Members that are made where they are missing ---- */

static int object_of(bl_json *parent, const char *key, bl_json **ret, struct bl_err *err)
{
	const bl_json *found = NULL;
	int r = bl_json_get_object(parent, key, &found, err);

	if (r < 0)
		return r;
	if (r == 0)
		bl_json_remove(parent, key); /* null */
	/* The tree is ours; the reading functions only promise not to change it. */
	*ret = r > 0 ? (bl_json *)found : bl_json_set_object(parent, key);
	return *ret ? 0 : bl_err_nomem(err);
}

static int set_copy(bl_json *to, const char *key, const bl_json *value, struct bl_err *err)
{
	bl_json_remove(to, key);
	return bl_json_set_copy(to, key, value) ? 0 : bl_err_nomem(err);
}

static int set_string(bl_json *to, const char *key, const char *value, struct bl_err *err)
{
	bl_json_remove(to, key);
	return bl_json_set_string(to, key, value) ? 0 : bl_err_nomem(err);
}

/* ---- What was there before us ---- */

/* Annotations: what stood in process before we put something else there, as JSON. */
#define KEY_USER "dev.ballast.bundle.user"
#define KEY_ARGS "dev.ballast.bundle.args"
#define KEPT_MAX (1024 * 1024) /* bytes of one */

static int keep(bl_json *config, const char *key, const bl_json *value, struct bl_err *err)
{
	auto_buf text = BL_BUF_INIT(KEPT_MAX);
	bl_json *annotations = NULL;
	int r = bl_json_write(&text, value, err);

	if (r == 0)
		r = object_of(config, "annotations", &annotations, err);
	return r < 0 ? r : set_string(annotations, key, bl_buf_str(&text), err);
}

static int restore(bl_json *config, const char *key, const char *member, struct bl_err *err)
{
	const struct bl_json_limits kept_limits = {.max_bytes = KEPT_MAX, .fractions = true};
	const bl_json *annotations = NULL;
	const char *text = NULL;
	auto_json value = NULL;
	bl_json *process = NULL;
	int r = bl_json_get_object(config, "annotations", &annotations, err);

	if (r > 0)
		r = bl_json_get_string(annotations, key, &text, err);
	if (r <= 0)
		return r;
	r = bl_json_parse(text, strlen(text), &kept_limits, &value, err);
	if (r < 0) {
		bl_err_wrap(err, "annotations: %s: ", key);
		return r;
	}
	r = object_of(config, "process", &process, err);
	if (r == 0)
		r = set_copy(process, member, value, err);
	bl_json_remove((bl_json *)annotations, key);
	return r;
}

int bl_oci_config_restore(bl_json *config, struct bl_err *err)
{
	int r = restore(config, KEY_USER, "user", err);

	return r < 0 ? r : restore(config, KEY_ARGS, "args", err);
}

/* ---- Where the process comes from ---- */

int bl_oci_config_take_process(bl_json *config, const bl_json *from, struct bl_err *err)
{
	static const char *const keys[] = {"args", "env", "cwd", "user", NULL};
	const bl_json *theirs = NULL;
	bl_json *process = NULL;
	int r = bl_json_get_object(from, "process", &theirs, err);

	if (r > 0)
		r = object_of(config, "process", &process, err);
	for (size_t i = 0; keys[i] && r >= 0 && theirs; i++) {
		const bl_json *value;

		r = bl_json_get(theirs, keys[i], &value, err);
		if (r > 0)
			r = set_copy(process, keys[i], value, err);
	}
	return r < 0 ? r : 0;
}

static int add_strings(bl_json *to, const bl_json *object, const char *key, struct bl_err *err)
{
	const bl_json *list = NULL;
	int r = bl_json_get_strings(object, key, &list, err);

	for (const bl_json *e = r > 0 ? bl_json_first(list) : NULL; e; e = bl_json_next(e))
		if (!bl_json_set_string(to, NULL, bl_json_string(e)))
			return bl_err_nomem(err);
	return r < 0 ? r : 0;
}

static bool has_path(const bl_json *env)
{
	for (const bl_json *e = bl_json_first(env); e; e = bl_json_next(e))
		if (strncmp(bl_json_string(e), "PATH=", 5) == 0)
			return true;
	return false;
}

/* An image's User; its names are those of the root file system that the config has by now. */
static int take_user(bl_json *config, bl_json *process, const char *text, struct bl_err *err)
{
	const bl_json *root = NULL;
	const char *rootfs = "";
	int r = *text ? bl_json_get_object(config, "root", &root, err) : 0;

	if (r > 0)
		r = bl_json_get_string(root, "path", &rootfs, err);
	return r < 0 || *text == '\0' ? r : bl_image_user(process, rootfs, text, err);
}

int bl_oci_config_take_image(bl_json *config, const bl_json *image, struct bl_err *err)
{
	const bl_json *theirs = NULL;
	const char *text = NULL;
	bl_json *process = NULL;
	bl_json *list;
	int r = bl_json_get_object(image, "config", &theirs, err);

	if (r <= 0)
		return r < 0 ? r
			     : bl_err_config(err, "config: is missing; this is no image's "
						  "configuration");
	r = object_of(config, "process", &process, err);
	if (r < 0)
		return r;
	bl_json_remove(process, "args");
	list = bl_json_set_array(process, "args");
	if (!list)
		return bl_err_nomem(err);
	r = add_strings(list, theirs, "Entrypoint", err);
	if (r == 0)
		r = add_strings(list, theirs, "Cmd", err);
	if (r < 0)
		return r;
	bl_json_remove(process, "env");
	list = bl_json_set_array(process, "env");
	r = !list ? bl_err_nomem(err) : add_strings(list, theirs, "Env", err);
	/* As every engine has it: an image may rely on a PATH that it does not name. */
	if (r == 0 && !has_path(list) && !bl_json_set_string(list, NULL, PATH_ENV))
		return bl_err_nomem(err);
	if (r == 0)
		r = bl_json_get_string(theirs, "WorkingDir", &text, err);
	if (r > 0 && *text == '/')
		r = set_string(process, "cwd", text, err);
	text = "";
	if (r >= 0)
		r = bl_json_get_string(theirs, "User", &text, err);
	return r < 0 ? r : take_user(config, process, text, err);
}

int bl_oci_config_set_args(bl_json *config, char *const *args, struct bl_err *err)
{
	const bl_json *before = NULL;
	bl_json *process = NULL;
	bl_json *list;
	int r = object_of(config, "process", &process, err);

	if (r == 0)
		r = bl_json_get_array(process, "args", &before, err);
	if (r > 0)
		r = keep(config, KEY_ARGS, before, err);
	if (r < 0)
		return r;
	bl_json_remove(process, "args");
	list = bl_json_set_array(process, "args");
	for (; list && *args; args++)
		if (!bl_json_set_string(list, NULL, *args))
			return bl_err_nomem(err);
	return list ? 0 : bl_err_nomem(err);
}

/* ---- Root, network, terminal ---- */

int bl_oci_config_set_rootfs(bl_json *config, const char *rootfs, struct bl_err *err)
{
	bl_json *root = NULL;
	int r = object_of(config, "root", &root, err);

	return r < 0 ? r : set_string(root, "path", rootfs, err);
}

int bl_oci_config_set_network(bl_json *config, bool host, struct bl_err *err)
{
	const bl_json *namespaces = NULL;
	auto_json kept = bl_json_new_array();
	bl_json *linux_ = NULL;
	int r = object_of(config, "linux", &linux_, err);

	if (r == 0 && !kept)
		r = bl_err_nomem(err);
	if (r == 0)
		r = bl_json_get_array(linux_, "namespaces", &namespaces, err);
	for (const bl_json *e = r > 0 ? bl_json_first(namespaces) : NULL; e; e = bl_json_next(e)) {
		const char *type = "";

		if (!bl_json_is_object(e))
			continue;
		r = bl_json_get_string(e, "type", &type, err);
		if (r < 0)
			return r;
		if (strcmp(type, "network") != 0 && !bl_json_set_copy(kept, NULL, e))
			return bl_err_nomem(err);
	}
	if (r >= 0 && !host) {
		bl_json *network = bl_json_set_object(kept, NULL);

		if (!network || !bl_json_set_string(network, "type", "network"))
			return bl_err_nomem(err);
	}
	return r < 0 ? r : set_copy(linux_, "namespaces", kept, err);
}

int bl_oci_config_set_foreground(bl_json *config, struct bl_err *err)
{
	bl_json *process = NULL;
	int r = object_of(config, "process", &process, err);

	if (r < 0)
		return r;
	bl_json_remove(process, "terminal");
	bl_json_remove(process, "consoleSize");
	return bl_json_set_bool(process, "terminal", false) ? 0 : bl_err_nomem(err);
}

/* ---- What Ballast adds ---- */

int bl_oci_config_annotate(bl_json *config, const char *key, const char *value, struct bl_err *err)
{
	bl_json *annotations = NULL;
	int r = object_of(config, "annotations", &annotations, err);

	return r < 0 ? r : set_string(annotations, key, value, err);
}

static int add_annotations(bl_json *config, const bl_json *ours, struct bl_err *err)
{
	bl_json *annotations = NULL;
	int r = object_of(config, "annotations", &annotations, err);
	const bl_json *next;

	for (const bl_json *m = r == 0 ? bl_json_first(annotations) : NULL; m; m = next) {
		const char *key = bl_json_key(m);

		next = bl_json_next(m);
		if (strstr(key, BL_KEY_SUFFIX))
			bl_json_remove(annotations, key);
	}
	for (const bl_json *m = r == 0 ? bl_json_first(ours) : NULL; m; m = bl_json_next(m))
		if (!bl_json_set_copy(annotations, bl_json_key(m), m))
			return bl_err_nomem(err);
	/* Without any, the hook would do nothing, and the shim not be there. */
	if (r == 0 && bl_json_length(ours) == 0)
		r = set_string(annotations, BL_KEY_DOCKER_SERVER, "{}", err);
	return r;
}

static bool add_option(bl_json *args, const char *option, const char *value)
{
	auto_buf text = BL_BUF_INIT(PATH_MAX + 64);

	if (!value)
		return true;
	return bl_buf_putf(&text, NULL, "--%s=%s", option, value) == 0 &&
	       bl_json_set_string(args, NULL, bl_buf_str(&text));
}

/* Seconds of "90s", "5m", "2h" or "500ms", rounded up; 0 where it is none that the hook takes. */
static long seconds_of(const char *text)
{
	size_t digits = strspn(text, "0123456789");
	char *end;
	long value = strtol(text, &end, 10);

	if (digits == 0 || digits > 9 || value <= 0 || value > TIMEOUT_MAX * 1000)
		return 0;
	if (strcmp(end, "ms") == 0)
		value = (value + 999) / 1000;
	else if (strcmp(end, "m") == 0)
		value *= 60;
	else if (strcmp(end, "h") == 0)
		value *= 3600;
	else if (strcmp(end, "s") != 0)
		return 0;
	return value <= TIMEOUT_MAX ? value : 0;
}

static int add_hook(bl_json *list, const struct bl_oci_hook *hook, const char *stage,
		    struct bl_err *err)
{
	bl_json *entry = bl_json_set_object(list, NULL);
	bl_json *args = entry ? bl_json_set_array(entry, "args") : NULL;
	bl_json *env = entry ? bl_json_set_array(entry, "env") : NULL;
	long wait = hook->timeout ? seconds_of(hook->timeout) : HOOK_TIMEOUT;

	if (wait == 0)
		return bl_err_config(
			err, "--timeout: '%.64s' is no time from 1ms to 24h, such as 90s or 5m",
			hook->timeout);
	if (!args || !env || !bl_json_set_string(entry, "path", hook->path) ||
	    !bl_json_set_string(args, NULL, HOOK_NAME) || !add_option(args, "agent", hook->agent) ||
	    !add_option(args, "shim", hook->shim) ||
	    !add_option(args, "secrets-dir", hook->secrets_dir) ||
	    !add_option(args, "tenant", hook->tenant) ||
	    !add_option(args, "timeout", hook->timeout) ||
	    !add_option(args, "on-timeout", hook->on_timeout) ||
	    !add_option(args, "runtime", "none") || !bl_json_set_string(args, NULL, stage) ||
	    !bl_json_set_string(env, NULL, HOOK_PATH_ENV) ||
	    !bl_json_set_int(entry, "timeout", wait + HOOK_GRACE))
		return bl_err_nomem(err);
	return 0;
}

static bool is_our_hook(const bl_json *entry)
{
	const char *path = NULL;
	const char *name;

	if (!bl_json_is_object(entry) || bl_json_get_string(entry, "path", &path, NULL) <= 0)
		return false;
	name = strrchr(path, '/');
	return strcmp(name ? name + 1 : path, HOOK_NAME) == 0;
}

/* The stage's hooks less ours of before, and ours at the end. */
static int register_hook(bl_json *hooks, const struct bl_oci_hook *hook, const char *stage,
			 bool add, struct bl_err *err)
{
	const bl_json *before = NULL;
	auto_json list = bl_json_new_array();
	int r = bl_json_get_array(hooks, stage, &before, err);

	if (r >= 0 && !list)
		return bl_err_nomem(err);
	for (const bl_json *e = r > 0 ? bl_json_first(before) : NULL; e; e = bl_json_next(e))
		if (!is_our_hook(e) && !bl_json_set_copy(list, NULL, e))
			return bl_err_nomem(err);
	if (r >= 0 && add)
		r = add_hook(list, hook, stage, err);
	if (r < 0)
		return r;
	if (bl_json_length(list) > 0)
		return set_copy(hooks, stage, list, err);
	bl_json_remove(hooks, stage);
	return 0;
}

static int add_hooks(bl_json *config, const struct bl_oci_hook *hook, struct bl_err *err)
{
	bl_json *hooks = NULL;
	int r = object_of(config, "hooks", &hooks, err);

	if (r == 0)
		r = register_hook(hooks, hook, "prestart", false, err);
	if (r == 0)
		r = register_hook(hooks, hook, "createRuntime", true, err);
	return r < 0 ? r : register_hook(hooks, hook, "poststop", true, err);
}

/* Whether there is a word, and it is that one. */
static bool is_word(const bl_json *word, const char *text)
{
	return word && strcmp(bl_json_string(word), text) == 0;
}

static int add_shim(bl_json *process, bool has_command, struct bl_err *err)
{
	const bl_json *before = NULL;
	const bl_json *first = NULL;
	bool init = false;
	auto_json args = bl_json_new_array();
	int r = bl_json_get_strings(process, "args", &before, err);

	if (r < 0)
		return r;
	first = r > 0 ? bl_json_first(before) : NULL;
	if (is_word(first, BL_BOX_SHIM)) {
		first = bl_json_next(first);
		init = is_word(first, "--init");
		if (init)
			first = bl_json_next(first);
		if (is_word(first, "--"))
			first = bl_json_next(first);
	}
	if (!args || !bl_json_set_string(args, NULL, BL_BOX_SHIM) ||
	    (init && !bl_json_set_string(args, NULL, "--init")) ||
	    !bl_json_set_string(args, NULL, "--"))
		return bl_err_nomem(err);
	if (!first && !has_command)
		return bl_err_config(err, "there is nothing to run: the config has no "
					  "docker_server.start_command and the image's own "
					  "entrypoint is not known; give --bundle, --image-config, "
					  "or the command after --");
	for (; first; first = bl_json_next(first))
		if (!bl_json_set_string(args, NULL, bl_json_string(first)))
			return bl_err_nomem(err);
	return set_copy(process, "args", args, err);
}

static int process_uid(const bl_json *process, int64_t *ret, struct bl_err *err)
{
	const bl_json *user = NULL;
	int r = bl_json_get_object(process, "user", &user, err);

	*ret = 0;
	if (r > 0)
		r = bl_json_get_int(user, "uid", 0, UINT32_MAX, ret, err);
	return r < 0 ? r : 0;
}

/*
 * Where the server's user is to differ from process.user, the shim starts as root with what it
 * takes to give the directories away and to drop everything; else it starts with nothing. The
 * server has no capability in either case.
 */
static int set_privileges(bl_json *config, bl_json *process, const struct bl_truss_config *truss,
			  struct bl_err *err)
{
	static const char *const sets[] = {"bounding", "effective", "permitted", NULL};
	static const char *const names[] = {"CAP_CHOWN",  "CAP_DAC_OVERRIDE", "CAP_SETGID",
					    "CAP_SETUID", "CAP_SETPCAP",      NULL};
	bl_json *capabilities;
	bl_json *user;
	int64_t uid;
	int r = process_uid(process, &uid, err);

	if (r < 0)
		return r;
	bl_json_remove(process, "capabilities");
	bl_json_remove(process, "noNewPrivileges");
	capabilities = bl_json_set_object(process, "capabilities");
	if (!capabilities || !bl_json_set_bool(process, "noNewPrivileges", true))
		return bl_err_nomem(err);
	if (uid != 0 && (truss->run_as_user_id == 0 || truss->run_as_user_id == uid))
		return 0;
	if (uid != 0) {
		r = object_of(process, "user", &user, err);
		if (r == 0)
			r = keep(config, KEY_USER, user, err);
		if (r < 0)
			return r;
		bl_json_remove(process, "user");
		user = bl_json_set_object(process, "user");
		if (!user || !bl_json_set_int(user, "uid", 0) || !bl_json_set_int(user, "gid", 0))
			return bl_err_nomem(err);
	}
	for (size_t i = 0; sets[i]; i++) {
		bl_json *set = bl_json_set_array(capabilities, sets[i]);

		for (size_t j = 0; set && names[j]; j++)
			if (!bl_json_set_string(set, NULL, names[j]))
				return bl_err_nomem(err);
		if (!set)
			return bl_err_nomem(err);
	}
	return 0;
}

int bl_oci_config_add_ballast(bl_json *config, const struct bl_truss_config *truss,
			      const struct bl_oci_hook *hook, struct bl_err *err)
{
	bl_json *process = NULL;
	int r = object_of(config, "process", &process, err);

	if (r == 0)
		r = add_shim(process, truss->start_command != NULL, err);
	if (r == 0)
		r = set_privileges(config, process, truss, err);
	if (r == 0)
		r = add_annotations(config, truss->annotations, err);
	return r < 0 ? r : add_hooks(config, hook, err);
}
