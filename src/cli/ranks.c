#include "cli/ranks.h"

#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "dist/launch.h"
#include "run/ranks.h"
#include "util/error.h"

/* How long a rank waits for lower ones to report a failure that they may have seen, too. */
enum { LOWER_SECONDS = 2 };

void ctkd__ranks_let_first_speak(void)
{
    if (ctkd__launch_count() > 1 && !ctkd__launch_first())
        sleep(LOWER_SECONDS);
}

bool ctkd__ranks_meet(bool always, struct ctkd__dist **out, int *status)
{
    ctkd_error err = { 0 };
    ctkd_status met = ctkd__launch_open(always, out, &err);
    if (ctkd__dist_rank(*out) > 0)
        ctkd__cli_mute();
    if (met == CTKD_OK)
        met = ctkd__ranks_place(*out, &err);
    if (met == CTKD_OK)
        return true;
    *status = ctkd__ranks_failed(*out, &err);
    return false;
}

int ctkd__ranks_failed(struct ctkd__dist *dist, const ctkd_error *err)
{
    if (!dist)
        return ctkd__cli_failed(err);
    if (ctkd__dist_failed_together(dist))
        return ctkd__dist_rank(dist) == 0 ? ctkd__cli_failed(err) : CTKD__EXIT_FAILED;
    ctkd_error named = *err;
    /* A signal of the launcher ends the wait: another rank has reported the failure. */
    if (ctkd__dist_rank(dist) > 0 && sleep(LOWER_SECONDS) > 0)
        _exit(CTKD__EXIT_FAILED);
    if (strncmp(named.message, "rank ", strlen("rank ")) != 0)
        ctkd__fail_within(&named, named.status, "%s", ctkd__dist_who(dist, ctkd__dist_rank(dist)));
    const int status = ctkd__cli_failed(&named);
    ctkd__dist_abort(dist, status);
    return status;
}

int ctkd__ranks_misused(struct ctkd__dist *dist, const struct ctkd__command *command,
                        const ctkd_error *err)
{
    return ctkd__dist_rank(dist) == 0 ? ctkd__cli_misused(command, err)
                                      : ctkd__cli_misuse_status(err);
}
