/* Microseconds per evaluation of cross-entropy and of each loss of logits with its gradients ds and
 * dtau, on one thread: best and median of rounds.
 * usage: bench_losses [NAME ...]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctkd/ctkd.h"
#include "util/clock.h"
#include "util/median.h"

enum { N = 256, K_MAX = 1000, ROUNDS = 51 };

static float s[N * K_MAX], t[N * K_MAX], ds[N * K_MAX];
static int32_t labels[N];

static int measure(const ctkd_loss_def *def, size_t k)
{
    double config[32], us[ROUNDS];
    float loss, dtau;
    const float tau = 4;
    size_t values;
    if (ctkd_loss_workspace(def, NULL, &(ctkd_loss_shape){ .n = N, .k = k }, &values) != CTKD_OK)
        return 1;
    double *workspace = values ? malloc(values * sizeof *workspace) : NULL;
    if (values && !workspace)
        return 1;
    const ctkd_loss_args args = { .n = N,
                                  .k = k,
                                  .s = s,
                                  .t = t,
                                  .labels = labels,
                                  .tau = &tau,
                                  .n_tau = 1,
                                  .loss = &loss,
                                  .ds = ds,
                                  .dtau = &dtau,
                                  .workspace = workspace };
    if (def->config_size > sizeof config)
        return 1;
    ctkd_options_defaults(def->options, config);
    for (size_t i = 0; i < ROUNDS; i++) {
        const double start = ctkd__clock_seconds();
        if (def->eval(config, &args) != CTKD_OK)
            return 1;
        us[i] = 1e6 * (ctkd__clock_seconds() - start);
    }
    free(workspace);
    const double median = ctkd__sort_median(ROUNDS, us);
    printf("%s %dx%zu: %.1f us (median %.1f)\n", def->name, N, k, us[0], median);
    return 0;
}

static int measure_cross_entropy(size_t k)
{
    double us[ROUNDS];
    float loss;
    for (size_t i = 0; i < ROUNDS; i++) {
        const double start = ctkd__clock_seconds();
        if (ctkd_cross_entropy(N, k, s, labels, &loss, ds) != CTKD_OK)
            return 1;
        us[i] = 1e6 * (ctkd__clock_seconds() - start);
    }
    const double median = ctkd__sort_median(ROUNDS, us);
    printf("cross-entropy %dx%zu: %.1f us (median %.1f)\n", N, k, us[0], median);
    return 0;
}

static int wanted(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return 1;
    return argc == 1;
}

int main(int argc, char **argv)
{
    const size_t classes[] = { 100, 1000 };
    for (size_t i = 0; i < N * K_MAX; i++) {
        s[i] = 2 * ctkd_random_normal(1, CTKD_RANDOM_TEST, 0, i);
        t[i] = 4 * ctkd_random_normal(1, CTKD_RANDOM_TEST, 1, i);
    }
    for (size_t i = 0; i < N; i++)
        labels[i] = (int32_t)(i % classes[0]);
    int failed = 0;
    for (size_t i = 0; i < 2; i++)
        if (wanted("cross-entropy", argc, argv))
            failed |= measure_cross_entropy(classes[i]);
    for (const ctkd_loss_def *const *def = ctkd_loss_list(); *def; def++)
        for (size_t i = 0; i < 2; i++)
            if (!((*def)->needs & (CTKD_NEEDS_MAPS | CTKD_NEEDS_IDS | CTKD_NEEDS_HEAD)) &&
                wanted((*def)->name, argc, argv))
                failed |= measure(*def, classes[i]);
    return failed;
}
