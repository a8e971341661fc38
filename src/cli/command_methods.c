#include "cli/cli.h"

#include "config/methods.h"
#include "ctkd/loss.h"
#include "util/error.h"

/* The texts are in the order of the flags CTKD_NEEDS_*. */
static void print_needs(unsigned needs)
{
    static const struct {
        unsigned flag;
        const char *text;
    } texts[] = {
        { CTKD_NEEDS_LOGITS, "logits" },
        { CTKD_NEEDS_LABELS, "labels" },
        { CTKD_NEEDS_TAU, "tau (which learns from it)" },
        { CTKD_NEEDS_MAPS, "features" },
        { CTKD_NEEDS_IDS, "sample ids" },
        { CTKD_NEEDS_HEAD, "the teacher's classifier" },
        { CTKD_NEEDS_VIEWS, "a strong view of each image" },
    };
    const char *before = "  needs    ";
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (needs & texts[i].flag) {
            printf("%s%s", before, texts[i].text);
            before = ", ";
        }
    printf("\n");
}

static void print_stages(const ctkd_loss_def *loss)
{
    if (!(loss->stages & CTKD_STAGE_INITIAL))
        return;
    printf("  stages   an initial one of method.initial_epochs that trains %s%s\n",
           loss->initial_trains_student ? "the student below its classifier" : "its own layers",
           loss->stages & CTKD_STAGE_MAIN ? "" : "; nothing in the main one");
}

static void print_ranks(const ctkd_loss_def *loss)
{
    if (loss->needs & CTKD_NEEDS_MAPS)
        printf("  ranks    %s\n", loss->properties & CTKD_BY_PARTS
                                      ? "each computes the terms of its own images"
                                      : "each gathers the features of all images");
}

static void print_option(const ctkd_loss_def *loss, const ctkd_option *option)
{
    printf("  method.%s.%s=", loss->name, option->name);
    if (option->type == CTKD_OPTION_CHOICE)
        printf("%s", option->choices[(size_t)option->value]);
    else if (option->type == CTKD_OPTION_BOOL)
        printf("%s", option->value != 0 ? "true" : "false");
    else
        printf("%g", option->value);
    printf("  %s\n", option->help);
}

static void print_method(const ctkd_loss_def *loss)
{
    printf("%s: %s\n", loss->name, loss->title);
    printf("  formula  %s\n", loss->formula);
    printf("  source   %s\n", loss->source);
    print_needs(loss->needs);
    print_stages(loss);
    print_ranks(loss);
    printf("  weight   %g (method.weight, beta)\n", (double)loss->weight);
    printf("  classes  %zu or more\n", loss->classes_min);
    if (ctkd__methods_is_kd(loss->name)) {
        printf("  form     method.kd_form\n");
        return;
    }
    for (const ctkd_option *option = loss->options; option && option->name; option++)
        print_option(loss, option);
}

static ctkd_status unknown_method(const char *name, ctkd_error *err)
{
    const char *names[64] = { NULL };
    for (size_t i = 0; ctkd_loss_list()[i] && i + 1 < sizeof names / sizeof *names; i++)
        names[i] = ctkd_loss_list()[i]->name;
    return ctkd__unknown("loss", name, names, "`ctkd methods` lists them", err);
}

static const char *loss_name(size_t i)
{
    return ctkd_loss_list()[i] ? ctkd_loss_list()[i]->name : NULL;
}

static int run(const struct ctkd__command *command, int argc, char **argv)
{
    struct ctkd__line line;
    ctkd_error err = { 0 };
    int status;
    if (!ctkd__line_read(command, argc, argv, &line, &status))
        return status;
    const char *const name = ctkd__line_name(&line, 0);
    if (name) {
        const ctkd_loss_def *loss = ctkd_loss_find(name);
        if (!loss) {
            unknown_method(name, &err);
            return ctkd__cli_misused(command, &err);
        }
        print_method(loss);
        return CTKD__EXIT_DONE;
    }
    for (const ctkd_loss_def *const *loss = ctkd_loss_list(); *loss; loss++)
        print_method(*loss);
    return CTKD__EXIT_DONE;
}

const struct ctkd__command ctkd__command_methods = {
    .name = "methods",
    .arguments = "[NAME]",
    .summary = "list the distillation losses with formula, source and options",
    .details = "Every distillation has cross-entropy and KD, with the weights method.ce_weight and "
               "method.kd_weight. method.name adds one of these losses, or several (pkt,crd), each "
               "with its method.weight.",
    .names_max = 1,
    .choice = loss_name,
    .run = run,
};
