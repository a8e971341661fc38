/* The rows of the ops: each says what the compilers of programs must know, and what it says is
 * true.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctkd/random.h"
#include "nn/compile/training_internal.h"
#include "selftest/selftest_cases.h"
#include "support/check.h"
#include "support/engine_rig.h"

enum { N = 3 };

static void every_instruction_says_what_programs_must_know(void **state)
{
    (void)state;
    for (int kind = 0; kind < CTKD__INSTRUCTION_KINDS; kind++) {
        const struct ctkd__instruction_def *const def =
            ctkd__instruction_def((enum ctkd__instruction_kind)kind);
        if (!def->text || !def->forward || !def->backward || !def->infer)
            fail_msg("instruction %d (%s): a text or a pass is missing", kind,
                     def->text ? def->text : "no text");
        if (!def->backward_reads == !def->backward_reads_of)
            fail_msg("%s: one of backward_reads and backward_reads_of, expected", def->text);
        if (def->dx != CTKD__DX_APART && def->dx != CTKD__DX_IN_PLACE && def->dx != CTKD__DX_IS_DY)
            fail_msg("%s: dx is %d, expected a place", def->text, (int)def->dx);
        if (!def->constants != !def->load)
            fail_msg("%s: constants and load, expected both or none", def->text);
    }
}

static void every_op_has_a_name_of_its_own_and_an_instruction(void **state)
{
    (void)state;
    bool is_used[CTKD__INSTRUCTION_KINDS + 1] = { false };
    for (int i = 0; i < CTKD__OP_COUNT; i++) {
        is_used[ctkd__op_instruction((enum ctkd__op)i)] = true;
        for (int j = 0; j < i; j++)
            assert_string_not_equal(ctkd__op_text((enum ctkd__op)i),
                                    ctkd__op_text((enum ctkd__op)j));
    }
    for (int kind = 0; kind < CTKD__INSTRUCTION_KINDS; kind++)
        assert_true(is_used[kind] || kind == CTKD__INSTRUCTION_OUTPUT);
}

/* --- what the backward pass reads */

struct rig {
    struct ctkd__built_case built;
    struct ctkd__engine engine;
    struct ctkd__weights *weights;
    struct ctkd__training *training;
    float *values[2], *gradients[2]; /* of the sources, of the outputs */
};

static float *random_values(const struct ctkd__node *node, uint64_t seed)
{
    const size_t n = N * node->c * node->h * node->w;
    float *const values = malloc(n * sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < n; i++)
        values[i] = ctkd_random_normal(seed, CTKD_RANDOM_TEST, 0, i);
    return values;
}

/* A place for every buffer alone: what is not kept is then lost only when it is spoilt. */
static void spread(struct ctkd__lowering *l)
{
    size_t bytes = 0;
    ctkd__pages_release(l->arenas[0], l->plan.bytes);
    for (size_t b = 0; b < l->plan.count; b++) {
        l->plan.buffers[b].offset = bytes;
        bytes += l->plan.buffers[b].bytes;
    }
    l->plan.bytes = bytes;
    l->arenas[0] = ctkd__pages_allocate(bytes);
    assert_non_null(l->arenas[0]);
}

static void rig_open(struct rig *rig, const struct ctkd__op_case *tested)
{
    ctkd_error err = { 0 };
    memset(rig, 0, sizeof *rig);
    check_ok(ctkd__selftest_build(tested, false, &rig->built, &err), &err);
    rig->engine = engine_with(NULL, 1);
    check_ok(
        ctkd__weights_create(rig->built.graph, rig->engine.kernels->block, &rig->weights, &err),
        &err);
    for (int i = 0; i < rig->built.graph->n_parameters; i++) { /* no constants: all take part */
        rig->built.graph->parameters[i].init = CTKD__INIT_UNIFORM;
        rig->built.graph->parameters[i].value = 0.5f;
    }
    ctkd__weights_initialise(rig->weights, 7);
    struct ctkd__training_config config = ctkd__engine_training(&rig->engine, "test", N);
    config.outputs = rig->built.outputs;
    config.n_outputs = rig->built.n_outputs;
    config.no_logits = config.input_gradients = true;
    check_ok(ctkd__training_create(rig->built.graph, rig->weights, &config, &rig->training, &err),
             &err);
    spread(&rig->training->lowering);
    const struct ctkd__node *const nodes = rig->built.graph->nodes;
    for (uint64_t i = 0; i < 2; i++)
        rig->values[i] = random_values(&nodes[rig->built.sources[i]], i);
    for (uint64_t i = 0; i < rig->built.n_outputs; i++)
        rig->gradients[i] = random_values(&nodes[rig->built.outputs[i]], 2 + i);
}

