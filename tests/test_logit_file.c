#include "support/check.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "store/logit_folder.h"
#include "support/temp_files.h"

enum { CLASSES = 3 };
static const struct ctkd__logit_shape shape = { 5, 4, CLASSES, false };
static const char identity[] = "teacher resnet8\nweights 1234\n";

/* The disk, as the linker has it here: full from the write `writes_left` on, `left` bytes free. */
static long writes_left = -1;
static uint64_t left = UINT64_MAX;

ssize_t __real_pwrite(int file, const void *data, size_t bytes, off_t at);
ssize_t __wrap_pwrite(int file, const void *data, size_t bytes, off_t at);
ssize_t __wrap_pwrite(int file, const void *data, size_t bytes, off_t at)
{
    if (writes_left == 0) {
        errno = ENOSPC;
        return -1;
    }
    writes_left -= writes_left > 0;
    /* Short writes are continued. */
    return __real_pwrite(file, data, bytes > 5 ? 5 : bytes, at);
}

int __real_fstatvfs(int file, struct statvfs *out);
int __wrap_fstatvfs(int file, struct statvfs *out);
int __wrap_fstatvfs(int file, struct statvfs *out)
{
    const int result = __real_fstatvfs(file, out);
    if (left != UINT64_MAX) {
        out->f_frsize = 1;
        out->f_bavail = left;
    }
    return result;
}

static struct ctkd__logit_file *create(const char *path)
{
    struct ctkd__logit_file *file;
    ctkd_error err = { 0 };
    check_ok(ctkd__logit_file_create(path, identity, &shape, &file, &err), &err);
    return file;
}

static void put(struct ctkd__logit_file *file, uint64_t row, float value)
{
    const float logits[CLASSES] = { value, -value, 0.5f };
    ctkd_error err = { 0 };
    check_ok(ctkd__logit_file_put(file, row, logits, &err), &err);
}

static void expect_row(const struct ctkd__logit_file *file, uint64_t row, float value)
{
    float logits[CLASSES] = { 9, 9, 9 };
    assert_int_equal(ctkd__logit_file_get(file, row, logits), CTKD__ROW_FOUND);
    assert_true(logits[0] == value && logits[1] == -value && logits[2] == 0.5f);
}

static void rows_are_read_as_they_were_written_by_whoever(void **state)
{
    const char *const path = temp_path(*state, "a.logits");
    struct ctkd__logit_file *const a = create(path), *const b = create(path);
    struct ctkd__logit_count count;
    float logits[CLASSES];
    char text[32];
    ctkd_error err = { 0 };
    put(a, 0, 1);
    put(b, 19, 2);
    put(a, 7, 3);
    put(a, 7, 3); /* twice is nothing new */
    expect_row(b, 0, 1);
    expect_row(a, 19, 2);
    expect_row(b, 7, 3);
    for (uint64_t row = 1; row < 7; row++)
        assert_int_equal(ctkd__logit_file_get(a, row, logits), CTKD__ROW_ABSENT);
    check_ok(ctkd__logit_file_count(b, true, &count, &err), &err);
    assert_true(count.present == 3 && count.damaged == 0);
    assert_string_equal(ctkd__logit_file_line(a, "weights", text, sizeof text), "1234");
    assert_string_equal(ctkd__logit_file_line(a, "views", text, sizeof text), "4");
    assert_string_equal(ctkd__logit_file_line(a, "weight", text, sizeof text), "");
    ctkd__logit_file_close(a);
    ctkd__logit_file_close(b);
    struct ctkd__logit_file *again;
    check_ok(ctkd__logit_file_open(path, &again, &err), &err);
    expect_row(again, 19, 2);
    assert_int_equal(ctkd__logit_file_shape(again).views, 4);
    ctkd__logit_file_close(again);
}

