#include "train/step_teacher.h"

#include "util/error.h"

void ctkd__step_draws(const struct ctkd__step_args *args, struct ctkd__training *training,
                      bool is_teacher, ctkd_view view, struct ctkd__step_position position)
{
    const uint64_t pass = (is_teacher ? 2u : 0u) + (view == CTKD_VIEW_STRONG ? 1u : 0u);
    /* Of the run; the position may be that of the step to come. */
    const uint64_t step = args->state->step + position.step - 1 - args->state->epoch_step;
    ctkd__training_draws(training, (uint64_t)args->config->train.seed, 4 * step + pass,
                         position.first);
}

/* Adds up what the stores of all ranks counted; also those without a store call it. */
static ctkd_status share_counts(const struct ctkd__step_teacher *t,
                                struct ctkd__teacher_store_counts *counts, ctkd_error *err)
{
    struct ctkd__dist *const dist = t->args->dist;
    const size_t size = ctkd__dist_size(dist);
    if (!dist || !t->args->any_store || !*t->args->any_store)
        return CTKD_OK;
    t->counts[ctkd__dist_rank(dist)] = *counts;
    *counts = (struct ctkd__teacher_store_counts){ 0 };
    const ctkd_status status =
        ctkd__dist_gather_shares(dist, size, t->counts, sizeof *t->counts, err);
    for (size_t r = 0; r < size && status == CTKD_OK; r++)
        ctkd__teacher_store_count(counts, &t->counts[r]);
    return status;
}

static ctkd_status forward(const struct ctkd__step_teacher *t, struct ctkd__step_position position,
                           ctkd_view view, struct ctkd__teacher_store_counts *counts,
                           ctkd_error *err)
{
    const struct ctkd__step_args *const args = t->args;
    const struct ctkd__batch *const batch = position.batch;
    struct ctkd__teacher_store *const store = args->store ? *args->store : NULL;
    if (args->teacher->training)
        ctkd__step_draws(args, args->teacher->training, true, view, position);
    ctkd_status status =
        view == CTKD_VIEW_STRONG
            ? ctkd__teacher_forward(args->teacher, batch->n, batch->strong, t->logits, err)
        : store ? ctkd__teacher_store_forward(store, batch, t->logits, counts, err)
                : ctkd__teacher_forward(args->teacher, batch->n, batch->x, t->logits, err);
    if (status == CTKD_OK)
        status = ctkd__dist_gather_logits(args->dist, batch->n, t->logits, args->classes, err);
    if (status == CTKD_OK && view != CTKD_VIEW_STRONG)
        status = share_counts(t, counts, err);
    if (status != CTKD_OK)
        return status;
    return ctkd__step_check_logits(position, "teacher's", args->classes, t->logits,
                                   "damaged weights, or a wrong teacher.mean or .std", err);
}

ctkd_status ctkd__step_teacher_answer(struct ctkd__step_teacher *t,
                                      struct ctkd__step_position position, ctkd_view view,
                                      struct ctkd__teacher_store_counts *counts, ctkd_error *err)
{
    const bool answered =
        t->ahead.there && t->ahead.epoch == position.epoch && t->ahead.step == position.step;
    t->ahead.there = false;
    if (!answered)
        return forward(t, position, view, counts, err);
    *counts = t->ahead.counts;
    return ctkd__fail_as(err, &t->ahead.err);
}

void ctkd__step_teacher_look_ahead(struct ctkd__step_teacher *t,
                                   struct ctkd__step_position position)
{
    const struct ctkd__step_position next = { position.epoch, position.step + 1, &t->next,
                                              t->next_first };
    if (t->next.n == 0)
        return;
    t->ahead.there = true;
    t->ahead.epoch = next.epoch;
    t->ahead.step = next.step;
    t->ahead.err = (ctkd_error){ .status = CTKD_OK };
    t->ahead.counts = (struct ctkd__teacher_store_counts){ 0 };
    (void)forward(t, next, CTKD_VIEW_ONLY, &t->ahead.counts, &t->ahead.err);
    t->next.n = 0;
}
