#include "support/check.h"

#include <signal.h>

#include "util/thread.h"

static void *read_mask(void *mask)
{
    pthread_sigmask(SIG_BLOCK, NULL, mask);
    return NULL;
}

static void threads_leave_signals_to_the_main_thread_but_not_their_own_faults(void **state)
{
    (void)state;
    static const int of_main[] = { SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU, SIGWINCH };
    static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
    sigset_t before, of_thread, after;
    pthread_t thread;
    pthread_sigmask(SIG_BLOCK, NULL, &before);
    assert_int_equal(ctkd__thread_start(&thread, read_mask, &of_thread), 0);
    pthread_join(thread, NULL);
    pthread_sigmask(SIG_BLOCK, NULL, &after);
    for (size_t i = 0; i < sizeof of_main / sizeof *of_main; i++) {
        assert_int_equal(sigismember(&of_thread, of_main[i]), 1);
        assert_int_equal(sigismember(&after, of_main[i]), sigismember(&before, of_main[i]));
    }
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        assert_int_equal(sigismember(&of_thread, faults[i]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_leave_signals_to_the_main_thread_but_not_their_own_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
