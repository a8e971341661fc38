/* ctkd_plugin for foreign loops: evaluate and apply, kinds of labels, masks, weights, types,
 * options. */
#include <float.h>

#include "ctkd/plugin.h"
#include "support/allocator.h"
#include "support/check.h"

enum { N = 6, K = 9, NK = N * K, STATE_BYTES = 4096, THETA_MAX = 128 };

static const int32_t labels[N] = { 0, 8, 3, 3, 5, 1 };

static ctkd_plugin *create(const ctkd_plugin_config *config)
{
    ctkd_plugin *plugin = NULL;
    ctkd_error err;
    check_ok(ctkd_plugin_create_checked(config, &plugin, &err), &err);
    return plugin;
}

static ctkd_plugin_config config_of(ctkd_temperature_kind kind)
{
    ctkd_plugin_config config = ctkd_plugin_defaults(N, K);
    config.temperature.kind = kind;
    config.temperature.hidden = 4;
    config.temperature.through = true;
    config.method = "dkd";
    config.method_weight = 0.5f;
    return config;
}

struct logits {
    float s[NK], t[NK];
};

static struct logits logits_of(uint64_t seed)
{
    struct logits l;
    fill_uniform(l.s, NK, seed, -3, 3);
    fill_uniform(l.t, NK, seed + 1000, -6, 6);
    return l;
}

static ctkd_plugin_batch batch_of(const struct logits *l)
{
    return (ctkd_plugin_batch){ .size = sizeof(ctkd_plugin_batch),
                                .n = N,
                                .s = l->s,
                                .t = l->t,
                                .labels = labels,
                                .epoch = 4 };
}

struct result {
    float ds[NK], dtheta[THETA_MAX];
    ctkd_plugin_report report;
};

static struct result evaluate(ctkd_plugin *plugin, const ctkd_plugin_batch *batch)
{
    struct result r;
    ctkd_error err;
    memset(&r, 0, sizeof r);
    assert_in_range(ctkd_plugin_theta_count(plugin), 0, THETA_MAX);
    check_ok(ctkd_plugin_evaluate(plugin, batch, r.ds, r.dtheta, &r.report, &err), &err);
    return r;
}

static void save(const ctkd_plugin *plugin, unsigned char memory[STATE_BYTES])
{
    memset(memory, 0, STATE_BYTES);
    assert_int_equal(ctkd_plugin_save(plugin, memory, STATE_BYTES), CTKD_OK);
}

/* --- evaluate and apply */

static void evaluate_then_apply_is_a_step_to_the_bit(void **state)
{
    (void)state;
    for (int kind = CTKD_TEMPERATURE_FIXED; kind <= CTKD_TEMPERATURE_INSTANCE; kind++) {
        const ctkd_plugin_config config = config_of((ctkd_temperature_kind)kind);
        ctkd_plugin *one = create(&config), *two = create(&config);
        for (uint64_t i = 0; i < 5; i++) {
            const struct logits l = logits_of(i);
            ctkd_plugin_batch batch = batch_of(&l);
            ctkd_plugin_report report;
            float ds[NK];
            batch.epoch = i + 1;
            assert_int_equal(ctkd_plugin_step(one, N, l.s, l.t, labels, i + 1, ds, &report),
                             CTKD_OK);
            const struct result r = evaluate(two, &batch);
            check_ok(ctkd_plugin_apply(two, r.dtheta, 1, NULL), NULL);
            assert_memory_equal(ds, r.ds, sizeof ds);
            assert_memory_equal(&report, &r.report, sizeof report);
        }
        unsigned char a[STATE_BYTES], b[STATE_BYTES];
        save(one, a);
        save(two, b);
        assert_memory_equal(a, b, sizeof a);
        ctkd_plugin_destroy(one);
        ctkd_plugin_destroy(two);
    }
}

static void evaluating_moves_nothing(void **state)
{
    (void)state;
    const struct logits l = logits_of(1);
    for (int kind = CTKD_TEMPERATURE_FIXED; kind <= CTKD_TEMPERATURE_INSTANCE; kind++) {
        const ctkd_plugin_config config = config_of((ctkd_temperature_kind)kind);
        ctkd_plugin *plugin = create(&config);
        ctkd_plugin_batch batch = batch_of(&l);
        unsigned char before[STATE_BYTES], after[STATE_BYTES];
        save(plugin, before);
        const struct result first = evaluate(plugin, &batch);
        for (int i = 0; i < 5; i++) {
            ctkd_plugin_report report;
            check_ok(ctkd_plugin_evaluate(plugin, &batch, NULL, NULL, &report, NULL), NULL);
            assert_memory_equal(&report, &first.report, sizeof report);
        }
        check_ok(ctkd_plugin_evaluate(plugin, &batch, NULL, NULL, NULL, NULL), NULL);
        save(plugin, after);
        assert_memory_equal(before, after, sizeof before);
        ctkd_plugin_destroy(plugin);
    }
}

