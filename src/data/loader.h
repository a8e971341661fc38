/*
 * Batches for a network: shuffled order, views, normalisation. Images in memory are prepared by a
 * background thread two batches ahead, so that a step never waits; files are read ahead and decoded
 * as data/folder/file_batches.h says, and handed out as bytes with their values. Every draw is a
 * pure function of (seed, epoch, sample), so that batches do not depend on threads or on where a
 * run was resumed.
 */
#ifndef CTKD_DATA_LOADER_H
#define CTKD_DATA_LOADER_H

#include <stdbool.h>

#include "data/dataset.h"
#include "data/folder/file_batches.h"
#include "util/batch_images.h"

struct ctkd__loader_config {
    size_t batch; /* >= 1; the last batch of an epoch may be short */
    bool shuffle; /* a new order every epoch (training) */
    /* Zero-pad `crop_padding` on each side, crop at random, flip half of the images
       (doc/methods.md, "Crop and flip"); of files a random resized crop, flipped. */
    bool augment;
    size_t crop_padding; /* 4; 0: flipped alone */
    /* 0, or with `augment` the largest angle, at most 180 degrees, by which training views are
       rotated (data/affine.h): images in memory before the crop, those of files behind it. */
    double rotation;
    /* Also the strong view of MLKD (doc/methods.md, "Strong view"; data/strong_view.h), cropped and
       flipped by draws of its own where `augment`; images of 1 or 3 channels. */
    bool strong;
    /* Use only this many samples: the first `limit` of a fixed seeded choice that keeps the
       classes' proportions. 0: all; more than the data set has is an error. */
    size_t limit;
    const char *limit_key; /* what messages call it; NULL: "limit" */
    /* Of these samples alone, ids that ascend, [n_pool]; NULL: of all. Read by _create. */
    const uint32_t *pool;
    size_t n_pool;
    size_t channels; /* 0: as the data; 3 repeats one grey channel */
    /* 0: as the data; else images are zero-padded to this side, centred, before augmentation. */
    size_t pad_to;
    /* Of several loaders that share every batch, part `part` of `parts`: of each group of `group`
       images of a batch (0: of the batch) the images from ctkd__slice_begin(n, parts, part) on. The
       batch is that of all; x, strong and views hold this part's images at their places in the
       batch; the other places are not written. 0 parts: there is one loader, which has all
       images. */
    size_t parts, part, group;
    /* A part has whole groups instead: an equal run of those of a full batch, and in a smaller
       batch what there is of it. batch must be a multiple of parts x group. */
    bool whole_groups;
    bool holds_two; /* the last two batches stay valid, not only the last one: for _peek */
    size_t readers; /* of files: threads that read ahead; 0: the default number */
    size_t threads; /* of files: threads that decode ahead; 0: those of _use_team */
    uint64_t seed;
    /* Of the data's channels, after division by 255. */
    float mean[CTKD__CHANNELS_MAX], std[CTKD__CHANNELS_MAX];
};

struct ctkd__batch {
    size_t n;                    /* 0: the epoch is over */
    struct ctkd__batch_images x; /* [n][channels][height][width], normalised; of files as bytes */
    const int32_t *labels;       /* [n] */
    const uint64_t *ids;         /* [n] index of each sample in the data set's part */
    struct ctkd__batch_images strong; /* as x: the strong view of the same images; NULLs without */
    const uint64_t *views; /* [n] number of the view of each in x, below ctkd__loader_views; if
                              that is 0 the epoch that drew it - 1, or 0 without augmentation */
};

struct ctkd__loader;

/*
 * `images` is kept and read until destroy. The background thread inherits the caller's set of
 * processors: create loaders before a thread pins itself. All other functions are for one thread.
 *
 *   CTKD_EINVAL   batch 0, std not positive
 *   CTKD_ERANGE   limit, crop_padding, rotation or pad_to
 *   CTKD_ESHAPE   channels
 *   CTKD_ENOMEM
 */
ctkd_status ctkd__loader_create(const struct ctkd__images *images,
                                const struct ctkd__loader_config *config, struct ctkd__loader **out,
                                ctkd_error *err);
void ctkd__loader_destroy(struct ctkd__loader *loader);

/* From now on this team decodes files, which the caller's thread does alone before; for images in
   memory nothing changes. Copied; it must live until the last _next. CTKD_ENOMEM. */
CTKD_NODISCARD ctkd_status ctkd__loader_use_team(struct ctkd__loader *loader,
                                                 const struct ctkd__team *team, ctkd_error *err);

size_t ctkd__loader_samples(const struct ctkd__loader *loader); /* per epoch, after limit */
/* Their indices in the data set's part, ascending; [samples], until destroy. */
const uint32_t *ctkd__loader_chosen(const struct ctkd__loader *loader);
size_t ctkd__loader_batches(const struct ctkd__loader *loader); /* per epoch */
size_t ctkd__loader_channels(const struct ctkd__loader *loader);
size_t ctkd__loader_height(const struct ctkd__loader *loader);
size_t ctkd__loader_width(const struct ctkd__loader *loader);

/* How many different views of an image there are: 1 without augmentation. 0: views have no numbers,
   because they are made from files or rotated. */
size_t ctkd__loader_views(const struct ctkd__loader *loader);
/* As _create was given it. */
const struct ctkd__loader_config *ctkd__loader_settings(const struct ctkd__loader *loader);
/* If views have numbers: writes view `number` of sample `id`, [channels][height][width], as batches
   have it. Any thread. */
void ctkd__loader_make_view(const struct ctkd__loader *loader, uint32_t id, size_t number,
                            float *out);

/* Starts an epoch (counted from 1) at batch `first` (0 at the start; more when a run is resumed),
   also in the middle of another epoch. Before the first call there are no batches. */
void ctkd__loader_start(struct ctkd__loader *loader, uint64_t epoch, size_t first);
/* The next batch, valid until the next call of _next or _start; n is 0 when the epoch is over, or
   after a failure.
   Fails only where a file cannot be read, with its name. Allocates nothing for images in memory. */
CTKD_NODISCARD ctkd_status ctkd__loader_next(struct ctkd__loader *loader, struct ctkd__batch *batch,
                                             ctkd_error *err);
/* Only with holds_two: what the next call of _next will give, or its failure, while the batch of
   the last call stays valid. */
CTKD_NODISCARD ctkd_status ctkd__loader_peek(struct ctkd__loader *loader, struct ctkd__batch *batch,
                                             ctkd_error *err);
/* Nanoseconds that _next and _peek have waited for the background thread, or for files, since
   create. */
uint64_t ctkd__loader_waited_ns(const struct ctkd__loader *loader);

#endif
