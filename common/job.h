/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between agent and fetch: one process a job, `ballast-fetch job`. The agent trusts nothing of it.
 *
 * Descriptor 0 is one JSON object, then end of file:
 *
 *   {"schema":1,
 *    "mode":"fetch" | "resolve",           resolve: list and promise, bring nothing (authorisation)
 *    "item":{...},                         one weights item, canonical (common/weights.h)
 *    "config":{"endpoints","allowed_origins","allowed_networks","ca_file","proxy","file_roots"},
 *    "secret":"...",                       content of auth_secret_name, if any
 *    "identity_token":"...",               OIDC token, if any
 *    "revision":"..."}                     pin: the resolved revision of an unfinished download
 *
 * Descriptor 3 is a SOCK_SEQPACKET; each message is one JSON object of at most
 * BL_MAX_JOB_MESSAGE bytes. From fetch:
 *
 *   {"type":"files","files":[{"path","size","sha256"?,"etag"?,"generation"?,"git_sha1"?,"md5"?,
 *                   "crc64nvme"?,"crc32c"?,"crc32"?}...]}  as many as needed, before "manifest"
 *   {"type":"manifest","files":N,"bytes":B,"revision"?:"...","credential":true|false}
 *                   credential: the origin wanted one (the answer without it was or would be
 *                   refused, or the source is of a kind that is never public). In both modes it
 *                   comes only once the origin has accepted the credential for content: where a
 *                   listing is open to all and its files are not (a gated repository), one file
 *                   was asked for before
 *   {"type":"open","path":"..."}           answered by one of
 *        {"type":"file","number":N,"have":[[from,to)...]} with one descriptor (SCM_RIGHTS) to read
 *              the file by, unless its SHA-256 is promised; bytes go into the pipe, in frames of
 *              that number; `have` is on disk already
 *        {"type":"skip"}                   the agent has that content: nothing is to be brought
 *   {"type":"progress","bytes":N}          bytes that have arrived in this job so far
 *   {"type":"done","path":"...","size":N,"good"?:false}   it is `written`, and the origin's digests that fetch
 *                   can compute agree; or they do not (good:false), and nothing of it may be kept
 *        answered by {"type":"ok"} | {"type":"again","detail"} (bytes did not have the digest)
 *   {"type":"error","class":"...","detail":"..."}    then exit 1
 *   {"type":"end"}                         then exit 0
 *
 * Descriptor 4 is a pipe for the bytes: frames, each a struct bl_job_frame and so many bytes, which the agent
 * moves into the file. A byte that is there already is read over. A frame of no bytes says that there will
 * be none of the file any more; when all of them are in place the agent says, in the order of those
 * frames,
 *
 *   {"type":"written"}
 *
 * Replies to `open` come in the order of the opens, those to `done` in the order of the dones;
 * several of both may be under way, and an `open` need not wait until a file is verified. The detail
 * of an error is one line for a person that ends with the next step and holds no secret.
 */
#ifndef BL_JOB_H
#define BL_JOB_H

#include <stdint.h>

#define BL_JOB_FD      3
#define BL_JOB_PIPE_FD 4
#define BL_JOB_SCHEMA  1

/* In the machine's own byte order. */
struct bl_job_frame {
	uint32_t file; /* the number that its `open` was answered with */
	uint32_t len;  /* bytes that follow */
	uint64_t at;   /* where the first of them goes */
};

/* Error classes, and the agent's HTTP status for each. */
#define BL_JOB_CONFIG	    "config"	/* 422: the item or the operator's configuration is wrong */
#define BL_JOB_NOT_FOUND    "not_found" /* 404: no such repository, revision, bucket, object */
#define BL_JOB_UNAUTHORIZED "unauthorized" /* 401: no credential, or it was not accepted */
#define BL_JOB_FORBIDDEN    "forbidden" /* 403: accepted, but not allowed (gated, policy, SSRF) */
#define BL_JOB_ORIGIN	    "origin"	/* 502: the origin or the way to it fails; retry */
#define BL_JOB_CORRUPT	    "corrupt"	/* 502: content does not verify */
#define BL_JOB_HOSTILE	    "hostile"	/* 422: a listing that is refused whole */
#define BL_JOB_SPACE	    "space"	/* 507: no room */
#define BL_JOB_INTERNAL	    "internal"	/* 500 */

#endif
