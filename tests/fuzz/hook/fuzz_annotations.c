// SPDX-License-Identifier: Apache-2.0
/* The values of annotations: the input's lines go to the five keys in turn, NUL between them. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/attach.h"
#include "common/buf.h"
#include "common/err.h"
#include "hook/annotations.h"
#include "hook/bundle.h"
#include "hook/options.h"
#include "hook/plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const char shim[] =
		"{\"process\":{\"args\":[\"/run/ballast/shim\"],\"capabilities\":{\"effective\":"
		"[\"CAP_SETUID\",\"CAP_SETGID\"]}},\"linux\":{\"namespaces\":[{\"type\":\"mount\"}]"
		"}}";
	struct bl_annotations annotations = {.tenant = "default"};
	char *argv[] = {(char *)"ballast-hook", NULL};
	auto_bundle bundle = {0};
	auto_plan plan = {0};
	auto_buf text = BL_BUF_INIT(1 << 20);
	struct bl_options options;
	struct bl_err err = {0};
	size_t at = 0;

	if (bl_options_parse(1, argv, &options, &err) < 0 ||
	    bl_bundle_parse(shim, strlen(shim), "/b", &bundle, &err) < 0)
		abort();
	if (bl_buf_append(&text, data, len, &err) < 0)
		return 0;
	for (size_t i = 0; i < BL_ANNOTATION_COUNT && at < text.len; i++) {
		annotations.values[i].key = "key";
		annotations.values[i].text = text.data + at;
		at += strlen(text.data + at) + 1;
		if (!*annotations.values[i].text)
			annotations.values[i].text = NULL;
	}
	if (bl_plan_make(&annotations, &bundle, &options, &plan, &err) < 0)
		return 0;
	for (size_t i = 0; i < plan.weights.count; i++)
		if (bl_attach_check_location(plan.weights.items[i].mount_location, NULL) < 0)
			abort();
	if (plan.has_run_as &&
	    (plan.run_as == 0 || plan.run_as > 2147483647 || plan.run_as == 60000))
		abort();
	return 0;
}
