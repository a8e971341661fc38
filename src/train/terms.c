#include "train/terms.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/pool.h"
#include "util/error.h"

struct term {
    const struct ctkd__method *method;
    const struct ctkd__read *reads; /* of the stage */
    ctkd_map *maps;                 /* [n_maps] */
    size_t n_maps;
    double *workspace;
    size_t memory, n_memory; /* its part of the methods' memory */
    int row;                 /* of the profile */
};

struct ctkd__terms {
    struct ctkd__terms_args args;
    const struct ctkd__stage_reads *reads;
    struct term items[CTKD__METHODS_MAX];
    ctkd_map maps[CTKD__READS_MAX];
    float *dx[CTKD__READS_MAX];    /* gradient of each read; NULL without */
    float *total[CTKD__READS_MAX]; /* of each output in this step: its first reader's dx, which the
                                      others add theirs to; NULL: none yet */
    float *ds, *dtau;              /* of one method */
    ctkd_head head;
    float *head_values; /* weight, bias */
    ctkd_samples samples;
    int32_t *sample_labels;
    uint32_t *positions; /* of each id of the data set among the images in use */
    uint64_t *ids;       /* of the batch, as positions */
    ctkd_pool pool;
};

static ctkd_loss_shape shape_of(const struct ctkd__terms *terms, const struct term *term)
{
    return (ctkd_loss_shape){ .n = terms->args.batch,
                              .k = terms->args.classes,
                              .maps = term->maps,
                              .n_maps = term->n_maps,
                              .samples = terms->samples.count };
}

static size_t elements(const struct ctkd__read *read, size_t n)
{
    return read->c * read->h * read->w * (read->parameter ? 1 : n);
}

static bool in_stage(const struct ctkd__terms *terms, const struct ctkd__method *method)
{
    const unsigned stages = method->def->stages ? method->def->stages : CTKD_STAGE_MAIN;
    return stages & terms->args.stage;
}

/* --- create */

static bool allocate_gradients(struct ctkd__terms *terms)
{
    const struct ctkd__stage_reads *const reads = terms->reads;
    const size_t batch = terms->args.batch;
    for (size_t i = 0; i < reads->n_reads; i++) {
        const struct ctkd__read *const read = &reads->reads[i];
        if (!read->gradient)
            continue;
        terms->dx[i] = calloc(elements(read, batch), sizeof(float));
        if (!terms->dx[i])
            return false;
    }
    return true;
}

static ctkd_status read_head(struct ctkd__terms *terms)
{
    const struct ctkd__teacher *const teacher = terms->args.teacher;
    const struct ctkd__graph *const graph = teacher->graph;
    const struct ctkd__weights *const weights = teacher->weights;
    const struct ctkd__node *const node = &graph->nodes[graph->output];
    const int weight = node->parameters[CTKD__ROLE_WEIGHT],
              bias = node->parameters[CTKD__ROLE_BIAS];
    const size_t k = graph->parameters[weight].shape[0], c = graph->parameters[weight].shape[1];
    terms->head_values = calloc(k * c + k, sizeof(float));
    if (!terms->head_values)
        return CTKD_ENOMEM;
    ctkd__weights_unpack(weights, weight, weights->values + weights->offsets[weight],
                         terms->head_values);
    if (bias >= 0)
        ctkd__weights_unpack(weights, bias, weights->values + weights->offsets[bias],
                             terms->head_values + k * c);
    terms->head = (ctkd_head){ k, c, terms->head_values, terms->head_values + k * c };
    return CTKD_OK;
}

/* Labels and positions of the images in use: a method's memory has a row for each of these. */
static ctkd_status read_samples(struct ctkd__terms *terms)
{
    const struct ctkd__loader *const loader = terms->args.loader;
    const uint32_t *const chosen = ctkd__loader_chosen(loader);
    const size_t count = ctkd__loader_samples(loader);
    terms->sample_labels = calloc(count, sizeof *terms->sample_labels);
    terms->positions = calloc((size_t)chosen[count - 1] + 1, sizeof *terms->positions);
    terms->ids = calloc(terms->args.batch, sizeof *terms->ids);
    if (!terms->sample_labels || !terms->positions || !terms->ids)
        return CTKD_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        terms->sample_labels[i] = terms->args.labels[chosen[i]];
        terms->positions[chosen[i]] = (uint32_t)i;
    }
    terms->samples =
        (ctkd_samples){ .count = count, .labels = terms->sample_labels, .seed = terms->args.seed };
    return CTKD_OK;
}

