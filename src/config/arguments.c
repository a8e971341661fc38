#include "config/arguments.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/published.h"
#include "config/run_config.h"
#include "data/dataset.h"
#include "util/error.h"
#include "util/options_inner.h"

static const struct ctkd__alias aliases[] = {
    { "-r", "method.ce_weight", NULL, NULL },
    { "--gamma", "method.ce_weight", NULL, NULL },
    { "-a", "method.kd_weight", NULL, NULL },
    { "--alpha", "method.kd_weight", NULL, NULL },
    { "-b", "method.weight", NULL, NULL },
    { "--beta", "method.weight", NULL, NULL },
    { "--distill", "method.name", NULL, "published names too; kd means none" },
    { "--dkd_alpha", "method.dkd.alpha", NULL, NULL },
    { "--dkd_beta", "method.dkd.beta", NULL, NULL },
    { "--hint_layer", "method.fitnet.hint", NULL, NULL },
    { "--feat_dim", "method.crd.dim", NULL, NULL },
    { "--mode", "method.crd.mode", NULL, NULL },
    { "--nce_k", "method.crd.negatives", NULL, NULL },
    { "--nce_t", "method.crd.temperature", NULL, NULL },
    { "--nce_m", "method.crd.momentum", NULL, NULL },
    { "--init_epochs", "method.initial_epochs", NULL, NULL },
    { "--kd_T", "temperature.tau", NULL, "applies to kind fixed" },
    { "--have_mlp", "temperature.kind", NULL, "0 is fixed; 1 follows --mlp_name" },
    { "--mlp_name", "temperature.kind", NULL, "global or instance" },
    { "--t_start", "temperature.tau_min", NULL, NULL },
    { "--t_end", "temperature.tau_span", NULL, "a range, not an end" },
    { "--cosine_decay", "temperature.curriculum", NULL, "1 is cosine, 0 is linear_official" },
    { "--decay_loops", "temperature.curriculum_epochs", NULL, NULL },
    { "--decay_max", "temperature.lambda_min", NULL, "sign reversed: published 0 is lambda 0" },
    { "--decay_min", "temperature.lambda_max", NULL, "sign reversed: published -1 is lambda 1" },
    { "--model", "student.network", NULL, NULL },
    { "--model_s", "student.network", NULL, NULL },
    { "--path_t", "teacher.path", NULL, NULL },
    { "--dataset", "data.set", NULL, "cifar100 is cifar100:data" },
    { "--epochs", "train.epochs", NULL, NULL },
    { "--batch_size", "train.batch", NULL, NULL },
    { "--learning_rate", "optimizer.lr", NULL, NULL },
    { "--lr_decay_epochs", "schedule.milestones", NULL, NULL },
    { "--lr_decay_rate", "schedule.factor", NULL, NULL },
    { "--weight_decay", "optimizer.weight_decay", NULL, NULL },
    { "--momentum", "optimizer.momentum", NULL, NULL },
    { "--trial", "train.seed", NULL, NULL },
    { "--experiments_dir", "run.dir", NULL, "with the next flag: DIR/NAME" },
    { "--experiments_name", "run.name", NULL, NULL },
    { "--force", "run.force", "true", NULL },
    { "--resume", "run.resume", "yes", NULL },
    { "--resume=auto", "run.resume", "auto", NULL },
    { NULL, NULL, NULL, NULL },
};

static const char preset_flag[] = "--preset"; /* the one flag of a configuration without a key */

const struct ctkd__alias *ctkd__argument_aliases(void)
{
    return aliases;
}

static bool is_flag(const char *text)
{
    return text[0] == '-' && text[1] != '\0';
}

/* One argument taken apart: `flag` or `flag=value`, whose value may also be the next argument. */
struct argument {
    const char *flag;                /* as written in its table */
    const struct ctkd__alias *alias; /* NULL: it sets no key */
    bool idle;                       /* one of ctkd__idle_flags */
    const char *value;
    int used; /* number of arguments, 1 or 2 */
};

bool ctkd__arguments_same_flag(const char *flag, const char *text, size_t length)
{
    if (strlen(flag) != length || strncmp(flag, text, length < 2 ? length : 2) != 0)
        return false;
    for (size_t i = 2; i < length; i++)
        if (flag[i] != text[i] && !(strchr("-_", flag[i]) && strchr("-_", text[i])))
            return false;
    return true;
}

bool ctkd__arguments_is_preset(const char *text, size_t length)
{
    return ctkd__arguments_same_flag(preset_flag, text, length);
}

