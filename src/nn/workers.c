#include "nn/workers.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "nn/conv/dnnl_threads.h"
#include "nn/cpus.h"
#include "util/error.h"
#include "util/thread.h"

/* A waiting thread spins this often before it gives its core away, and then yields this often
   before it sleeps: few times for a job, which may be far away, and more at a barrier, where the
   others are already at work. In a team with more threads than cores, spinning would keep the core
   from the very threads it waits for. */
enum { SPINS = 4000, JOB_YIELDS = 200, BARRIER_YIELDS = 2000, CROWDED_YIELDS = 2 };

struct member {
    struct ctkd__workers *team;
    size_t index;
    int cpu; /* -1: not pinned, on any CPU that is allowed */
    pthread_t thread;
};

struct ctkd__workers {
    size_t count;
    struct member members[CTKD__WORKERS_MAX];
    struct ctkd__cpus cpus; /* the maker's, before it was pinned */
    void (*fn)(void *context, size_t worker);
    void *context;
    atomic_uint job;            /* counts jobs; a change starts the team */
    bool crowded;               /* more threads than cores */
    atomic_uint arrived, phase; /* the barrier */
    atomic_uint sleepers;       /* threads that may sleep until phase changes */
    atomic_int stop;
    size_t started;
    pthread_mutex_t lock;
    pthread_cond_t changed;
};

/* What a thread was before it made its first living team. */
static _Thread_local struct {
    unsigned teams; /* living ones */
    cpu_set_t cpus;
    unsigned denormals;
    int openmp_threads;
} before;

static void pause_briefly(void)
{
#if defined(__x86_64__)
    _mm_pause();
#endif
}

/* Sets the bits of the floating-point mode that flush denormals to zero; returns what they were. */
static unsigned set_denormals(unsigned bits)
{
    unsigned was = bits;
#if defined(__x86_64__)
    const unsigned mask = 0x8040u; /* FTZ and DAZ */
    was = _mm_getcsr() & mask;
    _mm_setcsr((_mm_getcsr() & ~mask) | (bits & mask));
#elif defined(__aarch64__)
    const uint64_t mask = 1u << 24;
    uint64_t control;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control));
    was = (unsigned)(control & mask);
    __asm__ volatile("msr fpcr, %0" : : "r"((control & ~mask) | (bits & mask)));
#endif
    return was;
}

void ctkd__workers_allowed(cpu_set_t *out)
{
    CPU_ZERO(out);
    if (before.teams)
        *out = before.cpus;
    else
        pthread_getaffinity_np(pthread_self(), sizeof *out, out);
}

/* Affinity is a hint: if it cannot be set, only speed is lost. */
static void bind_to_cpu(const struct member *member)
{
    cpu_set_t set = member->team->cpus.allowed;
    if (member->cpu >= 0) {
        CPU_ZERO(&set);
        CPU_SET((size_t)member->cpu, &set);
    }
    pthread_setaffinity_np(pthread_self(), sizeof set, &set);
    set_denormals(~0u);
    ctkd__dnnl_use_threads(1);
}

void ctkd__workers_join_beside(const struct ctkd__workers *team)
{
    pthread_setaffinity_np(pthread_self(), sizeof team->cpus.allowed, &team->cpus.allowed);
    set_denormals(~0u);
}

/* The maker becomes worker 0. One that a larger team has pinned stays where it is. */
static void settle_maker(const struct member *member)
{
    if (before.teams == 0) {
        ctkd__workers_allowed(&before.cpus);
        before.denormals = set_denormals(~0u);
        before.openmp_threads = ctkd__dnnl_use_threads(1);
    }
    if (member->cpu >= 0)
        bind_to_cpu(member);
    before.teams++;
}

static void release_maker(void)
{
    if (before.teams == 0 || --before.teams > 0)
        return;
    pthread_setaffinity_np(pthread_self(), sizeof before.cpus, &before.cpus);
    set_denormals(before.denormals);
    ctkd__dnnl_use_threads(before.openmp_threads);
}

/* Waits until *value differs from `old`; false: it has spun and yielded, and *value is
   unchanged. */
static bool wait_awake(const struct ctkd__workers *team, atomic_uint *value, unsigned old,
                       int yields)
{
    const int spins = team->crowded ? 0 : SPINS;
    yields = team->crowded ? CROWDED_YIELDS : yields;
    for (int i = 0; i < spins + yields; i++) {
        if (atomic_load_explicit(value, memory_order_acquire) != old)
            return true;
        if (i < spins)
            pause_briefly();
        else
            sched_yield();
    }
    return false;
}

/* Waits for the job after `old` and returns its number. */
static unsigned wait_for_job(struct ctkd__workers *team, unsigned old)
{
    if (wait_awake(team, &team->job, old, JOB_YIELDS))
        return atomic_load_explicit(&team->job, memory_order_acquire);
    pthread_mutex_lock(&team->lock);
    while (atomic_load(&team->job) == old)
        pthread_cond_wait(&team->changed, &team->lock);
    pthread_mutex_unlock(&team->lock);
    return atomic_load(&team->job);
}

