#include "data/archive.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "support/check.h"
#include "support/temp_files.h"

static const char *const no_places[] = { NULL };
static const char *const places[] = { "inner", "pair.tar.gz", "pair.tar.xz", NULL };

/* Two files, the second larger than the reader's first buffer. */
enum { SMALL = 5, LARGE = 200000 };
static uint8_t large[LARGE];

static void members_init(struct ctkd__member members[2])
{
    members[0] = (struct ctkd__member){ .name = "small.bin", .limit = SMALL };
    members[1] = (struct ctkd__member){ .name = "large.bin", .limit = LARGE };
}

static void check_pair(const char *path)
{
    struct ctkd__member members[2];
    ctkd_error err;
    members_init(members);
    check_ok(ctkd__archive_read(path, places, members, 2, &err), &err);
    assert_int_equal(members[0].size, SMALL);
    assert_memory_equal(members[0].bytes, "12345", SMALL);
    assert_int_equal(members[1].size, LARGE);
    assert_memory_equal(members[1].bytes, large, LARGE);
    ctkd__members_free(members, 2);
}

/* Reading fails with `status`, the message holds every text, and nothing stays allocated. */
static void check_refused(const char *path, ctkd_status status, const char *text,
                          const char *other_text)
{
    struct ctkd__member members[2];
    ctkd_error err = { 0 };
    members_init(members);
    assert_int_equal(ctkd__archive_read(path, places, members, 2, &err), status);
    if (!strstr(err.message, text) || !strstr(err.message, other_text))
        fail_msg("'%s' lacks '%s' or '%s'", err.message, text, other_text);
    assert_null(strchr(err.message, '\n'));
    assert_null(members[0].bytes);
    assert_null(members[1].bytes);
}

static void plain_and_gzip_files_of_a_folder_are_read(void **state)
{
    temp_write(*state, "small.bin", "12345", SMALL);
    temp_write_gz(*state, "large.bin.gz", large, LARGE);
    check_pair(*state);
}

static void a_plain_file_wins_over_its_gzip_form(void **state)
{
    temp_write(*state, "small.bin", "12345", SMALL);
    temp_write_gz(*state, "small.bin.gz", "wrong", SMALL);
    temp_write(*state, "large.bin", large, LARGE);
    check_pair(*state);
}

static void members_of_tar_archives_are_found_at_any_depth_and_order(void **state)
{
    static const char *const names[] = { "a.tar", "a.tar.gz", "a.tar.xz" };
    const struct temp_file files[] = { { "top/readme.html", "x", 1 },
                                       { "top/deep/large.bin", large, LARGE },
                                       { "small.bin", "12345", SMALL },
                                       { "top/not-small.bin", "67", 2 } };
    for (size_t i = 0; i < 3; i++) {
        temp_write_tar(*state, names[i], files, 4);
        check_pair(temp_path(*state, names[i]));
    }
}

static void a_folder_leads_to_its_published_sub_folder_or_archive(void **state)
{
    const struct temp_file files[] = { { "large.bin", large, LARGE },
                                       { "small.bin", "12345", SMALL } };
    temp_write_tar(*state, "pair.tar.xz", files, 2);
    check_pair(*state);
    temp_write(*state, "pair.tar.gz", "not an archive, but first in the list", 30);
    check_refused(*state, CTKD_EFORMAT, "pair.tar.gz", "expected a .tar");
    temp_folder_add(*state, "inner");
    temp_write(temp_path(*state, "inner"), "small.bin", "12345", SMALL);
    temp_write(temp_path(*state, "inner"), "large.bin", large, LARGE);
    check_pair(*state);
}

static void a_missing_path_file_or_member_is_named(void **state)
{
    const struct temp_file file = { "small.bin", "12345", SMALL };
    check_refused(temp_path(*state, "absent"), CTKD_EIO, "absent", "No such file");
    check_refused(*state, CTKD_ENOTFOUND, "small.bin", "expected");
    temp_write_tar(*state, "half.tar.gz", &file, 1);
    check_refused(temp_path(*state, "half.tar.gz"), CTKD_ENOTFOUND, "half.tar.gz", "large.bin");
    temp_write(*state, "small.bin", "12345", SMALL);
    check_refused(*state, CTKD_ENOTFOUND, "large.bin", "large.bin.gz");
}

