#include "data/loader.h"

#include <stdlib.h>
#include <unistd.h>

#include "data/strong_view.h"
#include "support/check.h"
#include "support/next_batch.h"

/* Images whose pixels tell which image they are of; classes of 5, 10, 15, ... samples. */
enum { COUNT = 105, CHANNELS = 3, SIDE = 8, PIXELS = CHANNELS * SIDE * SIDE, CLASSES = 6 };
static uint8_t pixels[COUNT * PIXELS];
static int32_t labels[COUNT];
static const struct ctkd__images images = { COUNT, CHANNELS, SIDE, SIDE, pixels, labels, NULL };

static int images_make(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT * PIXELS; i++)
        pixels[i] = (uint8_t)(i * 2654435761u >> 13);
    size_t at = 0;
    for (int32_t k = 0; k < CLASSES; k++)
        for (int32_t i = 0; i < 5 * (k + 1); i++)
            labels[at++ * 52 % COUNT] = k; /* mixed: 52 and 105 have no common factor */
    return at == COUNT ? 0 : -1;
}

static struct ctkd__loader_config config_make(size_t batch)
{
    return (struct ctkd__loader_config){
        .batch = batch,
        .shuffle = true,
        .augment = true,
        .crop_padding = 2,
        .seed = 11,
        .mean = { 0.5f, 0.4f, 0.3f },
        .std = { 0.2f, 0.25f, 0.3f },
    };
}

static struct ctkd__loader *loader_make(const struct ctkd__images *of,
                                        const struct ctkd__loader_config *config)
{
    struct ctkd__loader *loader;
    ctkd_error err;
    check_ok(ctkd__loader_create(of, config, &loader, &err), &err);
    return loader;
}

/* Everything that an epoch hands out from batch `first` on, in one piece. */
struct epoch {
    size_t n;
    uint64_t ids[COUNT];
    int32_t labels[COUNT];
    float x[COUNT * PIXELS], strong[COUNT * PIXELS];
};

static struct epoch *epoch_collect(struct ctkd__loader *loader, uint64_t number, size_t first)
{
    struct epoch *epoch = calloc(1, sizeof *epoch);
    assert_non_null(epoch);
    struct ctkd__batch batch;
    ctkd__loader_start(loader, number, first);
    while (next_batch(loader, &batch)) {
        assert_in_range(epoch->n + batch.n, 1, COUNT);
        memcpy(epoch->ids + epoch->n, batch.ids, batch.n * sizeof *batch.ids);
        memcpy(epoch->labels + epoch->n, batch.labels, batch.n * sizeof *batch.labels);
        memcpy(epoch->x + epoch->n * PIXELS, batch.x.values,
               batch.n * PIXELS * sizeof *batch.x.values);
        if (batch.strong.values)
            memcpy(epoch->strong + epoch->n * PIXELS, batch.strong.values,
                   batch.n * PIXELS * sizeof *batch.strong.values);
        epoch->n += batch.n;
    }
    assert_false(next_batch(loader, &batch)); /* and it stays over */
    return epoch;
}

/* An epoch of a new loader of this batch size. */
static struct epoch *epoch_of(const struct ctkd__loader_config *config, uint64_t number,
                              size_t first)
{
    struct ctkd__loader *loader = loader_make(&images, config);
    struct epoch *epoch = epoch_collect(loader, number, first);
    ctkd__loader_destroy(loader);
    return epoch;
}

static void a_batch_stays_valid_while_the_next_one_is_peeked_at(void **state)
{
    (void)state;
    struct ctkd__loader_config config = config_make(16);
    struct epoch *const expected = epoch_of(&config, 3, 0);
    config.holds_two = true;
    struct ctkd__loader *loader = loader_make(&images, &config);
    struct ctkd__batch batch, next, again;
    ctkd_error err;
    size_t at = 0;
    ctkd__loader_start(loader, 3, 0);
    while (next_batch(loader, &batch)) {
        check_ok(ctkd__loader_peek(loader, &next, &err), &err);
        check_ok(ctkd__loader_peek(loader, &again, &err), &err);
        assert_memory_equal(&again, &next, sizeof next);
        usleep(5000); /* the thread fills all slots that it believes to be free */
        assert_memory_equal(batch.x.values, expected->x + at * PIXELS,
                            batch.n * PIXELS * sizeof *batch.x.values);
        assert_memory_equal(batch.ids, expected->ids + at, batch.n * sizeof *batch.ids);
        at += batch.n;
        assert_memory_equal(next.ids, expected->ids + at, next.n * sizeof *next.ids);
    }
    assert_int_equal(at, COUNT);
    ctkd__loader_destroy(loader);
    free(expected);
}

