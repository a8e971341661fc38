/* .safetensors: what runs write. */
#include "io/safetensors.h"
#include "weights/weights_file.h"

static bool detect(const char *path, const unsigned char *bytes, size_t n)
{
    (void)path;
    return n > 8 && bytes[8] == '{'; /* after the length of the header */
}

static ctkd_status read(struct ctkd__weights_file *file, const char *wanted, ctkd_error *err)
{
    ctkd_status status = ctkd__safetensors_read(file->path, &file->tensors, err);
    if (status == CTKD_OK && !ctkd__weights_are_checkpoint(&file->tensors))
        status = ctkd__sets_take(&file->tensors, wanted, file->path, &file->sets, err);
    return status;
}

static ctkd_status write(const char *path, const struct ctkd__export_args *args, ctkd_error *err)
{
    return ctkd__safetensors_write(path, args->tensors, err);
}

static const char *const endings[] = { ".safetensors", NULL };

const struct ctkd__weights_format ctkd__weights_format_safetensors = {
    .name = "safetensors",
    .title = "safetensors",
    .noun = "a .safetensors file",
    .endings = endings,
    .holds_metadata = true,
    .holds_sets = true,
    .detect = detect,
    .read = read,
    .write = write,
};
