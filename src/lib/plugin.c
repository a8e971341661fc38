#include "ctkd/plugin.h"

#include <math.h>
#include <string.h>

#include "lib/memory.h"

struct ctkd_plugin {
    ctkd_plugin_config config; /* its strings are not kept */
    const ctkd_loss_def *method;
    void *method_config;
    size_t workspace_size;
    double *workspace; /* [workspace_size], the method's */
    ctkd_temperature *temperature;
    size_t count;                  /* of theta's parameters */
    float *parameters, *gradient;  /* the temperature's */
    float *velocity;               /* [count] */
    float *tau, *dtau, *dtau_part; /* [n_max] */
    float *ds, *ds_part;           /* [n_max, k] */
};

ctkd_plugin_config ctkd_plugin_defaults(size_t n_max, size_t k)
{
    return (ctkd_plugin_config){ .n_max = n_max,
                                 .k = k,
                                 .ce_weight = 0.1f,
                                 .kd_weight = 0.9f,
                                 .kd_form = CTKD_KD_EXACT,
                                 .temperature = ctkd_temperature_defaults(),
                                 .curriculum = CTKD_CURRICULUM_COSINE,
                                 .curriculum_epochs = 10,
                                 .learning_rate = 0.05f,
                                 .momentum = 0.9f,
                                 .weight_decay = 5e-4f };
}

static bool not_negative(float value)
{
    return isfinite(value) && value >= 0;
}

static bool config_ok(const ctkd_plugin_config *c)
{
    float lambda;
    return c->n_max >= 1 && c->k >= 1 && not_negative(c->ce_weight) && not_negative(c->kd_weight) &&
           not_negative(c->method_weight) && (c->method || c->method_weight == 0) &&
           (c->kd_form == CTKD_KD_EXACT || c->kd_form == CTKD_KD_EPSILON) &&
           not_negative(c->learning_rate) && not_negative(c->momentum) && c->momentum < 1 &&
           not_negative(c->weight_decay) &&
           ctkd_curriculum_lambda(c->curriculum, 1, c->curriculum_epochs, 0, 1, &lambda) == CTKD_OK;
}

/* Lays out the arrays of the block from byte `memory` on (NULL: only counts, in *bytes). */
static bool lay_out(struct ctkd_plugin *plugin, char *memory, size_t *bytes)
{
    const size_t n = plugin->config.n_max, k = plugin->config.k;
    const struct {
        float **array;
        size_t rows, columns;
    } arrays[] = {
        { &plugin->velocity, 1, plugin->count },
        { &plugin->tau, 1, n },
        { &plugin->dtau, 1, n },
        { &plugin->dtau_part, 1, n },
        { &plugin->ds, n, k },
        { &plugin->ds_part, n, k },
    };
    /* the method's options come first: they may hold wider types than float */
    const size_t method = plugin->method ? (plugin->method->config_size + 15) / 16 * 16 : 0;
    *bytes = sizeof *plugin + method;
    plugin->method_config = memory ? memory + sizeof *plugin : NULL;
    plugin->workspace =
        memory && plugin->workspace_size ? (double *)(void *)(memory + *bytes) : NULL;
    if (!ctkd__add_product(bytes, plugin->workspace_size, sizeof(double)))
        return false;
    size_t floats = 0;
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++) {
        if (memory)
            *arrays[i].array = (float *)(void *)(memory + *bytes) + floats;
        if (!ctkd__add_product(&floats, arrays[i].rows, arrays[i].columns))
            return false;
    }
    return ctkd__add_product(bytes, floats, sizeof(float));
}