static void an_epoch_hands_out_every_sample_once_with_its_label(void **state)
{
    (void)state;
    const struct ctkd__loader_config config = config_make(16);
    struct ctkd__loader *loader = loader_make(&images, &config);
    assert_int_equal(ctkd__loader_samples(loader), COUNT);
    assert_int_equal(ctkd__loader_batches(loader), 7);
    struct ctkd__batch batch;
    assert_false(next_batch(loader, &batch)); /* nothing before the start */
    bool seen[COUNT] = { false };
    ctkd__loader_start(loader, 1, 0);
    for (size_t b = 0; next_batch(loader, &batch); b++) {
        assert_int_equal(batch.n, b < 6 ? 16 : 9);
        for (size_t i = 0; i < batch.n; i++) {
            assert_in_range(batch.ids[i], 0, COUNT - 1);
            assert_false(seen[batch.ids[i]]);
            seen[batch.ids[i]] = true;
            assert_int_equal(batch.labels[i], labels[batch.ids[i]]);
        }
    }
    for (size_t i = 0; i < COUNT; i++)
        assert_true(seen[i]);
    ctkd__loader_destroy(loader);
}

static void without_augmentation_pixels_are_normalised_in_file_order(void **state)
{
    (void)state;
    struct ctkd__loader_config config = config_make(10);
    config.shuffle = config.augment = false;
    struct epoch *epoch = epoch_of(&config, 1, 0);
    assert_int_equal(epoch->n, COUNT);
    for (size_t i = 0; i < COUNT * PIXELS; i++) {
        const size_t c = i / (SIDE * SIDE) % CHANNELS;
        assert_int_equal(epoch->ids[i / PIXELS], i / PIXELS);
        assert_true(epoch->x[i] == ((float)pixels[i] / 255.0f - config.mean[c]) / config.std[c]);
    }
    free(epoch);
}

static void augmented_pixels_are_the_view_drawn_for_epoch_and_sample(void **state)
{
    (void)state;
    const struct ctkd__loader_config config = config_make(10);
    struct epoch *epoch = epoch_of(&config, 4, 0);
    for (size_t i = 0; i < COUNT; i++) {
        const struct ctkd__view view = ctkd__view_draw(config.seed, 4, epoch->ids[i], 2);
        for (size_t c = 0; c < CHANNELS; c++) {
            float table[256], plane[SIDE * SIDE];
            ctkd__normalise_table(config.mean[c], config.std[c], table);
            ctkd__view_plane(pixels + (epoch->ids[i] * CHANNELS + c) * SIDE * SIDE, SIDE, SIDE,
                             &view, table, SIDE, SIDE, plane);
            assert_memory_equal(epoch->x + (i * CHANNELS + c) * SIDE * SIDE, plane, sizeof plane);
        }
    }
    free(epoch);
}

static void check_strong(const struct ctkd__loader_config *config)
{
    struct epoch *epoch = epoch_of(config, 4, 0);
    for (size_t i = 0; i < COUNT; i++) {
        uint8_t bytes[PIXELS], plane[SIDE * SIDE];
        const struct ctkd__raster image = { CHANNELS, SIDE, SIDE, bytes };
        struct ctkd__strong_view view = ctkd__strong_view_draw(config->seed, 4, epoch->ids[i], 2);
        if (!config->augment)
            view.view = (struct ctkd__view){ 0 };
        ctkd__strong_view_make(pixels + epoch->ids[i] * PIXELS, SIDE, SIDE, &view, &image, plane);
        for (size_t j = 0; j < PIXELS; j++) {
            const size_t c = j / (SIDE * SIDE);
            assert_true(epoch->strong[i * PIXELS + j] ==
                        ((float)bytes[j] / 255.0f - config->mean[c]) / config->std[c]);
        }
    }
    free(epoch);
}

