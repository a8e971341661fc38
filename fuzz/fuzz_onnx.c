#include "io/onnx.h"
#include "memory_file.h"
#include "weights/exchange.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);
/* Reads a model and, when that works, makes a graph of it: both meet what is in the file. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct ctkd__onnx_model model = { 0 };
    struct ctkd__tensors tensors = { 0 };
    struct ctkd__network_info info = { 0 };
    struct ctkd__graph *graph = NULL;
    ctkd_error err = { .status = CTKD_OK };
    ctkd_status status = ctkd__onnx_read(memory_file(bytes, n), &model, &err);
    if (status == CTKD_OK)
        status = ctkd__onnx_import("input", &model, &graph, &tensors, &info, &err);
    if (status != err.status || (status == CTKD_OK) != (graph != NULL))
        abort();
    ctkd__graph_destroy(graph);
    ctkd__tensors_fini(&tensors);
    ctkd__onnx_fini(&model);
    return 0;
}
