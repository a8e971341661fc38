#include "ctkd/version.h"

const char *ctkd_version(void)
{
    return CTKD_VERSION_STRING;
}