/* Finds `text`[0, length) in the tables. False: it is in none. */
static bool find_flag(const char *text, size_t length, struct argument *out, bool *takes_value)
{
    for (const struct ctkd__alias *alias = aliases; alias->flag; alias++)
        if (ctkd__arguments_same_flag(alias->flag, text, length)) {
            *takes_value = !alias->value;
            out->alias = alias;
            out->flag = alias->flag;
            out->value = alias->value;
            return true;
        }
    for (const struct ctkd__idle_flag *idle = ctkd__idle_flags; idle->flag; idle++)
        if (ctkd__arguments_same_flag(idle->flag, text, length)) {
            *takes_value = idle->takes_value;
            out->idle = true;
            out->flag = idle->flag;
            return true;
        }
    *takes_value = ctkd__arguments_is_preset(text, length);
    out->flag = preset_flag;
    return *takes_value;
}

void ctkd__arguments_flag_names(const char **names, size_t capacity)
{
    size_t n = 0;
    for (const struct ctkd__idle_flag *idle = ctkd__idle_flags; idle->flag && n < capacity; idle++)
        names[n++] = idle->flag;
    for (const struct ctkd__alias *alias = aliases; alias->flag && n < capacity; alias++)
        names[n++] = alias->flag;
}

static ctkd_status unknown_flag(const char *flag, ctkd_error *err)
{
    const char *names[sizeof aliases / sizeof *aliases + 32] = { preset_flag };
    ctkd__arguments_flag_names(names + 1, sizeof names / sizeof *names - 2);
    return ctkd__fail_within(
        err, ctkd__unknown("option", flag, names, "settings are written key=value", err),
        "command line");
}

/* Takes apart the flag at argv[0]. */
static ctkd_status read_flag(int argc, char *const *argv, struct argument *out, ctkd_error *err)
{
    *out = (struct argument){ .used = 1 };
    bool takes_value;
    size_t length = strlen(argv[0]);
    if (!find_flag(argv[0], length, out, &takes_value)) { /* "--resume=auto" is a flag by itself */
        length = strcspn(argv[0], "=");
        if (!find_flag(argv[0], length, out, &takes_value))
            return unknown_flag(argv[0], err);
    }
    if (!takes_value && argv[0][length] == '=')
        return ctkd__fail(err, CTKD_EINVAL, "command line: %s takes no value", out->flag);
    if (!takes_value)
        return CTKD_OK;
    if (argv[0][length] == '=') {
        out->value = argv[0] + length + 1;
    } else if (argc > 1) {
        out->value = argv[1]; /* also "-1": a value may begin with a dash */
        out->used = 2;
    } else {
        return ctkd__fail(err, CTKD_EINVAL, "command line: %s needs a value%s%s%s", out->flag,
                          out->alias ? " (" : "", out->alias ? out->alias->key : "",
                          out->alias ? ")" : "");
    }
    return CTKD_OK;
}

ctkd_status ctkd__arguments_read_flag(int argc, char *const *argv, int *used, ctkd_error *err)
{
    struct argument argument;
    const ctkd_status status = read_flag(argc, argv, &argument, err);
    *used = argument.used;
    return status;
}

/* Refuses two common mistakes: blanks around '=', which split a setting into several arguments, and
   a blank after the backslash at the end of a line, which is an argument of its own. */
static ctkd_status check_blanks(int argc, char *const *argv, int i, ctkd_error *err)
{
    const char *const word = argv[i], *const equals = strchr(word, '=');
    const char *const next = i + 1 < argc ? argv[i + 1] : NULL;
    if (word[strspn(word, " \t\r\n")] == '\0')
        return ctkd__fail(err, CTKD_EINVAL,
                          "command line: found an argument without text; a backslash that "
                          "continues a line must be its last character");
    if (equals == word)
        return ctkd__fail(err, CTKD_EINVAL,
                          "command line: found '%.60s'%s%.60s%s, expected a setting in one word "
                          "without blanks, such as train.epochs=3",
                          word, i ? " after '" : "", i ? argv[i - 1] : "", i ? "'" : "");
    if (!equals || equals[1] || !next || strchr(next, '=') || access(next, F_OK) == 0 ||
        (is_flag(next) && !strchr(".0123456789", next[1])))
        return CTKD_OK;
    return ctkd__fail(err, CTKD_EINVAL,
                      "command line: found '%.60s %.60s', expected a setting in one word without "
                      "blanks: %.60s%.60s",
                      word, next, word, next);
}

