#include "run/watch.h"

#include <langinfo.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <curses.h>

#include "config/run_config.h"
#include "run/run.h"
#include "run/sweep.h"
#include "util/error.h"
#include "util/run_folders.h"
#include "util/text.h"

enum { LINE_BYTES = 512, LABEL = 12, ROW_COLUMNS_MAX = 240 };

/* --- text */

static double newest(const struct ctkd__curves *curves, const char *key)
{
    for (size_t i = curves->n_epochs; i > 0; i--) {
        const double value = ctkd__curves_point(curves, i - 1, key, NULL, NULL).value;
        if (isfinite(value))
            return value;
    }
    return (double)NAN;
}

const char *ctkd__watch_line(const struct ctkd__curves *curves, size_t epochs, char *text,
                             size_t bytes)
{
    static const struct {
        const char *key, *format;
    } values[] = { { "loss", "  loss %.4f" },
                   { "train_top1", "  train %.2f %%" },
                   { "test_top1", "  test %.2f %%" },
                   { "tau", "  tau %.2f" } };
    const size_t n = curves->n_epochs;
    int used = snprintf(text, bytes, "%s  epoch %.0f/%zu", curves->name,
                        n ? ctkd__curves_epoch(curves, n - 1) : 0.0, epochs);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        const double value = newest(curves, values[i].key);
        if (isfinite(value) && used > 0 && (size_t)used < bytes)
            used += snprintf(text + used, bytes - (size_t)used, values[i].format, value);
    }
    return text;
}

void ctkd__watch_fit(char *text, size_t columns)
{
    enum { KEPT = 8, DOTS = 3 };
    const size_t length = strlen(text);
    const char *const gap = strstr(text, "  ");
    const size_t name = gap ? (size_t)(gap - text) : length;
    if (length > columns && name > KEPT + DOTS) {
        size_t cut = length - columns + DOTS;
        cut = cut < name - KEPT ? cut : name - KEPT;
        while (((unsigned char)text[cut] & 0xC0) == 0x80) /* inside a character of UTF-8 */
            cut++;
        memmove(text + DOTS, text + cut, length - cut + 1);
        memcpy(text, "...", DOTS);
    }
    text[ctkd__text_cut(text, columns)] = '\0';
}

/* Means of the epochs that share a column, without gaps; returns how many columns there are. */
static size_t make_columns(const struct ctkd__curves *curves, const char *key, size_t columns,
                           double *out)
{
    const size_t n = curves->n_epochs, each = (n + columns - 1) / columns;
    size_t made = 0;
    for (size_t first = 0; first < n; first += each) {
        double sum = 0;
        size_t count = 0;
        for (size_t i = first; i < first + each && i < n; i++) {
            const double value = ctkd__curves_point(curves, i, key, NULL, NULL).value;
            if (isfinite(value))
                sum += value, count++;
        }
        if (count)
            out[made++] = sum / (double)count;
    }
    return made;
}

bool ctkd__watch_row(const struct ctkd__curves *curves, const char *key, size_t columns, bool utf8,
                     char *text, size_t bytes)
{
    static const char *const blocks[] = { "\u2581", "\u2582", "\u2583", "\u2584",
                                          "\u2585", "\u2586", "\u2587", "\u2588" };
    static const char *const plain[] = { "_", ".", ":", "-", "=", "+", "*", "#" };
    double values[ROW_COLUMNS_MAX], low = INFINITY, high = -INFINITY;
    columns = columns < ROW_COLUMNS_MAX ? columns : ROW_COLUMNS_MAX;
    const size_t n = columns ? make_columns(curves, key, columns, values) : 0;
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        low = fmin(low, values[i]);
        high = fmax(high, values[i]);
    }
    text[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        const double height = high > low ? (values[i] - low) / (high - low) : 0.5;
        const size_t level = (size_t)(height * 7 + 0.5);
        const char *const mark = utf8 ? blocks[level] : plain[level];
        if (used + strlen(mark) >= bytes)
            break;
        strcpy(text + used, mark);
        used += strlen(mark);
    }
    return n > 0;
}

/* --- runs */

struct watched_run {
    char dir[1024];
    size_t epochs;                              /* of its configuration */
    off_t bytes;                                /* of its log when it was read */
    size_t told;                                /* epochs when the last plain line was written */
    bool done, ended;                           /* ended: done, interrupted, or abandoned */
    const char *state;                          /* in words; NULL: it trains */
    char why[sizeof((ctkd_error *)0)->message]; /* why its log cannot be read; "": it can */
    bool told_end;
    struct ctkd__curves curves;
};

