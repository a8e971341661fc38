#include "io/sets.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "util/error.h"

enum { DEPTH_MAX = 16, COMPONENTS_MAX = 16, CONVOLUTION = 4 };

struct set_finder {
    struct ctkd__set_member *members;
    struct ctkd__sets *sets;
    bool failed; /* out of memory */
};

/* A first part of the names of a level. */
struct component {
    const char *text;
    size_t length, count;
    int rank;
    bool outer; /* of a dict, not of a name */
};

/* Whether one of the words of a name, which '_', '-' and '.' part, is in a list. */
static bool has_word(const char *text, size_t length, const char *const *words)
{
    for (size_t at = 0, end; at < length; at = end + 1) {
        end = at;
        while (end < length && !strchr("_-.", text[end]))
            end++;
        for (const char *const *word = words; *word; word++)
            if (strlen(*word) == end - at && strncasecmp(text + at, *word, end - at) == 0)
                return true;
    }
    return false;
}

static const char *const averages[] = { "ema", "swa", "averaged", "average", "shadow", NULL };
static const char *const teachers[] = { "teacher", NULL };
static const char *const students[] = { "student", NULL };

static bool is_wrapper(const struct component *c)
{
    static const char *const words[] = { "model",   "module",  "mod",  "net", "network",
                                         "student", "teacher", "dict", NULL };
    return c->outer || has_word(c->text, c->length, words) ||
           has_word(c->text, c->length, averages);
}

/* Parts of a training program, which have parameters of their own and are no network. */
static bool is_accessory(const char *text, size_t length)
{
    static const char *const words[] = { "criterion", "criteria", "criterions", "loss",
                                         "losses",    "contrast", "metric",     "metrics",
                                         "optimizer", "fn",       NULL };
    return has_word(text, length, words);
}

/* Bytes up to the next dot; 0 without one. */
static size_t component_length(const char *name)
{
    const char *const dot = strchr(name, '.');
    return dot ? (size_t)(dot - name) : 0;
}

static struct component component_of(const struct ctkd__set_member *member, size_t at)
{
    struct component c = { .text = member->name + at, .count = 1, .rank = member->rank };
    c.length = component_length(c.text);
    c.outer = c.length && at + c.length < member->outer;
    return c;
}

static bool same_component(const struct component *a, const struct component *b)
{
    return a->length == b->length && memcmp(a->text, b->text, a->length) == 0;
}

/* --- what is taken first */

static int order_of(const char *name)
{
    static const char *const known[] = { "model",       "state_dict", "model_state_dict",
                                         "model_state", "state",      "student",
                                         "net",         "network",    NULL };
    const size_t length = strlen(name);
    const size_t first = strcspn(name, ".");
    int order = 0;
    while (known[order] &&
           (strlen(known[order]) != first || strncasecmp(known[order], name, first) != 0))
        order++;
    order *= 2; /* leaves room between orders for parts that are not the student */
    order += has_word(name, length, students) ? 0 : 1;
    order += has_word(name, length, averages) ? 100 : 0;
    order += has_word(name, length, teachers) ? 200 : 0;
    return order + (is_accessory(name, length) ? 400 : 0);
}

/* The name of a set without meaningless wrappers such as "module". */
static void name_set(struct ctkd__set *set, const char *prefix, size_t length)
{
    static const char *const silent[] = { "module", "_orig_mod" };
    size_t used = 0;
    for (size_t at = 0, n; at < length; at += n + 1) {
        n = component_length(prefix + at);
        bool says = true;
        for (size_t i = 0; i < sizeof silent / sizeof *silent; i++)
            says &= strlen(silent[i]) != n || memcmp(prefix + at, silent[i], n) != 0;
        if (says && used + n + 1 < sizeof set->name)
            used += (size_t)snprintf(set->name + used, sizeof set->name - used, "%s%.*s",
                                     used ? "." : "", (int)n, prefix + at);
    }
    if (used == 0 && length > 0)
        snprintf(set->name, sizeof set->name, "%.*s", (int)length - 1, prefix);
    set->order = order_of(set->name);
}

static void make_set(struct set_finder *f, const size_t *index, size_t n, size_t at)
{
    if (f->sets->count == CTKD__SETS_MAX || n == 0)
        return;
    struct ctkd__set *const set = &f->sets->items[f->sets->count];
    *set = (struct ctkd__set){ .count = n, .cut = at, .id = (int)f->sets->count };
    name_set(set, f->members[index[0]].name, at);
    for (size_t i = 0; i < n; i++) {
        f->members[index[i]].set = set->id;
        set->rank = f->members[index[i]].rank > set->rank ? f->members[index[i]].rank : set->rank;
    }
    f->sets->count++;
}

/* --- levels */

