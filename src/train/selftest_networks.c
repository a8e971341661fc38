/*
 * The part of the selftest on the engine. Of every family of networks the smallest is tried, and
 * of the others those that have an op which was not tried yet: training gradients against central
 * differences of the engine's own forward pass, then every instruction set and every convolution
 * against the portable kernels with oneDNN.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctkd/random.h"
#include "nn/inference.h"
#include "nn/models/models.h"
#include "nn/training.h"
#include "train/selftest.h"
#include "util/error.h"

enum { N = 8, K = 10, GROUP_MAX = 16, SIDE = 16, CHANNELS = 3 };
/* Multiply-adds of an image from which on a network gets fewer trials. */
static const size_t large = 30000000;

/* A network compiled for both uses, with weights that are the same for every instruction set. */
struct rig {
    struct ctkd__graph *graph;
    struct ctkd__workers *workers;
    struct ctkd__weights *weights;
    struct ctkd__training *training;
    struct ctkd__inference *inference;
    struct ctkd__tensors gradient;
    float *x;               /* [N][c][h][w] */
    float r[N * K];         /* the loss is the sum of r * logits */
    float logits[2][N * K]; /* of the training pass, of inference */
};

struct variant {
    const char *network;
    const struct ctkd__kernels *kernels;
    const char *conv;
};

static void rig_close(struct rig *rig)
{
    ctkd__tensors_fini(&rig->gradient);
    ctkd__inference_destroy(rig->inference);
    ctkd__training_destroy(rig->training);
    ctkd__weights_destroy(rig->weights);
    ctkd__workers_destroy(rig->workers);
    ctkd__graph_destroy(rig->graph);
    free(rig->x);
    *rig = (struct rig){ 0 };
}

static ctkd_status build(const char *network, struct ctkd__graph **out, ctkd_error *err)
{
    const struct ctkd__model_family *family = NULL;
    struct ctkd__model_args args = { CHANNELS, SIDE, SIDE, K };
    if (ctkd__model_find(network, &family) && 2 * family->side_min > SIDE)
        args.height = args.width = 2 * family->side_min;
    return ctkd__model_build(network, &args, out, err);
}

/* No symmetric starting point: weights and biases of batch norms are not all equal. */
static void disturb(struct ctkd__weights *weights)
{
    const struct ctkd__graph *graph = weights->graph;
    for (int i = 0; i < graph->n_parameters; i++) {
        const struct ctkd__parameter *p = &graph->parameters[i];
        if (p->rank != 1 || p->role == CTKD__ROLE_MEAN || p->role == CTKD__ROLE_VARIANCE)
            continue;
        float *values = weights->values + weights->offsets[i];
        for (size_t j = 0; j < p->shape[0]; j++)
            values[j] += 0.2f * ctkd_random_normal(7, CTKD_RANDOM_TEST, (uint64_t)i, j);
    }
}

static ctkd_status make_inputs(struct rig *rig, ctkd_error *err)
{
    const struct ctkd__node *input = &rig->graph->nodes[0];
    const size_t floats = N * input->c * input->h * input->w;
    rig->x = calloc(floats, sizeof *rig->x);
    if (!rig->x)
        return ctkd__fail(err, CTKD_ENOMEM, "out of memory");
    for (size_t i = 0; i < floats; i++)
        rig->x[i] = ctkd_random_normal(3, CTKD_RANDOM_TEST, 0, i);
    for (size_t i = 0; i < N * K; i++)
        rig->r[i] = ctkd_random_normal(4, CTKD_RANDOM_TEST, 0, i);
    return CTKD_OK;
}

static ctkd_status rig_open(const struct variant *v, struct rig *rig, ctkd_error *err)
{
    *rig = (struct rig){ 0 };
    ctkd_status status = build(v->network, &rig->graph, err);
    if (status == CTKD_OK)
        status = ctkd__workers_create(0, &rig->workers, err);
    if (status == CTKD_OK)
        status = ctkd__weights_create(rig->graph, v->kernels->block, &rig->weights, err);
    if (status == CTKD_OK) {
        ctkd__weights_initialise(rig->weights, 5);
        disturb(rig->weights);
        status = make_inputs(rig, err);
    }
    const struct ctkd__training_config training = {
        .kernels = v->kernels, .workers = rig->workers, .batch_max = N, .conv = v->conv
    };
    const struct ctkd__inference_config inference = { .kernels = v->kernels,
                                                      .workers = rig->workers,
                                                      .conv = v->conv };
    if (status == CTKD_OK)
        status = ctkd__training_create(rig->graph, rig->weights, &training, &rig->training, err);
    if (status == CTKD_OK)
        status = ctkd__inference_create(rig->graph, &inference, &rig->inference, err);
    return status;
}

