#include "report/plot.h"

#include <errno.h>
#include <math.h>
#include <spawn.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/error.h"
#include "util/file.h"
#include "util/options.h"

enum {
    WIDTH = 760,
    LEFT = 64,
    RIGHT = 20,
    PANEL = 170,
    GAP = 34,
    LEGEND = 18,
    BELOW = 8, /* with a panel's GAP, room for the numbers and the name of the axis */
    TICKS = 4
};

/* A panel: members of the log's epochs that share an axis, the first as a line, the second as a
   dashed one; and the band around the first when a run's log has one. */
static const struct panel {
    enum ctkd__plot_panel panel;
    const char *name, *title, *key, *dashed, *low, *high;
} panel_list[] = {
    { CTKD__PLOT_LOSS, "loss", "loss", "loss", NULL, NULL, NULL },
    { CTKD__PLOT_TOP1, "top1", "top-1, %: on test images (solid), on training batches (dashed)",
      "test_top1", "train_top1", NULL, NULL },
    { CTKD__PLOT_TAU, "tau", "temperature tau", "tau", NULL, "tau_min", "tau_max" },
    { CTKD__PLOT_LAMBDA, "lambda", "reversal strength lambda", "lambda", NULL, NULL, NULL },
};
enum { N_PANELS = sizeof panel_list / sizeof *panel_list };

/* Okabe and Ito's colours without black and yellow, and two more: readable on both grounds and for
   most colour-blind readers. */
static const char *const colours[CTKD__PLOT_RUNS_MAX] = { "#0072b2", "#d55e00", "#009e73",
                                                          "#cc79a7", "#56b4e9", "#e69f00",
                                                          "#888888", "#a05a2c" };

static const char style[] =
    "<style>text{font:12px "
    "sans-serif;fill:#333}.title{font-weight:bold}.grid{stroke:#ddd;fill:none}"
    ".line{fill:none;stroke-width:2;stroke-linejoin:round}.dashed{stroke-dasharray:3 "
    "3;stroke-width:1.5}.band{opacity:.18;stroke:none}"
    ".back{fill:#fff}"
    "@media(prefers-color-scheme:dark){text{fill:#ccc}.grid{stroke:#444}.back{fill:#181818}}";

struct axis {
    double low, high;
};

struct frame {
    struct axis x, y;
    double top;
    size_t height;
};

static void widen(struct axis *axis, double value)
{
    if (!isfinite(value))
        return;
    axis->low = fmin(axis->low, value);
    axis->high = fmax(axis->high, value);
}

static struct ctkd__curve_point point_of(const struct ctkd__curves *curves, size_t at,
                                         const struct panel *panel)
{
    return ctkd__curves_point(curves, at, panel->key, panel->low, panel->high);
}

/* The range of a panel's values; low > high if no curve has one. */
static struct axis range_of(const struct ctkd__curves *curves, size_t count,
                            const struct panel *panel)
{
    struct axis axis = { INFINITY, -INFINITY };
    for (size_t c = 0; c < count; c++)
        for (size_t i = 0; i < curves[c].n_epochs; i++) {
            const struct ctkd__curve_point point = point_of(&curves[c], i, panel);
            widen(&axis, point.value);
            widen(&axis, point.low);
            widen(&axis, point.high);
            if (panel->dashed)
                widen(&axis, ctkd__curves_point(&curves[c], i, panel->dashed, NULL, NULL).value);
        }
    return axis;
}

static struct axis epochs_of(const struct ctkd__curves *curves, size_t count)
{
    struct axis axis = { INFINITY, -INFINITY };
    for (size_t c = 0; c < count; c++)
        for (size_t i = 0; i < curves[c].n_epochs; i++)
            widen(&axis, ctkd__curves_epoch(&curves[c], i));
    return axis.high > axis.low ? axis : (struct axis){ axis.low - 1, axis.low + 1 };
}

/* The nearest of 1, 2, 5 times a power of ten at or above `step`. */
static double round_step(double step)
{
    const double power = pow(10, floor(log10(step)));
    const double digits = step / power;
    return power * (digits <= 1 ? 1 : digits <= 2 ? 2 : digits <= 5 ? 5 : 10);
}

/* Extends the range to round values; it never has length 0. */
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
    return f->top + (double)f->height * (f->y.high - value) / (f->y.high - f->y.low);
}

static void draw_grid(FILE *out, const struct frame *f, const struct panel *panel, double y_step,
                      bool numbers_below)
{
    const double bottom = f->top + (double)f->height;
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
        fprintf(out, "<path class=\"grid\" d=\"M%.1f %.1fv%zu\"/>\n", x, f->top, f->height);
        if (numbers_below)
            fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%.6g</text>\n", x,
                    bottom + 14, i * x_step);
    }
    if (numbers_below)
        fprintf(out,
                "<text class=\"title\" x=\"%d\" y=\"%.1f\" text-anchor=\"middle\">epoch</text>\n",
                LEFT + (WIDTH - LEFT - RIGHT) / 2, bottom + 30);
}

enum part { VALUE, DASHED, LOW, HIGH };