static void strong_pixels_are_the_strong_view_drawn_for_epoch_and_sample(void **state)
{
    (void)state;
    struct ctkd__loader_config config = config_make(10);
    config.strong = true;
    check_strong(&config);
    config.augment = false; /* neither crop nor flip */
    check_strong(&config);
}

static void a_strong_view_leaves_the_batch_as_it_is_without(void **state)
{
    (void)state;
    struct ctkd__loader_config config = config_make(10);
    struct ctkd__loader *loader = loader_make(&images, &config);
    struct ctkd__batch batch;
    ctkd__loader_start(loader, 4, 0);
    while (next_batch(loader, &batch))
        assert_null(batch.strong.values);
    ctkd__loader_destroy(loader);
    struct epoch *without = epoch_of(&config, 4, 0);
    config.strong = true;
    struct epoch *with = epoch_of(&config, 4, 0);
    assert_memory_equal(with->ids, without->ids, sizeof with->ids);
    assert_memory_equal(with->labels, without->labels, sizeof with->labels);
    assert_memory_equal(with->x, without->x, sizeof with->x);
    assert_memory_not_equal(with->strong, with->x, sizeof with->x);
    free(with);
    free(without);
}

static void batches_do_not_depend_on_the_batch_size(void **state)
{
    (void)state;
    struct ctkd__loader_config reference_config = config_make(COUNT);
    reference_config.strong = true;
    struct epoch *reference = epoch_of(&reference_config, 2, 0);
    static const size_t sizes[] = { 1, 2, 7, 104, 106, 1000000 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct ctkd__loader_config config = config_make(sizes[i]);
        config.strong = true;
        struct epoch *epoch = epoch_of(&config, 2, 0);
        assert_memory_equal(epoch, reference, sizeof *epoch);
        free(epoch);
    }
    free(reference);
}

static void a_resumed_epoch_gives_the_rest_of_it(void **state)
{
    (void)state;
    struct ctkd__loader_config config = config_make(8);
    config.strong = true;
    struct epoch *whole = epoch_of(&config, 3, 0);
    for (size_t first = 0; first <= 15; first++) {
        struct epoch *rest = epoch_of(&config, 3, first);
        const size_t skipped = first * 8 < COUNT ? first * 8 : COUNT;
        assert_int_equal(rest->n, COUNT - skipped);
        assert_memory_equal(rest->ids, whole->ids + skipped, rest->n * sizeof *rest->ids);
        assert_memory_equal(rest->labels, whole->labels + skipped, rest->n * sizeof *rest->labels);
        assert_memory_equal(rest->x, whole->x + skipped * PIXELS,
                            rest->n * PIXELS * sizeof *rest->x);
        assert_memory_equal(rest->strong, whole->strong + skipped * PIXELS,
                            rest->n * PIXELS * sizeof *rest->strong);
        free(rest);
    }
    free(whole);
}

/* Batches of 20 in groups of 7, 7 and 6, the last of 5; three parts share each group. */
static void parts_share_every_group_of_a_batch(void **state)
{
    (void)state;
    enum { BATCH = 20, GROUP = 7, PARTS = 3 };
    struct ctkd__loader_config config = config_make(BATCH);
    config.strong = true;
    struct epoch *const whole = epoch_of(&config, 2, 0);
    config.parts = PARTS;
    config.group = GROUP;
    size_t seen[COUNT] = { 0 };
    for (config.part = 0; config.part < PARTS; config.part++) {
        struct epoch *const part = epoch_of(&config, 2, 0);
        assert_int_equal(part->n, COUNT);
        assert_memory_equal(part->ids, whole->ids, sizeof whole->ids);
        assert_memory_equal(part->labels, whole->labels, sizeof whole->labels);
        for (size_t i = 0; i < COUNT; i++) {
            const size_t batch = i / BATCH * BATCH,
                         n = COUNT - batch < BATCH ? COUNT - batch : BATCH;
            const size_t group = (i - batch) / GROUP * GROUP, at = i - batch - group;
            const size_t size = n - group < GROUP ? n - group : GROUP;
            if (at < size * config.part / PARTS || at >= size * (config.part + 1) / PARTS)
                continue;
            seen[i]++;
            assert_memory_equal(part->x + i * PIXELS, whole->x + i * PIXELS,
                                PIXELS * sizeof *part->x);
            assert_memory_equal(part->strong + i * PIXELS, whole->strong + i * PIXELS,
                                PIXELS * sizeof *part->strong);
        }
        free(part);
    }
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(seen[i], 1);
    free(whole);
}

