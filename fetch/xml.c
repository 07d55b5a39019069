// SPDX-License-Identifier: Apache-2.0
/* See xml.h. */
#include "fetch/xml.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <expat.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/err.h"

struct level {
	size_t path_len; /* of the path before this element */
	struct bl_buf text;
};

struct reader {
	XML_Parser parser;
	bl_xml_end *end;
	void *ctx;
	struct bl_err *err;
	int result; /* the first failure */
	char path[BL_XML_MAX_PATH];
	size_t path_len, depth, elements;
	struct level levels[BL_XML_MAX_DEPTH];
};

static void stop(struct reader *reader, int result)
{
	if (reader->result == 0)
		reader->result = result;
	XML_StopParser(reader->parser, XML_FALSE);
}

static void refuse(struct reader *reader, const char *why)
{
	if (reader->result == 0)
		stop(reader, bl_err_set(reader->err, BL_EX_RETRY, EBADMSG,
					"the answer's XML is refused: %s", why));
}

static void XMLCALL on_start(void *ctx, const XML_Char *name, const XML_Char **attributes)
{
	struct reader *reader = ctx;
	const char *prefix = strrchr(name, ':');
	const char *local = prefix ? prefix + 1 : name;
	size_t len = strlen(local);

	(void)attributes;
	if (reader->depth == BL_XML_MAX_DEPTH || ++reader->elements > BL_XML_MAX_ELEMENTS ||
	    reader->path_len + len + 2 > BL_XML_MAX_PATH) {
		refuse(reader, "it is nested too deeply or too long");
		return;
	}
	reader->levels[reader->depth].path_len = reader->path_len;
	struct bl_buf *text = &reader->levels[reader->depth++].text;
	bl_buf_consume(text, text->len);
	if (reader->path_len > 0)
		reader->path[reader->path_len++] = '/';
	memcpy(reader->path + reader->path_len, local, len + 1);
	reader->path_len += len;
}

static void XMLCALL on_text(void *ctx, const XML_Char *text, int len)
{
	struct reader *reader = ctx;
	int r;

	if (reader->depth == 0 || reader->result < 0)
		return;
	r = bl_buf_append(&reader->levels[reader->depth - 1].text, text, (size_t)len, reader->err);
	if (r < 0)
		stop(reader, r);
}

static void XMLCALL on_end(void *ctx, const XML_Char *name)
{
	struct reader *reader = ctx;
	struct level *level;
	int r;

	(void)name;
	/* After a stop expat may still tell of the end of an empty element. */
	if (reader->depth == 0 || reader->result < 0)
		return;
	level = &reader->levels[reader->depth - 1];
	r = reader->end(reader->ctx, reader->path, bl_buf_str(&level->text), level->text.len,
			reader->err);
	if (r < 0)
		stop(reader, r);
	reader->path_len = level->path_len;
	reader->path[reader->path_len] = '\0';
	reader->depth--;
}

static void XMLCALL on_doctype(void *ctx, const XML_Char *name, const XML_Char *system,
			       const XML_Char *public, int internal)
{
	(void)name;
	(void)system;
	(void)public;
	(void)internal;
	refuse(ctx, "it declares a document type");
}

static void free_reader(struct reader **pointer)
{
	struct reader *reader = *pointer;
	int saved = errno;

	if (!reader)
		return;
	if (reader->parser)
		XML_ParserFree(reader->parser);
	for (size_t i = 0; i < BL_XML_MAX_DEPTH; i++)
		bl_buf_done(&reader->levels[i].text);
	free(reader);
	errno = saved;
}

int bl_xml_parse(const char *data, size_t len, bl_xml_end *end, void *ctx, struct bl_err *err)
{
	__attribute__((cleanup(free_reader))) struct reader *reader = calloc(1, sizeof(*reader));

	if (!reader || !(reader->parser = XML_ParserCreate(NULL)))
		return bl_err_nomem(err);
	if (len > INT_MAX)
		return bl_err_set(err, BL_EX_RETRY, EBADMSG, "the answer's XML is too long");
	reader->end = end;
	reader->ctx = ctx;
	reader->err = err;
	for (size_t i = 0; i < BL_XML_MAX_DEPTH; i++)
		reader->levels[i].text = BL_BUF_INIT(BL_XML_MAX_TEXT);
	XML_SetUserData(reader->parser, reader);
	XML_SetElementHandler(reader->parser, on_start, on_end);
	XML_SetCharacterDataHandler(reader->parser, on_text);
	XML_SetStartDoctypeDeclHandler(reader->parser, on_doctype);
	XML_SetParamEntityParsing(reader->parser, XML_PARAM_ENTITY_PARSING_NEVER);
	if (XML_Parse(reader->parser, data, (int)len, 1) == XML_STATUS_OK && reader->result == 0)
		return 0;
	if (reader->result < 0)
		return reader->result;
	return bl_err_set(err, BL_EX_RETRY, EBADMSG,
			  "the answer is not well-formed XML (line %lu: %s)",
			  (unsigned long)XML_GetCurrentLineNumber(reader->parser),
			  XML_ErrorString(XML_GetErrorCode(reader->parser)));
}
