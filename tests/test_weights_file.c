#include "weights/weights_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "io/manifest.h"
#include "io/onnx.h"
#include "io/pth.h"
#include "io/safetensors.h"
#include "support/check.h"
#include "support/scratch.h"
#include "support/temp_files.h"
#include "support/tiny.h"
#include "util/sha256.h"
#include "util/text.h"
#include "weights/convert.h"

static const struct ctkd__model_args open_sizes = { 1, TINY_SIDE, TINY_SIDE, TINY_CLASSES };

/* NULL: no format. */
static void check_format(const char *bytes, size_t n, const char *format)
{
    const struct ctkd__weights_format *found = NULL;
    ctkd_error err = { 0 };
    const ctkd_status status =
        ctkd__weights_format_of_file(scratch_write("some", bytes, n), &found, &err);
    assert_int_equal(status, format ? CTKD_OK : CTKD_EFORMAT);
    assert_int_equal(err.status, status);
    if (format)
        assert_string_equal(found->name, format);
}

static void formats_are_known_by_their_first_bytes(void **state)
{
    (void)state;
    check_format("\x48\0\0\0\0\0\0\0{", 9, "safetensors");
    check_format("\x80\2\0\0\0\0\0\0{", 9, "safetensors"); /* 640 bytes */
    check_format("PK\3\4\0\0\0\0\0\0", 10, "pth");
    check_format("\x80\2\x8a\nl\xfc\x9c\x46\xf9", 9, "pth");
    check_format("\x80\5}q\0.", 6, "pth");
    check_format("\x08\x08\x12\4ctkd", 8, "onnx");
    check_format("", 0, NULL);
    check_format("\x80\1}q\0.", 6, NULL);
    check_format("PK\5\6", 4, NULL); /* an empty archive */
    const struct ctkd__weights_format *format;
    ctkd_error err;
    assert_int_equal(ctkd__weights_format_of_file(scratch_path("none"), &format, &err), CTKD_EIO);
    assert_int_equal(ctkd__weights_format_of_file(".", &format, &err), CTKD_EIO);
    assert_string_equal(err.message, "cannot read .: Is a directory");
}

static void formats_are_asked_for_by_the_ending(void **state)
{
    (void)state;
    static const struct {
        const char *name, *format;
    } cases[] = {
        { "a.safetensors", "safetensors" },
        { "a.b/c.pth", "pth" },
        { "x.pt", "pth" },
        { "x.th", "pth" },
        { "x.onnx", "onnx" },
        { ".onnx", NULL }, /* no name before it */
        { "x.onnx2", NULL },
        { "onnx", NULL },
        { "x.onnx/", NULL },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct ctkd__weights_format *format = NULL;
        ctkd_error err;
        const ctkd_status status = ctkd__weights_format_of_name(cases[i].name, &format, &err);
        assert_int_equal(status, cases[i].format ? CTKD_OK : CTKD_EINVAL);
        if (cases[i].format)
            assert_string_equal(format->name, cases[i].format);
        else
            assert_null(format);
    }
}

static void every_format_has_a_name_and_endings_of_its_own(void **state)
{
    (void)state;
    const struct ctkd__weights_format *const *const formats = ctkd__weights_formats();
    assert_string_equal(ctkd__weights_format_choice[0], "auto");
    for (size_t i = 0; formats[i]; i++) {
        const struct ctkd__weights_format *const format = formats[i];
        assert_string_equal(ctkd__weights_format_choice[i + 1], format->name);
        assert_true(format->title && format->noun && format->detect && format->read &&
                    format->write && format->endings[0]);
        assert_true(format->holds_network == (format->import != NULL));
        for (const char *const *ending = format->endings; *ending; ending++) {
            const struct ctkd__weights_format *found;
            char name[64];
            ctkd_error err;
            snprintf(name, sizeof name, "w%s", *ending);
            check_ok(ctkd__weights_format_of_name(name, &found, &err), &err);
            assert_ptr_equal(found, format);
        }
    }
    char text[160], end[96];
    size_t n = 0;
    while (ctkd__weights_formats()[n])
        n++;
    assert_string_equal(ctkd__weights_format_list(CTKD__FORMAT_ENDINGS, true, text, sizeof text),
                        ".onnx");
    snprintf(end, sizeof end, "%s or %s", ctkd__weights_formats()[n - 2]->name,
             ctkd__weights_formats()[n - 1]->name);
    ctkd__weights_format_list(CTKD__FORMAT_NAMES, false, text, sizeof text);
    assert_true(ctkd__text_ends(text, end));
}