static void rig_close(struct rig *rig)
{
    ctkd__training_destroy(rig->training);
    ctkd__weights_destroy(rig->weights);
    ctkd__graph_destroy(rig->built.graph);
    ctkd__engine_close(&rig->engine);
    for (int i = 0; i < 2; i++) {
        free(rig->values[i]);
        free(rig->gradients[i]);
    }
}

static void mark(const struct ctkd__lowering *l, int buffer, bool is_read, bool *read, bool *value)
{
    if (buffer == CTKD__NO_BUFFER)
        return;
    read[buffer] |= is_read;
    value[buffer] = true;
    assert_true((size_t)buffer < l->plan.count);
}

/* NaN in place of every value that no instruction says its backward pass reads. */
static void spoil_what_is_not_read(const struct ctkd__lowering *l)
{
    bool *const read = calloc(2 * l->plan.count + 1, sizeof *read), *const value =
                                                                        read + l->plan.count;
    char *const copy = malloc(l->plan.bytes + 1);
    assert_true(read && copy);
    memcpy(copy, l->arenas[0], l->plan.bytes);
    for (int i = 0; i < l->program.count; i++) {
        const struct ctkd__lowered *const op = &l->ops[i];
        const unsigned reads = op->has_backward ? ctkd__backward_reads(op) : CTKD__READS_NOTHING;
        mark(l, op->x, reads & CTKD__READS_X, read, value);
        mark(l, op->residual, reads & CTKD__READS_RESIDUAL, read, value);
        mark(l, op->y, reads & CTKD__READS_Y, read, value);
        mark(l, op->index, true, read, value);
    }
    for (size_t b = 0; b < l->plan.count; b++) /* all ones is a NaN */
        if (value[b] && !read[b])
            memset(l->arenas[0] + l->plan.buffers[b].offset, 0xff, l->plan.buffers[b].bytes);
    for (size_t b = 0; b < l->plan.count; b++)
        if (read[b])
            memcpy(l->arenas[0] + l->plan.buffers[b].offset, copy + l->plan.buffers[b].offset,
                   l->plan.buffers[b].bytes);
    free(copy);
    free(read);
}

/* All gradients, one after the other; the caller frees them. */
static float *gradients(struct rig *rig, bool spoilt, size_t *n)
{
    ctkd_error err = { 0 };
    struct ctkd__training *const t = rig->training;
    const struct ctkd__graph *const graph = rig->built.graph;
    for (int i = 0; i < 2; i++)
        if (graph->nodes[rig->built.sources[i]].op == CTKD__OP_SIDE_INPUT)
            ctkd__training_input(t, rig->built.sources[i], rig->values[i]);
    check_ok(ctkd__training_forward(t, N, rig->values[0], NULL, &err), &err);
    if (spoilt)
        spoil_what_is_not_read(&t->lowering);
    for (size_t i = 0; i < rig->built.n_outputs; i++)
        ctkd__training_output_gradient(t, i, rig->gradients[i]);
    check_ok(ctkd__training_backward(t, NULL, &err), &err);
    size_t total = rig->weights->n_values;
    for (int i = 0; i < 2; i++) {
        const struct ctkd__node *const node = &graph->nodes[rig->built.sources[i]];
        total += N * node->c * node->h * node->w;
    }
    float *const all = calloc(total + 1, sizeof *all);
    assert_non_null(all);
    *n = rig->weights->n_values;
    memcpy(all, ctkd__training_gradient(t, 0), *n * sizeof *all);
    for (int i = 0; i < 2; i++) {
        const struct ctkd__node *const node = &graph->nodes[rig->built.sources[i]];
        const float *const d = ctkd__training_input_gradient(t, rig->built.sources[i]);
        const size_t count = d ? N * node->c * node->h * node->w : 0;
        for (size_t j = 0; j < count; j++)
            all[*n + j] = d[j];
        *n += count;
    }
    return all;
}

static void the_backward_pass_reads_only_what_its_row_says(void **state)
{
    (void)state;
    size_t compared = 0;
    for (const struct ctkd__op_case *tested = ctkd__selftest_cases(); tested->name; tested++) {
        struct rig rig;
        size_t n, n_spoilt;
        rig_open(&rig, tested);
        float *const expected = gradients(&rig, false, &n);
        float *const found = gradients(&rig, true, &n_spoilt);
        assert_int_equal(n, n_spoilt);
        for (size_t i = 0; i < n; i++)
            if (memcmp(&found[i], &expected[i], sizeof *found) != 0)
                fail_msg(
                    "%s: gradient %zu is %g, expected %g: its backward pass reads a value that "
                    "it does not say",
                    tested->name, i, (double)found[i], (double)expected[i]);
        compared += n;
        free(expected);
        free(found);
        rig_close(&rig);
    }
    assert_true(compared > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_instruction_says_what_programs_must_know),
        cmocka_unit_test(every_op_has_a_name_of_its_own_and_an_instruction),
        cmocka_unit_test(the_backward_pass_reads_only_what_its_row_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
