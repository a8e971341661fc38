#include "run/checkpoint.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/run_config.h"
#include "ctkd/ctkd.h"
#include "io/sealed.h"
#include "nn/conv/dnnl_version.h"
#include "train/class_columns.h"
#include "train/step_groups.h"
#include "util/error.h"
#include "util/file.h"
#include "util/options_inner.h"
#include "util/run_files.h"
#include "util/sha256.h"
#include "util/slice.h"

/* Raise the number whenever the meaning of anything below changes. */
static const char format[] = "ctkd checkpoint 4";
enum { PATH_BYTES = CTKD__RUN_PATH_BYTES };

/* --- what is saved: flat blocks of floats, and numbers */

/* Whether a block has the layout of the weights' values or buffers, which depends on the channel
   block of the kernels, or a plain one. */
enum saved_layout { LAYOUT_PLAIN, LAYOUT_VALUES, LAYOUT_BUFFERS };
struct saved_block {
    const char *name;
    float *values;
    size_t n;
    enum saved_layout layout;
};
enum { BLOCKS_MAX = 8 };

/* A module that has state to save adds its block here. */
static size_t blocks_of(struct ctkd__session *session, struct saved_block *blocks)
{
    struct ctkd__run_state *state = &session->state;
    struct ctkd__weights *weights = session->weights;
    size_t n = 0;
    blocks[n++] =
        (struct saved_block){ "weights", weights->values, weights->n_values, LAYOUT_VALUES };
    blocks[n++] =
        (struct saved_block){ "buffers", weights->buffers, weights->n_buffers, LAYOUT_BUFFERS };
    blocks[n++] =
        (struct saved_block){ "velocity", state->velocity, weights->n_values, LAYOUT_VALUES };
    if (state->n_theta) {
        blocks[n++] =
            (struct saved_block){ "temperature", state->theta, state->n_theta, LAYOUT_PLAIN };
        blocks[n++] = (struct saved_block){ "temperature_velocity", state->temperature_velocity,
                                            state->n_theta, LAYOUT_PLAIN };
    }
    if (session->config->temperature.kind == CTKD_TEMPERATURE_INSTANCE && state->temperature)
        blocks[n++] =
            (struct saved_block){ "tau_counts", state->tau_counts, CTKD__TAU_BINS, LAYOUT_PLAIN };
    if (state->n_method_state)
        blocks[n++] = (struct saved_block){ "methods", state->method_state, state->n_method_state,
                                            LAYOUT_PLAIN };
    return n;
}

/* Every number of the state as X(field, type): those before the losses of the methods and those
   after. All are saved as doubles, in which integers up to 2^53 are exact. */
#define NUMBERS_BEFORE(X)                                                                          \
    X(weights->batches_tracked, int64_t)                                                           \
    X(stage, unsigned)                                                                             \
    X(epoch, uint64_t)                                                                             \
    X(epoch_step, uint64_t)                                                                        \
    X(step, uint64_t)                                                                              \
    X(sums.steps, uint64_t)                                                                        \
    X(sums.images, uint64_t)                                                                       \
    X(sums.correct, uint64_t)                                                                      \
    X(sums.loss, double)                                                                           \
    X(sums.loss_ce, double)                                                                        \
    X(sums.loss_kd, double)                                                                        \
    X(sums.loss_method, double)

#define NUMBERS_BEHIND(X)                                                                          \
    X(sums.tau, double)                                                                            \
    X(sums.tau_gradient, double)                                                                   \
    X(sums.tau_min, float)                                                                         \
    X(sums.tau_max, float)                                                                         \
    X(sums.seconds, double)                                                                        \
    X(sums.teacher.hits, size_t)                                                                   \
    X(sums.teacher.misses, size_t)                                                                 \
    X(sums.teacher.damaged, size_t)                                                                \
    X(best_top1, double)                                                                           \
    X(best_dev_top1, double)                                                                       \
    X(best_epoch, uint64_t)                                                                        \
    X(seconds, double)                                                                             \
    X(evaluated, bool)                                                                             \
    X(test.n, size_t)                                                                              \
    X(test.top1, double)                                                                           \
    X(test.top5, double)                                                                           \
    X(test.loss, double)                                                                           \
    X(dev.n, size_t)                                                                               \
    X(dev.top1, double)                                                                            \
    X(dev.top5, double)                                                                            \
    X(dev.loss, double)

