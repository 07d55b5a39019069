// SPDX-License-Identifier: Apache-2.0
#include "shim/orders.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/spec.h"
#include "common/sys.h"

#define FILTER_STEP 8 /* bytes of a struct sock_filter */

void bl_orders_done(struct bl_orders *orders)
{
	bl_buf_done(&orders->bytes);
	free(orders->texts);
	orders->texts = NULL;
}

/* First pass: everything is checked, what there may be many of is counted. */
static int count(struct bl_orders *orders, struct bl_err *err)
{
	struct bl_spec_reader reader;
	struct bl_spec_record record;
	int ret = bl_spec_open(&reader, orders->bytes.data, orders->bytes.len, err);

	if (ret < 0)
		return ret;
	while ((ret = bl_spec_next(&reader, &record, err)) > 0) {
		if (record.type == BL_SPEC_ENV)
			orders->env_count++;
		else if (record.type == BL_SPEC_MOUNT)
			orders->mount_count++;
	}
	return ret;
}

static void take(struct bl_orders *orders, const struct bl_spec_record *record, size_t *env,
		 size_t *mount)
{
	const char *text = (const char *)record->data;

	switch (record->type) {
	case BL_SPEC_END:
		break;
	case BL_SPEC_START_COMMAND:
		orders->start_command = text;
		break;
	case BL_SPEC_RUN_AS:
		orders->has_run_as = true;
		orders->run_as = bl_spec_u32(record);
		break;
	case BL_SPEC_FLAGS:
		orders->flags = bl_spec_u32(record);
		break;
	case BL_SPEC_ENV:
		orders->env[(*env)++] = text;
		break;
	case BL_SPEC_KEEP_CAPS:
		orders->keep_caps = bl_spec_u64(record);
		break;
	case BL_SPEC_SECCOMP:
		orders->filter = record->data;
		orders->filter_count = (unsigned short)(record->len / FILTER_STEP);
		break;
	case BL_SPEC_MOUNT:
		orders->mounts[(*mount)++] = text;
		break;
	case BL_SPEC_HOME:
		orders->home = text;
		break;
	case BL_SPEC_USER:
		orders->has_user = true;
		orders->user_uid = (uint32_t)bl_spec_u64(record);
		orders->user_gid = (uint32_t)(bl_spec_u64(record) >> 32);
		break;
	}
}

/*
 * Second pass. A text has no NUL of its own, but another record always follows it (at least the
 * end), whose first byte may be overwritten once that record has been read. So nothing is copied.
 */
static int collect(struct bl_orders *orders, struct bl_err *err)
{
	char *base = orders->bytes.data;
	struct bl_spec_reader reader;
	struct bl_spec_record record;
	char *text_end = NULL;
	size_t env = 0;
	size_t mount = 0;
	int ret = bl_spec_open(&reader, base, orders->bytes.len, err);

	if (ret < 0)
		return ret;
	do {
		ret = bl_spec_next(&reader, &record, err);
		if (ret >= 0 && text_end)
			*text_end = '\0';
		if (ret > 0) {
			take(orders, &record, &env, &mount);
			text_end = base + (record.data + record.len - (const uint8_t *)base);
		}
	} while (ret > 0);
	return ret;
}

int bl_orders_parse(struct bl_orders *ret, struct bl_err *err)
{
	int r = count(ret, err);

	if (r < 0)
		return r;
	ret->texts = calloc(ret->env_count + ret->mount_count + 1, sizeof(*ret->texts));
	if (!ret->texts)
		return bl_err_nomem(err);
	ret->env = ret->texts;
	ret->mounts = ret->texts + ret->env_count;
	return collect(ret, err);
}

int bl_orders_read(struct bl_orders *ret, const char *path, struct bl_err *err)
{
	auto_fd fd = bl_sys_openat(AT_FDCWD, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	struct stat st;
	int r;

	if (fd < 0)
		return bl_err_sys(err, -fd, "%s", path);
	ret->bytes = BL_BUF_INIT(BL_SPEC_MAX);
	if (bl_sys_fstat(fd, &st) >= 0 && st.st_size > 0 && st.st_size < BL_SPEC_MAX)
		(void)bl_buf_reserve(&ret->bytes, (size_t)st.st_size + 1, NULL);
	r = bl_buf_read(&ret->bytes, fd, err);
	if (r >= 0 && ret->bytes.len == 0)
		r = bl_err_config(err, "the file is empty");
	if (r >= 0)
		r = bl_orders_parse(ret, err);
	if (r < 0)
		bl_err_wrap(err, "%s: ", path);
	return r;
}
