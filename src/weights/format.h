/* Formats of weights files. The list is src/weights/list.h; no other code refers to a format by
   name. */
#ifndef CTKD_WEIGHTS_FORMAT_H
#define CTKD_WEIGHTS_FORMAT_H

#include <stdbool.h>
#include <stddef.h>

#include "ctkd/status.h"
#include "util/tensors.h"
#include "weights/list.h"

struct ctkd__graph;
struct ctkd__network_info;
struct ctkd__weights_file;

/* What a new file is written from. */
struct ctkd__export_args {
    const struct ctkd__graph *graph; /* of a format with `holds_network`, else maybe NULL */
    /* Every parameter of the graph by name, F32; or, without `holds_network`, what the file is to
       hold, in order, with its metadata. */
    const struct ctkd__tensors *tensors;
    const struct ctkd__network_info *info; /* with `holds_network`: is written as metadata */
    bool fold;                             /* fold batch norms into the convolutions before them */
    bool normalise; /* the model takes pixels / 255 and applies info's normalisation itself */
};

struct ctkd__weights_format {
    const char *name;           /* the word of the list; format=NAME of `ctkd convert` */
    const char *title;          /* for `ctkd inspect`: "PyTorch checkpoint" */
    const char *noun;           /* in messages: "a PyTorch checkpoint" */
    const char *const *endings; /* of names, with the dot; ends with NULL; the first is usual */
    bool holds_metadata;        /* pairs of strings: network, data set, sizes, constants, top-1 */
    bool holds_sets;            /* several sets of weights, each with a name (io/sets.h) */
    bool holds_network;         /* the layers too, and a normalisation before them; written from a
                                   graph, whose batch norms may be folded */
    /* Whether a file is of this format, by its first `n` bytes (at most CTKD__FILE_KIND_BYTES,
       followed by zeros) or, if need be, by more of it. */
    bool (*detect)(const char *path, const unsigned char *bytes, size_t n);
    /* Fills file->tensors and file->sets, or with `holds_network` file->model; file->path is set,
       all else zeroed. `wanted` names a set ("": the preferred one) and is "" without `holds_sets`.
     */
    ctkd_status (*read)(struct ctkd__weights_file *file, const char *wanted, ctkd_error *err);
    /* With `holds_network`, called after file->info was filled from the metadata: the model becomes
       file->graph and file->tensors, and file->info takes what the model itself says. A model with
       open sizes that info does not have stays in file->model, or with `must` gives
       CTKD_EFORMAT. */
    ctkd_status (*import)(struct ctkd__weights_file *file, bool must, ctkd_error *err);
    /* Writes the new file in full or leaves the old one; "-" is standard output. */
    ctkd_status (*write)(const char *path, const struct ctkd__export_args *args, ctkd_error *err);
};

/* In the order of the list; ends with NULL. */
const struct ctkd__weights_format *const *ctkd__weights_formats(void);

/* "auto", then the names in the same order; ends with NULL: an option's choice. */
extern const char *const ctkd__weights_format_choice[];

/* The format of a file by its contents. CTKD_EFORMAT: none of the list. */
ctkd_status ctkd__weights_format_of_file(const char *path, const struct ctkd__weights_format **out,
                                         ctkd_error *err);
/* The format of a name by its ending. CTKD_EINVAL: none of the list. */
ctkd_status ctkd__weights_format_of_name(const char *path, const struct ctkd__weights_format **out,
                                         ctkd_error *err);

/* "safetensors, pth or onnx": what `text` gives of each format; only those that hold a network
   when `networks`. Returns `out`. */
enum ctkd__format_text { CTKD__FORMAT_NAMES, CTKD__FORMAT_NOUNS, CTKD__FORMAT_ENDINGS };
const char *ctkd__weights_format_list(enum ctkd__format_text text, bool networks, char *out,
                                      size_t bytes);

#endif
