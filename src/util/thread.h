#ifndef CTKD_UTIL_THREAD_H
#define CTKD_UTIL_THREAD_H

#include <pthread.h>

/* pthread_create with all signals blocked in the thread: they are the main thread's, whose waiting
   an interrupt must end. Returns what pthread_create does. */
int ctkd__thread_start(pthread_t *thread, void *(*fn)(void *argument), void *argument);

#endif
