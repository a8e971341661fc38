/* Curriculum temperature in a training loop of your own: a softmax regression learns from a fixed
   linear teacher. The lines marked "ctkd" are all that the loop gains. */
#include <stdio.h>
#include <stdlib.h>

#include "ctkd/ctkd.h"

enum { SAMPLES = 512, FEATURES = 20, CLASSES = 10, BATCH = 64, EPOCHS = 15 };

static float x[SAMPLES][FEATURES], teacher[SAMPLES][CLASSES], w[CLASSES][FEATURES];
static int32_t labels[SAMPLES];

static float normal(uint64_t stream, uint64_t index)
{
    return ctkd_random_normal(1, CTKD_RANDOM_TEST, stream, index);
}

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
        truth[i / FEATURES][i % FEATURES] = normal(0, i);
    for (size_t i = 0; i < sizeof x / sizeof(float); i++)
        x[i / FEATURES][i % FEATURES] = normal(1, i);
    linear(SAMPLES, x, truth, teacher);
    for (size_t i = 0; i < SAMPLES; i++)
        for (int32_t c = 0; c < CLASSES; c++)
            labels[i] = teacher[i][c] > teacher[i][labels[i]] ? c : labels[i];
}

int main(void)
{
    float s[BATCH][CLASSES], ds[BATCH][CLASSES], first = 0, loss = 0;
    const ctkd_plugin_config config = ctkd_plugin_defaults(BATCH, CLASSES); /* ctkd */
    ctkd_plugin *plugin;                                                    /* ctkd */
    ctkd_plugin_report report;                                              /* ctkd */
    if (ctkd_plugin_create(&config, &plugin) != CTKD_OK)                    /* ctkd */
        return 1;
    make_data();
    for (size_t epoch = 1; epoch <= EPOCHS; epoch++) {
        loss = 0;
        for (size_t b = 0; b < SAMPLES; b += BATCH) {
            linear(BATCH, &x[b], w, s);
            const ctkd_status status = /* ctkd */
                ctkd_plugin_step(plugin, BATCH, s[0], teacher[b], labels + b, epoch, ds[0],
                                 &report);
            if (status != CTKD_OK) { /* ctkd */
                fprintf(stderr, "epoch %zu: %s\n", epoch, ctkd_status_text(status));
                return 1;
            }
            for (size_t i = 0; i < BATCH; i++)
                for (size_t c = 0; c < CLASSES; c++)
                    for (size_t f = 0; f < FEATURES; f++)
                        w[c][f] -= 0.1f * ds[i][c] * x[b + i][f];
            loss += report.loss / (SAMPLES / BATCH);
        }
        printf("epoch %2zu  lambda %.3f  tau %6.3f  loss %.4f\n", epoch, (double)report.lambda,
               (double)report.tau_mean, (double)loss);
        first = epoch == 1 ? loss : first;
    }
    ctkd_plugin_destroy(plugin); /* ctkd */
    return loss < 0.5f * first ? 0 : 1;
}
