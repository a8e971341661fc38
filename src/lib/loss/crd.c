/*
 * CRD: a sample's embedding should be distinguishable from those of other samples, which a memory
 * of the whole set holds. v1, v2 are the embeddings x = W f + b of student and teacher brought to
 * length 1 (both are trained); banks M1, M2 [count, dim] hold those of each row of the set. Sample
 * i is compared with a positive row, idx_i0, and m rows of other classes, idx_i1 .. im:
 *   P_ij = exp(<M2[idx_ij], v1_i>/T)/Z1,  Q_ij = exp(<M1[idx_ij], v2_i>/T)/Z2
 *   l(P) = -1/n sum_i [ log(P_i0/(P_i0 + c + e)) + sum_{j>0} log(c/(P_ij + c + e)) ]
 *   L    = l(P) + l(Q),  c = m/count,  e = 1e-7
 * and for the exponents x_ij
 *   dl/dx_i0 = -1/n (c + e)/(P_i0 + c + e)
 *   dl/dx_ij = 1/n P_ij/(P_ij + c + e)
 *   dv1_i    = 1/T sum_j dl/dx_ij M2[idx_ij]
 * Z1, Z2 are count times the mean of exp over the first batch, constant from then on. After the
 * scores the rows y of the batch move:
 *   M1[y] <- unit(momentum M1[y] + (1 - momentum) v1),  M2 with v2 likewise.
 * Maps: x1, x2, each [dim]. State: M1, M2, Z1, Z2 (0: not yet set).
 *
 * With batch 64, m = 16384 and dim = 128 a step reads every row of a bank about twenty times. So
 * the banks are walked once, in blocks that fit into a cache, and each block serves every sample
 * that needs rows of it. Scores and sums over a block are float, everything beyond is double. The
 * banks are cut into parts by their size alone, so that the threads do not change the result.
 */
#include "lib/loss/crd.h"

#include <math.h>
#include <string.h>

#include "ctkd/random.h"
#include "lib/each.h"
#include "lib/maps.h"
#include "lib/math/clones.h"
#include "lib/math/matrix.h"
#include "lib/memory.h"

enum crd_mode { CRD_EXACT, CRD_RELAX };
enum { BLOCK_ROWS = 128, PARTS = 16, GROUP = 64 };

static const double epsilon = 1e-7;

struct crd_config {
    int64_t dim, negatives;
    int mode; /* enum crd_mode */
    float temperature, momentum;
};

static ctkd_status crd_plan(const void *config, ctkd_builder *b)
{
    const struct crd_config *crd = config;
    const ctkd_conv linear = { .out = (size_t)crd->dim, .kernel = 1, .stride = 1, .bias = true };
    const int s = b->tap(b, CTKD_STUDENT, -1, false), t = b->tap(b, CTKD_TEACHER, -1, false);
    b->read(b, b->conv(b, s, "embedding.student", &linear), CTKD_STAGE_MAIN, true);
    b->read(b, b->conv(b, t, "embedding.teacher", &linear), CTKD_STAGE_MAIN, true);
    return b->status;
}

/* --- state */

static size_t crd_state(const void *config, const ctkd_loss_shape *shape)
{
    const struct crd_config *crd = config;
    size_t rows = 0, values = 2;
    return shape->samples > 0 && ctkd__add_product(&rows, shape->samples, 2) &&
                   ctkd__add_product(&values, rows, (size_t)crd->dim)
               ? values
               : 0;
}

/* U(-sqrt(3/dim), sqrt(3/dim)): rows of length 1 on average. */
static void crd_state_init(const void *config, const ctkd_loss_shape *shape, uint64_t seed,
                           float *state)
{
    const struct crd_config *crd = config;
    const size_t values = shape->samples * (size_t)crd->dim;
    const float bound = sqrtf(3 / (float)crd->dim);
    for (uint64_t side = 0; side < 2; side++, state += values)
        for (size_t i = 0; i < values; i += 4) {
            uint32_t word[4];
            ctkd_random_u32x4(seed, CTKD_RANDOM_LOSS, side, i / 4, word);
            for (size_t j = 0; j < 4 && i + j < values; j++)
                state[i + j] = bound * ((float)(word[j] >> 8) * 0x1p-23f - 1);
        }
    state[0] = state[1] = 0;
}

