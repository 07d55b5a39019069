// SPDX-License-Identifier: Apache-2.0
/*
 * libyaml's events, one after the other, into a tree. Every allocation is on the document's list,
 * which owns nodes, texts and arrays alike; so an alias is a pointer and nothing is freed twice.
 */
#include "cli/yaml.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "cli/yaml_scalar.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/err.h"

#define KEYS_MAX      4096 /* of one mapping: each new one is compared with all */
#define TOO_MANY_KEYS "a mapping of more than 4096 keys"

struct chunk {
	struct chunk *next;
	max_align_t data[];
};

struct anchor {
	char *name;
	struct bl_yaml *node;
	bool open; /* still being read: an alias to it would be endless */
};

struct bl_yaml_document {
	struct chunk *chunks;
	struct bl_yaml *root;
	struct anchor *anchors; /* malloc'd */
	size_t anchor_count;
	size_t nodes;
};

struct reader {
	yaml_parser_t parser;
	struct bl_yaml_document *document;
	const char *name;
	struct bl_err *err;
};

static int read_node(struct reader *reader, const yaml_event_t *event, size_t depth,
		     struct bl_yaml **ret);

/* ---- The document's memory ---- */

static void *keep(struct bl_yaml_document *document, size_t size)
{
	struct chunk *chunk = calloc(1, sizeof(*chunk) + size);

	if (!chunk)
		return NULL;
	chunk->next = document->chunks;
	document->chunks = chunk;
	return chunk->data;
}

void bl_yaml_free(struct bl_yaml_document **document)
{
	int saved = errno;

	if (*document) {
		for (struct chunk *c = (*document)->chunks; c;) {
			struct chunk *next = c->next;

			free(c);
			c = next;
		}
		free((*document)->anchors);
		free(*document);
		*document = NULL;
	}
	errno = saved;
}

/* ---- Errors ---- */

static int bad(const struct reader *reader, size_t line, const char *what)
{
	return bl_err_config(reader->err, "%s:%zu: %s", reader->name, line, what);
}

/* What a person most often did where libyaml says this, as a rest of the message. */
static const char *hint_for(const yaml_parser_t *parser)
{
	const char *problem = parser->problem ? parser->problem : "";
	const char *context = parser->context ? parser->context : "";

	if (strstr(context, "scanning an alias") || strstr(context, "scanning an anchor"))
		return "; a text that begins with * or & needs quotes, as in \"*.json\"";
	if (strstr(problem, "cannot start any token"))
		return "; indent with spaces, not with a tab, and quote a text that begins with "
		       "@, ` or %";
	if (strstr(problem, "mapping values are not allowed"))
		return "; look at the indentation, and quote a text that holds a colon and a space";
	return "";
}

static int next_event(struct reader *reader, yaml_event_t *event)
{
	const yaml_parser_t *parser = &reader->parser;

	if (yaml_parser_parse(&reader->parser, event))
		return 0;
	if (parser->error == YAML_MEMORY_ERROR)
		return bl_err_nomem(reader->err);
	return bl_err_config(reader->err, "%s:%zu: not valid YAML: %s%s", reader->name,
			     parser->problem_mark.line + 1,
			     parser->problem ? parser->problem : "cannot be read",
			     hint_for(parser));
}

/* ---- Anchors ---- */

static int set_anchor(struct reader *reader, const yaml_char_t *name, struct bl_yaml *node)
{
	struct bl_yaml_document *document = reader->document;
	struct anchor *anchors;
	char *copy;

	if (!name)
		return 0;
	copy = keep(document, strlen((const char *)name) + 1);
	anchors = realloc(document->anchors, (document->anchor_count + 1) * sizeof(*anchors));
	if (anchors)
		document->anchors = anchors;
	if (!copy || !anchors)
		return bl_err_nomem(reader->err);
	memcpy(copy, name, strlen((const char *)name));
	anchors[document->anchor_count++] = (struct anchor){copy, node, true};
	return 0;
}

static void close_anchor(struct bl_yaml_document *document, const struct bl_yaml *node)
{
	for (size_t i = document->anchor_count; i-- > 0;)
		if (document->anchors[i].node == node)
			document->anchors[i].open = false;
}

static int find_anchor(const struct reader *reader, const yaml_event_t *event, struct bl_yaml **ret)
{
	const struct bl_yaml_document *document = reader->document;
	const char *name = (const char *)event->data.alias.anchor;

	/* The last one counts: an anchor may be given anew. */
	for (size_t i = document->anchor_count; i-- > 0;) {
		if (strcmp(document->anchors[i].name, name) != 0)
			continue;
		if (document->anchors[i].open)
			return bad(reader, event->start_mark.line + 1,
				   "an alias within its own anchor");
		*ret = document->anchors[i].node;
		return 0;
	}
	return bad(reader, event->start_mark.line + 1, "an alias without an anchor");
}

