/* What the instructions that move or average pixels need to know, worked out once for a layout:
 * maps of channels and windows. Used by training and inference. */
#ifndef CTKD_NN_MAPS_H
#define CTKD_NN_MAPS_H

#include "nn/compile/program.h"
#include "nn/kernels/kernels.h"

/* The plan of a CHANNELS instruction, forward. Operands have c[0] and c[1] channels (0: no such
   operand). CTKD_ENOMEM. */
ctkd_status ctkd__channel_plan_forward(const struct ctkd__channel *channels, size_t count,
                                       const size_t c[2], size_t block,
                                       struct ctkd__channel_plan *out);
/* Of its gradient towards one operand, which has c channels: the output's gradient is operand 0. */
ctkd_status ctkd__channel_plan_backward(const struct ctkd__channel *channels, size_t count,
                                        uint32_t operand, size_t c, size_t block,
                                        struct ctkd__channel_plan *out);
void ctkd__channel_plan_fini(struct ctkd__channel_plan *plan);

/* Windows of an AVERAGE_POOL, POOL_TO or RESIZE node over its input. CTKD_ENOMEM.
   op_average.c */
ctkd_status ctkd__windows_create(const struct ctkd__node *node, const struct ctkd__node *in,
                                 struct ctkd__windows *out);
void ctkd__windows_fini(struct ctkd__windows *windows);

#endif
