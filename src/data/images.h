/* Memory and checks that every data set format shares. */
#ifndef CTKD_DATA_IMAGES_H
#define CTKD_DATA_IMAGES_H

#include "data/dataset.h"

/* Takes pixels and labels for the count and shape that `images` has; `place` begins the message. */
ctkd_status ctkd__images_alloc(const char *place, struct ctkd__images *images, ctkd_error *err);
void ctkd__images_free(struct ctkd__images *images);

/* Refuses a label outside 0..classes-1; `kind` ("label", "coarse label") and `record` are for the
 * message. */
ctkd_status ctkd__label_check(const char *place, size_t record, const char *kind, int64_t label,
                              size_t classes, ctkd_error *err);

#endif
