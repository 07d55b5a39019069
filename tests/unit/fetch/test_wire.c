// SPDX-License-Identifier: Apache-2.0
/* A request as it is set up: a credential is asked for only where it is bound. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>
#include <cmocka.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/json.h"
#include "fetch/net.h"
#include "fetch/wire.h"

static int sign(void *ctx, const struct bl_http_hop *hop, struct bl_http_headers *headers,
		struct bl_err *err)
{
	(void)ctx;
	(void)hop;
	return bl_http_headers_add(headers, "Authorization", "Bearer secret", err);
}

static bool sends(const struct bl_wire *wire, const char *name)
{
	size_t len = strlen(name);

	for (const struct curl_slist *at = wire->sent; at; at = at->next)
		if (strncasecmp(at->data, name, len) == 0 && at->data[len] == ':')
			return true;
	return false;
}

static void a_credential_goes_to_its_own_origin_alone(void **state)
{
	static const char text[] = "{\"allowed_origins\":[\"http://a.example:443\"]}";
	static const struct {
		const char *url;
		bool ours;
	} cases[] = {
		{"https://a.example/x", true},		{"https://A.example:443/x?y", true},
		{"http://a.example:443/x", false},	{"https://a.example:4430/x", false},
		{"https://a.example:44/x", false},	{"https://a.example.b/x", false},
		{"https://b.a.example/x", false},	{"https://a.exampl/x", false},
		{"https://b.example/a.example", false},
	};
	const struct bl_http_auth auth = {.origin = "https://a.example:443", .sign = sign};
	const struct bl_http_request request = {.auth = &auth};
	const struct bl_json_limits limits = {.max_bytes = sizeof(text)};
	struct bl_wire wire = {0};
	auto_json config = NULL;
	auto_net net = NULL;
	struct bl_err err;

	(void)state;
	assert_int_equal(bl_json_parse(text, strlen(text), &limits, &config, &err), 0);
	assert_int_equal(bl_net_new(config, &net, &err), 0);
	assert_int_equal(bl_wire_init(&wire, net, NULL, &err), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(bl_wire_prepare(&wire, cases[i].url, NULL, &request, &err), 0);
		if (wire.authorized != cases[i].ours ||
		    sends(&wire, "Authorization") != cases[i].ours)
			fail_msg("%s", cases[i].url);
	}
	bl_wire_done(&wire);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_credential_goes_to_its_own_origin_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
