/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One item opened at its source: what job, plan and pull all begin with.
 */
#ifndef BL_FETCH_SESSION_H
#define BL_FETCH_SESSION_H

#include "fetch/sources/source.h"

struct bl_err;

struct bl_session {
	struct bl_weights weights; /* the item alone */
	struct bl_net *net;
	struct bl_http *http;
	struct bl_source_input input;
	const struct bl_source_ops *ops;
	void *state;
	struct bl_manifest *manifest;
	bool credential; /* the origin wanted one */
};

/*
 * Opens the item (canonical JSON) with the operator's configuration (the object of common/job.h).
 * The three texts may be NULL and are borrowed.
 */
int bl_session_open(struct bl_session *session, const bl_json *item, const bl_json *config,
		    const char *secret, const char *identity_token, const char *revision,
		    struct bl_err *err);
void bl_session_done(struct bl_session *session);
#define auto_session __attribute__((cleanup(bl_session_done))) struct bl_session

/* Lists the source into session->manifest and finishes it. `watch` may be NULL. */
int bl_session_list(struct bl_session *session, bl_manifest_watch *watch, void *ctx,
		    struct bl_err *err);

/*
 * Asks for the first byte of a listed file where the listing alone does not show that the origin
 * lets this credential read. For a job that brings no byte: the agent gives the tenant what is
 * there on the strength of it. The origin's refusal is the error, as source.h has it.
 */
int bl_session_prove(struct bl_session *session, struct bl_err *err);

#endif
