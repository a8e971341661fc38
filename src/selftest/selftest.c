#include "selftest/selftest.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void ctkd__selftest_say(struct ctkd__selftest *test, bool ok, const char *what, const char *format,
                        ...)
{
    char figure[600];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(figure, sizeof figure, format, arguments);
    va_end(arguments);
    test->verdicts++;
    test->failures += !ok;
    test->verdict(test->context, ok, what, figure);
}

bool ctkd__selftest_teams_open(struct ctkd__selftest *test, const char *part,
                               struct ctkd__selftest_teams *teams)
{
    ctkd_error err = { 0 };
    *teams = (struct ctkd__selftest_teams){ NULL, NULL };
    ctkd_status status = ctkd__workers_create(0, &teams->all, &err);
    if (status == CTKD_OK)
        status = ctkd__workers_create(1, &teams->one, &err);
    if (status == CTKD_OK)
        return true;
    ctkd__selftest_say(test, false, part, "%s", err.message);
    ctkd__selftest_teams_close(teams);
    return false;
}

void ctkd__selftest_teams_close(struct ctkd__selftest_teams *teams)
{
    ctkd__workers_destroy(teams->one);
    ctkd__workers_destroy(teams->all);
}

bool ctkd__selftest_worse(double error, double worst)
{
    return isnan(error) ? !isnan(worst) : error > worst;
}

bool ctkd__selftest_smaller(const ctkd_option *option, double *value)
{
    *value = fmax(option->min, 16);
    return option->type == CTKD_OPTION_I64 && option->value > 64;
}

static const struct ctkd__selftest_part parts[] = {
    { "losses", ctkd__selftest_losses },     { "ops", ctkd__selftest_ops },
    { "networks", ctkd__selftest_networks }, { "writing", ctkd__selftest_writing },
    { "runs", ctkd__selftest_runs },         { NULL, NULL },
};

const struct ctkd__selftest_part *ctkd__selftest_parts(void)
{
    return parts;
}

void ctkd__selftest_run(struct ctkd__selftest *test, const char *part)
{
    for (size_t i = 0; parts[i].name; i++)
        if (!part || strcmp(part, parts[i].name) == 0)
            parts[i].run(test);
}
