/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a program that a person starts begins with; and where Ballast's other programs are: beside this
 * one (a build directory), else below the PREFIX that this one was installed in, else where a PREFIX of
 * /usr puts them.
 */
#ifndef BL_PROGRAM_H
#define BL_PROGRAM_H

#define BL_PROGRAM_PATH_MAX 4096

/*
 * What a caller has closed must not be the number of a file of ours. It is opened the wrong way round: who
 * uses it gets what a closed one gives. Ignored, as a caller may have left it, SIGCHLD would tell of no
 * child. A reader who has gone, and a limit on files' size, are errors of the write.
 */
void bl_program_settle(void);

/* The path of a program, in room[BL_PROGRAM_PATH_MAX] or `installed` itself, which begins with /usr/
 * (common/contract.h). */
const char *bl_program_find(const char *name, const char *installed, char *room);

/* The same without what lies beside this program. */
const char *bl_program_installed(const char *installed, char *room);

#endif