static void gradients_are_those_of_the_loss(void **state)
{
    (void)state;
    ctkd_plugin_config config = config_of(CTKD_TEMPERATURE_GLOBAL);
    ctkd_plugin *plugin = create(&config);
    struct logits l = logits_of(3);
    ctkd_plugin_batch batch = batch_of(&l);
    float weights[N] = { 1, 2, 0, 0.5f, 1, 3 }, soft[NK];
    const uint8_t mask[N] = { 1, 1, 1, 0, 1, 1 };
    fill_uniform(soft, NK, 9, 0, 0.3f);
    batch.weights = weights;
    batch.mask = mask;
    batch.soft_labels = soft;
    const struct result r = evaluate(plugin, &batch);
    for (size_t i = 0; i < NK; i += 2) {
        const float x = l.s[i], h = 0.02f;
        l.s[i] = x + h;
        const double hi = (double)evaluate(plugin, &batch).report.loss;
        l.s[i] = x - h;
        const double lo = (double)evaluate(plugin, &batch).report.loss;
        l.s[i] = x;
        check_close(r.ds[i], (hi - lo) / (2 * (double)h), 2e-2, 3e-4);
    }
    const float theta = 1, h = 0.02f;
    float moved = theta + h;
    assert_int_equal(ctkd_plugin_theta_write(plugin, &moved), CTKD_OK);
    const double hi = (double)evaluate(plugin, &batch).report.loss;
    moved = theta - h;
    assert_int_equal(ctkd_plugin_theta_write(plugin, &moved), CTKD_OK);
    const double lo = (double)evaluate(plugin, &batch).report.loss;
    const double slope = (hi - lo) / (2 * (double)h);
    check_close(r.report.theta_gradient, slope, 1e-2, 1e-4);
    check_close(r.dtheta[0], -(double)r.report.lambda * slope, 1e-2, 1e-4);
    ctkd_plugin_destroy(plugin);
}

/* Two halves of a batch, their dtheta added and halved, against the batch. */
static void two_halves_and_one_apply_are_a_batch(void **state)
{
    (void)state;
    for (int kind = CTKD_TEMPERATURE_GLOBAL; kind <= CTKD_TEMPERATURE_INSTANCE; kind++) {
        const ctkd_plugin_config config = config_of((ctkd_temperature_kind)kind);
        ctkd_plugin *whole = create(&config), *halves = create(&config);
        const struct logits l = logits_of(5);
        ctkd_plugin_batch batch = batch_of(&l);
        const struct result r = evaluate(whole, &batch);
        float sum[THETA_MAX] = { 0 }, a[THETA_MAX], b[THETA_MAX];
        for (size_t half = 0; half < 2; half++) {
            batch.n = N / 2;
            batch.s = l.s + half * NK / 2;
            batch.t = l.t + half * NK / 2;
            batch.labels = labels + half * N / 2;
            const struct result part = evaluate(halves, &batch);
            for (size_t i = 0; i < THETA_MAX; i++)
                sum[i] += part.dtheta[i];
            for (size_t i = 0; i < NK / 2; i++)
                check_close(part.ds[i], 2 * (double)r.ds[half * NK / 2 + i], 2e-5, 1e-6);
        }
        check_ok(ctkd_plugin_apply(whole, r.dtheta, 1, NULL), NULL);
        check_ok(ctkd_plugin_apply(halves, sum, 0.5f, NULL), NULL);
        assert_int_equal(ctkd_plugin_theta_read(whole, a), CTKD_OK);
        assert_int_equal(ctkd_plugin_theta_read(halves, b), CTKD_OK);
        check_all_close(b, a, ctkd_plugin_theta_count(whole), 1e-6, 1e-7);
        ctkd_plugin_destroy(whole);
        ctkd_plugin_destroy(halves);
    }
}

