#include <string.h>

#include "lib/memory.h"
#include "lib/plugin_inner.h"
#include "lib/refuse.h"

/* Lays out the arrays of the block from byte `memory` on (NULL: only counts, in *bytes). Those of
   wider types than float come first. */
static bool lay_out(struct ctkd_plugin *plugin, char *memory, size_t *bytes)
{
    const size_t n = plugin->config.n_max, k = plugin->config.k, count = plugin->count;
    const size_t method = plugin->method ? (plugin->method->config_size + 15) / 16 * 16 : 0;
    const struct {
        void **array;
        size_t rows, columns, bytes;
    } arrays[] = {
        { &plugin->method_config, 1, method, 1 },
        { (void **)&plugin->workspace, 1, plugin->workspace_size, sizeof(double) },
        { (void **)&plugin->picked, 1, n, sizeof(size_t) },
        { (void **)&plugin->labels, 1, n, sizeof(int32_t) },
        { (void **)&plugin->velocity, 1, count, sizeof(float) },
        { (void **)&plugin->tau, 1, n, sizeof(float) },
        { (void **)&plugin->dtau, 1, n, sizeof(float) },
        { (void **)&plugin->dtau_part, 1, n, sizeof(float) },
        { (void **)&plugin->weights, 1, n, sizeof(float) },
        { (void **)&plugin->ds, n, k, sizeof(float) },
        { (void **)&plugin->ds_part, n, k, sizeof(float) },
        { (void **)&plugin->s, n, k, sizeof(float) },
        { (void **)&plugin->t, n, k, sizeof(float) },
    };
    *bytes = (sizeof *plugin + 15) / 16 * 16;
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++) {
        size_t values = 0;
        if (memory)
            memcpy(arrays[i].array, &(void *){ memory + *bytes }, sizeof(void *));
        if (!ctkd__add_product(&values, arrays[i].rows, arrays[i].columns) ||
            !ctkd__add_product(bytes, values, arrays[i].bytes))
            return false;
    }
    return true;
}

/* The method of a config: one of the list, or a copy of the caller's. */
static ctkd_status find_method(struct ctkd_plugin *plugin, const ctkd_plugin_config *config,
                               ctkd_error *err)
{
    if (config->method_def) {
        const ctkd_status status =
            ctkd__struct_read(&plugin->own, sizeof plugin->own, sizeof plugin->own,
                              config->method_def, config->method_def->size);
        if (status != CTKD_OK)
            return ctkd__refuse_struct(err, status, "method_def");
        plugin->method = &plugin->own;
    } else if (config->method) {
        plugin->method = ctkd_loss_find(config->method);
        if (!plugin->method)
            return CTKD__REFUSE(err, CTKD_ENOTFOUND, "method: unknown loss \"", config->method,
                                "\"");
    }
    if (!plugin->method)
        return CTKD_OK;
    const unsigned more = CTKD_NEEDS_MAPS | CTKD_NEEDS_IDS | CTKD_NEEDS_HEAD;
    const char *const name = plugin->method->name ? plugin->method->name : "method_def";
    char found[CTKD__NUMBER_BYTES], least[CTKD__NUMBER_BYTES];
    if (!plugin->method->eval)
        return CTKD__REFUSE(err, CTKD_EINVAL, name, ": eval: found NULL, expected a function");
    if (config->k < plugin->method->classes_min)
        return CTKD__REFUSE(
            err, CTKD_EINVAL, "k: found ", ctkd__number_text((double)config->k, found),
            " classes, expected at least ",
            ctkd__number_text((double)plugin->method->classes_min, least), " for ", name);
    if ((plugin->method->needs & more) || plugin->method->state)
        return CTKD__REFUSE(err, CTKD_EINVAL, "method: ", name,
                            " reads more than logits and labels, which is all that a plugin has; "
                            "call its eval in your loop");
    const ctkd_loss_shape shape = { .size = sizeof shape, .n = config->n_max, .k = config->k };
    if (ctkd_loss_workspace(plugin->method, NULL, &shape, &plugin->workspace_size) != CTKD_OK)
        return CTKD__REFUSE(err, CTKD_ENOMEM, "out of memory");
    return CTKD_OK;
}

