// SPDX-License-Identifier: Apache-2.0
/* ballastd.json. */
#include <stddef.h>
#include <stdint.h>

#include "agent/config.h"
#include "common/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct bl_config config;
	struct bl_err err = {0};

	if (bl_config_parse((const char *)data, len, &config, &err) == 0) {
		(void)bl_config_tenant_quota(&config, "team-a");
		(void)bl_config_group_may(&config, "team-a");
		bl_config_done(&config);
	}
	return 0;
}
