// SPDX-License-Identifier: Apache-2.0
/*
 * ballastd: start and end. All else happens in callbacks of the loop.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/api.h"
#include "agent/late.h"
#include "agent/listen.h"
#include "agent/options.h"
#include "agent/store.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/log.h"

#define WORKERS	      4
#define QUICK_WORKERS 2
#define PREPARE_DELAY 2 /* ms: by then the container that waits has its answer */

/* ---- Surroundings ---- */

/* No core dump, no tracer, and as many descriptors as we may have. */
static void settle_process(void)
{
	struct rlimit limit = {0, 0};

	(void)setrlimit(RLIMIT_CORE, &limit);
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
	(void)umask(077);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN); /* a limit is an error of the write, as a full disk is */
	/* Whoever ignores it has its children reaped by the kernel, and waits for them for ever. */
	(void)signal(SIGCHLD, SIG_DFL);
}

/* Tells systemd, where it started us (sd_notify(3), without its library). */
static void notify(const char *state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *path = getenv("NOTIFY_SOCKET");
	auto_fd fd = -1;
	socklen_t len;

	if (!path || (*path != '/' && *path != '@') || strlen(path) >= sizeof(address.sun_path))
		return;
	(void)strcpy(address.sun_path, path);
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	if (*path == '@')
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		(void)sendto(fd, state, strlen(state), MSG_NOSIGNAL,
			     (const struct sockaddr *)&address, len);
}

static void tell_container(const struct bl_container *container, const char *what)
{
	const struct bl_log_field fields[] = {
		{"container", container->id},
		{"name", container->name},
		{"tenant", container->tenant},
		{"state", bl_containers_state_name(container->state)},
	};

	bl_log_with(container->state == BL_CONTAINER_FAILED ? BL_LOG_WARNING : BL_LOG_INFO, fields,
		    sizeof(fields) / sizeof(*fields), "%s", what);
}

static void tell_pull(const struct bl_pull *pull, const char *what)
{
	const struct bl_log_field fields[] = {{"pull", pull->id}, {"tenant", pull->tenant}};

	bl_log_with(pull->state == BL_PULL_FAILED ? BL_LOG_WARNING : BL_LOG_INFO, fields,
		    sizeof(fields) / sizeof(*fields), "%s", what);
}

static void tell(enum bl_log_level level, const char *what)
{
	bl_log(level, "%s", what);
}

static void signal_ready(struct bl_watch *watch, uint32_t events)
{
	struct bl_node *agent = watch->data;
	struct signalfd_siginfo info;

	(void)events;
	if (read(watch->fd, &info, sizeof(info)) == sizeof(info))
		bl_loop_stop(&agent->loop);
}

static int open_signals(void)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* ---- The agent ---- */

static void prepare_lease(struct bl_timer *timer)
{
	bl_store_lease_prepare(timer->data);
}

/* A lease was written: it is synced, and the next one's file made, once its container is answered. */
static void sync_leases(void *data)
{
	struct bl_node *agent = data;

	if (!agent->collector.pool)
		return;
	bl_collector_sync(&agent->collector);
	bl_loop_after(&agent->loop, &agent->prepare, PREPARE_DELAY, prepare_lease, agent->store);
}

static int open_store(struct bl_node *agent, const char *path, struct bl_err *err)
{
	const struct bl_store_options store = {
		.path = path,
		.max_bytes = agent->config.cache_quota,
		.high_percent = (unsigned)agent->config.high_water,
		.low_percent = (unsigned)agent->config.low_water,
		.lease_grace = (int64_t)agent->config.lease_grace,
		.unsynced = sync_leases,
		.data = agent,
	};

	return bl_store_open(&store, &agent->store, err);
}

static int open_spawn(struct bl_node *agent, const struct bl_options *options, struct bl_err *err)
{
	int r = bl_spawn_init(&agent->spawn, options->fetch, agent->config.job,
			      options->log_level == BL_LOG_DEBUG, err);

	if (r == 0 && !agent->spawn.confined)
		bl_log(BL_LOG_WARNING,
		       "no Landlock here (the kernel lacks it or its lsm= does, or a "
		       "filter denies it): "
		       "fetch processes can open what any user of the host can");
	return r;
}

/* Tells the parts of each other. */
static void connect_parts(struct bl_node *agent, const struct bl_options *options)
{
	agent->collector = (struct bl_collector){
		.loop = &agent->loop,
		.pool = &agent->pool,
		.store = agent->store,
		.config = &agent->config,
		.tell = tell,
	};
	agent->works = (struct bl_works){
		.loop = &agent->loop,
		.pool = &agent->pool,
		.quick = &agent->quick,
		.store = agent->store,
		.collector = &agent->collector,
		.spawn = &agent->spawn,
		.config = &agent->config,
		.secrets_dir = options->secrets_dir,
	};
	agent->containers = (struct bl_containers){
		.loop = &agent->loop,
		.store = agent->store,
		.works = &agent->works,
		.config = &agent->config,
		.tell = tell_container,
	};
	agent->pulls = (struct bl_pulls){
		.loop = &agent->loop,
		.store = agent->store,
		.works = &agent->works,
		.tell = tell_pull,
	};
	agent->prefetch = (struct bl_prefetch){
		.loop = &agent->loop,
		.pulls = &agent->pulls,
		.config = &agent->config,
		.tell = tell,
	};
}

