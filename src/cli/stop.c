#include "cli/stop.h"

#include <poll.h>
#include <stddef.h>
#include <unistd.h>

#include "cli/cli.h"

static volatile sig_atomic_t asked;

static void handle(int number)
{
    if (!asked)
        asked = number;
    if (number == SIGINT || number == SIGTERM) {
        signal(SIGINT, SIG_DFL);
        signal(SIGTERM, SIG_DFL);
    }
}

void ctkd__stop_watch(void)
{
    static const int numbers[] = { SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU };
    /* A write that is under way is not cut short. */
    const struct sigaction action = { .sa_handler = handle, .sa_flags = SA_RESTART };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct sigaction before;
        if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(numbers[i], &action, NULL);
    }
    signal(SIGPIPE, SIG_IGN);
}

const volatile sig_atomic_t *ctkd__stop_asked(void)
{
    return &asked;
}

int ctkd__stop_status(int number)
{
    const bool batch = number == SIGUSR1 || number == SIGUSR2 || number == SIGXCPU;
    return number == 0 || batch ? CTKD__EXIT_LATER : 128 + number;
}

bool ctkd__stop_unread(void)
{
    struct pollfd out = { .fd = STDOUT_FILENO, .events = POLLOUT };
    return poll(&out, 1, 0) == 1 && (out.revents & (POLLERR | POLLHUP)) != 0;
}
