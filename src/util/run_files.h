/* The files of a run directory: the one place that knows their names. */
#ifndef CTKD_UTIL_RUN_FILES_H
#define CTKD_UTIL_RUN_FILES_H

#include <stdbool.h>
#include <stddef.h>

/* X(name of its enumerator, name): first the files that a run writes, each of which shows that a
   directory holds a run, then those that stay when a run is replaced. */
#define CTKD__RUN_FILE_LIST(X)                                                                     \
    X(CONFIG, "config.yaml")              /* resolved */                                           \
    X(RECIPE, "recipe.yaml")              /* what the CONFIG of its command line says, resolved */ \
    X(NOTES, "notes.jsonl")               /* what was found at its start and noted since */        \
    X(LOG, "log.jsonl")                   /* a line for each epoch, and for some steps */          \
    X(RESULTS, "results.csv")             /* the epochs of the log, for spreadsheets */            \
    X(EVENTS, "events.out.tfevents.ctkd") /* the log for TensorBoard */                            \
    X(SUMMARY, "summary.json")            /* of a run that has ended */                            \
    X(EVALUATION, "evaluation.json") /* of its last weights: classes, confusions, calibration */   \
    X(LAST, "last.safetensors")      /* weights */                                                 \
    X(BEST, "best.safetensors")      /* of the epoch with the best top-1 */                        \
    X(CHOICES, "choices.txt")        /* convolutions, with train.tune */                           \
    X(CLASSES, "classes.txt")        /* their names, where they have some */                       \
    X(IMAGES, "images.txt")          /* the images, where they are files */                        \
    X(CHECKPOINT, "last.ckpt")       /* what --resume needs */                                     \
    X(PREVIOUS, "previous.ckpt")     /* the one before, in case it is damaged */                   \
    X(NEW_CHECKPOINT, "new.ckpt")    /* while a checkpoint is written */                           \
    X(LOCK, "run.lock")              /* held by the process that trains */

#define CTKD__RUN_FILE_ENUM(word, name) CTKD__RUN_##word,
enum ctkd__run_file { CTKD__RUN_FILE_LIST(CTKD__RUN_FILE_ENUM) CTKD__RUN_FILES };
#undef CTKD__RUN_FILE_ENUM
enum { CTKD__RUN_FILES_WRITTEN = CTKD__RUN_LOCK };

const char *ctkd__run_file_name(enum ctkd__run_file file);

/* DIR/NAME into `out`, cut where `bytes` are too few; returns out. */
enum { CTKD__RUN_PATH_BYTES = 1024 + 64 }; /* run.dir is shorter than 1024 bytes */
const char *ctkd__run_file_path(const char *dir, enum ctkd__run_file file, char *out, size_t bytes);

/* Whether the directory has that file; false where its path does not fit PATH_MAX. */
bool ctkd__run_file_exists(const char *dir, enum ctkd__run_file file);

#endif
