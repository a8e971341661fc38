/* The YAML form of a config: nested maps of scalars and of lists of scalars, on top of other files.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <yaml.h>

#include "util/error.h"
#include "util/file.h"
#include "util/file_kind.h"
#include "util/options_inner.h"
#include "util/path.h"

enum {
    FILE_LIMIT = 1 << 20,
    DEPTH_LIMIT = 8,  /* of maps, and of files under files */
    FILES_LIMIT = 64, /* in all, because bases of bases multiply */
    PATH_LIMIT = 1024
};

/* A leaf as found; set only after the base files, which may be named below it. */
struct yaml_entry {
    struct yaml_entry *next;
    unsigned long line;
    char *value; /* a list is joined with commas */
    bool list, null;
    char key[];
};

/* A file being read, and the one that named it. */
struct yaml_file {
    const struct yaml_file *parent;
    const char *path;
    dev_t device;
    ino_t inode;
    int depth, *files;
    struct ctkd__sections sections;
    yaml_parser_t parser;
    yaml_event_t event; /* the current one */
    char *bases[FILES_LIMIT];
    size_t n_bases;
    struct yaml_entry *entries, **tail;
    struct map_begun {
        char key[CTKD__OPTION_KEY_MAX];
    } * maps; /* a second one of the same key is a duplicate */
    size_t n_maps;
};

#define fail_at(source, err, status, format, ...)                                                  \
    ctkd__fail(err, status, "%s:%lu: " format, (source)->path,                                     \
               (unsigned long)(source)->event.start_mark.line + 1, __VA_ARGS__)

static ctkd_status parser_failure(const struct yaml_file *source, ctkd_error *err)
{
    const yaml_parser_t *parser = &source->parser;
    if (parser->error == YAML_MEMORY_ERROR)
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", source->path);
    const unsigned long line =
        (unsigned long)(parser->error == YAML_READER_ERROR ? parser->mark.line
                                                           : parser->problem_mark.line);
    return ctkd__fail(err, CTKD_EFORMAT, "%s:%lu: invalid YAML: %s", source->path, line + 1,
                      parser->problem ? parser->problem : "unreadable");
}

/* The next event; anchors, aliases and tags, which could make a small file expand or surprise, are
   refused here. */
static ctkd_status advance(struct yaml_file *source, ctkd_error *err)
{
    yaml_event_delete(&source->event);
    memset(&source->event, 0, sizeof source->event);
    if (!yaml_parser_parse(&source->parser, &source->event))
        return parser_failure(source, err);
    const yaml_event_t *event = &source->event;
    const yaml_char_t *anchor = NULL, *tag = NULL;
    if (event->type == YAML_ALIAS_EVENT)
        anchor = event->data.alias.anchor;
    if (event->type == YAML_SCALAR_EVENT) {
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
        if (strlen((char *)event->data.scalar.value) != event->data.scalar.length)
            return fail_at(source, err, CTKD_EFORMAT, "%s", "found a NUL character, expected text");
    }
    if (event->type == YAML_MAPPING_START_EVENT || event->type == YAML_SEQUENCE_START_EVENT) {
        /* both kinds begin with these two fields */
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
    }
    if (anchor || tag)
        return fail_at(source, err, CTKD_EFORMAT, "%.60s: found an %s, expected plain values",
                       (const char *)(anchor ? anchor : tag),
                       anchor ? "anchor or alias" : "explicit tag");
    return CTKD_OK;
}

static const char *scalar(const struct yaml_file *source)
{
    return (const char *)source->event.data.scalar.value;
}

/* Whether the value is YAML's null: an empty scalar, ~ or null, without quotes. */
static bool is_null(const struct yaml_file *source)
{
    static const char *const words[] = { "", "~", "null", "Null", "NULL" };
    if (source->event.type != YAML_SCALAR_EVENT ||
        source->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(scalar(source), words[i]) == 0)
            return true;
    return false;
}

