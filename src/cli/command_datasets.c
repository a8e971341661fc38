#include "cli/cli.h"

#include "data/dataset.h"

static int run(const struct ctkd__command *command, int argc, char **argv)
{
    struct ctkd__line line;
    int status;
    if (!ctkd__line_read(command, argc, argv, &line, &status))
        return status;
    for (const struct ctkd__dataset_def *const *def = ctkd__dataset_list(); *def; def++) {
        const struct ctkd__dataset_def *d = *def;
        printf("%s: %s\n", d->name, d->title);
        printf("  source   %s\n", d->source);
        if (d->in_files)
            printf("  images   files of any size (doc/images.md); a class for each folder\n");
        else
            printf("  images   %zu training, %zu test, %zux%zux%zu, %zu classes\n", d->n_train,
                   d->n_test, d->channels, d->height, d->width, d->classes);
        if (d->classes_max && !d->in_files)
            printf("  own      sets of 2 to %zu classes, as their labels, the teacher or "
                   "data.classes say\n",
                   d->classes_max);
        if (d->coarse_classes)
            printf("  labels   fine, or %zu coarse classes by data.labels=coarse\n",
                   d->coarse_classes);
        printf("  path     %s\n", d->files);
        if (d->default_path)
            printf("  default  %s\n", d->default_path);
    }
    return CTKD__EXIT_DONE;
}

const struct ctkd__command ctkd__command_datasets = {
    .name = "datasets",
    .arguments = "",
    .summary = "list the data sets with size, source and files",
    .run = run,
};
