#include "support/check.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "nn/models/models.h"
#include "support/scratch.h"
#include "support/tiny.h"

enum { TRAIN = 70, TEST = 20 };

/* How a program of the teacher behaves: true, or with other bits where a worker has one number of
   images. */
static size_t lies_from;

ctkd_status __real_ctkd__inference_run_here(struct ctkd__inference *inference, size_t n,
                                            struct ctkd__batch_images x, float *logits,
                                            ctkd_error *err);
ctkd_status __wrap_ctkd__inference_run_here(struct ctkd__inference *inference, size_t n,
                                            struct ctkd__batch_images x, float *logits,
                                            ctkd_error *err);
ctkd_status __wrap_ctkd__inference_run_here(struct ctkd__inference *inference, size_t n,
                                            struct ctkd__batch_images x, float *logits,
                                            ctkd_error *err)
{
    const ctkd_status status = __real_ctkd__inference_run_here(inference, n, x, logits, err);
    if (lies_from && n >= lies_from)
        logits[0] = nextafterf(logits[0], 1e9f);
    return status;
}

/* Its path would be overwritten by those of other files. */
static const char *data_folder(void)
{
    static char folder[256];
    if (!folder[0]) {
        snprintf(folder, sizeof folder, "%s", scratch_path("data"));
        assert_int_equal(mkdir(folder, 0777), 0);
        tiny_data_write(folder, TRAIN, TEST);
        struct ctkd__network_info info = tiny_network_info();
        tiny_network_write(scratch_path("teacher.safetensors"), 4, &info);
    }
    return folder;
}

/* A session with a store in the folder `name`; config is destroyed by the caller. */
static struct ctkd__session *open_session(const char *settings, struct ctkd__config **config)
{
    char all[1024];
    data_folder();
    snprintf(all, sizeof all, "teacher.path=%s %s", scratch_path("teacher.safetensors"), settings);
    *config = tiny_config(data_folder(), all);
    return tiny_session(*config, true);
}

static void open_store(struct ctkd__session *session, char note[CTKD__STORE_NOTE])
{
    ctkd_error err = { 0 };
    check_ok(ctkd__session_open_store(session, note, &err), &err);
}

/* A network's logits of an image have the same bits whatever is computed with it, in every size of
   a chunk, on every instruction set. That is what a store takes for granted; it is checked again
   for each teacher. */
static void check_model(const char *name, size_t side, const struct ctkd__engine *engine)
{
    enum { N = 16, K = 7 };
    const struct ctkd__model_args sizes = { 3, side, side, K };
    struct ctkd__graph *graph;
    struct ctkd__weights *weights;
    struct ctkd__inference *inference;
    ctkd_error err = { 0 };
    const size_t image = 3 * side * side;
    float *const x = malloc(2 * N * image * sizeof *x);
    float alone[N * K], beside[2 * N * K];
    for (size_t i = 0; i < N * image; i++)
        x[i] = x[N * image + i] = (float)((i * 2654435761u >> 8) % 4096) / 1024 - 2;
    check_ok(ctkd__model_build(name, &sizes, &graph, &err), &err);
    check_ok(ctkd__weights_create(graph, engine->kernels->block, &weights, &err), &err);
    ctkd__weights_initialise(weights, 5);
    const struct ctkd__inference_config config = ctkd__engine_inference(engine, "teacher");
    check_ok(ctkd__inference_create(graph, &config, &inference, &err), &err);
    check_ok(ctkd__inference_load(inference, weights, &err), &err);
    for (size_t i = 0; i < N; i++)
        check_ok(ctkd__inference_run(inference, 1, x + i * image, alone + i * K, &err), &err);
    for (size_t n = 2; n <= N; n += n < 4 || n == 15 ? 1 : 3) {
        const size_t first = n * 5 % N; /* in another place each time */
        check_ok(ctkd__inference_run(inference, n, x + first * image, beside, &err), &err);
        for (size_t i = 0; i < n; i++)
            if (memcmp(beside + i * K, alone + (first + i) % N * K, K * sizeof *alone) != 0)
                fail_msg("%s, %s kernels: image %zu of %zu has other bits than alone", name,
                         engine->kernels->name, i, n);
    }
    ctkd__inference_destroy(inference);
    ctkd__weights_destroy(weights);
    ctkd__graph_destroy(graph);
    free(x);
}

