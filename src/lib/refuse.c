#include "lib/refuse.h"

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

ctkd_status ctkd__refuse(ctkd_error *err, ctkd_status status, ...)
{
    if (!err)
        return status;
    err->status = status;
    size_t used = 0;
    va_list parts;
    va_start(parts, status);
    bool cut = false;
    for (const char *part; (part = va_arg(parts, const char *));) {
        for (; *part && used + 1 < sizeof err->message; part++)
            err->message[used++] = *part;
        cut |= *part != 0;
    }
    va_end(parts);
    if (cut) { /* do not cut inside a UTF-8 character */
        while (used > 0 && ((unsigned char)err->message[used - 1] & 0xc0) == 0x80)
            used--;
        used -= used > 0 && ((unsigned char)err->message[used - 1] & 0x80);
    }
    err->message[used] = 0;
    return status;
}

ctkd_status ctkd__refuse_struct(ctkd_error *err, ctkd_status status, const char *what)
{
    return CTKD__REFUSE(err, status, what,
                        status == CTKD_EUNSUPPORTED
                            ? ": size: the struct uses members of a later version of libctkd"
                            : ": size: smaller than in version 0.1.0, expected sizeof the struct");
}

static char *put_digits(char *at, uint64_t value)
{
    char digits[20];
    size_t count = 0;
    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    while (count > 0)
        *at++ = digits[--count];
    return at;
}

/* `digits` has six of them, the first before the point; the point goes behind `before` of them. */
static char *put_decimals(char *at, uint64_t digits, int before)
{
    char text[20];
    (void)put_digits(text, digits);
    int count = 6;
    while (count > 1 && text[count - 1] == '0')
        count--;
    if (before <= 0) {
        *at++ = '0';
        *at++ = '.';
        for (int i = before; i < 0; i++)
            *at++ = '0';
    }
    for (int i = 0; i < count || i < before; i++) {
        if (i > 0 && i == before)
            *at++ = '.';
        *at++ = i < count ? text[i] : '0';
    }
    return at;
}

const char *ctkd__number_text(double value, char out[CTKD__NUMBER_BYTES])
{
    char *at = out;
    if (signbit(value) && !isnan(value))
        *at++ = '-';
    const double size = fabs(value);
    if (!isfinite(value)) {
        memcpy(at, isnan(value) ? "nan" : "inf", 4);
        return out;
    }
    if (size == floor(size) && size < 1e15) { /* indices and counts, to the last digit */
        *put_digits(at, (uint64_t)size) = 0;
        return out;
    }
    int power = (int)floor(log10(size));
    double digits = power > 300 ? size * 1e-300 / pow(10, power - 305)
                                : size / pow(10, power < -300 ? -300 : power) *
                                      (power < -300 ? pow(10, -300 - power) : 1) * 1e5;
    if (digits < 1e5) /* log10 was rounded up */
        digits *= 10, power--;
    digits = floor(digits + 0.5);
    if (digits >= 1e6)
        digits /= 10, power++;
    if (power >= -4 && power < 6) {
        *put_decimals(at, (uint64_t)digits, power + 1) = 0;
        return out;
    }
    at = put_decimals(at, (uint64_t)digits, 1);
    *at++ = 'e';
    *at++ = power < 0 ? '-' : '+';
    *put_digits(at, (uint64_t)(power < 0 ? -power : power)) = 0;
    return out;
}

static double scaled(double value, int power)
{
    for (; power > 22; power -= 22)
        value *= 1e22;
    for (; power < -22; power += 22)
        value /= 1e22;
    return power < 0 ? value / pow(10, -power) : value * pow(10, power);
}

/* Reads digits from *at on into *value as long as they fit; *dropped counts those that do not.
   Returns how many there were. */
static size_t read_digits(const char **at, uint64_t *value, int *dropped)
{
    size_t count = 0;
    for (; **at >= '0' && **at <= '9'; (*at)++, count++) {
        if (*value < 1000000000000000000u)
            *value = *value * 10 + (uint64_t)(**at - '0');
        else if (*dropped < 100000)
            (*dropped)++;
    }
    return count;
}

bool ctkd__number_read(const char *text, double *value)
{
    const char *at = text;
    const bool negative = *at == '-';
    at += *at == '-' || *at == '+';
    uint64_t digits = 0, exponent = 0;
    int dropped = 0, unused = 0;
    size_t count = read_digits(&at, &digits, &dropped);
    int power = 0;
    if (*at == '.') {
        at++;
        const int before = dropped;
        const size_t decimals = read_digits(&at, &digits, &dropped);
        count += decimals;
        power -= (int)(decimals < 100000 ? decimals : 100000) - (dropped - before);
        dropped = before;
    }
    power += dropped;
    if (count == 0)
        return false;
    if (*at == 'e' || *at == 'E') {
        at++;
        const int sign = *at == '-' ? -1 : 1;
        at += *at == '-' || *at == '+';
        if (read_digits(&at, &exponent, &unused) == 0)
            return false;
        power += sign * (int)(exponent < 100000 ? exponent : 100000);
    }
    if (*at)
        return false;
    const double size = digits == 0 ? 0 : scaled((double)digits, power);
    *value = negative ? -size : size;
    return true;
}

ctkd_status ctkd__struct_read(void *own, size_t own_size, size_t first, const void *from,
                              size_t from_size)
{
    const size_t size = from_size ? from_size : first;
    if (size < first)
        return CTKD_EINVAL;
    for (size_t i = own_size; i < size; i++)
        if (((const unsigned char *)from)[i])
            return CTKD_EUNSUPPORTED;
    memset(own, 0, own_size);
    memcpy(own, from, size < own_size ? size : own_size);
    return CTKD_OK;
}
