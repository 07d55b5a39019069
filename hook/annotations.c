// SPDX-License-Identifier: Apache-2.0
#include "hook/annotations.h"

#include <string.h>
#include <strings.h>

#include "common/contract.h"
#include "common/err.h"
#include "common/weights.h"

static const char *const keys[BL_ANNOTATION_COUNT] = {
	[BL_ANNOTATION_WEIGHTS] = BL_KEY_WEIGHTS,
	[BL_ANNOTATION_DOCKER_SERVER] = BL_KEY_DOCKER_SERVER,
	[BL_ANNOTATION_ENVIRONMENT] = BL_KEY_ENVIRONMENT,
	[BL_ANNOTATION_SECRETS] = BL_KEY_SECRETS,
	[BL_ANNOTATION_WAIT] = BL_KEY_WAIT,
};

#define DOMAIN		"ballast.dev"
#define SCOPE_POD	"pod"
#define SCOPE_CONTAINER "container."

/* ---- Identity ---- */

/* The keys in which a runtime says who the container is. */
struct family {
	const char *marker; /* there in every container of a pod */
	const char *type, *tenant, *container;
	const char *hint; /* for who finds no tenant */
};

static const struct family families[] = {
	[BL_FAMILY_CRIO] =
		{"io.kubernetes.cri-o.SandboxID", "io.kubernetes.cri-o.ContainerType",
		 "io.kubernetes.pod.namespace", "io.kubernetes.container.name",
		 /* They have this marker, and nothing else that a pod's author could not write. */
		 "; for pods of Podman's own give the hook --runtime=none"},
	[BL_FAMILY_CONTAINERD] = {"io.kubernetes.cri.sandbox-id",
				  "io.kubernetes.cri.container-type",
				  "io.kubernetes.cri.sandbox-namespace",
				  "io.kubernetes.cri.container-name", ""},
};

/* Whether the key is there, be it null: in a map of texts runtimes take that as an empty one. */
static int has_key(const bl_json *annotations, const char *key, struct bl_err *err)
{
	const bl_json *value;
	int r = bl_json_get(annotations, key, &value, err);

	for (const bl_json *m = bl_json_first(annotations); m && r == 0; m = bl_json_next(m))
		r = strcmp(bl_json_key(m), key) == 0;
	return r;
}

/* Which family speaks, or BL_FAMILY_NONE. */
static int choose_family(const bl_json *annotations, enum bl_family wanted, enum bl_family *ret,
			 struct bl_err *err)
{
	int crio = 0;
	int containerd = 0;

	*ret = BL_FAMILY_NONE;
	if (wanted == BL_FAMILY_NONE)
		return 0;
	if (wanted != BL_FAMILY_CONTAINERD)
		crio = has_key(annotations, families[BL_FAMILY_CRIO].marker, err);
	if (wanted != BL_FAMILY_CRIO && crio >= 0)
		containerd = has_key(annotations, families[BL_FAMILY_CONTAINERD].marker, err);
	if (crio < 0 || containerd < 0)
		return crio < 0 ? crio : containerd;
	if (crio && containerd)
		return bl_err_refuse(err,
				     "the annotations %s and %s are both there, so nobody can "
				     "tell which runtime wrote them: give the hook "
				     "--runtime=cri-o or --runtime=containerd",
				     families[BL_FAMILY_CRIO].marker,
				     families[BL_FAMILY_CONTAINERD].marker);
	if (wanted != BL_FAMILY_AUTO && !crio && !containerd)
		return bl_err_refuse(err,
				     "the annotation %s is missing, and --runtime says that it "
				     "is always there",
				     families[wanted].marker);
	*ret = crio ? BL_FAMILY_CRIO : containerd ? BL_FAMILY_CONTAINERD : BL_FAMILY_NONE;
	return 0;
}

static int read_family(const bl_json *annotations, const struct family *family,
		       struct bl_annotations *ret, struct bl_err *err)
{
	const char *type = NULL;
	const char *tenant = NULL;
	int r = bl_json_get_string(annotations, family->type, &type, err);

	if (r < 0)
		return r;
	ret->pod = true;
	ret->sandbox = type && strcmp(type, "sandbox") == 0;
	if (ret->sandbox)
		return 0;
	if (!type || strcmp(type, "container") != 0)
		return bl_err_refuse(err,
				     "the annotation %s is neither \"container\" nor "
				     "\"sandbox\"",
				     family->type);
	r = bl_json_get_string(annotations, family->tenant, &tenant, err);
	if (r < 0)
		return r;
	if (!tenant || !bl_weights_is_tenant(tenant))
		return bl_err_refuse(err,
				     "the pod has no namespace in %s, so nobody can tell whose "
				     "secrets and weights it may have%s",
				     family->tenant, family->hint);
	ret->tenant = tenant;
	r = bl_json_get_string(annotations, family->container, &ret->container, err);
	if (r == 1 && ret->container[0] == '\0')
		ret->container = NULL;
	return r < 0 ? r : 0;
}

static int read_identity(const bl_json *annotations, const struct bl_options *options,
			 struct bl_annotations *ret, struct bl_err *err)
{
	enum bl_family family = BL_FAMILY_NONE;
	int r = choose_family(annotations, options->runtime, &family, err);

	ret->tenant = options->tenant;
	if (r < 0 || family == BL_FAMILY_NONE)
		return r;
	return read_family(annotations, &families[family], ret, err);
}

/* ---- Keys ---- */

