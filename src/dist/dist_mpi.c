/*
 * The MPI transport: the module libctkd_mpi.so, which is loaded on demand (launch.c), so that ctkd
 * itself needs no MPI. It uses only messages and no reductions, whose order MPI leaves open. It
 * polls with MPI_Testall instead of MPI_Wait, so that a rank that hangs can be named and a waiting
 * thread gives up its core.
 */
#include <limits.h>
#include <mpi.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctkd/version.h"
#include "dist/transport.h"
#include "util/clock.h"
#include "util/error.h"

/* How a waiting thread polls: `spins` times without a pause, then it yields its core between polls,
   and after `yield_seconds` it sleeps SLEEP_NS between them. For the main channel the whole rank
   waits; an exchange of gradients runs beside the workers, whose cores it must leave to them. */
enum { SLEEP_NS = 20000 };
static const struct patience {
    unsigned spins;
    double yield_seconds;
} patience[CTKD__CHANNELS] = {
    [CTKD__CHANNEL_MAIN] = { 200, 0.002 },
    [CTKD__CHANNEL_GRADIENTS] = { 1, 0 },
};

struct mpi_transport {
    int rank, size;
    bool concurrent;
    MPI_Comm channels[CTKD__CHANNELS];
    MPI_Request *requests[CTKD__CHANNELS]; /* [2 size]: receipts, then what is sent */
    char version[128];
};

static ctkd_status mpi_failed(const char *call, int code, ctkd_error *err)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0;
    MPI_Error_string(code, text, &length);
    return ctkd__fail(err, CTKD_EBACKEND, "%s: %s", call, text);
}

static void mpi_close(void *transport, bool together)
{
    struct mpi_transport *const mpi = transport;
    for (int i = 0; i < CTKD__CHANNELS; i++) {
        if (together && mpi->channels[i] != MPI_COMM_NULL)
            MPI_Comm_free(&mpi->channels[i]);
        free(mpi->requests[i]);
    }
    free(mpi);
    if (together)
        MPI_Finalize();
}

/* "Open MPI v4.1.4" or "MPICH Version: 4.0.2" out of a library's long text. */
static void describe_library(char *out, size_t bytes)
{
    char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
    int length = 0;
    MPI_Get_library_version(text, &length);
    text[strcspn(text, ",\n")] = '\0';
    for (char *c = text; *c; c++)
        if (*c == '\t')
            *c = ' ';
    snprintf(out, bytes, "%s", text);
}

static ctkd_status open_channels(struct mpi_transport *mpi, ctkd_error *err)
{
    for (int i = 0; i < CTKD__CHANNELS; i++) {
        const int code = MPI_Comm_dup(MPI_COMM_WORLD, &mpi->channels[i]);
        if (code != MPI_SUCCESS)
            return mpi_failed("MPI_Comm_dup", code, err);
        MPI_Comm_set_errhandler(mpi->channels[i], MPI_ERRORS_RETURN);
        mpi->requests[i] = calloc(2 * (size_t)mpi->size, sizeof *mpi->requests[i]);
        if (!mpi->requests[i])
            return ctkd__fail(err, CTKD_ENOMEM, "MPI: out of memory");
    }
    return CTKD_OK;
}

static ctkd_status mpi_open(void **out, ctkd_error *err)
{
    int provided = MPI_THREAD_SINGLE;
    struct mpi_transport *const mpi = calloc(1, sizeof *mpi);
    if (!mpi)
        return ctkd__fail(err, CTKD_ENOMEM, "MPI: out of memory");
    for (int i = 0; i < CTKD__CHANNELS; i++)
        mpi->channels[i] = MPI_COMM_NULL;
    int code = MPI_Init_thread(NULL, NULL, MPI_THREAD_MULTIPLE, &provided);
    if (code == MPI_SUCCESS)
        code = MPI_Comm_rank(MPI_COMM_WORLD, &mpi->rank);
    if (code == MPI_SUCCESS)
        code = MPI_Comm_size(MPI_COMM_WORLD, &mpi->size);
    ctkd_status status = code == MPI_SUCCESS ? CTKD_OK : mpi_failed("MPI_Init_thread", code, err);
    mpi->concurrent = provided == MPI_THREAD_MULTIPLE;
    if (status == CTKD_OK)
        status = open_channels(mpi, err);
    describe_library(mpi->version, sizeof mpi->version);
    if (status == CTKD_OK)
        *out = mpi;
    else
        mpi_close(mpi, false);
    return status;
}

