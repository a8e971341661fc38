/*
 * One rank of a run, for tests/cli/ranks.sh:
 *   mpi_ranks check SLICES   exchanges of all kinds against what they must give; rank 0 prints a
 *                            hash of the sums over so many slices, a power of two on each rank
 *   mpi_ranks hang SECONDS   rank 1 never answers
 *   mpi_ranks end STATUS     the last rank ends all with a status
 *   mpi_ranks fail           ranks 1 and above find a fault of their own
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dist/launch.h"
#include "dist/sum.h"
#include "support/summands.h"
#include "util/error.h"

enum { N = 100003, ROUNDS = 20 };

static uint64_t hash(const void *data, size_t bytes)
{
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < bytes; i++)
        h = (h ^ ((const unsigned char *)data)[i]) * 1099511628211u;
    return h;
}

struct job {
    struct ctkd__dist *dist;
    enum ctkd__dist_channel channel;
    size_t slices;
    uint64_t hash;
    ctkd_status status;
    ctkd_error err;
};

/* Sums of several sizes, each against the tree of one process. */
static void *sum(void *argument)
{
    struct job *const job = argument;
    const size_t size = ctkd__dist_size(job->dist), rank = ctkd__dist_rank(job->dist);
    const size_t each = job->slices / size;
    static const size_t sizes[] = { N, 1, 2, 1000 };
    struct ctkd__rank_sum *ranks;
    float *const block = malloc(N * sizeof *block);
    job->status = block ? ctkd__rank_sum_create(job->dist, N, &ranks, &job->err) : CTKD_ENOMEM;
    if (job->status != CTKD_OK)
        return NULL;
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes && job->status == CTKD_OK; k++) {
        const size_t n = sizes[k];
        for (size_t i = 0; i < n; i++)
            block[i] = summand_tree(rank * each, each, i);
        job->status = ctkd__rank_sum_run(ranks, job->channel, n, block, &job->err);
        for (size_t i = 0; i < n && job->status == CTKD_OK; i++) {
            const float expected = summand_tree(0, job->slices, i);
            if (memcmp(&expected, &block[i], sizeof expected) != 0)
                job->status = ctkd__fail(&job->err, CTKD_EBACKEND, "sum %zu of %zu is %a, not %a",
                                         i, n, (double)block[i], (double)expected);
        }
        job->hash = 31 * job->hash + hash(block, n * sizeof *block);
    }
    ctkd__rank_sum_destroy(ranks);
    free(block);
    return NULL;
}

/* Rows of double, rank r with r of them, so that rank 0 has none. */
static ctkd_status check_rows(struct ctkd__dist *dist, ctkd_error *err)
{
    const size_t size = ctkd__dist_size(dist), rank = ctkd__dist_rank(dist);
    double rows[64] = { 0 };
    size_t first[16];
    for (size_t r = 0; r <= size; r++)
        first[r] = r * (r - 1) / 2 * (r > 0);
    for (size_t i = first[rank]; i < first[rank + 1]; i++)
        rows[i] = (double)i + 0.5;
    const ctkd_status status =
        ctkd__dist_gather(dist, CTKD__CHANNEL_MAIN, rows, sizeof *rows, first, err);
    for (size_t i = 0; i < first[size] && status == CTKD_OK; i++)
        if (rows[i] != (double)i + 0.5)
            return ctkd__fail(err, CTKD_EBACKEND, "row %zu is %g", i, rows[i]);
    return status;
}