static void an_apply_that_is_not_finite_moves_nothing(void **state)
{
    (void)state;
    ctkd_plugin_config config = config_of(CTKD_TEMPERATURE_INSTANCE);
    ctkd_plugin *plugin = create(&config);
    const size_t count = ctkd_plugin_theta_count(plugin);
    float dtheta[THETA_MAX] = { 0 };
    unsigned char before[STATE_BYTES], after[STATE_BYTES];
    ctkd_error err;
    save(plugin, before);
    dtheta[count - 1] = NAN;
    assert_int_equal(ctkd_plugin_apply(plugin, dtheta, 1, &err), CTKD_ENAN);
    dtheta[count - 1] = FLT_MAX;
    assert_int_equal(ctkd_plugin_apply(plugin, dtheta, 1e10f, &err), CTKD_ENAN);
    assert_int_equal(ctkd_plugin_apply(plugin, dtheta, INFINITY, &err), CTKD_ENAN);
    assert_string_equal(err.message, "scale is not finite");
    assert_int_equal(ctkd_plugin_apply(plugin, NULL, 1, &err), CTKD_EINVAL);
    assert_int_equal(ctkd_plugin_apply(NULL, dtheta, 1, &err), CTKD_EINVAL);
    dtheta[0] = NAN;
    assert_int_equal(ctkd_plugin_theta_write(plugin, dtheta), CTKD_ENAN);
    save(plugin, after);
    assert_memory_equal(before, after, sizeof before);
    ctkd_plugin_destroy(plugin);
}

/* --- labels, masks, weights, types */

static void labels_of_64_bits_and_one_hot_rows_are_labels(void **state)
{
    (void)state;
    const struct logits l = logits_of(7);
    ctkd_plugin_config config = config_of(CTKD_TEMPERATURE_GLOBAL);
    ctkd_plugin *plugin = create(&config);
    ctkd_plugin_batch batch = batch_of(&l);
    const struct result plain = evaluate(plugin, &batch);
    int64_t wide[N];
    float soft[NK] = { 0 };
    for (size_t i = 0; i < N; i++) {
        wide[i] = labels[i];
        soft[i * K + (size_t)labels[i]] = 1;
    }
    batch.labels = NULL;
    batch.labels64 = wide;
    const struct result as_wide = evaluate(plugin, &batch);
    assert_memory_equal(&as_wide, &plain, sizeof plain);
    batch.soft_labels = soft;
    const struct result as_soft = evaluate(plugin, &batch);
    check_close(as_soft.report.loss, plain.report.loss, 1e-6, 0);
    check_relative(as_soft.ds, plain.ds, NK, 1e-6);
    ctkd_plugin_destroy(plugin);
}

/* Rows 1 and 4 are left out: as a batch of the four others. */
static void masked_samples_are_as_if_they_were_not_there(void **state)
{
    (void)state;
    const uint8_t mask[N] = { 1, 0, 1, 1, 0, 1 };
    for (int kind = CTKD_TEMPERATURE_FIXED; kind <= CTKD_TEMPERATURE_INSTANCE; kind++) {
        const ctkd_plugin_config config = config_of((ctkd_temperature_kind)kind);
        ctkd_plugin *plugin = create(&config);
        struct logits l = logits_of(8), rest;
        int32_t rest_labels[N], dirty[N];
        size_t m = 0;
        for (size_t i = 0; i < N; i++) {
            dirty[i] = mask[i] ? labels[i] : -7;
            if (!mask[i]) {
                l.s[i * K] = NAN; /* nobody reads it */
                continue;
            }
            memcpy(rest.s + m * K, l.s + i * K, K * sizeof(float));
            memcpy(rest.t + m * K, l.t + i * K, K * sizeof(float));
            rest_labels[m++] = labels[i];
        }
        ctkd_plugin_batch batch = batch_of(&l), few = batch_of(&rest);
        batch.mask = mask;
        batch.labels = dirty;
        few.n = m;
        few.labels = rest_labels;
        const struct result a = evaluate(plugin, &batch), b = evaluate(plugin, &few);
        assert_memory_equal(&a.report, &b.report, sizeof a.report);
        assert_memory_equal(a.dtheta, b.dtheta, sizeof a.dtheta);
        assert_int_equal(a.report.counted, 4);
        const float zero[K] = { 0 };
        m = 0;
        for (size_t i = 0; i < N; i++)
            assert_memory_equal(a.ds + i * K, mask[i] ? b.ds + m++ * K : zero, K * sizeof(float));
        ctkd_plugin_destroy(plugin);
    }
}

