#include "report/metrics_write.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "util/text.h"

enum { CONFUSIONS_SHOWN = 10, NAME_MAX = 28 };

static const char *const part_names[CTKD__AGREEMENT_PARTS] = {
    [CTKD__AGREEMENT_ALL] = "all images",
    [CTKD__AGREEMENT_TEACHER_RIGHT] = "teacher right",
    [CTKD__AGREEMENT_TEACHER_WRONG] = "teacher wrong",
};
static const char *const part_keys[CTKD__AGREEMENT_PARTS] = {
    [CTKD__AGREEMENT_ALL] = "all",
    [CTKD__AGREEMENT_TEACHER_RIGHT] = "teacher_right",
    [CTKD__AGREEMENT_TEACHER_WRONG] = "teacher_wrong",
};

static const char *class_name(const char *const *names, size_t c, char *text, size_t bytes)
{
    if (names)
        return names[c];
    snprintf(text, bytes, "%zu", c);
    return text;
}

/* Of the column of class names; longer ones are cut. */
static int name_width(const struct ctkd__metrics *m, const char *const *names)
{
    size_t width = strlen("class");
    for (size_t c = 0; c < m->classes && names; c++)
        width = ctkd__text_columns(names[c]) > width ? ctkd__text_columns(names[c]) : width;
    return width < NAME_MAX ? (int)width : NAME_MAX;
}

static bool comes_before(const struct ctkd__confusion *a, const struct ctkd__confusion *b)
{
    if (a->images != b->images)
        return a->images > b->images;
    return a->label != b->label ? a->label < b->label : a->predicted < b->predicted;
}

/* Keeps the most frequent ones sorted by insertion, since there are few. */
size_t ctkd__metrics_confusions(const struct ctkd__metrics *m, struct ctkd__confusion *out,
                                size_t capacity)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n_confusions; i++) {
        const struct ctkd__confusion found = m->confusions[i];
        size_t at = n;
        while (at > 0 && comes_before(&found, &out[at - 1]))
            at--;
        if (at == capacity)
            continue;
        n += n < capacity;
        memmove(&out[at + 1], &out[at], (n - 1 - at) * sizeof *out);
        out[at] = found;
    }
    return n;
}

/* A percentage, or a dash for what has no value. */
static void print_percent(double part, FILE *out)
{
    if (isfinite(part))
        fprintf(out, "  %8.2f %%", 100 * part);
    else
        fprintf(out, "  %8s  ", "-");
}

static void print_classes(const struct ctkd__metrics *m, const char *const *names, FILE *out)
{
    char text[24];
    const int width = name_width(m, names);
    fprintf(out, "\n%-*s  images   precision      recall          F1\n", width, "class");
    for (size_t c = 0; c < m->classes; c++) {
        const struct ctkd__class_metrics *const k = &m->by_class[c];
        ctkd__text_cell(class_name(names, c, text, sizeof text), (size_t)width, out);
        fprintf(out, "  %6zu", k->labelled);
        print_percent(k->precision, out);
        print_percent(k->recall, out);
        print_percent(k->f1, out);
        fputc('\n', out);
    }
}

static void print_confusions(const struct ctkd__metrics *m, const char *const *names, FILE *out)
{
    struct ctkd__confusion pairs[CONFUSIONS_SHOWN];
    char text[24];
    const int width = name_width(m, names);
    const size_t n = ctkd__metrics_confusions(m, pairs, CONFUSIONS_SHOWN);
    if (n)
        fprintf(out, "\n%-*s    put into %*s images\n", width, "class", width > 8 ? width - 8 : 0,
                "");
    for (size_t i = 0; i < n; i++) {
        ctkd__text_cell(class_name(names, pairs[i].label, text, sizeof text), (size_t)width, out);
        fputs("    ", out);
        ctkd__text_cell(class_name(names, pairs[i].predicted, text, sizeof text), (size_t)width,
                        out);
        fprintf(out, " %8zu\n", pairs[i].images);
    }
}

static void print_reliability(const struct ctkd__metrics *m, FILE *out)
{
    fprintf(out, "\nconfidence       images    mean      right\n");
    for (size_t b = 0; b < CTKD__CALIBRATION_BINS; b++) {
        const struct ctkd__calibration_bin *const bin = &m->bins[b];
        if (bin->n)
            fprintf(out, "%.2f to %.2f  %8zu  %6.2f %%  %6.2f %%\n",
                    (double)b / CTKD__CALIBRATION_BINS, (double)(b + 1) / CTKD__CALIBRATION_BINS,
                    bin->n, 100 * bin->confidence, 100 * bin->accuracy);
    }
}

static void print_agreement(const struct ctkd__metrics *m, const char *teacher, FILE *out)
{
    if (m->agreement[CTKD__AGREEMENT_ALL].n == 0)
        return;
    fprintf(out, "\nbeside %s\n%-14s  images  same class  KL(teacher || student)  student right\n",
            teacher, "images of");
    for (size_t p = 0; p < CTKD__AGREEMENT_PARTS; p++) {
        const struct ctkd__agreement *const a = &m->agreement[p];
        if (a->n)
            fprintf(out, "%-14s  %6zu    %6.2f %%             %.4f nats       %6.2f %%\n",
                    part_names[p], a->n, a->same, a->kl, a->student);
    }
}