/* Forward and backward, then inference with the statistics that this left. */
static ctkd_status compute(struct rig *rig, ctkd_error *err)
{
    ctkd_status status = ctkd__training_forward(rig->training, N, rig->x, rig->logits[0], err);
    if (status == CTKD_OK)
        status = ctkd__training_backward(rig->training, rig->r, err);
    if (status == CTKD_OK)
        status = ctkd__training_export_gradient(rig->training, &rig->gradient, err);
    if (status == CTKD_OK)
        status = ctkd__inference_load(rig->inference, rig->weights, err);
    if (status == CTKD_OK)
        status = ctkd__inference_run(rig->inference, N, rig->x, rig->logits[1], err);
    return status;
}

static double norm(const float *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

/* --- gradients: parameters in groups of a few, each moved along its own gradient */

/* Moves the parameters of a group by `step` of their own size along their gradients. */
static ctkd_status move(struct rig *rig, const int *group, size_t n, double step,
                        const float *saved, double *slope, ctkd_error *err)
{
    struct ctkd__weights *weights = rig->weights;
    *slope = 0;
    for (size_t i = 0; i < n; i++) {
        const struct ctkd__parameter *p = &rig->graph->parameters[group[i]];
        const struct ctkd__tensor *gradient = ctkd__tensors_find(&rig->gradient, p->name);
        const size_t count = ctkd__parameter_elements(p);
        float *plain = calloc(count, sizeof *plain);
        if (!plain || !gradient) {
            free(plain);
            return ctkd__fail(err, plain ? CTKD_EINVAL : CTKD_ENOMEM, "%s: no gradient", p->name);
        }
        const float *g = gradient->data;
        const double length = norm(g, count);
        ctkd__weights_unpack(weights, group[i], saved + weights->offsets[group[i]], plain);
        const double size = fmax(norm(plain, count), 0.1);
        for (size_t j = 0; j < count && length > 0; j++)
            plain[j] += (float)(step * size / length * (double)g[j]);
        *slope += size * length;
        ctkd__weights_pack(weights, group[i], plain, weights->values + weights->offsets[group[i]]);
        free(plain);
    }
    return CTKD_OK;
}

/* Adds the slope of a group and its error; kinks of single units make the latter large where the
   former is small. */
static ctkd_status probe(struct rig *rig, const int *group, size_t n, const float *saved,
                         double *error, double *slopes, ctkd_error *err)
{
    static const double offsets[4] = { -2, -1, 1, 2 }, factors[4] = { 1, -8, 8, -1 };
    const double step = 1e-4;
    double sum = 0, slope = 0;
    ctkd_status status = CTKD_OK;
    for (size_t i = 0; i < 4 && status == CTKD_OK; i++) {
        float logits[N * K];
        status = move(rig, group, n, step * offsets[i], saved, &slope, err);
        if (status == CTKD_OK)
            status = ctkd__training_forward(rig->training, N, rig->x, logits, err);
        for (size_t j = 0; j < N * K && status == CTKD_OK; j++)
            sum += factors[i] * (double)rig->r[j] * (double)logits[j];
    }
    memcpy(rig->weights->values, saved, rig->weights->n_values * sizeof *saved);
    *error += fabs(sum / (12 * step) - slope);
    *slopes += slope;
    return status;
}

/* The next parameters, from *at on, that belong to nodes of one op. */
static size_t next_group(const struct ctkd__graph *graph, enum ctkd__op op, int *at, int *group)
{
    const size_t most = ctkd__graph_macs(graph) > large ? GROUP_MAX : 4;
    size_t n = 0;
    for (; *at < graph->n_parameters && n < most; ++*at) {
        const struct ctkd__parameter *p = &graph->parameters[*at];
        if (graph->nodes[p->node].op == op && p->role != CTKD__ROLE_MEAN &&
            p->role != CTKD__ROLE_VARIANCE)
            group[n++] = *at;
    }
    return n;
}

static ctkd_status worst_slope(struct rig *rig, double *worst, enum ctkd__op *where,
                               ctkd_error *err)
{
    const size_t bytes = rig->weights->n_values * sizeof(float);
    float *saved = malloc(bytes);
    ctkd_status status = saved ? CTKD_OK : ctkd__fail(err, CTKD_ENOMEM, "gradients: out of memory");
    if (saved)
        memcpy(saved, rig->weights->values, bytes);
    *worst = 0;
    for (int op = 0; op < CTKD__OP_COUNT; op++) {
        int at = 0, group[GROUP_MAX];
        double error = 0, slopes = 0;
        size_t n;
        while (status == CTKD_OK && (n = next_group(rig->graph, (enum ctkd__op)op, &at, group)) > 0)
            status = probe(rig, group, n, saved, &error, &slopes, err);
        if (slopes > 0 && !(error / slopes <= *worst)) {
            *worst = error / slopes;
            *where = (enum ctkd__op)op;
        }
    }
    free(saved);
    return status;
}

static void check_gradients(struct ctkd__selftest *test, const char *network,
                            const struct ctkd__kernels *kernels)
{
    struct rig rig;
    char what[96];
    ctkd_error err = { 0 };
    double worst = (double)NAN;
    enum ctkd__op where = CTKD__OP_INPUT;
    const struct variant v = { network, kernels, "auto" };
    snprintf(what, sizeof what, "network %s: gradients (%s)", network, kernels->name);
    ctkd_status status = rig_open(&v, &rig, &err);
    if (status == CTKD_OK)
        status = compute(&rig, &err);
    if (status == CTKD_OK)
        status = worst_slope(&rig, &worst, &where, &err);
    if (status == CTKD_OK) /* kinks of ReLU and pools limit what differences can tell */
        ctkd__selftest_say(test, worst <= 0.15, what, "error %.1e of central differences, at %s",
                           worst, ctkd__op_text(where));
    else
        ctkd__selftest_say(test, false, what, "%s", err.message);
    rig_close(&rig);
}

/* --- one path against another */

struct differences {
    double logits, inference, gradient; /* relative */
    char where[112];                    /* the parameter of the largest gradient's error */
};

static double difference(const float *a, const float *b, size_t n, double floor)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sqrt(sum) / (norm(b, n) + floor);
}

