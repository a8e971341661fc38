#include <string.h>

#include "ctkd/loss.h"
#include "lib/loss/list.h"

#define DECLARE(name) extern const ctkd_loss_def ctkd__loss_##name;
CTKD__LOSS_LIST(DECLARE)
#undef DECLARE

#define ENTRY(name) &ctkd__loss_##name,
static const ctkd_loss_def *const losses[] = { CTKD__LOSS_LIST(ENTRY) NULL };
#undef ENTRY

const ctkd_loss_def *const *ctkd_loss_list(void)
{
    return losses;
}

const ctkd_loss_def *ctkd_loss_find(const char *name)
{
    for (size_t i = 0; name && losses[i]; i++)
        if (strcmp(losses[i]->name, name) == 0)
            return losses[i];
    return NULL;
}

static ctkd_status size_of(size_t (*fn)(const void *config, const ctkd_loss_shape *shape),
                           const void *config, const ctkd_loss_shape *shape, size_t *values)
{
    *values = fn ? fn(config, shape) : 0;
    return fn && *values == 0 ? CTKD_ERANGE : CTKD_OK;
}

ctkd_status ctkd_loss_workspace(const ctkd_loss_def *def, const void *config,
                                const ctkd_loss_shape *shape, size_t *values)
{
    return size_of(def->workspace, config, shape, values);
}

ctkd_status ctkd_loss_state(const ctkd_loss_def *def, const void *config,
                            const ctkd_loss_shape *shape, size_t *values)
{
    return size_of(def->state, config, shape, values);
}
