#include "train/state.h"

#include <stdlib.h>

#include "util/error.h"

ctkd_status ctkd__run_state_init(struct ctkd__run_state *state, struct ctkd__weights *weights,
                                 ctkd_temperature *temperature, ctkd_error *err)
{
    float *values, *gradient;
    const size_t n = temperature ? ctkd_temperature_parameters(temperature, &values, &gradient) : 0;
    *state = (struct ctkd__run_state){ .epoch = 1, .best_top1 = -1, .weights = weights };
    state->velocity = calloc(weights->n_values, sizeof *state->velocity);
    state->temperature_velocity = calloc(n + 1, sizeof *state->temperature_velocity);
    if (!state->velocity || !state->temperature_velocity) {
        ctkd__run_state_fini(state);
        return ctkd__fail(err, CTKD_ENOMEM, "optimiser: out of memory for %zu velocities",
                          weights->n_values + n);
    }
    state->temperature = temperature;
    return CTKD_OK;
}

void ctkd__run_state_fini(struct ctkd__run_state *state)
{
    free(state->velocity);
    free(state->temperature_velocity);
    ctkd_temperature_destroy(state->temperature);
    *state = (struct ctkd__run_state){ 0 };
}
