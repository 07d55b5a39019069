/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses and networks: which are of the public internet, and which lie in a network that the
 * operator named. No lookups here.
 */
#ifndef BL_FETCH_ADDRESS_H
#define BL_FETCH_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

/* An address of 4 or 16 bytes, with how many of its first bits count. */
struct bl_network {
	unsigned char bytes[16];
	unsigned char len;
	unsigned char bits;
};

/* "10.0.0.0/8", "fd00::/8", or an address alone. 0, or -EINVAL. */
int bl_address_parse_network(const char *text, struct bl_network *ret);

/* The address in a socket address; -EINVAL for one that is neither IPv4 nor IPv6. */
int bl_address_of(const struct sockaddr *from, struct bl_network *ret);

bool bl_address_in(const struct bl_network *address, const struct bl_network *network);

/*
 * Whether anybody on the internet could have this address: not loopback, private, link-local,
 * shared, multicast, reserved, for documentation, nor an IPv4 address of that kind inside an IPv6
 * one. What is mapped (::ffff:0:0/96) never is: nobody honest writes it.
 */
bool bl_address_is_public(const struct bl_network *address);

#endif
