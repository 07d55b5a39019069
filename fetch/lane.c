/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/lane.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/sys.h"
#include "fetch/outlet.h"
#include "fetch/retry.h"

#define BUFFER_LARGE   (256 * 1024)	  /* libcurl's receive buffer for long ranges */
#define BUFFER_SMALL   (32 * 1024)	  /* for ranges that are shorter than that */
#define SMALL_FILE     (1024 * 1024)	  /* bytes up to which HTTP/2 streams share a connection */
#define MAX_ERROR_BODY (256 * 1024)	  /* bytes of an error's body that are read over */
#define COPY_PIECE     (16 * 1024 * 1024) /* bytes of a local file copied at a time */

/* ---- Judging the head ---- */

static int wrong_answer(const struct bl_lane *lane, const char *what, struct bl_err *err)
{
	return bl_err_set(err, BL_EX_RETRY, EIO,
			  "%.200s %s; whoever runs it, or a cache before it, must mend that",
			  lane->wire.url.origin, what);
}

/*
 * What an origin says of a file's version is the same for all of its ranges: the ETag that was listed, or the
 * one that was seen first, be it a weak one, or the date where there is none. Another origin, to which a later
 * redirect led, may have a word of its own only where a digest tells in the end.
 */
static int judge_version(struct bl_lane *lane, struct bl_err *err)
{
	struct bl_arrival *file = lane->file;
	const char *etag = bl_http_headers_get(&lane->wire.answer, "ETag");
	const char *date = bl_http_headers_get(&lane->wire.answer, "Last-Modified");
	const char *version = etag ? etag : date ? date : "";
	const char *listed = file->location.if_match && lane->hops == 0 ? file->entry->etag : NULL;
	bool seen = file->version && (!bl_manifest_is_digested(file->entry) ||
				      strcmp(file->version_origin, lane->wire.url.origin) == 0);

	if (listed && (!etag || !bl_http_is_strong_etag(etag)))
		return wrong_answer(lane, "sends a range without the ETag of its file", err);
	if ((listed && strcmp(listed, etag) != 0) || (seen && strcmp(file->version, version) != 0))
		return bl_source_explain(file->entry->path, 412, true, err);
	if (seen)
		return 0;
	free(TAKE_PTR(file->version));
	free(TAKE_PTR(file->version_origin));
	file->version = strdup(version);
	file->version_origin = strdup(lane->wire.url.origin);
	return file->version && file->version_origin ? 0 : bl_err_nomem(err);
}

static int judge_range(struct bl_lane *lane, struct bl_err *err)
{
	const char *value = bl_http_headers_get(&lane->wire.answer, "Content-Range");
	int64_t from, to, size;

	if (lane->wire.status != 206)
		return bl_err_set(
			err, BL_EX_RETRY, EIO,
			"the origin answers a range with %s; it or a cache before it does "
			"not know ranges",
			bl_http_status_text(lane->wire.status));
	if (!value || bl_http_parse_content_range(value, &from, &to, &size) < 0)
		return wrong_answer(lane, "sends a range without its Content-Range", err);
	if (size != lane->file->entry->size)
		return bl_source_explain(lane->file->entry->path, 412, true, err);
	if (from != lane->from || to != lane->asked_to)
		return wrong_answer(lane, "answers a range with another one", err);
	return 0;
}

/* Whether what there is one of in an answer says the same wherever it stands: else nobody knows what comes. */
static bool is_of_one_mind(const struct bl_http_headers *answer)
{
	return bl_http_headers_agree(answer, "Content-Range") &&
	       bl_http_headers_agree(answer, "ETag") &&
	       bl_http_headers_agree(answer, "Last-Modified");
}

