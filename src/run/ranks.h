/* Places the ranks of a run on cores, and checks that they agree before the first step. */
#ifndef CTKD_RUN_RANKS_H
#define CTKD_RUN_RANKS_H

#include "train/session.h"

/* Where a rank works: which machine, as it was booted, and which of its CPUs. Bytes that ranks
   exchange. */
struct ctkd__rank_place {
    char boot[64];
    cpu_set_t cpus;        /* that its threads may use */
    size_t threads, cores; /* cores: physical ones among the CPUs */
    bool pinned;           /* each thread to a core of its own */
    bool roams;            /* a quota grants it fewer cores than it may use */
};

/* Ranks of one machine with equal affinity masks divide its cores among themselves, in their order,
   or the quota, if that is less. Masks that differ were set by a launcher and stay. Call it before
   any workers are created. */
ctkd_status ctkd__ranks_place(struct ctkd__dist *dist, ctkd_error *err);

/* places [size]: where the workers of every rank work. */
ctkd_status ctkd__ranks_places(const struct ctkd__session *session, struct ctkd__rank_place *places,
                               ctkd_error *err);
/* The first rank below `rank` that works on one of its CPUs; `rank`: none does. Two ranks that roam
   find cores for themselves. */
size_t ctkd__ranks_shared(const struct ctkd__rank_place *places, size_t rank);

/* CTKD_EINVAL on all ranks if one differs from rank 0 in the program, a key of the configuration
   (except for paths of files and numbers of threads), kernels, oneDNN, data, classes or the
   teacher's weights. All ranks call it. */
ctkd_status ctkd__ranks_compare(const struct ctkd__session *session, const char *command,
                                ctkd_error *err);

#endif
