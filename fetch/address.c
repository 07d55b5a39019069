/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

int bl_address_parse_network(const char *text, struct bl_network *ret)
{
	struct bl_network network = {0};
	char host[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t)(slash - text) : strlen(text);

	if (len == 0 || len >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, len);
	host[len] = '\0';
	if (inet_pton(AF_INET, host, network.bytes) == 1)
		network.len = 4;
	else if (inet_pton(AF_INET6, host, network.bytes) == 1)
		network.len = 16;
	else
		return -EINVAL;
	network.bits = (unsigned char)(8 * network.len);
	if (slash) {
		size_t digits = strspn(slash + 1, "0123456789");
		unsigned long bits = strtoul(slash + 1, NULL, 10);

		if (digits == 0 || digits > 3 || slash[1 + digits] || bits > network.bits)
			return -EINVAL;
		network.bits = (unsigned char)bits;
	}
	*ret = network;
	return 0;
}

int bl_address_of(const struct sockaddr *from, struct bl_network *ret)
{
	struct bl_network address = {0};

	if (from->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)from;

		address.len = 4;
		memcpy(address.bytes, &in->sin_addr, 4);
	} else if (from->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)from;

		address.len = 16;
		memcpy(address.bytes, &in6->sin6_addr, 16);
	} else {
		return -EINVAL;
	}
	address.bits = (unsigned char)(8 * address.len);
	*ret = address;
	return 0;
}

bool bl_address_in(const struct bl_network *address, const struct bl_network *network)
{
	if (address->len != network->len)
		return false;
	unsigned whole = network->bits / 8, rest = network->bits % 8;
	if (memcmp(address->bytes, network->bytes, whole) != 0)
		return false;
	if (rest == 0)
		return true;
	unsigned mask = 0xffU & (0xffU << (8 - rest));
	return ((address->bytes[whole] ^ network->bytes[whole]) & mask) == 0;
}

static bool in_any(const struct bl_network *address, const char *const *networks)
{
	struct bl_network network;

	for (; *networks; networks++)
		if (bl_address_parse_network(*networks, &network) == 0 &&
		    bl_address_in(address, &network))
			return true;
	return false;
}

/* IANA's special-purpose registries, but for the few entries that are globally reachable; and the
 * address by which Azure's platform talks to its virtual machines. */
static bool is_public_v4(const struct bl_network *address)
{
	static const char *const special[] = {
		"0.0.0.0/8",
		"10.0.0.0/8",
		"100.64.0.0/10",
		"127.0.0.0/8",
		"169.254.0.0/16",
		"172.16.0.0/12",
		"192.0.0.0/24",
		"192.0.2.0/24",
		"192.88.99.0/24",
		"192.168.0.0/16",
		"198.18.0.0/15",
		"198.51.100.0/24",
		"203.0.113.0/24",
		"224.0.0.0/4",
		"240.0.0.0/4",
		"168.63.129.16",
		NULL,
	};

	return !in_any(address, special);
}

static bool is_public_embedded(const unsigned char *bytes)
{
	struct bl_network inner = {.len = 4, .bits = 32};

	memcpy(inner.bytes, bytes, 4);
	return is_public_v4(&inner);
}

bool bl_address_is_public(const struct bl_network *address)
{
	static const char *const nat64[] = {"64:ff9b::/96", NULL};
	static const char *const six_to_four[] = {"2002::/16", NULL};
	static const char *const global[] = {"2000::/3", NULL};
	static const char *const special[] = {"2001::/23", "2001:db8::/32", "3fff::/20", NULL};

	if (address->len == 4)
		return is_public_v4(address);
	if (in_any(address, nat64))
		return is_public_embedded(address->bytes + 12);
	if (in_any(address, six_to_four))
		return is_public_embedded(address->bytes + 2);
	return in_any(address, global) && !in_any(address, special);
}
