#include "train/step_groups.h"

#include <stdlib.h>
#include <string.h>

#include "dist/sum.h"
#include "train/sgd.h"
#include "util/error.h"
#include "util/slice.h"

enum { LEVELS_MAX = 24 }; /* of a tree over passes: train.batch is at most 2^16 */

struct ctkd__step_groups {
    struct ctkd__step_groups_config config;
    size_t n, each; /* floats of a block; groups of a rank */
    size_t groups;  /* of a full batch */
    size_t images;  /* of the present batch */
    size_t *first;  /* [ranks + 1] groups, then images, where those of a rank begin */
    float *moments; /* [groups][n_buffers]; NULL: running statistics move at once */
    struct ctkd__rank_sum *ranks;
    /* Sums of runs of passes that are trees of their own, the longest first: `blocks` has the
       gradients of all parameters, then theta's, and `runs` how many passes each sums. */
    float *blocks[LEVELS_MAX];
    size_t runs[LEVELS_MAX], n_blocks, levels;
    /* Of the pass that is being added, for the workers. */
    const float *const *gradients;
    size_t n_gradients;
    float share;
};

bool ctkd__step_groups_whole(const struct ctkd__config *config, const struct ctkd__methods *methods,
                             size_t ranks)
{
    const size_t batch = (size_t)config->train.batch, group = ctkd__config_pass(config);
    if (ranks < 2 || group == batch || batch % (group * ranks) ||
        !ctkd__slices_fit(batch / group, ranks) || methods->needs & CTKD_NEEDS_VIEWS)
        return false;
    for (size_t i = 0; i < methods->count; i++)
        if (methods->items[i].def->state)
            return false;
    return true;
}

/* --- create, destroy */

/* Before the last of n passes that are a power of two, a block for each power below it, and one for
   the pass at hand. */
static size_t levels_of(size_t passes)
{
    size_t levels = 1;
    for (; passes > 1; passes /= 2)
        levels++;
    return levels;
}

static bool allocate(struct ctkd__step_groups *g)
{
    const struct ctkd__step_groups_config *const config = &g->config;
    const size_t passes = g->each * config->passes;
    g->levels = config->tree ? levels_of(passes) : 1;
    g->first = calloc(ctkd__dist_size(config->dist) + 1, sizeof *g->first);
    if (config->dist)
        g->moments = calloc(g->groups * config->weights->n_buffers + 1, sizeof *g->moments);
    bool complete = g->first && (g->moments || !config->dist) && g->levels <= LEVELS_MAX;
    for (size_t i = 0; i < g->levels && complete; i++)
        complete = (g->blocks[i] = calloc(g->n, sizeof *g->blocks[i])) != NULL;
    return complete;
}

ctkd_status ctkd__step_groups_create(const struct ctkd__step_groups_config *config,
                                     struct ctkd__step_groups **out, ctkd_error *err)
{
    *out = NULL;
    struct ctkd__step_groups *const g = calloc(1, sizeof *g);
    if (!g)
        return ctkd__fail(err, CTKD_ENOMEM, "training step: out of memory");
    g->config = *config;
    g->n = config->weights->n_values + config->n_theta;
    g->groups = (config->batch + config->group - 1) / config->group;
    g->each = g->groups / ctkd__dist_size(config->dist);
    ctkd_status status =
        allocate(g) ? CTKD_OK : ctkd__fail(err, CTKD_ENOMEM, "training step: out of memory");
    if (status == CTKD_OK && config->dist)
        status = ctkd__rank_sum_create(config->dist, g->n, &g->ranks, err);
    if (status == CTKD_OK)
        *out = g;
    else
        ctkd__step_groups_destroy(g);
    return status;
}

void ctkd__step_groups_destroy(struct ctkd__step_groups *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->levels && i < LEVELS_MAX; i++)
        free(g->blocks[i]);
    ctkd__rank_sum_destroy(g->ranks);
    free(g->first);
    free(g->moments);
    free(g);
}

const float *ctkd__step_groups_gradient(const struct ctkd__step_groups *g)
{
    return g->blocks[0];
}

const float *ctkd__step_groups_theta_gradient(const struct ctkd__step_groups *g)
{
    return g->blocks[0] + g->config.weights->n_values;
}

/* --- a step */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Where the groups of rank r begin in the present batch. */
static size_t begin_of(const struct ctkd__step_groups *g, size_t r)
{
    return least(r * g->each, (g->images + g->config.group - 1) / g->config.group);
}

size_t ctkd__step_groups_begin(struct ctkd__step_groups *g, size_t n, size_t *first, size_t *end)
{
    const size_t rank = ctkd__dist_rank(g->config.dist);
    g->images = n;
    g->n_blocks = 0;
    *first = begin_of(g, rank);
    *end = begin_of(g, rank + 1);
    if (!g->config.tree || *first == *end) /* else the first pass overwrites it */
        memset(g->blocks[0], 0, g->n * sizeof *g->blocks[0]);
    return begin_of(g, ctkd__dist_size(g->config.dist));
}

void ctkd__step_groups_enter(struct ctkd__step_groups *g, size_t group)
{
    if (g->moments)
        ctkd__training_keep_moments(g->config.training,
                                    g->moments + group * g->config.weights->n_buffers);
}

/* The sum of the slices is scaled behind the tree, so that its bits are those on any number of
   ranks. */
