/*
 * Speed of the Winograd kernels: one line per instruction set, shape and direction with the GFLOP/s
 * of the direct convolution that they replace, for one thread and for two (each with its own
 * images), and the relative error of a sample of outputs against double precision.
 *
 *   bench_winograd [--seconds S] [--isa NAME] [--shape C,O,SIZE] [--images N] [--block TILES]
 */
#include <getopt.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/kernels/kernels.h"
#include "util/clock.h"
#include "util/median.h"

enum { MAX_THREADS = 2, SLICES = 5, SAMPLES = 300 };
enum direction { FORWARD, BACKWARD_DATA, BACKWARD_WEIGHTS, DIRECTIONS };
static const char *const direction_names[DIRECTIONS] = { "forward", "bwd-data", "bwd-weights" };

struct isa {
    const char *name;
    size_t block;
    const struct ctkd__winograd_kernels *kernels;
};

struct options {
    double seconds;
    const char *isa;
    size_t c, o, size, images, block;
};

struct job {
    const struct isa *isa;
    struct ctkd__winograd_shape shape;
    size_t n, x_floats, y_floats, w_floats;
    enum direction direction;
    double seconds, rate[SLICES]; /* calls per second */
    float *x, *y, *w, *packed, *out;
    void *scratch;
    pthread_barrier_t *barrier;
    size_t cpu;
};

static const size_t shapes[][3] = {
    { 16, 16, 32 },  { 32, 32, 16 },   { 64, 64, 8 },    { 32, 32, 32 },   { 64, 64, 32 },
    { 64, 64, 16 },  { 128, 128, 16 }, { 128, 128, 8 },  { 256, 256, 8 },  { 256, 512, 4 },
    { 512, 512, 4 }, { 64, 64, 56 },   { 128, 128, 28 }, { 256, 256, 14 }, { 512, 512, 7 },
};

static void *allocate(size_t bytes)
{
    void *p = aligned_alloc(2 << 20, (bytes + (2 << 20) - 1) >> 21 << 21);
    if (!p) {
        fprintf(stderr, "bench_winograd: out of memory (%zu bytes)\n", bytes);
        exit(1);
    }
    return p;
}

static float *random_floats(size_t n, unsigned seed)
{
    float *p = allocate(n * sizeof *p);
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        p[i] = (float)(seed >> 8) * 0x1p-23f - 1.0f;
    }
    return p;
}

static void job_begin(struct job *job)
{
    const struct ctkd__winograd_shape *s = &job->shape;
    job->x_floats = job->n * s->c * s->h * s->w;
    job->y_floats = job->n * s->o * s->h * s->w;
    job->w_floats = s->c * s->o * 9;
    job->x = random_floats(job->x_floats, 1);
    job->y = random_floats(job->y_floats, 2);
    job->w = random_floats(job->w_floats, 3);
    job->packed = allocate(job->isa->kernels->packed_floats(s) * sizeof(float));
    job->scratch = allocate(job->isa->kernels->scratch_bytes(s));
    if (job->direction == FORWARD)
        job->isa->kernels->pack_forward(s, job->w, job->packed, 0, 1);
    if (job->direction == BACKWARD_DATA)
        job->isa->kernels->pack_backward(s, job->w, job->packed, 0, 1);
    const size_t out[] = { job->y_floats, job->x_floats, job->w_floats };
    job->out = random_floats(out[job->direction], 4);
}

static void job_end(struct job *job)
{
    free(job->x);
    free(job->y);
    free(job->w);
    free(job->packed);
    free(job->out);
    free(job->scratch);
}

static void job_call(const struct job *job)
{
    const struct ctkd__winograd_kernels *k = job->isa->kernels;
    if (job->direction == FORWARD)
        k->forward(&job->shape, job->n, job->x, NULL, job->packed, NULL, job->out, job->scratch);
    else if (job->direction == BACKWARD_DATA)
        k->backward_data(&job->shape, job->n, job->y, job->packed, NULL, job->out, job->scratch);
    else
        k->backward_weights(&job->shape, job->n, job->x, NULL, job->y, job->out, job->scratch);
}

