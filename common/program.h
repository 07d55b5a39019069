/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where Ballast's other programs are: beside this one (a build directory), else below the PREFIX that
 * this one was installed in, else where a PREFIX of /usr puts them.
 */
#ifndef BL_PROGRAM_H
#define BL_PROGRAM_H

#define BL_PROGRAM_PATH_MAX 4096

/* The path of a program, in room[BL_PROGRAM_PATH_MAX] or `installed` itself, which begins with /usr/
 * (common/contract.h). */
const char *bl_program_find(const char *name, const char *installed, char *room);

/* The same without what lies beside this program. */
const char *bl_program_installed(const char *installed, char *room);

#endif
