#include "io/pth_tree.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "util/error.h"

enum { DEPTH_MAX = 16, VISITS_MAX = 1000000, ENTRIES_MAX = 65536 };

typedef struct ctkd__pickle_value value;

/* Where the walk is. */
struct tree_place {
    char prefix[CTKD__PTH_NAME_BYTES];
    size_t length; /* of the prefix, uncut */
    size_t outer;
    int depth;
};

struct walk {
    const char *name;
    struct ctkd__pth_tree *tree;
    size_t visits; /* items that may still be looked at: dicts share and repeat */
    ctkd_status status;
    ctkd_error *err;
};

bool ctkd__pth_is_dict(const value *v)
{
    return v->kind == CTKD__PICKLE_DICT || (v->kind == CTKD__PICKLE_OBJECT && v->count > 0);
}

static bool is_global(const value *callable, const char *module)
{
    return callable->kind == CTKD__PICKLE_GLOBAL && callable->length == strlen(module) &&
           memcmp(callable->text, module, callable->length) == 0;
}

bool ctkd__pth_tensor_of(const value *v, struct ctkd__pth_tensor *out)
{
    if (v->kind != CTKD__PICKLE_OBJECT)
        return false;
    *out = (struct ctkd__pth_tensor){ v->callable, v->args };
    for (int depth = 0; depth < 4; depth++) {
        const value *const args = out->args;
        if (args->kind != CTKD__PICKLE_TUPLE || args->count == 0)
            return false;
        /* (data, requires_grad, hooks[, attributes]) */
        if (ctkd__pickle_is_global(out->callable, "torch._utils", "_rebuild_parameter") ||
            ctkd__pickle_is_global(out->callable, "torch._utils",
                                   "_rebuild_parameter_with_state")) {
            const value *const data = args->items[0];
            if (data->kind != CTKD__PICKLE_OBJECT)
                return false;
            *out = (struct ctkd__pth_tensor){ data->callable, data->args };
            continue;
        }
        /* (function, class, its arguments, attributes) */
        if (ctkd__pickle_is_global(out->callable, "torch._tensor", "_rebuild_from_type_v2")) {
            if (args->count < 3)
                return false;
            *out = (struct ctkd__pth_tensor){ args->items[0], args->items[2] };
            continue;
        }
        return is_global(out->callable, "torch._utils");
    }
    return false;
}

/* (storage, offset, size, stride, ...) */
static int rank_of(const struct ctkd__pth_tensor *tensor)
{
    const value *const args = tensor->args;
    return args->count > 2 && args->items[2]->kind == CTKD__PICKLE_TUPLE &&
                   args->items[2]->count < 64
               ? (int)args->items[2]->count
               : 0;
}

/* The state of optimisers and the like may be as large as the weights and is never needed. */
static bool is_passed_over(const value *key)
{
    static const char *const parts[] = { "optim", "sched", "scaler" };
    if (key->length == 3 && strncasecmp(key->text, "opt", 3) == 0)
        return true;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        for (size_t at = 0, n = strlen(parts[i]); at + n <= key->length; at++)
            if (strncasecmp(key->text + at, parts[i], n) == 0)
                return true;
    return false;
}

static void out_of_memory(struct walk *walk)
{
    walk->status = ctkd__fail(walk->err, CTKD_ENOMEM, "%s: out of memory", walk->name);
}

static bool reserve(struct walk *walk)
{
    struct ctkd__pth_tree *const tree = walk->tree;
    if (tree->count < tree->capacity)
        return true;
    if (tree->count == ENTRIES_MAX) {
        walk->status = ctkd__fail(walk->err, CTKD_EFORMAT, "%s: found more than %d tensors",
                                  walk->name, ENTRIES_MAX);
        return false;
    }
    const size_t capacity = tree->capacity ? 2 * tree->capacity : 128;
    struct ctkd__pth_entry *const grown = realloc(tree->entries, capacity * sizeof *grown);
    if (!grown) {
        out_of_memory(walk);
        return false;
    }
    tree->entries = grown;
    tree->capacity = capacity;
    return true;
}

/* prefix, key and `end` one behind the other, cut off where a name is too long. */
static void join(char out[CTKD__PTH_NAME_BYTES], const char *prefix, const value *key,
                 const char *end)
{
    const struct {
        const char *text;
        size_t length;
    } parts[] = { { prefix, strlen(prefix) }, { key->text, key->length }, { end, strlen(end) } };
    size_t used = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const size_t room = CTKD__PTH_NAME_BYTES - 1 - used;
        const size_t n = parts[i].length < room ? parts[i].length : room;
        if (n)
            memcpy(out + used, parts[i].text, n);
        used += n;
    }
    out[used] = '\0';
}