static void epochs_and_seeds_differ_in_order(void **state)
{
    (void)state;
    struct ctkd__loader_config config = config_make(8);
    struct epoch *one = epoch_of(&config, 1, 0), *two = epoch_of(&config, 2, 0);
    config.seed++;
    struct epoch *other = epoch_of(&config, 1, 0);
    size_t fixed = 0, same = 0;
    for (size_t i = 0; i < COUNT; i++) {
        fixed += one->ids[i] == two->ids[i];
        same += one->ids[i] == other->ids[i];
    }
    assert_in_range(fixed, 0, 8); /* one is expected by chance */
    assert_in_range(same, 0, 8);
    free(one);
    free(two);
    free(other);
}

static void a_start_in_the_middle_of_an_epoch_begins_anew(void **state)
{
    (void)state;
    struct ctkd__loader_config config = config_make(4);
    config.strong = true;
    struct ctkd__loader *loader = loader_make(&images, &config);
    struct epoch *reference = epoch_of(&config, 5, 0);
    struct ctkd__batch batch;
    for (size_t taken = 0; taken < 12; taken++) {
        ctkd__loader_start(loader, 1 + taken, taken % 3);
        for (size_t i = 0; i < taken; i++)
            assert_true(next_batch(loader, &batch));
        struct epoch *epoch = epoch_collect(loader, 5, 0);
        assert_memory_equal(epoch, reference, sizeof *epoch);
        free(epoch);
    }
    free(reference);
    ctkd__loader_destroy(loader);
}

static void a_batch_stays_untouched_until_the_next_call(void **state)
{
    (void)state;
    struct ctkd__loader_config config = config_make(8);
    config.strong = true;
    struct ctkd__loader *loader = loader_make(&images, &config);
    static float copy[8 * PIXELS], strong[8 * PIXELS];
    struct ctkd__batch batch;
    ctkd__loader_start(loader, 1, 0);
    while (next_batch(loader, &batch)) {
        memcpy(copy, batch.x.values, batch.n * PIXELS * sizeof *copy);
        memcpy(strong, batch.strong.values, batch.n * PIXELS * sizeof *strong);
        usleep(2000); /* time for the thread to fill whatever it may */
        assert_memory_equal(copy, batch.x.values, batch.n * PIXELS * sizeof *copy);
        assert_memory_equal(strong, batch.strong.values, batch.n * PIXELS * sizeof *strong);
    }
    ctkd__loader_destroy(loader);
}

static void a_slow_step_never_waits_for_the_second_batch(void **state)
{
    (void)state;
    const struct ctkd__loader_config config = config_make(8);
    struct ctkd__loader *loader = loader_make(&images, &config);
    struct ctkd__batch batch;
    ctkd__loader_start(loader, 1, 0);
    assert_true(next_batch(loader, &batch));
    const uint64_t waited = ctkd__loader_waited_ns(loader);
    size_t late = 0;
    for (uint64_t before = waited; usleep(20000), next_batch(loader, &batch);) {
        late += ctkd__loader_waited_ns(loader) != before;
        before = ctkd__loader_waited_ns(loader);
    }
    /* 13 steps of 20 ms, 0.01 ms of work each: a busy machine is forgiven. */
    assert_in_range(late, 0, 3);
    ctkd__loader_destroy(loader);
}

static void a_loader_can_be_destroyed_at_any_time(void **state)
{
    (void)state;
    const struct ctkd__loader_config config = config_make(8);
    struct ctkd__batch batch;
    ctkd__loader_destroy(NULL);
    for (size_t taken = 0; taken < 40; taken++) {
        struct ctkd__loader *loader = loader_make(&images, &config);
        if (taken > 0)
            ctkd__loader_start(loader, taken, 0);
        for (size_t i = 1; i < taken && i < 14; i++)
            next_batch(loader, &batch);
        ctkd__loader_destroy(loader);
    }
}

