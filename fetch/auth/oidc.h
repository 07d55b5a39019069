/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An OIDC token of the platform, exchanged for a credential of a cloud:
 *
 *   AWS     AssumeRoleWithWebIdentity (AWS Security Token Service API Reference): keys for an hour
 *   Google  token exchange ("Method: token", Security Token Service API reference), then
 *           generateAccessToken of the service account (IAM Service Account Credentials API)
 *
 * The hosts are fixed, or the operator's (endpoint "sts", for all of these); nothing that a tenant
 * writes names one. An exchange has connections of its own, so that it can be made while another
 * request is being prepared.
 */
#ifndef BL_FETCH_AUTH_OIDC_H
#define BL_FETCH_AUTH_OIDC_H

#include <stdint.h>

#include "fetch/auth/sigv4.h"
#include "fetch/http.h"

struct bl_err;

#define BL_OIDC_LIFETIME 3600 /* seconds that a credential is asked for */

/* Everything is borrowed. */
struct bl_oidc_aws {
	const struct bl_http *http; /* the job's: what it waits with is waited with here */
	const char *role_arn, *region;
	const char *identity_token; /* may be NULL: then the exchange says what is missing */
};

/* Fills id, secret and session of *key (old ones are wiped) and when they end (Unix time). */
int bl_oidc_aws_exchange(const struct bl_oidc_aws *oidc, struct bl_sigv4_key *key, int64_t *expires,
			 struct bl_err *err);

struct bl_oidc_google {
	const struct bl_http *http;  /* as above */
	const char *provider;	     /* projects/N/locations/global/workloadIdentityPools/... */
	const char *service_account; /* its address */
	const char *identity_token;  /* may be NULL, as above */
};

/* An access token, the caller's, and when it ends. */
int bl_oidc_google_exchange(const struct bl_oidc_google *oidc, char **token, int64_t *expires,
			    struct bl_err *err);

#define BL_OIDC_MARGIN 300 /* seconds before its end from which a credential is renewed */
#define BL_OIDC_PAUSE  30  /* seconds between two tries to renew one that is good still */

/*
 * What a renewal that failed with r (< 0, and *err) comes to, for a credential that ends at `expires` (0: there is
 * none yet; Unix time): 0 where that one is good still. Else the failure; one of the identity token, which
 * is of the job's begin, as one that passes (EIO): a download that is taken up again gets a new one.
 */
int bl_oidc_renewal_failed(int r, int64_t now, int64_t expires, struct bl_err *err);

/* Reads the XML answer of AssumeRoleWithWebIdentity, as bl_oidc_aws_exchange() does. */
int bl_oidc_read_aws(const char *xml, size_t len, struct bl_sigv4_key *key, int64_t *expires,
		     struct bl_err *err);

/* "2014-10-02T15:01:23Z" (perhaps with a fraction) as Unix time, -1 for anything else. */
int64_t bl_oidc_parse_time(const char *text);

#endif
