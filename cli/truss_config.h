/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Truss's config.yaml as Ballast needs it: what becomes an annotation, and what the bundle must
 * know. Keys are checked as Truss checks them; a field that this program cannot honour is a
 * warning, or an error where the server would start without its weights.
 */
#ifndef BL_TRUSS_CONFIG_H
#define BL_TRUSS_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/weights.h"

struct bl_err;

struct bl_truss_config {
	bl_json *annotations; /* object: key to text, as a runtime has them */
	struct bl_weights weights;
	char *model_name; /* NULL where there is none */
	char *image;	  /* base_image.image, NULL where there is none */
	char *data_dir;	  /* NULL: "data" */
	char *start_command;
	int64_t run_as_user_id; /* 0 where there is none */
	int64_t server_port;	/* 0 where there is none */
	bool no_build;
	struct bl_buf warnings; /* lines */
};

/* Reads the file; *ret is the caller's. Messages begin with "FILE:LINE: ". BL_EX_CONFIG. */
int bl_truss_config_read(const char *path, struct bl_truss_config *ret, struct bl_err *err);

/* Its two halves: appends the file's text to buf; reads a text that messages call `name`. */
int bl_truss_config_load(const char *path, struct bl_buf *buf, struct bl_err *err);
int bl_truss_config_parse(const char *name, const char *text, size_t len,
			  struct bl_truss_config *ret, struct bl_err *err);

void bl_truss_config_done(struct bl_truss_config *config);
#define auto_truss_config __attribute__((cleanup(bl_truss_config_done))) struct bl_truss_config

#endif