/* Samples without a label take part in KD alone. */
static void an_ignored_label_leaves_the_sample_to_kd(void **state)
{
    (void)state;
    const struct logits l = logits_of(11);
    ctkd_plugin_config config = config_of(CTKD_TEMPERATURE_GLOBAL);
    config.ignored_label = -100;
    ctkd_plugin *plugin = create(&config);
    int32_t some[N] = { -100, 8, 3, -100, 5, 1 };
    const uint8_t labelled[N] = { 0, 1, 1, 0, 1, 1 };
    ctkd_plugin_batch batch = batch_of(&l);
    const struct result all = evaluate(plugin, &batch);
    batch.labels = some;
    const struct result r = evaluate(plugin, &batch);
    batch.labels = labels;
    batch.mask = labelled;
    const struct result few = evaluate(plugin, &batch);
    assert_int_equal(r.report.counted, N);
    assert_int_equal(r.report.labelled, 4);
    check_close(r.report.loss_kd, all.report.loss_kd, 1e-6, 0);
    check_close(r.report.loss_ce, few.report.loss_ce, 1e-6, 0);
    check_close(r.report.loss_method, few.report.loss_method, 1e-6, 0);
    float kd[K], loss, tau = r.report.tau_mean;
    assert_int_equal(ctkd_kd_loss(1, K, l.s, l.t, &tau, 1, CTKD_KD_EXACT, &loss, kd, NULL, NULL),
                     CTKD_OK);
    for (size_t j = 0; j < K; j++)
        check_close(r.ds[j], 0.9 * (double)kd[j] / N, 1e-5, 1e-7);
    some[1] = -99;
    batch.labels = some;
    ctkd_error err;
    assert_int_equal(ctkd_plugin_evaluate(plugin, &batch, NULL, NULL, NULL, &err), CTKD_ERANGE);
    assert_string_equal(err.message, "labels: found -99 for sample 1, expected an index below k");
    ctkd_plugin_destroy(plugin);
}

static void a_batch_without_a_sample_has_no_loss(void **state)
{
    (void)state;
    const uint8_t none[N] = { 0 };
    const struct logits l = logits_of(1);
    for (int kind = CTKD_TEMPERATURE_FIXED; kind <= CTKD_TEMPERATURE_INSTANCE; kind++) {
        const ctkd_plugin_config config = config_of((ctkd_temperature_kind)kind);
        ctkd_plugin *plugin = create(&config);
        ctkd_plugin_batch batch = batch_of(&l);
        (void)evaluate(plugin, &batch);
        batch.mask = none;
        const struct result r = evaluate(plugin, &batch);
        const struct result zero = { .report = r.report };
        assert_memory_equal(r.ds, zero.ds, sizeof r.ds);
        assert_memory_equal(r.dtheta, zero.dtheta, sizeof r.dtheta);
        assert_true(r.report.loss == 0 && r.report.theta_gradient == 0 && r.report.counted == 0);
        ctkd_plugin_destroy(plugin);
    }
}

/* A weight of 1 changes nothing; twice the weight is the sample twice, but for the mean's n. */
static void weights_weigh_samples(void **state)
{
    (void)state;
    for (int kind = CTKD_TEMPERATURE_FIXED; kind <= CTKD_TEMPERATURE_INSTANCE; kind++) {
        const ctkd_plugin_config config = config_of((ctkd_temperature_kind)kind);
        ctkd_plugin *plugin = create(&config);
        struct logits l = logits_of(12);
        memcpy(l.s + K, l.s, K * sizeof(float));
        memcpy(l.t + K, l.t, K * sizeof(float));
        const int32_t twice[N] = { 0, 0, 3, 3, 5, 1 };
        const float ones[N] = { 1, 1, 1, 1, 1, 1 }, two[N] = { 2, 0, 1, 1, 1, 1 };
        ctkd_plugin_batch batch = batch_of(&l);
        batch.labels = twice;
        const struct result plain = evaluate(plugin, &batch);
        batch.weights = ones;
        const struct result same = evaluate(plugin, &batch);
        batch.weights = two;
        const struct result doubled = evaluate(plugin, &batch);
        check_close(same.report.loss, plain.report.loss, 1e-6, 0);
        check_relative(same.ds, plain.ds, NK, 1e-6);
        check_all_close(same.dtheta, plain.dtheta, THETA_MAX, 1e-4, 1e-6);
        check_close(doubled.report.loss, plain.report.loss, 1e-6, 0);
        for (size_t j = 0; j < K; j++) {
            check_close(doubled.ds[j], (double)plain.ds[j] + (double)plain.ds[K + j], 1e-4, 1e-6);
            assert_true(fabsf(doubled.ds[K + j]) < 1e-30f || kind == CTKD_TEMPERATURE_INSTANCE);
        }
        ctkd_plugin_destroy(plugin);
    }
}

