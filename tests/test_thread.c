#include "support/check.h"

#include <sched.h>
#include <signal.h>
#include <stdatomic.h>

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

static void *count_up(void *count)
{
    atomic_fetch_add((atomic_size_t *)count, 1);
    return NULL;
}

static void helpers_are_one_fewer_than_processors_and_no_more_than_asked(void **state)
{
    (void)state;
    cpu_set_t cpus;
    pthread_t threads[3];
    assert_int_equal(sched_getaffinity(0, sizeof cpus, &cpus), 0);
    const size_t processors = (size_t)CPU_COUNT(&cpus);
    for (size_t most = 0; most <= 3; most++) {
        atomic_size_t ran = 0;
        const size_t started = ctkd__helpers_start(threads, most, count_up, &ran);
        assert_int_equal(started, most < processors - 1 ? most : processors - 1);
        for (size_t i = 0; i < started; i++)
            pthread_join(threads[i], NULL);
        assert_int_equal(ran, started);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_leave_signals_to_the_main_thread_but_not_their_own_faults),
        cmocka_unit_test(helpers_are_one_fewer_than_processors_and_no_more_than_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