void ctkd__metrics_print(const struct ctkd__metrics *m, const char *const *names,
                         const char *teacher, FILE *out)
{
    fprintf(out,
            "NLL %.4f nats, Brier score %.4f, calibration error (ECE, %d bins) %.2f %%\n"
            "macro averages: precision %.2f %%, recall %.2f %%, F1 %.2f %%\n",
            m->nll, m->brier, CTKD__CALIBRATION_BINS, 100 * m->ece, 100 * m->precision,
            100 * m->recall, 100 * m->f1);
    print_classes(m, names, out);
    print_confusions(m, names, out);
    print_reliability(m, out);
    print_agreement(m, teacher, out);
}

/* --- JSON */

static void json_class(struct ctkd__jsonl *json, const char *key, const char *const *names,
                       size_t c)
{
    if (names)
        ctkd__jsonl_string(json, key, names[c]);
    else
        ctkd__jsonl_integer(json, key, (int64_t)c);
}

static void json_classes(const struct ctkd__metrics *m, const char *const *names,
                         struct ctkd__jsonl *json)
{
    ctkd__jsonl_list_begin(json, "per_class");
    for (size_t c = 0; c < m->classes; c++) {
        const struct ctkd__class_metrics *const k = &m->by_class[c];
        ctkd__jsonl_item_begin(json);
        json_class(json, "class", names, c);
        ctkd__jsonl_integer(json, "images", (int64_t)k->labelled);
        ctkd__jsonl_integer(json, "predicted", (int64_t)k->predicted);
        ctkd__jsonl_integer(json, "correct", (int64_t)k->correct);
        ctkd__jsonl_number(json, "precision", k->precision);
        ctkd__jsonl_number(json, "recall", k->recall);
        ctkd__jsonl_number(json, "f1", k->f1);
        ctkd__jsonl_item_end(json);
    }
    ctkd__jsonl_list_end(json);
}

static void json_confusions(const struct ctkd__metrics *m, const char *const *names,
                            struct ctkd__jsonl *json)
{
    ctkd__jsonl_list_begin(json, "confusions");
    for (size_t i = 0; i < m->n_confusions; i++) {
        const struct ctkd__confusion *const pair = &m->confusions[i];
        ctkd__jsonl_item_begin(json);
        json_class(json, "class", names, pair->label);
        json_class(json, "predicted", names, pair->predicted);
        ctkd__jsonl_integer(json, "images", (int64_t)pair->images);
        ctkd__jsonl_item_end(json);
    }
    ctkd__jsonl_list_end(json);
}

static void json_reliability(const struct ctkd__metrics *m, struct ctkd__jsonl *json)
{
    ctkd__jsonl_list_begin(json, "reliability");
    for (size_t b = 0; b < CTKD__CALIBRATION_BINS; b++) {
        ctkd__jsonl_item_begin(json);
        ctkd__jsonl_number(json, "from", (double)b / CTKD__CALIBRATION_BINS);
        ctkd__jsonl_integer(json, "images", (int64_t)m->bins[b].n);
        ctkd__jsonl_number(json, "confidence", m->bins[b].confidence);
        ctkd__jsonl_number(json, "accuracy", m->bins[b].accuracy);
        ctkd__jsonl_item_end(json);
    }
    ctkd__jsonl_list_end(json);
}

static void json_agreement(const struct ctkd__metrics *m, struct ctkd__jsonl *json)
{
    if (m->agreement[CTKD__AGREEMENT_ALL].n == 0)
        return;
    ctkd__jsonl_list_begin(json, "agreement");
    for (size_t p = 0; p < CTKD__AGREEMENT_PARTS; p++) {
        const struct ctkd__agreement *const a = &m->agreement[p];
        ctkd__jsonl_item_begin(json);
        ctkd__jsonl_string(json, "images_of", part_keys[p]);
        ctkd__jsonl_integer(json, "images", (int64_t)a->n);
        ctkd__jsonl_number(json, "same_class", a->same);
        ctkd__jsonl_number(json, "kl", a->kl);
        ctkd__jsonl_number(json, "student_top1", a->student);
        ctkd__jsonl_item_end(json);
    }
    ctkd__jsonl_list_end(json);
}

void ctkd__metrics_json(const struct ctkd__metrics *m, const char *const *names,
                        struct ctkd__jsonl *json)
{
    ctkd__jsonl_number(json, "nll", m->nll);
    ctkd__jsonl_number(json, "brier", m->brier);
    ctkd__jsonl_number(json, "ece", m->ece);
    ctkd__jsonl_number(json, "macro_precision", m->precision);
    ctkd__jsonl_number(json, "macro_recall", m->recall);
    ctkd__jsonl_number(json, "macro_f1", m->f1);
    json_classes(m, names, json);
    json_confusions(m, names, json);
    json_reliability(m, json);
    json_agreement(m, json);
}
