#include <stdio.h>
#include <stdlib.h>

#include "io/onnx.h"
#include "support/check.h"
#include "support/scratch.h"
#include "support/temp_files.h"

/* Protobuf by hand, so that the files are what no writer would make. */
struct bytes {
    char text[4096];
    size_t n;
};

static void put(struct bytes *to, const void *from, size_t n)
{
    assert_true(to->n + n <= sizeof to->text);
    if (n)
        memcpy(to->text + to->n, from, n);
    to->n += n;
}

static void put_varint(struct bytes *to, uint64_t value)
{
    do {
        const unsigned char byte = (unsigned char)((value & 127) | (value > 127 ? 128 : 0));
        put(to, &byte, 1);
        value >>= 7;
    } while (value);
}

static void put_int(struct bytes *to, unsigned field, uint64_t value)
{
    put_varint(to, field << 3);
    put_varint(to, value);
}

static void put_field(struct bytes *to, unsigned field, const void *from, size_t n)
{
    put_varint(to, field << 3 | 2);
    put_varint(to, n);
    put(to, from, n);
}

static void put_text(struct bytes *to, unsigned field, const char *text)
{
    put_field(to, field, text, strlen(text));
}

static void put_message(struct bytes *to, unsigned field, const struct bytes *message)
{
    put_field(to, field, message->text, message->n);
}

enum { MODEL_GRAPH = 7, MODEL_OPSET = 8, GRAPH_NODE = 1, GRAPH_INITIALIZER = 5 };
enum { NODE_INPUT = 1, NODE_OUTPUT, NODE_NAME, NODE_OP, NODE_ATTRIBUTE, NODE_DOMAIN = 7 };
enum { TENSOR_DIMS = 1, TENSOR_TYPE, TENSOR_INT32 = 5, TENSOR_NAME = 8, TENSOR_RAW };
enum { TENSOR_EXTERNAL = 13, TENSOR_LOCATION = 14 };

static struct bytes node_of(const char *op, const char *name, const char *output)
{
    struct bytes node = { .n = 0 };
    put_text(&node, NODE_INPUT, "x");
    put_text(&node, NODE_OUTPUT, output);
    put_text(&node, NODE_NAME, name);
    put_text(&node, NODE_OP, op);
    return node;
}

/* A model of one node and, unless NULL, one initialiser; of opset 13 unless another is given. */
static struct bytes model_of(const struct bytes *node, const struct bytes *tensor, uint64_t opset)
{
    struct bytes graph = { .n = 0 }, set = { .n = 0 }, model = { .n = 0 };
    put_message(&graph, GRAPH_NODE, node);
    if (tensor)
        put_message(&graph, GRAPH_INITIALIZER, tensor);
    put_text(&set, 1, "");
    put_int(&set, 2, opset);
    put_int(&model, 1, 8);
    put_message(&model, MODEL_GRAPH, &graph);
    put_message(&model, MODEL_OPSET, &set);
    return model;
}

static ctkd_error read_error(const void *bytes, size_t n)
{
    struct ctkd__onnx_model model = { 0 };
    ctkd_error err = { .status = CTKD_OK };
    const ctkd_status status = ctkd__onnx_read_bytes("m.onnx", bytes, n, &model, &err);
    assert_int_equal(status, err.status);
    if (status != CTKD_OK)
        assert_true(!model.nodes && !model.blocks && model.initialisers.count == 0);
    ctkd__onnx_fini(&model);
    return err;
}

static void check_refused(const struct bytes *model, const char *message)
{
    const ctkd_error err = read_error(model->text, model->n);
    if (err.status != CTKD_EFORMAT || !strstr(err.message, message))
        fail_msg("\"%s\", expected \"%s\"", err.message, message);
}

static void check_tensor_refused(const struct bytes *tensor, const char *message)
{
    const struct bytes node = node_of("Relu", "act", "y"), model = model_of(&node, tensor, 13);
    check_refused(&model, message);
}

