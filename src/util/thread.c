#include "util/thread.h"

#include <sched.h>
#include <signal.h>

int ctkd__thread_start(pthread_t *thread, void *(*fn)(void *argument), void *argument)
{
    static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT };
    sigset_t blocked, before;
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        sigdelset(&blocked, faults[i]);
    pthread_sigmask(SIG_BLOCK, &blocked, &before);
    const int result = pthread_create(thread, NULL, fn, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

size_t ctkd__helpers_start(pthread_t *threads, size_t most, void *(*fn)(void *argument),
                           void *argument)
{
    cpu_set_t cpus;
    const size_t processors =
        sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? (size_t)CPU_COUNT(&cpus) : 1;
    size_t count = 0;
    while (count + 1 < processors && count < most &&
           ctkd__thread_start(&threads[count], fn, argument) == 0)
        count++;
    return count;
}