/* ---- Nodes ---- */

static int count_nodes(struct reader *reader, size_t line, size_t more)
{
	reader->document->nodes += more;
	if (reader->document->nodes > BL_YAML_MAX_NODES)
		return bad(reader, line, "more values than the maximum of 65536");
	return 0;
}

static int new_node(struct reader *reader, const yaml_event_t *event, struct bl_yaml **ret)
{
	struct bl_yaml *node = keep(reader->document, sizeof(*node));

	if (!node)
		return bl_err_nomem(reader->err);
	node->text = "";
	node->line = event->start_mark.line + 1;
	node->from = event->start_mark.index;
	node->to = event->end_mark.index;
	node->weight = 1;
	*ret = node;
	return count_nodes(reader, node->line, 1);
}

static int read_scalar(struct reader *reader, const yaml_event_t *event, struct bl_yaml *node)
{
	size_t len = event->data.scalar.length;
	const char *tag = (const char *)event->data.scalar.tag;
	char *text = keep(reader->document, len + 1);
	int r = 0;

	if (!text)
		return bl_err_nomem(reader->err);
	memcpy(text, event->data.scalar.value, len);
	node->text = text;
	if (memchr(text, '\0', len))
		return bad(reader, node->line, "NUL in a text");
	if (tag)
		r = bl_yaml_scalar_tagged(node, tag);
	else if (event->data.scalar.plain_implicit)
		r = bl_yaml_scalar_resolve(node);
	else
		node->kind = BL_YAML_STRING;
	if (r == -ERANGE)
		return bad(reader, node->line, "an integer of more than 64 bits");
	return r < 0 ? bad(reader, node->line, "a value that is not of its tag, or an unknown tag")
		     : 0;
}

/* Appends to the arrays of a list or map; capacities are powers of two, so count tells them. */
static int add_child(struct reader *reader, struct bl_yaml *node, struct bl_yaml *key,
		     struct bl_yaml *value)
{
	size_t n = node->count;

	if ((n & (n - 1)) == 0) { /* 0 or a power of two: full */
		size_t cap = n ? 2 * n : 1;
		struct bl_yaml **items = keep(reader->document, cap * sizeof(struct bl_yaml *));
		struct bl_yaml **keys = keep(reader->document, cap * sizeof(struct bl_yaml *));

		if (!items || !keys)
			return bl_err_nomem(reader->err);
		if (n > 0) {
			memcpy(items, node->items, n * sizeof(struct bl_yaml *));
			memcpy(keys, node->keys, n * sizeof(struct bl_yaml *));
		}
		node->items = items;
		node->keys = keys;
	}
	node->items[n] = value;
	node->keys[n] = key;
	node->count++;
	node->weight += value->weight + 1;
	return 0;
}

/* Adds what a merge key brings; keys that are there already win. */
static int merge(struct reader *reader, struct bl_yaml *map, const struct bl_yaml *from)
{
	int r = 0;

	if (from->kind == BL_YAML_LIST) {
		for (size_t i = 0; i < from->count && r == 0; i++) {
			if (from->items[i]->kind != BL_YAML_MAP)
				return bad(reader, from->line, "only mappings can be merged");
			r = merge(reader, map, from->items[i]);
		}
		return r;
	}
	if (from->kind != BL_YAML_MAP)
		return bad(reader, from->line, "only mappings can be merged");
	for (size_t i = 0; i < from->count && r == 0; i++) {
		if (bl_yaml_get(map, from->keys[i]->text))
			continue;
		if (map->count >= KEYS_MAX)
			return bad(reader, map->line, TOO_MANY_KEYS);
		r = count_nodes(reader, map->line, from->items[i]->weight);
		if (r == 0)
			r = add_child(reader, map, from->keys[i], from->items[i]);
	}
	return r;
}

static int check_key(const struct reader *reader, const struct bl_yaml *map,
		     const struct bl_yaml *key)
{
	if (key->kind == BL_YAML_LIST || key->kind == BL_YAML_MAP)
		return bad(reader, key->line, "a key must be a text");
	if (key->kind != BL_YAML_STRING)
		return bl_err_config(reader->err,
				     "%s:%zu: the key %.64s is %s in YAML; put it in quotes",
				     reader->name, key->line, *key->text ? key->text : "\"\"",
				     bl_yaml_kind_name(key));
	if (map->count >= KEYS_MAX)
		return bad(reader, key->line, TOO_MANY_KEYS);
	if (bl_yaml_get(map, key->text))
		return bl_err_config(reader->err, "%s:%zu: the key %.64s stands twice",
				     reader->name, key->line, key->text);
	return 0;
}

