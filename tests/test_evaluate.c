#include "support/check.h"

#include "support/temp_files.h"
#include "support/tiny.h"
#include "train/evaluate.h"

static void rank_counts_the_classes_that_come_before_the_label(void **state)
{
    (void)state;
    const float logits[] = { 1, 3, 2, 3, -5, 0, 0.5f };
    const size_t ranks[] = { 3, 0, 2, 1, 6, 5, 4 }; /* of two equal ones the lower index is first */
    for (int32_t label = 0; label < 7; label++)
        assert_int_equal(ctkd__label_rank(7, logits, label), ranks[label]);
}

static void rank_of_a_broken_row_is_last(void **state)
{
    (void)state;
    const float logits[] = { 9, NAN, 0 };
    assert_int_equal(ctkd__label_rank(3, logits, 0), 3);
    assert_int_equal(ctkd__label_rank(3, logits, 1), 3);
}

static struct ctkd__data open_data(const char *folder, size_t n_test, const char *settings)
{
    struct ctkd__data data;
    ctkd_error err = { 0 };
    tiny_data_write(folder, 10, n_test);
    struct ctkd__config *config = tiny_config(folder, settings);
    check_ok(ctkd__data_open(config, 0, NULL, &data, &err), &err);
    ctkd__config_destroy(config);
    return data;
}

/* Images come in the file's order with label i % 10; `context` counts them. The i-th image has its
   label at rank i % 10. */
static ctkd_status forward_by_position(void *context, size_t n, struct ctkd__batch_images x,
                                       float *logits, ctkd_error *err)
{
    (void)x;
    (void)err;
    size_t *seen = context;
    for (size_t i = 0; i < n; i++, (*seen)++) {
        const size_t label = *seen % TINY_CLASSES, rank = *seen % TINY_CLASSES;
        for (size_t j = 0; j < TINY_CLASSES; j++) /* `rank` classes after the label are above it */
            logits[i * TINY_CLASSES + (label + j) % TINY_CLASSES] = j == 0 ? 0 : j <= rank ? 1 : -1;
    }
    return CTKD_OK;
}

static void score_is_over_all_images_and_a_short_last_batch(void **state)
{
    struct ctkd__data data = open_data(*state, 50, ""); /* batches of 16, 16, 16, 2 */
    float logits[16 * TINY_CLASSES];
    size_t seen = 0;
    struct ctkd__scores scores;
    ctkd_error err = { 0 };
    check_ok(ctkd__evaluate(data.test, TINY_CLASSES, forward_by_position, &seen, NULL, logits,
                            &scores, NULL, &err),
             &err);
    double loss = 0;
    for (int rank = 0; rank < 10; rank++)
        loss += log(1 + rank * exp(1) + (9 - rank) * exp(-1)) / 10;
    assert_int_equal(scores.n, 50);
    assert_int_equal(seen, 50);
    check_close(scores.top1, 10, 1e-12, 0);
    check_close(scores.top5, 50, 1e-12, 0);
    check_close(scores.loss, loss, 1e-6, 0);
    ctkd__data_close(&data);
}

static ctkd_status forward_nan(void *context, size_t n, struct ctkd__batch_images x, float *logits,
                               ctkd_error *err)
{
    (void)context;
    (void)x;
    (void)err;
    for (size_t i = 0; i < n * TINY_CLASSES; i++)
        logits[i] = NAN;
    return CTKD_OK;
}

/* The loss of such logits would be finite: only the class of image 17 is. */
static ctkd_status forward_infinity(void *context, size_t n, struct ctkd__batch_images x,
                                    float *logits, ctkd_error *err)
{
    size_t *seen = context;
    (void)x;
    (void)err;
    for (size_t i = 0; i < n; i++, (*seen)++)
        for (size_t j = 0; j < TINY_CLASSES; j++)
            logits[i * TINY_CLASSES + j] = *seen == 17 && j == 3 ? -INFINITY : 1;
    return CTKD_OK;
}

static void an_infinite_logit_is_an_error_that_names_it(void **state)
{
    struct ctkd__data data = open_data(*state, 20, "");
    float logits[16 * TINY_CLASSES];
    size_t seen = 0;
    struct ctkd__scores scores;
    ctkd_error err = { 0 };
    assert_int_equal(ctkd__evaluate(data.test, TINY_CLASSES, forward_infinity, &seen, NULL, logits,
                                    &scores, NULL, &err),
                     CTKD_ENAN);
    assert_string_equal(err.message,
                        "evaluation: logit 3 of image 17 is -inf, expected a finite one");
    ctkd__data_close(&data);
}

static void a_network_whose_logits_are_nan_is_an_error(void **state)
{
    struct ctkd__data data = open_data(*state, 20, "");
    float logits[16 * TINY_CLASSES];
    struct ctkd__scores scores;
    ctkd_error err = { 0 };
    assert_int_equal(ctkd__evaluate(data.test, TINY_CLASSES, forward_nan, NULL, NULL, logits,
                                    &scores, NULL, &err),
                     CTKD_ENAN);
    assert_string_equal(err.message,
                        "evaluation: logit 0 of image 0 is nan, expected a finite one");
    ctkd__data_close(&data);
}

static void data_describe_the_images_as_loaded(void **state)
{
    struct ctkd__data data =
        open_data(*state, 20, "data.channels=3 data.pad_to=24 data.mean=0.25 data.std=0.5");
    assert_string_equal(data.images.dataset, "mnist");
    assert_int_equal(data.images.classes, 10);
    assert_int_equal(data.images.channels, 3);
    assert_int_equal(data.images.height, 24);
    assert_int_equal(data.images.width, 24);
    for (size_t c = 0; c < 3; c++) {
        check_close(data.images.mean[c], 0.25, 0, 0);
        check_close(data.images.std[c], 0.5, 0, 0);
    }
    ctkd__data_close(&data);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, temp_folder_make, temp_folder_remove)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rank_counts_the_classes_that_come_before_the_label),
        cmocka_unit_test(rank_of_a_broken_row_is_last),
        TEST(score_is_over_all_images_and_a_short_last_batch),
        TEST(a_network_whose_logits_are_nan_is_an_error),
        TEST(an_infinite_logit_is_an_error_that_names_it),
        TEST(data_describe_the_images_as_loaded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
