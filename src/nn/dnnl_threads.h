/* oneDNN's threading runtime: the workers run single-threaded primitives side by side. */
#ifndef CTKD_NN_DNNL_THREADS_H
#define CTKD_NN_DNNL_THREADS_H

/* From now on the calling thread's primitives, created or executed, use one thread. */
void ctkd__dnnl_use_one_thread(void);

#endif
