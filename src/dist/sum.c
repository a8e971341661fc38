#include "dist/sum.h"

#include <stdlib.h>

#include "util/error.h"

static void add(float *restrict sum, const float *restrict values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sum[i] += values[i];
}

void ctkd__sum_tree(size_t count, float *const *blocks, size_t n)
{
    enum {
        PIECE = 4096
    }; /* floats that stay in the cache from one level of the tree to the next */
    for (size_t at = 0; at < n; at += PIECE) {
        const size_t piece = n - at < PIECE ? n - at : PIECE;
        for (size_t stride = 1; stride < count; stride *= 2)
            for (size_t i = 0; i + stride < count; i += 2 * stride)
                add(blocks[i] + at, blocks[i + stride] + at, piece);
    }
}

struct ctkd__rank_sum {
    struct ctkd__dist *dist;
    size_t n_max;
    float *parts;  /* [size][greatest part]: every rank's values for the part that this one adds */
    float **heads; /* [size]: where these begin */
    size_t *first; /* [size + 1]: where the parts of the ranks begin in a block */
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
        sum->in[r] = (struct ctkd__parcel){ sum->heads[r], own * sizeof *block };
    }
    const ctkd_status status = ctkd__dist_all_to_all(sum->dist, channel, sum->out, sum->in, err);
    if (status != CTKD_OK)
        return status;
    ctkd__sum_tree(size, sum->heads, own);
    for (size_t i = 0; i < own; i++)
        block[sum->first[rank] + i] = sum->heads[0][i];
    return ctkd__dist_gather(sum->dist, channel, block, sizeof *block, sum->first, err);
}