/* Draws one part of a panel's curve as points, forwards or backwards; *begun: it has a point. */
static void draw_points(FILE *out, const struct frame *f, const struct ctkd__curves *curves,
                        const struct panel *panel, enum part part, bool *begun)
{
    for (size_t i = 0; i < curves->n_epochs; i++) {
        const size_t at = part == HIGH ? curves->n_epochs - 1 - i : i;
        const struct ctkd__curve_point point =
            part == DASHED ? ctkd__curves_point(curves, at, panel->dashed, NULL, NULL)
                           : point_of(curves, at, panel);
        const double value = part == LOW ? point.low : part == HIGH ? point.high : point.value;
        if (!isfinite(value))
            continue;
        fprintf(out, "%c%.1f %.1f", *begun ? 'L' : 'M', x_of(f, ctkd__curves_epoch(curves, at)),
                y_of(f, value));
        *begun = true;
    }
}

static void draw_line(FILE *out, const struct frame *f, const struct ctkd__curves *curves,
                      const struct panel *panel, enum part part, size_t colour)
{
    bool begun = false;
    fprintf(out, "<path class=\"line%s c%zu\" d=\"", part == DASHED ? " dashed" : "", colour);
    draw_points(out, f, curves, panel, part, &begun);
    fprintf(out, "\"/>\n");
}

static void draw_curves(FILE *out, const struct frame *f, const struct ctkd__curves *curves,
                        const struct panel *panel, size_t colour)
{
    bool begun = false;
    if (panel->low || curves->n_runs > 1) {
        fprintf(out, "<path class=\"band b%zu\" d=\"", colour);
        draw_points(out, f, curves, panel, LOW, &begun);
        draw_points(out, f, curves, panel, HIGH, &begun);
        fprintf(out, "%s\"/>\n", begun ? "Z" : "");
    }
    draw_line(out, f, curves, panel, VALUE, colour);
    if (panel->dashed)
        draw_line(out, f, curves, panel, DASHED, colour);
}

void ctkd__markup_text(const char *text, FILE *out)
{
    static const char special[] = "<>&\"'";
    static const char *const entities[] = { "&lt;", "&gt;", "&amp;", "&quot;", "&#39;" };
    for (; *text; text++) {
        const char *const found = strchr(special, *text);
        if (found)
            fputs(entities[found - special], out);
        else
            fputc(*text, out);
    }
}

static void draw_legend(FILE *out, const struct ctkd__curves *curves, size_t colour, size_t y)
{
    fprintf(out, "<path class=\"line c%zu\" d=\"M%d %zuh24\"/><text x=\"%d\" y=\"%zu\">", colour,
            LEFT, y, LEFT + 32, y + 4);
    ctkd__markup_text(curves->name, out);
    if (curves->n_runs > 1) {
        fprintf(out, " (mean and range of %zu seeds", curves->n_runs);
        if (curves->n_common < curves->n_epochs)
            fprintf(out, ", of fewer after epoch %.0f",
                    ctkd__curves_epoch(curves, curves->n_common - 1));
        fputc(')', out);
    }
    fprintf(out, "</text>\n");
}

ctkd_status ctkd__plot_panel_find(const char *name, enum ctkd__plot_panel *out, ctkd_error *err)
{
    const char *names[N_PANELS + 1] = { NULL };
    for (size_t p = 0; p < N_PANELS; p++) {
        names[p] = panel_list[p].name;
        if (strcmp(names[p], name) == 0) {
            *out = panel_list[p].panel;
            return CTKD_OK;
        }
    }
    return ctkd__unknown("panel", name, names, "expected loss, top1, tau or lambda", err);
}

/* Those of the panels that some run has a value for: one on labels alone has no temperature. */
static size_t find_panels(const struct ctkd__curves *curves, size_t count,
                          enum ctkd__plot_panel panels, const struct panel *found[N_PANELS])
{
    size_t n = 0;
    for (size_t p = 0; p < N_PANELS; p++) {
        const struct axis range = range_of(curves, count, &panel_list[p]);
        if (panels & panel_list[p].panel && range.low <= range.high)
            found[n++] = &panel_list[p];
    }
    return n;
}

bool ctkd__plot_write(const struct ctkd__curves *curves, size_t count, enum ctkd__plot_panel panels,
                      FILE *out)
{
    const struct panel *shown[N_PANELS];
    const size_t n_shown = find_panels(curves, count, panels, shown);
    const size_t above = LEGEND * count + GAP; /* the legend, and the first panel's title */
    const size_t panel = n_shown == 1 ? 2 * PANEL : PANEL; /* one alone has more room */
    const size_t height = above + n_shown * (panel + GAP) + BELOW;
    const struct axis x = epochs_of(curves, count);
    if (n_shown == 0)
        return false;
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %zu\" width=\"%d\" "
            "height=\"%zu\">\n%s",
            WIDTH, height, WIDTH, height, style);
    for (size_t c = 0; c < count; c++)
        fprintf(out, ".c%zu{stroke:%s}.b%zu{fill:%s}", c, colours[c], c, colours[c]);
    fprintf(out, "</style>\n<rect class=\"back\" width=\"100%%\" height=\"100%%\"/>\n");
    for (size_t p = 0; p < n_shown; p++) {
        double step;
        const struct axis y = rounded(range_of(curves, count, shown[p]), &step);
        const struct frame f = { x, y, (double)(above + p * (panel + GAP)), panel };
        draw_grid(out, &f, shown[p], step, p + 1 == n_shown);
        for (size_t c = 0; c < count; c++)
            draw_curves(out, &f, &curves[c], shown[p], c);
    }
    for (size_t c = 0; c < count; c++)
        draw_legend(out, &curves[c], c, LEGEND * (c + 1));
    fprintf(out, "</svg>\n");
    return true;
}

