#include "support/check.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "support/scratch.h"
#include "util/file_kind.h"

static const struct {
    const char *bytes;
    size_t n;
    const char *kind; /* its beginning; NULL: not known */
} cases[] = {
#define CASE(text, kind)                                                                           \
    {                                                                                              \
        text, sizeof text - 1, kind                                                                \
    }
    CASE("", "an empty file (0 bytes)"),
    CASE("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n",
         "a Git LFS pointer (`git lfs pull` fetches the file)"),
    CASE("/annex/objects/SHA256E-s3--ab.pth\n", "a git-annex pointer (`git annex get`"),
    CASE("<!DOCTYPE html><html>", "a web page (HTML)"),
    CASE("\xef\xbb\xbf\r\n  <HTML lang=en>", "a web page (HTML)"),
    CASE("<?xml version=\"1.0\"?>", "an XML document"),
    CASE("\x1f\x8b\x08\0\0", "a gzip file"),
    CASE("BZh91AY", "a bzip2 file"),
    CASE("\xfd\x37zXZ\0\0", "an xz file"),
    CASE("\x28\xb5\x2f\xfd\0", "a Zstandard file"),
    CASE("7z\xbc\xaf\x27\x1c\0", "a 7z archive"),
    CASE("Rar!\x1a\x07\1\0", "a RAR archive"),
    CASE("%PDF-1.7\n", "a PDF document"),
    CASE("\x89HDF\r\n\x1a\n\0", "an HDF5 file, as Keras and MATLAB write"),
    CASE("\x93NUMPY\1\0", "a NumPy array (.npy)"),
    CASE("MATLAB 5.0 MAT-file", "a MATLAB file"),
    CASE("SQLite format 3\0", "an SQLite data base"),
    CASE("GGUF\3\0\0\0", "a GGUF model"),
    CASE("\x1c\0\0\0TFL3\0", "a TensorFlow Lite model"),
    CASE("\x89PNG\r\n\x1a\n\0", "a PNG image"),
    CASE("\xff\xd8\xff\xe0\0", "a JPEG image"),
    CASE("GIF89a\1\0", "a GIF image"),
    CASE("\x7f"
         "ELF\2\1",
         "a program (ELF)"),
    CASE("{\"weights\": 3}", "a JSON document"),
    CASE("hello\n", "a text file"),
    CASE(" \n\t\n", "a text file with nothing but white space"),
    CASE("PK\5\6\0\0\0\0", "an empty zip archive"),
    CASE("PK\3\4\x14\0", "a truncated zip archive"),
    CASE("PK\3\4\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\7\0\0\0w_0.npy\0",
         "an archive of NumPy arrays (.npz)"),
    CASE("PK\3\4\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0d\0\0\0metadata.json{",
         "a Keras model"),
    CASE("PK\3\4\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10\0\0\0archive/data.pkl\x80\2",
         "a PyTorch checkpoint"),
    CASE("PK\3\4\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xff\xff\0\0readme", "a zip archive"),
    CASE("\x80\2}q\0.", "a Python pickle"),
    CASE("\x48\0\0\0\0\0\0\0{\"a\"", "a .safetensors file"),
    CASE("\x08\1\x12\x80\1\x0a", "a TensorFlow SavedModel"),
    CASE("\x08\x07\x12\7pytorch", "an ONNX model"),
    CASE("\x0a\x20\x0a\5input\x12\x0bPlaceholder", "a TensorFlow graph"),
    CASE("\0\0\0\0\0\0\0\0", "a file that begins with zeros"),
    /* what data sets and weights may begin with */
    CASE("\0\0\x08\3\0\0\xea\x60", NULL),
    CASE("\6\xff\xfe\x80\x00\x03", NULL),
    CASE("\x80\x06", NULL),
};

static void files_are_called_what_they_are(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *const found = ctkd__file_kind(cases[i].bytes, cases[i].n);
        if (!cases[i].kind)
            assert_null(found);
        else if (!found || strncmp(found, cases[i].kind, strlen(cases[i].kind)) != 0)
            fail_msg("case %zu: %s, expected %s", i, found ? found : "none", cases[i].kind);
    }
}

/* Whatever is cut off: no byte behind the end is looked at (under a sanitizer). */
static void the_beginning_of_a_file_may_be_short(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t n = 0; n <= cases[i].n; n++) {
            char *const exact = malloc(n ? n : 1);
            assert_non_null(exact);
            memcpy(exact, cases[i].bytes, n);
            assert_true(n > 0 || ctkd__file_kind(exact, n) != NULL);
            (void)ctkd__file_kind(exact, n);
            (void)ctkd__file_stand_in(exact, n);
            free(exact);
        }
}

static void a_tar_archive_is_known_behind_its_first_header(void **state)
{
    (void)state;
    char block[512] = "weights.pth";
    memcpy(block + 257,
           "ustar\0"
           "00",
           8);
    assert_string_equal(ctkd__file_kind(block, sizeof block), "a tar archive");
}

static void only_pointers_and_pages_stand_in_for_a_file(void **state)
{
    (void)state;
    size_t count = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        count += ctkd__file_stand_in(cases[i].bytes, cases[i].n) != NULL;
    assert_int_equal(count, 4);
}

static void a_message_says_what_is_there_and_what_was_expected(void **state)
{
    (void)state;
    ctkd_error err = { 0 };
    assert_int_equal(ctkd__file_kind_fail("a.pth", "\x1f\x8b", 2, "weights", &err), CTKD_EFORMAT);
    assert_string_equal(err.message,
                        "a.pth: found a gzip file (`gunzip` unpacks it), expected weights");
    assert_int_equal(ctkd__file_kind_fail("a", "\xfe\1\2\3\4", 5, "weights", &err), CTKD_EFORMAT);
    assert_string_equal(err.message, "a: found the first bytes fe 01 02 03, expected weights");
    assert_int_equal(ctkd__file_kind_fail("a", "\xfe\1", 2, "weights", &err), CTKD_EFORMAT);
    assert_string_equal(err.message, "a: found the first bytes fe 01, expected weights");
}

static void a_pipe_is_refused_before_it_is_opened(void **state)
{
    (void)state;
    unsigned char first[CTKD__FILE_KIND_BYTES];
    size_t n;
    ctkd_error err = { 0 };
    assert_int_equal(mkfifo(scratch_path("pipe"), 0600), 0);
    assert_int_equal(ctkd__file_first_bytes(scratch_path("pipe"), first, &n, &err), CTKD_EIO);
    assert_non_null(
        strstr(err.message, "pipe: found a pipe, expected a regular file, because it is read"));
    assert_int_equal(ctkd__file_check_regular("/dev/null", &err), CTKD_EIO);
    assert_int_equal(ctkd__file_check_regular(scratch_path("none"), &err), CTKD_EIO);
    assert_non_null(strstr(err.message, "none: No such file"));
    check_ok(ctkd__file_first_bytes(scratch_text("short", "ab"), first, &n, &err), &err);
    assert_int_equal(n, 2);
    assert_int_equal(first[2], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_called_what_they_are),
        cmocka_unit_test(the_beginning_of_a_file_may_be_short),
        cmocka_unit_test(a_tar_archive_is_known_behind_its_first_header),
        cmocka_unit_test(only_pointers_and_pages_stand_in_for_a_file),
        cmocka_unit_test(a_message_says_what_is_there_and_what_was_expected),
        cmocka_unit_test(a_pipe_is_refused_before_it_is_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
