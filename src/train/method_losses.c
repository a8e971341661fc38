#include "train/method_losses.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/pool.h"
#include "util/clock.h"
#include "util/error.h"
#include "util/slice.h"

struct method_loss {
    const struct ctkd__method *method;
    const struct ctkd__read *reads; /* [n_maps], a part of the stage's */
    ctkd_map *maps;                 /* [n_maps] */
    size_t n_maps;
    double *workspace;
    size_t state, n_state; /* offset and size of its part of the methods' state */
    int row;               /* of the profile */
};

struct ctkd__method_losses {
    struct ctkd__method_losses_args args;
    const struct ctkd__stage_reads *reads;
    struct method_loss items[CTKD__METHODS_MAX];
    ctkd_map maps[CTKD__READS_MAX];
    float *dx[CTKD__READS_MAX];    /* gradient of each read; NULL: it takes none */
    float *total[CTKD__READS_MAX]; /* gradient of each output in this step: the dx of its first
                                      reader, to which the others add theirs; NULL: none yet */
    float *ds, *dtau;              /* of one method, before its weight */
    ctkd_head head;
    float *head_values; /* weight, bias */
    ctkd_samples samples;
    int32_t *sample_labels;
    uint32_t *positions; /* by id in the data set: the position among the images in use */
    uint64_t *ids;       /* [batch] positions of the batch's images */
    ctkd_pool pool;
    size_t n;            /* images of this step's batch */
    ctkd_part part;      /* of it, this rank's */
    ctkd_error exchange; /* of the terms of a loss; status CTKD_OK: none failed */
};

static ctkd_loss_shape shape_of(const struct ctkd__method_losses *losses,
                                const struct method_loss *item)
{
    return (ctkd_loss_shape){ .n = losses->args.batch,
                              .k = losses->args.classes,
                              .maps = item->maps,
                              .n_maps = item->n_maps,
                              .samples = losses->samples.count };
}

static size_t elements(const struct ctkd__read *read, size_t n)
{
    return read->c * read->h * read->w * (read->parameter ? 1 : n);
}

static bool by_parts(const struct ctkd__method *method)
{
    return method->def->properties & CTKD_BY_PARTS;
}

static bool in_stage(const struct ctkd__method_losses *losses, const struct ctkd__method *method)
{
    const unsigned stages = method->def->stages ? method->def->stages : CTKD_STAGE_MAIN;
    return stages & losses->args.stage;
}

/* --- create */

static bool allocate_gradients(struct ctkd__method_losses *losses)
{
    const struct ctkd__stage_reads *const reads = losses->reads;
    const size_t batch = losses->args.batch;
    for (size_t i = 0; i < reads->n_reads; i++) {
        const struct ctkd__read *const read = &reads->reads[i];
        if (!read->gradient)
            continue;
        losses->dx[i] = calloc(elements(read, batch), sizeof(float));
        if (!losses->dx[i])
            return false;
    }
    return true;
}

static ctkd_status read_head(struct ctkd__method_losses *losses)
{
    const struct ctkd__teacher *const teacher = losses->args.teacher;
    const struct ctkd__graph *const graph = teacher->graph;
    const struct ctkd__weights *const weights = teacher->weights;
    const struct ctkd__node *const node = &graph->nodes[graph->output];
    const int weight = node->parameters[CTKD__ROLE_WEIGHT],
              bias = node->parameters[CTKD__ROLE_BIAS];
    const size_t k = graph->parameters[weight].shape[0], c = graph->parameters[weight].shape[1];
    losses->head_values = calloc(k * c + k, sizeof(float));
    if (!losses->head_values)
        return CTKD_ENOMEM;
    ctkd__weights_unpack(weights, weight, weights->values + weights->offsets[weight],
                         losses->head_values);
    if (bias >= 0)
        ctkd__weights_unpack(weights, bias, weights->values + weights->offsets[bias],
                             losses->head_values + k * c);
    losses->head = (ctkd_head){ k, c, losses->head_values, losses->head_values + k * c };
    return CTKD_OK;
}

