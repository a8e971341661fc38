#include "support/check.h"

#include <omp.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nn/engine.h"
#include "nn/models/models.h"
#include "support/caller.h"
#include "support/temp_files.h"

static struct ctkd__engine open_engine(const struct ctkd__engine_config *config)
{
    struct ctkd__engine engine;
    ctkd_error err = { 0 };
    check_ok(ctkd__engine_open(config, &engine, &err), &err);
    return engine;
}

static void closing_leaves_the_caller_as_it_was(void **state)
{
    (void)state;
    omp_set_num_threads(3);
    const struct caller before = caller_now();
    assert_true(before.denormals);
    struct ctkd__engine engine = open_engine(&(struct ctkd__engine_config){ 0 });
    assert_false(caller_now().denormals);
    assert_int_equal(caller_now().openmp_threads, 1);
    /* however the first has pinned this thread */
    struct ctkd__engine other = open_engine(&(struct ctkd__engine_config){ .profile = true });
    assert_true(CPU_EQUAL(&engine.cpus.allowed, &before.cpus));
    assert_true(CPU_EQUAL(&other.cpus.allowed, &before.cpus));
    ctkd__engine_close(&engine);
    ctkd__engine_close(&other);
    check_caller(&before);
    ctkd__engine_close(&other); /* a closed one */
    check_caller(&before);
}

/* Where opening fails at any setting, nothing of it is left. */
static void a_refused_setting_is_named_as_the_caller_names_it(void **state)
{
    const char *const missing = temp_path(*state, "choices.txt");
    char no_file[1100];
    snprintf(no_file, sizeof no_file, "run.choices: cannot open %s", missing);
    const struct {
        struct ctkd__engine_config config;
        ctkd_status status;
        const char *begin;
    } cases[] = {
        { { .isa = "mmx", .keys = "run." },
          CTKD_ENOTFOUND,
          "run.isa: unknown instruction set 'mmx'; expected auto, avx512, avx2 or portable" },
        { { .conv = "fft", .keys = "run." },
          CTKD_ENOTFOUND,
          "run.conv: unknown implementation 'fft'; expected auto, " },
        { { .threads = 1025, .keys = "run." },
          CTKD_EINVAL,
          "run.threads: found 1025 threads, expected at most 1024" },
        { { .threads = 1025 }, CTKD_EINVAL, "threads: found 1025 threads, " },
        { { .threads = 2, .slices = 3, .keys = "run." },
          CTKD_EINVAL,
          "run.slices: found 3 slices for 2 threads, expected a multiple of them (or another "
          "run.threads)" },
        { { .choices = missing, .profile = true, .keys = "run." }, CTKD_EIO, no_file },
    };
    const struct caller before = caller_now();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ctkd__engine engine;
        ctkd_error err = { 0 };
        assert_int_equal(ctkd__engine_open(&cases[i].config, &engine, &err), cases[i].status);
        if (strncmp(err.message, cases[i].begin, strlen(cases[i].begin)) != 0)
            fail_msg("found \"%s\", expected \"%s...\"", err.message, cases[i].begin);
        assert_true(!engine.workers && !engine.profile && !engine.choices);
        check_caller(&before);
    }
}

static void only_what_is_asked_for_is_open(void **state)
{
    (void)state;
    const struct ctkd__engine_config asked = {
        .isa = "portable", .threads = 2, .measure = true, .profile = true
    };
    struct ctkd__engine plain = open_engine(&(struct ctkd__engine_config){ .threads = 1 });
    assert_null(plain.profile);
    assert_null(plain.choices);
    assert_ptr_equal(plain.kernels, ctkd__kernels_list()[0]);
    struct ctkd__engine full = open_engine(&asked);
    assert_string_equal(full.kernels->name, "portable");
    assert_int_equal(ctkd__workers_count(full.workers), 2);
    assert_true(full.choices->measure);
    assert_non_null(full.profile);
    ctkd__engine_close(&full);
    ctkd__engine_close(&plain);
}

/* A program's rows have the name that its maker gave it. */
static void the_block_of_kernels_is_known_by_their_name(void **state)
{
    (void)state;
    for (const struct ctkd__kernels *const *k = ctkd__kernels_list(); *k; k++)
        assert_int_equal(ctkd__kernels_block((*k)->name), (*k)->block);
    assert_int_equal(ctkd__kernels_block("avx512"), 16); /* on a CPU without them, too */
    assert_int_equal(ctkd__kernels_block("none"), 0);
}

static void profiles_name_programs_as_their_maker_does(void **state)
{
    (void)state;
    const struct ctkd__model_args args = { 1, 8, 8, 3 };
    struct ctkd__engine engine =
        open_engine(&(struct ctkd__engine_config){ .threads = 1, .profile = true });
    const struct ctkd__inference_config looker = ctkd__engine_inference(&engine, "looker");
    const struct ctkd__training_config learner = ctkd__engine_training(&engine, "learner", 2);
    struct ctkd__graph *graph;
    struct ctkd__weights *weights;
    struct ctkd__training *training;
    struct ctkd__inference *inference;
    ctkd_error err = { 0 };
    float x[2 * 64], logits[2 * 3];
    fill_normal(x, 2 * 64, 1);
    check_ok(ctkd__model_build("resnet8", &args, &graph, &err), &err);
    check_ok(ctkd__weights_create(graph, engine.kernels->block, &weights, &err), &err);
    ctkd__weights_initialise(weights, 1);
    check_ok(ctkd__training_create(graph, weights, &learner, &training, &err), &err);
    check_ok(ctkd__inference_create(graph, &looker, &inference, &err), &err);
    check_ok(ctkd__inference_load(inference, weights, &err), &err);
    check_ok(ctkd__training_forward(training, 2, x, logits, &err), &err);
    check_ok(ctkd__inference_run(inference, 2, x, logits, &err), &err);
    char *text = NULL;
    size_t bytes = 0;
    FILE *const out = open_memstream(&text, &bytes);
    assert_non_null(out);
    ctkd__profile_print(engine.profile, 1, out);
    fclose(out);
    assert_non_null(strstr(text, "\nlearner conv1"));
    assert_non_null(strstr(text, "\nlooker conv1"));
    assert_null(strstr(text, "teacher"));
    assert_null(strstr(text, "student"));
    free(text);
    ctkd__inference_destroy(inference);
    ctkd__training_destroy(training);
    ctkd__weights_destroy(weights);
    ctkd__graph_destroy(graph);
    ctkd__engine_close(&engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(closing_leaves_the_caller_as_it_was),
        cmocka_unit_test_setup_teardown(a_refused_setting_is_named_as_the_caller_names_it,
                                        temp_folder_make, temp_folder_remove),
        cmocka_unit_test(only_what_is_asked_for_is_open),
        cmocka_unit_test(the_block_of_kernels_is_known_by_their_name),
        cmocka_unit_test(profiles_name_programs_as_their_maker_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
