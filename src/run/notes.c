#include "run/notes.h"

#include <string.h>

#include "io/jsonl.h"
#include "util/run_files.h"
#include "util/say.h"

static bool is_kept(const char *path, const struct ctkd__note *note)
{
    struct ctkd__json_rows *rows = NULL;
    bool found = false;
    if (ctkd__jsonl_read(path, &rows, NULL) != CTKD_OK)
        return false; /* appending will say what is wrong with the file */
    for (size_t i = 0; i < ctkd__json_rows_count(rows) && !found; i++) {
        const char *const subject = ctkd__json_rows_string(rows, i, "subject");
        const char *const text = ctkd__json_rows_string(rows, i, "text");
        found = subject && text && !strcmp(subject, note->subject) && !strcmp(text, note->text);
    }
    ctkd__json_rows_destroy(rows);
    return found;
}

static ctkd_status append(const char *path, const struct ctkd__note *note, ctkd_error *err)
{
    struct ctkd__jsonl json;
    ctkd_status status = ctkd__jsonl_open(&json, path, true, err);
    if (status != CTKD_OK)
        return status;
    ctkd__jsonl_begin(&json);
    ctkd__jsonl_integer(&json, "epoch", (int64_t)note->epoch);
    ctkd__jsonl_string(&json, "subject", note->subject);
    ctkd__jsonl_boolean(&json, "problem", note->problem);
    ctkd__jsonl_string(&json, "text", note->text);
    status = ctkd__jsonl_end(&json, err);
    ctkd__jsonl_close(&json);
    return status;
}

void ctkd__note(const char *dir, const struct ctkd__note *note, const char *before, FILE *out)
{
    char path[CTKD__RUN_PATH_BYTES];
    ctkd_error why = { 0 };
    if (out && (note->problem || note->said)) {
        fputs(before, out);
        ctkd__say(out, "note: %s: %s", note->subject, note->text);
    }
    ctkd__run_file_path(dir, CTKD__RUN_NOTES, path, sizeof path);
    if ((!ctkd__run_file_exists(dir, CTKD__RUN_NOTES) || !is_kept(path, note)) &&
        append(path, note, &why) != CTKD_OK && out) {
        fputs(before, out);
        ctkd__say(out, "note: %s: this is not kept: %s", note->subject, why.message);
    }
}

void ctkd__note_findings(const char *dir, const struct ctkd__findings *findings, uint64_t epoch,
                         const char *before, FILE *out)
{
    for (size_t i = 0; i < findings->count; i++) {
        const struct ctkd__finding *const finding = &findings->items[i];
        const struct ctkd__note note = { .subject = finding->check,
                                         .text = finding->text,
                                         .problem = finding->problem,
                                         .said = finding->said,
                                         .epoch = epoch };
        ctkd__note(dir, &note, before, out);
    }
}
