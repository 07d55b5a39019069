/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cost [--of PID] RESULT COMMAND...: runs the command and writes what it cost into the file RESULT:
 * seconds, seconds of processor time (user and system), and KiB of memory at most. With --of those
 * two are of that process and its children (the agent and the fetch processes that it starts),
 * together, and not of the command, which only asks for the work. Ends as the command does.
 */
#include <ctype.h>
#include <err.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SAMPLE 20 /* ms between two looks at the memory of children */

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static bool read_file(char *to, size_t size, const char *format, const char *pid)
{
	char path[128];
	FILE *file;
	size_t n;

	(void)snprintf(path, sizeof(path), format, pid, pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	n = fread(to, 1, size - 1, file);
	to[n] = '\0';
	(void)fclose(file);
	return n > 0;
}

/* Of the process and the children that it has waited for. */
static double cpu_of(const char *pid)
{
	unsigned long user, kernel, user_children, kernel_children;
	char text[1024];
	const char *end;

	if (!read_file(text, sizeof(text), "/proc/%s/stat", pid) || !(end = strrchr(text, ')')) ||
	    sscanf(end + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %lu %lu", &user,
		   &kernel, &user_children, &kernel_children) != 4)
		errx(1, "no process %s", pid);
	return (double)(user + kernel + user_children + kernel_children) /
	       (double)sysconf(_SC_CLK_TCK);
}

/* The most that it ever had, KiB. */
static long peak_of(const char *pid)
{
	char text[4096];
	const char *line;

	if (!read_file(text, sizeof(text), "/proc/%s/status", pid))
		return 0;
	line = strstr(text, "\nVmHWM:");
	return line ? strtol(line + 7, NULL, 10) : 0;
}

static long peak_of_children(const char *pid)
{
	char text[4096], *rest = text;
	const char *child;
	long sum = 0;

	if (read_file(text, sizeof(text), "/proc/%s/task/%s/children", pid))
		while ((child = strsep(&rest, " \n")))
			sum += isdigit((unsigned char)*child) ? peak_of(child) : 0;
	return sum;
}

int main(int argc, char **argv)
{
	const char *of = argc > 3 && strcmp(argv[1], "--of") == 0 ? argv[2] : NULL;
	char **rest = argv + (of ? 3 : 1);
	struct rusage usage;
	long peak = 0;
	int status;

	if (argc - (rest - argv) < 2)
		errx(2, "usage: cost [--of PID] RESULT COMMAND...");
	double cpu = of ? cpu_of(of) : 0, begin = now();
	pid_t child = fork();
	if (child == 0) {
		execvp(rest[1], rest + 1);
		err(127, "%s", rest[1]);
	}
	int pidfd = child < 0 ? -1 : (int)syscall(SYS_pidfd_open, child, 0);
	if (pidfd < 0)
		err(1, "start a process");
	while (of && poll(&(struct pollfd){.fd = pidfd, .events = POLLIN}, 1, SAMPLE) == 0) {
		long children = peak_of_children(of);

		peak = children > peak ? children : peak;
	}
	if (wait4(child, &status, 0, &usage) < 0)
		err(1, "wait");
	double seconds = now() - begin;
	if (of) {
		cpu = cpu_of(of) - cpu;
		peak += peak_of(of);
	} else {
		cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
		      (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
		peak = usage.ru_maxrss;
	}
	FILE *result = fopen(rest[0], "we");
	if (!result || fprintf(result, "%.6f %.6f %ld\n", seconds, cpu, peak) < 0 || fclose(result))
		err(1, "%s", rest[0]);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
