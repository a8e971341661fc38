/*
 * Views per second of one thread from files in memory: decode, crop, resize, flip.
 *     bench_pictures DIR [ROUNDS]       every JPEG, PNG, ... of DIR; 5 rounds
 * train: random resized crop to 224;  centre: 224 of a resize to 256.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/picture/picture.h"
#include "data/picture/resize.h"
#include "util/clock.h"
#include "util/file.h"
#include "util/median.h"

enum { SIDE = 224, SHORT_SIDE = 256, FILES_MAX = 100000, ROUNDS_MAX = 101 };

static struct ctkd__picture_file files[FILES_MAX];
static size_t count;

static void read_folder(const char *folder)
{
    DIR *const dir = opendir(folder);
    struct ctkd__picture_info info;
    for (struct dirent *entry; dir && count < FILES_MAX && (entry = readdir(dir));) {
        char path[1024], *text;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        size_t size;
        if (entry->d_name[0] == '.' || ctkd__file_read(path, 1 << 28, &text, &size, NULL))
            continue;
        files[count] = (struct ctkd__picture_file){ strdup(path), (uint8_t *)text, size };
        if (files[count].name && ctkd__picture_probe(&files[count], &info, NULL) == CTKD_OK)
            count++;
    }
    if (dir)
        closedir(dir);
}

struct rig {
    struct ctkd__picture_reader *reader;
    struct ctkd__resizer *resizer;
    uint8_t out[3 * SIDE * SIDE];
};

static ctkd_status make_view(struct rig *rig, size_t id, uint64_t epoch, bool train)
{
    const struct ctkd__crop_ranges ranges = ctkd__crop_ranges_defaults();
    struct ctkd__picture_info info;
    struct ctkd__picture picture;
    ctkd_status status = ctkd__picture_probe(&files[id], &info, NULL);
    const struct ctkd__crop_view view =
        ctkd__crop_draw(1, epoch, id, info.width, info.height, &ranges);
    if (!status)
        status =
            ctkd__picture_decode(rig->reader, &files[id], train ? &view.box : NULL, &picture, NULL);
    if (status)
        return status;
    size_t size[2] = { SIDE, SIDE };
    struct ctkd__box window = { 0, 0, SIDE, SIDE };
    if (!train)
        window = ctkd__crop_centre(info.width, info.height, SHORT_SIDE, SIDE, size);
    return ctkd__resize(rig->resizer, &picture, size[0], size[1], &window, train && view.flip,
                        rig->out);
}

static int run(const char *what, bool train, bool partial, bool simd, int rounds)
{
    static struct rig rig;
    if (ctkd__picture_reader_create((uint64_t)1 << 40, partial, &rig.reader, NULL) ||
        ctkd__resizer_create(CTKD__HORIZONTAL_FIRST, &rig.resizer, NULL))
        return 1;
    ctkd__resizer_use_simd(rig.resizer, simd);
    double rates[ROUNDS_MAX];
    for (int r = -1; r < rounds; r++) { /* the first one warms up */
        const double begin = ctkd__clock_seconds();
        for (size_t i = 0; i < count; i++)
            if (make_view(&rig, i, (uint64_t)(r + 2), train))
                return 1;
        if (r >= 0)
            rates[r] = (double)count / (ctkd__clock_seconds() - begin);
    }
    printf("%-26s %8.1f images/s\n", what, ctkd__sort_median((size_t)rounds, rates));
    ctkd__picture_reader_destroy(rig.reader);
    ctkd__resizer_destroy(rig.resizer);
    return 0;
}

int main(int argc, char **argv)
{
    const int rounds = argc > 2 ? atoi(argv[2]) : 5;
    if (argc < 2 || rounds < 1 || rounds > ROUNDS_MAX) {
        fprintf(stderr, "usage: bench_pictures DIR [ROUNDS]\n");
        return 2;
    }
    read_folder(argv[1]);
    if (count == 0) {
        fprintf(stderr, "%s: no images\n", argv[1]);
        return 1;
    }
    printf("%zu images\n", count);
    return run("train", true, true, true, rounds) ||
           run("train, whole decode", true, false, true, rounds) ||
           run("train, portable resize", true, true, false, rounds) ||
           run("centre", false, true, true, rounds) ||
           run("centre, portable resize", false, true, false, rounds);
}
