#include "report/metrics.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "util/error.h"

size_t ctkd__predicted_class(size_t classes, const float *logits)
{
    size_t best = 0;
    for (size_t j = 1; j < classes; j++)
        if (logits[j] > logits[best])
            best = j;
    return best;
}

/* log softmax of a row in double. */
static void log_probabilities(size_t classes, const float *logits, double *out)
{
    const double top = (double)logits[ctkd__predicted_class(classes, logits)];
    double sum = 0;
    for (size_t j = 0; j < classes; j++)
        sum += exp((double)logits[j] - top);
    const double shift = top + log(sum);
    for (size_t j = 0; j < classes; j++)
        out[j] = (double)logits[j] - shift;
}

static ctkd_status check(size_t n, size_t classes, const float *logits, const int32_t *labels,
                         ctkd_error *err)
{
    for (size_t i = 0; i < n * classes; i++)
        if (!isfinite(logits[i]))
            return ctkd__fail(err, CTKD_ENAN,
                              "metrics: logit %zu of image %zu is %g, expected a finite one",
                              i % classes, i / classes, (double)logits[i]);
    for (size_t i = 0; i < n; i++)
        if (labels[i] < 0 || (size_t)labels[i] >= classes)
            return ctkd__fail(err, CTKD_ERANGE, "metrics: label %d of image %zu, expected 0 to %zu",
                              labels[i], i, classes - 1);
    return CTKD_OK;
}

static void add_to_bin(struct ctkd__metrics *m, double confidence, bool correct)
{
    size_t b = (size_t)(confidence * CTKD__CALIBRATION_BINS);
    if (b >= CTKD__CALIBRATION_BINS)
        b = CTKD__CALIBRATION_BINS - 1;
    m->bins[b].n++;
    m->bins[b].confidence += confidence;
    m->bins[b].accuracy += correct;
}

/* Sums of one image; the means are taken at the end. */
static void add_image(struct ctkd__metrics *m, const float *logits, size_t label,
                      const double *log_p)
{
    const size_t predicted = ctkd__predicted_class(m->classes, logits);
    const bool correct = predicted == label;
    if (!correct)
        m->confusions[m->n_confusions++] = (struct ctkd__confusion){ label, predicted, 1 };
    m->by_class[label].labelled++;
    m->by_class[label].correct += correct;
    m->by_class[predicted].predicted++;
    m->top1 += correct;
    m->nll -= log_p[label];
    for (size_t j = 0; j < m->classes; j++) {
        const double off = exp(log_p[j]) - (j == label);
        m->brier += off * off;
    }
    add_to_bin(m, exp(log_p[predicted]), correct);
}

static void add_agreement(struct ctkd__agreement *part, bool same, double kl, bool correct)
{
    part->n++;
    part->same += same;
    part->kl += kl;
    part->student += correct;
}

static void compare_image(struct ctkd__metrics *m, const float *student, const float *teacher,
                          size_t label, const double *log_s, const double *log_t)
{
    const size_t s = ctkd__predicted_class(m->classes, student);
    const size_t t = ctkd__predicted_class(m->classes, teacher);
    double kl = 0;
    for (size_t j = 0; j < m->classes; j++)
        kl += exp(log_t[j]) * (log_t[j] - log_s[j]);
    const enum ctkd__agreement_part part =
        t == label ? CTKD__AGREEMENT_TEACHER_RIGHT : CTKD__AGREEMENT_TEACHER_WRONG;
    add_agreement(&m->agreement[CTKD__AGREEMENT_ALL], s == t, kl, s == label);
    add_agreement(&m->agreement[part], s == t, kl, s == label);
}

static double ratio(double part, size_t n)
{
    return n ? part / (double)n : (double)NAN;
}

