/* A checkpoint file taken apart: the tree of its pickle, and the bytes of its storages. */
#ifndef CTKD_IO_PTH_CONTAINER_H
#define CTKD_IO_PTH_CONTAINER_H

#include "util/pickle.h"
#include "util/tensors.h"

struct ctkd__pth_storage {
    char *owned;       /* freed with the container: name of the zip form, bytes when compressed */
    const char *key;   /* [0, key_length) */
    const char *bytes; /* little-endian elements, not aligned */
    size_t key_length, size;
};

struct ctkd__pth_container {
    struct ctkd__pickle pickle;
    const struct ctkd__pickle_value *root;
    struct ctkd__pth_storage *storages;
    size_t count, capacity;
    char *owned_pickle; /* of the zip form */
};

/* Takes a file apart; `bytes` must outlive the container. Call _fini also after a failure. */
ctkd_status ctkd__pth_open(struct ctkd__pth_container *container, const char *name,
                           const char *bytes, size_t size, ctkd_error *err);
void ctkd__pth_close(struct ctkd__pth_container *container);

/* Memory that a file of `size` bytes may claim: far above any honest file, far below a zip bomb. */
size_t ctkd__pth_budget(size_t size);

/* What a persistent id says of its storage; false when it is not one of a storage that we know. */
struct ctkd__pth_id {
    const struct ctkd__pickle_value *key; /* a STRING */
    enum ctkd__dtype type;
    size_t numel;
    size_t view_offset; /* elements; 0 unless the id names a part of a storage */
};
#define CTKD__PTH_TYPES "float, double, half, bfloat16, integers or bool"
/* What was found where a storage of a known type was expected, as messages show it:
   "torch.QInt8Storage". */
const char *ctkd__pth_id_text(const struct ctkd__pickle_value *persistent,
                              char text[CTKD__PICKLE_TEXT]);
bool ctkd__pth_id_parse(const struct ctkd__pickle_value *persistent, struct ctkd__pth_id *out);
const struct ctkd__pth_storage *ctkd__pth_find(const struct ctkd__pth_container *container,
                                               const struct ctkd__pickle_value *key);

#endif
