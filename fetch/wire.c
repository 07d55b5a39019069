/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include <openssl/x509_vfy.h>

#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"

/* ---- Callbacks ---- */

static void note_address(struct bl_wire *wire, const struct sockaddr *address)
{
	const void *bytes = NULL;

	if (address->sa_family == AF_INET)
		bytes = &((const struct sockaddr_in *)(const void *)address)->sin_addr;
	else if (address->sa_family == AF_INET6)
		bytes = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
	if (!bytes || !inet_ntop(address->sa_family, bytes, wire->address, sizeof(wire->address)))
		wire->address[0] = '\0';
}

/* Gate two: the address is judged where the socket is made, so nothing can change in between. */
static curl_socket_t on_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct bl_wire *wire = ctx;

	note_address(wire, &address->addr);
	if (purpose != CURLSOCKTYPE_IPCXN ||
	    !bl_net_allows_address(wire->net, wire->proxied ? NULL : &wire->url, &address->addr)) {
		wire->refused = true;
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static void forget_answer(struct bl_wire *wire)
{
	bl_http_headers_done(&wire->answer);
	wire->answer_bytes = 0;
	wire->status = 0;
	wire->complete = false;
}

static int keep_header(struct bl_wire *wire, char *line)
{
	char *colon = strchr(line, ':');

	if (!colon)
		return 0;
	*colon++ = '\0';
	colon += strspn(colon, " \t");
	/* A header that is malformed is as good as none; too many of them are not. */
	int rc = bl_http_headers_add(&wire->answer, line, colon, NULL);
	return rc == -EINVAL ? 0 : rc;
}

/* Three digits; 0 for anything else. */
static int read_status(const char *text)
{
	if (strspn(text, "0123456789") != 3 || (text[3] && text[3] != ' '))
		return 0;
	return (int)strtol(text, NULL, 10);
}

bool bl_wire_take_header(struct bl_wire *wire, const char *data, size_t len)
{
	wire->answer_bytes += len;
	if (wire->answer_bytes > BL_HTTP_MAX_HEADERS)
		return false;
	auto_free char *line = strndup(data, len);
	if (!line)
		return false;
	line[strcspn(line, "\r\n")] = '\0';
	if (strncmp(line, "HTTP/", 5) == 0) {
		const char *space = strchr(line, ' ');
		size_t seen = wire->answer_bytes;

		forget_answer(wire); /* an interim answer came before */
		wire->answer_bytes = seen;
		wire->status = space ? read_status(space + 1) : 0;
		return true;
	}
	wire->complete = *line == '\0' && wire->status >= 200;
	return keep_header(wire, line) >= 0;
}

static size_t on_header(char *data, size_t size, size_t n, void *ctx)
{
	return bl_wire_take_header(ctx, data, size * n) ? size * n : 0;
}

/* ---- Setting up ---- */

#define SET(option, value) (ok = ok && curl_easy_setopt(easy, (option), (value)) == CURLE_OK)

/* What holds for every request of the handle. */
static bool set_policy(struct bl_wire *wire, CURLSH *share)
{
	CURL *easy = wire->easy;
	const char *ca = bl_net_ca_file(wire->net);
	bool ok = true;

	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_REDIR_PROTOCOLS_STR, "https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	SET(CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
	SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	SET(CURLOPT_CONNECTTIMEOUT, (long)BL_WIRE_CONNECT_TIMEOUT);
	SET(CURLOPT_LOW_SPEED_LIMIT, 1L);
	SET(CURLOPT_LOW_SPEED_TIME, (long)BL_WIRE_STALL_TIMEOUT);
	SET(CURLOPT_USERAGENT, "ballast-fetch/" BL_VERSION);
	SET(CURLOPT_ERRORBUFFER, wire->detail);
	SET(CURLOPT_OPENSOCKETFUNCTION, on_socket);
	SET(CURLOPT_OPENSOCKETDATA, wire);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, wire);
	if (ca) {
		SET(CURLOPT_CAINFO, ca);
		SET(CURLOPT_PROXY_CAINFO, ca);
	}
	if (share)
		SET(CURLOPT_SHARE, share);
	return ok;
}

