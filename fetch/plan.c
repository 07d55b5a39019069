/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/plan.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/human.h"
#include "common/log.h"
#include "fetch/name.h"
#include "fetch/options.h"
#include "fetch/session.h"

#define LINE_MAX_NAME (4 * BL_NAME_MAX + 8) /* a name of which every byte is escaped */

/* What the origin promises of the file, the strongest first. */
static void print_promise(const struct bl_entry *entry)
{
	static const struct {
		const char *name;
		enum bl_digest_kind kind;
	} digests[] = {
		{"sha256", BL_DIGEST_SHA256}, {"git-sha1", BL_DIGEST_GIT_SHA1},
		{"md5", BL_DIGEST_MD5},	      {"crc64nvme", BL_DIGEST_CRC64NVME},
		{"crc32c", BL_DIGEST_CRC32C}, {"crc32", BL_DIGEST_CRC32},
	};
	struct bl_digest digest;
	char hex[65];

	for (size_t i = 0; i < sizeof(digests) / sizeof(*digests); i++)
		if (bl_manifest_promised(entry, digests[i].kind, &digest)) {
			bl_digest_to_hex(&digest, hex);
			printf("%s:%s", digests[i].name, hex);
			return;
		}
	if (entry->generation)
		printf("generation:%s", entry->generation);
	else
		fputs(entry->etag ? "etag only" : "no promise", stdout);
}

static void print_line(void *ctx, const struct bl_entry *entry,
		       const struct bl_pattern_verdict *verdict)
{
	char name[LINE_MAX_NAME];
	auto_buf reason = BL_BUF_INIT(8192);

	(void)ctx;
	bl_log_escape(name, sizeof(name), entry->path);
	printf("%s %9s  %s  ", verdict->taken ? "+" : "-", bl_human_bytes(entry->size).text, name);
	if (verdict->taken)
		print_promise(entry);
	if (verdict->reason != BL_PATTERN_NO_ALLOW &&
	    bl_pattern_verdict_text(verdict, &reason, NULL) >= 0) {
		bl_log_escape(name, sizeof(name), bl_buf_str(&reason));
		printf("%s%s", verdict->taken ? "  " : "", name);
	}
	putchar('\n');
}

static int print_json(const struct bl_session *session, struct bl_err *err)
{
	const char *revision = bl_manifest_revision(session->manifest);
	auto_json plan = bl_json_new_object();
	auto_buf text = BL_BUF_INIT(256 * 1024 * 1024);
	bl_json *files = plan ? bl_json_set_array(plan, "files") : NULL;

	if (!files || !bl_json_set_string(plan, "source", session->input.item->source.text) ||
	    !bl_json_set_int(plan, "bytes", bl_manifest_bytes(session->manifest)) ||
	    !bl_json_set_bool(plan, "credential", session->credential) ||
	    (revision && !bl_json_set_string(plan, "revision", revision)))
		return bl_err_nomem(err);
	for (size_t i = 0; i < bl_manifest_count(session->manifest); i++) {
		int rc =
			bl_manifest_entry_to_json(bl_manifest_at(session->manifest, i), files, err);

		if (rc < 0)
			return rc;
	}
	int rc = bl_json_write(&text, plan, err);
	if (rc >= 0)
		puts(bl_buf_str(&text));
	return rc;
}

static int print_summary(const struct bl_session *session, struct bl_err *err)
{
	const char *revision = bl_manifest_revision(session->manifest);
	auto_buf notes = BL_BUF_INIT(1024 * 1024);

	printf("%zu file%s, %s%s%s\n", bl_manifest_count(session->manifest),
	       bl_manifest_count(session->manifest) == 1 ? "" : "s",
	       bl_human_bytes(bl_manifest_bytes(session->manifest)).text,
	       revision ? ", revision " : "", revision ? revision : "");
	int rc = bl_pattern_filter_notes(bl_manifest_filter(session->manifest), &notes, err);
	if (rc >= 0)
		fputs(bl_buf_str(&notes), stdout);
	return rc;
}

int bl_plan_run(int argc, char **argv, struct bl_err *err)
{
	auto_options options = {0};
	auto_session session = {0};
	int rc;

	if ((rc = bl_options_read(&options, argc, argv, err)) < 0 ||
	    (rc = bl_session_open(&session, options.item, options.config, options.secret,
				  options.token, NULL, err)) < 0 ||
	    (rc = bl_session_list(&session, options.as_json ? NULL : print_line, NULL, err)) < 0)
		return rc;
	rc = options.as_json ? print_json(&session, err) : print_summary(&session, err);
	/* Whoever reads it may have read enough. */
	if (rc >= 0 && (fflush(stdout) != 0 || ferror(stdout)) && errno != EPIPE)
		return bl_err_sys(err, errno, "write the list");
	return rc < 0 ? rc : 0;
}
