#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "report/compare.h"
#include "run/arm.h"
#include "util/error.h"
#include "util/say.h"
#include "util/text.h"

enum { ARMS_MAX = 16, ALLOWED_MAX = 32 };

struct compare_request {
    const char *const *paths; /* [count] of the arms */
    size_t count;
    const char *allowed[ALLOWED_MAX]; /* keys, or their first parts, in which arms may differ */
    size_t n_allowed;
    enum ctkd__arm_choice choice;
    enum ctkd__compare_format format;
    struct ctkd__compare_options options;
};

enum { METRIC, BEST, LAST, MARGIN, ALLOW, MARKDOWN, LATEX, CSV, JSON };
static const struct ctkd__flag flags[] = {
    [METRIC] = { "--metric", NULL, "KEY", "compare KEY of log.jsonl instead of test_top1", NULL },
    [LAST] = { "--last", NULL, NULL,
               "take the last epoch of each run, also where there is a validation part", NULL },
    [BEST] = { "--best", NULL, NULL, "take the best epoch of each run instead of the last", NULL },
    [MARGIN] = { "--margin", NULL, "POINTS",
                 "say how many pairs a difference of POINTS needs (default 0.3)", NULL },
    [ALLOW] = { "--allow", NULL, "KEY",
                "compare arms that differ in KEY too (or all keys that begin with it)", NULL },
    [MARKDOWN] = { "--markdown", NULL, NULL, "print a table in Markdown", NULL },
    [LATEX] = { "--latex", NULL, NULL, "print a table in LaTeX", NULL },
    [CSV] = { "--csv", NULL, NULL, "print comma-separated values", NULL },
    [JSON] = { "--json", NULL, NULL, "print one JSON object, with a list of the arms", NULL },
    CTKD__FLAG_END,
};

static ctkd_status parse(const struct ctkd__line *line, struct compare_request *r, ctkd_error *err)
{
    struct ctkd__word word;
    for (int at = 0; ctkd__line_next(line, &at, &word);)
        switch (word.flag) {
        case METRIC:
            r->options.metric = word.text;
            break;
        case BEST:
            r->choice = CTKD__ARM_BEST;
            break;
        case LAST:
            r->choice = CTKD__ARM_LAST;
            break;
        case ALLOW:
            if (r->n_allowed == ALLOWED_MAX)
                return ctkd__fail(err, CTKD_EINVAL, "found --allow %s, expected at most %d keys",
                                  word.text, ALLOWED_MAX);
            r->allowed[r->n_allowed++] = word.text;
            break;
        case MARKDOWN:
            r->format = CTKD__COMPARE_MARKDOWN;
            break;
        case LATEX:
            r->format = CTKD__COMPARE_LATEX;
            break;
        case CSV:
            r->format = CTKD__COMPARE_CSV;
            break;
        case JSON:
            r->format = CTKD__COMPARE_JSON;
            break;
        }
    return ctkd__line_number(line, MARGIN, 1e-6, 1e6, &r->options.margin, err);
}

/* --- what arms differ in */

/* Keys that differ and must not. */
struct refused {
    const struct compare_request *request;
    char keys[200], flags[120]; /* so that the message has room for both */
    size_t keys_used, flags_used, count;
};

static bool is_allowed(const struct compare_request *r, const char *key)
{
    for (size_t i = 0; i < r->n_allowed; i++) {
        const size_t n = strlen(r->allowed[i]);
        if (strncmp(key, r->allowed[i], n) == 0 && (key[n] == '.' || key[n] == '\0'))
            return true;
    }
    return false;
}

static ctkd_status note_difference(void *context, const char *key, const char *a, const char *b,
                                   ctkd_error *err)
{
    (void)err;
    struct refused *const r = context;
    if (is_allowed(r->request, key))
        return CTKD_OK;
    r->count++;
    ctkd__text_append(r->keys, sizeof r->keys, &r->keys_used, "%s%s ('%s' and '%s')",
                      r->keys_used ? ", " : "", key, a, b);
    ctkd__text_append(r->flags, sizeof r->flags, &r->flags_used, "%s--allow %s",
                      r->flags_used ? " " : "", key);
    return CTKD_OK;
}

/* Names all keys at once, as far as there is room. */
static ctkd_status refuse_differences(const struct compare_request *r, const struct ctkd__arm *a,
                                      const struct ctkd__arm *b, ctkd_error *err)
{
    struct refused found = { .request = r };
    ctkd__arm_differences(a->runs->config, b->runs->config, note_difference, &found, NULL);
    if (found.count == 0)
        return CTKD_OK;
    return ctkd__fail(err, CTKD_EINVAL,
                      "%.64s and %.64s differ in %s%s; %s%s compares them all the same", a->name,
                      b->name, found.keys, found.keys_used < sizeof found.keys ? "" : " ...",
                      found.flags, found.flags_used < sizeof found.flags ? "" : " ...");
}

/* Prints a line for each arm on stderr with the keys that differ from the first arm's, once it is
   clear that none is refused. */
static ctkd_status tell_differences(const struct compare_request *r, const struct ctkd__arm *arms,
                                    ctkd_error *err)
{
    char text[4096];
    for (size_t i = 1; i < r->count; i++) {
        const ctkd_status status = refuse_differences(r, &arms[0], &arms[i], err);
        if (status)
            return status;
    }
    for (size_t i = 1; i < r->count; i++) {
        ctkd__arm_differences_text(arms[0].runs->config, arms[i].runs->config, text, sizeof text);
        ctkd__say(stderr, "%s: %s", arms[i].name,
                  text[0] ? text : "the configuration of the first arm");
    }
    return CTKD_OK;
}