/* --- memory of one evaluation */

/* The two sides: the student's embedding against the teacher's bank, and the reverse. */
struct side {
    const float *bank;
    const ctkd_map *map;
    float *unit;      /* [n][dim], v */
    double *length;   /* [n] */
    float *dv;        /* [parts][n][dim], without the positive, 1/T and 1/n */
    double *sums;     /* [parts][n]: of log((P + c + e)/c), or of exp while Z is not known */
    double *positive; /* [n]: <M[idx_i0], v>/T */
    double *losses;   /* [n] */
    double z, log_z;
};

struct crd {
    const ctkd_loss_args *args;
    size_t n, dim, m, count, parts, part_rows;
    bool relax;
    double temperature, c;
    bool find_z;
    struct ctkd__crd_classes classes;
    uint32_t *rows;     /* [n][m] */
    uint32_t *relative; /* [n] */
    uint32_t *position; /* [parts][n] */
    char *scratch;      /* [n][scratch_bytes] */
    size_t scratch_bytes;
    struct side sides[2];
};

/* Reserves memory for a x b items at *at and advances it; base NULL: only counts. */
static void *reserve(double *base, size_t *at, size_t a, size_t b, size_t bytes, bool *fits)
{
    size_t things = 0, sum = 7;
    void *const place = base ? base + *at : NULL;
    *fits = *fits && ctkd__add_product(&things, a, b) && ctkd__add_product(&sum, things, bytes) &&
            ctkd__add_product(at, sum / sizeof(double), 1);
    return place;
}

/* Fills the sizes that follow from the set and the options, and every pointer; returns how many
   doubles there are, 0 on overflow. */
static size_t lay_out(struct crd *w, const struct crd_config *config, size_t n, size_t k,
                      size_t count, double *base)
{
    w->n = n;
    w->dim = (size_t)config->dim;
    w->m = (size_t)config->negatives;
    w->count = count;
    w->part_rows = (count / PARTS / BLOCK_ROWS + 1) * BLOCK_ROWS;
    w->parts = (count + w->part_rows - 1) / w->part_rows;
    w->scratch_bytes = (ctkd__crd_scratch_bytes(count, w->m) + 7) / 8 * 8;
    w->classes.k = k;
    size_t at = 0;
    bool fits = true;
    w->classes.start = reserve(base, &at, k + 1, 1, sizeof(uint32_t), &fits);
    w->classes.rows = reserve(base, &at, count, 1, sizeof(uint32_t), &fits);
    w->rows = reserve(base, &at, n, w->m, sizeof(uint32_t), &fits);
    w->relative = reserve(base, &at, n, 1, sizeof(uint32_t), &fits);
    w->position = reserve(base, &at, w->parts, n, sizeof(uint32_t), &fits);
    w->scratch = reserve(base, &at, n, w->scratch_bytes, 1, &fits);
    for (size_t s = 0; s < 2; s++) {
        struct side *side = &w->sides[s];
        side->unit = reserve(base, &at, n, w->dim, sizeof(float), &fits);
        side->length = reserve(base, &at, n, 1, sizeof(double), &fits);
        side->dv = reserve(base, &at, w->parts * n, w->dim, sizeof(float), &fits);
        side->sums = reserve(base, &at, w->parts, n, sizeof(double), &fits);
        side->positive = reserve(base, &at, n, 1, sizeof(double), &fits);
        side->losses = reserve(base, &at, n, 1, sizeof(double), &fits);
    }
    return fits ? at : 0;
}

