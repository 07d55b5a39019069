// SPDX-License-Identifier: Apache-2.0
/* URLs and the operator's rules: one spelling of each origin, and no way to a place that is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "fetch/address.h"
#include "fetch/net.h"
#include "fetch/url.h"

static const struct {
	const char *text;
	const char *origin; /* NULL: refused */
} urls[] = {
	{"https://Example.COM/a?b#c", "https://example.com:443"},
	{"https://example.com./", "https://example.com:443"},
	{"http://example.com:8080", "http://example.com:8080"},
	{"https://[2001:DB8::1]:444/", "https://[2001:db8::1]:444"},
	{"https://127.1/", "https://127.0.0.1:443"},
	{"https://2130706433/", "https://127.0.0.1:443"},
	{"https://0x7f.0.0.1/", "https://127.0.0.1:443"},
	{"https://%31%32%37.0.0.1/", "https://127.0.0.1:443"},
	{"https://user@example.com/", NULL},
	{"https://user:pass@example.com/", NULL},
	{"https://example.com\\@evil.com/", NULL},
	{"https://exa\nmple.com/", NULL},
	{"https://example.com/\r\nEvil: x", NULL},
	{"https://example.com/a b", NULL},
	{"ftp://example.com/", NULL},
	{"file:///etc/passwd", NULL},
	{"javascript:alert(1)", NULL},
	{"https://[fe80::1%25eth0]/", NULL},
	{"https:///x", "https://x:443"}, /* as libcurl reads it */
	{"https://0177.0.0.1/", "https://127.0.0.1:443"},
	{"https://0x7f.1/", "https://127.0.0.1:443"},
	{"https://xn--bcher-kva.example/", "https://xn--bcher-kva.example:443"},
	{"https://b\xc3\xbc"
	 "cher.example/",
	 NULL}, /* judged as written, so written in ASCII */
	{"https://127\xe3\x80\x82"
	 "0\xe3\x80\x82"
	 "0\xe3\x80\x82"
	 "1/",
	 NULL},
	{"https://\xe2\x91\xa0\xe2\x91\xa1\xe2\x91\xa6.0.0.1/", NULL},
	{"https://%E2%93%9Bocalhost/", NULL},
	{"https://localhost../", NULL},
	{"https://.localhost/", NULL},
	{"https://a..b/", NULL},
	{"https://./", NULL},
	{"https://[fe80::1%eth0]/", NULL},
	{"https://[fe80::1%2525eth0]/", NULL},
	{"https://[::1].example/", NULL},
	{"https://example.com:0/", NULL},
	{"https://example.com:65536/", NULL},
	{"https://example.com:443:443/", NULL},
	{"https://@example.com/", NULL},
	{"https://example.com%00.evil.com/", NULL},
	{"https://example.com%2f.evil.com/", NULL},
	{"https://example.com%40evil.com/", NULL},
	{"https:example.com", NULL},
	{"https://127.0.0.1./", "https://127.0.0.1:443"},
	{"https://127.0.0.1%2e/", "https://127.0.0.1:443"},
	{"https://0x7f.0.0.1./", NULL},
	{"https://0x7f.0.0.1%2E/", NULL},
	{"https://2130706433./", NULL},
	{"https://169.254.43518./", NULL},
	{"https://0251.254.169.254./", NULL},
	{"https://1.2.3.08/", NULL},
	{"https://1.2.3.4.5/", NULL},
	{"https://example.0x7f000001/", NULL},
	{"https://1.example.com/", "https://1.example.com:443"},
	{"", NULL},
	{"example.com", NULL},
};

static void test_urls(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(urls) / sizeof(*urls); i++) {
		auto_url url = {0};
		struct bl_err err;
		int rc = bl_url_parse(urls[i].text, NULL, &url, &err);

		if (!urls[i].origin) {
			if (rc != -EPERM)
				fail_msg("'%s' is taken", urls[i].text);
			continue;
		}
		if (rc < 0)
			fail_msg("'%s': %s", urls[i].text, err.msg);
		assert_string_equal(url.origin, urls[i].origin);
	}
}

