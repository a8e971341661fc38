/** @file version.h  The version of libctkd: of this header, and of the library that runs. */
#ifndef CTKD_VERSION_H
#define CTKD_VERSION_H

#include "ctkd/export.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The version is written here only: the build, the packages and the command read these lines. */
#define CTKD_VERSION_MAJOR 0
#define CTKD_VERSION_MINOR 1
#define CTKD_VERSION_PATCH 0

#define CTKD_VERSION_TEXT_(major, minor, patch) #major "." #minor "." #patch
#define CTKD_VERSION_TEXT(major, minor, patch) CTKD_VERSION_TEXT_(major, minor, patch)
/** "0.1.0", of this header. */
#define CTKD_VERSION_STRING                                                                        \
    CTKD_VERSION_TEXT(CTKD_VERSION_MAJOR, CTKD_VERSION_MINOR, CTKD_VERSION_PATCH)

/** "0.1.0", of the library that was loaded; static. */
CTKD_API const char *ctkd_version(void);

#ifdef __cplusplus
}
#endif
#endif
