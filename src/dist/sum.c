#include "dist/sum.h"

#include <stdlib.h>
#include <string.h>

#include "util/error.h"

enum { PIECE = 1024 }; /* floats that are summed at a time: they stay in the first-level cache */

static void add_to(const float *restrict values, size_t n, float *restrict sum)
{
    for (size_t i = 0; i < n; i++)
        sum[i] += values[i];
}

/* The largest power of two below count, which is at least 2. */
static size_t first_part(size_t count)
{
    size_t part = 1;
    while (2 * part < count)
        part *= 2;
    return part;
}

/* Sums at most PIECE values. Each level of the tree keeps its second part in a piece of its own on
   the stack. */
static void sum_piece(size_t count, const float *const *blocks, size_t begin, size_t n, float *sum)
{
    if (count == 1) {
        memcpy(sum, blocks[0] + begin, n * sizeof *sum);
        return;
    }
    const size_t part = first_part(count);
    sum_piece(part, blocks, begin, n, sum);
    if (count - part == 1) {
        add_to(blocks[part] + begin, n, sum);
        return;
    }
    float second[PIECE];
    sum_piece(count - part, blocks + part, begin, n, second);
    add_to(second, n, sum);
}

void ctkd__sum_tree(size_t count, const float *const *blocks, size_t begin, size_t n, float *sum)
{
    for (size_t at = 0; at < n; at += PIECE)
        sum_piece(count, blocks, begin + at, n - at < PIECE ? n - at : PIECE, sum + at);
}

struct ctkd__rank_sum {
    struct ctkd__dist *dist;
    size_t n_max;
    float *parts; /* [size][greatest part]: every rank's values for the part that this one adds */
    const float **heads;           /* [size]: where these begin */
    size_t *first;                 /* [size + 1]: where the parts of the ranks begin in a block */
    struct ctkd__parcel *out, *in; /* [size] */
};

static size_t greatest_part(size_t n, size_t ranks)
{
    return n / ranks + 1;
}

ctkd_status ctkd__rank_sum_create(struct ctkd__dist *dist, size_t n_max,
                                  struct ctkd__rank_sum **out, ctkd_error *err)
{
    const size_t size = ctkd__dist_size(dist), part = greatest_part(n_max, size);
    struct ctkd__rank_sum *const sum = calloc(1, sizeof *sum);
    *out = NULL;
    if (sum) {
        *sum = (struct ctkd__rank_sum){ .dist = dist, .n_max = n_max };
        sum->parts = malloc(size * part * sizeof *sum->parts);
        sum->heads = calloc(size, sizeof *sum->heads);
        sum->first = calloc(size + 1, sizeof *sum->first);
        sum->out = calloc(size, sizeof *sum->out);
        sum->in = calloc(size, sizeof *sum->in);
    }
    if (!sum || !sum->parts || !sum->heads || !sum->first || !sum->out || !sum->in) {
        ctkd__rank_sum_destroy(sum);
        return ctkd__fail(err, CTKD_ENOMEM, "sums over %zu ranks: out of memory", size);
    }
    for (size_t r = 0; r < size; r++)
        sum->heads[r] = sum->parts + r * part;
    *out = sum;
    return CTKD_OK;
}

void ctkd__rank_sum_destroy(struct ctkd__rank_sum *sum)
{
    if (!sum)
        return;
    free(sum->parts);
    free(sum->heads);
    free(sum->first);
    free(sum->out);
    free(sum->in);
    free(sum);
}

ctkd_status ctkd__rank_sum_run(struct ctkd__rank_sum *sum, enum ctkd__dist_channel channel,
                               size_t n, float *block, ctkd_error *err)
{
    const size_t size = ctkd__dist_size(sum->dist), rank = ctkd__dist_rank(sum->dist);
    const size_t part = greatest_part(sum->n_max, size);
    if (n > sum->n_max)
        return ctkd__fail(err, CTKD_EINVAL,
                          "sum over ranks: found %zu floats, expected at most %zu", n, sum->n_max);
    if (size == 1)
        return CTKD_OK;
    for (size_t r = 0; r <= size; r++)
        sum->first[r] = n / size * r + n % size * r / size;
    const size_t own = sum->first[rank + 1] - sum->first[rank];
    for (size_t r = 0; r < size; r++) {
        sum->out[r] = (struct ctkd__parcel){ block + sum->first[r],
                                             (sum->first[r + 1] - sum->first[r]) * sizeof *block };
        sum->in[r] = (struct ctkd__parcel){ sum->parts + r * part, own * sizeof *block };
    }
    const ctkd_status status = ctkd__dist_all_to_all(sum->dist, channel, sum->out, sum->in, err);
    if (status != CTKD_OK)
        return status;
    ctkd__sum_tree(size, sum->heads, 0, own, block + sum->first[rank]);
    return ctkd__dist_gather(sum->dist, channel, block, sizeof *block, sum->first, err);
}
