/*
 * last.ckpt of a run directory: everything that a run needs to resume bit for bit. It is a sealed
 * .safetensors file with the flat blocks of weights, velocities, temperature and state of methods,
 * the counters, and as metadata what must be the same when the run is resumed: the configuration,
 * the data, kernels, oneDNN's version and instruction set, threads and the teacher's weights.
 *
 * Saving never leaves the directory without a checkpoint: the new one is written under another
 * name, synced and read back; only then last.ckpt becomes previous.ckpt and the new one last.ckpt.
 */
#ifndef CTKD_RUN_CHECKPOINT_H
#define CTKD_RUN_CHECKPOINT_H

#include "train/session.h"
#include "util/tensors.h"

enum { CTKD__CHECKPOINT_NOTE = 1400 };

/* Writes last.ckpt. `log_bytes`: the length of log.jsonl at this state. */
ctkd_status ctkd__checkpoint_save(struct ctkd__session *session, const char *command,
                                  const char *dir, uint64_t log_bytes, ctkd_error *err);

/* Adds to the metadata of `list` what must be the same for a run to resume bit for bit. */
ctkd_status ctkd__checkpoint_describe(const struct ctkd__session *session, const char *command,
                                      struct ctkd__tensors *list, ctkd_error *err);

/* Copies the state of rank 0 to all ranks, which need no access to its files. All ranks call it. */
ctkd_status ctkd__checkpoint_share(struct ctkd__session *session, ctkd_error *err);

/* Whether the directory has a checkpoint, intact or not. */
bool ctkd__checkpoint_exists(const char *dir);

/*
 * Puts a session into the state of last.ckpt, or of previous.ckpt if last.ckpt is missing or
 * damaged. `note` says if previous.ckpt was used and what run.allow=kernels let differ; "" if
 * neither. CTKD_EFORMAT: neither file can be read. CTKD_EINVAL: the checkpoint is of another run;
 * the message names the first difference. Only these may differ: epochs (unless the schedule
 * depends on them), limits, logging, names, paths of what is compared by content, with train.slices
 * the placement on threads and ranks, and with run.allow=kernels the kernels and oneDNN. On failure
 * the session is unchanged, unless memory ran out.
 */
ctkd_status ctkd__checkpoint_load(struct ctkd__session *session, const char *command,
                                  const char *dir, uint64_t *log_bytes, char *note, size_t bytes,
                                  ctkd_error *err);

/* The threads of the process that wrote the run's checkpoint, without which it has other bits; 0:
   there is no checkpoint that can be read, or several ranks wrote it. */
size_t ctkd__checkpoint_threads(const char *dir);

/* Appends to a note, after "; " if it is not empty; cut to `bytes`. */
void ctkd__checkpoint_add_note(char *note, size_t bytes, const char *text);

#endif
