/*
 * NST: neuron selectivity transfer with the kernel <a, b>^2. For each pair of maps, brought to one
 * size hw, and sample: the rows of S [c, hw] and T [c', hw] are the channels at length 1 (RN);
 *   L = sum over pairs of mean over samples of
 *       mean (S S^T)^2 + mean (T T^T)^2 - 2 mean (S T^T)^2
 * Huang & Wang 2017. Two ways to the same value, whichever takes fewer products: with U the rows
 * of S and T and the weights w = 1/c for those of S, -1/c' for those of T,
 *   by channel  K = U U^T:            L = sum_ab w_a w_b K_ab^2,  dU_a = 4 w_a sum_b w_b K_ab U_b
 *   by place    G = U^T diag(w) U:    L = |G|^2,                  dU_a = 4 w_a U_a G
 * A channel of zeros is a row of zeros and has no gradient.
 */
#include "ctkd/loss.h"
#include "lib/each.h"
#include "lib/maps.h"
#include "lib/math/matrix.h"
#include "lib/memory.h"
#include "lib/part.h"

/* Sizes of a pair of maps. */
struct nst_pair {
    size_t c, teacher_c, places;
    bool by_place;
    size_t units, matrix; /* floats of U; of [S S^T, S T^T] and T T^T, or of S^T S and T^T T */
};

struct nst {
    const ctkd_loss_args *args;
    double *loss;   /* [n] */
    double *memory; /* of the tasks */
    size_t of_task; /* values of one */
    size_t lengths; /* most channels of a student's map */
    size_t units;   /* largest U */
};

static ctkd_status nst_plan(const void *config, ctkd_builder *builder)
{
    (void)config;
    ctkd__read_map_pairs(builder);
    return builder->status;
}