/* A file of resnet8 for the tiny data, through `options` of ctkd convert. */
static const char *network_file(const char *name, const struct ctkd__convert_options *options)
{
    struct ctkd__network_info info = tiny_network_info();
    char note[CTKD__NOTE_BYTES];
    ctkd_error err = { 0 };
    tiny_network_write(scratch_path("start.safetensors"), 1, &info);
    check_ok(
        ctkd__convert(scratch_path("start.safetensors"), scratch_path(name), options, note, &err),
        &err);
    assert_string_equal(note, "");
    return scratch_path(name);
}

static char empty[] = "";
static const struct ctkd__convert_options plain = { .network = empty, .mean = empty, .std = empty };

static void every_format_gives_the_network_it_names(void **state)
{
    (void)state;
    for (const struct ctkd__weights_format *const *f = ctkd__weights_formats(); *f; f++) {
        char name[64];
        snprintf(name, sizeof name, "a%s", (*f)->endings[0]);
        const char *const path = network_file(name, &plain);
        struct ctkd__weights_file file;
        struct ctkd__graph *graph;
        char note[CTKD__NOTE_BYTES];
        ctkd_error err = { 0 };
        check_ok(ctkd__weights_file_read(path, &file, &err), &err);
        assert_ptr_equal(file.format, *f);
        if ((*f)->holds_metadata) {
            assert_string_equal(file.info.network, "resnet8");
            assert_int_equal(file.info.height, TINY_SIDE);
        }
        assert_false(file.verified);
        assert_true((file.graph != NULL) == (*f)->holds_network);
        check_ok(ctkd__weights_file_graph(&file, "", &open_sizes, &graph, note, &err), &err);
        assert_true(ctkd__match_fits(graph, &file.tensors));
        assert_string_equal(graph->nodes[1].name, "conv1");
        assert_int_equal(graph->n_taps, 8); /* our own network, not the imported one */
        ctkd__graph_destroy(graph);
        ctkd__weights_file_fini(&file);
    }
}

/* At some hundred lengths, and at every one of the last and the first. */
static void a_file_cut_off_is_refused_in_every_format(void **state)
{
    (void)state;
    for (const struct ctkd__weights_format *const *f = ctkd__weights_formats(); *f; f++) {
        char name[64];
        size_t n;
        snprintf(name, sizeof name, "b%s", (*f)->endings[0]);
        char *const bytes = temp_read(network_file(name, &plain), &n);
        for (size_t cut = 0; cut < n; cut += cut < 64 || cut + 64 > n ? 1 : n / 97) {
            struct ctkd__weights_file file;
            ctkd_error err = { 0 };
            assert_int_not_equal(
                ctkd__weights_file_read(scratch_write("cut", bytes, cut), &file, &err), CTKD_OK);
            assert_non_null(strstr(err.message, "cut: "));
        }
        free(bytes);
    }
}

