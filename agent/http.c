// SPDX-License-Identifier: Apache-2.0
/*
 * Connections and what libmicrohttpd calls back. Requests are taken apart in request.c.
 */
#include "agent/http.h"

#include <errno.h>
#include <limits.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/request.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/sys.h"

#define GROUPS_MAX 1024
#define STARVED_MS 1000

static void client_overdue(struct bl_timer *timer)
{
	struct bl_client *client = timer->data;

	/* libmicrohttpd sees the end of the stream and closes the connection itself. */
	(void)shutdown(client->fd, SHUT_RDWR);
}

void bl_http_expect(struct bl_client *client, uint64_t ms)
{
	bl_loop_after(client->http->loop, &client->deadline, ms, client_overdue, client);
}

/* ---- Connections ---- */

static bool in_group(int fd, gid_t primary, gid_t wanted)
{
	gid_t groups[GROUPS_MAX];
	socklen_t len = sizeof(groups);

	if (primary == wanted)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) < 0)
		return false;
	for (size_t i = 0; i < len / sizeof(*groups); i++)
		if (groups[i] == wanted)
			return true;
	return false;
}

/* Who is at the other end; false where the kernel does not say. */
static bool identify(const struct bl_http *http, int fd, bool tcp, struct bl_peer *ret)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	*ret = (struct bl_peer){.uid = (uid_t)-1, .tcp = tcp};
	if (tcp)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 || len != sizeof(cred))
		return false;
	ret->uid = cred.uid;
	ret->root = cred.uid == 0;
	ret->group = http->has_group && in_group(fd, cred.gid, http->group);
	return true;
}

static void client_drop(struct bl_client *client)
{
	struct bl_http *http = client->http;

	bl_loop_cancel(&client->deadline);
	if (client->prev)
		client->prev->next = client->next;
	else
		http->clients = client->next;
	if (client->next)
		client->next->prev = client->prev;
	http->count--;
	if (client->peer.tcp)
		http->tcps--;
	else if (!client->peer.root)
		http->others--;
	free(client);
}

static void listen_for(struct bl_http *http, struct bl_watch *listener, bool wanted)
{
	struct epoll_event event = {.events = wanted ? EPOLLIN : 0, .data.ptr = listener};

	if (listener->fd >= 0)
		(void)epoll_ctl(http->loop->epoll, EPOLL_CTL_MOD, listener->fd, &event);
}

/* Clients wait in the kernel's queue while there are too many; root's are never turned away. */
static void watch_local(struct bl_http *http)
{
	bool full = http->count >= BL_HTTP_CLIENTS;

	if (full == http->full)
		return;
	http->full = full;
	if (!http->starved)
		listen_for(http, &http->local, !full);
}

static void breathe(struct bl_http *http)
{
	if (!http->starved)
		return;
	http->starved = false;
	bl_loop_cancel(&http->breath);
	listen_for(http, &http->local, !http->full);
	listen_for(http, &http->tcp, true);
}

static void breath_over(struct bl_timer *timer)
{
	breathe(timer->data);
}

/*
 * No descriptor is left, or no memory: who waits in the kernel's queue would wake us again and
 * again. A connection that ends makes room; so may a download, which nobody tells us of.
 */
static void starve(struct bl_http *http)
{
	http->starved = true;
	listen_for(http, &http->local, false);
	listen_for(http, &http->tcp, false);
	bl_loop_after(http->loop, &http->breath, STARVED_MS, breath_over, http);
}

/* Whether there is room for one more like this. */
static bool may_come(const struct bl_http *http, const struct bl_peer *peer)
{
	size_t own = 0;

	if (peer->root)
		return true;
	if (peer->tcp)
		return http->tcps < BL_HTTP_TCP;
	if (http->others >= BL_HTTP_OTHERS)
		return false;
	for (const struct bl_client *at = http->clients; at; at = at->next)
		own += !at->peer.tcp && at->peer.uid == peer->uid;
	return own < BL_HTTP_USER;
}

static void client_accept(struct bl_http *http, int listener, bool tcp)
{
	auto_fd fd = bl_sys_accept(listener);
	struct sockaddr address = {.sa_family = AF_UNIX};
	struct bl_client *client;
	struct bl_peer peer;

	if (fd == -EMFILE || fd == -ENFILE || fd == -ENOBUFS || fd == -ENOMEM)
		starve(http);
	if (fd < 0 || !identify(http, fd, tcp, &peer) || !may_come(http, &peer))
		return;
	client = calloc(1, sizeof(*client));
	if (!client)
		return;
	*client = (struct bl_client){.http = http, .fd = fd, .peer = peer, .next = http->clients};
	if (client->next)
		client->next->prev = client;
	http->clients = client;
	http->count++;
	http->tcps += peer.tcp;
	http->others += !peer.tcp && !peer.root;
	/* client_connected() finds it by its descriptor: the head of the list. */
	bl_http_expect(client, BL_HTTP_REQUEST_MS);
	if (MHD_add_connection(http->daemon, TAKE_FD(fd), &address, sizeof(address)) != MHD_YES) {
		/* It closed the descriptor. Where it had told client_connected(), it has told of the end too, and
		 * the client is gone. */
		if (http->clients == client && !client->known)
			client_drop(client);
	}
	watch_local(http);
}

