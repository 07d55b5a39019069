/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two small file systems that the hook gives to a container: /run/ballast with the shim and
 * its orders, and /secrets. Both are made detached, filled, and sealed read-only.
 */
#ifndef BL_INJECT_H
#define BL_INJECT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/buf.h"
#include "common/json.h"

struct bl_bundle;
struct bl_err;
struct bl_options;
struct bl_plan;

/*
 * The host's id of an id in the process's user namespace, from the text of /proc/PID/uid_map or
 * gid_map. BL_EX_CONFIG where it has none.
 */
int bl_inject_map_id(const char *map, uint32_t id, uint32_t *ret, struct bl_err *err);

/* Reads a map of the process: "uid_map" or "gid_map". */
int bl_inject_read_map(pid_t pid, const char *name, struct bl_buf *map, struct bl_err *err);

/* The shim's orders (common/spec.h) for this plan; environment is the agent's, or NULL. */
int bl_inject_spec(const struct bl_plan *plan, const struct bl_bundle *bundle,
		   const struct bl_options *options, const bl_json *environment, bool deferred,
		   struct bl_buf *spec, struct bl_err *err);

struct bl_inject_owner {
	uid_t uid; /* ids of the host */
	gid_t gid;
};

/* /run/ballast: the shim, its spec and, when deferred, the gate. Returns the detached mount. */
int bl_inject_box(const char *shim, const struct bl_buf *spec, bool gate,
		  struct bl_inject_owner owner, const char *label, struct bl_err *err);

/* /secrets with the plan's secrets, from directory/tenant/name. Returns the detached mount. */
int bl_inject_secrets(const char *directory, const struct bl_plan *plan,
		      struct bl_inject_owner owner, const char *label, struct bl_err *err);

#endif