static void a_row_is_claimed_by_one_and_free_when_that_ends(void **state)
{
    const char *const path = temp_path(*state, "a.logits");
    struct ctkd__logit_file *const a = create(path), *const b = create(path);
    assert_true(ctkd__logit_file_claim(a, 3) && ctkd__logit_file_claim(a, 3));
    assert_true(ctkd__logit_file_claim(a, 4) && ctkd__logit_file_claim(b, 5));
    assert_false(ctkd__logit_file_claim(b, 3) || ctkd__logit_file_claim(a, 5));
    put(b, 3, 1); /* a claim is a word among those who ask; it stops nobody */
    expect_row(a, 3, 1);
    ctkd__logit_file_release(a);
    assert_true(ctkd__logit_file_claim(b, 3));
    assert_true(ctkd__logit_file_shared(a) && ctkd__logit_file_shared(b));
    ctkd__logit_file_close(b);
    assert_false(ctkd__logit_file_shared(a));
    assert_true(ctkd__logit_file_claim(a, 3) && ctkd__logit_file_claim(a, 5));
    ctkd__logit_file_release(a);

    /* One that is killed while it computes. */
    int told[2];
    char byte;
    assert_int_equal(pipe(told), 0);
    const pid_t child = fork();
    if (child == 0) {
        struct ctkd__logit_file *mine;
        const bool claimed =
            ctkd__logit_file_open(path, &mine, NULL) == CTKD_OK && ctkd__logit_file_claim(mine, 7);
        if (write(told[1], claimed ? "y" : "n", 1) == 1)
            pause();
        _exit(1);
    }
    assert_int_equal(read(told[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    assert_false(ctkd__logit_file_claim(a, 7));
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_true(ctkd__logit_file_claim(a, 7));
    close(told[0]);
    close(told[1]);
    ctkd__logit_file_close(a);
}

static void every_changed_byte_of_a_row_is_noticed(void **state)
{
    char *const path = strdup(temp_path(*state, "a.logits"));
    struct ctkd__logit_file *const file = create(path);
    const off_t rows_at = 8192, index_at = CTKD__LOGIT_HEADER + 4 * 6;
    float logits[CLASSES];
    put(file, 6, 1.25f);
    put(file, 8, 1.25f);
    const int raw = open(path, O_RDWR);
    for (off_t i = 0; i < (off_t)sizeof logits + 4; i++) {
        const off_t at = i < 4 ? index_at + i : rows_at + 6 * (off_t)sizeof logits + i - 4;
        unsigned char byte, changed;
        assert_int_equal(pread(raw, &byte, 1, at), 1);
        changed = byte ^ 0x10;
        assert_int_equal(__real_pwrite(raw, &changed, 1, at), 1);
        assert_int_equal(ctkd__logit_file_get(file, 6, logits), CTKD__ROW_DAMAGED);
        assert_int_equal(__real_pwrite(raw, &byte, 1, at), 1);
        expect_row(file, 6, 1.25f);
    }
    /* Equal logits of another row are not this row's. */
    uint32_t word;
    assert_int_equal(pread(raw, &word, 4, index_at), 4);
    assert_int_equal(__real_pwrite(raw, &word, 4, index_at + 8), 4);
    assert_int_equal(ctkd__logit_file_get(file, 8, logits), CTKD__ROW_DAMAGED);
    struct ctkd__logit_count count;
    check_ok(ctkd__logit_file_count(file, true, &count, NULL), NULL);
    assert_true(count.present == 2 && count.damaged == 1 && count.first_damaged == 8);
    close(raw);
    ctkd__logit_file_close(file);
    free(path);
}

static void refused(const char *path, const char *part)
{
    struct ctkd__logit_file *file;
    ctkd_error err = { 0 };
    assert_int_equal(ctkd__logit_file_create(path, identity, &shape, &file, &err), CTKD_EFORMAT);
    assert_null(file);
    if (!strstr(err.message, part))
        fail_msg("found '%s', expected a message with '%s'", err.message, part);
}

static void every_changed_byte_of_the_header_and_every_length_is_refused(void **state)
{
    char *const path = strdup(temp_path(*state, "a.logits"));
    size_t size;
    ctkd__logit_file_close(create(path));
    char *const bytes = temp_read(path, &size);
    const size_t text = strlen(bytes);
    assert_true(size == 8192 + 20 * CLASSES * sizeof(float) && text < 200);
    for (size_t i = 0; i < text; i++) {
        bytes[i] ^= 1;
        temp_write(*state, "a.logits", bytes, size);
        refused(path, "a.logits: ");
        bytes[i] ^= 1;
    }
    for (size_t n = 0; n < size; n += n < text + 2 ? 1 : 997) {
        temp_write(*state, "a.logits", bytes, n);
        refused(path, "a.logits: ");
    }
    temp_write(*state, "a.logits", bytes, size);
    ctkd__logit_file_close(create(path));
    free(bytes);
    free(path);
}

static void another_identity_is_named(void **state)
{
    const char *const path = temp_path(*state, "a.logits");
    struct ctkd__logit_file *file;
    ctkd_error err = { 0 };
    ctkd__logit_file_close(create(path));
    assert_int_equal(
        ctkd__logit_file_create(path, "teacher resnet8\nweights 1299\n", &shape, &file, &err),
        CTKD_EFORMAT);
    assert_non_null(strstr(err.message,
                           "a.logits: found 'weights 1234' in the header, expected 'weights "
                           "1299'"));
}

static void a_full_disk_is_a_status_and_what_is_there_stays(void **state)
{
    const char *const path = temp_path(*state, "a.logits");
    struct ctkd__logit_file *file = create(path);
    const float logits[CLASSES] = { 1, 2, 3 };
    float found[CLASSES];
    ctkd_error err = { 0 };
    put(file, 1, 4);
    for (writes_left = 0; writes_left < 4; writes_left++) { /* 3 of the row, 1 of the index */
        const long at = writes_left;
        assert_int_equal(ctkd__logit_file_put(file, 2, logits, &err), CTKD_EIO);
        assert_non_null(strstr(err.message, "a.logits: No space left on device"));
        assert_int_equal(ctkd__logit_file_get(file, 2, found), CTKD__ROW_ABSENT);
        writes_left = at;
    }
    writes_left = -1;
    expect_row(file, 1, 4);
    put(file, 2, 5);
    expect_row(file, 2, 5);
    ctkd__logit_file_close(file);
}

static void the_last_of_the_disk_is_left_to_others(void **state)
{
    char *const path = strdup(temp_path(*state, "a.logits"));
    const float logits[CLASSES] = { 1, 2, 3 };
    struct ctkd__logit_file *file;
    ctkd_error err = { 0 };
    left = 200 << 20;
    assert_int_equal(ctkd__logit_file_create(path, identity, &shape, &file, &err), CTKD_EIO);
    assert_non_null(
        strstr(err.message, "the disk has 200 MB left, a store leaves the last 256 MB"));
    assert_int_equal(access(path, F_OK), -1);
    left = UINT64_MAX;
    file = create(path);
    left = 200 << 20;
    assert_int_equal(ctkd__logit_file_put(file, 2, logits, &err), CTKD_EIO);
    assert_non_null(strstr(err.message, "a.logits: the disk has less than 256 MB left"));
    left = UINT64_MAX;
    ctkd__logit_file_close(file);
    free(path);
}

static void shapes_that_no_file_can_have_are_refused(void **state)
{
    const struct ctkd__logit_shape bad[] = { { 0, 1, 1, false },
                                             { 1, 0, 1, false },
                                             { 1, 1, 0, false },
                                             { UINT64_MAX / 2, 3, 1, false },
                                             { UINT64_MAX / 4, 1, 1, false },
                                             { 1, 1, UINT64_MAX / 2, false },
                                             { 1 << 20, 1 << 20, 1 << 30, false },
                                             { 1, 1, UINT64_MAX, true } };
    struct ctkd__logit_file *file;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(ctkd__logit_file_bytes_max(&bad[i]), 0);
        assert_int_equal(
            ctkd__logit_file_create(temp_path(*state, "a.logits"), identity, &bad[i], &file, NULL),
            CTKD_ERANGE);
    }
    /* CIFAR-100 with crop and flip. */
    const struct ctkd__logit_shape cifar = { 50000, 162, 100, false };
    assert_int_equal(ctkd__logit_file_bytes_max(&cifar),
                     4096 + (UINT64_C(8100000) * 4 + 4095) / 4096 * 4096 + UINT64_C(8100000) * 400);
}

static size_t told, told_in_use;
static void tell(const struct ctkd__logit_entry *entry, bool in_use)
{
    assert_non_null(entry->path);
    told++;
    told_in_use += in_use;
}

static void pruning_removes_what_was_used_longest_ago(void **state)
{
    const char *const names[] = { "old.logits", "new.logits", "older.logits", "x.logits.12.new",
                                  "x.logits.12.00" };
    const time_t used[] = { 2000, 3000, 1000, 4000, 4000 };
    char *const path = strdup(temp_path(*state, "old.logits"));
    struct ctkd__logit_folder folder;
    ctkd_error err = { 0 };
    uint64_t occupied = 0;
    for (size_t i = 0; i < 5; i++) {
        struct ctkd__logit_file *const file = create(temp_path(*state, names[i]));
        put(file, 3, 1);
        ctkd__logit_file_close(file);
        const struct timespec times[2] = { { .tv_sec = used[i] }, { .tv_sec = used[i] } };
        assert_int_equal(utimensat(AT_FDCWD, temp_path(*state, names[i]), times, 0), 0);
    }
    check_ok(ctkd__logit_folder_read(*state, &folder, &err), &err);
    assert_int_equal(folder.count, 5);
    for (size_t i = 0; i < folder.count; i++)
        occupied += folder.entries[i].leftover ? 0 : folder.entries[i].occupied;
    ctkd__logit_folder_free(&folder);
    /* Leftovers go in any case, then the older one. */
    told = 0;
    check_ok(ctkd__logit_folder_prune(*state, occupied, tell, &err), &err);
    assert_int_equal(told, 2);
    assert_int_equal(access(temp_path(*state, names[3]), F_OK), -1);
    assert_int_equal(access(temp_path(*state, names[4]), F_OK), -1);
    check_ok(ctkd__logit_folder_prune(*state, occupied - 1, tell, &err), &err);
    assert_int_equal(told, 3);
    assert_int_equal(access(temp_path(*state, "older.logits"), F_OK), -1);
    struct ctkd__logit_file *const kept = create(path);
    told = told_in_use = 0;
    check_ok(ctkd__logit_folder_prune(*state, 0, tell, &err), &err);
    assert_int_equal(told, 2);
    assert_int_equal(told_in_use, 1);
    assert_int_equal(access(path, F_OK), 0);
    ctkd__logit_file_close(kept);
    free(path);
}

/* Another machine that has the folder by a network file system has a process of the same number,
   which creates the same store. */
static void files_that_others_are_creating_stay_as_they_are(void **state)
{
    static const char *const endings[] = { "new", "00" };
    char name[64], found[8];
    for (size_t i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "a.logits.%ld.%s", (long)getpid(), endings[i]);
        temp_write(*state, name, "theirs", 6);
    }
    struct ctkd__logit_file *const file = create(temp_path(*state, "a.logits"));
    put(file, 3, 1);
    expect_row(file, 3, 1);
    ctkd__logit_file_close(file);
    for (size_t i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "a.logits.%ld.%s", (long)getpid(), endings[i]);
        FILE *const theirs = fopen(temp_path(*state, name), "r");
        assert_non_null(theirs);
        assert_int_equal(fread(found, 1, sizeof found, theirs), 6);
        assert_memory_equal(found, "theirs", 6);
        fclose(theirs);
    }
    snprintf(name, sizeof name, "a.logits.%ld.01", (long)getpid());
    assert_int_equal(access(temp_path(*state, name), F_OK), -1);
}

