#include "util/cgroup.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, LINE_BYTES = 2 * PATH_BYTES };

/* How a limit is stated in each version of control groups. */
struct kind {
    const char *controller; /* its name in version 1 */
    double (*read)(const char *dir, bool unified);
};

static FILE *open_in(const char *dir, const char *name)
{
    char path[PATH_BYTES];
    const int n = snprintf(path, sizeof path, "%s/%s", dir, name);
    return n > 0 && (size_t)n < sizeof path ? fopen(path, "re") : NULL;
}

/* The first number of a file; 0 where there is none ("max") or it is not above 0. */
static double read_number(const char *dir, const char *name)
{
    double value = 0;
    FILE *const file = open_in(dir, name);
    if (file && fscanf(file, "%lf", &value) != 1)
        value = 0;
    if (file)
        fclose(file);
    return value > 0 ? value : 0;
}

static double read_cpus(const char *dir, bool unified)
{
    double quota = 0, period = 0;
    if (unified) {
        FILE *const file = open_in(dir, "cpu.max");
        if (file && fscanf(file, "%lf %lf", &quota, &period) != 2)
            quota = 0;
        if (file)
            fclose(file);
    } else {
        quota = read_number(dir, "cpu.cfs_quota_us"); /* -1: none */
        period = read_number(dir, "cpu.cfs_period_us");
    }
    return quota > 0 && period > 0 ? quota / period : 0;
}

static double read_memory(const char *dir, bool unified)
{
    const double bytes = read_number(dir, unified ? "memory.max" : "memory.limit_in_bytes");
    return bytes < 0x1p62 ? bytes : 0; /* version 1 writes "no limit" as a huge number */
}

/* Whether a comma-separated list holds a word. */
static bool has_word(const char *list, const char *word)
{
    const size_t n = strlen(word);
    for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (strncmp(at, word, n) == 0 && (at[n] == ',' || at[n] == '\0'))
            return true;
    return false;
}

/* The group of this process in the hierarchy of a controller ("": version 2). */
static bool find_group(const char *root, const char *controller, char *out, size_t bytes)
{
    char line[LINE_BYTES];
    FILE *const file = open_in(root, "proc/self/cgroup");
    bool found = false;
    while (file && !found && fgets(line, sizeof line, file)) { /* NUMBER:CONTROLLERS:PATH */
        char *const list = strchr(line, ':');
        char *const path = list ? strchr(list + 1, ':') : NULL;
        if (!path)
            continue;
        *path = '\0';
        found = controller[0] ? has_word(list + 1, controller) : list[1] == '\0';
        if (found)
            snprintf(out, bytes, "%.*s", (int)strcspn(path + 1, "\n"), path + 1);
    }
    if (file)
        fclose(file);
    return found;
}

/* mountinfo writes a blank as \040 and a backslash as \134. */
static void unescape(char *text)
{
    char *out = text;
    for (const char *at = text; *at; out++) {
        unsigned code;
        if (at[0] == '\\' && sscanf(at + 1, "%3o", &code) == 1) {
            *out = (char)code;
            at += 4;
        } else {
            *out = *at++;
        }
    }
    *out = '\0';
}

struct mount {
    char group[PATH_BYTES]; /* the group that is mounted here */
    char point[PATH_BYTES];
};

/* Takes a line of mountinfo apart:
     36 35 98:0 GROUP POINT OPTIONS [FIELDS ...] - TYPE SOURCE SUPER_OPTIONS */
static bool read_mount(char *line, const char *controller, struct mount *out)
{
    char type[64], options[1024];
    char *const end = strstr(line, " - ");
    if (!end || sscanf(end + 3, "%63s %*s %1023s", type, options) != 2 ||
        sscanf(line, "%*s %*s %*s %4095s %4095s", out->group, out->point) != 2)
        return false;
    unescape(out->group);
    unescape(out->point);
    if (!controller[0])
        return strcmp(type, "cgroup2") == 0;
    return strcmp(type, "cgroup") == 0 && has_word(options, controller);
}

static double lower_limit(double a, double b)
{
    return a > 0 && (b <= 0 || a < b) ? a : b;
}

/* The least limit of a group and of those above it, up to the group that is mounted. */
static double walk(const char *root, const struct mount *mount, const char *group,
                   const struct kind *kind, bool unified)
{
    char dir[LINE_BYTES + PATH_BYTES];
    const size_t above = strcmp(mount->group, "/") == 0 ? 0 : strlen(mount->group);
    /* A group outside the mounted part cannot be seen: then the mounted group counts. */
    const bool inside = strncmp(group, mount->group, above) == 0 && !strstr(group, "..") &&
                        (group[above] == '/' || group[above] == '\0');
    snprintf(dir, sizeof dir, "%s%s%s", root, mount->point, inside ? group + above : "");
    const size_t top = strlen(root) + strlen(mount->point);
    double limit = 0;
    for (size_t n = strlen(dir); n >= top; n--) {
        if (dir[n] != '/' && dir[n] != '\0')
            continue;
        dir[n] = '\0';
        limit = lower_limit(kind->read(dir, unified), limit);
        if (n == 0)
            break;
    }
    return limit;
}

static double limit_of(const char *root, const struct kind *kind, bool unified)
{
    char group[PATH_BYTES], line[LINE_BYTES];
    const char *const controller = unified ? "" : kind->controller;
    double limit = 0;
    if (!find_group(root, controller, group, sizeof group))
        return 0;
    FILE *const file = open_in(root, "proc/self/mountinfo");
    while (file && fgets(line, sizeof line, file)) {
        struct mount mount;
        if (read_mount(line, controller, &mount))
            limit = lower_limit(walk(root, &mount, group, kind, unified), limit);
    }
    if (file)
        fclose(file);
    return limit;
}

double ctkd__cgroup_cpus(const char *root)
{
    static const struct kind kind = { "cpu", read_cpus };
    return lower_limit(limit_of(root, &kind, true), limit_of(root, &kind, false));
}

double ctkd__cgroup_memory(const char *root)
{
    static const struct kind kind = { "memory", read_memory };
    return lower_limit(limit_of(root, &kind, true), limit_of(root, &kind, false));
}

double ctkd__granted_cpus(void)
{
    const char *const text = getenv("SLURM_JOB_ID") ? getenv("SLURM_CPUS_ON_NODE") : NULL;
    char *end = NULL;
    const double slurm = text ? strtod(text, &end) : 0;
    return lower_limit(text && end != text && *end == '\0' && slurm >= 1 ? slurm : 0,
                       ctkd__cgroup_cpus(""));
}

double ctkd__memory_limit(void)
{
    const double machine = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    const double granted = ctkd__cgroup_memory("");
    return granted > 0 && granted < machine ? granted : machine;
}

size_t ctkd__memory_peak(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (size_t)usage.ru_maxrss * 1024 : 0;
}
