#include "nn/conv/choices.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nn/arena.h"
#include "util/clock.h"
#include "util/error.h"

enum { MEASURED_NS = 4000000, RUNS_MIN = 3 }; /* time and runs of each candidate */

static const char *const directions[] = { "forward", "backward-data", "backward-weights" };

void ctkd__choices_key(const struct ctkd__conv_request *request, char *key, size_t bytes)
{
    const struct ctkd__conv_shape *const s = &request->shape;
    char groups[32] = "";
    if (ctkd__conv_groups(s) > 1)
        snprintf(groups, sizeof groups, " groups %zu", s->groups);
    snprintf(key, bytes, "%s %s%s %zux%zux%zu to %zu kernel %zu stride %zu%s images %zu",
             request->kernels->name, directions[request->direction],
             request->prologue ? "+norm" : "", s->c, s->h, s->w, s->o, s->kernel, s->stride, groups,
             request->images);
}

static ctkd_status add(struct ctkd__choices *choices, const struct ctkd__choice *choice,
                       ctkd_error *err)
{
    struct ctkd__choice *const items =
        realloc(choices->items, (choices->count + 1) * sizeof *items);
    if (!items)
        return ctkd__fail(err, CTKD_ENOMEM, "choice of convolutions: out of memory");
    choices->items = items;
    items[choices->count++] = *choice;
    return CTKD_OK;
}

/* --- measuring */

/* Arrays of one layer, filled with something that is neither zero nor denormal. */
struct arrays {
    float *x, *y, *weights, *packed, *channels;
    void *scratch;
    size_t x_bytes, y_bytes, weights_bytes, packed_bytes, scratch_bytes, channels_bytes;
};

static float *filled(size_t bytes)
{
    float *const p = ctkd__pages_allocate(bytes);
    for (size_t i = 0; p && i < bytes / sizeof *p; i++)
        p[i] = 0.01f * (float)(i % 127) - 0.5f;
    return p;
}

static size_t padded(const struct ctkd__conv_request *r, size_t channels)
{
    const size_t b = r->kernels->block;
    return (channels + b - 1) / b * b;
}

static bool arrays_open(struct arrays *a, const struct ctkd__conv_request *r,
                        const struct ctkd__conv *conv)
{
    const struct ctkd__conv_shape *const s = &r->shape;
    const size_t c = s->plain_input ? s->c : padded(r, s->c), o = padded(r, s->o);
    const struct ctkd__conv_impl *const impl = ctkd__conv_base(conv)->impl;
    memset(a, 0, sizeof *a);
    a->x = filled(a->x_bytes = r->images * c * s->h * s->w * sizeof(float));
    a->y = filled(a->y_bytes = r->images * o * s->oh * s->ow * sizeof(float));
    a->weights =
        filled(a->weights_bytes = ctkd__conv_weight_floats(s, r->kernels->block) * sizeof(float));
    a->packed = filled(a->packed_bytes = impl->packed_bytes(conv) + 64);
    a->channels = filled(a->channels_bytes = (c > o ? c : o) * sizeof(float));
    a->scratch = ctkd__pages_allocate(a->scratch_bytes = impl->scratch_bytes(conv) + 64);
    return a->x && a->y && a->weights && a->packed && a->channels && a->scratch;
}

static void arrays_close(struct arrays *a)
{
    ctkd__pages_release(a->x, a->x_bytes);
    ctkd__pages_release(a->y, a->y_bytes);
    ctkd__pages_release(a->weights, a->weights_bytes);
    ctkd__pages_release(a->packed, a->packed_bytes);
    ctkd__pages_release(a->channels, a->channels_bytes);
    ctkd__pages_release(a->scratch, a->scratch_bytes);
}

/* Fastest of several runs, packing included (it is part of every step). */
static ctkd_status time_candidate(const struct ctkd__conv *conv, struct arrays *a, uint64_t *best)
{
    const struct ctkd__conv_base *const base = ctkd__conv_base(conv);
    const struct ctkd__conv_request *const r = &base->request;
    const struct ctkd__affine affine = { a->channels, a->channels, true };
    const bool packs = base->impl->packed_bytes(conv) > 0;
    struct ctkd__conv_call call = { .n = r->images,
                                    .x = a->x,
                                    .dy = a->y,
                                    .prologue = r->prologue ? &affine : NULL,
                                    .weights = packs ? a->packed : a->weights,
                                    .bias = r->bias ? a->channels : NULL,
                                    .base = r->residual ? a->y : NULL,
                                    .out = r->direction == CTKD__CONV_FORWARD         ? a->y
                                           : r->direction == CTKD__CONV_BACKWARD_DATA ? a->x
                                                                                      : a->weights,
                                    .scratch = a->scratch };
    const uint64_t begin = ctkd__clock_ns();
    *best = UINT64_MAX;
    for (int i = 0; i < RUNS_MIN || ctkd__clock_ns() - begin < MEASURED_NS; i++) {
        const uint64_t start = ctkd__clock_ns();
        if (packs)
            base->impl->pack(conv, a->weights, a->packed, 0, 1);
        const ctkd_status status = base->impl->run(conv, &call);
        if (status)
            return status;
        const uint64_t ns = ctkd__clock_ns() - start;
        *best = ns < *best ? ns : *best;
    }
    return CTKD_OK;
}

