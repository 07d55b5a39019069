// SPDX-License-Identifier: Apache-2.0
/* ballast migrate: model_cache to weights, shown as a diff, asked about, with a backup. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/command.h"
#include "cli/model_cache.h"
#include "cli/options.h"
#include "cli/truss_config.h"
#include "cli/yaml.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/sys.h"

#define CONTEXT	    3 /* lines around a change */
#define BACKUPS_MAX 100

/* ---- The diff: one hunk, between what both texts begin and end with ---- */

struct lines {
	const char *text;
	size_t count;
};

static struct lines lines_of(const char *text)
{
	struct lines lines = {text, 0};

	for (const char *c = text; *c; lines.count++) {
		c += strcspn(c, "\n");
		c += *c == '\n';
	}
	return lines;
}

/* The line's beginning, and its length without the newline. */
static const char *line_of(const struct lines *lines, size_t i, size_t *len)
{
	const char *c = lines->text;

	while (i-- > 0) {
		c += strcspn(c, "\n");
		c += *c == '\n';
	}
	*len = strcspn(c, "\n");
	return c;
}

static bool same_line(const struct lines *a, size_t i, const struct lines *b, size_t j)
{
	size_t la;
	size_t lb;
	const char *x = line_of(a, i, &la);
	const char *y = line_of(b, j, &lb);

	return la == lb && memcmp(x, y, la) == 0;
}

static void print_lines(const struct lines *lines, size_t from, size_t to, char mark, bool colour)
{
	const char *on = !colour || mark == ' ' ? "" : mark == '-' ? "\033[31m" : "\033[32m";

	for (size_t i = from; i < to; i++) {
		char shown[BL_LOG_LINE_MAX];
		char line[BL_LOG_LINE_MAX];
		size_t len;
		const char *text = line_of(lines, i, &len);

		(void)snprintf(line, sizeof(line), "%.*s", (int)(len > 1000 ? 1000 : len), text);
		/* Tabs and the like are escaped: what is shown is what is there. */
		(void)bl_log_escape(shown, sizeof(shown), line);
		printf("%s%c%s%s\n", on, mark, shown, *on ? "\033[0m" : "");
	}
}

static void print_diff(const char *path, const char *before, const char *after, bool colour)
{
	struct lines a = lines_of(before);
	struct lines b = lines_of(after);
	size_t head = 0;
	size_t tail = 0;
	size_t from;
	size_t more;

	while (head < a.count && head < b.count && same_line(&a, head, &b, head))
		head++;
	while (tail < a.count - head && tail < b.count - head &&
	       same_line(&a, a.count - 1 - tail, &b, b.count - 1 - tail))
		tail++;
	from = head > CONTEXT ? head - CONTEXT : 0;
	more = tail < CONTEXT ? tail : CONTEXT;
	bl_print("--- %s\n+++ %s\n@@ -%zu,%zu +%zu,%zu @@\n", path, path, from + 1,
		 a.count - tail + more - from, from + 1, b.count - tail + more - from);
	print_lines(&a, from, head, ' ', colour);
	print_lines(&a, head, a.count - tail, '-', colour);
	print_lines(&b, head, b.count - tail, '+', colour);
	print_lines(&a, a.count - tail, a.count - tail + more, ' ', colour);
}

/* ---- Writing ---- */

