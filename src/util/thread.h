#ifndef CTKD_UTIL_THREAD_H
#define CTKD_UTIL_THREAD_H

#include <pthread.h>

/* pthread_create with signals blocked in the thread: they are the main thread's, whose waiting an
   interrupt must end. Those that a fault of the thread itself raises (SIGSEGV, ...) stay as they
   are: blocked, they would end the process past every handler, a sanitizer's among them. Returns
   what pthread_create does. */
int ctkd__thread_start(pthread_t *thread, void *(*fn)(void *argument), void *argument);

#endif
