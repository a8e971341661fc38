#include "io/onnx.h"

#include <stdlib.h>
#include <string.h>

/* The header in front of each block of a model's memory. */
union block {
    union block *next;
    max_align_t align;
};

void ctkd__onnx_fini(struct ctkd__onnx_model *model)
{
    for (union block *block = model->blocks, *next; block; block = next) {
        next = block->next;
        free(block);
    }
    free(model->nodes);
    ctkd__tensors_fini(&model->initialisers);
    *model = (struct ctkd__onnx_model){ 0 };
}

void *ctkd__onnx_allocate(struct ctkd__onnx_model *model, size_t count, size_t size)
{
    size_t bytes;
    if (model->status != CTKD_OK)
        return NULL;
    union block *const block =
        __builtin_mul_overflow(count, size, &bytes) || bytes > PTRDIFF_MAX - sizeof *block
            ? NULL
            : calloc(1, sizeof *block + bytes);
    if (!block) {
        model->status = CTKD_ENOMEM;
        return NULL;
    }
    block->next = model->blocks;
    model->blocks = block;
    return block + 1;
}

void *ctkd__onnx_copy(struct ctkd__onnx_model *model, const void *items, size_t count, size_t size)
{
    void *const copy = ctkd__onnx_allocate(model, count, size);
    if (copy && count)
        memcpy(copy, items, count * size);
    return copy;
}

const char *ctkd__onnx_text(struct ctkd__onnx_model *model, const char *text)
{
    return ctkd__onnx_copy(model, text, strlen(text) + 1, 1);
}

struct ctkd__onnx_node *ctkd__onnx_add(struct ctkd__onnx_model *model, const char *op,
                                       const char *name, size_t n_inputs, const char *const *inputs,
                                       const char *output)
{
    enum { CHUNK = 64 };
    if (model->status == CTKD_OK && model->n_nodes % CHUNK == 0) {
        void *const larger = realloc(model->nodes, (model->n_nodes + CHUNK) * sizeof *model->nodes);
        if (larger)
            model->nodes = larger;
        else
            model->status = CTKD_ENOMEM;
    }
    struct ctkd__onnx_node node = { .n_inputs = n_inputs, .n_outputs = 1 };
    node.op = ctkd__onnx_text(model, op);
    node.name = ctkd__onnx_text(model, name);
    node.inputs = ctkd__onnx_allocate(model, n_inputs, sizeof *node.inputs);
    node.outputs = ctkd__onnx_allocate(model, 1, sizeof *node.outputs);
    for (size_t i = 0; i < n_inputs && model->status == CTKD_OK; i++)
        node.inputs[i] = ctkd__onnx_text(model, inputs[i]);
    if (model->status == CTKD_OK)
        node.outputs[0] = ctkd__onnx_text(model, output);
    if (model->status != CTKD_OK)
        return NULL;
    model->nodes[model->n_nodes] = node;
    return &model->nodes[model->n_nodes++];
}

/* Adds an attribute to the last node. */
static void set(struct ctkd__onnx_model *model, struct ctkd__onnx_attribute attribute)
{
    if (model->status != CTKD_OK)
        return;
    struct ctkd__onnx_node *const node = &model->nodes[model->n_nodes - 1];
    const size_t n = node->n_attributes;
    struct ctkd__onnx_attribute *const all = ctkd__onnx_allocate(model, n + 1, sizeof *all);
    attribute.name = ctkd__onnx_text(model, attribute.name);
    if (model->status != CTKD_OK)
        return;
    if (n)
        memcpy(all, node->attributes, n * sizeof *all);
    all[n] = attribute;
    node->attributes = all;
    node->n_attributes = n + 1;
}

void ctkd__onnx_set_int(struct ctkd__onnx_model *model, const char *name, int64_t value)
{
    set(model, (struct ctkd__onnx_attribute){ .name = name, .kind = CTKD__ONNX_INT, .i = value });
}

void ctkd__onnx_set_float(struct ctkd__onnx_model *model, const char *name, float value)
{
    set(model, (struct ctkd__onnx_attribute){ .name = name, .kind = CTKD__ONNX_FLOAT, .f = value });
}

void ctkd__onnx_set_ints(struct ctkd__onnx_model *model, const char *name, size_t count,
                         const int64_t *values)
{
    set(model, (struct ctkd__onnx_attribute){
                   .name = name,
                   .kind = CTKD__ONNX_INTS,
                   .ints = ctkd__onnx_copy(model, values, count, sizeof *values),
                   .count = count });
}

/* Adds a described value to a list. */
static void add_value(struct ctkd__onnx_model *model, struct ctkd__onnx_value **list, size_t *count,
                      const char *name, int rank, const int64_t *shape)
{
    struct ctkd__onnx_value *const all = ctkd__onnx_allocate(model, *count + 1, sizeof *all);
    struct ctkd__onnx_value value = { .name = ctkd__onnx_text(model, name),
                                      .type = CTKD__ONNX_TYPE_FLOAT,
                                      .rank = rank };
    if (model->status != CTKD_OK)
        return;
    for (int i = 0; i < rank; i++)
        value.shape[i] = shape[i];
    if (*count)
        memcpy(all, *list, *count * sizeof *all);
    all[(*count)++] = value;
    *list = all;
}

void ctkd__onnx_add_input(struct ctkd__onnx_model *model, const char *name, int rank,
                          const int64_t *shape)
{
    add_value(model, &model->inputs, &model->n_inputs, name, rank, shape);
}

void ctkd__onnx_add_output(struct ctkd__onnx_model *model, const char *name, int rank,
                           const int64_t *shape)
{
    add_value(model, &model->outputs, &model->n_outputs, name, rank, shape);
}

const struct ctkd__onnx_attribute *ctkd__onnx_attribute(const struct ctkd__onnx_node *node,
                                                        const char *name)
{
    for (size_t i = 0; i < node->n_attributes; i++)
        if (strcmp(node->attributes[i].name, name) == 0)
            return &node->attributes[i];
    return NULL;
}
