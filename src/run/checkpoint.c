#include "run/checkpoint.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctkd/ctkd.h"
#include "io/sealed.h"
#include "util/error.h"
#include "util/file.h"
#include "util/options_inner.h"
#include "util/run_files.h"
#include "util/sha256.h"

/* Changes with the meaning of anything below. */
static const char format[] = "ctkd checkpoint 4";
enum { PATH_BYTES = CTKD__RUN_PATH_BYTES };

/* --- what is saved: flat blocks of floats, and numbers */

struct saved_block {
    const char *name;
    float *values;
    size_t n;
};
enum { BLOCKS_MAX = 8 };

/* A module with something to keep adds its block here. */
static size_t blocks_of(struct ctkd__session *session, struct saved_block *blocks)
{
    struct ctkd__run_state *state = &session->state;
    struct ctkd__weights *weights = session->weights;
    size_t n = 0;
    blocks[n++] = (struct saved_block){ "weights", weights->values, weights->n_values };
    blocks[n++] = (struct saved_block){ "buffers", weights->buffers, weights->n_buffers };
    blocks[n++] = (struct saved_block){ "velocity", state->velocity, weights->n_values };
    float *values, *gradient;
    const size_t parameters =
        state->temperature ? ctkd_temperature_parameters(state->temperature, &values, &gradient)
                           : 0;
    if (parameters) {
        blocks[n++] = (struct saved_block){ "temperature", values, parameters };
        blocks[n++] =
            (struct saved_block){ "temperature_velocity", state->temperature_velocity, parameters };
    }
    if (session->config->temperature.kind == CTKD_TEMPERATURE_INSTANCE && state->temperature)
        blocks[n++] = (struct saved_block){ "tau_counts", state->tau_counts, CTKD__TAU_BINS };
    if (state->n_method_state)
        blocks[n++] = (struct saved_block){ "methods", state->method_state, state->n_method_state };
    return n;
}

/* Every number of the state, X(field, its type), up to the losses of the methods and behind them;
   integers below 2^53 are exact in a double. */
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
    X(sums.teacher_hits, uint64_t)                                                                 \
    X(sums.teacher_misses, uint64_t)                                                               \
    X(sums.teacher_damaged, uint64_t)                                                              \
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