enum { LOSSES = sizeof((struct ctkd__epoch_sums *)0)->losses / sizeof(double) };
_Static_assert(LOSSES == 8, "one loss more is another format: give it the next number above");

#define COUNT(field, type) +1
enum { LOG_BYTES_AT = NUMBERS_BEFORE(COUNT) + LOSSES NUMBERS_BEHIND(COUNT), N_NUMBERS };
#undef COUNT

static void pack_numbers(const struct ctkd__run_state *state, uint64_t log_bytes, double *out)
{
    size_t i = 0;
#define PACK(field, type) out[i++] = (double)state->field;
    NUMBERS_BEFORE(PACK)
    for (size_t j = 0; j < LOSSES; j++)
        out[i++] = state->sums.losses[j];
    NUMBERS_BEHIND(PACK)
#undef PACK
    out[i] = (double)log_bytes;
}

static void unpack_numbers(const double *values, struct ctkd__run_state *state, uint64_t *log_bytes)
{
    size_t i = 0;
#define UNPACK(field, type) state->field = (type)values[i++];
    NUMBERS_BEFORE(UNPACK)
    for (size_t j = 0; j < LOSSES; j++)
        state->sums.losses[j] = values[i++];
    NUMBERS_BEHIND(UNPACK)
#undef UNPACK
    *log_bytes = (uint64_t)values[LOG_BYTES_AT];
}

/* --- what must be the same */

static const char key_kernels[] = "kernels", key_dnnl[] = "oneDNN",
                  key_columns[] = "teacher's classes (SHA-256)", key_threads[] = "threads";

static bool is_of_kernels(const char *key)
{
    return strcmp(key, key_kernels) == 0 || strcmp(key, key_dnnl) == 0;
}

static ctkd_status set_number(struct ctkd__tensors *list, const char *key, size_t value,
                              ctkd_error *err)
{
    char text[32];
    snprintf(text, sizeof text, "%zu", value);
    return ctkd__tensors_set(list, key, text, err);
}

/* Converts a block of a graph's parameters from the layout of `from` to that of `to`. */
static ctkd_status convert_block(const struct ctkd__weights *to, const struct ctkd__weights *from,
                                 enum saved_layout layout, const float *values, float *out,
                                 ctkd_error *err)
{
    float *const plain = calloc(from->n_values + from->n_buffers, sizeof *plain);
    if (!plain)
        return ctkd__fail(err, CTKD_ENOMEM, "checkpoint: out of memory");
    for (int i = 0; i < to->graph->n_parameters; i++) {
        const bool is_buffer = to->graph->parameters[i].role > CTKD__ROLE_BIAS;
        if (is_buffer != (layout == LAYOUT_BUFFERS))
            continue;
        ctkd__weights_unpack(from, i, values + from->offsets[i], plain);
        ctkd__weights_pack(to, i, plain, out + to->offsets[i]);
    }
    free(plain);
    return CTKD_OK;
}

static ctkd_status set_choices(const struct ctkd__session *session, struct ctkd__tensors *list,
                               ctkd_error *err)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *stream = open_memstream(&text, &bytes);
    if (!stream)
        return ctkd__fail(err, CTKD_ENOMEM, "checkpoint: out of memory");
    if (session->engine.choices)
        ctkd__choices_write(session->engine.choices, stream);
    const ctkd_status status = fclose(stream) == 0
                                   ? ctkd__tensors_set(list, "recorded convolutions", text, err)
                                   : ctkd__fail(err, CTKD_ENOMEM, "checkpoint: out of memory");
    free(text);
    return status;
}

/* SHA-256 of the teacher's weights and running statistics in the layout of kernels with channel
   block `block`, so that a checkpoint of other kernels can be compared. */
