/*
 * usage: corpus_NAME FILE...
 * Runs a fuzz target once for each file, without libFuzzer: what seeds and finds it stays
 * a plain test.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static int run(const char *path)
{
    long n = -1;
    uint8_t *bytes = NULL;
    FILE *const file = fopen(path, "rb");
    if (file && fseek(file, 0, SEEK_END) == 0)
        n = ftell(file);
    if (n >= 0 && fseek(file, 0, SEEK_SET) == 0)
        bytes = malloc(n ? (size_t)n : 1); /* no longer than the file, for the sanitizers */
    const int read = bytes && fread(bytes, 1, (size_t)n, file) == (size_t)n;
    if (read)
        LLVMFuzzerTestOneInput(bytes, (size_t)n);
    else
        fprintf(stderr, "%s: cannot be read\n", path);
    free(bytes);
    if (file)
        fclose(file);
    return read;
}

int main(int argc, char **argv)
{
    int count = 0;
    for (int i = 1; i < argc; i++)
        count += run(argv[i]);
    printf("%d of %d files\n", count, argc - 1);
    return argc > 1 && count == argc - 1 ? EXIT_SUCCESS : EXIT_FAILURE;
}
