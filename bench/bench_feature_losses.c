/* Milliseconds per evaluation of each loss of features with its gradients, best and median of
   rounds, for a batch of 64 on the features of two pairs of networks, with 1 and 2 threads; with
   one also the least processor time, which other programs on the machine disturb less. Losses with
   matrix products are also timed with another library's sgemm as ctkd_multiplier, in alternation,
   with the ratio and the share and rate of the products. That sgemm is Fortran's sgemm_ of the
   library in the environment variable BLAS (BLAS=libopenblas.so.0, or PyTorch's libtorch_cpu.so),
   else oneDNN's. usage: bench_feature_losses [NAME ...] */
#include <dlfcn.h>
#include <dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctkd/ctkd.h"
#include "nn/engine.h"
#include "support/recording_builder.h"
#include "train/pool.h"
#include "util/clock.h"
#include "util/median.h"

enum { N = 64, K = 100, SAMPLES = 50000, ROUNDS = 15 };

static const ctkd_map small[] = {
    { .c = 16, .h = 32, .w = 32 }, { .c = 16, .h = 32, .w = 32 }, { .c = 32, .h = 16, .w = 16 },
    { .c = 64, .h = 8, .w = 8 },   { .c = 64, .h = 1, .w = 1 },
};
static const ctkd_map student_x4[] = {
    { .c = 32, .h = 32, .w = 32 }, { .c = 64, .h = 32, .w = 32 }, { .c = 128, .h = 16, .w = 16 },
    { .c = 256, .h = 8, .w = 8 },  { .c = 256, .h = 1, .w = 1 },
};

static const struct pair {
    const char *name;
    const ctkd_map *student, *teacher;
} pairs[] = {
    { "resnet56 -> resnet20", small, small },
    { "resnet32x4 -> resnet8x4", student_x4, student_x4 },
};

static void *room(size_t count, size_t bytes)
{
    void *memory = calloc(count + 1, bytes);
    if (!memory)
        exit(1);
    return memory;
}

/* After a ReLU: half of them 0. */
static float *random_values(size_t count, uint64_t stream)
{
    float *x = room(count, sizeof *x);
    for (size_t i = 0; i < count; i++) {
        const float normal = ctkd_random_normal(1, CTKD_RANDOM_TEST, stream, i);
        x[i] = normal > 0 ? normal : 0;
    }
    return x;
}

struct inputs {
    ctkd_map maps[RECORDED_MAX];
    ctkd_loss_args args;
    ctkd_samples samples;
    ctkd_head head;
    float loss, tau, dtau;
    uint64_t ids[N];
    int32_t labels[N];
};

static void fill_maps(struct inputs *in, const struct recorded_read *reads, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        ctkd_map *map = &in->maps[i];
        *map = reads[i].value.shape;
        const size_t values = N * map->c * map->h * map->w;
        map->x = random_values(values, i);
        map->dx = reads[i].gradient ? room(values, sizeof(float)) : NULL;
        map->norm_weight = reads[i].value.norm ? random_values(map->c, 100 + i) : NULL;
        map->norm_bias = reads[i].value.norm ? random_values(map->c, 200 + i) : NULL;
    }
}

static void fill_others(struct inputs *in, size_t channels)
{
    int32_t *all = room(SAMPLES, sizeof *all);
    for (int32_t i = 0; i < SAMPLES; i++)
        all[i] = i % K;
    for (size_t i = 0; i < N; i++) {
        in->ids[i] = 701 * i;
        in->labels[i] = all[in->ids[i]];
    }
    in->tau = 4;
    in->samples = (ctkd_samples){ SAMPLES, all, 1, 0 };
    in->head = (ctkd_head){ K, channels, random_values(K * channels, 300), random_values(K, 301) };
    in->args = (ctkd_loss_args){ .n = N,
                                 .k = K,
                                 .s = random_values(N * K, 302),
                                 .t = random_values(N * K, 303),
                                 .labels = in->labels,
                                 .tau = &in->tau,
                                 .n_tau = 1,
                                 .loss = &in->loss,
                                 .ds = room(N * K, sizeof(float)),
                                 .dtau = &in->dtau,
                                 .maps = in->maps,
                                 .head = &in->head,
                                 .ids = in->ids,
                                 .samples = &in->samples };
}