/* The directory of the file, and its name in it; a link is followed first. */
static int open_parent(const char *path, char *real, const char **ret_name, struct bl_err *err)
{
	char *slash;
	int fd;

	if (!realpath(path, real))
		return bl_err_set(err, BL_EX_CONFIG, errno, "%s: %s", path, strerror(errno));
	slash = strrchr(real, '/');
	*slash = '\0';
	*ret_name = slash + 1;
	fd = open(*real ? real : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? bl_err_sys(err, errno, "'%s'", real) : fd;
}

/* A copy under the first name that is free: config.yaml.bak, config.yaml.bak.1, ... */
static int back_up(int dir, const char *name, const struct bl_buf *text, const struct stat *like,
		   char *backup, struct bl_err *err)
{
	for (int i = 0; i < BACKUPS_MAX; i++) {
		auto_fd fd = -1;
		int r;

		if (i == 0)
			(void)snprintf(backup, NAME_MAX + 1, "%.200s.bak", name);
		else
			(void)snprintf(backup, NAME_MAX + 1, "%.200s.bak.%d", name, i);
		fd = bl_sys_openat(dir, backup, O_WRONLY | O_CREAT | O_EXCL, like->st_mode);
		if (fd == -EEXIST)
			continue;
		if (fd < 0)
			return bl_err_sys(err, -fd, "'%s'", backup);
		/* Where root does it for somebody, both stay theirs. */
		(void)bl_sys_fchownat(fd, "", like->st_uid, like->st_gid, AT_EMPTY_PATH);
		r = bl_sys_write_all(fd, text->data, text->len);
		if (r == 0)
			r = bl_sys_fsync(fd);
		if (r < 0) /* half of one is none */
			(void)unlinkat(dir, backup, 0);
		return r < 0 ? bl_err_sys(err, -r, "'%s'", backup) : 0;
	}
	return bl_err_config(err, "there are %d backups already", BACKUPS_MAX);
}

static int write_config(const char *path, const struct bl_buf *before, const struct bl_buf *after,
			struct bl_err *err)
{
	char real[PATH_MAX];
	char backup[NAME_MAX + 1];
	const char *name = NULL;
	struct stat st;
	auto_fd dir = open_parent(path, real, &name, err);
	int r;

	if (dir < 0)
		return dir;
	if (fstatat(dir, name, &st, 0) < 0)
		return bl_err_sys(err, errno, "'%s'", path);
	st.st_mode &= 0777;
	r = back_up(dir, name, before, &st, backup, err);
	if (r == 0)
		r = bl_fs_write_like(dir, name, after->data, after->len, &st, err);
	if (r == 0)
		bl_print("%s is changed; as it was it is in %s\n", path, backup);
	return r;
}

static bool ask(void)
{
	char answer[16] = "";

	printf("Apply these changes? [y/N] ");
	(void)fflush(stdout);
	return fgets(answer, sizeof(answer), stdin) &&
	       (strcmp(answer, "y\n") == 0 || strcmp(answer, "yes\n") == 0 ||
		strcmp(answer, "Y\n") == 0);
}

/* Whether colours are wanted (no-color.org: empty it says nothing), and can be seen. */
static bool has_colours(void)
{
	const char *refused = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	return isatty(STDOUT_FILENO) == 1 && !(refused && *refused) && term && *term &&
	       strcmp(term, "dumb") != 0;
}

static const char *text_or(const struct bl_yaml *root, const char *key, const char *otherwise)
{
	const struct bl_yaml *node = bl_yaml_get(root, key);

	return node && *node->text ? node->text : otherwise;
}

/* The model's own code, where the config has it, may name the old paths. */
static void note_model_code(const char *path, const struct bl_buf *config, struct bl_buf *notes)
{
	char file[PATH_MAX];
	const char *slash = strrchr(path, '/');
	auto_buf code = BL_BUF_INIT(BL_YAML_MAX_BYTES);
	auto_yaml document = NULL;

	if (bl_yaml_parse(path, bl_buf_str(config), config->len, &document, NULL) < 0)
		return;
	(void)snprintf(file, sizeof(file), "%.*s%s/%s", slash ? (int)(slash - path + 1) : 0, path,
		       text_or(bl_yaml_root(document), "model_module_dir", "model"),
		       text_or(bl_yaml_root(document), "model_class_filename", "model.py"));
	if (bl_fs_read_file(AT_FDCWD, file, &code, NULL) < 0)
		return;
	if (strstr(bl_buf_str(&code), "lazy_data_resolver") ||
	    strstr(bl_buf_str(&code), "model_cache") || strstr(bl_buf_str(&code), "hf_cache"))
		(void)bl_buf_putf(
			notes, NULL,
			"%s speaks of the old cache: let it load from the mount locations\n", file);
}

static int migrate(const char *path, bool yes, bool dry_run, struct bl_err *err)
{
	auto_buf before = BL_BUF_INIT(BL_YAML_MAX_BYTES);
	auto_buf after = BL_BUF_INIT(2 * BL_YAML_MAX_BYTES);
	auto_buf notes = BL_BUF_INIT(BL_YAML_MAX_BYTES);
	auto_truss_config check = {0};
	struct stat st;
	int r = bl_truss_config_load(path, &before, err);

	if (r == 0)
		r = bl_model_cache_migrate(path, bl_buf_str(&before), before.len, &after, &notes,
					   err);
	if (r == 0)
		bl_print("%s: nothing to migrate\n", path);
	if (r <= 0)
		return r;
	note_model_code(path, &before, &notes);
	print_diff(path, bl_buf_str(&before), bl_buf_str(&after), has_colours());
	bl_say_lines(bl_buf_str(&notes));
	r = bl_truss_config_parse(path, bl_buf_str(&after), after.len, &check, err);
	if (r < 0) {
		bl_err_wrap(err, "the result would not be valid: ");
		return r;
	}
	if (dry_run)
		return 0;
	if (stat(path, &st) == 0 && S_ISFIFO(st.st_mode))
		return bl_err_config(err,
				     "%s: is a pipe, and cannot be changed: name the file, or see "
				     "the changes with --dry-run",
				     path);
	if (!yes && !ask()) {
		bl_say("nothing was changed");
		return 1;
	}
	return write_config(path, &before, &after, err);
}

int bl_migrate_main(char **words, struct bl_err *err)
{
	bool yes = false;
	bool dry_run = false;
	const struct bl_option options[] = {
		BL_OPTION_FLAG("yes", "do not ask", &yes),
		BL_OPTION_FLAG("dry-run", "show the changes, and change nothing", &dry_run),
		{0},
	};
	const struct bl_usage usage = {
		"ballast migrate [OPTION...] [CONFIG.yaml | DIR]",
		"Turns model_cache, hf_cache and external_data of a Truss config.yaml into "
		"weights.\n"
		"Shows the changes, asks, and keeps the file as it was beside it. Everything else "
		"in the\n"
		"file stays as it is, comments too. Exit status 1: you said no.",
		options,
		0,
		1,
		false};
	struct bl_operands operands;
	char path[PATH_MAX];
	struct stat st;
	const char *given;
	int r = bl_options_parse(&usage, words, &operands, err);

	if (r != 0)
		return r < 0 ? r : 0;
	given = operands.count ? operands.words[0] : ".";
	(void)snprintf(path, sizeof(path), "%s", given);
	if (stat(given, &st) == 0 && S_ISDIR(st.st_mode))
		(void)snprintf(path, sizeof(path), "%s%sconfig.yaml",
			       strcmp(given, ".") == 0 ? "" : given,
			       strcmp(given, ".") == 0 ? "" : "/");
	return migrate(path, yes, dry_run, err);
}
