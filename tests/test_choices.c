#include "support/check.h"

#include <stdlib.h>
#include <unistd.h>

#include "nn/conv/choices.h"

static struct ctkd__conv_request request_of(const struct ctkd__kernels *kernels, size_t kernel)
{
    return (
        struct ctkd__conv_request){ .shape = { 16, 8, 8, 16, 8, 8, kernel, 1, kernel / 2, false },
                                    .direction = CTKD__CONV_FORWARD,
                                    .kernels = kernels,
                                    .workers = 1,
                                    .images = 2 };
}

static const struct ctkd__kernels *best_kernels(void)
{
    const struct ctkd__kernels *kernels;
    ctkd_error err;
    check_ok(ctkd__kernels_select("auto", &kernels, &err), &err);
    return kernels;
}

static void a_layer_is_measured_once_and_read_back_the_same(void **state)
{
    (void)state;
    char path[] = P_tmpdir "/ctkd-choices-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *const file = fdopen(fd, "w");
    assert_non_null(file);
    struct ctkd__choices measured = { .measure = true }, read = { 0 };
    const struct ctkd__choice *first, *again, *other, *found;
    ctkd_error err;
    const struct ctkd__conv_request three = request_of(best_kernels(), 3);
    const struct ctkd__conv_request five = request_of(best_kernels(), 5);
    check_ok(ctkd__choices_find(&measured, &three, &first, &err), &err);
    assert_non_null(first);
    assert_int_equal(measured.count, 1);
    check_ok(ctkd__choices_find(&measured, &three, &again, &err), &err);
    assert_int_equal(measured.count, 1);
    check_ok(ctkd__choices_find(&measured, &five, &other, &err), &err);
    /* Nobody else has 5 x 5. */
    assert_true(strcmp(other->impl, "dnnl") == 0 || strcmp(other->impl, "im2col") == 0);
    ctkd__choices_write(&measured, file);
    assert_int_equal(fclose(file), 0);
    check_ok(ctkd__choices_read(path, &read, &err), &err);
    assert_int_equal(read.count, 2);
    check_ok(ctkd__choices_find(&read, &three, &found, &err), &err);
    assert_non_null(found);
    assert_string_equal(found->impl, measured.items[0].impl);
    assert_int_equal(found->tile_block, measured.items[0].tile_block);
    ctkd__choices_fini(&measured);
    ctkd__choices_fini(&read);
    unlink(path);
}

static void an_unrecorded_layer_has_no_choice_unless_measuring(void **state)
{
    (void)state;
    struct ctkd__choices none = { 0 };
    const struct ctkd__choice *found;
    ctkd_error err;
    const struct ctkd__conv_request request = request_of(best_kernels(), 3);
    check_ok(ctkd__choices_find(&none, &request, &found, &err), &err);
    assert_null(found);
}

static void a_recorded_choice_decides_who_convolves(void **state)
{
    (void)state;
    struct ctkd__conv_request request = request_of(best_kernels(), 3);
    struct ctkd__choice choice = { .impl = "dnnl" };
    struct ctkd__choices choices = { &choice, 1, false };
    struct ctkd__conv *conv;
    ctkd_error err;
    ctkd__choices_key(&request, choice.key, sizeof choice.key);
    check_ok(ctkd__conv_create("auto", &request, &conv, &err), &err);
    assert_string_equal(ctkd__conv_base(conv)->impl->name, "winograd");
    ctkd__conv_destroy(conv);
    request.choices = &choices;
    check_ok(ctkd__conv_create("auto", &request, &conv, &err), &err);
    assert_string_equal(ctkd__conv_base(conv)->impl->name, "dnnl");
    ctkd__conv_destroy(conv);
    check_ok(ctkd__conv_create("winograd", &request, &conv, &err), &err); /* a forced one stays */
    assert_string_equal(ctkd__conv_base(conv)->impl->name, "winograd");
    ctkd__conv_destroy(conv);
}

static void damaged_files_and_unknown_names_are_refused_in_one_line(void **state)
{
    (void)state;
    static const char *const lines[] = { "winograd\n", "winograd x layer\n", "fft 0 a layer\n",
                                         "\n" };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char path[] = P_tmpdir "/ctkd-choices-XXXXXX";
        const int fd = mkstemp(path);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, lines[i], strlen(lines[i])), strlen(lines[i]));
        close(fd);
        struct ctkd__choices choices = { 0 };
        ctkd_error err;
        assert_int_equal(ctkd__choices_read(path, &choices, &err), CTKD_EFORMAT);
        assert_non_null(strstr(err.message, ":1: "));
        assert_null(strchr(err.message, '\n'));
        unlink(path);
    }
    struct ctkd__choices choices = { 0 };
    struct ctkd__conv *conv;
    ctkd_error err;
    assert_int_equal(ctkd__choices_read("/nonexistent/choices.txt", &choices, &err), CTKD_EIO);
    const struct ctkd__conv_request request = request_of(best_kernels(), 3);
    assert_int_equal(ctkd__conv_create("fft", &request, &conv, &err), CTKD_ENOTFOUND);
    assert_string_equal(err.message, "unknown implementation 'fft'; expected auto, winograd, "
                                     "depthwise, gemm, expanded, im2col or "
                                     "dnnl");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_layer_is_measured_once_and_read_back_the_same),
        cmocka_unit_test(an_unrecorded_layer_has_no_choice_unless_measuring),
        cmocka_unit_test(a_recorded_choice_decides_who_convolves),
        cmocka_unit_test(damaged_files_and_unknown_names_are_refused_in_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
