#ifndef CTKD_UTIL_THREAD_H
#define CTKD_UTIL_THREAD_H

#include <pthread.h>
#include <stddef.h>

/* pthread_create with signals blocked in the new thread: the main thread must receive them, so that
   an interrupt ends its waiting. Signals raised by a fault of the thread itself (SIGSEGV, ...) are
   not blocked: if they were, the process would be killed without calling any handler, such as a
   sanitizer's. Returns what pthread_create does. */
int ctkd__thread_start(pthread_t *thread, void *(*fn)(void *argument), void *argument);

/* Starts one thread for each processor that this process may use, beside the caller's, but at most
   `most`; stops at one that cannot be started. Returns how many it started, for pthread_join. */
size_t ctkd__helpers_start(pthread_t *threads, size_t most, void *(*fn)(void *argument),
                           void *argument);

#endif
