#include "util/thread.h"

#include <signal.h>

int ctkd__thread_start(pthread_t *thread, void *(*fn)(void *argument), void *argument)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int result = pthread_create(thread, NULL, fn, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}