/* prune removes the file between its opening and its lock. */
static void a_file_that_is_removed_while_it_is_opened_is_created_again(void **state)
{
    char *const path = strdup(temp_path(*state, "x.logits"));
    ctkd__logit_file_close(create(path));
    const int pruner = open(path, O_RDONLY);
    assert_int_equal(flock(pruner, LOCK_EX), 0);
    const pid_t child = fork();
    if (child == 0) {
        struct ctkd__logit_file *mine;
        close(pruner);
        const bool created =
            ctkd__logit_file_create(path, identity, &shape, &mine, NULL) == CTKD_OK;
        _exit(created && access(path, F_OK) == 0 ? 0 : 1);
    }
    nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
    assert_int_equal(unlink(path), 0);
    close(pruner);
    int ended = 0;
    assert_int_equal(waitpid(child, &ended, 0), child);
    assert_int_equal(ended, 0);
    free(path);
}

static void sizes_have_their_unit(void **state)
{
    (void)state;
    char text[32];
    assert_string_equal(ctkd__logit_size_text(12345, text, sizeof text), "12 kB");
    assert_string_equal(ctkd__logit_size_text(1400000, text, sizeof text), "1.4 MB");
    assert_string_equal(ctkd__logit_size_text(3272400000, text, sizeof text), "3.27 GB");
}