int bl_wire_init(struct bl_wire *wire, const struct bl_net *net, CURLSH *share, struct bl_err *err)
{
	*wire = (struct bl_wire){.net = net, .easy = curl_easy_init()};
	if (!wire->easy)
		return bl_err_nomem(err);
	if (!set_policy(wire, share)) {
		bl_wire_done(wire);
		return bl_err_set(err, BL_EX_INTERNAL, ENOSYS,
				  "libcurl refuses an option; install libcurl 7.85 or later with "
				  "OpenSSL");
	}
	return 0;
}

void bl_wire_done(struct bl_wire *wire)
{
	int saved = errno;

	curl_easy_cleanup(wire->easy);
	curl_slist_free_all(wire->sent);
	bl_url_done(&wire->url);
	bl_http_headers_done(&wire->answer);
	*wire = (struct bl_wire){0};
	errno = saved;
}

static int append_headers(struct curl_slist **list, const struct bl_http_headers *headers,
			  struct bl_err *err)
{
	for (size_t i = 0; headers && i < headers->count; i++) {
		struct curl_slist *longer = curl_slist_append(*list, headers->lines[i]);

		if (!longer)
			return bl_err_nomem(err);
		*list = longer;
	}
	return 0;
}

/* Headers of the request, and the credential's where it is bound to this very origin. */
static int collect_headers(struct bl_wire *wire, const struct bl_http_request *request,
			   struct bl_err *err)
{
	const struct bl_http_auth *auth = request->auth;
	auto_headers secret = {0};
	int rc;

	wire->authorized = auth && strcmp(auth->origin, wire->url.origin) == 0;
	if (wire->authorized) {
		struct bl_http_hop hop = {
			.method = request->method ? request->method : "GET",
			.url = &wire->url,
			.headers = request->headers,
			.body = request->body,
			.body_len = request->body_len,
		};

		if ((rc = auth->sign(auth->ctx, &hop, &secret, err)) < 0)
			return rc;
	}
	if ((rc = append_headers(&wire->sent, request->headers, err)) < 0 ||
	    (rc = append_headers(&wire->sent, &secret, err)) < 0)
		return rc;
	/* No "Expect: 100-continue", no form's content type that nobody asked for. */
	static char *defaults[] = {"Expect:", NULL};
	return append_headers(&wire->sent, &(struct bl_http_headers){defaults, 1}, err);
}

static bool set_method(CURL *easy, const struct bl_http_request *request)
{
	const char *method = request->method ? request->method : "GET";
	bool ok = true;

	SET(CURLOPT_CUSTOMREQUEST, NULL);
	SET(CURLOPT_HTTPGET, 1L);
	SET(CURLOPT_NOBODY, strcmp(method, "HEAD") == 0 ? 1L : 0L);
	if (request->body) {
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_len);
		SET(CURLOPT_POSTFIELDS, request->body);
	}
	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
		SET(CURLOPT_CUSTOMREQUEST, method);
	return ok;
}

/* Where the request goes and by which way. */
static bool set_way(struct bl_wire *wire)
{
	CURL *easy = wire->easy;
	const char *proxy = bl_net_proxy_for(wire->net, &wire->url);
	bool ok = true;

	wire->proxied = proxy != NULL;
	SET(CURLOPT_URL, wire->url.text);
	/* "" also keeps libcurl from asking the environment. */
	SET(CURLOPT_PROXY, proxy ? proxy : "");
	SET(CURLOPT_NOPROXY, "");
	SET(CURLOPT_HTTPHEADER, wire->sent);
	return ok;
}

int bl_wire_prepare(struct bl_wire *wire, const char *text, const struct bl_url *base,
		    const struct bl_http_request *request, struct bl_err *err)
{
	auto_url url = {0};
	int rc;

	if ((rc = bl_url_parse(text, base, &url, err)) < 0 ||
	    (rc = bl_net_check_url(wire->net, &url, err)) < 0)
		return rc;
	bl_url_done(&wire->url);
	wire->url = url;
	url = (struct bl_url){0};
	forget_answer(wire);
	wire->refused = false;
	wire->detail[0] = '\0';
	curl_easy_setopt(wire->easy, CURLOPT_HTTPHEADER, NULL);
	curl_slist_free_all(wire->sent);
	wire->sent = NULL;
	if ((rc = collect_headers(wire, request, err)) < 0)
		return rc;
	if (!set_method(wire->easy, request) || !set_way(wire))
		return bl_err_set(err, BL_EX_INTERNAL, ENOMEM, "libcurl refuses the request");
	return 0;
}