static void a_model_of_free_size_waits_for_one(void **state)
{
    (void)state;
    const struct ctkd__model_args sizes = { 3, 8, 10, 5 }, none = { 0 };
    struct ctkd__convert_options options = plain;
    struct ctkd__weights_file file;
    struct ctkd__graph *graph;
    char path[1024], note[CTKD__NOTE_BYTES];
    ctkd_error err = { 0 };
    snprintf(path, sizeof path, "%s/tests/golden/onnx_free_exported.onnx", CTKD_SOURCE_DIR);
    check_ok(ctkd__weights_file_read(path, &file, &err), &err);
    assert_true(file.model && !file.graph && file.tensors.count == 0);
    assert_true(file.info.channels == 3 && file.info.height == 0 && file.info.width == 0);
    assert_int_equal(file.info.classes, 5);
    check_ok(ctkd__weights_file_graph(&file, "", &sizes, &graph, note, &err), &err);
    assert_true(!file.model && file.info.height == 8 && file.info.width == 10);
    assert_true(graph->nodes[0].h == 8 && graph->nodes[0].w == 10);
    assert_true(ctkd__match_fits(graph, &file.tensors));
    ctkd__graph_destroy(graph);
    ctkd__weights_file_fini(&file);

    check_ok(ctkd__weights_file_read(path, &file, &err), &err);
    assert_int_equal(ctkd__weights_file_resolve(&file, &none, &err), CTKD_EFORMAT);
    assert_non_null(strstr(err.message, "its height and width are free; set a size"));
    ctkd__weights_file_fini(&file);

    assert_int_equal(ctkd__convert(path, scratch_path("sized.pth"), &options, note, &err),
                     CTKD_EINVAL);
    assert_non_null(strstr(err.message, "the height of its images is free; set height=SIZE"));
    options.height = 8;
    check_ok(ctkd__convert(path, scratch_path("sized.onnx"), &options, note, &err), &err);
    check_ok(ctkd__weights_file_read(scratch_path("sized.onnx"), &file, &err), &err);
    assert_true(file.graph && file.info.height == 8 && file.info.width == 8);
    ctkd__weights_file_fini(&file);
    options.channels = 1;
    assert_int_equal(ctkd__convert(path, scratch_path("sized.onnx"), &options, note, &err),
                     CTKD_EINVAL);
    assert_non_null(strstr(err.message, "found 3 channels, expected 1"));
}

static void a_folded_model_is_taken_as_it_is(void **state)
{
    (void)state;
    struct ctkd__convert_options fold = plain;
    fold.fold = true;
    const char *const path = network_file("folded.onnx", &fold);
    struct ctkd__weights_file file;
    struct ctkd__graph *graph;
    char note[CTKD__NOTE_BYTES];
    ctkd_error err = { 0 };
    check_ok(ctkd__weights_file_read(path, &file, &err), &err);
    check_ok(ctkd__weights_file_graph(&file, "", &open_sizes, &graph, note, &err), &err);
    assert_null(file.graph);
    assert_int_equal(graph->n_taps, 0);
    assert_true(ctkd__match_fits(graph, &file.tensors));
    ctkd__graph_destroy(graph);
    ctkd__weights_file_fini(&file);
    check_ok(ctkd__weights_file_read(path, &file, &err), &err); /* but it is no resnet8 */
    assert_int_equal(ctkd__weights_file_graph(&file, "resnet8", &open_sizes, &graph, note, &err),
                     CTKD_ESHAPE);
    assert_null(graph);
    assert_non_null(strstr(err.message, "(resnet8): the weights do not fit: "));
    ctkd__weights_file_fini(&file);
}

/* Writes tensors of a list without metadata. */
static void strip_metadata(const char *from, const char *to)
{
    struct ctkd__tensors list = { 0 };
    ctkd_error err = { 0 };
    check_ok(ctkd__safetensors_read(from, &list, &err), &err);
    for (size_t i = 0; i < list.n_metadata; i++) {
        free(list.keys[i]);
        free(list.values[i]);
    }
    list.n_metadata = 0;
    check_ok(ctkd__tensors_set(&list, "best_acc", "71.5", &err), &err);
    check_ok(ctkd__pth_write(to, &list, &err), &err);
    ctkd__tensors_fini(&list);
}

