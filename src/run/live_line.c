#include "run/live_line.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

enum { PART_BYTES = 64 };

/* A part of a line. When there is no room, parts are left out from the highest rank down. */
struct line_part {
    int rank;
    char text[PART_BYTES];
};

/* Joins the parts in their order, without those that do not fit; if even rank 0 does not fit, it is
   cut. */
static size_t fit(struct line_part *parts, size_t count, size_t columns, char *out, size_t bytes)
{
    size_t length = 0, used = 0;
    for (size_t i = 0; i < count; i++)
        length += strlen(parts[i].text);
    for (int rank = (int)count - 1; rank > 0 && length > columns; rank--)
        for (size_t i = 0; i < count; i++)
            if (parts[i].rank == rank) {
                length -= strlen(parts[i].text);
                parts[i].text[0] = '\0';
            }
    const size_t room = columns < bytes - 1 ? columns : bytes - 1;
    for (size_t i = 0; i < count; i++) {
        const size_t n = strnlen(parts[i].text, room - used);
        memcpy(out + used, parts[i].text, n);
        used += n;
    }
    out[used] = '\0';
    return used;
}

size_t ctkd__live_line_text(const struct ctkd__live_line *line, size_t columns, char *out,
                            size_t bytes)
{
    enum { EPOCH, STEP, SPEED, LOSS, TAU, LAMBDA, ETA, PARTS };
    struct line_part parts[PARTS] = {
        [EPOCH] = { .rank = 0 }, [ETA] = { .rank = 1 },   [STEP] = { .rank = 2 },
        [LOSS] = { .rank = 3 },  [SPEED] = { .rank = 4 }, [TAU] = { .rank = 5 },
        [LAMBDA] = { .rank = 6 }
    };
    snprintf(parts[EPOCH].text, PART_BYTES, "%sepoch %" PRIu64 "/%" PRIu64,
             line->initial ? "initial " : "", line->epoch, line->epochs);
    snprintf(parts[STEP].text, PART_BYTES, "  step %" PRIu64 "/%" PRIu64, line->step, line->steps);
    snprintf(parts[SPEED].text, PART_BYTES, "  %.0f img/s", line->images_per_second);
    snprintf(parts[LOSS].text, PART_BYTES, "  loss %.4f", line->loss);
    snprintf(parts[ETA].text, PART_BYTES, "  ETA %s", line->eta);
    if (line->has_tau)
        snprintf(parts[TAU].text, PART_BYTES, "  tau %.2f", line->tau);
    if (line->has_tau && !isnan(line->lambda))
        snprintf(parts[LAMBDA].text, PART_BYTES, "  lambda %.3f", line->lambda);
    return fit(parts, PARTS, columns, out, bytes);
}

size_t ctkd__epoch_line_text(const struct ctkd__epoch_line *line, size_t columns, char *out,
                             size_t bytes)
{
    enum { EPOCH, LR, LOSS, TRAIN, TEST, BEST, TAU, LAMBDA, SPEED, ETA, PARTS };
    struct line_part parts[PARTS] = {
        [EPOCH] = { .rank = 0 }, [TEST] = { .rank = 1 },   [TRAIN] = { .rank = 2 },
        [ETA] = { .rank = 3 },   [BEST] = { .rank = 4 },   [LOSS] = { .rank = 5 },
        [TAU] = { .rank = 6 },   [LAMBDA] = { .rank = 7 }, [SPEED] = { .rank = 8 },
        [LR] = { .rank = 9 }
    };
    snprintf(parts[EPOCH].text, PART_BYTES, "%sepoch %" PRIu64 "/%" PRIu64,
             line->initial ? "initial " : "", line->epoch, line->epochs);
    snprintf(parts[LR].text, PART_BYTES, "  lr %.4g", line->lr);
    snprintf(parts[LOSS].text, PART_BYTES, "  loss %.4f", line->loss);
    if (!line->initial)
        snprintf(parts[TRAIN].text, PART_BYTES, "  train %.2f %%", line->train_top1);
    if (line->has_test) {
        snprintf(parts[TEST].text, PART_BYTES, "  test %.2f %%", line->test_top1);
        snprintf(parts[BEST].text, PART_BYTES, " (best %.2f %%)", line->best_top1);
    }
    if (line->has_tau)
        snprintf(parts[TAU].text, PART_BYTES, "  tau %.2f", line->tau);
    if (line->has_tau && !isnan(line->lambda))
        snprintf(parts[LAMBDA].text, PART_BYTES, "  lambda %.3f", line->lambda);
    snprintf(parts[SPEED].text, PART_BYTES, "  %.0f img/s", line->images_per_second);
    snprintf(parts[ETA].text, PART_BYTES, "  ETA %s", line->eta);
    return fit(parts, PARTS, columns, out, bytes);
}

size_t ctkd__live_line_columns(FILE *terminal)
{
    struct winsize size;
    long columns = 0;
    if (ioctl(fileno(terminal), TIOCGWINSZ, &size) == 0)
        columns = size.ws_col;
    const char *const text = getenv("COLUMNS");
    if (columns <= 0 && text)
        columns = strtol(text, NULL, 10);
    if (columns <= 0 || columns > 100000)
        columns = 80;
    return columns > 1 ? (size_t)columns - 1 : 1;
}
