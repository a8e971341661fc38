#include "data/folder/label_lists.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/archive.h"
#include "data/folder/mat.h"
#include "data/folder/tree.h"
#include "util/error.h"
#include "util/text.h"

enum { LIST_BYTES_MAX = 1 << 28, LINE_MAX = 8192 };
static const char truth_name[] = "ILSVRC2012_validation_ground_truth.txt";

struct reader {
    const struct ctkd__tree *tree;
    size_t first, end;
    const struct ctkd__names *classes;
    int32_t *labels;
    char place[CTKD__TREE_PLACE_MAX]; /* of the list */
    uint32_t *by_stem;                /* files, sorted by name without folder and ending */
};

/* The first file of that name, in whatever folder; the count where there is none. */
static size_t find_file(const struct ctkd__tree *tree, const char *name)
{
    size_t i = 0;
    while (i < ctkd__tree_count(tree) &&
           strcmp(ctkd__base_name(ctkd__tree_name(tree, i)), name) != 0)
        i++;
    return i;
}

static size_t stem_bytes(const char *base)
{
    const char *const dot = strrchr(base, '.');
    return dot ? (size_t)(dot - base) : strlen(base);
}

static int compare_stems(const char *a, size_t n, const char *b, size_t m)
{
    const int order = memcmp(a, b, n < m ? n : m);
    return order ? order : (n > m) - (n < m);
}

static int by_stem(const void *a, const void *b, void *context)
{
    const struct ctkd__tree *const tree = context;
    const char *const x = ctkd__base_name(ctkd__tree_name(tree, *(const uint32_t *)a));
    const char *const y = ctkd__base_name(ctkd__tree_name(tree, *(const uint32_t *)b));
    return compare_stems(x, stem_bytes(x), y, stem_bytes(y));
}

static ctkd_status sort_files(struct reader *r, ctkd_error *err)
{
    const size_t n = r->end - r->first;
    r->by_stem = malloc((n + 1) * sizeof *r->by_stem);
    if (!r->by_stem)
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", r->place);
    for (size_t i = 0; i < n; i++)
        r->by_stem[i] = (uint32_t)(r->first + i);
    qsort_r(r->by_stem, n, sizeof *r->by_stem, by_stem, (void *)(uintptr_t)r->tree);
    return CTKD_OK;
}

/* A file by its name with or without folder and ending; `end` where there is none. */
static size_t file_of(const struct reader *r, const char *name)
{
    const char *const base = ctkd__base_name(name);
    size_t n = strlen(base), low = 0, high = r->end - r->first;
    for (int ending = 0; ending < 2; ending++, low = 0, high = r->end - r->first) {
        while (low < high) {
            const size_t middle = low + (high - low) / 2;
            const char *const other = ctkd__base_name(ctkd__tree_name(r->tree, r->by_stem[middle]));
            const int order = compare_stems(base, n, other, stem_bytes(other));
            if (order == 0)
                return r->by_stem[middle];
            if (order < 0)
                high = middle;
            else
                low = middle + 1;
        }
        n = stem_bytes(base);
    }
    return r->end;
}

/* --- lists of files with their classes */

/* Cuts a line into its file and class. */
static bool split_line(char *line, char **file, char **class)
{
    const char separator = strchr(line, '\t') ? '\t' : strchr(line, ',') ? ',' : ' ';
    char *const cut = strchr(line, separator);
    if (!cut)
        return false;
    *cut = '\0';
    *file = line;
    *class = cut + 1 + strspn(cut + 1, " ");
    (*class)[strcspn(*class, separator == ' ' ? " \t" : "\t,")] = '\0';
    return **file && **class;
}

static ctkd_status take_line(struct reader *r, size_t number, char *line, ctkd_error *err)
{
    char *file = NULL, *class = NULL;
    if (!line[0] || line[0] == '#' || strncmp(line, "ImageId,", 8) == 0)
        return CTKD_OK;
    if (!split_line(line, &file, &class))
        return ctkd__fail(err, CTKD_EFORMAT, "%s: line %zu: found '%.60s', expected FILE CLASS",
                          r->place, number, line);
    const size_t at = file_of(r, file);
    if (at == r->end)
        return CTKD_OK; /* it belongs to another part, or was removed */
    size_t label = ctkd__names_find(r->classes, class);
    if (label == r->classes->count) { /* in Kaggle's lists boxes follow after a blank */
        class[strcspn(class, " ")] = '\0';
        label = ctkd__names_find(r->classes, class);
    }
    if (label == r->classes->count)
        return ctkd__fail(err, CTKD_EFORMAT,
                          "%s: line %zu: found class '%.60s', expected one of the %zu classes of "
                          "the training images (%.40s, ...)",
                          r->place, number, class, r->classes->count, r->classes->items[0]);
    r->labels[at - r->first] = (int32_t)label;
    return CTKD_OK;
}