static ctkd_status create_term(struct ctkd__terms *terms, size_t index, size_t *memory)
{
    struct term *const term = &terms->items[index];
    const struct ctkd__stage_reads *const reads = terms->reads;
    term->method = &terms->args.methods->items[index];
    term->reads = reads->reads + reads->first[index];
    term->maps = terms->maps + reads->first[index];
    term->n_maps = reads->first[index + 1] - reads->first[index];
    term->row = ctkd__profile_row(terms->args.profile, "losses", "loss", term->method->def->name,
                                  "libctkd", 0);
    for (size_t i = 0; i < term->n_maps; i++) {
        const struct ctkd__read *const read = &term->reads[i];
        term->maps[i] = (ctkd_map){ .c = read->c,
                                    .h = read->h,
                                    .w = read->w,
                                    .dx = terms->dx[reads->first[index] + i],
                                    .norm_weight = read->norm_weight,
                                    .norm_bias = read->norm_bias };
    }
    const ctkd_loss_def *const def = term->method->def;
    const ctkd_loss_shape shape = shape_of(terms, term);
    size_t workspace;
    ctkd_status status = ctkd_loss_state(def, term->method->config, &shape, &term->n_memory);
    term->memory = *memory;
    *memory += term->n_memory;
    if (status == CTKD_OK && in_stage(terms, term->method)) {
        status = ctkd_loss_workspace(def, term->method->config, &shape, &workspace);
        if (status == CTKD_OK && workspace)
            term->workspace = calloc(workspace, sizeof *term->workspace);
        if (status == CTKD_OK && workspace && !term->workspace)
            status = CTKD_ENOMEM;
    }
    return status;
}

ctkd_status ctkd__terms_create(const struct ctkd__terms_args *args, struct ctkd__terms **out,
                               ctkd_error *err)
{
    *out = NULL;
    struct ctkd__terms *const terms = calloc(1, sizeof *terms);
    if (!terms)
        return ctkd__fail(err, CTKD_ENOMEM, "methods: out of memory");
    terms->args = *args;
    terms->reads =
        args->stage == CTKD_STAGE_INITIAL ? &args->adaptors->initial : &args->adaptors->main;
    terms->pool = ctkd__pool(args->workers);
    terms->ds = calloc(args->batch * args->classes, sizeof *terms->ds);
    terms->dtau = calloc(args->batch, sizeof *terms->dtau);
    ctkd_status status =
        allocate_gradients(terms) && terms->ds && terms->dtau ? CTKD_OK : CTKD_ENOMEM;
    if (status == CTKD_OK && args->methods->needs & CTKD_NEEDS_HEAD)
        status = read_head(terms);
    if (status == CTKD_OK && args->methods->needs & CTKD_NEEDS_IDS)
        status = read_samples(terms);
    size_t memory = 0;
    for (size_t i = 0; i < args->methods->count && status == CTKD_OK; i++)
        status = create_term(terms, i, &memory);
    if (status != CTKD_OK) {
        ctkd__terms_destroy(terms);
        return ctkd__fail(err, status, "methods: %s", ctkd_status_text(status));
    }
    *out = terms;
    return CTKD_OK;
}

void ctkd__terms_destroy(struct ctkd__terms *terms)
{
    if (!terms)
        return;
    for (size_t i = 0; i < CTKD__METHODS_MAX; i++)
        free(terms->items[i].workspace);
    for (size_t i = 0; i < CTKD__READS_MAX; i++)
        free(terms->dx[i]);
    free(terms->ds);
    free(terms->dtau);
    free(terms->head_values);
    free(terms->sample_labels);
    free(terms->positions);
    free(terms->ids);
    free(terms);
}

size_t ctkd__terms_memory(const struct ctkd__terms *terms)
{
    size_t total = 0;
    for (size_t i = 0; i < terms->args.methods->count; i++)
        total += terms->items[i].n_memory;
    return total;
}

void ctkd__terms_memory_init(const struct ctkd__terms *terms, float *memory)
{
    for (size_t i = 0; i < terms->args.methods->count; i++) {
        const struct term *const term = &terms->items[i];
        const ctkd_loss_shape shape = shape_of(terms, term);
        if (term->method->def->state_init)
            term->method->def->state_init(term->method->config, &shape, terms->args.seed,
                                          memory + term->memory);
    }
}

/* --- a step */

void ctkd__terms_enter(const struct ctkd__terms *terms)
{
    const struct ctkd__adaptors *const adaptors = terms->args.adaptors;
    for (size_t i = 0; i < adaptors->n_taps; i++)
        if (adaptors->sides[i] >= 0)
            ctkd__training_input(terms->args.training, adaptors->sides[i],
                                 terms->args.teacher->taps[i]);
}

void ctkd__add_scaled(size_t n, float weight, const float *restrict part, float *restrict sum)
{
    for (size_t i = 0; i < n; i++)
        sum[i] += weight * part[i];
}

/* weight * dx, in place or onto a total, a sample at a time. */
struct addition {
    float *dx, *total;
    size_t size;
    float weight;
};

static void add_sample(void *argument, size_t i)
{
    const struct addition *const a = argument;
    float *restrict dx = a->dx + i * a->size;
    if (a->total)
        ctkd__add_scaled(a->size, a->weight, dx, a->total + i * a->size);
    else
        for (size_t j = 0; j < a->size; j++)
            dx[j] *= a->weight;
}

