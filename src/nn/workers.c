#include "nn/workers.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "nn/dnnl_threads.h"
#include "util/error.h"

/* Spins this often before giving the core away, and yields this often before sleeping. */
enum { SPINS = 4000, YIELDS = 200, WORKERS_MAX = 256 };

struct member {
    struct ctkd__workers *team;
    size_t index;
    int cpu; /* -1: not pinned */
    pthread_t thread;
};

struct ctkd__workers {
    size_t count;
    struct member members[WORKERS_MAX];
    void (*fn)(void *context, size_t worker);
    void *context;
    atomic_uint job;            /* counts jobs; a change starts the team */
    atomic_uint arrived, phase; /* the barrier */
    atomic_int stop;
    size_t started;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    cpu_set_t caller_cpus; /* restored at destroy */
};

static void pause_briefly(void)
{
#if defined(__x86_64__)
    _mm_pause();
#endif
}

static void flush_denormals(void)
{
#if defined(__x86_64__)
    _mm_setcsr(_mm_getcsr() | 0x8040u); /* FTZ and DAZ */
#elif defined(__aarch64__)
    uint64_t control;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control));
    __asm__ volatile("msr fpcr, %0" : : "r"(control | (1u << 24)));
#endif
}

static void settle(const struct member *member)
{
    if (member->cpu >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET((size_t)member->cpu, &set);
        pthread_setaffinity_np(pthread_self(), sizeof set,
                               &set); /* a hint: failure costs speed only */
    }
    flush_denormals();
    ctkd__dnnl_use_one_thread();
}

/* Waits until *value differs from `old`: spins, yields, and at last sleeps. */
static unsigned wait_for_job(struct ctkd__workers *team, unsigned old)
{
    for (int i = 0; i < SPINS + YIELDS; i++) {
        const unsigned now = atomic_load_explicit(&team->job, memory_order_acquire);
        if (now != old)
            return now;
        if (i < SPINS)
            pause_briefly();
        else
            sched_yield();
    }
    pthread_mutex_lock(&team->lock);
    while (atomic_load(&team->job) == old)
        pthread_cond_wait(&team->changed, &team->lock);
    pthread_mutex_unlock(&team->lock);
    return atomic_load(&team->job);
}

static void *serve(void *argument)
{
    struct member *const member = argument;
    struct ctkd__workers *const team = member->team;
    settle(member);
    for (unsigned job = 0;;) {
        job = wait_for_job(team, job);
        if (atomic_load(&team->stop))
            return NULL;
        team->fn(team->context, member->index);
        ctkd__workers_meet(team);
    }
}

/* One CPU of every physical core that this process may use, in order; returns how many. */
static size_t physical_cpus(const cpu_set_t *allowed, int *cpus, size_t max)
{
    size_t count = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE && count < max; cpu++) {
        if (!CPU_ISSET((size_t)cpu, allowed))
            continue;
        char path[96];
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list",
                 cpu);
        FILE *const file = fopen(path, "r");
        int first = cpu;
        if (file) {
            if (fscanf(file, "%d", &first) != 1)
                first = cpu;
            fclose(file);
        }
        /* A sibling of an earlier allowed CPU shares its core. */
        if (first == cpu || !CPU_ISSET((size_t)first, allowed))
            cpus[count++] = cpu;
    }
    return count;
}

ctkd_status ctkd__workers_create(size_t count, struct ctkd__workers **out, ctkd_error *err)
{
    *out = NULL;
    if (count > WORKERS_MAX)
        return ctkd__fail(err, CTKD_EINVAL, "train.threads: %zu, expected at most %d", count,
                          WORKERS_MAX);
    struct ctkd__workers *const team = calloc(1, sizeof *team);
    if (!team)
        return ctkd__fail(err, CTKD_ENOMEM, "threads: out of memory");
    int cpus[WORKERS_MAX];
    CPU_ZERO(&team->caller_cpus);
    pthread_getaffinity_np(pthread_self(), sizeof team->caller_cpus, &team->caller_cpus);
    cpu_set_t allowed = team->caller_cpus;
    const size_t places = ctkd__dnnl_cpus(cpus, WORKERS_MAX);
    for (size_t i = 0; i < places; i++)
        CPU_SET((size_t)cpus[i], &allowed);
    const size_t cores = physical_cpus(&allowed, cpus, WORKERS_MAX);
    team->count = count ? count : (cores ? cores : 1);
    pthread_mutex_init(&team->lock, NULL);
    pthread_cond_init(&team->changed, NULL);
    for (size_t i = 0; i < team->count; i++)
        team->members[i] = (struct member){ team, i, team->count <= cores ? cpus[i] : -1, 0 };
    settle(&team->members[0]);
    for (team->started = 1; team->started < team->count; team->started++) {
        struct member *const member = &team->members[team->started];
        if (pthread_create(&member->thread, NULL, serve, member) != 0) {
            const size_t n = team->started;
            ctkd__workers_destroy(team);
            return ctkd__fail(err, CTKD_ENOMEM, "threads: the system gave %zu of %zu", n, count);
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
    pthread_setaffinity_np(pthread_self(), sizeof team->caller_cpus, &team->caller_cpus);
    pthread_cond_destroy(&team->changed);
    pthread_mutex_destroy(&team->lock);
    free(team);
}

size_t ctkd__workers_count(const struct ctkd__workers *team)
{
    return team->count;
}

void ctkd__workers_meet(struct ctkd__workers *team)
{
    if (team->count == 1)
        return;
    const unsigned phase = atomic_load_explicit(&team->phase, memory_order_acquire);
    if (atomic_fetch_add_explicit(&team->arrived, 1, memory_order_acq_rel) + 1 == team->count) {
        atomic_store_explicit(&team->arrived, 0, memory_order_relaxed);
        atomic_fetch_add_explicit(&team->phase, 1, memory_order_release);
        return;
    }
    for (int i = 0; atomic_load_explicit(&team->phase, memory_order_acquire) == phase; i++)
        if (i < SPINS)
            pause_briefly();
        else
            sched_yield();
}

void ctkd__workers_run(struct ctkd__workers *team, void (*fn)(void *context, size_t worker),
                       void *context)
{
    team->fn = fn;
    team->context = context;
    if (team->count > 1)
        start_job(team);
    fn(context, 0);
    ctkd__workers_meet(team);
}
