// SPDX-License-Identifier: Apache-2.0
/* The body of a PUT for a container, up to the container that is made of it. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "agent/container_state.h"
#include "common/contract.h"
#include "common/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const struct bl_json_limits limits = {.max_bytes = BL_MAX_API_BODY};
	struct bl_container container = {0};
	struct bl_container_request request = {0};
	struct bl_err err = {0};
	auto_json body = NULL;

	if (bl_json_parse((const char *)data, len, &limits, &body, &err) < 0 ||
	    !bl_json_is_object(body) || bl_json_only_keys(body, bl_container_keys, &err) < 0 ||
	    bl_container_parse(body, &request, &err) < 0)
		return 0;
	container.tenant = (char *)request.tenant;
	container.name = (char *)request.name;
	container.bundle = (char *)request.bundle;
	if (bl_container_set_weights(&container, request.weights, &err) == 0 && !container.body)
		abort();
	bl_weights_done(&container.weights);
	bl_json_free(&container.list);
	free(container.items);
	free(container.body);
	return 0;
}
