/* Image files of every kind against Pillow (tests/golden/pictures.py), and what is wrong with
 * files. */
#include <stdio.h>
#include <stdlib.h>

#include "data/picture/picture.h"
#include "data/picture/picture_write.h"
#include "data/picture/resize.h"
#include "data/picture/viewer.h"
#include "support/check.h"
#include "support/temp_files.h"

struct rig {
    struct ctkd__picture_reader *readers[2]; /* whole, partial */
    struct ctkd__resizer *resizers[2][2];    /* [order][portable, with SIMD] */
};

static int open_rig(void **state)
{
    static struct rig rig;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ctkd__picture_reader_create(1 << 20, i, &rig.readers[i], NULL), CTKD_OK);
        for (int j = 0; j < 2; j++) {
            assert_int_equal(
                ctkd__resizer_create((enum ctkd__resize_order)i, &rig.resizers[i][j], NULL),
                CTKD_OK);
            ctkd__resizer_use_simd(rig.resizers[i][j], j);
        }
    }
    *state = &rig;
    return 0;
}

static int close_rig(void **state)
{
    struct rig *const rig = *state;
    for (int i = 0; i < 2; i++) {
        ctkd__picture_reader_destroy(rig->readers[i]);
        for (int j = 0; j < 2; j++)
            ctkd__resizer_destroy(rig->resizers[i][j]);
    }
    return 0;
}

static struct ctkd__picture_file load(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/tests/golden/pictures/%s", CTKD_SOURCE_DIR, name);
    struct ctkd__picture_file file = { .name = path };
    file.bytes = temp_read(path, &file.size);
    return file;
}

static uint64_t fnv(uint64_t hash, uint8_t byte)
{
    return (hash ^ byte) * 0x100000001b3u;
}
static const uint64_t fnv_start = 0xcbf29ce484222325u;

static uint64_t hash_bytes(const uint8_t *bytes, size_t n)
{
    uint64_t hash = fnv_start;
    for (size_t i = 0; i < n; i++)
        hash = fnv(hash, bytes[i]);
    return hash;
}

static uint64_t hash_planes(const struct ctkd__picture *p)
{
    uint64_t hash = fnv_start;
    for (size_t c = 0; c < 3; c++)
        for (size_t r = 0; r < p->height; r++)
            for (size_t x = 0; x < p->width; x++)
                hash = fnv(hash, p->pixels[r * p->stride + 3 * x + c]);
    return hash;
}

/* Whether this build reads such files. */
static bool is_read(const char *name)
{
#ifdef CTKD_HAVE_WEBP
    (void)name;
    return true;
#else
    return !strstr(name, ".webp");
#endif
}

/* The lines of pictures.txt of one kind, one after another; NULL behind the last. */
static const char *next_line(FILE *list, const char *kind, char line[256])
{
    const size_t n = strlen(kind);
    while (fgets(line, 256, list))
        if (strncmp(line, kind, n) == 0 && line[n] == ' ')
            return line + n + 1;
    return NULL;
}

static FILE *open_list(void)
{
    FILE *const list = fopen(CTKD_SOURCE_DIR "/tests/golden/pictures.txt", "r");
    assert_non_null(list);
    return list;
}

static void whole_files_are_as_pillow_reads_them(void **state)
{
    struct rig *const rig = *state;
    FILE *const list = open_list();
    char line[256], name[64];
    int files = 0;
    for (const char *at; (at = next_line(list, "whole", line)); files++) {
        size_t w, h;
        unsigned long long hash;
        assert_int_equal(sscanf(at, "%63s %zu %zu %llx", name, &w, &h, &hash), 4);
        if (!is_read(name))
            continue;
        const struct ctkd__picture_file file = load(name);
        struct ctkd__picture_info info;
        struct ctkd__picture picture;
        ctkd_error err;
        check_ok(ctkd__picture_probe(&file, &info, &err), &err);
        assert_true(info.width == w && info.height == h);
        assert_int_equal(info.cmyk, strstr(name, "cmyk") || strstr(name, "ycck"));
        check_ok(ctkd__picture_decode(rig->readers[0], &file, NULL, &picture, &err), &err);
        if (hash_planes(&picture) != hash)
            fail_msg("%s: other pixels than in Pillow", name);
        assert_false(picture.damaged);
        free((void *)(uintptr_t)file.bytes);
    }
    fclose(list);
    assert_true(files >= 35);
}

