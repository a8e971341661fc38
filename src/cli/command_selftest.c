#include "cli/cli.h"
#include "cli/view_list.h"

#include <signal.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "ctkd/ctkd.h"
#include "nn/conv/dnnl_version.h"
#include "nn/cpus.h"
#include "nn/kernels/kernels.h"
#include "run/loop.h"
#include "selftest/selftest.h"
#include "util/clock.h"
#include "util/error.h"
#include "util/file.h"
#include "util/options.h"

static void print_verdict(void *context, bool ok, const char *what, const char *figure)
{
    (void)context;
    printf("%-6s  %s: %s\n", ok ? "ok" : "FAILED", what, figure);
    fflush(stdout);
}

/* The CPU's name according to the system; "unknown" if it does not say. */
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
    for (size_t i = 0; ctkd__kernels_name(i); i++, separator = ", ") {
        const char *const why = ctkd__kernels_why_not(ctkd__kernels_name(i));
        printf("%s%s%s%s%s", separator, ctkd__kernels_name(i), why ? " (" : "", why ? why : "",
               why ? ")" : "");
    }
    if (ctkd__kernels_select("auto", &chosen, &err) == CTKD_OK)
        printf("; used: %s\n", chosen->name);
    else
        printf("; %s\n", err.message);
}

/* Prints what a bug report needs besides the verdicts. */
static void print_system(void)
{
    char text[256];
    struct utsname system;
    printf("ctkd     %s, oneDNN %s, compiler %s\n", CTKD_VERSION_STRING,
           ctkd__dnnl_version(text, sizeof text), __VERSION__);
    if (uname(&system) == 0)
        printf("system   %s %s %s\n", system.sysname, system.release, system.machine);
    find_cpu(text, sizeof text);
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    struct ctkd__cpus cpus;
    ctkd__cpus_find(&cpus);
    printf("cpu      %s, %ld processors, %zu thread%s by default", text, online, cpus.threads,
           cpus.threads == 1 ? "" : "s");
    if (cpus.quota > 0)
        printf(" (a quota of %.2f CPUs)", cpus.quota);
    printf("\n");
    print_kernels();
    printf("memory   %.1f GB\n",
           1e-9 * (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE));
}

/* Whether there is a part of that name; if not, the message suggests the nearest. */
static ctkd_status check_part(const char *name, ctkd_error *err)
{
    const char *names[16] = { NULL };
    char all[160] = "";
    for (size_t i = 0; ctkd__selftest_parts()[i].name && i + 1 < sizeof names / sizeof *names;
         i++) {
        const size_t used = strlen(all);
        names[i] = ctkd__selftest_parts()[i].name;
        snprintf(all + used, sizeof all - used, "%s%s", i ? ", " : "", names[i]);
        if (strcmp(names[i], name) == 0)
            return CTKD_OK;
    }
    char otherwise[192];
    snprintf(otherwise, sizeof otherwise, "expected one of %s", all);
    return ctkd__unknown("part", name, names, otherwise, err);
}

enum { AGAINST };
static const struct ctkd__flag flags[] = {
    [AGAINST] = { "--against", NULL, "FILE",
                  "with views: compare with the list in FILE and name each file that differs",
                  NULL },
    CTKD__FLAG_END,
};

static int run(const struct ctkd__command *command, int argc, char **argv)
{
    struct ctkd__line line;
    ctkd_error err = { 0 };
    int status;
    if (!ctkd__line_read(command, argc, argv, &line, &status))
        return status;
    const char *const dir = ctkd__line_names(&line) ? ctkd__line_name(&line, 0) : ".";
    const char *const part = ctkd__line_name(&line, 1);
    if (part && strcmp(dir, "views") == 0)
        return ctkd__view_list(part, ctkd__line_value(&line, AGAINST));
    if (ctkd__line_has(&line, AGAINST)) {
        ctkd__fail(&err, CTKD_EINVAL, "--against FILE: expected it with `views IMAGES`");
        return ctkd__cli_misused(command, &err);
    }
    if (!ctkd__is_folder(dir)) {
        ctkd__fail(&err, CTKD_ENOTFOUND, "%s: expected a folder to write into", dir);
        return ctkd__cli_misused(command, &err);
    }
    if (part && check_part(part, &err) != CTKD_OK)
        return ctkd__cli_misused(command, &err);
    signal(SIGPIPE, SIG_IGN); /* it removes its folder even when its reader has gone */
    const double began = ctkd__clock_seconds();
    struct ctkd__selftest test = { .dir = dir, .verdict = print_verdict };
    print_system();
    ctkd__selftest_run(&test, part);
    printf("%zu of %zu failed, %.0f s\n", test.failures, test.verdicts,
           ctkd__clock_seconds() - began);
    return test.failures ? CTKD__EXIT_FAILED : CTKD__EXIT_DONE;
}

const struct ctkd__command ctkd__command_selftest = {
    .name = "selftest",
    .arguments = "[DIR [PART] | views IMAGES]",
    .summary = "prove that this installation computes correctly",
    .details =
        "DIR (the current directory by default) is where you will write runs; the test "
        "works in a folder of its own in it and removes that folder. Each verdict is a "
        "line, ok or FAILED, with the figure; the exit status is 1 when one failed. Please "
        "send this output with a bug report.\n\n"
        "PART is one of these; all run in this order by default:\n"
        "  losses    gradients of every loss and of the temperature, by differences\n"
        "  ops       the same for every layer, instruction set and convolution\n"
        "  networks  every instruction set against the portable kernels\n"
        "  writing   a file and its folder: written, synced, renamed, read back\n"
        "  runs      training that repeats, and resumes with every method, bit for bit\n\n"
        "views IMAGES (a folder, .zip or .tar) prints the name of each image file and a hash "
        "of its views: 200 boxes, resized, and the evaluation view of 224 pixels. With "
        "--against they are compared with such a list instead, for example with one that "
        "tests/golden/image_views.py has written with Pillow. A DIR of the name views is "
        "written as ./views.",
    .flags = flags,
    .names_max = 2,
    .run = run,
};
