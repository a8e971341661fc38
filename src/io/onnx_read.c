/* From protobuf to the plain lists of onnx.h. Nothing in the file is trusted. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <onnx.pb-c.h> /* made from onnx.proto */

#include "io/onnx.h"
#include "io/onnx_external.h"
#include "util/error.h"
#include "util/file.h"
#include "util/text.h"

/* Protobuf's own limit on the size of a message. */
static const size_t file_limit = INT_MAX;
/* Opset 9 is the first with today's meaning of BatchNormalization, Upsample and the like; numbers
   above the last known one may change what a node means. */
enum { OPSET_MIN = 9, OPSET_MAX = 26, DATA_EXTERNAL = 1, DATA_INT64 = 7 };

struct onnx_reader {
    const char *name;
    struct ctkd__onnx_external *external; /* NULL: the model is no file, nothing lies beside it */
    struct ctkd__onnx_model *out;
    ctkd_error *err;
};

/* Small messages unpack to a hundred times their size: the sum is bounded, not only each piece. */
struct budget {
    size_t left;
    bool no_memory; /* the system is out of memory, which is not the file's fault */
};

static void *budget_alloc(void *context, size_t size)
{
    struct budget *const budget = context;
    if (size > budget->left)
        return NULL;
    budget->left -= size;
    void *const memory = malloc(size ? size : 1);
    budget->no_memory = budget->no_memory || !memory;
    return memory;
}

static void budget_free(void *context, void *pointer)
{
    (void)context;
    free(pointer);
}

static ctkd_status damaged(const struct onnx_reader *r, const char *what, const char *name)
{
    return ctkd__fail(r->err, CTKD_EFORMAT, "%s: found %s '%.60s', expected a valid ONNX model",
                      r->name, what, ctkd__text_is_line(name) ? name : "?");
}

/* Names go into messages and files: one line of UTF-8. */
static const char *text_of(const struct onnx_reader *r, const char *text)
{
    if (!text)
        text = "";
    if (!ctkd__text_is_line(text)) {
        damaged(r, "a name with unprintable characters", "");
        return NULL;
    }
    const char *const copy = text[0] ? ctkd__onnx_text(r->out, text) : "";
    if (!copy)
        ctkd__fail(r->err, CTKD_ENOMEM, "%s: out of memory", r->name);
    return copy;
}

/* --- tensors */

struct item_list {
    const void *items; /* of the typed list */
    size_t count, size;
    enum ctkd__dtype type;
};

/* ONNX's data types with the list that holds them where there are no raw bytes. */
static bool source_of(const Ctkd__Onnx__Tensor *t, struct item_list *out)
{
    static const struct {
        int32_t number;
        enum ctkd__dtype type;
    } types[] = { { 1, CTKD__F32 },  { 2, CTKD__U8 },   { 3, CTKD__I8 },   { 5, CTKD__I16 },
                  { 6, CTKD__I32 },  { 7, CTKD__I64 },  { 9, CTKD__BOOL }, { 10, CTKD__F16 },
                  { 11, CTKD__F64 }, { 16, CTKD__BF16 } };
    size_t i = 0;
    while (i < sizeof types / sizeof *types &&
           types[i].number != (t->has_data_type ? t->data_type : 0))
        i++;
    if (i == sizeof types / sizeof *types)
        return false;
    *out = (struct item_list){ t->int32_data, t->n_int32_data, 4, types[i].type };
    if (out->type == CTKD__F32)
        *out = (struct item_list){ t->float_data, t->n_float_data, 4, CTKD__F32 };
    else if (out->type == CTKD__F64)
        *out = (struct item_list){ t->double_data, t->n_double_data, 8, CTKD__F64 };
    else if (out->type == CTKD__I64)
        *out = (struct item_list){ t->int64_data, t->n_int64_data, 8, CTKD__I64 };
    return true;
}

/* What is known about a tensor before memory is allocated for it: bytes inside the model, or a
   place in another file. */
struct found {
    struct item_list source;
    struct ctkd__onnx_place place;
    bool is_external;
    size_t bytes;
};

