/* The networks: families of rows, one file per family, one list (list.h). */
#ifndef CTKD_NN_MODELS_H
#define CTKD_NN_MODELS_H

#include "nn/graph.h"

/* Larger values are a mistake in a configuration. */
enum { CTKD__MODEL_SIDE_MAX = 8192, CTKD__MODEL_CLASSES_MAX = 1 << 22 };

/* Size of the images, and number of classes. */
struct ctkd__model_args {
    size_t channels, height, width, classes;
};

/* A variant: a row of its family's table. Columns that a family does not use are 0. */
struct ctkd__model {
    const char *name;
    size_t depth, width, groups;
    const size_t *counts;
};

struct ctkd__model_family {
    const char *name, *title, *source;
    const struct ctkd__model *models; /* ends with a NULL name */
    /* Returns the node of the logits. It need not check for errors: the graph keeps the first
       one. */
    int (*build)(struct ctkd__graph *graph, const struct ctkd__model *model,
                 const struct ctkd__model_args *args);
    size_t side;     /* height and width of the images that published numbers are for: 32 or 224 */
    size_t side_min; /* smallest height and width that the strides leave at least one pixel of */
};

const struct ctkd__model_family *const *ctkd__model_families(void); /* NULL-terminated */
const struct ctkd__model *ctkd__model_find(const char *name,
                                           const struct ctkd__model_family **family);

/* The images and classes that a family's published numbers are for: 3 x 32 x 32 and 100, or
   3 x 224 x 224 and 1000. */
struct ctkd__model_args ctkd__model_published(const struct ctkd__model_family *family);

/* Builds a network by name. An unknown name offers the nearest. *out is NULL on failure. */
ctkd_status ctkd__model_build(const char *name, const struct ctkd__model_args *args,
                              struct ctkd__graph **out, ctkd_error *err);

/* For model files: a square convolution without bias that keeps the size at stride 1, drawn from
   N(0, 2/(kernel^2 out)). */
int ctkd__model_conv(struct ctkd__graph *graph, int x, const char *name, size_t out, size_t kernel,
                     size_t stride);

/* For model files: what a stage ends with, as the taps "fN" of its value and "preN" of the value
   before the last activation (-1: not tapped). */
void ctkd__model_tap_stage(struct ctkd__graph *graph, size_t stage, int x, int before);

/* For model files: a name from its parts, "layer2.0.conv1". Returns out; builders copy it. */
const char *ctkd__model_path(char out[96], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
