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
    check_tensor_refused(&tensor, "m.onnx: w: 23 bytes of data, expected 24");
    tensor = tensor_of(1u << 30, 1u << 30, 1, 24);
    check_tensor_refused(&tensor, "m.onnx: w: 24 bytes of data, expected 4611686018427387904");
    tensor = tensor_of(UINT64_C(1) << 40, UINT64_C(1) << 40, 1, 24);
    check_tensor_refused(&tensor, "an impossible shape of 'w'");
    tensor = tensor_of(2, (uint64_t)-3, 1, 24);
    check_tensor_refused(&tensor, "an impossible shape of 'w'");
    tensor = tensor_of(2, 3, 8, 24); /* strings */
    check_tensor_refused(&tensor, "m.onnx: w: data type 8, expected floats or integers");
    tensor = tensor_of(2, 3, 1, 24);
    for (int i = 0; i < 7; i++)
        put_int(&tensor, TENSOR_DIMS, 1);
    check_tensor_refused(&tensor, "m.onnx: w: rank 9, expected at most 8");
    tensor = tensor_of(2, 3, 1, 24);
    put_int(&tensor, TENSOR_LOCATION, 1);
    check_tensor_refused(&tensor, "m.onnx: w: stored in another file (external data)");
    tensor = (struct bytes){ .n = 0 };
    put_int(&tensor, TENSOR_TYPE, 1);
    check_tensor_refused(&tensor, "an initialiser named ''");
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
    check_refused(&model, "m.onnx: node act (com.microsoft.Relu): expected operators of ONNX");
    node = node_of("Relu", "bell\a", "y");
    model = model_of(&node, NULL, 13);
    check_refused(&model, "a name of other than printable characters");
    node = node_of("Relu", "act", "");
    model = model_of(&node, NULL, 13);
    check_refused(&model, "a node without output, 'Relu'");
    assert_int_equal(read_error("", 0).status, CTKD_EFORMAT);
    assert_int_equal(read_error("\x08\x08", 2).status, CTKD_EFORMAT);
    const ctkd_error err = read_error("not a model", 11);
    assert_non_null(strstr(err.message, "m.onnx: 11 bytes that are not an ONNX model"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(a_file_cut_at_any_byte_is_refused_or_another_model),
        cmocka_unit_test(any_byte_may_be_wrong),
        cmocka_unit_test(sizes_are_not_believed),
        cmocka_unit_test(narrow_types_may_come_in_a_list_of_integers),
        cmocka_unit_test(a_list_counts_its_own_elements),
        cmocka_unit_test(what_is_not_a_model_of_known_operators_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