static int time_eval(const ctkd_loss_def *def, const void *config, const ctkd_loss_args *args,
                     const char *pair, size_t threads)
{
    double ms[ROUNDS], cpu = 1e30;
    for (size_t i = 0; i < ROUNDS; i++) {
        const double start = ctkd__clock_seconds();
        const clock_t cpu_start = clock();
        if (def->eval(config, args) != CTKD_OK)
            return 1;
        const double spent = (double)(clock() - cpu_start) * 1e3 / CLOCKS_PER_SEC;
        ms[i] = 1e3 * (ctkd__clock_seconds() - start);
        cpu = spent < cpu ? spent : cpu;
    }
    const double median = ctkd__sort_median(ROUNDS, ms);
    printf("%s, %s, %zu threads: %.2f ms (median %.2f", def->name, pair, threads, ms[0], median);
    if (threads == 1) /* clock() may leave out what other threads used a moment ago */
        printf(", processor %.2f", cpu);
    printf(")\n");
    return 0;
}

/* --- another library's matrix product */

typedef void sgemm_t(const char *a_form, const char *b_form, const int *m, const int *n,
                     const int *k, const float *alpha, const float *a, const int *a_column,
                     const float *b, const int *b_column, const float *beta, float *out,
                     const int *out_column);

/* Fortran's matrices are column-major: out^T = b^T a^T. */
static void blas(void *context, size_t m, size_t n, size_t k, const float *a, size_t a_row,
                 size_t a_column, const float *b, size_t b_row, size_t b_column, float *out)
{
    sgemm_t *const *multiply = context;
    const int rows = (int)m, columns = (int)n, depth = (int)k;
    const int a_stride = (int)(a_column == 1 ? a_row : a_column);
    const int b_stride = (int)(b_column == 1 ? b_row : b_column);
    const float one = 1, zero = 0;
    (*multiply)(b_column == 1 ? "N" : "T", a_column == 1 ? "N" : "T", &columns, &rows, &depth, &one,
                b, &b_stride, a, &a_stride, &zero, out, &columns);
}

static void sgemm(void *context, size_t m, size_t n, size_t k, const float *a, size_t a_row,
                  size_t a_column, const float *b, size_t b_row, size_t b_column, float *out)
{
    (void)context;
    const int a_plain = a_column == 1, b_plain = b_column == 1;
    if (dnnl_sgemm(a_plain ? 'N' : 'T', b_plain ? 'N' : 'T', (dnnl_dim_t)m, (dnnl_dim_t)n,
                   (dnnl_dim_t)k, 1, a, (dnnl_dim_t)(a_plain ? a_row : a_column), b,
                   (dnnl_dim_t)(b_plain ? b_row : b_column), 0, out, (dnnl_dim_t)n) != dnnl_success)
        exit(1);
}

/* Time and operations of the products alone, in a run of its own. */
struct counted {
    const ctkd_multiplier *inner;
    double seconds, operations;
};

static void count(void *context, size_t m, size_t n, size_t k, const float *a, size_t a_row,
                  size_t a_column, const float *b, size_t b_row, size_t b_column, float *out)
{
    struct counted *c = context;
    const double start = ctkd__clock_seconds();
    c->inner->multiply(c->inner->context, m, n, k, a, a_row, a_column, b, b_row, b_column, out);
    c->seconds += ctkd__clock_seconds() - start;
    c->operations += 2.0 * (double)m * (double)n * (double)k;
}

static double processor_ms(const ctkd_loss_def *def, const void *config, const ctkd_loss_args *args)
{
    const clock_t start = clock();
    if (def->eval(config, args) != CTKD_OK)
        exit(1);
    return (double)(clock() - start) * 1e3 / CLOCKS_PER_SEC;
}

