// SPDX-License-Identifier: Apache-2.0
/* What a fetch process puts into its pipe: frames for three small files. */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/intake.h"
#include "agent/loop.h"
#include "common/err.h"

#define FILES 3
#define SIZE  64
#define MOST  (32 * 1024) /* what a pipe takes at once */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct rig {
	struct bl_loop loop;
	struct bl_intake *intake;
};

static void stirred(void *data)
{
	const char *breach;
	struct rig *rig = data;

	if (bl_intake_is_over(rig->intake, &breach))
		bl_loop_stop(&rig->loop);
}

/* The file is as long as it was, and what is said to have arrived lies in it. */
static void check(struct rig *rig, struct bl_intake_file *file, int reader)
{
	struct bl_intake_state state = bl_intake_look(rig->intake, file);

	if (lseek(reader, 0, SEEK_END) != SIZE || state.arrived > SIZE ||
	    state.front > state.arrived || (state.whole && state.front != SIZE) || state.result < 0)
		abort();
	bl_intake_remove(rig->intake, file);
	(void)close(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct bl_ranges none;
	struct bl_intake_file files[FILES];
	int readers[FILES];
	struct rig rig;
	int ends[2];

	if (len > MOST || pipe2(ends, O_CLOEXEC) < 0)
		return 0;
	if (bl_loop_init(&rig.loop, NULL) < 0 ||
	    bl_intake_start(&rig.loop, ends[0], stirred, &rig, &rig.intake, NULL) < 0)
		abort();
	for (uint32_t i = 0; i < FILES; i++) {
		readers[i] = memfd_create("file", MFD_CLOEXEC);
		if (ftruncate(readers[i], SIZE) < 0 ||
		    bl_intake_add(rig.intake, &files[i], i, dup(readers[i]), SIZE, &none, NULL) < 0)
			abort();
	}
	if (write(ends[1], data, len) != (ssize_t)len)
		abort();
	(void)close(ends[1]);
	(void)bl_loop_run(&rig.loop, NULL);
	for (uint32_t i = 0; i < FILES; i++)
		check(&rig, &files[i], readers[i]);
	bl_intake_free(rig.intake);
	bl_loop_done(&rig.loop);
	return 0;
}
