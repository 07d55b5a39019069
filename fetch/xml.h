/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XML answers (S3, Azure, AWS STS), read by expat. A reader sees each element when it ends, by the
 * names of all elements around it. A document type is refused, and with it every entity but the
 * five of XML itself; depth, size of one text and number of elements have a maximum.
 */
#ifndef BL_FETCH_XML_H
#define BL_FETCH_XML_H

#include <stddef.h>

struct bl_err;

#define BL_XML_MAX_DEPTH    16
#define BL_XML_MAX_PATH	    512
#define BL_XML_MAX_TEXT	    (64 * 1024) /* bytes of one element's own text */
#define BL_XML_MAX_ELEMENTS 1000000

/*
 * An element has ended: `path` are the names from the root, "ListBucketResult/Contents/Key"
 * (without a namespace's prefix), `text` its own text. Both borrowed for the call. A negative
 * return stops the reading and is passed on.
 */
typedef int bl_xml_end(void *ctx, const char *path, const char *text, size_t len,
		       struct bl_err *err);

/* Reads the whole document. -EBADMSG where it is not well-formed or against the limits. */
int bl_xml_parse(const char *data, size_t len, bl_xml_end *end, void *ctx, struct bl_err *err);

#endif
