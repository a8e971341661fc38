#include "data/folder/layout.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "data/folder/label_lists.h"
#include "data/folder/tree_build.h"
#include "util/error.h"
#include "util/sha256.h"
#include "util/text.h"

enum { NAME_BYTES = 2 * CTKD__TREE_NAME_MAX, LIST_BYTES = 256 };

struct finder {
    const struct ctkd__tree *tree;
    const struct ctkd__layout_options *options;
    struct ctkd__layout *out;
    char base[NAME_BYTES];                    /* of the layout, in the tree; "": the tree */
    char train[NAME_BYTES], test[NAME_BYTES]; /* folders of the parts; test "": held out */
    char **folders, **test_folders;           /* of classes; NULL-terminated, in byte order */
    int32_t *test_labels;                     /* of a list, [files below test]; NULL: by folders */
    bool *excluded;                           /* [files of the tree]; NULL: none */
};

static ctkd_status no_memory(const struct finder *f, ctkd_error *err)
{
    return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory for a list of %zu files",
                      ctkd__tree_path(f->tree), ctkd__tree_count(f->tree));
}

/* "PATH/train", or PATH alone. */
static const char *place_of(const struct finder *f, const char *folder, char *out, size_t bytes)
{
    snprintf(out, bytes, "%.1000s%s%.1000s", ctkd__tree_path(f->tree), folder[0] ? "/" : "",
             folder);
    return out;
}

/* "folder/name"; both lie in the tree, or the result is the name of nothing in it. */
static void join(char out[NAME_BYTES], const char *folder, const char *name)
{
    const size_t n = strnlen(folder, NAME_BYTES / 2), at = n ? n + 1 : 0;
    const size_t m = strnlen(name, NAME_BYTES - 1 - at);
    memmove(out, folder, n);
    if (n)
        out[n] = '/';
    memcpy(out + at, name, m);
    out[at + m] = '\0';
}

/* --- formats by the endings of names */

static const struct ending {
    const char *ending, *format; /* format NULL: read */
} endings[] = {
    { "jpg", NULL },      { "jpeg", NULL },   { "jpe", NULL },    { "jfif", NULL },
    { "png", NULL },      { "ppm", NULL },    { "pgm", NULL },    { "pnm", NULL },
    { "webp", NULL },     { "gif", "GIF" },   { "bmp", "BMP" },   { "tif", "TIFF" },
    { "tiff", "TIFF" },   { "heic", "HEIF" }, { "avif", "AVIF" }, { "jp2", "JPEG 2000" },
    { "jxl", "JPEG XL" },
};
static const struct ending *ending_of(const char *name)
{
    const char *const dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; i++)
        if (strcasecmp(dot + 1, endings[i].ending) == 0)
            return &endings[i];
    return NULL;
}

bool ctkd__is_image_name(const char *name)
{
    return ending_of(name) != NULL;
}

static ctkd_status leave_out(struct finder *f, size_t file, const char *why, ctkd_error *err)
{
    return ctkd__left_out_add(&f->out->left_out, file, why) ? CTKD_OK : no_memory(f, err);
}

/* --- folders */

static void free_names(char **names)
{
    for (size_t i = 0; names && names[i]; i++)
        free(names[i]);
    free(names);
}

static size_t count_names(char *const *names)
{
    size_t n = 0;
    while (names && names[n])
        n++;
    return n;
}

