/* What the ranks of a run must agree on before its first step, and where each of them works. */
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
};

/* Ranks of one machine whose affinity masks are equal divide its cores among them, in their order;
   masks that differ are a launcher's work and stay. Before any team of workers is made. */
ctkd_status ctkd__ranks_place(struct ctkd__dist *dist, ctkd_error *err);

/* places [size]: where the workers of every rank work. */
ctkd_status ctkd__ranks_places(const struct ctkd__session *session, struct ctkd__rank_place *places,
                               ctkd_error *err);
/* The first rank below `rank` that works on one of its CPUs; `rank`: none does. */
size_t ctkd__ranks_shared(const struct ctkd__rank_place *places, size_t rank);

/* CTKD_EINVAL on all ranks where one has something else than rank 0: the program, the keys of the
   configuration but for places of files, kernels, oneDNN, data, classes, the teacher's weights. */
ctkd_status ctkd__ranks_compare(const struct ctkd__session *session, const char *command,
                                ctkd_error *err);

#endif