/* Called before the first byte is written. Negative where the answer is not what was asked for. */
static int judge_head(struct bl_lane *lane, struct bl_err *err)
{
	const struct bl_http_headers *answer = &lane->wire.answer;
	const char *encoding = bl_http_headers_get(answer, "Content-Encoding");
	const char *length = bl_http_headers_get(answer, "Content-Length");
	int rc = 0;

	/* Of a store's object the size that was listed is that of what is stored: it tells. */
	if (encoding && !lane->file->location.stored &&
	    (strcasecmp(encoding, "identity") != 0 ||
	     !bl_http_headers_agree(answer, "Content-Encoding")))
		return wrong_answer(lane, "encodes what it should send as it is", err);
	if (!is_of_one_mind(answer))
		return wrong_answer(lane, "sends an answer whose headers contradict each other",
				    err);
	if (!lane->file->location.whole)
		rc = judge_range(lane, err);
	else if (lane->from != 0 || lane->asked_to != lane->file->entry->size)
		rc = bl_err_set(err, BL_EX_RETRY, EIO, "a part of a file came as the whole");
	else if (lane->wire.status != 200)
		rc = bl_err_set(err, BL_EX_RETRY, EIO, "the origin answers %s",
				bl_http_status_text(lane->wire.status));
	if (rc < 0)
		return rc;
	if (!bl_http_headers_agree(answer, "Content-Length") ||
	    (length && bl_http_parse_length(length) != lane->asked_to - lane->from))
		return wrong_answer(lane, "sends an answer whose length is not that of the range",
				    err);
	if ((rc = judge_version(lane, err)) < 0)
		return rc;
	lane->judged = true;
	lane->judged_at = bl_retry_now();
	return 0;
}

/* ---- Bytes ---- */

static bool is_content(int status)
{
	return status >= 200 && status < 300;
}

/* Redirects that were followed need not be followed again for the file's other ranges. */
static void remember_direct(struct bl_lane *lane)
{
	struct bl_arrival *file = lane->file;

	if (lane->hops == 0 || file->direct)
		return;
	file->direct = strdup(lane->wire.url.text); /* without memory: followed again */
}

int bl_lane_judge(struct bl_lane *lane)
{
	lane->rc = judge_head(lane, &lane->err);
	if (lane->rc >= 0)
		remember_direct(lane);
	return lane->rc;
}

static const char *advise_disk(int rc)
{
	return rc == -ENOSPC || rc == -EDQUOT ? "; make room there, or choose another directory"
					      : "";
}

int bl_lane_write_failed(struct bl_lane *lane, int rc)
{
	lane->rc = bl_err_set(&lane->err, BL_EX_RETRY, -rc, "write '%.200s': %s%s",
			      lane->file->entry->path, strerror(-rc), advise_disk(rc));
	return lane->rc;
}

static int write_at(struct bl_lane *lane, const char *data, size_t len)
{
	int rc = bl_outlet_write(lane->file, data, len, lane->at);

	return rc < 0 ? bl_lane_write_failed(lane, rc) : 0;
}

/* What was counted when it came. */
static int write_part(struct bl_lane *lane, const char *data, size_t len)
{
	int rc = write_at(lane, data, len);

	if (rc == 0)
		lane->at += (int64_t)len;
	return rc;
}

void bl_lane_count(struct bl_lane *lane, size_t len)
{
	lane->at += (int64_t)len;
	*lane->arrived += (int64_t)len;
	lane->last_byte = bl_retry_now();
}

int bl_lane_write(struct bl_lane *lane, const char *data, size_t len)
{
	int rc = write_at(lane, data, len);

	if (rc == 0)
		bl_lane_count(lane, len);
	return rc;
}

int bl_lane_flush(struct bl_lane *lane)
{
	size_t len = lane->n_held;

	lane->n_held = 0;
	return len && lane->rc >= 0 ? write_part(lane, lane->held, len) : 0;
}

/*
 * libcurl hands on 16 KiB at a time, which is little for a write: a lane holds what comes until it
 * fills a piece of the file, unless all that is left of the range came at once.
 */
static int keep(struct bl_lane *lane, const char *data, size_t len)
{
	int rc = 0;

	if (!lane->n_held && lane->at + (int64_t)len == lane->to)
		return write_part(lane, data, len);
	if (!lane->held)
		lane->held = malloc(BL_LANE_HOLD);
	if (!lane->held)
		return write_part(lane, data, len);
	while (rc >= 0 && len > 0) {
		/* up to the next multiple of the piece's size: the page cache likes it */
		int64_t end = (lane->at / BL_LANE_HOLD + 1) * BL_LANE_HOLD;
		int64_t next = lane->at + (int64_t)lane->n_held;

		if (end > lane->to)
			end = lane->to;
		size_t part = (int64_t)len < end - next ? len : (size_t)(end - next);
		memcpy(lane->held + lane->n_held, data, part);
		lane->n_held += part;
		data += part;
		len -= part;
		if (next + (int64_t)part == end)
			rc = bl_lane_flush(lane);
	}
	return rc;
}