ctkd_status ctkd_plugin_create(const ctkd_plugin_config *config, ctkd_plugin **out)
{
    if (!out)
        return CTKD_EINVAL;
    *out = NULL;
    if (!config || !config_ok(config))
        return CTKD_EINVAL;
    struct ctkd_plugin plugin = { .config = *config };
    plugin.config.method = NULL;
    plugin.config.temperature.n_max = config->n_max;
    plugin.config.temperature.k = config->k;
    if (config->method) {
        plugin.method = ctkd_loss_find(config->method);
        if (!plugin.method)
            return CTKD_ENOTFOUND;
        if (config->k < plugin.method->classes_min)
            return CTKD_EINVAL;
        if (plugin.method->needs & (CTKD_NEEDS_MAPS | CTKD_NEEDS_IDS | CTKD_NEEDS_HEAD))
            return CTKD_EINVAL;
        const ctkd_loss_shape shape = { .n = config->n_max, .k = config->k };
        if (ctkd_loss_workspace(plugin.method, NULL, &shape, &plugin.workspace_size) != CTKD_OK)
            return CTKD_ENOMEM;
    }
    ctkd_status status = ctkd_temperature_create(&plugin.config.temperature, &plugin.temperature);
    if (status != CTKD_OK)
        return status;
    plugin.count =
        ctkd_temperature_parameters(plugin.temperature, &plugin.parameters, &plugin.gradient);
    size_t bytes;
    char *block = lay_out(&plugin, NULL, &bytes)
                      ? ctkd__allocate(&plugin.config.temperature.allocator, bytes)
                      : NULL;
    if (!block) {
        ctkd_temperature_destroy(plugin.temperature);
        return CTKD_ENOMEM;
    }
    memset(block, 0, bytes);
    (void)lay_out(&plugin, block, &bytes); /* measured above */
    if (plugin.method)
        ctkd_options_defaults(plugin.method->options, plugin.method_config);
    *out = (struct ctkd_plugin *)(void *)block;
    **out = plugin;
    return CTKD_OK;
}

void ctkd_plugin_destroy(ctkd_plugin *plugin)
{
    if (!plugin)
        return;
    const ctkd_allocator allocator = plugin->config.temperature.allocator;
    ctkd_temperature_destroy(plugin->temperature);
    ctkd__release(&allocator, plugin);
}

ctkd_status ctkd_plugin_set_method_option(ctkd_plugin *plugin, const char *name, double value)
{
    if (!plugin)
        return CTKD_EINVAL;
    if (!plugin->method)
        return CTKD_ENOTFOUND;
    return ctkd_option_set(plugin->method->options, plugin->method_config, name, value);
}

ctkd_status ctkd_plugin_set_learning_rate(ctkd_plugin *plugin, float rate)
{
    if (!plugin || !not_negative(rate))
        return CTKD_EINVAL;
    plugin->config.learning_rate = rate;
    return CTKD_OK;
}

static void add_scaled(size_t n, float scale, const float *x, float *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] += scale * x[i];
}

static bool all_finite(size_t n, const float *x)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return false;
    return true;
}

/* Losses and their weighted sum; gradients into plugin->ds and plugin->dtau. */
static ctkd_status evaluate(ctkd_plugin *plugin, size_t n, const float *s, const float *t,
                            const int32_t *labels, ctkd_plugin_report *report)
{
    const ctkd_plugin_config *c = &plugin->config;
    const size_t size = n * c->k, n_tau = ctkd_temperature_count(plugin->temperature, n);
    memset(plugin->ds, 0, size * sizeof(float));
    memset(plugin->dtau, 0, n_tau * sizeof(float));
    ctkd_status status = ctkd_cross_entropy(n, c->k, s, labels, &report->loss_ce, plugin->ds_part);
    if (status != CTKD_OK)
        return status;
    add_scaled(size, c->ce_weight, plugin->ds_part, plugin->ds);
    status = ctkd_kd_loss(n, c->k, s, t, plugin->tau, n_tau, c->kd_form, &report->loss_kd,
                          plugin->ds_part, NULL, plugin->dtau_part);
    if (status != CTKD_OK)
        return status;
    add_scaled(size, c->kd_weight, plugin->ds_part, plugin->ds);
    add_scaled(n_tau, c->kd_weight, plugin->dtau_part, plugin->dtau);
    report->loss = c->ce_weight * report->loss_ce + c->kd_weight * report->loss_kd;
    if (!plugin->method)
        return CTKD_OK;
    const bool has_dtau = plugin->method->needs & CTKD_NEEDS_TAU;
    const ctkd_loss_args args = { .n = n,
                                  .k = c->k,
                                  .s = s,
                                  .t = t,
                                  .labels = labels,
                                  .tau = plugin->tau,
                                  .n_tau = n_tau,
                                  .loss = &report->loss_method,
                                  .ds = plugin->ds_part,
                                  .dtau = has_dtau ? plugin->dtau_part : NULL,
                                  .workspace = plugin->workspace };
    status = plugin->method->eval(plugin->method_config, &args);
    if (status != CTKD_OK)
        return status;
    add_scaled(size, c->method_weight, plugin->ds_part, plugin->ds);
    if (has_dtau)
        add_scaled(n_tau, c->method_weight, plugin->dtau_part, plugin->dtau);
    report->loss += c->method_weight * report->loss_method;
    return CTKD_OK;
}

