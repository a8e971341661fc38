#include "ctkd/option.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

/* True when the value fits the option; NaN fails every comparison. */
static bool value_fits(const ctkd_option *option, double value)
{
    switch (option->type) {
    case CTKD_OPTION_F32:
        return isfinite((float)value) && value >= option->min && value <= option->max;
    case CTKD_OPTION_I64: /* 2^63 itself would overflow the conversion */
        return value >= option->min && value <= option->max && value == floor(value) &&
               value >= -0x1p63 && value < 0x1p63;
    case CTKD_OPTION_BOOL:
        return value == 0 || value == 1;
    case CTKD_OPTION_CHOICE:
        for (size_t i = 0; option->choices[i]; i++)
            if (value == (double)i)
                return true;
        return false;
    case CTKD_OPTION_STRING:
    case CTKD_OPTION_PATH:
        break;
    }
    return false;
}

static void store(const ctkd_option *option, void *config, double value)
{
    void *field = (char *)config + option->offset;
    switch (option->type) {
    case CTKD_OPTION_F32:
        *(float *)field = (float)value;
        break;
    case CTKD_OPTION_I64:
        *(int64_t *)field = (int64_t)value;
        break;
    case CTKD_OPTION_BOOL:
        *(bool *)field = value != 0;
        break;
    case CTKD_OPTION_CHOICE:
        *(int *)field = (int)value;
        break;
    case CTKD_OPTION_STRING:
    case CTKD_OPTION_PATH:
        break;
    }
}

void ctkd_options_defaults(const ctkd_option *options, void *config)
{
    for (const ctkd_option *option = options; option && option->name; option++)
        store(option, config, option->value);
}

const ctkd_option *ctkd_option_find(const ctkd_option *options, const char *name)
{
    for (const ctkd_option *option = options; name && option && option->name; option++)
        if (strcmp(option->name, name) == 0)
            return option;
    return NULL;
}

ctkd_status ctkd_option_set(const ctkd_option *options, void *config, const char *name,
                            double value)
{
    if (!config)
        return CTKD_EINVAL;
    const ctkd_option *option = ctkd_option_find(options, name);
    if (!option)
        return CTKD_ENOTFOUND;
    if (option->type == CTKD_OPTION_STRING || option->type == CTKD_OPTION_PATH)
        return CTKD_EINVAL;
    if (!value_fits(option, value))
        return CTKD_ERANGE;
    store(option, config, value);
    return CTKD_OK;
}
