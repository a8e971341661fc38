#include "train/selftest.h"

#include <stdarg.h>
#include <stdio.h>

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

void ctkd__selftest_run(struct ctkd__selftest *test)
{
    ctkd__selftest_losses(test);
    ctkd__selftest_networks(test);
    ctkd__selftest_runs(test);
}
