/* A comparison as text, Markdown, LaTeX, CSV and JSON: one list of columns for all of them. */
#include <math.h>
#include <string.h>

#include "io/jsonl.h"
#include "report/compare.h"
#include "util/error.h"
#include "util/text.h"

enum { CELL_BYTES = 64, VERDICT_BYTES = 1024 };

struct column {
    const char *title, *key; /* in tables for people (NULL: not shown there); in CSV and JSON */
    bool of_pairs;           /* empty for the reference */
    bool whole;
    int digits;
    double (*value)(const struct ctkd__comparison *arm);
};

#define VALUE(name, expression)                                                                    \
    static double name(const struct ctkd__comparison *a)                                           \
    {                                                                                              \
        return expression;                                                                         \
    }
VALUE(runs, (double)a->arm.n)
VALUE(mean, a->arm.mean)
VALUE(deviation, a->arm.deviation)
VALUE(least, a->least)
VALUE(most, a->most)
VALUE(unfinished, (double)a->unfinished)
VALUE(pairs, (double)a->difference.n)
VALUE(difference, a->difference.mean)
VALUE(difference_deviation, a->difference.deviation)
VALUE(bca_low, a->bca.low)
VALUE(bca_high, a->bca.high)
VALUE(t_low, a->t.low)
VALUE(t_high, a->t.high)
VALUE(p_t, a->p_t)
VALUE(p_flip, a->p_flip)
VALUE(p_holm, a->p_holm)
VALUE(wins, (double)a->wins)
VALUE(ties, (double)a->ties)
VALUE(correlation, a->correlation)
VALUE(detectable, a->detectable)
VALUE(needed, (double)a->needed)

static const struct column columns[] = {
    { "runs", "runs", false, true, 0, runs },
    { "mean", "mean", false, false, 2, mean },
    { "deviation", "deviation", false, false, 2, deviation },
    { NULL, "least", false, false, 2, least },
    { NULL, "most", false, false, 2, most },
    { NULL, "unfinished", false, true, 0, unfinished },
    { "pairs", "pairs", true, true, 0, pairs },
    { "difference", "difference", true, false, 2, difference },
    { NULL, "difference_deviation", true, false, 2, difference_deviation },
    { "from", "bca_low", true, false, 2, bca_low },
    { "to", "bca_high", true, false, 2, bca_high },
    { NULL, "t_low", true, false, 2, t_low },
    { NULL, "t_high", true, false, 2, t_high },
    { NULL, "p_t", true, false, 4, p_t },
    { NULL, "p_sign_flip", true, false, 4, p_flip },
    { "p (Holm)", "p_holm", true, false, 4, p_holm },
    { "wins", "wins", true, true, 0, wins },
    { NULL, "ties", true, true, 0, ties },
    { "correlation", "correlation", true, false, 2, correlation },
    { "detectable", "detectable", true, false, 2, detectable },
    { NULL, "pairs_needed", true, true, 0, needed },
};
enum { N_COLUMNS = sizeof columns / sizeof *columns };

/* A cell for people; empty where there is no number. */
static const char *cell(const struct column *c, const struct ctkd__comparison *arm, char *text)
{
    const double value = c->value(arm);
    text[0] = '\0';
    if (isfinite(value) && !(c->of_pairs && arm->difference.n == 0))
        snprintf(text, CELL_BYTES, "%.*f", c->digits, value);
    return text;
}

/* --- tables for people */

struct table {
    const char *begin, *between, *end; /* of a row */
    const char *special;               /* characters of names that are escaped */
    bool pads;
};

static size_t width_of(const struct column *c, const struct ctkd__comparison *arms, size_t count)
{
    char text[CELL_BYTES];
    size_t width = strlen(c->title);
    for (size_t i = 0; i < count; i++) {
        const size_t n = strlen(cell(c, &arms[i], text));
        width = n > width ? n : width;
    }
    return width;
}

static size_t name_width(const struct ctkd__comparison *arms, size_t count)
{
    size_t width = 3;
    for (size_t i = 0; i < count; i++)
        width = ctkd__text_columns(arms[i].name) > width ? ctkd__text_columns(arms[i].name) : width;
    return width;
}

/* A backslash before each special character. In LaTeX it would make another command of three of
   them, which have words: \char gives an accent or a quotation mark in TeX's first fonts. */