static void a_limit_keeps_the_proportions_and_smaller_choices_are_part_of_larger(void **state)
{
    (void)state;
    bool before[COUNT] = { false };
    for (size_t limit = 1; limit <= COUNT; limit++) {
        struct ctkd__loader_config config = config_make(16);
        config.limit = limit;
        struct epoch *epoch = epoch_of(&config, 1, 0), *later = epoch_of(&config, 2, 0);
        size_t per_class[CLASSES] = { 0 };
        bool chosen[COUNT] = { false };
        assert_int_equal(epoch->n, limit);
        for (size_t i = 0; i < limit; i++) {
            per_class[epoch->labels[i]]++;
            chosen[epoch->ids[i]] = true;
        }
        for (size_t i = 0; i < limit; i++)
            assert_true(chosen[later->ids[i]]);
        for (size_t i = 0; i < COUNT; i++)
            assert_true(chosen[i] || !before[i]);
        memcpy(before, chosen, sizeof before);
        for (size_t k = 0; k < CLASSES; k++) {
            const double exact = 5.0 * (double)(k + 1) * (double)limit / COUNT;
            check_close(per_class[k], exact, 0, 1.0);
        }
        free(epoch);
        free(later);
    }
}

static void one_channel_is_repeated_and_images_are_padded_in_the_centre(void **state)
{
    (void)state;
    uint8_t grey[2 * 3] = { 10, 20, 30, 40, 50, 60 }; /* 2 rows of 3 */
    int32_t label = 4;
    const struct ctkd__images small = { 1, 1, 2, 3, grey, &label, NULL };
    struct ctkd__loader_config config = {
        .batch = 1, .channels = 3, .pad_to = 6, .mean = { 0.5f }, .std = { 0.5f }
    };
    struct ctkd__loader *loader = loader_make(&small, &config);
    assert_int_equal(ctkd__loader_channels(loader), 3);
    assert_int_equal(ctkd__loader_height(loader), 6);
    assert_int_equal(ctkd__loader_width(loader), 6);
    struct ctkd__batch batch;
    ctkd__loader_start(loader, 1, 0);
    assert_true(next_batch(loader, &batch));
    assert_int_equal(batch.labels[0], 4);
    for (size_t i = 0; i < 3 * 36; i++) {
        const size_t row = i % 36 / 6, column = i % 6; /* 2 above, 2 below; 1 left, 2 right */
        const bool inside = row >= 2 && row < 4 && column >= 1 && column < 4;
        const float byte = inside ? grey[(row - 2) * 3 + column - 1] : 0;
        assert_true(batch.x.values[i] == (byte / 255.0f - 0.5f) / 0.5f);
    }
    ctkd__loader_destroy(loader);
}

static void a_strong_view_of_one_padded_channel_is_repeated(void **state)
{
    (void)state;
    enum { N = 40, PADDED = 12, AREA = PADDED * PADDED };
    const struct ctkd__images grey = { N, 1, SIDE, SIDE, pixels, labels, NULL };
    const struct ctkd__loader_config config = {
        .batch = N, .strong = true, .channels = 3, .pad_to = PADDED, .seed = 3, .std = { 1.0f }
    };
    struct ctkd__loader *loader = loader_make(&grey, &config);
    struct ctkd__batch batch;
    ctkd__loader_start(loader, 1, 0);
    assert_true(next_batch(loader, &batch));
    for (size_t i = 0; i < N; i++) {
        uint8_t bytes[AREA], plane[AREA];
        const struct ctkd__raster image = { 1, PADDED, PADDED, bytes };
        struct ctkd__strong_view view = ctkd__strong_view_draw(3, 1, i, 0);
        view.view = (struct ctkd__view){ -2, -2, false };
        ctkd__strong_view_make(pixels + i * SIDE * SIDE, SIDE, SIDE, &view, &image, plane);
        for (size_t j = 0; j < 3 * AREA; j++)
            assert_true(batch.strong.values[i * 3 * AREA + j] == (float)bytes[j % AREA] / 255.0f);
    }
    ctkd__loader_destroy(loader);
}

