// SPDX-License-Identifier: Apache-2.0
/* The answer of AssumeRoleWithWebIdentity: a key is whole or none. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "fetch/auth/oidc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bl_sigv4_key key = {0};
	int64_t expires = 0;
	struct bl_err err;

	if (bl_oidc_read_aws((const char *)data, size, &key, &expires, &err) == 0)
		assert(key.id && key.secret && key.session && expires >= 0);
	else
		assert(!key.id && !key.secret && !key.session);
	bl_sigv4_key_done(&key);
	return 0;
}
