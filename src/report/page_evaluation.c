#include <math.h>

#include "report/metrics_write.h"
#include "report/page.h"
#include "report/plot.h"

/* CLASSES_SHOWN: more are scrolled on the screen; all are printed. */
enum { CONFUSIONS_SHOWN = 15, CLASSES_SHOWN = 20, DIAGRAM = 220, MARGIN = 40 };

static void write_class(const struct ctkd__page_run *run, size_t c, FILE *out)
{
    if (run->names)
        ctkd__markup_text(run->names[c], out);
    else
        fprintf(out, "%zu", c);
}

static void write_percent(double part, FILE *out)
{
    if (isfinite(part))
        fprintf(out, "<td>%.2f %%</td>", 100 * part);
    else
        fputs("<td>&ndash;</td>", out);
}

static void write_scores(const struct ctkd__metrics *m, FILE *out)
{
    fprintf(out,
            "<p>%zu test images: top-1 %.2f %%, NLL %.4f nats, Brier score %.4f, calibration error "
            "%.2f %%; means over classes: precision %.2f %%, recall %.2f %%, F1 %.2f %%.</p>\n",
            m->n, m->top1, m->nll, m->brier, 100 * m->ece, 100 * m->precision, 100 * m->recall,
            100 * m->f1);
}

static void write_agreement(const struct ctkd__page_run *run, FILE *out)
{
    static const char *const parts[CTKD__AGREEMENT_PARTS] = { "all images", "teacher right",
                                                              "teacher wrong" };
    if (!run->teacher[0])
        return;
    fputs("<h3>Agreement with the teacher</h3>\n<p class=\"note\">", out);
    ctkd__markup_text(run->teacher, out);
    fputs("</p>\n<div class=\"scroll\"><table><tr><th>images</th><th>number</th><th>same "
          "class</th><th>KL(teacher, student), nats</th><th>student right</th></tr>\n",
          out);
    for (size_t p = 0; p < CTKD__AGREEMENT_PARTS; p++) {
        const struct ctkd__agreement *const a = &run->metrics.agreement[p];
        fprintf(out, "<tr><td>%s</td><td>%zu</td>", parts[p], a->n);
        write_percent(a->same / 100, out);
        if (isfinite(a->kl))
            fprintf(out, "<td>%.4f</td>", a->kl);
        else
            fputs("<td>&ndash;</td>", out);
        write_percent(a->student / 100, out);
        fputs("</tr>\n", out);
    }
    fputs("</table></div>\n", out);
}

static void write_confusions(const struct ctkd__page_run *run, FILE *out)
{
    struct ctkd__confusion pairs[CONFUSIONS_SHOWN];
    const size_t n = ctkd__metrics_confusions(&run->metrics, pairs, CONFUSIONS_SHOWN);
    if (n == 0)
        return;
    fputs("<h3>Most frequent confusions</h3>\n<div class=\"scroll\"><table><tr><th>class</th>"
          "<th class=\"text\">put into</th><th>images</th></tr>\n",
          out);
    for (size_t i = 0; i < n; i++) {
        fputs("<tr><td>", out);
        write_class(run, pairs[i].label, out);
        fputs("</td><td class=\"text\">", out);
        write_class(run, pairs[i].predicted, out);
        fprintf(out, "</td><td>%zu</td></tr>\n", pairs[i].images);
    }
    fputs("</table></div>\n", out);
}

