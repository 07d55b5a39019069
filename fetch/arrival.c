/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/arrival.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/sys.h"

#define INLINE_DIGEST (256 * 1024) /* bytes up to which a thread is not worth its while */

int bl_arrival_new(const struct bl_entry *entry, struct bl_arrival **ret, struct bl_err *err)
{
	struct bl_arrival *file = calloc(1, sizeof(*file));

	if (!file)
		return bl_err_nomem(err);
	file->entry = entry;
	file->fd = -1;
	file->location = BL_LOCATION_INIT;
	*ret = file;
	return 0;
}

void bl_arrival_free(struct bl_arrival *file)
{
	bl_cleanup_fd(&file->fd);
	bl_ranges_done(&file->unasked);
	bl_ranges_done(&file->arrived);
	bl_ranges_done(&file->snapshot);
	bl_location_done(&file->location);
	free(file->direct);
	free(file->version);
	free(file->version_origin);
	free(file);
}

bool bl_arrival_is_complete(const struct bl_arrival *file)
{
	const struct bl_ranges *arrived = &file->arrived;

	if (!file->open)
		return false;
	if (file->entry->size == 0)
		return true;
	return arrived->count == 1 && arrived->at[0].from == 0 &&
	       arrived->at[0].to == file->entry->size;
}

static void run_write_back(struct bl_task *task)
{
	struct bl_arrival *file = (struct bl_arrival *)task;

	file->work_rc = 0;
	(void)bl_sys_write_back(file->fd); /* a hint: the sync says what went wrong */
}

void bl_arrival_write_back(struct bl_arrival *file, struct bl_worker *worker)
{
	file->work = BL_ARRIVAL_WRITE_BACK;
	file->task.run = run_write_back;
	bl_worker_submit(worker, &file->task);
}

static void run_sync(struct bl_task *task)
{
	struct bl_arrival *file = (struct bl_arrival *)task;

	file->work_rc = bl_sys_fdatasync(file->fd);
	if (file->work_rc < 0)
		bl_err_set(&file->work_err, BL_EX_RETRY, -file->work_rc, "sync '%.200s': %s",
			   file->entry->path, strerror(-file->work_rc));
}

void bl_arrival_sync(struct bl_arrival *file, struct bl_worker *worker)
{
	file->work = BL_ARRIVAL_SYNC;
	file->task.run = run_sync;
	bl_worker_submit(worker, &file->task);
}

/* The promise to check: none where there is a SHA-256, which whoever publishes checks. */
static bool promised(const struct bl_entry *entry, enum bl_digest_kind *kind, struct bl_digest *ret)
{
	static const enum bl_digest_kind kinds[] = {BL_DIGEST_GIT_SHA1, BL_DIGEST_MD5,
						    BL_DIGEST_CRC64NVME, BL_DIGEST_CRC32C,
						    BL_DIGEST_CRC32};

	if (bl_manifest_promised(entry, BL_DIGEST_SHA256, NULL))
		return false;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (bl_manifest_promised(entry, kinds[i], ret)) {
			*kind = kinds[i];
			return true;
		}
	return false;
}

static void run_digest(struct bl_task *task)
{
	struct bl_arrival *file = (struct bl_arrival *)task;
	enum bl_digest_kind kind = BL_DIGEST_MD5;
	struct bl_digest wanted;
	struct bl_digest found = {.len = 0};
	bool is_promised = promised(file->entry, &kind, &wanted);

	file->work_rc =
		bl_digest_of_file(kind, file->fd, file->entry->size, &found, &file->work_err);
	file->good = is_promised && bl_digest_equal(&found, &wanted);
}

int bl_arrival_check(struct bl_arrival *file, struct bl_worker *worker, struct bl_err *err)
{
	enum bl_digest_kind kind;

	file->good = true;
	file->work_rc = 0;
	if (!promised(file->entry, &kind, NULL))
		return 1;
	file->task.run = run_digest;
	if (file->entry->size > INLINE_DIGEST) {
		file->work = BL_ARRIVAL_DIGEST;
		bl_worker_submit(worker, &file->task);
		return 0;
	}
	run_digest(&file->task);
	if (file->work_rc < 0)
		*err = file->work_err;
	return file->work_rc < 0 ? file->work_rc : 1;
}