/* Every kind of thing that can be written. */
static void build(struct ctkd__onnx_model *model)
{
    ctkd_error err;
    struct ctkd__tensor *tensor;
    model->opset = 13;
    check_ok(ctkd__tensors_add(&model->initialisers, "w", CTKD__F32, 2, (int64_t[]){ 2, 3 },
                               &tensor, &err),
             &err);
    for (int i = 0; i < 6; i++)
        ((float *)tensor->data)[i] = (float)i / 3;
    check_ok(ctkd__tensors_add(&model->initialisers, "empty", CTKD__I64, 1, (int64_t[]){ 0 },
                               &tensor, &err),
             &err);
    check_ok(ctkd__tensors_set(&model->initialisers, "network", "resnet\xc3\xa9", &err), &err);
    ctkd__onnx_add(model, "Gemm", "fc", 3, (const char *[]){ "x", "w", "" }, "h");
    ctkd__onnx_set_int(model, "transB", 1);
    ctkd__onnx_set_float(model, "alpha", 0.3f);
    ctkd__onnx_set_ints(model, "pads", 3, (const int64_t[]){ 0, INT64_MIN, INT64_MAX });
    ctkd__onnx_set_ints(model, "none", 0, NULL);
    for (int i = 0; i < 100; i++) {
        char from[16] = "h", to[16];
        if (i)
            snprintf(from, sizeof from, "v%d", i);
        snprintf(to, sizeof to, "v%d", i + 1);
        ctkd__onnx_add(model, "Relu", to, 1, (const char *[]){ from }, to);
    }
    ctkd__onnx_add_input(model, "x", 2, (const int64_t[]){ -1, 3 });
    ctkd__onnx_add_output(model, "v100", 2, (const int64_t[]){ -1, 2 });
    assert_int_equal(model->status, CTKD_OK);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    struct ctkd__onnx_model a = { 0 }, b = { 0 };
    ctkd_error err;
    build(&a);
    check_ok(ctkd__onnx_write(scratch_path("round.onnx"), &a, &err), &err);
    check_ok(ctkd__onnx_read(scratch_path("round.onnx"), &b, &err), &err);
    assert_int_equal(b.opset, 13);
    assert_int_equal(b.n_nodes, 101);
    assert_string_equal(b.nodes[0].op, "Gemm");
    assert_string_equal(b.nodes[0].name, "fc");
    assert_int_equal(b.nodes[0].n_inputs, 3);
    assert_string_equal(b.nodes[0].inputs[2], "");
    assert_string_equal(b.nodes[100].outputs[0], "v100");
    assert_int_equal(ctkd__onnx_attribute(b.nodes, "transB")->i, 1);
    check_close(ctkd__onnx_attribute(b.nodes, "alpha")->f, 0.3f, 0, 0);
    const struct ctkd__onnx_attribute *const pads = ctkd__onnx_attribute(b.nodes, "pads");
    assert_true(pads->count == 3 && pads->ints[1] == INT64_MIN && pads->ints[2] == INT64_MAX);
    assert_int_equal(ctkd__onnx_attribute(b.nodes, "none")->count, 0);
    assert_null(ctkd__onnx_attribute(b.nodes, "transA"));
    assert_true(b.n_inputs == 1 && b.inputs->rank == 2 && b.inputs->shape[0] == -1);
    assert_true(b.n_outputs == 1 && b.outputs->shape[1] == 2);
    assert_string_equal(b.outputs->name, "v100");
    assert_int_equal(b.initialisers.count, 2);
    assert_memory_equal(b.initialisers.items[0].data, a.initialisers.items[0].data, 24);
    assert_string_equal(ctkd__tensors_get(&b.initialisers, "network"), "resnet\xc3\xa9");
    ctkd__onnx_fini(&a);
    ctkd__onnx_fini(&b);
}