static void a_name_that_is_nearly_right_is_offered(void **state)
{
    static const struct {
        const char *there, *expected;
    } cases[] = {
        { "train_images-idx3-ubyte", "; did you mean train_images-idx3-ubyte? Rename it." },
        { "Train-images-idx3-ubyte.gz", "; did you mean Train-images-idx3-ubyte.gz? Rename it." },
        { "train-images-idx3-ubyte.zip", "; did you mean train-images-idx3-ubyte.zip? Unpack it." },
        { "emnist-letters-train-images-idx3-ubyte.gz",
          "; did you mean emnist-letters-train-images-idx3-ubyte.gz? Rename it." },
        { "train-labels-idx1-ubyte.gz", "expected one of them" }, /* another member */
        { "weights", "expected one of them" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char folder[1024];
        struct ctkd__member members[2] = { { .name = "train-images-idx3-ubyte", .limit = SMALL },
                                           { .name = "train-labels-idx1-ubyte", .limit = SMALL } };
        ctkd_error err = { 0 };
        snprintf(folder, sizeof folder, "%s/%zu", (const char *)*state, i);
        assert_int_equal(mkdir(folder, 0755), 0);
        temp_write(folder, cases[i].there, "x", 1);
        assert_int_equal(ctkd__archive_read(folder, no_places, members, 2, &err), CTKD_ENOTFOUND);
        const size_t length = strlen(err.message), end = strlen(cases[i].expected);
        if (length < end || strcmp(err.message + length - end, cases[i].expected) != 0)
            fail_msg("'%s' does not end with '%s'", err.message, cases[i].expected);
    }
}

static void another_name_of_a_member_is_taken_after_its_first(void **state)
{
    static const char *const also[] = { "small.1", "small.2", NULL };
    struct ctkd__member member = { .name = "small.bin", .also = also, .limit = SMALL };
    static const char *const names[] = { "small.2", "small.1", "small.bin" };
    ctkd_error err;
    for (size_t i = 0; i < 3; i++) {
        const char text[] = { (char)('0' + i) };
        temp_write(*state, names[i], text, 1);
        check_ok(ctkd__archive_read(*state, no_places, &member, 1, &err), &err);
        assert_int_equal(member.bytes[0], '0' + (int)i);
        ctkd__members_free(&member, 1);
    }
    const struct temp_file files[] = { { "a/small.2", "x", 1 }, { "small.1", "y", 1 } };
    temp_write_tar(*state, "both.tar", files, 2);
    assert_int_equal(ctkd__archive_read(temp_path(*state, "both.tar"), no_places, &member, 1, &err),
                     CTKD_EFORMAT);
    assert_non_null(strstr(err.message, "found small.bin twice"));
}

static void a_member_that_occurs_twice_is_refused(void **state)
{
    const struct temp_file files[] = { { "a/small.bin", "12345", SMALL },
                                       { "large.bin", large, LARGE },
                                       { "b/small.bin", "12345", SMALL } };
    temp_write_tar(*state, "twice.tar", files, 3);
    check_refused(temp_path(*state, "twice.tar"), CTKD_EFORMAT, "small.bin", "twice");
}

static void a_member_longer_than_its_limit_is_refused_with_both_sizes(void **state)
{
    const struct temp_file files[] = { { "small.bin", "123456", SMALL + 1 },
                                       { "large.bin", large, LARGE } };
    temp_write_tar(*state, "long.tar.gz", files, 2);
    check_refused(temp_path(*state, "long.tar.gz"), CTKD_EFORMAT, "small.bin: found 6 bytes",
                  "at most 5");
    /* A gzip file does not say its size beforehand. */
    temp_write_gz(*state, "small.bin.gz", large, LARGE);
    temp_write(*state, "large.bin", large, LARGE);
    check_refused(*state, CTKD_EFORMAT, "small.bin.gz", "at most 5");
}

static void a_folder_of_the_same_name_is_not_a_file(void **state)
{
    temp_folder_add(*state, "small.bin");
    temp_write(*state, "large.bin", large, LARGE);
    check_refused(*state, CTKD_ENOTFOUND, "small.bin", "expected");
}

static void an_empty_file_is_a_member_of_no_bytes(void **state)
{
    temp_write(*state, "small.bin", "", 0);
    temp_write_gz(*state, "large.bin.gz", "", 0);
    struct ctkd__member members[2];
    ctkd_error err;
    members_init(members);
    check_ok(ctkd__archive_read(*state, no_places, members, 2, &err), &err);
    assert_int_equal(members[0].size, 0);
    assert_int_equal(members[1].size, 0);
    ctkd__members_free(members, 2);
}

static void an_archive_cut_anywhere_is_refused(void **state)
{
    static const char *const names[] = { "whole.tar.gz", "whole.tar.xz" };
    uint8_t noise[300]; /* does not compress, so that cuts fall inside it */
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (uint8_t)(i * i * 31 + i / 7);
    const struct temp_file files[] = { { "small.bin", "12345", SMALL },
                                       { "large.bin", noise, sizeof noise } };
    for (size_t i = 0; i < 2; i++) {
        temp_write_tar(*state, names[i], files, 2);
        size_t size;
        uint8_t *bytes = temp_read(temp_path(*state, names[i]), &size);
        for (size_t cut = 0; cut < size; cut++) {
            struct ctkd__member members[2];
            members_init(members);
            temp_write(*state, "cut", bytes, cut);
            if (ctkd__archive_read(temp_path(*state, "cut"), no_places, members, 2, NULL) ==
                CTKD_OK)
                fail_msg("%s cut to %zu of %zu bytes was accepted as complete", names[i], cut,
                         size);
            assert_null(members[0].bytes);
        }
        free(bytes);
    }
}

/* --- compressed files that another program wrote (tests/golden/make_archives.py) */

enum { NOISE = 300 };

static void *golden_bytes(const char *name, size_t *size)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/tests/golden/archives/%s", CTKD_SOURCE_DIR, name);
    return temp_read(path, size);
}