const char *const ctkd__preset_names[] = { "auto", "ctkd", "published", NULL };

static ctkd_status read_preset(const char *name, enum ctkd__preset *out, ctkd_error *err)
{
    for (int i = 0; ctkd__preset_names[i]; i++)
        if (strcmp(name, ctkd__preset_names[i]) == 0) {
            *out = (enum ctkd__preset)i;
            return CTKD_OK;
        }
    const char *nearest = ctkd__nearest(name, ctkd__preset_names);
    return ctkd__fail(err, CTKD_ERANGE,
                      "command line: --preset: found %.60s, expected auto, ctkd or published%s%s%s",
                      name, nearest ? "; did you mean " : "", nearest ? nearest : "",
                      nearest ? "?" : "");
}

/* Records what a flag says apart from a setting: the preset, and whether it is a published flag. */
static ctkd_status note_flag(const struct argument *argument, const char *written,
                             struct ctkd__arguments *out, ctkd_error *err)
{
    const char *const flag = argument->flag;
    /* Aliases with a fixed value are our own flags. */
    out->published |= argument->idle || (argument->alias && !argument->alias->value);
    if (argument->idle) {
        const size_t used = strlen(out->idle);
        snprintf(out->idle + used, sizeof out->idle - used, "%s%.*s", used ? ", " : "",
                 (int)strcspn(written, "="), written);
    }
    return flag == preset_flag ? read_preset(argument->value, &out->preset, err) : CTKD_OK;
}

ctkd_status ctkd__arguments_scan(int argc, char *const *argv, struct ctkd__arguments *out,
                                 ctkd_error *err)
{
    *out = (struct ctkd__arguments){ 0 };
    for (int i = 0; i < argc;) {
        struct argument argument = { .used = 1 };
        ctkd_status status = CTKD_OK;
        if (is_flag(argv[i])) {
            status = read_flag(argc - i, argv + i, &argument, err);
            if (status == CTKD_OK)
                status = note_flag(&argument, argv[i], out, err);
        } else {
            status = check_blanks(argc, argv, i, err);
            if (status == CTKD_OK && !strchr(argv[i], '=')) {
                if (out->n_positionals == CTKD__POSITIONALS_MAX)
                    return ctkd__fail(err, CTKD_EINVAL,
                                      "command line: found too many files at '%s'", argv[i]);
                out->positionals[out->n_positionals++] = argv[i];
            }
        }
        if (status != CTKD_OK)
            return status;
        i += argument.used;
    }
    return CTKD_OK;
}

/* The last value of a flag, or NULL. */
static const char *last_flag_value(int argc, char *const *argv, const char *flag)
{
    const char *value = NULL;
    for (int i = 0; i < argc;) {
        struct argument argument = { .used = 1 };
        if (is_flag(argv[i]) && read_flag(argc - i, argv + i, &argument, NULL) == CTKD_OK &&
            strcmp(argument.flag, flag) == 0)
            value = argument.value;
        i += argument.used;
    }
    return value;
}

static ctkd_status expect_switch(const struct argument *argument, ctkd_error *err)
{
    if (strcmp(argument->value, "0") == 0 || strcmp(argument->value, "1") == 0)
        return CTKD_OK;
    return ctkd__fail(err, CTKD_ERANGE, "%s: found '%s', expected 0 or 1", argument->alias->flag,
                      argument->value);
}

/* The published curve holds -lambda: it starts at decay_max (0) and ends at decay_min (-1). */
static ctkd_status negate(const struct argument *argument, char *text, size_t bytes,
                          ctkd_error *err)
{
    char *end;
    const double value = strtod(argument->value, &end);
    if (end == argument->value || *end || !isfinite(value))
        return ctkd__fail(err, CTKD_ERANGE, "%s: found '%s', expected a number from -10000 to 0",
                          argument->alias->flag, argument->value);
    if (value > 0)
        return ctkd__fail(err, CTKD_ERANGE,
                          "%s: found %g, expected 0 or below: the published value is -lambda, and "
                          "a value above 0 would minimise over the temperature",
                          argument->alias->flag, value);
    snprintf(text, bytes, "%.9g", value == 0 ? 0 : -value); /* not "-0" */
    return CTKD_OK;
}

/* The published scripts keep data in a folder of their code; here it is data/, as in the
   recipes. */
