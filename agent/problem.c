// SPDX-License-Identifier: Apache-2.0
#include "agent/problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/err.h"
#include "common/job.h"

#define TRIES_CRASH  3 /* jobs of a work whose process fails by itself */
#define TRIES_ORIGIN 2 /* jobs of a work whose origin fails: fetch has already been patient */

static const struct {
	const char *class;
	int status;
	const char *title;
	int tries;
} classes[] = {
	{BL_JOB_CONFIG, 422, "The weights item or the configuration is wrong", 1},
	{BL_JOB_NOT_FOUND, 404, "The origin does not have it", 1},
	{BL_JOB_UNAUTHORIZED, 401, "The origin wants a credential", 1},
	{BL_JOB_FORBIDDEN, 403, "Not allowed", 1},
	{BL_JOB_ORIGIN, 502, "The origin cannot be reached", TRIES_ORIGIN},
	{BL_JOB_CORRUPT, 502, "The content does not verify", 1},
	{BL_JOB_HOSTILE, 422, "The origin's listing is refused", 1},
	{BL_JOB_SPACE, 507, "No room on the node", 1},
	{BL_JOB_INTERNAL, 500, "The agent failed", TRIES_CRASH},
};
#define CLASS_COUNT (sizeof(classes) / sizeof(*classes))

size_t bl_problem_class(const char *class)
{
	for (size_t i = 0; i < CLASS_COUNT; i++)
		if (strcmp(classes[i].class, class) == 0)
			return i;
	return CLASS_COUNT - 1;
}

const char *bl_problem_class_name(size_t i)
{
	return i < CLASS_COUNT ? classes[i].class : NULL;
}

void bl_problem_set(struct bl_problem *problem, const char *class, const char *fmt, ...)
{
	va_list ap;

	*problem = (struct bl_problem){.status = classes[bl_problem_class(class)].status};
	(void)snprintf(problem->class, sizeof(problem->class), "%s", class);
	va_start(ap, fmt);
	(void)vsnprintf(problem->detail, sizeof(problem->detail), fmt, ap);
	va_end(ap);
}

void bl_problem_of(struct bl_problem *problem, const struct bl_err *err)
{
	const char *class = err->code == BL_EX_CONFIG	 ? BL_JOB_CONFIG
			    : err->code == BL_EX_REFUSED ? BL_JOB_FORBIDDEN
							 : BL_JOB_INTERNAL;

	bl_problem_set(problem, class, "%s", err->msg);
}

void bl_problem_place(struct bl_problem *problem, size_t item)
{
	struct bl_problem before = *problem;

	(void)snprintf(problem->detail, sizeof(problem->detail), "$[%zu].source: %.600s", item,
		       before.detail);
}

const char *bl_problem_title(const struct bl_problem *problem)
{
	if (strcmp(problem->class, "conflict") == 0)
		return "Conflict";
	if (strcmp(problem->class, "request") == 0)
		return "Bad request";
	return classes[bl_problem_class(problem->class)].title;
}

int bl_problem_tries(const char *class)
{
	return classes[bl_problem_class(class)].tries;
}
