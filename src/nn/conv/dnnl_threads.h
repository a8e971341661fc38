/* oneDNN's threading runtime: the workers run single-threaded primitives side by side. */
#ifndef CTKD_NN_DNNL_THREADS_H
#define CTKD_NN_DNNL_THREADS_H

#include <stddef.h>

/* From now on the calling thread's primitives, created or executed, use this many threads. Returns
   how many they used before. */
int ctkd__dnnl_use_threads(int count);

/* The CPUs of OpenMP's places: with OMP_PROC_BIND set its runtime has already tied the first thread
   to one of them, so that the thread's own mask no longer tells. Returns how many; 0 without
   places. */
size_t ctkd__dnnl_cpus(int *cpus, size_t max);

#endif
