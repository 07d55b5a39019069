// SPDX-License-Identifier: Apache-2.0
/*
 * The names are written out here because libcap, which knows them too, asks the kernel a row of
 * questions whenever it is loaded: on every container's start, for an option that few operators use.
 */
#include "hook/capabilities.h"

#include <linux/capability.h>
#include <string.h>
#include <strings.h>

#include "common/err.h"

/* capabilities(7); newer ones than the headers that this is built with are written as numbers. */
static const char *const names[] = {
	[CAP_CHOWN] = "chown",
	[CAP_DAC_OVERRIDE] = "dac_override",
	[CAP_DAC_READ_SEARCH] = "dac_read_search",
	[CAP_FOWNER] = "fowner",
	[CAP_FSETID] = "fsetid",
	[CAP_KILL] = "kill",
	[CAP_SETGID] = "setgid",
	[CAP_SETUID] = "setuid",
	[CAP_SETPCAP] = "setpcap",
	[CAP_LINUX_IMMUTABLE] = "linux_immutable",
	[CAP_NET_BIND_SERVICE] = "net_bind_service",
	[CAP_NET_BROADCAST] = "net_broadcast",
	[CAP_NET_ADMIN] = "net_admin",
	[CAP_NET_RAW] = "net_raw",
	[CAP_IPC_LOCK] = "ipc_lock",
	[CAP_IPC_OWNER] = "ipc_owner",
	[CAP_SYS_MODULE] = "sys_module",
	[CAP_SYS_RAWIO] = "sys_rawio",
	[CAP_SYS_CHROOT] = "sys_chroot",
	[CAP_SYS_PTRACE] = "sys_ptrace",
	[CAP_SYS_PACCT] = "sys_pacct",
	[CAP_SYS_ADMIN] = "sys_admin",
	[CAP_SYS_BOOT] = "sys_boot",
	[CAP_SYS_NICE] = "sys_nice",
	[CAP_SYS_RESOURCE] = "sys_resource",
	[CAP_SYS_TIME] = "sys_time",
	[CAP_SYS_TTY_CONFIG] = "sys_tty_config",
	[CAP_MKNOD] = "mknod",
	[CAP_LEASE] = "lease",
	[CAP_AUDIT_WRITE] = "audit_write",
	[CAP_AUDIT_CONTROL] = "audit_control",
	[CAP_SETFCAP] = "setfcap",
	[CAP_MAC_OVERRIDE] = "mac_override",
	[CAP_MAC_ADMIN] = "mac_admin",
	[CAP_SYSLOG] = "syslog",
	[CAP_WAKE_ALARM] = "wake_alarm",
	[CAP_BLOCK_SUSPEND] = "block_suspend",
	[CAP_AUDIT_READ] = "audit_read",
	[38] = "perfmon",
	[39] = "bpf",
	[40] = "checkpoint_restore",
};

static int add_capability(const char *name, size_t len, uint64_t *mask, struct bl_err *err)
{
	const char *bare = name;
	size_t bare_len = len;

	if (len > 4 && strncasecmp(name, "cap_", 4) == 0) {
		bare += 4;
		bare_len -= 4;
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (strlen(names[i]) == bare_len && strncasecmp(bare, names[i], bare_len) == 0) {
			*mask |= UINT64_C(1) << i;
			return 0;
		}
	}
	return bl_err_config(err, "'%.*s' is no capability's name, such as cap_sys_nice",
			     len > 64 ? 64 : (int)len, name);
}

int bl_capabilities_parse(const char *list, uint64_t *ret, struct bl_err *err)
{
	uint64_t mask = 0;

	for (;;) {
		size_t len = strcspn(list, ",");
		int r = add_capability(list, len, &mask, err);

		if (r < 0)
			return r;
		if (list[len] == '\0')
			break;
		list += len + 1;
	}
	*ret = mask;
	return 0;
}
