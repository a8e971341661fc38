/* What a team of workers or an engine may change in the thread that makes it, and gives back. */
#ifndef CTKD_TESTS_CALLER_H
#define CTKD_TESTS_CALLER_H

#include <omp.h>
#include <sched.h>
#include <stdbool.h>

#include "support/check.h"

/* What a thread can be found in: its CPUs, whether denormals survive, its OpenMP threads. */
struct caller {
    cpu_set_t cpus;
    bool denormals;
    int openmp_threads;
};

static inline struct caller caller_now(void)
{
    struct caller caller;
    volatile float small = 1e-30f, factor = 1e-10f;
    caller.denormals = small * factor != 0;
    caller.openmp_threads = omp_get_max_threads();
    assert_int_equal(sched_getaffinity(0, sizeof caller.cpus, &caller.cpus), 0);
    return caller;
}

static inline void check_caller(const struct caller *expected)
{
    const struct caller found = caller_now();
    assert_true(CPU_EQUAL(&found.cpus, &expected->cpus));
    assert_int_equal(found.denormals, expected->denormals);
    assert_int_equal(found.openmp_threads, expected->openmp_threads);
}

#endif
