#include "lib/loss/by_rows.h"

#include "lib/each.h"

struct row_loop {
    const struct ctkd__by_rows *rows;
    struct sums {
        double loss, dtau;
    } sums[CTKD__TASKS];
};

static void run_task(void *argument, size_t task)
{
    struct row_loop *const loop = argument;
    const struct ctkd__by_rows *const r = loop->rows;
    const size_t k = r->k, end = ctkd__task_begin(r->n, task + 1);
    double kept[2 * CTKD__ROW_KEPT];
    struct sums sums = { 0 };
    for (size_t i = ctkd__task_begin(r->n, task); i < end; i++) {
        struct ctkd__kl_row row = { .k = k,
                                    .skip = r->skip ? (size_t)r->skip[i] : CTKD__NO_CLASS,
                                    .s = r->s + i * k,
                                    .t = r->t + i * k,
                                    .tau = (double)r->tau[r->n_tau == 1 ? 0 : i],
                                    .kept = kept };
        struct ctkd__row_outputs out = { .ds = { .floats = r->ds ? r->ds + i * k : NULL },
                                         .dt = { .floats = r->dt ? r->dt + i * k : NULL } };
        r->row(r->context, &row, (double)r->n, &out);
        sums.loss += out.loss;
        sums.dtau += out.dtau;
        if (r->dtau && r->n_tau > 1)
            r->dtau[i] = (float)(out.dtau / (double)r->n);
    }
    loop->sums[task] = sums;
}

void ctkd__by_rows(const ctkd_pool *pool, const struct ctkd__by_rows *rows)
{
    struct row_loop loop = { .rows = rows };
    struct sums sums = { 0 };
    ctkd__each(pool, CTKD__TASKS, run_task, &loop);
    for (size_t i = 0; i < CTKD__TASKS; i++) {
        sums.loss += loop.sums[i].loss;
        sums.dtau += loop.sums[i].dtau;
    }
    if (rows->dtau && rows->n_tau == 1)
        *rows->dtau = (float)(sums.dtau / (double)rows->n);
    *rows->loss = (float)(sums.loss / (double)rows->n);
}