static int open_agent(struct bl_node *agent, const struct bl_options *options, struct bl_err *err)
{
	int r = bl_config_load(options->config, !options->config_given, &agent->config, err);

	if (r == 0)
		r = open_spawn(agent, options, err);
	if (r == 0)
		r = open_store(agent, options->cache_dir, err);
	if (r == 0)
		r = bl_loop_init(&agent->loop, err);
	if (r == 0)
		r = bl_pool_init(&agent->pool, &agent->loop, WORKERS, err);
	if (r == 0)
		r = bl_pool_init(&agent->quick, &agent->loop, QUICK_WORKERS, err);
	if (r < 0)
		return r;
	connect_parts(agent, options);
	bl_store_lease_prepare(agent->store);
	bl_collector_start(&agent->collector);
	bl_prefetch_start(&agent->prefetch);
	return bl_containers_restore(&agent->containers, err);
}

/* In the order in which one thing stands on another. */
static void close_agent(struct bl_node *agent)
{
	bl_http_stop(&agent->http);
	bl_works_stop(&agent->works);
	bl_loop_cancel(&agent->prepare);
	bl_collector_stop(&agent->collector);
	if (agent->pool.loop)
		bl_pool_done(&agent->pool);
	if (agent->quick.loop)
		bl_pool_done(&agent->quick);
	bl_prefetch_stop(&agent->prefetch);
	bl_pulls_done(&agent->pulls);
	bl_containers_done(&agent->containers);
	bl_works_done(&agent->works);
	if (agent->loop.timers.next)
		bl_loop_done(&agent->loop);
	if (agent->store)
		bl_store_close(&agent->store);
	bl_spawn_done(&agent->spawn);
	bl_config_done(&agent->config);
}

static int serve(struct bl_node *agent, const struct bl_options *options, struct bl_err *err)
{
	struct bl_watch signals = BL_WATCH_INIT;
	auto_fd signal_fd = open_signals();
	auto_fd local = -1;
	auto_fd tcp = -1;
	int r;

	if (signal_fd < 0)
		return bl_err_sys(err, -signal_fd, "signalfd");
	r = open_agent(agent, options, err);
	if (r == 0) {
		local = bl_listen_unix(options->socket, agent->config.socket_group, err);
		r = local < 0 ? local : 0;
	}
	if (r == 0 && options->metrics_listen) {
		tcp = bl_listen_tcp(options->metrics_listen, err);
		r = tcp < 0 ? tcp : 0;
	}
	if (r == 0)
		r = bl_http_start(&agent->http, &agent->loop, local, tcp,
				  agent->config.socket_group, bl_api_routes, agent, err);
	if (r == 0)
		r = bl_loop_watch(&agent->loop, &signals, signal_fd, EPOLLIN, signal_ready, agent,
				  err);
	if (r == 0) {
		bl_log(BL_LOG_INFO, "ready at %s, %zu trees, %zu containers", options->socket,
		       bl_store_tree_count(agent->store), agent->containers.count);
		notify("READY=1");
		r = bl_loop_run(&agent->loop, err);
		notify("STOPPING=1");
		bl_log(BL_LOG_INFO, "stopping; leases and downloads are on disk");
	}
	if (local >= 0)
		bl_listen_remove(options->socket, local);
	close_agent(agent);
	return r;
}

int main(int argc, char **argv)
{
	static struct bl_node agent = {
		.spawn = {.program = -1, .namespace = -1}, .pool.event = -1, .quick.event = -1};
	struct bl_options options = {
		.socket = BL_PATH_SOCKET,
		.cache_dir = BL_PATH_CACHE,
		.secrets_dir = BL_PATH_SECRETS,
		.config = BL_PATH_CONFIG,
		.log_format = BL_LOG_TEXT,
		.log_level = BL_LOG_INFO,
	};
	struct bl_err err = {0};
	int r;

	if (argc == 2 && strcmp(argv[1], BL_LATE_OPTION) == 0)
		return bl_late_child();
	settle_process();
	bl_log_init("ballastd", BL_LOG_TEXT, BL_LOG_INFO);
	r = bl_options_parse(argc, argv, &options, &err);
	if (r > 0)
		return BL_EX_OK;
	bl_log_init("ballastd", options.log_format, options.log_level);
	if (r == 0 && geteuid() != 0)
		r = bl_err_refuse(&err, "ballastd must run as root: the cache is root's alone, and "
					"weights are mounted by it; run it with sudo");
	if (r == 0)
		r = serve(&agent, &options, &err);
	if (r < 0)
		bl_log(BL_LOG_ERROR, "%s", err.msg);
	return r < 0 ? err.code : BL_EX_OK;
}