static size_t on_body(char *data, size_t size, size_t n, void *ctx)
{
	struct bl_lane *lane = ctx;
	size_t len = size * n;

	if (!is_content(lane->wire.status)) {
		lane->at += (int64_t)len; /* of what, does not matter: it is thrown away */
		return lane->at - lane->from > MAX_ERROR_BODY ? 0 : len;
	}
	if (!lane->judged && bl_lane_judge(lane) < 0)
		return 0;
	int64_t next = lane->at + (int64_t)lane->n_held;
	if ((int64_t)len > lane->asked_to - next) {
		lane->rc = wrong_answer(lane, "sends more than the range asked for", &lane->err);
		if (lane->file->location.whole) /* another file than the one that was listed */
			lane->at = lane->from;
		return 0;
	}
	/* `to` may have come nearer than what is here already */
	int64_t wanted = lane->to > next ? lane->to - next : 0;
	size_t part = (int64_t)len < wanted ? len : (size_t)wanted;
	if (keep(lane, data, part) < 0)
		return 0;
	*lane->arrived += (int64_t)part;
	lane->last_byte = bl_retry_now();
	/* The rest was given to another lane, perhaps with some of what is held: this request ends here, and all
	 * is well. */
	if (lane->to >= lane->asked_to || lane->at + (int64_t)lane->n_held < lane->to)
		return len;
	(void)bl_lane_flush(lane);
	return 0;
}

/* ---- Requests ---- */

static int add_range(struct bl_lane *lane, struct bl_http_headers *headers, struct bl_err *err)
{
	const struct bl_arrival *file = lane->file;
	const char *etag = NULL;
	char range[64];
	int rc;

	if (!file->location.whole) {
		snprintf(range, sizeof(range), "bytes=%lld-%lld", (long long)lane->from,
			 (long long)(lane->to - 1));
		if ((rc = bl_http_headers_add(headers, "Range", range, err)) < 0)
			return rc;
	}
	if (lane->hops == 0 && file->location.if_match)
		etag = file->entry->etag;
	else if (lane->on_direct && file->version && bl_http_is_strong_etag(file->version))
		etag = file->version;
	return etag ? bl_http_headers_add(headers, "If-Match", etag, err) : 0;
}

static int copy_headers(const struct bl_http_headers *from, struct bl_http_headers *to,
			struct bl_err *err)
{
	for (size_t i = 0; i < from->count; i++) {
		const char *line = from->lines[i];
		auto_free char *name = strndup(line, strcspn(line, ":;"));

		if (!name)
			return bl_err_nomem(err);
		int rc = bl_http_headers_add(to, name, bl_http_headers_get(from, name), err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static void set_transport(struct bl_lane *lane)
{
	CURL *easy = lane->wire.easy;
	bool small = lane->file->entry->size <= SMALL_FILE;

	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, lane);
	curl_easy_setopt(easy, CURLOPT_PRIVATE, lane);
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, small ? (long)BUFFER_SMALL : (long)BUFFER_LARGE);
	/* One HTTP/2 connection is slower than several of HTTP/1.1 for long ranges, faster for
	 * many small files. */
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
			 small ? (long)CURL_HTTP_VERSION_2TLS : (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_PIPEWAIT, small ? 1L : 0L);
}

static int request(struct bl_lane *lane, const char *url, const struct bl_url *base,
		   struct bl_err *err)
{
	const struct bl_arrival *file = lane->file;
	auto_headers headers = {0};
	int rc = add_range(lane, &headers, err);

	if (rc >= 0 && lane->hops == 0 && !lane->on_direct)
		rc = copy_headers(&file->location.headers, &headers, err);
	if (rc < 0)
		return rc;
	struct bl_http_request wanted = {.headers = &headers, .auth = file->location.auth};
	lane->judged = lane->counted = false;
	lane->n_held = 0;
	lane->rc = 0;
	lane->at = lane->from;
	lane->sent = lane->last_byte = bl_retry_now();
	if ((rc = bl_wire_prepare(&lane->wire, url, base, &wanted, err)) < 0)
		return rc;
	set_transport(lane);
	lane->state = BL_LANE_ON_WIRE;
	return 0;
}

int bl_lane_start(struct bl_lane *lane, struct bl_arrival *file, int64_t from, int64_t to,
		  struct bl_err *err)
{
	lane->file = file;
	lane->from = lane->at = from;
	lane->to = lane->asked_to = to;
	lane->hops = 0;
	lane->way = file->way;
	lane->hedge = false;
	lane->began = lane->last_byte = bl_retry_now();
	lane->on_direct = file->direct != NULL;
	if (!file->location.url) {
		lane->state = BL_LANE_LOCAL;
		return 0;
	}
	if (lane->on_direct)
		lane->hops = 1; /* credential and listed ETag belong to hop 0 */
	return request(lane, file->direct ? file->direct : file->location.url, NULL, err);
}

int bl_lane_follow(struct bl_lane *lane, struct bl_err *err)
{
	const char *location = bl_http_headers_get(&lane->wire.answer, "Location");
	/* prepare() forgets the answer that these two lie in */
	auto_free char *target = strdup(location);
	auto_url base = lane->wire.url;

	lane->wire.url = (struct bl_url){0};
	if (!target)
		return bl_err_nomem(err);
	lane->hops++;
	lane->on_direct = false;
	return request(lane, target, &base, err);
}

/* ---- Ends ---- */

static enum bl_lane_end finish_status(struct bl_lane *lane, int *rc, struct bl_err *err)
{
	int status = lane->wire.status;

