#include "ctkd/temperature.h"

#include <math.h>
#include <string.h>

#include "ctkd/random.h"
#include "lib/math/rows.h"
#include "lib/memory.h"

/* The two-layer network of INSTANCE, and every array of its block; widths are inputs = 2k, hidden.
 */
struct ctkd_temperature {
    ctkd_temperature_config config;
    size_t inputs, hidden, count; /* count of parameters */
    size_t n;                     /* of the last forward, 0 before it */
    float *parameters, *gradient; /* [count]: W1, b1, w2, b2, or theta */
    float *x;                     /* [n_max, inputs] */
    float *h;                     /* [n_max, hidden], after relu */
    float *dh;                    /* [hidden], of one sample */
    float *dx;                    /* [k], of one sample: the student's half */
    float *theta, *dtheta;        /* [n_max] */
    float theta_gradient;
};

void ctkd_temperature_config_init(ctkd_temperature_config *config, size_t size)
{
    const ctkd_temperature_config own = { .size = size,
                                          .kind = CTKD_TEMPERATURE_GLOBAL,
                                          .tau = 4,
                                          .tau_min = 1,
                                          .tau_span = 20,
                                          .theta_init = 1,
                                          .n_max = 1,
                                          .k = 1,
                                          .bias_init = 1 };
    memset(config, 0, size);
    memcpy(config, &own, size < sizeof own ? size : sizeof own);
}

static bool is_positive(float value)
{
    return isfinite(value) && value > 0;
}

static bool config_ok(const ctkd_temperature_config *c)
{
    if (!c->allocator.allocate != !c->allocator.release || (c->size && c->size != sizeof *c))
        return false;
    for (size_t i = 0; i < sizeof c->reserved / sizeof c->reserved[0]; i++)
        if (c->reserved[i]) /* of a later version */
            return false;
    switch (c->kind) {
    case CTKD_TEMPERATURE_FIXED:
        return is_positive(c->tau);
    case CTKD_TEMPERATURE_GLOBAL:
        return is_positive(c->tau_min) && is_positive(c->tau_span) && isfinite(c->theta_init);
    case CTKD_TEMPERATURE_INSTANCE:
        return is_positive(c->tau_min) && is_positive(c->tau_span) && c->n_max >= 1 && c->k >= 1 &&
               (!c->set_bias || isfinite(c->bias_init));
    }
    return false;
}

/* Lays out the floats of the block behind `memory` (NULL: only counts). False when too many. */
static bool lay_out(struct ctkd_temperature *module, float *memory, size_t *floats)
{
    const bool instance = module->config.kind == CTKD_TEMPERATURE_INSTANCE;
    const size_t n = instance ? module->config.n_max : 1, k = instance ? module->config.k : 0;
    const size_t count = module->count, hidden = module->hidden;
    const struct {
        float **array;
        size_t rows, columns;
    } arrays[] = {
        { &module->parameters, 1, count }, { &module->gradient, 1, count },
        { &module->x, n, module->inputs }, { &module->h, n, hidden },
        { &module->dh, 1, hidden },        { &module->dx, 1, k },
        { &module->theta, 1, n },          { &module->dtheta, 1, n },
    };
    *floats = 0;
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++) {
        if (memory)
            *arrays[i].array = memory + *floats;
        if (!ctkd__add_product(floats, arrays[i].rows, arrays[i].columns))
            return false;
    }
    return true;
}

static bool measure(struct ctkd_temperature *module)
{
    const ctkd_temperature_config *c = &module->config;
    if (c->kind == CTKD_TEMPERATURE_GLOBAL)
        module->count = 1;
    if (c->kind != CTKD_TEMPERATURE_INSTANCE)
        return true;
    module->hidden = c->hidden ? c->hidden : c->k;
    module->count = 1;
    return ctkd__add_product(&module->inputs, 2, c->k) &&
           ctkd__add_product(&module->count, module->hidden, module->inputs) &&
           ctkd__add_product(&module->count, 2, module->hidden);
}

/* Layer by layer as PyTorch's default: weights and biases U(-1/sqrt(fan_in), 1/sqrt(fan_in)). */
static void initialise(struct ctkd_temperature *module)
{
    const ctkd_temperature_config *c = &module->config;
    float *out = module->parameters;
    if (c->kind == CTKD_TEMPERATURE_GLOBAL)
        out[0] = c->theta_init;
    if (c->kind != CTKD_TEMPERATURE_INSTANCE)
        return;
    const size_t sizes[] = { module->hidden * module->inputs, module->hidden, module->hidden, 1 };
    const size_t fan_in[] = { module->inputs, module->inputs, module->hidden, module->hidden };
    for (size_t part = 0; part < 4; part++)
        for (size_t i = 0; i < sizes[part]; i++)
            *out++ = (2 * ctkd_random_uniform(c->seed, CTKD_RANDOM_TEMPERATURE, part, i) - 1) /
                     sqrtf((float)fan_in[part]);
    if (c->set_bias)
        out[-1] = c->bias_init;
}