static void a_file_that_says_nothing_is_the_network_that_fits(void **state)
{
    (void)state;
    struct ctkd__weights_file file;
    struct ctkd__graph *graph;
    char note[CTKD__NOTE_BYTES], path[1024];
    ctkd_error err = { 0 };
    snprintf(path, sizeof path, "%s", network_file("b.safetensors", &plain));
    strip_metadata(path, scratch_path("bare.pth"));
    check_ok(ctkd__weights_file_read(scratch_path("bare.pth"), &file, &err), &err);
    assert_string_equal(file.info.network, "");
    assert_true(file.info.has_top1);
    check_close(file.info.top1, 71.5, 0, 0);
    check_ok(ctkd__weights_file_graph(&file, "", &open_sizes, &graph, note, &err), &err);
    assert_string_equal(file.info.network, "resnet8");
    assert_int_equal(file.info.classes, TINY_CLASSES);
    ctkd__graph_destroy(graph);
    ctkd__weights_file_fini(&file);

    struct ctkd__model_args other = open_sizes;
    other.classes = 7;
    check_ok(ctkd__weights_file_read(scratch_path("bare.pth"), &file, &err), &err);
    assert_int_equal(ctkd__weights_file_graph(&file, "resnet8", &other, &graph, note, &err),
                     CTKD_ESHAPE);
    assert_non_null(
        strstr(err.message, "2 of another shape (fc.weight: found F32 [10, 64], expected"));
    ctkd__weights_file_fini(&file);
}

static void the_folder_s_name_is_a_guess(void **state)
{
    (void)state;
    static const struct {
        const char *folder, *network;
    } cases[] = { { "resnet8_vanilla", "resnet8" },
                  { "wrn_16_2_vanilla", "wrn_16_2" },
                  { "resnet8x4_cifar100_lr_0.1", "resnet8x4" },
                  { "resnet8-vanilla", "" },
                  { "models", "" } };
    char from[1024], path[1024];
    snprintf(from, sizeof from, "%s", network_file("c.safetensors", &plain));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ctkd__weights_file file;
        ctkd_error err = { 0 };
        snprintf(path, sizeof path, "%s", scratch_path(cases[i].folder));
        assert_int_equal(mkdir(path, 0777), 0);
        snprintf(path + strlen(path), 64, "/weights.pth");
        strip_metadata(from, path);
        check_ok(ctkd__weights_file_read(path, &file, &err), &err);
        assert_string_equal(file.info.network, "");
        assert_string_equal(file.guess, cases[i].network);
        ctkd__weights_file_fini(&file);
    }
}

/* Weights of `network` without metadata, in a folder. */
static const char *put_in_folder(const char *folder, const char *network)
{
    struct ctkd__network_info info = tiny_network_info();
    char path[1024];
    snprintf(info.network, sizeof info.network, "%s", network);
    tiny_network_write(scratch_path("whole.safetensors"), 1, &info);
    snprintf(path, sizeof path, "%s", scratch_path(folder));
    mkdir(path, 0777);
    snprintf(path + strlen(path), 64, "/weights.pth");
    strip_metadata(scratch_path("whole.safetensors"), path);
    static char kept[1024];
    snprintf(kept, sizeof kept, "%s", path);
    return kept;
}