	if (bl_wire_is_redirect(status) && bl_http_headers_get(&lane->wire.answer, "Location")) {
		if (lane->hops < BL_HTTP_MAX_REDIRECTS)
			return BL_LANE_REDIRECT;
		*rc = bl_err_set(
			err, BL_EX_RETRY, EIO,
			"'%.200s': more than %d redirects, the last by %.200s; they may go "
			"round in a circle: check the endpoint",
			lane->file->entry->path, BL_HTTP_MAX_REDIRECTS, lane->wire.url.origin);
		return BL_LANE_FATAL;
	}
	*rc = bl_source_explain(lane->file->entry->path, status, lane->wire.authorized, err);
	/* Amazon says 400 (ExpiredToken) of a URL whose session has ended: such a one has its credential in it. */
	if (status == 401 || status == 403 || (status == 400 && !lane->wire.authorized))
		return BL_LANE_REFUSED;
	if (status == 416) /* shorter than listed */
		*rc = bl_source_explain(lane->file->entry->path, 412, true, err);
	return bl_wire_is_busy(status) ? BL_LANE_BUSY : BL_LANE_FATAL;
}

enum bl_lane_end bl_lane_finish(struct bl_lane *lane, CURLcode code, int *rc, struct bl_err *err)
{
	*rc = 0;
	(void)bl_lane_flush(lane);
	if (lane->rc < 0) {
		*rc = lane->rc;
		*err = lane->err;
		return lane->rc == -EIO ? BL_LANE_BROKEN : BL_LANE_FATAL;
	}
	if (lane->wire.status && !is_content(lane->wire.status)) {
		lane->at = lane->from; /* what came was no content */
		return finish_status(lane, rc, err);
	}
	if (lane->judged && lane->at >= lane->to)
		return BL_LANE_DONE;
	if (code != CURLE_OK) {
		*rc = bl_wire_explain(&lane->wire, code, err);
		return bl_wire_is_passing(&lane->wire, code) ? BL_LANE_BROKEN : BL_LANE_FATAL;
	}
	*rc = bl_err_set(err, BL_EX_RETRY, EIO, "%.200s ends an answer before its length",
			 lane->wire.url.origin);
	return BL_LANE_BROKEN;
}

void bl_lane_done(struct bl_lane *lane)
{
	bl_wire_done(&lane->wire);
	bl_cleanup_fd(&lane->sock);
	free(TAKE_PTR(lane->held));
	free(TAKE_PTR(lane->head));
}

/* ---- Local files ---- */

enum bl_lane_end bl_lane_copy(struct bl_lane *lane, int *rc, struct bl_err *err)
{
	int64_t left = lane->to - lane->at;
	ssize_t n = bl_outlet_copy(lane->file, lane->file->location.fd,
				   left < COPY_PIECE ? (size_t)left : COPY_PIECE, lane->at);

	*rc = 0;
	if (n < 0) {
		*rc = bl_err_set(err, BL_EX_RETRY, (int)-n, "copy '%.200s': %s%s",
				 lane->file->entry->path, strerror((int)-n), advise_disk((int)n));
		return BL_LANE_FATAL;
	}
	if (n == 0) {
		*rc = bl_source_explain(lane->file->entry->path, 412, true, err);
		return BL_LANE_FATAL;
	}
	lane->at += n;
	*lane->arrived += n;
	lane->last_byte = bl_retry_now();
	return lane->at == lane->to ? BL_LANE_DONE : BL_LANE_REDIRECT;
}
