#include "ctkd/status.h"

const char *ctkd_status_text(ctkd_status status)
{
    switch (status) {
#define STATUS_CASE(name, value, text)                                                             \
    case CTKD_##name:                                                                              \
        return text;
        CTKD_STATUS_LIST(STATUS_CASE)
#undef STATUS_CASE
    }
    return "unknown status";
}
