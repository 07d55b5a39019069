/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the API's handlers share. api.c has the table of routes and the containers, the other
 * api_*.c the rest; each handler's data is the struct bl_node.
 */
#ifndef BL_AGENT_API_H
#define BL_AGENT_API_H

#include "agent/http.h"
#include "agent/work.h"
#include "common/json.h"

extern const struct bl_route bl_api_routes[];

/* The body as an object with none but those keys, the caller's; NULL when the request is answered
 * (400) already. */
bl_json *bl_api_parse_body(struct bl_request *request, const char *const *keys);
void bl_api_bad_request(struct bl_request *request, const char *detail);
void bl_api_problem(struct bl_request *request, const struct bl_problem *problem);
void bl_api_no_memory(struct bl_request *request);

bl_http_handler bl_api_pulls_post, bl_api_pull_get, bl_api_pull_delete;
bl_http_handler bl_api_cache_get, bl_api_tree_delete, bl_api_pin_put, bl_api_pin_delete;
bl_http_handler bl_api_gc_post, bl_api_verify_post;
bl_http_handler bl_api_metrics_get;

#endif