/* Reads large.bin (and small.bin of an archive) from the file that holds these bytes. CTKD_OK means
   that the contents are right: others end the test. */
static ctkd_status read_bytes(const char *folder, bool is_tar, const void *bytes, size_t size,
                              ctkd_error *err)
{
    const char *const name = is_tar ? "pair.tar" : "large.bin.gz";
    struct ctkd__member members[2] = { { .name = "large.bin", .limit = 1000 },
                                       { .name = "small.bin", .limit = 1000 } };
    const size_t count = is_tar ? 2 : 1;
    temp_write(folder, name, bytes, size);
    const char *const path = is_tar ? temp_path(folder, name) : folder;
    const ctkd_status status = ctkd__archive_read(path, no_places, members, count, err);
    if (status == CTKD_OK) {
        assert_int_equal(members[0].size, NOISE);
        for (size_t i = 0; i < NOISE; i++)
            assert_int_equal(members[0].bytes[i], (uint8_t)(i * i * 31 + i / 7));
        if (is_tar)
            assert_memory_equal(members[1].bytes, "12345", SMALL);
    } else if (!strstr(err->message, name) || strchr(err->message, '\n')) {
        fail_msg("'%s' does not name %s in one line", err->message, name);
    }
    ctkd__members_free(members, count);
    return status;
}

static const char *const compressed[] = { "one.gz",       "fields.gz",     "members.gz",
                                          "pair.tar.gz",  "halves.tar.gz", "crc32.tar.xz",
                                          "crc64.tar.xz", "sha256.tar.xz", "halves.tar.xz" };
enum { N_COMPRESSED = sizeof compressed / sizeof *compressed };