/* The reliability diagram: bars of accuracy, with the diagonal where it equals the confidence. */
static void write_reliability(const struct ctkd__metrics *m, FILE *out)
{
    const double width = (double)DIAGRAM / CTKD__CALIBRATION_BINS;
    fprintf(out,
            "<h3>Reliability</h3>\n<svg viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" "
            "role=\"img\" aria-label=\"share right over confidence\">\n"
            "<path class=\"axis\" d=\"M%d 10v%dh%d\"/>",
            DIAGRAM + 2 * MARGIN, DIAGRAM + MARGIN + 10, DIAGRAM + 2 * MARGIN,
            DIAGRAM + MARGIN + 10, MARGIN, DIAGRAM, DIAGRAM);
    for (size_t b = 0; b < CTKD__CALIBRATION_BINS; b++) {
        const struct ctkd__calibration_bin *const bin = &m->bins[b];
        if (bin->n == 0)
            continue;
        fprintf(out,
                "<rect class=\"bar\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"><title>"
                "%zu images, confidence %.2f, right %.2f</title></rect>\n",
                MARGIN + (double)b * width + 1, 10 + DIAGRAM * (1 - bin->accuracy), width - 2,
                DIAGRAM * bin->accuracy, bin->n, bin->confidence, bin->accuracy);
    }
    fprintf(out,
            "<path class=\"ideal\" d=\"M%d %dL%d 10\"/>"
            "<text class=\"label\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">confidence</text>"
            "<text class=\"label\" x=\"%d\" y=\"14\" text-anchor=\"end\">1</text>"
            "<text class=\"label\" x=\"%d\" y=\"%d\" text-anchor=\"end\">0</text>"
            "<text class=\"label\" x=\"%d\" y=\"%d\" text-anchor=\"end\">1</text></svg>\n"
            "<p class=\"note\">Height: share of the images that are right; dashed: where it would "
            "equal the confidence.</p>\n",
            MARGIN, DIAGRAM + 10, MARGIN + DIAGRAM, MARGIN + DIAGRAM / 2, DIAGRAM + 28, MARGIN - 6,
            MARGIN - 6, DIAGRAM + 14, MARGIN + DIAGRAM, DIAGRAM + 28);
}

static void write_classes(const struct ctkd__page_run *run, FILE *out)
{
    const struct ctkd__metrics *const m = &run->metrics;
    fprintf(out,
            "<h3>Classes</h3>\n<p class=\"note\">%zu classes</p>\n<div class=\"scroll%s\">\n"
            "<table><tr><th>class</th><th>images</th><th>precision</th><th>recall</th><th>F1</th>"
            "</tr>\n",
            m->classes, m->classes <= CLASSES_SHOWN ? "" : " tall");
    for (size_t c = 0; c < m->classes; c++) {
        fputs("<tr><td>", out);
        write_class(run, c, out);
        fprintf(out, "</td><td>%zu</td>", m->by_class[c].labelled);
        write_percent(m->by_class[c].precision, out);
        write_percent(m->by_class[c].recall, out);
        write_percent(m->by_class[c].f1, out);
        fputs("</tr>\n", out);
    }
    fputs("</table></div>\n", out);
}

static void write_wrong(const struct ctkd__page_run *run, FILE *out)
{
    if (run->n_wrong == 0)
        return;
    fputs("<h3>Images that the student got wrong, the most confident first</h3>\n"
          "<div class=\"wrong\">\n",
          out);
    for (size_t i = 0; i < run->n_wrong; i++) {
        const struct ctkd__page_picture *const p = &run->wrong[i];
        fprintf(out,
                "<figure><img alt=\"test image %zu\" src=\"data:image/%s;base64,%s\">"
                "<figcaption>",
                p->id, p->type, p->bytes);
        if (p->name)
            ctkd__markup_text(p->name, out);
        else
            fprintf(out, "image %zu", p->id);
        fputs(": <b>", out);
        write_class(run, (size_t)p->label, out);
        fputs("</b><br>student: ", out);
        write_class(run, (size_t)p->student, out);
        fprintf(out, " (%.0f %%)", 100 * p->confidence);
        if (p->teacher >= 0) {
            fputs("<br>teacher: ", out);
            write_class(run, (size_t)p->teacher, out);
        }
        fputs("</figcaption></figure>\n", out);
    }
    fputs("</div>\n", out);
}

void ctkd__page_write_evaluation(const struct ctkd__page_run *run, FILE *out)
{
    if (run->metrics.n == 0)
        return;
    write_scores(&run->metrics, out);
    write_agreement(run, out);
    write_confusions(run, out);
    write_reliability(&run->metrics, out);
    write_wrong(run, out);
    write_classes(run, out);
}