static uint16_t half_of(float value) /* of these logits alone: multiples of 1/8 below 8 */
{
    if (value == 0)
        return 0;
    int exponent;
    const double fraction = frexp(fabs((double)value), &exponent); /* in [0.5, 1) */
    const unsigned bits = (unsigned)((fraction * 2 - 1) * 1024);
    return (uint16_t)((value < 0 ? 0x8000u : 0) | (unsigned)(exponent + 14) << 10 | bits);
}

static void half_precision_logits_are_read(void **state)
{
    (void)state;
    struct logits l = logits_of(13);
    uint16_t half[NK], brain[NK];
    for (size_t i = 0; i < NK; i++) {
        l.s[i] = roundf(l.s[i] * 8) / 8;
        l.t[i] = roundf(l.t[i] * 8) / 8;
        half[i] = half_of(l.s[i]);
        uint32_t bits;
        memcpy(&bits, &l.t[i], sizeof bits);
        brain[i] = (uint16_t)(bits >> 16);
    }
    const ctkd_plugin_config config = config_of(CTKD_TEMPERATURE_INSTANCE);
    ctkd_plugin *plugin = create(&config);
    ctkd_plugin_batch batch = batch_of(&l);
    const struct result plain = evaluate(plugin, &batch);
    batch.s = half;
    batch.s_type = CTKD_F16;
    batch.t = brain;
    batch.t_type = CTKD_BF16;
    const struct result read = evaluate(plugin, &batch);
    assert_memory_equal(&read, &plain, sizeof plain);
    ctkd_plugin_destroy(plugin);
}

/* --- curriculum */

static void the_curriculum_counts_steps_and_has_ends(void **state)
{
    (void)state;
    const struct logits l = logits_of(2);
    ctkd_plugin_config config = config_of(CTKD_TEMPERATURE_GLOBAL);
    config.lambda_min = 0.5f;
    config.lambda_max = 3;
    config.curriculum_steps = 1000;
    ctkd_plugin *plugin = create(&config);
    ctkd_plugin_batch batch = batch_of(&l);
    for (uint64_t step = 1; step < 3000; step += 333) {
        float lambda;
        batch.step = step;
        batch.epoch = 0;
        assert_int_equal(
            ctkd_curriculum_lambda(CTKD_CURRICULUM_COSINE, step, 1000, 0.5f, 3, &lambda), CTKD_OK);
        const struct result r = evaluate(plugin, &batch);
        assert_true(r.report.lambda == lambda);
        check_close(r.dtheta[0], -(double)lambda * (double)r.report.theta_gradient, 1e-6, 0);
    }
    ctkd_plugin_destroy(plugin);
    config.curriculum_steps = 0;
    config.curriculum_epochs = 0; /* as in a recipe: from the start */
    plugin = create(&config);
    batch.epoch = 1;
    assert_true(evaluate(plugin, &batch).report.lambda == 3);
    ctkd_plugin_destroy(plugin);
}

/* --- a loss of the caller's */

struct squares_config {
    float scale;
};

static ctkd_status squares(const void *config, const ctkd_loss_args *a)
{
    const float scale = ((const struct squares_config *)config)->scale;
    double sum = 0;
    assert_true(a->size >= sizeof *a);
    for (size_t i = 0; i < a->n * a->k; i++) {
        const double d = (double)a->s[i] - (double)a->t[i];
        sum += (double)scale * d * d;
        if (a->ds)
            a->ds[i] = (float)(2 * (double)scale * d / (double)a->n);
    }
    *a->loss = (float)(sum / (double)a->n);
    return CTKD_OK;
}

static const ctkd_option squares_options[] = {
    CTKD_OPT_F32(struct squares_config, scale, 1, 0, 10, "factor"),
    CTKD_OPT_END,
};

