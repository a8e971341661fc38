#include "data/subset.h"

#include <stdlib.h>

#include "ctkd/random.h"

struct class_candidate {
    uint32_t id, position; /* position among its class, in seeded order */
    uint32_t class_size;
    int32_t label;
};

/* By (position + 1/2) / class_size, exactly, then by label, so that the order is total. */
static int candidate_compare(const void *a, const void *b)
{
    const struct class_candidate *x = a, *y = b;
    const uint64_t left = (2 * (uint64_t)x->position + 1) * y->class_size;
    const uint64_t right = (2 * (uint64_t)y->position + 1) * x->class_size;
    if (left != right)
        return left < right ? -1 : 1;
    return (x->label > y->label) - (x->label < y->label);
}

static int id_compare(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

void ctkd__shuffle(uint64_t seed, uint64_t round, uint32_t *items, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        const uint32_t j = ctkd_random_below(seed, CTKD_RANDOM_SHUFFLE, round, i - 1, (uint32_t)i);
        const uint32_t item = items[i - 1];
        items[i - 1] = items[j];
        items[j] = item;
    }
}

/* Of `order` [count]: each class by its places in it. */
static ctkd_status choose(const int32_t *labels, size_t count, const uint32_t *order, size_t limit,
                          uint32_t *ids)
{
    size_t classes = 0;
    for (size_t i = 0; limit == count && i < count; i++)
        ids[i] = (uint32_t)i;
    if (limit == count)
        return CTKD_OK;
    for (size_t i = 0; i < count; i++)
        if ((size_t)labels[i] >= classes)
            classes = (size_t)labels[i] + 1;
    uint32_t *sizes = calloc(classes + 1, sizeof *sizes);
    struct class_candidate *candidates = malloc((count + 1) * sizeof *candidates);
    const ctkd_status status = sizes && candidates ? CTKD_OK : CTKD_ENOMEM;
    if (status == CTKD_OK) {
        for (size_t i = 0; i < count; i++) {
            const int32_t label = labels[order[i]];
            candidates[i] = (struct class_candidate){ order[i], sizes[label]++, 0, label };
        }
        for (size_t i = 0; i < count; i++)
            candidates[i].class_size = sizes[candidates[i].label];
        qsort(candidates, count, sizeof *candidates, candidate_compare);
        for (size_t i = 0; i < limit; i++)
            ids[i] = candidates[i].id;
        qsort(ids, limit, sizeof *ids, id_compare);
    }
    free(candidates);
    free(sizes);
    return status;
}

ctkd_status ctkd__subset_choose(const int32_t *labels, size_t count, size_t limit, uint64_t seed,
                                uint32_t *ids)
{
    uint32_t *const order = malloc((count + 1) * sizeof *order);
    if (!order)
        return CTKD_ENOMEM;
    for (size_t i = 0; i < count; i++)
        order[i] = (uint32_t)i;
    ctkd__shuffle(seed, 0, order, count);
    const ctkd_status status = choose(labels, count, order, limit, ids);
    free(order);
    return status;
}

struct keyed {
    uint64_t key;
    uint32_t id;
};

static int keyed_compare(const void *a, const void *b)
{
    const struct keyed *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

ctkd_status ctkd__subset_by_keys(const int32_t *labels, size_t count, size_t limit,
                                 const uint64_t *keys, uint32_t *ids)
{
    struct keyed *const items = malloc((count + 1) * sizeof *items);
    uint32_t *const order = malloc((count + 1) * sizeof *order);
    ctkd_status status = items && order ? CTKD_OK : CTKD_ENOMEM;
    if (status == CTKD_OK) {
        for (size_t i = 0; i < count; i++)
            items[i] = (struct keyed){ keys[i], (uint32_t)i };
        qsort(items, count, sizeof *items, keyed_compare);
        for (size_t i = 0; i < count; i++)
            order[i] = items[i].id;
        status = choose(labels, count, order, limit, ids);
    }
    free(order);
    free(items);
    return status;
}
