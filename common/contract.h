/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names and limits that Ballast's programs share with users and with each other: annotation
 * keys, paths, and the maximum of everything that comes from outside.
 */
#ifndef BL_CONTRACT_H
#define BL_CONTRACT_H

#ifndef BL_VERSION
#define BL_VERSION "0.1.0"
#endif

/* Annotations. A scoped key is "<key>/container.<name>" or "<key>/pod". */
#define BL_KEY_SUFFIX	     ".ballast.dev"
#define BL_KEY_WEIGHTS	     "weights.ballast.dev"
#define BL_KEY_DOCKER_SERVER "docker-server.ballast.dev"
#define BL_KEY_ENVIRONMENT   "environment-variables.ballast.dev"
#define BL_KEY_SECRETS	     "secrets.ballast.dev"
#define BL_KEY_WAIT	     "wait.ballast.dev"

/* Host paths; each can be changed by an option. */
#define BL_PATH_SOCKET	"/run/ballast/agent.sock"
#define BL_PATH_CACHE	"/var/lib/ballast"
#define BL_PATH_SECRETS "/etc/ballast/secrets"
#define BL_PATH_CONFIG	"/etc/ballast/ballastd.json"
#define BL_PATH_SHIM	"/usr/libexec/ballast/ballast-shim"
#define BL_PATH_FETCH	"/usr/libexec/ballast/ballast-fetch"
#define BL_PATH_HOOK	"/usr/libexec/oci/hooks.d/ballast-hook"

/* The keys of ballastd.json (docs/ballastd.schema.json): what is misspelt would be left out in silence. */
#define BL_CONFIG_KEYS                                                                        \
	"endpoints", "allowed_origins", "allowed_networks", "file_roots", "ca_file", "proxy", \
		"identity_dir", "authorisation_ttl", "authorisation_grace", "lease_grace",    \
		"quotas", "watermarks", "scrub_rate", "max_jobs", "environment", "prefetch",  \
		"socket_group", "group_tenants"

/* Paths inside a container. */
#define BL_BOX_DIR     "/run/ballast"
#define BL_BOX_SHIM    "/run/ballast/shim"
#define BL_BOX_SPEC    "/run/ballast/spec"
#define BL_BOX_GATE    "/run/ballast/gate"
#define BL_BOX_SECRETS "/secrets"

/* The last byte of a line of the gate that counts for nothing. */
#define BL_GATE_VOID '\x18'

/* Maxima. */
#define BL_MAX_STATE	    (1024 * 1024)     /* bytes of the OCI state on the hook's stdin */
#define BL_MAX_CONFIG	    (4 * 1024 * 1024) /* bytes of config.json */
#define BL_MAX_ANNOTATION   (256 * 1024) /* bytes of one annotation (all of a pod's: 256 KiB) */
#define BL_MAX_JSON_VALUES  65536	 /* values in one JSON text of state or config.json */
#define BL_MAX_JSON_DEPTH   64		 /* nesting */
#define BL_MAX_PATH	    4095	 /* bytes of mount_location */
#define BL_MAX_WEIGHTS	    1024	 /* items of a weights list */
#define BL_MAX_PATTERNS	    1024	 /* allow_patterns or ignore_patterns of one item */
#define BL_MAX_PATTERN	    1024	 /* bytes of one pattern */
#define BL_MAX_SOURCE	    2048	 /* bytes of a source */
#define BL_MAX_FIELD	    2048	 /* bytes of any other text field of an item */
#define BL_MAX_SECRET	    (64 * 1024)	 /* bytes of a secret */
#define BL_MAX_SECRETS	    1000	 /* secrets of one container */
#define BL_MAX_SECRET_NAME  253		 /* bytes of a secret's name */
#define BL_MAX_TENANT	    253		 /* bytes of a tenant's name */
#define BL_MAX_CONTAINER_ID 255		 /* bytes of a container's id */
#define BL_MAX_API_BODY	    (4 * 1024 * 1024) /* bytes of a request to the agent */
#define BL_MAX_API_ANSWER   (8 * 1024 * 1024) /* bytes of the agent's answer */
#define BL_MAX_FILES	    1000000	      /* files of one source */
#define BL_MAX_JOB_MESSAGE  (128 * 1024)      /* bytes of one message between agent and fetch */
#define BL_MAX_CONFIG_LIST  1024	      /* elements of any one list of ballastd.json */

#define BL_UID_MIN     1
#define BL_UID_MAX     2147483647
#define BL_UID_DEFAULT 60000

#endif
