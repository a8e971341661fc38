#include "weights/match.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/sets.h"
#include "util/error.h"
#include "util/text.h"

enum { SHOWN = 3, FREE = -1 };

static bool is_count(const struct ctkd__tensor *tensor)
{
    return ctkd__text_ends(tensor->name, "num_batches_tracked");
}

static bool same_shape(const struct ctkd__parameter *p, const struct ctkd__tensor *tensor)
{
    bool same = tensor->rank == p->rank && tensor->type == CTKD__F32;
    for (int i = 0; i < p->rank && same; i++)
        same = tensor->shape[i] == (int64_t)p->shape[i];
    return same;
}

void ctkd__note_add(char note[CTKD__NOTE_BYTES], const char *format, ...)
{
    const size_t used = strlen(note);
    const int n = used ? snprintf(note + used, CTKD__NOTE_BYTES - used, "; ") : 0;
    if (used + (size_t)n >= CTKD__NOTE_BYTES)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(note + used + n, CTKD__NOTE_BYTES - used - (size_t)n, format, arguments);
    va_end(arguments);
}

void ctkd__note_sets(char note[CTKD__NOTE_BYTES], const struct ctkd__sets *sets, const char *key)
{
    char text[CTKD__NOTE_BYTES];
    if (*ctkd__sets_text(sets, key, text, sizeof text))
        ctkd__note_add(note, "%s", text);
}

ctkd_status ctkd__match_strip(struct ctkd__tensors *tensors, ctkd_error *err)
{
    struct ctkd__sets sets;
    return ctkd__sets_take(tensors, NULL, "weights", &sets, err);
}

/* --- sizes and networks */

bool ctkd__match_sizes(const struct ctkd__tensors *tensors, size_t *channels, size_t *classes)
{
    *channels = *classes = 0;
    for (size_t i = 0; i < tensors->count; i++) {
        const struct ctkd__tensor *const tensor = &tensors->items[i];
        /* The stem is the convolution of fewest input channels that is not depthwise. */
        if (tensor->rank == 4 && tensor->shape[1] > 0 &&
            (*channels == 0 || ((size_t)tensor->shape[1] < *channels && tensor->shape[1] > 1)))
            *channels = (size_t)tensor->shape[1];
        /* Of several matrices the last counts; in alphabetical order other tensors may follow
           it. */
        if (tensor->rank == 2 && tensor->shape[0] > 0)
            *classes = (size_t)tensor->shape[0];
    }
    return *channels != 0 && *classes != 0;
}

bool ctkd__match_fits(const struct ctkd__graph *graph, const struct ctkd__tensors *tensors)
{
    size_t parameters = 0;
    for (size_t i = 0; i < tensors->count; i++)
        parameters += !is_count(&tensors->items[i]);
    if (parameters != (size_t)graph->n_parameters)
        return false;
    for (int i = 0; i < graph->n_parameters; i++) {
        const struct ctkd__parameter *const p = &graph->parameters[i];
        const struct ctkd__tensor *const tensor = ctkd__tensors_find(tensors, p->name);
        if (!tensor || !same_shape(p, tensor))
            return false;
    }
    return true;
}

ctkd_status ctkd__match_networks(const struct ctkd__tensors *tensors, size_t max,
                                 const char **names, size_t *count, ctkd_error *err)
{
    struct ctkd__model_args args = { 0 };
    *count = 0;
    if (!ctkd__match_sizes(tensors, &args.channels, &args.classes) || args.classes < 2)
        return CTKD_OK;
    for (const struct ctkd__model_family *const *family = ctkd__model_families(); *family;
         family++) {
        args.height = args.width = (*family)->side;
        for (const struct ctkd__model *model = (*family)->models; model->name; model++) {
            struct ctkd__graph *graph;
            ctkd_error ignored;
            const ctkd_status status = ctkd__model_build(model->name, &args, &graph, &ignored);
            if (status == CTKD_ENOMEM)
                return ctkd__fail(err, status, "%s", ignored.message);
            if (status == CTKD_OK && ctkd__match_fits(graph, tensors) && *count < max)
                names[(*count)++] = model->name;
            ctkd__graph_destroy(graph);
        }
    }
    return CTKD_OK;
}

/* --- matching */

struct match {
    const struct ctkd__graph *graph;
    struct ctkd__tensors *tensors;
    int *tensor_of;    /* of each parameter; FREE */
    int *parameter_of; /* of each tensor; FREE; not used for batch counts */
};