static void a_loss_of_the_callers_is_a_method(void **state)
{
    (void)state;
    const struct logits l = logits_of(4);
    const ctkd_loss_def def = { .size = sizeof def,
                                .name = "squares",
                                .needs = CTKD_NEEDS_LOGITS,
                                .properties = CTKD_ROWWISE,
                                .options = squares_options,
                                .config_size = sizeof(struct squares_config),
                                .eval = squares };
    ctkd_plugin_config config = ctkd_plugin_defaults(N, K);
    config.ce_weight = config.kd_weight = 0;
    config.method_def = &def;
    config.method_weight = 1;
    ctkd_plugin *plugin = create(&config);
    ctkd_error err;
    check_ok(ctkd_plugin_set_method_text(plugin, "scale", "2.5", &err), &err);
    assert_int_equal(ctkd_plugin_set_method_text(plugin, "skale", "1", &err), CTKD_ENOTFOUND);
    assert_string_equal(err.message, "unknown option \"skale\"; did you mean \"scale\"?");
    ctkd_plugin_batch batch = batch_of(&l);
    batch.labels = NULL; /* nothing reads them */
    const struct result r = evaluate(plugin, &batch);
    double sum = 0;
    for (size_t i = 0; i < NK; i++) {
        const double d = (double)l.s[i] - (double)l.t[i];
        sum += 2.5 * d * d / N;
        check_close(r.ds[i], 5 * d / N, 1e-6, 1e-7);
    }
    check_close(r.report.loss, sum, 1e-6, 0);
    ctkd_plugin_destroy(plugin);
}

/* --- options by name */

static void every_option_is_set_by_its_name(void **state)
{
    (void)state;
    ctkd_plugin_config config = ctkd_plugin_defaults(N, K), reference = config;
    ctkd_error err;
    const char *const set[][2] = {
        { "ce_weight", "1" },
        { "kd_weight", "2.5" },
        { "kd_form", "epsilon" },
        { "method", "dkd" },
        { "method_weight", "0.25" },
        { "temperature.kind", "instance" },
        { "temperature.tau", "3" },
        { "temperature.tau_min", "0.5" },
        { "temperature.tau_span", "9" },
        { "temperature.theta_init", "-1" },
        { "temperature.hidden", "5" },
        { "temperature.from_logits", "true" },
        { "temperature.through", "true" },
        { "temperature.set_bias", "true" },
        { "temperature.bias_init", "0.75" },
        { "temperature.seed", "77" },
        { "curriculum", "linear" },
        { "curriculum_epochs", "3" },
        { "curriculum_steps", "900" },
        { "lambda_min", "0.125" },
        { "lambda_max", "2" },
        { "learning_rate", "0.01" },
        { "momentum", "0.5" },
        { "weight_decay", "0" },
        { "ignored_label", "-100" },
    };
    const size_t count = sizeof set / sizeof set[0];
    for (size_t i = 0; i < count; i++)
        check_ok(ctkd_plugin_config_set(&config, set[i][0], set[i][1], &err), &err);
    size_t options = 0;
    for (const ctkd_option *option = ctkd_plugin_options(); option->name; option++, options++) {
        bool found = false;
        for (size_t i = 0; i < count; i++)
            found |= strcmp(set[i][0], option->name) == 0;
        assert_true(found && option->help[0]);
    }
    assert_int_equal(options, count);
    reference.ce_weight = 1;
    reference.kd_weight = 2.5f;
    reference.kd_form = CTKD_KD_EPSILON;
    reference.method = config.method;
    assert_string_equal(config.method, "dkd");
    reference.method_weight = 0.25f;
    reference.temperature.kind = CTKD_TEMPERATURE_INSTANCE;
    reference.temperature.tau = 3;
    reference.temperature.tau_min = 0.5f;
    reference.temperature.tau_span = 9;
    reference.temperature.theta_init = -1;
    reference.temperature.hidden = 5;
    reference.temperature.from_logits = true;
    reference.temperature.through = true;
    reference.temperature.set_bias = true;
    reference.temperature.bias_init = 0.75f;
    reference.temperature.seed = 77;
    reference.curriculum = CTKD_CURRICULUM_LINEAR;
    reference.curriculum_epochs = 3;
    reference.curriculum_steps = 900;
    reference.lambda_min = 0.125f;
    reference.lambda_max = 2;
    reference.learning_rate = 0.01f;
    reference.momentum = 0.5f;
    reference.weight_decay = 0;
    reference.ignored_label = -100;
    assert_memory_equal(&config, &reference, sizeof config);
    ctkd_plugin_destroy(create(&config));
}

