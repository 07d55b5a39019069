/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ballastd.json: what an operator can set (docs/ballastd.schema.json describes it). Unknown keys
 * are errors, so that a typo never leaves a limit or a permission unset in silence.
 */
#ifndef BL_AGENT_CONFIG_H
#define BL_AGENT_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/json.h"

struct bl_err;

#define BL_CONFIG_MAX (1024 * 1024) /* bytes of the file */

struct bl_config {
	bl_json *whole;		    /* the file's object; what follows borrows from it */
	bl_json *job;		    /* the part that each fetch job gets (common/job.h, "config") */
	const char *identity_dir;   /* or NULL */
	const char *ca_file;	    /* or NULL */
	uint64_t authorisation_ttl; /* seconds */
	uint64_t authorisation_grace; /* seconds */
	uint64_t lease_grace;	      /* seconds */
	uint64_t cache_quota;	      /* bytes; 0: the filesystem's size */
	uint64_t tenant_quota;	      /* bytes, where a tenant has none of its own; 0: none */
	const bl_json *tenant_quotas; /* object tenant → bytes, or NULL */
	int high_water, low_water;    /* percent of the cache's quota */
	uint64_t scrub_rate;	      /* bytes per second; 0: no scrub */
	int max_jobs;		      /* fetch processes at once */
	const bl_json *environment;   /* object name → value for every container, or NULL */
	const bl_json *prefetch;      /* array of {"tenant","weights":[...]}, or NULL */
	gid_t socket_group;	      /* -1: none */
	const bl_json *group_tenants; /* array of tenants that the group may pull for, or NULL */
};

/* Reads the file, and looks at the ca_file that it names; with `optional` a missing one is like {}.
 * BL_EX_CONFIG names the key. */
int bl_config_load(const char *path, bool optional, struct bl_config *config, struct bl_err *err);
/* Parses the file's text. */
int bl_config_parse(const char *text, size_t len, struct bl_config *config, struct bl_err *err);
void bl_config_done(struct bl_config *config);

/* BL_EX_CONFIG where the file is not there, not for downloads to read, or without a certificate in PEM. */
int bl_config_check_ca(const char *path, struct bl_err *err);

/* The quota of a tenant in bytes; 0: none. */
uint64_t bl_config_tenant_quota(const struct bl_config *config, const char *tenant);
/* Whether the socket's group may pull for the tenant. */
bool bl_config_group_may(const struct bl_config *config, const char *tenant);

#endif
