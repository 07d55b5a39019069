// SPDX-License-Identifier: Apache-2.0
#include "cache_fixture.h"

#define REFS 3

static void give_ref_of(struct cache *cache, const char *tenant, unsigned number,
			const struct bl_digest *tree)
{
	struct bl_ref ref = {.tenant = (char *)tenant,
			     .source = (char *)"hf://o/r",
			     .manifest = *tree,
			     .resolved_at = number};

	snprintf(ref.name, sizeof(ref.name), "%064u", number);
	assert_ok(cache, bl_ref_save(bl_store_dirs(cache->store), &ref, NULL, &cache->err));
}

static void give_ref(struct cache *cache, unsigned number, const struct bl_digest *tree)
{
	give_ref_of(cache, "one", number, tree);
}

static void put_file(const struct cache *cache, const char *name)
{
	char path[256];
	auto_fd fd = -1;

	snprintf(path, sizeof(path), "%s/refs/%s", cache->path, name);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_int_equal(write(fd, "{}", 2), 2);
}

struct seen {
	unsigned times[REFS + 1], calls;
	unsigned fail_at; /* the call that fails; 0: none */
};

static int see(void *context, const struct bl_ref *ref, struct bl_err *err)
{
	struct seen *seen = context;
	unsigned long number = strtoul(ref->name, NULL, 10);

	assert_in_range(number, 1, REFS);
	assert_string_equal(ref->tenant, "one");
	seen->times[number]++;
	if (++seen->calls == seen->fail_at)
		return bl_err_set(err, BL_EX_INTERNAL, EXDEV, "enough");
	return 0;
}

static void shows_each_ref_once_and_nothing_else(void **state)
{
	struct cache *cache = *state;
	struct bl_digest tree = digest_of("m");
	struct seen seen = {.calls = 0};
	char name[BL_DIGEST_HEX + 16];

	for (unsigned i = 1; i <= REFS; i++)
		give_ref(cache, i, &tree);
	put_file(cache, "notes.txt");
	/* A copy that somebody made beside a ref would show that ref twice. */
	snprintf(name, sizeof(name), "%064u.json.orig", 1U);
	put_file(cache, name);
	/* Damaged: it goes where a person can look at it. */
	snprintf(name, sizeof(name), "%064u.json", 9U);
	put_file(cache, name);
	assert_ok(cache, bl_ref_each(bl_store_dirs(cache->store), see, &seen, &cache->err));
	for (unsigned i = 1; i <= REFS; i++)
		assert_int_equal(seen.times[i], 1);
	assert_int_equal(entries_in(cache, "quarantine"), 1);
}

static void a_failure_is_the_last_call(void **state)
{
	struct cache *cache = *state;
	struct bl_digest tree = digest_of("m");
	struct seen seen = {.fail_at = 2};

	for (unsigned i = 1; i <= REFS; i++)
		give_ref(cache, i, &tree);
	assert_int_equal(bl_ref_each(bl_store_dirs(cache->store), see, &seen, &cache->err), -EXDEV);
	assert_int_equal(seen.calls, 2);
	assert_string_equal(cache->err.msg, "enough");
}

static const struct text_file files[] = {{"a", "1"}};

static void a_tree_that_is_removed_takes_its_own_refs_with_it(void **state)
{
	struct cache *cache = *state;
	struct bl_cachedir *dirs = bl_store_dirs(cache->store);
	struct bl_digest other = digest_of("m");
	struct bl_digest tree;
	auto_ref left = {0};
	char name[BL_DIGEST_HEX];

	assert_ok(cache, publish_tree(cache->store, files, 1, &tree, &cache->err));
	give_ref(cache, 1, &tree);
	give_ref(cache, 2, &other);
	give_ref(cache, 3, &tree);
	assert_ok(cache, bl_store_tree_remove(cache->store, &tree, &cache->err));
	assert_ok(cache, bl_store_refs_remove(dirs, &tree, &cache->err));
	assert_int_equal(entries_in(cache, "refs"), 1);
	snprintf(name, sizeof(name), "%064u", 2U);
	assert_ok(cache, bl_ref_load(dirs, name, &left, &cache->err));
}

