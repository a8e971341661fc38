/*
 * Which rows of the set CRD compares a sample with. With o rows of other classes, numbered from 0
 * in the order of the set, the draws are ranks below o, so that the size of the own class costs
 * nothing. If m is more than half of o, the rows that are left out are drawn instead: at most
 * o ln 2 draws on average.
 */
#include "lib/loss/crd.h"

#include <string.h>

#include "ctkd/random.h"

/* Streams of CTKD_RANDOM_LOSS: major 0 and 1 fill the banks (crd.c). */
enum { FIRST_STEP = 2 };

void ctkd__crd_sort(const ctkd_samples *samples, struct ctkd__crd_classes *classes)
{
    uint32_t *start = classes->start;
    memset(start, 0, (classes->k + 1) * sizeof *start);
    for (size_t i = 0; i < samples->count; i++)
        start[samples->labels[i] + 1]++;
    for (size_t y = 0; y < classes->k; y++)
        start[y + 1] += start[y];
    for (size_t i = 0; i < samples->count; i++) /* start[y] runs through its class ... */
        classes->rows[start[samples->labels[i]]++] = (uint32_t)i;
    for (size_t y = classes->k; y > 0; y--) /* ... to where the next one starts */
        start[y] = start[y - 1];
    start[0] = 0;
}

/* Numbers below a bound, four from a block. */
struct draws {
    const ctkd_samples *samples;
    uint64_t id;
    uint32_t bound, block, word[4];
    size_t left;
};

static uint32_t next_draw(struct draws *draws)
{
    if (draws->left == 0) {
        ctkd_random_u32x4(draws->samples->seed, CTKD_RANDOM_LOSS, FIRST_STEP + draws->samples->step,
                          draws->id << 32 | draws->block++, draws->word);
        draws->left = 4;
    }
    return (uint32_t)(((uint64_t)draws->word[4 - draws->left--] * draws->bound) >> 32);
}

/* Rows of other classes by their rank, which must ascend. */
struct others {
    const uint32_t *own; /* rows of the class that is left out */
    uint32_t own_count, passed;
};

static uint32_t row_of(struct others *others, uint32_t rank)
{
    while (others->passed < others->own_count &&
           others->own[others->passed] - others->passed <= rank)
        others->passed++;
    return rank + others->passed;
}

static void draw_distinct(struct draws *draws, struct others *others, size_t m, uint64_t *marks,
                          uint32_t *rows)
{
    const size_t bound = draws->bound, words = (bound + 63) / 64;
    const bool leave_out = m > bound / 2;
    memset(marks, 0, words * sizeof *marks);
    for (size_t left = leave_out ? bound - m : m; left > 0;) {
        const uint32_t rank = next_draw(draws);
        const uint64_t bit = UINT64_C(1) << rank % 64;
        left -= !(marks[rank / 64] & bit);
        marks[rank / 64] |= bit;
    }
    for (size_t i = 0, at = 0; i < words && at < m; i++)
        for (uint64_t bits = leave_out ? ~marks[i] : marks[i]; bits && at < m; bits &= bits - 1) {
            uint32_t bit = 0;
#if defined(__GNUC__)
            bit = (uint32_t)__builtin_ctzll(bits);
#else
            while (!(bits >> bit & 1))
                bit++;
#endif
            rows[at++] = row_of(others, (uint32_t)(i * 64) + bit);
        }
}

static void draw_repeated(struct draws *draws, struct others *others, size_t m, uint32_t *times,
                          uint32_t *rows)
{
    memset(times, 0, draws->bound * sizeof *times);
    for (size_t i = 0; i < m; i++)
        times[next_draw(draws)]++;
    for (uint32_t rank = 0; rank < draws->bound; rank++) {
        const uint32_t row = row_of(others, rank);
        for (; times[rank] > 0; times[rank]--)
            *rows++ = row;
    }
}

size_t ctkd__crd_scratch_bytes(size_t count, size_t m)
{
    const size_t marks = (count / 64 + 1) * sizeof(uint64_t);
    const size_t times = (count < m ? count : m) * sizeof(uint32_t);
    return marks > times ? marks : times; /* draws repeat only if m is larger than o */
}

void ctkd__crd_negatives(const ctkd_samples *samples, const struct ctkd__crd_classes *classes,
                         uint64_t id, size_t m, void *scratch, uint32_t *rows)
{
    const uint32_t *const start = classes->start + samples->labels[id];
    struct others others = { .own = classes->rows + start[0], .own_count = start[1] - start[0] };
    struct draws draws = { .samples = samples,
                           .id = id,
                           .bound = (uint32_t)samples->count - others.own_count };
    if (m <= draws.bound)
        draw_distinct(&draws, &others, m, scratch, rows);
    else
        draw_repeated(&draws, &others, m, scratch, rows);
}

uint32_t ctkd__crd_relative(const ctkd_samples *samples, const struct ctkd__crd_classes *classes,
                            uint64_t id)
{
    const uint32_t *const start = classes->start + samples->labels[id];
    struct draws draws = {
        .samples = samples, .id = id, .bound = start[1] - start[0], .block = UINT32_MAX
    }; /* negatives never use this stream */
    return classes->rows[start[0] + next_draw(&draws)];
}
