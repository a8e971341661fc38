/* Every subcommand, in the order of `ctkd --help`: add a word here and define
 * `const struct ctkd__command ctkd__command_WORD` in command_WORD.c (cli/cli.h). */
#define CTKD__COMMAND_LIST(X)                                                                      \
    X(train)                                                                                       \
    X(distill)                                                                                     \
    X(eval)                                                                                        \
    X(predict)                                                                                     \
    X(convert)                                                                                     \
    X(inspect)                                                                                     \
    X(check)                                                                                       \
    X(watch)                                                                                       \
    X(plot)                                                                                        \
    X(report)                                                                                      \
    X(export)                                                                                      \
    X(models)                                                                                      \
    X(methods)                                                                                     \
    X(datasets)                                                                                    \
    X(selftest)                                                                                    \
    X(doctor)                                                                                      \
    X(sweep)                                                                                       \
    X(teacher_store)                                                                               \
    X(compare)                                                                                     \
    X(completion)                                                                                  \
    X(man)