static ctkd_status find_place(const struct onnx_reader *r, const Ctkd__Onnx__Tensor *t,
                              const char *name, struct found *found)
{
    found->is_external = t->has_data_location && t->data_location == DATA_EXTERNAL;
    if (!found->is_external)
        return CTKD_OK;
    if (!r->external)
        return ctkd__fail(
            r->err, CTKD_EFORMAT,
            "%s: %s: found external data, which only a model read from a file can have", r->name,
            name);
    ctkd_status status = CTKD_OK;
    for (size_t i = 0; i < t->n_external_data && status == CTKD_OK; i++) {
        const char *const key = t->external_data[i]->key, *const value = t->external_data[i]->value;
        status = ctkd__onnx_place_set(&found->place, r->name, name, key ? key : "",
                                      value ? value : "", r->err);
    }
    return status;
}

/* Compares the number of elements of a shape with what the file holds, before allocating memory. */
static ctkd_status check_size(const struct onnx_reader *r, const Ctkd__Onnx__Tensor *t,
                              const char *name, struct found *found)
{
    size_t elements = 1;
    for (size_t i = 0; i < t->n_dims; i++)
        if (t->dims[i] < 0 || __builtin_mul_overflow(elements, (size_t)t->dims[i], &elements))
            return damaged(r, "an impossible shape of", name);
    const size_t size = ctkd__dtype_bytes(found->source.type);
    if (__builtin_mul_overflow(elements, size, &found->bytes))
        return damaged(r, "an impossible shape of", name);
    size_t stored = t->has_raw_data ? t->raw_data.len : found->source.count * size;
    if (found->is_external)
        stored = found->place.has_length ? found->place.length : found->bytes;
    if (stored != found->bytes)
        return ctkd__fail(r->err, CTKD_EFORMAT, "%s: %s: found %zu bytes of data, expected %zu",
                          r->name, name, stored, found->bytes);
    return found->is_external
               ? ctkd__onnx_external_find(r->external, &found->place, name, found->bytes, r->err)
               : CTKD_OK;
}

static ctkd_status find_tensor(const struct onnx_reader *r, const Ctkd__Onnx__Tensor *t,
                               const char *name, struct found *found)
{
    *found = (struct found){ .bytes = 0 };
    if (!ctkd__text_is_line(name) || !name[0])
        return damaged(r, "two initialisers named", name);
    const ctkd_status status = find_place(r, t, name, found);
    if (status != CTKD_OK)
        return status;
    if (t->n_dims > CTKD__RANK_MAX)
        return ctkd__fail(r->err, CTKD_EFORMAT, "%s: %s: found rank %zu, expected at most %d",
                          r->name, name, t->n_dims, CTKD__RANK_MAX);
    if (!source_of(t, &found->source))
        return ctkd__fail(r->err, CTKD_EFORMAT,
                          "%s: %s: data type %" PRId32 ", expected floats or integers of at most "
                          "64 bits",
                          r->name, name, t->has_data_type ? t->data_type : 0);
    return check_size(r, t, name, found);
}

static ctkd_status add_tensor(struct onnx_reader *r, const Ctkd__Onnx__Tensor *t, const char *name)
{
    struct found found;
    struct ctkd__tensor *tensor;
    ctkd_status status = find_tensor(r, t, name, &found);
    if (status != CTKD_OK)
        return status;
    const struct item_list *const source = &found.source;
    status = ctkd__tensors_add(&r->out->initialisers, name, source->type, (int)t->n_dims, t->dims,
                               &tensor, r->err);
    if (status != CTKD_OK)
        return ctkd__fail_within(r->err, status == CTKD_ENOMEM ? status : CTKD_EFORMAT, "%s",
                                 r->name);
    const size_t size = ctkd__dtype_bytes(source->type);
    if (found.is_external)
        return ctkd__onnx_external_read(r->external, &found.place, tensor->data, found.bytes,
                                        r->err);
    if (t->has_raw_data) {
        if (tensor->bytes)
            memcpy(tensor->data, t->raw_data.data, tensor->bytes);
    } else { /* little-endian: narrow types are the low bytes of their list's */
        for (size_t i = 0; i < source->count; i++)
            memcpy((char *)tensor->data + i * size, (const char *)source->items + i * source->size,
                   size);
    }
    return CTKD_OK;
}

/* --- nodes */

