// SPDX-License-Identifier: Apache-2.0
/* Every code point there and back, and what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/utf8.h"

/* Its bytes as RFC 3629 writes them, surrogates and what lies beyond U+10FFFF too. */
static size_t encode(uint32_t point, unsigned char *to)
{
	size_t len = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
	static const unsigned char first[] = {0, 0, 0xc0, 0xe0, 0xf0};

	for (size_t i = len; i > 1; i--) {
		to[i - 1] = (unsigned char)(0x80 | (point & 0x3f));
		point >>= 6;
	}
	to[0] = (unsigned char)(first[len] | point);
	return len;
}

static void test_all(void **state)
{
	(void)state;
	for (uint32_t point = 1; point < 0x120000; point++) {
		unsigned char bytes[5] = {0};
		uint32_t got = 0;
		size_t len = encode(point, bytes);
		int good = point <= 0x10ffff && (point < 0xd800 || point > 0xdfff);

		if (bl_utf8_decode(bytes, BL_UTF8_MOST, &got) != (good ? len : 0) ||
		    got != (good ? point : 0))
			fail_msg("U+%X", (unsigned)point);
		if (bl_utf8_decode(bytes, len - 1, &got) != 0)
			fail_msg("U+%X: a byte beyond what is left was read", (unsigned)point);
	}
}

static void test_none(void **state)
{
	static const char *const none[] = {
		"\x80",		"\xbf",		"\xc0\x80",	    "\xc1\xbf",
		"\xe0\x9f\xbf", "\xc3",		"\xe2\x82",	    "\xf0\x9f\x98",
		"\xc3\x28",	"\xe2\x28\xa1", "\xf0\x8f\xbf\xbf", "\xf5\x80\x80\x80",
		"\xff"};
	uint32_t got;

	(void)state;
	for (size_t i = 0; i < sizeof(none) / sizeof(*none); i++)
		if (bl_utf8_decode(none[i], BL_UTF8_MOST, &got) != 0)
			fail_msg("number %zu was taken", i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_all), cmocka_unit_test(test_none)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
