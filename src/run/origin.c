#include "run/origin.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config/run_config.h"
#include "data/dataset.h"
#include "util/run_files.h"
#include "util/text.h"
#include "weights/weights_file.h"

/* The path of another file of a run directory, beside `file`. False: it cannot be read. */
static bool find_beside(const char *file, enum ctkd__run_file other, char *out, size_t bytes)
{
    const char *slash = strrchr(file, '/');
    const int folder = slash ? (int)(slash + 1 - file) : 0;
    const int n = snprintf(out, bytes, "%.*s%s", folder, file, ctkd__run_file_name(other));
    return n > 0 && (size_t)n < bytes && access(out, R_OK) == 0;
}

/* Whether `file` lies in a run directory under a name that the run gives its weights. */
static bool is_of_run(const char *file)
{
    const char *const name = ctkd__base_name(file);
    char path[1100];
    return (strcmp(name, ctkd__run_file_name(CTKD__RUN_LAST)) == 0 ||
            strcmp(name, ctkd__run_file_name(CTKD__RUN_BEST)) == 0) &&
           (find_beside(file, CTKD__RUN_LOG, path, sizeof path) ||
            find_beside(file, CTKD__RUN_CHECKPOINT, path, sizeof path));
}

/* Compares the network and data set that the weights state with those of the configuration. What
   the weights do not state is no contradiction, but no agreement either. */
static void compare(const struct ctkd__network_info *info, const struct ctkd__config *config,
                    bool *contradicts, bool *agrees)
{
    const size_t n = ctkd__dataset_name_length(config->data.set);
    const bool same_set =
        strlen(info->dataset) == n && memcmp(info->dataset, config->data.set, n) == 0;
    const bool same_network = strcmp(info->network, config->student.network) == 0;
    *contradicts = (info->network[0] && !same_network) || (info->dataset[0] && !same_set);
    *agrees = same_network && same_set;
}

/* A config.yaml beside weights is that of their run if a run left them there and they do not
   contradict it, or if they state the same network and data set. Otherwise it is not used, and the
   note says so. */
static ctkd_status read_run_config(const char *file, const char *yaml,
                                   const struct ctkd__network_info *info,
                                   struct ctkd__config *config, bool *used,
                                   char note[CTKD__NOTE_BYTES], ctkd_error *err)
{
    struct ctkd__config *found;
    ctkd_error why = { 0 };
    const bool of_run = is_of_run(file);
    bool contradicts = false, agrees = false;
    ctkd_status status = ctkd__config_create(&found, err);
    if (status != CTKD_OK)
        return status;
    const ctkd_status read =
        ctkd__sections_read_yaml(ctkd__config_sections(found), yaml, of_run ? err : &why);
    if (read == CTKD_OK)
        compare(info, found, &contradicts, &agrees);
    ctkd__config_destroy(found);
    *used = read == CTKD_OK && (agrees || (of_run && !contradicts));
    if (*used)
        return ctkd__run_config_read(yaml, config, err);
    if (read != CTKD_OK && of_run)
        return read;
    snprintf(note, CTKD__NOTE_BYTES,
             "%.250s does not belong to the run of %.250s (%s) and is not used", yaml, file,
             read != CTKD_OK ? "it is not a configuration of ctkd"
             : contradicts   ? "it names another network or data set"
                             : "no run wrote it there");
    return CTKD_OK;
}

static ctkd_status set_number(struct ctkd__config *config, const char *key, size_t value,
                              ctkd_error *err)
{
    char text[32];
    snprintf(text, sizeof text, "%zu", value);
    return ctkd__sections_set(ctkd__config_sections(config), "metadata", key, text, err);
}

/* Without a run's configuration, the file's metadata say which images the network takes. */
static ctkd_status set_from_metadata(const struct ctkd__network_info *info,
                                     struct ctkd__config *config, ctkd_error *err)
{
    const struct ctkd__sections sections = ctkd__config_sections(config);
    /* the default network is for training */
    ctkd_status status = ctkd__sections_set(sections, "metadata", "student.network", "", err);
    if (status != CTKD_OK || !info->dataset[0])
        return status;
    const struct ctkd__dataset_def *def = ctkd__dataset_find(info->dataset);
    status = ctkd__sections_set(sections, "metadata", "data.set", info->dataset, err);
    if (status == CTKD_OK && def && info->channels && info->channels != def->channels)
        status = set_number(config, "data.channels", info->channels, err);
    if (status == CTKD_OK && def && info->height && info->height != def->height)
        status = set_number(config, def->in_files ? "data.size" : "data.pad_to", info->height, err);
    return status;
}

/* Clears keys that describe the file that the run started from and its teacher: they do not apply
   to the weights that it produced. */
static ctkd_status forget_beginning(struct ctkd__config *config, ctkd_error *err)
{
    static const char *const keys[] = { "student.weights", "teacher.mean", "teacher.std" };
    ctkd_status status = CTKD_OK;
    for (size_t i = 0; i < sizeof keys / sizeof *keys && status == CTKD_OK; i++)
        status = ctkd__sections_set(ctkd__config_sections(config), "run", keys[i], "", err);
    return status;
}

ctkd_status ctkd__origin_configure(const char *path, struct ctkd__config *config,
                                   char note[CTKD__NOTE_BYTES], ctkd_error *err)
{
    char file[1024], yaml[1100];
    struct ctkd__weights_file weights;
    bool used = false;
    note[0] = '\0';
    ctkd_status status = ctkd__network_file_find(path, file, sizeof file, err);
    if (status == CTKD_OK)
        status = ctkd__weights_file_read(file, &weights, err);
    if (status != CTKD_OK)
        return status;
    const struct ctkd__network_info info = weights.info;
    ctkd__weights_file_fini(&weights);
    if (find_beside(file, CTKD__RUN_CONFIG, yaml, sizeof yaml))
        status = read_run_config(file, yaml, &info, config, &used, note, err);
    if (status != CTKD_OK)
        return status;
    status = used ? forget_beginning(config, err) : set_from_metadata(&info, config, err);
    ctkd__sections_forget_given(ctkd__config_sections(config));
    return status;
}
