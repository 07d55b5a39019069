/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strict JSON (RFC 8259). Refused, among what else is none: trailing bytes, bytes that are no UTF-8,
 * control characters and NUL in strings, lone surrogates, numbers that are not of JSON's grammar or
 * that overflow, duplicate keys, too many values, too much depth. Members are looked up by their
 * exact key; where an object also has the key in another case the look-up fails, since Go's decoder
 * (and so runc) would take that one.
 *
 * Integers are read only where they are written as integers (not 1e9, not 1.0) and only within
 * +-(2^53 - 1), the range in which none is rounded.
 *
 * Errors name the member ("mount_location: ..."), so that callers can put the way to it in front.
 */
#ifndef BL_JSON_H
#define BL_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bl_buf;
struct bl_err;

typedef struct bl_json bl_json;

#define BL_JSON_INT_MAX 9007199254740991LL

struct bl_json_limits {
	size_t max_bytes;
	size_t max_values; /* 0: BL_MAX_JSON_VALUES */
	size_t max_depth;  /* 0: BL_MAX_JSON_DEPTH */
	bool fractions;	   /* numbers with a fraction or an exponent are let through */
	bool absent_nulls; /* a member that is null counts as absent, as Go's decoder has it */
};

void bl_json_free(bl_json **json);
#define auto_json __attribute__((cleanup(bl_json_free))) bl_json *

/* Parses len bytes. The result is the caller's. Errors are BL_EX_CONFIG and say where (byte). */
int bl_json_parse(const char *text, size_t len, const struct bl_json_limits *limits, bl_json **ret,
		  struct bl_err *err);

/* What a value is, as a message would say it: "a string", "null", "an object", ... */
const char *bl_json_kind(const bl_json *json);
bool bl_json_is_object(const bl_json *json);
bool bl_json_is_array(const bl_json *json);
bool bl_json_is_string(const bl_json *json);
bool bl_json_is_null(const bl_json *json);

/*
 * Members of an object. 1 with *ret set where the key is there with the right type, 0 (and *ret
 * untouched) where it is absent, -EINVAL where its type or value is wrong or its case varies. A null
 * that counts as absent stays in the tree, and is written as it was: remove it before the key is set.
 * Strings are borrowed from the tree. bl_json_get() accepts any type.
 */
int bl_json_get(const bl_json *object, const char *key, const bl_json **ret, struct bl_err *err);
int bl_json_get_string(const bl_json *object, const char *key, const char **ret,
		       struct bl_err *err);
int bl_json_get_int(const bl_json *object, const char *key, int64_t min, int64_t max, int64_t *ret,
		    struct bl_err *err);
int bl_json_get_bool(const bl_json *object, const char *key, bool *ret, struct bl_err *err);
int bl_json_get_object(const bl_json *object, const char *key, const bl_json **ret,
		       struct bl_err *err);
int bl_json_get_array(const bl_json *object, const char *key, const bl_json **ret,
		      struct bl_err *err);
/* An array whose every element is a string. */
int bl_json_get_strings(const bl_json *object, const char *key, const bl_json **ret,
			struct bl_err *err);

/* -EINVAL unless every key of the object is one of keys (NULL-terminated); names a near miss. */
int bl_json_only_keys(const bl_json *object, const char *const *keys, struct bl_err *err);

/* Elements of an array or members of an object, in order; NULL at the end. Borrowed. */
const bl_json *bl_json_first(const bl_json *container);
const bl_json *bl_json_next(const bl_json *element);
size_t bl_json_length(const bl_json *container);
const char *bl_json_key(const bl_json *member);	      /* its key; NULL in an array */
const char *bl_json_string(const bl_json *string);    /* its text; NULL if it is no string */
int bl_json_int(const bl_json *number, int64_t *ret); /* 0, or -EINVAL if it is no such integer */
bool bl_json_bool(const bl_json *json);		      /* true only for true */

/*
 * Making a tree. A `set` adds a member or, with key NULL, an element, and returns the new value
 * (borrowed: the container owns it) or NULL when memory ran out.
 */
bl_json *bl_json_new_object(void);
bl_json *bl_json_new_array(void);
bl_json *bl_json_set_object(bl_json *container, const char *key);
bl_json *bl_json_set_array(bl_json *container, const char *key);
bl_json *bl_json_set_string(bl_json *container, const char *key, const char *value);
bl_json *bl_json_set_int(bl_json *container, const char *key, int64_t value);
bl_json *bl_json_set_bool(bl_json *container, const char *key, bool value);
bl_json *bl_json_set_null(bl_json *container, const char *key);
/* A deep copy of value. */
bl_json *bl_json_set_copy(bl_json *container, const char *key, const bl_json *value);
/* Removes a member; nothing happens where it is absent. */
void bl_json_remove(bl_json *object, const char *key);
/* A deep copy of its own, the caller's; NULL when memory ran out. */
bl_json *bl_json_copy(const bl_json *json);

/*
 * Appends the canonical form (RFC 8785: keys in UTF-16 order, no white space). Numbers that are no
 * integers of that range are written as they were read, which RFC 8785 does not want: a config.json's
 * limits have 64 bits. Ours never are.
 */
int bl_json_write(struct bl_buf *buf, const bl_json *json, struct bl_err *err);
/* Appends text as a JSON string with its quotes; what is no UTF-8 in it (it was cut) as U+FFFD. */
int bl_json_write_string(struct bl_buf *buf, const char *text, struct bl_err *err);

#endif