static void a_file_cut_at_any_byte_is_refused_or_another_model(void **state)
{
    (void)state;
    struct ctkd__onnx_model model = { 0 };
    ctkd_error err;
    size_t n;
    build(&model);
    check_ok(ctkd__onnx_write(scratch_path("whole.onnx"), &model, &err), &err);
    ctkd__onnx_fini(&model);
    char *const bytes = temp_read(scratch_path("whole.onnx"), &n);
    /* Protobuf has no end mark: cut between top-level fields, what is left may be a model. */
    size_t read = 0;
    for (size_t i = 0; i < n; i++) {
        char *const cut = malloc(i ? i : 1); /* of its own, so that reading behind it is seen */
        memcpy(cut, bytes, i);
        const ctkd_error found = read_error(cut, i);
        assert_true(found.status == CTKD_OK || found.status == CTKD_EFORMAT);
        read += found.status == CTKD_OK;
        free(cut);
    }
    assert_int_equal(read, 1); /* without the metadata */
    free(bytes);
}

static void any_byte_may_be_wrong(void **state)
{
    (void)state;
    struct ctkd__onnx_model model = { 0 };
    ctkd_error err;
    size_t n;
    build(&model);
    check_ok(ctkd__onnx_write(scratch_path("bytes.onnx"), &model, &err), &err);
    ctkd__onnx_fini(&model);
    unsigned char *const bytes = temp_read(scratch_path("bytes.onnx"), &n);
    for (size_t i = 0; i < n; i++)
        for (unsigned bit = 1; bit < 256; bit *= 2) {
            bytes[i] ^= (unsigned char)bit;
            const ctkd_error found = read_error(bytes, n);
            assert_true(found.status == CTKD_OK || found.status == CTKD_EFORMAT);
            bytes[i] ^= (unsigned char)bit;
        }
    free(bytes);
}

static struct bytes tensor_of(uint64_t rows, uint64_t columns, uint64_t type, size_t data)
{
    static const char zeros[64];
    struct bytes tensor = { .n = 0 };
    put_int(&tensor, TENSOR_DIMS, rows);
    put_int(&tensor, TENSOR_DIMS, columns);
    put_int(&tensor, TENSOR_TYPE, type);
    put_text(&tensor, TENSOR_NAME, "w");
    put_field(&tensor, TENSOR_RAW, zeros, data);
    return tensor;
}

static void sizes_are_not_believed(void **state)
{
    (void)state;
    struct bytes tensor = tensor_of(2, 3, 1, 24), node = node_of("Relu", "act", "y");
    struct bytes model = model_of(&node, &tensor, 13);
    assert_int_equal(read_error(model.text, model.n).status, CTKD_OK);
    tensor = tensor_of(2, 3, 1, 23);
    check_tensor_refused(&tensor, "m.onnx: w: found 23 bytes of data, expected 24");
    tensor = tensor_of(1u << 30, 1u << 30, 1, 24);
    check_tensor_refused(&tensor,
                         "m.onnx: w: found 24 bytes of data, expected 4611686018427387904");
    tensor = tensor_of(UINT64_C(1) << 40, UINT64_C(1) << 40, 1, 24);
    check_tensor_refused(&tensor, "an impossible shape of 'w'");
    tensor = tensor_of(2, (uint64_t)-3, 1, 24);
    check_tensor_refused(&tensor, "an impossible shape of 'w'");
    tensor = tensor_of(2, 3, 8, 24); /* strings */
    check_tensor_refused(&tensor, "m.onnx: w: data type 8, expected floats or integers");
    tensor = tensor_of(2, 3, 1, 24);
    for (int i = 0; i < 7; i++)
        put_int(&tensor, TENSOR_DIMS, 1);
    check_tensor_refused(&tensor, "m.onnx: w: found rank 9, expected at most 8");
    tensor = (struct bytes){ .n = 0 };
    put_int(&tensor, TENSOR_TYPE, 1);
    check_tensor_refused(&tensor, "two initialisers named ''");
}

/* --- weights beside the model */