/* The gradients of a method's maps go to the training program, those of one output added up. */
static void hand_over(struct ctkd__terms *terms, const struct term *term, size_t n, float weight)
{
    for (size_t i = 0; i < term->n_maps; i++) {
        const struct ctkd__read *const read = &term->reads[i];
        if (!read->gradient)
            continue;
        float **const total = &terms->total[read->output];
        struct addition addition = { .dx = term->maps[i].dx,
                                     .total = *total,
                                     .size = read->c * read->h * read->w,
                                     .weight = weight };
        terms->pool.run(terms->pool.context, read->parameter ? 1 : n, add_sample, &addition);
        *total = *total ? *total : term->maps[i].dx;
        ctkd__training_output_gradient(terms->args.training, (size_t)read->output, *total);
    }
}

static void fill_maps(const struct ctkd__terms *terms, const struct term *term)
{
    for (size_t i = 0; i < term->n_maps; i++)
        term->maps[i].x =
            term->reads[i].tap >= 0
                ? terms->args.teacher->taps[term->reads[i].tap]
                : ctkd__training_output(terms->args.training, (size_t)term->reads[i].output);
}

static ctkd_status evaluate(struct ctkd__terms *terms, struct term *term,
                            struct ctkd__terms_step *step, float *loss)
{
    const ctkd_loss_def *const def = term->method->def;
    const bool logits = def->needs & CTKD_NEEDS_LOGITS && step->ds;
    const bool tau = def->needs & CTKD_NEEDS_TAU && step->dtau;
    const ctkd_loss_args args = { .n = step->batch->n,
                                  .k = terms->args.classes,
                                  .s = step->s,
                                  .t = step->t,
                                  .labels = step->batch->labels,
                                  .tau = step->tau,
                                  .n_tau = step->n_tau,
                                  .loss = loss,
                                  .ds = logits ? terms->ds : NULL,
                                  .dtau = tau ? terms->dtau : NULL,
                                  .workspace = term->workspace,
                                  .stage = terms->args.stage,
                                  .view =
                                      def->needs & CTKD_NEEDS_VIEWS ? step->view : CTKD_VIEW_ONLY,
                                  .maps = term->maps,
                                  .n_maps = term->n_maps,
                                  .head = &terms->head,
                                  .ids = terms->ids,
                                  .samples = &terms->samples,
                                  .state = step->memory ? step->memory + term->memory : NULL,
                                  .pool = &terms->pool };
    fill_maps(terms, term);
    const ctkd_status status = def->eval(term->method->config, &args);
    if (status != CTKD_OK)
        return status;
    /* An initial stage is of the method's loss as it is, as published. */
    const float weight = terms->args.stage == CTKD_STAGE_INITIAL
                             ? 1
                             : (float)(step->grown * (double)term->method->weight);
    if (logits)
        ctkd__add_scaled(args.n * args.k, weight, terms->ds, step->ds);
    if (tau)
        ctkd__add_scaled(step->n_tau, weight, terms->dtau, step->dtau);
    hand_over(terms, term, args.n, weight);
    step->loss += (double)weight * (double)*loss;
    return isfinite(*loss) ? CTKD_OK : CTKD_ENAN;
}

/* Outputs that nobody gives a gradient to in this step have none. */
static void clear_gradients(struct ctkd__terms *terms)
{
    for (size_t i = 0; i < terms->reads->n_outputs; i++) {
        terms->total[i] = NULL;
        ctkd__training_output_gradient(terms->args.training, i, NULL);
    }
}

/* A strong view is for the methods that ask for it. */
static bool of_view(const struct ctkd__method *method, ctkd_view view)
{
    return view != CTKD_VIEW_STRONG || method->def->needs & CTKD_NEEDS_VIEWS;
}

ctkd_status ctkd__terms_evaluate(struct ctkd__terms *terms, struct ctkd__terms_step *step)
{
    step->loss = 0;
    terms->samples.step = step->step;
    for (size_t i = 0; terms->ids && i < step->batch->n; i++)
        terms->ids[i] = terms->positions[step->batch->ids[i]];
    clear_gradients(terms);
    for (size_t i = 0; i < terms->args.methods->count; i++) {
        struct term *const term = &terms->items[i];
        step->losses[i] = NAN;
        if (!in_stage(terms, term->method) || !of_view(term->method, step->view))
            continue;
        const uint64_t start = terms->args.profile ? ctkd__profile_now_ns() : 0;
        const ctkd_status status = evaluate(terms, term, step, &step->losses[i]);
        if (terms->args.profile)
            ctkd__profile_add_all(terms->args.profile, term->row, ctkd__profile_now_ns() - start,
                                  step->batch->n);
        if (status != CTKD_OK) {
            step->failed = i;
            return status;
        }
    }
    return CTKD_OK;
}