ctkd_status ctkd_temperature_create(const ctkd_temperature_config *config, ctkd_temperature **out)
{
    if (!out)
        return CTKD_EINVAL;
    *out = NULL;
    if (!config || !config_ok(config))
        return CTKD_EINVAL;
    struct ctkd_temperature module = { .config = *config };
    size_t floats = 0, bytes = sizeof module;
    if (!measure(&module) || !lay_out(&module, NULL, &floats) ||
        !ctkd__add_product(&bytes, floats, sizeof(float)))
        return CTKD_ENOMEM;
    struct ctkd_temperature *block = ctkd__allocate(&config->allocator, bytes);
    if (!block)
        return CTKD_ENOMEM;
    memset(block, 0, bytes);
    (void)lay_out(&module, (float *)(block + 1), &floats); /* measured above */
    *block = module;
    initialise(block);
    *out = block;
    return CTKD_OK;
}

void ctkd_temperature_destroy(ctkd_temperature *temperature)
{
    if (!temperature)
        return;
    const ctkd_allocator allocator = temperature->config.allocator; /* outlives the block */
    ctkd__release(&allocator, temperature);
}

size_t ctkd_temperature_count(const ctkd_temperature *temperature, size_t n)
{
    return temperature->config.kind == CTKD_TEMPERATURE_INSTANCE ? n : 1;
}

float ctkd_tau_from_theta(float theta, float tau_min, float tau_span)
{
    return (float)((double)tau_min + (double)tau_span * ctkd__sigmoid((double)theta));
}

void ctkd_gradient_reverse(size_t n, float lambda, float *g)
{
    for (size_t i = 0; i < n; i++)
        g[i] *= -lambda;
}

/* --- INSTANCE */

/* Independent partial sums let the compiler use vectors without reordering any of them. */
static float dot(size_t n, const float *a, const float *b)
{
    enum { LANES = 16 };
    float lane[LANES] = { 0 };
    size_t j = 0;
    for (; j + LANES <= n; j += LANES)
        for (size_t l = 0; l < LANES; l++)
            lane[l] += a[j + l] * b[j + l];
    double sum = 0;
    for (; j < n; j++)
        sum += (double)a[j] * (double)b[j];
    for (size_t l = 0; l < LANES; l++)
        sum += (double)lane[l];
    return (float)sum;
}

static void add_scaled(size_t n, float scale, const float *x, float *y)
{
    for (size_t j = 0; j < n; j++)
        y[j] += scale * x[j];
}

static void write_input(const struct ctkd_temperature *module, const float *row, float *x)
{
    const size_t k = module->config.k;
    if (module->config.from_logits) {
        memcpy(x, row, k * sizeof *x);
        return;
    }
    const struct ctkd__lse lse = ctkd__row_lse(k, row);
    ctkd__probabilities(k, row, lse, x);
}

static void instance_forward(struct ctkd_temperature *module, size_t n, const float *s,
                             const float *t)
{
    const size_t k = module->config.k, hidden = module->hidden, inputs = module->inputs;
    const float *w1 = module->parameters, *b1 = w1 + hidden * inputs;
    const float *w2 = b1 + hidden, *b2 = w2 + hidden;
    for (size_t i = 0; i < n; i++) {
        write_input(module, t + i * k, module->x + i * inputs);
        write_input(module, s + i * k, module->x + i * inputs + k);
    }
    for (size_t u = 0; u < hidden; u++) /* a row of W1 stays cached for the whole batch */
        for (size_t i = 0; i < n; i++) {
            const float a = dot(inputs, w1 + u * inputs, module->x + i * inputs) + b1[u];
            module->h[i * hidden + u] = a > 0 || isnan(a) ? a : 0; /* a NaN must reach the loss */
        }
    for (size_t i = 0; i < n; i++)
        module->theta[i] = dot(hidden, w2, module->h + i * hidden) + *b2;
}

