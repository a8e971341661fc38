/* oneDNN's threading runtime: the workers run single-threaded primitives side by side. */
#ifndef CTKD_NN_DNNL_THREADS_H
#define CTKD_NN_DNNL_THREADS_H

#include <stddef.h>

/* Sets how many threads the calling thread's primitives use, both when created and when executed.
   Returns the number before. */
int ctkd__dnnl_use_threads(int count);

/* The CPUs of OpenMP's places: with OMP_PROC_BIND set its runtime has already tied the first thread
   to one of them, so that the thread's own mask no longer shows all CPUs. Returns how many there
   are; 0 without places. */
size_t ctkd__dnnl_cpus(int *cpus, size_t max);

#endif