static ctkd_status take_lines(struct reader *r, char *text, ctkd_error *err)
{
    ctkd_status status = sort_files(r, err);
    for (size_t number = 1; *text && status == CTKD_OK; number++) {
        const size_t n = strcspn(text, "\n");
        char *const next = text + n + (text[n] == '\n');
        text[n] = '\0';
        if (n && text[n - 1] == '\r')
            text[n - 1] = '\0';
        status = take_line(r, number, text, err);
        text = next;
    }
    free(r->by_stem);
    r->by_stem = NULL;
    return status;
}

static ctkd_status read_list(struct reader *r, size_t file, ctkd_error *err)
{
    struct ctkd__tree_bytes bytes;
    ctkd__tree_place(r->tree, file, r->place, sizeof r->place);
    ctkd_status status = ctkd__tree_read(r->tree, file, LIST_BYTES_MAX, &bytes, err);
    if (status == CTKD_OK)
        status = take_lines(r, (char *)bytes.bytes, err);
    ctkd__tree_bytes_free(&bytes);
    return status;
}

/* --- numbers of the development kit */

struct numbers {
    char *truth; /* the text */
    struct ctkd__synset *synsets;
    size_t n_synsets;
    struct ctkd__member members[2]; /* of the kit's archive */
};

/* Lines "n02119789 1 kit_fox". */
static ctkd_status read_map(const char *place, const char *text, struct numbers *numbers,
                            ctkd_error *err)
{
    size_t lines = 1;
    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    numbers->synsets = calloc(lines, sizeof *numbers->synsets);
    if (!numbers->synsets)
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", place);
    while (*text) {
        struct ctkd__synset *const synset = &numbers->synsets[numbers->n_synsets];
        if (sscanf(text, "%15s %u", synset->name, &synset->number) != 2)
            return ctkd__fail(err, CTKD_EFORMAT,
                              "%s: line %zu: found '%.40s', expected WNID NUMBER NAME", place,
                              numbers->n_synsets + 1, text);
        numbers->n_synsets++;
        text += strcspn(text, "\n");
        text += strspn(text, "\r\n");
    }
    return CTKD_OK;
}

static ctkd_status read_text(const struct ctkd__tree *tree, size_t file, char **out,
                             ctkd_error *err)
{
    struct ctkd__tree_bytes bytes;
    const ctkd_status status = ctkd__tree_read(tree, file, LIST_BYTES_MAX, &bytes, err);
    *out = (char *)bytes.bytes;
    return status;
}

/* Finds the meaning of the numbers in files of the tree. */
static ctkd_status find_map(const struct reader *r, struct numbers *numbers, ctkd_error *err)
{
    const size_t count = ctkd__tree_count(r->tree), map = find_file(r->tree, "map_clsloc.txt"),
                 mat = find_file(r->tree, "meta.mat");
    char place[CTKD__TREE_PLACE_MAX], *text = NULL;
    if (map == count && mat == count)
        return ctkd__fail(
            err, CTKD_EFORMAT,
            "%s: its numbers are not the ranks of the classes; expected meta.mat or "
            "map_clsloc.txt of the development kit in the same folder, which says what they mean",
            r->place);
    ctkd__tree_place(r->tree, map < count ? map : mat, place, sizeof place);
    if (map < count) {
        ctkd_status status = read_text(r->tree, map, &text, err);
        if (status == CTKD_OK)
            status = read_map(place, text, numbers, err);
        free(text);
        return status;
    }
    struct ctkd__tree_bytes bytes;
    ctkd_status status = ctkd__tree_read(r->tree, mat, LIST_BYTES_MAX, &bytes, err);
    if (status == CTKD_OK)
        status = ctkd__mat_synsets(place, bytes.bytes, bytes.size, &numbers->synsets,
                                   &numbers->n_synsets, err);
    ctkd__tree_bytes_free(&bytes);
    return status;
}