static void scale_range(const struct ctkd__step_groups *g, size_t begin, size_t end, float *block)
{
    ctkd__sgd_sum(g->gradients, g->n_gradients, g->n_gradients, begin, end - begin, block + begin);
    for (size_t i = begin; i < end; i++)
        block[i] *= g->share;
}

/* In a worker: its part of the parameters. */
static void add_part(void *context, size_t worker)
{
    struct ctkd__step_groups *const g = context;
    const size_t n = g->config.weights->n_values, workers = ctkd__workers_count(g->config.workers);
    const size_t begin = ctkd__slice_begin(n, workers, worker);
    const size_t end = ctkd__slice_begin(n, workers, worker + 1);
    if (g->config.tree) {
        scale_range(g, begin, end, g->blocks[g->n_blocks]);
        return;
    }
    for (size_t s = 0; s < g->n_gradients; s++)
        ctkd__add_scaled(end - begin, g->share, g->gradients[s] + begin, g->blocks[0] + begin);
}

/* In a worker: its part of the last block, which is added to the one before it. */
static void merge_part(void *context, size_t worker)
{
    struct ctkd__step_groups *const g = context;
    const size_t workers = ctkd__workers_count(g->config.workers), last = g->n_blocks - 1;
    const size_t begin = ctkd__slice_begin(g->n, workers, worker);
    const size_t end = ctkd__slice_begin(g->n, workers, worker + 1);
    ctkd__add_scaled(end - begin, 1, g->blocks[last] + begin, g->blocks[last - 1] + begin);
}

/* Adds the last block to the one before it. */
static void merge(struct ctkd__step_groups *g)
{
    ctkd__workers_run(g->config.workers, merge_part, g);
    g->n_blocks--;
    g->runs[g->n_blocks - 1] += g->runs[g->n_blocks];
}

void ctkd__step_groups_add(struct ctkd__step_groups *g, const float *const *gradients,
                           size_t n_gradients, const float *dtheta, float share)
{
    g->gradients = gradients;
    g->n_gradients = n_gradients;
    g->share = share;
    ctkd__workers_run(g->config.workers, add_part, g);
    float *const theta = g->blocks[g->config.tree ? g->n_blocks : 0] + g->config.weights->n_values;
    for (size_t i = 0; i < g->config.n_theta; i++)
        theta[i] = (g->config.tree ? 0 : theta[i]) + share * dtheta[i];
    if (!g->config.tree)
        return;
    g->runs[g->n_blocks++] = 1;
    while (g->n_blocks > 1 && g->runs[g->n_blocks - 1] == g->runs[g->n_blocks - 2])
        merge(g);
}

/* --- the end of a step */

/* Everything but the gradient, in rows of groups and of images. */
static ctkd_status gather(struct ctkd__step_groups *g, struct ctkd__step_report *reports,
                          float *taus, ctkd_error *err)
{
    struct ctkd__dist *const dist = g->config.dist;
    const size_t ranks = ctkd__dist_size(dist);
    for (size_t r = 0; r <= ranks; r++)
        g->first[r] = begin_of(g, r);
    ctkd_status status =
        ctkd__dist_gather(dist, CTKD__CHANNEL_MAIN, reports, sizeof *reports, g->first, err);
    const enum ctkd__dist_topic before =
        ctkd__dist_set_topic(dist, CTKD__CHANNEL_MAIN, CTKD__TOPIC_NORMS);
    if (status == CTKD_OK && g->config.weights->n_buffers)
        status =
            ctkd__dist_gather(dist, CTKD__CHANNEL_MAIN, g->moments,
                              g->config.weights->n_buffers * sizeof *g->moments, g->first, err);
    ctkd__dist_set_topic(dist, CTKD__CHANNEL_MAIN, before);
    for (size_t r = 0; r <= ranks; r++)
        g->first[r] = least(g->first[r] * g->config.group, g->images);
    if (status == CTKD_OK && taus)
        status = ctkd__dist_gather(dist, CTKD__CHANNEL_MAIN, taus, sizeof *taus, g->first, err);
    return status;
}

static ctkd_status sum_gradients(struct ctkd__step_groups *g, ctkd_error *err)
{
    struct ctkd__dist *const dist = g->config.dist;
    const enum ctkd__dist_topic before =
        ctkd__dist_set_topic(dist, CTKD__CHANNEL_MAIN, CTKD__TOPIC_GRADIENTS);
    const ctkd_status status =
        ctkd__rank_sum_run(g->ranks, CTKD__CHANNEL_MAIN, g->n, g->blocks[0], err);
    ctkd__dist_set_topic(dist, CTKD__CHANNEL_MAIN, before);
    return status;
}

ctkd_status ctkd__step_groups_finish(struct ctkd__step_groups *g, ctkd_status status,
                                     struct ctkd__step_report *reports, float *taus,
                                     ctkd_error *err)
{
    while (g->n_blocks > 1)
        merge(g);
    if (!g->config.dist)
        return status;
    ctkd__training_keep_moments(g->config.training, NULL);
    status = ctkd__dist_agree(g->config.dist, status, err);
    if (status == CTKD_OK)
        status = gather(g, reports, taus, err);
    if (status == CTKD_OK)
        status = sum_gradients(g, err);
    const size_t groups = begin_of(g, ctkd__dist_size(g->config.dist));
    for (size_t i = 0; i < groups && status == CTKD_OK; i++)
        ctkd__training_move_statistics(g->config.training,
                                       g->moments + i * g->config.weights->n_buffers);
    return status;
}
