/* Published weights are known by their contents. */
#include "weights/known_files.h"

#include <stdio.h>
#include <string.h>

#include "nn/models/models.h"
#include "support/check.h"
#include "support/temp_files.h"
#include "util/sha256.h"
#include "weights/weights_file.h"

/* What the sum of any file is in this program; NULL: what it is. */
static const char *pretended;

ctkd_status __real_ctkd__sha256_file(const char *path, char out[CTKD__SHA256_DIGITS + 1],
                                     ctkd_error *err);
ctkd_status __wrap_ctkd__sha256_file(const char *path, char out[CTKD__SHA256_DIGITS + 1],
                                     ctkd_error *err);
ctkd_status __wrap_ctkd__sha256_file(const char *path, char out[CTKD__SHA256_DIGITS + 1],
                                     ctkd_error *err)
{
    const ctkd_status status = __real_ctkd__sha256_file(path, out, err);
    if (pretended)
        memcpy(out, pretended, strlen(pretended));
    return status;
}

static void published_files_are_found_by_their_first_digits(void **state)
{
    (void)state;
    static const struct {
        const char *sha256, *network;
        double top1;
        int resize;
    } rows[] = { { "f37072fd", "resnet18", 69.758, 256 },
                 { "5c106cde", "resnet18", 69.758, 256 },
                 { "b627a593", "resnet34", 73.314, 256 },
                 { "11ad3fa6", "resnet50", 80.858, 232 },
                 { "7ebf99e0", "mobilenet_v2", 72.154, 232 },
                 { "95faca4d", "wide_resnet50_2", 78.468, 256 },
                 { "8be3c8ee", "shufflenet_v2_x2_0", 76.230, 232 },
                 { "abd245e5", "vgg13_bn", 71.586, 256 } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char digits[CTKD__SHA256_DIGITS + 1];
        snprintf(digits, sizeof digits, "%s%056d", rows[i].sha256, 0);
        const struct ctkd__known_file *const found = ctkd__known_file_find(digits);
        assert_non_null(found);
        assert_string_equal(found->network, rows[i].network);
        check_close(found->top1, rows[i].top1, 0, 1e-9);
        assert_int_equal(found->resize, rows[i].resize);
        assert_non_null(ctkd__model_find(found->network, NULL));
    }
    assert_null(ctkd__known_file_find("0123456789abcdef"));
}

/* Weights of MobileNetV2's size, without a word about what they are. */
static void write_nameless(const char *path)
{
    const struct ctkd__model_args args = { 3, 32, 32, 1000 };
    struct ctkd__graph *graph;
    struct ctkd__weights *weights;
    ctkd_error err = { 0 };
    check_ok(ctkd__model_build("mobilenet_v2", &args, &graph, &err), &err);
    check_ok(ctkd__weights_create(graph, 8, &weights, &err), &err);
    ctkd__weights_initialise(weights, 7);
    check_ok(ctkd__network_file_write(path, weights, &(struct ctkd__network_info){ 0 }, &err),
             &err);
    ctkd__weights_destroy(weights);
    ctkd__graph_destroy(graph);
}

static void a_known_file_says_what_it_is(void **state)
{
    const char *const path = temp_path(*state, "a.safetensors");
    write_nameless(path);
    ctkd_error err = { 0 };
    struct ctkd__weights_file file;
    char note[CTKD__NOTE_BYTES] = "";
    for (int known = 0; known < 2; known++) {
        pretended = known ? "7ebf99e0" : NULL;
        check_ok(ctkd__weights_file_read(path, &file, &err), &err);
        assert_true((file.known != NULL) == known);
        assert_string_equal(file.info.network, known ? "mobilenet_v2" : "");
        assert_true(file.info.has_normalisation == known);
        ctkd__weights_file_note(&file, note);
        assert_true((note[0] != '\0') == known);
        char other[CTKD__NOTE_BYTES] = "";
        assert_int_equal(ctkd__weights_file_resize(&file, 224), known ? 232 : 0);
        assert_int_equal(ctkd__weights_file_resize(&file, 64), 0);
        ctkd__weights_file_note_resize(&file, 224, 232, other);
        assert_string_equal(other, ""); /* that is how it was published */
        ctkd__weights_file_note_resize(&file, 224, 256, other);
        assert_string_equal(other, known ? "here images are resized to 256 in evaluation: its own "
                                           "accuracy needs data.resize=232"
                                         : "");
        file.known = NULL; /* what a file says itself */
        file.info.height = file.info.width = 64;
        file.info.resize = 70;
        assert_int_equal(ctkd__weights_file_resize(&file, 64), 70);
        assert_int_equal(ctkd__weights_file_resize(&file, 224), 0);
        file.info.resize = 0;
        ctkd__weights_file_fini(&file);
    }
    pretended = NULL;
    assert_string_equal(note, "these are torchvision's weights of mobilenet_v2 (IMAGENET1K_V2), "
                              "published with top-1 72.15 % and top-5 90.82 % on ImageNet, whose "
                              "images are resized to 232 for them before the central 224x224 are "
                              "cut out");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_files_are_found_by_their_first_digits),
        cmocka_unit_test_setup_teardown(a_known_file_says_what_it_is, temp_folder_make,
                                        temp_folder_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
