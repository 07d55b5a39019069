// SPDX-License-Identifier: Apache-2.0
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cli/doctor.h"
#include "cli/node.h"
#include "cli/read_file.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/fs.h"
#include "common/program.h"
#include "common/sys.h"
#include "common/weights.h"

#define FILE_MAX	   (1024 * 1024)
#define PATH_ROOM	   4096
#define KEY_PATTERN	   "*.ballast.dev" /* of containerd's pod_annotations */
#define KEY_PATTERN_SCOPED "*.ballast.dev/*"

/* ---- Kernel ---- */

static bool has_filesystem(const char *name)
{
	auto_file file = fopen("/proc/filesystems", "re");
	char line[128];

	while (file && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		if (strcmp(strrchr(line, '\t') ? strrchr(line, '\t') + 1 : line, name) == 0)
			return true;
	}
	return false;
}

void bl_doctor_check_kernel(struct bl_doctor *doctor)
{
	struct utsname name = {0};
	auto_fd tree = -1;
	auto_fd beneath = -1;
	auto_fd pid = -1;
	auto_fd landlock = -1;

	(void)uname(&name);
	beneath = bl_sys_openat2(AT_FDCWD, ".", O_PATH, 0, BL_RESOLVE_NO_MAGICLINKS);
	pid = bl_sys_pidfd_open(getpid());
	if (beneath < 0 || pid < 0)
		bl_doctor_find(doctor, BL_FINDING_BAD, "kernel",
			       "Linux %s lacks openat2 or pidfd_open; 5.12 or later is needed",
			       name.release);
	else
		bl_doctor_find(doctor, BL_FINDING_GOOD, "kernel", "Linux %s", name.release);
	if (geteuid() == 0) {
		tree = bl_sys_open_tree_clone(AT_FDCWD, "/proc", false);
		if (tree < 0 || bl_sys_mount_setattr(tree, BL_MOUNT_RDONLY, 0, false) < 0)
			bl_doctor_find(
				doctor, BL_FINDING_BAD, "mounts",
				"open_tree or mount_setattr is refused: Linux 5.12 or later and "
				"CAP_SYS_ADMIN are needed");
		else
			bl_doctor_find(doctor, BL_FINDING_GOOD, "mounts",
				       "detached read-only mounts can be made");
	} else {
		bl_doctor_find(doctor, BL_FINDING_NOTE, "mounts",
			       "not tried: run it as root to see all");
	}
	landlock = bl_sys_landlock_create(1);
	if (landlock < 0)
		bl_doctor_find(doctor, BL_FINDING_NOTE, "landlock",
			       "not there: fetch processes can open what any user of the host can "
			       "(add landlock to the kernel's lsm= list)");
	if (!has_filesystem("overlay"))
		bl_doctor_find(
			doctor, BL_FINDING_NOTE, "overlay",
			"not there: privileged containers will be refused (modprobe overlay)");
}

/* ---- Programs ---- */

/* A static program has no interpreter. */
static bool is_static(int fd)
{
	Elf64_Ehdr header;

	if (bl_sys_pread(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header) ||
	    memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
	    header.e_phentsize != sizeof(Elf64_Phdr))
		return false;
	for (unsigned i = 0; i < header.e_phnum; i++) {
		Elf64_Phdr segment;
		off_t at = (off_t)header.e_phoff + (off_t)(i * sizeof(segment));

		if (bl_sys_pread(fd, &segment, sizeof(segment), at) != (ssize_t)sizeof(segment) ||
		    segment.p_type == PT_INTERP)
			return false;
	}
	return true;
}