/* Labels and positions of the images in use: a method's state has a row for each of them, not for
   every image of the data set. */
static ctkd_status read_samples(struct ctkd__method_losses *losses)
{
    const struct ctkd__loader *const loader = losses->args.loader;
    const uint32_t *const chosen = ctkd__loader_chosen(loader);
    const size_t count = ctkd__loader_samples(loader);
    losses->sample_labels = calloc(count, sizeof *losses->sample_labels);
    losses->positions = calloc((size_t)chosen[count - 1] + 1, sizeof *losses->positions);
    losses->ids = calloc(losses->args.batch, sizeof *losses->ids);
    if (!losses->sample_labels || !losses->positions || !losses->ids)
        return CTKD_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        losses->sample_labels[i] = losses->args.labels[chosen[i]];
        losses->positions[chosen[i]] = (uint32_t)i;
    }
    losses->samples = (ctkd_samples){ .count = count,
                                      .labels = losses->sample_labels,
                                      .seed = losses->args.seed };
    return CTKD_OK;
}

/* A method that reads ids contrasts an image with those of other classes. */
static ctkd_status check_samples(const struct ctkd__method_losses_args *args, ctkd_error *err)
{
    const uint32_t *const chosen = ctkd__loader_chosen(args->loader);
    const size_t count = ctkd__loader_samples(args->loader);
    size_t same = 1;
    while (same < count && args->labels[chosen[same]] == args->labels[chosen[0]])
        same++;
    for (size_t i = 0; same == count && i < args->methods->count; i++)
        if (args->methods->items[i].def->needs & CTKD_NEEDS_IDS)
            return ctkd__fail(err, CTKD_EINVAL,
                              "method.name: %s compares images of different classes, but all %zu "
                              "training images in use have label %d",
                              args->methods->items[i].def->name, count,
                              (int)args->labels[chosen[0]]);
    return CTKD_OK;
}

static ctkd_status create_item(struct ctkd__method_losses *losses, size_t index, size_t *state)
{
    struct method_loss *const item = &losses->items[index];
    const struct ctkd__stage_reads *const reads = losses->reads;
    item->method = &losses->args.methods->items[index];
    item->reads = reads->reads + reads->first[index];
    item->maps = losses->maps + reads->first[index];
    item->n_maps = reads->first[index + 1] - reads->first[index];
    item->row = ctkd__profile_row(losses->args.profile, "losses", "loss", item->method->def->name,
                                  "libctkd", 0);
    for (size_t i = 0; i < item->n_maps; i++) {
        const struct ctkd__read *const read = &item->reads[i];
        item->maps[i] = (ctkd_map){ .c = read->c,
                                    .h = read->h,
                                    .w = read->w,
                                    .dx = losses->dx[reads->first[index] + i],
                                    .norm_weight = read->norm_weight,
                                    .norm_bias = read->norm_bias };
    }
    const ctkd_loss_def *const def = item->method->def;
    const ctkd_loss_shape shape = shape_of(losses, item);
    size_t workspace;
    ctkd_status status = ctkd_loss_state(def, item->method->config, &shape, &item->n_state);
    item->state = *state;
    *state += item->n_state;
    if (status == CTKD_OK && in_stage(losses, item->method)) {
        status = ctkd_loss_workspace(def, item->method->config, &shape, &workspace);
        if (status == CTKD_OK && workspace)
            item->workspace = calloc(workspace, sizeof *item->workspace);
        if (status == CTKD_OK && workspace && !item->workspace)
            status = CTKD_ENOMEM;
    }
    return status;
}

/* The teacher's classifier is handed to a method unpermuted, so its rows must be the classes of the
   data, in their order. */
static ctkd_status check_head(const struct ctkd__method_losses_args *args, ctkd_error *err)
{
    for (size_t i = 0; args->teacher->columns && i < args->methods->count; i++)
        if (args->methods->items[i].def->needs & CTKD_NEEDS_HEAD)
            return ctkd__fail(err, CTKD_EUNSUPPORTED,
                              "method.name: %s reads the teacher's classifier, but %s has other "
                              "classes than the data, or in another order; expected the same (a "
                              "list of them as data.classes sets the order)",
                              args->methods->items[i].def->name, args->teacher->file);
    return CTKD_OK;
}

