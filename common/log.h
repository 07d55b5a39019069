/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines: one write(2) a line, escaped and bounded, as text for people or as JSON for machines.
 * Library code never logs; each program's main file does (the agent's jobs through it).
 *
 *   text   ballastd: info: ready in 1.2 s container=web-1 tenant=team-a
 *   json   {"level":"info","msg":"ready in 1.2 s","program":"ballastd","time":"...","container":..}
 */
#ifndef BL_LOG_H
#define BL_LOG_H

#include <stddef.h>
#include <stdint.h>

enum bl_log_format { BL_LOG_TEXT, BL_LOG_JSON };
enum bl_log_level { BL_LOG_DEBUG, BL_LOG_INFO, BL_LOG_WARNING, BL_LOG_ERROR };

#define BL_LOG_LINE_MAX 4096

/* A named fact beside the message. A NULL value leaves the field out. */
struct bl_log_field {
	const char *name;
	const char *value;
};

/* Which program speaks, how, and from which level on; lines go to stderr. */
void bl_log_init(const char *program, enum bl_log_format format, enum bl_log_level least);

/* "text" or "json" into *ret: 0, or -EINVAL. */
int bl_log_parse_format(const char *text, enum bl_log_format *ret);

void bl_log(enum bl_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same with n fields (borrowed). */
void bl_log_with(enum bl_log_level level, const struct bl_log_field *fields, size_t n,
		 const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/*
 * Copies text into to[size] as one printable line: control characters, bytes that are no UTF-8,
 * and C1 and bidirectional control code points become \xHH; a backslash is doubled. What does not
 * fit is cut and ends in "...". Returns the length. size >= 8.
 */
size_t bl_log_escape(char *to, size_t size, const char *text);

/*
 * Whether a terminal would obey the character at text rather than show it, as bl_log_escape() has
 * it: its length in bytes and *ret, the code point; else 0.
 */
size_t bl_log_harmful(const char *text, uint32_t *ret);

#endif
