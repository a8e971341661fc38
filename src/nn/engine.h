/*
 * What computes: the kernels of an instruction set, a team of workers and, when they are asked for,
 * recorded choices of convolutions and a profile. Programs (compile/) are compiled for an engine.
 */
#ifndef CTKD_NN_ENGINE_H
#define CTKD_NN_ENGINE_H

#include "nn/compile/inference.h"
#include "nn/compile/training.h"
#include "nn/cpus.h"

/* All zeros: the best kernels of this CPU, as many threads as ctkd__cpus_find says, and nothing
   else. */
struct ctkd__engine_config {
    const char *isa; /* of ctkd__kernels_select; NULL or "": the best */
    size_t threads;  /* of ctkd__workers_create */
    size_t slices;   /* of a batch; 0: one for each thread, else a multiple of all ranks' threads */
    struct ctkd__dist *dist; /* kept until close; NULL: one rank */
    /* A pass of training is of one rank alone, and `slices` are those of a pass; ranks share the
       passes of evaluation alone. */
    bool alone;
    const char *conv; /* implementation to force where it applies; NULL: "auto"; kept until close */
    const char *choices; /* file of recorded choices; NULL or "": none */
    bool measure;        /* a convolution without a recorded choice is measured and gets one */
    bool profile;        /* the time spent in each layer is measured */
    const char *keys;    /* what messages put before "isa", "threads", ...: "train."; NULL: "" */
};

struct ctkd__engine {
    const struct ctkd__kernels *kernels;
    struct ctkd__workers *workers;
    size_t slices; /* of a pass of training; 0: one for each worker of the only rank */
    struct ctkd__dist *dist;
    struct ctkd__dist *pass_dist; /* the ranks that share a pass of training; NULL: it is of one */
    const char *conv;
    struct ctkd__choices *choices; /* NULL: the defaults of the shapes */
    struct ctkd__profile *profile; /* NULL: not asked for */
    struct ctkd__cpus cpus;        /* of the caller, as they were before the workers were pinned */
};

/*
 * The caller's thread becomes worker 0: until close, by the same thread, it has the team's CPUs,
 * flushes denormals to zero and uses one OpenMP thread; then all three are restored to what they
 * were before the first living engine. Errors of ctkd__kernels_select, _conv_check, _workers_create
 * and _choices_read, after the name of the setting; nothing is open then.
 */
ctkd_status ctkd__engine_open(const struct ctkd__engine_config *config, struct ctkd__engine *out,
                              ctkd_error *err);
void ctkd__engine_close(struct ctkd__engine *engine); /* all zeros is allowed */

/* The configuration of a program of this engine; the caller adds outputs and the like. `name`: of
   the program's rows in a profile, kept by the program. */
struct ctkd__inference_config ctkd__engine_inference(const struct ctkd__engine *engine,
                                                     const char *name);
struct ctkd__training_config ctkd__engine_training(const struct ctkd__engine *engine,
                                                   const char *name, size_t batch_max);

#endif
