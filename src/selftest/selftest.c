#include "selftest/selftest.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void ctkd__selftest_report(struct ctkd__selftest *test, bool ok, const char *what,
                           const char *format, ...)
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

bool ctkd__selftest_engines_open(struct ctkd__selftest *test, const char *part,
                                 struct ctkd__selftest_engines *engines)
{
    ctkd_error err = { 0 };
    *engines = (struct ctkd__selftest_engines){ 0 };
    ctkd_status status = ctkd__engine_open(&(struct ctkd__engine_config){ 0 }, &engines->all, &err);
    if (status == CTKD_OK)
        status =
            ctkd__engine_open(&(struct ctkd__engine_config){ .threads = 1 }, &engines->one, &err);
    if (status == CTKD_OK)
        return true;
    ctkd__selftest_report(test, false, part, "%s", err.message);
    ctkd__selftest_engines_close(engines);
    return false;
}

void ctkd__selftest_engines_close(struct ctkd__selftest_engines *engines)
{
    ctkd__engine_close(&engines->one);
    ctkd__engine_close(&engines->all);
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
