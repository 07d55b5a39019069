// SPDX-License-Identifier: Apache-2.0
/* config.json, its annotations and the plan; what precreate makes of it is planned again. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/contract.h"
#include "common/err.h"
#include "hook/annotations.h"
#include "hook/bundle.h"
#include "hook/options.h"
#include "hook/plan.h"
#include "hook/precreate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void plan(const char *text, size_t len, const struct bl_options *options)
{
	struct bl_annotations annotations;
	auto_bundle bundle = {0};
	auto_plan made = {0};
	struct bl_err err = {0};

	if (bl_bundle_parse(text, len, "/bundle", &bundle, &err) < 0 ||
	    bl_annotations_read(bundle.annotations, options, &annotations, &err) < 0 ||
	    bl_plan_make(&annotations, &bundle, options, &made, &err) < 0)
		return;
	if (made.timeout <= 0 || made.timeout > options->timeout || !made.tenant)
		abort();
	if (made.defer && !made.shim)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *argv[] = {(char *)"ballast-hook", NULL};
	struct bl_options options;
	struct bl_err err = {0};
	auto_buf text = BL_BUF_INIT(BL_MAX_CONFIG);
	auto_buf out = BL_BUF_INIT(BL_MAX_CONFIG + 65536);

	/* As a buffer of the hook's: with a NUL behind it. */
	if (bl_options_parse(1, argv, &options, &err) < 0 ||
	    bl_buf_append(&text, data, len, &err) < 0)
		return 0;
	plan(bl_buf_str(&text), text.len, &options);
	if (bl_precreate_run(bl_buf_str(&text), text.len, &options, &out, &err) == 0)
		plan(bl_buf_str(&out), out.len, &options);
	return 0;
}
