/* Weights files of any format of the list (weights/format.h), recognised by content, not by the
   name's ending. */
#ifndef CTKD_WEIGHTS_WEIGHTS_FILE_H
#define CTKD_WEIGHTS_WEIGHTS_FILE_H

#include "io/onnx.h"
#include "io/sets.h"
#include "weights/format.h"
#include "weights/known_files.h"
#include "weights/match.h"
#include "weights/network_file.h"

struct ctkd__weights_file {
    char path[1024];
    const struct ctkd__weights_format *format;
    struct ctkd__tensors tensors; /* and the metadata */
    struct ctkd__network_info info;
    struct ctkd__sets sets;    /* of weights in the file; none where the format has none, and for
                                  checkpoints of ours */
    struct ctkd__graph *graph; /* the network itself, where the format holds it; else NULL */
    /* A model whose channels, height or width are free, until _resolve or _graph sets them; else
       NULL. Until then there are no tensors, and the sizes of info that are free are 0. */
    struct ctkd__onnx_model *model;
    char guess[64];              /* a network by the folder's name, if nothing else names one */
    char note[CTKD__NOTE_BYTES]; /* what was guessed about the normalisation; "": nothing */
    const struct ctkd__known_file *known; /* published weights; NULL: not known */
    bool verified;                        /* a SHA-256 beside the file is the file's */
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

/* Adds what is known about the file to a note; nothing if it is not a known file. */
void ctkd__weights_file_note(const struct ctkd__weights_file *file, char note[CTKD__NOTE_BYTES]);

/* The shorter side to which the images of this network are resized before the centre of `side` is
   cut out: of 224 for a published file, or as a file says for its own side; 0: not known. */
size_t ctkd__weights_file_resize(const struct ctkd__weights_file *file, size_t side);
/* Adds to a note that resizing images to `resize`, as is done here, is not what the network's
   published numbers are for; nothing if that is not known or `resize` is 0. */
void ctkd__weights_file_note_resize(const struct ctkd__weights_file *file, size_t side,
                                    size_t resize, char note[CTKD__NOTE_BYTES]);

/* Whether this is a run's last.ckpt: flat blocks, whose names are not those of a network. */
bool ctkd__weights_are_checkpoint(const struct ctkd__tensors *tensors);

/* Imports a model of free size for images of these sizes, where info has none; does nothing to any
   other file. CTKD_EFORMAT: a size that is needed is 0, or the model does not take such images. */
ctkd_status ctkd__weights_file_resolve(struct ctkd__weights_file *file,
                                       const struct ctkd__model_args *sizes, ctkd_error *err);

/*
 * The graph that the weights are of, with file->tensors as its parameters (ctkd__match; `note` is
 * its note). Sizes that info leaves open (0) come from `sizes`. `network` (may be "") decides, else
 * info, else the one network that fits, of several or none that of file->guess (`note` says so);
 * info.network says which it became. An imported graph that is not exactly the network of info
 * (folded, or not one of ours) is taken as it is: file->graph is then NULL. *out is the caller's.
 *
 * Where the set of weights was not asked for by its name and does not fit, the file's others are
 * read and tried in order; the first that fits becomes *file, which `note` says. CTKD_ESHAPE: none
 * does; CTKD_ENOTFOUND: no network is named, and none has such parameters.
 */
ctkd_status ctkd__weights_file_graph(struct ctkd__weights_file *file, const char *network,
                                     const struct ctkd__model_args *sizes, struct ctkd__graph **out,
                                     char note[CTKD__NOTE_BYTES], ctkd_error *err);

#endif
