/* SPDX-License-Identifier: Apache-2.0 */
/* Where the other programs are: beside this one (a build directory), else as installed. */
#ifndef BL_PROGRAM_H
#define BL_PROGRAM_H

#define BL_PROGRAM_PATH_MAX 4096

/* The path, in room[BL_PROGRAM_PATH_MAX] or `installed` itself. */
const char *bl_program_find(const char *name, const char *installed, char *room);

#endif