/* The list's or map's children up to its end. */
static int read_children(struct reader *reader, struct bl_yaml *node, yaml_event_type_t end,
			 size_t depth)
{
	struct bl_yaml *merged = NULL;
	struct bl_yaml *key = NULL;
	bool is_merge = false; /* the key is a merge key; in quotes it is one as any other */
	int r = 0;

	while (r == 0) {
		struct bl_yaml *child = NULL;
		yaml_event_t event;

		r = next_event(reader, &event);
		if (r < 0)
			return r;
		if (event.type == end) {
			node->to = event.end_mark.index;
			yaml_event_delete(&event);
			break;
		}
		r = read_node(reader, &event, depth + 1, &child);
		if (r == 0 && node->kind == BL_YAML_MAP && !key) {
			is_merge = event.type == YAML_SCALAR_EVENT &&
				   strcmp(child->text, "<<") == 0 &&
				   event.data.scalar.plain_implicit;
			if (is_merge && merged)
				r = bad(reader, child->line, "the key << stands twice");
			else if (!is_merge)
				r = check_key(reader, node, child);
			key = child;
		} else if (r == 0 && key && is_merge) {
			merged = child;
			key = NULL;
		} else if (r == 0) {
			r = add_child(reader, node, key, child);
			key = NULL;
		}
		yaml_event_delete(&event);
	}
	return r == 0 && merged ? merge(reader, node, merged) : r;
}

static int read_node(struct reader *reader, const yaml_event_t *event, size_t depth,
		     struct bl_yaml **ret)
{
	struct bl_yaml *node = NULL;
	int r;

	if (depth > BL_YAML_MAX_DEPTH)
		return bad(reader, event->start_mark.line + 1, "nested deeper than 64 levels");
	if (event->type == YAML_ALIAS_EVENT) {
		r = find_anchor(reader, event, &node);
		*ret = node;
		return r < 0 ? r : count_nodes(reader, event->start_mark.line + 1, node->weight);
	}
	r = new_node(reader, event, &node);
	if (r < 0)
		return r;
	*ret = node;
	if (event->type == YAML_SCALAR_EVENT) {
		r = set_anchor(reader, event->data.scalar.anchor, node);
		if (r == 0)
			r = read_scalar(reader, event, node);
	} else if (event->type == YAML_SEQUENCE_START_EVENT) {
		node->kind = BL_YAML_LIST;
		r = set_anchor(reader, event->data.sequence_start.anchor, node);
		if (r == 0)
			r = read_children(reader, node, YAML_SEQUENCE_END_EVENT, depth);
	} else {
		node->kind = BL_YAML_MAP;
		r = set_anchor(reader, event->data.mapping_start.anchor, node);
		if (r == 0)
			r = read_children(reader, node, YAML_MAPPING_END_EVENT, depth);
	}
	close_anchor(reader->document, node);
	return r;
}

/* Stream start, at most one document, stream end. */
static int read_stream(struct reader *reader)
{
	int r = 0;

	for (bool done = false; !done && r == 0;) {
		yaml_event_t event;

		r = next_event(reader, &event);
		if (r < 0)
			return r;
		switch (event.type) {
		case YAML_STREAM_START_EVENT:
		case YAML_DOCUMENT_END_EVENT:
			break;
		case YAML_DOCUMENT_START_EVENT:
			if (reader->document->root)
				r = bad(reader, event.start_mark.line + 1,
					"a second document; the file is to have one");
			break;
		case YAML_STREAM_END_EVENT:
			done = true;
			break;
		default:
			r = read_node(reader, &event, 1, &reader->document->root);
		}
		yaml_event_delete(&event);
	}
	return r;
}

int bl_yaml_parse(const char *name, const char *text, size_t len, struct bl_yaml_document **ret,
		  struct bl_err *err)
{
	static struct bl_yaml nothing = {.kind = BL_YAML_NULL, .text = "", .line = 1, .weight = 1};
	auto_yaml document = calloc(1, sizeof(*document));
	struct reader reader = {.document = document, .name = name, .err = err};
	int r;

	if (!document)
		return bl_err_nomem(err);
	if (len > BL_YAML_MAX_BYTES)
		return bl_err_config(err, "%s: larger than %d bytes", name, BL_YAML_MAX_BYTES);
	if (!yaml_parser_initialize(&reader.parser))
		return bl_err_nomem(err);
	yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, len);
	r = read_stream(&reader);
	yaml_parser_delete(&reader.parser);
	if (r < 0)
		return r;
	if (!document->root)
		document->root = &nothing;
	*ret = TAKE_PTR(document);
	return 0;
}