/* Adds `n` bytes of a name unless it is the last one. */
static bool add_child(char ***names, size_t *count, const char *name, size_t n)
{
    if (*count && strncmp((*names)[*count - 1], name, n) == 0 && !(*names)[*count - 1][n])
        return true;
    char **const more = realloc(*names, (*count + 2) * sizeof **names);
    if (!more)
        return false;
    *names = more;
    more[*count] = strndup(name, n);
    more[*count + 1] = NULL;
    return more[(*count)++] != NULL;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The folders inside a folder, in byte order, including those without files; NULL: out of
   memory. */
static char **children_of(const struct ctkd__tree *tree, const char *folder)
{
    const size_t length = strlen(folder) + (folder[0] != '\0');
    char path[NAME_BYTES], **names = calloc(1, sizeof *names);
    size_t end, next, count = 0, kept = 0;
    bool complete = names != NULL;
    for (size_t i = ctkd__tree_below(tree, folder, &end); complete && i < end; i = next) {
        const char *const name = ctkd__tree_name(tree, i) + length;
        const size_t n = strcspn(name, "/");
        next = i + 1;
        if (!name[n])
            continue;
        complete = add_child(&names, &count, name, n);
        snprintf(path, sizeof path, "%.*s", (int)(length + n), ctkd__tree_name(tree, i));
        ctkd__tree_below(tree, path, &next);
    }
    for (size_t i = 0; complete && i < ctkd__tree_folders(tree); i++) {
        const char *const name = ctkd__tree_folder(tree, i);
        if (strncmp(name, folder, length ? length - 1 : 0) == 0 &&
            (length == 0 || name[length - 1] == '/') && !strchr(name + length, '/'))
            complete = add_child(&names, &count, name + length, strlen(name + length));
    }
    if (!complete) {
        free_names(names);
        return NULL;
    }
    if (count > 1)
        qsort(names, count, sizeof *names, by_name);
    for (size_t i = 0; i < count; i++) { /* the same folder may come from files and folders */
        if (kept && strcmp(names[kept - 1], names[i]) == 0)
            free(names[i]);
        else
            names[kept++] = names[i];
    }
    names[kept] = NULL;
    return names;
}

static const char *const train_names[] = { "train", "training", NULL };
static const char *const test_names[] = { "val", "valid", "validation", "test", "testing", NULL };

/* The first of `wanted` among the folders, in any case of letters. */
static const char *find_part(char *const *folders, const char *const *wanted)
{
    for (size_t w = 0; wanted[w]; w++)
        for (size_t i = 0; folders[i]; i++)
            if (strcasecmp(folders[i], wanted[w]) == 0)
                return folders[i];
    return NULL;
}

/* Goes down one folder: Kaggle's ImageNet has its parts deep below files that describe them. */
static bool go_inside(struct finder *f)
{
    static const char *const places[] = { "ILSVRC/Data/CLS-LOC", "Data/CLS-LOC" };
    char inside[NAME_BYTES], train[NAME_BYTES];
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        size_t end;
        join(inside, f->base, places[i]);
        join(train, inside, train_names[0]);
        if (ctkd__tree_below(f->tree, train, &end) < end) {
            memcpy(f->base, inside, sizeof f->base);
            return true;
        }
    }
    return false;
}

/* The parts' folders; goes down through folders that hold nothing but the next one. */
static ctkd_status find_parts(struct finder *f, ctkd_error *err)
{
    char place[2100];
    for (;;) {
        char **const folders = children_of(f->tree, f->base);
        if (!folders)
            return no_memory(f, err);
        const char *const train = find_part(folders, train_names);
        const char *const test = find_part(folders, test_names);
        const bool around = folders[0] && !folders[1] && !train && !test;
        if (!train && go_inside(f)) {
            free_names(folders);
            continue;
        }
        if (train)
            join(f->train, f->base, train);
        else
            memcpy(f->train, f->base, sizeof f->train);
        if (test)
            join(f->test, f->base, test);
        if (around)
            join(f->base, f->train, folders[0]);
        ctkd_status status = CTKD_OK;
        if (test && !train)
            status = ctkd__fail(err, CTKD_EFORMAT,
                                "%s: found %s/ and no train/, expected both, or classes directly "
                                "in the folder",
                                place_of(f, f->base, place, sizeof place), test);
        free_names(folders);
        if (!around || status != CTKD_OK)
            return status;
    }
}

/* --- classes */

/* Numbers in names by their value, all else by bytes; equal numbers by their zeros. */
static int natural_compare(const char *a, const char *b)
{
    const char *const whole_a = a, *const whole_b = b;
    while (*a && *b) {
        if (*a >= '0' && *a <= '9' && *b >= '0' && *b <= '9') {
            a += strspn(a, "0");
            b += strspn(b, "0");
            const size_t n = strspn(a, "0123456789"), m = strspn(b, "0123456789");
            const int order = n == m ? strncmp(a, b, n) : n < m ? -1 : 1;
            if (order)
                return order;
            a += n;
            b += m;
        } else if (*a != *b) {
            return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
        } else {
            a++, b++;
        }
    }
    return *a ? 1 : *b ? -1 : strcmp(whole_a, whole_b);
}

