#include "data/source.h"

ctkd_status ctkd__image_source_read(const struct ctkd__image_source *source, size_t id,
                                    struct ctkd__tree_bytes *out, ctkd_error *err)
{
    return ctkd__tree_read(source->tree, source->files[id], CTKD__IMAGE_BYTES_MAX, out, err);
}

void ctkd__image_source_place(const struct ctkd__image_source *source, size_t id, char *out,
                              size_t bytes)
{
    ctkd__tree_place(source->tree, source->files[id], out, bytes);
}