static void name_data(struct argument *argument, char *text, size_t bytes)
{
    const struct ctkd__dataset_def *def = ctkd__dataset_find(argument->value);
    if (!def || def->default_path || strchr(argument->value, ':'))
        return;
    snprintf(text, bytes, "%s:data", argument->value);
    argument->value = text;
}

/* --experiments_dir DIR --experiments_name NAME is the run directory DIR/NAME. */
static ctkd_status join_names(struct argument *argument, const char *name, char *text, size_t bytes,
                              ctkd_error *err)
{
    if (!name)
        return CTKD_OK;
    const int n = snprintf(text, bytes, "%s/%s", argument->value, name);
    if (n < 0 || (size_t)n >= bytes)
        return ctkd__fail(err, CTKD_ERANGE,
                          "--experiments_dir: found a name of more than %zu bytes", bytes - 1);
    argument->value = text;
    return CTKD_OK;
}

/* Translates the value of a published flag to that of its key. `text` has room for it. */
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
        const char *name = last_flag_value(argc, argv, "--mlp_name");
        argument->value = argument->value[0] == '0' ? "fixed" : name ? name : "global";
    } else if (strcmp(flag, "--mlp_name") == 0) {
        const char *have = last_flag_value(argc, argv, "--have_mlp"); /* wins in any position */
        if (have && strcmp(have, "0") == 0)
            argument->value = "fixed";
    } else if (strcmp(flag, "--distill") == 0) {
        argument->value = ctkd__published_method(argument->value);
    } else if (strcmp(flag, "--dataset") == 0) {
        name_data(argument, text, bytes);
    } else if (strcmp(flag, "--experiments_dir") == 0) {
        status = join_names(argument, last_flag_value(argc, argv, "--experiments_name"), text,
                            bytes, err);
    } else if (strcmp(flag, "--experiments_name") == 0) {
        const char *const slash = strrchr(argument->value, '/');
        if (slash && last_flag_value(argc, argv, "--experiments_dir")) /* the rest is in run.dir */
            argument->value = slash + 1;
    }
    return status;
}

static ctkd_status apply_flag(int argc, char *const *argv, const struct argument *written,
                              struct ctkd__config *config, ctkd_error *err)
{
    char text[1100];
    struct argument argument = *written;
    const ctkd_status status = translate(argc, argv, &argument, text, sizeof text, err);
    if (status != CTKD_OK)
        return status;
    return ctkd__sections_set(ctkd__config_sections(config), argument.alias->flag,
                              argument.alias->key, argument.value, err);
}

/* A published flag without its dashes, such as "batch_size=32", is no key: suggests the key. */
static ctkd_status offer_flag(const char *key, ctkd_status status, ctkd_error *err)
{
    for (const struct ctkd__alias *alias = aliases; alias->flag; alias++)
        if (!alias->value && strncmp(alias->flag, "--", 2) == 0 &&
            ctkd__arguments_same_flag(alias->flag + 2, key, strlen(key)))
            return ctkd__fail(err, status, "command line: %s: unknown key, did you mean %s or %s?",
                              key, alias->key, alias->flag);
    return status;
}

/* The key of `key=value`, of which the last part is enough where it is unique. */
static ctkd_status find_key(const char *setting, const struct ctkd__config *config,
                            char key[CTKD__KEY_MAX], ctkd_error *err)
{
    const size_t length = strcspn(setting, "=");
    char written[CTKD__KEY_MAX];
    if (length >= sizeof written)
        return ctkd__fail(err, CTKD_ENOTFOUND, "command line: the key of '%.60s...' is too long",
                          setting);
    memcpy(written, setting, length);
    written[length] = '\0';
    const ctkd_status status =
        ctkd__sections_complete(ctkd__config_sections(config), "command line", written, key, err);
    return status == CTKD_ENOTFOUND ? offer_flag(written, status, err) : status;
}

