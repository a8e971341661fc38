#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "lib/plugin_inner.h"
#include "lib/refuse.h"

/* The fields of ctkd_plugin_config that can be set from text, in the types of option tables. */
struct plugin_settings {
    float ce_weight, kd_weight, method_weight;
    int kd_form;
    struct {
        int kind;
        float tau, tau_min, tau_span, theta_init, bias_init;
        int64_t hidden, seed;
        bool from_logits, through, set_bias;
    } temperature;
    int curriculum;
    int64_t curriculum_epochs, curriculum_steps;
    float lambda_min, lambda_max;
    float learning_rate, momentum, weight_decay;
    int64_t ignored_label;
    char *method; /* for the table only: never set */
};

static const char *const kd_forms[] = { "exact", "epsilon", NULL };
static const char *const kinds[] = { "fixed", "global", "instance", NULL };
static const char *const curricula[] = { "cosine", "linear", "linear_official", "none", NULL };

#define F32(field, def, lo, hi, help) CTKD_OPT_F32(struct plugin_settings, field, def, lo, hi, help)
#define I64(field, def, lo, hi, help) CTKD_OPT_I64(struct plugin_settings, field, def, lo, hi, help)
#define BOOL(field, def, help) CTKD_OPT_BOOL(struct plugin_settings, field, def, help)
#define CHOICE(field, def, names, help)                                                            \
    CTKD_OPT_CHOICE(struct plugin_settings, field, def, names, help)

static const ctkd_option options[] = {
    F32(ce_weight, 0.1, 0, FLT_MAX, "weight of the cross-entropy, gamma"),
    F32(kd_weight, 0.9, 0, FLT_MAX, "weight of the softened KL divergence, alpha"),
    CHOICE(kd_form, CTKD_KD_EXACT, kd_forms,
           "exact: KL(p||q); epsilon: the published instance-wise form with p + 1e-7"),
    { "method", CTKD_OPTION_STRING, offsetof(struct plugin_settings, method), 0, 0, 0, "", NULL,
      "name of a further loss of logits; empty: none" },
    F32(method_weight, 0, 0, FLT_MAX, "weight of that loss, beta"),
    CHOICE(temperature.kind, CTKD_TEMPERATURE_GLOBAL, kinds,
           "fixed: a constant; global: one learned value; instance: one per sample from a small "
           "network"),
    F32(temperature.tau, 4, 0x1p-149, FLT_MAX, "kind fixed: the temperature"),
    F32(temperature.tau_min, 1, 0x1p-149, FLT_MAX, "lower end of a learned temperature"),
    F32(temperature.tau_span, 20, 0x1p-149, FLT_MAX,
        "width of its range: tau_min < tau < tau_min + tau_span"),
    F32(temperature.theta_init, 1, -FLT_MAX, FLT_MAX, "kind global: initial theta"),
    I64(temperature.hidden, 0, 0, 0x1p53, "kind instance: hidden width; 0: the number of classes"),
    BOOL(temperature.from_logits, 0,
         "kind instance: the network reads logits instead of probabilities"),
    BOOL(temperature.through, 0,
         "kind instance: the network sends gradient to the student's logits"),
    BOOL(temperature.set_bias, 0, "kind instance: use bias_init instead of a drawn bias"),
    F32(temperature.bias_init, 1, -FLT_MAX, FLT_MAX,
        "kind instance: initial value of the last bias"),
    I64(temperature.seed, 0, 0, 0x1p53, "kind instance: seed of the network's initial weights"),
    CHOICE(curriculum, CTKD_CURRICULUM_COSINE, curricula, "how the reversal strength lambda grows"),
    I64(curriculum_epochs, 10, 0, 0x1p53, "epochs until lambda_max; 0: from the start"),
    I64(curriculum_steps, 0, 0, 0x1p53,
        "steps until lambda_max, in place of curriculum_epochs; 0: count epochs"),
    F32(lambda_min, 0, 0, FLT_MAX, "lambda where the curriculum starts"),
    F32(lambda_max, 1, 0, FLT_MAX, "lambda where the curriculum ends"),
    F32(learning_rate, 0.05, 0, FLT_MAX, "learning rate of theta's SGD"),
    F32(momentum, 0.9, 0, 0x1.fffffep-1, "momentum of theta's SGD, below 1"),
    F32(weight_decay, 5e-4, 0, FLT_MAX, "weight decay of theta's SGD"),
    I64(ignored_label, -0x1p63, -0x1p63, 0x1p53, "samples with this label count as unlabelled"),
    CTKD_OPT_END,
};

const ctkd_option *ctkd_plugin_options(void)
{
    return options;
}