static void test_relative_urls(void **state)
{
	static const struct {
		const char *text, *whole;
	} cases[] = {
		{"/x?y", "https://a.example/x?y"},
		{"x", "https://a.example/d/x"},
		{"//b.example/x", "https://b.example/x"},
		{"https://c.example/", "https://c.example/"},
		{"?q=1", "https://a.example/d/e?q=1"},
	};
	auto_url base = {0};
	struct bl_err err;

	(void)state;
	assert_int_equal(bl_url_parse("https://a.example/d/e?secret=1", NULL, &base, &err), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		auto_url url = {0};

		assert_int_equal(bl_url_parse(cases[i].text, &base, &url, &err), 0);
		assert_string_equal(url.text, cases[i].whole);
	}
}

static void test_errors_hide_the_query(void **state)
{
	auto_url url = {0};
	struct bl_err err;

	(void)state;
	assert_int_equal(bl_url_parse("ftp://h/p?sig=canary", NULL, &url, &err), -EPERM);
	assert_null(strstr(err.msg, "canary"));
	assert_int_equal(bl_url_parse("https://canary:canary@h/p", NULL, &url, &err), -EPERM);
	assert_null(strstr(err.msg, "canary"));
}

static void test_encode(void **state)
{
	(void)state;
	auto_free char *path = bl_url_encode("a b/c+d%~\xc3\xa9", true);
	auto_free char *part = bl_url_encode("refs/pr/1", false);
	assert_string_equal(path, "a%20b/c%2Bd%25~%C3%A9");
	assert_string_equal(part, "refs%2Fpr%2F1");
}

static void test_public_addresses(void **state)
{
	static const char *const public[] = {
		"1.1.1.1",	   "93.184.216.34",   "2606:4700::1",	 "64:ff9b::101:101",
		"2002:101:101::1", "172.32.0.1",      "100.128.0.1",	 "168.63.129.17",
		"9.255.255.255",   "11.0.0.0",	      "126.255.255.255", "128.0.0.1",
		"172.15.255.255",  "192.167.255.255", "192.169.0.0",	 "198.17.255.255",
		"198.20.0.0",	   "169.253.255.255", "169.255.0.0",	 "223.255.255.255"};
	static const char *const refused[] = {
		"127.0.0.1",
		"127.255.255.255",
		"10.1.2.3",
		"10.255.255.255",
		"172.16.0.1",
		"172.31.255.255",
		"192.168.0.1",
		"192.168.255.255",
		"169.254.169.254",
		"169.254.255.255",
		"100.64.0.1",
		"100.127.255.255",
		"0.0.0.0",
		"0.255.255.255",
		"224.0.0.1",
		"239.255.255.255",
		"240.0.0.1",
		"255.255.255.255",
		"192.0.0.1",
		"192.0.2.1",
		"198.18.0.1",
		"198.19.255.255",
		"198.51.100.1",
		"203.0.113.255",
		"::1",
		"::",
		"fe80::1",
		"fc00::1",
		"fd00:ec2::254",
		"ff02::1",
		"::ffff:1.1.1.1",
		"::ffff:127.0.0.1",
		"64:ff9b::7f00:1",
		"2002:7f00:1::",
		"2001:db8::1",
		"2001::1",
		"::127.0.0.1",
		"64:ff9b::a9fe:a9fe", /* 169.254.169.254 by NAT64, 6to4, ISATAP, Teredo, mapped */
		"64:ff9b:1::a9fe:a9fe",
		"2002:a9fe:a9fe::1",
		"2002:0a00:0001::",
		"fe80::5efe:a9fe:a9fe",
		"2001:0:a9fe:a9fe::1",
		"::ffff:0:a9fe:a9fe",
		"168.63.129.16", /* Azure's, for its virtual machines alone */
		"192.88.99.1",
		"100.100.100.200",
		"5f00::1",
		"100::1",
		"3fff::1",
	};
	struct bl_network address;

	(void)state;
	for (size_t i = 0; i < sizeof(public) / sizeof(*public); i++) {
		assert_int_equal(bl_address_parse_network(public[i], &address), 0);
		if (!bl_address_is_public(&address))
			fail_msg("%s is refused", public[i]);
	}
	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
		assert_int_equal(bl_address_parse_network(refused[i], &address), 0);
		if (bl_address_is_public(&address))
			fail_msg("%s is taken for public", refused[i]);
	}
}

