#include "run/live_line.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

/* The parts in their order; the one of the highest rank goes first when there is no room. */
enum { EPOCH, STEP, SPEED, LOSS, TAU, LAMBDA, ETA, PARTS, PART_BYTES = 64 };
static const int ranks[PARTS] = {
    [EPOCH] = 0, [ETA] = 1, [STEP] = 2, [LOSS] = 3, [SPEED] = 4, [TAU] = 5, [LAMBDA] = 6
};

static void write_parts(const struct ctkd__live_line *line, char parts[PARTS][PART_BYTES])
{
    memset(parts, 0, PARTS * sizeof *parts);
    snprintf(parts[EPOCH], PART_BYTES, "%sepoch %" PRIu64 "/%" PRIu64,
             line->initial ? "initial " : "", line->epoch, line->epochs);
    snprintf(parts[STEP], PART_BYTES, "  step %" PRIu64 "/%" PRIu64, line->step, line->steps);
    snprintf(parts[SPEED], PART_BYTES, "  %.0f img/s", line->images_per_second);
    snprintf(parts[LOSS], PART_BYTES, "  loss %.4f", line->loss);
    snprintf(parts[ETA], PART_BYTES, "  ETA %s", line->eta);
    if (!line->has_tau)
        return;
    snprintf(parts[TAU], PART_BYTES, "  tau %.2f", line->tau);
    snprintf(parts[LAMBDA], PART_BYTES, "  lambda %.3f", line->lambda);
}

size_t ctkd__live_line_text(const struct ctkd__live_line *line, size_t columns, char *out,
                            size_t bytes)
{
    char parts[PARTS][PART_BYTES];
    size_t length = 0, used = 0;
    write_parts(line, parts);
    for (size_t i = 0; i < PARTS; i++)
        length += strlen(parts[i]);
    for (int rank = PARTS - 1; rank > 0 && length > columns; rank--)
        for (size_t i = 0; i < PARTS; i++)
            if (ranks[i] == rank) {
                length -= strlen(parts[i]);
                parts[i][0] = '\0';
            }
    const size_t room = columns < bytes - 1 ? columns : bytes - 1;
    for (size_t i = 0; i < PARTS; i++) {
        const size_t n = strnlen(parts[i], room - used);
        memcpy(out + used, parts[i], n);
        used += n;
    }
    out[used] = '\0';
    return used;
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
