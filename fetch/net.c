/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "fetch/address.h"

#define MARK "placeholder--ballast" /* stands for {bucket} or {account} in a base URL */

#define MAX_PLACEHOLDERS 2
static const struct {
	const char *scheme, *placeholders[MAX_PLACEHOLDERS];
} endpoint_kinds[] = {
	{"hf", {NULL}},
	{"s3", {"bucket"}},
	{"gs", {NULL}},
	{"azure", {"account"}},
	{"r2", {"account", "bucket"}},
	{"cw", {"bucket"}},
	{"bt", {NULL}},
	{"sts", {NULL}},
};
#define N_ENDPOINTS (sizeof(endpoint_kinds) / sizeof(*endpoint_kinds))

struct endpoint {
	char *base;		 /* as used, with MARK where the operator wrote a placeholder */
	char *origin;		 /* of base */
	const char *placeholder; /* "bucket", "account", or NULL */
};

struct bl_net {
	struct endpoint endpoints[N_ENDPOINTS]; /* base is NULL where there is none */
	char **allowed_origins;			/* as bl_url.origin writes them; NULL-terminated */
	struct bl_network *networks;
	size_t n_networks;
	char **file_roots;
	char *ca_file;
	char *proxy;
	char **no_proxy;
};

static void free_list(char **list)
{
	for (char **at = list; at && *at; at++)
		free(*at);
	free(list);
}

void bl_net_free(struct bl_net **pointer)
{
	struct bl_net *net = *pointer;
	int saved = errno;

	if (!net)
		return;
	for (size_t i = 0; i < N_ENDPOINTS; i++) {
		free(net->endpoints[i].base);
		free(net->endpoints[i].origin);
	}
	free_list(net->allowed_origins);
	free(net->networks);
	free_list(net->file_roots);
	free(net->ca_file);
	free(net->proxy);
	free_list(net->no_proxy);
	free(net);
	*pointer = NULL;
	errno = saved;
}

/* ---- Reading the configuration ---- */

static int read_text(const bl_json *config, const char *key, char **ret, struct bl_err *err)
{
	const char *text = NULL;
	int rc = bl_json_get_string(config, key, &text, err);

	if (rc <= 0)
		return rc;
	*ret = strdup(text);
	return *ret ? 0 : bl_err_nomem(err);
}

/* A member that is an array of strings, into a NULL-terminated list. */
static int read_list(const bl_json *config, const char *key, char ***ret, struct bl_err *err)
{
	const bl_json *array = NULL;
	int rc = bl_json_get_strings(config, key, &array, err);

	if (rc <= 0)
		return rc;
	size_t n = bl_json_length(array);
	if (n > BL_MAX_CONFIG_LIST)
		return bl_err_config(err, "%s: more than %d entries", key, BL_MAX_CONFIG_LIST);
	char **list = calloc(n + 1, sizeof(*list));
	if (!list)
		return bl_err_nomem(err);
	*ret = list;
	for (const bl_json *at = bl_json_first(array); at; at = bl_json_next(at)) {
		*list = strdup(bl_json_string(at));
		if (!*list++)
			return bl_err_nomem(err);
	}
	return 0;
}

/* The text with MARK in place of its placeholder, the caller's. */
static int mark_placeholder(const char *text, const char *const *known, struct endpoint *endpoint,
			    char **ret, struct bl_err *err)
{
	const char *brace = strpbrk(text, "{}");
	const char *host = strstr(text, "://");

	for (size_t i = 0; brace && host && i < MAX_PLACEHOLDERS && known[i]; i++) {
		char wanted[16];
		int len = snprintf(wanted, sizeof(wanted), "{%s}.", known[i]);

		/* A whole part of the host's name, and not the last. */
		if (strncmp(brace, wanted, (size_t)len) != 0 || strpbrk(brace + len, "{}") ||
		    (brace != host + 3 && brace[-1] != '.') ||
		    brace > host + 3 + strcspn(host + 3, "/"))
			continue;
		endpoint->placeholder = known[i];
		if (asprintf(ret, "%.*s" MARK "%s", (int)(brace - text), text, brace + len - 1) >=
		    0)
			return 0;
		*ret = NULL;
		return bl_err_nomem(err);
	}
	if (brace)
		return bl_err_config(err,
				     "a placeholder is a part of the host's name, {bucket} for s3, "
				     "cw and r2, {account} for azure and r2, once");
	*ret = strdup(text);
	return *ret ? 0 : bl_err_nomem(err);
}

