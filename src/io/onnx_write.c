/* From the plain lists of onnx.h to protobuf: the messages borrow what the model owns, and are
   packed straight into the file. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <onnx.pb-c.h> /* made from onnx.proto */

#include "ctkd/ctkd.h"
#include "io/onnx.h"
#include "util/error.h"
#include "util/file.h"

enum { IR_VERSION = 8, TYPE_FLOAT = 1, TYPE_INT64 = 7 };

/* protobuf-c wants pointers to non-const texts and arrays, but packing only reads them. */
#define BORROWED(type, pointer) ((type)(uintptr_t)(pointer))

/* Room for messages in the model's memory: an array of pointers to `count` of them. */
#define MESSAGES(model, messages, count, type, init)                                               \
    do {                                                                                           \
        type *const items_ = ctkd__onnx_allocate(model, count, sizeof(type));                      \
        (messages) = ctkd__onnx_allocate(model, count, sizeof(type *));                            \
        for (size_t i_ = 0; i_ < (count) && (messages) && items_; i_++) {                          \
            items_[i_] = (type)init;                                                               \
            (messages)[i_] = &items_[i_];                                                          \
        }                                                                                          \
    } while (0)

static void fill_attribute(const struct ctkd__onnx_attribute *from, Ctkd__Onnx__Attribute *to)
{
    to->name = BORROWED(char *, from->name);
    to->has_type = true;
    to->type = (int32_t)from->kind;
    to->has_i = from->kind == CTKD__ONNX_INT;
    to->i = from->i;
    to->has_f = from->kind == CTKD__ONNX_FLOAT;
    to->f = from->f;
    if (from->kind == CTKD__ONNX_INTS) {
        to->n_ints = from->count;
        to->ints = BORROWED(int64_t *, from->ints);
    } else if (from->kind == CTKD__ONNX_FLOATS) {
        to->n_floats = from->count;
        to->floats = BORROWED(float *, from->floats);
    } else if (from->kind == CTKD__ONNX_STRING) {
        to->has_s = true;
        to->s.data = BORROWED(uint8_t *, from->s);
        to->s.len = strlen(from->s);
    }
}

static void fill_node(struct ctkd__onnx_model *room, const struct ctkd__onnx_node *from,
                      Ctkd__Onnx__Node *to)
{
    to->op_type = BORROWED(char *, from->op);
    to->name = BORROWED(char *, from->name);
    to->n_input = from->n_inputs;
    to->input = BORROWED(char **, from->inputs);
    to->n_output = from->n_outputs;
    to->output = BORROWED(char **, from->outputs);
    to->n_attribute = from->n_attributes;
    MESSAGES(room, to->attribute, from->n_attributes, Ctkd__Onnx__Attribute,
             CTKD__ONNX__ATTRIBUTE__INIT);
    for (size_t i = 0; i < from->n_attributes && room->status == CTKD_OK; i++)
        fill_attribute(&from->attributes[i], to->attribute[i]);
}

static ctkd_status fill_tensor(const struct ctkd__tensor *from, Ctkd__Onnx__Tensor *to,
                               ctkd_error *err)
{
    if (from->type != CTKD__F32 && from->type != CTKD__I64)
        return ctkd__fail(err, CTKD_EINVAL, "%s: found type %s, expected F32 or I64", from->name,
                          ctkd__dtype_text(from->type));
    to->name = from->name;
    to->has_data_type = true;
    to->data_type = from->type == CTKD__F32 ? TYPE_FLOAT : TYPE_INT64;
    to->n_dims = (size_t)from->rank;
    to->dims = BORROWED(int64_t *, from->shape);
    to->has_raw_data = true;
    to->raw_data.data = from->data;
    to->raw_data.len = from->bytes;
    return CTKD_OK;
}

static void fill_value(struct ctkd__onnx_model *room, const struct ctkd__onnx_value *from,
                       Ctkd__Onnx__ValueInfo *to)
{
    static char batch[] = "batch";
    Ctkd__Onnx__Type *const type = ctkd__onnx_allocate(room, 1, sizeof *type);
    Ctkd__Onnx__TensorType *const tensor = ctkd__onnx_allocate(room, 1, sizeof *tensor);
    Ctkd__Onnx__Shape *const shape = ctkd__onnx_allocate(room, 1, sizeof *shape);
    if (room->status != CTKD_OK)
        return;
    *type = (Ctkd__Onnx__Type)CTKD__ONNX__TYPE__INIT;
    *tensor = (Ctkd__Onnx__TensorType)CTKD__ONNX__TENSOR_TYPE__INIT;
    *shape = (Ctkd__Onnx__Shape)CTKD__ONNX__SHAPE__INIT;
    MESSAGES(room, shape->dim, (size_t)from->rank, Ctkd__Onnx__Dimension,
             CTKD__ONNX__DIMENSION__INIT);
    shape->n_dim = (size_t)from->rank;
    for (int i = 0; i < from->rank && room->status == CTKD_OK; i++) {
        shape->dim[i]->has_dim_value = from->shape[i] >= 0;
        shape->dim[i]->dim_value = from->shape[i];
        shape->dim[i]->dim_param = from->shape[i] < 0 ? batch : NULL;
    }
    tensor->has_elem_type = true;
    tensor->elem_type = TYPE_FLOAT;
    tensor->shape = shape;
    type->tensor_type = tensor;
    to->name = BORROWED(char *, from->name);
    to->type = type;
}

