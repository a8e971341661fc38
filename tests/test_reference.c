/* No network runs a library's reference code, whatever instructions oneDNN may use: programs are
   made, not run. oneDNN reads its limit before its first primitive, so that each limit is a process
   of its own: this program again, with the limit's number. */
#include "support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nn/models/models.h"
#include "support/engine_rig.h"

static const struct limit {
    const char *dnnl, *own;
} limits[] = {
    { "ALL", "avx512" }, { "ALL", "avx2" }, { "AVX2", "avx2" }, { "SSE41", "portable" }
};

static const char *program;

static struct ctkd__graph *build(const char *name, size_t channels)
{
    const struct ctkd__model_args args = { channels, 32, 32, 10 };
    struct ctkd__graph *graph;
    ctkd_error err;
    check_ok(ctkd__model_build(name, &args, &graph, &err), &err);
    return graph;
}

/* Networks of more parameters have only more of the layers that others of their family have; their
   memory alone would take as long as all others. */
static const size_t large = 30000000;

static bool is_large(const char *name)
{
    struct ctkd__graph *const graph = build(name, 3);
    const bool answer = ctkd__graph_trainable(graph) > large;
    ctkd__graph_destroy(graph);
    return answer;
}

/* References of the training program with that choice of convolutions, in batches of 5 and 2. */
static size_t training_references(const struct ctkd__engine *engine, const char *name,
                                  size_t channels, const char *conv,
                                  char first[CTKD__REFERENCE_BYTES])
{
    struct ctkd__graph *const graph = build(name, channels);
    struct ctkd__weights *weights;
    struct ctkd__training *training;
    ctkd_error err;
    check_ok(ctkd__weights_create(graph, engine->kernels->block, &weights, &err), &err);
    struct ctkd__training_config config = ctkd__engine_training(engine, name, 5);
    config.conv = conv;
    check_ok(ctkd__training_create(graph, weights, &config, &training, &err), &err);
    check_ok(ctkd__training_prepare(training, 2, &err), &err);
    const size_t count = ctkd__training_references(training, first);
    ctkd__training_destroy(training);
    ctkd__weights_destroy(weights);
    ctkd__graph_destroy(graph);
    return count;
}

/* The same of the inference program, in chunks of 4 and 1. */
static size_t inference_references(const struct ctkd__engine *engine, const char *name,
                                   size_t channels, const char *conv,
                                   char first[CTKD__REFERENCE_BYTES])
{
    struct ctkd__graph *const graph = build(name, channels);
    struct ctkd__inference *inference;
    ctkd_error err;
    struct ctkd__inference_config config = ctkd__engine_inference(engine, name);
    config.chunk = 4;
    config.conv = conv;
    check_ok(ctkd__inference_create(graph, &config, &inference, &err), &err);
    check_ok(ctkd__inference_prepare(inference, 4, &err), &err);
    check_ok(ctkd__inference_prepare(inference, 1, &err), &err);
    const size_t count = ctkd__inference_references(inference, first);
    ctkd__inference_destroy(inference);
    ctkd__graph_destroy(graph);
    return count;
}

static void every_network_runs_optimised_code(void **state)
{
    (void)state;
    struct ctkd__engine engine = engine_with(NULL, 1);
    char first[CTKD__REFERENCE_BYTES];
    for (size_t i = 0; ctkd__model_families()[i]; i++)
        for (const struct ctkd__model *m = ctkd__model_families()[i]->models; m->name; m++)
            for (size_t channels = 1; channels <= 3 && !is_large(m->name); channels += 2) {
                size_t count = training_references(&engine, m->name, channels, "auto", first);
                if (count)
                    fail_msg("%s, %zu channels: %zu references in training: %s", m->name, channels,
                             count, first);
                count = inference_references(&engine, m->name, channels, "auto", first);
                if (count)
                    fail_msg("%s, %zu channels: %zu references in inference: %s", m->name, channels,
                             count, first);
            }
    ctkd__engine_close(&engine);
}

/* Such code is found where it runs: oneDNN has nothing else for gradients below AVX2. */
static void reference_code_that_was_asked_for_is_counted(void **state)
{
    const struct limit *const limit = *state;
    struct ctkd__engine engine = engine_with(NULL, 1);
    char first[CTKD__REFERENCE_BYTES];
    const size_t count = training_references(&engine, "resnet8", 1, "dnnl", first);
    if (strcmp(limit->dnnl, "SSE41") == 0) {
        assert_true(count >= 9);
        assert_memory_equal(first, "conv1, conv ", 12);
    }
    ctkd__engine_close(&engine);
}

static void no_network_runs_reference_code(void **state)
{
    const struct limit *const limit = *state;
    char number[8];
    snprintf(number, sizeof number, "%zu", (size_t)(limit - limits));
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        setenv("ONEDNN_MAX_CPU_ISA", limit->dnnl, 1);
        setenv("CTKD_MAX_ISA", limit->own, 1);
        execl(program, program, number, (char *)NULL);
        _exit(127);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("oneDNN %s, own kernels %s: failed, see above", limit->dnnl, limit->own);
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc > 1) {
        void *const limit = (void *)(uintptr_t)&limits[strtoul(argv[1], NULL, 10) %
                                                       (sizeof limits / sizeof *limits)];
        const struct CMUnitTest tests[] = {
            cmocka_unit_test_prestate(every_network_runs_optimised_code, limit),
            cmocka_unit_test_prestate(reference_code_that_was_asked_for_is_counted, limit),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
    }
    struct CMUnitTest tests[sizeof limits / sizeof *limits];
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        tests[i] = (struct CMUnitTest)cmocka_unit_test_prestate(no_network_runs_reference_code,
                                                                (void *)(uintptr_t)&limits[i]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