static void write_escaped(const char *text, const char *special, FILE *out)
{
    static const char named[] = "~^\\";
    static const char *const names[] = { "asciitilde", "asciicircum", "backslash" };
    for (; *text; text++) {
        const char *const word = strchr(named, *text);
        if (word && strchr(special, *text))
            fprintf(out, "\\text%s{}", names[word - named]);
        else
            fprintf(out, strchr(special, *text) ? "\\%c" : "%c", *text);
    }
}

/* arm NULL: the titles. */
static void write_row(const struct table *t, const struct ctkd__comparison *arm,
                      const struct ctkd__comparison *arms, size_t count, FILE *out)
{
    char text[CELL_BYTES];
    const char *const name = arm ? arm->name : "arm";
    fputs(t->begin, out);
    write_escaped(name, t->special, out);
    fprintf(out, "%*s", t->pads ? (int)(name_width(arms, count) - ctkd__text_columns(name)) : 0,
            "");
    for (size_t c = 0; c < N_COLUMNS; c++) {
        if (!columns[c].title)
            continue;
        const char *const content = arm ? cell(&columns[c], arm, text) : columns[c].title;
        fprintf(out, "%s%*s", t->between, t->pads ? (int)width_of(&columns[c], arms, count) : 0,
                content);
    }
    fputs(t->end, out);
}

static void write_table(const struct table *t, const struct ctkd__comparison *arms, size_t count,
                        const char *rule, FILE *out)
{
    write_row(t, NULL, arms, count, out);
    fputs(rule, out);
    for (size_t i = 0; i < count; i++)
        write_row(t, &arms[i], arms, count, out);
}

static void write_verdicts(const struct ctkd__comparison *arms, size_t count,
                           const struct ctkd__compare_options *options, const char *before,
                           FILE *out)
{
    char text[VERDICT_BYTES];
    for (size_t i = 1; i < count; i++)
        fprintf(out, "%s%s\n", before,
                ctkd__compare_verdict(&arms[i], arms[0].name, options, text, sizeof text));
}

/* What a table shows. Without it nobody knows which epoch counts, and what is the reference. */
static void write_caption(const struct ctkd__comparison *arms,
                          const struct ctkd__compare_options *o, FILE *out)
{
    fprintf(out, "%s, %s; differences from %s, with bootstrap intervals of %.0f %%\n", o->metric,
            o->choice, arms[0].name, 100 * (1 - o->level));
}

static void write_unfinished(const struct ctkd__comparison *arms, size_t count, const char *before,
                             FILE *out)
{
    for (size_t i = 0; i < count; i++)
        if (arms[i].unfinished)
            fprintf(out, "%s%s: %zu unfinished run%s left out\n", before, arms[i].name,
                    arms[i].unfinished, arms[i].unfinished == 1 ? " is" : "s are");
}

static void write_text(const struct ctkd__comparison *arms, size_t count,
                       const struct ctkd__compare_options *o, FILE *out)
{
    const struct table table = { "", "  ", "\n", "", true };
    write_caption(arms, o, out);
    fputc('\n', out);
    write_table(&table, arms, count, "", out);
    fputc('\n', out);
    write_verdicts(arms, count, o, "", out);
    write_unfinished(arms, count, "", out);
}

static void write_markdown(const struct ctkd__comparison *arms, size_t count,
                           const struct ctkd__compare_options *o, FILE *out)
{
    const struct table table = { "| ", " | ", " |\n", "|", true };
    char rule[512] = "|---";
    for (size_t c = 0; c < N_COLUMNS; c++)
        if (columns[c].title)
            strcat(rule, "|---:"); /* 21 columns at most */
    strcat(rule, "|\n");
    write_caption(arms, o, out);
    fputc('\n', out);
    write_table(&table, arms, count, rule, out);
    fputc('\n', out);
    write_verdicts(arms, count, o, "- ", out);
    write_unfinished(arms, count, "- ", out);
}

