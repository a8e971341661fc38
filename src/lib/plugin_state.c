#include <string.h>

#include "lib/plugin_inner.h"

/*
 * State, little-endian: "CTKDTAU1", kind, k and hidden (0 unless INSTANCE), count (u64 each), count
 * parameters and count velocities (float bits, u32), FNV-1a of all before (u64).
 */
static const unsigned char state_magic[8] = "CTKDTAU1";
enum { STATE_HEADER_BYTES = 8 + 4 * 8, STATE_CHECK_BYTES = 8 };

static unsigned char *put_number(unsigned char *at, size_t bytes, uint64_t value)
{
    for (size_t i = 0; i < bytes; i++)
        at[i] = (unsigned char)(value >> (8 * i));
    return at + bytes;
}

static const unsigned char *get_number(const unsigned char *at, size_t bytes, uint64_t *value)
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
        at = put_number(at, 8, shape[i]);
    const float *const arrays[2] = { plugin->parameters, plugin->velocity };
    for (size_t a = 0; a < 2; a++)
        for (size_t i = 0; i < plugin->count; i++) {
            uint32_t bits;
            memcpy(&bits, &arrays[a][i], sizeof bits);
            at = put_number(at, 4, bits);
        }
    (void)put_number(at, 8, fnv1a((size_t)(at - (unsigned char *)memory), memory));
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
        at = get_number(at, 8, &shape[i]);
    if (shape[3] > (bytes - STATE_HEADER_BYTES - STATE_CHECK_BYTES) / 8)
        return CTKD_EFORMAT;
    const size_t body = STATE_HEADER_BYTES + 8 * (size_t)shape[3];
    (void)get_number((const unsigned char *)memory + body, 8, &check);
    if (check != fnv1a(body, memory))
        return CTKD_EFORMAT;
    state_shape(plugin, expected);
    if (memcmp(shape, expected, sizeof shape) != 0)
        return CTKD_ESHAPE;
    float *const arrays[2] = { plugin->parameters, plugin->velocity };
    for (size_t a = 0; a < 2; a++)
        for (size_t i = 0; i < plugin->count; i++) {
            uint64_t value;
            at = get_number(at, 4, &value);
            const uint32_t bits = (uint32_t)value;
            memcpy(&arrays[a][i], &bits, sizeof bits);
        }
    return CTKD_OK;
}
