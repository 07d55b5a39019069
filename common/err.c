// SPDX-License-Identifier: Apache-2.0
#include "common/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int bl_err_set(struct bl_err *err, int code, int errnum, const char *fmt, ...)
{
	if (err) {
		va_list ap;

		va_start(ap, fmt);
		err->code = code;
		(void)vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
		va_end(ap);
	}
	return -errnum;
}

int bl_err_sys(struct bl_err *err, int errnum, const char *fmt, ...)
{
	if (err) {
		va_list ap;
		size_t len;

		va_start(ap, fmt);
		err->code = BL_EX_INTERNAL;
		(void)vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
		va_end(ap);
		len = strlen(err->msg);
		(void)snprintf(err->msg + len, sizeof(err->msg) - len, ": %s", strerror(errnum));
	}
	return -errnum;
}

void bl_err_wrap(struct bl_err *err, const char *fmt, ...)
{
	char inner[BL_ERR_MSG_MAX];
	va_list ap;
	size_t len;

	if (!err)
		return;
	memcpy(inner, err->msg, sizeof(inner));
	va_start(ap, fmt);
	(void)vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	len = strlen(err->msg);
	(void)snprintf(err->msg + len, sizeof(err->msg) - len, "%s", inner);
}