static ctkd_status gather_terms(void *context, size_t width, double *terms)
{
    struct ctkd__method_losses *const losses = context;
    return ctkd__dist_gather_shares(losses->args.dist, losses->n, terms, width * sizeof *terms,
                                    &losses->exchange);
}

ctkd_status ctkd__method_losses_create(const struct ctkd__method_losses_args *args,
                                       struct ctkd__method_losses **out, ctkd_error *err)
{
    *out = NULL;
    ctkd_status status = check_head(args, err);
    if (status == CTKD_OK)
        status = check_samples(args, err);
    if (status != CTKD_OK)
        return status;
    struct ctkd__method_losses *const losses = calloc(1, sizeof *losses);
    if (!losses)
        return ctkd__fail(err, CTKD_ENOMEM, "methods: out of memory");
    losses->args = *args;
    losses->reads =
        args->stage == CTKD_STAGE_INITIAL ? &args->adaptors->initial : &args->adaptors->main;
    losses->pool = ctkd__pool(args->workers);
    losses->part = (ctkd_part){ .context = losses, .gather = gather_terms };
    losses->ds = calloc(args->batch * args->classes, sizeof *losses->ds);
    losses->dtau = calloc(args->batch, sizeof *losses->dtau);
    status = allocate_gradients(losses) && losses->ds && losses->dtau ? CTKD_OK : CTKD_ENOMEM;
    if (status == CTKD_OK && args->methods->needs & CTKD_NEEDS_HEAD)
        status = read_head(losses);
    if (status == CTKD_OK && args->methods->needs & CTKD_NEEDS_IDS)
        status = read_samples(losses);
    size_t state = 0;
    for (size_t i = 0; i < args->methods->count && status == CTKD_OK; i++)
        status = create_item(losses, i, &state);
    if (status != CTKD_OK) {
        ctkd__method_losses_destroy(losses);
        return ctkd__fail(err, status, "methods: %s", ctkd_status_text(status));
    }
    *out = losses;
    return CTKD_OK;
}

void ctkd__method_losses_destroy(struct ctkd__method_losses *losses)
{
    if (!losses)
        return;
    for (size_t i = 0; i < CTKD__METHODS_MAX; i++)
        free(losses->items[i].workspace);
    for (size_t i = 0; i < CTKD__READS_MAX; i++)
        free(losses->dx[i]);
    free(losses->ds);
    free(losses->dtau);
    free(losses->head_values);
    free(losses->sample_labels);
    free(losses->positions);
    free(losses->ids);
    free(losses);
}

size_t ctkd__method_losses_state(const struct ctkd__method_losses *losses)
{
    size_t total = 0;
    for (size_t i = 0; i < losses->args.methods->count; i++)
        total += losses->items[i].n_state;
    return total;
}

void ctkd__method_losses_state_init(const struct ctkd__method_losses *losses, float *state)
{
    for (size_t i = 0; i < losses->args.methods->count; i++) {
        const struct method_loss *const item = &losses->items[i];
        const ctkd_loss_shape shape = shape_of(losses, item);
        if (item->method->def->state_init)
            item->method->def->state_init(item->method->config, &shape, losses->args.seed,
                                          state + item->state);
    }
}

/* --- a step */

void ctkd__method_losses_give_inputs(const struct ctkd__method_losses *losses)
{
    const struct ctkd__adaptors *const adaptors = losses->args.adaptors;
    for (size_t i = 0; i < adaptors->n_taps; i++)
        if (adaptors->sides[i] >= 0)
            ctkd__training_input(losses->args.training, adaptors->sides[i],
                                 losses->args.teacher->taps[i]);
}

void ctkd__add_scaled(size_t n, float weight, const float *restrict part, float *restrict sum)
{
    for (size_t i = 0; i < n; i++)
        sum[i] += weight * part[i];
}

