/* The version and the code of oneDNN that runs: for bug reports and recorded runs. */
#ifndef CTKD_NN_DNNL_VERSION_H
#define CTKD_NN_DNNL_VERSION_H

#include <stddef.h>

/* "2.6.3 (commit)", of the library that is loaded; returns text. */
const char *ctkd__dnnl_version(char *text, size_t bytes);
/* The version and the widest instruction set that it uses here within ONEDNN_MAX_CPU_ISA: its bits
   depend on both. "2.6.3 (commit), AVX-512"; returns text. */
const char *ctkd__dnnl_code(char *text, size_t bytes);

#endif
