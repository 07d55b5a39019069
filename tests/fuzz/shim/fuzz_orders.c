// SPDX-License-Identifier: Apache-2.0
/* Any bytes as a spec, taken as the shim takes it: every text ends within the spec. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/spec.h"
#include "shim/orders.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_orders orders = {.bytes = BL_BUF_INIT(BL_SPEC_MAX)};
	struct bl_err err;
	size_t total = 0;

	if (bl_buf_append(&orders.bytes, data, size, &err) < 0 ||
	    bl_orders_parse(&orders, &err) < 0)
		return 0;
	if (orders.start_command)
		total += strlen(orders.start_command);
	if (orders.home)
		total += strlen(orders.home);
	for (size_t i = 0; i < orders.env_count; i++)
		total += strlen(orders.env[i]);
	for (size_t i = 0; i < orders.mount_count; i++)
		total += strlen(orders.mounts[i]);
	if (total > size)
		abort();
	return 0;
}