static void *job_run(void *arg)
{
    struct job *job = arg;
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(job->cpu, &cpus);
    pthread_setaffinity_np(pthread_self(), sizeof cpus,
                           &cpus); /* a machine with one CPU: not pinned */
    job_begin(job);
    job_call(job);
    for (int slice = 0; slice < SLICES; slice++) {
        pthread_barrier_wait(job->barrier);
        const double start = ctkd__clock_seconds();
        double elapsed = 0;
        size_t calls = 0;
        do {
            job_call(job);
            calls++;
            elapsed = ctkd__clock_seconds() - start;
        } while (elapsed < job->seconds / SLICES);
        job->rate[slice] = (double)calls / elapsed;
    }
    return NULL;
}

static float x_at(const struct job *job, size_t n, size_t c, size_t row, size_t col)
{
    const size_t b = job->isa->block, h = job->shape.h, w = job->shape.w;
    if (row >= h || col >= w) /* also what wrapped below zero */
        return 0;
    return job->x[(((n * (job->shape.c / b) + c / b) * h + row) * w + col) * b + c % b];
}

static float y_at(const struct job *job, size_t n, size_t o, size_t row, size_t col)
{
    const size_t b = job->isa->block, h = job->shape.h, w = job->shape.w;
    if (row >= h || col >= w)
        return 0;
    return job->y[(((n * (job->shape.o / b) + o / b) * h + row) * w + col) * b + o % b];
}

static float w_at(const struct job *job, size_t o, size_t c, size_t tap)
{
    const size_t b = job->isa->block;
    return job->w[(((o / b * (job->shape.c / b) + c / b) * 9 + tap) * b + c % b) * b + o % b];
}

/* The output element at index `at` of job->out, in double. */
static double reference(const struct job *job, size_t at)
{
    const size_t b = job->isa->block, c = job->shape.c, o = job->shape.o;
    const size_t h = job->shape.h, w = job->shape.w, lane = at % b;
    double sum = 0;
    if (job->direction == BACKWARD_WEIGHTS) {
        const size_t in = at / b % b, tap = at / b / b % 9, block = at / b / b / 9;
        const size_t cc = block % (c / b) * b + in, oo = block / (c / b) * b + lane;
        for (size_t i = 0; i < job->n * h * w; i++) {
            const size_t n = i / (h * w), row = i / w % h, col = i % w;
            sum += (double)x_at(job, n, cc, row + tap / 3 - 1, col + tap % 3 - 1) *
                   (double)y_at(job, n, oo, row, col);
        }
        return sum;
    }
    const size_t channels = job->direction == FORWARD ? o : c, pixel = at / b % (h * w);
    const size_t row = pixel / w, col = pixel % w, block = at / b / (h * w);
    const size_t n = block / (channels / b), channel = block % (channels / b) * b + lane;
    for (size_t tap = 0; tap < 9; tap++) {
        const size_t dy = tap / 3 - 1, dx = tap % 3 - 1; /* may wrap, and back */
        if (job->direction == FORWARD) {
            for (size_t i = 0; i < c; i++)
                sum += (double)x_at(job, n, i, row + dy, col + dx) *
                       (double)w_at(job, channel, i, tap);
        } else {
            for (size_t i = 0; i < o; i++)
                sum += (double)y_at(job, n, i, row - dy, col - dx) *
                       (double)w_at(job, i, channel, tap);
        }
    }
    return sum;
}

static double sampled_error(const struct job *job)
{
    const size_t sizes[] = { job->y_floats, job->x_floats, job->w_floats };
    double difference = 0, norm = 0;
    for (size_t i = 0; i < SAMPLES; i++) {
        const size_t at = i * 2654435761u % sizes[job->direction];
        const double expected = reference(job, at), d = (double)job->out[at] - expected;
        difference += d * d;
        norm += expected * expected;
    }
    return sqrt(difference / norm);
}

