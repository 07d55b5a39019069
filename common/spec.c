// SPDX-License-Identifier: Apache-2.0
/*
 * One table says what each record looks like; writing and reading both go by it, so that the hook
 * cannot write what the shim would refuse.
 */
#include "common/spec.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "common/buf.h"
#include "common/contract.h"
#include "common/err.h"

#define HEADER_LEN  8
#define RECORD_LEN  8
#define BPF_LEN	    8	 /* bytes of a struct sock_filter */
#define BPF_MOST    4096 /* BPF_MAXINSNS */
#define FLAGS_KNOWN 0x0fU
#define ID_INVALID  UINT32_MAX /* (uid_t)-1: "leave it as it is" to the kernel */

static const uint8_t header[HEADER_LEN] = {'B', 'L', 'S', 'P', 'E', 'C', BL_SPEC_VERSION, 0};

enum shape { SHAPE_NONE, SHAPE_TEXT, SHAPE_PATH, SHAPE_ENV, SHAPE_FIXED, SHAPE_BPF };

static const struct {
	const char *name;
	enum shape shape;
	uint32_t most; /* bytes; with SHAPE_FIXED the exact number */
	bool many;
} kinds[] = {
	[BL_SPEC_END] = {"end", SHAPE_NONE, 0, false},
	[BL_SPEC_START_COMMAND] = {"start_command", SHAPE_TEXT, BL_SPEC_MAX, false},
	[BL_SPEC_RUN_AS] = {"run_as_user_id", SHAPE_FIXED, 4, false},
	[BL_SPEC_FLAGS] = {"flags", SHAPE_FIXED, 4, false},
	[BL_SPEC_ENV] = {"environment variable", SHAPE_ENV, BL_SPEC_MAX, true},
	[BL_SPEC_KEEP_CAPS] = {"kept capabilities", SHAPE_FIXED, 8, false},
	[BL_SPEC_SECCOMP] = {"seccomp program", SHAPE_BPF, BPF_LEN *BPF_MOST, false},
	[BL_SPEC_MOUNT] = {"mount_location", SHAPE_PATH, BL_MAX_PATH, true},
	[BL_SPEC_HOME] = {"home", SHAPE_TEXT, BL_MAX_PATH, false},
	[BL_SPEC_USER] = {"process.user", SHAPE_FIXED, 8, false},
};

#define KINDS (sizeof(kinds) / sizeof(*kinds))

