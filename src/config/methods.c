#include "config/methods.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "util/error.h"

enum { NAME_BYTES = 32 };

/* The next part of a comma list, without blanks around it; false at the end. A part that is too
   long for a name or number becomes "", which is refused as either. */
static bool next_part(const char **at, char out[NAME_BYTES])
{
    if (!*at)
        return false;
    const char *const comma = strchr(*at, ',');
    const char *begin = *at, *end = comma ? comma : *at + strlen(*at);
    while (begin < end && *begin == ' ')
        begin++;
    while (end > begin && end[-1] == ' ')
        end--;
    const bool fits = end - begin < NAME_BYTES;
    snprintf(out, NAME_BYTES, "%.*s", fits ? (int)(end - begin) : 0, begin);
    *at = comma ? comma + 1 : NULL;
    return true;
}

static ctkd_status unknown(const char *name, ctkd_error *err)
{
    const char *names[64] = { "none" };
    for (size_t i = 0; ctkd_loss_list()[i] && i + 2 < sizeof names / sizeof *names; i++)
        names[i + 1] = ctkd_loss_list()[i]->name;
    return ctkd__fail_within(
        err, ctkd__unknown("loss", name, names, "`ctkd methods` lists them", err), "method.name");
}

bool ctkd__methods_is_kd(const char *name)
{
    return strcmp(name, "kd") == 0;
}

/* One number of method.weight. */
static ctkd_status parse_weight(const char *part, float *weight, ctkd_error *err)
{
    char *end;
    const float value = strtof(part, &end);
    if (end == part || *end || !(value >= 0 && value <= 1e6f))
        return ctkd__fail(err, CTKD_ERANGE,
                          "method.weight: found '%s', expected a number from 0 to 1e+06 for each "
                          "method, or nothing for their defaults",
                          part);
    *weight = value;
    return CTKD_OK;
}

static ctkd_status add(const struct ctkd__config *config, const char *name, const float *weight,
                       struct ctkd__methods *out, ctkd_error *err)
{
    if (ctkd__methods_is_kd(name)) {
        out->has_kd = true;
        out->kd_weight = weight ? *weight : out->kd_weight;
        return out->kd_weight > 0
                   ? CTKD_OK
                   : ctkd__fail(err, CTKD_ERANGE,
                                "method.kd_weight: 0 would leave the kd loss without effect");
    }
    const ctkd_loss_def *const def = ctkd_loss_find(name);
    if (!def)
        return unknown(name, err);
    for (size_t i = 0; i < out->count; i++)
        if (out->items[i].def == def)
            return ctkd__fail(err, CTKD_EINVAL, "method.name: found %s twice, expected it once",
                              name);
    if (out->count == CTKD__METHODS_MAX)
        return ctkd__fail(err, CTKD_ERANGE, "method.name: found more than %d methods",
                          CTKD__METHODS_MAX);
    const float own = weight ? *weight : def->weight;
    if (!(own > 0))
        return ctkd__fail(err, CTKD_ERANGE,
                          "method.weight: 0 would leave the %s loss without effect; expected a "
                          "weight above 0, or method.name=none",
                          name);
    out->items[out->count++] = (struct ctkd__method){ def, ctkd__config_loss(config, def), own };
    out->needs |= def->needs;
    out->has_main |= !def->stages || def->stages & CTKD_STAGE_MAIN;
    if (def->stages & CTKD_STAGE_INITIAL) {
        out->has_initial = true;
        out->initial_trains_student |= def->initial_trains_student;
    }
    return CTKD_OK;
}

/* "none" may be combined with weight 0, as by the published scripts' -b 0, but with no other. */
static ctkd_status choose_none(const struct ctkd__config *config, ctkd_error *err)
{
    float weight = 0;
    if (config->method.weight[0]) {
        const ctkd_status status = parse_weight(config->method.weight, &weight, err);
        if (status != CTKD_OK)
            return status;
    }
    if (weight > 0)
        return ctkd__fail(
            err, CTKD_ERANGE,
            "method.weight: found %g, but method.name is none; expected weight 0 or a loss",
            (double)weight);
    if (config->method.ce_weight <= 0 && config->method.kd_weight <= 0)
        return ctkd__fail(
            err, CTKD_ERANGE,
            "method: found 0 for ce_weight, kd_weight and weight, expected one above 0");
    return CTKD_OK;
}

static size_t count_parts(const char *text)
{
    size_t n = text[0] != '\0';
    for (; *text; text++)
        n += *text == ',';
    return n;
}

ctkd_status ctkd__methods_resolve(const struct ctkd__config *config, struct ctkd__methods *out,
                                  ctkd_error *err)
{
    *out = (struct ctkd__methods){ .kd_weight = config->method.kd_weight };
    const char *names = config->method.name, *weights = config->method.weight;
    if (strcmp(names, "none") == 0)
        return choose_none(config, err);
    if (weights[0] && count_parts(weights) != count_parts(names))
        return ctkd__fail(err, CTKD_EINVAL,
                          "method.weight: found %zu weights for %zu methods, expected one for "
                          "each, or nothing for their defaults",
                          count_parts(weights), count_parts(names));
    const char *weight_at = weights[0] ? weights : NULL;
    char name[NAME_BYTES], part[NAME_BYTES];
    ctkd_status status = CTKD_OK;
    while (status == CTKD_OK && next_part(&names, name)) {
        float weight = 0;
        const bool has_weight = next_part(&weight_at, part);
        if (has_weight)
            status = parse_weight(part, &weight, err);
        if (status == CTKD_OK)
            status = add(config, name, has_weight ? &weight : NULL, out, err);
    }
    return status;
}

const char *ctkd__methods_text(const struct ctkd__methods *methods, char *text, size_t bytes)
{
    size_t used = (size_t)snprintf(text, bytes, "%s", methods->count ? "" : "kd");
    for (size_t i = 0; i < methods->count && used < bytes; i++)
        used += (size_t)snprintf(text + used, bytes - used, "%s%s", i ? "+" : "",
                                 methods->items[i].def->name);
    return text;
}

const ctkd_loss_def *ctkd__methods_growing(const struct ctkd__methods *methods)
{
    for (size_t i = 0; i < methods->count; i++)
        if (methods->items[i].def->properties & CTKD_GROWS_WITH_TAU)
            return methods->items[i].def;
    return NULL;
}

ctkd_temperature_kind ctkd__methods_temperature_kind(const struct ctkd__config *config)
{
    struct ctkd__methods methods;
    if (config->temperature.kind != CTKD__KIND_AUTO)
        return (ctkd_temperature_kind)config->temperature.kind;
    /* A list that does not resolve is refused elsewhere, with the reason. */
    return ctkd__methods_resolve(config, &methods, NULL) == CTKD_OK &&
                   ctkd__methods_growing(&methods)
               ? CTKD_TEMPERATURE_FIXED
               : CTKD_TEMPERATURE_GLOBAL;
}

const char *ctkd__methods_temperature_text(const struct ctkd__config *config)
{
    static const char *const names[] = { "fixed", "global", "instance" };
    return names[ctkd__methods_temperature_kind(config)];
}