static void test_networks(void **state)
{
	static const char *const bad[] = {
		"",	  "x",	    "10.0.0.0/",    "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8x",
		"::/129", "10.0/8", "10.0.0.0/0008"};
	struct bl_network network, address;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (bl_address_parse_network(bad[i], &network) == 0)
			fail_msg("'%s' is taken", bad[i]);
	assert_int_equal(bl_address_parse_network("10.128.0.0/9", &network), 0);
	assert_int_equal(bl_address_parse_network("10.200.1.1", &address), 0);
	assert_true(bl_address_in(&address, &network));
	assert_int_equal(bl_address_parse_network("10.127.1.1", &address), 0);
	assert_false(bl_address_in(&address, &network));
	assert_int_equal(bl_address_parse_network("::/0", &network), 0);
	assert_false(bl_address_in(&address, &network));
}

/* The operator's configuration from its JSON text. */
static int configure(const char *text, struct bl_net **net, struct bl_err *err)
{
	const struct bl_json_limits limits = {.max_bytes = 65536};
	auto_json config = NULL;

	assert_int_equal(bl_json_parse(text, strlen(text), &limits, &config, err), 0);
	return bl_net_new(config, net, err);
}

static bool url_may(const struct bl_net *net, const char *text)
{
	auto_url url = {0};
	struct bl_err err;

	assert_int_equal(bl_url_parse(text, NULL, &url, &err), 0);
	return bl_net_check_url(net, &url, &err) == 0;
}

static bool address_may(const struct bl_net *net, const char *text, const char *address)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	auto_url url = {0};
	struct bl_err err;

	assert_int_equal(bl_url_parse(text, NULL, &url, &err), 0);
	assert_int_equal(inet_pton(AF_INET, address, &in.sin_addr), 1);
	return bl_net_allows_address(net, &url, (struct sockaddr *)&in);
}

static void test_gates(void **state)
{
	auto_net net = NULL;
	struct bl_err err;

	(void)state;
	assert_int_equal(configure("{\"endpoints\":{\"hf\":\"http://hub.local:8080/base/\"},"
				   "\"allowed_origins\":[\"http://cdn.local\"],"
				   "\"allowed_networks\":[\"10.0.0.0/8\"],\"watermarks\":1}",
				   &net, &err),
			 0);
	assert_string_equal(bl_net_endpoint(net, "hf"), "http://hub.local:8080/base");
	assert_null(bl_net_endpoint(net, "s3"));
	assert_true(url_may(net, "http://HUB.local:8080/x"));
	assert_false(url_may(net, "http://hub.local:8081/x"));
	assert_false(url_may(net, "http://hub.local/x"));
	assert_true(url_may(net, "http://cdn.local:80/x"));
	assert_true(url_may(net, "https://any.example/x"));
	assert_false(url_may(net, "http://any.example/x"));
	assert_true(url_may(net, "https://10.1.1.1/"));
	assert_false(url_may(net, "https://192.168.1.1/"));
	assert_true(address_may(net, "http://hub.local:8080/", "127.0.0.1"));
	assert_false(address_may(net, "https://hub.local:8080/", "127.0.0.1"));
	assert_true(address_may(net, "https://any.example/", "10.9.9.9"));
	assert_false(address_may(net, "https://any.example/", "127.0.0.1"));
	assert_true(address_may(net, "https://any.example/", "1.1.1.1"));
}