static ctkd_status set_teacher(const struct ctkd__session *session, size_t block,
                               struct ctkd__tensors *list, ctkd_error *err)
{
    char digests[2 * 64 + 1] = "none";
    const struct ctkd__weights *weights = session->teacher ? session->teacher->weights : NULL;
    struct ctkd__weights *other = NULL;
    if (weights && weights->block != block) {
        ctkd_status status = ctkd__weights_create(weights->graph, block, &other, err);
        if (status == CTKD_OK)
            status =
                convert_block(other, weights, LAYOUT_VALUES, weights->values, other->values, err);
        if (status == CTKD_OK)
            status = convert_block(other, weights, LAYOUT_BUFFERS, weights->buffers, other->buffers,
                                   err);
        if (status != CTKD_OK) {
            ctkd__weights_destroy(other);
            return status;
        }
        weights = other;
    }
    if (weights) {
        ctkd__sha256_bytes(weights->values, weights->n_values * sizeof(float), digests);
        ctkd__sha256_bytes(weights->buffers, weights->n_buffers * sizeof(float), digests + 64);
    }
    ctkd__weights_destroy(other);
    return ctkd__tensors_set(list, "teacher's weights (SHA-256)", digests, err);
}

/* Which of the teacher's outputs are the classes: the file of teacher.classes may have changed. */
static ctkd_status set_columns(const struct ctkd__session *session, struct ctkd__tensors *list,
                               ctkd_error *err)
{
    char digest[CTKD__SHA256_DIGITS + 1];
    const struct ctkd__teacher *const teacher = session->teacher;
    ctkd__class_columns_digest(session->info.classes, teacher ? teacher->columns : NULL, digest);
    return ctkd__tensors_set(list, key_columns, digest, err);
}

/* Describes the data set by its contents, because it may have been moved. */
static ctkd_status describe_data(const struct ctkd__session *session, struct ctkd__tensors *list,
                                 ctkd_error *err)
{
    const struct ctkd__network_info *const images = &session->data.images;
    const struct ctkd__data_digest *const digest = &session->digest;
    const struct {
        const char *key, *value;
    } digests[] = { { "training images (SHA-256)", digest->train_images },
                    { "training labels (SHA-256)", digest->train_labels },
                    { "test images (SHA-256)", digest->test_images },
                    { "test labels (SHA-256)", digest->test_labels } };
    char text[160];
    snprintf(text, sizeof text, "%s, %zu classes, %zux%zux%zu", images->dataset, images->classes,
             images->channels, images->height, images->width);
    ctkd_status status = ctkd__tensors_set(list, "data set", text, err);
    if (status == CTKD_OK)
        status = set_number(list, "number of training images",
                            ctkd__loader_samples(session->data.train), err);
    for (size_t i = 0; i < sizeof digests / sizeof *digests && status == CTKD_OK; i++)
        status = ctkd__tensors_set(list, digests[i].key, digests[i].value, err);
    return status;
}

/* The kernels, oneDNN and the placement on threads and ranks. */
static ctkd_status describe_engine(const struct ctkd__session *session, struct ctkd__tensors *list,
                                   ctkd_error *err)
{
    const struct ctkd__engine *const engine = &session->engine;
    const size_t threads = ctkd__workers_count(engine->workers);
    const size_t ranks = ctkd__dist_size(session->dist);
    char code[96], placement[64];
    ctkd_status status = ctkd__tensors_set(list, key_kernels, engine->kernels->name, err);
    if (status == CTKD_OK)
        status = ctkd__tensors_set(list, key_dnnl, ctkd__dnnl_code(code, sizeof code), err);
    if (status != CTKD_OK || ranks == 1)
        return status == CTKD_OK ? set_number(list, key_threads, threads, err) : status;
    snprintf(placement, sizeof placement, "%zu on each of %zu ranks", threads, ranks);
    return ctkd__tensors_set(list, key_threads, placement, err);
}

/* Everything that the coming steps depend on, as metadata. block: the channel block of the layout
   in which the teacher's weights are hashed. */
static ctkd_status describe(const struct ctkd__session *session, const char *command, size_t block,
                            struct ctkd__tensors *list, ctkd_error *err)
{
    ctkd_status status = ctkd__tensors_set(list, "format", format, err);
    if (status == CTKD_OK)
        status = ctkd__tensors_set(list, "command", command, err);
    if (status == CTKD_OK)
        status = describe_engine(session, list, err);
    if (status == CTKD_OK)
        status = describe_data(session, list, err);
    if (status == CTKD_OK)
        status = set_choices(session, list, err);
    if (status == CTKD_OK)
        status = set_teacher(session, block, list, err);
    if (status == CTKD_OK)
        status = set_columns(session, list, err);
    struct ctkd__option_at at = { 0 };
    const struct ctkd__sections sections = ctkd__config_sections(session->config);
    while (status == CTKD_OK && ctkd__options_next(sections, &at)) {
        char text[64];
        status = ctkd__tensors_set(list, at.key, ctkd__option_value(&at, text, sizeof text), err);
    }
    return status;
}

