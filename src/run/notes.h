/* notes.jsonl of a run directory: what its examination found and what it noted since, for the
   report. */
#ifndef CTKD_RUN_NOTES_H
#define CTKD_RUN_NOTES_H

#include "run/preflight.h"

struct ctkd__note {
    const char *subject; /* "data", "balance", "temperature" */
    const char *text;
    bool problem;   /* something to mend; false: how it was found */
    bool said;      /* it is told though it is no problem */
    uint64_t epoch; /* 0: before the first */
};

/*
 * Appends a line {"epoch", "subject", "problem", "text"} to notes.jsonl of `dir`, unless one with
 * that subject and text is there (a resumed run meets an epoch again), and tells a problem to
 * `out` (NULL: nobody) behind `before`, which clears a live line. A run does not end because a
 * note cannot be kept: the reason is told to `out` then.
 */
void ctkd__note(const char *dir, const struct ctkd__note *note, const char *before, FILE *out);

/* Each finding as a note. */
void ctkd__note_findings(const char *dir, const struct ctkd__findings *findings, uint64_t epoch,
                         const char *before, FILE *out);

#endif
