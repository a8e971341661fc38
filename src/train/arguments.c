#include "train/arguments.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/error.h"

static const struct ctkd__alias aliases[] = {
    { "-r", "method.ce_weight", NULL, NULL },
    { "--gamma", "method.ce_weight", NULL, NULL },
    { "-a", "method.kd_weight", NULL, NULL },
    { "--alpha", "method.kd_weight", NULL, NULL },
    { "-b", "method.weight", NULL, NULL },
    { "--beta", "method.weight", NULL, NULL },
    { "--distill", "method.name", NULL, "kd is none: it has method.kd_weight" },
    { "--dkd_alpha", "method.dkd.alpha", NULL, NULL },
    { "--dkd_beta", "method.dkd.beta", NULL, NULL },
    { "--kd_T", "temperature.tau", NULL, "used when the kind is fixed" },
    { "--have_mlp", "temperature.kind", NULL, "0 is fixed; 1 is what --mlp_name says" },
    { "--mlp_name", "temperature.kind", NULL, "global or instance" },
    { "--t_start", "temperature.tau_min", NULL, NULL },
    { "--t_end", "temperature.tau_span", NULL, "a range, not an end" },
    { "--cosine_decay", "temperature.curriculum", NULL, "1 is cosine, 0 is linear_official" },
    { "--decay_loops", "temperature.curriculum_epochs", NULL, NULL },
    { "--decay_max", "temperature.lambda_min", NULL, "sign exchanged: published 0 is lambda 0" },
    { "--decay_min", "temperature.lambda_max", NULL, "sign exchanged: published -1 is lambda 1" },
    { "--model", "student.network", NULL, NULL },
    { "--model_s", "student.network", NULL, NULL },
    { "--path_t", "teacher.path", NULL, NULL },
    { "--dataset", "data.set", NULL, NULL },
    { "--epochs", "train.epochs", NULL, NULL },
    { "--batch_size", "train.batch", NULL, NULL },
    { "--learning_rate", "optimizer.lr", NULL, NULL },
    { "--lr_decay_epochs", "schedule.milestones", NULL, NULL },
    { "--lr_decay_rate", "schedule.factor", NULL, NULL },
    { "--weight_decay", "optimizer.weight_decay", NULL, NULL },
    { "--momentum", "optimizer.momentum", NULL, NULL },
    { "--trial", "train.seed", NULL, NULL },
    { "--experiments_dir", "run.dir", NULL, NULL },
    { "--experiments_name", "run.name", NULL, NULL },
    { "--force", "run.force", "true", NULL },
    { "--resume", "run.resume", "yes", NULL },
    { "--resume=auto", "run.resume", "auto", NULL },
    { NULL, NULL, NULL, NULL },
};

/* Switches of the published scripts for what is always so here. */
static const char *const always[] = { "--save_model", "--deterministic", NULL };

const struct ctkd__alias *ctkd__argument_aliases(void)
{
    return aliases;
}

static bool is_flag(const char *text)
{
    return text[0] == '-' && text[1] != '\0';
}

static bool is_always(const char *flag)
{
    for (size_t i = 0; always[i]; i++)
        if (strcmp(flag, always[i]) == 0)
            return true;
    return false;
}

/* One argument taken apart: `flag` or `flag=value`, whose value may also be the next argument. */
struct argument {
    const struct ctkd__alias *alias; /* NULL: a switch */
    const char *value;
    int used; /* arguments: 1 or 2 */
};

static const struct ctkd__alias *find_alias(const char *flag, size_t length)
{
    for (const struct ctkd__alias *alias = aliases; alias->flag; alias++)
        if (strlen(alias->flag) == length && strncmp(alias->flag, flag, length) == 0)
            return alias;
    return NULL;
}

static ctkd_status unknown_flag(const char *flag, ctkd_error *err)
{
    const char *names[sizeof aliases / sizeof *aliases + 4] = { "--help", "--json" };
    size_t n = 2;
    for (const struct ctkd__alias *alias = aliases; alias->flag; alias++)
        names[n++] = alias->flag;
    const char *nearest = ctkd__nearest(flag, names);
    return ctkd__fail(err, CTKD_ENOTFOUND, "command line: unknown option '%s'%s%s%s", flag,
                      nearest ? ", did you mean '" : "", nearest ? nearest : "",
                      nearest ? "'?" : "; settings are written key=value");
}

/* Takes apart the flag at argv[0]. */
static ctkd_status read_flag(int argc, char *const *argv, struct argument *out, ctkd_error *err)
{
    *out = (struct argument){ .used = 1 };
    if (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0 ||
        strcmp(argv[0], "--json") == 0 || is_always(argv[0]))
        return CTKD_OK;
    size_t length = strlen(argv[0]);
    out->alias = find_alias(argv[0], length); /* "--resume=auto" is a flag of its own */
    if (!out->alias) {
        length = strcspn(argv[0], "=");
        out->alias = find_alias(argv[0], length);
    }
    if (!out->alias)
        return unknown_flag(argv[0], err);
    if (out->alias->value) {
        out->value = out->alias->value;
        if (argv[0][length] == '=')
            return ctkd__fail(err, CTKD_EINVAL, "command line: %s takes no value",
                              out->alias->flag);
    } else if (argv[0][length] == '=') {
        out->value = argv[0] + length + 1;
    } else if (argc > 1) {
        out->value = argv[1]; /* also "-1": a value may begin with a dash */
        out->used = 2;
    } else {
        return ctkd__fail(err, CTKD_EINVAL, "command line: %s needs a value (%s)", out->alias->flag,
                          out->alias->key);
    }
    return CTKD_OK;
}