static void *worker_main(void *argument)
{
    struct member *const member = argument;
    struct ctkd__workers *const team = member->team;
    bind_to_cpu(member);
    for (unsigned job = 0;;) {
        job = wait_for_job(team, job);
        if (atomic_load(&team->stop))
            return NULL;
        team->fn(team->context, member->index);
        ctkd__workers_barrier(team);
    }
}

/* Ties each member to a CPU if the team has as many members as there are cores and no quota allows
   less. */
static void place_members(struct ctkd__workers *team)
{
    const struct ctkd__cpus *const cpus = &team->cpus;
    int cores[CTKD__WORKERS_MAX];
    const size_t count = ctkd__cpus_physical(&cpus->allowed, cores, CTKD__WORKERS_MAX);
    const bool pinned = team->count == count && cpus->threads == count;
    for (size_t i = 0; i < team->count; i++)
        team->members[i] = (struct member){ team, i, pinned ? cores[i] : -1, 0 };
}

ctkd_status ctkd__workers_create(size_t count, struct ctkd__workers **out, ctkd_error *err)
{
    *out = NULL;
    if (count > CTKD__WORKERS_MAX)
        return ctkd__fail(err, CTKD_EINVAL, "found %zu threads, expected at most %d", count,
                          CTKD__WORKERS_MAX);
    struct ctkd__workers *const team = calloc(1, sizeof *team);
    if (!team)
        return ctkd__fail(err, CTKD_ENOMEM, "out of memory");
    ctkd__cpus_find(&team->cpus);
    team->count = count ? count : team->cpus.threads;
    pthread_mutex_init(&team->lock, NULL);
    pthread_cond_init(&team->changed, NULL);
    team->crowded = team->count > team->cpus.cores;
    place_members(team);
    settle_maker(&team->members[0]);
    for (team->started = 1; team->started < team->count; team->started++) {
        struct member *const member = &team->members[team->started];
        const int why = ctkd__thread_start(&member->thread, worker_main, member);
        if (why != 0) {
            const size_t n = team->started, wanted = team->count;
            ctkd__workers_destroy(team);
            return ctkd__fail(err, CTKD_ENOMEM, "the system started %zu of %zu threads: %s", n,
                              wanted, strerror(why));
        }
    }
    *out = team;
    return CTKD_OK;
}

static void start_job(struct ctkd__workers *team)
{
    pthread_mutex_lock(&team->lock);
    atomic_fetch_add_explicit(&team->job, 1, memory_order_release);
    pthread_cond_broadcast(&team->changed);
    pthread_mutex_unlock(&team->lock);
}

void ctkd__workers_destroy(struct ctkd__workers *team)
{
    if (!team)
        return;
    atomic_store(&team->stop, 1);
    start_job(team);
    for (size_t i = 1; i < team->started; i++)
        pthread_join(team->members[i].thread, NULL);
    release_maker();
    pthread_cond_destroy(&team->changed);
    pthread_mutex_destroy(&team->lock);
    free(team);
}

size_t ctkd__workers_count(const struct ctkd__workers *team)
{
    return team->count;
}

const struct ctkd__cpus *ctkd__workers_cpus(const struct ctkd__workers *team)
{
    return &team->cpus;
}

bool ctkd__workers_pinned(const struct ctkd__workers *team)
{
    return team->members[0].cpu >= 0;
}

/* Sleeps until the phase changes. The kernel looks at the phase again before the thread sleeps, and
   the thread that changes it looks for sleepers afterwards: one of the two sees the other. */
static void sleep_at_barrier(struct ctkd__workers *team, unsigned phase)
{
    atomic_fetch_add(&team->sleepers, 1);
    while (atomic_load(&team->phase) == phase)
        syscall(SYS_futex, &team->phase, FUTEX_WAIT_PRIVATE, phase, NULL, NULL, 0);
    atomic_fetch_sub(&team->sleepers, 1);
}

void ctkd__workers_barrier(struct ctkd__workers *team)
{
    if (team->count == 1)
        return;
    const unsigned phase = atomic_load_explicit(&team->phase, memory_order_acquire);
    if (atomic_fetch_add_explicit(&team->arrived, 1, memory_order_acq_rel) + 1 == team->count) {
        atomic_store_explicit(&team->arrived, 0, memory_order_relaxed);
        atomic_fetch_add(&team->phase, 1);
        if (atomic_load(&team->sleepers))
            syscall(SYS_futex, &team->phase, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
        return;
    }
    if (!wait_awake(team, &team->phase, phase, BARRIER_YIELDS))
        sleep_at_barrier(team, phase);
}

void ctkd__workers_run(struct ctkd__workers *team, void (*fn)(void *context, size_t worker),
                       void *context)
{
    team->fn = fn;
    team->context = context;
    if (team->count > 1)
        start_job(team);
    fn(context, 0);
    ctkd__workers_barrier(team);
}