static int by_nature(const void *a, const void *b)
{
    return natural_compare(*(char *const *)a, *(char *const *)b);
}

static ctkd_status names_of_folders(const struct finder *f, const struct ctkd__names **out,
                                    ctkd_error *err)
{
    char place[2100];
    size_t bytes = 1;
    const size_t count = count_names(f->folders);
    if (f->options->class_order == CTKD__CLASS_ORDER_NATURAL)
        qsort(f->folders, count, sizeof *f->folders, by_nature);
    for (size_t i = 0; i < count; i++) {
        if (!ctkd__text_is_line(f->folders[i]))
            return ctkd__fail(err, CTKD_EFORMAT,
                              "%s: found a class with the name '%.200s', expected a line of UTF-8 "
                              "text",
                              place_of(f, f->train, place, sizeof place), f->folders[i]);
        bytes += strlen(f->folders[i]) + 1;
    }
    char *const text = malloc(bytes);
    if (!text)
        return no_memory(f, err);
    size_t used = 0;
    for (size_t i = 0; i < count; i++)
        used += (size_t)sprintf(text + used, "%s\n", f->folders[i]);
    text[used] = '\0';
    const ctkd_status status =
        ctkd__names_of_text(place_of(f, f->train, place, sizeof place), text, out, err);
    free(text);
    return status;
}

/* Some of many names as text: "a, b, c, d, e and 7 more". */
struct name_list {
    size_t count, used;
    char text[LIST_BYTES];
};

enum { NAMED = 5 };

static void list_add(struct name_list *list, const char *name)
{
    if (list->count++ < NAMED)
        list->used += (size_t)snprintf(list->text + list->used, LIST_BYTES - list->used, "%s%.40s",
                                       list->used ? ", " : "", name);
}

static void list_end(struct name_list *list)
{
    if (list->count > NAMED)
        snprintf(list->text + list->used, LIST_BYTES - list->used, " and %zu more",
                 list->count - NAMED);
}

/* Lists the folders that are not classes. */
static struct name_list list_unknown(const struct ctkd__names *classes, char *const *folders)
{
    struct name_list list = { 0 };
    for (size_t i = 0; folders[i]; i++)
        if (ctkd__names_find(classes, folders[i]) == classes->count)
            list_add(&list, folders[i]);
    list_end(&list);
    return list;
}

/* Lists the classes without a folder. */
static struct name_list list_missing(const struct ctkd__names *classes, char *const *folders)
{
    struct name_list list = { 0 };
    for (size_t i = 0; i < classes->count; i++) {
        size_t j = 0;
        while (folders[j] && strcmp(folders[j], classes->items[i]) != 0)
            j++;
        if (!folders[j])
            list_add(&list, classes->items[i]);
    }
    list_end(&list);
    return list;
}

static ctkd_status check_folders(const struct finder *f, const char *part, char *const *folders,
                                 ctkd_error *err)
{
    const struct ctkd__names *const classes = f->out->classes;
    char place[2100];
    const char *const file = f->options->class_file;
    const char *const whence = file && file[0] ? file : "the training images";
    place_of(f, part, place, sizeof place);
    const struct name_list unknown = list_unknown(classes, folders);
    const size_t n = unknown.count;
    if (n)
        return ctkd__fail(
            err, CTKD_EFORMAT,
            "%s: found %zu folder%s that %s no class of %.200s (%s), expected the same "
            "classes",
            place, n, n == 1 ? "" : "s", n == 1 ? "is" : "are", whence, unknown.text);
    const struct name_list missing = list_missing(classes, folders);
    if (missing.count == 0 || f->options->allow_empty)
        return CTKD_OK;
    return ctkd__fail(err, CTKD_EFORMAT,
                      "%s: found no folder for %zu of %zu classes (%s), expected images of each "
                      "(data.allow_empty=true allows classes without)",
                      place, missing.count, classes->count, missing.text);
}

