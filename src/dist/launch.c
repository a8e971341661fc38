#include "dist/launch.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctkd/version.h"
#include "util/error.h"

enum { PATH_BYTES = 4096 };

/* How srun starts the ranks of an MPI. Debian's Open MPI knows only pmix, its MPICH only pmi2. */
#define SRUN_OF_MPI "srun --mpi=pmix for Open MPI, --mpi=pmi2 for MPICH"

/* The number of processes that an environment variable gives; 0: it is not set, or no number. */
static size_t told_by(const char *variable)
{
    const char *const text = getenv(variable);
    char *end = NULL;
    const long value = text ? strtol(text, &end, 10) : 0;
    return text && end != text && *end == '\0' && value > 0 ? (size_t)value : 0;
}

static const char step_tasks[] = "SLURM_STEP_NUM_TASKS"; /* set by srun */

/* Whether the step that has set it may be that of this process. `sbatch` hands the variables of the
   step in which it is called to its script, but the script's slurmstepd sets SLURM_NODEID and
   SLURM_GTIDS, the tasks on this machine, anew: they are "0" there, and in a step the first number
   of SLURM_STEP_TASKS_PER_NODE ("4(x2),3") says how many the first machine has. */
static bool is_in_step(void)
{
    const char *const machine = getenv("SLURM_NODEID"), *const ids = getenv("SLURM_GTIDS");
    const char *const counts = getenv("SLURM_STEP_TASKS_PER_NODE");
    if (!machine || !ids || !counts || strcmp(machine, "0") != 0)
        return true;
    long tasks = 1;
    for (const char *at = ids; (at = strchr(at, ',')); at++)
        tasks++;
    return strtol(counts, NULL, 10) == tasks;
}

/* The number of tasks in the step of this process; 0: srun has not started it. */
static size_t told_by_step(void)
{
    return is_in_step() ? told_by(step_tasks) : 0;
}

/* The environment variable that shows that an MPI launcher started this process; NULL: none. */
static const char *mpi_variable(void)
{
    static const char *const names[] = { "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK",
                                         "MPI_LOCALNRANKS" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (getenv(names[i]))
            return names[i];
    return NULL;
}

/* The number of processes according to the MPI launcher or, if that gives only ranks, to Slurm; 0:
   neither says. */
static size_t told_count(void)
{
    const size_t open_mpi = told_by("OMPI_COMM_WORLD_SIZE"), mpich = told_by("PMI_SIZE");
    return open_mpi ? open_mpi : mpich ? mpich : told_by_step();
}

size_t ctkd__launch_count(void)
{
    const size_t told = told_count();
    return told ? told : mpi_variable() != NULL;
}

const char *ctkd__launch_variable(void)
{
    return told_by("OMPI_COMM_WORLD_SIZE") ? "OMPI_COMM_WORLD_SIZE"
           : told_by("PMI_SIZE")           ? "PMI_SIZE"
           : told_by_step()                ? step_tasks
                                           : mpi_variable();
}

bool ctkd__launch_first(void)
{
    static const char *const names[] = { "OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK",
                                         "SLURM_PROCID" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *const text = getenv(names[i]);
        if (text)
            return strcmp(text, "0") == 0;
    }
    return true;
}

bool ctkd__launch_lets_wait(void)
{
    /* mpirun may itself have started its daemons by srun, whose variables then are here, too. */
    return told_by_step() > 1 && !getenv("OMPI_COMM_WORLD_SIZE");
}

/* The two places of the module: beside this binary, and where it is installed. */
static ctkd_status module_paths(char paths[2][PATH_BYTES], ctkd_error *err)
{
    char own[PATH_BYTES];
    const ssize_t n = readlink("/proc/self/exe", own, sizeof own - 1);
    if (n <= 0)
        return ctkd__fail(err, CTKD_EIO,
                          "cannot read /proc/self/exe, beside which %s is looked for",
                          CTKD__MPI_MODULE);
    own[n] = '\0';
    *(strrchr(own, '/') + 1) = '\0';
    const int a = snprintf(paths[0], PATH_BYTES, "%s%s", own, CTKD__MPI_MODULE);
    const int b = snprintf(paths[1], PATH_BYTES, "%s%s/%s", own, CTKD_MODULES, CTKD__MPI_MODULE);
    return a < PATH_BYTES && b < PATH_BYTES
               ? CTKD_OK
               : ctkd__fail(err, CTKD_ERANGE, "%s: the path is too long", own);
}

/* Loads the module. It is never unloaded, because MPI libraries do not support that. */
static ctkd_status load(const char *reason, const struct ctkd__transport **out, ctkd_error *err)
{
    char paths[2][PATH_BYTES];
    const ctkd_status status = module_paths(paths, err);
    if (status != CTKD_OK)
        return status;
    const char *const path = access(paths[0], F_OK) == 0 ? paths[0] : paths[1];
    if (access(path, F_OK) != 0)
        return ctkd__fail(err, CTKD_EUNSUPPORTED,
                          "%s asks for several processes, and this ctkd is built without MPI: no "
                          "%s in %.150s (doc/clusters.md)",
                          reason, CTKD__MPI_MODULE, paths[1]);
    void *const module = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    if (!module)
        return ctkd__fail(err, CTKD_EBACKEND, "cannot load %s", dlerror());
    *out = dlsym(module, "ctkd__transport_mpi");
    if (!*out)
        return ctkd__fail(err, CTKD_EBACKEND, "%s: no module of ctkd", path);
    if (strcmp((*out)->made_for, CTKD_VERSION_STRING) != 0)
        return ctkd__fail(err, CTKD_EBACKEND, "%s: made for ctkd %s, expected %s", path,
                          (*out)->made_for, CTKD_VERSION_STRING);
    return CTKD_OK;
}

/* If the launcher belongs to another MPI implementation, each process starts as the only rank. */
static ctkd_status check_count(struct ctkd__dist *dist, const char *reason, ctkd_error *err)
{
    const size_t found = ctkd__dist_size(dist), told = told_count();
    if (!told || told == found)
        return CTKD_OK;
    return ctkd__fail(err, CTKD_EBACKEND,
                      "%s: the launcher has started %zu processes, and %s finds %zu: use the "
                      "launcher of that MPI (with Slurm: " SRUN_OF_MPI ")",
                      reason, told, ctkd__dist_version(dist), found);
}

ctkd_status ctkd__launch_open(bool always, struct ctkd__dist **out, ctkd_error *err)
{
    const char *const variable = mpi_variable(), *const reason = variable ? variable : "train.mpi";
    const struct ctkd__transport *transport;
    *out = NULL;
    if (!variable && !always && told_by_step() > 1)
        return ctkd__fail(err, CTKD_EBACKEND,
                          "%s: srun has started %zu processes without MPI, which would be as many "
                          "runs of their own: use " SRUN_OF_MPI ", or -n 1; if this is meant to be "
                          "one process inside their step, unset %s",
                          step_tasks, told_by_step(), step_tasks);
    if (!always && (!variable || told_count() == 1))
        return CTKD_OK;
    ctkd_status status = load(reason, &transport, err);
    if (status == CTKD_OK)
        status = ctkd__dist_open(transport, out, err);
    if (status != CTKD_OK)
        return status;
    status = check_count(*out, reason, err);
    if (status == CTKD_OK && ctkd__dist_size(*out) > 1)
        return CTKD_OK;
    ctkd__dist_close(*out);
    *out = NULL;
    return status;
}
