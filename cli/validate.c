// SPDX-License-Identifier: Apache-2.0
/* ballast validate: everything that can be known of a config.yaml without asking anybody. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/options.h"
#include "cli/truss_config.h"
#include "common/cleanup.h"
#include "common/err.h"

/* The annotations as JSON: each value is itself JSON text, as a Pod or a runtime would have it. */
static int print_annotations(const struct bl_truss_config *truss, struct bl_err *err)
{
	auto_buf text = BL_BUF_INIT(4 * 1024 * 1024);
	int r = bl_json_write(&text, truss->annotations, err);

	if (r == 0)
		bl_print_json(bl_buf_str(&text));
	return r;
}

int bl_validate_main(char **words, struct bl_err *err)
{
	bool json = false;
	bool quiet = false;
	const struct bl_option options[] = {
		BL_OPTION_FLAG("json", "print the annotations that the config becomes, as JSON",
			       &json),
		BL_OPTION_FLAG("quiet", "print nothing where all is well", &quiet),
		{0},
	};
	const struct bl_usage usage = {
		"ballast validate [OPTION...] CONFIG.yaml",
		"Checks a Truss config.yaml as the platform and Ballast will read it. Exit status "
		"64\n"
		"where something is wrong, 77 where no container may have it: one line says "
		"where,\n"
		"what, and what to write instead.",
		options,
		1,
		1,
		false};
	struct bl_operands operands;
	auto_truss_config truss = {0};
	int r = bl_options_parse(&usage, words, &operands, err);

	if (r != 0)
		return r < 0 ? r : 0;
	r = bl_truss_config_read(operands.words[0], &truss, err);
	if (r < 0)
		return r;
	bl_say_lines(bl_buf_str(&truss.warnings));
	if (json)
		return print_annotations(&truss, err);
	if (!quiet)
		bl_print("%s: valid, %zu set%s of weights\n", operands.words[0],
			 truss.weights.count, truss.weights.count == 1 ? "" : "s");
	return 0;
}
