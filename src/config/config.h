/*
 * The configuration of a run: one struct, described by option tables. Commands, YAML recipes,
 * `--help` and the resolved file of a run directory all go through the same tables. The options of
 * the losses come from the registry as sections "method.<loss>.".
 */
#ifndef CTKD_CONFIG_CONFIG_H
#define CTKD_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "ctkd/loss.h"
#include "ctkd/temperature.h"
#include "data/dataset.h"
#include "util/options.h"

enum ctkd__augment { CTKD__AUGMENT_CROP_FLIP, CTKD__AUGMENT_NONE, CTKD__AUGMENT_FLIP };
enum ctkd__kd_form_choice { CTKD__KD_FORM_EXACT, CTKD__KD_FORM_EPSILON, CTKD__KD_FORM_AUTO };
enum ctkd__kind_choice {
    CTKD__KIND_FIXED = CTKD_TEMPERATURE_FIXED,
    CTKD__KIND_GLOBAL = CTKD_TEMPERATURE_GLOBAL,
    CTKD__KIND_INSTANCE = CTKD_TEMPERATURE_INSTANCE,
    CTKD__KIND_AUTO /* ctkd__methods_temperature_kind */
};
enum ctkd__orientation { CTKD__ORIENTATION_IGNORE, CTKD__ORIENTATION_APPLY };
enum ctkd__mpi { CTKD__MPI_AUTO, CTKD__MPI_YES };
enum ctkd__resume { CTKD__RESUME_NO, CTKD__RESUME_YES, CTKD__RESUME_AUTO };
enum ctkd__allow { CTKD__ALLOW_NOTHING, CTKD__ALLOW_KERNELS };
enum ctkd__schedule_kind { CTKD__SCHEDULE_STEP, CTKD__SCHEDULE_COSINE, CTKD__SCHEDULE_CONSTANT };

enum { CTKD__MILESTONES_MAX = 32 };

/* Every field is a key of the same name; the table in config.c says what it means. */
struct ctkd__config {
    struct {
        char *set;
        int augment;   /* enum ctkd__augment */
        int labels;    /* enum ctkd__labels */
        char *classes; /* a number or a file: ctkd__config_dataset */
        int64_t limit, test_limit, channels, pad_to;
        char *mean, *std;
        int view;        /* enum ctkd__file_view */
        int class_order; /* enum ctkd__class_order */
        int64_t size, resize;
        int orientation; /* enum ctkd__orientation */
        char *crop_scale;
        float holdout, dev, rotation;
        bool allow_empty, roi;
        char *exclude;
        int64_t max_pixels, readers, threads;
    } data;
    struct {
        char *path, *network, *weights, *classes, *mean, *std, *store;
        float expect_top1, tolerance;
    } teacher;
    struct {
        char *network, *init, *weights;
    } student;
    struct {
        char *name, *weight; /* comma lists: methods.h */
        float ce_weight, kd_weight;
        float warmup_epochs, initial_epochs; /* epochs.h, as the two below */
        float initial_lr;
        int kd_form; /* enum ctkd__kd_form_choice */
    } method;
    struct {
        int kind; /* enum ctkd__kind_choice */
        float tau, tau_min, tau_span, theta_init;
        int64_t hidden;
        bool from_logits, through, set_bias;
        float bias_init;
        int curriculum; /* ctkd_curriculum */
        float curriculum_epochs;
        float lambda_min, lambda_max;
        float lr, weight_decay, momentum;
    } temperature;
    struct {
        float lr, momentum, weight_decay, clip_norm;
        bool nesterov;
    } optimizer;
    struct {
        int kind; /* enum ctkd__schedule_kind */
        char *milestones;
        float factor, lr_min, warmup_epochs;
    } schedule;
    struct {
        int64_t epochs, batch, batch_norm_group, seed, threads, slices, eval_every, patience;
        int64_t log_every, max_steps, checkpoint_every;
        float max_minutes, timeout_seconds;
        int mpi; /* enum ctkd__mpi */
        char *isa, *conv, *choices;
        bool profile, tune, overlap;
    } train;
    struct {
        char *dir, *name;
        bool force;
        int resume; /* enum ctkd__resume */
        int allow;  /* enum ctkd__allow */
    } run;

