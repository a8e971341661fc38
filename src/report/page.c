#include "report/page.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/plot.h"
#include "util/error.h"

static const char head[] =
    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
    "<meta name=\"color-scheme\" content=\"light dark\">\n<title>ctkd report</title>\n<style>\n"
    ":root{--ground:#fff;--text:#222;--faint:#666;--rule:#d8d8d8;--bar:#0072b2;--soft:#f3f5f7}\n"
    "@media(prefers-color-scheme:dark){:root{--ground:#181818;--text:#ddd;--faint:#9a9a9a;"
    "--rule:#3c3c3c;--bar:#56b4e9;--soft:#222}}\n"
    "body{font:15px/1.5 system-ui,sans-serif;background:var(--ground);color:var(--text);"
    "max-width:62rem;margin:2rem auto;padding:0 1rem}\n"
    "h1{font-size:1.6rem}h2{font-size:1.25rem;margin-top:2.5rem;border-bottom:1px solid "
    "var(--rule)}h3{font-size:1.05rem;margin-top:1.6rem}\n"
    ".scroll{overflow-x:auto}.tall{max-height:30rem;overflow-y:auto}\n"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums}\n"
    "th,td{padding:.2rem .8rem .2rem 0;text-align:right;vertical-align:top;"
    "border-bottom:1px solid var(--rule)}\n"
    "th:first-child,td:first-child{text-align:left}th{color:var(--faint);font-weight:600}\n"
    "td.text,th.text{text-align:left;overflow-wrap:anywhere}p.note{color:var(--faint)}\n"
    "code{background:var(--soft);padding:.1rem .3rem;overflow-wrap:anywhere}\n"
    "svg{max-width:100%;height:auto}.bar{fill:var(--bar)}.ideal{stroke:var(--faint);"
    "stroke-dasharray:4 3}.axis{stroke:var(--rule);fill:none}.label{fill:var(--text);font:12px "
    "sans-serif}\n"
    ".wrong{display:grid;grid-template-columns:repeat(auto-fill,minmax(10rem,1fr));gap:1rem}\n"
    ".wrong figure{margin:0;break-inside:avoid}.wrong img{width:6rem;height:6rem;"
    "object-fit:contain;image-rendering:pixelated;background:var(--soft)}\n"
    ".wrong figcaption{font-size:.85rem;overflow-wrap:anywhere}\n"
    "@media print{.scroll{overflow:visible;max-height:none}body{max-width:none;margin:0}\n"
    "h2{break-after:avoid}tr,figure{break-inside:avoid}"
    "}\n</style></head><body>\n";

ctkd_status ctkd__page_entries_add(struct ctkd__page_entries *entries, const char *name,
                                   const char *value, ctkd_error *err)
{
    struct ctkd__page_entry *const items =
        realloc(entries->items, (entries->count + 1) * sizeof *items);
    if (items)
        entries->items = items;
    struct ctkd__page_entry entry = { strdup(name), strdup(value) };
    if (!items || !entry.name || !entry.value) {
        free(entry.name);
        free(entry.value);
        return ctkd__fail(err, CTKD_ENOMEM, "report: out of memory");
    }
    items[entries->count++] = entry;
    return CTKD_OK;
}

void ctkd__page_entries_free(struct ctkd__page_entries *entries)
{
    for (size_t i = 0; i < entries->count; i++) {
        free(entries->items[i].name);
        free(entries->items[i].value);
    }
    free(entries->items);
    *entries = (struct ctkd__page_entries){ 0 };
}

/* --- the runs side by side */

/* A row of the first table: a member of summary.json. */
static const struct headline {
    const char *title, *key, *unit;
    int digits;
    double scale; /* of a number; 0: it is text */
} headlines[] = {
    { "network", "network", "", 0, 0 },
    { "data set", "dataset", "", 0, 0 },
    { "teacher", "teacher", "", 0, 0 },
    { "teacher's top-1", "teacher_top1", " %", 2, 1 },
    { "method", "method", "", 0, 0 },
    { "temperature", "temperature", "", 0, 0 },
    { "top-1 on test images, last epoch", "top1", " %", 2, 1 },
    { "top-5, last epoch", "top5", " %", 2, 1 },
    { "cross-entropy, nats", "loss", "", 4, 1 },
    { "best top-1 of any epoch", "best_top1", " %", 2, 1 },
    { "reached in epoch", "best_epoch", "", 0, 1 },
    { "best was chosen on", "best_chosen_on", "", 0, 0 },
    { "images evaluated", "n", "", 0, 1 },
    { "epochs", "epochs", "", 0, 1 },
    { "seed", "seed", "", 0, 1 },
    { "parameters", "parameters", "", 0, 1 },
    { "weights file, MB", "weights_bytes", "", 2, 1e-6 },
    { "peak memory, MB", "memory_bytes", "", 0, 1e-6 },
    { "training time, s", "seconds", "", 1, 1 },
    { "images per second", "images_per_second", "", 0, 1 },
};