static ctkd_status check_words(struct ctkd__dist *dist, ctkd_error *err)
{
    const size_t size = ctkd__dist_size(dist), rank = ctkd__dist_rank(dist);
    char text[32] = "nobody";
    ctkd_status status = CTKD_OK;
    for (size_t root = 0; root < size && status == CTKD_OK; root++) {
        uint64_t word = rank == root ? 1000 + root : rank;
        if (rank == root)
            snprintf(text, sizeof text, "rank %zu", root);
        status = ctkd__dist_broadcast(dist, CTKD__CHANNEL_MAIN, text, sizeof text, root, err);
        if (status == CTKD_OK)
            status = ctkd__dist_max(dist, CTKD__CHANNEL_MAIN, &word, err);
        if (status == CTKD_OK && (word != 1000 + root || strtoul(text + 5, NULL, 10) != root))
            status = ctkd__fail(err, CTKD_EBACKEND, "from rank %zu came '%s', word %llu", root,
                                text, (unsigned long long)word);
    }
    return status;
}

static ctkd_status check(struct ctkd__dist *dist, size_t slices, ctkd_error *err)
{
    struct job jobs[] = { { .dist = dist, .channel = CTKD__CHANNEL_MAIN, .slices = slices },
                          { .dist = dist, .channel = CTKD__CHANNEL_GRADIENTS, .slices = slices } };
    pthread_t other;
    if (pthread_create(&other, NULL, sum, &jobs[1]) != 0) /* both channels at once */
        return ctkd__fail(err, CTKD_EBACKEND, "no thread");
    sum(&jobs[0]);
    pthread_join(other, NULL);
    ctkd_status status = CTKD_OK;
    for (int i = 0; i < 2 && status == CTKD_OK; i++) {
        status = jobs[i].status;
        if (status != CTKD_OK)
            *err = jobs[i].err;
    }
    for (int i = 0; i < ROUNDS && status == CTKD_OK; i++) {
        status = check_rows(dist, err);
        if (status == CTKD_OK)
            status = check_words(dist, err);
    }
    status = ctkd__dist_agree(dist, status, err);
    if (status == CTKD_OK && jobs[0].hash != jobs[1].hash)
        status = ctkd__fail(err, CTKD_EBACKEND, "two channels, two sums");
    if (status == CTKD_OK && ctkd__dist_rank(dist) == 0)
        printf("%016llx\n", (unsigned long long)jobs[0].hash);
    return status;
}

static ctkd_status run(struct ctkd__dist *dist, const char *what, double number, ctkd_error *err)
{
    const size_t rank = ctkd__dist_rank(dist);
    uint64_t word = 0;
    if (strcmp(what, "check") == 0)
        return check(dist, (size_t)number, err);
    if (strcmp(what, "hang") == 0) {
        if (rank == 1)
            sleep(60);
        ctkd__dist_set_timeout(dist, number);
    }
    if (strcmp(what, "end") == 0 && rank == ctkd__dist_size(dist) - 1)
        ctkd__dist_abort(dist, (int)number);
    if (strcmp(what, "fail") == 0) {
        const ctkd_status own =
            rank ? ctkd__fail(err, CTKD_EIO, "disk %zu is full", rank) : CTKD_OK;
        return ctkd__dist_agree(dist, own, err);
    }
    return ctkd__dist_max(dist, CTKD__CHANNEL_MAIN, &word, err);
}

int main(int argc, char **argv)
{
    struct ctkd__dist *dist;
    ctkd_error err = { 0 };
    ctkd_status status = argc > 1 ? ctkd__launch_open(false, &dist, &err)
                                  : ctkd__fail(&err, CTKD_EINVAL, "what is asked?");
    if (status != CTKD_OK) {
        fprintf(stderr, "mpi_ranks: %s\n", err.message);
        return 1;
    }
    if (ctkd__dist_rank(dist) == 0)
        fprintf(stderr, "%zu ranks, %s\n", ctkd__dist_size(dist), ctkd__dist_version(dist));
    status = run(dist, argv[1], argc > 2 ? strtod(argv[2], NULL) : 0, &err);
    if (status == CTKD_OK) {
        ctkd__dist_close(dist);
        return 0;
    }
    if (strcmp(argv[1], "fail") != 0 || ctkd__dist_rank(dist) == 0)
        fprintf(stderr, "mpi_ranks: %s\n", err.message);
    ctkd__dist_abort(dist, 1);
    return 1;
}
