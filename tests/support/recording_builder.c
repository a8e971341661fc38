#include "support/recording_builder.h"

#include <stdarg.h>
#include <stdio.h>

#include "support/check.h"

static struct recording *recording_of(ctkd_builder *b)
{
    return b->context;
}

static bool failed(const ctkd_builder *b)
{
    return b->status != CTKD_OK;
}

static int refuse(ctkd_builder *b, const char *format, ...)
{
    if (failed(b))
        return -1;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(b->message, sizeof b->message, format, arguments);
    va_end(arguments);
    b->status = CTKD_ESHAPE;
    return -1;
}

static void batch_statistics(ctkd_builder *b)
{
    if (!failed(b))
        recording_of(b)->batch_statistics = true;
}

static int add_value(ctkd_builder *b, struct recorded_value value)
{
    struct recording *r = recording_of(b);
    assert_true(r->n_values < RECORDED_MAX);
    if (value.shape.c == 0 || value.shape.h == 0 || value.shape.w == 0)
        return refuse(b, "value %zu is empty", r->n_values);
    r->values[r->n_values] = value;
    return (int)r->n_values++;
}

static const struct recorded_value *value_at(ctkd_builder *b, int x)
{
    const struct recording *r = recording_of(b);
    assert_true(x >= 0 && (size_t)x < r->n_values);
    return &r->values[x];
}

/* What an adaptor makes of x: no tap, so without its norm. */
static int add_derived(ctkd_builder *b, int x, size_t c, size_t h, size_t w)
{
    const struct recorded_value from = *value_at(b, x);
    return add_value(
        b, (struct recorded_value){ .shape = { .c = c, .h = h, .w = w }, .side = from.side });
}

static void add_name(ctkd_builder *b, const char *name)
{
    struct recording *r = recording_of(b);
    assert_true(r->n_names < RECORDED_MAX && strlen(name) > 0 && strlen(name) < sizeof r->names[0]);
    for (size_t i = 0; i < r->n_names; i++)
        assert_string_not_equal(r->names[i], name);
    strcpy(r->names[r->n_names++], name);
}

static size_t taps(ctkd_builder *b, ctkd_side side)
{
    return failed(b) ? 0 : recording_of(b)->n_taps[side];
}

static int tap(ctkd_builder *b, ctkd_side side, int index, bool pre)
{
    if (failed(b))
        return -1;
    const struct recording *r = recording_of(b);
    const int count = (int)r->n_taps[side], at = index < 0 ? count + index : index;
    if (at < 0 || at >= count)
        return refuse(b, "feature %d of %d", index, count);
    if (pre && (at == 0 || at == count - 1))
        return refuse(b, "feature %d has no form before its ReLU", index);
    return add_value(b, (struct recorded_value){ .shape = r->taps[side][at],
                                                 .side = side,
                                                 .norm = pre && side == CTKD_TEACHER });
}

static bool has_norm(ctkd_builder *b, int x)
{
    return !failed(b) && value_at(b, x)->norm;
}

static void size(ctkd_builder *b, int x, size_t *c, size_t *h, size_t *w)
{
    if (failed(b))
        return;
    const ctkd_map shape = value_at(b, x)->shape;
    *c = shape.c;
    *h = shape.h;
    *w = shape.w;
}

static int conv(ctkd_builder *b, int x, const char *name, const ctkd_conv *conv)
{
    if (failed(b))
        return -1;
    const ctkd_map in = value_at(b, x)->shape;
    add_name(b, name);
    assert_true(conv->out > 0 && conv->kernel > 0 && conv->stride > 0);
    if (in.h + 2 * conv->padding < conv->kernel || in.w + 2 * conv->padding < conv->kernel)
        return refuse(b, "%s: the kernel is larger than the map", name);
    return add_derived(b, x, conv->out,
                       (in.h + 2 * conv->padding - conv->kernel) / conv->stride + 1,
                       (in.w + 2 * conv->padding - conv->kernel) / conv->stride + 1);
}

static int transposed_conv(ctkd_builder *b, int x, const char *name, const ctkd_conv *conv)
{
    if (failed(b))
        return -1;
    const ctkd_map in = value_at(b, x)->shape;
    add_name(b, name);
    assert_true(conv->out > 0 && conv->kernel > 0 && conv->stride > 0);
    const size_t h = (in.h - 1) * conv->stride + conv->kernel;
    const size_t w = (in.w - 1) * conv->stride + conv->kernel;
    if (h <= 2 * conv->padding || w <= 2 * conv->padding)
        return refuse(b, "%s: nothing is left of the map", name);
    return add_derived(b, x, conv->out, h - 2 * conv->padding, w - 2 * conv->padding);
}

