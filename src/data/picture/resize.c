#include "data/picture/resize.h"

#include <stdlib.h>
#include <string.h>

#include "data/picture/resize_passes.h"
#include "util/error.h"

enum { TAPS_MAX = 4000 };

struct ctkd__resizer {
    struct ctkd__resize_weights columns, rows;
    uint8_t *between; /* rows behind the horizontal pass */
    size_t between_size;
    uint8_t *row; /* one row of the result, interleaved */
    size_t row_size;
    const struct ctkd__resize_passes *preferred, *passes; /* of this CPU; of this call */
    enum ctkd__resize_order order;
};

/* Makes room for `wanted` bytes without keeping the contents; false when out of memory. */
static bool reserve(void **memory, size_t *size, size_t wanted)
{
    if (wanted <= *size)
        return true;
    free(*memory);
    *memory = calloc(wanted, 1);
    *size = *memory ? wanted : 0;
    return *memory != NULL;
}

/* --- weights */

/* Of one output: raw weights in double, their sum 1, then integers; pairs are padded with zeros. */
static void fill_weights(struct ctkd__resize_weights *w, size_t i, double centre, double support,
                         double raw[])
{
    double sum = 0;
    const size_t count = w->taps[i].count;
    for (size_t t = 0; t < count; t++) {
        const double distance =
            ((double)t + (double)w->taps[i].first - centre + 0.5) * (1.0 / support);
        const double size = distance < 0 ? -distance : distance;
        raw[t] = size < 1.0 ? 1.0 - size : 0.0;
        sum += raw[t];
    }
    int32_t *const out = w->values + i * w->stride;
    memset(out, 0, w->stride * sizeof *out);
    for (size_t t = 0; t < count; t++)
        out[t] = (int32_t)(raw[t] / sum * (1 << CTKD__RESIZE_BITS) + 0.5);
}

/* Inputs that one output reads. */
static struct ctkd__resize_tap tap_of(size_t n_in, double centre, double support)
{
    const double low = centre - support + 0.5, high = centre + support + 0.5;
    const size_t begin = low > 0 ? (size_t)low : 0;
    const size_t end = high < (double)n_in ? (size_t)high : n_in;
    return (struct ctkd__resize_tap){ begin, end - begin };
}

static double support_of(double scale)
{
    return scale < 1.0 ? 1.0 : scale;
}

/* Weights of outputs first .. first + count - 1 of n_out from n_in; the first `missing` of these
   inputs are not available. */
static bool make_weights(struct ctkd__resize_weights *w, size_t n_in, size_t n_out, size_t first,
                         size_t count, size_t missing)
{
    const double scale = (double)n_in / (double)n_out, support = support_of(scale);
    /* Whole groups of taps, and one more: a vector reads a group at once. */
    w->stride =
        ((size_t)support * 2 + 3 + CTKD__RESIZE_GROUP) / CTKD__RESIZE_GROUP * CTKD__RESIZE_GROUP;
    if (!reserve((void **)&w->taps, &w->taps_size, count * sizeof *w->taps) ||
        !reserve((void **)&w->values, &w->values_size, count * w->stride * sizeof *w->values) ||
        !reserve((void **)&w->raw, &w->raw_size, w->stride * sizeof *w->raw))
        return false;
    for (size_t i = 0; i < count; i++) {
        const double centre = ((double)(first + i) + 0.5) * scale;
        w->taps[i] = tap_of(n_in, centre, support);
        fill_weights(w, i, centre, support, w->raw);
        w->taps[i].first -= missing;
    }
    return true;
}

static void weights_free(struct ctkd__resize_weights *w)
{
    free(w->taps);
    free(w->values);
    free(w->raw);
}

/* --- the portable passes */

