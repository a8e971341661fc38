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

ctkd_status ctkd_loss_workspace(const ctkd_loss_def *def, size_t n, size_t k, size_t *values)
{
    *values = def->workspace ? def->workspace(n, k) : 0;
    return def->workspace && *values == 0 ? CTKD_ERANGE : CTKD_OK;
}