/* weight * dx, in place or onto a total, a sample at a time. */
struct addition {
    float *dx, *total;
    size_t first, size;
    float weight;
};

static void add_sample(void *argument, size_t i)
{
    const struct addition *const a = argument;
    const size_t at = (a->first + i) * a->size;
    float *restrict dx = a->dx + at;
    if (a->total)
        ctkd__add_scaled(a->size, a->weight, dx, a->total + at);
    else
        for (size_t j = 0; j < a->size; j++)
            dx[j] *= a->weight;
}

/* Weights the gradients of a method's maps in the rows of this rank, of which the training program
   reads no others, and hands them to it. Where several methods read one output, their gradients are
   summed. */
static void hand_over(struct ctkd__method_losses *losses, const struct method_loss *item,
                      float weight)
{
    for (size_t i = 0; i < item->n_maps; i++) {
        const struct ctkd__read *const read = &item->reads[i];
        if (!read->gradient)
            continue;
        float **const total = &losses->total[read->output];
        struct addition addition = { .dx = item->maps[i].dx,
                                     .total = *total,
                                     .first = read->parameter ? 0 : losses->part.first,
                                     .size = read->c * read->h * read->w,
                                     .weight = weight };
        losses->pool.run(losses->pool.context, read->parameter ? 1 : losses->part.count, add_sample,
                         &addition);
        *total = *total ? *total : item->maps[i].dx;
        ctkd__training_output_gradient(losses->args.training, (size_t)read->output, *total);
    }
}

static void fill_maps(const struct ctkd__method_losses *losses, const struct method_loss *item)
{
    for (size_t i = 0; i < item->n_maps; i++)
        item->maps[i].x =
            item->reads[i].tap >= 0
                ? losses->args.teacher->taps[item->reads[i].tap]
                : ctkd__training_output(losses->args.training, (size_t)item->reads[i].output);
}

static ctkd_status evaluate(struct ctkd__method_losses *losses, struct method_loss *item,
                            struct ctkd__method_losses_step *step, float *loss)
{
    const ctkd_loss_def *const def = item->method->def;
    const bool logits = def->needs & CTKD_NEEDS_LOGITS && step->ds;
    const bool tau = def->needs & CTKD_NEEDS_TAU && step->dtau;
    const ctkd_loss_args args = { .n = step->batch->n,
                                  .k = losses->args.classes,
                                  .s = step->s,
                                  .t = step->t,
                                  .labels = step->batch->labels,
                                  .tau = step->tau,
                                  .n_tau = step->n_tau,
                                  .loss = loss,
                                  .ds = logits ? losses->ds : NULL,
                                  .dtau = tau ? losses->dtau : NULL,
                                  .workspace = item->workspace,
                                  .stage = losses->args.stage,
                                  .view =
                                      def->needs & CTKD_NEEDS_VIEWS ? step->view : CTKD_VIEW_ONLY,
                                  .maps = item->maps,
                                  .n_maps = item->n_maps,
                                  .head = &losses->head,
                                  .ids = losses->ids,
                                  .samples = &losses->samples,
                                  .state = step->state ? step->state + item->state : NULL,
                                  .pool = &losses->pool,
                                  .part = by_parts(item->method) ? &losses->part : NULL };
    fill_maps(losses, item);
    const ctkd_status status = def->eval(item->method->config, &args);
    if (status != CTKD_OK)
        return status;
    /* As published, an initial stage minimises the method's loss without its weight. */
    const float weight = losses->args.stage == CTKD_STAGE_INITIAL
                             ? 1
                             : (float)(step->warmup_factor * (double)item->method->weight);
    if (logits)
        ctkd__add_scaled(args.n * args.k, weight, losses->ds, step->ds);
    if (tau)
        ctkd__add_scaled(step->n_tau, weight, losses->dtau, step->dtau);
    hand_over(losses, item, weight);
    step->loss += (double)weight * (double)*loss;
    return isfinite(*loss) ? CTKD_OK : CTKD_ENAN;
}

/* Before a step: the program must not use the gradients of the step before for an output that no
   method reads in this one. */