/* --- files */

static bool ends_in(const char *file, const char *ending)
{
    const size_t n = strlen(file), m = strlen(ending);
    return n > m && strcasecmp(file + n - m, ending) == 0;
}

/* Refuses endings other than .svg and .png, which would misname the format. Devices and pipes may
   have any name. */
static ctkd_status check_ending(const char *file, ctkd_error *err)
{
    struct stat info;
    if (strcmp(file, "-") == 0 || ends_in(file, ".svg") || ends_in(file, ".png") ||
        (stat(file, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode)))
        return CTKD_OK;
    return ctkd__fail(err, CTKD_EINVAL,
                      "%s: expected a name that ends in .svg or .png, or - for standard output",
                      file);
}

/* Runs rsvg-convert, which reads the SVG from `picture` and writes what it makes to `out`. */
static ctkd_status convert_to_png(FILE *picture, FILE *out, const char *file, ctkd_error *err)
{
    char *const argv[] = { "rsvg-convert", "--format=png", "--zoom=2", NULL };
    posix_spawn_file_actions_t actions;
    pid_t child;
    int ended = -1;
    rewind(picture);
    fflush(out);
    if (posix_spawn_file_actions_init(&actions) != 0)
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", file);
    posix_spawn_file_actions_adddup2(&actions, fileno(picture), STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, fileno(out), STDOUT_FILENO);
    const int why = posix_spawnp(&child, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (why != 0)
        return ctkd__fail(err, CTKD_EIO,
                          "%s: PNG needs the program rsvg-convert (Debian: librsvg2-bin), which "
                          "cannot be run: %s",
                          file, strerror(why));
    while (waitpid(child, &ended, 0) < 0 && errno == EINTR)
        ;
    return ended == 0 ? CTKD_OK
                      : ctkd__fail(err, CTKD_EIO, "%s: rsvg-convert failed with status %d", file,
                                   WIFEXITED(ended) ? WEXITSTATUS(ended) : -1);
}

static ctkd_status write_png(const struct ctkd__curves *curves, size_t count,
                             enum ctkd__plot_panel panels, FILE *out, const char *file,
                             ctkd_error *err)
{
    FILE *const picture = tmpfile();
    if (!picture)
        return ctkd__fail(err, CTKD_EIO, "%s: cannot create a temporary file: %s", file,
                          strerror(errno));
    ctkd__plot_write(curves, count, panels, picture);
    const ctkd_status status =
        fflush(picture) == 0 && !ferror(picture)
            ? convert_to_png(picture, out, file, err)
            : ctkd__fail(err, CTKD_EIO, "%s: cannot write a temporary file", file);
    fclose(picture);
    return status;
}

static ctkd_status write_file(const struct ctkd__curves *curves, size_t count,
                              enum ctkd__plot_panel panels, const char *file, ctkd_error *err)
{
    struct ctkd__new_file out;
    const struct panel *shown[N_PANELS];
    if (find_panels(curves, count, panels, shown) == 0)
        return ctkd__fail(err, CTKD_EFORMAT, "%s: its epochs have no values to draw",
                          curves[0].name);
    ctkd_status status = ctkd__new_file_open(&out, file, err);
    if (status != CTKD_OK)
        return status;
    if (ends_in(file, ".png"))
        status = write_png(curves, count, panels, out.stream, file, err);
    else
        ctkd__plot_write(curves, count, panels, out.stream);
    if (status == CTKD_OK)
        return ctkd__new_file_commit(&out, err);
    ctkd__new_file_abandon(&out);
    return status;
}

ctkd_status ctkd__plot_runs(const char *const *names, size_t count, enum ctkd__plot_panel panels,
                            const char *file, ctkd_error *err)
{
    struct ctkd__curves curves[CTKD__PLOT_RUNS_MAX] = { { .n_runs = 0 } };
    ctkd_status status = check_ending(file, err);
    if (status != CTKD_OK)
        return status;
    if (count == 0 || count > CTKD__PLOT_RUNS_MAX)
        return ctkd__fail(err, CTKD_EINVAL, "found %zu runs, expected 1 to %d", count,
                          CTKD__PLOT_RUNS_MAX);
    for (size_t i = 0; i < count && status == CTKD_OK; i++)
        status = ctkd__curves_read(names[i], &curves[i], err);
    if (status == CTKD_OK)
        status = write_file(curves, count, panels, file, err);
    for (size_t i = 0; i < count; i++)
        ctkd__curves_free(&curves[i]);
    return status;
}
