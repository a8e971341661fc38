#include "support/check.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "run/live_line.h"

static const struct ctkd__live_line typical = { .epoch = 113,
                                                .epochs = 240,
                                                .step = 517,
                                                .steps = 782,
                                                .images_per_second = 412.4,
                                                .loss = 1.23454,
                                                .has_tau = true,
                                                .tau = 12.345,
                                                .lambda = 0.8512,
                                                .eta = "11:23:45" };

static void check_line(const struct ctkd__live_line *line, size_t columns, const char *expected)
{
    char text[256];
    const size_t n = ctkd__live_line_text(line, columns, text, sizeof text);
    assert_string_equal(text, expected);
    assert_int_equal(n, strlen(expected));
}

static void parts_are_left_out_in_their_order(void **state)
{
    (void)state;
    check_line(&typical, 120,
               "epoch 113/240  step 517/782  412 img/s  loss 1.2345  tau 12.35  lambda 0.851  ETA "
               "11:23:45");
    check_line(&typical, 79,
               "epoch 113/240  step 517/782  412 img/s  loss 1.2345  tau 12.35  ETA 11:23:45");
    check_line(&typical, 69, "epoch 113/240  step 517/782  412 img/s  loss 1.2345  ETA 11:23:45");
    check_line(&typical, 59, "epoch 113/240  step 517/782  loss 1.2345  ETA 11:23:45");
    check_line(&typical, 49, "epoch 113/240  step 517/782  ETA 11:23:45");
    check_line(&typical, 39, "epoch 113/240  ETA 11:23:45");
    check_line(&typical, 19, "epoch 113/240");
    check_line(&typical, 9, "epoch 113");
    check_line(&typical, 0, "");
    struct ctkd__live_line fixed = typical;
    fixed.lambda = (double)NAN;
    check_line(&fixed, 120,
               "epoch 113/240  step 517/782  412 img/s  loss 1.2345  tau 12.35  ETA 11:23:45");
    struct ctkd__live_line labels = typical;
    labels.has_tau = false;
    labels.initial = true;
    check_line(&labels, 120,
               "initial epoch 113/240  step 517/782  412 img/s  loss 1.2345  ETA 11:23:45");
}

static void an_epoch_s_line_is_as_long_as_the_terminal_is_wide(void **state)
{
    (void)state;
    static const struct ctkd__epoch_line line = { .epoch = 113,
                                                  .epochs = 240,
                                                  .lr = 0.05,
                                                  .loss = 1.2345,
                                                  .train_top1 = 61.234,
                                                  .has_test = true,
                                                  .test_top1 = 58,
                                                  .best_top1 = 58.1,
                                                  .has_tau = true,
                                                  .tau = 12.345,
                                                  .lambda = 0.8512,
                                                  .images_per_second = 412.4,
                                                  .eta = "1:23:45" };
    static const char full[] =
        "epoch 113/240  lr 0.05  loss 1.2345  train 61.23 %  test 58.00 % (best 58.10 %)  tau "
        "12.35  lambda 0.851  412 img/s  ETA 1:23:45";
    char text[256];
    assert_int_equal(ctkd__epoch_line_text(&line, SIZE_MAX, text, sizeof text), strlen(full));
    assert_string_equal(text, full);
    ctkd__epoch_line_text(&line, 79, text, sizeof text);
    assert_string_equal(text,
                        "epoch 113/240  train 61.23 %  test 58.00 % (best 58.10 %)  ETA 1:23:45");
    ctkd__epoch_line_text(&line, 40, text, sizeof text);
    assert_string_equal(text, "epoch 113/240  test 58.00 %");
    for (size_t columns = 0; columns < 200; columns++)
        assert_true(ctkd__epoch_line_text(&line, columns, text, sizeof text) <= columns);
    struct ctkd__epoch_line initial = line;
    initial.initial = true;
    initial.has_test = initial.has_tau = false;
    ctkd__epoch_line_text(&initial, SIZE_MAX, text, sizeof text);
    assert_string_equal(text,
                        "initial epoch 113/240  lr 0.05  loss 1.2345  412 img/s  ETA 1:23:45");
}

static void no_line_is_longer_than_there_is_room(void **state)
{
    (void)state;
    struct ctkd__live_line wide = typical;
    wide.epoch = wide.epochs = wide.step = wide.steps = UINT64_MAX;
    wide.loss = wide.tau = wide.lambda = 1e300;
    wide.images_per_second = 1e300;
    const struct ctkd__live_line *const lines[] = { &typical, &wide };
    for (size_t columns = 0; columns < 300; columns++)
        for (size_t i = 0; i < 2; i++) {
            char text[128];
            memset(text, 'x', sizeof text);
            const size_t room = 1 + columns % 100;
            const size_t n = ctkd__live_line_text(lines[i], columns, text, room);
            assert_true(n <= columns && n < room);
            assert_int_equal(strlen(text), n);
            assert_int_equal(text[room], 'x');
        }
}

static void the_terminal_is_asked_each_time(void **state)
{
    (void)state;
    const int master = posix_openpt(O_RDWR | O_NOCTTY);
    assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    FILE *terminal = fopen(ptsname(master), "w");
    assert_non_null(terminal);
    static const unsigned short widths[] = { 80, 40, 132, 1 };
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        const struct winsize size = { .ws_col = widths[i], .ws_row = 24 };
        assert_int_equal(ioctl(master, TIOCSWINSZ, &size), 0);
        assert_int_equal(ctkd__live_line_columns(terminal), widths[i] > 1 ? widths[i] - 1 : 1);
    }
    const struct winsize unknown = { 0 };
    assert_int_equal(ioctl(master, TIOCSWINSZ, &unknown), 0);
    setenv("COLUMNS", "50", 1);
    assert_int_equal(ctkd__live_line_columns(terminal), 49);
    setenv("COLUMNS", "many", 1);
    assert_int_equal(ctkd__live_line_columns(terminal), 79);
    unsetenv("COLUMNS");
    assert_int_equal(ctkd__live_line_columns(terminal), 79);
    fclose(terminal);
    close(master);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_left_out_in_their_order),
        cmocka_unit_test(an_epoch_s_line_is_as_long_as_the_terminal_is_wide),
        cmocka_unit_test(no_line_is_longer_than_there_is_room),
        cmocka_unit_test(the_terminal_is_asked_each_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