/* A Constant becomes an initialiser that is named as its output. */
static ctkd_status add_constant(struct onnx_reader *r, const Ctkd__Onnx__Node *node)
{
    if (node->n_output != 1 || node->n_attribute != 1 || !node->attribute[0]->name)
        return damaged(r, "a Constant without a single value,", node->name ? node->name : "");
    const Ctkd__Onnx__Attribute *const a = node->attribute[0];
    Ctkd__Onnx__Tensor t = CTKD__ONNX__TENSOR__INIT;
    int64_t length = 1;
    t.has_data_type = true;
    t.dims = &length;
    if (strcmp(a->name, "value") == 0 && a->t)
        return add_tensor(r, a->t, node->output[0]);
    if (strcmp(a->name, "value_int") == 0) {
        t.data_type = 7, t.int64_data = (int64_t *)&a->i, t.n_int64_data = 1;
    } else if (strcmp(a->name, "value_float") == 0) {
        t.data_type = 1, t.float_data = (float *)&a->f, t.n_float_data = 1;
    } else if (strcmp(a->name, "value_ints") == 0) {
        t.data_type = 7, t.int64_data = a->ints, t.n_int64_data = a->n_ints;
        t.n_dims = 1, length = (int64_t)a->n_ints;
    } else if (strcmp(a->name, "value_floats") == 0) {
        t.data_type = 1, t.float_data = a->floats, t.n_float_data = a->n_floats;
        t.n_dims = 1, length = (int64_t)a->n_floats;
    } else {
        return damaged(r, "a Constant of kind", a->name);
    }
    return add_tensor(r, &t, node->output[0]);
}

static ctkd_status read_attribute(const struct onnx_reader *r, const Ctkd__Onnx__Attribute *from,
                                  struct ctkd__onnx_attribute *to)
{
    to->name = text_of(r, from->name);
    to->kind = (enum ctkd__onnx_kind)from->type;
    to->f = from->f;
    to->i = from->i;
    if (to->kind == CTKD__ONNX_INTS) {
        to->ints = ctkd__onnx_copy(r->out, from->ints, from->n_ints, sizeof *from->ints);
        to->count = from->n_ints;
    } else if (to->kind == CTKD__ONNX_FLOATS) {
        to->floats = ctkd__onnx_copy(r->out, from->floats, from->n_floats, sizeof *from->floats);
        to->count = from->n_floats;
    } else if (to->kind == CTKD__ONNX_STRING) {
        char *const s = ctkd__onnx_allocate(r->out, from->s.len + 1, 1);
        if (s && from->s.len)
            memcpy(s, from->s.data, from->s.len);
        if (s && !ctkd__text_is_line(s))
            return damaged(r, "unreadable text in attribute", to->name ? to->name : "");
        to->s = s;
    } else if (to->kind == CTKD__ONNX_TENSOR && from->t && from->t->data_type == DATA_INT64) {
        const Ctkd__Onnx__Tensor *const t = from->t;
        to->count = t->raw_data.len == sizeof to->i || t->n_int64_data == 1;
        if (t->raw_data.len == sizeof to->i)
            memcpy(&to->i, t->raw_data.data, sizeof to->i);
        else if (to->count)
            to->i = t->int64_data[0];
    }
    if (r->out->status != CTKD_OK)
        return ctkd__fail(r->err, r->out->status, "%s: out of memory", r->name);
    return to->name ? CTKD_OK : CTKD_EFORMAT;
}

static const char **read_names(const struct onnx_reader *r, size_t count, char **names)
{
    const char **const out = ctkd__onnx_allocate(r->out, count, sizeof *out);
    for (size_t i = 0; i < count && out; i++)
        if (!(out[i] = text_of(r, names[i])))
            return NULL;
    return out;
}

