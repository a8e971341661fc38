/* A loop with micro-batches and validation: theta's gradient is summed over the two halves of a
   batch and applied once, and evaluating on everything after an epoch moves nothing. A softmax
   regression learns from a fixed linear teacher, as in plugin.c. */
#include <stdio.h>

#include "ctkd/ctkd.h"

enum { SAMPLES = 512, FEATURES = 20, CLASSES = 10, BATCH = 64, HALF = BATCH / 2, EPOCHS = 15 };

static float x[SAMPLES][FEATURES], teacher[SAMPLES][CLASSES], w[CLASSES][FEATURES];
static int64_t labels[SAMPLES];

static void linear(size_t n, float (*in)[FEATURES], float (*weight)[FEATURES],
                   float (*out)[CLASSES])
{
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < CLASSES; c++) {
            out[i][c] = 0;
            for (size_t f = 0; f < FEATURES; f++)
                out[i][c] += weight[c][f] * in[i][f];
        }
}

static void make_data(void)
{
    float truth[CLASSES][FEATURES];
    for (size_t i = 0; i < sizeof truth / sizeof(float); i++)
        truth[i / FEATURES][i % FEATURES] = ctkd_random_normal(1, CTKD_RANDOM_TEST, 0, i);
    for (size_t i = 0; i < sizeof x / sizeof(float); i++)
        x[i / FEATURES][i % FEATURES] = ctkd_random_normal(1, CTKD_RANDOM_TEST, 1, i);
    linear(SAMPLES, x, truth, teacher);
    for (size_t i = 0; i < SAMPLES; i++)
        for (int64_t c = 0; c < CLASSES; c++)
            labels[i] = teacher[i][c] > teacher[i][labels[i]] ? c : labels[i];
}

static int fail(const ctkd_error *err)
{
    fprintf(stderr, "%s\n", err->message);
    return 1;
}

int main(void)
{
    ctkd_plugin_config config = ctkd_plugin_defaults(SAMPLES, CLASSES);
    ctkd_plugin *plugin;
    ctkd_plugin_report report = { 0 };
    ctkd_error err;
    float first = 0;
    if (ctkd_plugin_config_set(&config, "curriculum_steps", "80", &err) != CTKD_OK ||
        ctkd_plugin_config_set(&config, "method", "dkd", &err) != CTKD_OK ||
        ctkd_plugin_config_set(&config, "method_weight", "0.5", &err) != CTKD_OK ||
        ctkd_plugin_create_checked(&config, &plugin, &err) != CTKD_OK)
        return fail(&err);
    make_data();
    uint64_t step = 0;
    for (size_t epoch = 1; epoch <= EPOCHS; epoch++) {
        for (size_t b = 0; b < SAMPLES; b += BATCH) {
            float s[HALF][CLASSES], ds[HALF][CLASSES], dw[CLASSES][FEATURES] = { { 0 } };
            float dtheta = 0;
            step++;
            for (size_t half = b; half < b + BATCH; half += HALF) {
                float part;
                linear(HALF, &x[half], w, s);
                const ctkd_plugin_batch batch = { .size = sizeof batch,
                                                  .n = HALF,
                                                  .s = s,
                                                  .t = teacher[half],
                                                  .labels64 = labels + half,
                                                  .step = step };
                if (ctkd_plugin_evaluate(plugin, &batch, ds[0], &part, NULL, &err) != CTKD_OK)
                    return fail(&err);
                dtheta += part;
                for (size_t i = 0; i < HALF; i++)
                    for (size_t c = 0; c < CLASSES; c++)
                        for (size_t f = 0; f < FEATURES; f++)
                            dw[c][f] += 0.5f * ds[i][c] * x[half + i][f];
            }
            if (ctkd_plugin_apply(plugin, &dtheta, 0.5f, &err) != CTKD_OK)
                return fail(&err);
            for (size_t c = 0; c < CLASSES; c++)
                for (size_t f = 0; f < FEATURES; f++)
                    w[c][f] -= 0.1f * dw[c][f];
        }
        static float all[SAMPLES][CLASSES];
        linear(SAMPLES, x, w, all);
        const ctkd_plugin_batch whole = { .size = sizeof whole,
                                          .n = SAMPLES,
                                          .s = all,
                                          .t = teacher,
                                          .labels64 = labels,
                                          .step = step };
        if (ctkd_plugin_evaluate(plugin, &whole, NULL, NULL, &report, &err) != CTKD_OK)
            return fail(&err);
        printf("epoch %2zu  lambda %.3f  tau %6.3f  loss %.4f\n", epoch, (double)report.lambda,
               (double)report.tau_mean, (double)report.loss);
        first = epoch == 1 ? report.loss : first;
    }
    ctkd_plugin_destroy(plugin);
    return report.loss < 0.5f * first ? 0 : 1;
}
