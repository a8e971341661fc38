#include "train/schedule.h"

#include <math.h>

#include "config/epochs.h"

static const double pi = 3.14159265358979323846;

ctkd_status ctkd__schedule_init(struct ctkd__schedule *schedule, const struct ctkd__config *config,
                                uint64_t steps_per_epoch, ctkd_error *err)
{
    const double base = (double)config->optimizer.lr;
    *schedule = (struct ctkd__schedule){
        .kind = (enum ctkd__schedule_kind)config->schedule.kind,
        .factor = (double)config->schedule.factor,
        .floor = base > 0 ? (double)config->schedule.lr_min / base : 0,
        .epochs = (uint64_t)config->train.epochs,
        .steps_per_epoch = steps_per_epoch,
        .warmup_epochs = ctkd__epochs_of(config, config->schedule.warmup_epochs),
    };
    return ctkd__epochs_milestones(config, schedule->milestones, &schedule->n_milestones, err);
}

static double step_factor(const struct ctkd__schedule *schedule, uint64_t epoch)
{
    double factor = 1;
    for (size_t i = 0; i < schedule->n_milestones && epoch > schedule->milestones[i]; i++)
        factor *= schedule->factor;
    return factor;
}

static double cosine_factor(const struct ctkd__schedule *schedule, uint64_t done, uint64_t warmup)
{
    const uint64_t total = schedule->epochs * schedule->steps_per_epoch;
    if (done <= warmup || total <= warmup)
        return 1;
    const double p = fmin((double)(done - warmup) / (double)(total - warmup), 1);
    return schedule->floor + (1 - schedule->floor) * (1 + cos(pi * p)) / 2;
}

double ctkd__schedule_factor(const struct ctkd__schedule *schedule, uint64_t epoch, uint64_t step)
{
    const uint64_t done = (epoch - 1) * schedule->steps_per_epoch + step;
    const uint64_t warmup = schedule->warmup_epochs * schedule->steps_per_epoch;
    double factor = 1;
    if (schedule->kind == CTKD__SCHEDULE_STEP)
        factor = step_factor(schedule, epoch);
    else if (schedule->kind == CTKD__SCHEDULE_COSINE)
        factor = cosine_factor(schedule, done, warmup);
    if (done < warmup)
        factor *= (double)(done + 1) / (double)warmup;
    return factor;
}