enum scope { SCOPE_IS_NONE, SCOPE_IS_POD, SCOPE_IS_CONTAINER };

/* Whether the key's domain, before the slash, is ours in any spelling. */
static bool is_ours(const char *key, size_t len)
{
	size_t n = strlen(DOMAIN);

	return len >= n && strncasecmp(key + len - n, DOMAIN, n) == 0 &&
	       (len == n || key[len - n - 1] == '.');
}

static int unknown_key(const char *key, struct bl_err *err)
{
	return bl_err_config(err,
			     "%.200s: unknown annotation; there are " BL_KEY_WEIGHTS
			     ", " BL_KEY_DOCKER_SERVER ", " BL_KEY_ENVIRONMENT ", " BL_KEY_SECRETS
			     " and " BL_KEY_WAIT ", each alone or with /container.NAME or /pod",
			     key);
}

static int which_key(const char *key, size_t len, enum bl_annotation *ret, struct bl_err *err)
{
	for (size_t i = 0; i < BL_ANNOTATION_COUNT; i++) {
		if (strlen(keys[i]) == len && strncmp(key, keys[i], len) == 0) {
			*ret = (enum bl_annotation)i;
			return 0;
		}
	}
	return unknown_key(key, err);
}

/* What follows the key: nothing, "/pod" or "/container.NAME". */
static int which_scope(const char *key, const char *rest, enum scope *ret, const char **name,
		       struct bl_err *err)
{
	*ret = SCOPE_IS_NONE;
	if (*rest == '\0')
		return 0;
	rest++;
	*ret = SCOPE_IS_POD;
	if (strcmp(rest, SCOPE_POD) == 0)
		return 0;
	*ret = SCOPE_IS_CONTAINER;
	*name = rest + strlen(SCOPE_CONTAINER);
	if (strncmp(rest, SCOPE_CONTAINER, strlen(SCOPE_CONTAINER)) == 0 && **name)
		return 0;
	return unknown_key(key, err);
}

/* Whether a key with this scope may stand here at all. */
static int check_scope(const struct bl_annotations *to, const char *key, enum bl_annotation which,
		       enum scope scope, struct bl_err *err)
{
	if (scope != SCOPE_IS_NONE && !to->container)
		return bl_err_config(
			err,
			"%.200s: no container name is known here, so no annotation can "
			"be for one: write %s",
			key, keys[which]);
	if (scope == SCOPE_IS_NONE && to->pod && which != BL_ANNOTATION_WEIGHTS)
		return bl_err_config(err,
				     "%s: a pod may have several containers: write "
				     "%s/container.%.64s, or %s/pod for all of them",
				     key, key, to->container ? to->container : "NAME", key);
	return 0;
}

/* One key of ours. `ranks` holds how narrow the scope of each value so far is. */
static int take(struct bl_annotations *to, const bl_json *member, int *ranks, struct bl_err *err)
{
	const char *key = bl_json_key(member);
	size_t len = strcspn(key, "/");
	const char *name = NULL;
	enum bl_annotation which = BL_ANNOTATION_WEIGHTS;
	enum scope scope = SCOPE_IS_NONE;
	int r = which_key(key, len, &which, err);

	if (r == 0)
		r = which_scope(key, key + len, &scope, &name, err);
	if (r == 0)
		r = check_scope(to, key, which, scope, err);
	if (r < 0)
		return r;
	if (!bl_json_is_string(member))
		return bl_err_config(err, "%.200s: an annotation must be a string, not %s", key,
				     bl_json_kind(member));
	if (strlen(bl_json_string(member)) > BL_MAX_ANNOTATION)
		return bl_err_config(err, "%.200s: longer than %d bytes", key, BL_MAX_ANNOTATION);
	if (scope == SCOPE_IS_CONTAINER && strcmp(name, to->container) != 0)
		return 0;
	if ((int)scope < ranks[which])
		return 0;
	ranks[which] = (int)scope;
	to->values[which].key = key;
	to->values[which].text = bl_json_string(member);
	return 0;
}

static int take_all(const bl_json *annotations, struct bl_annotations *to, struct bl_err *err)
{
	int ranks[BL_ANNOTATION_COUNT] = {0};

	for (const bl_json *m = bl_json_first(annotations); m; m = bl_json_next(m)) {
		const char *key = bl_json_key(m);
		int r;

		if (!is_ours(key, strcspn(key, "/")))
			continue;
		to->found = true;
		r = take(to, m, ranks, err);
		if (r < 0)
			return r;
	}
	return 0;
}

bool bl_annotations_any(const struct bl_annotations *annotations)
{
	for (size_t i = 0; i < BL_ANNOTATION_COUNT; i++)
		if (annotations->values[i].text)
			return true;
	return false;
}

int bl_annotations_read(const bl_json *annotations, const struct bl_options *options,
			struct bl_annotations *ret, struct bl_err *err)
{
	struct bl_annotations read = {.tenant = options->tenant};
	int r = annotations ? read_identity(annotations, options, &read, err) : 0;

	if (r == 0 && annotations && !read.sandbox)
		r = take_all(annotations, &read, err);
	if (r < 0)
		return r;
	if (options->required && !read.found && !read.sandbox)
		return bl_err_config(err,
				     "no annotation below ." DOMAIN " has reached the hook, and "
				     "--required says that one is there; containerd passes them "
				     "on where its runtime has pod_annotations = "
				     "[\"*." DOMAIN "\", \"*." DOMAIN "/*\"]");
	*ret = read;
	return 0;
}