static void put_le(uint8_t *to, uint64_t value, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		to[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get_le(const uint8_t *from, size_t bytes)
{
	uint64_t value = 0;

	for (size_t i = bytes; i > 0; i--)
		value = (value << 8) | from[i - 1];
	return value;
}

static int refuse(const char *name, const char *why, struct bl_err *err)
{
	return bl_err_config(err, "spec: %s: %s", name, why);
}

/* The numbers whose every value is not fine: what would mean root, or "unchanged", by accident. */
static int check_number(unsigned type, const uint8_t *data, struct bl_err *err)
{
	uint64_t value = get_le(data, 4);

	if (type == BL_SPEC_RUN_AS &&
	    (value < BL_UID_MIN || value > BL_UID_MAX || value == BL_UID_DEFAULT))
		return refuse(kinds[type].name, "not from 1 to 2147483647, or 60000", err);
	if (type == BL_SPEC_FLAGS && (value & ~(uint64_t)FLAGS_KNOWN))
		return refuse(kinds[type].name, "one that is not known", err);
	if (type == BL_SPEC_USER && (value == ID_INVALID || get_le(data + 4, 4) == ID_INVALID))
		return refuse(kinds[type].name, "4294967295 is no id", err);
	return 0;
}

static int check_shape(unsigned type, const uint8_t *data, size_t len, struct bl_err *err)
{
	const char *name = kinds[type].name;
	enum shape shape = kinds[type].shape;

	if (shape == SHAPE_NONE)
		return len == 0 ? 0 : refuse(name, "has content", err);
	if (shape == SHAPE_FIXED)
		return len == kinds[type].most ? check_number(type, data, err)
					       : refuse(name, "wrong length", err);
	if (len == 0)
		return refuse(name, "is empty", err);
	if (len > kinds[type].most)
		return refuse(name, "is too long", err);
	if (shape == SHAPE_BPF)
		return len % BPF_LEN == 0 ? 0 : refuse(name, "wrong length", err);
	if (memchr(data, '\0', len))
		return refuse(name, "holds a NUL", err);
	if (shape == SHAPE_PATH && data[0] != '/')
		return refuse(name, "is not absolute", err);
	if (shape == SHAPE_ENV && (data[0] == '=' || !memchr(data, '=', len)))
		return refuse(name, "is not NAME=VALUE", err);
	return 0;
}

/* ---- Writing ---- */

static int append_record(struct bl_buf *buf, unsigned type, const void *data, size_t len,
			 struct bl_err *err)
{
	uint8_t head[RECORD_LEN];
	int ret;

	put_le(head, type, 2);
	put_le(head + 2, 0, 2);
	put_le(head + 4, len, 4);
	ret = bl_buf_append(buf, head, sizeof(head), err);
	if (ret >= 0)
		ret = bl_buf_append(buf, data, len, err);
	if (ret == -EFBIG)
		return bl_err_set(err, BL_EX_CONFIG, EFBIG,
				  "spec: %s: commands, variables and mounts together exceed %zu "
				  "bytes",
				  kinds[type].name, buf->max);
	return ret;
}

int bl_spec_begin(struct bl_buf *buf, struct bl_err *err)
{
	return bl_buf_append(buf, header, sizeof(header), err);
}

int bl_spec_add(struct bl_buf *buf, enum bl_spec_type type, const void *data, size_t len,
		struct bl_err *err)
{
	int ret;

	if (type <= BL_SPEC_END || (size_t)type >= KINDS)
		return bl_err_set(err, BL_EX_INTERNAL, EINVAL, "spec: no record type %d",
				  (int)type);
	ret = check_shape(type, data, len, err);
	return ret < 0 ? ret : append_record(buf, type, data, len, err);
}

int bl_spec_add_text(struct bl_buf *buf, enum bl_spec_type type, const char *text,
		     struct bl_err *err)
{
	return bl_spec_add(buf, type, text, strlen(text), err);
}

int bl_spec_add_u32(struct bl_buf *buf, enum bl_spec_type type, uint32_t value, struct bl_err *err)
{
	uint8_t bytes[4];

	put_le(bytes, value, sizeof(bytes));
	return bl_spec_add(buf, type, bytes, sizeof(bytes), err);
}

int bl_spec_add_u64(struct bl_buf *buf, enum bl_spec_type type, uint64_t value, struct bl_err *err)
{
	uint8_t bytes[8];

	put_le(bytes, value, sizeof(bytes));
	return bl_spec_add(buf, type, bytes, sizeof(bytes), err);
}

int bl_spec_add_user(struct bl_buf *buf, uint32_t uid, uint32_t gid, struct bl_err *err)
{
	return bl_spec_add_u64(buf, BL_SPEC_USER, (uint64_t)gid << 32 | uid, err);
}

int bl_spec_end(struct bl_buf *buf, struct bl_err *err)
{
	return append_record(buf, BL_SPEC_END, "", 0, err);
}

/* ---- Reading ---- */

int bl_spec_open(struct bl_spec_reader *reader, const void *data, size_t len, struct bl_err *err)
{
	const uint8_t *bytes = data;

	if (len > BL_SPEC_MAX)
		return refuse("header", "more bytes than a spec may have", err);
	if (len < HEADER_LEN || memcmp(bytes, header, 6) != 0)
		return refuse("header", "this is no spec", err);
	if (memcmp(bytes, header, HEADER_LEN) != 0)
		return refuse("header", "another version: hook and shim are not of one release",
			      err);
	*reader = (struct bl_spec_reader){.at = bytes + HEADER_LEN, .left = len - HEADER_LEN};
	return 0;
}

int bl_spec_next(struct bl_spec_reader *reader, struct bl_spec_record *ret, struct bl_err *err)
{
	uint64_t type;
	uint64_t len;
	int shape;

	if (reader->left < RECORD_LEN)
		return refuse("record", "the spec is cut off", err);
	type = get_le(reader->at, 2);
	len = get_le(reader->at + 4, 4);
	if (type >= KINDS || get_le(reader->at + 2, 2) != 0)
		return refuse("record", "a type that this version does not know", err);
	if (len > reader->left - RECORD_LEN)
		return refuse(kinds[type].name, "the spec is cut off", err);
	if ((reader->seen & 1U << type) && !kinds[type].many)
		return refuse(kinds[type].name, "comes twice", err);
	shape = check_shape((unsigned)type, reader->at + RECORD_LEN, len, err);
	if (shape < 0)
		return shape;
	if (type == BL_SPEC_END)
		return reader->left == RECORD_LEN ? 0 : refuse("end", "something follows it", err);
	*ret = (struct bl_spec_record){
		.type = (enum bl_spec_type)type,
		.data = reader->at + RECORD_LEN,
		.len = (uint32_t)len,
	};
	reader->seen |= 1U << type;
	reader->at += RECORD_LEN + len;
	reader->left -= RECORD_LEN + len;
	return 1;
}

uint32_t bl_spec_u32(const struct bl_spec_record *record)
{
	return (uint32_t)get_le(record->data, 4);
}

uint64_t bl_spec_u64(const struct bl_spec_record *record)
{
	return get_le(record->data, 8);
}