/* One block for the plugin and all its arrays. */
static ctkd_status allocate(const struct ctkd_plugin *plugin, ctkd_plugin **out)
{
    struct ctkd_plugin measured = *plugin;
    size_t bytes;
    char *block = lay_out(&measured, NULL, &bytes)
                      ? ctkd__allocate(&plugin->config.temperature.allocator, bytes)
                      : NULL;
    if (!block)
        return CTKD_ENOMEM;
    memset(block, 0, bytes);
    (void)lay_out(&measured, block, &bytes); /* measured above */
    *out = (struct ctkd_plugin *)(void *)block;
    **out = measured;
    if (measured.method == &plugin->own)
        (*out)->method = &(*out)->own;
    if (measured.method)
        ctkd_options_defaults(measured.method->options, measured.method_config);
    return CTKD_OK;
}

ctkd_status ctkd_plugin_create_checked(const ctkd_plugin_config *from, ctkd_plugin **out,
                                       ctkd_error *err)
{
    if (!out)
        return CTKD__REFUSE(err, CTKD_EINVAL, "out: found NULL, expected a place for the plugin");
    *out = NULL;
    if (!from)
        return CTKD__REFUSE(err, CTKD_EINVAL, "config: found NULL, expected a configuration");
    struct ctkd_plugin plugin = { 0 };
    ctkd_status status = ctkd__plugin_config_read(from, &plugin.config, err);
    if (status != CTKD_OK)
        return status;
    const ctkd_plugin_config config = plugin.config;
    plugin.config.method = NULL;
    plugin.config.method_def = NULL;
    status = find_method(&plugin, &config, err);
    if (status != CTKD_OK)
        return status;
    status = ctkd_temperature_create(&plugin.config.temperature, &plugin.temperature);
    if (status != CTKD_OK)
        return CTKD__REFUSE(err, status,
                            status == CTKD_ENOMEM ? "" : "temperature: ", ctkd_status_text(status));
    plugin.count =
        ctkd_temperature_parameters(plugin.temperature, &plugin.parameters, &plugin.gradient);
    status = allocate(&plugin, out);
    if (status != CTKD_OK) {
        ctkd_temperature_destroy(plugin.temperature);
        return CTKD__REFUSE(err, status, ctkd_status_text(status));
    }
    return CTKD_OK;
}

ctkd_status ctkd_plugin_create(const ctkd_plugin_config *config, ctkd_plugin **out)
{
    return ctkd_plugin_create_checked(config, out, NULL);
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

ctkd_status ctkd_plugin_set_method_text(ctkd_plugin *plugin, const char *name, const char *text,
                                        ctkd_error *err)
{
    if (!plugin)
        return CTKD__REFUSE(err, CTKD_EINVAL, "plugin: found NULL, expected a plugin");
    if (!plugin->method)
        return CTKD__REFUSE(err, CTKD_ENOTFOUND, "option \"", name ? name : "",
                            "\": the plugin has no method, expected one whose option it is");
    return ctkd_option_set_text(plugin->method->options, plugin->method_config, name, text, err);
}

ctkd_status ctkd_plugin_set_learning_rate(ctkd_plugin *plugin, float rate)
{
    if (!plugin || !(rate >= 0) || !ctkd__all_finite(1, &rate))
        return CTKD_EINVAL;
    plugin->config.learning_rate = rate;
    return CTKD_OK;
}

size_t ctkd_plugin_theta_count(const ctkd_plugin *plugin)
{
    return plugin->count;
}

ctkd_status ctkd_plugin_theta_read(const ctkd_plugin *plugin, float *theta)
{
    if (!plugin || !theta)
        return CTKD_EINVAL;
    for (size_t i = 0; i < plugin->count; i++)
        theta[i] = plugin->parameters[i];
    return CTKD_OK;
}

ctkd_status ctkd_plugin_theta_write(ctkd_plugin *plugin, const float *theta)
{
    if (!plugin || !theta)
        return CTKD_EINVAL;
    if (!ctkd__all_finite(plugin->count, theta))
        return CTKD_ENAN;
    for (size_t i = 0; i < plugin->count; i++)
        plugin->parameters[i] = theta[i];
    return CTKD_OK;
}