/* A float tensor of n elements in another file; NULL: that is not said. */
static struct bytes external_of(const char *name, uint64_t n, const char *location,
                                const char *offset, const char *length)
{
    const char *const pairs[3][2] = { { "location", location },
                                      { "offset", offset },
                                      { "length", length } };
    struct bytes tensor = { .n = 0 };
    put_int(&tensor, TENSOR_DIMS, n);
    put_int(&tensor, TENSOR_TYPE, 1);
    put_text(&tensor, TENSOR_NAME, name);
    for (int i = 0; i < 3; i++)
        if (pairs[i][1]) {
            struct bytes pair = { .n = 0 };
            put_text(&pair, 1, pairs[i][0]);
            put_text(&pair, 2, pairs[i][1]);
            put_message(&tensor, TENSOR_EXTERNAL, &pair);
        }
    put_int(&tensor, TENSOR_LOCATION, 1);
    return tensor;
}

/* Writes a model with these tensors and reads it; the caller ends it. */
static ctkd_error read_with(const struct bytes *tensors, size_t n, struct ctkd__onnx_model *model)
{
    const struct bytes node = node_of("Relu", "act", "y");
    struct bytes graph = { .n = 0 }, set = { .n = 0 }, bytes = { .n = 0 };
    ctkd_error err = { .status = CTKD_OK };
    for (size_t i = 0; i < n; i++)
        put_message(&graph, GRAPH_INITIALIZER, &tensors[i]);
    put_message(&graph, GRAPH_NODE, &node);
    put_int(&set, 2, 13);
    put_message(&bytes, MODEL_OPSET, &set); /* in another order than writers have */
    put_message(&bytes, MODEL_GRAPH, &graph);
    put_int(&bytes, 1, 8);
    scratch_write("beside.onnx", bytes.text, bytes.n);
    *model = (struct ctkd__onnx_model){ .opset = 0 };
    const ctkd_status status = ctkd__onnx_read(scratch_path("beside.onnx"), model, &err);
    assert_int_equal(status, err.status);
    return err;
}

static void check_external_refused(struct bytes tensor, const char *message)
{
    struct ctkd__onnx_model model;
    const ctkd_error err = read_with(&tensor, 1, &model);
    if (err.status == CTKD_OK || !strstr(err.message, message))
        fail_msg("\"%s\", expected \"%s\"", err.message, message);
    assert_true(!model.nodes && !model.blocks && !model.initialisers.items);
}

static void weights_may_lie_in_files_beside_the_model(void **state)
{
    (void)state;
    const float values[5] = { 1, 2, 3, 4, 5 };
    struct ctkd__onnx_model model;
    scratch_write("beside.data", values, sizeof values);
    scratch_write("other.data", values + 3, 8);
    const struct bytes tensors[4] = { external_of("a", 2, "beside.data", "4", "8"),
                                      external_of("b", 2, "other.data", NULL, "8"),
                                      external_of("c", 1, "./beside.data", "16", NULL),
                                      external_of("d", 0, "beside.data", "20", "0") };
    const ctkd_error err = read_with(tensors, 4, &model);
    check_ok(err.status, &err);
    const struct ctkd__tensor *const t = model.initialisers.items;
    assert_int_equal(model.initialisers.count, 4);
    assert_memory_equal(t[0].data, values + 1, 8);
    assert_memory_equal(t[1].data, values + 3, 8);
    assert_memory_equal(t[2].data, values + 4, 4);
    assert_true(t[3].bytes == 0);
    ctkd__onnx_fini(&model);
}

/* read_with writes the fields of a model in another order than others do. */
static void a_model_is_known_whatever_the_order_of_its_fields(void **state)
{
    (void)state;
    const struct bytes tensor = external_of("a", 0, "beside.data", NULL, NULL);
    struct ctkd__onnx_model model;
    size_t n;
    scratch_write("beside.data", "", 0);
    const ctkd_error err = read_with(&tensor, 1, &model);
    check_ok(err.status, &err);
    ctkd__onnx_fini(&model);
    char *const bytes = temp_read(scratch_path("beside.onnx"), &n);
    assert_int_equal(bytes[0], MODEL_OPSET << 3 | 2);
    assert_true(ctkd__onnx_is_model(scratch_path("beside.onnx")));
    for (size_t i = 0; i + 2 < n; i++) /* without its last field it is one */
        assert_false(ctkd__onnx_is_model(scratch_write("cut.onnx", bytes, i)));
    free(bytes);
    assert_false(ctkd__onnx_is_model(scratch_write("text", "Blue, green and red.\n", 21)));
    assert_false(ctkd__onnx_is_model(scratch_path("nothing")));
    assert_false(ctkd__onnx_is_model("/"));
}

