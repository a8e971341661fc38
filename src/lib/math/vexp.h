/**
 * @file vexp.h  exp for loops over classes, in a form that compilers turn into vectors.
 *
 * Double in and out, without tables, branches or fused operations, so that a number's value depends
 * neither on its place in an array nor on the instruction set. The relative error is below 2.3e-16
 * (glibc's is below 1.2e-16): some 1.04 units in the last place, from the last addition (half a
 * unit), the rounding of r and of the polynomial.
 */
#ifndef CTKD_LIB_MATH_VEXP_H
#define CTKD_LIB_MATH_VEXP_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/** x = n ln 2 + r, |r| <= ln 2 / 2: 2^n and r. */
struct ctkd__exp_range {
    double scale, r;
};

static inline struct ctkd__exp_range ctkd__exp_reduce(double x)
{
    const double shift = 0x1.8p52; /* adding it rounds to an integer, in the low bits */
    const double shifted = x * 0x1.71547652b82fep+0 + shift, n = shifted - shift;
    uint64_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 1023) << 52; /* 2^n */
    /* the first product is exact: the constant ends in 21 zero bits */
    struct ctkd__exp_range range = { .r = (x - n * 0x1.62e42feep-1) - n * 0x1.a39ef35793c76p-33 };
    memcpy(&range.scale, &bits, sizeof range.scale);
    return range;
}

/** e^r - 1 for |r| <= ln 2 / 2, without loss of digits near 0. */
static inline double ctkd__exp_rest(double r)
{
    const double r2 = r * r, r4 = r2 * r2;
    /* (e^r - 1 - r)/r^2, interpolated at Chebyshev's points: 1.6e-17 of e^r; in pairs, to keep the
       chain of dependent operations short */
    const double q01 = 0.5 + 0x1.5555555555556p-3 * r;
    const double q23 = 0x1.5555555553d67p-5 + 0x1.11111111109b5p-7 * r;
    const double q45 = 0x1.6c16c1788a201p-10 + 0x1.a01a01a7c30e0p-13 * r;
    const double q67 = 0x1.a019b913dbf29p-16 + 0x1.71de0db2819d0p-19 * r;
    const double q89 = 0x1.28917d6bfd692p-22 + 0x1.af389fe6457c2p-26 * r;
    const double low = q01 + q23 * r2, high = (q45 + q67 * r2) + q89 * r4;
    return r + r2 * (low + high * r4);
}

/** e^x for x <= 709; 0 below -708 (e^-708 is 3e-308); NaN for NaN. */
static inline double ctkd__exp_below(double x)
{
    const struct ctkd__exp_range e = ctkd__exp_reduce(x);
    const double value = e.scale + e.scale * ctkd__exp_rest(e.r);
    return x < -708 ? 0 : value;
}

/** e^x; the same, and e^709 above 709. */
static inline double ctkd__exp(double x)
{
    return ctkd__exp_below(x > 709 ? 709 : x);
}

/** e^x - 1 for |x| <= 1, to some 3e-16 of it. */
static inline double ctkd__expm1(double x)
{
    const struct ctkd__exp_range e = ctkd__exp_reduce(x);
    return e.scale * ctkd__exp_rest(e.r) + (e.scale - 1);
}

/** y_j = exp((x_j - max) scale), n values, none above max; scale > 0. */
void ctkd__exp_row(size_t n, const float *x, double max, double scale, double *y);

/** Sums by lane: lanes_l += sum of x_j with j % 8 = l; a sum over a row is that of its lanes. */
enum { CTKD__LANES = 8 };
void ctkd__add_lanes(size_t n, const double *x, double *lanes);
double ctkd__lanes_sum(const double *lanes);

/** max_j x_j of a row; NaNs are passed over, -infinity for no value. */
double ctkd__row_max(size_t n, const float *x);

#endif