/* Whether a run with slices has the bits of one process on so many ranks. */
static bool fits(const struct ctkd__session *session, size_t ranks)
{
    return ctkd__slices_fit((size_t)session->config->train.slices, ranks) ||
           ctkd__step_groups_whole(session->config, &session->methods, ranks);
}

/* Reads what describe_engine writes as key_threads; NULL: of a run of one process. */
static size_t read_placement(const char *text, size_t *ranks)
{
    size_t threads = 0;
    *ranks = 1;
    if (text)
        (void)!sscanf(text, "%zu on each of %zu ranks", &threads, ranks);
    return threads;
}

/* Whether it has the same bits on its ranks as on those of the checkpoint, whose value of
   key_threads is `was`. */
static bool same_sums(const struct ctkd__session *session, const char *was)
{
    size_t ranks;
    read_placement(was, &ranks);
    const size_t now = ctkd__dist_size(session->dist);
    return now == ranks || (fits(session, now) && fits(session, ranks));
}

/* Whether a value may differ from that in the checkpoint, `was` (NULL: it has none). */
static bool may_differ(const struct ctkd__session *session, const char *key, const char *was)
{
    const struct ctkd__config *const config = session->config;
    return ctkd__config_may_differ(config, session->teacher != NULL, key) ||
           (config->train.slices && strcmp(key, key_threads) == 0 && same_sums(session, was)) ||
           (config->run.allow == CTKD__ALLOW_KERNELS && is_of_kernels(key)) ||
           /* older versions did not say it */
           (!was && (strcmp(key, key_dnnl) == 0 || strcmp(key, key_columns) == 0));
}

ctkd_status ctkd__checkpoint_describe(const struct ctkd__session *session, const char *command,
                                      struct ctkd__tensors *list, ctkd_error *err)
{
    return describe(session, command, session->weights->block, list, err);
}

static bool same_value(const struct ctkd__session *session, const char *key, const char *was,
                       const char *now)
{
    struct ctkd__option_at at;
    return ctkd__options_find(ctkd__config_sections(session->config), key, &at)
               ? ctkd__config_same_value(&at, was, now)
               : strcmp(was, now) == 0;
}

/* What would make a value the checkpoint's, or be right without; "" if nothing is worth saying. */
static const char *way_out(const char *key, const char *now, const char *was, char *text,
                           size_t bytes)
{
    size_t ranks[2], threads = 0;
    if (strcmp(key, key_threads) == 0) {
        read_placement(now, &ranks[0]);
        threads = read_placement(was, &ranks[1]);
        threads = ranks[0] == 1 && ranks[1] == 1 ? threads : 0;
    }
    text[0] = '\0';
    if (is_of_kernels(key))
        snprintf(text, bytes, " (or run.allow=kernels, and other bits from here on)");
    else if (threads)
        snprintf(text, bytes, " (train.threads=%zu)", threads);
    return text;
}

static ctkd_status compare(const struct ctkd__session *session, const char *command,
                           const char *path, const struct ctkd__tensors *then, ctkd_error *err)
{
    struct ctkd__tensors now = { 0 };
    const char *const kernels = ctkd__tensors_get(then, key_kernels);
    const size_t own = session->weights->block,
                 block = kernels ? ctkd__kernels_block(kernels) : own;
    ctkd_status status = describe(session, command, block ? block : own, &now, err);
    for (size_t i = 0; i < now.n_metadata && status == CTKD_OK; i++) {
        char out[64];
        const char *key = now.keys[i], *was = ctkd__tensors_get(then, key);
        if (may_differ(session, key, was) || (was && same_value(session, key, was, now.values[i])))
            continue;
        status = ctkd__fail(err, CTKD_EINVAL,
                            "%s: %s: the run has '%.200s', expected '%.200s' to resume it%s", path,
                            key, now.values[i], was ? was : "(nothing)",
                            way_out(key, now.values[i], was, out, sizeof out));
    }
    ctkd__tensors_fini(&now);
    return status;
}