struct watched {
    struct watched_run runs[CTKD__WATCH_RUNS_MAX];
    size_t count;
};

static size_t planned_epochs(const char *dir)
{
    char path[1100];
    struct ctkd__config *config;
    size_t epochs = 0;
    if (ctkd__config_create(&config, NULL) != CTKD_OK)
        return 0;
    if (ctkd__run_config_read(ctkd__run_file_path(dir, CTKD__RUN_CONFIG, path, sizeof path), config,
                              NULL) == CTKD_OK)
        epochs = (size_t)config->train.epochs;
    ctkd__config_destroy(config);
    return epochs;
}

static ctkd_status add_run(void *watched, const char *dir, ctkd_error *err)
{
    (void)err;
    struct watched *const w = watched;
    for (size_t i = 0; i < w->count; i++)
        if (strcmp(w->runs[i].dir, dir) == 0)
            return CTKD_OK;
    if (w->count == CTKD__WATCH_RUNS_MAX || strlen(dir) >= sizeof w->runs->dir)
        return CTKD_OK;
    struct watched_run *const run = &w->runs[w->count++];
    *run = (struct watched_run){ .bytes = -1, .epochs = planned_epochs(dir) };
    strcpy(run->dir, dir);
    return CTKD_OK;
}

/* Adds a run, or those of an arm or a sweep that are new. */
static ctkd_status find_runs(struct watched *w, const char *path, ctkd_error *err)
{
    return ctkd__runs_walk(path, CTKD__RUN_CONFIG, CTKD__RUNS_OF_SWEEP, add_run, w, err);
}

/* Reads the log if it has changed; a log that could not be read is tried again. */
static void read_run(struct watched_run *run)
{
    char path[1100];
    struct stat info;
    struct ctkd__curves curves;
    ctkd_error why = { 0 };
    /* The lock first: a run writes its summary before it releases the lock. */
    const bool abandoned = ctkd__run_abandoned(run->dir);
    const enum ctkd__run_end end = ctkd__run_end(run->dir);
    run->done = end == CTKD__RUN_END_DONE;
    run->ended = end != CTKD__RUN_END_NONE || abandoned;
    run->state = run->done    ? "ended"
                 : run->ended ? "was stopped before its end; --resume continues it"
                              : NULL;
    ctkd__run_file_path(run->dir, CTKD__RUN_LOG, path, sizeof path);
    if (stat(path, &info) != 0 || info.st_size == run->bytes)
        return;
    run->why[0] = '\0';
    if (ctkd__curves_read(run->dir, &curves, &why) == CTKD_OK) {
        ctkd__curves_free(&run->curves);
        run->curves = curves;
        run->bytes = info.st_size;
    } else {
        snprintf(run->why, sizeof run->why, "%s", why.message);
        ctkd__curves_free(&curves);
    }
}

/* Whether more runs may begin in a folder: that of a sweep, or of one of its arms. */
static bool grows(const char *path)
{
    char above[1100];
    snprintf(above, sizeof above, "%s/..", path);
    return !ctkd__run_file_exists(path, CTKD__RUN_CONFIG) &&
           (ctkd__sweep_under_way(path) || ctkd__sweep_under_way(above));
}

/* Reads all runs again, and new ones. True: all have ended. */
static bool update(struct watched *w, const char *const *paths, size_t count)
{
    bool ended = true;
    for (size_t i = 0; i < count; i++) {
        ended = ended && !grows(paths[i]);  /* first, for then no run begins that is not found */
        (void)find_runs(w, paths[i], NULL); /* a folder that has gone has no new runs */
    }
    for (size_t i = 0; i < w->count; i++) {
        read_run(&w->runs[i]);
        ended = ended && w->runs[i].ended;
    }
    return ended;
}

/* --- output */

static void write_plain(struct watched *w, FILE *out)
{
    char text[LINE_BYTES];
    for (size_t i = 0; i < w->count; i++) {
        struct watched_run *const run = &w->runs[i];
        if (run->curves.n_epochs > run->told)
            fprintf(out, "%s\n", ctkd__watch_line(&run->curves, run->epochs, text, sizeof text));
        run->told = run->curves.n_epochs;
        if (run->ended && !run->told_end && run->why[0])
            fprintf(out, "%s\n", run->why);
        if (run->ended && !run->told_end && !run->done)
            fprintf(out, "%s  %s\n", run->dir, run->state);
        run->told_end = run->ended;
    }
    fflush(out);
}

