/* numpy's arrays in a pickle. */
#ifndef CTKD_UTIL_PICKLE_ARRAY_H
#define CTKD_UTIL_PICKLE_ARRAY_H

#include "util/pickle.h"

enum { CTKD__PICKLE_ARRAY_RANK_MAX = 4 };

struct ctkd__pickle_array {
    char kind;         /* of an element: 'u' or 'i', whole numbers without or with a sign */
    size_t item_bytes; /* 1, 2, 4 or 8 */
    bool big_endian;
    bool columns_first; /* Fortran's order: the first index changes fastest */
    int rank;
    size_t shape[CTKD__PICKLE_ARRAY_RANK_MAX];
    size_t count;               /* of elements */
    const unsigned char *bytes; /* [count * item_bytes], as long-lived as the pickle's values */
};

/*
 * What an array of whole numbers is, as numpy pickles one in protocols 2 to 5:
 * numpy.core.multiarray._reconstruct(...) with attributes (version, shape, dtype, columns_first,
 * bytes), or numpy.core.numeric._frombuffer(bytes, dtype, shape, order); numpy 2 says numpy._core.
 * false for anything else, and when the bytes are not as many as the shape says.
 */
bool ctkd__pickle_array_parse(const struct ctkd__pickle_value *v, struct ctkd__pickle_array *out);
/* Element `i` in the order of the bytes; a value above INT64_MAX becomes negative. */
int64_t ctkd__pickle_array_integer(const struct ctkd__pickle_array *array, size_t i);

#endif
