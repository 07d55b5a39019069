/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bare [--tls] ADDRESS PORT CONNECTIONS DIR PATH SIZE...: what a download costs at the very least. So
 * many threads, a connection each, ask for ranges of files whose sizes are known, and write what they
 * receive where it belongs. No check of any answer or certificate, no digest, no sync: only for
 * measuring against.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/ssl.h>

#define CHUNK  (INT64_C(16) << 20)
#define BUFFER (256 * 1024)
#define MAX    256

static struct sockaddr_in origin;
static const char *address;
static SSL_CTX *tls; /* NULL: plain */

struct connection {
	int sock;
	SSL *ssl;
};

static struct file {
	const char *path;
	int64_t size;
} * files;
static int n_files;
static atomic_llong next_chunk;

/* The chunk that nobody has taken yet. */
static bool take(struct file **file, int64_t *from, int64_t *to)
{
	int64_t chunk = atomic_fetch_add(&next_chunk, 1);

	for (int i = 0; i < n_files; i++) {
		int64_t chunks = (files[i].size + CHUNK - 1) / CHUNK;

		if (chunk < chunks) {
			*file = &files[i];
			*from = chunk * CHUNK;
			*to = *from + CHUNK < files[i].size ? *from + CHUNK : files[i].size;
			return true;
		}
		chunk -= chunks;
	}
	return false;
}

static void put(int fd, const char *data, size_t len, int64_t at)
{
	while (len > 0) {
		ssize_t n = pwrite(fd, data, len, at);

		if (n < 0)
			err(1, "pwrite");
		data += n;
		at += n;
		len -= (size_t)n;
	}
}

static void send_all(const struct connection *to, const char *data, int len)
{
	if ((to->ssl ? SSL_write(to->ssl, data, len)
		     : send(to->sock, data, (size_t)len, MSG_NOSIGNAL)) != len)
		errx(1, "send");
}

static size_t receive(const struct connection *from, char *to, size_t most, int flags)
{
	ssize_t n =
		from->ssl ? SSL_read(from->ssl, to, (int)most) : recv(from->sock, to, most, flags);

	if (n <= 0)
		errx(1, "the connection broke");
	return (size_t)n;
}

static void bring(const struct connection *origin_of, const struct file *file, int64_t from,
		  int64_t to, char *buffer)
{
	const char *name = strrchr(file->path, '/'), *body;
	int fd = open(name ? name + 1 : file->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	size_t have = 0;
	int len = snprintf(buffer, BUFFER,
			   "GET %s HTTP/1.1\r\nHost: %s\r\nRange: bytes=%lld-%lld\r\n\r\n",
			   file->path, address, (long long)from, (long long)to - 1);

	if (fd < 0)
		err(1, "%s", file->path);
	send_all(origin_of, buffer, len);
	do {
		have += receive(origin_of, buffer + have, BUFFER - 1 - have, 0);
		buffer[have] = '\0';
	} while (!(body = strstr(buffer, "\r\n\r\n")));
	if (strncmp(buffer, "HTTP/1.1 206", 12) != 0)
		errx(1, "%.*s", (int)strcspn(buffer, "\r"), buffer);
	body += 4;
	have -= (size_t)(body - buffer);
	put(fd, body, have, from);
	for (from += (int64_t)have; from < to; from += (int64_t)have) {
		have = receive(origin_of, buffer, to - from < BUFFER ? (size_t)(to - from) : BUFFER,
			       MSG_WAITALL);
		put(fd, buffer, have, from);
	}
	close(fd);
}

static void secure(struct connection *connection)
{
	connection->ssl = SSL_new(tls);
	if (!connection->ssl || !SSL_set_fd(connection->ssl, connection->sock) ||
	    SSL_connect(connection->ssl) != 1)
		errx(1, "TLS");
}

static void *work(void *unused)
{
	struct connection connection = {.sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	char *buffer = malloc(BUFFER);
	struct file *file;
	int64_t from, to;

	if (!buffer || connection.sock < 0 ||
	    connect(connection.sock, (struct sockaddr *)&origin, sizeof(origin)) < 0)
		err(1, "connect");
	if (tls)
		secure(&connection);
	while (take(&file, &from, &to))
		bring(&connection, file, from, to, buffer);
	SSL_free(connection.ssl);
	close(connection.sock);
	free(buffer);
	return unused;
}

int main(int argc, char **argv)
{
	pthread_t threads[MAX];

	if (argc > 1 && strcmp(argv[1], "--tls") == 0) {
		tls = SSL_CTX_new(TLS_client_method());
		if (!tls)
			errx(1, "TLS");
		argc--;
		argv++;
	}
	int n = argc > 3 ? atoi(argv[3]) : 0;
	if (n < 1 || n > MAX || argc < 7 || argc % 2 == 0)
		errx(2, "usage: bare [--tls] ADDRESS PORT CONNECTIONS DIR PATH SIZE...");
	address = argv[1];
	origin = (struct sockaddr_in){.sin_family = AF_INET,
				      .sin_port = htons((uint16_t)atoi(argv[2]))};
	files = calloc((size_t)argc, sizeof(*files));
	if (!files || inet_pton(AF_INET, address, &origin.sin_addr) != 1 || chdir(argv[4]) < 0)
		errx(2, "no such address or directory");
	for (int i = 5; i < argc; i += 2)
		files[n_files++] = (struct file){argv[i], atoll(argv[i + 1])};
	for (int i = 0; i < n; i++)
		if (pthread_create(&threads[i], NULL, work, NULL) != 0)
			errx(1, "no thread");
	for (int i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	return 0;
}
