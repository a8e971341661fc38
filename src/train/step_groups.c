#include "train/step_groups.h"

#include <stdlib.h>
#include <string.h>

#include "train/sgd.h"
#include "util/error.h"
#include "util/slice.h"

enum { LEVELS_MAX = 24 }; /* of a tree over passes: train.batch is at most 2^16 */

struct ctkd__step_groups {
    struct ctkd__step_groups_config config;
    size_t n, each; /* floats of a block; groups of a rank */
    size_t groups;  /* of a full batch */
    /* The present batch: its images, the group under way and the end of those of this rank, that
       group's share of the images, and whether the ranks have agreed already. */
    size_t images, group, end;
    float share;
    bool agreed;
    size_t *first;  /* [ranks + 1] groups, then images, where those of a rank begin */
    float *moments; /* [groups][n_buffers]; NULL: running statistics move at once */
    struct ctkd__gradient_sum *ranks;
    /* Sums of runs of passes that are trees of their own, the longest first: `blocks` has the
       gradients of all parameters, then theta's, and `runs` how many passes each sums. */
    float *blocks[LEVELS_MAX];
    size_t runs[LEVELS_MAX], n_blocks, levels;
    /* Of the pass that is being added, for the workers. */
    const float *const *gradients;
    size_t n_gradients;
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

/* Before the last of n passes that are a power of two, a block for each power below it. */
static size_t levels_of(size_t passes)
{
    size_t levels = 0;
    for (; passes > 1; passes /= 2)
        levels++;
    return levels;
}

static bool allocate(struct ctkd__step_groups *g)
{
    const struct ctkd__step_groups_config *const config = &g->config;
    const size_t passes = g->each * config->passes;
    /* And one for the last, which on several ranks the sum over the ranks has. */
    g->levels = (config->tree ? levels_of(passes) : 0) + (config->dist ? 0 : 1);
    g->first = calloc(ctkd__dist_size(config->dist) + 1, sizeof *g->first);
    if (config->dist)
        g->moments = calloc(g->groups * config->weights->n_buffers + 1, sizeof *g->moments);
    bool complete = g->first && (g->moments || !config->dist) && g->levels <= LEVELS_MAX;
    for (size_t i = 0; i < g->levels && complete; i++)
        complete = (g->blocks[i] = calloc(g->n, sizeof *g->blocks[i])) != NULL;
    return complete;
}

static void merge_last(void *context, size_t begin, size_t n, float *part);

static ctkd_status create_sum(struct ctkd__step_groups *g, ctkd_error *err)
{
    const struct ctkd__gradient_sum_config sum = { .dist = g->config.dist,
                                                   .workers = g->config.workers,
                                                   .training = g->config.training,
                                                   .weights = g->config.weights,
                                                   .overlap = g->config.overlap,
                                                   .merge = merge_last,
                                                   .context = g,
                                                   .behind = g->config.n_theta };
    return ctkd__gradient_sum_create(&sum, &g->ranks, err);
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
        status = create_sum(g, err);
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
    ctkd__gradient_sum_destroy(g->ranks); /* its thread may be merging the blocks */
    for (size_t i = 0; i < g->levels && i < LEVELS_MAX; i++)
        free(g->blocks[i]);
    free(g->first);
    free(g->moments);
    free(g);
}

const float *ctkd__step_groups_gradient(const struct ctkd__step_groups *g)
{
    return g->ranks ? ctkd__gradient_sum_values(g->ranks) : g->blocks[0];
}

const float *ctkd__step_groups_theta_gradient(const struct ctkd__step_groups *g)
{
    return ctkd__step_groups_gradient(g) + g->config.weights->n_values;
}

const struct ctkd__gradient_sum *ctkd__step_groups_ranks(const struct ctkd__step_groups *g)
{
    return g->ranks;
}

/* --- a step */

/* Where the groups of rank r begin in a batch of n images. */
static size_t begin_of(const struct ctkd__step_groups *g, size_t n, size_t r)
{
    return ctkd__least(r * g->each, (n + g->config.group - 1) / g->config.group);
}

size_t ctkd__step_groups_count(const struct ctkd__step_groups *g, size_t n, size_t *first,
                               size_t *end)
{
    const size_t rank = ctkd__dist_rank(g->config.dist);
    *first = begin_of(g, n, rank);
    *end = begin_of(g, n, rank + 1);
    return begin_of(g, n, ctkd__dist_size(g->config.dist));
}

size_t ctkd__step_groups_begin(struct ctkd__step_groups *g, size_t n, size_t *first, size_t *end)
{
    const size_t groups = ctkd__step_groups_count(g, n, first, end);
    g->images = n;
    g->group = *first;
    g->end = *end;
    g->agreed = g->config.dist == NULL;
    g->n_blocks = 0;
    if (!g->config.tree) /* else the first pass overwrites it */
        memset(g->blocks[0], 0, g->n * sizeof *g->blocks[0]);
    return groups;
}

void ctkd__step_groups_enter(struct ctkd__step_groups *g, size_t group)
{
    const size_t left = g->images - group * g->config.group;
    g->group = group;
    g->share = (float)ctkd__least(left, g->config.group) / (float)g->images;
    if (g->moments)
        ctkd__training_keep_moments(g->config.training,
                                    g->moments + group * g->config.weights->n_buffers);
}

ctkd_status ctkd__step_groups_agree(struct ctkd__step_groups *g, ctkd_status status,
                                    ctkd_error *err)
{
    const bool last = g->group + 1 >= g->end; /* or there is none */
    if (g->agreed || (status == CTKD_OK && !last))
        return status;
    g->agreed = true;
    status = ctkd__dist_agree(g->config.dist, status, err);
    if (status == CTKD_OK)
        ctkd__gradient_sum_expect(g->ranks, g->group < g->end);
    return status;
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

/* Gradient i of theta in this pass, added to `before`: a first one to 0, so that -0 never begins a
   sum. */
static float added_theta(const struct ctkd__step_groups *g, size_t i, float before)
{
    return before + g->share * g->config.dtheta[i];
}

/* On several ranks, the last group of this one: the block of the pass is merged with those before
   it. Where it has no group, it adds zeros. */
static void merge_last(void *context, size_t begin, size_t n, float *part)
{
    const struct ctkd__step_groups *const g = context;
    const size_t n_values = g->config.weights->n_values;
    if (g->group == g->end)
        memset(part, 0, n * sizeof *part);
    for (size_t i = 0; i < n && g->group < g->end; i++)
        part[i] =
            begin + i < n_values ? part[i] * g->share : added_theta(g, begin + i - n_values, 0);
    for (size_t i = g->n_blocks; i-- > 0;)
        ctkd__add_scaled(n, 1, g->blocks[i] + begin, part);
}

void ctkd__step_groups_add(struct ctkd__step_groups *g, const float *const *gradients,
                           size_t n_gradients)
{
    if (g->ranks && g->group + 1 == g->end) /* merge_last */
        return;
    g->gradients = gradients;
    g->n_gradients = n_gradients;
    ctkd__workers_run(g->config.workers, add_part, g);
    float *const theta = g->blocks[g->config.tree ? g->n_blocks : 0] + g->config.weights->n_values;
    for (size_t i = 0; i < g->config.n_theta; i++)
        theta[i] = added_theta(g, i, g->config.tree ? 0 : theta[i]);
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
        g->first[r] = begin_of(g, g->images, r);
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
        g->first[r] = ctkd__least(g->first[r] * g->config.group, g->images);
    if (status == CTKD_OK && taus)
        status = ctkd__dist_gather(dist, CTKD__CHANNEL_MAIN, taus, sizeof *taus, g->first, err);
    return status;
}

ctkd_status ctkd__step_groups_finish(struct ctkd__step_groups *g, struct ctkd__step_report *reports,
                                     float *taus, ctkd_error *err)
{
    while (g->n_blocks > 1 && !g->ranks)
        merge(g);
    if (!g->ranks)
        return CTKD_OK;
    ctkd__training_keep_moments(g->config.training, NULL);
    ctkd_status status = gather(g, reports, taus, err);
    if (status == CTKD_OK)
        status = ctkd__gradient_sum_finish(g->ranks, err);
    const size_t groups = begin_of(g, g->images, ctkd__dist_size(g->config.dist));
    for (size_t i = 0; i < groups && status == CTKD_OK; i++)
        ctkd__training_move_statistics(g->config.training,
                                       g->moments + i * g->config.weights->n_buffers);
    return status;
}
