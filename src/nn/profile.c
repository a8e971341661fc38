#include "nn/profile.h"

#include <stdlib.h>
#include <string.h>

struct row {
    char program[16], kind[24], layer[96], how[48];
    double flops;
    uint64_t calls, images;
    uint64_t *ns; /* [workers] */
};

struct ctkd__profile {
    size_t workers;
    struct row *rows;
    int count;
};

ctkd_status ctkd__profile_create(size_t workers, struct ctkd__profile **out)
{
    *out = calloc(1, sizeof **out);
    if (!*out)
        return CTKD_ENOMEM;
    (*out)->workers = workers;
    return CTKD_OK;
}

void ctkd__profile_destroy(struct ctkd__profile *profile)
{
    if (!profile)
        return;
    for (int i = 0; i < profile->count; i++)
        free(profile->rows[i].ns);
    free(profile->rows);
    free(profile);
}

int ctkd__profile_row(struct ctkd__profile *profile, const char *program, const char *kind,
                      const char *layer, const char *how, double flops)
{
    if (!profile)
        return -1;
    struct row *const rows =
        realloc(profile->rows, (size_t)(profile->count + 1) * sizeof *profile->rows);
    if (!rows)
        return -1;
    profile->rows = rows;
    struct row row = { .flops = flops, .ns = calloc(profile->workers, sizeof *row.ns) };
    if (!row.ns)
        return -1;
    snprintf(row.program, sizeof row.program, "%s", program);
    snprintf(row.kind, sizeof row.kind, "%s", kind);
    snprintf(row.layer, sizeof row.layer, "%s", layer);
    snprintf(row.how, sizeof row.how, "%s", how);
    rows[profile->count] = row;
    return profile->count++;
}

void ctkd__profile_set_how(struct ctkd__profile *profile, int row, const char *how)
{
    if (profile && row >= 0)
        snprintf(profile->rows[row].how, sizeof profile->rows[row].how, "%s", how);
}

void ctkd__profile_add(struct ctkd__profile *profile, int row, size_t worker, uint64_t ns,
                       size_t images)
{
    if (!profile || row < 0)
        return;
    profile->rows[row].ns[worker] += ns;
    /* Workers may add at the same time: they share the counts, but each has its own time. */
    __atomic_fetch_add(&profile->rows[row].images, images, __ATOMIC_RELAXED);
    __atomic_fetch_add(&profile->rows[row].calls, 1, __ATOMIC_RELAXED);
}

void ctkd__profile_add_all(struct ctkd__profile *profile, int row, uint64_t ns, size_t images)
{
    for (size_t i = 0; profile && row >= 0 && i < profile->workers; i++)
        profile->rows[row].ns[i] += ns;
    if (profile && row >= 0) {
        profile->rows[row].images += images;
        profile->rows[row].calls++;
    }
}

void ctkd__profile_reset(struct ctkd__profile *profile)
{
    for (int i = 0; i < profile->count; i++) {
        profile->rows[i].calls = profile->rows[i].images = 0;
        memset(profile->rows[i].ns, 0, profile->workers * sizeof *profile->rows[i].ns);
    }
}

/* Mean over workers, milliseconds. */
static double row_ms(const struct ctkd__profile *profile, const struct row *row)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < profile->workers; i++)
        sum += row->ns[i];
    return 1e-6 * (double)sum / (double)profile->workers;
}

static void print_line(FILE *out, const char *name, const char *kind, const char *how, double calls,
                       double ms, double gflop, double total_ms)
{
    fprintf(out, "%-44s %-22s %-24s %8.1f %9.3f", name, kind, how, calls, ms);
    if (gflop > 0 && ms > 0)
        fprintf(out, " %9.1f", gflop / ms * 1e3);
    else
        fprintf(out, " %9s", "-");
    fprintf(out, " %6.1f%%\n", total_ms > 0 ? 100 * ms / total_ms : 0.0);
}

static int same_group(const struct row *a, const struct row *b)
{
    return strcmp(a->program, b->program) == 0 && strcmp(a->kind, b->kind) == 0 &&
           strcmp(a->how, b->how) == 0;
}

static void print_groups(const struct ctkd__profile *profile, double steps, double total, FILE *out)
{
    for (int i = 0; i < profile->count; i++) {
        int first = 1;
        for (int j = 0; j < i; j++)
            first &= !same_group(&profile->rows[i], &profile->rows[j]);
        if (!first)
            continue;
        double ms = 0, gflop = 0, calls = 0;
        for (int j = i; j < profile->count; j++) {
            const struct row *const row = &profile->rows[j];
            if (!same_group(&profile->rows[i], row))
                continue;
            ms += row_ms(profile, row) / steps;
            gflop += 1e-9 * row->flops * (double)row->images / steps;
            calls += (double)row->calls / steps;
        }
        if (calls > 0)
            print_line(out, profile->rows[i].program, profile->rows[i].kind, profile->rows[i].how,
                       calls, ms, gflop, total);
    }
}

void ctkd__profile_print(const struct ctkd__profile *profile, size_t steps, FILE *out)
{
    const double n = steps ? (double)steps : 1.0;
    double total = 0;
    for (int i = 0; i < profile->count; i++)
        total += row_ms(profile, &profile->rows[i]) / n;
    double packings = 0;
    for (int i = 0; i < profile->count; i++)
        if (strcmp(profile->rows[i].kind, CTKD__PROFILE_PACKING) == 0)
            packings += (double)profile->rows[i].calls / n / (double)profile->workers;
    fprintf(out, "weights packed in a step: %.0f times\n\n", packings);
    static const char title[] = "%-44s %-22s %-24s %8s %9s %9s %7s\n";
    fprintf(out, title, "per kind", "op", "how", "calls", "ms/step", "GFLOP/s", "share");
    print_groups(profile, n, total, out);
    fprintf(out, "\n");
    fprintf(out, title, "per layer", "op", "how", "calls", "ms/step", "GFLOP/s", "share");
    for (int i = 0; i < profile->count; i++) {
        const struct row *const row = &profile->rows[i];
        if (row->calls == 0)
            continue;
        char name[sizeof row->program + sizeof row->layer];
        snprintf(name, sizeof name, "%s %s", row->program, row->layer);
        print_line(out, name, row->kind, row->how, (double)row->calls / n, row_ms(profile, row) / n,
                   1e-9 * row->flops * (double)row->images / n, total);
    }
}
