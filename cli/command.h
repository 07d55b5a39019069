/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands, one file each. A command gets its words (words[0] is its name) and returns the
 * exit status, or -errno with *err filled, which main prints. Commands may print to stdout; what is
 * no result goes to stderr by bl_say().
 */
#ifndef BL_COMMAND_H
#define BL_COMMAND_H

struct bl_err;

typedef int bl_command(char **words, struct bl_err *err);

bl_command bl_run_main;
bl_command bl_bundle_main;
bl_command bl_migrate_main;
bl_command bl_validate_main;
bl_command bl_pull_main;
bl_command bl_plan_main;
bl_command bl_status_main;
bl_command bl_gc_main;
bl_command bl_verify_main;
bl_command bl_rm_main;
bl_command bl_pin_main;
bl_command bl_doctor_main;

/* "ballast: ..." on stderr, as one escaped line. */
void bl_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* A result on stdout; texts from outside are escaped, newlines of the format are not. */
void bl_print(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* JSON text as a result, on a line of its own: it stays JSON, and no terminal obeys it. */
void bl_print_json(const char *text);

/* Each line of text as bl_say() has it. */
void bl_say_lines(const char *text);

#endif