static void resized_crops_are_as_pillow_makes_them(void **state)
{
    struct rig *const rig = *state;
    FILE *const list = open_list();
    char line[256], name[64], order[16];
    int crops = 0;
    for (const char *at; (at = next_line(list, "crop", line)); crops++) {
        struct ctkd__box box;
        size_t side;
        unsigned long long hash;
        assert_int_equal(sscanf(at, "%15s %63s %zu %zu %zu %zu %zu %llx", order, name, &box.left,
                                &box.top, &box.width, &box.height, &side, &hash),
                         8);
        if (!is_read(name))
            continue;
        const struct ctkd__picture_file file = load(name);
        for (int variant = 0; variant < 4; variant++) {
            uint8_t out[3 * 64 * 64];
            struct ctkd__picture picture;
            ctkd_error err;
            const struct ctkd__box all = { 0, 0, side, side };
            check_ok(ctkd__picture_decode(rig->readers[variant & 1], &file, &box, &picture, &err),
                     &err);
            assert_int_equal(
                ctkd__resize(rig->resizers[strcmp(order, "horizontal") != 0][variant >> 1],
                             &picture, side, side, &all, false, out),
                CTKD_OK);
            if (hash_bytes(out, 3 * side * side) != hash)
                fail_msg("%s: box %zu %zu %zu %zu to %zu (%s, variant %d): other bytes than in "
                         "Pillow",
                         name, box.left, box.top, box.width, box.height, side, order, variant);
        }
        free((void *)(uintptr_t)file.bytes);
    }
    fclose(list);
    assert_true(crops >= 2 * 6 * 35);
}

static void centre_windows_are_as_torchvision_makes_them(void **state)
{
    struct rig *const rig = *state;
    FILE *const list = open_list();
    char line[256], name[64], order[16];
    int windows = 0;
    for (const char *at; (at = next_line(list, "centre", line)); windows++) {
        size_t side, crop, size[2];
        unsigned long long hash;
        assert_int_equal(sscanf(at, "%15s %63s %zu %zu %llx", order, name, &side, &crop, &hash), 5);
        if (!is_read(name))
            continue;
        const struct ctkd__picture_file file = load(name);
        struct ctkd__picture picture;
        ctkd_error err;
        check_ok(ctkd__picture_decode(rig->readers[1], &file, NULL, &picture, &err), &err);
        const struct ctkd__box window =
            ctkd__crop_centre(picture.width, picture.height, side, crop, size);
        const struct ctkd__resize_plan plan = { picture.width, picture.height, size[0], size[1],
                                                window };
        const struct ctkd__box reads = ctkd__resize_reads(&plan);
        for (int variant = 0; variant < 4; variant++) {
            const int simd = variant & 1, of_part = variant >> 1;
            struct ctkd__resizer *const resizer =
                rig->resizers[strcmp(order, "horizontal") != 0][simd];
            uint8_t out[3 * 20 * 20] = { 0 };
            check_ok(ctkd__picture_decode(rig->readers[1], &file, of_part ? &reads : NULL, &picture,
                                          &err),
                     &err);
            assert_int_equal(
                of_part ? ctkd__resize_part(resizer, &plan, &picture, false, out)
                        : ctkd__resize(resizer, &picture, size[0], size[1], &window, false, out),
                CTKD_OK);
            if (hash_bytes(out, sizeof out) != hash)
                fail_msg("%s (%s, variant %d): other bytes than in torchvision", name, order,
                         variant);
        }
        free((void *)(uintptr_t)file.bytes);
    }
    fclose(list);
    assert_true(windows >= 2 * 35);
}