static void compressed_files_of_another_program_are_read(void **state)
{
    for (size_t i = 0; i < N_COMPRESSED; i++) {
        size_t size;
        ctkd_error err;
        void *bytes = golden_bytes(compressed[i], &size);
        check_ok(read_bytes(*state, strstr(compressed[i], ".tar"), bytes, size, &err), &err);
        free(bytes);
    }
}

/* Contents that went through are equal, which read_bytes asserts; few flips may go through: bits of
   the header that say nothing about them. */
static void no_flipped_bit_of_a_compressed_file_changes_what_is_read(void **state)
{
    for (size_t i = 0; i < N_COMPRESSED; i++) {
        size_t size, passed = 0;
        ctkd_error err;
        uint8_t *bytes = golden_bytes(compressed[i], &size);
        for (size_t bit = 0; bit < 8 * size; bit++) {
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            passed +=
                read_bytes(*state, strstr(compressed[i], ".tar"), bytes, size, &err) == CTKD_OK;
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        /* of each gzip member: flag "text", time, extra flags, system, and the bits that fill the
           last byte of its data; none of xz. In a tar archive also distances into runs of zeros. */
        const size_t members = strcmp(compressed[i], "members.gz") == 0 ? 3 : 1;
        const size_t free_bits = strstr(compressed[i], ".xz") ? 0 : members * (1 + 32 + 8 + 8 + 7);
        if (passed > free_bits && !strstr(compressed[i], ".tar.gz"))
            fail_msg("%s: %zu flipped bits were not noticed, expected at most %zu", compressed[i],
                     passed, free_bits);
        free(bytes);
    }
}

static void compressed_files_cut_anywhere_are_refused(void **state)
{
    for (size_t i = 0; i < N_COMPRESSED; i++) {
        size_t size;
        ctkd_error err;
        uint8_t *bytes = golden_bytes(compressed[i], &size);
        const bool padded = strncmp(compressed[i], "halves.tar.x", 12) == 0;
        /* where a member ends, a file may end; an archive may not */
        const bool may_end = strcmp(compressed[i], "members.gz") == 0;
        for (size_t cut = 0; cut < size - 4 * padded && !may_end; cut++)
            if (read_bytes(*state, strstr(compressed[i], ".tar"), bytes, cut, &err) == CTKD_OK)
                fail_msg("%s cut to %zu of %zu bytes was accepted as complete", compressed[i], cut,
                         size);
        free(bytes);
    }
}

static void check_bytes_refused(const char *folder, bool is_tar, const void *bytes, size_t size,
                                const char *text)
{
    ctkd_error err = { 0 };
    assert_int_equal(read_bytes(folder, is_tar, bytes, size, &err), CTKD_EFORMAT);
    if (!strstr(err.message, text))
        fail_msg("'%s' lacks '%s'", err.message, text);
}

static void damage_is_called_what_it_is(void **state)
{
    size_t size;
    uint8_t *bytes = golden_bytes("one.gz", &size);
    uint8_t *more = calloc(1, size + 20);
    assert_non_null(more);
    memcpy(more, bytes, size);
    bytes[size - 5] ^= 1;
    check_bytes_refused(
        *state, false, bytes, size,
        "large.bin.gz: the file is damaged: its contents do not match gzip's checksum");
    bytes[size - 5] ^= 1;
    bytes[size - 4] ^= 1;
    check_bytes_refused(*state, false, bytes, size, "length that gzip's trailer states");
    check_bytes_refused(*state, false, bytes, size - 9, "it ends inside its gzip data");
    check_bytes_refused(*state, false, "", 0, "large.bin.gz: found uncompressed data");
    check_bytes_refused(*state, false, "plain", 5, "large.bin.gz: found uncompressed data");
    more[size + 19] = 'x';
    check_bytes_refused(*state, false, more, size + 20, "more bytes follow the end of its gzip");
    more[size] = 'x';
    check_bytes_refused(*state, false, more, size + 20, "more bytes follow the end of its gzip");
    free(more);
    free(bytes);
    bytes = golden_bytes("pair.tar.gz", &size);
    bytes[size - 8] ^= 1;
    check_bytes_refused(*state, true, bytes, size,
                        "pair.tar: the file is damaged: its contents do not match");
    free(bytes);
}

static void a_compressed_file_without_gz_in_its_name_is_read(void **state)
{
    size_t size;
    ctkd_error err;
    struct ctkd__member member = { .name = "large.bin", .limit = NOISE };
    void *bytes = golden_bytes("members.gz", &size);
    temp_write(*state, "large.bin", bytes, size);
    check_ok(ctkd__archive_read(*state, no_places, &member, 1, &err), &err);
    assert_int_equal(member.size, NOISE);
    ctkd__members_free(&member, 1);
    free(bytes);
}

static void a_foreign_file_is_refused(void **state)
{
    static const char jpeg[] = "\xff\xd8\xff\xe0 no archive at all";
    temp_write(*state, "image.jpg", jpeg, sizeof jpeg);
    check_refused(temp_path(*state, "image.jpg"), CTKD_EFORMAT, "image.jpg", "expected a .tar");
    temp_write_gz(*state, "file.gz", "one compressed file", 19);
    check_refused(temp_path(*state, "file.gz"), CTKD_EFORMAT, "file.gz", "expected a .tar");
}

static void which_tells_the_form_that_is_there(void **state)
{
    static const char *const names[] = { "large.bin", "small.bin", NULL };
    const struct temp_file files[] = { { "top/small.bin", "12345", SMALL },
                                       { "top/large.bin", large, LARGE } };
    assert_int_equal(ctkd__archive_which(*state, places, names), 2);
    assert_int_equal(ctkd__archive_which(temp_path(*state, "none"), places, names), 2);
    temp_write_tar(*state, "pair.tar.gz", files, 2);
    assert_int_equal(ctkd__archive_which(*state, places, names), 1); /* the first member */
    assert_int_equal(ctkd__archive_which(temp_path(*state, "pair.tar.gz"), places, names), 1);
    temp_write(*state, "large.bin", large, LARGE);
    temp_write(*state, "small.bin", "12345", SMALL);
    assert_int_equal(ctkd__archive_which(*state, places, names), 0); /* the first name */
}

#define FOLDER_TEST(name)                                                                          \
    cmocka_unit_test_setup_teardown(name, temp_folder_make, temp_folder_remove)

int main(void)
{
    for (size_t i = 0; i < LARGE; i++)
        large[i] = (uint8_t)(i * 7 + i / 256);
    const struct CMUnitTest tests[] = {
        FOLDER_TEST(plain_and_gzip_files_of_a_folder_are_read),
        FOLDER_TEST(a_plain_file_wins_over_its_gzip_form),
        FOLDER_TEST(members_of_tar_archives_are_found_at_any_depth_and_order),
        FOLDER_TEST(a_folder_leads_to_its_published_sub_folder_or_archive),
        FOLDER_TEST(a_missing_path_file_or_member_is_named),
        FOLDER_TEST(a_name_that_is_nearly_right_is_offered),
        FOLDER_TEST(another_name_of_a_member_is_taken_after_its_first),
        FOLDER_TEST(a_member_that_occurs_twice_is_refused),
        FOLDER_TEST(a_member_longer_than_its_limit_is_refused_with_both_sizes),
        FOLDER_TEST(a_folder_of_the_same_name_is_not_a_file),
        FOLDER_TEST(an_empty_file_is_a_member_of_no_bytes),
        FOLDER_TEST(an_archive_cut_anywhere_is_refused),
        FOLDER_TEST(compressed_files_of_another_program_are_read),
        FOLDER_TEST(no_flipped_bit_of_a_compressed_file_changes_what_is_read),
        FOLDER_TEST(compressed_files_cut_anywhere_are_refused),
        FOLDER_TEST(damage_is_called_what_it_is),
        FOLDER_TEST(a_compressed_file_without_gz_in_its_name_is_read),
        FOLDER_TEST(a_foreign_file_is_refused),
        FOLDER_TEST(which_tells_the_form_that_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
