// SPDX-License-Identifier: Apache-2.0
/* ballast doctor: looks for what is wrong on this machine, since most of it fails in silence. */
#include "cli/doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/node.h"
#include "cli/options.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/err.h"

static const char *const names[] = {"good", "note", "bad"};

void bl_doctor_find(struct bl_doctor *doctor, enum bl_finding finding, const char *what,
		    const char *fmt, ...)
{
	bl_json *entry = bl_json_set_object(doctor->list, NULL);
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	doctor->bad = doctor->bad || finding == BL_FINDING_BAD;
	if (entry) {
		(void)bl_json_set_string(entry, "finding", names[finding]);
		(void)bl_json_set_string(entry, "what", what);
		(void)bl_json_set_string(entry, "text", text);
	}
}

const char *bl_doctor_path(const struct bl_doctor *doctor, const char *path, char *room)
{
	(void)snprintf(room, 4096, "%s%s", doctor->root, path);
	return room;
}

static void print_text(const struct bl_doctor *doctor)
{
	static const char *const marks[] = {"ok  ", "note", "BAD "};

	for (const bl_json *e = bl_json_first(doctor->list); e; e = bl_json_next(e)) {
		const char *finding = bl_node_text(e, "finding");
		size_t i = 0;

		while (i < 2 && strcmp(names[i], finding) != 0)
			i++;
		bl_print("%s  %s: %s\n", marks[i], bl_node_text(e, "what"),
			 bl_node_text(e, "text"));
	}
}

int bl_doctor_main(char **words, struct bl_err *err)
{
	struct bl_doctor doctor = {.root = ""};
	bool json = false;
	const struct bl_option options[] = {
		BL_NODE_OPTION(doctor.agent),
		BL_OPTION_TEXT("root", "DIR", "look at the installation in this directory",
			       &doctor.root),
		BL_OPTION_FLAG("json", "an array of findings: good, note or bad", &json),
		{0},
	};
	const struct bl_usage usage = {"ballast doctor [OPTION...]",
				       "Looks at the kernel, the installed programs, the hook's "
				       "registration with Podman, CRI-O\n"
				       "and containerd, the secrets' modes and the agent. Exit "
				       "status 1 where something is bad.",
				       options,
				       0,
				       0,
				       false};
	struct bl_operands operands;
	auto_json list = bl_json_new_array();
	auto_buf text = BL_BUF_INIT(1024 * 1024);
	int r = bl_options_parse(&usage, words, &operands, err);

	if (r != 0)
		return r < 0 ? r : 0;
	if (!list)
		return bl_err_nomem(err);
	doctor.list = list;
	bl_doctor_check_kernel(&doctor);
	bl_doctor_check_programs(&doctor);
	bl_doctor_check_registration(&doctor);
	bl_doctor_check_containerd(&doctor);
	bl_doctor_check_secrets(&doctor);
	bl_doctor_check_agent(&doctor);
	if (!json) {
		print_text(&doctor);
	} else {
		r = bl_json_write(&text, list, err);
		if (r < 0)
			return r;
		bl_print_json(bl_buf_str(&text));
	}
	return doctor.bad ? 1 : 0;
}
