#include "config/config.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/epochs.h"
#include "config/methods.h"
#include "ctkd/curriculum.h"
#include "ctkd/temperature.h"
#include "util/cpu.h"
#include "util/error.h"
#include "util/options_inner.h"
#include "util/text.h"

/* When a run reads a key; otherwise the key is one for what `use_texts` says. */
enum use {
    ALWAYS,
    WITH_FILES, /* depends on the data alone, as do the next ones to WITH_HOLDOUT */
    WITH_CROPS,
    WITH_RESIZING,
    WITH_HOLDOUT,
    WITH_TEACHER_TOP1,
    WITH_INIT,
    WITH_METHOD,
    WITH_WEIGHTS,
    WITH_KD_WEIGHT,
    WITH_INITIAL_STAGE,
    WITH_INITIAL_EPOCHS,
    WITH_FIXED,
    WITH_LEARNED,
    WITH_GLOBAL,
    WITH_INSTANCE,
    WITH_GRADIENT,
    WITH_BIAS,
    WITH_CURRICULUM,
    WITH_STEPS,
    WITH_COSINE,
    WITH_RANKS,
    WITH_RESUMING
};

static const char *const use_texts[] = {
    [ALWAYS] = "",
    [WITH_FILES] = "for image files",
    [WITH_CROPS] = "for image files with data.view=resized_crop",
    [WITH_RESIZING] = "for image files that are resized",
    [WITH_HOLDOUT] = "for image files without a validation folder",
    [WITH_TEACHER_TOP1] = "for teacher.expect_top1",
    [WITH_INIT] = "for student.init",
    [WITH_METHOD] = "for a method beside KD with a main stage",
    [WITH_WEIGHTS] = "for a method with a main stage",
    [WITH_KD_WEIGHT] = "for a kd loss without one in method.weight",
    [WITH_INITIAL_STAGE] = "for a method with an initial stage",
    [WITH_INITIAL_EPOCHS] = "for an initial stage of one epoch or more",
    [WITH_FIXED] = "for temperature.kind=fixed",
    [WITH_LEARNED] = "for a learned temperature",
    [WITH_GLOBAL] = "for temperature.kind=global",
    [WITH_INSTANCE] = "for temperature.kind=instance",
    [WITH_GRADIENT] = "for temperature.kind=instance in a loss that reads it",
    [WITH_BIAS] = "for temperature.kind=instance with temperature.set_bias=true",
    [WITH_CURRICULUM] = "for a learned temperature with a curriculum",
    [WITH_STEPS] = "for schedule.kind=step",
    [WITH_COSINE] = "for schedule.kind=cosine",
    [WITH_RANKS] = "for several processes",
    [WITH_RESUMING] = "for run.resume",
};

/* Between what a key may differ, as bits. RESUMED: a run and what is resumed of it, because the key
   does not change the weights or what it resolves to is compared; LONGER: the same unless
   schedule.kind is cosine. ARM: runs of an arm (run/arm.h), whose results it does not change or
   that are meant to differ in it. RANKS: the ranks of a run: paths of files and numbers of threads
   may be others on another host. */
enum differs {
    NOWHERE = 0,
    RESUMED = 1,
    LONGER = 2,
    ARM = CTKD__BETWEEN_RUNS_OF_ARM,
    RANKS = CTKD__BETWEEN_RANKS
};

struct key {
    ctkd_option option;
    enum use use;
    unsigned differs; /* enum differs */
};

/* clang-format takes #field for a directive. */
/* clang-format off */
#define ROW_F32(field, value, lo, hi, help)                                                        \
    CTKD_OPT_F32(struct ctkd__config, field, value, lo, hi, help)
#define ROW_I64(field, value, lo, hi, help)                                                        \
    CTKD_OPT_I64(struct ctkd__config, field, value, lo, hi, help)
#define ROW_BOOL(field, value, help) CTKD_OPT_BOOL(struct ctkd__config, field, value, help)
#define ROW_CHOICE(field, value, names, help)                                                      \
    CTKD_OPT_CHOICE(struct ctkd__config, field, value, names, help)
