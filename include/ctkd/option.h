/**
 * @file option.h  Typed option tables.
 *
 * A table describes the fields of a plain struct: name, type, default, range, help. It serves to
 * set defaults and to check values, and command lines, config readers and bindings read it. Tables
 * are constant and outlive everything that reads them. No function keeps a pointer, and all
 * functions may run side by side on different configs.
 */
#ifndef CTKD_OPTION_H
#define CTKD_OPTION_H

#include <stddef.h>
#include <stdint.h>

#include "ctkd/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum ctkd_option_type {
    CTKD_OPTION_F32,    /**< float field */
    CTKD_OPTION_I64,    /**< int64_t field */
    CTKD_OPTION_BOOL,   /**< bool field */
    CTKD_OPTION_CHOICE, /**< int field holding an index into `choices` */
    CTKD_OPTION_STRING, /**< char * field owned by the config's owner; not used by losses */
    CTKD_OPTION_PATH    /**< as STRING, for the name of a file; readers expand `~/` in it */
} ctkd_option_type;

typedef struct ctkd_option {
    const char *name; /**< snake_case; dots nest. NULL ends a table. */
    ctkd_option_type type;
    size_t offset;              /**< of the field in its struct */
    double value;               /**< default; for CHOICE the index; for BOOL 0 or 1 */
    double min, max;            /**< inclusive range; unused for BOOL, CHOICE, STRING, PATH */
    const char *text;           /**< default of a STRING or PATH, may be NULL */
    const char *const *choices; /**< NULL-terminated names of a CHOICE */
    const char *help;
} ctkd_option;

/* clang-format would take #field for a preprocessor directive. */
/* clang-format off */
#define CTKD_OPT_F32(type, field, def, lo, hi, help)                                              \
    { #field, CTKD_OPTION_F32, offsetof(type, field), (def), (lo), (hi), NULL, NULL, (help) }
#define CTKD_OPT_I64(type, field, def, lo, hi, help)                                              \
    { #field, CTKD_OPTION_I64, offsetof(type, field), (def), (lo), (hi), NULL, NULL, (help) }
#define CTKD_OPT_BOOL(type, field, def, help)                                                     \
    { #field, CTKD_OPTION_BOOL, offsetof(type, field), (def), 0, 1, NULL, NULL, (help) }
#define CTKD_OPT_CHOICE(type, field, def, names, help)                                            \
    { #field, CTKD_OPTION_CHOICE, offsetof(type, field), (def), 0, 0, NULL, (names), (help) }
#define CTKD_OPT_END { NULL, CTKD_OPTION_F32, 0, 0, 0, 0, NULL, NULL, NULL }
/* clang-format on */

/** Writes every default of a table without STRING and PATH options into a config. */
CTKD_API void ctkd_options_defaults(const ctkd_option *options, void *config);

/** The option of that name, or NULL. `options` may be NULL (an empty table). */
CTKD_API const ctkd_option *ctkd_option_find(const ctkd_option *options, const char *name);

/**
 * Sets one numeric option (F32, I64, BOOL, CHOICE by index).
 * @return CTKD_OK, CTKD_ENOTFOUND (no such name), CTKD_ERANGE (outside its range, not finite, not
 *         an integer where one is required), CTKD_EINVAL (a STRING or PATH, or NULL config).
 *         Unchanged on error.
 */
CTKD_API CTKD_NODISCARD ctkd_status ctkd_option_set(const ctkd_option *options, void *config,
                                                    const char *name, double value);

/**
 * Sets one numeric option from the text of a command line or a binding: a decimal number with a
 * point in every locale ("0.5", "1e-3"), true or false (also 1 or 0), or a name of a CHOICE.
 * @param err  may be NULL; says what was found and what was expected, and names the nearest option
 *             when the name is unknown
 * @return as ctkd_option_set; CTKD_ERANGE also for text that is not a value. Unchanged on error.
 */
CTKD_API CTKD_NODISCARD ctkd_status ctkd_option_set_text(const ctkd_option *options, void *config,
                                                         const char *name, const char *text,
                                                         ctkd_error *err);

#ifdef __cplusplus
}
#endif
#endif