/* Repeated until it is long enough for clock(): plain, with the hook, plain, ... */
static void compare_products(const ctkd_loss_def *def, const void *config, ctkd_loss_args args,
                             const char *pair)
{
    static ctkd_multiplier multiplier = { NULL, sgemm };
    static sgemm_t *foreign;
    if (getenv("BLAS") && !foreign) {
        void *library = dlopen(getenv("BLAS"), RTLD_NOW);
        void *function = library ? dlsym(library, "sgemm_") : NULL;
        if (!function)
            exit(1);
        memcpy(&foreign, &function, sizeof function);
        multiplier = (ctkd_multiplier){ &foreign, blas };
    }
    double best[2] = { 1e30, 1e30 };
    int repeats = 1;
    while (processor_ms(def, config, &args) * repeats < 5)
        repeats *= 2;
    for (size_t round = 0; round < 2 * ROUNDS; round++) {
        args.multiplier = round % 2 ? &multiplier : NULL;
        double sum = 0;
        for (int i = 0; i < repeats; i++)
            sum += processor_ms(def, config, &args);
        best[round % 2] = sum < best[round % 2] ? sum : best[round % 2];
    }
    struct counted counted = { &multiplier, 0, 0 };
    const ctkd_multiplier counting = { &counted, count };
    args.multiplier = &counting;
    double all = 0;
    for (int i = 0; i < repeats * ROUNDS; i++)
        all += processor_ms(def, config, &args);
    printf(
        "%s, %s, processor: %.3f ms, with sgemm %.3f: %.1f times as fast; products are %.0f %% of "
        "it, at %.0f GFLOP/s\n",
        def->name, pair, best[0] / repeats, best[1] / repeats, best[0] / best[1],
        1e5 * counted.seconds / all, 1e-9 * counted.operations / counted.seconds);
}

static int measure(const ctkd_loss_def *def, const struct pair *pair, unsigned stage)
{
    static struct recording recording;
    static struct recorded_read reads[RECORDED_MAX];
    _Alignas(16) char config[256];
    struct inputs *in = room(1, sizeof *in);
    ctkd_options_defaults(def->options, config);
    recording_start(&recording, pair->student, 5, pair->teacher, 5);
    if (def->plan && def->plan(config, &recording.builder) != CTKD_OK)
        return 1;
    const size_t count = recording_reads(&recording, stage, reads);
    fill_others(in, pair->teacher[4].c);
    fill_maps(in, reads, count);
    in->args.n_maps = count;
    in->args.stage = stage;
    const ctkd_loss_shape shape = {
        .n = N, .k = K, .maps = in->maps, .n_maps = count, .samples = SAMPLES
    };
    size_t workspace, state;
    if (ctkd_loss_workspace(def, config, &shape, &workspace) != CTKD_OK ||
        ctkd_loss_state(def, config, &shape, &state) != CTKD_OK)
        return 1;
    in->args.workspace = room(workspace, sizeof(double));
    in->args.state = room(state, sizeof(float));
    if (state)
        def->state_init(config, &shape, 1, in->args.state);
    int failed = time_eval(def, config, &in->args, pair->name, 1);
    static const char *const of_products[] = { "nst", "fsp", "sp", "pkt", NULL };
    for (size_t i = 0; of_products[i]; i++)
        if (strcmp(of_products[i], def->name) == 0)
            compare_products(def, config, in->args, pair->name);
    struct ctkd__engine engine;
    if (ctkd__engine_open(&(struct ctkd__engine_config){ .threads = 2 }, &engine, NULL) != CTKD_OK)
        return 1;
    const ctkd_pool pool = ctkd__pool(engine.workers);
    in->args.pool = &pool;
    failed |= time_eval(def, config, &in->args, pair->name, 2);
    ctkd__engine_close(&engine);
    return failed; /* memory is left to the end of the program */
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
    int failed = 0;
    for (const ctkd_loss_def *const *def = ctkd_loss_list(); *def; def++) {
        if (!((*def)->needs & (CTKD_NEEDS_MAPS | CTKD_NEEDS_IDS | CTKD_NEEDS_HEAD)) ||
            !wanted((*def)->name, argc, argv))
            continue;
        for (unsigned stage = CTKD_STAGE_INITIAL; stage <= CTKD_STAGE_MAIN; stage <<= 1)
            for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
                if (((*def)->stages ? (*def)->stages : CTKD_STAGE_MAIN) & stage)
                    failed |= measure(*def, &pairs[i], stage);
    }
    return failed;
}