static int64_t bounded(uint64_t value)
{
    return value > (uint64_t)INT64_MAX ? INT64_MAX : (int64_t)value;
}

static struct plugin_settings load(const ctkd_plugin_config *c)
{
    const ctkd_temperature_config *const t = &c->temperature;
    struct plugin_settings s = { .ce_weight = c->ce_weight,
                                 .kd_weight = c->kd_weight,
                                 .method_weight = c->method_weight,
                                 .kd_form = (int)c->kd_form,
                                 .curriculum = (int)c->curriculum,
                                 .curriculum_epochs = bounded(c->curriculum_epochs),
                                 .curriculum_steps = bounded(c->curriculum_steps),
                                 .lambda_min = c->lambda_min,
                                 .lambda_max = c->lambda_max,
                                 .learning_rate = c->learning_rate,
                                 .momentum = c->momentum,
                                 .weight_decay = c->weight_decay,
                                 .ignored_label = c->ignored_label };
    s.temperature.kind = (int)t->kind;
    s.temperature.tau = t->tau;
    s.temperature.tau_min = t->tau_min;
    s.temperature.tau_span = t->tau_span;
    s.temperature.theta_init = t->theta_init;
    s.temperature.bias_init = t->bias_init;
    s.temperature.hidden = bounded(t->hidden);
    s.temperature.seed = (int64_t)t->seed; /* any value: store() restores it unchanged */
    s.temperature.from_logits = t->from_logits;
    s.temperature.through = t->through;
    s.temperature.set_bias = t->set_bias;
    return s;
}

static void store(const struct plugin_settings *s, ctkd_plugin_config *c)
{
    ctkd_temperature_config *const t = &c->temperature;
    c->ce_weight = s->ce_weight;
    c->kd_weight = s->kd_weight;
    c->method_weight = s->method_weight;
    c->kd_form = (ctkd_kd_form)s->kd_form;
    c->curriculum = (ctkd_curriculum)s->curriculum;
    c->curriculum_epochs = (size_t)s->curriculum_epochs;
    c->curriculum_steps = (uint64_t)s->curriculum_steps;
    c->lambda_min = s->lambda_min;
    c->lambda_max = s->lambda_max;
    c->learning_rate = s->learning_rate;
    c->momentum = s->momentum;
    c->weight_decay = s->weight_decay;
    c->ignored_label = s->ignored_label;
    t->kind = (ctkd_temperature_kind)s->temperature.kind;
    t->tau = s->temperature.tau;
    t->tau_min = s->temperature.tau_min;
    t->tau_span = s->temperature.tau_span;
    t->theta_init = s->temperature.theta_init;
    t->bias_init = s->temperature.bias_init;
    t->hidden = (size_t)s->temperature.hidden;
    t->seed = (uint64_t)s->temperature.seed;
    t->from_logits = s->temperature.from_logits;
    t->through = s->temperature.through;
    t->set_bias = s->temperature.set_bias;
}

/* Copies as much of a struct as its reader knows. */
static void copy_known(void *to, size_t size, const void *own, size_t own_size)
{
    memset(to, 0, size);
    memcpy(to, own, size < own_size ? size : own_size);
}

void ctkd_plugin_config_init(ctkd_plugin_config *config, size_t size, size_t report_size,
                             size_t n_max, size_t k)
{
    ctkd_plugin_config own = { .report_size = report_size, .n_max = n_max, .k = k };
    struct plugin_settings s = { 0 };
    ctkd_temperature_config_init(&own.temperature, sizeof own.temperature);
    for (const ctkd_option *option = options; option->name; option++)
        if (option->type != CTKD_OPTION_STRING &&
            ctkd_option_set(options, &s, option->name, option->value) != CTKD_OK)
            assert(!"every default lies in its range");
    store(&s, &own);
    own.size = size;
    copy_known(config, size, &own, sizeof own);
}

ctkd_status ctkd_plugin_config_set(ctkd_plugin_config *config, const char *name, const char *text,
                                   ctkd_error *err)
{
    if (!config || !name || !text)
        return CTKD__REFUSE(err, CTKD_EINVAL, "found NULL, expected a config, a name and a text");
    ctkd_plugin_config own;
    const size_t size = config->size ? config->size : sizeof own;
    ctkd_status status = ctkd__struct_read(&own, sizeof own, sizeof own, config, size);
    if (status != CTKD_OK)
        return ctkd__refuse_struct(err, status, "config");
    if (strcmp(name, "method") == 0) {
        const ctkd_loss_def *def = ctkd_loss_find(text);
        if (!def && text[0])
            return CTKD__REFUSE(err, CTKD_ENOTFOUND, "method: unknown loss \"", text, "\"");
        config->method = def ? def->name : NULL;
        return CTKD_OK;
    }
    struct plugin_settings s = load(&own);
    status = ctkd_option_set_text(options, &s, name, text, err);
    if (status == CTKD_OK)
        store(&s, config);
    return status;
}