/* What the names of a level begin with: wrappers, and the rest. */
struct name_level {
    struct component wrappers[COMPONENTS_MAX];
    size_t count;
    bool common; /* all names begin with wrappers[0] or, without wrappers, with `first` */
    struct component first;
    int rest_rank;       /* highest of what has no wrapper */
    bool rest_is_useful; /* a matrix that no accessory has */
};

static void add_wrapper(struct name_level *level, const struct component *c)
{
    size_t i = 0;
    while (i < level->count && !same_component(&level->wrappers[i], c))
        i++;
    if (i == COMPONENTS_MAX)
        return;
    if (i == level->count) {
        level->wrappers[level->count++] = *c;
        return;
    }
    level->wrappers[i].count++;
    level->wrappers[i].rank = c->rank > level->wrappers[i].rank ? c->rank : level->wrappers[i].rank;
}

static void survey_level(const struct set_finder *f, const size_t *index, size_t n, size_t at,
                         struct name_level *out)
{
    *out = (struct name_level){ .common = true };
    for (size_t i = 0; i < n; i++) {
        const struct component c = component_of(&f->members[index[i]], at);
        if (i == 0)
            out->first = c;
        out->common &= c.length && same_component(&c, &out->first);
        if (c.length && is_wrapper(&c)) {
            add_wrapper(out, &c);
            continue;
        }
        const size_t length = c.length ? c.length : strlen(c.text);
        out->rest_rank = c.rank > out->rest_rank ? c.rank : out->rest_rank;
        out->rest_is_useful |= c.rank >= 2 && !is_accessory(c.text, length);
    }
}

/* Whether a part that all names share, whatever it is called, is around a network and not a part
   of it: there are parts below it, and not the numbers of a sequence. */
static bool is_around(const struct set_finder *f, const size_t *index, size_t n, size_t at)
{
    bool named = false;
    for (size_t i = 0; i < n; i++) {
        const char *const below = f->members[index[i]].name + at;
        const size_t length = component_length(below);
        if (length == 0)
            return false;
        named |= strspn(below, "0123456789") < length;
    }
    return named;
}

/* Whether the wrappers of a level part it into sets: dicts do, also a student and the like; else
   parts called "net" or "model" may be those of one network with a layer beside them. */
static bool splits_into_sets(const struct name_level *level)
{
    bool sure = false;
    for (size_t i = 0; i < level->count; i++) {
        const struct component *const c = &level->wrappers[i];
        sure |= c->outer || has_word(c->text, c->length, students) ||
                has_word(c->text, c->length, teachers) || has_word(c->text, c->length, averages);
    }
    return level->count > 0 && (sure || !level->rest_is_useful);
}

/* Whether what has no wrapper is a set too: the network itself beside its average or its teacher,
   but not the layers that a distiller has beside its student. */
static bool rest_is_set(const struct name_level *level)
{
    bool outer = false, student = false;
    for (size_t i = 0; i < level->count; i++) {
        outer |= level->wrappers[i].outer;
        student |= has_word(level->wrappers[i].text, level->wrappers[i].length, students);
    }
    return level->rest_rank >= CONVOLUTION && level->rest_is_useful && (outer || !student);
}

static void split(struct set_finder *f, const size_t *index, size_t n, size_t at, int depth);

/* The members of a level that begin with `c`, or with no wrapper when it is NULL. */
static void split_part(struct set_finder *f, const size_t *index, size_t n, size_t at, int depth,
                       const struct component *c)
{
    size_t *const part = malloc(n * sizeof *part), count = 0;
    if (!part) {
        f->failed = true;
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const struct component own = component_of(&f->members[index[i]], at);
        if (c ? own.length && same_component(&own, c) : !own.length || !is_wrapper(&own))
            part[count++] = index[i];
    }
    if (c)
        split(f, part, count, at + c->length + 1, depth + 1);
    else
        make_set(f, part, count, at);
    free(part);
}

/* The names of all these members have the same `at` bytes in front. */
static void split(struct set_finder *f, const size_t *index, size_t n, size_t at, int depth)
{
    struct name_level level;
    survey_level(f, index, n, at, &level);
    if (depth == DEPTH_MAX) {
        make_set(f, index, n, at);
    } else if (splits_into_sets(&level)) {
        for (size_t i = 0; i < level.count; i++)
            split_part(f, index, n, at, depth, &level.wrappers[i]);
        if (rest_is_set(&level))
            split_part(f, index, n, at, depth, NULL);
    } else if (level.count == 0 && level.common &&
               is_around(f, index, n, at + level.first.length + 1)) {
        split(f, index, n, at + level.first.length + 1, depth + 1);
    } else {
        make_set(f, index, n, at);
    }
}

