// SPDX-License-Identifier: Apache-2.0
#include "agent/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/fs.h"
#include "common/weights.h"

/* ---- Values ---- */

static const struct unit {
	const char *name;
	uint64_t factor;
} durations[] = {{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}, {NULL, 0}},
  sizes[] = {{"KiB", 1ULL << 10},   {"MiB", 1ULL << 20},      {"GiB", 1ULL << 30},
	     {"TiB", 1ULL << 40},   {"KB", 1000ULL},	      {"MB", 1000000ULL},
	     {"GB", 1000000000ULL}, {"TB", 1000000000000ULL}, {NULL, 0}};

/* A whole number with one of the units, as "15m". */
static int parse_quantity(const char *text, const struct unit *units, uint64_t *ret)
{
	size_t digits = strspn(text, "0123456789");
	uint64_t number;

	if (digits == 0 || digits > 15)
		return -EINVAL;
	number = strtoull(text, NULL, 10);
	for (; units->name; units++)
		if (strcmp(text + digits, units->name) == 0) {
			if (number > BL_JSON_INT_MAX / units->factor)
				return -EINVAL;
			*ret = number * units->factor;
			return 0;
		}
	return -EINVAL;
}

static int take_duration(const bl_json *value, uint64_t *ret, struct bl_err *err)
{
	const char *text = bl_json_string(value);

	if (!text || parse_quantity(text, durations, ret) < 0)
		return bl_err_config(err,
				     "expected a duration such as \"90s\", \"15m\", \"24h\" or "
				     "\"7d\"");
	return 0;
}

static int take_size(const bl_json *value, uint64_t *ret, struct bl_err *err)
{
	const char *text = bl_json_string(value);
	int64_t number;

	if (text && parse_quantity(text, sizes, ret) == 0)
		return 0;
	if (text || bl_json_int(value, &number) < 0 || number < 0)
		return bl_err_config(err, "expected a size in bytes, or text such as \"500GiB\"");
	*ret = (uint64_t)number;
	return 0;
}

static int take_int(const bl_json *value, int64_t min, int64_t max, int64_t *ret,
		    struct bl_err *err)
{
	if (bl_json_int(value, ret) < 0 || *ret < min || *ret > max)
		return bl_err_config(err, "expected a whole number from %lld to %lld",
				     (long long)min, (long long)max);
	return 0;
}

static int want_strings(const bl_json *value, struct bl_err *err)
{
	bool good = bl_json_is_array(value);

	for (const bl_json *at = good ? bl_json_first(value) : NULL; at; at = bl_json_next(at))
		good = good && bl_json_is_string(at);
	if (!good)
		return bl_err_config(err, "expected an array of strings");
	if (bl_json_length(value) > BL_MAX_CONFIG_LIST)
		return bl_err_config(err, "more than %d entries", BL_MAX_CONFIG_LIST);
	return 0;
}

static int want_path(const bl_json *value, struct bl_err *err)
{
	const char *text = bl_json_string(value);

	if (!text || *text != '/' || strlen(text) > BL_MAX_PATH)
		return bl_err_config(err, "expected an absolute path");
	return 0;
}

/* ---- Keys ---- */

/* fetch judges these as a whole, when a download begins; what would fail them all is said at the start. */
static bool is_printable(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text <= ' ' || (unsigned char)*text >= 0x7f)
			return false;
	return true;
}

/* Of an URL: a host and no more, but for a slash at its end. */
static bool is_origin(const char *url)
{
	const char *host = strstr(url, "://") + 3;
	size_t len = strcspn(host, "/?#@\\");

	return len > 0 && (!host[len] || strcmp(host + len, "/") == 0);
}

/* At most one of the placeholders that fetch fills in, and nothing behind the path. */
static bool is_base(const char *url)
{
	const char *brace = strchr(url, '{');

	return !strpbrk(url, "?#") && (!brace || !strchr(brace + 1, '{'));
}

static bool is_http_url(const char *text)
{
	return text && strlen(text) <= BL_MAX_FIELD && is_printable(text) &&
	       (strncmp(text, "https://", 8) == 0 || strncmp(text, "http://", 7) == 0);
}

/* A name or password in it is refused, and shown to nobody. */
static bool has_user(const char *text)
{
	return text && strchr(text, '@');
}

static int take_endpoints(struct bl_config *config, const bl_json *value, struct bl_err *err)
{
	static const char *const schemes[] = {"hf", "s3", "gs",	 "azure", "r2",
					      "cw", "bt", "sts", NULL};

	if (!bl_json_is_object(value))
		return bl_err_config(err, "expected an object of scheme to base URL");
	for (const bl_json *at = bl_json_first(value); at; at = bl_json_next(at))
		if (!is_http_url(bl_json_string(at)) || !is_base(bl_json_string(at)) ||
		    has_user(bl_json_string(at)))
			return bl_err_config(err,
					     "%s: expected an http or https URL, without a name "
					     "or password",
					     bl_json_key(at));
	(void)config;
	return bl_json_only_keys(value, schemes, err);
}