static void logits_of_an_image_do_not_depend_on_the_images_beside_it(void **state)
{
    (void)state;
    for (size_t isa = 0; ctkd__kernels_list()[isa]; isa++)
        for (size_t f = 0; ctkd__model_families()[f]; f++) {
            const struct ctkd__model_family *const family = ctkd__model_families()[f];
            const size_t side = family->side_min > 16 ? family->side_min : 16;
            const struct ctkd__engine_config asked = { .isa = ctkd__kernels_list()[isa]->name,
                                                       .threads = 1 };
            struct ctkd__engine engine;
            ctkd_error err = { 0 };
            /* Images of ImageNet's size run the same kernels at length; the portable ones are
               slow. */
            if (side > 32 || (f > 0 && strcmp(asked.isa, "portable") == 0))
                continue;
            check_ok(ctkd__engine_open(&asked, &engine, &err), &err);
            check_model(family->models->name, side, &engine);
            ctkd__engine_close(&engine);
        }
}

/* Every network that `ctkd models` lists, with its published images, and the kernels that a run
   here would choose: for the hand, `test_teacher_store networks`. */
static void all_networks_answer_alone_as_in_company(void **state)
{
    (void)state;
    const struct ctkd__engine_config asked = { .isa = "auto", .threads = 1 };
    struct ctkd__engine engine;
    ctkd_error err = { 0 };
    check_ok(ctkd__engine_open(&asked, &engine, &err), &err);
    for (size_t f = 0; ctkd__model_families()[f]; f++) {
        const struct ctkd__model_family *const family = ctkd__model_families()[f];
        for (size_t m = 0; family->models[m].name; m++) {
            check_model(family->models[m].name, ctkd__model_published(family).height, &engine);
            printf("%s: the same bits in company (%s)\n", family->models[m].name,
                   engine.kernels->name);
            fflush(stdout);
        }
    }
    ctkd__engine_close(&engine);
}

static bool next_batch(struct ctkd__session *session, struct ctkd__batch *batch)
{
    ctkd_error err = { 0 };
    check_ok(ctkd__loader_next(session->data.train, batch, &err), &err);
    return batch->n > 0;
}

/* Every batch of an epoch, asked of the store and of the teacher. */
static struct ctkd__teacher_store_counts ask_epoch(struct ctkd__session *session, uint64_t epoch)
{
    struct ctkd__teacher_store_counts counts = { 0 };
    struct ctkd__batch batch;
    float expected[16 * TINY_CLASSES], found[16 * TINY_CLASSES];
    ctkd_error err = { 0 };
    ctkd__loader_start(session->data.train, epoch, 0);
    while (next_batch(session, &batch)) {
        const size_t bytes = batch.n * TINY_CLASSES * sizeof *found;
        check_ok(ctkd__teacher_forward(session->teacher, batch.n, batch.x, expected, &err), &err);
        memset(found, 0xff, sizeof found);
        check_ok(ctkd__teacher_store_forward(session->store, &batch, found, &counts, &err), &err);
        assert_memory_equal(found, expected, bytes);
    }
    return counts;
}

static void what_is_there_and_what_is_missing_have_the_same_bits(void **state)
{
    (void)state;
    char settings[512], note[CTKD__STORE_NOTE];
    struct ctkd__config *config;
    snprintf(settings, sizeof settings, "teacher.store=%s teacher.mean=0.2 train.batch=16",
             scratch_path("same"));
    struct ctkd__session *session = open_session(settings, &config);
    open_store(session, note);
    assert_non_null(session->store);
    struct ctkd__teacher_store_counts counts = ask_epoch(session, 1);
    assert_true(counts.hits == 0 && counts.misses == TRAIN && counts.damaged == 0);
    counts = ask_epoch(session, 1);
    assert_true(counts.hits == TRAIN && counts.misses == 0);
    /* Of epoch 2 every third view is made known first, so that batches have both. */
    float logits[TINY_CLASSES];
    struct ctkd__batch batch;
    ctkd_error err = { 0 };
    ctkd__loader_start(session->data.train, 2, 0);
    while (next_batch(session, &batch))
        for (size_t i = 0; i < batch.n; i += 3) {
            const uint64_t row = batch.ids[i] * session->store->views + batch.views[i];
            const struct ctkd__batch_images x =
                ctkd__batch_images_from(batch.x, i * session->store->image);
            check_ok(ctkd__teacher_forward(session->teacher, 1, x, logits, &err), &err);
            check_ok(ctkd__logit_file_put(session->store->file, row, logits, &err), &err);
        }
    counts = ask_epoch(session, 2);
    assert_true(counts.hits >= TRAIN / 3 && counts.misses > TRAIN / 2);
    assert_int_equal(counts.hits + counts.misses, TRAIN);
    ctkd__session_close(session);
    ctkd__config_destroy(config);
}