/* Appends `part` to an allocated text, with a comma before it unless it is the first. */
static ctkd_status append(struct yaml_file *source, char **text, const char *part, ctkd_error *err)
{
    const size_t old = *text ? strlen(*text) + 1 : 0, more = strlen(part);
    char *longer = realloc(*text, old + more + 1);
    if (!longer)
        return fail_at(source, err, CTKD_ENOMEM, "%s", "out of memory");
    if (old)
        longer[old - 1] = ',';
    memcpy(longer + old, part, more + 1);
    *text = longer;
    return CTKD_OK;
}

/* Reads the scalars of a list, whose start is the current event. */
static ctkd_status read_list(struct yaml_file *source, const char *key, char **value,
                             ctkd_error *err)
{
    for (;;) {
        ctkd_status status = advance(source, err);
        if (status != CTKD_OK)
            return status;
        if (source->event.type == YAML_SEQUENCE_END_EVENT)
            return *value ? CTKD_OK : append(source, value, "", err);
        if (source->event.type != YAML_SCALAR_EVENT)
            return fail_at(source, err, CTKD_EFORMAT,
                           "%.80s: found a list of lists or maps, expected a list of values", key);
        if (is_null(source))
            return fail_at(source, err, CTKD_EFORMAT,
                           "%.80s: found an empty list item, expected a value", key);
        status = append(source, value, scalar(source), err);
        if (status != CTKD_OK)
            return status;
    }
}

static ctkd_status add_base(struct yaml_file *source, ctkd_error *err)
{
    if (source->n_bases == FILES_LIMIT)
        return fail_at(source, err, CTKD_EFORMAT, "base: found more than %d files", FILES_LIMIT);
    char *base = strdup(scalar(source));
    if (!base)
        return fail_at(source, err, CTKD_ENOMEM, "%s", "out of memory");
    source->bases[source->n_bases++] = base;
    return CTKD_OK;
}

static ctkd_status read_base(struct yaml_file *source, ctkd_error *err)
{
    if (source->n_bases)
        return fail_at(source, err, CTKD_EEXIST, "%s", "base: already set in this file");
    if (is_null(source))
        return CTKD_OK;
    if (source->event.type == YAML_SCALAR_EVENT)
        return add_base(source, err);
    if (source->event.type != YAML_SEQUENCE_START_EVENT)
        return fail_at(source, err, CTKD_EFORMAT, "%s",
                       "base: found a map, expected a file or a list of files");
    for (;;) {
        ctkd_status status = advance(source, err);
        if (status != CTKD_OK || source->event.type == YAML_SEQUENCE_END_EVENT)
            return status;
        if (source->event.type != YAML_SCALAR_EVENT)
            return fail_at(source, err, CTKD_EFORMAT, "%s",
                           "base: found a list of lists or maps, expected a list of files");
        status = add_base(source, err);
        if (status != CTKD_OK)
            return status;
    }
}

/* Reads the scalar or list of a known key, the current event, into the list of entries. */
static ctkd_status read_leaf(struct yaml_file *source, const struct ctkd__option_at *at,
                             ctkd_error *err)
{
    for (const struct yaml_entry *entry = source->entries; entry; entry = entry->next)
        if (strcmp(entry->key, at->key) == 0)
            return fail_at(source, err, CTKD_EEXIST, "%s: already set on line %lu", at->key,
                           entry->line);
    const size_t bytes = strlen(at->key) + 1;
    struct yaml_entry *entry = calloc(1, sizeof *entry + bytes);
    if (!entry)
        return fail_at(source, err, CTKD_ENOMEM, "%s: out of memory", at->key);
    memcpy(entry->key, at->key, bytes);
    entry->line = (unsigned long)source->event.start_mark.line + 1;
    entry->list = source->event.type == YAML_SEQUENCE_START_EVENT;
    entry->null = is_null(source);
    *source->tail = entry;
    source->tail = &entry->next;
    return entry->list ? read_list(source, at->key, &entry->value, err)
                       : append(source, &entry->value, scalar(source), err);
}