static uint8_t round_to_byte(int64_t sum)
{
    const int64_t value = (sum + (1 << (CTKD__RESIZE_BITS - 1))) >> CTKD__RESIZE_BITS;
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

static void horizontal(const struct ctkd__resize_weights *w, size_t count, const uint8_t *in,
                       uint8_t *out)
{
    for (size_t i = 0; i < count; i++, out += 3) {
        const int32_t *const weights = w->values + i * w->stride;
        const uint8_t *pixel = in + 3 * w->taps[i].first;
        int64_t sums[3] = { 0 };
        for (size_t t = 0; t < w->taps[i].count; t++, pixel += 3)
            for (int c = 0; c < 3; c++)
                sums[c] += (int64_t)weights[t] * pixel[c];
        for (int c = 0; c < 3; c++)
            out[c] = round_to_byte(sums[c]);
    }
}

static void vertical(const struct ctkd__resize_weights *w, size_t i, const uint8_t *in,
                     size_t stride, size_t bytes, uint8_t *out)
{
    const int32_t *const weights = w->values + i * w->stride;
    for (size_t x = 0; x < bytes; x++) {
        int64_t sum = 0;
        for (size_t t = 0; t < w->taps[i].count; t++)
            sum += (int64_t)weights[t] * in[t * stride + x];
        out[x] = round_to_byte(sum);
    }
}

const struct ctkd__resize_passes ctkd__resize_portable = { horizontal, vertical };

/* --- resizing */

ctkd_status ctkd__resizer_create(enum ctkd__resize_order order, struct ctkd__resizer **out,
                                 ctkd_error *err)
{
    *out = calloc(1, sizeof **out);
    if (!*out)
        return ctkd__fail(err, CTKD_ENOMEM, "resize: out of memory");
    (*out)->order = order;
    ctkd__resizer_use_simd(*out, true);
    return CTKD_OK;
}

void ctkd__resizer_use_simd(struct ctkd__resizer *resizer, bool use)
{
    const struct ctkd__resize_passes *const simd = use ? ctkd__resize_simd() : NULL;
    resizer->preferred = simd ? simd : &ctkd__resize_portable;
}

void ctkd__resizer_destroy(struct ctkd__resizer *resizer)
{
    if (!resizer)
        return;
    weights_free(&resizer->columns);
    weights_free(&resizer->rows);
    free(resizer->between);
    free(resizer->row);
    free(resizer);
}

/* One interleaved row to three planes, mirrored or not. */
static void spread(const uint8_t *row, size_t n, bool flip, size_t plane, uint8_t *out)
{
    for (size_t i = 0; i < n; i++, row += 3) {
        uint8_t *const at = out + (flip ? n - 1 - i : i);
        at[0] = row[0];
        at[plane] = row[1];
        at[2 * plane] = row[2];
    }
}

/* Inputs that outputs read: [*first, *end). */
static void range_read(const struct ctkd__resize_weights *w, size_t count, size_t *first,
                       size_t *end)
{
    *first = w->taps[0].first;
    *end = w->taps[count - 1].first + w->taps[count - 1].count;
}

/* The parameters of one resize. */
struct resize_job {
    const struct ctkd__picture *in;
    struct ctkd__box window; /* its corner: in `in`, in directions that do not change */
    bool changes_width, changes_height, flip;
    uint8_t *out;
};

/* One finished row of the window, interleaved, to its place in the planes. */
static void put_row(const struct resize_job *job, size_t r, const uint8_t *row)
{
    const size_t n = job->window.width;
    spread(row, n, job->flip, n * job->window.height, job->out + r * n);
}

/* Runs the horizontal pass over all rows that are needed, then the vertical pass row by row. */
static ctkd_status horizontal_first(struct ctkd__resizer *z, const struct resize_job *job)
{
    const struct ctkd__picture *const in = job->in;
    const struct ctkd__box *const window = &job->window;
    size_t first = window->top, end = window->top + window->height, stride = in->stride;
    const size_t bytes = 3 * window->width;
    if (job->changes_height)
        range_read(&z->rows, window->height, &first, &end);
    const uint8_t *rows = in->pixels + first * stride + 3 * window->left;
    if (job->changes_width) {
        stride = bytes;
        if (!reserve((void **)&z->between, &z->between_size,
                     (end - first) * stride + CTKD__PICTURE_SLACK))
            return CTKD_ENOMEM;
        for (size_t r = first; r < end; r++)
            z->passes->horizontal(&z->columns, window->width, in->pixels + r * in->stride,
                                  z->between + (r - first) * stride);
        rows = z->between;
    }
    if (!reserve((void **)&z->row, &z->row_size, bytes + CTKD__PICTURE_SLACK))
        return CTKD_ENOMEM;
    for (size_t r = 0; r < window->height; r++) {
        if (!job->changes_height) {
            put_row(job, r, rows + r * stride);
            continue;
        }
        z->passes->vertical(&z->rows, r, rows + (z->rows.taps[r].first - first) * stride, stride,
                            bytes, z->row);
        put_row(job, r, z->row);
    }
    return CTKD_OK;
}

/* Row by row, runs the vertical pass over the columns that are needed, then the horizontal pass. */
static ctkd_status vertical_first(struct ctkd__resizer *z, const struct resize_job *job)
{
    const struct ctkd__picture *const in = job->in;
    const struct ctkd__box *const window = &job->window;
    size_t first = window->left, end = window->left + window->width;
    if (job->changes_width)
        range_read(&z->columns, window->width, &first, &end);
    if (!reserve((void **)&z->between, &z->between_size, 3 * in->width + CTKD__PICTURE_SLACK) ||
        !reserve((void **)&z->row, &z->row_size, 3 * window->width + CTKD__PICTURE_SLACK))
        return CTKD_ENOMEM;
    for (size_t r = 0; r < window->height; r++) {
        z->passes->vertical(&z->rows, r,
                            in->pixels + z->rows.taps[r].first * in->stride + 3 * first, in->stride,
                            3 * (end - first), z->between + 3 * first);
        if (job->changes_width)
            z->passes->horizontal(&z->columns, window->width, z->between, z->row);
        put_row(job, r, job->changes_width ? z->row : z->between + 3 * first);
    }
    return CTKD_OK;
}

static bool begins_vertically(const struct ctkd__resizer *z, const struct ctkd__resize_plan *plan)
{
    const ptrdiff_t narrower = (ptrdiff_t)plan->width_in - (ptrdiff_t)plan->width;
    const ptrdiff_t lower = (ptrdiff_t)plan->height_in - (ptrdiff_t)plan->height;
    return z->order == CTKD__PILLOW_13 && lower > 0 && lower > 2 * narrower;
}

static bool is_possible(const struct ctkd__resize_plan *plan)
{
    const struct ctkd__box *const window = &plan->window;
    return plan->width_in && plan->height_in && window->width && window->height &&
           window->left + window->width <= plan->width &&
           window->top + window->height <= plan->height;
}

/* Inputs of outputs first .. first + count - 1 in one direction. */
static void inputs_of(size_t n_in, size_t n_out, size_t first, size_t count, size_t *begin,
                      size_t *n)
{
    const double scale = (double)n_in / (double)n_out, support = support_of(scale);
    *begin = first;
    *n = count;
    if (n_in == n_out)
        return;
    const size_t last = first + count - 1;
    const struct ctkd__resize_tap a = tap_of(n_in, ((double)first + 0.5) * scale, support);
    const struct ctkd__resize_tap b = tap_of(n_in, ((double)last + 0.5) * scale, support);
    *begin = a.first;
    *n = b.first + b.count - a.first;
}

struct ctkd__box ctkd__resize_reads(const struct ctkd__resize_plan *plan)
{
    struct ctkd__box box = { 0 };
    if (!is_possible(plan))
        return box;
    inputs_of(plan->width_in, plan->width, plan->window.left, plan->window.width, &box.left,
              &box.width);
    inputs_of(plan->height_in, plan->height, plan->window.top, plan->window.height, &box.top,
              &box.height);
    return box;
}

/* `in` begins at (left, top) of the image. */
static ctkd_status resize(struct ctkd__resizer *z, const struct ctkd__resize_plan *plan,
                          const struct ctkd__picture *in, size_t left, size_t top, bool flip,
                          uint8_t *out)
{
    const struct ctkd__box *const window = &plan->window;
    struct resize_job job = { .in = in,
                              .window = { 0, 0, window->width, window->height },
                              .changes_width = plan->width != plan->width_in,
                              .changes_height = plan->height != plan->height_in,
                              .flip = flip,
                              .out = out };
    if (!job.changes_width)
        job.window.left = window->left - left;
    if (!job.changes_height)
        job.window.top = window->top - top;
    /* With thousands of taps the sums would overflow 32 bits. */
    const bool narrow = plan->width_in / plan->width < TAPS_MAX / 4 &&
                        plan->height_in / plan->height < TAPS_MAX / 4;
    z->passes = narrow ? z->preferred : &ctkd__resize_portable;
    if ((job.changes_width && !make_weights(&z->columns, plan->width_in, plan->width, window->left,
                                            window->width, left)) ||
        (job.changes_height &&
         !make_weights(&z->rows, plan->height_in, plan->height, window->top, window->height, top)))
        return CTKD_ENOMEM;
    return begins_vertically(z, plan) ? vertical_first(z, &job) : horizontal_first(z, &job);
}

ctkd_status ctkd__resize(struct ctkd__resizer *z, const struct ctkd__picture *in, size_t width,
                         size_t height, const struct ctkd__box *window, bool flip, uint8_t *out)
{
    const struct ctkd__resize_plan plan = { in->width, in->height, width, height, *window };
    return is_possible(&plan) ? resize(z, &plan, in, 0, 0, flip, out) : CTKD_EINVAL;
}

ctkd_status ctkd__resize_part(struct ctkd__resizer *z, const struct ctkd__resize_plan *plan,
                              const struct ctkd__picture *part, bool flip, uint8_t *out)
{
    const struct ctkd__box reads = ctkd__resize_reads(plan);
    return is_possible(plan) && part->width == reads.width && part->height == reads.height
               ? resize(z, plan, part, reads.left, reads.top, flip, out)
               : CTKD_EINVAL;
}