/* Sentences are comments, for the author to use. */
static void write_latex(const struct ctkd__comparison *arms, size_t count,
                        const struct ctkd__compare_options *o, FILE *out)
{
    const struct table table = { "", " & ", " \\\\\n", "_&%#${}~^\\", false };
    fputs("% ", out);
    write_caption(arms, o, out);
    fputs("\\begin{tabular}{l", out);
    for (size_t c = 0; c < N_COLUMNS; c++)
        if (columns[c].title)
            fputc('r', out);
    fputs("}\n\\hline\n", out);
    write_table(&table, arms, count, "\\hline\n", out);
    fputs("\\hline\n\\end{tabular}\n", out);
    write_verdicts(arms, count, o, "% ", out);
    write_unfinished(arms, count, "% ", out);
}

/* --- for programs */

static void write_quoted(const char *text, FILE *out)
{
    fputc('"', out);
    for (; *text; text++)
        fprintf(out, *text == '"' ? "\"\"" : "%c", *text);
    fputc('"', out);
}

static void write_csv(const struct ctkd__comparison *arms, size_t count,
                      const struct ctkd__compare_options *o, FILE *out)
{
    fputs("arm", out);
    for (size_t c = 0; c < N_COLUMNS; c++)
        fprintf(out, ",%s", columns[c].key);
    fputs(",metric,choice,reference\n", out);
    for (size_t i = 0; i < count; i++) {
        const char *const texts[] = { o->metric, o->choice, arms[0].name };
        write_quoted(arms[i].name, out);
        for (size_t c = 0; c < N_COLUMNS; c++) {
            const double value = columns[c].value(&arms[i]);
            fputc(',', out);
            if (isfinite(value) && !(columns[c].of_pairs && arms[i].difference.n == 0))
                fprintf(out, "%.*g", columns[c].whole ? 17 : 9, value);
        }
        for (size_t t = 0; t < sizeof texts / sizeof *texts; t++) {
            fputc(',', out);
            write_quoted(texts[t], out);
        }
        fputc('\n', out);
    }
}

static ctkd_status write_json(const struct ctkd__comparison *arms, size_t count,
                              const struct ctkd__compare_options *o, FILE *out, ctkd_error *err)
{
    char text[VERDICT_BYTES];
    struct ctkd__jsonl json = { .stream = out };
    ctkd__jsonl_begin(&json);
    ctkd__jsonl_string(&json, "metric", o->metric);
    ctkd__jsonl_string(&json, "choice", o->choice);
    ctkd__jsonl_string(&json, "reference", arms[0].name);
    ctkd__jsonl_number(&json, "level", o->level);
    ctkd__jsonl_number(&json, "power", o->power);
    ctkd__jsonl_number(&json, "margin", o->margin);
    ctkd__jsonl_list_begin(&json, "arms");
    for (size_t i = 0; i < count; i++) {
        ctkd__jsonl_item_begin(&json);
        ctkd__jsonl_string(&json, "arm", arms[i].name);
        for (size_t c = 0; c < N_COLUMNS; c++) {
            const bool empty = columns[c].of_pairs && arms[i].difference.n == 0;
            ctkd__jsonl_number(&json, columns[c].key,
                               empty ? (double)NAN : columns[c].value(&arms[i]));
        }
        if (i > 0)
            ctkd__jsonl_string(&json, "verdict",
                               ctkd__compare_verdict(&arms[i], arms[0].name, o, text, sizeof text));
        ctkd__jsonl_item_end(&json);
    }
    ctkd__jsonl_list_end(&json);
    return ctkd__jsonl_end(&json, err);
}

ctkd_status ctkd__compare_write(const struct ctkd__comparison *arms, size_t count,
                                const struct ctkd__compare_options *options,
                                enum ctkd__compare_format format, FILE *out, ctkd_error *err)
{
    switch (format) {
    case CTKD__COMPARE_TEXT:
        write_text(arms, count, options, out);
        break;
    case CTKD__COMPARE_MARKDOWN:
        write_markdown(arms, count, options, out);
        break;
    case CTKD__COMPARE_LATEX:
        write_latex(arms, count, options, out);
        break;
    case CTKD__COMPARE_CSV:
        write_csv(arms, count, options, out);
        break;
    case CTKD__COMPARE_JSON:
        return write_json(arms, count, options, out, err);
    }
    return fflush(out) == 0 && !ferror(out)
               ? CTKD_OK
               : ctkd__fail(err, CTKD_EIO, "cannot write the comparison");
}
