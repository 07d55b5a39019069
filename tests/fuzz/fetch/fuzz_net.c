// SPDX-License-Identifier: Apache-2.0
/*
 * The operator's configuration, and where it lets a URL lead: a line with the URL, one with a bucket, then
 * the configuration. Without one nothing is let through that is not https to somewhere public.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "fetch/address.h"
#include "fetch/net.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void without_configuration(const struct bl_url *url)
{
	auto_json empty = bl_json_new_object();
	auto_net net = NULL;
	struct bl_network address;
	struct bl_err err;

	if (!empty || bl_net_new(empty, &net, &err) < 0 || bl_net_check_url(net, url, &err) < 0)
		return;
	assert(strcmp(url->scheme, "https") == 0);
	assert(bl_address_parse_network(url->host, &address) < 0 || bl_address_is_public(&address));
}

/* Whatever a bucket is called, it changes no more than its own part of the operator's base URL. */
static void fill(const struct bl_net *net, const char *bucket)
{
	static const char *const schemes[] = {"s3", "r2", "cw", "azure", "gs"};

	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		auto_free char *base = NULL;
		auto_url url = {0};
		struct bl_err err;

		if (bl_net_fill_endpoint(net, schemes[i], "bucket", bucket, &base, &err) <= 0)
			continue;
		if (bl_url_parse(base, NULL, &url, &err) >= 0)
			assert(bl_net_check_url(net, &url, &err) == 0);
		assert(!strpbrk(bucket, "/.:@?#%"));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct bl_json_limits limits = {.max_bytes = 65536, .fractions = true};
	auto_free char *text = strndup((const char *)data, size);
	auto_json config = NULL;
	auto_net net = NULL;
	auto_url url = {0};
	struct bl_err err;
	char *rest = text;
	const char *line = rest ? strsep(&rest, "\n") : NULL;
	const char *bucket = rest ? strsep(&rest, "\n") : NULL;
	bool is_url = line && bl_url_parse(line, NULL, &url, &err) >= 0;

	if (is_url)
		without_configuration(&url);
	if (!rest || bl_json_parse(rest, strlen(rest), &limits, &config, &err) < 0 ||
	    !bl_json_is_object(config) || bl_net_new(config, &net, &err) < 0)
		return 0;
	if (is_url) {
		(void)bl_net_check_url(net, &url, &err);
		(void)bl_net_proxy_for(net, &url);
	}
	fill(net, bucket);
	return 0;
}
