/*
 * The time and peak memory of reading a file of weights, each file in a process of its own. Reading
 * is what `ctkd` does with a teacher's file until it has named float tensors.
 *     bench_load FILE...
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/median.h"
#include "weights/weights_file.h"

enum { ROUNDS = 7 };

static double peak_bytes(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss * 1024;
}

static int run(const char *path)
{
    struct stat info;
    struct ctkd__weights_file file;
    ctkd_error err = { .status = CTKD_OK };
    double times[ROUNDS], memory = 0;
    if (stat(path, &info) != 0) {
        perror(path);
        return 1;
    }
    const double before = peak_bytes(), size = (double)info.st_size;
    for (int i = 0; i < ROUNDS; i++) {
        const double begin = ctkd__clock_seconds();
        if (ctkd__weights_file_read(path, &file, &err) != CTKD_OK) {
            fprintf(stderr, "%s\n", err.message);
            return 1;
        }
        times[i] = 1e3 * (ctkd__clock_seconds() - begin);
        if (i == 0)
            memory = peak_bytes() - before;
        ctkd__weights_file_fini(&file);
    }
    const double median = ctkd__sort_median(ROUNDS, times);
    printf("%-40s %8.1f MB  %8.1f ms (least %.1f)  memory %.2f of its size\n", path, size * 1e-6,
           median, times[0], memory / size);
    return 0;
}

int main(int argc, char **argv)
{
    int failed = argc < 2;
    if (failed)
        fprintf(stderr, "usage: bench_load FILE...\n");
    for (int i = 1; i < argc; i++) {
        int status = 1;
        const pid_t child = fork();
        if (child == 0)
            exit(run(argv[i]));
        failed |= child < 0 || waitpid(child, &status, 0) != child || status != 0;
    }
    return failed;
}