/* GFLOP/s of all threads together, median over the slices; *error is of the first thread's result.
 */
static double measure(const struct job *proto, int threads, double *error)
{
    struct job jobs[MAX_THREADS];
    pthread_t ids[MAX_THREADS];
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, (unsigned)threads);
    for (int i = 0; i < threads; i++) {
        jobs[i] = *proto;
        jobs[i].barrier = &barrier;
        jobs[i].cpu = (size_t)i;
        if (pthread_create(&ids[i], NULL, job_run, &jobs[i]) != 0) {
            fprintf(stderr, "bench_winograd: cannot start thread %d\n", i);
            exit(1);
        }
    }
    double rate[SLICES] = { 0 };
    for (int i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
        for (int slice = 0; slice < SLICES; slice++)
            rate[slice] += jobs[i].rate[slice];
    }
    *error = sampled_error(&jobs[0]);
    for (int i = 0; i < threads; i++)
        job_end(&jobs[i]);
    pthread_barrier_destroy(&barrier);
    const struct ctkd__winograd_shape *s = &proto->shape;
    return ctkd__sort_median(SLICES, rate) * 18e-9 * (double)(proto->n * s->c * s->o * s->h * s->w);
}

static void bench(const struct isa *isa, const size_t shape[3], const struct options *options)
{
    const size_t n = options->images;
    for (int direction = 0; direction < DIRECTIONS; direction++) {
        const struct job job = { .isa = isa,
                                 .shape = { .c = shape[0],
                                            .o = shape[1],
                                            .h = shape[2],
                                            .w = shape[2],
                                            .tile_block = options->block },
                                 .n = n,
                                 .direction = (enum direction)direction,
                                 .seconds = options->seconds };
        double error;
        const double one = measure(&job, 1, &error), two = measure(&job, 2, &error);
        printf("%-8s %3zu-%3zu @%2zux%-2zu %-11s  1 thread %6.1f  2 threads %6.1f GFLOP/s  error "
               "%.1e\n",
               isa->name, shape[0], shape[1], shape[2], shape[2], direction_names[direction], one,
               two, error);
        fflush(stdout);
    }
}

static int parse(int argc, char **argv, struct options *options)
{
    static const struct option flags[] = {
        { "seconds", 1, NULL, 's' }, { "isa", 1, NULL, 'i' },   { "shape", 1, NULL, 'c' },
        { "images", 1, NULL, 'n' },  { "block", 1, NULL, 'b' }, { 0 },
    };
    for (int flag; (flag = getopt_long(argc, argv, "", flags, NULL)) != -1;) {
        if (flag == 's')
            options->seconds = strtod(optarg, NULL);
        else if (flag == 'i')
            options->isa = optarg;
        else if (flag == 'n')
            options->images = strtoul(optarg, NULL, 10);
        else if (flag == 'b')
            options->block = strtoul(optarg, NULL, 10);
        else if (flag != 'c' ||
                 sscanf(optarg, "%zu,%zu,%zu", &options->c, &options->o, &options->size) != 3)
            return -1;
    }
    return options->images > 0 ? 0 : -1;
}

int main(int argc, char **argv)
{
    struct options options = { .seconds = 0.25, .images = 32 };
    if (parse(argc, argv, &options) != 0) {
        fprintf(stderr, "usage: bench_winograd [--seconds S] [--isa NAME] [--shape C,O,SIZE] "
                        "[--images N] [--block TILES]\n");
        return 2;
    }
    for (size_t i = 0; ctkd__kernels_list()[i]; i++) {
        const struct ctkd__kernels *const kernels = ctkd__kernels_list()[i];
        const struct isa isa = { kernels->name, kernels->block, kernels->winograd };
        if (options.isa && strcmp(options.isa, isa.name) != 0)
            continue;
        if (options.c)
            bench(&isa, (const size_t[]){ options.c, options.o, options.size }, &options);
        for (size_t s = 0; !options.c && s < sizeof shapes / sizeof *shapes; s++)
            bench(&isa, shapes[s], &options);
    }
    return 0;
}
