/* ctkd: trains, distils and evaluates networks on CPUs. */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/ranks.h"
#include "cli/stop.h"
#include "ctkd/ctkd.h"
#include "dist/launch.h"
#include "util/say.h"
#include "util/text.h"

#define ADDRESS(word) &ctkd__command_##word,
const struct ctkd__command *const ctkd__commands[] = { CTKD__COMMAND_LIST(ADDRESS) NULL };
#undef ADDRESS
enum { N_COMMANDS = sizeof ctkd__commands / sizeof *ctkd__commands - 1 };

const struct ctkd__command *ctkd__command_find(const char *name)
{
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (strcmp(name, ctkd__commands[i]->name) == 0)
            return ctkd__commands[i];
    return NULL;
}

/* Names and summaries, in columns. */
static void print_commands(FILE *out)
{
    size_t widest = 0;
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (strlen(ctkd__commands[i]->name) > widest)
            widest = strlen(ctkd__commands[i]->name);
    for (size_t i = 0; i < N_COMMANDS; i++) {
        const int column = fprintf(out, "  %s  ", ctkd__commands[i]->name);
        ctkd__text_wrap(ctkd__commands[i]->summary, widest + 4, (size_t)column, out);
    }
}

static void usage(FILE *out)
{
    fprintf(out, "usage: ctkd COMMAND [ARGUMENT ...]\n"
                 "\nCurriculum temperature for knowledge distillation, on CPUs.\n\nCommands:\n");
    print_commands(out);
    fputc('\n', out);
    ctkd__text_wrap("`ctkd COMMAND --help` shows what a command takes, `ctkd --version` prints the "
                    "version.",
                    0, 0, out);
    ctkd__text_wrap("Exit status: 0 the work is done, 1 it failed, 2 the command line is wrong. A "
                    "run that was saved and can be resumed ends with 75 (train.max_minutes, "
                    "SIGUSR1, SIGUSR2, SIGXCPU), 129, 130 or 143 (SIGHUP, SIGINT, SIGTERM).",
                    0, 0, out);
}

static int unknown_command(const char *name)
{
    const char *names[N_COMMANDS + 1] = { NULL };
    for (size_t i = 0; i < N_COMMANDS; i++)
        names[i] = ctkd__commands[i]->name;
    ctkd_error err = { 0 };
    ctkd__unknown("command", name, names, "`ctkd --help` lists them", &err);
    ctkd__ranks_let_first_speak();
    ctkd__say(stderr, "ctkd: %s", err.message);
    return CTKD__EXIT_USAGE;
}

/* Without ranks, all processes of a launcher would do the same work and write the same files. Only
   the first prints the message. */
static int refuse_ranks(const struct ctkd__command *command)
{
    if (ctkd__launch_first())
        ctkd__say(stderr,
                  "ctkd %s: found %zu processes that a launcher (mpirun, srun) has started, "
                  "expected one; if this is the only one, unset %s",
                  command->name, ctkd__launch_count(), ctkd__launch_variable());
    return CTKD__EXIT_USAGE;
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        usage(stderr);
        return CTKD__EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        usage(stdout);
        return CTKD__EXIT_DONE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("ctkd %s\n", CTKD_VERSION_STRING);
        return CTKD__EXIT_DONE;
    }
    const struct ctkd__command *const command = ctkd__command_find(argv[1]);
    if (command && !command->ranks && ctkd__launch_count() > 1)
        return refuse_ranks(command);
    return command ? command->run(command, argc - 2, argv + 2) : unknown_command(argv[1]);
}

/* If the caller closed a standard descriptor, the next file would get its number, and messages for
   stderr would end up in a checkpoint. The stand-in for stdout is read-only, so that writing fails,
   as on a closed one. */
static void open_standard_streams(void)
{
    static const int modes[] = { O_WRONLY, O_RDONLY, O_WRONLY };
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) == -1)
            (void)open("/dev/null", modes[fd]); /* takes the lowest that is free: this one */
}

int main(int argc, char **argv)
{
    open_standard_streams();
    signal(SIGXFSZ, SIG_IGN); /* a file size limit is then a write error with its message */
    signal(SIGCHLD, SIG_DFL); /* where the caller ignores it, nobody learns how a child ended */
    int status = dispatch(argc, argv);
    /* A full disk behind stdout must not look like success. */
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == CTKD__EXIT_DONE) {
        if (ctkd__stop_unread()) /* SIGPIPE is ignored: end silently, as if it had arrived */
            return 128 + SIGPIPE;
        ctkd__say(stderr, "ctkd: cannot write standard output");
        status = CTKD__EXIT_FAILED;
    }
    return status;
}
