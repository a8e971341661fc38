#include "train/state.h"

#include <stdlib.h>

#include "util/error.h"

ctkd_status ctkd__run_state_init(struct ctkd__run_state *state, struct ctkd__weights *weights,
                                 ctkd_temperature *temperature, size_t n_method_state,
                                 ctkd_error *err)
{
    *state = (struct ctkd__run_state){ .stage = CTKD_STAGE_MAIN,
                                       .epoch = 1,
                                       .best_top1 = -1,
                                       .best_dev_top1 = -1,
                                       .weights = weights,
                                       .n_method_state = n_method_state };
    if (temperature)
        state->n_theta = ctkd_temperature_parameters(temperature, &state->theta, &state->dtheta);
    state->velocity = calloc(weights->n_values, sizeof *state->velocity);
    state->temperature_velocity = calloc(state->n_theta + 1, sizeof *state->temperature_velocity);
    state->tau_counts = calloc(CTKD__TAU_BINS, sizeof *state->tau_counts);
    state->method_state = calloc(n_method_state + 1, sizeof *state->method_state);
    if (!state->velocity || !state->temperature_velocity || !state->tau_counts ||
        !state->method_state) {
        const size_t n = weights->n_values + state->n_theta + n_method_state;
        ctkd__run_state_fini(state);
        return ctkd__fail(err, CTKD_ENOMEM, "optimiser: out of memory for %zu velocities", n);
    }
    state->temperature = temperature;
    return CTKD_OK;
}

void ctkd__run_state_fini(struct ctkd__run_state *state)
{
    free(state->velocity);
    free(state->temperature_velocity);
    free(state->tau_counts);
    free(state->method_state);
    ctkd_temperature_destroy(state->temperature);
    *state = (struct ctkd__run_state){ 0 };
}