static int same_shape(ctkd_builder *b, int x)
{
    const ctkd_map in = value_at(b, x)->shape;
    return add_derived(b, x, in.c, in.h, in.w);
}

static int batch_norm(ctkd_builder *b, int x, const char *name)
{
    if (failed(b))
        return -1;
    add_name(b, name);
    return same_shape(b, x);
}

static int activate(ctkd_builder *b, int x, ctkd_activation kind, float slope)
{
    if (failed(b))
        return -1;
    assert_true(kind == CTKD_RELU || kind == CTKD_LEAKY_RELU || kind == CTKD_SIGMOID);
    assert_true(isfinite(slope));
    return same_shape(b, x);
}

static int add(ctkd_builder *b, int x, int y)
{
    if (failed(b))
        return -1;
    const ctkd_map p = value_at(b, x)->shape, q = value_at(b, y)->shape;
    if (p.c != q.c || p.h != q.h || p.w != q.w)
        return refuse(b, "sum of [%zu,%zu,%zu] and [%zu,%zu,%zu]", p.c, p.h, p.w, q.c, q.h, q.w);
    return same_shape(b, x);
}

static int concat(ctkd_builder *b, int x, int y)
{
    if (failed(b))
        return -1;
    const ctkd_map p = value_at(b, x)->shape, q = value_at(b, y)->shape;
    if (p.h != q.h || p.w != q.w)
        return refuse(b, "join of maps %zux%zu and %zux%zu", p.h, p.w, q.h, q.w);
    return add_derived(b, x, p.c + q.c, p.h, p.w);
}

static int scaled_to(ctkd_builder *b, int x, size_t h, size_t w)
{
    if (failed(b))
        return -1;
    const ctkd_map in = value_at(b, x)->shape;
    return in.h == h && in.w == w ? x : add_derived(b, x, in.c, h, w);
}

static int scale_by(ctkd_builder *b, int x, int gate, size_t channel)
{
    if (failed(b))
        return -1;
    const ctkd_map in = value_at(b, x)->shape, by = value_at(b, gate)->shape;
    if (channel >= by.c || in.h != by.h || in.w != by.w)
        return refuse(b, "map %zux%zu times channel %zu of [%zu,%zu,%zu]", in.h, in.w, channel,
                      by.c, by.h, by.w);
    return same_shape(b, x);
}

static int parameter(ctkd_builder *b, const char *name, size_t count, float value)
{
    if (failed(b))
        return -1;
    add_name(b, name);
    assert_true(isfinite(value));
    return add_value(b, (struct recorded_value){ .shape = { .c = count, .h = 1, .w = 1 },
                                                 .side = CTKD_STUDENT,
                                                 .parameter = true });
}

static void train_in(ctkd_builder *b, unsigned stages)
{
    recording_of(b)->stages = stages;
}

static void read_value(ctkd_builder *b, int x, unsigned stages, bool gradient)
{
    if (failed(b))
        return;
    struct recording *r = recording_of(b);
    assert_true(r->n_reads < RECORDED_MAX);
    assert_true(stages > 0 && stages <= (CTKD_STAGE_INITIAL | CTKD_STAGE_MAIN));
    r->reads[r->n_reads++] =
        (struct recorded_read){ .value = *value_at(b, x), .stages = stages, .gradient = gradient };
}

void recording_start(struct recording *r, const ctkd_map *student, size_t n_student,
                     const ctkd_map *teacher, size_t n_teacher)
{
    *r = (struct recording){ .taps = { student, teacher }, .n_taps = { n_student, n_teacher } };
    r->builder = (ctkd_builder){ .context = r,
                                 .taps = taps,
                                 .tap = tap,
                                 .has_norm = has_norm,
                                 .size = size,
                                 .conv = conv,
                                 .transposed_conv = transposed_conv,
                                 .batch_norm = batch_norm,
                                 .activate = activate,
                                 .add = add,
                                 .concat = concat,
                                 .pool_to = scaled_to,
                                 .resize = scaled_to,
                                 .scale_by = scale_by,
                                 .parameter = parameter,
                                 .train_in = train_in,
                                 .read = read_value,
                                 .refuse = refuse,
                                 .batch_statistics = batch_statistics };
}

size_t recording_reads(const struct recording *r, unsigned stage, struct recorded_read *reads)
{
    size_t count = 0;
    for (size_t i = 0; i < r->n_reads; i++)
        if (r->reads[i].stages & stage)
            reads[count++] = r->reads[i];
    return count;
}
