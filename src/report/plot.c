#include "report/plot.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "io/jsonl.h"
#include "util/error.h"
#include "util/file.h"
#include "util/run_files.h"

enum {
    WIDTH = 760,
    LEFT = 64,
    RIGHT = 20,
    TOP = 24,
    PANEL = 170,
    GAP = 34,
    LEGEND = 18,
    TICKS = 4
};

/* A panel: a member of the log's epochs, and the band around it when the log has one. */
static const struct panel {
    const char *title, *key, *low, *high;
} panels[] = {
    { "temperature tau", "tau", "tau_min", "tau_max" },
    { "reversal strength lambda", "lambda", NULL, NULL },
    { "test top-1, %", "test_top1", NULL, NULL },
};
enum { N_PANELS = sizeof panels / sizeof *panels };

/* Okabe and Ito's colours without black and yellow, and two more: readable on both grounds and for
   most colour-blind readers. */
static const char *const colours[CTKD__PLOT_RUNS_MAX] = { "#0072b2", "#d55e00", "#009e73",
                                                          "#cc79a7", "#56b4e9", "#e69f00",
                                                          "#888888", "#a05a2c" };

static const char style[] =
    "<style>text{font:12px "
    "sans-serif;fill:#333}.title{font-weight:bold}.grid{stroke:#ddd;fill:none}"
    ".line{fill:none;stroke-width:2;stroke-linejoin:round}.band{opacity:.18;stroke:none}"
    ".back{fill:#fff}"
    "@media(prefers-color-scheme:dark){text{fill:#ccc}.grid{stroke:#444}.back{fill:#181818}}";

struct run {
    const char *dir;
    struct ctkd__json_rows *rows;
};

struct axis {
    double low, high;
};

struct frame {
    struct axis x, y;
    double top;
};

static struct axis range_of(const struct run *runs, size_t count, const char *const *keys,
                            size_t n_keys)
{
    struct axis axis = { INFINITY, -INFINITY };
    for (size_t r = 0; r < count; r++)
        for (size_t i = 0; i < ctkd__json_rows_count(runs[r].rows); i++)
            for (size_t k = 0; k < n_keys && ctkd__json_rows_is_epoch(runs[r].rows, i); k++) {
                const double value =
                    keys[k] ? ctkd__json_rows_number(runs[r].rows, i, keys[k]) : (double)NAN;
                if (!isfinite(value))
                    continue;
                axis.low = fmin(axis.low, value);
                axis.high = fmax(axis.high, value);
            }
    return axis;
}

/* The nearest of 1, 2, 5 times a power of ten at or above `step`. */
static double round_step(double step)
{
    const double power = pow(10, floor(log10(step)));
    const double digits = step / power;
    return power * (digits <= 1 ? 1 : digits <= 2 ? 2 : digits <= 5 ? 5 : 10);
}

/* Ends on round values, never of no length. */
static struct axis rounded(struct axis axis, double *step)
{
    if (!(axis.high >= axis.low))
        axis = (struct axis){ 0, 1 };
    *step = round_step((axis.high > axis.low ? axis.high - axis.low : 1) / TICKS);
    const struct axis out = { floor(axis.low / *step) * *step, ceil(axis.high / *step) * *step };
    return out.high > out.low ? out : (struct axis){ out.low - *step, out.high + *step };
}

static double x_of(const struct frame *f, double epoch)
{
    return LEFT + (WIDTH - LEFT - RIGHT) * (epoch - f->x.low) / (f->x.high - f->x.low);
}

static double y_of(const struct frame *f, double value)
{
    return f->top + PANEL * (f->y.high - value) / (f->y.high - f->y.low);
}

