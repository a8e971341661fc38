/*
 * last.ckpt of a run directory: everything that a run needs to resume bit for bit. A sealed
 * .safetensors file with the flat blocks of the weights, the velocities and the temperature, the
 * counters, and as metadata what must be the same again: the configuration, kernels, oneDNN's
 * version and instruction set, threads, the teacher's weights.
 *
 * Saving never leaves the directory without a checkpoint: the new one is written under another
 * name, synced and read back; only then last.ckpt becomes previous.ckpt and the new one last.ckpt.
 */
#ifndef CTKD_RUN_CHECKPOINT_H
#define CTKD_RUN_CHECKPOINT_H

#include "train/session.h"
#include "util/tensors.h"

enum { CTKD__CHECKPOINT_NOTE = 1400 };

/* `log_bytes`: length of log.jsonl that belongs to this state. */
ctkd_status ctkd__checkpoint_save(struct ctkd__session *session, const char *command,
                                  const char *dir, uint64_t log_bytes, ctkd_error *err);

/* What must be the same for a run to go on to the same bits, as metadata of `list`. */
ctkd_status ctkd__checkpoint_describe(const struct ctkd__session *session, const char *command,
                                      struct ctkd__tensors *list, ctkd_error *err);

/* The state of rank 0 becomes that of all ranks, which need not see its files. */
ctkd_status ctkd__checkpoint_share(struct ctkd__session *session, ctkd_error *err);

/* Whether the directory has one, intact or not. */
bool ctkd__checkpoint_exists(const char *dir);

/*
 * Puts a session into the state of last.ckpt, or of previous.ckpt when that one is missing or
 * damaged; `note` says so then, and what run.allow=kernels let differ, and is "" otherwise.
 * CTKD_EFORMAT: none can be read. CTKD_EINVAL: it is of another run; the message names the first
 * difference. Only these may differ: epochs (unless the schedule depends on them), limits, logging,
 * names, paths of what is compared by content, with train.slices the placement on threads and
 * ranks, and with run.allow=kernels these. On failure the session is as it was, unless memory was
 * short.
 */
ctkd_status ctkd__checkpoint_load(struct ctkd__session *session, const char *command,
                                  const char *dir, uint64_t *log_bytes, char *note, size_t bytes,
                                  ctkd_error *err);

#endif