static void match_names(struct match *m)
{
    for (int i = 0; i < m->graph->n_parameters; i++)
        for (size_t j = 0; j < m->tensors->count && m->tensor_of[i] == FREE; j++)
            if (strcmp(m->graph->parameters[i].name, m->tensors->items[j].name) == 0) {
                m->tensor_of[i] = (int)j;
                m->parameter_of[j] = i;
            }
}

static const char *last_part(const char *name)
{
    const char *const dot = strrchr(name, '.');
    return dot ? dot + 1 : name;
}

/* The next tensor from `at` on that is not yet paired. */
static size_t next_free(const struct match *m, size_t at)
{
    while (at < m->tensors->count &&
           (m->parameter_of[at] != FREE || is_count(&m->tensors->items[at])))
        at++;
    return at;
}

/* Pairs the rest in order, one by one; all or nothing. */
static void match_order(struct match *m, char note[CTKD__NOTE_BYTES])
{
    size_t at = 0;
    int pairs = 0, first = FREE;
    for (int dry = 1; dry >= 0; dry--) {
        at = next_free(m, 0);
        for (int i = 0; i < m->graph->n_parameters; i++) {
            const struct ctkd__parameter *const p = &m->graph->parameters[i];
            if (m->tensor_of[i] != FREE)
                continue;
            if (at == m->tensors->count || !same_shape(p, &m->tensors->items[at]) ||
                strcmp(last_part(p->name), last_part(m->tensors->items[at].name)) != 0)
                return;
            if (!dry) {
                first = first == FREE ? i : first;
                m->tensor_of[i] = (int)at;
                m->parameter_of[at] = i;
                pairs++;
            }
            at = next_free(m, at + 1);
        }
        if (at != m->tensors->count)
            return;
    }
    if (pairs > 0)
        snprintf(note, CTKD__NOTE_BYTES,
                 "%d of %d parameters are matched by order: their shapes agree but not their names "
                 "(%.60s with %.60s)",
                 pairs, m->graph->n_parameters, m->graph->parameters[first].name,
                 m->tensors->items[m->tensor_of[first]].name);
}

/* Faults of one kind: how many there are, and the first few as text. */
struct items {
    int count;
    char text[3 * 128];
};

static void add_item(struct items *items, const char *item)
{
    const size_t used = strlen(items->text);
    if (items->count++ < SHOWN)
        snprintf(items->text + used, sizeof items->text - used, "%s%s", used ? ", " : "", item);
}

/* "3 missing (a, b, c)" */
static const char *items_text(const struct items *items, const char *what, char text[200])
{
    if (items->count == 0)
        snprintf(text, 200, "0 %s", what);
    else
        snprintf(text, 200, "%d %s (%.150s%s)", items->count, what, items->text,
                 items->count > SHOWN ? ", ..." : "");
    return text;
}

static ctkd_status difference(const struct match *m, ctkd_error *err)
{
    struct items missing = { 0 }, unexpected = { 0 }, misshapen = { 0 };
    char item[160], a[200], b[200], c[200];
    for (int i = 0; i < m->graph->n_parameters; i++) {
        const struct ctkd__parameter *const p = &m->graph->parameters[i];
        if (m->tensor_of[i] == FREE) {
            add_item(&missing, p->name);
            continue;
        }
        const struct ctkd__tensor *const found = &m->tensors->items[m->tensor_of[i]];
        struct ctkd__tensor expected = { .rank = p->rank };
        for (int k = 0; k < p->rank; k++)
            expected.shape[k] = (int64_t)p->shape[k];
        snprintf(item, sizeof item, "%.40s: found %s %.40s, expected F32 %.40s", p->name,
                 ctkd__dtype_text(found->type), ctkd__tensor_shape_text(found, a, sizeof a),
                 ctkd__tensor_shape_text(&expected, b, sizeof b));
        if (!same_shape(p, found))
            add_item(&misshapen, item);
    }
    for (size_t i = next_free(m, 0); i < m->tensors->count; i = next_free(m, i + 1))
        add_item(&unexpected, m->tensors->items[i].name);
    return ctkd__fail(err, CTKD_ESHAPE, "the weights do not fit: %s, %s, %s",
                      items_text(&missing, "missing", a), items_text(&unexpected, "unexpected", b),
                      items_text(&misshapen, "of another shape", c));
}

static bool complete(const struct match *m)
{
    for (int i = 0; i < m->graph->n_parameters; i++)
        if (m->tensor_of[i] == FREE ||
            !same_shape(&m->graph->parameters[i], &m->tensors->items[m->tensor_of[i]]))
            return false;
    return next_free(m, 0) == m->tensors->count;
}

/* Reorders and renames the tensors; of the batch counts only one stays (networks keep a single
   one). */
