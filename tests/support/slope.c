#include "support/slope.h"

#include <stdio.h>

#include "support/check.h"

double slope_of_float(slope_function *loss, void *context, float *x, float h)
{
    const float at = *x, offsets[4] = { -2, -1, 1, 2 };
    const double weights[4] = { 1, -8, 8, -1 };
    double sum = 0;
    for (size_t j = 0; j < 4; j++) {
        *x = at + offsets[j] * h;
        sum += weights[j] * loss(context);
    }
    *x = at;
    return sum / (12 * (double)h);
}

double slope_of_double(slope_function *loss, void *context, double *x)
{
    const double at = *x, h = 1e-6 * (1 + fabs(at));
    *x = at + h;
    const double up = loss(context);
    *x = at - h;
    const double down = loss(context);
    *x = at;
    return (up - down) / (2 * h);
}

size_t slope_stride(size_t count)
{
    return 1 + count / (SLOPES - 1);
}

void slopes_of_doubles(slope_function *loss, void *context, double *x, size_t count,
                       double slopes[SLOPES])
{
    for (size_t i = 0, k = 0; i < count; i += slope_stride(count), k++)
        slopes[k] = slope_of_double(loss, context, &x[i]);
}

void slopes_check(const float *gradient, size_t count, const double slopes[SLOPES],
                  double tolerance, const char *format, ...)
{
    double difference = 0, norm = 0;
    for (size_t i = 0, k = 0; i < count; i += slope_stride(count), k++) {
        const double d = (double)gradient[i] - slopes[k];
        difference += d * d;
        norm += slopes[k] * slopes[k];
    }
    if (sqrt(difference) <= tolerance * (sqrt(norm) + 1))
        return;
    char what[256];
    va_list list;
    va_start(list, format);
    vsnprintf(what, sizeof what, format, list);
    va_end(list);
    fail_msg("%s: gradient differs by %.3g of %.3g", what, sqrt(difference), sqrt(norm));
}