static void finish_classes(struct ctkd__metrics *m)
{
    size_t seen = 0;
    for (size_t c = 0; c < m->classes; c++) {
        struct ctkd__class_metrics *const k = &m->by_class[c];
        k->precision = ratio((double)k->correct, k->predicted);
        k->recall = ratio((double)k->correct, k->labelled);
        k->f1 = ratio(2 * (double)k->correct, k->predicted + k->labelled);
        if (k->predicted + k->labelled == 0)
            continue;
        seen++;
        m->precision += k->predicted ? k->precision : 0;
        m->recall += k->labelled ? k->recall : 0;
        m->f1 += k->f1;
    }
    m->precision = ratio(m->precision, seen);
    m->recall = ratio(m->recall, seen);
    m->f1 = ratio(m->f1, seen);
}

static int by_classes(const void *a, const void *b)
{
    const struct ctkd__confusion *const x = a, *const y = b;
    if (x->label != y->label)
        return x->label < y->label ? -1 : 1;
    return (x->predicted > y->predicted) - (x->predicted < y->predicted);
}

/* There is one for each wrong image so far: equal ones become one. */
static void finish_confusions(struct ctkd__metrics *m)
{
    size_t n = 0;
    if (m->n_confusions)
        qsort(m->confusions, m->n_confusions, sizeof *m->confusions, by_classes);
    for (size_t i = 0; i < m->n_confusions; i++)
        if (n && by_classes(&m->confusions[n - 1], &m->confusions[i]) == 0)
            m->confusions[n - 1].images++;
        else
            m->confusions[n++] = m->confusions[i];
    m->n_confusions = n;
}

static void finish(struct ctkd__metrics *m)
{
    m->top1 = 100 * ratio(m->top1, m->n);
    m->nll = ratio(m->nll, m->n);
    m->brier = ratio(m->brier, m->n);
    finish_classes(m);
    finish_confusions(m);
    for (size_t b = 0; b < CTKD__CALIBRATION_BINS; b++) {
        struct ctkd__calibration_bin *const bin = &m->bins[b];
        m->ece += fabs(bin->accuracy - bin->confidence) / (double)m->n;
        bin->confidence = ratio(bin->confidence, bin->n);
        bin->accuracy = ratio(bin->accuracy, bin->n);
    }
    for (size_t p = 0; p < CTKD__AGREEMENT_PARTS; p++) {
        struct ctkd__agreement *const part = &m->agreement[p];
        part->same = 100 * ratio(part->same, part->n);
        part->kl = ratio(part->kl, part->n);
        part->student = 100 * ratio(part->student, part->n);
    }
}

ctkd_status ctkd__metrics(size_t n, size_t classes, const float *logits, const int32_t *labels,
                          const float *teacher, struct ctkd__metrics *out, ctkd_error *err)
{
    *out = (struct ctkd__metrics){ .n = n, .classes = classes };
    ctkd_status status = check(n, classes, logits, labels, err);
    if (status == CTKD_OK && teacher)
        status = check(n, classes, teacher, labels, err);
    if (status != CTKD_OK)
        return status;
    out->by_class = calloc(classes, sizeof *out->by_class);
    out->confusions = calloc(n, sizeof *out->confusions);
    double *const log_s = calloc(2 * classes, sizeof *log_s), *const log_t = log_s + classes;
    if (!out->by_class || !out->confusions || !log_s) {
        free(log_s);
        return ctkd__fail(err, CTKD_ENOMEM, "metrics: out of memory");
    }
    for (size_t i = 0; i < n; i++) {
        const float *const row = logits + i * classes;
        log_probabilities(classes, row, log_s);
        add_image(out, row, (size_t)labels[i], log_s);
        if (!teacher)
            continue;
        log_probabilities(classes, teacher + i * classes, log_t);
        compare_image(out, row, teacher + i * classes, (size_t)labels[i], log_s, log_t);
    }
    free(log_s);
    finish(out);
    return CTKD_OK;
}

void ctkd__metrics_free(struct ctkd__metrics *metrics)
{
    free(metrics->by_class);
    free(metrics->confusions);
    *metrics = (struct ctkd__metrics){ 0 };
}
