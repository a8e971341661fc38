#include "train/state.h"

#include <stdlib.h>

#include "util/error.h"

ctkd_status ctkd__run_state_init(struct ctkd__run_state *state, struct ctkd__weights *weights,
                                 ctkd_temperature *temperature, size_t n_memory, ctkd_error *err)
{
    float *values, *gradient;
    const size_t n = temperature ? ctkd_temperature_parameters(temperature, &values, &gradient) : 0;
    *state = (struct ctkd__run_state){ .stage = CTKD_STAGE_MAIN,
                                       .epoch = 1,
                                       .best_top1 = -1,
                                       .weights = weights,
                                       .n_memory = n_memory };
    state->velocity = calloc(weights->n_values, sizeof *state->velocity);
    state->temperature_velocity = calloc(n + 1, sizeof *state->temperature_velocity);
    state->tau_counts = calloc(CTKD__TAU_BINS, sizeof *state->tau_counts);
    state->memory = calloc(n_memory + 1, sizeof *state->memory);
    if (!state->velocity || !state->temperature_velocity || !state->tau_counts || !state->memory) {
        ctkd__run_state_fini(state);
        return ctkd__fail(err, CTKD_ENOMEM, "optimiser: out of memory for %zu velocities",
                          weights->n_values + n + n_memory);
    }
    state->temperature = temperature;
    return CTKD_OK;
}

void ctkd__run_state_fini(struct ctkd__run_state *state)
{
    free(state->velocity);
    free(state->temperature_velocity);
    free(state->tau_counts);
    free(state->memory);
    ctkd_temperature_destroy(state->temperature);
    *state = (struct ctkd__run_state){ 0 };
}