static ctkd_status no_classes(const struct finder *f, const char *part, ctkd_error *err)
{
    char place[2100];
    size_t end;
    const size_t first = ctkd__tree_below(f->tree, part, &end);
    return ctkd__fail(err, CTKD_ENOTFOUND,
                      "%s: found %zu file%s and no folders of classes, expected "
                      "train/CLASS/IMAGE and val/CLASS/IMAGE, or CLASS/IMAGE, or for val a list of "
                      "labels (val_annotations.txt, LOC_val_solution.csv, val.txt)",
                      place_of(f, part, place, sizeof place), end - first,
                      end - first == 1 ? "" : "s");
}

static bool has_class(const struct finder *f, char *const *folders)
{
    for (size_t i = 0; folders[i]; i++)
        if (ctkd__names_find(f->out->classes, folders[i]) < f->out->classes->count)
            return true;
    return false;
}

/* Test images are in folders of their classes, or a list says their labels. */
static ctkd_status find_test_labels(struct finder *f, ctkd_error *err)
{
    size_t end;
    bool found;
    if (has_class(f, f->test_folders))
        return check_folders(f, f->test, f->test_folders, err);
    const size_t first = ctkd__tree_below(f->tree, f->test, &end);
    f->test_labels = malloc((end - first + 1) * sizeof *f->test_labels);
    if (!f->test_labels)
        return no_memory(f, err);
    const ctkd_status status =
        ctkd__label_list_read(f->tree, first, end, f->out->classes, f->test_labels, &found, err);
    if (status != CTKD_OK || found)
        return status;
    return f->test_folders[0] ? check_folders(f, f->test, f->test_folders, err)
                              : no_classes(f, f->test, err);
}

static ctkd_status find_classes(struct finder *f, ctkd_error *err)
{
    const char *const file = f->options->class_file;
    f->folders = children_of(f->tree, f->train);
    if (f->test[0])
        f->test_folders = children_of(f->tree, f->test);
    if (!f->folders || (f->test[0] && !f->test_folders))
        return no_memory(f, err);
    if (!f->folders[0])
        return no_classes(f, f->train, err);
    ctkd_status status = file && file[0] ? ctkd__names_of_file(file, &f->out->classes, err)
                                         : names_of_folders(f, &f->out->classes, err);
    if (status != CTKD_OK)
        return status;
    status = check_folders(f, f->train, f->folders, err);
    return status == CTKD_OK && f->test[0] ? find_test_labels(f, err) : status;
}

/* Adds a folder to a list of them, which ends in "..." where its room does. */
static void list_folder(char *list, size_t bytes, const char *folder)
{
    static const char more[] = "...";
    const size_t used = strlen(list), dots = sizeof more - 1;
    const char *const between = used ? ", " : "";
    if (used >= dots && strcmp(list + used - dots, more) == 0)
        return;
    const bool fits = used + strlen(between) + strlen(folder) + sizeof "/, ..." <= bytes;
    snprintf(list + used, bytes - used, "%s%s%s", between, fits ? folder : more, fits ? "/" : "");
}

/* Says which folders of classes beside the training images are not used. The test images of
   published data sets are in no classes, for their labels are secret. */
static ctkd_status find_unused(struct finder *f, ctkd_error *err)
{
    char **const folders = children_of(f->tree, f->base);
    ctkd_status status = folders ? CTKD_OK : no_memory(f, err);
    for (size_t i = 0; folders && folders[i] && status == CTKD_OK; i++) {
        char path[NAME_BYTES];
        join(path, f->base, folders[i]);
        if (strcmp(path, f->train) == 0 || strcmp(path, f->test) == 0)
            continue;
        char **const inside = children_of(f->tree, path);
        if (!inside)
            status = no_memory(f, err);
        else if (has_class(f, inside))
            list_folder(f->out->unused, sizeof f->out->unused, folders[i]);
        free_names(inside);
    }
    free_names(folders);
    return status;
}

/* --- files */