static void listener_ready(struct bl_watch *watch, uint32_t events)
{
	struct bl_http *http = watch->data;

	if (events & EPOLLIN)
		client_accept(http, watch->fd, watch == &http->tcp);
}

static void client_connected(void *data, struct MHD_Connection *connection, void **slot,
			     enum MHD_ConnectionNotificationCode code)
{
	struct bl_http *http = data;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		const union MHD_ConnectionInfo *info =
			MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

		for (struct bl_client *client = http->clients; info && client;
		     client = client->next) {
			if (client->fd != info->connect_fd || client->known)
				continue;
			client->known = true;
			*slot = client;
			return;
		}
	} else if (*slot) {
		client_drop(*slot);
		*slot = NULL;
		watch_local(http);
		breathe(http);
	}
}

static void request_completed(void *data, struct MHD_Connection *connection, void **slot,
			      enum MHD_RequestTerminationCode code)
{
	struct bl_request *request = *slot;

	(void)data;
	(void)connection;
	if (!request)
		return;
	if (code == MHD_REQUEST_TERMINATED_COMPLETED_OK)
		bl_http_expect(request->client, BL_HTTP_REQUEST_MS);
	bl_request_free(request);
	*slot = NULL;
}

/* ---- Start, run, stop ---- */

/* Names are compared as they come: a percent sign is no part of any of ours. */
static size_t keep_escapes(void *data, struct MHD_Connection *connection, char *text)
{
	(void)data;
	(void)connection;
	return strlen(text);
}

static void engine_ready(struct bl_watch *watch, uint32_t events)
{
	(void)events;
	(void)MHD_run(((struct bl_http *)watch->data)->daemon);
}

/* libmicrohttpd wants to run again by then, whether something comes or not. */
static int engine_prepare(void *data)
{
	struct bl_http *http = data;
	MHD_UNSIGNED_LONG_LONG ms;

	/* What was resumed makes no descriptor readable, and counts for no timeout. */
	while (http->resumed) {
		http->resumed = false;
		(void)MHD_run(http->daemon);
	}
	if (MHD_get_timeout(http->daemon, &ms) != MHD_YES)
		return -1;
	if (ms == 0)
		(void)MHD_run(http->daemon);
	if (ms == 0 && MHD_get_timeout(http->daemon, &ms) != MHD_YES)
		return -1;
	return ms > INT_MAX ? INT_MAX : (int)ms;
}

static struct MHD_Daemon *start_engine(struct bl_http *http)
{
	return MHD_start_daemon(
		MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
		bl_request_access, http, MHD_OPTION_NOTIFY_CONNECTION, client_connected, http,
		MHD_OPTION_NOTIFY_COMPLETED, request_completed, http, MHD_OPTION_UNESCAPE_CALLBACK,
		keep_escapes, NULL, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)BL_HTTP_HEADERS,
		MHD_OPTION_CONNECTION_LIMIT, (unsigned)(BL_HTTP_CLIENTS + BL_HTTP_TCP + 8),
		MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
}

int bl_http_start(struct bl_http *http, struct bl_loop *loop, int local, int tcp, gid_t group,
		  const struct bl_route *routes, void *data, struct bl_err *err)
{
	const union MHD_DaemonInfo *info;
	int r;

	*http = (struct bl_http){.loop = loop,
				 .routes = routes,
				 .data = data,
				 .group = group,
				 .has_group = group != (gid_t)-1,
				 .engine = BL_WATCH_INIT,
				 .local = BL_WATCH_INIT,
				 .tcp = BL_WATCH_INIT};
	http->daemon = start_engine(http);
	if (!http->daemon)
		return bl_err_sys(err, errno ? errno : EIO, "start the HTTP server");
	info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	r = info ? bl_loop_watch(loop, &http->engine, info->epoll_fd, EPOLLIN, engine_ready, http,
				 err)
		 : bl_err_sys(err, EIO, "libmicrohttpd has no epoll");
	if (r == 0)
		r = bl_loop_watch(loop, &http->local, local, EPOLLIN, listener_ready, http, err);
	if (r == 0 && tcp >= 0)
		r = bl_loop_watch(loop, &http->tcp, tcp, EPOLLIN, listener_ready, http, err);
	if (r < 0) {
		bl_http_stop(http);
		return r;
	}
	loop->prepare = engine_prepare;
	loop->prepare_data = http;
	return 0;
}

void bl_http_stop(struct bl_http *http)
{
	if (!http->daemon)
		return;
	bl_loop_unwatch(http->loop, &http->local);
	bl_loop_unwatch(http->loop, &http->tcp);
	bl_loop_unwatch(http->loop, &http->engine);
	bl_loop_cancel(&http->breath);
	http->loop->prepare = NULL;
	/*
	 * A suspended connection must not be there when the daemon stops. Who waits gets no answer, and who asks
	 * just now is not heard: a broken connection is what a client tries again, and the next agent takes up
	 * where this one ends.
	 */
	http->stopping = true;
	for (struct bl_client *client = http->clients; client; client = client->next)
		if (client->request && client->request->waiters)
			bl_request_break(client->request);
	(void)MHD_run(http->daemon);
	MHD_stop_daemon(http->daemon);
	http->daemon = NULL;
}
