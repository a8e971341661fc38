#include "cli/cli.h"

#include "nn/models/models.h"

static ctkd_status print_model(const struct ctkd__model_family *family, const char *name,
                               ctkd_error *err)
{
    const struct ctkd__model_args args = ctkd__model_published(family);
    struct ctkd__graph *graph;
    const ctkd_status status = ctkd__model_build(name, &args, &graph, err);
    if (status != CTKD_OK)
        return status;
    printf("  %-18s %11zu  %10.2f  ", name, ctkd__graph_trainable(graph),
           (double)ctkd__graph_macs(graph) * 1e-6);
    for (int i = 0; i < graph->n_taps; i++)
        printf("%s%s", i ? " " : "", graph->taps[i].name);
    printf("\n");
    ctkd__graph_destroy(graph);
    return CTKD_OK;
}

static int run(const struct ctkd__command *command, int argc, char **argv)
{
    struct ctkd__line line;
    ctkd_error err = { 0 };
    int status;
    if (!ctkd__line_read(command, argc, argv, &line, &status))
        return status;
    for (const struct ctkd__model_family *const *family = ctkd__model_families(); *family;
         family++) {
        const struct ctkd__model_args args = ctkd__model_published(*family);
        printf("%s (%s), for %zu x %zu images and %zu classes\n", (*family)->title,
               (*family)->source, args.height, args.width, args.classes);
        printf("  %-18s %11s  %10s  %s\n", "name", "parameters", "10^6 MACs", "taps");
        for (const struct ctkd__model *model = (*family)->models; model->name; model++)
            if (print_model(*family, model->name, &err) != CTKD_OK)
                return ctkd__cli_failed(&err);
    }
    return CTKD__EXIT_DONE;
}

const struct ctkd__command ctkd__command_models = {
    .name = "models",
    .arguments = "",
    .summary = "list the networks with parameters, multiply-adds, taps and source",
    .run = run,
};