static size_t mpi_rank(const void *transport)
{
    return (size_t)((const struct mpi_transport *)transport)->rank;
}

static size_t mpi_size(const void *transport)
{
    return (size_t)((const struct mpi_transport *)transport)->size;
}

static const char *mpi_version(const void *transport)
{
    return ((const struct mpi_transport *)transport)->version;
}

static bool mpi_concurrent(const void *transport)
{
    return ((const struct mpi_transport *)transport)->concurrent;
}

/* Starts all messages. Empty ones are not sent, since both sides know that they are empty. */
static ctkd_status begin(const struct mpi_transport *mpi, enum ctkd__dist_channel channel,
                         const struct ctkd__parcel *out, const struct ctkd__parcel *in,
                         ctkd_error *err)
{
    MPI_Request *const requests = mpi->requests[channel];
    const MPI_Comm comm = mpi->channels[channel];
    for (int i = 0; i < 2 * mpi->size; i++)
        requests[i] = MPI_REQUEST_NULL;
    for (int step = 1; step < mpi->size; step++) { /* so that not all send to one rank at once */
        const int to = (mpi->rank + step) % mpi->size;
        const int from = (mpi->rank + mpi->size - step) % mpi->size;
        if (out[to].bytes > INT_MAX || in[from].bytes > INT_MAX)
            return ctkd__fail(
                err, CTKD_EUNSUPPORTED, "MPI: a message of %zu bytes, expected at most %d",
                out[to].bytes > in[from].bytes ? out[to].bytes : in[from].bytes, INT_MAX);
        int code = MPI_SUCCESS;
        if (in[from].bytes)
            code = MPI_Irecv(in[from].data, (int)in[from].bytes, MPI_BYTE, from, 0, comm,
                             &requests[from]);
        if (code == MPI_SUCCESS && out[to].bytes)
            code = MPI_Isend(out[to].data, (int)out[to].bytes, MPI_BYTE, to, 0, comm,
                             &requests[mpi->size + to]);
        if (code != MPI_SUCCESS)
            return mpi_failed("MPI_Isend", code, err);
    }
    return CTKD_OK;
}

static void rest(const struct patience *how, unsigned asked, double since)
{
    if (asked < how->spins)
        return;
    if (ctkd__clock_seconds() - since < how->yield_seconds)
        sched_yield();
    else
        nanosleep(&(struct timespec){ .tv_nsec = SLEEP_NS }, NULL);
}

/* Marks the ranks whose message has not arrived, or that have not received ours. */
static void find_late(const struct mpi_transport *mpi, MPI_Request *requests, bool *late)
{
    for (int i = 0; i < 2 * mpi->size; i++) {
        int done = 1;
        MPI_Test(&requests[i], &done, MPI_STATUS_IGNORE);
        late[i % mpi->size] = late[i % mpi->size] || !done;
    }
}

static ctkd_status mpi_exchange(void *transport, enum ctkd__dist_channel channel,
                                const struct ctkd__parcel *out, const struct ctkd__parcel *in,
                                double seconds, bool *late, ctkd_error *err)
{
    struct mpi_transport *const mpi = transport;
    MPI_Request *const requests = mpi->requests[channel];
    const double start = ctkd__clock_seconds();
    ctkd_status status = begin(mpi, channel, out, in, err);
    for (unsigned asked = 0; status == CTKD_OK; asked++) {
        int done = 0;
        const int code = MPI_Testall(2 * mpi->size, requests, &done, MPI_STATUSES_IGNORE);
        if (code != MPI_SUCCESS)
            return mpi_failed("MPI_Testall", code, err);
        if (done)
            return CTKD_OK;
        rest(&patience[channel], asked, start);
        if (seconds > 0 && ctkd__clock_seconds() - start > seconds) {
            find_late(mpi, requests, late);
            status = ctkd__fail(err, CTKD_EBACKEND, "MPI: a rank did not answer");
        }
    }
    return status;
}

static void mpi_abort(void *transport, int status)
{
    (void)transport;
    fflush(NULL);
    MPI_Abort(MPI_COMM_WORLD, status);
}

extern const struct ctkd__transport ctkd__transport_mpi;
__attribute__((visibility("default"))) const struct ctkd__transport ctkd__transport_mpi = {
    .name = "MPI",
    .made_for = CTKD_VERSION_STRING,
    .open = mpi_open,
    .rank = mpi_rank,
    .size = mpi_size,
    .version = mpi_version,
    .concurrent = mpi_concurrent,
    .exchange = mpi_exchange,
    .abort = mpi_abort,
    .close = mpi_close,
};