/* From the part that a window reads, for sizes on both sides of the image's own. */
static void a_window_needs_the_part_that_it_reads_alone(void **state)
{
    struct rig *const rig = *state;
    const struct ctkd__picture_file file = load("jpeg_420.jpg");
    struct ctkd__picture picture;
    enum { SIDE = 12 };
    assert_int_equal(ctkd__picture_decode(rig->readers[0], &file, NULL, &picture, NULL), CTKD_OK);
    const size_t width = picture.width, height = picture.height;
    const size_t widths[] = { SIDE, 19, width, width + 7, 3 * width };
    const size_t heights[] = { SIDE, 17, height, height + 5, 3 * height };
    for (int i = 0; i < 5 * 5 * 4; i++) {
        const size_t w = widths[i % 5], h = heights[i / 5 % 5];
        const struct ctkd__resize_plan plan = {
            width, height, w, h, { (w - SIDE) * (size_t)(i / 25) / 3, (h - SIDE) / 2, SIDE, SIDE }
        };
        const struct ctkd__box reads = ctkd__resize_reads(&plan);
        uint8_t wanted[3 * SIDE * SIDE], out[3 * SIDE * SIDE] = { 0 };
        for (int order = 0; order < 2; order++) {
            struct ctkd__resizer *const resizer = rig->resizers[order][1];
            assert_int_equal(ctkd__picture_decode(rig->readers[1], &file, NULL, &picture, NULL),
                             CTKD_OK);
            assert_int_equal(ctkd__resize(resizer, &picture, w, h, &plan.window, true, wanted),
                             CTKD_OK);
            assert_int_equal(ctkd__picture_decode(rig->readers[1], &file, &reads, &picture, NULL),
                             CTKD_OK);
            assert_int_equal(ctkd__resize_part(resizer, &plan, &picture, true, out), CTKD_OK);
            assert_memory_equal(out, wanted, sizeof out);
            picture.width--;
            assert_int_equal(ctkd__resize_part(resizer, &plan, &picture, true, out), CTKD_EINVAL);
        }
    }
    const struct ctkd__resize_plan outside = { width, height, SIDE, SIDE, { 1, 0, SIDE, SIDE } };
    assert_int_equal(ctkd__resize_reads(&outside).width, 0);
    free((void *)(uintptr_t)file.bytes);
}

static void a_flipped_view_is_the_mirror_of_the_other(void **state)
{
    struct rig *const rig = *state;
    const struct ctkd__picture_file file = load("jpeg_420.jpg");
    struct ctkd__picture picture;
    assert_int_equal(ctkd__picture_decode(rig->readers[0], &file, NULL, &picture, NULL), CTKD_OK);
    enum { SIDE = 31 };
    uint8_t plain[3 * SIDE * SIDE], flipped[3 * SIDE * SIDE];
    const struct ctkd__box all = { 0, 0, SIDE, SIDE };
    for (int flip = 0; flip < 2; flip++)
        assert_int_equal(ctkd__resize(rig->resizers[0][1], &picture, SIDE, SIDE, &all, flip,
                                      flip ? flipped : plain),
                         CTKD_OK);
    for (size_t r = 0; r < 3 * SIDE; r++)
        for (size_t x = 0; x < SIDE; x++)
            assert_int_equal(plain[r * SIDE + x], flipped[r * SIDE + SIDE - 1 - x]);
    free((void *)(uintptr_t)file.bytes);
}

/* Every file of the list, cut at (nearly) each length: never a crash, and never a picture. */
static void a_file_that_ends_early_is_refused(void **state)
{
    struct rig *const rig = *state;
    FILE *const list = open_list();
    char line[256], name[64];
    for (const char *at; (at = next_line(list, "whole", line));) {
        sscanf(at, "%63s", name);
        const struct ctkd__picture_file file = load(name);
        const bool text = strstr(name, "pnm_text") != NULL; /* its last number may lose digits */
        for (size_t size = 0; size + (text ? 3 : 1) < file.size; size += 1 + file.size / 97) {
            uint8_t *const copy = malloc(size + 1); /* of exactly this size, for the sanitizer */
            memcpy(copy, file.bytes, size);
            const struct ctkd__picture_file cut = { name, copy, size };
            const struct ctkd__box corner = { 0, 0, 1, 1 };
            struct ctkd__picture picture;
            ctkd_error err;
            for (int partial = 0; partial < 2; partial++) {
                const ctkd_status status = ctkd__picture_decode(
                    rig->readers[partial], &cut, partial ? &corner : NULL, &picture, &err);
                if (status != CTKD_EFORMAT && status != CTKD_EUNSUPPORTED)
                    fail_msg("%s cut to %zu of %zu bytes: status %d", name, size, file.size,
                             status);
                assert_non_null(strstr(err.message, name));
            }
            free(copy);
        }
        free((void *)(uintptr_t)file.bytes);
    }
    fclose(list);
}