static size_t crd_workspace(const void *config, const ctkd_loss_shape *shape)
{
    struct crd w;
    return shape->samples > UINT32_MAX || shape->k > SIZE_MAX / 64 || shape->n > SIZE_MAX / 64
               ? 0
               : lay_out(&w, config, shape->n, shape->k, shape->samples, NULL);
}

/* --- the hot path */

/* e^x for x below 80, as 2^i e^r with a Taylor series, so that loops over it vectorise. Far below
   -87 it is tiny but not 0; a NaN stays one. */
static inline float exponential(float x)
{
    const float shift = 0x1.8p23f, ln2_high = 0x1.62e4p-1f, ln2_low = 0x1.7f7d1cp-20f;
    x = x < -80 ? -80 : x > 80 ? 80 : x;
    const float shifted = x * 0x1.715476p0f + shift, i = shifted - shift;
    const float r = (x - i * ln2_high) - i * ln2_low;
    float p = 1.0f / 5040;
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits); /* its low bits are i */
    bits = (bits << 23) + 0x3f800000u;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

enum { LANES = 16, ROWS = 4 };

/* The sum of a row's lanes, as a tree. */
static inline float sum_of_lanes(const float *lanes)
{
    float four[4];
    for (size_t l = 0; l < 4; l++)
        four[l] = (lanes[l] + lanes[l + 4]) + (lanes[l + 8] + lanes[l + 12]);
    return (four[0] + four[1]) + (four[2] + four[3]);
}

/* x_j = <row_j, v> of four rows: float sums in lanes of their own, adequate for a row, and fast. */
CTKD__CLONES static void multiply_four(size_t d, const float *const rows[ROWS],
                                       const float *restrict v, float *restrict x)
{
    const float *const a = rows[0], *const b = rows[1], *const p = rows[2], *const q = rows[3];
    float la[LANES] = { 0 }, lb[LANES] = { 0 }, lp[LANES] = { 0 }, lq[LANES] = { 0 };
    size_t i = 0;
    for (; i + LANES <= d; i += LANES)
        for (size_t l = 0; l < LANES; l++) {
            la[l] += a[i + l] * v[i + l];
            lb[l] += b[i + l] * v[i + l];
            lp[l] += p[i + l] * v[i + l];
            lq[l] += q[i + l] * v[i + l];
        }
    for (; i < d; i++) {
        la[0] += a[i] * v[i];
        lb[0] += b[i] * v[i];
        lp[0] += p[i] * v[i];
        lq[0] += q[i] * v[i];
    }
    x[0] = sum_of_lanes(la);
    x[1] = sum_of_lanes(lb);
    x[2] = sum_of_lanes(lp);
    x[3] = sum_of_lanes(lq);
}

static void multiply_rows(size_t d, const float *bank, const uint32_t *rows, size_t count,
                          const float *v, float *x)
{
    for (size_t j = 0; j < count; j += ROWS) {
        float four[ROWS];
        const float *at[ROWS];
        for (size_t r = 0; r < ROWS; r++) /* past the end: the last row again, unused */
            at[r] = bank + rows[j + r < count ? j + r : count - 1] * d;
        multiply_four(d, at, v, four);
        for (size_t r = 0; r < ROWS && j + r < count; r++)
            x[j + r] = four[r];
    }
}

/* dv += sum_j g_j row_j, four rows at a time. */
CTKD__CLONES static void add_rows(size_t d, const float *bank, const uint32_t *rows, size_t count,
                                  const float *g, float *restrict dv)
{
    size_t j = 0;
    for (; j + 4 <= count; j += 4) {
        const float *a = bank + rows[j] * d, *b = bank + rows[j + 1] * d;
        const float *p = bank + rows[j + 2] * d, *q = bank + rows[j + 3] * d;
        for (size_t i = 0; i < d; i++)
            dv[i] += (g[j] * a[i] + g[j + 1] * b[i]) + (g[j + 2] * p[i] + g[j + 3] * q[i]);
    }
    for (; j < count; j++)
        for (size_t i = 0; i < d; i++)
            dv[i] += g[j] * bank[rows[j] * d + i];
}

