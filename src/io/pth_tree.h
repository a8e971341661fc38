/* The tensors of a checkpoint's pickle, wherever they lie in it, with their full names. */
#ifndef CTKD_IO_PTH_TREE_H
#define CTKD_IO_PTH_TREE_H

#include <stdbool.h>

#include "ctkd/status.h"
#include "util/pickle.h"

enum { CTKD__PTH_NAME_BYTES = 512 };

/* A call of one of PyTorch's functions that rebuild tensors: a class or function, and a tuple. */
struct ctkd__pth_tensor {
    const struct ctkd__pickle_value *callable, *args;
};

struct ctkd__pth_entry {
    char *name;    /* "model_ema.module.conv1.weight"; cut after CTKD__PTH_NAME_BYTES - 1 */
    size_t length; /* of the name, uncut */
    size_t outer;  /* bytes of the name that are from outer dicts and objects */
    int rank;
    const struct ctkd__pickle_value *dict; /* in which the tensor lies */
    struct ctkd__pth_tensor tensor;
};

struct ctkd__pth_tree {
    struct ctkd__pth_entry *entries;
    size_t count, capacity;
};

/* Whether a value is a tensor, a parameter, or one of these with attributes or of a class of its
   own. */
bool ctkd__pth_tensor_of(const struct ctkd__pickle_value *v, struct ctkd__pth_tensor *out);

/* A dict, or an object filled like one (OrderedDict). */
bool ctkd__pth_is_dict(const struct ctkd__pickle_value *v);

/*
 * Every tensor below `root` in dicts within dicts and in modules (objects with _parameters,
 * _buffers and _modules, in the order of a state dict); optimisers and schedulers are passed over.
 * `name` begins messages. Call _fini also after a failure: CTKD_ENOMEM, or CTKD_EFORMAT for more
 * than 65536 tensors.
 */
ctkd_status ctkd__pth_tree_read(const char *name, const struct ctkd__pickle_value *root,
                                struct ctkd__pth_tree *out, ctkd_error *err);
void ctkd__pth_tree_fini(struct ctkd__pth_tree *tree);

#endif
