#include "cli/cli.h"

static int run(const struct ctkd__command *command, int argc, char **argv)
{
    return ctkd__cli_train(command, true, argc, argv);
}

const struct ctkd__command ctkd__command_distill = {
    .name = "distill",
    .arguments = "[CONFIG] teacher.path=RUN_OR_FILE [key=value ...]",
    .summary = "train a student from a teacher",
    .details = "loss = method.ce_weight * CE + method.kd_weight * KD(tau) + method.weight * "
               "method's own.\n"
               "The teacher is measured on the test images first; the run stops when it is far "
               "below what\n"
               "its file or teacher.expect_top1 promises. The run directory and --dry-run are as "
               "of `ctkd train`.",
    .flags = ctkd__train_flags,
    .names_max = 1,
    .options = true,
    .weights = true,
    .run = run,
};
