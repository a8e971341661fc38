/*
 * The state behind the last completed step, which can be saved at any moment while the next step is
 * computed: launchers and batch systems kill within seconds of their first signal, and a rank may
 * wait in vain for one that has died.
 *
 * The loop holds the state while it moves parameters, writes the log or saves; between
 * ctkd__settled_release and ctkd__settled_hold it computes gradients or evaluates, and moves
 * nothing but running statistics and counts of temperatures, of which there is a copy.
 */
#ifndef CTKD_RUN_SETTLED_H
#define CTKD_RUN_SETTLED_H

#include <semaphore.h>

#include "train/session.h"

struct ctkd__settled;

/*
 * Begins to wait for *now in a thread of its own: when it is posted, `save` is called there with
 * the session as it was behind the last step, as soon as that is released. `save` ends the
 * process. *out is NULL, and nothing is waited for, where `now` is NULL or a method has a memory,
 * which moves within a step. The caller holds the state.
 */
ctkd_status ctkd__settled_begin(const struct ctkd__session *session, sem_t *now,
                                void (*save)(void *context, struct ctkd__session *settled),
                                void *context, struct ctkd__settled **out, ctkd_error *err);
void ctkd__settled_end(struct ctkd__settled *settled); /* by its holder; NULL is allowed */

/* Calls fn with the session as it was behind the last step, for its holder; not for NULL. */
void ctkd__settled_use(const struct ctkd__settled *settled,
                       void (*fn)(void *context, struct ctkd__session *settled), void *context);

/* NULL is allowed in both. */
void ctkd__settled_release(struct ctkd__settled *settled);
void ctkd__settled_hold(struct ctkd__settled *settled);

#endif