static void a_numbered_view_is_the_one_that_was_drawn(void **state)
{
    (void)state;
    struct ctkd__config *config;
    struct ctkd__session *session = open_session("", &config);
    const struct ctkd__loader *const loader = session->data.train;
    const size_t image = TINY_SIDE * TINY_SIDE;
    float view[TINY_SIDE * TINY_SIDE];
    struct ctkd__batch batch;
    assert_int_equal(ctkd__loader_views(loader), 162);
    for (uint64_t epoch = 1; epoch <= 6; epoch++) {
        ctkd__loader_start(session->data.train, epoch, 0);
        while (next_batch(session, &batch))
            for (size_t i = 0; i < batch.n; i++) {
                assert_true(batch.views[i] < 162);
                ctkd__loader_make_view(loader, (uint32_t)batch.ids[i], batch.views[i], view);
                assert_memory_equal(view, batch.x.values + i * image, sizeof view);
            }
    }
    ctkd__session_close(session);
    ctkd__config_destroy(config);
}

/* Rotated views have no numbers: a row is that of an epoch and an image, and another angle another
   file. */
static void rotated_views_are_those_of_their_epoch(void **state)
{
    (void)state;
    char settings[512], note[CTKD__STORE_NOTE], path[sizeof((struct ctkd__teacher_store *)0)->path];
    struct ctkd__config *config;
    snprintf(settings, sizeof settings,
             "teacher.store=%s data.rotation=20 train.batch=16 train.epochs=3",
             scratch_path("rotated"));
    struct ctkd__session *session = open_session(settings, &config);
    open_store(session, note);
    assert_non_null(session->store);
    assert_int_equal(session->store->views, 3);
    for (uint64_t epoch = 1; epoch <= 3; epoch++) {
        struct ctkd__teacher_store_counts counts = ask_epoch(session, epoch);
        assert_true(counts.hits == 0 && counts.misses == TRAIN && counts.damaged == 0);
        counts = ask_epoch(session, epoch);
        assert_true(counts.hits == TRAIN && counts.misses == 0);
    }
    snprintf(path, sizeof path, "%s", session->store->path);
    ctkd__session_close(session);
    ctkd__config_destroy(config);
    static const char *const others[] = { "data.rotation=10", "data.augment=flip", "train.seed=9" };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        char other[640];
        snprintf(other, sizeof other, "%s %s", settings, others[i]);
        session = open_session(other, &config);
        open_store(session, note);
        assert_string_not_equal(session->store->path, path);
        ctkd__session_close(session);
        ctkd__config_destroy(config);
    }
}

/* Another process that has claimed a row of a batch, and what it does with it. */
struct other {
    struct ctkd__logit_file *file;
    uint64_t row;
    const float *logits; /* NULL: it dies */
};

static void *end_claim(void *argument)
{
    struct other *const other = argument;
    const struct timespec moment = { .tv_nsec = 30000000 };
    nanosleep(&moment, NULL);
    if (other->logits)
        assert_int_equal(ctkd__logit_file_put(other->file, other->row, other->logits, NULL), 0);
    ctkd__logit_file_close(other->file);
    return NULL;
}

/* The first batch of an epoch while another has claimed its row 5. */
static struct ctkd__teacher_store_counts ask_beside(struct ctkd__session *session, uint64_t epoch,
                                                    bool ends, bool answers)
{
    struct ctkd__teacher_store_counts counts = { 0 };
    struct ctkd__batch batch;
    float expected[16 * TINY_CLASSES], found[16 * TINY_CLASSES];
    ctkd_error err = { 0 };
    struct other other;
    pthread_t thread;
    ctkd__loader_start(session->data.train, epoch, 0);
    assert_true(next_batch(session, &batch));
    check_ok(ctkd__teacher_forward(session->teacher, batch.n, batch.x, expected, &err), &err);
    check_ok(ctkd__logit_file_open(session->store->path, &other.file, &err), &err);
    other.row = batch.ids[5] * session->store->views + batch.views[5];
    other.logits = answers ? expected + 5 * TINY_CLASSES : NULL;
    assert_true(ctkd__logit_file_claim(other.file, other.row));
    if (ends)
        assert_int_equal(pthread_create(&thread, NULL, end_claim, &other), 0);
    check_ok(ctkd__teacher_store_forward(session->store, &batch, found, &counts, &err), &err);
    if (ends)
        pthread_join(thread, NULL);
    else
        ctkd__logit_file_close(other.file);
    assert_memory_equal(found, expected, batch.n * TINY_CLASSES * sizeof *found);
    assert_int_equal(counts.hits + counts.misses, 16);
    return counts;
}

