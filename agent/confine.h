/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of the file system a fetch process can open: the system's programs and configuration, the
 * operator's file roots and certificates, for reading; nothing for writing. What it brings goes to
 * descriptors that it is given. By Landlock, which also keeps it from tracing other processes.
 */
#ifndef BL_AGENT_CONFINE_H
#define BL_AGENT_CONFINE_H

#include "common/json.h"

struct bl_err;

/*
 * The rules as a descriptor, for bl_sys_landlock_restrict(). program: what may be executed, by its
 * O_PATH descriptor; job: the configuration that each job gets ("file_roots", "ca_file"). files: the file
 * roots too. Who does without does not look at them: they may be another host's, which does not answer.
 * -EOPNOTSUPP where the kernel has no Landlock, or does not let us: the process is then as confined as
 * its user is, which the caller tells.
 */
int bl_confine_build(int program, const bl_json *job, bool files, struct bl_err *err);

#endif