/* --- writing */

static ctkd_status collect_state(struct ctkd__session *session, const char *command,
                                 uint64_t log_bytes, struct ctkd__tensors *list, ctkd_error *err)
{
    struct saved_block blocks[BLOCKS_MAX];
    const size_t n = blocks_of(session, blocks);
    struct ctkd__tensor *tensor;
    ctkd_status status = describe(session, command, session->weights->block, list, err);
    if (status == CTKD_OK)
        status = ctkd__tensors_set(list, "version", CTKD_VERSION_STRING, err);
    for (size_t i = 0; i < n && status == CTKD_OK; i++) {
        const int64_t shape = (int64_t)blocks[i].n;
        status = ctkd__tensors_add(list, blocks[i].name, CTKD__F32, 1, &shape, &tensor, err);
        if (status == CTKD_OK)
            memcpy(tensor->data, blocks[i].values, tensor->bytes);
    }
    const int64_t numbers = N_NUMBERS;
    if (status == CTKD_OK)
        status = ctkd__tensors_add(list, "numbers", CTKD__F64, 1, &numbers, &tensor, err);
    if (status == CTKD_OK)
        pack_numbers(&session->state, log_bytes, tensor->data);
    return status;
}

ctkd_status ctkd__checkpoint_save(struct ctkd__session *session, const char *command,
                                  const char *dir, uint64_t log_bytes, ctkd_error *err)
{
    char path[PATH_BYTES], last[PATH_BYTES], previous[PATH_BYTES];
    ctkd__run_file_path(dir, CTKD__RUN_NEW_CHECKPOINT, path, sizeof path);
    ctkd__run_file_path(dir, CTKD__RUN_CHECKPOINT, last, sizeof last);
    ctkd__run_file_path(dir, CTKD__RUN_PREVIOUS, previous, sizeof previous);
    struct ctkd__tensors list = { 0 };
    ctkd_status status = collect_state(session, command, log_bytes, &list, err);
    if (status == CTKD_OK)
        status = ctkd__sealed_write(path, &list, err);
    ctkd__tensors_fini(&list);
    if (status != CTKD_OK) {
        unlink(path);
        return status;
    }
    if ((rename(last, previous) != 0 && errno != ENOENT) || rename(path, last) != 0 ||
        ctkd__folder_sync(last) != 0)
        return ctkd__fail(err, CTKD_EIO, "cannot write %s: %s", last, strerror(errno));
    return CTKD_OK;
}

/* --- reading */

bool ctkd__checkpoint_exists(const char *dir)
{
    return ctkd__run_file_exists(dir, CTKD__RUN_CHECKPOINT) ||
           ctkd__run_file_exists(dir, CTKD__RUN_PREVIOUS);
}

static ctkd_status find_tensor(const char *path, const struct ctkd__tensors *list, const char *name,
                               enum ctkd__dtype type, size_t n, const struct ctkd__tensor **out,
                               ctkd_error *err)
{
    *out = ctkd__tensors_find(list, name);
    if (!*out || (*out)->type != type || (*out)->rank != 1 || (*out)->shape[0] != (int64_t)n)
        return ctkd__fail(err, CTKD_EFORMAT, "%s: expected a tensor '%s' of %zu %s", path, name, n,
                          ctkd__dtype_text(type));
    return CTKD_OK;
}

/* Refuses a run that has already done more than it is asked for: to report it as done would be
   wrong about its epochs or steps. */
static ctkd_status check_plan(const struct ctkd__session *session, const char *path,
                              const double *numbers, ctkd_error *err)
{
    struct ctkd__weights weights = { 0 };
    struct ctkd__run_state then = { .weights = &weights };
    uint64_t log_bytes;
    unpack_numbers(numbers, &then, &log_bytes);
    const uint64_t epochs = then.stage == CTKD_STAGE_MAIN ? then.epoch - (then.epoch_step == 0) : 0;
    const uint64_t limit = (uint64_t)session->config->train.max_steps;
    if (epochs > session->schedule.epochs)
        return ctkd__fail(err, CTKD_EINVAL,
                          "%s: train.epochs: found %" PRIu64 ", but the run has %s epoch %" PRIu64
                          "; expected at least %" PRIu64,
                          path, session->schedule.epochs,
                          then.epoch_step ? "begun" : "already ended", epochs, epochs);
    if (limit && then.step > limit)
        return ctkd__fail(err, CTKD_EINVAL,
                          "%s: train.max_steps: found %" PRIu64 ", but the run has made %" PRIu64
                          " steps; expected at least as many, or 0 for no limit",
                          path, limit, then.step);
    return CTKD_OK;
}

