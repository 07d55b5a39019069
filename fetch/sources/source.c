/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/sources/source.h"

#include <errno.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/job.h"

static const struct bl_source_ops *const sources[] = {
	&bl_source_hf, &bl_source_https, &bl_source_file,  &bl_source_s3, &bl_source_r2,
	&bl_source_cw, &bl_source_gs,	 &bl_source_azure, &bl_source_bt,
};

const struct bl_source_ops *bl_source_find(enum bl_scheme scheme)
{
	for (size_t i = 0; i < sizeof(sources) / sizeof(*sources); i++)
		if (sources[i]->scheme == scheme)
			return sources[i];
	return NULL;
}

void bl_location_done(struct bl_location *location)
{
	int saved = errno;

	free(location->url);
	bl_http_headers_done(&location->headers);
	bl_cleanup_fd(&location->fd);
	*location = BL_LOCATION_INIT;
	errno = saved;
}

int bl_source_explain(const char *what, int status, bool had_credential, struct bl_err *err)
{
	const char *text = bl_http_status_text(status);

	switch (status) {
	case 401:
		if (!had_credential)
			return bl_err_set(err, BL_EX_REFUSED, EACCES,
					  "%.300s: %s: it wants a credential; name a secret in "
					  "auth.auth_secret_name",
					  what, text);
		return bl_err_set(err, BL_EX_REFUSED, EACCES,
				  "%.300s: %s: the credential was not accepted; check that the "
				  "secret is complete and has not expired",
				  what, text);
	case 403:
		return bl_err_set(err, BL_EX_REFUSED, EPERM,
				  "%.300s: %s: %s; ask its owner for read access", what, text,
				  had_credential ? "the credential may not read it"
						 : "it may not be read without a credential");
	case 404:
	case 410:
		return bl_err_set(err, BL_EX_CONFIG, ENOENT, "%.300s: %s: check its spelling", what,
				  text);
	case 412:
		return bl_err_set(err, BL_EX_RETRY, ESTALE,
				  "%.300s: changed while it was read; try again", what);
	case 429:
		return bl_err_set(err, BL_EX_RETRY, EIO,
				  "%.300s: %s: the origin limits requests; try again later", what,
				  text);
	default:
		if (status >= 500)
			return bl_err_set(err, BL_EX_RETRY, EIO,
					  "%.300s: %s: the origin fails; try again later", what,
					  text);
		return bl_err_set(err, BL_EX_RETRY, EIO,
				  "%.300s: %s: an answer that was not expected; check the source",
				  what, text);
	}
}

const char *bl_source_error_class(int error)
{
	switch (-error) {
	case EINVAL:
		return BL_JOB_CONFIG;
	case ENOENT:
		return BL_JOB_NOT_FOUND;
	case EACCES:
		return BL_JOB_UNAUTHORIZED;
	case EPERM:
		return BL_JOB_FORBIDDEN;
	case EIO:
	case ESTALE:
	case EAGAIN:
		return BL_JOB_ORIGIN;
	case EILSEQ:
		return BL_JOB_CORRUPT;
	case EBADMSG:
	case EFBIG:
		return BL_JOB_HOSTILE;
	case ENOSPC:
	case EDQUOT:
		return BL_JOB_SPACE;
	default:
		return BL_JOB_INTERNAL;
	}
}
