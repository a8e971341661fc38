#include "memory_file.h"
#include "weights/weights_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);
/* What `ctkd inspect` and a teacher meet: the format found among all of the list, the file read by
   it, the network that fits found. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    const struct ctkd__model_args sizes = { 3, 32, 32, 10 };
    struct ctkd__weights_file file;
    struct ctkd__graph *graph = NULL;
    char note[CTKD__NOTE_BYTES];
    ctkd_error err = { .status = CTKD_OK };
    ctkd_status status = ctkd__weights_file_read(memory_file(bytes, n), &file, &err);
    if (status == CTKD_OK)
        status = ctkd__weights_file_graph(&file, "", &sizes, &graph, note, &err);
    if (status != err.status || (status == CTKD_OK) != (graph != NULL))
        abort(); /* a failure without its reason, or a reason without failure */
    ctkd__graph_destroy(graph);
    ctkd__weights_file_fini(&file);
    return 0;
}
