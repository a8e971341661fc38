/* The two passes of a resize, once for every instruction set. */
#ifndef CTKD_DATA_RESIZE_PASSES_H
#define CTKD_DATA_RESIZE_PASSES_H

#include <stddef.h>
#include <stdint.h>

enum { CTKD__RESIZE_BITS = 22, CTKD__RESIZE_GROUP = 4 };

/* Inputs first .. first + count - 1 of one output. */
struct ctkd__resize_tap {
    size_t first, count;
};

struct ctkd__resize_weights {
    struct ctkd__resize_tap *taps; /* [outputs] */
    int32_t *values;               /* [outputs][stride], 0 behind an output's count */
    double *raw;                   /* [stride], while they are made */
    size_t stride;                 /* a multiple of CTKD__RESIZE_GROUP, above every count */
    size_t taps_size, values_size, raw_size;
};

struct ctkd__resize_passes {
    /* count pixels (R, G, B) from one row; may read CTKD__PICTURE_SLACK bytes past the last input,
       but writes only the pixels. */
    void (*horizontal)(const struct ctkd__resize_weights *weights, size_t count, const uint8_t *in,
                       uint8_t *out);
    /* `bytes` values of output row i; `in` is its first input row. May write CTKD__PICTURE_SLACK
       bytes past them. */
    void (*vertical)(const struct ctkd__resize_weights *weights, size_t i, const uint8_t *in,
                     size_t stride, size_t bytes, uint8_t *out);
};

extern const struct ctkd__resize_passes ctkd__resize_portable;
/* The vector passes of this CPU; NULL if there are none. */
const struct ctkd__resize_passes *ctkd__resize_simd(void);

#endif