static ctkd_status set_number(struct ctkd__tensors *list, const char *key, size_t value,
                              ctkd_error *err)
{
    char text[32];
    snprintf(text, sizeof text, "%zu", value);
    return ctkd__tensors_set(list, key, text, err);
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

/* SHA-256 of the teacher's weights and running statistics. */
static ctkd_status set_teacher(const struct ctkd__session *session, struct ctkd__tensors *list,
                               ctkd_error *err)
{
    char digests[2 * 64 + 1] = "none";
    if (session->teacher) {
        const struct ctkd__weights *weights = session->teacher->weights;
        ctkd__sha256_bytes(weights->values, weights->n_values * sizeof(float), digests);
        ctkd__sha256_bytes(weights->buffers, weights->n_buffers * sizeof(float), digests + 64);
    }
    return ctkd__tensors_set(list, "teacher's weights (SHA-256)", digests, err);
}

/* The data set by its contents: where it lies does not matter. */
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

/* Everything that the coming steps depend on, as metadata. */
static ctkd_status describe(const struct ctkd__session *session, const char *command,
                            struct ctkd__tensors *list, ctkd_error *err)
{
    ctkd_status status = ctkd__tensors_set(list, "format", format, err);
    if (status == CTKD_OK)
        status = ctkd__tensors_set(list, "command", command, err);
    if (status == CTKD_OK)
        status = ctkd__tensors_set(list, "kernels", session->engine.kernels->name, err);
    if (status == CTKD_OK)
        status = set_number(list, "threads", ctkd__workers_count(session->engine.workers), err);
    if (status == CTKD_OK)
        status = describe_data(session, list, err);
    if (status == CTKD_OK)
        status = set_choices(session, list, err);
    if (status == CTKD_OK)
        status = set_teacher(session, list, err);
    struct ctkd__option_at at = { 0 };
    const struct ctkd__sections sections = ctkd__config_sections(session->config);
    while (status == CTKD_OK && ctkd__options_next(sections, &at)) {
        char text[64];
        status = ctkd__tensors_set(list, at.key, ctkd__option_value(&at, text, sizeof text), err);
    }
    return status;
}

static ctkd_status compare(const struct ctkd__session *session, const char *command,
                           const char *path, const struct ctkd__tensors *then, ctkd_error *err)
{
    struct ctkd__tensors now = { 0 };
    ctkd_status status = describe(session, command, &now, err);
    for (size_t i = 0; i < now.n_metadata && status == CTKD_OK; i++) {
        const char *key = now.keys[i], *was = ctkd__tensors_get(then, key);
        if (ctkd__config_may_differ(session->config, key) ||
            (session->config->train.slices && strcmp(key, "threads") == 0) || /* no bit changes */
            (was && strcmp(was, now.values[i]) == 0))
            continue;
        status = ctkd__fail(err, CTKD_EINVAL,
                            "%s: %s: the run has '%.200s', expected '%.200s' to resume it", path,
                            key, now.values[i], was ? was : "(nothing)");
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
    ctkd_status status = describe(session, command, list, err);
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

/* Nothing is left to do in a run that has done more than it is asked for: it would only pretend to
   have done that. */
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

static ctkd_status restore_state(struct ctkd__session *session, const char *path,
                                 const struct ctkd__tensors *list, uint64_t *log_bytes,
                                 ctkd_error *err)
{
    struct saved_block blocks[BLOCKS_MAX];
    const struct ctkd__tensor *tensors[BLOCKS_MAX], *numbers;
    const size_t n = blocks_of(session, blocks);
    ctkd_status status = find_tensor(path, list, "numbers", CTKD__F64, N_NUMBERS, &numbers, err);
    if (status == CTKD_OK)
        status = check_plan(session, path, numbers->data, err);
    for (size_t i = 0; i < n && status == CTKD_OK; i++)
        status = find_tensor(path, list, blocks[i].name, CTKD__F32, blocks[i].n, &tensors[i], err);
    if (status != CTKD_OK)
        return status;
    for (size_t i = 0; i < n && status == CTKD_OK; i++)
        status = ctkd__tensor_check_finite(tensors[i], err);
    if (status != CTKD_OK)
        return ctkd__fail_within(err, status, "%s", path);
    for (size_t i = 0; i < n; i++)
        memcpy(blocks[i].values, tensors[i]->data, tensors[i]->bytes);
    unpack_numbers(numbers->data, &session->state, log_bytes);
    return CTKD_OK;
}

ctkd_status ctkd__checkpoint_load(struct ctkd__session *session, const char *command,
                                  const char *dir, uint64_t *log_bytes, char *note, size_t bytes,
                                  ctkd_error *err)
{
    char path[PATH_BYTES];
    struct ctkd__tensors list = { 0 };
    ctkd_error why = { 0 };
    note[0] = '\0';
    ctkd__run_file_path(dir, CTKD__RUN_CHECKPOINT, path, sizeof path);
    ctkd_status status = ctkd__sealed_read(path, &list, &why);
    if (status != CTKD_OK) {
        ctkd_error nor = { 0 };
        ctkd__run_file_path(dir, CTKD__RUN_PREVIOUS, path, sizeof path);
        if (ctkd__sealed_read(path, &list, &nor) != CTKD_OK)
            return ctkd__fail(err, status, "%s; and %s", why.message, nor.message);
        snprintf(note, bytes, "%s; resuming from %s", why.message, path);
    }
    status = compare(session, command, path, &list, err);
    if (status == CTKD_OK)
        status = restore_state(session, path, &list, log_bytes, err);
    ctkd__tensors_fini(&list);
    return status;
}
