/*
 * The state after the last completed step, which can be saved at any moment while the next step is
 * being computed: launchers and batch systems kill a process within seconds of their first signal,
 * and a rank may wait in vain for one that has died.
 *
 * The loop holds the state while it updates parameters, writes the log or saves. Between
 * ctkd__settled_release and ctkd__settled_hold it computes gradients or evaluates, and changes only
 * running statistics and counts of temperatures, of which a copy is kept.
 */
#ifndef CTKD_RUN_SETTLED_H
#define CTKD_RUN_SETTLED_H

#include <semaphore.h>

#include "train/session.h"

struct ctkd__settled;

/*
 * Starts a thread that waits for *now. When it is posted, the thread calls `save` with the session
 * as it was after the last step, as soon as the state is released. `save` must end the process.
 * *out is NULL, and no thread is started, if `now` is NULL or a method keeps state, which changes
 * within a step. On return the caller holds the state. CTKD_EBACKEND: the thread cannot be started.
 */
ctkd_status ctkd__settled_begin(const struct ctkd__session *session, sem_t *now,
                                void (*save)(void *context, struct ctkd__session *settled),
                                void *context, struct ctkd__settled **out, ctkd_error *err);
/* Ends the thread; called by the holder. NULL is allowed, here and below. */
void ctkd__settled_end(struct ctkd__settled *settled);

/* Calls fn with the session as it was after the last step; called by the holder. Does nothing for
   NULL. */
void ctkd__settled_use(const struct ctkd__settled *settled,
                       void (*fn)(void *context, struct ctkd__session *settled), void *context);

/* Releases the state, after copying what may change meanwhile, and takes it back. */
void ctkd__settled_release(struct ctkd__settled *settled);
void ctkd__settled_hold(struct ctkd__settled *settled);

#endif