ctkd_status ctkd__arguments_scan(int argc, char *const *argv, struct ctkd__arguments *out,
                                 ctkd_error *err)
{
    *out = (struct ctkd__arguments){ 0 };
    for (int i = 0; i < argc;) {
        struct argument argument = { .used = 1 };
        if (is_flag(argv[i])) {
            const ctkd_status status = read_flag(argc - i, argv + i, &argument, err);
            if (status != CTKD_OK)
                return status;
            out->help |= strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0;
            out->json |= strcmp(argv[i], "--json") == 0;
        } else if (!strchr(argv[i], '=')) {
            if (out->n_positionals == CTKD__POSITIONALS_MAX)
                return ctkd__fail(err, CTKD_EINVAL, "command line: too many files at '%s'",
                                  argv[i]);
            out->positionals[out->n_positionals++] = argv[i];
        }
        i += argument.used;
    }
    return CTKD_OK;
}

/* The last value of a flag, or NULL. */
static const char *value_of(int argc, char *const *argv, const char *flag)
{
    const char *value = NULL;
    for (int i = 0; i < argc;) {
        struct argument argument = { .used = 1 };
        if (is_flag(argv[i]) && read_flag(argc - i, argv + i, &argument, NULL) == CTKD_OK &&
            argument.alias && strcmp(argument.alias->flag, flag) == 0)
            value = argument.value;
        i += argument.used;
    }
    return value;
}

static ctkd_status expect_switch(const struct argument *argument, ctkd_error *err)
{
    if (strcmp(argument->value, "0") == 0 || strcmp(argument->value, "1") == 0)
        return CTKD_OK;
    return ctkd__fail(err, CTKD_ERANGE, "%s: '%s' found, expected 0 or 1", argument->alias->flag,
                      argument->value);
}

/* The published curve holds -lambda: decay_max is where it starts (0), decay_min where it ends
 * (-1). */
static ctkd_status negate(const struct argument *argument, char *text, size_t bytes,
                          ctkd_error *err)
{
    char *end;
    const double value = strtod(argument->value, &end);
    if (end == argument->value || *end || !isfinite(value))
        return ctkd__fail(err, CTKD_ERANGE, "%s: '%s' found, expected a number from -10000 to 0",
                          argument->alias->flag, argument->value);
    if (value > 0)
        return ctkd__fail(err, CTKD_ERANGE,
                          "%s: %g found, expected 0 or below: the published value is -lambda, and "
                          "above 0 it would minimise over the temperature",
                          argument->alias->flag, value);
    snprintf(text, bytes, "%.9g", value == 0 ? 0 : -value); /* not "-0" */
    return CTKD_OK;
}

/* The value of a published flag in the words of its key. `text` is room for it. */
static ctkd_status translate(int argc, char *const *argv, struct argument *argument, char *text,
                             size_t bytes, ctkd_error *err)
{
    const char *flag = argument->alias->flag;
    ctkd_status status = CTKD_OK;
    if (strcmp(flag, "--decay_max") == 0 || strcmp(flag, "--decay_min") == 0) {
        status = negate(argument, text, bytes, err);
        argument->value = text;
    } else if (strcmp(flag, "--cosine_decay") == 0) {
        status = expect_switch(argument, err);
        argument->value = argument->value[0] == '1' ? "cosine" : "linear_official";
    } else if (strcmp(flag, "--have_mlp") == 0) {
        status = expect_switch(argument, err);
        const char *name = value_of(argc, argv, "--mlp_name");
        argument->value = argument->value[0] == '0' ? "fixed" : name ? name : "global";
    } else if (strcmp(flag, "--mlp_name") == 0) {
        const char *have = value_of(argc, argv, "--have_mlp"); /* wins, wherever it stands */
        if (have && strcmp(have, "0") == 0)
            argument->value = "fixed";
    } else if (strcmp(flag, "--distill") == 0 && strcmp(argument->value, "kd") == 0) {
        argument->value = "none";
    }
    return status;
}

static ctkd_status apply_flag(int argc, char *const *argv, struct argument *argument,
                              struct ctkd__config *config, ctkd_error *err)
{
    char text[64];
    ctkd_status status = translate(argc, argv, argument, text, sizeof text, err);
    if (status != CTKD_OK)
        return status;
    return ctkd__sections_set(ctkd__config_sections(config), argument->alias->flag,
                              argument->alias->key, argument->value, err);
}

static ctkd_status apply_setting(const char *setting, struct ctkd__config *config, ctkd_error *err)
{
    const size_t length = strcspn(setting, "=");
    char key[128];
    if (length >= sizeof key)
        return ctkd__fail(err, CTKD_ENOTFOUND, "command line: key of '%.60s...' is too long",
                          setting);
    memcpy(key, setting, length);
    key[length] = '\0';
    return ctkd__sections_set(ctkd__config_sections(config), "command line", key,
                              setting + length + 1, err);
}

ctkd_status ctkd__arguments_apply(int argc, char *const *argv, struct ctkd__config *config,
                                  ctkd_error *err)
{
    ctkd_status status = CTKD_OK;
    for (int i = 0; i < argc && status == CTKD_OK;) {
        struct argument argument = { .used = 1 };
        if (is_flag(argv[i])) {
            status = read_flag(argc - i, argv + i, &argument, err);
            if (status == CTKD_OK && argument.alias)
                status = apply_flag(argc, argv, &argument, config, err);
        } else if (strchr(argv[i], '=')) {
            status = apply_setting(argv[i], config, err);
        }
        i += argument.used;
    }
    return status;
}
