#include "train/normalisation_trials.h"

#include "support/check.h"

static void constants_of_pixels_of_another_range_are_recognised(void **state)
{
    (void)state;
    static const struct {
        float mean, std, mean_after, std_after;
        const char *note; /* "": nothing is changed */
    } cases[] = {
        { 0.485f, 0.229f, 0.485f, 0.229f, "" }, /* ImageNet */
        { 0, 1, 0, 1, "" },                     /* 0 to 1 */
        { 0.5f, 1, 0.5f, 1, "" },               /* a mean is subtracted and nothing else */
        { 0, 1 / 255.0f, 0, 1 / 255.0f, "" },   /* the network multiplies by 255 */
        { 1, 0.5f, 1, 0.5f, "" },
        { 33.3285f, 78.5655f, 0.1307f, 0.3081f, "gets pixels from 0 to 255" },
        { 127.5f, 127.5f, 0.5f, 0.5f, "gets pixels from 0 to 255" },
        { 0, 255, 0, 1, "gets pixels from 0 to 255" },
        { 123.675f, 58.395f, 0.485f, 0.229f, "mean 123.675,123.675,123.675 and deviation" },
        { 103.9f, 1, 103.9f / 255, 1 / 255.0f, "gets pixels from 0 to 255" },
        /* a network that computes with its input: what it says is kept, and questioned */
        { -1, 2, -1, 2, "which is unusual for pixels from 0 to 1" },
        { 0, 1.43f, 0, 1.43f, "which is unusual for pixels from 0 to 1" },
        { 0, 4, 0, 4, "which is unusual for pixels from 0 to 1" },
        { -300, 2, -300, 2, "which is unusual for pixels from 0 to 1" },
        { 300, 80, 300, 80, "which is unusual for pixels from 0 to 1" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float mean[3] = { cases[i].mean, cases[i].mean, cases[i].mean };
        float std[3] = { cases[i].std, cases[i].std, cases[i].std };
        char note[256];
        ctkd__normalisation_question(3, mean, std, note, sizeof note);
        check_close(mean[2], cases[i].mean_after, 1e-5, 1e-7);
        check_close(std[2], cases[i].std_after, 1e-5, 1e-7);
        if (!strstr(note, cases[i].note) || !note[0] != !cases[i].note[0])
            fail_msg("case %zu: \"%s\", expected \"%s\"", i, note, cases[i].note);
    }
}

/* One channel decides: all are of one image. */
static void all_channels_are_of_one_range(void **state)
{
    (void)state;
    float mean[3] = { 0.5f, 0.5f, 128 }, std[3] = { 1, 1, 50 };
    char note[256];
    ctkd__normalisation_question(3, mean, std, note, sizeof note);
    check_close(mean[0], 0.5 / 255, 1e-6, 0);
    check_close(mean[2], 128.0 / 255, 1e-6, 0);
    assert_non_null(strstr(note, "mean 0.5,0.5,128 and deviation 1,1,50"));
}

static void a_low_accuracy_is_doubted(void **state)
{
    (void)state;
    assert_true(ctkd__normalisation_near_chance(19, 10));
    assert_false(ctkd__normalisation_near_chance(21, 10));
    assert_true(ctkd__normalisation_near_chance(1.9, 100));
    assert_true(ctkd__normalisation_near_chance(60, 2)); /* twice chance would be everything */
    assert_false(ctkd__normalisation_near_chance(70, 2));
    assert_true(ctkd__normalisation_doubtful(49, 1000));
    assert_false(ctkd__normalisation_doubtful(51, 1000));
    assert_true(ctkd__normalisation_doubtful(60, 2));
    assert_false(ctkd__normalisation_doubtful(70, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(constants_of_pixels_of_another_range_are_recognised),
        cmocka_unit_test(all_channels_are_of_one_range),
        cmocka_unit_test(a_low_accuracy_is_doubted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
