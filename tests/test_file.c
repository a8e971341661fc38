#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/check.h"
#include "support/scratch.h"
#include "util/file.h"

static void check_holds(const char *path, const char *expected)
{
    char *text = NULL;
    size_t bytes = 0;
    ctkd_error err;
    check_ok(ctkd__file_read(path, 1000000, &text, &bytes, &err), &err);
    assert_int_equal(bytes, strlen(expected));
    assert_string_equal(text, expected);
    free(text);
}

/* Files in the folder of `path`, without "." and "..". */
static size_t folder_count(void)
{
    DIR *folder = opendir(scratch_path(""));
    assert_non_null(folder);
    size_t n = 0;
    while (readdir(folder))
        n++;
    closedir(folder);
    return n - 2;
}

static void a_committed_file_replaces_the_old_one(void **state)
{
    (void)state;
    struct ctkd__new_file file;
    ctkd_error err;
    const char *path = scratch_text("replaced", "old");
    const size_t before = folder_count();
    check_ok(ctkd__new_file_open(&file, path, &err), &err);
    fputs("new", file.stream);
    check_holds(path, "old");
    check_ok(ctkd__new_file_commit(&file, &err), &err);
    check_holds(path, "new");
    ctkd__new_file_abandon(&file); /* after a commit: nothing */
    check_holds(path, "new");
    assert_int_equal(folder_count(), before);
}

static void an_abandoned_file_leaves_the_old_one(void **state)
{
    (void)state;
    struct ctkd__new_file file;
    ctkd_error err;
    const char *path = scratch_text("kept", "old");
    const size_t before = folder_count();
    check_ok(ctkd__new_file_open(&file, path, &err), &err);
    fputs("new", file.stream);
    ctkd__new_file_abandon(&file);
    check_holds(path, "old");
    assert_int_equal(folder_count(), before);
}

static void write_text(const char *path, const char *text)
{
    struct ctkd__new_file file;
    ctkd_error err;
    check_ok(ctkd__new_file_open(&file, path, &err), &err);
    fputs(text, file.stream);
    check_ok(ctkd__new_file_commit(&file, &err), &err);
}

static void check_is_link(const char *path)
{
    struct stat info;
    assert_int_equal(lstat(path, &info), 0);
    assert_true(S_ISLNK(info.st_mode));
}

static void a_link_stays_and_what_it_leads_to_is_written(void **state)
{
    (void)state;
    char target[1024], link[1024], second[1024], absent[1024];
    assert_int_equal(mkdir(scratch_path("links"), 0777), 0);
    snprintf(target, sizeof target, "%s", scratch_text("links/target", "old"));
    snprintf(link, sizeof link, "%s", scratch_path("link"));
    snprintf(second, sizeof second, "%s", scratch_path("links/second"));
    snprintf(absent, sizeof absent, "%s", scratch_path("links/absent"));
    assert_int_equal(symlink("links/target", link), 0); /* relative to the link's folder */
    assert_int_equal(symlink("../link", second), 0);
    write_text(second, "new");
    check_is_link(second);
    check_is_link(link);
    check_holds(target, "new");
    assert_int_equal(unlink(link), 0);
    assert_int_equal(symlink(absent, link), 0); /* absolute, and not there yet */
    write_text(link, "made");
    check_is_link(link);
    check_holds(absent, "made");
    assert_int_equal(unlink(link), 0);
    assert_int_equal(symlink("link", link), 0); /* to itself */
    struct ctkd__new_file file;
    ctkd_error err;
    assert_int_equal(ctkd__new_file_open(&file, link, &err), CTKD_EIO);
    assert_non_null(strstr(err.message, "link: Too many levels"));
    assert_int_equal(unlink(link), 0);
}

/* Neither may be replaced by a file, as a rename would. */
static void devices_and_pipes_are_written_as_they_are(void **state)
{
    (void)state;
    struct stat info;
    struct ctkd__new_file file;
    ctkd_error err;
    char text[4] = "";
    write_text("/dev/null", "gone");
    assert_int_equal(stat("/dev/null", &info), 0);
    assert_true(S_ISCHR(info.st_mode));
    check_ok(ctkd__new_file_open(&file, "/dev/full", &err), &err);
    fputs("x", file.stream);
    assert_int_equal(ctkd__new_file_commit(&file, &err), CTKD_EIO);
    assert_non_null(strstr(err.message, "cannot write /dev/full: No space left"));
    const char *pipe = scratch_path("pipe");
    assert_int_equal(mkfifo(pipe, 0600), 0);
    const int end = open(pipe, O_RDONLY | O_NONBLOCK);
    assert_true(end >= 0);
    write_text(pipe, "abc");
    assert_int_equal(read(end, text, sizeof text), 3);
    assert_memory_equal(text, "abc", 3);
    close(end);
    assert_int_equal(ctkd__new_file_open(&file, scratch_path(""), &err), CTKD_EIO);
    assert_non_null(strstr(err.message, "Is a directory"));
}

