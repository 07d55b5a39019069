/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where fetch may connect to, and what the operator says about the way there. Two gates, both must
 * open: the URL (scheme, no userinfo, a host) and, once the name is looked up, each address (not
 * loopback, private, link-local, ... unless the operator allows it). The second runs where the
 * socket is made, so that a name which resolves elsewhere the second time gains nothing.
 */
#ifndef BL_FETCH_NET_H
#define BL_FETCH_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "common/json.h"
#include "fetch/url.h"

struct bl_err;

struct bl_net; /* the operator's configuration of everything that fetch needs */

/* From the `config` object of common/job.h, or all of ballastd.json. Unknown keys are errors. */
int bl_net_new(const bl_json *config, struct bl_net **ret, struct bl_err *err);
void bl_net_free(struct bl_net **net);
#define auto_net __attribute__((cleanup(bl_net_free))) struct bl_net *

/*
 * The base URL that the operator set for a scheme ("hf", "s3", "gs", "azure", "r2", "cw", "bt",
 * "sts"), without trailing slash, or NULL. Such an origin may be http and lie anywhere.
 */
const char *bl_net_endpoint(const struct bl_net *net, const char *scheme);

/*
 * The same where the operator wrote `{bucket}` (s3, cw, r2) or `{account}` (azure, r2) as a part of
 * the host's name: 1, and the caller's *ret has `value` in its place; 0, and *ret untouched, where
 * there is no such placeholder. -EINVAL where value cannot be a part of a host's name.
 */
int bl_net_fill_endpoint(const struct bl_net *net, const char *scheme, const char *placeholder,
			 const char *value, char **ret, struct bl_err *err);

/* NULL-terminated absolute directories below which file:// may read; NULL where none. */
const char *const *bl_net_file_roots(const struct bl_net *net);
const char *bl_net_ca_file(const struct bl_net *net); /* or NULL */
/* The proxy's URL for this one, NULL where none is configured or no_proxy has the host. */
const char *bl_net_proxy_for(const struct bl_net *net, const struct bl_url *url);

/*
 * Gate one: 0, or -EPERM with the reason and what the operator could allow. Where a proxy is asked
 * there is no gate two, since the proxy looks the name up: so names that are never of the public
 * internet (localhost, *.internal, *.local, a name without a dot, ...) are refused here.
 */
int bl_net_check_url(const struct bl_net *net, const struct bl_url *url, struct bl_err *err);
/* Gate two, for a connection that was asked for this URL (or for the proxy: url NULL). */
bool bl_net_allows_address(const struct bl_net *net, const struct bl_url *url,
			   const struct sockaddr *address);

#endif