/* If some sets have convolutions, or at least matrices, drops those that have none. */
static void drop_small(struct ctkd__sets *sets)
{
    int highest = 0;
    for (size_t i = 0; i < sets->count; i++)
        highest = sets->items[i].rank > highest ? sets->items[i].rank : highest;
    const int least = highest >= CONVOLUTION ? CONVOLUTION : highest >= 2 ? 2 : 0;
    size_t kept = 0;
    for (size_t i = 0; i < sets->count; i++)
        if (sets->items[i].rank >= least)
            sets->items[kept++] = sets->items[i];
    sets->count = kept;
}

/* Stable: sets of the same order stay in the order of the file. */
static void sort(struct ctkd__sets *sets)
{
    for (size_t i = 1; i < sets->count; i++)
        for (size_t j = i; j > 0 && sets->items[j].order < sets->items[j - 1].order; j--) {
            const struct ctkd__set other = sets->items[j];
            sets->items[j] = sets->items[j - 1];
            sets->items[j - 1] = other;
        }
}

ctkd_status ctkd__sets_find(struct ctkd__set_member *members, size_t n, struct ctkd__sets *out,
                            ctkd_error *err)
{
    *out = (struct ctkd__sets){ 0 };
    struct set_finder finder = { .members = members, .sets = out };
    size_t *const index = malloc((n + 1) * sizeof *index);
    if (!index)
        return ctkd__fail(err, CTKD_ENOMEM, "weights: out of memory");
    for (size_t i = 0; i < n; i++) {
        index[i] = i;
        members[i].set = -1;
    }
    if (n > 0)
        split(&finder, index, n, 0, 0);
    free(index);
    if (finder.failed)
        return ctkd__fail(err, CTKD_ENOMEM, "weights: out of memory");
    drop_small(out);
    sort(out);
    for (size_t i = 0; i < out->count && out->count > 1; i++)
        if (!out->items[i].name[0]) /* tensors beside dicts: named so that a key can choose them */
            snprintf(out->items[i].name, sizeof out->items[i].name, "root");
    return CTKD_OK;
}

/* --- the choice */

static void list_names(const struct ctkd__sets *sets, size_t but, char *text, size_t bytes)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < sets->count && used < bytes; i++)
        if (i != but)
            used += (size_t)snprintf(text + used, bytes - used, "%s%s", used ? ", " : "",
                                     sets->items[i].name);
}

ctkd_status ctkd__sets_choose(struct ctkd__sets *sets, const char *wanted, const char *file,
                              ctkd_error *err)
{
    char names[256];
    sets->taken = 0;
    sets->asked = wanted && *wanted;
    if (!sets->asked)
        return CTKD_OK;
    for (size_t i = 0; i < sets->count; i++)
        if (strcmp(sets->items[i].name, wanted) == 0) {
            sets->taken = i;
            return CTKD_OK;
        }
    list_names(sets, SIZE_MAX, names, sizeof names);
    if (sets->count == 1 && !sets->items[0].name[0])
        return ctkd__fail(
            err, CTKD_EINVAL,
            "%s: found weights '%.60s', but the file has a single set of weights without a name",
            file, wanted);
    return ctkd__fail(err, CTKD_EINVAL, "%s: found no weights '%.60s', expected %s", file, wanted,
                      names);
}

static void keep_set(struct ctkd__tensors *list, const struct ctkd__set_member *members,
                     const struct ctkd__set *set)
{
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++) {
        struct ctkd__tensor tensor = list->items[i];
        if (members[i].set == set->id) {
            memmove(tensor.name, tensor.name + set->cut, strlen(tensor.name + set->cut) + 1);
            list->items[kept++] = tensor;
        } else {
            free(tensor.name);
            free(tensor.data);
        }
    }
    list->count = kept;
}

ctkd_status ctkd__sets_take(struct ctkd__tensors *list, const char *wanted, const char *file,
                            struct ctkd__sets *out, ctkd_error *err)
{
    *out = (struct ctkd__sets){ 0 };
    struct ctkd__set_member *const members = calloc(list->count + 1, sizeof *members);
    if (!members)
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", file);
    for (size_t i = 0; i < list->count; i++)
        members[i] = (struct ctkd__set_member){ list->items[i].name, 0, list->items[i].rank, -1 };
    ctkd_status status = ctkd__sets_find(members, list->count, out, err);
    if (status == CTKD_OK)
        status = ctkd__sets_choose(out, wanted, file, err);
    if (status == CTKD_OK && out->count > 0)
        keep_set(list, members, &out->items[out->taken]);
    free(members);
    return status;
}

const char *ctkd__sets_text(const struct ctkd__sets *sets, const char *key, char *text,
                            size_t bytes)
{
    char others[160];
    text[0] = '\0';
    if (sets->count < 2 || sets->asked)
        return text;
    const char *const other = sets->items[sets->taken == 0].name;
    list_names(sets, sets->taken, others, sizeof others);
    snprintf(text, bytes, "using the weights of %s; the file also has %s (%s=%s selects %s)",
             sets->items[sets->taken].name, others, key, other,
             sets->count == 2 ? "these" : "the first of them");
    return text;
}
