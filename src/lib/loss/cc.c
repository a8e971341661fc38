/*
 * CC: correlation congruence, in the published code's form. Both pooled vectors go through a linear
 * embedding of their own, e_s and e_t [n, embedding], both trained. With l_i = |e_s_i - e_t_i|:
 *   L = 1/(n - 1) sum_{i < n-1} <l_i, l_{i+1}>
 * Peng et al., ICCV 2019. Neighbours in the batch are compared, so the order of samples matters.
 */
#include <math.h>

#include "ctkd/loss.h"
#include "lib/maps.h"

struct cc_config {
    int64_t embedding;
};

static ctkd_status cc_plan(const void *config, ctkd_builder *builder)
{
    const struct cc_config *cc = config;
    const ctkd_conv linear = {
        .out = (size_t)cc->embedding, .kernel = 1, .stride = 1, .bias = true
    };
    const int s = builder->tap(builder, CTKD_STUDENT, -1, false);
    const int t = builder->tap(builder, CTKD_TEACHER, -1, false);
    const int e_s = builder->conv(builder, s, "embed_s", &linear);
    const int e_t = builder->conv(builder, t, "embed_t", &linear);
    builder->read(builder, e_s, CTKD_STAGE_MAIN, true);
    builder->read(builder, e_t, CTKD_STAGE_MAIN, true);
    return builder->status;
}

static double difference(const ctkd_loss_args *a, size_t at)
{
    return (double)a->maps[0].x[at] - (double)a->maps[1].x[at];
}

/* de_s_i = sign(e_s_i - e_t_i) (l_{i-1} + l_{i+1})/(n - 1) = -de_t_i; where they agree, 0. */
static void differentiate(const ctkd_loss_args *a, size_t i, size_t size)
{
    for (size_t at = i * size; at < (i + 1) * size; at++) {
        const double d = difference(a, at);
        const double before = i > 0 ? fabs(difference(a, at - size)) : 0;
        const double after = i + 1 < a->n ? fabs(difference(a, at + size)) : 0;
        const double sign = (double)(d > 0) - (double)(d < 0);
        const double slope = sign * (before + after) / (double)(a->n - 1);
        if (a->maps[0].dx)
            a->maps[0].dx[at] = (float)slope;
        if (a->maps[1].dx)
            a->maps[1].dx[at] = (float)-slope;
    }
}

static ctkd_status cc_eval(const void *config, const ctkd_loss_args *a)
{
    (void)config;
    const ctkd_status status = ctkd__maps_check(a, 2);
    if (status != CTKD_OK)
        return status;
    if (a->n_maps != 2 || !ctkd__maps_alike(&a->maps[0], &a->maps[1]))
        return CTKD_ESHAPE;
    if (a->n < 2) { /* a single sample has no neighbour */
        *a->loss = 0;
        ctkd__maps_clear_gradients(a);
        return CTKD_OK;
    }
    const size_t size = ctkd__map_size(&a->maps[0]);
    double sum = 0;
    for (size_t at = 0; at < (a->n - 1) * size; at++)
        sum += fabs(difference(a, at) * difference(a, at + size));
    for (size_t i = 0; i < a->n; i++)
        differentiate(a, i, size);
    *a->loss = (float)(sum / (double)(a->n - 1));
    return CTKD_OK;
}

static const ctkd_option cc_options[] = {
    CTKD_OPT_I64(struct cc_config, embedding, 128, 1, 65536, "width of the embeddings"),
    CTKD_OPT_END,
};

const ctkd_loss_def ctkd__loss_cc = {
    .name = "cc",
    .title = "Correlation congruence",
    .formula =
        "1/(n-1) sum_i <|e_s - e_t|_i, |e_s - e_t|_(i+1)>, e linear embeddings of the pooled "
        "features",
    .source = "Peng et al. 2019, arXiv:1904.01802",
    .needs = CTKD_NEEDS_MAPS,
    .properties = CTKD_ZERO_WHEN_EQUAL | CTKD_NONNEGATIVE,
    .classes_min = 1,
    .batch_min = 2,
    .options = cc_options,
    .config_size = sizeof(struct cc_config),
    .weight = 0.02f,
    .plan = cc_plan,
    .eval = cc_eval,
};
