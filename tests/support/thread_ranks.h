/* Ranks that are threads of this process: the double of a message library. */
#ifndef CTKD_TESTS_THREAD_RANKS_H
#define CTKD_TESTS_THREAD_RANKS_H

#include "dist/dist.h"

/* Runs fn in `ranks` threads and waits for all. Assert on the main thread only: fn leaves what it
   found in `context`, at the place of its rank. */
void thread_ranks_run(size_t ranks, void (*fn)(struct ctkd__dist *dist, void *context),
                      void *context);

/* Whether the double says that two threads of a rank may exchange at once; true at first. It can do
   both. */
extern bool thread_ranks_concurrent;

#endif