/* A pipe that was full for a while: the write after it finds room again. */
static void a_pipe_gets_no_byte_after_a_write_that_failed(void **state)
{
    (void)state;
    static char sent[1 << 18], got[1 << 18];
    struct ctkd__new_file file;
    ctkd_error err;
    int ends[2];
    const int output = dup(STDOUT_FILENO);
    memset(sent, 'x', sizeof sent);
    fflush(stdout);
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    assert_true(output >= 0 && dup2(ends[1], STDOUT_FILENO) >= 0);
    const ctkd_status opened = ctkd__new_file_open(&file, "-", &err);
    dup2(output, STDOUT_FILENO);
    close(output);
    check_ok(opened, &err);
    assert_true(fwrite(sent, 1, sizeof sent, file.stream) < sizeof sent);
    assert_true(read(ends[0], got, sizeof got) > 0);
    assert_int_equal(ctkd__new_file_commit(&file, &err), CTKD_EIO);
    assert_string_equal(err.message, "cannot write standard output: Input/output error");
    assert_int_equal(read(ends[0], got, sizeof got), -1); /* nothing more */
    close(ends[0]);
    close(ends[1]);
}

static void a_new_file_has_the_permissions_of_the_umask(void **state)
{
    (void)state;
    struct ctkd__new_file file;
    struct stat info;
    ctkd_error err;
    const mode_t mask = umask(027);
    check_ok(ctkd__new_file_open(&file, scratch_path("mode"), &err), &err);
    check_ok(ctkd__new_file_commit(&file, &err), &err);
    umask(mask);
    assert_int_equal(stat(scratch_path("mode"), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0640);
}

static void a_write_that_fails_surfaces_at_commit(void **state)
{
    (void)state;
    struct ctkd__new_file file;
    ctkd_error err;
    const char *path = scratch_text("full", "old");
    const size_t before = folder_count();
    check_ok(ctkd__new_file_open(&file, path, &err), &err);
    /* a stream on a device that is always full stands for a full disk */
    assert_non_null(freopen("/dev/full", "w", file.stream));
    for (int i = 0; i < 100000; i++)
        fputs("more than the stream's buffer holds", file.stream);
    assert_int_equal(ctkd__new_file_commit(&file, &err), CTKD_EIO);
    assert_non_null(strstr(err.message, "full: "));
    check_holds(path, "old");
    assert_int_equal(folder_count(), before);
}

static void a_folder_that_is_not_there_is_named(void **state)
{
    (void)state;
    struct ctkd__new_file file;
    ctkd_error err;
    assert_int_equal(ctkd__new_file_open(&file, scratch_path("none/x"), &err), CTKD_EIO);
    assert_non_null(strstr(err.message, "none/x: No such file or directory"));
    assert_int_equal(ctkd__new_file_open(&file, "", &err), CTKD_EINVAL);
    char *text = NULL;
    size_t bytes = 0;
    assert_int_equal(ctkd__file_read(scratch_path("none"), 10, &text, &bytes, &err), CTKD_EIO);
    assert_non_null(strstr(err.message, "none: No such file or directory"));
    assert_int_equal(ctkd__file_read(".", 10, &text, &bytes, &err), CTKD_EIO);
    assert_null(text);
}

static void a_file_is_read_up_to_the_limit_and_not_beyond(void **state)
{
    (void)state;
    ctkd_error err;
    char *text = NULL;
    size_t bytes = 0;
    const char *path = scratch_text("ten", "0123456789");
    check_ok(ctkd__file_read(path, 10, &text, &bytes, &err), &err);
    assert_string_equal(text, "0123456789");
    free(text);
    assert_int_equal(ctkd__file_read(path, 9, &text, &bytes, &err), CTKD_EFORMAT);
    assert_non_null(strstr(err.message, "ten: larger than the limit of 9 bytes"));
    /* a device has no size, and more bytes than any limit */
    assert_int_equal(ctkd__file_read("/dev/zero", 100000, &text, &bytes, &err), CTKD_EFORMAT);
    check_ok(ctkd__file_read("/dev/null", 0, &text, &bytes, &err), &err);
    assert_int_equal(bytes, 0);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_committed_file_replaces_the_old_one),
        cmocka_unit_test(an_abandoned_file_leaves_the_old_one),
        cmocka_unit_test(a_link_stays_and_what_it_leads_to_is_written),
        cmocka_unit_test(devices_and_pipes_are_written_as_they_are),
        cmocka_unit_test(a_pipe_gets_no_byte_after_a_write_that_failed),
        cmocka_unit_test(a_new_file_has_the_permissions_of_the_umask),
        cmocka_unit_test(a_write_that_fails_surfaces_at_commit),
        cmocka_unit_test(a_folder_that_is_not_there_is_named),
        cmocka_unit_test(a_file_is_read_up_to_the_limit_and_not_beyond),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
