/* Which oneDNN runs: for bug reports. */
#ifndef CTKD_NN_DNNL_VERSION_H
#define CTKD_NN_DNNL_VERSION_H

#include <stddef.h>

/* "2.6.3 (commit)", of the library that is loaded; returns text. */
const char *ctkd__dnnl_version(char *text, size_t bytes);

#endif