static ctkd_status read_exclusions(struct finder *f, ctkd_error *err)
{
    const char *const file = f->options->exclude;
    const struct ctkd__names *names;
    struct stat info;
    if (!file || !file[0] || (stat(file, &info) == 0 && S_ISREG(info.st_mode) && !info.st_size))
        return CTKD_OK; /* an empty list is one: `ctkd doctor` found nothing */
    ctkd_status status = ctkd__names_of_file(file, &names, err);
    if (status != CTKD_OK)
        return ctkd__fail_within(err, status, "data.exclude");
    f->excluded = calloc(ctkd__tree_count(f->tree) + 1, sizeof *f->excluded);
    if (!f->excluded)
        return no_memory(f, err);
    for (size_t i = 0; i < names->count && status == CTKD_OK; i++) {
        char name[NAME_BYTES];
        join(name, f->base, names->items[i]);
        const size_t at = ctkd__tree_find(f->tree, name);
        if (at == ctkd__tree_count(f->tree))
            status = ctkd__fail(err, CTKD_EFORMAT,
                                "data.exclude: %s: found '%.200s', expected the name of a file in "
                                "%s",
                                file, names->items[i], ctkd__tree_path(f->tree));
        else
            f->excluded[at] = true;
    }
    f->out->excluded = names->count;
    return status;
}

static ctkd_status part_alloc(const struct finder *f, size_t count, struct ctkd__layout_part *part,
                              ctkd_error *err)
{
    part->files = malloc((count + 1) * sizeof *part->files);
    part->labels = malloc((count + 1) * sizeof *part->labels);
    return part->files && part->labels ? CTKD_OK : no_memory(f, err);
}

static void part_add(struct ctkd__layout_part *part, size_t file, size_t label)
{
    part->files[part->count] = (uint32_t)file;
    part->labels[part->count++] = (int32_t)label;
}

/* Whether a file is an image of the layout; if it only might be one, it is left out. */
static ctkd_status take_file(struct finder *f, size_t file, bool *taken, ctkd_error *err)
{
    const char *const name = ctkd__tree_name(f->tree, file);
    const struct ending *const ending = ending_of(name);
    *taken = false;
    if (f->excluded && f->excluded[file])
        return CTKD_OK;
    *taken = ending && !ending->format;
    if (ending)
        return *taken ? CTKD_OK : leave_out(f, file, ending->format, err);
    return strchr(ctkd__base_name(name), '.') ? CTKD_OK : leave_out(f, file, ctkd__no_ending, err);
}

/* Images beside the folders of a part's classes. */
static ctkd_status leave_out_loose(struct finder *f, const char *folder, ctkd_error *err)
{
    const size_t length = strlen(folder) + (folder[0] != '\0');
    char path[NAME_BYTES];
    size_t end, next;
    ctkd_status status = CTKD_OK;
    for (size_t i = ctkd__tree_below(f->tree, folder, &end); status == CTKD_OK && i < end;
         i = next) {
        const char *const name = ctkd__tree_name(f->tree, i);
        const size_t n = length + strcspn(name + length, "/");
        next = i + 1;
        if (name[n]) { /* on to the end of this folder */
            snprintf(path, sizeof path, "%.*s", (int)n, name);
            ctkd__tree_below(f->tree, path, &next);
        } else if (ending_of(name) && !(f->excluded && f->excluded[i])) {
            status = leave_out(f, i, ctkd__no_class, err);
        }
    }
    return status;
}

static ctkd_status collect_class(struct finder *f, const char *folder, size_t label,
                                 struct ctkd__layout_part *part, ctkd_error *err)
{
    char path[NAME_BYTES], place[2100], other[192] = "";
    size_t end;
    const size_t images = part->count, others = f->out->left_out.count;
    ctkd_status status = CTKD_OK;
    join(path, folder, f->out->classes->items[label]);
    for (size_t i = ctkd__tree_below(f->tree, path, &end); status == CTKD_OK && i < end; i++) {
        bool taken;
        status = take_file(f, i, &taken, err);
        if (taken)
            part_add(part, i, label);
    }
    if (status != CTKD_OK || part->count > images || f->options->allow_empty)
        return status;
    if (f->out->left_out.count > others) {
        const struct ctkd__left_out *const first = &f->out->left_out.items[others];
        snprintf(other, sizeof other, " (%.100s is not read: %s)",
                 ctkd__base_name(ctkd__tree_name(f->tree, first->file)), first->why);
    }
    return ctkd__fail(err, CTKD_EFORMAT,
                      "%s: found no JPEG, PNG, WebP or PPM image%s, expected at least one of each "
                      "class (data.allow_empty=true allows classes without)",
                      place_of(f, path, place, sizeof place), other);
}

