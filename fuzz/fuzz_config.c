/*
 * Configurations made from the option tables: a YAML file and settings beside it, whose keys are
 * real, nearly real or joined from parts, and whose values are allowed, at the edges or wild. What
 * is refused has one line; what is accepted is written, and reads back to the same text.
 */
#include <string.h>

#include "config/arguments.h"
#include "config/config.h"
#include "memory_file.h"
#include "run/run.h"
#include "util/options_inner.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { TEXT = 6000, ARGUMENTS = 12 };

struct source {
    const uint8_t *bytes;
    size_t n, at;
};

static unsigned next(struct source *source, unsigned bound)
{
    const unsigned byte = source->at < source->n ? source->bytes[source->at++] : 0;
    const unsigned more = source->at < source->n ? source->bytes[source->at++] : 0;
    return (byte | more << 8) % bound;
}

static const char *const wild[] = { "",
                                    "-1",
                                    "0",
                                    "1e400",
                                    "nan",
                                    "-inf",
                                    "0x10",
                                    "true",
                                    "no",
                                    "[1,",
                                    "1,2,3",
                                    "[a, b]",
                                    "{",
                                    "'",
                                    "\"\\x",
                                    "~",
                                    "1e-9",
                                    "auto",
                                    "*a",
                                    "&a b",
                                    "!!int 3",
                                    "# x",
                                    "\t1",
                                    "none",
                                    "dkd",
                                    "kd,pkt,kd",
                                    "1 2",
                                    "|",
                                    "999999999999999999999" };

/* A value for an option: at an edge, between, a choice, or anything. */
static void put_value(struct source *source, const ctkd_option *option, char *out, size_t bytes)
{
    const unsigned kind = next(source, 8);
    size_t choices = 0;
    while (option->choices && option->choices[choices])
        choices++;
    const double span = option->max - option->min;
    if (kind == 0)
        snprintf(out, bytes, "%s", wild[next(source, sizeof wild / sizeof *wild)]);
    else if (option->type == CTKD_OPTION_BOOL)
        snprintf(out, bytes, "%s", kind & 1 ? "true" : "false");
    else if (choices)
        snprintf(out, bytes, "%s", option->choices[next(source, (unsigned)choices)]);
    else if (option->type == CTKD_OPTION_STRING || option->type == CTKD_OPTION_PATH)
        snprintf(out, bytes, "%s", kind & 1 ? "150,180" : wild[next(source, 29)]);
    else if (kind < 4)
        snprintf(out, bytes, "%.17g",
                 kind == 1   ? option->min
                 : kind == 2 ? option->max
                             : option->value);
    else if (kind == 4)
        snprintf(out, bytes, "%.17g", option->max + 1 + span);
    else
        snprintf(out, bytes, kind == 5 ? "%.0f" : "%.9g",
                 option->min + span * next(source, 65536) / 65536.0);
}

/* The key of an option, now and then with a slip of the pen. */
static void put_key(struct source *source, const char *key, char *out, size_t bytes)
{
    snprintf(out, bytes, "%s", key);
    const size_t length = strlen(out);
    if (next(source, 16) == 0 && length > 1)
        out[next(source, (unsigned)length)] = (char)(33 + next(source, 94));
}

static void pick(struct source *source, struct ctkd__sections sections, size_t count,
                 struct ctkd__option_at *at)
{
    *at = (struct ctkd__option_at){ 0 };
    for (unsigned i = next(source, (unsigned)count) + 1; i > 0; i--)
        if (!ctkd__options_next(sections, at))
            abort();
}

/* Nested where the key before began alike, so that maps have several members. */
static size_t put_line(struct source *source, const struct ctkd__option_at *at, char *last,
                       char *text, size_t used)
{
    char key[CTKD__OPTION_KEY_MAX], value[64];
    put_key(source, at->key, key, sizeof key);
    put_value(source, at->option, value, sizeof value);
    const char *dot = strchr(key, '.');
    const size_t first = dot && next(source, 8) ? (size_t)(dot - key) : 0;
    int n;
    if (first && strncmp(last, key, first) == 0 && last[first] == '\0')
        n = snprintf(text + used, TEXT - used, "  %s: %s\n", key + first + 1, value);
    else if (first)
        n = snprintf(text + used, TEXT - used, "%.*s:\n  %s: %s\n", (int)first, key,
                     key + first + 1, value);
    else
        n = snprintf(text + used, TEXT - used, "%s: %s\n", key, value);
    snprintf(last, CTKD__OPTION_KEY_MAX, "%.*s", (int)first, key);
    return n > 0 && (size_t)n < TEXT - used ? used + (size_t)n : used;
}

static void check_round_trip(struct ctkd__config *config)
{
    struct ctkd__config *second;
    char *text[2] = { NULL, NULL };
    size_t sizes[2];
    ctkd_error err = { .status = CTKD_OK };
    if (ctkd__config_create(&second, &err) != CTKD_OK)
        abort();
    for (int i = 0; i < 2; i++) {
        FILE *out = open_memstream(&text[i], &sizes[i]);
        ctkd__sections_write_yaml(ctkd__config_sections(i ? second : config), out);
        fclose(out);
        if (i == 0 && ctkd__sections_read_yaml(ctkd__config_sections(second),
                                               memory_file((const uint8_t *)text[0], sizes[0]),
                                               &err) != CTKD_OK)
            abort();
    }
    if (strcmp(text[0], text[1]) != 0)
        abort();
    free(text[0]);
    free(text[1]);
    ctkd__config_destroy(second);
}

/* A refusal has its status and one line of text. */
static int refused(ctkd_status status, const ctkd_error *err)
{
    if (status == CTKD_OK)
        return 0;
    if (status != err->status || !err->message[0] || strchr(err->message, '\n'))
        abort();
    return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct source source = { bytes, n, 0 };
    struct ctkd__config *config;
    struct ctkd__option_at at = { 0 };
    ctkd_error err = { .status = CTKD_OK };
    char text[TEXT] = "", last[CTKD__OPTION_KEY_MAX] = "", settings[ARGUMENTS][256];
    char *arguments[ARGUMENTS];
    size_t used = 0, count = 0;
    if (ctkd__config_create(&config, &err) != CTKD_OK)
        abort();
    const struct ctkd__sections sections = ctkd__config_sections(config);
    while (ctkd__options_next(sections, &at))
        count++;
    for (unsigned lines = next(&source, 12); lines > 0; lines--) {
        pick(&source, sections, count, &at);
        used = put_line(&source, &at, last, text, used);
    }
    const int argc = (int)next(&source, ARGUMENTS);
    for (int i = 0; i < argc; i++) {
        char key[CTKD__OPTION_KEY_MAX], value[64];
        pick(&source, sections, count, &at);
        put_key(&source, at.key, key, sizeof key);
        put_value(&source, at.option, value, sizeof value);
        snprintf(settings[i], sizeof settings[i], "%s=%s", key, value);
        arguments[i] = settings[i];
    }
    struct ctkd__arguments scanned;
    const int distil = (int)next(&source, 2);
    if (!refused(ctkd__sections_read_yaml(sections, memory_file((const uint8_t *)text, used), &err),
                 &err) &&
        !refused(ctkd__arguments_scan(argc, arguments, &scanned, &err), &err) &&
        !refused(ctkd__arguments_apply(argc, arguments, config, &err), &err)) {
        check_round_trip(config);
        if (!refused(ctkd__config_check(config, distil, &err), &err) &&
            !refused(ctkd__run_resolve(config, distil, &err), &err))
            check_round_trip(config);
    }
    ctkd__config_destroy(config);
    return 0;
}