/* Fills in the sizes of a pair; false if one overflows. */
static bool size_pair(const ctkd_map *s, const ctkd_map *t, struct nst_pair *pair)
{
    *pair = (struct nst_pair){ .c = s->c, .teacher_c = t->c };
    size_t channels = 0;
    if (!ctkd__add_product(&pair->places, s->h, s->w) || !ctkd__add_product(&channels, s->c, 1) ||
        !ctkd__add_product(&channels, t->c, 1))
        return false;
    size_t by_channel = 0, by_place = 0; /* products, over places */
    if (!ctkd__add_product(&by_channel, 2 * s->c, channels) ||
        !ctkd__add_product(&by_channel, t->c, t->c) ||
        !ctkd__add_product(&by_place, pair->places, channels + s->c))
        return false;
    pair->by_place = by_place < by_channel;
    return ctkd__add_product(&pair->units, channels, pair->places) &&
           (pair->by_place ? ctkd__add_product(&pair->matrix, 2 * pair->places, pair->places)
                           : ctkd__add_product(&pair->matrix, s->c, channels) &&
                                 ctkd__add_product(&pair->matrix, t->c, t->c));
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Lays out the tasks' memory for these maps; false if its size overflows. */
static bool lay_out(const ctkd_map *maps, size_t n_maps, struct nst *p)
{
    size_t matrix = 0;
    p->lengths = p->units = p->of_task = 0;
    for (size_t i = 0; i + 1 < n_maps; i += 2) {
        struct nst_pair pair;
        if (!size_pair(&maps[i], &maps[i + 1], &pair))
            return false;
        p->lengths = larger(p->lengths, pair.c);
        p->units = larger(p->units, pair.units);
        matrix = larger(matrix, pair.matrix);
    }
    p->units += p->units % 2; /* two floats take the room of a double */
    return ctkd__add_product(&p->of_task, p->lengths, 1) &&
           ctkd__add_product(&p->of_task, p->units / 2, 1) &&
           ctkd__add_product(&p->of_task, matrix / 2 + 1, 1);
}

static size_t nst_workspace(const void *config, const ctkd_loss_shape *shape)
{
    (void)config;
    struct nst p;
    size_t values = 0;
    return lay_out(shape->maps, shape->n_maps, &p) && ctkd__add_product(&values, shape->n, 1) &&
                   ctkd__add_product(&values, CTKD__TASKS, p.of_task)
               ? values
               : 0;
}

static double squares(size_t rows, size_t columns, const float *x, size_t stride)
{
    double sum = 0;
    for (size_t i = 0; i < rows; i++)
        sum += ctkd__dot(columns, x + i * stride, x + i * stride);
    return sum;
}

/* The sample's loss; dS, times scale, if not NULL. */
static double by_channel(struct ctkd__means means, const struct nst_pair *p, const float *u,
                         float *k, double scale, float *ds)
{
    const size_t all = p->c + p->teacher_c;
    const double w = 1 / (double)p->c, teacher_w = 1 / (double)p->teacher_c;
    const float *t = u + p->c * p->places;
    float *const teacher_k = k + p->c * all;
    ctkd__multiply(means, p->c, all, p->places, ctkd__rows(u, p->places),
                   ctkd__columns(u, p->places), k);
    ctkd__multiply(means, p->teacher_c, p->teacher_c, p->places, ctkd__rows(t, p->places),
                   ctkd__columns(t, p->places), teacher_k);
    const double own = squares(p->c, p->c, k, all);
    const double across = squares(p->c, p->teacher_c, k + p->c, all);
    const double teacher = squares(p->teacher_c, p->teacher_c, teacher_k, p->teacher_c);
    if (ds) {
        const float factor = (float)(4 * scale * w * w),
                    other = (float)(4 * scale * w * -teacher_w);
        for (size_t a = 0; a < p->c; a++) {
            for (size_t b = 0; b < p->c; b++)
                k[a * all + b] *= factor;
            for (size_t b = p->c; b < all; b++)
                k[a * all + b] *= other;
        }
        ctkd__multiply(means, p->c, p->places, all, ctkd__rows(k, all), ctkd__rows(u, p->places),
                       ds);
    }
    const double loss =
        own * (w * w) + teacher * (teacher_w * teacher_w) - 2 * (across * (w * teacher_w));
    return loss > 0 ? loss : 0; /* rounding can give a value below 0 */
}

static double by_place(struct ctkd__means means, const struct nst_pair *p, const float *u, float *g,
                       double scale, float *ds)
{
    const size_t m = p->places;
    const double w = 1 / (double)p->c, teacher_w = 1 / (double)p->teacher_c;
    const float *t = u + p->c * m;
    float *const teacher_g = g + m * m;
    ctkd__multiply(means, m, m, p->c, ctkd__columns(u, m), ctkd__rows(u, m), g);
    ctkd__multiply(means, m, m, p->teacher_c, ctkd__columns(t, m), ctkd__rows(t, m), teacher_g);
    double loss = 0;
    for (size_t i = 0; i < m * m; i++) {
        const double difference = (double)g[i] * w - (double)teacher_g[i] * teacher_w;
        loss += difference * difference;
        g[i] = (float)(4 * scale * w * difference);
    }
    if (ds)
        ctkd__multiply(means, p->c, m, m, ctkd__rows(u, m), ctkd__rows(g, m), ds);
    return loss;
}

/* One sample of one pair. */
static double compare(const struct nst *p, const ctkd_map *s, const ctkd_map *t, size_t i,
                      double *memory)
{
    const struct ctkd__means means = { .multiplier = p->args->multiplier }; /* within a task */
    struct nst_pair pair;
    (void)size_pair(s, t, &pair); /* cannot fail: the workspace was sized from the same maps */
    const size_t m = pair.places;
    const double scale = 1 / (double)p->args->n;
    float *const u = (float *)(void *)(memory + p->lengths), *const matrix = u + p->units;
    float *const ds = s->dx ? s->dx + i * ctkd__map_size(s) : NULL;
    const float *f = s->x + i * ctkd__map_size(s), *g = t->x + i * ctkd__map_size(t);
    for (size_t c = 0; c < pair.c; c++)
        memory[c] = ctkd__normalise(m, f + c * m, u + c * m);
    for (size_t c = 0; c < pair.teacher_c; c++)
        (void)ctkd__normalise(m, g + c * m, u + (pair.c + c) * m);
    const double loss = pair.by_place ? by_place(means, &pair, u, matrix, scale, ds)
                                      : by_channel(means, &pair, u, matrix, scale, ds);
    for (size_t c = 0; c < pair.c && ds; c++)
        ctkd__through_normalise(m, u + c * m, memory[c], ds + c * m, ds + c * m);
    return scale * loss;
}

static void run_task(void *argument, size_t task)
{
    const struct nst *p = argument;
    const size_t begin = ctkd__part_begin(p->args), end = ctkd__part_end(p->args);
    for (size_t i = begin + task; i < end; i += CTKD__TASKS) {
        p->loss[i] = 0;
        for (size_t m = 0; m < p->args->n_maps; m += 2)
            p->loss[i] += compare(p, &p->args->maps[m], &p->args->maps[m + 1], i,
                                  p->memory + task * p->of_task);
    }
}

static ctkd_status nst_eval(const void *config, const ctkd_loss_args *a)
{
    (void)config;
    const ctkd_status status = ctkd__map_pairs_check(a);
    if (status != CTKD_OK)
        return status;
    if (!a->workspace)
        return CTKD_EINVAL;
    struct nst p = { .args = a, .loss = a->workspace, .memory = a->workspace + a->n };
    if (!lay_out(a->maps, a->n_maps, &p))
        return CTKD_ERANGE;
    ctkd__part_tasks(a, run_task, &p);
    double loss = 0;
    const ctkd_status gathered = ctkd__part_sum(a, p.loss, &loss);
    if (gathered == CTKD_OK)
        *a->loss = (float)loss;
    return gathered;
}

const ctkd_loss_def ctkd__loss_nst = {
    .name = "nst",
    .title = "Neuron selectivity transfer",
    .formula = "sum over maps of mean (S S^T)^2 + mean (T T^T)^2 - 2 mean (S T^T)^2, rows of S and "
               "T the channels at length 1",
    .source = "Huang & Wang 2017, arXiv:1707.01219",
    .needs = CTKD_NEEDS_MAPS,
    .properties = CTKD_ZERO_WHEN_EQUAL | CTKD_NONNEGATIVE | CTKD_BY_PARTS,
    .classes_min = 1,
    .weight = 50,
    .plan = nst_plan,
    .workspace = nst_workspace,
    .eval = nst_eval,
};