static int read_endpoint(const char *text, const char *const *known, struct endpoint *endpoint,
			 struct bl_err *err)
{
	auto_free char *marked = NULL;
	auto_url url = {0};
	int rc;

	if ((rc = mark_placeholder(text, known, endpoint, &marked, err)) < 0 ||
	    (rc = bl_url_parse(marked, NULL, &url, err)) < 0)
		return rc;
	if (url.query)
		return bl_err_config(err, "a base URL has no query");
	endpoint->base = TAKE_PTR(url.text);
	endpoint->origin = TAKE_PTR(url.origin);
	for (size_t len = strlen(endpoint->base); len && endpoint->base[len - 1] == '/'; len--)
		endpoint->base[len - 1] = '\0';
	return 0;
}

static int only_known(const bl_json *endpoints, struct bl_err *err)
{
	const char *kinds[N_ENDPOINTS + 1] = {NULL};
	int rc;

	for (size_t i = 0; i < N_ENDPOINTS; i++)
		kinds[i] = endpoint_kinds[i].scheme;
	rc = bl_json_only_keys(endpoints, kinds, err);
	if (rc < 0)
		bl_err_wrap(err, "endpoints: ");
	return rc;
}

static int read_endpoints(struct bl_net *net, const bl_json *config, struct bl_err *err)
{
	const bl_json *endpoints = NULL;
	int rc = bl_json_get_object(config, "endpoints", &endpoints, err);

	if (rc <= 0 || (rc = only_known(endpoints, err)) < 0)
		return rc;
	for (size_t i = 0; i < N_ENDPOINTS; i++) {
		const char *text = NULL;

		rc = bl_json_get_string(endpoints, endpoint_kinds[i].scheme, &text, err);
		if (rc > 0 && (rc = read_endpoint(text, endpoint_kinds[i].placeholders,
						  &net->endpoints[i], err)) < 0)
			bl_err_wrap(err, "endpoints.%s: ", endpoint_kinds[i].scheme);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int read_origins(struct bl_net *net, const bl_json *config, struct bl_err *err)
{
	int rc = read_list(config, "allowed_origins", &net->allowed_origins, err);

	for (char **at = net->allowed_origins; rc >= 0 && at && *at; at++) {
		auto_url url = {0};

		if ((rc = bl_url_parse(*at, NULL, &url, err)) < 0) {
			bl_err_wrap(err, "allowed_origins: ");
			return rc;
		}
		if (strcmp(url.path, "/") != 0 || url.query)
			return bl_err_config(err,
					     "allowed_origins: '%.100s' is not "
					     "scheme://host:port",
					     *at);
		free(*at);
		*at = TAKE_PTR(url.origin);
	}
	return rc;
}

static int read_networks(struct bl_net *net, const bl_json *config, struct bl_err *err)
{
	char **texts = NULL;
	int rc = read_list(config, "allowed_networks", &texts, err);
	size_t n = 0;

	while (texts && texts[n])
		n++;
	if (rc >= 0 && n) {
		net->networks = calloc(n, sizeof(*net->networks));
		if (!net->networks)
			rc = bl_err_nomem(err);
	}
	for (size_t i = 0; rc >= 0 && i < n; i++)
		if (bl_address_parse_network(texts[i], &net->networks[net->n_networks++]) < 0)
			rc = bl_err_config(err,
					   "allowed_networks: '%.100s' is not a network; "
					   "write it as 10.0.0.0/8",
					   texts[i]);
	free_list(texts);
	return rc;
}

static int read_proxy(struct bl_net *net, const bl_json *config, struct bl_err *err)
{
	static const char *const keys[] = {"url", "no_proxy", NULL};
	const bl_json *proxy = NULL;
	int rc = bl_json_get_object(config, "proxy", &proxy, err);

	if (rc <= 0)
		return rc;
	if ((rc = bl_json_only_keys(proxy, keys, err)) < 0)
		bl_err_wrap(err, "proxy: ");
	else if ((rc = read_text(proxy, "url", &net->proxy, err)) < 0 ||
		 (rc = read_list(proxy, "no_proxy", &net->no_proxy, err)) < 0)
		bl_err_wrap(err, "proxy.");
	else if (!net->proxy)
		rc = bl_err_config(err, "proxy.url: is missing");
	else if (strncmp(net->proxy, "http://", 7) != 0 && strncmp(net->proxy, "https://", 8) != 0)
		rc = bl_err_config(err, "proxy.url: must start with http:// or https://");
	return rc;
}

int bl_net_new(const bl_json *config, struct bl_net **ret, struct bl_err *err)
{
	static const char *const keys[] = {BL_CONFIG_KEYS, NULL};
	auto_net net = calloc(1, sizeof(*net));
	int rc;

	if (!net)
		return bl_err_nomem(err);
	if ((rc = bl_json_only_keys(config, keys, err)) < 0 ||
	    (rc = read_endpoints(net, config, err)) < 0 ||
	    (rc = read_origins(net, config, err)) < 0 ||
	    (rc = read_networks(net, config, err)) < 0 ||
	    (rc = read_list(config, "file_roots", &net->file_roots, err)) < 0 ||
	    (rc = read_text(config, "ca_file", &net->ca_file, err)) < 0 ||
	    (rc = read_proxy(net, config, err)) < 0)
		return rc;
	*ret = TAKE_PTR(net);
	return 0;
}

/* ---- Asking it ---- */

static const struct endpoint *find_endpoint(const struct bl_net *net, const char *scheme)
{
	for (size_t i = 0; i < N_ENDPOINTS; i++)
		if (strcmp(endpoint_kinds[i].scheme, scheme) == 0 && net->endpoints[i].base)
			return &net->endpoints[i];
	return NULL;
}

const char *bl_net_endpoint(const struct bl_net *net, const char *scheme)
{
	const struct endpoint *endpoint = find_endpoint(net, scheme);

	return endpoint ? endpoint->base : NULL;
}

/* Whether the text's first len bytes are one part of a host's name, in small letters. */
static bool is_label(const char *text, size_t len)
{
	return len > 0 && len < 64 && text[0] != '-' && text[len - 1] != '-' &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") >= len;
}

int bl_net_fill_endpoint(const struct bl_net *net, const char *scheme, const char *placeholder,
			 const char *value, char **ret, struct bl_err *err)
{
	const struct endpoint *endpoint = find_endpoint(net, scheme);

	if (!endpoint || !endpoint->placeholder || strcmp(endpoint->placeholder, placeholder) != 0)
		return 0;
	if (!is_label(value, strlen(value)))
		return bl_err_config(err,
				     "'%.100s' cannot be part of a host's name, where endpoints.%s "
				     "puts the %s; it may have small letters, digits and '-'",
				     value, scheme, placeholder);
	const char *mark = strstr(endpoint->base, MARK);
	if (asprintf(ret, "%.*s%s%s", (int)(mark - endpoint->base), endpoint->base, value,
		     mark + strlen(MARK)) >= 0)
		return 1;
	*ret = NULL;
	return bl_err_nomem(err);
}

const char *const *bl_net_file_roots(const struct bl_net *net)
{
	return (const char *const *)net->file_roots;
}

const char *bl_net_ca_file(const struct bl_net *net)
{
	return net->ca_file;
}

static bool is_of_endpoint(const struct endpoint *endpoint, const char *origin)
{
	const char *mark = endpoint->placeholder ? strstr(endpoint->origin, MARK) : NULL;

	if (!endpoint->origin || !mark)
		return endpoint->origin && strcmp(endpoint->origin, origin) == 0;
	size_t before = (size_t)(mark - endpoint->origin);
	if (strncmp(endpoint->origin, origin, before) != 0)
		return false;
	size_t label = strcspn(origin + before, ".:/");
	return is_label(origin + before, label) &&
	       strcmp(origin + before + label, mark + strlen(MARK)) == 0;
}

static bool is_operators(const struct bl_net *net, const char *origin)
{
	for (size_t i = 0; i < N_ENDPOINTS; i++)
		if (is_of_endpoint(&net->endpoints[i], origin))
			return true;
	for (char **at = net->allowed_origins; at && *at; at++)
		if (strcmp(*at, origin) == 0)
			return true;
	return false;
}

static bool network_allows(const struct bl_net *net, const struct bl_network *address)
{
	if (bl_address_is_public(address))
		return true;
	for (size_t i = 0; i < net->n_networks; i++)
		if (bl_address_in(address, &net->networks[i]))
			return true;
	return false;
}

/*
 * Whether a name could be of the public internet: it has a dot, and its end is none that is reserved
 * for other uses (IANA's special-use domain names), or that is usual inside of networks.
 */
static bool is_public_name(const char *host)
{
	static const char *const inner[] = {
		"alt",	     "arpa",	 "cluster", "consul", "corp",  "home",
		"internal",  "intranet", "invalid", "lan",    "local", "localdomain",
		"localhost", "onion",	 "private", "svc",    "test",
	};
	const char *end = strrchr(host, '.');

	for (size_t i = 0; end && i < sizeof(inner) / sizeof(*inner); i++)
		if (strcmp(end + 1, inner[i]) == 0)
			return false;
	return end != NULL;
}

int bl_net_check_url(const struct bl_net *net, const struct bl_url *url, struct bl_err *err)
{
	struct bl_network address;

	if (is_operators(net, url->origin))
		return 0;
	if (strcmp(url->scheme, "https") != 0)
		return bl_err_set(err, BL_EX_REFUSED, EPERM,
				  "%.300s is not https; the operator can allow it in "
				  "allowed_origins",
				  url->origin);
	bool literal = bl_address_parse_network(url->host, &address) == 0;
	if (!literal && bl_net_proxy_for(net, url) && !is_public_name(url->host))
		return bl_err_set(err, BL_EX_REFUSED, EPERM,
				  "%.300s is not a name of the public internet; the operator can "
				  "allow it in allowed_origins, or in proxy.no_proxy and "
				  "allowed_networks",
				  url->origin);
	if (literal && !network_allows(net, &address))
		return bl_err_set(err, BL_EX_REFUSED, EPERM,
				  "%.300s is not an address of the public internet; the operator "
				  "can allow it in allowed_origins or allowed_networks",
				  url->origin);
	return 0;
}

bool bl_net_allows_address(const struct bl_net *net, const struct bl_url *url,
			   const struct sockaddr *from)
{
	struct bl_network address;

	if (!url || is_operators(net, url->origin))
		return true;
	return bl_address_of(from, &address) == 0 && network_allows(net, &address);
}

/* One word of no_proxy: "*", a name (and all names below it), an address or a network. */
static bool stands_for(const char *word, const struct bl_url *url)
{
	struct bl_network network, address;
	size_t host = strlen(url->host);
	char bare[64];

	if (strcmp(word, "*") == 0)
		return true;
	/* As a URL has it. */
	if (*word == '[' && strlen(word) < sizeof(bare) && word[strlen(word) - 1] == ']') {
		(void)snprintf(bare, sizeof(bare), "%.*s", (int)strlen(word) - 2, word + 1);
		word = bare;
	}
	if (bl_address_parse_network(word, &network) == 0)
		return bl_address_parse_network(url->host, &address) == 0 &&
		       bl_address_in(&address, &network);
	const char *colon = strrchr(word, ':');
	size_t len = colon ? (size_t)(colon - word) : strlen(word);
	if (colon && strtoul(colon + 1, NULL, 10) != url->port)
		return false;
	if (len && *word == '.') {
		word++;
		len--;
	}
	return len && host >= len && strncasecmp(url->host + host - len, word, len) == 0 &&
	       (host == len || url->host[host - len - 1] == '.');
}

const char *bl_net_proxy_for(const struct bl_net *net, const struct bl_url *url)
{
	for (char **at = net->no_proxy; net->proxy && at && *at; at++)
		if (stands_for(*at, url))
			return NULL;
	return net->proxy;
}
