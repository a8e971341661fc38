/* Whether this process is one of several that a launcher (mpirun, srun) has started, and how it
   meets the others. */
#ifndef CTKD_DIST_LAUNCH_H
#define CTKD_DIST_LAUNCH_H

#include "dist/dist.h"

/* The module with the transport by MPI: beside the binary, or where it is installed. */
#define CTKD__MPI_MODULE "libctkd_mpi.so"

/* Where the launcher has said so, in how many processes this program runs; 0: no launcher. A count
   that the launcher does not tell is 1 or more. */
size_t ctkd__launch_count(void);
/* Whether this is the first of them, or nothing says which it is. */
bool ctkd__launch_first(void);

/*
 * Meets the other processes of the launcher: MPI begins when a launcher's environment variables say
 * that there are several, or when `always` (train.mpi=yes) asks for it. *out is NULL in a run of
 * one process. Never several runs that do not know of each other: CTKD_EUNSUPPORTED without the
 * module, CTKD_EBACKEND where MPI finds another number of ranks than the launcher has started, or
 * srun has started several without MPI.
 */
ctkd_status ctkd__launch_open(bool always, struct ctkd__dist **out, ctkd_error *err);

#endif