/* SGD as the student's (METHODS 2.6): weight decay inside the gradient, no dampening. */
static void update(ctkd_plugin *plugin)
{
    const double rate = (double)plugin->config.learning_rate;
    const double momentum = (double)plugin->config.momentum;
    const double decay = (double)plugin->config.weight_decay;
    for (size_t i = 0; i < plugin->count; i++) {
        const double theta = (double)plugin->parameters[i];
        const double d = (double)plugin->gradient[i] + decay * theta;
        const double v = momentum * (double)plugin->velocity[i] + d;
        plugin->velocity[i] = (float)v;
        plugin->parameters[i] = (float)(theta - rate * v);
    }
}

static void describe_tau(ctkd_plugin_report *report, size_t n_tau, const float *tau)
{
    double sum = 0;
    report->tau_min = report->tau_max = tau[0];
    for (size_t i = 0; i < n_tau; i++) {
        sum += (double)tau[i];
        report->tau_min = fminf(report->tau_min, tau[i]);
        report->tau_max = fmaxf(report->tau_max, tau[i]);
    }
    report->tau_mean = (float)(sum / (double)n_tau);
}

ctkd_status ctkd_plugin_step(ctkd_plugin *plugin, size_t n, const float *s, const float *t,
                             const int32_t *labels, size_t epoch, float *ds,
                             ctkd_plugin_report *report)
{
    if (!plugin || n == 0 || n > plugin->config.n_max || !s || !t || !labels || epoch == 0 || !ds)
        return CTKD_EINVAL;
    const ctkd_plugin_config *c = &plugin->config;
    const size_t n_tau = ctkd_temperature_count(plugin->temperature, n);
    ctkd_plugin_report now = { 0 };
    ctkd_status status =
        ctkd_curriculum_lambda(c->curriculum, epoch, c->curriculum_epochs, 0, 1, &now.lambda);
    if (status != CTKD_OK)
        return status;
    status = ctkd_temperature_forward(plugin->temperature, n, s, t, plugin->tau);
    if (status != CTKD_OK)
        return status;
    if (!all_finite(n_tau, plugin->tau)) /* logits that are not */
        return CTKD_ENAN;
    describe_tau(&now, n_tau, plugin->tau);
    status = evaluate(plugin, n, s, t, labels, &now);
    if (status != CTKD_OK)
        return status;
    status =
        ctkd_temperature_backward(plugin->temperature, n, plugin->dtau, now.lambda, plugin->ds);
    if (status != CTKD_OK)
        return status;
    now.theta_gradient = ctkd_temperature_theta_gradient(plugin->temperature);
    if (!isfinite(now.loss) || !isfinite(now.theta_gradient) ||
        !all_finite(plugin->count, plugin->gradient) || !all_finite(n * c->k, plugin->ds))
        return CTKD_ENAN;
    update(plugin);
    memcpy(ds, plugin->ds, n * c->k * sizeof *ds);
    if (report)
        *report = now;
    return CTKD_OK;
}

/*
 * State, little-endian: "CTKDTAU1", kind, k and hidden (0 unless INSTANCE), count (u64 each), count
 * parameters and count velocities (float bits, u32), FNV-1a of all before (u64).
 */
