/*
 * Batches of views of image files, as bytes. Separate threads read files ahead.
 * Decoding and resizing are done by a team when a batch is asked for, so that they do not compete
 * with the training step, or ahead of time by separate threads, for machines with cores to spare. A
 * view is a function of (seed, epoch, id) alone, however it is made.
 */
#ifndef CTKD_DATA_FILE_BATCHES_H
#define CTKD_DATA_FILE_BATCHES_H

#include "data/source.h"

/* Threads that run a function together: fn(argument, 0) to fn(argument, count - 1), and run returns
   when all have. */
struct ctkd__team {
    void *context;
    size_t count;
    void (*run)(void *context, void (*fn)(void *argument, size_t worker), void *argument);
};

struct ctkd__file_batches_config {
    const struct ctkd__image_source *source;
    size_t batch;    /* most images of a batch */
    bool augment;    /* training views; else those of evaluation */
    bool strong;     /* a strong view beside each, of a random crop of its own where `augment` */
    double rotation; /* largest angle of training views in degrees; 0: they are not rotated */
    uint64_t seed;
    size_t readers; /* threads that read files ahead, >= 1 */
    size_t threads; /* threads that decode ahead; 0: the team decodes */
};

struct ctkd__file_batches;
ctkd_status ctkd__file_batches_create(const struct ctkd__file_batches_config *config,
                                      struct ctkd__file_batches **out, ctkd_error *err);
void ctkd__file_batches_destroy(struct ctkd__file_batches *batches);

/* From now on this team decodes, or copies what was decoded; before the first call the caller's
   thread does it alone. The struct is copied and used until destroy or the next team.
   CTKD_ENOMEM. */
ctkd_status ctkd__file_batches_use_team(struct ctkd__file_batches *batches,
                                        const struct ctkd__team *team, ctkd_error *err);

/* Batches from ids[first] on, a multiple of the batch; `ids` [count] is kept until the next start.
 */
void ctkd__file_batches_start(struct ctkd__file_batches *batches, uint64_t epoch,
                              const uint32_t *ids, size_t count, size_t first);
/* Writes the next n images in order, image i into row rows[i] of x, [3][size][size] each; strong:
   NULL without strong views. Fails with the reason of the first image of the batch that cannot be
   read; then only start may follow. */
ctkd_status ctkd__file_batches_fill(struct ctkd__file_batches *batches, size_t n,
                                    const size_t *rows, uint8_t *x, uint8_t *strong,
                                    ctkd_error *err);
/* Nanoseconds that fill has waited, for files or for threads that decode (the mean of a team). */
uint64_t ctkd__file_batches_waited_ns(struct ctkd__file_batches *batches);

#endif