static void a_tree_that_came_back_keeps_its_refs(void **state)
{
	struct cache *cache = *state;
	struct bl_digest tree;

	assert_ok(cache, publish_tree(cache->store, files, 1, &tree, &cache->err));
	assert_ok(cache, bl_store_tree_remove(cache->store, &tree, &cache->err));
	/* A download ends before a worker gets to the refs. */
	assert_ok(cache, publish_tree(cache->store, files, 1, &tree, &cache->err));
	give_ref(cache, 1, &tree);
	assert_ok(cache, bl_store_refs_remove(bl_store_dirs(cache->store), &tree, &cache->err));
	assert_int_equal(entries_in(cache, "refs"), 1);
}

static bool has_ref(const struct cache *cache, unsigned number)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/refs/%064u.json", cache->path, number);
	return access(path, F_OK) == 0;
}

static void each_tenant_keeps_its_latest_without_a_tree(void **state)
{
	struct cache *cache = *state;
	struct bl_cachedir *dirs = bl_store_dirs(cache->store);
	struct bl_ref_bound bound = {3, 1 << 20};
	struct bl_digest gone = digest_of("m");
	struct bl_digest tree;
	uint64_t removed = 0;

	assert_ok(cache, publish_tree(cache->store, files, 1, &tree, &cache->err));
	give_ref(cache, 1, &tree);
	for (unsigned i = 2; i <= 6; i++)
		give_ref(cache, i, &gone);
	for (unsigned i = 7; i <= 9; i++)
		give_ref_of(cache, "two", i, &gone);
	assert_ok(cache, bl_ref_trim(dirs, &bound, NULL, &removed, &cache->err));
	assert_int_equal(removed, 2);
	for (unsigned i = 1; i <= 9; i++)
		assert_int_equal(has_ref(cache, i), i != 2 && i != 3);
	/* One file of a cache is larger than that. */
	bound.bytes = 100;
	assert_ok(cache, bl_ref_trim(dirs, &bound, NULL, &removed, &cache->err));
	assert_int_equal(removed, 8);
	assert_int_equal(entries_in(cache, "refs"), 1);
	assert_true(has_ref(cache, 1));
}

/* Ever other patterns may give the same tree. */
static void a_tenant_keeps_its_latest_with_a_tree(void **state)
{
	struct cache *cache = *state;
	const struct bl_ref_bound bound = {2, 1 << 20};
	struct bl_digest gone = digest_of("m");
	struct bl_digest tree;
	uint64_t removed = 0;

	assert_ok(cache, publish_tree(cache->store, files, 1, &tree, &cache->err));
	for (unsigned i = 1; i <= 36; i++)
		give_ref(cache, i, &tree);
	for (unsigned i = 37; i <= 39; i++)
		give_ref(cache, i, &gone);
	give_ref_of(cache, "two", 40, &tree);
	assert_ok(cache,
		  bl_ref_trim(bl_store_dirs(cache->store), &bound, NULL, &removed, &cache->err));
	assert_int_equal(removed, 5);
	for (unsigned i = 1; i <= 40; i++)
		assert_int_equal(has_ref(cache, i), i > 4 && i != 37);
}