/* Root may write to any file: it becomes another user meanwhile. */
static void what_cannot_be_written_is_read_and_has_its_reason(void **state)
{
    const char *const path = temp_path(*state, "a.logits");
    struct ctkd__logit_file *file = create(path);
    char expected[700];
    ctkd_error err = { 0 };
    const float logits[CLASSES] = { 0 };
    put(file, 3, 7);
    ctkd__logit_file_close(file);
    assert_int_equal(chmod(path, 0444), 0);
    assert_int_equal(chmod(*state, 0755), 0);
    const bool root = geteuid() == 0;
    if (root)
        assert_int_equal(seteuid(65534), 0);
    const ctkd_status status = ctkd__logit_file_open(path, &file, &err);
    if (root)
        assert_int_equal(seteuid(0), 0);
    check_ok(status, &err);
    expect_row(file, 3, 7);
    assert_true(ctkd__logit_file_claim(file, 4)); /* nobody is waited for */
    assert_int_equal(ctkd__logit_file_put(file, 4, logits, &err), CTKD_EIO);
    snprintf(expected, sizeof expected, "cannot write %s: Permission denied", path);
    assert_string_equal(err.message, expected);
    ctkd__logit_file_close(file);
}

int main(void)
{
#define IN_A_FOLDER(test)                                                                          \
    cmocka_unit_test_setup_teardown(test, temp_folder_make, temp_folder_remove)
    const struct CMUnitTest tests[] = {
        IN_A_FOLDER(rows_are_read_as_they_were_written_by_whoever),
        IN_A_FOLDER(a_row_is_claimed_by_one_and_free_when_that_ends),
        IN_A_FOLDER(every_changed_byte_of_a_row_is_noticed),
        IN_A_FOLDER(every_changed_byte_of_the_header_and_every_length_is_refused),
        IN_A_FOLDER(another_identity_is_named),
        IN_A_FOLDER(a_full_disk_is_a_status_and_what_is_there_stays),
        IN_A_FOLDER(the_last_of_the_disk_is_left_to_others),
        IN_A_FOLDER(shapes_that_no_file_can_have_are_refused),
        IN_A_FOLDER(pruning_removes_what_was_used_longest_ago),
        IN_A_FOLDER(files_that_others_are_creating_stay_as_they_are),
        IN_A_FOLDER(a_file_that_is_removed_while_it_is_opened_is_created_again),
        cmocka_unit_test(sizes_have_their_unit),
        IN_A_FOLDER(what_cannot_be_written_is_read_and_has_its_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