static ctkd_status measure_candidate(const struct ctkd__conv_impl *impl,
                                     const struct ctkd__conv_request *request, uint64_t *ns,
                                     ctkd_error *err)
{
    struct ctkd__conv *conv = NULL;
    struct arrays arrays = { 0 };
    ctkd_status status = impl->create(request, &conv, err);
    if (!status)
        status = ctkd__conv_prepare(conv, request->images, err);
    if (!status && !arrays_open(&arrays, request, conv))
        status = ctkd__fail(err, CTKD_ENOMEM, "choice of convolutions: out of memory");
    if (!status && time_candidate(conv, &arrays, ns))
        status = ctkd__fail(err, CTKD_EBACKEND,
                            "choice of convolutions: the implementation %s failed", impl->name);
    arrays_close(&arrays);
    ctkd__conv_destroy(conv);
    return status;
}

/* Measures an implementation in all its tilings; best becomes the fastest so far. */
static ctkd_status measure_impl(const struct ctkd__conv_impl *impl,
                                const struct ctkd__conv_request *request, struct ctkd__choice *best,
                                uint64_t *best_ns, ctkd_error *err)
{
    static const size_t tile_blocks[] = { 0, 16, 32, 64, 128 };
    const size_t variants = impl->tiles ? sizeof tile_blocks / sizeof *tile_blocks : 1;
    for (size_t j = 0; j < variants; j++) {
        struct ctkd__conv_request candidate = *request;
        uint64_t ns = UINT64_MAX;
        candidate.choices = NULL;
        candidate.tile_block = tile_blocks[j];
        const ctkd_status status = measure_candidate(impl, &candidate, &ns, err);
        if (status)
            return status;
        /* The default stays unless another is clearly faster: noise must not choose. */
        if (*best_ns == UINT64_MAX || (double)ns < 0.97 * (double)*best_ns) {
            *best_ns = ns;
            snprintf(best->impl, sizeof best->impl, "%s", impl->name);
            best->tile_block = tile_blocks[j];
        }
    }
    return CTKD_OK;
}

static ctkd_status measure(struct ctkd__choices *choices, const struct ctkd__conv_request *request,
                           const char *key, ctkd_error *err)
{
    struct ctkd__choice best = { .impl = "" };
    uint64_t best_ns = UINT64_MAX;
    snprintf(best.key, sizeof best.key, "%s", key);
    for (int defaults = 1; defaults >= 0; defaults--) /* defaults first */
        for (size_t i = 0; ctkd__conv_list()[i]; i++) {
            const struct ctkd__conv_impl *const impl = ctkd__conv_list()[i];
            const int is_default = !impl->is_default || impl->is_default(request);
            if (!impl->supports(request) || is_default != defaults ||
                (impl->is_reference &&
                 impl->is_reference(request))) /* it never wins, and is slow to time */
                continue;
            const ctkd_status status = measure_impl(impl, request, &best, &best_ns, err);
            if (status)
                return status;
        }
    return best.impl[0] ? add(choices, &best, err) : CTKD_OK;
}

ctkd_status ctkd__choices_find(struct ctkd__choices *choices,
                               const struct ctkd__conv_request *request,
                               const struct ctkd__choice **out, ctkd_error *err)
{
    char key[sizeof choices->items->key];
    ctkd__choices_key(request, key, sizeof key);
    *out = NULL;
    for (int attempt = 0; attempt < 2; attempt++) {
        for (size_t i = 0; i < choices->count; i++)
            if (strcmp(choices->items[i].key, key) == 0) {
                *out = &choices->items[i];
                return CTKD_OK;
            }
        if (!choices->measure || attempt)
            break;
        const ctkd_status status = measure(choices, request, key, err);
        if (status)
            return status;
    }
    return CTKD_OK;
}

/* --- file */

void ctkd__choices_write(const struct ctkd__choices *choices, FILE *out)
{
    for (size_t i = 0; i < choices->count; i++)
        fprintf(out, "%s %zu %s\n", choices->items[i].impl, choices->items[i].tile_block,
                choices->items[i].key);
}

static ctkd_status read_line(const char *path, size_t number, char *line, struct ctkd__choices *out,
                             ctkd_error *err)
{
    struct ctkd__choice choice = { .impl = "" };
    line[strcspn(line, "\n")] = '\0';
    int at = 0;
    if (sscanf(line, "%15s %zu %n", choice.impl, &choice.tile_block, &at) != 2 || !at ||
        strlen(line + at) == 0 || strlen(line + at) >= sizeof choice.key)
        return ctkd__fail(
            err, CTKD_EFORMAT,
            "%s:%zu: found \"%.40s\", expected an implementation, a tile block and a layer", path,
            number, line);
    snprintf(choice.key, sizeof choice.key, "%s", line + at);
    for (size_t i = 0; ctkd__conv_list()[i]; i++)
        if (strcmp(ctkd__conv_list()[i]->name, choice.impl) == 0)
            return add(out, &choice, err);
    return ctkd__fail(err, CTKD_EFORMAT,
                      "%s:%zu: found implementation %s, expected winograd, depthwise, "
                      "gemm, expanded, im2col or dnnl",
                      path, number, choice.impl);
}

ctkd_status ctkd__choices_read(const char *path, struct ctkd__choices *out, ctkd_error *err)
{
    FILE *const file = fopen(path, "r");
    if (!file)
        return ctkd__fail(err, CTKD_EIO, "cannot open %s: %s", path, strerror(errno));
    char line[256];
    ctkd_status status = CTKD_OK;
    for (size_t number = 1; !status && fgets(line, sizeof line, file); number++)
        status = read_line(path, number, line, out, err);
    fclose(file);
    if (status)
        ctkd__choices_fini(out);
    return status;
}

void ctkd__choices_fini(struct ctkd__choices *choices)
{
    free(choices->items);
    choices->items = NULL;
    choices->count = 0;
}