static void defaults_are_those_of_the_table(void **state)
{
    (void)state;
    const ctkd_plugin_config config = ctkd_plugin_defaults(N, K);
    const ctkd_temperature_config temperature = ctkd_temperature_defaults();
    assert_memory_equal(&config.temperature, &temperature, sizeof temperature);
    assert_true(config.ce_weight == 0.1f && config.kd_weight == 0.9f && config.momentum == 0.9f);
    assert_true(config.learning_rate == 0.05f && config.weight_decay == 5e-4f);
    assert_true(config.lambda_min == 0 && config.lambda_max == 1 && config.curriculum_epochs == 10);
    assert_true(config.ignored_label == INT64_MIN && config.size == sizeof config);
}

static void a_config_that_is_refused_says_why(void **state)
{
    (void)state;
    const struct {
        const char *name, *text, *message;
    } wrong[] = {
        { "momentun", "1", "unknown option \"momentun\"; did you mean \"momentum\"?" },
        { "curriculum", "sine",
          "curriculum: found \"sine\", expected one of cosine, linear, linear_official, none" },
        { "method", "dkk", "method: unknown loss \"dkk\"" },
        { "learning_rate", "-1",
          "learning_rate: found \"-1\", expected a number from 0 to 3.40282e+38" },
    };
    ctkd_plugin_config config = ctkd_plugin_defaults(N, K);
    const ctkd_plugin_config before = config;
    ctkd_error err;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_true(ctkd_plugin_config_set(&config, wrong[i].name, wrong[i].text, &err) < 0);
        assert_string_equal(err.message, wrong[i].message);
    }
    assert_memory_equal(&config, &before, sizeof config);
    ctkd_plugin *plugin;
    config.temperature.tau_min = 0;
    assert_int_equal(ctkd_plugin_create_checked(&config, &plugin, &err), CTKD_EINVAL);
    assert_string_equal(
        err.message,
        "temperature.tau_min: found 0, expected a number from 1.4013e-45 to 3.40282e+38");
    config = before;
    config.method = "fitnet";
    assert_int_equal(ctkd_plugin_create_checked(&config, &plugin, &err), CTKD_EINVAL);
    assert_string_equal(err.message, "method: fitnet reads more than logits and labels, which is "
                                     "all that a plugin has; call its eval in your loop");
    assert_null(plugin);
}

/* --- refusals */

static void bad_batches_are_refused_and_write_nothing(void **state)
{
    (void)state;
    const struct logits l = logits_of(1);
    ctkd_plugin_config config = config_of(CTKD_TEMPERATURE_GLOBAL);
    config.method = "dist"; /* compares samples */
    ctkd_plugin *plugin = create(&config);
    const int64_t wide[N] = { 0 };
    const float bad[NK] = { 1, -1 };
    const ctkd_plugin_batch good = batch_of(&l);
    struct {
        ctkd_plugin_batch batch;
        ctkd_status status;
        const char *message;
    } cases[] = {
        { good, CTKD_EINVAL, "n: found 0, expected 1 to 6" },
        { good, CTKD_EINVAL, "t: found NULL, expected logits" },
        { good, CTKD_EINVAL, "labels and labels64: found both, expected one" },
        { good, CTKD_EINVAL,
          "labels: found NULL, expected labels or soft labels because ce_weight is not 0" },
        { good, CTKD_EUNSUPPORTED,
          "weights: expected NULL, because dist compares samples with each other" },
        { good, CTKD_EINVAL, "epoch: found 0, expected a number counted from 1" },
        { good, CTKD_ERANGE,
          "soft_labels: found -1 for sample 0, expected a finite number of at least 0" },
        { good, CTKD_EINVAL,
          "batch: size: smaller than in version 0.1.0, expected sizeof the struct" },
        { good, CTKD_EINVAL, "s_type: found 3, expected 0 to 2, a ctkd_logit_type" },
    };
    cases[0].batch.n = 0;
    cases[1].batch.t = NULL;
    cases[2].batch.labels64 = wide;
    cases[3].batch.labels = NULL;
    cases[4].batch.weights = l.s;
    cases[5].batch.epoch = 0;
    cases[6].batch.soft_labels = bad;
    cases[7].batch.size = 8;
    cases[8].batch.s_type = (ctkd_logit_type)3;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        float ds[NK] = { 7 }, dtheta = 7;
        ctkd_plugin_report report = { .loss = 7 };
        ctkd_error err;
        assert_int_equal(ctkd_plugin_evaluate(plugin, &cases[i].batch, ds, &dtheta, &report, &err),
                         cases[i].status);
        assert_string_equal(err.message, cases[i].message);
        assert_true(ds[0] == 7 && dtheta == 7 && report.loss == 7);
    }
    assert_int_equal(ctkd_plugin_evaluate(plugin, NULL, NULL, NULL, NULL, NULL), CTKD_EINVAL);
    assert_int_equal(ctkd_plugin_evaluate(NULL, &good, NULL, NULL, NULL, NULL), CTKD_EINVAL);
    ctkd_plugin_destroy(plugin);
}

