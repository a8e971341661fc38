#include "data/folder/mat.h"

#include <stdio.h>
#include <stdlib.h>

#include "support/check.h"
#include "support/temp_files.h"

static void *golden(const char *name, size_t *size)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/tests/golden/mat/%s", CTKD_SOURCE_DIR, name);
    return temp_read(path, size);
}

static void numbers_and_names_are_those_of_scipy(void **state)
{
    static const char *const files[] = { "meta.mat", "plain.mat" };
    static const struct ctkd__synset expected[] = { { 1, "n02119789" },
                                                    { 2, "n02100735" },
                                                    { 3, "n01440764" },
                                                    { 300, "n02110185" },
                                                    { 1001, "n00001740" } };
    (void)state;
    for (size_t f = 0; f < 2; f++) {
        size_t size, count;
        struct ctkd__synset *synsets;
        ctkd_error err;
        void *const bytes = golden(files[f], &size);
        check_ok(ctkd__mat_synsets("m", bytes, size, &synsets, &count, &err), &err);
        assert_int_equal(count, 5);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(synsets[i].number, expected[i].number);
            assert_string_equal(synsets[i].name, expected[i].name);
        }
        free(synsets);
        free(bytes);
    }
}

static void damaged_files_are_refused(void **state)
{
    (void)state;
    size_t size, count, whole = 0;
    struct ctkd__synset *synsets;
    ctkd_error err;
    uint8_t *const bytes = golden("plain.mat", &size);
    for (size_t cut = 0; cut < size; cut++) { /* the end of the last element is padding */
        uint8_t *const part = malloc(cut + 1);
        assert_non_null(part);
        memcpy(part, bytes, cut);
        const ctkd_status status = ctkd__mat_synsets("m", part, cut, &synsets, &count, &err);
        assert_int_equal(status == CTKD_OK, synsets != NULL);
        whole += status == CTKD_OK;
        free(synsets);
        free(part);
    }
    assert_in_range(whole, 0, 7);
    for (size_t at = 0; at < size; at++) { /* whatever comes out, nothing else is read */
        bytes[at] ^= 0xff;
        (void)!ctkd__mat_synsets("m", bytes, size, &synsets, &count, &err);
        free(synsets);
        bytes[at] ^= 0xff;
    }
    uint8_t *const name = memmem(bytes, size, "n02100735", 9); /* or with two bytes a letter */
    uint8_t *const wide = memmem(bytes, size, "n\0000\0002\0001\0000\0000", 12);
    assert_true(name || wide);
    *(name ? name : wide) = 0;
    assert_int_equal(ctkd__mat_synsets("m", bytes, size, &synsets, &count, &err), CTKD_EFORMAT);
    assert_string_equal(err.message,
                        "m: damaged: expected ILSVRC2012_ID and WNID of each of 5 synsets");
    bytes[126] = 'M';
    bytes[127] = 'I';
    assert_int_equal(ctkd__mat_synsets("m", bytes, size, &synsets, &count, &err), CTKD_EFORMAT);
    assert_string_equal(err.message,
                        "m: found no MATLAB 5 file of little-endian numbers, expected meta.mat");
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_and_names_are_those_of_scipy),
        cmocka_unit_test(damaged_files_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