static void what_another_computes_is_waited_for_but_not_for_ever(void **state)
{
    (void)state;
    char settings[512], note[CTKD__STORE_NOTE];
    struct ctkd__config *config;
    struct ctkd__teacher_store_counts counts;
    snprintf(settings, sizeof settings, "teacher.store=%s train.batch=16", scratch_path("others"));
    struct ctkd__session *session = open_session(settings, &config);
    open_store(session, note);
    session->store->share = 4; /* several rounds of a batch */
    session->store->wait_ns = UINT64_MAX;
    counts = ask_beside(session, 1, true, true);
    assert_true(counts.hits == 1 && counts.misses == 15);
    counts = ask_beside(session, 2, true, false); /* it dies: nobody has the answer */
    assert_true(counts.hits <= 1 && session->store->in_vain == 0);
    /* One that stands still is waited for a few times. */
    session->store->wait_ns = 20000000;
    for (uint64_t epoch = 3; epoch < 3 + CTKD__STORE_VAIN; epoch++) {
        assert_int_equal(session->store->in_vain, epoch - 3);
        counts = ask_beside(session, epoch, false, false);
        assert_true(counts.misses > 8 && counts.damaged == 0);
    }
    session->store->wait_ns = UINT64_MAX; /* it would hang */
    counts = ask_beside(session, 8, false, false);
    assert_true(counts.misses > 8);
    /* What was computed is there, whoever had claimed it. */
    for (uint64_t epoch = 1; epoch <= 5; epoch++)
        assert_int_equal(ask_epoch(session, epoch).hits >= 16, 1);
    ctkd__session_close(session);
    ctkd__config_destroy(config);
}

static bool stop_never(void *context, uint64_t rows, uint64_t all)
{
    *(uint64_t *)context = rows;
    return rows <= all;
}

static void filling_passes_over_claims_and_comes_back(void **state)
{
    (void)state;
    char settings[512], note[CTKD__STORE_NOTE];
    struct ctkd__config *config;
    struct ctkd__teacher_store_counts counts = { 0 };
    struct ctkd__logit_file *other;
    ctkd_error err = { 0 };
    uint64_t rows = 0;
    snprintf(settings, sizeof settings, "teacher.store=%s data.limit=10", scratch_path("filled"));
    struct ctkd__session *session = open_session(settings, &config);
    open_store(session, note);
    check_ok(ctkd__logit_file_open(session->store->path, &other, &err), &err);
    const uint64_t first = ctkd__loader_chosen(session->data.train)[0] * session->store->views;
    for (uint64_t row = first; row < first + 30; row++)
        assert_true(ctkd__logit_file_claim(other, row));
    check_ok(ctkd__teacher_store_fill(session->store, stop_never, &rows, &counts, &err), &err);
    assert_true(counts.misses == 1620 && counts.hits == 0 && rows == 1620);
    ctkd__logit_file_close(other);
    ctkd__session_close(session);
    ctkd__config_destroy(config);
}

static void a_teacher_whose_answers_depend_on_company_has_no_store(void **state)
{
    (void)state;
    char settings[512], note[CTKD__STORE_NOTE];
    struct ctkd__config *config;
    snprintf(settings, sizeof settings, "teacher.store=%s", scratch_path("company"));
    struct ctkd__session *session = open_session(settings, &config);
    lies_from = 6; /* two workers with three images each */
    open_store(session, note);
    lies_from = 0;
    assert_null(session->store);
    assert_string_equal(note, "not used: with these kernels this teacher answers with other bits "
                              "when it computes 3 images at once");
    ctkd__session_close(session);
    ctkd__config_destroy(config);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest by_hand[] = { cmocka_unit_test(
        all_networks_answer_alone_as_in_company) };
    if (argc > 1 && strcmp(argv[1], "networks") == 0)
        return cmocka_run_group_tests(by_hand, NULL, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_of_an_image_do_not_depend_on_the_images_beside_it),
        cmocka_unit_test(what_is_there_and_what_is_missing_have_the_same_bits),
        cmocka_unit_test(a_numbered_view_is_the_one_that_was_drawn),
        cmocka_unit_test(rotated_views_are_those_of_their_epoch),
        cmocka_unit_test(what_another_computes_is_waited_for_but_not_for_ever),
        cmocka_unit_test(filling_passes_over_claims_and_comes_back),
        cmocka_unit_test(a_teacher_whose_answers_depend_on_company_has_no_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
