/* Names of files as people write them. */
#ifndef CTKD_UTIL_PATH_H
#define CTKD_UTIL_PATH_H

#include "ctkd/status.h"

/* A copy of `path`, freed by the caller, in which `~/` and `~user/` at the beginning or behind the
   name of NAME:PATH are the home directory, as a shell does it. ./~ is a file of that name.
   Expanding a path twice changes nothing. CTKD_ENOTFOUND: no such user. */
ctkd_status ctkd__path_expand(const char *path, char **out, ctkd_error *err);

#endif