/* For a checkpoint written by kernels with another channel block: a weights object that describes
   its layout (its values are unused). *out is NULL where the layout is the session's. */
static ctkd_status layout_of(const struct ctkd__session *session, const char *path,
                             const struct ctkd__tensors *list, struct ctkd__weights **out,
                             ctkd_error *err)
{
    const char *const kernels = ctkd__tensors_get(list, key_kernels);
    const size_t block = kernels ? ctkd__kernels_block(kernels) : 0;
    *out = NULL;
    if (block == 0)
        return ctkd__fail(err, CTKD_EFORMAT, "%s: %s: found '%.40s', expected a name of kernels",
                          path, key_kernels, kernels ? kernels : "(nothing)");
    return block == session->weights->block
               ? CTKD_OK
               : ctkd__weights_create(session->weights->graph, block, out, err);
}

/* How many floats a block has in the layout of `then` (NULL: the session's). */
static size_t floats_then(const struct saved_block *block, const struct ctkd__weights *then)
{
    return !then || block->layout == LAYOUT_PLAIN ? block->n
           : block->layout == LAYOUT_VALUES       ? then->n_values
                                                  : then->n_buffers;
}

static ctkd_status take_blocks(const struct ctkd__weights *now, const struct ctkd__weights *then,
                               const struct saved_block *blocks,
                               const struct ctkd__tensor *const *tensors, size_t n, ctkd_error *err)
{
    ctkd_status status = CTKD_OK;
    for (size_t i = 0; i < n && status == CTKD_OK; i++)
        if (then && blocks[i].layout != LAYOUT_PLAIN)
            status =
                convert_block(now, then, blocks[i].layout, tensors[i]->data, blocks[i].values, err);
        else
            memcpy(blocks[i].values, tensors[i]->data, tensors[i]->bytes);
    return status;
}

static ctkd_status restore_state(struct ctkd__session *session, const char *path,
                                 const struct ctkd__tensors *list, const struct ctkd__weights *then,
                                 uint64_t *log_bytes, ctkd_error *err)
{
    struct saved_block blocks[BLOCKS_MAX];
    const struct ctkd__tensor *tensors[BLOCKS_MAX], *numbers;
    const size_t n = blocks_of(session, blocks);
    ctkd_status status = find_tensor(path, list, "numbers", CTKD__F64, N_NUMBERS, &numbers, err);
    if (status == CTKD_OK)
        status = check_plan(session, path, numbers->data, err);
    for (size_t i = 0; i < n && status == CTKD_OK; i++)
        status = find_tensor(path, list, blocks[i].name, CTKD__F32, floats_then(&blocks[i], then),
                             &tensors[i], err);
    if (status != CTKD_OK)
        return status;
    for (size_t i = 0; i < n && status == CTKD_OK; i++)
        status = ctkd__tensor_check_finite(tensors[i], err);
    if (status != CTKD_OK)
        return ctkd__fail_within(err, status, "%s", path);
    status = take_blocks(session->weights, then, blocks, tensors, n, err);
    if (status == CTKD_OK)
        unpack_numbers(numbers->data, &session->state, log_bytes);
    return status;
}

void ctkd__checkpoint_add_note(char *note, size_t bytes, const char *text)
{
    const size_t used = strlen(note);
    snprintf(note + used, bytes - used, "%s%s", used ? "; " : "", text);
}