/* Parameters whose gradient is next to nothing are compared with the whole gradient's scale. */
static void compare(const struct rig *a, const struct rig *b, struct differences *out)
{
    double total = 0;
    *out = (struct differences){ .logits = difference(a->logits[0], b->logits[0], N * K, 0),
                                 .inference = difference(a->logits[1], b->logits[1], N * K, 0) };
    for (size_t i = 0; i < b->gradient.count; i++) {
        const struct ctkd__tensor *t = &b->gradient.items[i];
        total = hypot(total, norm(t->data, ctkd__tensor_elements(t)));
    }
    for (size_t i = 0; i < b->gradient.count; i++) {
        const struct ctkd__tensor *t = &b->gradient.items[i];
        const struct ctkd__tensor *other = ctkd__tensors_find(&a->gradient, t->name);
        const double error =
            other ? difference(other->data, t->data, ctkd__tensor_elements(t), 0.01 * total)
                  : (double)NAN;
        if (!(error <= out->gradient)) {
            out->gradient = error;
            snprintf(out->where, sizeof out->where, "%s", t->name);
        }
    }
}

static void check_variant(struct ctkd__selftest *test, const struct variant *v,
                          const struct rig *reference)
{
    struct rig rig;
    struct differences d;
    char what[128];
    ctkd_error err = { 0 };
    if (strcmp(v->conv, "auto") == 0)
        snprintf(what, sizeof what, "%s kernels: %s", v->kernels->name, v->network);
    else
        snprintf(what, sizeof what, "%s kernels, convolution %s: %s", v->kernels->name, v->conv,
                 v->network);
    ctkd_status status = rig_open(v, &rig, &err);
    if (status == CTKD_OK)
        status = compute(&rig, &err);
    if (status == CTKD_OK) {
        compare(&rig, reference, &d);
        /* A unit near a ReLU's kink may be on in one path and off in the other, which a batch norm
           over few values makes large: a deep network's gradients tell less than its logits. */
        ctkd__selftest_say(test, d.logits <= 1e-4 && d.inference <= 1e-4 && d.gradient <= 0.15,
                           what,
                           "against portable: logits %.1e, inference %.1e, gradients %.1e%s%s",
                           d.logits, d.inference, d.gradient, d.where[0] ? " at " : "", d.where);
    } else {
        ctkd__selftest_say(test, false, what, "%s", err.message);
    }
    rig_close(&rig);
}