static void weights_files_that_are_missing_short_or_elsewhere_are_named(void **state)
{
    (void)state;
    static const char *const outside[] = { "/etc/passwd", "..", "../w", "a/../../w",
                                           "a/..",        "",   NULL };
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++)
        check_external_refused(external_of("a", 2, outside[i], "0", "8"),
                               "expected the name of a file in the model's folder");
    check_external_refused(external_of("a", 2, "none.data", "0", "8"),
                           "none.data: No such file or directory; expected the file with the");
    check_external_refused(external_of("a", 2, ".", "0", "8"), "not a regular file");
    static const char pointer[] =
        "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345678\n";
    scratch_write("pointer.data", pointer, sizeof pointer - 1);
    check_external_refused(external_of("a", 2, "pointer.data", "4096", "8"),
                           "pointer.data: found a Git LFS pointer (`git lfs pull` fetches the "
                           "file), expected the weights (external data)");
    scratch_write("short.data", "0123456789", 10);
    check_external_refused(external_of("a", 2, "short.data", "4", "8"),
                           "short.data has 10 bytes, expected 8 from byte 4 on");
    check_external_refused(external_of("a", 2, "short.data", "18446744073709551615", "8"),
                           "short.data has 10 bytes, expected 8 from byte 1844");
    check_external_refused(external_of("a", UINT64_C(1) << 50, "short.data", NULL, NULL),
                           "short.data has 10 bytes, expected 4503599627370496 from byte 0 on");
    check_external_refused(external_of("a", 2, "short.data", "0", "9"),
                           "beside.onnx: a: found 9 bytes of data, expected 8");
    check_external_refused(external_of("a", 2, "short.data", "-1", "8"),
                           "found offset '-1', expected a number of bytes");
    check_external_refused(external_of("a", 2, "short.data", "0", "8 "),
                           "found length '8 ', expected a number of bytes");
    scratch_write("short.data.sha256",
                  "0000000000000000000000000000000000000000000000000000000000000000  short.data\n",
                  77);
    check_external_refused(external_of("a", 2, "short.data", "0", "8"),
                           "short.data: found SHA-256 ");
    const struct bytes inner = external_of("a", 2, "short.data", "0", "8");
    check_tensor_refused(
        &inner, "m.onnx: a: found external data, which only a model read from a file can have");
}

static void a_small_weights_file_does_not_fill_the_memory(void **state)
{
    (void)state;
    enum { TENSORS = 12 };
    struct bytes tensors[TENSORS];
    struct ctkd__onnx_model model;
    char name[8];
    scratch_write("many.data", "0123456789abcdef", 16);
    scratch_write("more.data", "0123456789abcdef", 16);
    for (int i = 0; i < TENSORS; i++) { /* in turns, so that the files are opened again */
        snprintf(name, sizeof name, "w%d", i);
        tensors[i] = external_of(name, 4, i % 2 ? "more.data" : "many.data", NULL, NULL);
    }
    ctkd_error err = read_with(tensors, 8, &model);
    check_ok(err.status, &err);
    ctkd__onnx_fini(&model);
    err = read_with(tensors, TENSORS, &model);
    assert_int_equal(err.status, CTKD_EFORMAT);
    assert_non_null(strstr(err.message,
                           "w8: the model refers to more than 4 times the bytes of all its files"));
}