/* Behind a proxy nobody here looks a name up: those that never are of the public internet go nowhere. */
static void test_names_behind_a_proxy(void **state)
{
	static const struct {
		const char *url;
		bool may;
	} cases[] = {
		{"https://huggingface.co/", true},
		{"https://internal.example.com/", true},
		{"https://local.example/", true},
		{"https://notlocalhost.example/", true},
		{"https://localhost/", false},
		{"https://LOCALHOST./", false},
		{"https://a.localhost/", false},
		{"https://metadata/", false},
		{"https://metadata.google.internal/", false},
		{"https://metadata.google.internal./", false},
		{"https://instance-data.ec2.internal/", false},
		{"https://minio.storage.svc.cluster.local/", false},
		{"https://nas.lan/", false},
		{"https://kubernetes.default.svc/", false},
		{"https://vault.service.consul/", false},
		{"https://printer.home.arpa/", false},
		{"https://169.254.169.254/", false},
		{"https://[fd00:ec2::254]/", false},
		{"https://10.1.2.3/", true},		     /* allowed_networks */
		{"https://store.corp/", true},		     /* allowed_origins */
		{"https://direct.svc.cluster.local/", true}, /* no_proxy: its address is judged */
	};
	auto_net net = NULL;
	struct bl_err err;

	(void)state;
	assert_int_equal(configure("{\"proxy\":{\"url\":\"http://p:3128\",\"no_proxy\":"
				   "[\"direct.svc.cluster.local\"]},"
				   "\"allowed_networks\":[\"10.0.0.0/8\"],"
				   "\"allowed_origins\":[\"https://store.corp\"]}",
				   &net, &err),
			 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		if (url_may(net, cases[i].url) != cases[i].may)
			fail_msg("%s", cases[i].url);
}

static void test_endpoints_with_a_placeholder(void **state)
{
	auto_net net = NULL;
	auto_free char *base = NULL;
	auto_free char *none = NULL;
	struct bl_err err;

	(void)state;
	assert_int_equal(configure("{\"endpoints\":{\"cw\":\"http://{bucket}.cwlota.com/\","
				   "\"azure\":\"https://{account}.blob.core.usgovcloudapi.net\","
				   "\"s3\":\"http://minio:9000\"}}",
				   &net, &err),
			 0);
	assert_int_equal(bl_net_fill_endpoint(net, "cw", "bucket", "my-models", &base, &err), 1);
	assert_string_equal(base, "http://my-models.cwlota.com");
	assert_int_equal(bl_net_fill_endpoint(net, "cw", "account", "x", &none, &err), 0);
	assert_int_equal(bl_net_fill_endpoint(net, "s3", "bucket", "x", &none, &err), 0);
	assert_int_equal(bl_net_fill_endpoint(net, "gs", "bucket", "x", &none, &err), 0);
	assert_null(none);
	assert_true(url_may(net, "http://my-models.cwlota.com/key"));
	assert_true(address_may(net, "http://my-models.cwlota.com/key", "10.0.0.1"));
	assert_true(url_may(net, "https://acc1.blob.core.usgovcloudapi.net/c"));
	assert_false(url_may(net, "http://acc1.blob.core.usgovcloudapi.net/c"));
	assert_false(url_may(net, "http://cwlota.com/"));
	assert_false(url_may(net, "http://a.b.cwlota.com/"));
	assert_false(url_may(net, "http://a.cwlota.com:81/"));
	assert_false(url_may(net, "http://a.cwlota.com.evil.example/"));
	assert_false(url_may(net, "http://evilcwlota.com/"));
	assert_false(url_may(net, "http://a_b.cwlota.com/"));
	assert_false(url_may(net, "http://-a.cwlota.com/"));

	static const char *const bad[] = {
		"",
		"a.b",
		"A",
		"a_b",
		"a/b",
		"a:b",
		"-a",
		"a-",
		"a@b",
		"{bucket}",
		"0123456789012345678901234567890123456789012345678901234567890123"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (bl_net_fill_endpoint(net, "cw", "bucket", bad[i], &none, &err) != -EINVAL)
			fail_msg("'%s' is taken", bad[i]);
}

static void test_no_proxy(void **state)
{
	static const struct {
		const char *url;
		bool proxied;
	} cases[] = {
		{"https://other.example/", true},      {"https://corp.example/", false},
		{"https://a.corp.example/", false},    {"https://xcorp.example/", true},
		{"https://port.example:8443/", false}, {"https://port.example/", true},
		{"https://10.2.3.4/", false},	       {"https://11.2.3.4/", true},
		{"https://[fd00::1]/", false},	       {"https://[fd00::2]/", true},
	};
	auto_net net = NULL;
	struct bl_err err;

	(void)state;
	assert_int_equal(
		configure(
			"{\"proxy\":{\"url\":\"http://p:3128\",\"no_proxy\":"
			"[\".corp.example\",\"port.example:8443\",\"10.0.0.0/8\",\"[fd00::1]\"]}}",
			&net, &err),
		0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		auto_url url = {0};

		assert_int_equal(bl_url_parse(cases[i].url, NULL, &url, &err), 0);
		if ((bl_net_proxy_for(net, &url) != NULL) != cases[i].proxied)
			fail_msg("%s", cases[i].url);
	}
}

static void a_malformed_url_shows_no_password(void **state)
{
	static const char *const bad[] = {"https://u:hush@h:99999/", "https://u:hush#@h:99999/",
					  "https://u:hush?x@h:99999/", "https://u:hush@"};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		auto_url url = {0};
		struct bl_err err = {0};

		assert_true(bl_url_parse(bad[i], NULL, &url, &err) < 0);
		assert_null(strstr(err.msg, "hush"));
	}
}

static void test_bad_configuration(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"{\"endpoints\":{\"hf\":\"hub\"}}", "endpoints.hf"},
		{"{\"endpoints\":{\"hf\":\"http://u:p@h/\"}}", "endpoints.hf"},
		{"{\"allowed_origins\":[\"https://h/path\"]}", "allowed_origins"},
		{"{\"allowed_networks\":[\"10.0.0.0/99\"]}", "10.0.0.0/99"},
		{"{\"proxy\":{\"no_proxy\":[]}}", "proxy.url"},
		{"{\"proxy\":{\"url\":\"socks5://x\"}}", "proxy.url"},
		{"{\"ca_file\":1}", "ca_file"},
		{"{\"endpoints\":{\"s3\":\"http://{account}.x\"}}", "endpoints.s3"},
		{"{\"endpoints\":{\"hf\":\"http://{bucket}.x\"}}", "endpoints.hf"},
		{"{\"endpoints\":{\"s3\":\"http://a{bucket}.x\"}}", "endpoints.s3"},
		{"{\"endpoints\":{\"s3\":\"http://{bucket}\"}}", "endpoints.s3"},
		{"{\"endpoints\":{\"s3\":\"http://{bucket}.{bucket}.x\"}}", "endpoints.s3"},
		{"{\"endpoints\":{\"s3\":\"http://x.y/{bucket}.x\"}}", "endpoints.s3"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		auto_net net = NULL;
		struct bl_err err;

		assert_true(configure(cases[i].text, &net, &err) < 0);
		if (!strstr(err.msg, cases[i].message))
			fail_msg("'%s' lacks '%s'", err.msg, cases[i].message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_relative_urls),
		cmocka_unit_test(test_errors_hide_the_query),
		cmocka_unit_test(test_encode),
		cmocka_unit_test(test_public_addresses),
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_gates),
		cmocka_unit_test(test_names_behind_a_proxy),
		cmocka_unit_test(test_endpoints_with_a_placeholder),
		cmocka_unit_test(test_no_proxy),
		cmocka_unit_test(a_malformed_url_shows_no_password),
		cmocka_unit_test(test_bad_configuration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
