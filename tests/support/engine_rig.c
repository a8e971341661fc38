#include "support/engine_rig.h"

#include <math.h>
#include <stdlib.h>

#include "support/check.h"

static bool is_buffer(const struct ctkd__parameter *parameter)
{
    return parameter->role == CTKD__ROLE_MEAN || parameter->role == CTKD__ROLE_VARIANCE;
}

/* Weights as drawn, vectors moved away from their constants: no symmetric starting point. */
static struct ctkd__reference *start(const struct engine_rig *rig)
{
    const struct ctkd__graph *const graph = rig->graph;
    float **const plain = calloc((size_t)graph->n_parameters, sizeof *plain);
    assert_non_null(plain);
    for (int i = 0; i < graph->n_parameters; i++) {
        const struct ctkd__parameter *const p = &graph->parameters[i];
        float *const flat = (is_buffer(p) ? rig->weights->buffers : rig->weights->values) +
                            rig->weights->offsets[i];
        plain[i] = calloc(ctkd__parameter_elements(p), sizeof(float));
        assert_non_null(plain[i]);
        ctkd__weights_unpack(rig->weights, i, flat, plain[i]);
        if (p->rank == 1 && p->role != CTKD__ROLE_VARIANCE)
            for (size_t j = 0; j < p->shape[0]; j++)
                plain[i][j] += 0.3f * sinf((float)(3 * j + 7 * (size_t)i));
        ctkd__weights_pack(rig->weights, i, plain[i], flat);
    }
    struct ctkd__reference *reference;
    check_ok(ctkd__reference_create(graph, plain, &reference), NULL);
    for (int i = 0; i < graph->n_parameters; i++)
        free(plain[i]);
    free(plain);
    return reference;
}

struct ctkd__engine engine_with(const struct ctkd__kernels *kernels, size_t threads)
{
    const struct ctkd__engine_config config = { .isa = kernels ? kernels->name : NULL,
                                                .threads = threads };
    struct ctkd__engine engine;
    ctkd_error err = { 0 };
    check_ok(ctkd__engine_open(&config, &engine, &err), &err);
    return engine;
}

struct engine_rig engine_rig_open(struct ctkd__graph *graph, int logits,
                                  const struct ctkd__kernels *kernels, size_t threads, size_t n)
{
    struct engine_rig rig = { .graph = graph, .engine = engine_with(kernels, threads) };
    ctkd_error err;
    check_ok(ctkd__graph_finish(graph, logits, &err), &err);
    check_ok(ctkd__weights_create(graph, kernels->block, &rig.weights, &err), &err);
    ctkd__weights_initialise(rig.weights, 5);
    rig.reference = start(&rig);
    const struct ctkd__node *const input = &graph->nodes[0];
    const size_t floats = n * input->c * input->h * input->w;
    rig.x = calloc(floats, sizeof *rig.x);
    assert_non_null(rig.x);
    fill_normal(rig.x, floats, 3);
    return rig;
}

void engine_rig_close(struct engine_rig *rig)
{
    ctkd__reference_destroy(rig->reference);
    ctkd__weights_destroy(rig->weights);
    ctkd__graph_destroy(rig->graph);
    ctkd__engine_close(&rig->engine);
    free(rig->x);
}

void engine_rig_check_logits(const struct engine_rig *rig, size_t n, size_t k, const float *logits,
                             bool training, double tolerance)
{
    double **const values = ctkd__reference_values(rig->reference, n, rig->x, training);
    float *const expected = calloc(n * k, sizeof *expected);
    assert_true(values && expected);
    for (size_t i = 0; i < n * k; i++)
        expected[i] = (float)values[rig->graph->output][i];
    check_relative(logits, expected, n * k, tolerance);
    free(expected);
    ctkd__reference_free_values(rig->reference, values);
}

struct rig_loss {
    const struct engine_rig *rig;
    size_t n;
    const float *weights;
};

static double loss_of(void *context)
{
    const struct rig_loss *const loss = context;
    const struct ctkd__reference *const r = loss->rig->reference;
    const int logits = r->graph->output;
    const size_t count = loss->n * r->graph->nodes[logits].c;
    double **const values = ctkd__reference_values(r, loss->n, loss->rig->x, true), sum = 0;
    assert_non_null(values);
    for (size_t i = 0; i < count; i++)
        sum += values[logits][i] * (double)loss->weights[i];
    ctkd__reference_free_values(r, values);
    return sum;
}

double (*engine_rig_slopes(const struct engine_rig *rig, size_t n, const float *weights))[SLOPES]
{
    struct rig_loss loss = { rig, n, weights };
    double(*const slopes)[SLOPES] = calloc((size_t)rig->graph->n_parameters, sizeof *slopes);
    assert_non_null(slopes);
    for (int p = 0; p < rig->graph->n_parameters; p++) {
        const struct ctkd__parameter *const parameter = &rig->graph->parameters[p];
        if (!is_buffer(parameter))
            slopes_of_doubles(loss_of, &loss, rig->reference->parameters[p],
                              ctkd__parameter_elements(parameter), slopes[p]);
    }
    return slopes;
}

void engine_rig_check_gradients(const struct engine_rig *rig, const struct ctkd__training *training,
                                double (*slopes)[SLOPES], double tolerance, const char *what)
{
    struct ctkd__tensors list = { 0 };
    ctkd_error err;
    check_ok(ctkd__training_export_gradient(training, &list, &err), &err);
    for (int p = 0; p < rig->graph->n_parameters; p++) {
        const struct ctkd__parameter *const parameter = &rig->graph->parameters[p];
        const struct ctkd__tensor *const tensor = ctkd__tensors_find(&list, parameter->name);
        if (is_buffer(parameter)) {
            assert_null(tensor);
            continue;
        }
        assert_non_null(tensor);
        slopes_check(tensor->data, ctkd__parameter_elements(parameter), slopes[p], tolerance,
                     "%s: %s", what, parameter->name);
    }
    ctkd__tensors_fini(&list);
}
