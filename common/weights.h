/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The weights list of Truss's config.yaml: parse, check, and write in one canonical form. The one
 * parser for hook, agent, fetch and cli. Both spellings are accepted: the present one (source with
 * @revision, auth) and the older one (revision, runtime_secret_name).
 *
 * Every error names the place below the list, "$[1].mount_location: ..."; the caller puts the
 * annotation's key or the file's name in front.
 */
#ifndef BL_WEIGHTS_H
#define BL_WEIGHTS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/json.h"

struct bl_err;

enum bl_scheme {
	BL_SCHEME_HF,
	BL_SCHEME_S3,
	BL_SCHEME_GS,
	BL_SCHEME_AZURE,
	BL_SCHEME_R2,
	BL_SCHEME_CW,
	BL_SCHEME_BT,
	BL_SCHEME_HTTPS,
	BL_SCHEME_FILE,
};

enum bl_auth_method {
	BL_AUTH_NONE,
	BL_AUTH_CUSTOM_SECRET,
	BL_AUTH_AWS_OIDC,
	BL_AUTH_GCP_OIDC,
};

/* A source taken apart. Texts are owned by the item; those that a scheme does not have are NULL. */
struct bl_source {
	enum bl_scheme scheme;
	char *text;    /* normalised: always with its scheme, hf and bt without "@revision" */
	char *account; /* azure: account; r2: account id */
	char *bucket;  /* s3, gs, r2, cw: bucket; azure: container; hf: "owner/repo"; bt: project */
	char *path; /* s3, gs, r2, cw, azure: key or folder ("" is the whole bucket), no leading or
			   trailing slash; bt: checkpoint or NULL; file: the absolute path */
	char *revision; /* hf, bt: as given, NULL where none was (hf means main, bt latest) */
	char *url;	/* https: the URL as given */
};

/* One item. Everything is owned by the list. */
struct bl_weights_item {
	struct bl_source source;
	char *mount_location; /* absolute, normalised */
	bool single_file;     /* https: mount_location is the file's own path */
	enum bl_auth_method auth_method;
	char *auth_secret_name;
	char *aws_oidc_role_arn, *aws_oidc_region;
	char *gcp_oidc_service_account, *gcp_oidc_workload_id_provider;
	char **allow_patterns; /* NULL-terminated; NULL where the key is absent or the list empty */
	char **ignore_patterns;
	char *manifest; /* 64 hexadecimal digits of the pin, NULL without */
};

struct bl_weights {
	struct bl_weights_item *items;
	size_t count;
};

void bl_weights_done(struct bl_weights *weights);
#define auto_weights __attribute__((cleanup(bl_weights_done))) struct bl_weights

/* Parses the text of an annotation (strictly: common/json.h, no fractions). BL_EX_CONFIG; a mount_location
 * of "/" is BL_EX_REFUSED. */
int bl_weights_parse(const char *text, size_t len, struct bl_weights *ret, struct bl_err *err);

/* The same from a tree that is already parsed. An empty list is fine. */
int bl_weights_from_json(const bl_json *list, struct bl_weights *ret, struct bl_err *err);

/*
 * The item as canonical JSON object, added to `list` (an array): the present spelling alone,
 * auth_method in capitals, defaults left out. Parsing it gives the same item again.
 */
int bl_weights_item_to_json(const struct bl_weights_item *item, bl_json *list, struct bl_err *err);

/* The scheme's name, "hf", "s3", ... */
const char *bl_weights_scheme_name(enum bl_scheme scheme);

/* Whether text is a secret's name: ^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$, bounded. */
bool bl_weights_is_secret_name(const char *text);

/* Whether text is a tenant's name: that of a directory below the secrets, so the rule is theirs. */
bool bl_weights_is_tenant(const char *text);

#endif
