#include "io/jsonl.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/error.h"
#include "util/file.h"
#include "util/text.h"

static const size_t log_limit = (size_t)1 << 30;

/* Removes what follows the last newline. */
static int cut_partial_line(FILE *stream)
{
    long end = 0, keep = 0;
    char block[4096];
    if (fseek(stream, 0, SEEK_END) != 0 || (end = ftell(stream)) < 0)
        return -1;
    for (long begin = end; begin > 0 && keep == 0;) {
        const long n = begin < (long)sizeof block ? begin : (long)sizeof block;
        begin -= n;
        if (fseek(stream, begin, SEEK_SET) != 0 || fread(block, 1, (size_t)n, stream) != (size_t)n)
            return -1;
        const char *newline = memrchr(block, '\n', (size_t)n);
        if (newline)
            keep = begin + (newline - block) + 1;
    }
    if (keep != end && ftruncate(fileno(stream), keep) != 0)
        return -1;
    return fseek(stream, keep, SEEK_SET);
}

ctkd_status ctkd__jsonl_open(struct ctkd__jsonl *log, const char *path, bool append,
                             ctkd_error *err)
{
    *log = (struct ctkd__jsonl){ 0 };
    if (strlen(path) >= sizeof log->path)
        return ctkd__fail(err, CTKD_EINVAL, "%s: found a name of %zu bytes, expected at most %zu",
                          path, strlen(path), sizeof log->path - 1);
    strcpy(log->path, path);
    log->stream = fopen(path, append ? "a+e" : "we");
    if (!log->stream || (append && cut_partial_line(log->stream) != 0)) {
        const int why = errno;
        ctkd__jsonl_close(log);
        return ctkd__fail(err, CTKD_EIO, "cannot write %s: %s", path, strerror(why));
    }
    return CTKD_OK;
}

ctkd_status ctkd__jsonl_sync(struct ctkd__jsonl *log, uint64_t *bytes, ctkd_error *err)
{
    struct stat info;
    if (fflush(log->stream) != 0 || fsync(fileno(log->stream)) != 0 ||
        fstat(fileno(log->stream), &info) != 0)
        return ctkd__fail(err, CTKD_EIO, "cannot write %s: %s", log->path, strerror(errno));
    *bytes = (uint64_t)info.st_size;
    return CTKD_OK;
}

void ctkd__jsonl_close(struct ctkd__jsonl *log)
{
    if (log->stream)
        fclose(log->stream);
    log->stream = NULL;
}

static void write_string(FILE *out, const char *text)
{
    fputc('"', out);
    while (*text) {
        uint32_t code = 0;
        const size_t n = ctkd__utf8_next(text, &code);
        if (n == 0)
            fputs("\\ufffd", out);
        else if (code < 0x20)
            fprintf(out, "\\u%04x", (unsigned)code);
        else if (code == '"' || code == '\\')
            fprintf(out, "\\%c", (char)code);
        else
            fwrite(text, 1, n, out);
        text += n ? n : 1;
    }
    fputc('"', out);
}

static void write_key(struct ctkd__jsonl *log, const char *key)
{
    if (log->any)
        fputs(", ", log->stream);
    log->any = true;
    write_string(log->stream, key);
    fputs(": ", log->stream);
}

void ctkd__jsonl_begin(struct ctkd__jsonl *log)
{
    log->any = false;
    errno = 0;
    fputc('{', log->stream);
}

void ctkd__jsonl_number(struct ctkd__jsonl *log, const char *key, double value)
{
    write_key(log, key);
    if (isfinite(value))
        fprintf(log->stream, "%.9g", value);
    else
        fputs("null", log->stream);
}

void ctkd__jsonl_integer(struct ctkd__jsonl *log, const char *key, int64_t value)
{
    write_key(log, key);
    fprintf(log->stream, "%" PRId64, value);
}

void ctkd__jsonl_boolean(struct ctkd__jsonl *log, const char *key, bool value)
{
    write_key(log, key);
    fputs(value ? "true" : "false", log->stream);
}

void ctkd__jsonl_string(struct ctkd__jsonl *log, const char *key, const char *value)
{
    write_key(log, key);
    write_string(log->stream, value);
}

void ctkd__jsonl_numbers(struct ctkd__jsonl *log, const char *key, const float *values, size_t n)
{
    write_key(log, key);
    for (size_t i = 0; i < n; i++)
        fprintf(log->stream, "%s%.9g", i ? ", " : "[", (double)values[i]);
    fputs(n ? "]" : "[]", log->stream);
}

void ctkd__jsonl_integers(struct ctkd__jsonl *log, const char *key, const int64_t *values, size_t n)
{
    write_key(log, key);
    for (size_t i = 0; i < n; i++)
        fprintf(log->stream, "%s%" PRId64, i ? ", " : "[", values[i]);
    fputs(n ? "]" : "[]", log->stream);
}

void ctkd__jsonl_strings(struct ctkd__jsonl *log, const char *key, const char *const *values,
                         size_t n)
{
    write_key(log, key);
    for (size_t i = 0; i < n; i++) {
        fputs(i ? ", " : "[", log->stream);
        write_string(log->stream, values[i]);
    }
    fputs(n ? "]" : "[]", log->stream);
}

void ctkd__jsonl_object_begin(struct ctkd__jsonl *log, const char *key)
{
    write_key(log, key);
    fputc('{', log->stream);
    log->any = false;
}

void ctkd__jsonl_object_end(struct ctkd__jsonl *log)
{
    fputc('}', log->stream);
    log->any = true;
}