static void contents_come_before_the_folder_s_name(void **state)
{
    (void)state;
    static const struct {
        const char *folder, *network;
    } cases[] = { { "resnet20_of_resnet8", "resnet8" }, { "wrn_16_2_of_resnet8x4", "resnet8x4" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ctkd__weights_file file;
        struct ctkd__graph *graph;
        char note[CTKD__NOTE_BYTES];
        ctkd_error err = { 0 };
        check_ok(
            ctkd__weights_file_read(put_in_folder(cases[i].folder, cases[i].network), &file, &err),
            &err);
        assert_string_not_equal(file.guess, cases[i].network);
        check_ok(ctkd__weights_file_graph(&file, "", &open_sizes, &graph, note, &err), &err);
        assert_string_equal(file.info.network, cases[i].network);
        assert_string_equal(note, "");
        ctkd__graph_destroy(graph);
        ctkd__weights_file_fini(&file);
    }
}

static void a_checksum_beside_the_file_is_checked_first(void **state)
{
    (void)state;
    struct ctkd__weights_file file;
    char path[1024], line[128], sum[65];
    ctkd_error err = { 0 };
    snprintf(path, sizeof path, "%s", network_file("d.pth", &plain));
    check_ok(ctkd__sha256_file(path, sum, &err), &err);
    snprintf(line, sizeof line, "%s  d.pth\n", sum);
    scratch_text("d.pth.sha256", line);
    check_ok(ctkd__weights_file_read(path, &file, &err), &err);
    assert_true(file.verified);
    ctkd__weights_file_fini(&file);
    line[0] = line[0] == '0' ? '1' : '0';
    scratch_text("d.pth.sha256", line);
    assert_int_equal(ctkd__weights_file_read(path, &file, &err), CTKD_EFORMAT);
    assert_true(!file.tensors.items && !file.path[0]);
}

/* No network fits when a parameter has a name of its own: what the folder says is then tried, and
   called a guess. */
static void a_guess_is_called_one(void **state)
{
    (void)state;
    struct ctkd__weights_file file;
    struct ctkd__graph *graph;
    char note[CTKD__NOTE_BYTES];
    ctkd_error err = { 0 };
    static const char *const folders[] = { "resnet8_renamed", "resnet20_renamed" };
    for (size_t i = 0; i < 2; i++) {
        check_ok(ctkd__weights_file_read(put_in_folder(folders[i], "resnet8"), &file, &err), &err);
        free(file.tensors.items[0].name);
        file.tensors.items[0].name = strdup("stem.weight");
        const ctkd_status status =
            ctkd__weights_file_graph(&file, "", &open_sizes, &graph, note, &err);
        assert_int_equal(status, i == 0 ? CTKD_OK : CTKD_ESHAPE);
        if (i == 0)
            assert_non_null(strstr(note, "matched by order"));
        assert_non_null(
            strstr(i == 0 ? note : err.message,
                   i == 0 ? "; its network, resnet8, is guessed from the folder's name"
                          : "(resnet20, guessed from the folder's name): the weights do not fit"));
        ctkd__graph_destroy(graph);
        ctkd__weights_file_fini(&file);
    }
}

static void a_size_that_no_file_says_is_not_written(void **state)
{
    (void)state;
    const struct ctkd__weights_format *const *const formats = ctkd__weights_formats();
    char bare[1024], network[] = "resnet8";
    snprintf(bare, sizeof bare, "%s", put_in_folder("sizes", "resnet8"));
    for (size_t named = 0; named < 2; named++)
        for (size_t i = 0; formats[i]; i++) {
            const bool sized = formats[i]->holds_network;
            struct ctkd__convert_options options = plain;
            struct ctkd__weights_file file;
            char note[CTKD__NOTE_BYTES], name[64];
            snprintf(name, sizeof name, "sized%s", formats[i]->endings[0]);
            ctkd_error err = { 0 };
            options.network = named ? network : empty;
            check_ok(ctkd__convert(bare, scratch_path(name), &options, note, &err), &err);
            assert_true((strstr(note, "the model assumes 32x32 (set height and") != NULL) == sized);
            check_ok(ctkd__weights_file_read(scratch_path(name), &file, &err), &err);
            assert_int_equal(file.info.height, sized ? 32 : 0);
            assert_int_equal(file.info.width, sized ? 32 : 0);
            assert_string_equal(file.info.network, "resnet8");
            assert_int_equal(file.info.classes, TINY_CLASSES);
            if (!sized) {
                static const char *const unknown[] = { "height", "width", "mean",
                                                       "std",    "epoch", "dataset" };
                for (size_t k = 0; k < sizeof unknown / sizeof *unknown; k++)
                    assert_null(ctkd__tensors_get(&file.tensors, unknown[k]));
            }
            assert_false(file.info.has_normalisation);
            ctkd__weights_file_fini(&file);
        }
}

/* Sets one value of a tensor of a .safetensors file and writes it as `to`. */
static void spoil(const char *from, const char *to, const char *name, float value)
{
    struct ctkd__tensors list = { 0 };
    ctkd_error err = { 0 };
    check_ok(ctkd__safetensors_read(from, &list, &err), &err);
    const struct ctkd__tensor *const tensor = ctkd__tensors_find(&list, name);
    ((float *)tensor->data)[5] = value;
    const size_t n = strlen(to);
    if (strcmp(to + n - 3, "pth") == 0)
        check_ok(ctkd__pth_write(to, &list, &err), &err);
    else
        check_ok(ctkd__safetensors_write(to, &list, &err), &err);
    ctkd__tensors_fini(&list);
}

static void weights_that_are_not_finite_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *file, *tensor;
        float value;
        const char *message;
    } cases[] = {
        { "nan.safetensors", "conv1.weight", NAN, "conv1.weight: element 5 is nan, expected" },
        { "nan.pth", "fc.bias", INFINITY, "fc.bias: element 5 is inf, expected a finite number" },
        { "var.pth", "bn1.running_var", -1, "bn1.running_var: element 5 is -1, expected a vari" },
    };
    char from[1024];
    snprintf(from, sizeof from, "%s", network_file("e.safetensors", &plain));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ctkd__weights_file file;
        ctkd_error err = { 0 };
        spoil(from, scratch_path(cases[i].file), cases[i].tensor, cases[i].value);
        assert_int_equal(ctkd__weights_file_read(scratch_path(cases[i].file), &file, &err),
                         CTKD_ENAN);
        assert_non_null(strstr(err.message, cases[i].file));
        assert_non_null(strstr(err.message, cases[i].message));
    }
}

