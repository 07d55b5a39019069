/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tenant's secrets and identity tokens, read on handles: <secrets-dir>/<tenant>/<name> and
 * <identity_dir>/<tenant>/{aws,gcp,bt}. Nothing of another tenant can be named, whatever the names
 * are. The content goes to the tenant's own fetch job and nowhere else; no message shows it.
 */
#ifndef BL_AGENT_SECRETS_H
#define BL_AGENT_SECRETS_H

struct bl_buf;
struct bl_err;

/*
 * Appends the secret to buf (its maximum bounds it), without the newline that an editor leaves at
 * the end. It has to be root's, a regular file without links on the way, and 0600 or less.
 * BL_EX_CONFIG where it is missing or not so, with what to do.
 */
int bl_secrets_read(const char *dir, const char *tenant, const char *name, struct bl_buf *buf,
		    struct bl_err *err);

/* Likewise an OIDC token: kind is "aws", "gcp" or "bt" (an API key); links within the tenant's directory are followed
 * (a kubelet renews tokens so). */
int bl_secrets_read_identity(const char *dir, const char *tenant, const char *kind,
			     struct bl_buf *buf, struct bl_err *err);

#endif
