/* SPDX-License-Identifier: Apache-2.0 */
/* What `ballast doctor` looks at. Each check says one line: what is so, or what to do. */
#ifndef BL_DOCTOR_H
#define BL_DOCTOR_H

#include <stdbool.h>

#include "common/json.h"

enum bl_finding { BL_FINDING_GOOD, BL_FINDING_NOTE, BL_FINDING_BAD };

struct bl_doctor {
	const char
		*root; /* "" or a directory in which an installation lies, for images and tests */
	const char *agent; /* the agent's address, NULL: the installed one's */
	bl_json *list;	   /* the findings */
	bool bad;	   /* one of them is BL_FINDING_BAD */
};

/* Adds a finding; fmt is the text after "what: ". */
void bl_doctor_find(struct bl_doctor *doctor, enum bl_finding finding, const char *what,
		    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* The path below doctor->root, in room[4096]. */
const char *bl_doctor_path(const struct bl_doctor *doctor, const char *path, char *room);

/* The checks, one each: what they find is added. */
void bl_doctor_check_kernel(struct bl_doctor *doctor);
void bl_doctor_check_programs(struct bl_doctor *doctor);
void bl_doctor_check_registration(struct bl_doctor *doctor);
void bl_doctor_check_containerd(struct bl_doctor *doctor);
void bl_doctor_check_secrets(struct bl_doctor *doctor);
void bl_doctor_check_agent(struct bl_doctor *doctor);

#endif
