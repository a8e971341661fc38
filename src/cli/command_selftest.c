#include "cli/cli.h"

#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "ctkd/ctkd.h"
#include "nn/dnnl_version.h"
#include "nn/kernels/kernels.h"
#include "nn/workers.h"
#include "train/loop.h"
#include "train/selftest.h"
#include "util/error.h"

static void print_verdict(void *context, bool ok, const char *what, const char *figure)
{
    (void)context;
    printf("%-6s  %s: %s\n", ok ? "ok" : "FAILED", what, figure);
    fflush(stdout);
}

/* What the system calls its CPU; "unknown" where it does not say. */
static void find_cpu(char *name, size_t bytes)
{
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "r");
    snprintf(name, bytes, "unknown");
    while (file && fgets(line, sizeof line, file)) {
        const char *value = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !value)
            continue;
        value += 1 + strspn(value + 1, " ");
        snprintf(name, bytes, "%.*s", (int)strcspn(value, "\n"), value);
        break;
    }
    if (file)
        fclose(file);
}

static void print_kernels(void)
{
    const struct ctkd__kernels *chosen = NULL;
    const char *separator = "";
    ctkd_error err = { 0 };
    printf("kernels  ");
    for (size_t i = 0; ctkd__kernels_list()[i]; i++, separator = ", ")
        printf("%s%s%s", separator, ctkd__kernels_list()[i]->name,
               ctkd__kernels_supported(ctkd__kernels_list()[i]) ? "" : " (not on this CPU)");
    if (ctkd__kernels_select("auto", &chosen, &err) == CTKD_OK)
        printf("; used: %s\n", chosen->name);
    else
        printf("; %s\n", err.message);
}

/* What a bug report needs besides the verdicts. */
static void print_system(void)
{
    char text[256];
    struct utsname system;
    struct ctkd__workers *workers = NULL;
    ctkd_error err = { 0 };
    printf("ctkd     %s, oneDNN %s, compiler %s\n", CTKD_VERSION_STRING,
           ctkd__dnnl_version(text, sizeof text), __VERSION__);
    if (uname(&system) == 0)
        printf("system   %s %s %s\n", system.sysname, system.release, system.machine);
    find_cpu(text, sizeof text);
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    const size_t threads =
        ctkd__workers_create(0, &workers, &err) == CTKD_OK ? ctkd__workers_count(workers) : 0;
    ctkd__workers_destroy(workers);
    printf("cpu      %s, %ld processors, %zu threads by default\n", text, online, threads);
    print_kernels();
    printf("memory   %.1f GB\n",
           1e-9 * (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE));
}

static int run(const struct ctkd__command *command, int argc, char **argv)
{
    struct ctkd__arguments arguments;
    struct stat info;
    ctkd_error err = { 0 };
    int status;
    if (!ctkd__cli_names(command, argc, argv, 1, &arguments, &status))
        return status;
    const char *dir = arguments.n_positionals ? arguments.positionals[0] : ".";
    if (stat(dir, &info) != 0 || !S_ISDIR(info.st_mode)) {
        ctkd__fail(&err, CTKD_ENOTFOUND, "%s: expected a folder to write into", dir);
        return ctkd__cli_misused(command, &err);
    }
    const double began = ctkd__loop_clock();
    struct ctkd__selftest test = { .dir = dir, .verdict = print_verdict };
    print_system();
    ctkd__selftest_run(&test);
    printf("%zu of %zu failed, %.0f s\n", test.failures, test.verdicts, ctkd__loop_clock() - began);
    return test.failures ? CTKD__EXIT_FAILED : CTKD__EXIT_DONE;
}

const struct ctkd__command ctkd__command_selftest = {
    .name = "selftest",
    .arguments = "[DIR]",
    .summary = "prove this installation: gradients, kernels, repetition, resuming, files",
    .details = "DIR (default: here) is where runs will be written; the test works in a folder of "
               "its own in it\n"
               "and removes that. One line per verdict, ok or FAILED, with the figure; exit status "
               "1 when one\n"
               "failed. A bug report should hold this output.",
    .run = run,
};