/* p = exp(p/T)/Z, g = p/(p + noise). */
CTKD__CLONES static void scores(size_t count, float inverse, float log_z, float noise,
                                float *restrict p, float *restrict g)
{
    for (size_t j = 0; j < count; j++) {
        p[j] = exponential(p[j] * inverse - log_z);
        g[j] = p[j] / (p[j] + noise);
    }
}

/* sum of log((p_j + noise)/c): one logarithm of the product, exponents taken off in time for
   factors up to 1e60. In double: in float the rounding of 1 + e/c, times m, would show. */
static double log_of_product(size_t count, const float *p, double noise, double c)
{
    const double slope = 1 / c, least = noise / c;
    double product = 1;
    long exponents = 0;
    for (size_t j = 0; j < count; j++) {
        product *= (double)p[j] * slope + least;
        if (j % 4 == 3) {
            int exponent;
            product = frexp(product, &exponent);
            exponents += exponent;
        }
    }
    return log(product) + (double)exponents * 0.693147180559945309;
}

/* Negatives rows[0 .. count - 1] of sample i on one side, at most GROUP of them. */
static void add_group(const struct crd *w, const struct side *side, size_t i, size_t part,
                      const uint32_t *rows, size_t count)
{
    float p[GROUP], g[GROUP];
    const float *const v = side->unit + i * w->dim;
    const float inverse = (float)(1 / w->temperature), log_z = (float)side->log_z;
    const double noise = w->c + epsilon;
    multiply_rows(w->dim, side->bank, rows, count, v, p);
    scores(count, inverse, log_z, (float)noise, p, g);
    double *const sum = &side->sums[part * w->n + i];
    if (w->find_z) {
        for (size_t j = 0; j < count; j++)
            *sum += (double)p[j];
        return;
    }
    *sum += log_of_product(count, p, noise, w->c);
    add_rows(w->dim, side->bank, rows, count, g, side->dv + (part * w->n + i) * w->dim);
}

