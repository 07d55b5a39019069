/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What went wrong, as it is told: the classes of failures of common/job.h, what each means in HTTP, in
 * words, and for another try.
 */
#ifndef BL_AGENT_PROBLEM_H
#define BL_AGENT_PROBLEM_H

#include <stddef.h>

struct bl_err;

/* What went wrong, for a person and for programs. */
struct bl_problem {
	int status;	  /* of HTTP; 0: nothing is wrong */
	char class[16];	  /* common/job.h */
	char detail[640]; /* one line that ends with the next step */
};

/* Fills *problem; the status is the class's. */
void bl_problem_set(struct bl_problem *problem, const char *class, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Says before the detail which item of the weights list it is about: "$[1].source: ". */
void bl_problem_place(struct bl_problem *problem, size_t item);
/* Whose class is the failure's, as its exit status has it; the detail is its message. */
void bl_problem_of(struct bl_problem *problem, const struct bl_err *err);
/* A few words that stand for the class. */
const char *bl_problem_title(const struct bl_problem *problem);

/* The number of a failure class, for figures; an unknown one counts as the last. */
size_t bl_problem_class(const char *class);
/* The name of failure class i, or NULL beyond the last. */
const char *bl_problem_class_name(size_t i);
/* How many jobs a work may have that fail so. */
int bl_problem_tries(const char *class);

#endif
