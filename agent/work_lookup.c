// SPDX-License-Identifier: Apache-2.0
/*
 * What the node has already for a tenant and an item, and what the tenant's record of it is worth:
 * warm starts are served from here, and works begin with it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/config.h"
#include "agent/store.h"
#include "agent/work_state.h"
#include "common/contract.h"
#include "common/err.h"

/* The ref that serves this tenant: its own, else the shared one of public content. */
static int load_ref(struct bl_works *works, const char *tenant, const struct bl_weights_item *item,
		    struct bl_ref *ret)
{
	struct bl_cachedir *dirs = bl_store_dirs(works->store);
	char name[BL_DIGEST_HEX];
	int r = bl_ref_name(tenant, item, name, NULL);

	if (r == 0)
		r = bl_ref_load(dirs, name, ret, NULL);
	if (r == 0)
		return 0;
	r = bl_ref_name("", item, name, NULL);
	if (r == 0)
		r = bl_ref_load(dirs, name, ret, NULL);
	if (r == 0 && ret->credential) {
		bl_ref_done(ret);
		r = -ENOENT;
	}
	return r;
}

static enum bl_ref_authority authority_of(const struct bl_works *works, const struct bl_ref *ref)
{
	if (!ref->credential)
		return BL_REF_VALID;
	return bl_ref_authority(ref, (int64_t)time(NULL), (int64_t)works->config->authorisation_ttl,
				(int64_t)works->config->authorisation_grace);
}

const char *bl_work_shown_source(const struct bl_weights_item *item, char to[BL_WORK_SHOWN + 1])
{
	const char *text = item->source.text;
	size_t len = item->source.scheme == BL_SCHEME_HTTPS ? strcspn(text, "?") : strlen(text);

	(void)snprintf(to, BL_WORK_SHOWN + 1, "%.*s",
		       len < BL_WORK_SHOWN ? (int)len : BL_WORK_SHOWN, text);
	return to;
}

int bl_work_use_tree(struct bl_works *works, const struct bl_digest *tree, struct bl_err *err)
{
	struct bl_err why = {0};
	int r = bl_store_tree_use(works->store, tree, &why);

	if (r == -EBADMSG)
		bl_collector_damaged(works->collector, tree, why.msg);
	if (r < 0 && err)
		*err = why;
	return r;
}

void bl_work_look_at_ref(struct bl_work *work)
{
	struct bl_works *works = work->works;

	if (load_ref(works, work->tenant, bl_work_item(work), &work->ref) < 0) {
		work->ref = (struct bl_ref){0};
		return;
	}
	work->authority = authority_of(works, &work->ref);
	work->resolving = !work->refresh && work->authority != BL_REF_VALID;
}

int bl_works_check_pin(const struct bl_weights_item *item, const struct bl_digest *tree,
		       struct bl_problem *problem)
{
	char source[BL_WORK_SHOWN + 1];
	char hex[BL_DIGEST_HEX];

	bl_digest_to_hex(tree, hex);
	if (!item->manifest || strcmp(item->manifest, hex) == 0)
		return 0;
	bl_problem_set(
		problem, BL_JOB_CONFIG,
		"%s: its content is manifest sha256:%s, the item pins sha256:%s; correct the "
		"pin, or the revision in the source",
		bl_work_shown_source(item, source), hex, item->manifest);
	return -EINVAL;
}

int bl_works_lookup(struct bl_works *works, const char *tenant, const struct bl_weights_item *item,
		    struct bl_digest *ret, struct bl_problem *problem)
{
	auto_ref ref = {0};
	int r = load_ref(works, tenant, item, &ref);

	if (r == 0 && authority_of(works, &ref) != BL_REF_VALID)
		r = -EAGAIN;
	if (r == 0)
		r = bl_work_use_tree(works, &ref.manifest, NULL);
	if (r < 0) {
		works->figures.misses++;
		return -EAGAIN;
	}
	works->figures.hits++;
	r = bl_works_check_pin(item, &ref.manifest, problem);
	if (r == 0)
		*ret = ref.manifest;
	return r;
}