/* A caller compiled with a shorter report gets no more than that. */
static void a_report_is_written_as_far_as_the_caller_knows_it(void **state)
{
    (void)state;
    const struct logits l = logits_of(1);
    ctkd_plugin_config config = config_of(CTKD_TEMPERATURE_GLOBAL);
    config.report_size = offsetof(ctkd_plugin_report, counted);
    ctkd_plugin *plugin = create(&config);
    const ctkd_plugin_batch batch = batch_of(&l);
    ctkd_plugin_report report = { .counted = 99, .labelled = 98 };
    check_ok(ctkd_plugin_evaluate(plugin, &batch, NULL, NULL, &report, NULL), NULL);
    assert_true(report.loss > 0 && report.counted == 99 && report.labelled == 98);
    ctkd_plugin_destroy(plugin);
}

static void backwards(void *context, size_t count, void (*body)(void *argument, size_t i),
                      void *argument)
{
    ++*(int *)context;
    for (size_t i = count; i-- > 0;)
        body(argument, i);
}

static void a_pool_changes_no_bit_and_evaluating_allocates_nothing(void **state)
{
    (void)state;
    const struct logits l = logits_of(6);
    ctkd_plugin_config config = config_of(CTKD_TEMPERATURE_INSTANCE);
    struct counting counting = { 0 };
    int calls = 0;
    const ctkd_pool pool = { .context = &calls, .run = backwards };
    config.temperature.allocator = counting_allocator(&counting);
    ctkd_plugin *plain = create(&config);
    config.pool = &pool;
    ctkd_plugin *pooled = create(&config);
    const size_t requests = counting.requests;
    const ctkd_plugin_batch batch = batch_of(&l);
    const struct result a = evaluate(plain, &batch), b = evaluate(pooled, &batch);
    assert_memory_equal(&a, &b, sizeof a);
    assert_true(calls >= 3);
    assert_int_equal(counting.requests, requests);
    ctkd_plugin_destroy(plain);
    ctkd_plugin_destroy(pooled);
    assert_int_equal(counting.live, 0);
}

static void setting_one_field_leaves_the_others(void **state)
{
    (void)state;
    ctkd_plugin_config config = ctkd_plugin_defaults(2, 3);
    ctkd_error err;
    config.temperature.seed = UINT64_MAX; /* more than an option's integers hold */
    check_ok(ctkd_plugin_config_set(&config, "momentum", "0.5", &err), &err);
    assert_true(config.temperature.seed == UINT64_MAX);
    check_close(config.momentum, 0.5, 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(setting_one_field_leaves_the_others),
        cmocka_unit_test(evaluate_then_apply_is_a_step_to_the_bit),
        cmocka_unit_test(evaluating_moves_nothing),
        cmocka_unit_test(gradients_are_those_of_the_loss),
        cmocka_unit_test(two_halves_and_one_apply_are_a_batch),
        cmocka_unit_test(an_apply_that_is_not_finite_moves_nothing),
        cmocka_unit_test(labels_of_64_bits_and_one_hot_rows_are_labels),
        cmocka_unit_test(masked_samples_are_as_if_they_were_not_there),
        cmocka_unit_test(an_ignored_label_leaves_the_sample_to_kd),
        cmocka_unit_test(a_batch_without_a_sample_has_no_loss),
        cmocka_unit_test(weights_weigh_samples),
        cmocka_unit_test(half_precision_logits_are_read),
        cmocka_unit_test(the_curriculum_counts_steps_and_has_ends),
        cmocka_unit_test(a_loss_of_the_callers_is_a_method),
        cmocka_unit_test(every_option_is_set_by_its_name),
        cmocka_unit_test(defaults_are_those_of_the_table),
        cmocka_unit_test(a_config_that_is_refused_says_why),
        cmocka_unit_test(bad_batches_are_refused_and_write_nothing),
        cmocka_unit_test(a_report_is_written_as_far_as_the_caller_knows_it),
        cmocka_unit_test(a_pool_changes_no_bit_and_evaluating_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
