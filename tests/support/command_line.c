#include "support/command_line.h"

#include <stdio.h>
#include <string.h>

#include "config/arguments.h"
#include "support/check.h"

enum { LINE_BYTES = 1024, ARGUMENTS_MAX = 64 };

struct ctkd__config *config_create(void)
{
    ctkd_error err = { 0 };
    struct ctkd__config *config;
    check_ok(ctkd__config_create(&config, &err), &err);
    return config;
}

/* The words of a line, in `copy`; returns how many. */
static int split(const char *line, char copy[LINE_BYTES], char *argv[ARGUMENTS_MAX])
{
    char *save = NULL;
    int argc = 0;
    assert_true(strlen(line) < LINE_BYTES);
    snprintf(copy, LINE_BYTES, "%s", line);
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        assert_true(argc < ARGUMENTS_MAX);
        argv[argc++] = word;
    }
    return argc;
}

ctkd_status apply(struct ctkd__config *config, const char *line, ctkd_error *err)
{
    char copy[LINE_BYTES], *argv[ARGUMENTS_MAX];
    const int argc = split(line, copy, argv);
    struct ctkd__arguments arguments;
    const ctkd_status status = ctkd__arguments_scan(argc, argv, &arguments, err);
    return status == CTKD_OK ? ctkd__arguments_apply(argc, argv, config, err) : status;
}

void configure(struct ctkd__config *config, const char *line, bool distil, char *note)
{
    char copy[LINE_BYTES], *argv[ARGUMENTS_MAX];
    const int argc = split(line, copy, argv);
    struct ctkd__arguments arguments;
    ctkd_error err = { 0 };
    check_ok(ctkd__arguments_scan(argc, argv, &arguments, &err), &err);
    check_ok(ctkd__arguments_configure(argc, argv, &arguments, distil, config, note, &err), &err);
}
