// SPDX-License-Identifier: Apache-2.0
/* /proc/PID/stat: a process chooses its own name there, which changes nothing of its start time. */
#include <assert.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "agent/container_state.h"
#include "common/attach.h"
#include "common/cleanup.h"
#include "common/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t start_time(void)
{
	struct bl_err err = {0};
	uint64_t found = 0;

	assert(bl_attach_start_time(getpid(), &found, &err) == 0);
	return found;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint64_t ours;
	char name[16] = "";
	auto_fd same = -1;
	auto_fd other = -1;

	if (!ours) {
		assert(prctl(PR_SET_NAME, "plain") == 0);
		ours = start_time();
		assert(ours > 0);
	}
	memcpy(name, data, size < sizeof(name) ? size : sizeof(name) - 1);
	assert(prctl(PR_SET_NAME, name) == 0);
	assert(start_time() == ours);
	same = bl_container_open_process(getpid(), ours);
	assert(same >= 0);
	other = bl_container_open_process(getpid(), ours + 1);
	assert(other < 0);
	return 0;
}