static ctkd_status collect(struct finder *f, const char *folder, struct ctkd__layout_part *part,
                           ctkd_error *err)
{
    size_t end;
    const size_t first = ctkd__tree_below(f->tree, folder, &end);
    ctkd_status status = part_alloc(f, end - first, part, err);
    for (size_t k = 0; k < f->out->classes->count && status == CTKD_OK; k++)
        status = collect_class(f, folder, k, part, err);
    return status == CTKD_OK ? leave_out_loose(f, folder, err) : status;
}

/* Test images whose labels a list says, in the order of these. */
static ctkd_status collect_listed(struct finder *f, struct ctkd__layout_part *part, ctkd_error *err)
{
    const size_t classes = f->out->classes->count;
    char place[CTKD__TREE_PLACE_MAX];
    size_t end;
    const size_t first = ctkd__tree_below(f->tree, f->test, &end);
    size_t *const next = calloc(classes + 1, sizeof *next);
    ctkd_status status = next ? part_alloc(f, end - first, part, err) : no_memory(f, err);
    for (size_t i = first; i < end && status == CTKD_OK; i++) {
        bool taken;
        status = take_file(f, i, &taken, err);
        if (!taken) {
            f->test_labels[i - first] = -2; /* no image */
        } else if (f->test_labels[i - first] < 0) {
            ctkd__tree_place(f->tree, i, place, sizeof place);
            status = ctkd__fail(err, CTKD_EFORMAT,
                                "%s: found no label for it in the list, expected one for each "
                                "image",
                                place);
        } else {
            next[f->test_labels[i - first] + 1]++;
            part->count++;
        }
    }
    for (size_t k = 0; k < classes && status == CTKD_OK; k++) {
        if (next[k + 1] == 0 && !f->options->allow_empty)
            status = ctkd__fail(err, CTKD_EFORMAT,
                                "%.400s: the list has no image of class %.100s, expected images of "
                                "each (data.allow_empty=true allows classes without)",
                                f->test, f->out->classes->items[k]);
        next[k + 1] += next[k];
    }
    for (size_t i = first; i < end && status == CTKD_OK; i++) {
        const int32_t label = f->test_labels[i - first];
        if (label < 0)
            continue;
        part->files[next[label]] = (uint32_t)i;
        part->labels[next[label]++] = label;
    }
    free(next);
    return status;
}

/* A file's name within its part. */
static const char *name_in_part(const struct finder *f, const char *folder, uint32_t file)
{
    return ctkd__tree_name(f->tree, file) + strlen(folder) + (folder[0] != '\0');
}

static void digest_names(const struct finder *f, const char *folder, struct ctkd__layout_part *part)
{
    struct sha256_ctx context;
    sha256_init(&context);
    for (size_t i = 0; i < part->count; i++) {
        const char *const name = name_in_part(f, folder, part->files[i]);
        sha256_update(&context, strlen(name) + 1, (const uint8_t *)name);
    }
    ctkd__sha256_text(&context, part->sha256);
}

/* --- the share that is held out */

struct candidate {
    uint8_t hash[8];
    size_t at; /* in the part */
};

static int by_hash(const void *a, const void *b)
{
    const struct candidate *const x = a, *const y = b;
    const int order = memcmp(x->hash, y->hash, sizeof x->hash);
    return order ? order : (x->at > y->at) - (x->at < y->at);
}

/* Marks the images of one class that become test images: those of the lowest hashes. */
static ctkd_status choose_class(const struct finder *f, const struct ctkd__layout_part *all,
                                size_t first, size_t count, struct candidate *candidates,
                                bool *chosen, ctkd_error *err)
{
    char place[2100], folder[NAME_BYTES];
    join(folder, f->train, f->out->classes->items[all->labels[first]]);
    if (count < 2 && f->options->allow_empty)
        return CTKD_OK; /* a single image stays a training image */
    if (count < 2)
        return ctkd__fail(err, CTKD_EFORMAT,
                          "%s: found 1 image, expected at least 2 of each class: one is held out "
                          "as a test image",
                          place_of(f, folder, place, sizeof place));
    for (size_t i = 0; i < count; i++) {
        const char *const name = name_in_part(f, f->train, all->files[first + i]);
        struct sha256_ctx context;
        sha256_init(&context);
        sha256_update(&context, strlen(name), (const uint8_t *)name);
        sha256_digest(&context, sizeof candidates[i].hash, candidates[i].hash);
        candidates[i].at = first + i;
    }
    qsort(candidates, count, sizeof *candidates, by_hash);
    const double share = nearbyint(f->options->holdout * (double)count);
    const size_t wanted = share < 1 ? 1 : share > (double)(count - 1) ? count - 1 : (size_t)share;
    for (size_t i = 0; i < wanted; i++)
        chosen[candidates[i].at] = true;
    return CTKD_OK;
}