static const struct ctkd__kernels *portable(void)
{
    const struct ctkd__kernels *const *list = ctkd__kernels_list();
    size_t i = 0;
    while (list[i + 1])
        i++;
    return list[i];
}

/* Every instruction set, and with the best one every convolution, against portable with dnnl. */
static void check_paths(struct ctkd__selftest *test, const char *network)
{
    struct rig reference;
    ctkd_error err = { 0 };
    const struct ctkd__kernels *const *list = ctkd__kernels_list();
    const struct variant plain = { network, portable(), "dnnl" };
    ctkd_status status = rig_open(&plain, &reference, &err);
    if (status == CTKD_OK)
        status = compute(&reference, &err);
    if (status != CTKD_OK)
        ctkd__selftest_say(test, false, network, "%s", err.message);
    const bool is_large = status == CTKD_OK && ctkd__graph_macs(reference.graph) > large;
    bool best = true;
    for (size_t i = 0; list[i] && status == CTKD_OK; i++) {
        if (!ctkd__kernels_supported(list[i]))
            continue;
        check_variant(test, &(struct variant){ network, list[i], "auto" }, &reference);
        for (size_t c = 0; ctkd__conv_list()[c] && best && !is_large; c++)
            check_variant(test, &(struct variant){ network, list[i], ctkd__conv_list()[c]->name },
                          &reference);
        best = false;
    }
    rig_close(&reference);
}

/* --- which networks */

static bool brings_an_op(const struct ctkd__graph *graph, bool *seen)
{
    bool new = false;
    for (int i = 0; i < graph->n_nodes; i++) {
        new = new || !seen[graph->nodes[i].op];
        seen[graph->nodes[i].op] = true;
    }
    return new;
}

static bool has_new_op(const struct ctkd__graph *graph, const bool *seen)
{
    bool copy[CTKD__OP_COUNT];
    memcpy(copy, seen, sizeof copy);
    return brings_an_op(graph, copy);
}

/* The next variant of a family: the smallest at first, then those with an op that is new. */
static const char *pick(const struct ctkd__model_family *family, bool first, bool *seen)
{
    const char *best = NULL;
    size_t least = SIZE_MAX;
    for (const struct ctkd__model *model = family->models; model->name; model++) {
        struct ctkd__graph *graph = NULL;
        if (build(model->name, &graph, NULL) == CTKD_OK && ctkd__graph_macs(graph) < least &&
            (first || has_new_op(graph, seen))) {
            least = ctkd__graph_macs(graph);
            best = model->name;
        }
        ctkd__graph_destroy(graph);
    }
    struct ctkd__graph *graph = NULL;
    if (best && build(best, &graph, NULL) == CTKD_OK)
        brings_an_op(graph, seen);
    ctkd__graph_destroy(graph);
    return best;
}

static void say_ops(struct ctkd__selftest *test, const bool *seen)
{
    char text[2][300] = { "", "" }; /* ops in no network, ops in one */
    size_t used[2] = { 0, 0 };
    for (int op = 0; op < CTKD__OP_COUNT; op++) {
        const int which = seen[op];
        const int n = snprintf(text[which] + used[which], sizeof text[which] - used[which], " %s",
                               ctkd__op_text((enum ctkd__op)op));
        if (n > 0 && used[which] + (size_t)n < sizeof text[which])
            used[which] += (size_t)n;
    }
    ctkd__selftest_say(test, used[1] > 0, "ops", "tried:%s%s%s", text[1],
                       used[0] ? "; in none of these networks:" : "", text[0]);
}

void ctkd__selftest_networks(struct ctkd__selftest *test)
{
    bool seen[CTKD__OP_COUNT] = { false };
    const struct ctkd__kernels *kernels;
    ctkd_error err = { 0 };
    if (ctkd__kernels_select("auto", &kernels, &err) != CTKD_OK) {
        ctkd__selftest_say(test, false, "kernels", "%s", err.message);
        return;
    }
    for (size_t i = 0; ctkd__model_families()[i]; i++) {
        const struct ctkd__model_family *family = ctkd__model_families()[i];
        const char *network;
        for (bool first = true; (network = pick(family, first, seen)) != NULL; first = false) {
            if (test->failures && test->first_failure_ends)
                return;
            check_gradients(test, network, kernels);
            check_paths(test, network);
        }
    }
    say_ops(test, seen);
}