static ctkd_status read_map(struct yaml_file *source, const char *prefix, int depth,
                            ctkd_error *err);

/* Begins the map of a section; the same one twice is an error as for any key. */
static ctkd_status read_section(struct yaml_file *source, const char *key, int depth,
                                ctkd_error *err)
{
    for (size_t i = 0; i < source->n_maps; i++)
        if (strcmp(source->maps[i].key, key) == 0)
            return fail_at(source, err, CTKD_EEXIST, "%s: already set in this file", key);
    void *maps = realloc(source->maps, (source->n_maps + 1) * sizeof *source->maps);
    if (!maps)
        return fail_at(source, err, CTKD_ENOMEM, "%s: out of memory", key);
    source->maps = maps;
    snprintf(source->maps[source->n_maps++].key, CTKD__OPTION_KEY_MAX, "%s", key);
    if (source->event.type == YAML_MAPPING_START_EVENT) {
        char prefix[CTKD__OPTION_KEY_MAX + 1];
        snprintf(prefix, sizeof prefix, "%s.", key);
        return read_map(source, prefix, depth + 1, err);
    }
    /* "section:" with all its keys commented out */
    if (is_null(source))
        return CTKD_OK;
    return fail_at(source, err, CTKD_EFORMAT, "%s: found %s, expected a map of keys", key,
                   source->event.type == YAML_SCALAR_EVENT ? "a value" : "a list");
}

/* A list, or a scalar that says something. */
static bool is_value(const struct yaml_file *source)
{
    return source->event.type == YAML_SEQUENCE_START_EVENT ||
           (source->event.type == YAML_SCALAR_EVENT && !is_null(source));
}

/* Whether older versions wrote a key with the value of the current event, a scalar. */
static bool is_former(const struct yaml_file *source, const char *key)
{
    const struct ctkd__former_key *former = source->sections.former;
    for (; former && former->key; former++)
        if (strcmp(key, former->key) == 0)
            return source->event.type == YAML_SCALAR_EVENT &&
                   strcmp(scalar(source), former->value) == 0;
    return false;
}

/* Whether the current event is a map of keys that older versions wrote. */
static bool is_former_section(const struct yaml_file *source, const char *key)
{
    const struct ctkd__former_key *former = source->sections.former;
    const size_t length = strlen(key);
    for (; former && former->key; former++)
        if (strncmp(former->key, key, length) == 0 && former->key[length] == '.')
            return source->event.type == YAML_MAPPING_START_EVENT;
    return false;
}

/* Reads the value of a key, the current event. */
static ctkd_status read_node(struct yaml_file *source, const char *key, int depth, ctkd_error *err)
{
    struct ctkd__option_at at;
    if (strcmp(key, "base") == 0)
        return read_base(source, err);
    if (ctkd__options_find(source->sections, key, &at)) {
        if (source->event.type == YAML_MAPPING_START_EVENT)
            return fail_at(source, err, CTKD_EFORMAT, "%s: found a map, expected a value", key);
        return read_leaf(source, &at, err);
    }
    if (is_value(source) && ctkd__options_find_name(source->sections, key, &at))
        return read_leaf(source, &at, err);
    if (ctkd__options_is_section(source->sections, key) || is_former_section(source, key))
        return read_section(source, key, depth, err);
    if (is_former(source, key))
        return CTKD_OK;
    char where[PATH_LIMIT + 32];
    snprintf(where, sizeof where, "%s:%lu", source->path,
             (unsigned long)source->event.start_mark.line + 1);
    return ctkd__options_unknown(source->sections, where, key, err);
}

