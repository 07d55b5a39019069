/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is to be done for a container, worked out from its annotations, its config.json and the
 * operator's options, and from nothing else: no file, no process, no clock is looked at.
 */
#ifndef BL_PLAN_H
#define BL_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/json.h"
#include "common/weights.h"

struct bl_annotations;
struct bl_bundle;
struct bl_err;
struct bl_options;

/* Texts that are not said to be owned are borrowed from annotations, bundle or options. */
struct bl_plan {
	const char *tenant;
	const char *container;	   /* its name in the pod, NULL where none is known */
	struct bl_weights weights; /* owned */
	const char *weights_key;   /* the annotation's, with its scope: for messages */
	bl_json *docker_server, *environment, *secrets, *wait; /* owned; NULL without */

	bool shim;		   /* process.args[0] is the shim */
	const char *start_command; /* NULL without */
	bool has_run_as;
	uint32_t run_as;
	bool no_build, init;
	uint32_t server_uid; /* inside the container; what the server will run as */
	const char *home;    /* HOME for the shim where config.json's counts, else NULL */

	int64_t timeout; /* milliseconds */
	bool defer;	 /* at the timeout let the shim wait */
	bool superblock; /* weights need a read-only superblock of their own */
};

void bl_plan_done(struct bl_plan *plan);
#define auto_plan __attribute__((cleanup(bl_plan_done))) struct bl_plan

/* BL_EX_CONFIG or BL_EX_REFUSED; errors begin with the annotation's key. */
int bl_plan_make(const struct bl_annotations *annotations, const struct bl_bundle *bundle,
		 const struct bl_options *options, struct bl_plan *ret, struct bl_err *err);

#endif