/* By its refs a tenant's trees are known for its own, and count to its quota: none gets lost among others. */
static void the_latest_ref_of_a_tree_that_is_there_stays(void **state)
{
	static const struct text_file more[] = {{"b", "2"}};
	struct cache *cache = *state;
	const struct bl_ref_bound bound = {2, 1 << 20};
	struct bl_digest old;
	struct bl_digest tree;
	uint64_t removed = 0;

	assert_ok(cache, publish_tree(cache->store, more, 1, &old, &cache->err));
	assert_ok(cache, publish_tree(cache->store, files, 1, &tree, &cache->err));
	give_ref(cache, 1, &old);
	give_ref(cache, 2, &old);
	give_ref_of(cache, "two", 3, &old);
	for (unsigned i = 4; i <= 37; i++)
		give_ref(cache, i, &tree);
	assert_ok(cache,
		  bl_ref_trim(bl_store_dirs(cache->store), &bound, NULL, &removed, &cache->err));
	assert_int_equal(removed, 3);
	for (unsigned i = 1; i <= 37; i++)
		assert_int_equal(has_ref(cache, i), i != 1 && i != 4 && i != 5);
}

/* So may tenants come and go. */
static void all_tenants_keep_the_latest_without_a_tree(void **state)
{
	struct cache *cache = *state;
	const struct bl_ref_bound bound = {2, 1 << 20};
	struct bl_digest gone = digest_of("m");
	uint64_t removed = 0;

	for (unsigned i = 1; i <= 50; i++) {
		char tenant[16];

		/* In the order of their names the latest do not stand together. */
		snprintf(tenant, sizeof(tenant), "%u-of-50", i % 10);
		give_ref_of(cache, tenant, i, &gone);
	}
	for (unsigned i = 51; i <= 70; i++) {
		char tenant[16];

		snprintf(tenant, sizeof(tenant), "tenant-%u", i);
		give_ref_of(cache, tenant, i, &gone);
	}
	assert_ok(cache,
		  bl_ref_trim(bl_store_dirs(cache->store), &bound, NULL, &removed, &cache->err));
	/* Two of each of the ten, and 20 more; of these the latest 32. */
	assert_int_equal(removed, 38);
	for (unsigned i = 1; i <= 70; i++)
		assert_int_equal(has_ref(cache, i), i > 38);
}

static void within_the_bound_nothing_is_removed(void **state)
{
	struct cache *cache = *state;
	const struct bl_ref_bound bound = {3, 1 << 20};
	struct bl_digest gone = digest_of("m");
	uint64_t removed = 0;

	for (unsigned i = 1; i <= 3; i++)
		give_ref(cache, i, &gone);
	assert_ok(cache,
		  bl_ref_trim(bl_store_dirs(cache->store), &bound, NULL, &removed, &cache->err));
	assert_int_equal(removed, 0);
	assert_int_equal(entries_in(cache, "refs"), 3);
}

/* A stop does not wait until very many of them are read. */
static void a_trim_that_is_stopped_removes_nothing(void **state)
{
	struct cache *cache = *state;
	const struct bl_ref_bound bound = {1, 1 << 20};
	struct bl_digest gone = digest_of("m");
	const bool stop = true;
	uint64_t removed = 0;

	for (unsigned i = 1; i <= 3; i++)
		give_ref(cache, i, &gone);
	assert_int_equal(
		bl_ref_trim(bl_store_dirs(cache->store), &bound, &stop, &removed, &cache->err),
		-ECANCELED);
	assert_int_equal(removed, 0);
	assert_int_equal(entries_in(cache, "refs"), 3);
}

#define WITH_CACHE(test) cmocka_unit_test_setup_teardown(test, cache_setup, cache_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_CACHE(shows_each_ref_once_and_nothing_else),
		WITH_CACHE(a_failure_is_the_last_call),
		WITH_CACHE(a_tree_that_is_removed_takes_its_own_refs_with_it),
		WITH_CACHE(a_tree_that_came_back_keeps_its_refs),
		WITH_CACHE(each_tenant_keeps_its_latest_without_a_tree),
		WITH_CACHE(a_tenant_keeps_its_latest_with_a_tree),
		WITH_CACHE(the_latest_ref_of_a_tree_that_is_there_stays),
		WITH_CACHE(all_tenants_keep_the_latest_without_a_tree),
		WITH_CACHE(within_the_bound_nothing_is_removed),
		WITH_CACHE(a_trim_that_is_stopped_removes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