static void other_files_are_called_what_they_are(void **state)
{
    (void)state;
    const struct {
        const char *bytes;
        size_t size;
        const char *expected;
    } cases[] = {
        { "", 0, "the file is empty" },
        { "GIF89a......", 12, "GIF is not supported" },
        { "II*\0........", 12, "TIFF is not supported" },
        { "BM..........................", 28, "BMP is not supported" },
        { "\0\0\0\x1c"
          "ftypavif",
          12, "AVIF or HEIF is not supported" },
        { "<!DOCTYPE html>", 15, "found no image (first bytes 3c 21 44)" },
        { "P6\n2 2\n65535\n", 13, "values up to 65535" },
        { "P6\n0 2\n255\n", 11, "does not begin with width, height" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct ctkd__picture_file file = { "a/b.jpg", (const uint8_t *)cases[i].bytes,
                                                 cases[i].size };
        struct ctkd__picture_info info;
        ctkd_error err = { .message = "" };
        assert_int_not_equal(ctkd__picture_probe(&file, &info, &err), CTKD_OK);
        if (!strstr(err.message, cases[i].expected) || strncmp(err.message, "a/b.jpg: ", 9) != 0)
            fail_msg("\"%s\", expected \"%s\"", err.message, cases[i].expected);
    }
}

/* The header of a PNG of 20000 x 20000, with its checksum. */
static void a_picture_above_the_limit_is_refused_unread(void **state)
{
    struct rig *const rig = *state;
    const uint8_t bomb[] = { 0x89, 'P',  'N', 'G', '\r', '\n', 0x1a, '\n', 0,    0,    0,
                             13,   'I',  'H', 'D', 'R',  0,    0,    0x4e, 0x20, 0,    0,
                             0x4e, 0x20, 8,   2,   0,    0,    0,    0x36, 0x34, 0x8c, 0xd7 };
    const struct ctkd__picture_file file = { "bomb.png", bomb, sizeof bomb };
    struct ctkd__picture picture;
    ctkd_error err;
    const ctkd_status status = ctkd__picture_decode(rig->readers[0], &file, NULL, &picture, &err);
    /* Whatever the checksum: nothing is allocated for it. */
    assert_true(status == CTKD_ERANGE || status == CTKD_EFORMAT);
    const char *const ppm = "P6\n20000 20000\n255\n";
    const struct ctkd__picture_file large = { "bomb.ppm", (const uint8_t *)ppm, strlen(ppm) };
    assert_int_equal(ctkd__picture_decode(rig->readers[0], &large, NULL, &picture, &err),
                     CTKD_ERANGE);
    assert_string_equal(err.message,
                        "bomb.ppm: found 20000 x 20000 pixels, expected at most 1048576 "
                        "(data.max_pixels)");
}

static void boxes_outside_are_refused(void **state)
{
    struct rig *const rig = *state;
    const struct ctkd__picture_file file = load("jpeg_420.jpg"); /* 83 x 61 */
    const struct ctkd__box boxes[] = {
        { 0, 0, 84, 1 }, { 0, 0, 1, 62 }, { 83, 0, 1, 1 },
        { 0, 61, 1, 1 }, { 0, 0, 0, 1 },  { SIZE_MAX, 0, 2, 1 },
    };
    for (size_t i = 0; i < sizeof boxes / sizeof *boxes; i++) {
        struct ctkd__picture picture;
        assert_int_equal(ctkd__picture_decode(rig->readers[1], &file, &boxes[i], &picture, NULL),
                         CTKD_ERANGE);
    }
    free((void *)(uintptr_t)file.bytes);
}

/* A JPEG with an EXIF segment of that orientation behind its first marker. */
static struct ctkd__picture_file turned(const struct ctkd__picture_file *jpeg, int orientation)
{
    uint8_t app[] = { 0xff, 0xd8, 0xff, 0xe1, 0, 34, 'E', 'x', 'i', 'f',  0,    0, 'I',
                      'I',  '*',  0,    8,    0, 0,  0,   1,   0,   0x12, 0x01, 3, 0,
                      1,    0,    0,    0,    6, 0,  0,   0,   0,   0,    0,    0 };
    const size_t size = sizeof app + jpeg->size - 2;
    uint8_t *const joined = malloc(size);
    app[5] = sizeof app - 4; /* length of the segment */
    app[30] = (uint8_t)orientation;
    memcpy(joined, app, sizeof app);
    memcpy(joined + sizeof app, jpeg->bytes + 2, jpeg->size - 2);
    return (struct ctkd__picture_file){ "turned.jpg", joined, size };
}

static void the_orientation_of_exif_is_found(void **state)
{
    (void)state;
    struct ctkd__picture_file jpeg = load("jpeg_420.jpg");
    const struct ctkd__picture_file file = turned(&jpeg, 6);
    struct ctkd__picture_info info;
    ctkd_error err;
    check_ok(ctkd__picture_probe(&file, &info, &err), &err);
    assert_int_equal(info.orientation, 6);
    check_ok(ctkd__picture_probe(&jpeg, &info, &err), &err);
    assert_int_equal(info.orientation, 1);
    free((void *)(uintptr_t)file.bytes);
    free((void *)(uintptr_t)jpeg.bytes);
}

/* EXIF 2.32, 4.6.4: at which visual side row 0 and column 0 of the stored image are. */
enum side { TOP, BOTTOM, LEFT, RIGHT };
static const enum side row_side[] = { TOP, TOP, BOTTOM, BOTTOM, LEFT, RIGHT, RIGHT, LEFT },
                       column_side[] = { LEFT, RIGHT, RIGHT, LEFT, TOP, TOP, BOTTOM, BOTTOM };

/* Sets the visual coordinate of what lies `distance` from that side. */
static void place_from(enum side side, size_t distance, const struct ctkd__picture *upright,
                       size_t *x, size_t *y)
{
    if (side == TOP || side == BOTTOM)
        *y = side == TOP ? distance : upright->height - 1 - distance;
    else
        *x = side == LEFT ? distance : upright->width - 1 - distance;
}

static void turned_pictures_are_decoded_upright_where_that_is_asked_for(void **state)
{
    struct rig *const rig = *state;
    struct ctkd__picture_file jpeg = load("jpeg_420.jpg");
    struct ctkd__picture_reader *reader;
    struct ctkd__picture stored, upright, part;
    ctkd_error err;
    check_ok(ctkd__picture_decode(rig->readers[0], &jpeg, NULL, &stored, &err), &err);
    assert_true(stored.width != stored.height);
    check_ok(ctkd__picture_reader_create(1 << 20, true, &reader, &err), &err);
    for (int orientation = 1; orientation <= 8; orientation++) {
        const struct ctkd__picture_file file = turned(&jpeg, orientation);
        ctkd__picture_reader_upright(reader, false);
        check_ok(ctkd__picture_decode(reader, &file, NULL, &upright, &err), &err);
        assert_int_equal(upright.width, stored.width); /* not asked for */
        ctkd__picture_reader_upright(reader, true);
        check_ok(ctkd__picture_decode(reader, &file, NULL, &upright, &err), &err);
        assert_int_equal(upright.width, orientation < 5 ? stored.width : stored.height);
        assert_int_equal(upright.height, orientation < 5 ? stored.height : stored.width);
        for (size_t r = 0; r < stored.height; r++)
            for (size_t c = 0; c < stored.width; c++) {
                size_t x = SIZE_MAX, y = SIZE_MAX;
                place_from(row_side[orientation - 1], r, &upright, &x, &y);
                place_from(column_side[orientation - 1], c, &upright, &x, &y);
                assert_memory_equal(upright.pixels + y * upright.stride + 3 * x,
                                    stored.pixels + r * stored.stride + 3 * c, 3);
            }
        const uint64_t corner = hash_bytes(upright.pixels + 7 * upright.stride + 3 * 5, 3 * 20);
        const struct ctkd__box box = { 5, 7, 20, 1 };
        check_ok(ctkd__picture_decode(reader, &file, &box, &part, &err), &err);
        assert_true(hash_bytes(part.pixels, 3 * 20) == corner);
        const struct ctkd__box outside = { 0, 0, upright.width, upright.height + 1 };
        assert_int_equal(ctkd__picture_decode(reader, &file, &outside, &part, &err), CTKD_ERANGE);
        free((void *)(uintptr_t)file.bytes);
    }
    ctkd__picture_reader_destroy(reader);
    free((void *)(uintptr_t)jpeg.bytes);
}

/* EXIF in files of each format that has it, as Pillow writes them. */
static void turned_files_are_as_pillow_turns_them(void **state)
{
    (void)state;
    FILE *const list = open_list();
    struct ctkd__picture_reader *reader;
    char line[256], name[64];
    int files = 0;
    ctkd_error err;
    check_ok(ctkd__picture_reader_create(1 << 20, true, &reader, &err), &err);
    ctkd__picture_reader_upright(reader, true);
    for (const char *at; (at = next_line(list, "upright", line)); files++) {
        size_t w, h;
        int orientation;
        unsigned long long hash;
        assert_int_equal(sscanf(at, "%63s %d %zu %zu %llx", name, &orientation, &w, &h, &hash), 5);
        if (!is_read(name))
            continue;
        const struct ctkd__picture_file file = load(name);
        struct ctkd__picture_info info;
        struct ctkd__picture picture;
        check_ok(ctkd__picture_probe(&file, &info, &err), &err);
        assert_int_equal(info.orientation, orientation);
        check_ok(ctkd__picture_decode(reader, &file, NULL, &picture, &err), &err);
        assert_true(picture.width == w && picture.height == h);
        if (hash_planes(&picture) != hash)
            fail_msg("%s: other pixels than in Pillow", name);
        free((void *)(uintptr_t)file.bytes);
    }
    fclose(list);
    assert_int_equal(files, 3);
    ctkd__picture_reader_destroy(reader);
}

static void a_written_picture_is_read_again(void **state)
{
    struct rig *const rig = *state;
    uint8_t pixels[5 * 4 * 3], *png;
    size_t bytes;
    struct ctkd__picture picture;
    ctkd_error err = { 0 };
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(31 * i);
    for (size_t channels = 1; channels <= 3; channels += 2) {
        check_ok(ctkd__picture_write_png(pixels, 5, 4, channels, &png, &bytes, &err), &err);
        const struct ctkd__picture_file file = { "memory", png, bytes };
        check_ok(ctkd__picture_decode(rig->readers[0], &file, NULL, &picture, &err), &err);
        assert_int_equal(picture.width, 5);
        assert_int_equal(picture.height, 4);
        for (size_t i = 0; i < 4 * 5 * 3; i++)
            assert_int_equal(picture.pixels[i / 15 * picture.stride + i % 15],
                             channels == 3 ? pixels[i] : pixels[i / 3]);
        free(png);
    }
    for (size_t channels = 1; channels <= 3; channels += 2) { /* a plain colour survives a JPEG */
        memset(pixels, 120, sizeof pixels);
        check_ok(ctkd__picture_write_jpeg(pixels, 5, 4, channels, &png, &bytes, &err), &err);
        const struct ctkd__picture_file file = { "memory", png, bytes };
        check_ok(ctkd__picture_decode(rig->readers[0], &file, NULL, &picture, &err), &err);
        assert_int_equal(picture.width, 5);
        assert_int_equal(picture.height, 4);
        for (size_t i = 0; i < 4 * 5 * 3; i++)
            assert_in_range(picture.pixels[i / 15 * picture.stride + i % 15], 118, 122);
        free(png);
    }
    enum { SIDE = 96 };
    static uint8_t noise[SIDE * SIDE * 3]; /* makes a long JPEG */
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (uint8_t)(2654435761u * (uint32_t)i >> 24);
    check_ok(ctkd__picture_write_jpeg(noise, SIDE, SIDE, 3, &png, &bytes, &err), &err);
    const struct ctkd__picture_file large = { "memory", png, bytes };
    check_ok(ctkd__picture_decode(rig->readers[0], &large, NULL, &picture, &err), &err);
    assert_int_equal(picture.width, SIDE);
    free(png);
    assert_int_equal(ctkd__picture_write_jpeg(pixels, 5, 0, 3, &png, &bytes, &err), CTKD_EINVAL);
    assert_int_equal(ctkd__picture_write_png(pixels, 5, 4, 2, &png, &bytes, &err), CTKD_EINVAL);
    assert_int_equal(ctkd__picture_write_png(pixels, 0, 4, 1, &png, &bytes, &err), CTKD_EINVAL);
}

/* That of `box` is the crop of all of the picture. */
static void compare_part(struct rig *rig, const struct ctkd__picture_file *file,
                         const struct ctkd__picture *all, const struct ctkd__box *box)
{
    struct ctkd__picture part;
    ctkd_error err;
    check_ok(ctkd__picture_decode(rig->readers[1], file, box, &part, &err), &err);
    for (size_t r = 0; r < box->height; r++)
        if (memcmp(part.pixels + r * part.stride,
                   all->pixels + (box->top + r) * all->stride + 3 * box->left, 3 * box->width) != 0)
            fail_msg("%s: row %zu of %zu columns from column %zu and row %zu", file->name, r,
                     box->width, box->left, box->top);
}

/* A part of fewer than three columns at the edge of a JPEG once had wrong colours. */
static void narrow_parts_are_the_crops_of_all_of_a_picture(void **state)
{
    struct rig *const rig = *state;
    FILE *const list = open_list();
    char line[256], name[64];
    for (const char *at; (at = next_line(list, "whole", line));) {
        assert_int_equal(sscanf(at, "%63s", name), 1);
        if (!is_read(name))
            continue;
        const struct ctkd__picture_file file = load(name);
        struct ctkd__picture all;
        ctkd_error err;
        check_ok(ctkd__picture_decode(rig->readers[0], &file, NULL, &all, &err), &err);
        for (size_t width = 1; width <= 3 && width <= all.width; width++)
            for (size_t left = 0; left + width <= all.width; left++)
                for (size_t top = 0; top < all.height; top += 1 + all.height / 3)
                    compare_part(rig, &file, &all,
                                 &(struct ctkd__box){ left, top, width, all.height - top });
        free((void *)(uintptr_t)file.bytes);
    }
    fclose(list);
}

/* `views` views of training and one of evaluation, of a file with and without data.roi. */
static void compare_views(struct ctkd__viewer *const viewers[2],
                          const struct ctkd__picture_file *file, size_t size, uint64_t views)
{
    uint8_t out[2][3 * 64 * 64];
    ctkd_error err;
    for (uint64_t epoch = 1; epoch <= views + 1; epoch++) {
        for (size_t roi = 0; roi < 2; roi++)
            check_ok(epoch > views
                         ? ctkd__viewer_evaluation(viewers[roi], file, out[roi], &err)
                         : ctkd__viewer_training(viewers[roi], file, 4, epoch, 7, out[roi], &err),
                     &err);
        assert_memory_equal(out[0], out[1], 3 * size * size);
    }
}

static void views_are_the_same_whether_all_of_a_file_is_decoded_or_a_part(void **state)
{
    (void)state;
    static const size_t sizes[] = { 64, 9 };
    for (size_t i = 0; i < 4; i++) {
        FILE *const list = open_list();
        struct ctkd__viewer *viewers[2];
        struct ctkd__view_settings settings = ctkd__view_settings_defaults();
        char line[256], name[64];
        ctkd_error err;
        settings.size = sizes[i / 2];
        settings.resize = ctkd__view_resize_for(settings.size);
        settings.upright = i % 2;
        assert_true(settings.roi);
        for (size_t roi = 0; roi < 2; roi++) {
            settings.roi = roi;
            check_ok(ctkd__viewer_create(&settings, &viewers[roi], &err), &err);
        }
        for (const char *at; (at = next_line(list, "whole", line));) {
            assert_int_equal(sscanf(at, "%63s", name), 1);
            if (!is_read(name))
                continue;
            const struct ctkd__picture_file file = load(name);
            compare_views(viewers, &file, settings.size, 50);
            free((void *)(uintptr_t)file.bytes);
        }
        for (size_t roi = 0; roi < 2; roi++)
            ctkd__viewer_destroy(viewers[roi]);
        fclose(list);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_files_are_as_pillow_reads_them),
        cmocka_unit_test(resized_crops_are_as_pillow_makes_them),
        cmocka_unit_test(centre_windows_are_as_torchvision_makes_them),
        cmocka_unit_test(a_window_needs_the_part_that_it_reads_alone),
        cmocka_unit_test(narrow_parts_are_the_crops_of_all_of_a_picture),
        cmocka_unit_test(views_are_the_same_whether_all_of_a_file_is_decoded_or_a_part),
        cmocka_unit_test(a_flipped_view_is_the_mirror_of_the_other),
        cmocka_unit_test(a_file_that_ends_early_is_refused),
        cmocka_unit_test(other_files_are_called_what_they_are),
        cmocka_unit_test(a_picture_above_the_limit_is_refused_unread),
        cmocka_unit_test(boxes_outside_are_refused),
        cmocka_unit_test(the_orientation_of_exif_is_found),
        cmocka_unit_test(turned_pictures_are_decoded_upright_where_that_is_asked_for),
        cmocka_unit_test(turned_files_are_as_pillow_turns_them),
        cmocka_unit_test(a_written_picture_is_read_again),
    };
    return cmocka_run_group_tests(tests, open_rig, close_rig);
}