static void check_program(struct bl_doctor *doctor, const char *path, bool is_shim)
{
	char room[PATH_ROOM];
	const char *real = bl_doctor_path(doctor, path, room);
	auto_fd fd = open(real, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		bl_doctor_find(doctor, BL_FINDING_BAD, path, "%s; make install puts it there",
			       strerror(errno));
	else if (!S_ISREG(st.st_mode) || !(st.st_mode & 0111))
		bl_doctor_find(doctor, BL_FINDING_BAD, path, "cannot be executed; chmod 755 it");
	else if (st.st_uid != 0 || (st.st_mode & 022))
		bl_doctor_find(doctor, BL_FINDING_BAD, path,
			       "others than root could change it; chown root, chmod 755");
	else if (is_shim && !is_static(fd))
		bl_doctor_find(
			doctor, BL_FINDING_BAD, path,
			"is not static: it would load a container's libraries; build it with "
			"musl-tools installed");
	else
		bl_doctor_find(doctor, BL_FINDING_GOOD, path, "there%s", is_shim ? ", static" : "");
}

void bl_doctor_check_programs(struct bl_doctor *doctor)
{
	static const char *const installed[] = {BL_PATH_HOOK, BL_PATH_SHIM, BL_PATH_FETCH,
						"/usr/sbin/ballastd"};

	for (size_t i = 0; i < sizeof(installed) / sizeof(*installed); i++) {
		char room[BL_PROGRAM_PATH_MAX];
		const char *path =
			*doctor->root ? installed[i] : bl_program_installed(installed[i], room);

		check_program(doctor, path, strcmp(installed[i], BL_PATH_SHIM) == 0);
	}
}

/* ---- hooks.d ---- */

/* The program that a hooks.d file names: runtimes skip a missing one without a word. */
static void check_hook_file(struct bl_doctor *doctor, const char *dir, const char *name)
{
	const struct bl_json_limits limits = {.max_bytes = FILE_MAX, .fractions = true};
	auto_buf text = BL_BUF_INIT(FILE_MAX);
	auto_json json = NULL;
	const bl_json *hook = NULL;
	char path[PATH_ROOM];
	char room[PATH_ROOM];
	char program[PATH_ROOM];
	struct bl_err err = {.msg = "there is no object \"hook\" in it"};
	struct stat st;
	const char *named;

	(void)snprintf(path, sizeof(path), "%.2000s/%.255s", dir, name);
	if (bl_read_file(bl_doctor_path(doctor, path, room), false, &text, &err) < 0 ||
	    bl_json_parse(bl_buf_str(&text), text.len, &limits, &json, &err) < 0 ||
	    !bl_json_is_object(json) || bl_json_get_object(json, "hook", &hook, &err) <= 0) {
		bl_doctor_find(doctor, BL_FINDING_BAD, path, "cannot be read as a hook: %s",
			       err.msg);
		return;
	}
	named = bl_node_text(hook, "path");
	if (*named != '/')
		bl_doctor_find(doctor, BL_FINDING_BAD, path,
			       "registers no program: hook.path must be the path of ballast-hook");
	else if (access(bl_doctor_path(doctor, named, program), X_OK) == 0 &&
		 stat(program, &st) == 0 && S_ISREG(st.st_mode))
		bl_doctor_find(doctor, BL_FINDING_GOOD, path, "registers %s", named);
	else
		bl_doctor_find(
			doctor, BL_FINDING_BAD, path,
			"registers %s, which is not there: containers start without weights, "
			"and nothing says so",
			named);
}

void bl_doctor_check_registration(struct bl_doctor *doctor)
{
	static const char *const dirs[] = {"/usr/share/containers/oci/hooks.d",
					   "/etc/containers/oci/hooks.d"};
	char room[PATH_ROOM];
	size_t found = 0;

	for (size_t i = 0; i < 2; i++) {
		auto_dir dir = opendir(bl_doctor_path(doctor, dirs[i], room));
		const struct dirent *entry;

		while (dir && (entry = readdir(dir))) {
			const char *end = strrchr(entry->d_name, '.');

			/* Runtimes read what ends so, and nothing else. */
			if (!strstr(entry->d_name, "ballast") || !end || strcmp(end, ".json") != 0)
				continue;
			check_hook_file(doctor, dirs[i], entry->d_name);
			found++;
		}
	}
	if (found == 0)
		bl_doctor_find(
			doctor, BL_FINDING_NOTE, "hooks.d",
			"no registration with Podman or CRI-O in /usr/share/containers/oci/hooks.d "
			"(`ballast run` needs none)");
}

/* ---- containerd ---- */

/* Takes away the lines of a TOML file that are comments. */
static void drop_comments(char *text)
{
	for (char *line = text; *line;) {
		size_t len = strcspn(line, "\n");

		if (line[strspn(line, " \t")] == '#')
			memset(line, ' ', len);
		line += len + (line[len] == '\n');
	}
}

/* Whether a TOML text has this string, in quotes of either kind. */
static bool has_string(const char *text, const char *string)
{
	size_t len = strlen(string);

	for (const char *at = text; (at = strstr(at, string)); at++)
		if (at > text && (at[-1] == '"' || at[-1] == '\'') && at[len] == at[-1])
			return true;
	return false;
}

/* Docker's package has containerd without the part that serves pods. */
static bool serves_no_pods(const char *text)
{
	const char *disabled = strstr(text, "disabled_plugins");
	size_t len = disabled ? strcspn(disabled, "]") : 0;

	return disabled &&
	       (memmem(disabled, len, "\"cri\"", 5) || memmem(disabled, len, "grpc.v1.cri\"", 12));
}

static bool containerd_runs(const struct bl_doctor *doctor)
{
	char room[PATH_ROOM];
	const char *path = bl_doctor_path(doctor, "/run/containerd/containerd.sock", room);
	auto_fd fd = bl_sys_socket();
	int r = fd < 0 ? fd : bl_sys_connect(fd, path);

	/* One that is too busy to take us, or that only root may ask, runs. */
	return r >= 0 || r == -EAGAIN || r == -EACCES;
}

void bl_doctor_check_containerd(struct bl_doctor *doctor)
{
	static const char path[] = "/etc/containerd/config.toml";
	static const char fix[] = "in the runtime's section write pod_annotations = [\"" KEY_PATTERN
				  "\", \"" KEY_PATTERN_SCOPED "\"]";
	auto_buf text = BL_BUF_INIT(FILE_MAX);
	char room[PATH_ROOM];

	if (bl_read_file(bl_doctor_path(doctor, path, room), false, &text, NULL) < 0 ||
	    bl_buf_puts(&text, "\n", NULL) < 0) /* an empty file has its text too */
		return;
	drop_comments(text.data);
	if (has_string(text.data, KEY_PATTERN) && has_string(text.data, KEY_PATTERN_SCOPED))
		bl_doctor_find(doctor, BL_FINDING_GOOD, path, "passes our annotations on");
	else if (serves_no_pods(text.data))
		bl_doctor_find(
			doctor, BL_FINDING_NOTE, path,
			"skipped: this containerd serves no pods (its cri plugin is disabled)");
	else if (!containerd_runs(doctor))
		bl_doctor_find(doctor, BL_FINDING_NOTE, path,
			       "skipped: containerd is not running; before it serves pods, %s",
			       fix);
	else
		bl_doctor_find(doctor, BL_FINDING_BAD, path, "does not pass our annotations on: %s",
			       fix);
}

/* ---- Secrets ---- */

/* As hook and agent have it. Whoever may write there can put a secret of their own. */
static bool check_directory(struct bl_doctor *doctor, int parent, const char *tenant)
{
	struct stat st;

	if (fstatat(parent, tenant, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	if (!S_ISDIR(st.st_mode))
		bl_doctor_find(doctor, BL_FINDING_BAD, "secrets",
			       "%s: is no directory; a tenant's secrets lie in one", tenant);
	else if (!bl_weights_is_tenant(tenant))
		bl_doctor_find(doctor, BL_FINDING_BAD, "secrets",
			       "%s: no tenant has such a name; rename it", tenant);
	else if (st.st_uid != 0 || (st.st_mode & 022))
		bl_doctor_find(doctor, BL_FINDING_BAD, "secrets",
			       "%s: others than root may write it; chown root, chmod 700", tenant);
	return S_ISDIR(st.st_mode);
}

static size_t check_tenant(struct bl_doctor *doctor, int parent, const char *tenant)
{
	auto_dir dir = NULL;
	const struct dirent *entry;
	size_t count = 0;

	(void)bl_fs_list(parent, tenant, &dir);
	while (dir && (entry = readdir(dir))) {
		struct stat st;

		if (entry->d_name[0] == '.' ||
		    fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		count++;
		if (!bl_weights_is_secret_name(entry->d_name))
			bl_doctor_find(doctor, BL_FINDING_BAD, "secrets",
				       "%s/%s: no config can name it; rename it", tenant,
				       entry->d_name);
		else if (!S_ISREG(st.st_mode) || st.st_uid != 0 || (st.st_mode & 077))
			bl_doctor_find(doctor, BL_FINDING_BAD, "secrets",
				       "%s/%s: must be a regular file of root's alone; chown root, "
				       "chmod 600",
				       tenant, entry->d_name);
		else if (st.st_size > BL_MAX_SECRET)
			bl_doctor_find(doctor, BL_FINDING_BAD, "secrets",
				       "%s/%s: larger than %d bytes", tenant, entry->d_name,
				       BL_MAX_SECRET);
	}
	return count;
}

void bl_doctor_check_secrets(struct bl_doctor *doctor)
{
	char room[PATH_ROOM];
	const char *path = bl_doctor_path(doctor, BL_PATH_SECRETS, room);
	auto_dir dir = opendir(path);
	const struct dirent *entry;
	size_t tenants = 0;
	size_t secrets = 0;
	struct stat st;

	if (!dir) {
		bl_doctor_find(doctor, BL_FINDING_NOTE, "secrets", "%s: %s", BL_PATH_SECRETS,
			       strerror(errno));
		return;
	}
	if (fstat(dirfd(dir), &st) == 0 && (st.st_uid != 0 || (st.st_mode & 077)))
		bl_doctor_find(doctor, BL_FINDING_BAD, "secrets",
			       "%s: must be root's alone; chown root, chmod 700", BL_PATH_SECRETS);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		if (!check_directory(doctor, dirfd(dir), entry->d_name))
			continue;
		tenants++;
		secrets += check_tenant(doctor, dirfd(dir), entry->d_name);
	}
	bl_doctor_find(doctor, BL_FINDING_GOOD, "secrets", "%s: %zu secret%s of %zu tenant%s",
		       BL_PATH_SECRETS, secrets, secrets == 1 ? "" : "s", tenants,
		       tenants == 1 ? "" : "s");
}

/* ---- Agent ---- */

void bl_doctor_check_agent(struct bl_doctor *doctor)
{
	auto_agent_answer answer = BL_AGENT_ANSWER_INIT;
	auto_agent_answer health = BL_AGENT_ANSWER_INIT;
	struct bl_err err = {0};
	const char *version;

	if (bl_node_ask(doctor->agent, "GET", "/v1/version", NULL, BL_NODE_PATIENCE_MS, &answer,
			&err) < 0) {
		bl_doctor_find(doctor, BL_FINDING_BAD, "agent", "%s", err.msg);
		return;
	}
	version = bl_node_text(answer.json, "version");
	if (strcmp(version, BL_VERSION) != 0)
		bl_doctor_find(doctor, BL_FINDING_BAD, "agent",
			       "is version %s, this is %s: restart it (systemctl restart ballastd)",
			       version, BL_VERSION);
	else if (bl_node_request(doctor->agent, "GET", "/healthz", NULL, BL_NODE_PATIENCE_MS,
				 &health, &err) < 0)
		bl_doctor_find(doctor, BL_FINDING_BAD, "agent", "%s", err.msg);
	else
		bl_doctor_find(doctor, BL_FINDING_GOOD, "agent", "ballastd %s answers", version);
}
