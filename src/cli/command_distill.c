#include "cli/cli.h"

static int run(const struct ctkd__command *command, int argc, char **argv)
{
    return ctkd__cli_train(command, true, argc, argv);
}

const struct ctkd__command ctkd__command_distill = {
    .name = "distill",
    .arguments = "[CONFIG] teacher.path=RUN_OR_FILE [key=value ...]",
    .summary = "train a student from a teacher",
    .details = "The loss is method.ce_weight * CE + method.kd_weight * KD(tau), and for each loss "
               "of method.name its method.weight * loss.\n\n"
               "The teacher is measured on the test images first. The run stops when the teacher "
               "is far below what its file or teacher.expect_top1 promises. CONFIG, the run "
               "directory, --dry-run and the exit status are those of `ctkd train`.",
    .flags = ctkd__train_flags,
    .names_max = 1,
    .options = true,
    .ranks = true,
    .weights = true,
    .run = run,
};