static void draw_run(const struct watched_run *run, int *y, bool curves, bool utf8)
{
    static const struct {
        const char *label, *key;
    } rows[] = { { "test top-1", "test_top1" }, { "loss", "loss" }, { "tau", "tau" } };
    char text[LINE_BYTES], row[4 * ROW_COLUMNS_MAX];
    if (run->curves.n_epochs == 0 && run->ended && run->why[0])
        snprintf(text, sizeof text, "%s", run->why);
    else if (run->curves.n_epochs == 0)
        snprintf(text, sizeof text, "%.400s  no finished epoch yet", run->dir);
    else
        ctkd__watch_line(&run->curves, run->epochs, text, sizeof text);
    const size_t used = strlen(text);
    if (run->state)
        snprintf(text + used, sizeof text - used, "  %s", run->state);
    ctkd__watch_fit(text, (size_t)COLS);
    mvaddstr((*y)++, 0, text);
    for (size_t i = 0; i < sizeof rows / sizeof *rows && curves && COLS > LABEL; i++)
        if (ctkd__watch_row(&run->curves, rows[i].key, (size_t)(COLS - LABEL - 1), utf8, row,
                            sizeof row)) {
            mvaddstr(*y, 0, rows[i].label);
            mvaddstr((*y)++, LABEL, row);
        }
    *y += curves;
}

/* Where not all runs fit, those that train come first. */
static void draw(const struct watched *w, bool utf8)
{
    const int room = LINES - 1;
    const bool fit = (int)w->count <= room, curves = (int)w->count * 5 <= room;
    char text[128] = "q stops watching; the runs continue";
    size_t shown = 0;
    int y = 0;
    erase();
    for (int ended = 0; ended <= 1; ended++)
        for (size_t i = 0; i < w->count && y < room; i++)
            if (fit ? !ended : w->runs[i].ended == ended) {
                draw_run(&w->runs[i], &y, curves, utf8);
                shown++;
            }
    if (w->count == 0)
        mvaddnstr(0, 0, "no run has begun yet", COLS);
    if (shown < w->count)
        snprintf(text + strlen(text), sizeof text - strlen(text), "; not shown: %zu",
                 w->count - shown);
    mvaddnstr(room, 0, text, COLS);
    refresh();
}

static bool can_draw(FILE *out)
{
    const char *const kind = getenv("TERM");
    return isatty(fileno(out)) && isatty(STDIN_FILENO) && kind && strcmp(kind, "dumb") != 0;
}

/* Draws until all runs have ended, q is typed or *stop is set, and restores the terminal. False:
   ncurses does not know the terminal. */
static bool watch_screen(struct watched *w, const char *const *paths, size_t count,
                         const volatile sig_atomic_t *stop, FILE *out)
{
    setlocale(LC_CTYPE, "");
    const bool utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    SCREEN *const screen = newterm(NULL, out, stdin);
    if (!screen)
        return false;
    cbreak();
    noecho();
    curs_set(0);
    timeout(1000); /* of getch, in milliseconds: the time between two redraws */
    for (int key = 0; key != 'q' && !(stop && *stop); key = getch()) {
        const bool ended = update(w, paths, count);
        draw(w, utf8);
        if (ended)
            break;
    }
    endwin();
    delscreen(screen);
    return true;
}

static void watch_plain(struct watched *w, const char *const *paths, size_t count,
                        const volatile sig_atomic_t *stop, FILE *out)
{
    bool ended = false;
    while (!ended && !(stop && *stop)) {
        ended = update(w, paths, count);
        write_plain(w, out);
        if (!ended)
            nanosleep(&(struct timespec){ .tv_nsec = 500000000 }, NULL);
    }
}

ctkd_status ctkd__watch(const char *const *paths, size_t count, const volatile sig_atomic_t *stop,
                        FILE *out, ctkd_error *err)
{
    struct watched *const w = calloc(1, sizeof *w);
    if (!w)
        return ctkd__fail(err, CTKD_ENOMEM, "watch: out of memory");
    for (size_t i = 0; i < count; i++) {
        const size_t before = w->count;
        ctkd_status status = find_runs(w, paths[i], err);
        if (status == CTKD_OK && w->count == before && !grows(paths[i]))
            status = ctkd__fail(err, CTKD_EINVAL, CTKD__NO_RUN, paths[i],
                                ctkd__run_file_name(CTKD__RUN_CONFIG));
        if (status == CTKD_OK)
            continue;
        free(w);
        return status;
    }
    if (!can_draw(out) || !watch_screen(w, paths, count, stop, out))
        watch_plain(w, paths, count, stop, out);
    else
        write_plain(w, out); /* what stays on the terminal */
    for (size_t i = 0; i < w->count; i++)
        ctkd__curves_free(&w->runs[i].curves);
    free(w);
    return CTKD_OK;
}
