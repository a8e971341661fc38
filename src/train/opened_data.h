/* What a configuration asks for before any network is known: a data set with its loaders, and an
   engine. */
#ifndef CTKD_TRAIN_OPENED_DATA_H
#define CTKD_TRAIN_OPENED_DATA_H

#include "config/config.h"
#include "data/loader.h"
#include "dist/dist.h"
#include "nn/engine.h"
#include "weights/network_file.h"

/* A data set and its loaders. */
struct ctkd__data {
    struct ctkd__dataset *dataset;
    struct ctkd__loader *train; /* NULL when not asked for */
    struct ctkd__loader *test;
    struct ctkd__loader *dev; /* training images held out by data.dev; NULL: none, or not asked */
    struct ctkd__network_info images; /* dataset, classes, size and normalisation as loaded */
};
/* What is opened beside the test images. */
enum ctkd__data_use {
    CTKD__DATA_TRAINING = 1,    /* the training images, and with data.dev those held out */
    CTKD__DATA_VIEWS = 2,       /* each training image comes with a strong view */
    CTKD__DATA_WHOLE_GROUPS = 4 /* ranks divide a training batch as step_groups.h says */
};
/* use: of ctkd__data_use, or 0. dist: NULL, or the ranks that share every batch. */
ctkd_status ctkd__data_open(const struct ctkd__config *config, unsigned use,
                            const struct ctkd__dist *dist, struct ctkd__data *data,
                            ctkd_error *err);
/* From now on the engine's workers decode image files. The engine must stay open until the last
   batch has been taken. */
ctkd_status ctkd__data_use_engine(struct ctkd__data *data, const struct ctkd__engine *engine,
                                  ctkd_error *err);
/* Where the labels leave the number of classes open and the network has more, the data set takes
   over the network's number. */
void ctkd__data_take_classes(struct ctkd__data *data, const struct ctkd__network_info *network);
/* How many classes a network may have: as many as labels can express where their number is open,
   else the number of the data set. */
size_t ctkd__data_classes_max(const struct ctkd__data *data);
/* What the data decide about keys; `ranks` is 1, and no teacher is known. */
struct ctkd__facts ctkd__data_facts(const struct ctkd__data *data);
void ctkd__data_close(struct ctkd__data *data);

/* The engine that the section `train` of a configuration asks for. Its strings are borrowed from
   the configuration. */
struct ctkd__engine_config ctkd__config_engine(const struct ctkd__config *config,
                                               struct ctkd__dist *dist);

/* SHA-256 of what a data set holds, in hexadecimal; of image files their list, not their contents.
 */
struct ctkd__data_digest {
    char train_images[65], train_labels[65], test_images[65], test_labels[65];
};
/* A resumed run must see the same data. For CIFAR this takes 0.1 s, or 0.4 s on a CPU without SHA
   instructions, which is cheap beside a run continued on the wrong data. */
void ctkd__data_digest(const struct ctkd__dataset *dataset, struct ctkd__data_digest *digest);

#endif
