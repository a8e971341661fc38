#include "support/caller.h"
#include "support/check.h"

#include <omp.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

#include "nn/cpus.h"
#include "nn/workers.h"

static struct ctkd__workers *make(size_t count)
{
    struct ctkd__workers *team;
    ctkd_error err = { 0 };
    check_ok(ctkd__workers_create(count, &team, &err), &err);
    return team;
}

struct seen {
    struct caller modes[64];
    atomic_uint calls;
};

static void look(void *context, size_t worker)
{
    struct seen *seen = context;
    seen->modes[worker] = caller_now();
    atomic_fetch_add(&seen->calls, 1);
}

static struct seen look_at(struct ctkd__workers *team)
{
    struct seen seen = { .calls = 0 };
    ctkd__workers_run(team, look, &seen);
    assert_int_equal(seen.calls, ctkd__workers_count(team));
    return seen;
}

static void the_maker_is_afterwards_what_it_was_before(void **state)
{
    (void)state;
    omp_set_num_threads(3);
    const struct caller before = caller_now();
    assert_true(before.denormals);
    for (size_t count = 0; count <= 3; count++) {
        struct ctkd__workers *team = make(count);
        assert_false(caller_now().denormals);
        assert_int_equal(caller_now().openmp_threads, 1);
        ctkd__workers_destroy(team);
        check_caller(&before);
    }
    struct ctkd__workers *a = make(0), *b = make(1);
    ctkd__workers_destroy(a); /* in the order in which they were made */
    assert_false(caller_now().denormals);
    ctkd__workers_destroy(b);
    check_caller(&before);
}

static void a_second_living_team_finds_the_same_cpus(void **state)
{
    (void)state;
    struct ctkd__cpus alone, beside;
    ctkd__cpus_find(&alone);
    struct ctkd__workers *a = make(0);
    ctkd__cpus_find(&beside);
    assert_true(CPU_EQUAL(&beside.allowed, &alone.allowed));
    struct ctkd__workers *b = make(0);
    assert_int_equal(ctkd__workers_count(b), ctkd__workers_count(a));
    assert_int_equal(ctkd__workers_pinned(b), ctkd__workers_pinned(a));
    struct ctkd__workers *c = make(alone.cores + 2); /* never pinned: its own threads go anywhere */
    const struct seen seen = look_at(c);
    for (size_t i = 1; i < alone.cores + 2; i++)
        assert_true(CPU_EQUAL(&seen.modes[i].cpus, &alone.allowed));
    ctkd__workers_destroy(c);
    ctkd__workers_destroy(b);
    ctkd__workers_destroy(a);
}

/* Two runs of one thread each would otherwise share the first allowed core. */
static void only_a_team_that_takes_every_core_is_pinned(void **state)
{
    (void)state;
    struct ctkd__cpus cpus;
    ctkd__cpus_find(&cpus);
    for (size_t count = 1; count <= cpus.cores + 1 && count <= 64; count++) {
        struct ctkd__workers *team = make(count);
        const bool all = count == cpus.cores && cpus.threads == cpus.cores;
        const struct seen seen = look_at(team);
        assert_int_equal(ctkd__workers_pinned(team), all);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(CPU_COUNT(&seen.modes[i].cpus), all ? 1 : CPU_COUNT(&cpus.allowed));
            assert_false(seen.modes[i].denormals);
        }
        ctkd__workers_destroy(team);
    }
}

static void as_many_as_documented_and_not_one_more(void **state)
{
    (void)state;
    struct ctkd__workers *team;
    ctkd_error err = { 0 };
    assert_int_equal(ctkd__workers_create(CTKD__WORKERS_MAX + 1, &team, &err), CTKD_EINVAL);
    assert_null(team);
    assert_string_equal(err.message, "found 1025 threads, expected at most 1024");
    team = make(300);
    assert_int_equal(ctkd__workers_count(team), 300);
    ctkd__workers_destroy(team);
}

/* --- barriers */

enum { ROUNDS = 200, CROWD = 64 };

struct rounds {
    struct ctkd__workers *team;
    size_t slow; /* this worker is late in every round */
    atomic_uint arrived[ROUNDS];
    atomic_uint early; /* passed a barrier before all were there */
};

static void go_round(void *context, size_t worker)
{
    struct rounds *const rounds = context;
    for (size_t i = 0; i < ROUNDS; i++) {
        if (worker == rounds->slow && i % 50 == 0) /* the others have gone to sleep */
            nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
        atomic_fetch_add(&rounds->arrived[i], 1);
        ctkd__workers_barrier(rounds->team);
        if (atomic_load(&rounds->arrived[i]) != ctkd__workers_count(rounds->team))
            atomic_fetch_add(&rounds->early, 1);
    }
}

static double processor_seconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void nobody_passes_a_barrier_before_all_are_there(void **state)
{
    (void)state;
    static const size_t counts[] = { 1, 2, 3, CROWD };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        for (size_t slow = 0; slow < counts[i] && slow < 2; slow++) {
            struct rounds rounds = { .team = make(counts[i]), .slow = slow };
            ctkd__workers_run(rounds.team, go_round, &rounds);
            assert_int_equal(rounds.early, 0);
            ctkd__workers_destroy(rounds.team);
        }
}

struct nap {
    struct ctkd__workers *team;
};

/* The first worker is at work for long, here without a processor; the others wait for it. */
static void wait_for_the_first(void *context, size_t worker)
{
    struct nap *const nap = context;
    if (worker == 0)
        nanosleep(&(struct timespec){ .tv_nsec = 800000000 }, NULL);
    ctkd__workers_barrier(nap->team);
}

/* A wait costs no processor time but for its beginning. */
static void who_waits_long_at_a_barrier_sleeps(void **state)
{
    (void)state;
    static const size_t counts[] = { 2, CROWD };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct nap nap = { make(counts[i]) };
        const double before = processor_seconds();
        ctkd__workers_run(nap.team, wait_for_the_first, &nap);
        const double spent = processor_seconds() - before;
        if (spent > 0.4)
            fail_msg("%zu threads: %.2f s of processor time in 0.8 s of waiting", counts[i], spent);
        ctkd__workers_destroy(nap.team);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_maker_is_afterwards_what_it_was_before),
        cmocka_unit_test(a_second_living_team_finds_the_same_cpus),
        cmocka_unit_test(only_a_team_that_takes_every_core_is_pinned),
        cmocka_unit_test(as_many_as_documented_and_not_one_more),
        cmocka_unit_test(nobody_passes_a_barrier_before_all_are_there),
        cmocka_unit_test(who_waits_long_at_a_barrier_sleeps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
