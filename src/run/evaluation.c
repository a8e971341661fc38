#include "run/evaluation.h"

#include "report/metrics_write.h"
#include "train/teacher.h"
#include "util/error.h"
#include "util/file.h"
#include "util/names.h"

static ctkd_status write_evaluation(const struct ctkd__run *run,
                                    const struct ctkd__session *session,
                                    const struct ctkd__metrics *metrics, ctkd_error *err)
{
    char path[CTKD__RUN_PATH_BYTES];
    struct ctkd__new_file file;
    const struct ctkd__names *const names = session->info.class_names;
    ctkd__run_file_path(run->dir, CTKD__RUN_EVALUATION, path, sizeof path);
    ctkd_status status = ctkd__new_file_open(&file, path, err);
    if (status != CTKD_OK)
        return status;
    struct ctkd__jsonl json = { .stream = file.stream };
    ctkd__jsonl_begin(&json);
    ctkd__jsonl_string(&json, "network", session->info.network);
    ctkd__jsonl_string(&json, "dataset", session->info.dataset);
    ctkd__jsonl_integer(&json, "epoch", (int64_t)session->state.epoch - 1);
    ctkd__jsonl_number(&json, "top1", metrics->top1);
    ctkd__jsonl_integer(&json, "n", (int64_t)metrics->n);
    if (session->teacher)
        ctkd__jsonl_string(&json, "teacher", session->teacher->info.network);
    ctkd__metrics_json(metrics, names ? names->items : NULL, &json);
    status = ctkd__jsonl_end(&json, err);
    if (status == CTKD_OK)
        return ctkd__new_file_commit(&file, err);
    ctkd__new_file_abandon(&file);
    return ctkd__fail_within(err, status, "%s", path);
}

ctkd_status ctkd__run_evaluate(const struct ctkd__run *run, struct ctkd__session *session,
                               struct ctkd__predictions *student, ctkd_error *err)
{
    struct ctkd__predictions teacher = { 0 };
    struct ctkd__metrics metrics = { 0 };
    ctkd_status status = ctkd__session_predict(session, student, &teacher, err);
    if (status == CTKD_OK)
        status = ctkd__metrics(student->n, student->classes, student->logits, student->labels,
                               teacher.logits, &metrics, err);
    if (status == CTKD_OK && run)
        status = write_evaluation(run, session, &metrics, err);
    ctkd__metrics_free(&metrics);
    ctkd__predictions_free(&teacher);
    return status;
}
