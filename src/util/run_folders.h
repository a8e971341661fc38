/*
 * Folders of runs. A folder of run directories that differ in their seed is an arm, and one of arms
 * is that of a sweep: SWEEP/ARM/RUN, as `ctkd sweep` makes them.
 */
#ifndef CTKD_UTIL_RUN_FOLDERS_H
#define CTKD_UTIL_RUN_FOLDERS_H

#include "ctkd/status.h"
#include "util/run_files.h"

enum {
    CTKD__RUNS_OF_ARM = 1, /* how far below its folder the runs lie */
    CTKD__RUNS_OF_SWEEP = 2
};

/* Calls `found` for each directory that has the file: `path` alone, or else those below it down to
   `depth` folders, in the byte order of their names. Names that begin with a dot are left out, and
   so is what is below a run. A status that is not CTKD_OK ends the walk and is returned. CTKD_EIO:
   `path` is no folder that can be read. */
typedef ctkd_status (*ctkd__run_found)(void *context, const char *dir, ctkd_error *err);
ctkd_status ctkd__runs_walk(const char *path, enum ctkd__run_file file, int depth,
                            ctkd__run_found found, void *context, ctkd_error *err);

/* The message about a path and the name of a file that no run below it has. */
#define CTKD__NO_RUN                                                                               \
    "%s: found no run (no %s), expected a run directory, a folder of them or that of a sweep"

/* The folders of arms, owned. */
struct ctkd__arm_folders {
    char **paths;
    size_t count;
};

/* Adds the arms that a path names: a run or an arm itself, or all arms in the folder of a sweep
   that have a log, in the byte order of their names, without those added before. CTKD_EINVAL: the
   path holds no run; CTKD_EIO: it is no folder that can be read. _free frees what was added. */
ctkd_status ctkd__arm_folders_add(struct ctkd__arm_folders *arms, const char *path,
                                  ctkd_error *err);
void ctkd__arm_folders_free(struct ctkd__arm_folders *arms);

#endif