static void add(struct walk *walk, const struct tree_place *at, const value *key, const value *dict,
                const struct ctkd__pth_tensor *tensor)
{
    char name[CTKD__PTH_NAME_BYTES];
    join(name, at->prefix, key, "");
    if (!reserve(walk))
        return;
    struct ctkd__pth_entry *const entry = &walk->tree->entries[walk->tree->count];
    *entry = (struct ctkd__pth_entry){ .name = strdup(name),
                                       .length = at->length + key->length,
                                       .outer = at->outer,
                                       .rank = rank_of(tensor),
                                       .dict = dict,
                                       .tensor = *tensor };
    if (!entry->name) {
        out_of_memory(walk);
        return;
    }
    walk->tree->count++;
}

static struct tree_place place_below(const struct tree_place *at, const value *key, bool outer)
{
    struct tree_place place = { .length = at->length + key->length + 1, .depth = at->depth + 1 };
    join(place.prefix, at->prefix, key, ".");
    place.outer = outer ? place.length : at->outer;
    return place;
}

/* --- modules */

static const value *attribute(const value *dict, const char *name)
{
    for (size_t i = 0; i + 1 < dict->count; i += 2)
        if (ctkd__pickle_is_string(dict->items[i], name))
            return dict->items[i + 1];
    return NULL;
}

/* The attributes of an object; with slots they are the first of a pair. */
static const value *attributes_of(const value *object)
{
    const value *attributes = object->kind == CTKD__PICKLE_OBJECT ? object->attributes : NULL;
    if (attributes && attributes->kind == CTKD__PICKLE_TUPLE && attributes->count == 2)
        attributes = attributes->items[0];
    return attributes && attributes->kind == CTKD__PICKLE_DICT ? attributes : NULL;
}

static bool is_module(const value *v)
{
    const value *const attributes = attributes_of(v);
    return attributes && attribute(attributes, "_modules") && attribute(attributes, "_parameters");
}

static bool may_visit(struct walk *walk, const struct tree_place *at, const value *dict)
{
    if (walk->status != CTKD_OK || at->depth > DEPTH_MAX || dict->count > walk->visits)
        return false;
    walk->visits -= dict->count;
    return true;
}

static void add_tensors(struct walk *walk, const struct tree_place *at, const value *module,
                        const value *dict)
{
    struct ctkd__pth_tensor tensor;
    if (!dict || !ctkd__pth_is_dict(dict) || !may_visit(walk, at, dict))
        return;
    for (size_t i = 0; i + 1 < dict->count && walk->status == CTKD_OK; i += 2)
        if (dict->items[i]->kind == CTKD__PICKLE_STRING &&
            ctkd__pth_tensor_of(dict->items[i + 1], &tensor))
            add(walk, at, dict->items[i], module, &tensor);
}

/* In the order of its state_dict(): parameters, buffers, then the modules within. */
static void walk_module(struct walk *walk, const struct tree_place *at, const value *module)
{
    const value *const attributes = attributes_of(module);
    if (!may_visit(walk, at, attributes))
        return;
    add_tensors(walk, at, module, attribute(attributes, "_parameters"));
    add_tensors(walk, at, module, attribute(attributes, "_buffers"));
    const value *const modules = attribute(attributes, "_modules");
    if (!ctkd__pth_is_dict(modules) || !may_visit(walk, at, modules))
        return;
    for (size_t i = 0; i + 1 < modules->count && walk->status == CTKD_OK; i += 2)
        if (modules->items[i]->kind == CTKD__PICKLE_STRING && is_module(modules->items[i + 1])) {
            const struct tree_place inner = place_below(at, modules->items[i], false);
            walk_module(walk, &inner, modules->items[i + 1]);
        }
}

/* --- dicts */

static void walk_dict(struct walk *walk, const struct tree_place *at, const value *dict)
{
    struct ctkd__pth_tensor tensor;
    if (!may_visit(walk, at, dict))
        return;
    for (size_t i = 0; i + 1 < dict->count && walk->status == CTKD_OK; i += 2) {
        const value *const key = dict->items[i], *const v = dict->items[i + 1];
        if (key->kind != CTKD__PICKLE_STRING)
            continue;
        if (ctkd__pth_tensor_of(v, &tensor)) {
            add(walk, at, key, dict, &tensor);
        } else if ((ctkd__pth_is_dict(v) || is_module(v)) && !is_passed_over(key)) {
            const struct tree_place inner = place_below(at, key, true);
            if (ctkd__pth_is_dict(v))
                walk_dict(walk, &inner, v);
            else
                walk_module(walk, &inner, v);
        }
    }
}

ctkd_status ctkd__pth_tree_read(const char *name, const value *root, struct ctkd__pth_tree *out,
                                ctkd_error *err)
{
    const struct tree_place top = { 0 };
    struct walk walk = { .name = name, .tree = out, .visits = VISITS_MAX, .err = err };
    *out = (struct ctkd__pth_tree){ 0 };
    if (ctkd__pth_is_dict(root))
        walk_dict(&walk, &top, root);
    else if (is_module(root))
        walk_module(&walk, &top, root);
    return walk.status;
}

void ctkd__pth_tree_fini(struct ctkd__pth_tree *tree)
{
    for (size_t i = 0; i < tree->count; i++)
        free(tree->entries[i].name);
    free(tree->entries);
    *tree = (struct ctkd__pth_tree){ 0 };
}
