/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded reader of YAML that sees what Truss sees: plain scalars are what YAML 1.1 (PyYAML's
 * safe loader) makes of them, duplicate keys are refused, anchors, aliases and merge keys work.
 * Each node knows its line, so that an error can say where. The tree shares what an alias repeats;
 * a bomb of aliases runs into the bound on nodes as if it were written out.
 */
#ifndef BL_YAML_H
#define BL_YAML_H

#include <stddef.h>
#include <stdint.h>

#include "common/json.h"

struct bl_err;

#define BL_YAML_MAX_BYTES (1024 * 1024)
#define BL_YAML_MAX_NODES 65536 /* with every alias written out */
#define BL_YAML_MAX_DEPTH 64

enum bl_yaml_kind {
	BL_YAML_NULL,
	BL_YAML_BOOL,
	BL_YAML_INT,
	BL_YAML_FLOAT,
	BL_YAML_DATE,
	BL_YAML_STRING,
	BL_YAML_LIST,
	BL_YAML_MAP,
};

/* Owned by the document. */
struct bl_yaml {
	enum bl_yaml_kind kind;
	const char *text; /* a scalar as it is written, "" otherwise */
	int64_t integer;  /* of BL_YAML_INT; of BL_YAML_BOOL 0 or 1 */
	double number;	  /* of BL_YAML_FLOAT */
	size_t line;	  /* from 1 */
	size_t from, to;  /* bytes in the file: where it begins, and where it ends */
	size_t count;	  /* of a list's or map's children */
	struct bl_yaml **items;
	struct bl_yaml **keys; /* of a map: strings */
	size_t weight;	       /* nodes in this tree, with every alias written out */
};

struct bl_yaml_document;

/*
 * Reads one document; an empty one is a BL_YAML_NULL. `name` is the file's name in messages
 * ("config.yaml:12: ..."). *ret is the caller's.
 */
int bl_yaml_parse(const char *name, const char *text, size_t len, struct bl_yaml_document **ret,
		  struct bl_err *err);
void bl_yaml_free(struct bl_yaml_document **document);
#define auto_yaml __attribute__((cleanup(bl_yaml_free))) struct bl_yaml_document *

const struct bl_yaml *bl_yaml_root(const struct bl_yaml_document *document);

/* The value of a map's key, NULL where it is absent or the node is no map. */
const struct bl_yaml *bl_yaml_get(const struct bl_yaml *map, const char *key);

/* The deepest node on the way of a path like "[1].auth.auth_method", for its line. */
const struct bl_yaml *bl_yaml_find(const struct bl_yaml *node, const char *path);

/* What a node is, as a message would say it. */
const char *bl_yaml_kind_name(const struct bl_yaml *node);

/*
 * The node as JSON, added to container. A float or a date has no place in it, since every text of
 * ours that looks like one was meant as a string: the error says to quote it.
 */
int bl_yaml_to_json(const struct bl_yaml *node, bl_json *container, const char *key,
		    struct bl_err *err);

/* A scalar as Truss makes a string of it for the environment: str() of Python, booleans small.
 * Appended to buf; lists and maps are an error. */
struct bl_buf;
int bl_yaml_to_text(const struct bl_yaml *node, struct bl_buf *buf, struct bl_err *err);

#endif