static ctkd_status fill_graph(struct ctkd__onnx_model *room, const struct ctkd__onnx_model *model,
                              Ctkd__Onnx__Graph *graph, ctkd_error *err)
{
    static char name[] = "network";
    graph->name = name;
    graph->n_node = model->n_nodes;
    graph->n_initializer = model->initialisers.count;
    graph->n_input = model->n_inputs;
    graph->n_output = model->n_outputs;
    MESSAGES(room, graph->node, graph->n_node, Ctkd__Onnx__Node, CTKD__ONNX__NODE__INIT);
    MESSAGES(room, graph->initializer, graph->n_initializer, Ctkd__Onnx__Tensor,
             CTKD__ONNX__TENSOR__INIT);
    MESSAGES(room, graph->input, graph->n_input, Ctkd__Onnx__ValueInfo,
             CTKD__ONNX__VALUE_INFO__INIT);
    MESSAGES(room, graph->output, graph->n_output, Ctkd__Onnx__ValueInfo,
             CTKD__ONNX__VALUE_INFO__INIT);
    for (size_t i = 0; i < graph->n_node && room->status == CTKD_OK; i++)
        fill_node(room, &model->nodes[i], graph->node[i]);
    for (size_t i = 0; i < graph->n_input && room->status == CTKD_OK; i++)
        fill_value(room, &model->inputs[i], graph->input[i]);
    for (size_t i = 0; i < graph->n_output && room->status == CTKD_OK; i++)
        fill_value(room, &model->outputs[i], graph->output[i]);
    ctkd_status status = CTKD_OK;
    for (size_t i = 0; i < graph->n_initializer && room->status == CTKD_OK && status == CTKD_OK;
         i++)
        status = fill_tensor(&model->initialisers.items[i], graph->initializer[i], err);
    return status;
}

struct file_buffer {
    ProtobufCBuffer base;
    FILE *stream;
};

static void append_to_file(ProtobufCBuffer *buffer, size_t size, const uint8_t *bytes)
{
    fwrite(bytes, 1, size, ((struct file_buffer *)buffer)->stream); /* errors surface at commit */
}

static ctkd_status write_model(const char *path, const Ctkd__Onnx__Model *message, ctkd_error *err)
{
    struct ctkd__new_file file;
    const size_t size = ctkd__onnx__model__get_packed_size(message);
    if (size > INT_MAX)
        return ctkd__fail(err, CTKD_EINVAL,
                          "%s: found %zu bytes, expected at most %d in an ONNX file", path, size,
                          INT_MAX);
    const ctkd_status status = ctkd__new_file_open(&file, path, err);
    if (status != CTKD_OK)
        return status;
    struct file_buffer buffer = { { append_to_file }, file.stream };
    ctkd__onnx__model__pack_to_buffer(message, &buffer.base);
    return ctkd__new_file_commit(&file, err);
}

ctkd_status ctkd__onnx_write(const char *path, const struct ctkd__onnx_model *model,
                             ctkd_error *err)
{
    static char producer[] = "ctkd", version[] = CTKD_VERSION_STRING, domain[] = "";
    if (model->status != CTKD_OK)
        return ctkd__fail(err, model->status, "%s: %s", path, ctkd_status_text(model->status));
    struct ctkd__onnx_model room = { 0 };
    Ctkd__Onnx__Model message = CTKD__ONNX__MODEL__INIT;
    Ctkd__Onnx__Graph graph = CTKD__ONNX__GRAPH__INIT;
    Ctkd__Onnx__OperatorSet set = CTKD__ONNX__OPERATOR_SET__INIT, *sets[] = { &set };
    message.has_ir_version = true;
    message.ir_version = IR_VERSION;
    message.producer_name = producer;
    message.producer_version = version;
    message.graph = &graph;
    message.n_opset_import = 1;
    message.opset_import = sets;
    set.domain = domain;
    set.has_version = true;
    set.version = model->opset;
    const struct ctkd__tensors *const list = &model->initialisers;
    message.n_metadata_props = list->n_metadata;
    MESSAGES(&room, message.metadata_props, list->n_metadata, Ctkd__Onnx__StringPair,
             CTKD__ONNX__STRING_PAIR__INIT);
    for (size_t i = 0; i < list->n_metadata && room.status == CTKD_OK; i++) {
        message.metadata_props[i]->key = list->keys[i];
        message.metadata_props[i]->value = list->values[i];
    }
    ctkd_status status = fill_graph(&room, model, &graph, err);
    if (room.status != CTKD_OK)
        status = ctkd__fail(err, room.status, "%s: out of memory", path);
    if (status == CTKD_OK)
        status = write_model(path, &message, err);
    ctkd__onnx_fini(&room);
    return status;
}