static size_t first_from(const uint32_t *rows, size_t m, size_t row)
{
    size_t low = 0, high = m;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (rows[middle] < row)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Rows of one part of the banks, block by block, with all samples. */
static void walk_part(void *argument, size_t part)
{
    const struct crd *w = argument;
    const size_t begin = part * w->part_rows;
    const size_t end = begin + w->part_rows < w->count ? begin + w->part_rows : w->count;
    uint32_t *const position = w->position + part * w->n;
    for (size_t s = 0; s < 2; s++) {
        memset(w->sides[s].sums + part * w->n, 0, w->n * sizeof(double));
        memset(w->sides[s].dv + part * w->n * w->dim, 0, w->n * w->dim * sizeof(float));
    }
    for (size_t i = 0; i < w->n; i++)
        position[i] = (uint32_t)first_from(w->rows + i * w->m, w->m, begin);
    for (size_t block = begin; block < end; block += BLOCK_ROWS)
        for (size_t i = 0; i < w->n; i++) {
            const uint32_t *const rows = w->rows + i * w->m;
            const size_t limit = block + BLOCK_ROWS < end ? block + BLOCK_ROWS : end;
            for (size_t first = position[i]; first < w->m && rows[first] < limit;) {
                size_t next = first;
                while (next < w->m && next - first < GROUP && rows[next] < limit)
                    next++;
                add_group(w, &w->sides[0], i, part, rows + first, next - first);
                add_group(w, &w->sides[1], i, part, rows + first, next - first);
                position[i] = (uint32_t)(first = next);
            }
        }
}

/* --- preparation, scaling and updates around it */

/* Rows to compare sample i with, and its embeddings. */
static void prepare_sample(void *argument, size_t i)
{
    const struct crd *w = argument;
    const ctkd_loss_args *a = w->args;
    const uint64_t id = a->ids[i];
    ctkd__crd_negatives(a->samples, &w->classes, id, w->m, w->scratch + i * w->scratch_bytes,
                        w->rows + i * w->m);
    w->relative[i] = w->relax ? ctkd__crd_relative(a->samples, &w->classes, id) : (uint32_t)id;
    for (size_t s = 0; s < 2; s++) {
        const struct side *side = &w->sides[s];
        float *const v = side->unit + i * w->dim;
        side->length[i] = ctkd__normalise(w->dim, side->map->x + i * w->dim, v);
        side->positive[i] =
            ctkd__dot(w->dim, side->bank + w->relative[i] * w->dim, v) / w->temperature;
    }
}

static void finish_side(const struct crd *w, const struct side *side, size_t i)
{
    const size_t d = w->dim;
    const double p = exp(side->positive[i] - side->log_z), all = p + w->c + epsilon;
    side->losses[i] = log1p((w->c + epsilon) / p);
    for (size_t part = 0; part < w->parts; part++)
        side->losses[i] += side->sums[part * w->n + i];
    float *const dx = side->map->dx ? side->map->dx + i * d : NULL;
    if (!dx)
        return;
    const double scale = 1 / (w->temperature * (double)w->n);
    const float *const row = side->bank + w->relative[i] * d;
    for (size_t j = 0; j < d; j++) {
        double sum = -(w->c + epsilon) / all * (double)row[j];
        for (size_t part = 0; part < w->parts; part++)
            sum += (double)side->dv[(part * w->n + i) * d + j];
        dx[j] = (float)(scale * sum);
    }
    ctkd__through_normalise(d, side->unit + i * d, side->length[i], dx, dx);
}

static void finish_sample(void *argument, size_t i)
{
    const struct crd *w = argument;
    finish_side(w, &w->sides[0], i);
    finish_side(w, &w->sides[1], i);
}

/* Z of a side: kept, or from this batch. */
static void set_z(const struct crd *w, struct side *side)
{
    double sum = 0;
    for (size_t i = 0; i < w->n; i++)
        sum += exp(side->positive[i]);
    for (size_t i = 0; i < w->parts * w->n; i++)
        sum += side->sums[i];
    side->z = (double)w->count * sum / ((double)w->n * (double)(w->m + 1));
}

static void move_rows(const struct crd *w, float *bank, const float *unit, double momentum)
{
    for (size_t i = 0; i < w->n; i++) {
        float *const row = bank + w->args->ids[i] * w->dim;
        const float *const v = unit + i * w->dim;
        for (size_t j = 0; j < w->dim; j++)
            row[j] = (float)(momentum * (double)row[j] + (1 - momentum) * (double)v[j]);
        (void)ctkd__normalise(w->dim, row, row);
    }
}

static ctkd_status check(const struct crd_config *config, const ctkd_loss_args *a)
{
    const ctkd_status status = ctkd__maps_check(a, 2);
    if (status != CTKD_OK)
        return status;
    if (a->n_maps != 2 || ctkd__map_size(&a->maps[0]) != (size_t)config->dim ||
        ctkd__map_size(&a->maps[1]) != (size_t)config->dim)
        return CTKD_ESHAPE;
    if (!a->workspace || !a->state || !a->ids || !a->samples || !a->samples->labels || a->k < 2 ||
        a->samples->count == 0 || a->samples->count > UINT32_MAX)
        return CTKD_EINVAL;
    for (size_t i = 0; i < a->n; i++)
        if (a->ids[i] >= a->samples->count)
            return CTKD_ERANGE;
    for (size_t i = 0; i < a->samples->count; i++)
        if (a->samples->labels[i] < 0 || (size_t)a->samples->labels[i] >= a->k)
            return CTKD_ERANGE;
    return CTKD_OK;
}

static ctkd_status crd_eval(const void *config, const ctkd_loss_args *a)
{
    const struct crd_config *crd = config;
    const ctkd_status status = check(crd, a);
    if (status != CTKD_OK)
        return status;
    struct crd w = { .args = a, .relax = crd->mode == CRD_RELAX };
    (void)lay_out(&w, crd, a->n, a->k, a->samples->count, a->workspace);
    ctkd__crd_sort(a->samples, &w.classes);
    for (size_t i = 0; i < a->n; i++) {
        const uint32_t *const start = w.classes.start + a->samples->labels[a->ids[i]];
        if (start[1] - start[0] == w.count)
            return CTKD_EINVAL; /* one class only: there are no negatives */
    }
    float *const banks[2] = { a->state, a->state + w.count * w.dim };
    float *const z = banks[1] + w.count * w.dim;
    w.temperature = (double)crd->temperature;
    w.c = (double)w.m / (double)w.count;
    for (size_t s = 0; s < 2; s++) {
        w.sides[s].bank = banks[1 - s];
        w.sides[s].map = &a->maps[s];
        w.sides[s].z = (double)z[s];
    }
    ctkd__each(a->pool, w.n, prepare_sample, &w);
    w.find_z = z[0] == 0 || z[1] == 0;
    if (w.find_z)
        ctkd__each(a->pool, w.parts, walk_part, &w);
    for (size_t s = 0; s < 2; s++) {
        if (w.find_z)
            set_z(&w, &w.sides[s]);
        w.sides[s].log_z = log(w.sides[s].z);
        z[s] = (float)w.sides[s].z;
    }
    w.find_z = false;
    ctkd__each(a->pool, w.parts, walk_part, &w);
    ctkd__each(a->pool, w.n, finish_sample, &w);
    double loss = 0;
    for (size_t i = 0; i < w.n; i++)
        loss += (w.sides[0].losses[i] + w.sides[1].losses[i]) / (double)w.n;
    for (size_t s = 0; s < 2; s++)
        move_rows(&w, banks[s], w.sides[s].unit, (double)crd->momentum);
    *a->loss = (float)loss;
    return CTKD_OK;
}

static const char *const crd_modes[] = { "exact", "relax", NULL };

static const ctkd_option crd_options[] = {
    CTKD_OPT_I64(struct crd_config, dim, 128, 1, 65536, "length of an embedding"),
    CTKD_OPT_I64(struct crd_config, negatives, 16384, 1, 1 << 24,
                 "number of samples of other classes that each sample is compared with"),
    CTKD_OPT_CHOICE(
        struct crd_config, mode, CRD_EXACT, crd_modes,
        "the positive of a sample: exact: the sample itself; relax: any sample of its class"),
    CTKD_OPT_F32(struct crd_config, temperature, 0.07, 0.02, 100,
                 "temperature T of the scores, unrelated to tau"),
    CTKD_OPT_F32(struct crd_config, momentum, 0.5, 0, 1,
                 "share of its old value that a row of the memory bank keeps"),
    CTKD_OPT_END,
};

const ctkd_loss_def ctkd__loss_crd = {
    .name = "crd",
    .title = "Contrastive representation distillation",
    .formula = "-mean_i [ log(P_i0/(P_i0 + c)) + sum_j log(c/(P_ij + c)) ], P_ij = exp(<M_j, "
               "v_i>/T)/Z, both ways",
    .source = "Tian et al. 2020, arXiv:1910.10699",
    .needs = CTKD_NEEDS_MAPS | CTKD_NEEDS_IDS,
    .properties = CTKD_NONNEGATIVE,
    .classes_min = 2,
    .options = crd_options,
    .config_size = sizeof(struct crd_config),
    .weight = 0.8f,
    .plan = crd_plan,
    .workspace = crd_workspace,
    .state = crd_state,
    .state_init = crd_state_init,
    .eval = crd_eval,
};
