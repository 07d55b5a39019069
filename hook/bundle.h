/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the hook needs to know of a container's config.json, read once. Everything in it may have
 * been written by a tenant, but for what the runtime adds.
 */
#ifndef BL_BUNDLE_H
#define BL_BUNDLE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/json.h"

struct bl_err;
struct bl_state;

/* Texts are borrowed from json where they are not said to be owned. */
struct bl_bundle {
	bl_json *json; /* owned; NULL where there is no bundle: then only rootfs is known */
	char *rootfs;  /* owned; absolute, as the host sees it */
	const bl_json *annotations; /* an object, or NULL */
	const bl_json *mounts;	    /* an array of objects, or NULL */
	const bl_json *masked;	    /* an array of paths that the runtime hides, or NULL */
	const char *mount_label;    /* NULL without */
	bool own_mounts;	    /* a mount namespace of its own is asked for */
	/* process */
	const char *command; /* args[0], NULL without */
	uint32_t uid, gid;
	const char *home; /* HOME of env, NULL without */
	const char *cwd;  /* NULL without */
	bool may_remount; /* could undo or evade a plain read-only bind mount */
	bool may_set_ids; /* CAP_SETUID and CAP_SETGID are effective in what is executed */
};

void bl_bundle_done(struct bl_bundle *bundle);
#define auto_bundle __attribute__((cleanup(bl_bundle_done))) struct bl_bundle

/* Reads the config.json of the state's bundle; without a bundle, what the state knows. */
int bl_bundle_read(const struct bl_state *state, struct bl_bundle *ret, struct bl_err *err);

/* The same from text; `directory` is the bundle's, in front of a relative root.path. */
int bl_bundle_parse(const char *text, size_t len, const char *directory, struct bl_bundle *ret,
		    struct bl_err *err);

#endif
