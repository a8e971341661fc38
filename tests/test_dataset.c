#include "data/dataset.h"

#include <stdio.h>

#include "support/check.h"
#include "support/temp_files.h"

static void check_refused(const char *spec, ctkd_status status, const char *text)
{
    struct ctkd__dataset *dataset;
    ctkd_error err = { 0 };
    assert_int_equal(ctkd__dataset_open(spec, NULL, &dataset, &err), status);
    assert_null(dataset);
    assert_int_equal(err.status, status);
    if (!strstr(err.message, text))
        fail_msg("'%s' lacks '%s'", err.message, text);
}

static void every_entry_is_complete_and_found_by_its_name(void **state)
{
    (void)state;
    size_t count = 0;
    for (const struct ctkd__dataset_def *const *def = ctkd__dataset_list(); *def; def++, count++) {
        assert_ptr_equal(ctkd__dataset_find((*def)->name), *def);
        assert_non_null((*def)->title);
        assert_non_null((*def)->source);
        assert_non_null((*def)->files);
        assert_non_null((*def)->load);
        assert_in_range((*def)->in_files ? 2 : (*def)->classes, 2, 100000);
        assert_in_range((*def)->channels, 1, CTKD__CHANNELS_MAX);
        for (size_t c = 0; c < (*def)->channels; c++) {
            assert_true((*def)->mean[c] > 0.0f && (*def)->mean[c] < 1.0f);
            assert_true((*def)->std[c] > 0.0f && (*def)->std[c] < 1.0f);
        }
    }
    assert_true(count >= 4);
    assert_null(ctkd__dataset_find("cifar"));
}

static void an_unknown_name_offers_the_nearest(void **state)
{
    (void)state;
    check_refused("fashon-mnist:somewhere", CTKD_ENOTFOUND,
                  "data.set: unknown data set 'fashon-mnist', did you mean 'fashion-mnist'?");
    check_refused("", CTKD_ENOTFOUND, "data.set: unknown data set ''; expected NAME");
    check_refused(":folder", CTKD_ENOTFOUND, "data.set: unknown data set ''; expected NAME");
    check_refused("imagewoof", CTKD_ENOTFOUND,
                  "unknown data set 'imagewoof'; expected NAME or NAME:PATH");
    check_refused("/home/me/mnist", CTKD_ENOTFOUND, "'/home/me/mnist' is a path without a name");
    check_refused("./mnist", CTKD_ENOTFOUND, "'./mnist' is a path without a name");
}

static void a_name_without_a_path_says_what_to_give(void **state)
{
    (void)state;
    check_refused("cifar100", CTKD_EINVAL, "expected cifar100:PATH");
    check_refused("mnist:", CTKD_EINVAL, "expected mnist:PATH");
}

static char message[sizeof((ctkd_error *)0)->message];

static ctkd_status open_classes(const char *spec, enum ctkd__labels labels, size_t classes)
{
    const struct ctkd__dataset_options options = { .labels = labels, .classes = classes };
    struct ctkd__dataset *dataset;
    ctkd_error err = { 0 };
    const ctkd_status status = ctkd__dataset_open(spec, &options, &dataset, &err);
    assert_null(dataset);
    memcpy(message, err.message, sizeof message);
    return status;
}

static void only_sets_of_ones_own_have_other_classes(void **state)
{
    (void)state;
    assert_int_equal(open_classes("cifar10:x", CTKD__LABELS_FINE, 2), CTKD_EINVAL);
    assert_string_equal(message, "data.classes: found 2, but data set cifar10 has 10 classes; "
                                 "expected that number or 0");
    assert_int_equal(open_classes("cifar100:x", CTKD__LABELS_COARSE, 100), CTKD_EINVAL);
    assert_int_equal(open_classes("cifar100:x", CTKD__LABELS_COARSE, 20), CTKD_EIO);
    assert_int_equal(open_classes("mnist:x", CTKD__LABELS_FINE, 257), CTKD_ERANGE);
    assert_int_equal(open_classes("mnist:x", CTKD__LABELS_FINE, 2), CTKD_EIO);
}

static void every_set_refuses_a_path_that_is_absent_empty_or_foreign(void **state)
{
    temp_folder_add(*state, "empty");
    temp_write(*state, "foreign", "neither an archive nor images", 29);
    const char *const paths[] = { temp_path(*state, "absent"), temp_path(*state, "empty"),
                                  temp_path(*state, "foreign") };
    const ctkd_status statuses[] = { CTKD_EIO, CTKD_ENOTFOUND, CTKD_EFORMAT };
    for (const struct ctkd__dataset_def *const *def = ctkd__dataset_list(); *def; def++)
        for (size_t i = 0; i < 3; i++) {
            char spec[1200];
            snprintf(spec, sizeof spec, "%s:%s", (*def)->name, paths[i]);
            check_refused(spec, statuses[i], paths[i]);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_entry_is_complete_and_found_by_its_name),
        cmocka_unit_test(an_unknown_name_offers_the_nearest),
        cmocka_unit_test(a_name_without_a_path_says_what_to_give),
        cmocka_unit_test(only_sets_of_ones_own_have_other_classes),
        cmocka_unit_test_setup_teardown(every_set_refuses_a_path_that_is_absent_empty_or_foreign,
                                        temp_folder_make, temp_folder_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
