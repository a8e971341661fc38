#include "nn/compile/maps.h"

#include <stdlib.h>

static size_t blocks_of(size_t channels, size_t block)
{
    return (channels + block - 1) / block;
}

/* The entry of `sources` for a block of an operand; a new one behind the last if there is none. */
static struct ctkd__channel_source *source_of(struct ctkd__channel_source *sources, size_t *count,
                                              const struct ctkd__channel *from, size_t block)
{
    for (size_t i = 0; i < *count; i++)
        if (sources[i].operand == (int)from->operand && sources[i].block == from->channel / block)
            return &sources[i];
    struct ctkd__channel_source *const added = &sources[(*count)++];
    *added = (struct ctkd__channel_source){ .block = from->channel / block,
                                            .operand = (int)from->operand };
    return added;
}

static bool is_whole(const struct ctkd__channel_source *source, size_t block)
{
    for (size_t i = 0; i < block; i++)
        if (source->mask[i] == 0 || source->lanes[i] != (int32_t)i)
            return false;
    return true;
}

/* entry[c] says where channel c of the output comes from; operand `nowhere` means that it is 0. */
static ctkd_status make_plan(const struct ctkd__channel *entries, size_t count, uint32_t nowhere,
                             size_t block, struct ctkd__channel_plan *out)
{
    out->blocks = blocks_of(count, block);
    out->first = calloc(out->blocks + 1, sizeof *out->first);
    out->sources = calloc(count ? count : 1, sizeof *out->sources); /* one per channel at most */
    if (!out->first || !out->sources) {
        ctkd__channel_plan_fini(out);
        return CTKD_ENOMEM;
    }
    for (size_t b = 0; b < out->blocks; b++) {
        struct ctkd__channel_source *const sources = out->sources + out->first[b];
        size_t found = 0;
        for (size_t lane = 0; lane < block && b * block + lane < count; lane++) {
            const struct ctkd__channel *const from = &entries[b * block + lane];
            if (from->operand == nowhere)
                continue;
            struct ctkd__channel_source *const source = source_of(sources, &found, from, block);
            source->lanes[lane] = (int32_t)(from->channel % block);
            source->mask[lane] = -1;
        }
        for (size_t i = 0; i < found; i++)
            sources[i].whole = is_whole(&sources[i], block);
        out->first[b + 1] = out->first[b] + found;
    }
    return CTKD_OK;
}

ctkd_status ctkd__channel_plan_forward(const struct ctkd__channel *channels, size_t count,
                                       const size_t c[2], size_t block,
                                       struct ctkd__channel_plan *out)
{
    *out = (struct ctkd__channel_plan){ .in_blocks = { blocks_of(c[0], block),
                                                       blocks_of(c[1], block) } };
    return make_plan(channels, count, UINT32_MAX, block, out);
}

ctkd_status ctkd__channel_plan_backward(const struct ctkd__channel *channels, size_t count,
                                        uint32_t operand, size_t c, size_t block,
                                        struct ctkd__channel_plan *out)
{
    *out = (struct ctkd__channel_plan){ .in_blocks = { blocks_of(count, block), 0 } };
    struct ctkd__channel *const inverse = malloc((c ? c : 1) * sizeof *inverse);
    if (!inverse)
        return CTKD_ENOMEM;
    for (size_t i = 0; i < c; i++)
        inverse[i] = (struct ctkd__channel){ UINT32_MAX, 0 };
    for (size_t i = 0; i < count; i++)
        if (channels[i].operand == operand)
            inverse[channels[i].channel] = (struct ctkd__channel){ 0, (uint32_t)i };
    const ctkd_status status = make_plan(inverse, c, UINT32_MAX, block, out);
    free(inverse);
    return status;
}

void ctkd__channel_plan_fini(struct ctkd__channel_plan *plan)
{
    free(plan->first);
    free(plan->sources);
    *plan = (struct ctkd__channel_plan){ 0 };
}