static void narrow_types_may_come_in_a_list_of_integers(void **state)
{
    (void)state;
    struct bytes tensor = { .n = 0 };
    const struct bytes node = node_of("Relu", "act", "y");
    put_int(&tensor, TENSOR_DIMS, 2);
    put_int(&tensor, TENSOR_TYPE, 10);
    put_text(&tensor, TENSOR_NAME, "half");
    put_int(&tensor, TENSOR_INT32, 0x3c00); /* not packed, as old writers do: 1 */
    put_int(&tensor, TENSOR_INT32, 0xc100); /* -2.5 */
    const struct bytes bytes = model_of(&node, &tensor, 13);
    struct ctkd__onnx_model model = { 0 };
    ctkd_error err;
    check_ok(ctkd__onnx_read_bytes("m.onnx", bytes.text, bytes.n, &model, &err), &err);
    check_ok(ctkd__tensors_widen(&model.initialisers, &err), &err);
    const float *const half = ctkd__tensors_find(&model.initialisers, "half")->data;
    check_close(half[0], 1, 0, 0);
    check_close(half[1], -2.5, 0, 0);
    ctkd__onnx_fini(&model);
}

static void a_list_counts_its_own_elements(void **state)
{
    (void)state;
    struct bytes attribute = { .n = 0 }, node = node_of("Relu", "act", "y");
    const float floats[3] = { 1, 2, 3 };
    put_text(&attribute, 1, "pads");
    put_int(&attribute, 8, 5);                       /* one integer ... */
    put_field(&attribute, 7, floats, sizeof floats); /* ... and three floats */
    put_int(&attribute, 20, CTKD__ONNX_INTS);
    put_message(&node, NODE_ATTRIBUTE, &attribute);
    const struct bytes bytes = model_of(&node, NULL, 13);
    struct ctkd__onnx_model model = { 0 };
    ctkd_error err;
    check_ok(ctkd__onnx_read_bytes("m.onnx", bytes.text, bytes.n, &model, &err), &err);
    const struct ctkd__onnx_attribute *const pads = ctkd__onnx_attribute(model.nodes, "pads");
    assert_true(pads->count == 1 && pads->ints[0] == 5 && !pads->floats);
    ctkd__onnx_fini(&model);
}

static void what_is_not_a_model_of_known_operators_is_named(void **state)
{
    (void)state;
    struct bytes node = node_of("Relu", "act", "y"), model = model_of(&node, NULL, 8);
    check_refused(&model, "m.onnx: operator set 8, expected 9 to 26");
    model = model_of(&node, NULL, 1000);
    check_refused(&model, "m.onnx: operator set 1000, expected 9 to 26");
    put_text(&node, NODE_DOMAIN, "com.microsoft");
    model = model_of(&node, NULL, 13);
    check_refused(&model, "m.onnx: node act (Relu): found operator domain com.microsoft, expected "
                          "that of ONNX");
    node = node_of("Relu", "bell\a", "y");
    model = model_of(&node, NULL, 13);
    check_refused(&model, "a name with unprintable characters");
    node = node_of("Relu", "act", "");
    model = model_of(&node, NULL, 13);
    check_refused(&model, "a node without an output, 'Relu'");
    assert_int_equal(read_error("", 0).status, CTKD_EFORMAT);
    assert_int_equal(read_error("\x08\x08", 2).status, CTKD_EFORMAT);
    const ctkd_error err = read_error("not a model", 11);
    assert_non_null(strstr(err.message, "m.onnx: found 11 bytes that are not an ONNX model"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(a_file_cut_at_any_byte_is_refused_or_another_model),
        cmocka_unit_test(any_byte_may_be_wrong),
        cmocka_unit_test(sizes_are_not_believed),
        cmocka_unit_test(weights_may_lie_in_files_beside_the_model),
        cmocka_unit_test(a_model_is_known_whatever_the_order_of_its_fields),
        cmocka_unit_test(weights_files_that_are_missing_short_or_elsewhere_are_named),
        cmocka_unit_test(a_small_weights_file_does_not_fill_the_memory),
        cmocka_unit_test(narrow_types_may_come_in_a_list_of_integers),
        cmocka_unit_test(a_list_counts_its_own_elements),
        cmocka_unit_test(what_is_not_a_model_of_known_operators_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
