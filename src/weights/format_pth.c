/* Checkpoints of PyTorch. */
#include <string.h>

#include "io/pth.h"
#include "weights/weights_file.h"

/* A zip archive, or a pickle of protocol 2 to 5. */
static bool detect(const char *path, const unsigned char *bytes, size_t n)
{
    (void)path;
    return n >= 4 && (memcmp(bytes, "PK\3\4", 4) == 0 ||
                      (bytes[0] == 0x80 && bytes[1] >= 2 && bytes[1] <= 5));
}

static ctkd_status read(struct ctkd__weights_file *file, const char *wanted, ctkd_error *err)
{
    return ctkd__pth_read_set(file->path, wanted, &file->tensors, &file->sets, err);
}

static ctkd_status write(const char *path, const struct ctkd__export_args *args, ctkd_error *err)
{
    return ctkd__pth_write(path, args->tensors, err);
}

static const char *const endings[] = { ".pth", ".pt", ".th", NULL };

const struct ctkd__weights_format ctkd__weights_format_pth = {
    .name = "pth",
    .title = "PyTorch checkpoint",
    .noun = "a PyTorch checkpoint",
    .endings = endings,
    .holds_metadata = true,
    .holds_sets = true,
    .detect = detect,
    .read = read,
    .write = write,
};