/* ---- Reading the tree ---- */

const struct bl_yaml *bl_yaml_root(const struct bl_yaml_document *document)
{
	return document->root;
}

const struct bl_yaml *bl_yaml_get(const struct bl_yaml *map, const char *key)
{
	for (size_t i = 0; map->kind == BL_YAML_MAP && i < map->count; i++)
		if (strcmp(map->keys[i]->text, key) == 0)
			return map->items[i];
	return NULL;
}

const struct bl_yaml *bl_yaml_find(const struct bl_yaml *node, const char *path)
{
	for (;;) {
		const struct bl_yaml *child = NULL;
		char key[128];

		if (*path == '[') {
			size_t i = strtoul(path + 1, NULL, 10);

			child = node->kind == BL_YAML_LIST && i < node->count ? node->items[i]
									      : NULL;
			path += strcspn(path, "]");
			path += *path == ']';
		} else {
			path += *path == '.';
			(void)snprintf(key, sizeof(key), "%.*s", (int)strcspn(path, ".[:"), path);
			child = bl_yaml_get(node, key);
			path += strcspn(path, ".[:");
		}
		if (!child)
			return node;
		node = child;
	}
}

const char *bl_yaml_kind_name(const struct bl_yaml *node)
{
	static const char *const names[] = {"null",   "a boolean", "an integer", "a float",
					    "a date", "a string",  "a list",	 "a mapping"};

	return names[node->kind];
}

int bl_yaml_to_json(const struct bl_yaml *node, bl_json *container, const char *key,
		    struct bl_err *err)
{
	bl_json *added = NULL;
	int r = 0;

	switch (node->kind) {
	case BL_YAML_NULL:
		added = bl_json_set_null(container, key);
		break;
	case BL_YAML_BOOL:
		added = bl_json_set_bool(container, key, node->integer != 0);
		break;
	case BL_YAML_INT:
		if (node->integer > BL_JSON_INT_MAX || node->integer < -BL_JSON_INT_MAX)
			return bl_err_config(err, "%.64s is too large a number; put it in quotes",
					     node->text);
		added = bl_json_set_int(container, key, node->integer);
		break;
	case BL_YAML_FLOAT:
	case BL_YAML_DATE:
		return bl_err_config(err, "%.64s is %s in YAML; put it in quotes", node->text,
				     bl_yaml_kind_name(node));
	case BL_YAML_STRING:
		added = bl_json_set_string(container, key, node->text);
		break;
	case BL_YAML_LIST:
		added = bl_json_set_array(container, key);
		for (size_t i = 0; added && r == 0 && i < node->count; i++)
			r = bl_yaml_to_json(node->items[i], added, NULL, err);
		break;
	case BL_YAML_MAP:
		added = bl_json_set_object(container, key);
		for (size_t i = 0; added && r == 0 && i < node->count; i++)
			r = bl_yaml_to_json(node->items[i], added, node->keys[i]->text, err);
		break;
	}
	return !added ? bl_err_nomem(err) : r;
}

/* As Python's repr() of a float: the fewest digits that give the same number back. */
static int put_float(double number, struct bl_buf *buf, struct bl_err *err)
{
	char text[64];
	int exponent;
	int digits = 0;

	if (isnan(number) || isinf(number))
		return bl_buf_puts(buf, isnan(number) ? "nan" : number < 0 ? "-inf" : "inf", err);
	do
		(void)snprintf(text, sizeof(text), "%.*e", digits, number);
	while (strtod(text, NULL) != number && digits++ < 17);
	exponent = atoi(strchr(text, 'e') + 1);
	if (number == 0 || (exponent >= -4 && exponent < 16)) {
		int fraction = digits - exponent;

		(void)snprintf(text, sizeof(text), "%.*f", fraction > 1 ? fraction : 1, number);
	}
	return bl_buf_puts(buf, text, err);
}

int bl_yaml_to_text(const struct bl_yaml *node, struct bl_buf *buf, struct bl_err *err)
{
	switch (node->kind) {
	case BL_YAML_NULL:
		return bl_buf_puts(buf, "None", err);
	case BL_YAML_BOOL:
		return bl_buf_puts(buf, node->integer ? "true" : "false", err);
	case BL_YAML_INT:
		return bl_buf_putf(buf, err, "%lld", (long long)node->integer);
	case BL_YAML_FLOAT:
		return put_float(node->number, buf, err);
	case BL_YAML_DATE:
	case BL_YAML_STRING:
		return bl_buf_puts(buf, node->text, err);
	default:
		return bl_err_config(err, "must be a text, not %s", bl_yaml_kind_name(node));
	}
}