/* Notes where kernels and oneDNN differ from the checkpoint's. */
static void note_changes(const struct ctkd__session *session, const struct ctkd__tensors *then,
                         char *note, size_t bytes)
{
    const char *const kernels = ctkd__tensors_get(then, key_kernels);
    const char *const dnnl = ctkd__tensors_get(then, key_dnnl);
    char code[96], text[256];
    ctkd__dnnl_code(code, sizeof code);
    const bool others = kernels && strcmp(kernels, session->engine.kernels->name) != 0;
    const bool other_library = dnnl && strcmp(dnnl, code) != 0;
    snprintf(text, sizeof text, "%.40s kernels became %s", others ? kernels : "",
             session->engine.kernels->name);
    if (others)
        ctkd__checkpoint_add_note(note, bytes, text);
    snprintf(text, sizeof text, "oneDNN %.90s became %s", other_library ? dnnl : "", code);
    if (other_library)
        ctkd__checkpoint_add_note(note, bytes, text);
    if (others || other_library)
        ctkd__checkpoint_add_note(note, bytes,
                                  "from here on the run has other bits than it would have had "
                                  "(run.allow=kernels)");
}

/* Reads last.ckpt, or previous.ckpt, which the note then says; `path` [PATH_BYTES] is the one. */
static ctkd_status read_newest(const char *dir, char *path, struct ctkd__tensors *list, char *note,
                               size_t bytes, ctkd_error *err)
{
    ctkd_error why = { 0 }, nor = { 0 };
    note[0] = '\0';
    ctkd__run_file_path(dir, CTKD__RUN_CHECKPOINT, path, PATH_BYTES);
    const ctkd_status status = ctkd__sealed_read(path, list, &why);
    if (status == CTKD_OK)
        return CTKD_OK;
    ctkd__run_file_path(dir, CTKD__RUN_PREVIOUS, path, PATH_BYTES);
    if (ctkd__sealed_read(path, list, &nor) != CTKD_OK)
        return ctkd__fail(err, status, "%s; and %s", why.message, nor.message);
    snprintf(note, bytes, "%s; resuming from %s", why.message, path);
    return CTKD_OK;
}

size_t ctkd__checkpoint_threads(const char *dir)
{
    char path[PATH_BYTES], note[CTKD__CHECKPOINT_NOTE];
    struct ctkd__tensors list = { 0 };
    size_t threads = 0, ranks = 1;
    if (ctkd__checkpoint_exists(dir) &&
        read_newest(dir, path, &list, note, sizeof note, NULL) == CTKD_OK)
        threads = read_placement(ctkd__tensors_get(&list, key_threads), &ranks);
    ctkd__tensors_fini(&list);
    return ranks == 1 ? threads : 0;
}

ctkd_status ctkd__checkpoint_load(struct ctkd__session *session, const char *command,
                                  const char *dir, uint64_t *log_bytes, char *note, size_t bytes,
                                  ctkd_error *err)
{
    char path[PATH_BYTES];
    struct ctkd__tensors list = { 0 };
    struct ctkd__weights *then = NULL;
    ctkd_status status = read_newest(dir, path, &list, note, bytes, err);
    if (status != CTKD_OK)
        return status;
    status = compare(session, command, path, &list, err);
    if (status == CTKD_OK)
        status = layout_of(session, path, &list, &then, err);
    if (status == CTKD_OK)
        status = restore_state(session, path, &list, then, log_bytes, err);
    if (status == CTKD_OK)
        note_changes(session, &list, note, bytes);
    ctkd__weights_destroy(then);
    ctkd__tensors_fini(&list);
    return status;
}

ctkd_status ctkd__checkpoint_share(struct ctkd__session *session, ctkd_error *err)
{
    struct saved_block blocks[BLOCKS_MAX];
    double numbers[N_NUMBERS];
    uint64_t log_bytes;
    const size_t n = blocks_of(session, blocks);
    ctkd_status status = CTKD_OK;
    if (!session->dist)
        return CTKD_OK;
    for (size_t i = 0; i < n && status == CTKD_OK; i++)
        status = ctkd__dist_broadcast(session->dist, CTKD__CHANNEL_MAIN, blocks[i].values,
                                      blocks[i].n * sizeof *blocks[i].values, 0, err);
    pack_numbers(&session->state, 0, numbers);
    if (status == CTKD_OK)
        status = ctkd__dist_broadcast(session->dist, CTKD__CHANNEL_MAIN, numbers, sizeof numbers, 0,
                                      err);
    if (status == CTKD_OK)
        unpack_numbers(numbers, &session->state, &log_bytes);
    return status;
}
