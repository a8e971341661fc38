/** @file status.h  Status codes and error texts: the one error convention of ctkd. */
#ifndef CTKD_STATUS_H
#define CTKD_STATUS_H

#include "ctkd/export.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define CTKD_NODISCARD __attribute__((warn_unused_result))
#else
#define CTKD_NODISCARD
#endif

/** Every code with its value and text; X(name, value, text). */
#define CTKD_STATUS_LIST(X)                                                                        \
    X(OK, 0, "success")                                                                            \
    X(EINVAL, -1, "invalid argument")                                                              \
    X(ENOMEM, -2, "out of memory")                                                                 \
    X(ERANGE, -3, "value out of range")                                                            \
    X(ENOTFOUND, -4, "no such name")                                                               \
    X(ESHAPE, -5, "shape mismatch")                                                                \
    X(EFORMAT, -6, "malformed file")                                                               \
    X(EIO, -7, "input or output failed")                                                           \
    X(EEXIST, -8, "already exists")                                                                \
    X(ENAN, -9, "not a finite number")                                                             \
    X(EUNSUPPORTED, -10, "not supported")                                                          \
    X(EBACKEND, -11, "an underlying library failed")                                               \
    X(EINTERRUPTED, -12, "interrupted")

/** 0 is success, every failure is negative. */
typedef enum ctkd_status {
#define CTKD_STATUS_ENUM(name, value, text) CTKD_##name = (value),
    CTKD_STATUS_LIST(CTKD_STATUS_ENUM)
#undef CTKD_STATUS_ENUM
} ctkd_status;

/** Static text of a code; "unknown status" for a value that is not in the list. Never NULL. */
CTKD_API const char *ctkd_status_text(ctkd_status status);

/** A status with its reason, owned by the caller; never allocates. One line, no newline. */
typedef struct ctkd_error {
    ctkd_status status;
    char message[512];
} ctkd_error;

#ifdef __cplusplus
}
#endif
#endif