static ctkd_status apply_setting(const char *setting, struct ctkd__config *config, ctkd_error *err)
{
    char key[CTKD__KEY_MAX];
    const ctkd_status status = find_key(setting, config, key, err);
    return status == CTKD_OK ? ctkd__sections_set(ctkd__config_sections(config), "command line",
                                                  key, strchr(setting, '=') + 1, err)
                             : status;
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

enum ctkd__preset ctkd__arguments_preset(const struct ctkd__arguments *arguments)
{
    if (arguments->preset != CTKD__PRESET_AUTO)
        return arguments->preset;
    return arguments->published && arguments->n_positionals == 0 ? CTKD__PRESET_PUBLISHED
                                                                 : CTKD__PRESET_CTKD;
}

static bool has_setting(int argc, char *const *argv, const struct ctkd__config *config,
                        const char *key)
{
    char found[CTKD__KEY_MAX];
    for (int i = 0; i < argc; i++)
        if (!is_flag(argv[i]) && strchr(argv[i], '=') &&
            find_key(argv[i], config, found, NULL) == CTKD_OK && strcmp(found, key) == 0)
            return true;
    return false;
}

static void add_note(char note[CTKD__ARGUMENTS_NOTE], const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void add_note(char note[CTKD__ARGUMENTS_NOTE], const char *format, ...)
{
    const size_t used = strlen(note);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(note + used, CTKD__ARGUMENTS_NOTE - used, format, arguments);
    va_end(arguments);
}

static bool is_of_photographs(const char *set)
{
    const struct ctkd__dataset_def *const def = ctkd__dataset_find(set);
    return def && def->photographs;
}

static ctkd_status follow_network(int argc, char *const *argv, struct ctkd__config *config,
                                  char note[CTKD__ARGUMENTS_NOTE], ctkd_error *err)
{
    const char *const by_s = last_flag_value(argc, argv, "--model_s");
    const char *const name = by_s ? by_s : last_flag_value(argc, argv, "--model");
    const char *const meant =
        name && strcmp(name, config->student.network) == 0 && is_of_photographs(config->data.set)
            ? ctkd__published_network(name)
            : NULL;
    if (!meant)
        return CTKD_OK;
    add_note(note,
             "student.network=%s: for photographs the published scripts mean this network by %s; "
             "set student.network for another\n",
             meant, name);
    return ctkd__sections_set(ctkd__config_sections(config), "preset published", "student.network",
                              meant, err);
}

/* Applies what the published scripts decide after reading their flags, except where the command
   line sets our own key. */
static ctkd_status follow_published(int argc, char *const *argv, struct ctkd__config *config,
                                    char note[CTKD__ARGUMENTS_NOTE], ctkd_error *err)
{
    const struct ctkd__sections sections = ctkd__config_sections(config);
    const ctkd_status status = follow_network(argc, argv, config, note, err);
    if (status != CTKD_OK)
        return status;
    const float rate = ctkd__published_rate(config->student.network);
    if (rate > 0 && !has_setting(argc, argv, config, "optimizer.lr")) {
        config->optimizer.lr = rate;
        add_note(note,
                 "optimizer.lr=%g: the published scripts use this rate for %s whatever "
                 "--learning_rate says; set optimizer.lr for another\n",
                 (double)rate, config->student.network);
    }
    if (last_flag_value(argc, argv, "--mlp_name") && !last_flag_value(argc, argv, "--have_mlp") &&
        !has_setting(argc, argv, config, "temperature.kind")) {
        add_note(note, "temperature.kind=fixed: --mlp_name takes effect only with --have_mlp 1\n");
        return ctkd__sections_set(sections, "preset published", "temperature.kind", "fixed", err);
    }
    return CTKD_OK;
}

ctkd_status ctkd__arguments_configure(int argc, char *const *argv,
                                      const struct ctkd__arguments *arguments, bool distil,
                                      struct ctkd__config *config, char note[CTKD__ARGUMENTS_NOTE],
                                      ctkd_error *err)
{
    const bool published = ctkd__arguments_preset(arguments) == CTKD__PRESET_PUBLISHED;
    const bool has_file = arguments->n_positionals > 0;
    ctkd_status status = CTKD_OK;
    note[0] = '\0';
    if (published) {
        add_note(note,
                 "preset published: unset keys take the values of the published %s; --preset ctkd "
                 "takes those of ctkd\n",
                 distil ? "train_student.py (batch 128, learning rate 0.1, temperature 4, ...)"
                        : "train_teacher.py (resnet110, cifar100:data, ...)");
        status = ctkd__published_defaults(config, distil, err);
        ctkd__sections_forget_given(ctkd__config_sections(config));
    }
    if (status == CTKD_OK && has_file)
        status = ctkd__run_config_read(arguments->positionals[0], config, err);
    if (status == CTKD_OK)
        status = ctkd__arguments_apply(argc, argv, config, err);
    if (status == CTKD_OK && published && !has_file)
        status = follow_published(argc, argv, config, note, err);
    if (arguments->idle[0])
        add_note(note, "these flags have no effect here: %s\n", arguments->idle);
    return status;
}