/* Reads numbers and their meaning from the kit as it is published. */
static ctkd_status read_kit(struct reader *r, size_t file, struct numbers *numbers, ctkd_error *err)
{
    static const char *const no_places[] = { NULL };
    char place[CTKD__TREE_PLACE_MAX];
    ctkd__tree_place(r->tree, file, place, sizeof place);
    if (!ctkd__tree_is_on_disk(r->tree, file))
        return ctkd__fail(err, CTKD_EUNSUPPORTED,
                          "%s: an archive within an archive is not read; expected its files (%s, "
                          "meta.mat) beside the images",
                          place, truth_name);
    numbers->members[0] = (struct ctkd__member){ .name = truth_name, .limit = LIST_BYTES_MAX };
    numbers->members[1] = (struct ctkd__member){ .name = "meta.mat", .limit = LIST_BYTES_MAX };
    ctkd_status status = ctkd__archive_read(place, no_places, numbers->members, 2, err);
    if (status != CTKD_OK)
        return status;
    snprintf(r->place, sizeof r->place, "%s", numbers->members[0].place);
    numbers->truth = strndup((const char *)numbers->members[0].bytes, numbers->members[0].size);
    status = numbers->truth ? ctkd__mat_synsets(numbers->members[1].place,
                                                numbers->members[1].bytes, numbers->members[1].size,
                                                &numbers->synsets, &numbers->n_synsets, err)
                            : ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", place);
    ctkd__members_free(numbers->members, 2);
    return status;
}

/* The class that a number means; the number of classes if it means none. */
static size_t class_of(const struct reader *r, const struct numbers *numbers, unsigned long number)
{
    for (size_t i = 0; i < numbers->n_synsets; i++)
        if (numbers->synsets[i].number == number)
            return ctkd__names_find(r->classes, numbers->synsets[i].name);
    return r->classes->count;
}

/* One number a line, for the images in the order of their names. */
static ctkd_status take_numbers(struct reader *r, const struct numbers *numbers, ctkd_error *err)
{
    const char *text = numbers->truth;
    size_t at = r->first;
    for (;; at++) {
        char *end;
        const unsigned long number = strtoul(text, &end, 10);
        if (end == text)
            break;
        if (at == r->end)
            return ctkd__fail(err, CTKD_EFORMAT, "%s: found more numbers than the %zu images",
                              r->place, r->end - r->first);
        const size_t label = class_of(r, numbers, number);
        if (label == r->classes->count)
            return ctkd__fail(err, CTKD_EFORMAT,
                              "%s: line %zu: found number %lu, expected that of one of the %zu "
                              "classes of the training images",
                              r->place, at - r->first + 1, number, r->classes->count);
        r->labels[at - r->first] = (int32_t)label;
        text = end;
    }
    if (text[strspn(text, " \r\n")])
        return ctkd__fail(err, CTKD_EFORMAT, "%s: line %zu: found '%.20s', expected a number",
                          r->place, at - r->first + 1, text + strspn(text, " \r\n"));
    if (at != r->end)
        return ctkd__fail(err, CTKD_EFORMAT,
                          "%s: found %zu numbers, expected %zu, one for each image", r->place,
                          at - r->first, r->end - r->first);
    return CTKD_OK;
}

static ctkd_status read_numbers(struct reader *r, size_t truth, size_t kit, ctkd_error *err)
{
    struct numbers numbers = { 0 };
    ctkd_status status;
    if (truth < ctkd__tree_count(r->tree)) {
        ctkd__tree_place(r->tree, truth, r->place, sizeof r->place);
        status = read_text(r->tree, truth, &numbers.truth, err);
        if (status == CTKD_OK)
            status = find_map(r, &numbers, err);
    } else {
        status = read_kit(r, kit, &numbers, err);
    }
    if (status == CTKD_OK)
        status = take_numbers(r, &numbers, err);
    free(numbers.truth);
    free(numbers.synsets);
    return status;
}

ctkd_status ctkd__label_list_read(const struct ctkd__tree *tree, size_t first, size_t end,
                                  const struct ctkd__names *classes, int32_t *labels, bool *found,
                                  ctkd_error *err)
{
    static const char *const lists[] = { "LOC_val_solution.csv", "val_annotations.txt",
                                         "val_labels.txt", "val.txt" };
    const size_t count = ctkd__tree_count(tree);
    size_t list = count;
    *found = false;
    struct reader *const r = calloc(1, sizeof *r);
    if (!r)
        return ctkd__fail(err, CTKD_ENOMEM, "out of memory for labels");
    *r = (struct reader){
        .tree = tree, .first = first, .end = end, .classes = classes, .labels = labels
    };
    for (size_t i = 0; i < sizeof lists / sizeof *lists && list == count; i++)
        list = find_file(tree, lists[i]);
    const size_t truth = list < count ? count : find_file(tree, truth_name);
    const size_t kit =
        list < count || truth < count ? count : find_file(tree, "ILSVRC2012_devkit_t12.tar.gz");
    *found = list < count || truth < count || kit < count;
    for (size_t i = 0; *found && i < end - first; i++)
        labels[i] = -1;
    ctkd_status status = CTKD_OK;
    if (list < count)
        status = read_list(r, list, err);
    else if (*found)
        status = read_numbers(r, truth, kit, err);
    free(r);
    return status;
}