static void draw_grid(FILE *out, const struct frame *f, const struct panel *panel, double y_step,
                      bool numbers_below)
{
    double x_step;
    (void)rounded(f->x, &x_step);
    x_step = fmax(x_step, 1);
    fprintf(out, "<text class=\"title\" x=\"%d\" y=\"%.1f\">%s</text>\n", LEFT, f->top - 6,
            panel->title);
    const int lines = (int)((f->y.high - f->y.low) / y_step + 0.5);
    for (int i = 0; i <= lines; i++) {
        const double v = f->y.low + i * y_step;
        fprintf(out,
                "<path class=\"grid\" d=\"M%d %.1fH%d\"/><text x=\"%d\" y=\"%.1f\" "
                "text-anchor=\"end\">%.6g</text>\n",
                LEFT, y_of(f, v), WIDTH - RIGHT, LEFT - 6, y_of(f, v) + 4,
                fabs(v) < y_step / 100 ? 0 : v);
    }
    const int first = (int)ceil(f->x.low / x_step), last = (int)floor(f->x.high / x_step);
    for (int i = first; i <= last; i++) {
        const double x = x_of(f, i * x_step);
        fprintf(out, "<path class=\"grid\" d=\"M%.1f %.1fv%d\"/>\n", x, f->top, PANEL);
        if (numbers_below)
            fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%.6g</text>\n", x,
                    f->top + PANEL + 14, i * x_step);
    }
}

/* One member of the epochs as points, forwards or backwards; *begun: a point is there already. */
static void draw_points(FILE *out, const struct frame *f, const struct run *run, const char *key,
                        bool backwards, bool *begun)
{
    const size_t n = ctkd__json_rows_count(run->rows);
    for (size_t i = 0; i < n; i++) {
        const size_t row = backwards ? n - 1 - i : i;
        const double value = ctkd__json_rows_number(run->rows, row, key);
        if (!ctkd__json_rows_is_epoch(run->rows, row) || !isfinite(value))
            continue;
        fprintf(out, "%c%.1f %.1f", *begun ? 'L' : 'M',
                x_of(f, ctkd__json_rows_number(run->rows, row, "epoch")), y_of(f, value));
        *begun = true;
    }
}

static void draw_run(FILE *out, const struct frame *f, const struct run *run,
                     const struct panel *panel, size_t colour)
{
    bool begun = false;
    if (panel->low) {
        fprintf(out, "<path class=\"band b%zu\" d=\"", colour);
        draw_points(out, f, run, panel->low, false, &begun);
        draw_points(out, f, run, panel->high, true, &begun);
        fprintf(out, "%s\"/>\n", begun ? "Z" : "");
    }
    begun = false;
    fprintf(out, "<path class=\"line c%zu\" d=\"", colour);
    draw_points(out, f, run, panel->key, false, &begun);
    fprintf(out, "\"/>\n");
}

static void draw_legend(FILE *out, const char *name, size_t colour, size_t y)
{
    fprintf(out, "<path class=\"line c%zu\" d=\"M%d %zuh24\"/><text x=\"%d\" y=\"%zu\">", colour,
            LEFT, y, LEFT + 32, y + 4);
    for (; *name; name++)
        if (*name == '<' || *name == '&')
            fputs(*name == '<' ? "&lt;" : "&amp;", out);
        else
            fputc(*name, out);
    fprintf(out, "</text>\n");
}

/* The panels that some run has a value for: one on labels alone has no temperature. */
static size_t find_panels(const struct run *runs, size_t count, const struct panel *found[N_PANELS])
{
    size_t n = 0;
    for (size_t p = 0; p < N_PANELS; p++) {
        const struct axis range = range_of(runs, count, &panels[p].key, 1);
        if (range.low <= range.high)
            found[n++] = &panels[p];
    }
    return n;
}