/* --- comparing */

/* All arms must count the same epoch, which the result names. */
static ctkd_status settle_choice(struct compare_request *r, const struct ctkd__arm *arms,
                                 ctkd_error *err)
{
    for (size_t i = 1; i < r->count; i++)
        if (arms[i].choice != arms[0].choice)
            return ctkd__fail(err, CTKD_EINVAL,
                              "of %s counts the %s, of %s the %s; --last takes the last epoch of "
                              "each run",
                              arms[0].name, ctkd__arm_choice_text(arms[0].choice), arms[i].name,
                              ctkd__arm_choice_text(arms[i].choice));
    r->options.choice = ctkd__arm_choice_text(arms[0].choice);
    if (arms[0].choice == CTKD__ARM_BEST && strncmp(r->options.metric, "test_", 5) != 0)
        r->options.choice = "best epoch by this metric (it flatters)";
    r->options.less_is_better = ctkd__arm_less_is_better(r->options.metric);
    return CTKD_OK;
}

static ctkd_status compare(struct compare_request *r, struct ctkd__arm *arms, ctkd_error *err)
{
    struct ctkd__compared_arm compared[ARMS_MAX] = { { 0 } };
    struct ctkd__comparison results[ARMS_MAX];
    ctkd_status status = CTKD_OK;
    for (size_t i = 0; i < r->count && !status; i++)
        status = ctkd__arm_read(r->paths[i], r->options.metric, r->choice, &arms[i], err);
    if (!status) {
        ctkd__arms_tell_apart(arms, r->paths, r->count);
        status = tell_differences(r, arms, err);
    }
    if (!status)
        status = settle_choice(r, arms, err);
    for (size_t i = 0; i < r->count && !status; i++)
        status = ctkd__arm_describe(&arms[i], &compared[i], err);
    if (!status)
        status = ctkd__compare(compared, r->count, &r->options, results, err);
    if (!status)
        status = ctkd__compare_write(results, r->count, &r->options, r->format, stdout, err);
    for (size_t i = 0; i < r->count; i++)
        ctkd__arm_describe_free(&compared[i]);
    return status;
}

/* Compares the arms of the line. */
static int compare_line(const struct ctkd__line *line, struct compare_request *r, ctkd_error *err)
{
    struct ctkd__arm arms[ARMS_MAX] = { { .count = 0 } };
    struct ctkd__arm_folders folders;
    ctkd_status status = ctkd__cli_arms(line, ARMS_MAX, &folders, err);
    r->paths = (const char *const *)folders.paths;
    r->count = status == CTKD_OK ? folders.count : 0;
    const bool alone = r->count == 1;
    if (alone)
        status = ctkd__fail(err, CTKD_EINVAL,
                            "found %s alone, expected two arms or more; usage: ctkd %s %s",
                            r->paths[0], line->command->name, line->command->arguments);
    if (status == CTKD_OK)
        status = compare(r, arms, err);
    for (size_t i = 0; i < r->count; i++)
        ctkd__arm_free(&arms[i]);
    ctkd__arm_folders_free(&folders);
    return status == CTKD_OK ? CTKD__EXIT_DONE
           : alone           ? ctkd__cli_misused(line->command, err)
                             : ctkd__cli_failed(err);
}

static int run(const struct ctkd__command *command, int argc, char **argv)
{
    struct compare_request request = { .allowed = { "method", "temperature" },
                                       .n_allowed = 2,
                                       .options = ctkd__compare_defaults };
    struct ctkd__line line;
    ctkd_error err = { 0 };
    int ended;
    if (!ctkd__line_read(command, argc, argv, &line, &ended))
        return ended;
    if (parse(&line, &request, &err) != CTKD_OK)
        return ctkd__cli_misused(command, &err);
    return compare_line(&line, &request, &err);
}

const struct ctkd__command ctkd__command_compare = {
    .name = "compare",
    .arguments = "ARM... | SWEEP",
    .summary = "compare arms over seeds, with intervals and a verdict",
    .details =
        "ARM is a folder of run directories that differ in train.seed alone, or one run. SWEEP is "
        "a folder of arms and stands for all of them, in the order of their names, without those "
        "named before it: `ctkd compare SWEEP/kd SWEEP` compares the others with kd. "
        "The first arm is the reference, and the others are paired with it by seed. The "
        "test_top1 of the last epoch of each run is compared; where the runs have a "
        "validation part (data.dev), that of the epoch which is the best there, unless "
        "--last is given. --best without such a part chooses on the test images, which "
        "flatters. The result names which epoch counts.\n\n"
        "Intervals cover 95 %: BCa bootstrap of the mean difference, with 10000 draws that "
        "are the same every time. p is that of the exact sign-flip test, adjusted over the "
        "arms by Holm's method. \"wins\" are the pairs in which the arm is better: above the "
        "reference, of losses below it. \"detectable\" is the difference that this many pairs find "
        "with probability 0.8 at level 0.05.\n\n"
        "Arms may differ in method and temperature. A difference in any other key that "
        "changes results is refused unless --allow names it.",
    .flags = flags,
    .names_min = 1,
    .names_max = ARMS_MAX,
    .run = run,
};