/* --- checks at create */

static double field_value(const ctkd_option *option, const struct plugin_settings *s)
{
    const char *const field = (const char *)s + option->offset;
    float f32;
    int64_t i64;
    int choice;
    switch (option->type) {
    case CTKD_OPTION_F32:
        memcpy(&f32, field, sizeof f32);
        return (double)f32;
    case CTKD_OPTION_I64:
        memcpy(&i64, field, sizeof i64);
        return (double)i64;
    case CTKD_OPTION_CHOICE:
        memcpy(&choice, field, sizeof choice);
        return (double)choice;
    case CTKD_OPTION_BOOL:
    case CTKD_OPTION_STRING:
    case CTKD_OPTION_PATH:
        break;
    }
    return 0;
}

/* Whether a temperature of this kind reads the field: fields that it does not read may hold
   anything. */
static bool is_read(const char *name, const ctkd_temperature_config *t)
{
    const bool fixed = t->kind == CTKD_TEMPERATURE_FIXED;
    if (strncmp(name, "temperature.", 12) != 0 || strcmp(name, "temperature.kind") == 0)
        return true;
    if (strcmp(name, "temperature.tau") == 0)
        return fixed;
    if (strcmp(name, "temperature.tau_min") == 0 || strcmp(name, "temperature.tau_span") == 0)
        return !fixed;
    if (strcmp(name, "temperature.theta_init") == 0)
        return t->kind == CTKD_TEMPERATURE_GLOBAL;
    return strcmp(name, "temperature.bias_init") == 0 && t->kind == CTKD_TEMPERATURE_INSTANCE &&
           t->set_bias;
}

static ctkd_status check_ranges(const ctkd_plugin_config *config, ctkd_error *err)
{
    const struct plugin_settings s = load(config);
    struct plugin_settings unused = s;
    for (const ctkd_option *option = options; option->name; option++) {
        if (option->type == CTKD_OPTION_STRING || option->type == CTKD_OPTION_BOOL ||
            !is_read(option->name, &config->temperature))
            continue;
        const double value = field_value(option, &s);
        if (option->type == CTKD_OPTION_I64) /* too large: no memory */
            continue;
        char found[CTKD__NUMBER_BYTES], low[CTKD__NUMBER_BYTES], high[CTKD__NUMBER_BYTES];
        if (ctkd_option_set(options, &unused, option->name, value) == CTKD_OK)
            continue;
        if (option->type == CTKD_OPTION_CHOICE)
            return CTKD__REFUSE(err, CTKD_EINVAL, option->name, ": found ",
                                ctkd__number_text(value, found),
                                ", expected the index of a choice");
        return CTKD__REFUSE(err, CTKD_EINVAL, option->name, ": found ",
                            ctkd__number_text(value, found), ", expected a number from ",
                            ctkd__number_text(option->min, low), " to ",
                            ctkd__number_text(option->max, high));
    }
    return CTKD_OK;
}

ctkd_status ctkd__plugin_config_read(const ctkd_plugin_config *from, ctkd_plugin_config *config,
                                     ctkd_error *err)
{
    const ctkd_status status =
        ctkd__struct_read(config, sizeof *config, sizeof *config, from, from->size);
    if (status != CTKD_OK)
        return ctkd__refuse_struct(err, status, "config");
    config->temperature.n_max = config->n_max;
    config->temperature.k = config->k;
    if (config->n_max == 0)
        return CTKD__REFUSE(err, CTKD_EINVAL,
                            "n_max: found 0, expected the size of the largest batch");
    if (config->k == 0)
        return CTKD__REFUSE(err, CTKD_EINVAL, "k: found 0, expected the number of classes");
    if (config->method && config->method_def)
        return CTKD__REFUSE(err, CTKD_EINVAL,
                            "method and method_def: found both, expected at most one");
    if (!config->method && !config->method_def && config->method_weight != 0)
        return CTKD__REFUSE(err, CTKD_EINVAL,
                            "method_weight: found a weight without a method, expected 0");
    if (config->lambda_max < config->lambda_min)
        return CTKD__REFUSE(
            err, CTKD_EINVAL,
            "lambda_max: found a value below lambda_min, expected at least lambda_min");
    return check_ranges(config, err);
}
