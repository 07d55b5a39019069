/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one interface of all sources. A source turns an item into a manifest (list) and says for each
 * file where its bytes are (locate); it moves none itself: fetch/transfer.h does, for all of them
 * alike. One file a protocol; its table entry is in source.c.
 *
 * Errors. A source's message is for a person, ends with the next step, holds no secret, and its
 * errno gives the class that the agent hears (common/job.h):
 *
 *   EINVAL config     ENOENT not_found   EACCES unauthorized   EPERM forbidden   EIO origin
 *   EILSEQ corrupt    EBADMSG hostile    EFBIG hostile (too much of it)   ENOSPC space
 */
#ifndef BL_FETCH_SOURCE_H
#define BL_FETCH_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/weights.h"
#include "fetch/http.h"
#include "fetch/manifest.h"

/* What a source works with; all borrowed for the source's life. */
struct bl_source_input {
	const struct bl_weights_item *item;
	struct bl_http *http;	    /* its net has the endpoints and the file roots */
	const char *secret;	    /* content of auth_secret_name, or NULL */
	const char *identity_token; /* OIDC token, or NULL */
	const char *revision;	    /* pin: resolved revision of an unfinished download, or NULL */
};

/* Where a file's bytes are. Everything is owned by the location but auth. */
struct bl_location {
	char *url;			 /* NULL: `fd` has the bytes */
	struct bl_http_headers headers;	 /* with every range of it, on the first hop alone */
	const struct bl_http_auth *auth; /* borrowed from the source; or NULL */
	bool if_match; /* the URL's own server knows entry->etag: every range says If-Match */
	bool whole;    /* the server knows no ranges: one request, from the first byte on */
	bool stored;   /* an object store: Content-Encoding is what its writer said of the object */
	int fd;	       /* a local file; -1 where there is a URL */
};
void bl_location_done(struct bl_location *location);
#define auto_location	 __attribute__((cleanup(bl_location_done))) struct bl_location
#define BL_LOCATION_INIT ((struct bl_location){.fd = -1})

struct bl_source_ops {
	enum bl_scheme scheme;
	bool always_private;   /* content of such a source is never public */
	bool list_is_not_read; /* a credential may list what it may not read */

	/* Checks the item's credential and makes the source's own state, which close() frees. */
	int (*open)(const struct bl_source_input *input, void **ret, struct bl_err *err);
	void (*close)(void *state);

	/*
	 * Adds every file to the manifest and sets its revision; pages to the end. Sets
	 * *credential if the origin wanted one. The caller finishes the manifest.
	 */
	int (*list)(void *state, struct bl_manifest *manifest, bool *credential,
		    struct bl_err *err);

	/*
	 * Where the entry's bytes are. Called for each file, so it uses the network only with
	 * `again`: the last location answered 401 or 403, or expired. Redirects are followed by
	 * the caller.
	 */
	int (*locate)(void *state, const struct bl_entry *entry, bool again,
		      struct bl_location *ret, struct bl_err *err);

	/* Sees the head of a redirect away from a location before it is followed. May be NULL. */
	int (*redirected)(void *state, const struct bl_entry *entry,
			  const struct bl_http_headers *answer, struct bl_err *err);

	/*
	 * Says what a final status (4xx, 5xx) to a request for this entry's bytes means. Fills
	 * *err and returns its class. May be NULL: bl_source_explain() serves.
	 */
	int (*explain)(void *state, const struct bl_entry *entry, int status,
		       const struct bl_http_headers *answer, struct bl_err *err);
};

extern const struct bl_source_ops bl_source_hf, bl_source_s3, bl_source_gs, bl_source_azure,
	bl_source_r2, bl_source_cw, bl_source_bt, bl_source_https, bl_source_file;

/* The operations of a scheme, NULL for one that this build does not have. */
const struct bl_source_ops *bl_source_find(enum bl_scheme scheme);

/* The plain meaning of a status for `what` (the source's text): fills *err, returns its class. */
int bl_source_explain(const char *what, int status, bool had_credential, struct bl_err *err);

/* The class of an error for common/job.h, from a negative errno. */
const char *bl_source_error_class(int error);

#endif
