// SPDX-License-Identifier: Apache-2.0
#include "common/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/utf8.h"

#define TEXT_MAX  2048
#define FIELD_MAX 512

static const char *program_name = "ballast";
static enum bl_log_format line_format = BL_LOG_TEXT;
static enum bl_log_level least_level = BL_LOG_INFO;

static const char *const level_names[] = {
	[BL_LOG_DEBUG] = "debug",
	[BL_LOG_INFO] = "info",
	[BL_LOG_WARNING] = "warning",
	[BL_LOG_ERROR] = "error",
};

void bl_log_init(const char *program, enum bl_log_format format, enum bl_log_level least)
{
	program_name = program;
	line_format = format;
	least_level = least;
}

int bl_log_parse_format(const char *text, enum bl_log_format *ret)
{
	if (strcmp(text, "text") == 0)
		*ret = BL_LOG_TEXT;
	else if (strcmp(text, "json") == 0)
		*ret = BL_LOG_JSON;
	else
		return -EINVAL;
	return 0;
}

/* Code points that move the cursor or turn text around, so that a line could lie about itself. */
static bool is_harmful(uint32_t point)
{
	return point < 0x20 || (point >= 0x7f && point <= 0x9f) || point == 0x061c ||
	       (point >= 0x200e && point <= 0x200f) || (point >= 0x2028 && point <= 0x202e) ||
	       (point >= 0x2066 && point <= 0x2069) || point == 0xfeff;
}

size_t bl_log_harmful(const char *text, uint32_t *ret)
{
	size_t len = bl_utf8_decode(text, BL_UTF8_MOST, ret);

	return len > 0 && is_harmful(*ret) ? len : 0;
}

size_t bl_log_escape(char *to, size_t size, const char *text)
{
	const unsigned char *at = (const unsigned char *)text;
	size_t used = 0;

	while (*at) {
		char piece[4 * 4 + 1];
		uint32_t point = 0;
		size_t in = bl_utf8_decode(at, BL_UTF8_MOST, &point);
		size_t out = 0;

		if (in > 0 && !is_harmful(point) && point != '\\') {
			memcpy(piece, at, in);
			out = in;
		} else if (point == '\\') {
			piece[out++] = '\\';
			piece[out++] = '\\';
		} else {
			for (size_t i = 0; i < (in ? in : 1); i++)
				out += (size_t)snprintf(piece + out, sizeof(piece) - out, "\\x%02x",
							at[i]);
		}
		if (used + out + 4 > size) {
			memcpy(to + used, "...", 3);
			used += 3;
			break;
		}
		memcpy(to + used, piece, out);
		used += out;
		at += in ? in : 1;
	}
	to[used] = '\0';
	return used;
}

/* A line under construction; what does not fit is left out. */
struct line {
	char text[BL_LOG_LINE_MAX];
	size_t len;
};

static void add(struct line *line, const char *text)
{
	size_t len = strlen(text);

	if (len > sizeof(line->text) - 2 - line->len)
		len = sizeof(line->text) - 2 - line->len;
	memcpy(line->text + line->len, text, len);
	line->len += len;
}

static void add_escaped(struct line *line, const char *text, size_t most)
{
	char escaped[TEXT_MAX];

	(void)bl_log_escape(escaped, most < sizeof(escaped) ? most : sizeof(escaped), text);
	add(line, escaped);
}

/* A JSON string: bl_log_escape() leaves valid UTF-8 without control characters, quotes remain. */
static void add_json(struct line *line, const char *text, size_t most)
{
	char escaped[TEXT_MAX];
	char quoted[2 * TEXT_MAX];
	size_t used = 0;

	(void)bl_log_escape(escaped, most < sizeof(escaped) ? most : sizeof(escaped), text);
	for (const char *at = escaped; *at; at++) {
		if (*at == '"' || *at == '\\')
			quoted[used++] = '\\';
		quoted[used++] = *at;
	}
	quoted[used] = '\0';
	add(line, "\"");
	add(line, quoted);
	add(line, "\"");
}

static void write_text(struct line *line, enum bl_log_level level, const char *msg,
		       const struct bl_log_field *fields, size_t n)
{
	add(line, program_name);
	add(line, ": ");
	if (level != BL_LOG_INFO) {
		add(line, level_names[level]);
		add(line, ": ");
	}
	add_escaped(line, msg, TEXT_MAX);
	for (size_t i = 0; i < n; i++) {
		if (!fields[i].value)
			continue;
		add(line, " ");
		add(line, fields[i].name);
		add(line, "=");
		add_escaped(line, fields[i].value, FIELD_MAX);
	}
}

static void write_json(struct line *line, enum bl_log_level level, const char *msg,
		       const struct bl_log_field *fields, size_t n)
{
	char when[80];
	struct timespec now;
	struct tm at;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)gmtime_r(&now.tv_sec, &at);
	/* Not strftime(): it would bring the time zones into the shim, whose memory counts. */
	(void)snprintf(when, sizeof(when), "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ",
		       at.tm_year + 1900, at.tm_mon + 1, at.tm_mday, at.tm_hour, at.tm_min,
		       at.tm_sec, now.tv_nsec / 1000000);
	add(line, "{\"level\":");
	add_json(line, level_names[level], FIELD_MAX);
	add(line, ",\"msg\":");
	add_json(line, msg, 1200);
	add(line, ",\"program\":");
	add_json(line, program_name, FIELD_MAX);
	add(line, ",\"time\":");
	add_json(line, when, FIELD_MAX);
	for (size_t i = 0; i < n; i++) {
		/* A field that might not fit whole is left out: half a field is no JSON. */
		if (!fields[i].value || line->len + 2 * FIELD_MAX + 64 > sizeof(line->text))
			continue;
		add(line, ",");
		add_json(line, fields[i].name, FIELD_MAX);
		add(line, ":");
		add_json(line, fields[i].value, FIELD_MAX);
	}
	add(line, "}");
}

__attribute__((format(printf, 4, 0))) static void write_line(enum bl_log_level level,
							     const struct bl_log_field *fields,
							     size_t n, const char *fmt, va_list ap)
{
	int saved = errno;
	struct line line = {.len = 0};
	char msg[TEXT_MAX];

	(void)vsnprintf(msg, sizeof(msg), fmt, ap);
	if (line_format == BL_LOG_JSON)
		write_json(&line, level, msg, fields, n);
	else
		write_text(&line, level, msg, fields, n);
	line.text[line.len++] = '\n';
	if (write(STDERR_FILENO, line.text, line.len) < 0) {
		/* There is nobody left to tell. */
	}
	errno = saved;
}

void bl_log(enum bl_log_level level, const char *fmt, ...)
{
	va_list ap;

	if (level < least_level)
		return;
	va_start(ap, fmt);
	write_line(level, NULL, 0, fmt, ap);
	va_end(ap);
}

void bl_log_with(enum bl_log_level level, const struct bl_log_field *fields, size_t n,
		 const char *fmt, ...)
{
	va_list ap;

	if (level < least_level)
		return;
	va_start(ap, fmt);
	write_line(level, fields, n, fmt, ap);
	va_end(ap);
}