/* Reads the keys of a map, whose start is the current event. */
static ctkd_status read_map(struct yaml_file *source, const char *prefix, int depth,
                            ctkd_error *err)
{
    if (depth > DEPTH_LIMIT)
        return fail_at(source, err, CTKD_EFORMAT, "maps are nested more than %d deep", DEPTH_LIMIT);
    for (;;) {
        char key[CTKD__OPTION_KEY_MAX];
        ctkd_status status = advance(source, err);
        if (status != CTKD_OK || source->event.type == YAML_MAPPING_END_EVENT)
            return status;
        if (source->event.type != YAML_SCALAR_EVENT)
            return fail_at(source, err, CTKD_EFORMAT, "%s",
                           "found a list or map as a key, expected a name");
        if (snprintf(key, sizeof key, "%s%s", prefix, scalar(source)) >= (int)sizeof key)
            return fail_at(source, err, CTKD_ENOTFOUND, "%.80s: unknown key", key);
        status = advance(source, err);
        if (status == CTKD_OK)
            status = read_node(source, key, depth, err);
        if (status != CTKD_OK)
            return status;
    }
}

/* The one document of a file. No document at all is a config of defaults. */
static ctkd_status read_document(struct yaml_file *source, ctkd_error *err)
{
    for (bool seen = false;; seen |= source->event.type == YAML_DOCUMENT_END_EVENT) {
        ctkd_status status = advance(source, err);
        if (status != CTKD_OK || source->event.type == YAML_STREAM_END_EVENT)
            return status;
        if (source->event.type == YAML_DOCUMENT_START_EVENT && seen)
            return fail_at(source, err, CTKD_EFORMAT, "%s",
                           "found a second document, expected one");
        if (source->event.type == YAML_MAPPING_START_EVENT)
            status = read_map(source, "", 1, err);
        else if (source->event.type == YAML_SEQUENCE_START_EVENT ||
                 (source->event.type == YAML_SCALAR_EVENT && !is_null(source)))
            return fail_at(source, err, CTKD_EFORMAT, "%s",
                           "found a value or list, expected a map of keys");
        if (status != CTKD_OK)
            return status;
    }
}

static ctkd_status set_entries(const struct yaml_file *source, ctkd_error *err)
{
    for (const struct yaml_entry *entry = source->entries; entry; entry = entry->next) {
        char where[PATH_LIMIT + 32];
        struct ctkd__option_at at;
        snprintf(where, sizeof where, "%s:%lu", source->path, entry->line);
        if (entry->list && ctkd__options_find(source->sections, entry->key, &at) &&
            at.option->type != CTKD_OPTION_STRING)
            return ctkd__option_refuse(&at, where, "a list", err);
        const ctkd_status status =
            entry->null
                ? ctkd__sections_reset(source->sections, where, entry->key, err)
                : ctkd__sections_set(source->sections, where, entry->key, entry->value, err);
        if (status != CTKD_OK)
            return status;
    }
    return CTKD_OK;
}

/* An LFS pointer is valid YAML and would be reported as an unknown key of line 1; a file that is
   not text gets a better message here than from the YAML parser. */
static ctkd_status check_kind(const char *path, const char *text, size_t bytes, ctkd_error *err)
{
    const bool other = !ctkd__file_is_text(text, bytes) && ctkd__file_kind(text, bytes);
    if (bytes > 0 && (other || ctkd__file_stand_in(text, bytes)))
        return ctkd__file_kind_fail(path, text, bytes, "a configuration in YAML", err);
    return CTKD_OK;
}

static ctkd_status read_file(struct ctkd__sections sections, const char *path,
                             const struct yaml_file *parent, int *files, ctkd_error *err);

