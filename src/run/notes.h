/* notes.jsonl of a run directory: what the preflight checks found, and what was noted while it
   trained, for the report. */
#ifndef CTKD_RUN_NOTES_H
#define CTKD_RUN_NOTES_H

#include "run/preflight.h"

struct ctkd__note {
    const char *subject; /* "data", "balance", "temperature" */
    const char *text;
    bool problem;   /* something to fix; false: information */
    bool said;      /* printed although it is no problem */
    uint64_t epoch; /* 0: before the first */
};

/*
 * Appends a line {"epoch", "subject", "problem", "text"} to notes.jsonl of `dir`, unless it has one
 * with that subject and text (a resumed run may repeat an epoch). Prints a problem, or a note that
 * is `said`, to `out` (may be NULL) after `before`, which clears a live line. A note that cannot be
 * written does not end the run: the reason is printed to `out`.
 */
void ctkd__note(const char *dir, const struct ctkd__note *note, const char *before, FILE *out);

/* Each finding as a note. */
void ctkd__note_findings(const char *dir, const struct ctkd__findings *findings, uint64_t epoch,
                         const char *before, FILE *out);

#endif