static const unsigned char state_magic[8] = "CTKDTAU1";
enum { STATE_HEADER_BYTES = 8 + 4 * 8, STATE_CHECK_BYTES = 8 };

static unsigned char *put(unsigned char *at, size_t bytes, uint64_t value)
{
    for (size_t i = 0; i < bytes; i++)
        at[i] = (unsigned char)(value >> (8 * i));
    return at + bytes;
}

static const unsigned char *get(const unsigned char *at, size_t bytes, uint64_t *value)
{
    *value = 0;
    for (size_t i = 0; i < bytes; i++)
        *value |= (uint64_t)at[i] << (8 * i);
    return at + bytes;
}

static uint64_t fnv1a(size_t bytes, const unsigned char *data)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ data[i]) * 0x100000001b3u;
    return hash;
}

static void state_shape(const ctkd_plugin *plugin, uint64_t shape[4])
{
    const ctkd_temperature_config *c = &plugin->config.temperature;
    const bool instance = c->kind == CTKD_TEMPERATURE_INSTANCE;
    shape[0] = (uint64_t)c->kind;
    shape[1] = instance ? c->k : 0;
    shape[2] = instance ? (c->hidden ? c->hidden : c->k) : 0;
    shape[3] = plugin->count;
}

size_t ctkd_plugin_state_size(const ctkd_plugin *plugin)
{
    return STATE_HEADER_BYTES + 8 * plugin->count + STATE_CHECK_BYTES;
}

ctkd_status ctkd_plugin_save(const ctkd_plugin *plugin, void *memory, size_t bytes)
{
    if (!plugin || !memory)
        return CTKD_EINVAL;
    if (bytes < ctkd_plugin_state_size(plugin))
        return CTKD_ERANGE;
    unsigned char *at = memory;
    memcpy(at, state_magic, sizeof state_magic);
    at += sizeof state_magic;
    uint64_t shape[4];
    state_shape(plugin, shape);
    for (size_t i = 0; i < 4; i++)
        at = put(at, 8, shape[i]);
    const float *const arrays[2] = { plugin->parameters, plugin->velocity };
    for (size_t a = 0; a < 2; a++)
        for (size_t i = 0; i < plugin->count; i++) {
            uint32_t bits;
            memcpy(&bits, &arrays[a][i], sizeof bits);
            at = put(at, 4, bits);
        }
    (void)put(at, 8, fnv1a((size_t)(at - (unsigned char *)memory), memory));
    return CTKD_OK;
}

ctkd_status ctkd_plugin_restore(ctkd_plugin *plugin, const void *memory, size_t bytes)
{
    if (!plugin || !memory)
        return CTKD_EINVAL;
    if (bytes < STATE_HEADER_BYTES + STATE_CHECK_BYTES ||
        memcmp(memory, state_magic, sizeof state_magic) != 0)
        return CTKD_EFORMAT;
    const unsigned char *at = (const unsigned char *)memory + sizeof state_magic;
    uint64_t shape[4], expected[4], check;
    for (size_t i = 0; i < 4; i++)
        at = get(at, 8, &shape[i]);
    if (shape[3] > (bytes - STATE_HEADER_BYTES - STATE_CHECK_BYTES) / 8)
        return CTKD_EFORMAT;
    const size_t body = STATE_HEADER_BYTES + 8 * (size_t)shape[3];
    (void)get((const unsigned char *)memory + body, 8, &check);
    if (check != fnv1a(body, memory))
        return CTKD_EFORMAT;
    state_shape(plugin, expected);
    if (memcmp(shape, expected, sizeof shape) != 0)
        return CTKD_ESHAPE;
    float *const arrays[2] = { plugin->parameters, plugin->velocity };
    for (size_t a = 0; a < 2; a++)
        for (size_t i = 0; i < plugin->count; i++) {
            uint64_t value;
            at = get(at, 4, &value);
            const uint32_t bits = (uint32_t)value;
            memcpy(&arrays[a][i], &bits, sizeof bits);
        }
    return CTKD_OK;
}
