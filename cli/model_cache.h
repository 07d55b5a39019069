/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Truss's older ways to name data (model_cache, hf_cache, external_data) turned into weights, in
 * the text of a config.yaml, so that everything else in it stays as its author wrote it.
 */
#ifndef BL_MODEL_CACHE_H
#define BL_MODEL_CACHE_H

#include <stddef.h>

struct bl_buf;
struct bl_err;

/*
 * Appends the new text, and to notes what a person must still look at, a line each. Returns the
 * number of items that were moved: 0 where there was nothing to do. BL_EX_CONFIG.
 */
int bl_model_cache_migrate(const char *name, const char *text, size_t len, struct bl_buf *ret,
			   struct bl_buf *notes, struct bl_err *err);

#endif