static void draw(FILE *out, const struct run *runs, size_t count, const struct panel *const *shown,
                 size_t n_shown)
{
    const size_t below = TOP + n_shown * (PANEL + GAP);
    const size_t height = below + LEGEND * count + 10;
    const char *const epoch[] = { "epoch" };
    struct axis x = range_of(runs, count, epoch, 1);
    if (x.high <= x.low)
        x = (struct axis){ x.low - 1, x.low + 1 };
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %zu\" width=\"%d\" "
            "height=\"%zu\">\n%s",
            WIDTH, height, WIDTH, height, style);
    for (size_t r = 0; r < count; r++)
        fprintf(out, ".c%zu{stroke:%s}.b%zu{fill:%s}", r, colours[r], r, colours[r]);
    fprintf(out, "</style>\n<rect class=\"back\" width=\"100%%\" height=\"100%%\"/>\n");
    for (size_t p = 0; p < n_shown; p++) {
        const char *const keys[] = { shown[p]->key, shown[p]->low, shown[p]->high };
        double step;
        const struct axis y = rounded(range_of(runs, count, keys, 3), &step);
        const struct frame f = { x, y, (double)(TOP + p * (PANEL + GAP)) };
        draw_grid(out, &f, shown[p], step, p + 1 == n_shown);
        for (size_t r = 0; r < count; r++)
            draw_run(out, &f, &runs[r], shown[p], r);
    }
    for (size_t r = 0; r < count; r++)
        draw_legend(out, runs[r].dir, r, below + LEGEND * r);
    fprintf(out, "</svg>\n");
}

static ctkd_status read_run(const char *dir, struct run *run, ctkd_error *err)
{
    char path[1100];
    ctkd__run_file_path(dir, CTKD__RUN_LOG, path, sizeof path);
    run->dir = dir;
    const ctkd_status status = ctkd__jsonl_read(path, &run->rows, err);
    if (status != CTKD_OK)
        return status;
    for (size_t i = 0; i < ctkd__json_rows_count(run->rows); i++)
        if (ctkd__json_rows_is_epoch(run->rows, i))
            return CTKD_OK;
    return ctkd__fail(err, CTKD_EFORMAT, "%s: found no finished epoch, expected one or more", path);
}

/* SVG is all that is written: another ending would lie. A device or a pipe has any name. */
static ctkd_status check_ending(const char *file, ctkd_error *err)
{
    struct stat info;
    const size_t n = strlen(file);
    if (strcmp(file, "-") == 0 || (n > 4 && strcasecmp(file + n - 4, ".svg") == 0) ||
        (stat(file, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode)))
        return CTKD_OK;
    return ctkd__fail(err, CTKD_EINVAL,
                      "%s: expected a name that ends in .svg, or - for standard output", file);
}

ctkd_status ctkd__plot_runs(const char *const *names, size_t count, const char *file,
                            ctkd_error *err)
{
    struct run runs[CTKD__PLOT_RUNS_MAX] = { { 0 } };
    const struct panel *shown[N_PANELS];
    struct ctkd__new_file out;
    ctkd_status status = check_ending(file, err);
    if (status != CTKD_OK)
        return status;
    if (count == 0 || count > CTKD__PLOT_RUNS_MAX)
        return ctkd__fail(err, CTKD_EINVAL, "found %zu runs, expected 1 to %d", count,
                          CTKD__PLOT_RUNS_MAX);
    for (size_t i = 0; i < count && status == CTKD_OK; i++)
        status = read_run(names[i], &runs[i], err);
    const size_t n_shown = status == CTKD_OK ? find_panels(runs, count, shown) : 0;
    if (status == CTKD_OK && n_shown == 0)
        status = ctkd__fail(err, CTKD_EFORMAT, "%s: its epochs have no values to draw", names[0]);
    if (status == CTKD_OK)
        status = ctkd__new_file_open(&out, file, err);
    if (status == CTKD_OK) {
        draw(out.stream, runs, count, shown, n_shown);
        status = ctkd__new_file_commit(&out, err);
    }
    for (size_t i = 0; i < count; i++)
        ctkd__json_rows_destroy(runs[i].rows);
    return status;
}
