/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bare ADDRESS PORT CONNECTIONS DIR PATH SIZE...: what a download costs at the very least. So many
 * threads, a connection each, ask for ranges of files whose sizes are known, and write what they
 * receive where it belongs. No check of any answer, no digest, no sync: only for measuring against.
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

#define CHUNK  (INT64_C(16) << 20)
#define BUFFER (256 * 1024)
#define MAX    64

static struct sockaddr_in origin;
static const char *address;

static struct file {
	const char *path;
	int64_t size;
	int fd;
} files[MAX];
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

static void bring(int sock, const struct file *file, int64_t from, int64_t to, char *buffer)
{
	size_t have = 0;
	const char *body;
	int len = snprintf(buffer, BUFFER,
			   "GET %s HTTP/1.1\r\nHost: %s\r\nRange: bytes=%lld-%lld\r\n\r\n",
			   file->path, address, (long long)from, (long long)to - 1);

	if (send(sock, buffer, (size_t)len, MSG_NOSIGNAL) != len)
		err(1, "send");
	do {
		ssize_t n = recv(sock, buffer + have, BUFFER - 1 - have, 0);

		if (n <= 0)
			errx(1, "no answer");
		have += (size_t)n;
		buffer[have] = '\0';
	} while (!(body = strstr(buffer, "\r\n\r\n")));
	if (strncmp(buffer, "HTTP/1.1 206", 12) != 0)
		errx(1, "%.*s", (int)strcspn(buffer, "\r"), buffer);
	body += 4;
	have -= (size_t)(body - buffer);
	put(file->fd, body, have, from);
	for (from += (int64_t)have; from < to; from += (int64_t)have) {
		size_t most = to - from < BUFFER ? (size_t)(to - from) : BUFFER;
		ssize_t n = recv(sock, buffer, most, MSG_WAITALL);

		if (n <= 0)
			errx(1, "the connection broke");
		have = (size_t)n;
		put(file->fd, buffer, have, from);
	}
}

static void *work(void *unused)
{
	char *buffer = malloc(BUFFER);
	int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct file *file;
	int64_t from, to;

	if (!buffer || sock < 0 || connect(sock, (struct sockaddr *)&origin, sizeof(origin)) < 0)
		err(1, "connect");
	while (take(&file, &from, &to))
		bring(sock, file, from, to, buffer);
	close(sock);
	free(buffer);
	return unused;
}

int main(int argc, char **argv)
{
	pthread_t threads[MAX];
	int n = argc > 3 ? atoi(argv[3]) : 0;

	if (n < 1 || n > MAX || argc < 7 || argc > 5 + 2 * MAX || argc % 2 == 0)
		errx(2, "usage: bare ADDRESS PORT CONNECTIONS DIR PATH SIZE...");
	address = argv[1];
	origin = (struct sockaddr_in){.sin_family = AF_INET,
				      .sin_port = htons((uint16_t)atoi(argv[2]))};
	if (inet_pton(AF_INET, address, &origin.sin_addr) != 1 || chdir(argv[4]) < 0)
		errx(2, "no such address or directory");
	for (int i = 5; i < argc; i += 2) {
		const char *name = strrchr(argv[i], '/');
		struct file *file = &files[n_files++];

		file->path = argv[i];
		file->size = atoll(argv[i + 1]);
		file->fd = open(name ? name + 1 : argv[i], O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
		if (file->fd < 0 || ftruncate(file->fd, file->size) < 0)
			err(1, "%s", argv[i]);
	}
	for (int i = 0; i < n; i++)
		if (pthread_create(&threads[i], NULL, work, NULL) != 0)
			errx(1, "no thread");
	for (int i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	return 0;
}
