#include "cli/stop.h"

#include <poll.h>
#include <stddef.h>
#include <unistd.h>

#include "cli/cli.h"
#include "dist/launch.h"

static volatile sig_atomic_t asked;
static sem_t now;

/* Signals of batch systems, which leave time to finish a step. */
static bool leaves_time(int number)
{
    return number == SIGUSR1 || number == SIGUSR2 || number == SIGXCPU;
}

static void handle(int number)
{
    if (!asked)
        asked = number;
    if (number == SIGINT || number == SIGTERM)
        signal(SIGINT, SIG_DFL);
    if (!leaves_time(number))
        sem_post(&now);
}

static void watch(const int *numbers, size_t count)
{
    /* SA_RESTART: a signal must not cut a write short. */
    const struct sigaction action = { .sa_handler = handle, .sa_flags = SA_RESTART };
    for (size_t i = 0; i < count; i++) {
        struct sigaction before;
        if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(numbers[i], &action, NULL);
    }
}

void ctkd__stop_watch_warnings(void)
{
    static const int numbers[] = { SIGUSR1, SIGUSR2, SIGXCPU };
    watch(numbers, sizeof numbers / sizeof *numbers);
}

void ctkd__stop_watch(void)
{
    static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
    sem_init(&now, 0, 0);
    watch(numbers, sizeof numbers / sizeof *numbers);
    ctkd__stop_watch_warnings();
    signal(SIGPIPE, SIG_IGN);
}

volatile sig_atomic_t *ctkd__stop_asked(void)
{
    return &asked;
}

sem_t *ctkd__stop_now(void)
{
    return &now;
}

int ctkd__stop_status(int number)
{
    return number == 0 || leaves_time(number) ? CTKD__EXIT_LATER : 128 + number;
}

void ctkd__stop_leave(struct ctkd__dist *dist, const ctkd_error *err)
{
    const int failed = ctkd__cli_failed(err);
    const int status = err->status == CTKD_EINTERRUPTED ? ctkd__stop_status(asked) : failed;
    fflush(NULL);
    if (ctkd__launch_lets_wait())
        ctkd__dist_abort(dist, status);
    _exit(status);
}

bool ctkd__stop_unread(void)
{
    struct pollfd out = { .fd = STDOUT_FILENO, .events = POLLOUT };
    return poll(&out, 1, 0) == 1 && (out.revents & (POLLERR | POLLHUP)) != 0;
}