static ctkd_status foreign(const struct onnx_reader *r, const Ctkd__Onnx__Node *node)
{
    const char *const texts[] = { node->name && node->name[0] ? node->name
                                  : node->n_output            ? node->output[0]
                                                              : "",
                                  node->domain, node->op_type ? node->op_type : "" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (!ctkd__text_is_line(texts[i]))
            return damaged(r, "a name with unprintable characters", "");
    return ctkd__fail(r->err, CTKD_EFORMAT,
                      "%s: node %.80s (%.40s): found operator domain %.40s, expected that of ONNX",
                      r->name, texts[0], texts[2], texts[1]);
}

static ctkd_status read_node(struct onnx_reader *r, const Ctkd__Onnx__Node *from)
{
    struct ctkd__onnx_model *const out = r->out;
    struct ctkd__onnx_node *const to = &out->nodes[out->n_nodes];
    const char *const op = from->op_type ? from->op_type : "", *const domain = from->domain;
    if (domain && domain[0] && strcmp(domain, "ai.onnx") != 0)
        return foreign(r, from);
    if (strcmp(op, "Constant") == 0)
        return add_constant(r, from);
    *to = (struct ctkd__onnx_node){ .n_inputs = from->n_input, .n_outputs = from->n_output };
    to->op = text_of(r, op);
    to->name = text_of(r, from->name);
    to->inputs = read_names(r, from->n_input, from->input);
    to->outputs = read_names(r, from->n_output, from->output);
    to->attributes = ctkd__onnx_allocate(out, from->n_attribute, sizeof *to->attributes);
    if (out->status != CTKD_OK)
        return ctkd__fail(r->err, out->status, "%s: out of memory", r->name);
    if (!to->op || !to->name || !to->inputs || !to->outputs)
        return CTKD_EFORMAT;
    if (to->n_outputs == 0 || !to->outputs[0][0])
        return damaged(r, "a node without an output,", to->op);
    out->n_nodes++;
    for (size_t i = 0; i < from->n_attribute; i++) {
        const ctkd_status status =
            read_attribute(r, from->attribute[i], &to->attributes[to->n_attributes]);
        if (status != CTKD_OK)
            return ctkd__fail_within(r->err, status, "%s: %.40s (%.40s)", r->name, to->op,
                                     to->outputs[0]);
        to->n_attributes++;
    }
    return CTKD_OK;
}

/* --- inputs and outputs */

static ctkd_status read_value(struct onnx_reader *r, const Ctkd__Onnx__ValueInfo *from,
                              bool is_input)
{
    const Ctkd__Onnx__TensorType *const type = from->type ? from->type->tensor_type : NULL;
    const char *const name = text_of(r, from->name);
    if (!name)
        return r->out->status ? r->out->status : CTKD_EFORMAT;
    int64_t shape[CTKD__RANK_MAX];
    int rank = -1;
    if (type && type->shape) {
        if (type->shape->n_dim > CTKD__RANK_MAX)
            return damaged(r, "too many dimensions of", name);
        rank = (int)type->shape->n_dim;
        for (int i = 0; i < rank; i++) {
            const Ctkd__Onnx__Dimension *const dim = type->shape->dim[i];
            shape[i] = dim->has_dim_value && dim->dim_value > 0 ? dim->dim_value : -1;
        }
    }
    struct ctkd__onnx_model *const out = r->out;
    (is_input ? ctkd__onnx_add_input : ctkd__onnx_add_output)(out, name, rank, shape);
    if (out->status != CTKD_OK)
        return ctkd__fail(r->err, out->status, "%s: out of memory", r->name);
    (is_input ? &out->inputs[out->n_inputs - 1] : &out->outputs[out->n_outputs - 1])->type =
        type && type->has_elem_type ? type->elem_type : 0;
    return CTKD_OK;
}

static ctkd_status read_metadata(struct onnx_reader *r, const Ctkd__Onnx__Model *model)
{
    for (size_t i = 0; i < model->n_metadata_props; i++) {
        const Ctkd__Onnx__StringPair *const pair = model->metadata_props[i];
        const char *const value = pair->value ? pair->value : "";
        if (!pair->key || !ctkd__text_is_line(pair->key) || !ctkd__text_is_utf8(value))
            return damaged(r, "unreadable metadata", "");
        const ctkd_status status =
            ctkd__tensors_set(&r->out->initialisers, pair->key, value, r->err);
        if (status != CTKD_OK)
            return ctkd__fail_within(r->err, status, "%s", r->name);
    }
    return CTKD_OK;
}

static ctkd_status read_opset(struct onnx_reader *r, const Ctkd__Onnx__Model *model)
{
    int64_t opset = 0;
    for (size_t i = 0; i < model->n_opset_import; i++) {
        const char *const domain = model->opset_import[i]->domain;
        if (!domain || !domain[0] || strcmp(domain, "ai.onnx") == 0)
            opset = model->opset_import[i]->version;
    }
    if (opset < OPSET_MIN || opset > OPSET_MAX)
        return ctkd__fail(r->err, CTKD_EFORMAT, "%s: operator set %" PRId64 ", expected %d to %d",
                          r->name, opset, OPSET_MIN, OPSET_MAX);
    r->out->opset = opset;
    return CTKD_OK;
}

static ctkd_status read_graph(struct onnx_reader *r, const Ctkd__Onnx__Graph *graph)
{
    ctkd_status status = CTKD_OK;
    for (size_t i = 0; i < graph->n_initializer && status == CTKD_OK; i++)
        status = add_tensor(r, graph->initializer[i],
                            graph->initializer[i]->name ? graph->initializer[i]->name : "");
    r->out->nodes = calloc(graph->n_node, sizeof *r->out->nodes);
    if (!r->out->nodes)
        return ctkd__fail(r->err, CTKD_ENOMEM, "%s: out of memory", r->name);
    for (size_t i = 0; i < graph->n_node && status == CTKD_OK; i++)
        status = read_node(r, graph->node[i]);
    for (size_t i = 0; i < graph->n_input && status == CTKD_OK;
         i++) /* old files list weights too */
        if (!graph->input[i]->name ||
            !ctkd__tensors_find(&r->out->initialisers, graph->input[i]->name))
            status = read_value(r, graph->input[i], true);
    for (size_t i = 0; i < graph->n_output && status == CTKD_OK; i++)
        status = read_value(r, graph->output[i], false);
    return status;
}

static ctkd_status read_model(const char *name, const void *bytes, size_t size,
                              struct ctkd__onnx_external *external, struct ctkd__onnx_model *out,
                              ctkd_error *err)
{
    struct onnx_reader r = { name, external, out, err };
    struct budget budget = { ((size_t)16 << 20) + 4 * size, false };
    ProtobufCAllocator allocator = { budget_alloc, budget_free, &budget };
    Ctkd__Onnx__Model *const model = ctkd__onnx__model__unpack(&allocator, size, bytes);
    if (!model || !model->graph || model->graph->n_node == 0) {
        if (model)
            ctkd__onnx__model__free_unpacked(model, &allocator);
        if (budget.no_memory)
            return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", name);
        return ctkd__fail(err, CTKD_EFORMAT,
                          "%s: found %zu bytes that are not an ONNX model, or a truncated one",
                          name, size);
    }
    ctkd_status status = read_opset(&r, model);
    if (status == CTKD_OK)
        status = read_metadata(&r, model);
    if (status == CTKD_OK)
        status = read_graph(&r, model->graph);
    ctkd__onnx__model__free_unpacked(model, &allocator);
    if (status != CTKD_OK)
        ctkd__onnx_fini(out);
    return status;
}

ctkd_status ctkd__onnx_read_bytes(const char *name, const void *bytes, size_t size,
                                  struct ctkd__onnx_model *out, ctkd_error *err)
{
    return read_model(name, bytes, size, NULL, out, err);
}

ctkd_status ctkd__onnx_read(const char *path, struct ctkd__onnx_model *out, ctkd_error *err)
{
    char *bytes;
    size_t size;
    ctkd_status status = ctkd__file_read(path, file_limit, &bytes, &size, err);
    if (status != CTKD_OK)
        return status;
    struct ctkd__onnx_external external = { .model = path };
    status = read_model(path, bytes, size, &external, out, err);
    ctkd__onnx_external_fini(&external);
    free(bytes);
    return status;
}

/* --- recognising a model */

static bool next_varint(FILE *stream, uint64_t *out)
{
    *out = 0;
    for (int shift = 0, c = 128; c & 128; shift += 7) {
        c = getc(stream);
        if (c == EOF || shift > 63)
            return false;
        *out |= (uint64_t)(c & 127) << shift;
    }
    return true;
}

/* Fields of a ModelProto: numbers and messages or texts. */
static bool is_field(uint64_t field, bool is_number)
{
    static const unsigned char numbers[] = { 1, 5 },
                               pieces[] = { 2, 3, 4, 6, 7, 8, 14, 20, 25, 26 };
    return field < 32 && memchr(is_number ? numbers : pieces, (int)field,
                                is_number ? sizeof numbers : sizeof pieces) != NULL;
}

bool ctkd__onnx_is_model(const char *path)
{
    enum { GRAPH = 7, NUMBER = 0, PIECE = 2 };
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISREG(info.st_mode)) /* opening a pipe would wait */
        return false;
    FILE *const stream = fopen(path, "rbe");
    const off_t size = info.st_size;
    bool good = stream && size > 0, has_graph = false;
    while (good && ftello(stream) < size) {
        uint64_t tag, value;
        good = next_varint(stream, &tag) && next_varint(stream, &value) &&
               (tag % 8 == NUMBER || tag % 8 == PIECE) && is_field(tag / 8, tag % 8 == NUMBER);
        if (good && tag % 8 == PIECE)
            good = value <= (uint64_t)(size - ftello(stream)) &&
                   fseeko(stream, (off_t)value, SEEK_CUR) == 0;
        has_graph |= tag == (GRAPH << 3 | PIECE);
    }
    if (stream)
        fclose(stream);
    return good && has_graph;
}