static bool has_member(const struct ctkd__page *page, const struct headline *row)
{
    for (size_t i = 0; i < page->count; i++) {
        const struct ctkd__json_rows *const summary = page->runs[i].summary;
        if (summary && (ctkd__json_rows_string(summary, 0, row->key) ||
                        isfinite(ctkd__json_rows_number(summary, 0, row->key))))
            return true;
    }
    return false;
}

static void write_member(const struct ctkd__json_rows *summary, const struct headline *row,
                         FILE *out)
{
    const char *const text = summary ? ctkd__json_rows_string(summary, 0, row->key) : NULL;
    const double number = summary ? ctkd__json_rows_number(summary, 0, row->key) : (double)NAN;
    fputs("<td>", out);
    if (text && !(row->scale > 0))
        ctkd__markup_text(text, out);
    else if (row->scale > 0 && isfinite(number))
        fprintf(out, "%.*f%s", row->digits, row->scale * number, row->unit);
    else
        fputs("&ndash;", out);
    fputs("</td>", out);
}

/* What the table, which has the first run, does not say of an arm. */
static void write_arm(const struct ctkd__page *page, size_t i, FILE *out)
{
    const struct ctkd__page_arm *const arm = &page->arms[i];
    fputs("<p>", out);
    ctkd__markup_text(page->curves[i].name, out);
    fprintf(out, " is an arm of %zu runs; its first run stands in the table.",
            page->curves[i].n_runs);
    if (arm->spread.n > 0)
        fprintf(out, " %s of the %s over %zu finished runs: mean %.2f",
                page->compare_options->metric, page->compare_options->choice, arm->spread.n,
                arm->spread.mean);
    if (arm->spread.n > 1)
        fprintf(out, ", deviation %.2f, 95 %% interval of the mean %.2f to %.2f",
                arm->spread.deviation, arm->t.low, arm->t.high);
    fputs(arm->spread.n > 0 ? ".</p>\n" : "</p>\n", out);
}

static void write_headlines(const struct ctkd__page *page, FILE *out)
{
    fputs("<div class=\"scroll\"><table><tr><th></th>", out);
    for (size_t i = 0; i < page->count; i++) {
        fputs("<th>", out);
        ctkd__markup_text(page->runs[i].dir, out);
        fputs("</th>", out);
    }
    fputs("</tr>\n", out);
    for (size_t r = 0; r < sizeof headlines / sizeof *headlines; r++) {
        if (!has_member(page, &headlines[r]))
            continue;
        fprintf(out, "<tr><td>%s</td>", headlines[r].title);
        for (size_t i = 0; i < page->count; i++)
            write_member(page->runs[i].summary, &headlines[r], out);
        fputs("</tr>\n", out);
    }
    fputs("</table></div>\n", out);
    for (size_t i = 0; i < page->count; i++) {
        if (page->curves[i].n_runs > 1)
            write_arm(page, i, out);
        if (page->arms[i].unfinished) {
            fputs("<p>", out);
            ctkd__markup_text(page->curves[i].name, out);
            fprintf(out, ": %zu unfinished %s left out of its mean.</p>\n",
                    page->arms[i].unfinished,
                    page->arms[i].unfinished == 1 ? "run is" : "runs are");
        }
    }
}

static void write_number(double value, const char *unit, FILE *out)
{
    if (isfinite(value))
        fprintf(out, "<td>%.2f%s</td>", value, unit);
    else
        fputs("<td>&ndash;</td>", out);
}

/* Whoever compares arms must see all that they differ in. */
static void write_differences(const struct ctkd__page *page, FILE *out)
{
    for (size_t i = 1; i < page->count; i++) {
        const char *const keys = page->arms[i].differences;
        fputs("<p class=\"note\">", out);
        ctkd__markup_text(page->comparison[i].name, out);
        fputs(keys[0] ? " differs from the first arm in "
                      : " has the configuration of the first arm",
              out);
        ctkd__markup_text(keys, out);
        fputs(".</p>\n", out);
    }
}

