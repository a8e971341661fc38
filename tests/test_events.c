/* TensorBoard's event files: what stays of one when a run goes on. That TensorBoard reads them, and
   what, is checked in tests/interop/tensorboard_runs.py. */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/events.h"
#include "support/check.h"
#include "support/temp_files.h"

enum { RECORDS = 5 };

static void *folder;
static const char *path;

static long size_of(void)
{
    struct stat info;
    return stat(path, &info) == 0 ? (long)info.st_size : -1;
}

/* Opens, writes `count` records and closes; returns how many were kept. */
static size_t add(size_t keep, size_t count)
{
    struct ctkd__events events;
    size_t kept = 99;
    ctkd_error err = { 0 };
    check_ok(ctkd__events_open(&events, path, keep, &kept, &err), &err);
    for (size_t i = 0; i < count; i++) {
        const struct ctkd__event_value value = { .tag = "train/loss", .value = 0.5 };
        check_ok(ctkd__events_write(&events, 1e9, (int64_t)i, &value, 1, &err), &err);
    }
    ctkd__events_close(&events);
    return kept;
}

static int new_folder(void **state)
{
    (void)state;
    return temp_folder_make(&folder);
}

static int remove_folder(void **state)
{
    (void)state;
    return temp_folder_remove(&folder);
}

static int new_file(void **state)
{
    (void)state;
    path = temp_path(folder, "events.out.tfevents.ctkd");
    unlink(path);
    return 0;
}

static void later_records_are_removed(void **state)
{
    (void)state;
    assert_int_equal(add(0, RECORDS), 0);
    const long all = size_of();
    assert_int_equal(add(2, 0), 2);
    assert_true(size_of() < all);
    assert_int_equal(add(2, RECORDS - 2), 2);
    assert_int_equal(size_of(), all);
    assert_int_equal(add(RECORDS + 3, 0), RECORDS); /* fewer than asked for: all of them */
    assert_int_equal(size_of(), all);
}

static void a_cut_record_is_removed(void **state)
{
    (void)state;
    add(0, RECORDS);
    const long all = size_of(), record = (all - 40) / RECORDS;
    for (long cut = 1; cut < record; cut++) {
        assert_int_equal(truncate(path, all - cut), 0);
        assert_int_equal(add(RECORDS, 1), RECORDS - 1);
        assert_int_equal(size_of(), all);
    }
}

/* A flipped bit anywhere ends the file there; what stays is intact, and it can be written on. */
static void a_damaged_record_ends_the_file(void **state)
{
    (void)state;
    add(0, RECORDS);
    const long all = size_of();
    for (long at = 0; at < all; at += 3) {
        FILE *const file = fopen(path, "r+b");
        assert_non_null(file);
        assert_int_equal(fseek(file, at, SEEK_SET), 0);
        const int byte = fgetc(file);
        assert_int_equal(fseek(file, at, SEEK_SET), 0);
        fputc(byte ^ 4, file);
        fclose(file);
        const size_t kept = add(RECORDS, 0);
        assert_true(kept < RECORDS);
        assert_int_equal(add(RECORDS, RECORDS - kept), kept);
        assert_int_equal(size_of(), all);
    }
}

static void a_path_that_cannot_be_written_is_named(void **state)
{
    (void)state;
    struct ctkd__events events;
    size_t kept;
    ctkd_error err = { 0 };
    assert_int_equal(ctkd__events_open(&events, "/nowhere/events", 0, &kept, &err), CTKD_EIO);
    assert_string_equal(err.message, "cannot write /nowhere/events: No such file or directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(later_records_are_removed, new_file),
        cmocka_unit_test_setup(a_cut_record_is_removed, new_file),
        cmocka_unit_test_setup(a_damaged_record_ends_the_file, new_file),
        cmocka_unit_test(a_path_that_cannot_be_written_is_named),
    };
    return cmocka_run_group_tests(tests, new_folder, remove_folder);
}