static ctkd_status hold_out(struct finder *f, ctkd_error *err)
{
    struct ctkd__layout_part all = f->out->train;
    f->out->train = (struct ctkd__layout_part){ 0 };
    f->out->held_out = true;
    struct candidate *const candidates = calloc(all.count, sizeof *candidates);
    bool *const chosen = calloc(all.count, sizeof *chosen);
    ctkd_status status = candidates && chosen ? CTKD_OK : no_memory(f, err);
    for (size_t i = 0, next; i < all.count && status == CTKD_OK; i = next) {
        next = i + 1;
        while (next < all.count && all.labels[next] == all.labels[i])
            next++;
        status = choose_class(f, &all, i, next - i, candidates, chosen, err);
    }
    if (status == CTKD_OK)
        status = part_alloc(f, all.count, &f->out->train, err);
    if (status == CTKD_OK)
        status = part_alloc(f, all.count, &f->out->test, err);
    for (size_t i = 0; i < all.count && status == CTKD_OK; i++)
        part_add(chosen[i] ? &f->out->test : &f->out->train, all.files[i], (size_t)all.labels[i]);
    free(chosen);
    free(candidates);
    free(all.files);
    free(all.labels);
    return status;
}

/* Classes may be empty (data.allow_empty), parts not. */
static ctkd_status check_count(const struct finder *f, const char *folder,
                               const struct ctkd__layout_part *part, ctkd_error *err)
{
    char place[2100];
    return part->count
               ? CTKD_OK
               : ctkd__fail(err, CTKD_EFORMAT, "%s: found no %s image, expected at least one",
                            place_of(f, folder, place, sizeof place),
                            part == &f->out->test ? "test" : "training");
}

ctkd_status ctkd__layout_find(const struct ctkd__tree *tree,
                              const struct ctkd__layout_options *options, struct ctkd__layout *out,
                              ctkd_error *err)
{
    *out = (struct ctkd__layout){ 0 };
    struct finder *const f = calloc(1, sizeof *f);
    if (!f)
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", ctkd__tree_path(tree));
    f->tree = tree;
    f->options = options;
    f->out = out;
    ctkd_status status = find_parts(f, err);
    if (status == CTKD_OK)
        status = find_classes(f, err);
    if (status == CTKD_OK && strcmp(f->train, f->base) != 0)
        status = find_unused(f, err);
    if (status == CTKD_OK)
        status = read_exclusions(f, err);
    if (status == CTKD_OK)
        status = collect(f, f->train, &out->train, err);
    if (status == CTKD_OK)
        status = f->test_labels ? collect_listed(f, &out->test, err)
                 : f->test[0]   ? collect(f, f->test, &out->test, err)
                                : hold_out(f, err);
    if (status == CTKD_OK)
        status = check_count(f, f->train, &out->train, err);
    if (status == CTKD_OK)
        status = check_count(f, f->test[0] ? f->test : f->train, &out->test, err);
    out->base_bytes = strlen(f->base) + (f->base[0] != '\0');
    if (status == CTKD_OK) {
        digest_names(f, f->train, &out->train);
        digest_names(f, f->test[0] ? f->test : f->train, &out->test);
        ctkd__left_out_text(&out->left_out, out->not_read, sizeof out->not_read);
    } else {
        ctkd__layout_fini(out);
    }
    free_names(f->folders);
    free_names(f->test_folders);
    free(f->excluded);
    free(f->test_labels);
    free(f);
    return status;
}

void ctkd__layout_fini(struct ctkd__layout *layout)
{
    struct ctkd__layout_part *const parts[] = { &layout->train, &layout->test };
    for (size_t p = 0; p < 2; p++) {
        free(parts[p]->files);
        free(parts[p]->labels);
    }
    free(layout->left_out.items);
    *layout = (struct ctkd__layout){ 0 };
}