/* ds += the path of sample i through the student's half of x: softmax rule, or none for logits. */
static void add_input_gradient(struct ctkd_temperature *module, size_t i, float *ds)
{
    const size_t k = module->config.k, inputs = module->inputs;
    const float *w1 = module->parameters, *q = module->x + i * inputs + k;
    memset(module->dx, 0, k * sizeof *module->dx);
    for (size_t u = 0; u < module->hidden; u++)
        if (module->dh[u] != 0)
            add_scaled(k, module->dh[u], w1 + u * inputs + k, module->dx);
    if (module->config.from_logits) {
        add_scaled(k, 1, module->dx, ds);
        return;
    }
    double mean = 0;
    for (size_t j = 0; j < k; j++)
        mean += (double)q[j] * (double)module->dx[j];
    for (size_t j = 0; j < k; j++)
        ds[j] += (float)((double)q[j] * ((double)module->dx[j] - mean));
}

/* Propagates the reversed dtheta to the parameters' gradient and, unless it is NULL, to ds. */
static void instance_backward(struct ctkd_temperature *module, size_t n, float *ds)
{
    const size_t hidden = module->hidden, inputs = module->inputs;
    const float *w2 = module->parameters + hidden * inputs + hidden;
    float *dw1 = module->gradient, *db1 = dw1 + hidden * inputs;
    float *dw2 = db1 + hidden, *db2 = dw2 + hidden;
    memset(module->gradient, 0, module->count * sizeof *module->gradient);
    for (size_t i = 0; i < n; i++) {
        const float dtheta = module->dtheta[i];
        const float *h = module->h + i * hidden;
        add_scaled(hidden, dtheta, h, dw2);
        *db2 += dtheta;
        for (size_t u = 0; u < hidden; u++)
            module->dh[u] = h[u] > 0 ? dtheta * w2[u] : 0;
        for (size_t u = 0; u < hidden; u++) {
            if (module->dh[u] == 0)
                continue;
            db1[u] += module->dh[u];
            add_scaled(inputs, module->dh[u], module->x + i * inputs, dw1 + u * inputs);
        }
        if (ds)
            add_input_gradient(module, i, ds + i * module->config.k);
    }
}

/* --- every kind */

ctkd_status ctkd_temperature_forward(ctkd_temperature *temperature, size_t n, const float *s,
                                     const float *t, float *tau)
{
    if (!temperature || n == 0 || !tau)
        return CTKD_EINVAL;
    const ctkd_temperature_config *c = &temperature->config;
    const bool instance = c->kind == CTKD_TEMPERATURE_INSTANCE;
    if (instance && (n > c->n_max || !s || !t))
        return CTKD_EINVAL;
    temperature->n = n;
    if (c->kind == CTKD_TEMPERATURE_FIXED) {
        *tau = c->tau;
        return CTKD_OK;
    }
    if (instance)
        instance_forward(temperature, n, s, t);
    else
        temperature->theta[0] = temperature->parameters[0];
    for (size_t i = 0; i < ctkd_temperature_count(temperature, n); i++)
        tau[i] = ctkd_tau_from_theta(temperature->theta[i], c->tau_min, c->tau_span);
    return CTKD_OK;
}

ctkd_status ctkd_temperature_backward(ctkd_temperature *temperature, size_t n, const float *dtau,
                                      float lambda, float *ds)
{
    if (!temperature || !dtau || !isfinite(lambda) || lambda < 0 || n == 0 || n != temperature->n)
        return CTKD_EINVAL;
    const ctkd_temperature_config *c = &temperature->config;
    if (c->kind == CTKD_TEMPERATURE_FIXED)
        return CTKD_OK;
    const size_t count = ctkd_temperature_count(temperature, n);
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        const double theta = (double)temperature->theta[i];
        const double slope =
            (double)c->tau_span * ctkd__sigmoid(theta) * ctkd__sigmoid(-theta); /* dtau/dtheta */
        sum += (double)dtau[i] * slope;
        temperature->dtheta[i] = (float)((double)dtau[i] * slope);
    }
    temperature->theta_gradient = (float)sum;
    ctkd_gradient_reverse(count, lambda, temperature->dtheta);
    if (c->kind == CTKD_TEMPERATURE_INSTANCE)
        instance_backward(temperature, n, c->through ? ds : NULL);
    else
        temperature->gradient[0] = temperature->dtheta[0];
    return CTKD_OK;
}

float ctkd_temperature_theta_gradient(const ctkd_temperature *temperature)
{
    return temperature->theta_gradient;
}

size_t ctkd_temperature_parameters(ctkd_temperature *temperature, float **parameters,
                                   float **gradient)
{
    *parameters = temperature->count ? temperature->parameters : NULL;
    *gradient = temperature->count ? temperature->gradient : NULL;
    return temperature->count;
}