static void clear_gradients(struct ctkd__method_losses *losses)
{
    for (size_t i = 0; i < losses->reads->n_outputs; i++) {
        losses->total[i] = NULL;
        ctkd__training_output_gradient(losses->args.training, i, NULL);
    }
}

/* Whether a method takes part in a view: in a strong one only if it asks for views. */
static bool of_view(const struct ctkd__method *method, ctkd_view view)
{
    return view != CTKD_VIEW_STRONG || method->def->needs & CTKD_NEEDS_VIEWS;
}

/* Sends a value once, however many reads there are of it. */
static ctkd_status share_map(struct ctkd__method_losses *losses, const struct ctkd__read *read,
                             size_t n, bool *taps, bool *outputs, ctkd_error *err)
{
    bool *const shared = read->tap >= 0 ? &taps[read->tap] : &outputs[read->output];
    if (*shared)
        return CTKD_OK;
    *shared = true;
    return read->tap >= 0
               ? ctkd__teacher_share_tap(losses->args.teacher, n, (size_t)read->tap, err)
               : ctkd__training_share_output(losses->args.training, (size_t)read->output, err);
}

ctkd_status ctkd__method_losses_share(struct ctkd__method_losses *losses,
                                      const struct ctkd__method_losses_step *step, ctkd_error *err)
{
    bool taps[CTKD__READS_MAX] = { false }, outputs[CTKD__READS_MAX] = { false };
    ctkd_status status = CTKD_OK;
    for (size_t i = 0; i < losses->args.methods->count && losses->args.dist; i++) {
        const struct method_loss *const item = &losses->items[i];
        if (!in_stage(losses, item->method) || !of_view(item->method, step->view) ||
            by_parts(item->method))
            continue;
        for (size_t j = 0; j < item->n_maps && status == CTKD_OK; j++)
            status = share_map(losses, &item->reads[j], step->batch->n, taps, outputs, err);
    }
    return status;
}

/* Sets the batch of a step, and which images of it are this rank's. */
static void set_batch(struct ctkd__method_losses *losses, size_t n)
{
    const size_t ranks = ctkd__dist_size(losses->args.dist);
    const size_t rank = ctkd__dist_rank(losses->args.dist);
    losses->n = n;
    losses->part.first = ctkd__slice_begin(n, ranks, rank);
    losses->part.count = ctkd__slice_begin(n, ranks, rank + 1) - losses->part.first;
}

/* For the profile: a clock that stands still while other ranks are waited for, which has a row of
   its own. */
static uint64_t own_ns(const struct ctkd__method_losses *losses)
{
    const double waited = ctkd__dist_topic_counts(losses->args.dist, CTKD__TOPIC_OTHER).waited;
    return losses->args.profile ? ctkd__clock_ns() - (uint64_t)(1e9 * waited) : 0;
}

ctkd_status ctkd__method_losses_evaluate(struct ctkd__method_losses *losses,
                                         struct ctkd__method_losses_step *step, ctkd_error *err)
{
    step->loss = 0;
    step->failed = CTKD__METHODS_MAX;
    set_batch(losses, step->batch->n);
    losses->samples.step = step->step;
    for (size_t i = 0; losses->ids && i < step->batch->n; i++)
        losses->ids[i] = losses->positions[step->batch->ids[i]];
    clear_gradients(losses);
    for (size_t i = 0; i < losses->args.methods->count; i++) {
        struct method_loss *const item = &losses->items[i];
        step->losses[i] = NAN;
        if (!in_stage(losses, item->method) || !of_view(item->method, step->view))
            continue;
        const uint64_t start = own_ns(losses);
        const ctkd_status status = evaluate(losses, item, step, &step->losses[i]);
        ctkd__profile_add_all(losses->args.profile, item->row, own_ns(losses) - start,
                              step->batch->n);
        if (losses->exchange.status != CTKD_OK)
            return ctkd__fail_as(err, &losses->exchange);
        if (status != CTKD_OK) {
            step->failed = i;
            return status;
        }
    }
    return CTKD_OK;
}