/* An initialiser of ONNX may have any name and any use: what it is shows in its node. */
static void constants_of_onnx_are_finite_and_its_variances_not_negative(void **state)
{
    (void)state;
    static const float values[] = { NAN, -1 };
    char path[1024];
    snprintf(path, sizeof path, "%s", network_file("f.onnx", &plain));
    for (size_t i = 0; i < 2; i++) {
        struct ctkd__onnx_model model = { 0 };
        struct ctkd__weights_file file;
        ctkd_error err = { 0 };
        check_ok(ctkd__onnx_read(path, &model, &err), &err);
        const struct ctkd__tensor *const tensor =
            ctkd__tensors_find(&model.initialisers, "layer1.0.bn1.running_var");
        assert_non_null(tensor);
        ((float *)tensor->data)[0] = values[i];
        check_ok(ctkd__onnx_write(scratch_path("spoilt.onnx"), &model, &err), &err);
        ctkd__onnx_fini(&model);
        assert_int_equal(ctkd__weights_file_read(scratch_path("spoilt.onnx"), &file, &err),
                         CTKD_ENAN);
        assert_non_null(strstr(err.message, "layer1.0.bn1.running_var: element 0 is "));
    }
}

static void a_file_without_tensors_is_no_weights(void **state)
{
    (void)state;
    struct ctkd__tensors none = { 0 };
    struct ctkd__weights_file file;
    ctkd_error err = { 0 };
    check_ok(ctkd__safetensors_write(scratch_path("none.safetensors"), &none, &err), &err);
    assert_int_equal(ctkd__weights_file_read(scratch_path("none.safetensors"), &file, &err),
                     CTKD_EFORMAT);
    assert_non_null(strstr(err.message, "none.safetensors: found no tensors, expected weights"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_are_known_by_their_first_bytes),
        cmocka_unit_test(formats_are_asked_for_by_the_ending),
        cmocka_unit_test(every_format_has_a_name_and_endings_of_its_own),
        cmocka_unit_test(a_file_cut_off_is_refused_in_every_format),
        cmocka_unit_test(every_format_gives_the_network_it_names),
        cmocka_unit_test(a_model_of_free_size_waits_for_one),
        cmocka_unit_test(a_folded_model_is_taken_as_it_is),
        cmocka_unit_test(a_file_that_says_nothing_is_the_network_that_fits),
        cmocka_unit_test(the_folder_s_name_is_a_guess),
        cmocka_unit_test(contents_come_before_the_folder_s_name),
        cmocka_unit_test(a_guess_is_called_one),
        cmocka_unit_test(a_size_that_no_file_says_is_not_written),
        cmocka_unit_test(a_checksum_beside_the_file_is_checked_first),
        cmocka_unit_test(weights_that_are_not_finite_are_refused_by_name),
        cmocka_unit_test(constants_of_onnx_are_finite_and_its_variances_not_negative),
        cmocka_unit_test(a_file_without_tensors_is_no_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