static ctkd_status rearrange(const struct match *m, ctkd_error *err)
{
    struct ctkd__tensors *const list = m->tensors;
    const size_t n = (size_t)m->graph->n_parameters;
    struct ctkd__tensor *const items = calloc(n + 1, sizeof *items);
    size_t count = n;
    for (size_t i = 0; i < n && items; i++) {
        char *const name = strdup(m->graph->parameters[i].name);
        if (!name) { /* the list still owns all but the names that were replaced */
            free(items);
            return ctkd__fail(err, CTKD_ENOMEM, "weights: out of memory");
        }
        struct ctkd__tensor *const from = &list->items[m->tensor_of[i]];
        free(from->name);
        from->name = name;
        items[i] = *from;
    }
    if (!items)
        return ctkd__fail(err, CTKD_ENOMEM, "weights: out of memory");
    for (size_t i = 0; i < list->count; i++)
        if (is_count(&list->items[i])) {
            if (count == n) {
                items[count++] = list->items[i];
            } else {
                free(list->items[i].name);
                free(list->items[i].data);
            }
        }
    free(list->items);
    list->items = items;
    list->count = count;
    list->capacity = n + 1;
    return CTKD_OK;
}

ctkd_status ctkd__match(const struct ctkd__graph *graph, struct ctkd__tensors *tensors,
                        char note[CTKD__NOTE_BYTES], ctkd_error *err)
{
    note[0] = '\0';
    ctkd_status status = ctkd__tensors_widen(tensors, err);
    if (status != CTKD_OK)
        return status;
    status = ctkd__match_strip(tensors, err);
    if (status != CTKD_OK)
        return status;
    struct match m = { .graph = graph, .tensors = tensors };
    m.tensor_of = malloc(((size_t)graph->n_parameters + 1) * sizeof *m.tensor_of);
    m.parameter_of = malloc((tensors->count + 1) * sizeof *m.parameter_of);
    if (m.tensor_of && m.parameter_of) {
        for (int i = 0; i < graph->n_parameters; i++)
            m.tensor_of[i] = FREE;
        for (size_t i = 0; i < tensors->count; i++)
            m.parameter_of[i] = FREE;
        match_names(&m);
        match_order(&m, note);
        status = complete(&m) ? rearrange(&m, err) : difference(&m, err);
    } else {
        status = ctkd__fail(err, CTKD_ENOMEM, "weights: out of memory");
    }
    free(m.tensor_of);
    free(m.parameter_of);
    return status;
}

/* --- another number of classes */

/* Replaces a tensor by that of its name in `drawn`. */
static ctkd_status take_drawn(struct ctkd__tensor *to, const struct ctkd__tensors *drawn,
                              ctkd_error *err)
{
    const struct ctkd__tensor *const from = ctkd__tensors_find(drawn, to->name);
    void *const data = malloc(from->bytes);
    if (!data)
        return ctkd__fail(err, CTKD_ENOMEM, "weights: out of memory");
    memcpy(data, from->data, from->bytes);
    free(to->data);
    to->data = data;
    to->bytes = from->bytes;
    memcpy(to->shape, from->shape, sizeof to->shape);
    return CTKD_OK;
}

ctkd_status ctkd__match_start(const char *network, const struct ctkd__graph *graph,
                              const struct ctkd__tensors *drawn, struct ctkd__tensors *tensors,
                              char note[CTKD__NOTE_BYTES], ctkd_error *err)
{
    const struct ctkd__node *const input = &graph->nodes[0], *const last =
                                                                 &graph->nodes[graph->output];
    struct ctkd__model_args args = { .height = input->h, .width = input->w };
    ctkd_status status = ctkd__match_strip(tensors, err);
    if (status != CTKD_OK)
        return status;
    if (!ctkd__match_sizes(tensors, &args.channels, &args.classes) || args.classes == last->c ||
        args.classes < 2)
        return ctkd__match(graph, tensors, note, err);
    args.channels = input->c;
    struct ctkd__graph *as_trained;
    status = ctkd__model_build(network, &args, &as_trained, err);
    if (status == CTKD_OK)
        status = ctkd__match(as_trained, tensors, note, err);
    ctkd__graph_destroy(as_trained);
    for (int role = CTKD__ROLE_WEIGHT; role <= CTKD__ROLE_BIAS && status == CTKD_OK; role++)
        status = take_drawn(&tensors->items[last->parameters[role]], drawn, err);
    if (status == CTKD_OK)
        ctkd__note_add(note, "the last layer, %s, is new: the weights are for %zu classes, not %zu",
                       last->name, args.classes, last->c);
    return status;
}
