/* Weights of any format that we know: .safetensors, .pth and its kin, .onnx; by content, not by
 * the name's ending. */
#ifndef CTKD_WEIGHTS_WEIGHTS_FILE_H
#define CTKD_WEIGHTS_WEIGHTS_FILE_H

#include "io/sets.h"
#include "weights/match.h"
#include "weights/network_file.h"

/* X(name, text) */
#define CTKD__FORMAT_LIST(X)                                                                       \
    X(SAFETENSORS, "safetensors")                                                                  \
    X(PTH, "PyTorch checkpoint")                                                                   \
    X(ONNX, "ONNX")
enum ctkd__format {
#define CTKD__FORMAT_ENUM(name, text) CTKD__FORMAT_##name,
    CTKD__FORMAT_LIST(CTKD__FORMAT_ENUM)
#undef CTKD__FORMAT_ENUM
        CTKD__FORMAT_COUNT
};
const char *ctkd__format_text(enum ctkd__format format);

/* The format that a file's first bytes show. CTKD_EFORMAT: none of ours. */
ctkd_status ctkd__format_of_file(const char *path, enum ctkd__format *out, ctkd_error *err);
/* The format that a name's ending asks for. CTKD_EINVAL: none of ours. */
ctkd_status ctkd__format_of_name(const char *path, enum ctkd__format *out, ctkd_error *err);

struct ctkd__weights_file {
    char path[1024];
    enum ctkd__format format;
    struct ctkd__tensors tensors; /* and the metadata */
    struct ctkd__network_info info;
    struct ctkd__sets sets;    /* of weights in the file; none for ONNX and checkpoints of ours */
    struct ctkd__graph *graph; /* ONNX: the network itself, as imported; else NULL */
    /* ONNX whose channels, height or width are free, until _resolve or _graph says them; else NULL.
       Until then there are no tensors, and the sizes of info that are free are 0. */
    struct ctkd__onnx_model *model;
    char guess[64];              /* a network by the folder's name, where nothing else says one */
    char note[CTKD__NOTE_BYTES]; /* what was guessed about the normalisation; "": nothing */
    bool verified;               /* a SHA-256 beside the file is the file's */
};

/* Reads what `path` names (ctkd__network_file_find). What the file leaves open is taken from its
   manifest (io/manifest.h). Where neither says the network, a folder's name as the published
   scripts give it (save/models/wrn_40_2_vanilla/ckpt_epoch_240.pth) is a guess: it decides only
   between networks that fit, or when none does. */
ctkd_status ctkd__weights_file_read(const char *path, struct ctkd__weights_file *out,
                                    ctkd_error *err);
/* The same of the set of weights named `wanted` (io/sets.h); NULL or "": the preferred one. */
ctkd_status ctkd__weights_file_read_set(const char *path, const char *wanted,
                                        struct ctkd__weights_file *out, ctkd_error *err);
void ctkd__weights_file_fini(struct ctkd__weights_file *file);

/* Imports a model of free size for images of these sizes, where info has none; does nothing to any
   other file. CTKD_EFORMAT: a size that is needed is 0, or the model does not take such images. */
ctkd_status ctkd__weights_file_resolve(struct ctkd__weights_file *file,
                                       const struct ctkd__model_args *sizes, ctkd_error *err);

/*
 * The graph that the weights are of, with file->tensors as its parameters (ctkd__match; `note` is
 * its note). Sizes that info leaves open (0) come from `sizes`. `network` (may be "") decides, else
 * info, else the one network that fits, of several or none that of file->guess (`note` says so);
 * info.network says which it became. An imported graph that
 * is not exactly the network of info (folded, or not one of ours) is taken as it is: file->graph is
 * then NULL. *out is the caller's.
 */
ctkd_status ctkd__weights_file_graph(struct ctkd__weights_file *file, const char *network,
                                     const struct ctkd__model_args *sizes, struct ctkd__graph **out,
                                     char note[CTKD__NOTE_BYTES], ctkd_error *err);

#endif
