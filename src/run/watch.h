/*
 * Shows runs in the terminal while they train: epoch, loss, accuracies and temperature of each,
 * with small curves. Everything is read from the run directories, so that any run can be watched,
 * also one on another machine through a shared file system.
 */
#ifndef CTKD_RUN_WATCH_H
#define CTKD_RUN_WATCH_H

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>

#include "report/curves.h"

enum { CTKD__WATCH_RUNS_MAX = 1000 };

/* A run in one line: "runs/x  epoch 12/240  loss 1.2300  train 40.10 %  test 41.50 %  tau 3.92". */
const char *ctkd__watch_line(const struct ctkd__curves *curves, size_t epochs, char *text,
                             size_t bytes);
/* Shortens such a line to `columns` bytes: first the name, whose end says most, then the end. */
void ctkd__watch_fit(char *text, size_t columns);
/* Draws the values of a key as at most `columns` characters, scaled from the least to the greatest,
   the newest at the right. With more epochs than columns, each character is the mean of several.
   utf8: blocks of eight heights, else ASCII characters. False: no epoch has a value. */
bool ctkd__watch_row(const struct ctkd__curves *curves, const char *key, size_t columns, bool utf8,
                     char *text, size_t bytes);

/*
 * Follows runs, and the runs in folders (an arm, a sweep), until all have ended or their processes
 * have died and no sweep is under way that may begin others, *stop is set (it may be NULL), or q is
 * typed. On a terminal ncurses redraws the screen every second; elsewhere each new epoch is written
 * to `out` as a plain line. CTKD_EIO: a path is no run and holds none.
 */
ctkd_status ctkd__watch(const char *const *paths, size_t count, const volatile sig_atomic_t *stop,
                        FILE *out, ctkd_error *err);

#endif