static int take_origins(struct bl_config *config, const bl_json *value, struct bl_err *err)
{
	int r = want_strings(value, err);

	(void)config;
	for (const bl_json *at = r < 0 ? NULL : bl_json_first(value); at; at = bl_json_next(at))
		if (has_user(bl_json_string(at)))
			return bl_err_config(err, "a name or password in an origin");
		else if (!is_http_url(bl_json_string(at)) || !is_origin(bl_json_string(at)))
			return bl_err_config(err, "'%.100s' is not scheme://host:port",
					     bl_json_string(at));
	return r;
}

static bool is_network(const char *text)
{
	char address[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	unsigned char bytes[16];
	unsigned long bits;
	int family = strchr(text, ':') ? AF_INET6 : AF_INET;

	if (!slash || (size_t)(slash - text) >= sizeof(address) || !slash[1] ||
	    strspn(slash + 1, "0123456789") != strlen(slash + 1) || strlen(slash + 1) > 3)
		return false;
	memcpy(address, text, (size_t)(slash - text));
	address[slash - text] = '\0';
	bits = strtoul(slash + 1, NULL, 10);
	return inet_pton(family, address, bytes) == 1 && bits <= (family == AF_INET ? 32 : 128);
}

static int take_networks(struct bl_config *config, const bl_json *value, struct bl_err *err)
{
	int r = want_strings(value, err);

	(void)config;
	for (const bl_json *at = r < 0 ? NULL : bl_json_first(value); at; at = bl_json_next(at))
		if (!is_network(bl_json_string(at)))
			return bl_err_config(err, "'%s' is no network such as \"10.0.0.0/8\"",
					     bl_json_string(at));
	return r;
}

static int take_roots(struct bl_config *config, const bl_json *value, struct bl_err *err)
{
	int r = want_strings(value, err);

	(void)config;
	for (const bl_json *at = r < 0 ? NULL : bl_json_first(value); r == 0 && at;
	     at = bl_json_next(at))
		r = want_path(at, err);
	return r;
}

static int take_ca_file(struct bl_config *config, const bl_json *value, struct bl_err *err)
{
	config->ca_file = bl_json_string(value);
	return want_path(value, err);
}

static int take_proxy(struct bl_config *config, const bl_json *value, struct bl_err *err)
{
	static const char *const keys[] = {"url", "no_proxy", NULL};
	const char *url = NULL;
	const bl_json *none = NULL;
	int r;

	(void)config;
	if (!bl_json_is_object(value))
		return bl_err_config(err, "expected an object with url and no_proxy");
	r = bl_json_only_keys(value, keys, err);
	if (r == 0)
		r = bl_json_get_string(value, "url", &url, err);
	if (r >= 0 && !is_http_url(url))
		return bl_err_config(err, "url: expected an http or https URL");
	if (r >= 0)
		r = bl_json_get(value, "no_proxy", &none, err);
	if (r > 0 && (r = want_strings(none, err)) < 0)
		bl_err_wrap(err, "no_proxy: ");
	return r;
}

static int take_identity_dir(struct bl_config *config, const bl_json *value, struct bl_err *err)
{
	config->identity_dir = bl_json_string(value);
	return want_path(value, err);
}

static int take_ttl(struct bl_config *config, const bl_json *value, struct bl_err *err)
{
	return take_duration(value, &config->authorisation_ttl, err);
}

static int take_grace(struct bl_config *config, const bl_json *value, struct bl_err *err)
{
	return take_duration(value, &config->authorisation_grace, err);
}

static int take_lease_grace(struct bl_config *config, const bl_json *value, struct bl_err *err)
{
	return take_duration(value, &config->lease_grace, err);
}

/* The size of that name in the object, where there is one. */
static int take_quota(const bl_json *object, const char *name, uint64_t *ret, struct bl_err *err)
{
	const bl_json *at;
	int r = bl_json_get(object, name, &at, err);

	if (r > 0 && (r = take_size(at, ret, err)) < 0)
		bl_err_wrap(err, "%s: ", name);
	return r;
}

/* A name that no request can have would bound nobody, and let nobody in. */
static int want_tenant(const char *name, struct bl_err *err)
{
	return bl_weights_is_tenant(name)
		       ? 0
		       : bl_err_config(err, "'%.253s' is no tenant's name", name);
}

static int take_quotas(struct bl_config *config, const bl_json *value, struct bl_err *err)
{
	static const char *const keys[] = {"cache", "tenant", "tenants", NULL};
	const bl_json *at;
	uint64_t size;
	int r;

	if (!bl_json_is_object(value))
		return bl_err_config(err, "expected an object with cache, tenant and tenants");
	r = bl_json_only_keys(value, keys, err);
	if (r == 0)
		r = take_quota(value, "cache", &config->cache_quota, err);
	if (r >= 0)
		r = take_quota(value, "tenant", &config->tenant_quota, err);
	if (r >= 0)
		r = bl_json_get_object(value, "tenants", &config->tenant_quotas, err);
	for (at = r > 0 ? bl_json_first(config->tenant_quotas) : NULL; r > 0 && at;
	     at = bl_json_next(at)) {
		if (want_tenant(bl_json_key(at), err) < 0) {
			bl_err_wrap(err, "tenants: ");
			return -EINVAL;
		}
		if (take_size(at, &size, err) < 0) {
			bl_err_wrap(err, "tenants.%.253s: ", bl_json_key(at));
			return -EINVAL;
		}
	}
	return r;
}

static int take_watermarks(struct bl_config *config, const bl_json *value, struct bl_err *err)
{
	static const char *const keys[] = {"high", "low", NULL};
	int64_t high = config->high_water;
	int64_t low = config->low_water;
	int r;

	if (!bl_json_is_object(value))
		return bl_err_config(err, "expected an object with high and low, in percent");
	r = bl_json_only_keys(value, keys, err);
	if (r == 0)
		r = bl_json_get_int(value, "high", 1, 100, &high, err);
	if (r >= 0)
		r = bl_json_get_int(value, "low", 0, 100, &low, err);
	if (r >= 0 && low > high)
		return bl_err_config(err, "low (%lld) must not be above high (%lld)",
				     (long long)low, (long long)high);
	config->high_water = (int)high;
	config->low_water = (int)low;
	return r;
}

static int take_scrub_rate(struct bl_config *config, const bl_json *value, struct bl_err *err)
{
	return take_size(value, &config->scrub_rate, err);
}

static int take_max_jobs(struct bl_config *config, const bl_json *value, struct bl_err *err)
{
	int64_t number = 0;
	int r = take_int(value, 1, 1024, &number, err);

	config->max_jobs = (int)number;
	return r;
}

static int take_environment(struct bl_config *config, const bl_json *value, struct bl_err *err)
{
	config->environment = value;
	if (!bl_json_is_object(value))
		return bl_err_config(err, "expected an object of string to string");
	for (const bl_json *at = bl_json_first(value); at; at = bl_json_next(at))
		if (!bl_json_is_string(at) || !*bl_json_key(at) || strchr(bl_json_key(at), '='))
			return bl_err_config(err, "expected an object of string to string");
	return 0;
}

static int check_prefetch(const bl_json *entry, struct bl_err *err)
{
	static const char *const keys[] = {"tenant", "weights", NULL};
	auto_weights weights = {0};
	const bl_json *list = NULL;
	const char *tenant = NULL;
	int r;

	if (!bl_json_is_object(entry))
		return bl_err_config(err, "expected {\"tenant\",\"weights\"}");
	r = bl_json_only_keys(entry, keys, err);
	if (r >= 0)
		r = bl_json_get_string(entry, "tenant", &tenant, err);
	if (r >= 0 && tenant && (r = want_tenant(tenant, err)) < 0)
		bl_err_wrap(err, "tenant: ");
	if (r >= 0)
		r = bl_json_get_array(entry, "weights", &list, err);
	if (r >= 0 && !list)
		r = bl_err_config(err, "weights: is missing");
	return r < 0 ? r : bl_weights_from_json(list, &weights, err);
}

static int take_prefetch(struct bl_config *config, const bl_json *value, struct bl_err *err)
{
	size_t i = 0;

	config->prefetch = value;
	if (!bl_json_is_array(value))
		return bl_err_config(err, "expected an array of {\"tenant\",\"weights\"}");
	for (const bl_json *at = bl_json_first(value); at; at = bl_json_next(at), i++) {
		int r = check_prefetch(at, err);

		if (r < 0) {
			bl_err_wrap(err, "[%zu]: ", i);
			return r;
		}
	}
	return 0;
}

static int take_socket_group(struct bl_config *config, const bl_json *value, struct bl_err *err)
{
	const char *name = bl_json_string(value);
	const struct group *group = name ? getgrnam(name) : NULL;

	if (!group)
		return bl_err_config(err, "'%s' is no group of this host", name ? name : "");
	config->socket_group = group->gr_gid;
	return 0;
}

static int take_group_tenants(struct bl_config *config, const bl_json *value, struct bl_err *err)
{
	int r = want_strings(value, err);

	for (const bl_json *at = r == 0 ? bl_json_first(value) : NULL; r == 0 && at;
	     at = bl_json_next(at))
		r = want_tenant(bl_json_string(at), err);
	config->group_tenants = value;
	return r;
}

static const struct key {
	const char *name;
	int (*take)(struct bl_config *config, const bl_json *value, struct bl_err *err);
	bool job; /* each fetch job gets it */
} table[] = {
	{"endpoints", take_endpoints, true},
	{"allowed_origins", take_origins, true},
	{"allowed_networks", take_networks, true},
	{"file_roots", take_roots, true},
	{"ca_file", take_ca_file, true},
	{"proxy", take_proxy, true},
	{"identity_dir", take_identity_dir, false},
	{"authorisation_ttl", take_ttl, false},
	{"authorisation_grace", take_grace, false},
	{"lease_grace", take_lease_grace, false},
	{"quotas", take_quotas, false},
	{"watermarks", take_watermarks, false},
	{"scrub_rate", take_scrub_rate, false},
	{"max_jobs", take_max_jobs, false},
	{"environment", take_environment, false},
	{"prefetch", take_prefetch, false},
	{"socket_group", take_socket_group, false},
	{"group_tenants", take_group_tenants, false},
};
#define TABLE_LEN (sizeof(table) / sizeof(*table))

/* The defaults, as with a file that holds {}. */
static int init(struct bl_config *config, struct bl_err *err)
{
	*config = (struct bl_config){
		.whole = bl_json_new_object(),
		.job = bl_json_new_object(),
		.authorisation_ttl = 24 * 3600,
		.authorisation_grace = 7 * 24 * 3600,
		.lease_grace = 15 * 60,
		.high_water = 90,
		.low_water = 80,
		.max_jobs = 16,
		.socket_group = (gid_t)-1,
	};
	return config->whole && config->job ? 0 : bl_err_nomem(err);
}

static int take_all(struct bl_config *config, struct bl_err *err)
{
	static const char *const names[] = {BL_CONFIG_KEYS, NULL};
	int r;

	_Static_assert(sizeof(names) / sizeof(*names) == TABLE_LEN + 1, "BL_CONFIG_KEYS");
	if (!bl_json_is_object(config->whole))
		return bl_err_config(err, "expected an object");
	r = bl_json_only_keys(config->whole, names, err);
	for (size_t i = 0; r >= 0 && i < TABLE_LEN; i++) {
		const bl_json *value;

		r = bl_json_get(config->whole, table[i].name, &value, err);
		if (r <= 0)
			continue;
		r = table[i].take(config, value, err);
		if (r < 0)
			bl_err_wrap(err, "%s: ", table[i].name);
		else if (table[i].job && !bl_json_set_copy(config->job, table[i].name, value))
			r = bl_err_nomem(err);
	}
	return r < 0 ? r : 0;
}

int bl_config_parse(const char *text, size_t len, struct bl_config *config, struct bl_err *err)
{
	const struct bl_json_limits limits = {.max_bytes = BL_CONFIG_MAX};
	bl_json *whole = NULL;
	int r = init(config, err);

	if (r == 0)
		r = bl_json_parse(text, len, &limits, &whole, err);
	if (r == 0) {
		bl_json_free(&config->whole);
		config->whole = whole;
		r = take_all(config, err);
	}
	if (r < 0)
		bl_config_done(config);
	return r;
}

int bl_config_load(const char *path, bool optional, struct bl_config *config, struct bl_err *err)
{
	auto_buf text = BL_BUF_INIT(BL_CONFIG_MAX);
	int r = bl_fs_read_config(path, &text, err);

	if (r == -ENOENT && optional)
		return init(config, err);
	if (r < 0)
		return r;
	r = bl_config_parse(bl_buf_str(&text), text.len, config, err);
	if (r == 0 && config->ca_file) {
		r = bl_config_check_ca(config->ca_file, err);
		if (r < 0) {
			bl_err_wrap(err, "ca_file: ");
			bl_config_done(config);
		}
	}
	if (r < 0)
		bl_err_wrap(err, "%s: ", path);
	return r;
}

void bl_config_done(struct bl_config *config)
{
	bl_json_free(&config->whole);
	bl_json_free(&config->job);
}

uint64_t bl_config_tenant_quota(const struct bl_config *config, const char *tenant)
{
	uint64_t quota = config->tenant_quota;
	const bl_json *own;

	if (config->tenant_quotas && bl_json_get(config->tenant_quotas, tenant, &own, NULL) > 0)
		(void)take_size(own, &quota, NULL);
	return quota;
}

bool bl_config_group_may(const struct bl_config *config, const char *tenant)
{
	if (!config->group_tenants)
		return false;
	for (const bl_json *at = bl_json_first(config->group_tenants); at; at = bl_json_next(at))
		if (strcmp(bl_json_string(at), tenant) == 0)
			return true;
	return false;
}
