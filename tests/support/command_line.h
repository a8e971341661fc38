/* Configurations from a command line, which is split at blanks. */
#ifndef CTKD_TESTS_COMMAND_LINE_H
#define CTKD_TESTS_COMMAND_LINE_H

#include "config/config.h"

/* With every key at its default. */
struct ctkd__config *config_create(void);
/* Applies the settings of a line. */
ctkd_status apply(struct ctkd__config *config, const char *line, ctkd_error *err);
/* Does what a run does with its line, which must be right: the same with the preset that belongs to
   it. note: CTKD__ARGUMENTS_NOTE bytes. */
void configure(struct ctkd__config *config, const char *line, bool distil, char *note);

#endif
