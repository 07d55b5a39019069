// SPDX-License-Identifier: Apache-2.0
/* A ref on disk: its head, its promises, and the change of its authorisation. */
#include <stddef.h>
#include <stdint.h>

#include "agent/cachedir.h"
#include "agent/ref.h"
#include "common/err.h"
#include "scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const char name[] =
		"0000000000000000000000000000000000000000000000000000000000000000";
	struct bl_cachedir dirs = {.refs = scratch(),
				   .partial = scratch(),
				   .quarantine = scratch(),
				   .owner = geteuid(),
				   .session = "fuzz"};
	auto_ref ref = {0};
	auto_ref again = {0};
	auto_json promises = NULL;
	struct bl_err err;

	scratch_file("0000000000000000000000000000000000000000000000000000000000000000.json", data,
		     len);
	if (bl_ref_load(&dirs, name, &ref, &err) < 0)
		return 0;
	if (bl_ref_authorise(&dirs, name, 7, &err) < 0 ||
	    bl_ref_load(&dirs, name, &again, &err) < 0 || again.authorised_at != 7 ||
	    again.files != ref.files)
		abort();
	(void)bl_ref_load_promises(&dirs, name, &promises, &err);
	return 0;
}
