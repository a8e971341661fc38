/*
 * What a stage of training moves: the stretches of the flat parameter block that it trains and, in
 * the main stage, the temperature, each a group of SGD (sgd.h) with settings of its own.
 */
#ifndef CTKD_TRAIN_OPTIMISER_H
#define CTKD_TRAIN_OPTIMISER_H

#include "train/state.h"

struct ctkd__optimiser_args { /* borrowed until destroy */
    const struct ctkd__config *config;
    unsigned stage;                  /* CTKD_STAGE_INITIAL or CTKD_STAGE_MAIN */
    struct ctkd__run_state *state;   /* weights, temperature and velocities are moved */
    const unsigned char *trained_in; /* as ctkd__adaptors.trained_in; NULL: all are trained */
    struct ctkd__workers *workers;
    /* Their sum is the gradient of all parameters: [n_gradients] in the layout of the weights'
       block, of which the first n_tree are summed as a tree (sgd.h). */
    const float *const *gradients;
    size_t n_gradients, n_tree;
    const float *const *theta_gradients; /* likewise of the temperature, in order */
    size_t n_theta_gradients;
    size_t norm_parts; /* as ctkd__sgd_norm */
};

struct ctkd__optimiser;

/* CTKD_ENOMEM. */
ctkd_status ctkd__optimiser_create(const struct ctkd__optimiser_args *args,
                                   struct ctkd__optimiser **out, ctkd_error *err);
void ctkd__optimiser_destroy(struct ctkd__optimiser *optimiser);

/* The student's learning rate. Here and below, lr_factor scales that of every group. */
float ctkd__optimiser_lr(const struct ctkd__optimiser *optimiser, double lr_factor);

/* Returns the norm of the student's gradient, which is not finite if an element is not, and with
   optimizer.clip_norm makes the next update scale it to at most that norm:
   scale = min(1, clip_norm / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_. */
double ctkd__optimiser_clip(struct ctkd__optimiser *optimiser);

/* Moves the parameters and velocities. */
void ctkd__optimiser_update(struct ctkd__optimiser *optimiser, double lr_factor);

#endif
