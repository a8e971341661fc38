/* What every unit test includes: cmocka with its prerequisites, and comparisons that NaN fails. */
#ifndef CTKD_TESTS_CHECK_H
#define CTKD_TESTS_CHECK_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ctkd/status.h"

/* Fails unless |actual - expected| <= atol + rtol * |expected|; NaN and infinity always fail. */
#define check_close(actual, expected, rtol, atol)                                                  \
    check_close_at((double)(actual), (double)(expected), (rtol), (atol), 0, __FILE__, __LINE__)
/* The same for n floats; the first index that differs is named. */
#define check_all_close(actual, expected, n, rtol, atol)                                           \
    check_all_close_at((actual), (expected), (n), (rtol), (atol), __FILE__, __LINE__)
/* Fails unless ||actual - expected|| <= tolerance * ||expected||. */
#define check_relative(actual, expected, n, tolerance)                                             \
    check_relative_at((actual), (expected), (n), (tolerance), __FILE__, __LINE__)
/* Status is CTKD_OK, or the error's message is shown. */
#define check_ok(status, err) check_ok_at((status), (err), __FILE__, __LINE__)

void check_close_at(double actual, double expected, double rtol, double atol, size_t index,
                    const char *file, int line);
void check_all_close_at(const float *actual, const float *expected, size_t n, double rtol,
                        double atol, const char *file, int line);
void check_relative_at(const float *actual, const float *expected, size_t n, double tolerance,
                       const char *file, int line);
void check_ok_at(ctkd_status status, const ctkd_error *err, const char *file, int line);

/* n floats, uniform in [lo, hi), the same for the same seed. */
void fill_uniform(float *out, size_t n, uint64_t seed, float lo, float hi);
/* n floats, standard normal. */
void fill_normal(float *out, size_t n, uint64_t seed);

/* Golden values: tests/golden/NAME, a text file of "key count v0 v1 ..." lines; "#" begins a
   comment, what they were made with. Fails when the file or the key is missing or the count
   differs. The array is freed by golden_close. */
struct golden;
struct golden *golden_open(const char *name);
void golden_close(struct golden *golden);
const float *golden_get(struct golden *golden, const char *key, size_t count);
size_t golden_count(struct golden *golden, const char *key); /* 0 when there is no such key */
/* Fails when some key was never asked for with golden_get. */
void golden_check_all_read(const struct golden *golden);

#endif
