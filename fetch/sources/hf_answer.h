/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the Hub answers, read apart from asking, so that any bytes can be tried as an answer.
 */
#ifndef BL_FETCH_HF_ANSWER_H
#define BL_FETCH_HF_ANSWER_H

#include <stdbool.h>
#include <stddef.h>

#include "fetch/manifest.h"

struct bl_err;

#define BL_HF_MAX_ANSWER  (4 * 1024 * 1024) /* bytes of one answer, a page of the tree */
#define BL_HF_COMMIT_SIZE 65		    /* bytes of a commit's name with its NUL */

/*
 * The answer to a revision: its commit, and whether a credential is wanted. What *credential is
 * before holds where the answer does not say that the repository is public. -EIO.
 */
int bl_hf_answer_revision(const char *text, size_t len, char commit[BL_HF_COMMIT_SIZE],
			  bool *credential, struct bl_err *err);

/* One page of the tree, added to the manifest. -EIO, or what bl_manifest_add() says. */
int bl_hf_answer_page(const char *text, size_t len, struct bl_manifest *manifest,
		      struct bl_err *err);

#endif