/* Reads the files that a file builds on; their names are relative to it. */
static ctkd_status read_bases(struct yaml_file *source, ctkd_error *err)
{
    const char *slash = strrchr(source->path, '/');
    const int folder = slash ? (int)(slash + 1 - source->path) : 0;
    for (size_t i = 0; i < source->n_bases; i++) {
        char path[PATH_LIMIT];
        char *base = NULL;
        ctkd_status status = ctkd__path_expand(source->bases[i], &base, err);
        if (status != CTKD_OK)
            return ctkd__fail_within(err, status, "%s: base", source->path);
        const size_t length = strlen(base);
        const int n =
            snprintf(path, sizeof path, "%.*s%s", *base == '/' ? 0 : folder, source->path, base);
        free(base);
        if (length == 0 || n >= PATH_LIMIT)
            return ctkd__fail(err, CTKD_EFORMAT,
                              "%s: base: found a file name of %zu bytes, expected 1 to %d",
                              source->path, length, PATH_LIMIT - 1 - folder);
        status = read_file(source->sections, path, source, source->files, err);
        if (status != CTKD_OK)
            return status;
        ctkd__sections_given_by_base(source->sections);
    }
    return CTKD_OK;
}

static void source_fini(struct yaml_file *source)
{
    yaml_event_delete(&source->event);
    yaml_parser_delete(&source->parser);
    for (size_t i = 0; i < source->n_bases; i++)
        free(source->bases[i]);
    for (struct yaml_entry *entry = source->entries, *next; entry; entry = next) {
        next = entry->next;
        free(entry->value);
        free(entry);
    }
    free(source->maps);
}

/* Refuses a chain of base files that returns to itself or is too deep, and too many files. */
static ctkd_status check_chain(struct yaml_file *source, ctkd_error *err)
{
    struct stat info;
    if (stat(source->path, &info) != 0)
        return ctkd__fail(err, CTKD_EIO, "cannot open %s: %s", source->path, strerror(errno));
    source->device = info.st_dev;
    source->inode = info.st_ino;
    for (const struct yaml_file *p = source->parent; p; p = p->parent)
        if (p->device == source->device && p->inode == source->inode)
            return ctkd__fail(err, CTKD_EFORMAT, "%s: base: %s itself builds on this file",
                              source->parent->path, source->path);
    if (source->depth > DEPTH_LIMIT)
        return ctkd__fail(err, CTKD_EFORMAT, "%s: base files are nested more than %d deep",
                          source->path, DEPTH_LIMIT);
    if (++*source->files > FILES_LIMIT)
        return ctkd__fail(err, CTKD_EFORMAT, "%s: found more than %d base files in all",
                          source->path, FILES_LIMIT);
    return CTKD_OK;
}

static ctkd_status read_file(struct ctkd__sections sections, const char *path,
                             const struct yaml_file *parent, int *files, ctkd_error *err)
{
    struct yaml_file source = { .parent = parent,
                                .path = path,
                                .depth = parent ? parent->depth + 1 : 1,
                                .files = files,
                                .sections = sections };
    char *text = NULL;
    size_t bytes = 0;
    source.tail = &source.entries;
    ctkd_status status = check_chain(&source, err);
    if (status == CTKD_OK)
        status = ctkd__file_read(path, FILE_LIMIT, &text, &bytes, err);
    if (status == CTKD_OK)
        status = check_kind(path, text, bytes, err);
    if (status != CTKD_OK) {
        free(text);
        return parent ? ctkd__fail_within(err, status, "%s: base", parent->path) : status;
    }
    if (yaml_parser_initialize(&source.parser)) {
        yaml_parser_set_input_string(&source.parser, (const unsigned char *)text, bytes);
        status = read_document(&source, err);
    } else {
        status = ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", path);
    }
    if (status == CTKD_OK)
        status = read_bases(&source, err);
    if (status == CTKD_OK)
        status = set_entries(&source, err);
    source_fini(&source);
    free(text);
    return status;
}

ctkd_status ctkd__sections_read_yaml(struct ctkd__sections sections, const char *path,
                                     ctkd_error *err)
{
    int files = 0;
    return read_file(sections, path, NULL, &files, err);
}
