/* PyTorch checkpoints (.pth, .pt, .th): the zip form of PyTorch 1.6 and later, and the one before
 * it. */
#ifndef CTKD_IO_PTH_H
#define CTKD_IO_PTH_H

#include "io/sets.h"
#include "util/tensors.h"

/*
 * Reads a state dict of a checkpoint into an empty list; nothing in the file is executed.
 *
 * It may be the whole file, lie in dicts within dicts ("model", "state_dict", ...; optimisers are
 * passed over), or be that of a pickled module. If there are several (io/sets.h), the one named
 * `wanted` is taken, or for NULL or "" the preferred one; *sets (may be NULL) lists all. Prefixes
 * that wrappers put before names are removed. Tensors become F32, except num_batches_tracked, which
 * stays I64. Plain values beside the state dict (epoch, best_acc, ...) become metadata.
 */
ctkd_status ctkd__pth_read_set(const char *path, const char *wanted, struct ctkd__tensors *out,
                               struct ctkd__sets *sets, ctkd_error *err);
ctkd_status ctkd__pth_read(const char *path, struct ctkd__tensors *out, ctkd_error *err);
/* The same from memory; `name` begins messages. */
ctkd_status ctkd__pth_read_bytes(const char *name, const char *bytes, size_t size,
                                 struct ctkd__tensors *out, ctkd_error *err);

/*
 * Writes {"epoch": int, "best_acc": float, "metadata": {str: str}, "model": OrderedDict} in the
 * zip form, as torch.load(weights_only=True) reads it; completely or not at all. epoch and
 * best_acc come from the metadata (best_acc, top1, best_prec1 or accuracy) and are None without.
 */
ctkd_status ctkd__pth_write(const char *path, const struct ctkd__tensors *list, ctkd_error *err);

#endif
