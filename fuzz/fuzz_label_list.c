#include <string.h>

#include "data/folder/label_lists.h"
#include "memory_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { BLOCK = 512, BYTES_MAX = 1 << 16, FILES = 4 };

/* A file of a .tar at `at`; where the next one begins. */
static size_t add(uint8_t *tar, size_t at, const char *name, const uint8_t *bytes, size_t n)
{
    uint8_t *const header = tar + at;
    unsigned sum = 0;
    memset(header, 0, BLOCK);
    snprintf((char *)header, 100, "%s", name);
    snprintf((char *)header + 124, 12, "%011zo", n);
    memcpy(header + 257, "ustar\00000", 8);
    header[156] = '0';
    memset(header + 148, ' ', 8);
    for (size_t i = 0; i < BLOCK; i++)
        sum += header[i];
    snprintf((char *)header + 148, 8, "%06o", sum);
    for (size_t i = 0; i < n; i++)
        header[BLOCK + i] = bytes[i];
    return at + BLOCK + (n + BLOCK - 1) / BLOCK * BLOCK;
}

/* Whatever lists there are, a label is a class or none. */
static void check(const char *list, const uint8_t *bytes, size_t n, const uint8_t *map,
                  size_t map_bytes)
{
    static uint8_t tar[2 * BYTES_MAX + 32 * BLOCK];
    static const char *const images[FILES] = { "val/1.JPEG", "val/2.JPEG", "val/3.png", "val/x" };
    const struct ctkd__names *classes;
    struct ctkd__tree *tree;
    size_t at = 0, end;
    int32_t labels[FILES];
    bool found;
    ctkd_error err = { .status = CTKD_OK };
    memset(tar, 0, sizeof tar);
    for (size_t i = 0; i < FILES; i++)
        at = add(tar, at, images[i], NULL, 0);
    at = add(tar, at, list, bytes, n);
    at = add(tar, at, "map_clsloc.txt", map, map_bytes);
    if (ctkd__names_of_text("classes", "a\nb c\nn1\n", &classes, NULL) != CTKD_OK ||
        ctkd__tree_open(memory_file(tar, at), NULL, &tree, NULL) != CTKD_OK)
        abort();
    const size_t first = ctkd__tree_below(tree, "val", &end);
    const ctkd_status status =
        ctkd__label_list_read(tree, first, end, classes, labels, &found, &err);
    if (status != err.status || end - first != FILES || !found)
        abort();
    for (size_t i = 0; status == CTKD_OK && i < FILES; i++)
        if (labels[i] < -1 || labels[i] > 2)
            abort();
    ctkd__tree_close(tree);
}

/* The input as each kind of list; up to its first zero as numbers, behind it as what they mean. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    if (n > BYTES_MAX)
        n = BYTES_MAX;
    const uint8_t *const zero = n ? memchr(bytes, 0, n) : NULL;
    const size_t head = zero ? (size_t)(zero - bytes) : n;
    check("LOC_val_solution.csv", bytes, n, NULL, 0);
    check("val_annotations.txt", bytes, n, NULL, 0);
    check("ILSVRC2012_validation_ground_truth.txt", bytes, head, bytes + head, n - head);
    return 0;
}