    struct ctkd__section *sections; /* the fields above, then one section for each loss */
    size_t n_sections;
    unsigned char *given; /* of the sections */
};

/* Creates a configuration with every key at its default. *out is NULL on failure. */
ctkd_status ctkd__config_create(struct ctkd__config **out, ctkd_error *err);
void ctkd__config_destroy(struct ctkd__config *config);

/* The most images of a forward pass: train.batch, or train.batch_norm_group if that is less. */
size_t ctkd__config_pass(const struct ctkd__config *config);

struct ctkd__sections ctkd__config_sections(const struct ctkd__config *config);
/* The options of one loss of the registry, as ctkd_loss_def.eval takes them; valid until
   destroy. */
const void *ctkd__config_loss(const struct ctkd__config *config, const ctkd_loss_def *loss);
/* method.kd_form with `auto` resolved: epsilon for an instance temperature, else exact. */
ctkd_kd_form ctkd__config_kd_form(const struct ctkd__config *config);

/* The options with which data.set is opened, from the keys data.*; strings are borrowed from the
   configuration. CTKD_ERANGE: data.crop_scale is malformed. */
ctkd_status ctkd__config_dataset(const struct ctkd__config *config,
                                 struct ctkd__dataset_options *out, ctkd_error *err);
/* data.classes as a number; 0 if it is 0 or the name of a file. */
size_t ctkd__config_classes(const struct ctkd__config *config);

/* Checks what the range of a single option cannot express. `distil`: also the teacher, the
   temperature and the methods. */
ctkd_status ctkd__config_check(const struct ctkd__config *config, bool distil, ctkd_error *err);

/* Who reads a configuration: `train`, `distill`, a command that measures a network on data.set, or
   one that reads all keys of its list whatever they say. */
enum ctkd__reader {
    CTKD__READER_TRAINS,
    CTKD__READER_DISTILS,
    CTKD__READER_EVALUATES,
    CTKD__READER_OF_LIST
};

/* What is known only of what a run or a command has opened, and decides whether it reads some
   keys. */
struct ctkd__facts {
    bool in_memory;         /* image files are kept in memory, as with data.view=crop_flip */
    bool as_they_are;       /* they have the size of the views: none is resized */
    bool has_test;          /* the data have test images of their own */
    bool teacher_says_top1; /* so does the teacher's file */
    size_t ranks;
};

/* Writes a comma list of the keys given (ctkd__section.given) that the reader does not read: those
   that are none of `list` (as for ctkd__key_begins_with), and those with another value than their
   default that other keys leave without effect, each with what it is for: "schedule.factor (for
   schedule.kind=step)". With facts (NULL: nothing is open yet) only those that the facts add. "":
   none. Returns text. */
const char *ctkd__config_unused(const struct ctkd__config *config, enum ctkd__reader reader,
                                const struct ctkd__facts *facts, const char *const *list,
                                char *text, size_t bytes);

/* Whether a key may have another value when a run is resumed (doc/config.md lists them), also
   because the run does not read it. `distil`: it has a teacher. False for unknown keys. */
bool ctkd__config_may_differ(const struct ctkd__config *config, bool distil, const char *key);

/* The runs of an arm (run/arm.h); the ranks of a run. */
enum ctkd__between { CTKD__BETWEEN_RUNS_OF_ARM = 4, CTKD__BETWEEN_RANKS = 8 };
/* Whether a key may have different values between these; false for unknown keys. */
bool ctkd__key_may_differ(const char *key, enum ctkd__between between);

#endif