static void write_comparison(const struct ctkd__page *page, FILE *out)
{
    char text[4096]; /* names are paths here */
    const struct ctkd__comparison *const arms = page->comparison;
    if (!arms)
        return;
    fprintf(out,
            "<h2>Comparison</h2>\n<p>%s of the %s; differences to the first arm, paired by "
            "seed.</p>\n<div class=\"scroll\"><table><tr><th>arm</th><th>runs</th><th>mean</th>"
            "<th>deviation</th><th>difference</th><th>95 %% from</th><th>to</th><th>p (Holm)</th>"
            "</tr>\n",
            page->compare_options->metric, page->compare_options->choice);
    for (size_t i = 0; i < page->count; i++) {
        const struct ctkd__comparison *const a = &arms[i];
        fputs("<tr><td>", out);
        ctkd__markup_text(a->name, out);
        fprintf(out, "</td><td>%zu</td>", a->arm.n);
        write_number(a->arm.mean, "", out);
        write_number(a->arm.deviation, "", out);
        const bool paired = i > 0 && a->difference.n > 0;
        write_number(paired ? a->difference.mean : (double)NAN, "", out);
        write_number(paired ? a->bca.low : (double)NAN, "", out);
        write_number(paired ? a->bca.high : (double)NAN, "", out);
        if (paired && a->difference.n > 1 && isfinite(a->p_holm))
            fprintf(out, "<td>%.3g</td></tr>\n", a->p_holm);
        else
            fputs("<td>&ndash;</td></tr>\n", out);
    }
    fputs("</table></div>\n", out);
    for (size_t i = 1; i < page->count; i++) {
        fputs("<p>", out);
        ctkd__markup_text(
            ctkd__compare_verdict(&arms[i], arms[0].name, page->compare_options, text, sizeof text),
            out);
        fputs(".</p>\n", out);
    }
    write_differences(page, out);
}

static void write_entries(const char *title, const struct ctkd__page_entries *entries, bool code,
                          FILE *out)
{
    if (entries->count == 0)
        return;
    fprintf(out, "<h3>%s</h3>\n<div class=\"scroll\"><table>\n", title);
    for (size_t i = 0; i < entries->count; i++) {
        fputs("<tr><td>", out);
        ctkd__markup_text(entries->items[i].name, out);
        fputs(code ? "</td><td class=\"text\"><code>" : "</td><td class=\"text\">", out);
        ctkd__markup_text(entries->items[i].value, out);
        fputs(code ? "</code></td></tr>\n" : "</td></tr>\n", out);
    }
    fputs("</table></div>\n", out);
}

/* Findings and notes, problems first. */
static void write_notes(const struct ctkd__json_rows *notes, FILE *out)
{
    const size_t count = notes ? ctkd__json_rows_count(notes) : 0;
    if (count == 0)
        return;
    fputs("<h3>What was found at its start and noted since</h3>\n<div class=\"scroll\"><table>\n"
          "<tr><th>subject</th><th></th><th>epoch</th><th class=\"text\">finding</th></tr>\n",
          out);
    for (int problems = 1; problems >= 0; problems--)
        for (size_t i = 0; i < count; i++) {
            const bool problem = ctkd__json_rows_number(notes, i, "problem") > 0;
            const double epoch = ctkd__json_rows_number(notes, i, "epoch");
            const char *const subject = ctkd__json_rows_string(notes, i, "subject");
            const char *const text = ctkd__json_rows_string(notes, i, "text");
            if (problem != (problems == 1) || !subject || !text)
                continue;
            fputs("<tr><td>", out);
            ctkd__markup_text(subject, out);
            fputs(problem ? "</td><td><strong>PROBLEM</strong></td>" : "</td><td>ok</td>", out);
            if (epoch > 0)
                fprintf(out, "<td>%.0f</td>", epoch);
            else
                fputs("<td>start</td>", out);
            fputs("<td class=\"text\">", out);
            ctkd__markup_text(text, out);
            fputs("</td></tr>\n", out);
        }
    fputs("</table></div>\n", out);
}

void ctkd__page_write(const struct ctkd__page *page, FILE *out)
{
    fputs(head, out);
    fputs("<h1>", out);
    if (page->count > 1)
        fputs("Runs side by side", out);
    else
        ctkd__markup_text(page->curves[0].name, out);
    fputs("</h1>\n", out);
    write_headlines(page, out);
    fputs("<h2>Over the epochs</h2>\n", out);
    ctkd__plot_write(page->curves, page->count, CTKD__PLOT_ALL, out);
    write_comparison(page, out);
    for (size_t i = 0; i < page->count; i++) {
        const struct ctkd__page_run *const run = &page->runs[i];
        fputs("<h2>", out);
        ctkd__markup_text(run->dir, out);
        fputs("</h2>\n", out);
        if (run->note[0]) {
            fputs("<p class=\"note\">", out);
            ctkd__markup_text(run->note, out);
            fputs("</p>\n", out);
        }
        ctkd__page_write_evaluation(run, out);
        write_notes(run->notes, out);
        write_entries(run->has_recipe ? "Settings that differ from the recipe"
                                      : "Settings that differ from the defaults",
                      &run->settings, true, out);
        write_entries("Where it ran, and how to repeat it", &run->environment, true, out);
    }
    fputs("</body></html>\n", out);
}