void ctkd__jsonl_list_begin(struct ctkd__jsonl *log, const char *key)
{
    write_key(log, key);
    fputc('[', log->stream);
    log->any = false;
}

void ctkd__jsonl_item_begin(struct ctkd__jsonl *log)
{
    fputs(log->any ? ", {" : "{", log->stream);
    log->any = false;
}

void ctkd__jsonl_item_end(struct ctkd__jsonl *log)
{
    fputc('}', log->stream);
    log->any = true;
}

void ctkd__jsonl_list_end(struct ctkd__jsonl *log)
{
    fputc(']', log->stream);
    log->any = true;
}

ctkd_status ctkd__jsonl_end(struct ctkd__jsonl *log, ctkd_error *err)
{
    fputs("}\n", log->stream);
    if (fflush(log->stream) == 0 && !ferror(log->stream))
        return CTKD_OK;
    return ctkd__fail(err, CTKD_EIO, "cannot write %s: %s", *log->path ? log->path : "output",
                      strerror(errno ? errno : EIO));
}

struct ctkd__json_rows {
    json_t *array;
};

/* How a run begins the line of a step. */
static const char step_line[] = "{\"kind\": \"step\",";

static bool is_step(const char *line, size_t n)
{
    return n >= sizeof step_line && memcmp(line, step_line, sizeof step_line - 1) == 0;
}

static ctkd_status parse_lines(const char *path, const char *text, size_t bytes, bool epochs_only,
                               json_t *rows, ctkd_error *err)
{
    const char *const limit = text + bytes, *end;
    for (size_t line = 1; (end = memchr(text, '\n', (size_t)(limit - text))) != NULL;
         text = end + 1, line++) {
        json_error_t why;
        const size_t n = (size_t)(end - text);
        if (strspn(text, " \t\r") >= n || (epochs_only && is_step(text, n)))
            continue;
        json_t *row = json_loadb(text, n, JSON_REJECT_DUPLICATES, &why);
        if (!json_is_object(row)) {
            const char *found = row ? "a value" : why.text;
            const ctkd_status status = ctkd__fail(
                err, CTKD_EFORMAT, "%s:%zu: found %s, expected a JSON object", path, line, found);
            json_decref(row);
            return status;
        }
        if (json_array_append_new(rows, row) != 0)
            return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", path);
    }
    return CTKD_OK;
}

static ctkd_status parse_text(const char *path, const char *text, size_t n, bool epochs_only,
                              struct ctkd__json_rows **out, ctkd_error *err)
{
    struct ctkd__json_rows *rows = calloc(1, sizeof *rows);
    json_t *array = json_array();
    ctkd_status status;
    *out = NULL;
    if (!rows || !array)
        status = ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", path);
    else if (memchr(text, '\0', n))
        status =
            ctkd__fail(err, CTKD_EFORMAT, "%s: found a NUL byte, expected lines of JSON", path);
    else
        status = parse_lines(path, text, n, epochs_only, array, err);
    if (status != CTKD_OK) {
        json_decref(array);
        free(rows);
        return status;
    }
    rows->array = array;
    *out = rows;
    return CTKD_OK;
}

ctkd_status ctkd__jsonl_parse(const char *path, const char *text, size_t n,
                              struct ctkd__json_rows **out, ctkd_error *err)
{
    return parse_text(path, text, n, false, out, err);
}

static ctkd_status read_file(const char *path, bool epochs_only, struct ctkd__json_rows **out,
                             ctkd_error *err)
{
    char *text = NULL;
    size_t bytes = 0;
    *out = NULL;
    ctkd_status status = ctkd__file_read(path, log_limit, &text, &bytes, err);
    if (status == CTKD_OK)
        status = parse_text(path, text, bytes, epochs_only, out, err);
    free(text);
    return status;
}

ctkd_status ctkd__jsonl_read(const char *path, struct ctkd__json_rows **out, ctkd_error *err)
{
    return read_file(path, false, out, err);
}

ctkd_status ctkd__jsonl_read_epochs(const char *path, struct ctkd__json_rows **out, ctkd_error *err)
{
    return read_file(path, true, out, err);
}

void ctkd__json_rows_destroy(struct ctkd__json_rows *rows)
{
    if (rows)
        json_decref(rows->array);
    free(rows);
}

size_t ctkd__json_rows_count(const struct ctkd__json_rows *rows)
{
    return json_array_size(rows->array);
}

double ctkd__json_rows_number(const struct ctkd__json_rows *rows, size_t row, const char *key)
{
    const json_t *value = json_object_get(json_array_get(rows->array, row), key);
    if (json_is_boolean(value))
        return json_is_true(value) ? 1 : 0;
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

const char *ctkd__json_rows_string(const struct ctkd__json_rows *rows, size_t row, const char *key)
{
    return json_string_value(json_object_get(json_array_get(rows->array, row), key));
}

const char *ctkd__json_rows_key(const struct ctkd__json_rows *rows, size_t row, size_t at)
{
    json_t *const object = json_array_get(rows->array, row);
    void *member = json_object_iter(object);
    for (; member && at > 0; at--)
        member = json_object_iter_next(object, member);
    return json_object_iter_key(member);
}

bool ctkd__json_rows_is_epoch(const struct ctkd__json_rows *rows, size_t row)
{
    const char *const kind = ctkd__json_rows_string(rows, row, "kind");
    const char *const stage = ctkd__json_rows_string(rows, row, "stage");
    return kind && strcmp(kind, "epoch") == 0 && !(stage && strcmp(stage, "initial") == 0);
}
