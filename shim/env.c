// SPDX-License-Identifier: Apache-2.0
#include "shim/env.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "shim/command.h"
#include "shim/orders.h"

#define OWN_ENTRIES 8 /* at most what this file adds by itself */

/* Where each name stands in the list: an open hash, so that a hostile environment costs no more. */
struct places {
	uint32_t *slots; /* owned: index + 1, 0 for an empty slot */
	size_t mask;
};

static void places_done(struct places *places)
{
	bl_cleanup_free(&places->slots);
}

static size_t name_len(const char *entry)
{
	return strcspn(entry, "=");
}

static size_t hash(const char *name, size_t len)
{
	uint32_t value = 2166136261U;

	for (size_t i = 0; i < len; i++)
		value = (value ^ (unsigned char)name[i]) * 16777619U;
	return value;
}

/* The slot of this name: the one it has, or the free one where it belongs. */
static uint32_t *find(const struct bl_env *env, const struct places *places, const char *entry)
{
	size_t len = name_len(entry);
	size_t at = hash(entry, len) & places->mask;

	while (places->slots[at]) {
		const char *other = env->list[places->slots[at] - 1];

		if (name_len(other) == len && memcmp(other, entry, len) == 0)
			break;
		at = (at + 1) & places->mask;
	}
	return &places->slots[at];
}

/* As snprintf(to, size, "%s%s", name, value) does, which would cost two pages of stack. */
static void join(char *to, size_t size, const char *name, const char *value)
{
	size_t name_size = strlen(name);
	size_t len = strnlen(value, size - name_size - 1);

	memcpy(to, name, name_size);
	memcpy(to + name_size, value, len);
	to[name_size + len] = '\0';
}

static void set(struct bl_env *env, struct places *places, const char *entry)
{
	uint32_t *slot = find(env, places, entry);

	if (*slot) {
		env->list[*slot - 1] = entry;
		return;
	}
	env->list[env->count++] = entry;
	*slot = (uint32_t)env->count;
}

static void set_default(struct bl_env *env, struct places *places, const char *entry)
{
	if (!*find(env, places, entry))
		set(env, places, entry);
}

static bool ends_with(const char *name, size_t len, const char *end)
{
	size_t end_len = strlen(end);

	return len >= end_len && memcmp(name + len - end_len, end, end_len) == 0;
}

/* Of the entry's name, up to its `=`. */
static bool is_reserved(const char *entry)
{
	static const char *const whole[] = {"PORT", "HOST", "HOSTNAME"};
	static const char *const ends[] = {"_SERVICE_HOST", "_SERVICE_PORT", "PATH"};
	size_t len = name_len(entry);

	for (size_t i = 0; i < sizeof(whole) / sizeof(*whole); i++)
		if (strlen(whole[i]) == len && memcmp(entry, whole[i], len) == 0)
			return true;
	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++)
		if (ends_with(entry, len, ends[i]))
			return true;
	return false;
}

const char *bl_env_get(const struct bl_env *env, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < env->count; i++)
		if (strncmp(env->list[i], name, len) == 0 && env->list[i][len] == '=')
			return env->list[i] + len + 1;
	return NULL;
}

/* HOME as far as the spec's variables do not set it. */
static const char *choose_home(const struct bl_orders *orders, const struct bl_user *user)
{
	const char *home = orders->home;

	if (home && home[0] == '/' && strcmp(home, "/") != 0 &&
	    (user->uid == 0 || strcmp(home, "/root") != 0))
		return home;
	if (user->home[0] == '/' && strcmp(user->home, "/") != 0)
		return user->home;
	return user->uid == 0 ? "/root" : "/home/app";
}

static void apply_spec(struct bl_env *env, struct places *places, const struct bl_orders *orders,
		       bl_say_fn *say)
{
	for (size_t i = 0; i < orders->env_count; i++) {
		const char *entry = orders->env[i];

		if (is_reserved(entry))
			say("environment variable %.*s dropped: the platform sets this name",
			    (int)name_len(entry), entry);
		else
			set(env, places, entry);
	}
}

static void apply_defaults(struct bl_env *env, struct places *places, const struct bl_user *user)
{
	const char *name = user->name[0] ? user->name : user->uid == 0 ? "root" : "app";
	char *python = env->entries + strlen(env->entries) + 1;
	size_t len = sizeof("PYTHON_EXECUTABLE=") - 1;

	join(env->user_entry, sizeof(env->user_entry), "USER=", name);
	join(env->logname_entry, sizeof(env->logname_entry), "LOGNAME=", name);
	set_default(env, places, "APP_HOME=/app");
	set_default(env, places, env->user_entry);
	set_default(env, places, env->logname_entry);
	memcpy(python, "PYTHON_EXECUTABLE=", len + 1);
	if (!*find(env, places, python) &&
	    bl_command_find("python3", bl_env_get(env, "PATH"), python + len, BL_MAX_PATH + 1) >= 0)
		set(env, places, python);
}

static int allocate(struct bl_env *env, struct places *places, size_t most)
{
	size_t slots = 16;

	while (slots < 2 * most)
		slots *= 2;
	places->mask = slots - 1;
	places->slots = calloc(slots, sizeof(*places->slots));
	env->list = calloc(most + 1, sizeof(*env->list));
	return places->slots && env->list ? 0 : -1;
}

int bl_env_build(struct bl_env *ret, const char *const *image, const struct bl_orders *orders,
		 const struct bl_user *user, bl_say_fn *say, struct bl_err *err)
{
	__attribute__((cleanup(places_done))) struct places places = {0};
	size_t most = orders->env_count + OWN_ENTRIES;
	const char *home;

	for (size_t i = 0; image[i]; i++)
		most++;
	if (allocate(ret, &places, most) < 0)
		return bl_err_nomem(err);
	for (size_t i = 0; image[i]; i++)
		set(ret, &places, image[i]);
	join(ret->entries, sizeof("HOME=") + BL_MAX_PATH, "HOME=", choose_home(orders, user));
	set(ret, &places, ret->entries);
	apply_spec(ret, &places, orders, say);
	apply_defaults(ret, &places, user);
	home = bl_env_get(ret, "HOME");
	ret->home = home ? home : "";
	return 0;
}

void bl_env_done(struct bl_env *env)
{
	free(env->list);
	env->list = NULL;
	env->count = 0;
}