/* ---- Failures ---- */

static int explain_connect(const struct bl_wire *wire, struct bl_err *err)
{
	long number = 0;

	if (wire->refused)
		return bl_err_set(err, BL_EX_REFUSED, EPERM,
				  "%.200s is at %s, which is not an address of the public "
				  "internet; the operator can allow it in allowed_origins or "
				  "allowed_networks",
				  wire->url.origin, wire->address);
	curl_easy_getinfo(wire->easy, CURLINFO_OS_ERRNO, &number);
	return bl_err_set(err, BL_EX_RETRY, EIO,
			  "cannot connect to %s%.200s%s%s: %s; check that it is up and that this "
			  "node may reach it",
			  wire->proxied ? "the proxy for " : "", wire->url.origin,
			  wire->address[0] ? " at " : "", wire->address,
			  number ? strerror((int)number) : "no connection");
}

/* What to do about it: an authority helps only where the chain's end is not known. */
static const char *advise_tls(const struct bl_wire *wire, CURLcode code)
{
	long verified = X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT;

	if (code == CURLE_SSL_CONNECT_ERROR)
		return "check that TLS 1.2 or later is spoken there";
	if (code == CURLE_PEER_FAILED_VERIFICATION)
		curl_easy_getinfo(wire->easy, CURLINFO_SSL_VERIFYRESULT, &verified);
	switch (verified) {
	case X509_V_OK:
	case X509_V_ERR_UNSPECIFIED: /* libcurl's: it was the name */
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return "the origin needs a certificate that is for that name and valid now; check "
		       "this node's clock, too";
	default:
		return "a private authority's certificate goes into ca_file of the agent's "
		       "configuration";
	}
}

static int explain_tls(const struct bl_wire *wire, CURLcode code, struct bl_err *err)
{
	return bl_err_set(err, BL_EX_RETRY, EIO, "TLS with %.200s fails: %.160s; %s",
			  wire->url.origin, wire->detail[0] ? wire->detail : "no detail",
			  advise_tls(wire, code));
}

int bl_wire_explain(const struct bl_wire *wire, CURLcode code, struct bl_err *err)
{
	switch (code) {
	case CURLE_COULDNT_RESOLVE_HOST:
		return bl_err_set(err, BL_EX_RETRY, EIO,
				  "the name of %.200s cannot be looked up; check its spelling and "
				  "this node's DNS",
				  wire->url.origin);
	case CURLE_COULDNT_RESOLVE_PROXY:
		return bl_err_set(err, BL_EX_RETRY, EIO,
				  "the proxy's name cannot be looked up; check proxy.url in the "
				  "agent's configuration");
	case CURLE_COULDNT_CONNECT:
		return explain_connect(wire, err);
	case CURLE_OPERATION_TIMEDOUT:
		return bl_err_set(
			err, BL_EX_RETRY, EIO,
			"%.200s does not answer in time; check that this node may reach it",
			wire->url.origin);
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_CERTPROBLEM:
		return explain_tls(wire, code, err);
	case CURLE_OUT_OF_MEMORY: /* which is also what libcurl says of an endless header */
		return bl_err_set(err, BL_EX_RETRY, EIO,
				  "%.200s sends a header that is too long, or memory ran out; try "
				  "again later",
				  wire->url.origin);
	default:
		return bl_err_set(
			err, BL_EX_RETRY, EIO, "the connection to %.200s%s broke: %.160s; %s",
			wire->url.origin, wire->proxied ? " through the proxy" : "",
			wire->detail[0] ? wire->detail : curl_easy_strerror(code),
			wire->proxied ? "check that the proxy lets it through" : "try again later");
	}
}

bool bl_wire_is_passing(const struct bl_wire *wire, CURLcode code)
{
	switch (code) {
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_OUT_OF_MEMORY:
	case CURLE_WRITE_ERROR:
	case CURLE_URL_MALFORMAT:
		return false;
	default:
		return !wire->refused;
	}
}

bool bl_wire_is_redirect(int status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

bool bl_wire_is_busy(int status)
{
	return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 ||
	       status == 504;
}
