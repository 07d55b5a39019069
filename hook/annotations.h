/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which annotations are for this container, and who is asking. Identity is taken from what the
 * runtime wrote and from one family of keys only: a pod may write any key of another family
 * itself, and CRI-O copies a pod's own annotations into the container's.
 */
#ifndef BL_ANNOTATIONS_H
#define BL_ANNOTATIONS_H

#include <stdbool.h>

#include "common/json.h"
#include "hook/options.h"

struct bl_err;

enum bl_annotation {
	BL_ANNOTATION_WEIGHTS,
	BL_ANNOTATION_DOCKER_SERVER,
	BL_ANNOTATION_ENVIRONMENT,
	BL_ANNOTATION_SECRETS,
	BL_ANNOTATION_WAIT,
	BL_ANNOTATION_COUNT,
};

/* Texts are borrowed from the annotations or the options. */
struct bl_annotations {
	struct {
		const char *key;  /* as it was written, with its scope: for messages */
		const char *text; /* NULL where there is none for this container */
	} values[BL_ANNOTATION_COUNT];
	bool found;   /* some key of ours is there, be it for another container */
	bool sandbox; /* a pod's pause container: nothing is for it */
	bool pod;
	const char *tenant;
	const char *container; /* its name in the pod, NULL where none is known */
};

/*
 * Reads them from an object of strings (NULL: there are none). BL_EX_CONFIG for keys, BL_EX_REFUSED
 * for an identity that cannot be believed.
 */
int bl_annotations_read(const bl_json *annotations, const struct bl_options *options,
			struct bl_annotations *ret, struct bl_err *err);

/* Whether there is a value of any kind for this container. */
bool bl_annotations_any(const struct bl_annotations *annotations);

#endif