#define ROW_TEXT(type, field, text, help)                                                          \
    { #field, type, offsetof(struct ctkd__config, field), 0, 0, 0, (text), NULL, (help) }
#define ROW_STRING(field, text, help) ROW_TEXT(CTKD_OPTION_STRING, field, text, help)
#define ROW_PATH(field, text, help) ROW_TEXT(CTKD_OPTION_PATH, field, text, help)
#define KEY(use, differs, type, ...) { ROW_##type(__VA_ARGS__), use, differs }
#define ONLY(use, type, ...) KEY(use, NOWHERE, type, __VA_ARGS__)
#define DIFFERS(between, type, ...) KEY(ALWAYS, between, type, __VA_ARGS__)
#define F32(...) KEY(ALWAYS, NOWHERE, F32, __VA_ARGS__)
#define I64(...) KEY(ALWAYS, NOWHERE, I64, __VA_ARGS__)
#define BOOL(...) KEY(ALWAYS, NOWHERE, BOOL, __VA_ARGS__)
#define CHOICE(...) KEY(ALWAYS, NOWHERE, CHOICE, __VA_ARGS__)
#define STRING(...) KEY(ALWAYS, NOWHERE, STRING, __VA_ARGS__)
#define PATH(...) KEY(ALWAYS, NOWHERE, PATH, __VA_ARGS__)
/* clang-format on */

/* The names of choices, in the order of the enumerators. */
static const char *const augment_names[] = { "crop_flip", "none", "flip", NULL };
static const char *const labels_names[] = { "fine", "coarse", NULL };
static const char *const view_names[] = { "auto", "resized_crop", "crop_flip", NULL };
static const char *const orientation_names[] = { "ignore", "apply", NULL };
static const char *const class_order_names[] = { "bytes", "natural", NULL };
static const char *const kd_form_names[] = { "exact", "epsilon", "auto", NULL };
static const char *const kind_names[] = { "fixed", "global", "instance", "auto", NULL };
static const char *const curriculum_names[] = { "cosine", "linear", "linear_official", "none",
                                                NULL };
static const char *const resume_names[] = { "no", "yes", "auto", NULL };
static const char *const allow_names[] = { "nothing", "kernels", NULL };
static const char *const mpi_names[] = { "auto", "yes", NULL };
static const char *const schedule_names[] = { "step", "cosine", "constant", NULL };

static const struct key keys[] = {
    DIFFERS(RESUMED | RANKS, PATH, data.set, "fashion-mnist", "data set: NAME or NAME:PATH"),
    CHOICE(data.augment, CTKD__AUGMENT_CROP_FLIP, augment_names,
           "training views: pad 4, random crop and flip; flip alone; or none"),
    F32(data.rotation, 0, 0, 180,
        "training views are rotated by an angle uniform between minus and plus this many degrees, "
        "black outside the image; 0: not rotated"),
    CHOICE(data.labels, CTKD__LABELS_FINE, labels_names,
           "labels of a data set with two kinds: CIFAR-100's 100 classes or its 20 coarse ones"),
    PATH(data.classes, "0",
         "number of classes of your own data set (mnist:PATH); 0: from labels and teacher; for "
         "image files a file with one class name per line, in the order of the labels"),
    I64(data.limit, 0, 0, 1e9, "training samples used, in the classes' proportions; 0: all"),
    I64(data.test_limit, 0, 0, 1e9, "test samples used; 0: all"),
    I64(data.channels, 0, 0, CTKD__CHANNELS_MAX,
        "channels of the network's input; 3 repeats one grey channel; 0: as in the data"),
    I64(data.pad_to, 0, 0, CTKD__VIEW_SIDE_MAX,
        "zero-pad images to this side length; 0: no padding"),
    STRING(data.mean, "", "channel means of pixels / 255, comma list; empty: the data set's own"),
    STRING(data.std, "",
           "channel deviations of pixels / 255, comma list; empty: the data set's own"),
    ONLY(WITH_FILES, CHOICE, data.view, CTKD__FILE_VIEW_AUTO, view_names,
         "training views of image files: a random part of the image, resized; crop_flip: each "
         "image resized once and kept in memory, then data.augment; auto: crop_flip where all "
         "have one size of at most 96"),
    ONLY(WITH_FILES, I64, data.size, 0, 0, CTKD__VIEW_SIDE_MAX,
         "side of the views of image files; 0: 224, or for crop_flip the images' own"),
    ONLY(WITH_RESIZING, I64, data.resize, 0, 0, 2 * CTKD__VIEW_SIDE_MAX,
         "their shorter side before the centre is cropped in evaluation; 0: size / 0.875"),
    ONLY(WITH_CROPS, STRING, data.crop_scale, "0.08,1",
         "least and largest share of the area that resized_crop shows, comma list"),
    ONLY(WITH_FILES, CHOICE, data.orientation, CTKD__ORIENTATION_IGNORE, orientation_names,
         "EXIF orientation of image files: ignore, as Pillow and torchvision do, or apply"),
    ONLY(WITH_FILES, CHOICE, data.class_order, CTKD__CLASS_ORDER_BYTES, class_order_names,
         "order of the classes of image files: by the bytes of their names, or natural (2 before "
         "10)"),
    F32(data.dev, 0, 0, 0.9,
        "share of the training images that is held out as a validation part, by which "
        "best.safetensors and train.patience choose; 0: none, best is chosen on the test images"),
    ONLY(WITH_HOLDOUT, F32, data.holdout, 0.1, 0.001, 0.9,
         "share of each class that is held out as test images where there is no validation folder"),
    ONLY(WITH_FILES, BOOL, data.allow_empty, false,
         "allow classes without images, which keep their labels"),
    ONLY(WITH_FILES, PATH, data.exclude, "",
         "file with the names of the image files to leave out, one per line"),
    KEY(WITH_FILES, RESUMED, I64, data.max_pixels, 178956970, 1, 1LL << 32,
        "larger image files are refused"),
    KEY(WITH_RESIZING, RESUMED | ARM | RANKS, BOOL, data.roi, true,
        "decode only the part of a JPEG that its view shows; false: all of it, then crop, for the "
        "same bytes"),
    KEY(WITH_CROPS, RESUMED | ARM | RANKS, I64, data.readers, 4, 1, 256,
        "threads that read image files ahead"),
    KEY(WITH_CROPS, RESUMED | ARM | RANKS, I64, data.threads, 0, 0, 256,
        "threads that decode image files ahead, for CPUs beyond train.threads; 0: those of "
        "train.threads decode between steps"),

    DIFFERS(RESUMED | RANKS, PATH, teacher.path, "",
            "run directory, or weights of the teacher (formats: `ctkd convert --help`)"),
    STRING(teacher.network, "", "teacher's network; empty: as its file says"),
    STRING(teacher.weights, "",
           "which of several sets of weights in its file, as `ctkd inspect` lists them"),
    PATH(teacher.classes, "",
         "file with the names of the teacher's outputs in their order, one per line, of which "
         "those of the data are used; empty: as its file says"),
    STRING(teacher.mean, "",
           "channel means that the teacher was trained with; empty: from its file, else data.mean"),
    STRING(teacher.std, "",
           "channel deviations that the teacher was trained with; empty: from its file, else "
           "data.std"),
    DIFFERS(RESUMED | ARM, F32, teacher.expect_top1, 0, 0, 100,
            "expected test top-1 in percent; 0: as its file says"),
    KEY(WITH_TEACHER_TOP1, RESUMED | ARM, F32, teacher.tolerance, 1, 0, 100,
        "percentage points below the expectation at which the run stops"),
    DIFFERS(RESUMED | ARM | RANKS, PATH, teacher.store, "off",
            "folder in which runs share the teacher's logits (doc/teacher-store.md), or off"),

    STRING(student.network, "resnet20", "network to train (see `ctkd models`)"),
    PATH(student.init, "",
         "run directory or weights to start from, all but the last layer where those are of "
         "another number of classes; empty: drawn from seed"),
    ONLY(WITH_INIT, STRING, student.weights, "",
         "as teacher.weights, for student.init and for the file that `eval` measures"),

    STRING(method.name, "none",
           "losses beside CE and KD (see `ctkd methods`), comma list; or none"),
    F32(method.ce_weight, 0.1, 0, 1e6, "weight of the cross-entropy (gamma)"),
    ONLY(WITH_KD_WEIGHT, F32, method.kd_weight, 0.9, 0, 1e6, "weight of the KD loss (alpha)"),
    ONLY(WITH_WEIGHTS, STRING, method.weight, "",
         "weight of each of these losses (beta), comma list; empty: their defaults"),
    ONLY(
        WITH_METHOD, F32, method.warmup_epochs, 0, 0, 1e6,
        "epochs (below 1: fraction of train.epochs) over which method.weight grows, as min(epoch / "
        "this, 1); 0: none"),
    ONLY(
        WITH_INITIAL_STAGE, F32, method.initial_epochs, 0.125, 0, 1e6,
        "epochs (below 1: fraction of train.epochs) of the initial stage of methods that have one, "
        "before train.epochs"),
    ONLY(WITH_INITIAL_EPOCHS, F32, method.initial_lr, -1, -1, 1e3,
         "constant learning rate of that stage; -1: optimizer.lr"),
    CHOICE(method.kd_form, CTKD__KD_FORM_AUTO, kd_form_names,
           "KL of the KD loss; auto: epsilon for an instance temperature, else exact"),

    CHOICE(temperature.kind, CTKD__KIND_AUTO, kind_names,
           "one constant, one learnable, or one learnable per sample; auto: fixed with a method "
           "whose loss grows without bound in tau (dist), else global"),
    ONLY(WITH_FIXED, F32, temperature.tau, 4, 1e-3, 1e4, "the temperature of kind fixed"),
    ONLY(WITH_LEARNED, F32, temperature.tau_min, 1, 1e-3, 1e4,
         "lower end of a learnable temperature"),
    ONLY(WITH_LEARNED, F32, temperature.tau_span, 20, 1e-3, 1e4,
         "its range: tau_min < tau < tau_min + tau_span"),
    ONLY(WITH_GLOBAL, F32, temperature.theta_init, 1, -50, 50,
         "initial theta; tau = tau_min + tau_span * sigmoid(theta)"),
    ONLY(WITH_INSTANCE, I64, temperature.hidden, 0, 0, 1 << 20,
         "hidden width of kind instance; 0: classes"),
    ONLY(WITH_INSTANCE, BOOL, temperature.from_logits, false,
         "kind instance reads logits instead of probabilities"),
    ONLY(WITH_GRADIENT, BOOL, temperature.through, false,
         "kind instance sends gradient to the student's logits"),
    ONLY(WITH_BIAS, F32, temperature.bias_init, 1, -50, 50,
         "kind instance: initial value of the last bias"),
    ONLY(WITH_INSTANCE, BOOL, temperature.set_bias, false,
         "kind instance: use bias_init instead of a drawn bias"),
    ONLY(WITH_LEARNED, CHOICE, temperature.curriculum, CTKD_CURRICULUM_COSINE, curriculum_names,
         "how the reversal strength lambda grows with the epoch"),
    ONLY(WITH_CURRICULUM, F32, temperature.curriculum_epochs, 0.0417, 0, 1e6,
         "epochs (below 1: fraction of train.epochs) until lambda_max; 0: from the start"),
    ONLY(WITH_CURRICULUM, F32, temperature.lambda_min, 0, 0, 1e4,
         "lambda where the curriculum starts"),
    ONLY(WITH_LEARNED, F32, temperature.lambda_max, 1, 0, 1e4, "lambda where the curriculum ends"),
    ONLY(WITH_LEARNED, F32, temperature.lr, -1, -1, 1e3,
         "learning rate on the same schedule; -1: the student's"),
    ONLY(WITH_LEARNED, F32, temperature.weight_decay, -1, -1, 1e3,
         "weight decay of theta; -1: the student's"),
    ONLY(WITH_LEARNED, F32, temperature.momentum, -1, -1, 1,
         "momentum of theta; -1: the student's"),

    F32(optimizer.lr, 0.05, 0, 1e3, "learning rate of SGD"),
    F32(optimizer.momentum, 0.9, 0, 1, "momentum"),
    F32(optimizer.weight_decay, 5e-4, 0, 1e3, "weight decay, of all parameters"),
    BOOL(optimizer.nesterov, false, "Nesterov's form of momentum"),
    F32(optimizer.clip_norm, 0, 0, 1e6,
        "largest L2 norm of the student's gradient; 0: no clipping"),

    CHOICE(schedule.kind, CTKD__SCHEDULE_STEP, schedule_names, "schedule of the learning rate"),
    ONLY(WITH_STEPS, STRING, schedule.milestones, "0.625,0.75,0.875",
         "kind step: epochs after which it decays, such as 150,180,210, or fractions of "
         "train.epochs"),
    ONLY(WITH_STEPS, F32, schedule.factor, 0.1, 0, 1, "kind step: factor of each decay"),
    ONLY(WITH_COSINE, F32, schedule.lr_min, 0, 0, 1e3, "kind cosine: learning rate at the end"),
    F32(schedule.warmup_epochs, 0, 0, 1e6,
        "linear growth from 0 over this many epochs (below 1: fraction of train.epochs)"),

    DIFFERS(LONGER, I64, train.epochs, 240, 1, 1e6, "epochs"),
    I64(train.batch, 64, 1, 65536, "images per step"),
    I64(train.batch_norm_group, 0, 0, 65536,
        "images that batch norms see at once: a step goes through its batch in groups of so many, "
        "each with its own losses, and adds their gradients by their share of the batch, in the "
        "memory of one group; 0: the batch is one group"),
    DIFFERS(ARM, I64, train.seed, 0, 0, 9007199254740992.0, "seed of every random draw"),
    DIFFERS(RESUMED | ARM | RANKS, I64, train.threads, 0, 0, CTKD__WORKERS_MAX,
            "worker threads, at most one for each image of train.batch; 0: physical cores, or "
            "what a container or Slurm grants where that is less"),
    I64(train.slices, 0, 0, CTKD__WORKERS_MAX,
        "parts of a batch whose gradients and statistics are summed in a fixed tree: a multiple of "
        "the threads of all ranks, whose number then changes no bit and may differ when the run is "
        "resumed (that of ranks, if each has 1, 2, 4, 8, ... slices); each costs the memory of a "
        "gradient; 0: one for each thread"),
    DIFFERS(RESUMED | ARM, STRING, train.isa, "auto",
            "instruction set of the kernels: auto, portable, avx2, avx512"),
    DIFFERS(ARM, STRING, train.conv, "auto",
            "convolution implementation to force where it applies, or auto"),
    DIFFERS(RESUMED | ARM, BOOL, train.tune, false,
            "time the convolutions at the start and write the choices to <run.dir>/choices.txt"),
    DIFFERS(RESUMED | ARM, PATH, train.choices, "",
            "use the convolutions recorded in this file; empty: the defaults"),
    DIFFERS(ARM, I64, train.eval_every, 1, 1, 1e6,
            "epochs between evaluations; the last is always evaluated"),
    DIFFERS(RESUMED, I64, train.patience, 0, 0, 1e6,
            "stop after this many epochs without a better top-1 on the validation part "
            "(data.dev); 0: never"),
    DIFFERS(RESUMED | ARM, I64, train.log_every, 0, 0, 1e9,
            "steps between extra lines in log.jsonl; 0: none"),
    DIFFERS(RESUMED | ARM, BOOL, train.profile, false, "print where the time of a step went"),
    DIFFERS(RESUMED, I64, train.max_steps, 0, 0, 9007199254740992.0,
            "stop after this many steps; 0: no limit"),
    DIFFERS(RESUMED | ARM, F32, train.max_minutes, 0, 0, 1e6,
            "save and stop before this many minutes have passed; 0: no limit"),
    DIFFERS(RESUMED | ARM, I64, train.checkpoint_every, 0, 0, 1e9,
            "steps between extra checkpoints; 0: only after each epoch"),

    DIFFERS(RESUMED | ARM, CHOICE, train.mpi, CTKD__MPI_AUTO, mpi_names,
            "several processes: auto, when a launcher of MPI has started them; yes: MPI begins "
            "in any case"),
    KEY(WITH_RANKS, RESUMED | ARM, BOOL, train.overlap, true,
        "processes exchange gradients while the backward pass still runs; false: behind it, "
        "from the main thread"),
    KEY(WITH_RANKS, RESUMED | ARM, F32, train.timeout_seconds, 600, 0, 1e6,
        "how long a process waits for another one before the run ends with its name; 0: "
        "for ever"),

    DIFFERS(RESUMED | ARM | RANKS, PATH, run.dir, "", "run directory; empty: runs/<run.name>"),
    DIFFERS(RESUMED | ARM | RANKS, STRING, run.name, "",
            "name of the run; empty: composed of command, data, networks, method and seed"),
    DIFFERS(RESUMED | ARM | RANKS, BOOL, run.force, false,
            "replace the run that the directory holds"),
    DIFFERS(RESUMED | ARM | RANKS, CHOICE, run.resume, CTKD__RESUME_NO, resume_names,
            "continue the run that the directory holds; auto: if there is one"),
    KEY(WITH_RESUMING, RESUMED | ARM | RANKS, CHOICE, run.allow, CTKD__ALLOW_NOTHING, allow_names,
        "what may be another in a run that is resumed; kernels: the instruction set, or "
        "oneDNN's version, after which it has other bits than it would have had"),
};
enum { KEYS = sizeof keys / sizeof *keys, PURPOSE_BYTES = 64 };

/* The options of the keys as the table that readers of options take. */
static ctkd_option options[KEYS + 1];
static pthread_once_t options_once = PTHREAD_ONCE_INIT;

static void fill_options(void)
{
    for (size_t i = 0; i < KEYS; i++)
        options[i] = keys[i].option;
    options[KEYS] = (ctkd_option)CTKD_OPT_END;
}

/* For the methods of a configuration, WITH_METHOD to WITH_INITIAL_EPOCHS and WITH_GRADIENT. A list
   that does not resolve is refused elsewhere, and counts as one that reads everything. */
static bool is_met_by_methods(const struct ctkd__config *config, enum use use)
{
    struct ctkd__methods methods;
    if (ctkd__methods_resolve(config, &methods, NULL) != CTKD_OK)
        return true;
    if (use == WITH_METHOD)
        return methods.has_main;
    if (use == WITH_WEIGHTS) /* without a method it is empty or 0, which asks for nothing */
        return methods.has_main || methods.has_kd || !methods.count;
    if (use == WITH_KD_WEIGHT)
        return methods.kd_weight == config->method.kd_weight;
    if (use == WITH_GRADIENT)
        return methods.kd_weight > 0 || methods.needs & CTKD_NEEDS_TAU;
    return methods.has_initial && (use == WITH_INITIAL_STAGE || config->method.initial_epochs > 0);
}

/* What cannot be told yet counts as read. facts: NULL, or what is open. */
static bool is_met(const struct ctkd__config *config, const struct ctkd__facts *facts, enum use use)
{
    const struct ctkd__dataset_def *const set = ctkd__dataset_find(config->data.set);
    const ctkd_temperature_kind kind = ctkd__methods_temperature_kind(config);
    switch (use) {
    case ALWAYS:
        return true;
    case WITH_FILES:
        return !set || set->in_files;
    case WITH_CROPS:
        return !set || (set->in_files && config->data.view != CTKD__FILE_VIEW_CROP_FLIP &&
                        !(facts && facts->in_memory));
    case WITH_RESIZING:
        return !set || (set->in_files && !(facts && facts->as_they_are));
    case WITH_HOLDOUT:
        return !set || (set->in_files && !(facts && facts->has_test));
    case WITH_TEACHER_TOP1:
        return config->teacher.expect_top1 != 0 || !facts || facts->teacher_says_top1;
    case WITH_INIT:
        return config->student.init[0];
    case WITH_METHOD:
    case WITH_WEIGHTS:
    case WITH_KD_WEIGHT:
    case WITH_INITIAL_STAGE:
    case WITH_INITIAL_EPOCHS:
        return is_met_by_methods(config, use);
    case WITH_FIXED:
        return kind == CTKD_TEMPERATURE_FIXED;
    case WITH_LEARNED:
        return kind != CTKD_TEMPERATURE_FIXED;
    case WITH_GLOBAL:
        return kind == CTKD_TEMPERATURE_GLOBAL;
    case WITH_INSTANCE:
        return kind == CTKD_TEMPERATURE_INSTANCE;
    case WITH_GRADIENT:
        return kind == CTKD_TEMPERATURE_INSTANCE && is_met_by_methods(config, use);
    case WITH_BIAS:
        return kind == CTKD_TEMPERATURE_INSTANCE && config->temperature.set_bias;
    case WITH_CURRICULUM:
        return kind != CTKD_TEMPERATURE_FIXED &&
               config->temperature.curriculum != CTKD_CURRICULUM_NONE;
    case WITH_STEPS:
        return config->schedule.kind == CTKD__SCHEDULE_STEP;
    case WITH_COSINE:
        return config->schedule.kind == CTKD__SCHEDULE_COSINE;
    case WITH_RANKS:
        return !facts || facts->ranks > 1;
    case WITH_RESUMING:
        return config->run.resume != CTKD__RESUME_NO;
    }
    return true;
}

static const struct key *find_key(const char *key)
{
    for (size_t i = 0; i < KEYS; i++)
        if (strcmp(key, keys[i].option.name) == 0)
            return &keys[i];
    return NULL; /* an option of a loss, or unknown */
}

/* The same as `purpose` for an option of a loss. */
static const char *purpose_of_loss(const struct ctkd__config *config,
                                   const struct ctkd__option_at *at, char text[PURPOSE_BYTES])
{
    const ctkd_loss_def *const loss = ctkd_loss_list()[at->index - 1];
    const struct ctkd__method *method = NULL;
    struct ctkd__methods methods;
    if (ctkd__methods_resolve(config, &methods, NULL) != CTKD_OK)
        return "";
    for (size_t i = 0; i < methods.count; i++)
        if (methods.items[i].def == loss)
            method = &methods.items[i];
    const char *const lacks =
        method && loss->option_lacks ? loss->option_lacks(method->config, at->option) : NULL;
    if (lacks)
        snprintf(text, PURPOSE_BYTES, "for method.%s.%s", loss->name, lacks);
    else if (!method)
        snprintf(text, PURPOSE_BYTES, "for method.name=%s", loss->name);
    return method && !lacks ? "" : text;
}

/* What an option is for that a reader does not read; "": the reader reads it, as far as the
   configuration, and with facts what is open, can tell. */
static const char *purpose(const struct ctkd__config *config, enum ctkd__reader reader,
                           const struct ctkd__facts *facts, const struct ctkd__option_at *at,
                           char text[PURPOSE_BYTES])
{
    static const char *const of_teacher[] = { "teacher.", "method.", "temperature.", NULL };
    const struct key *const key = find_key(at->key);
    const bool of_data = key && key->use >= WITH_FILES && key->use <= WITH_HOLDOUT;
    if ((reader == CTKD__READER_OF_LIST && !facts) ||
        (reader == CTKD__READER_EVALUATES && !of_data))
        return "";
    if (reader == CTKD__READER_TRAINS && ctkd__key_begins_with(at->key, of_teacher))
        return "for `ctkd distill`";
    if (!key)
        return purpose_of_loss(config, at, text);
    return is_met(config, facts, key->use) ? "" : use_texts[key->use];
}

/* Whether _unused names a key, and why: what `purpose` says. */
static bool is_unused(const struct ctkd__config *config, enum ctkd__reader reader,
                      const struct ctkd__facts *facts, const char *const *list,
                      const struct ctkd__option_at *at, const char **why, char text[PURPOSE_BYTES])
{
    const bool listed = ctkd__key_begins_with(at->key, list);
    *why = "";
    if (!ctkd__option_is_given(at))
        return false;
    if (!listed)
        return !facts; /* else it has been named before */
    if (ctkd__option_is_default(at) || (facts && purpose(config, reader, NULL, at, text)[0]))
        return false;
    *why = purpose(config, reader, facts, at, text);
    return (*why)[0];
}

const char *ctkd__config_unused(const struct ctkd__config *config, enum ctkd__reader reader,
                                const struct ctkd__facts *facts, const char *const *list,
                                char *text, size_t bytes)
{
    struct ctkd__option_at at = { 0 };
    size_t used = 0, more = 0;
    text[0] = '\0';
    while (ctkd__options_next(ctkd__config_sections(config), &at)) {
        char room[PURPOSE_BYTES], item[CTKD__KEY_MAX + PURPOSE_BYTES + 8];
        const char *why;
        if (!is_unused(config, reader, facts, list, &at, &why, room))
            continue;
        const int n = snprintf(item, sizeof item, "%s%s%s%s%s", used ? ", " : "", at.key,
                               why[0] ? " (" : "", why, why[0] ? ")" : "");
        if (used + (size_t)n + sizeof " and 000 more" > bytes)
            more++;
        else
            used += (size_t)snprintf(text + used, bytes - used, "%s", item);
    }
    if (more)
        snprintf(text + used, bytes - used, " and %zu more", more);
    return text;
}

bool ctkd__config_may_differ(const struct ctkd__config *config, bool distil, const char *key)
{
    struct ctkd__option_at at;
    char text[PURPOSE_BYTES];
    if (!ctkd__options_find(ctkd__config_sections(config), key, &at))
        return false;
    const struct key *const own = find_key(key);
    if (purpose(config, distil ? CTKD__READER_DISTILS : CTKD__READER_TRAINS, NULL, &at, text)[0])
        return true;
    const bool cosine = config->schedule.kind == CTKD__SCHEDULE_COSINE;
    return own && own->differs & (cosine ? RESUMED : RESUMED | LONGER);
}

bool ctkd__key_may_differ(const char *key, enum ctkd__between between)
{
    const struct key *const own = find_key(key);
    return own && own->differs & between;
}

static size_t loss_count(void)
{
    size_t n = 0;
    while (ctkd_loss_list()[n])
        n++;
    return n;
}

/* Adds the section "method.<name>." with memory for its options; kd has keys of the first section
   instead. */
static ctkd_status add_loss(struct ctkd__config *config, const ctkd_loss_def *loss)
{
    const ctkd_option *const own = ctkd__methods_is_kd(loss->name) ? NULL : loss->options;
    const size_t bytes = strlen("method..") + strlen(loss->name) + 1;
    char *prefix = malloc(bytes);
    void *options_of_loss = calloc(1, loss->config_size ? loss->config_size : 1);
    if (!prefix || !options_of_loss) {
        free(prefix);
        free(options_of_loss);
        return CTKD_ENOMEM;
    }
    snprintf(prefix, bytes, "method.%s.", loss->name);
    config->sections[config->n_sections++] =
        (struct ctkd__section){ prefix, own, options_of_loss, NULL };
    return CTKD_OK;
}

/* Room to note which options were given. */
static ctkd_status add_notes(struct ctkd__config *config)
{
    struct ctkd__option_at at = { 0 };
    size_t count = 0;
    while (ctkd__options_next(ctkd__config_sections(config), &at))
        count++;
    config->given = calloc(count, sizeof *config->given);
    if (!config->given)
        return CTKD_ENOMEM;
    unsigned char *next = config->given;
    for (size_t i = 0; i < config->n_sections; i++) {
        const ctkd_option *option = config->sections[i].options;
        config->sections[i].given = next;
        for (; option && option->name; option++)
            next++;
    }
    return CTKD_OK;
}

ctkd_status ctkd__config_create(struct ctkd__config **out, ctkd_error *err)
{
    *out = NULL;
    struct ctkd__config *config = calloc(1, sizeof *config);
    if (!config)
        return ctkd__fail(err, CTKD_ENOMEM, "configuration: out of memory");
    ctkd_status status = CTKD_OK;
    config->sections = calloc(loss_count() + 1, sizeof *config->sections);
    if (!config->sections) {
        status = ctkd__fail(err, CTKD_ENOMEM, "configuration: out of memory");
        goto fail;
    }
    pthread_once(&options_once, fill_options);
    config->sections[0] = (struct ctkd__section){ "", options, config, NULL };
    config->n_sections = 1;
    for (const ctkd_loss_def *const *loss = ctkd_loss_list(); *loss; loss++)
        if (add_loss(config, *loss) != CTKD_OK) {
            status = ctkd__fail(err, CTKD_ENOMEM, "configuration: out of memory");
            goto fail;
        }
    status = add_notes(config) == CTKD_OK
                 ? ctkd__sections_defaults(ctkd__config_sections(config), err)
                 : ctkd__fail(err, CTKD_ENOMEM, "configuration: out of memory");
    if (status != CTKD_OK)
        goto fail;
    *out = config;
    return CTKD_OK;
fail:
    ctkd__config_destroy(config);
    return status;
}

void ctkd__config_destroy(struct ctkd__config *config)
{
    if (!config)
        return;
    ctkd__sections_fini(ctkd__config_sections(config));
    for (size_t i = 1; i < config->n_sections; i++) {
        free((void *)(uintptr_t)config->sections[i].prefix);
        free(config->sections[i].config);
    }
    free(config->given);
    free(config->sections);
    free(config);
}

struct ctkd__sections ctkd__config_sections(const struct ctkd__config *config)
{
    static const struct ctkd__former_key former[] = {
        { "method.kd.form", "exact" }, /* method.kd_form alone had an effect */
        { NULL, NULL },
    };
    return (struct ctkd__sections){ config->sections, config->n_sections, former };
}

const void *ctkd__config_loss(const struct ctkd__config *config, const ctkd_loss_def *loss)
{
    for (size_t i = 0; ctkd_loss_list()[i]; i++)
        if (ctkd_loss_list()[i] == loss)
            return config->sections[i + 1].config;
    return NULL;
}

size_t ctkd__config_pass(const struct ctkd__config *config)
{
    const int64_t group = config->train.batch_norm_group, batch = config->train.batch;
    return (size_t)(group > 0 && group < batch ? group : batch);
}

ctkd_kd_form ctkd__config_kd_form(const struct ctkd__config *config)
{
    if (config->method.kd_form == CTKD__KD_FORM_AUTO)
        return config->temperature.kind == CTKD_TEMPERATURE_INSTANCE ? CTKD_KD_EPSILON
                                                                     : CTKD_KD_EXACT;
    return config->method.kd_form == CTKD__KD_FORM_EPSILON ? CTKD_KD_EPSILON : CTKD_KD_EXACT;
}

/* Whether data.classes is a number rather than the name of a file; ten or more digits are a
   name. */
static bool is_number(const char *text)
{
    return strspn(text, "0123456789") == strlen(text) && strlen(text) < 10;
}

size_t ctkd__config_classes(const struct ctkd__config *config)
{
    const char *const text = config->data.classes;
    return is_number(text) ? (size_t)strtoul(text, NULL, 10) : 0;
}

ctkd_status ctkd__config_dataset(const struct ctkd__config *config,
                                 struct ctkd__dataset_options *out, ctkd_error *err)
{
    const char *const classes = config->data.classes, *const scale = config->data.crop_scale;
    float area[2] = { 0.08f, 1 };
    if (scale[0] && !strchr(scale, ','))
        return ctkd__fail(err, CTKD_ERANGE,
                          "data.crop_scale: found '%.60s', expected two numbers with a comma",
                          scale);
    const ctkd_status status = ctkd__text_floats("data.crop_scale", scale, 2, area, err);
    if (status != CTKD_OK)
        return status;
    *out = (struct ctkd__dataset_options){
        .labels = (enum ctkd__labels)config->data.labels,
        .classes = ctkd__config_classes(config),
        .layout = { .class_order = (enum ctkd__class_order)config->data.class_order,
                    .class_file = is_number(classes) ? "" : classes,
                    .exclude = config->data.exclude,
                    .holdout = (double)config->data.holdout,
                    .allow_empty = config->data.allow_empty },
        .view = (enum ctkd__file_view)config->data.view,
        .size = (size_t)config->data.size,
        .resize = (size_t)config->data.resize,
        .crop_area = { (double)area[0], (double)area[1] },
        .pixels_max = (uint64_t)config->data.max_pixels,
        .upright = config->data.orientation == CTKD__ORIENTATION_APPLY,
        .roi = config->data.roi,
    };
    return CTKD_OK;
}

ctkd_status ctkd__config_check(const struct ctkd__config *config, bool distil, ctkd_error *err)
{
    const ctkd_status status = ctkd__epochs_check(config, err);
    if (status != CTKD_OK)
        return status;
    if (config->schedule.lr_min > config->optimizer.lr)
        return ctkd__fail(err, CTKD_ERANGE,
                          "schedule.lr_min: found %g, expected at most optimizer.lr (%g)",
                          (double)config->schedule.lr_min, (double)config->optimizer.lr);
    if (config->data.rotation > 0 && config->data.augment == CTKD__AUGMENT_NONE)
        return ctkd__fail(err, CTKD_EINVAL,
                          "data.rotation: found %g with data.augment=none, expected crop_flip or "
                          "flip for views that are rotated",
                          (double)config->data.rotation);
    if (config->train.patience > 0 && !(config->data.dev > 0))
        return ctkd__fail(err, CTKD_EINVAL,
                          "train.patience: found %lld with data.dev 0, expected a validation part "
                          "(data.dev=0.1): the test images must not say when to stop",
                          (long long)config->train.patience);
    if (config->optimizer.nesterov && config->optimizer.momentum <= 0)
        return ctkd__fail(err, CTKD_ERANGE,
                          "optimizer.nesterov: found optimizer.momentum 0, expected above 0");
    if (!distil)
        return CTKD_OK;
    if (!config->teacher.path[0])
        return ctkd__fail(
            err, CTKD_EINVAL,
            "teacher.path: found nothing, expected a run directory or a weights file");
    if (config->temperature.lambda_max < config->temperature.lambda_min)
        return ctkd__fail(
            err, CTKD_ERANGE,
            "temperature.lambda_max: found %g, expected at least temperature.lambda_min (%g)",
            (double)config->temperature.lambda_max, (double)config->temperature.lambda_min);
    struct ctkd__methods methods;
    return ctkd__methods_resolve(config, &methods, err);
}
