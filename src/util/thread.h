#ifndef CTKD_UTIL_THREAD_H
#define CTKD_UTIL_THREAD_H

#include <pthread.h>

/* pthread_create with signals blocked in the new thread: the main thread must receive them, so that
   an interrupt ends its waiting. Signals raised by a fault of the thread itself (SIGSEGV, ...) are
   not blocked: if they were, the process would be killed without calling any handler, such as a
   sanitizer's. Returns what pthread_create does. */
int ctkd__thread_start(pthread_t *thread, void *(*fn)(void *argument), void *argument);

#endif