static void a_strong_view_wants_images_of_one_or_three_channels(void **state)
{
    (void)state;
    for (size_t channels = 1; channels <= 4; channels++) {
        const struct ctkd__images some = { 2, channels, SIDE, SIDE, pixels, labels, NULL };
        const struct ctkd__loader_config config = { .batch = 1,
                                                    .strong = true,
                                                    .std = { 1.0f, 1.0f, 1.0f, 1.0f } };
        struct ctkd__loader *loader;
        ctkd_error err = { 0 };
        const ctkd_status status = ctkd__loader_create(&some, &config, &loader, &err);
        const bool fits = channels == 1 || channels == 3;
        assert_int_equal(status, fits ? CTKD_OK : CTKD_ESHAPE);
        if (!fits)
            assert_non_null(strstr(err.message, "channels, expected 1 or 3"));
        ctkd__loader_destroy(loader);
    }
}

static void check_refused(struct ctkd__loader_config config, ctkd_status status, const char *text)
{
    struct ctkd__loader *loader;
    ctkd_error err = { 0 };
    assert_int_equal(ctkd__loader_create(&images, &config, &loader, &err), status);
    assert_null(loader);
    if (!strstr(err.message, text))
        fail_msg("'%s' lacks '%s'", err.message, text);
}

static void a_wrong_config_is_refused_with_its_field(void **state)
{
    (void)state;
    struct ctkd__loader_config config = config_make(0);
    check_refused(config, CTKD_EINVAL, "batch 0");
    config = config_make(8);
    config.limit = COUNT + 1;
    check_refused(config, CTKD_ERANGE, "limit: found 106, expected at most the 105 images");
    config = config_make(8);
    config.pad_to = SIDE - 1;
    check_refused(config, CTKD_ERANGE, "data.pad_to: found 7, expected 0, or at least 8");
    config = config_make(8);
    config.crop_padding = SIZE_MAX;
    check_refused(config, CTKD_ERANGE, "crop padding");
    config = config_make(8);
    config.channels = 1;
    check_refused(config, CTKD_ESHAPE, "data.channels: found 1 for images of 3");
    config = config_make(8);
    config.std[2] = 0;
    check_refused(config, CTKD_EINVAL, "channel 2: found 0.3 and 0, expected");
    config = config_make(8);
    config.mean[1] = NAN;
    check_refused(config, CTKD_EINVAL, "channel 1");
    config = config_make(8);
    config.mean[1] = 1e30f;
    config.std[1] = 1e-20f;
    check_refused(config, CTKD_ERANGE,
                  "channel 1: found 1e+30 and 1e-20, which give values that exceed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_epoch_hands_out_every_sample_once_with_its_label),
        cmocka_unit_test(a_batch_stays_valid_while_the_next_one_is_peeked_at),
        cmocka_unit_test(without_augmentation_pixels_are_normalised_in_file_order),
        cmocka_unit_test(augmented_pixels_are_the_view_drawn_for_epoch_and_sample),
        cmocka_unit_test(strong_pixels_are_the_strong_view_drawn_for_epoch_and_sample),
        cmocka_unit_test(a_strong_view_leaves_the_batch_as_it_is_without),
        cmocka_unit_test(batches_do_not_depend_on_the_batch_size),
        cmocka_unit_test(a_resumed_epoch_gives_the_rest_of_it),
        cmocka_unit_test(parts_share_every_group_of_a_batch),
        cmocka_unit_test(epochs_and_seeds_differ_in_order),
        cmocka_unit_test(a_start_in_the_middle_of_an_epoch_begins_anew),
        cmocka_unit_test(a_batch_stays_untouched_until_the_next_call),
        cmocka_unit_test(a_slow_step_never_waits_for_the_second_batch),
        cmocka_unit_test(a_loader_can_be_destroyed_at_any_time),
        cmocka_unit_test(a_limit_keeps_the_proportions_and_smaller_choices_are_part_of_larger),
        cmocka_unit_test(one_channel_is_repeated_and_images_are_padded_in_the_centre),
        cmocka_unit_test(a_strong_view_of_one_padded_channel_is_repeated),
        cmocka_unit_test(a_strong_view_wants_images_of_one_or_three_channels),
        cmocka_unit_test(a_wrong_config_is_refused_with_its_field),
    };
    return cmocka_run_group_tests(tests, images_make, NULL);
}
