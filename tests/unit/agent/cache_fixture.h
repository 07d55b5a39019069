/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of the store share: a cache in a temporary directory, and content put into it the
 * way a download does.
 */
#ifndef CACHE_FIXTURE_H
#define CACHE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/blob.h"
#include "agent/cachedir.h"
#include "agent/gc.h"
#include "agent/manifest.h"
#include "agent/partial.h"
#include "agent/ref.h"
#include "agent/scrub.h"
#include "agent/store.h"
#include "agent/tree.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/fs.h"
#include "common/sys.h"

struct cache {
	char base[64]; /* a temporary directory; the cache is base/cache */
	char path[80];
	struct bl_store_options options;
	struct bl_store *store;
	struct bl_err err;
};

#define assert_ok(cache, call)                                            \
	do {                                                              \
		int ok_result = (call);                                   \
		if (ok_result < 0)                                        \
			print_error("%s: %s\n", #call, (cache)->err.msg); \
		assert_true(ok_result >= 0);                              \
	} while (0)

static inline void cache_open(struct cache *cache)
{
	cache->options.path = cache->path;
	assert_ok(cache, bl_store_open(&cache->options, &cache->store, &cache->err));
}

static inline int cache_setup(void **state)
{
	struct cache *cache = calloc(1, sizeof(*cache));

	assert_non_null(cache);
	strcpy(cache->base, "/tmp/ballast-store-XXXXXX");
	assert_non_null(mkdtemp(cache->base));
	snprintf(cache->path, sizeof(cache->path), "%s/cache", cache->base);
	cache->options.lease_grace = 900;
	cache_open(cache);
	*state = cache;
	return 0;
}

static inline int cache_teardown(void **state)
{
	struct cache *cache = *state;

	bl_store_close(&cache->store);
	assert_int_equal(bl_fs_remove_tree(AT_FDCWD, cache->base, &cache->err), 0);
	free(cache);
	return 0;
}

static inline void cache_reopen(struct cache *cache)
{
	bl_store_close(&cache->store);
	cache_open(cache);
}

/* A download of these bytes, published; the blob is held. */
static inline int publish_bytes(struct bl_cachedir *dirs, const char *key, const void *data,
				size_t len, struct bl_digest *ret, struct bl_err *err)
{
	auto_partial partial = NULL;
	auto_fd writer = -1;
	bool is_new;
	int r = bl_partial_open(dirs, key, len, &partial, err);

	if (r < 0)
		return r;
	writer = bl_partial_writer(partial, err);
	if (writer < 0)
		return writer;
	r = bl_sys_pwrite_all(writer, data, len, 0);
	if (r < 0)
		return bl_err_sys(err, -r, "write");
	close(TAKE_FD(writer));
	return bl_blob_publish(&partial, NULL, ret, &is_new, err);
}

struct text_file {
	const char *path, *text;
};

/* Publishes a tree of these files the way the agent does, and tells the store. */
static inline int publish_tree(struct bl_store *store, const struct text_file *files, size_t count,
			       struct bl_digest *ret, struct bl_err *err)
{
	struct bl_cachedir *dirs = bl_store_dirs(store);
	auto_manifest manifest;
	int r = 0;

	bl_manifest_init(&manifest);
	for (size_t i = 0; r == 0 && i < count; i++) {
		struct bl_digest blob;

		r = publish_bytes(dirs, files[i].path, files[i].text, strlen(files[i].text), &blob,
				  err);
		if (r == 0)
			r = bl_manifest_add(&manifest, files[i].path, strlen(files[i].text), &blob,
					    NULL, err);
	}
	if (r == 0)
		r = bl_manifest_sort(&manifest, err);
	if (r == 0)
		r = bl_manifest_digest(&manifest, ret, err);
	if (r == 0)
		r = bl_store_tree_hold(store, ret, err);
	if (r < 0)
		return r;
	r = bl_tree_publish(dirs, &manifest, ret, err);
	if (r == 0)
		r = bl_store_tree_added(store, ret, err);
	for (size_t i = 0; i < manifest.count; i++)
		bl_cachedir_unhold(dirs, &manifest.files[i].sha256);
	bl_store_tree_unhold(store, ret);
	return r;
}

/* base/cache/<path of a blob>. */
static inline void blob_path_of(const struct cache *cache, const struct bl_digest *blob,
				char path[256])
{
	char hex[BL_DIGEST_HEX];

	bl_digest_to_hex(blob, hex);
	snprintf(path, 256, "%s/blobs/sha256/%.2s/%s", cache->path, hex, hex);
}

static inline size_t entries_in(const struct cache *cache, const char *part)
{
	char path[256];
	auto_dir dir = NULL;
	size_t n = 0;

	snprintf(path, sizeof(path), "%s/%s", cache->path, part);
	dir = opendir(path);
	assert_non_null(dir);
	while (readdir(dir))
		n++;
	return n - 2;
}

static inline size_t blobs_in(const struct cache *cache)
{
	size_t n = 0;

	for (unsigned i = 0; i < 256; i++) {
		char part[32];

		snprintf(part, sizeof(part), "blobs/sha256/%02x", i);
		n += entries_in(cache, part);
	}
	return n;
}

static inline struct bl_digest digest_of(const char *text)
{
	struct bl_digest digest;

	assert_int_equal(bl_digest_bytes(text, strlen(text), &digest, NULL), 0);
	return digest;
}

#endif
