/*
 * What is wrong or unusual with the files of an image folder: each is read and decoded in full. For
 * `ctkd doctor DATA`.
 */
#ifndef CTKD_DATA_SURVEY_H
#define CTKD_DATA_SURVEY_H

#include "data/folder/layout.h"
#include "util/sha256.h"

struct ctkd__surveyed {
    const char *name;  /* as data.exclude takes it; of the tree */
    const char *class; /* its folder's; kept until the process ends */
    bool test;         /* of the test images, else of the training images */
    char *fault;       /* why it cannot be read; NULL: it can, and the rest is known */
    bool damaged;      /* JPEG: decoded although codes are corrupt, as Pillow does */
    bool cmyk;         /* a JPEG of four inks */
    int orientation;   /* EXIF orientation, 1 to 8; 1 is upright */
    bool odd;          /* of an odd size, as below */
    size_t width, height;
    char sha256[CTKD__SHA256_DIGITS + 1]; /* of its bytes */
    size_t same;      /* the file that this one is a copy of; itself: none. Of copies in both parts
                         a test image is the original. */
    bool contradicts; /* copies of it are in another class */
};

struct ctkd__survey {
    struct ctkd__surveyed
        *files; /* training images, then test images, in the order of the layout */
    size_t count;
    size_t unreadable, damaged, cmyk, rotated, odd;
    size_t copies;       /* files that are a copy of another */
    size_t across_parts; /* training images among them whose original is a test image */
};

/* Called now and then from the caller's thread. */
typedef void (*ctkd__survey_progress)(void *context, size_t done, size_t total);

/*
 * A size is odd when one side is more than 3 times the other, or the shorter side is below a
 * quarter of the median shorter side, or the longer above 4 times the median longer one. Uses all
 * allowed CPUs. The tree and the layout must live as long as *out. pixels_max: larger images count
 * as unreadable. progress: may be NULL.
 */
ctkd_status ctkd__survey_make(const struct ctkd__tree *tree, const struct ctkd__layout *layout,
                              uint64_t pixels_max, ctkd__survey_progress progress, void *context,
                              struct ctkd__survey *out, ctkd_error *err);
void ctkd__survey_free(struct ctkd__survey *survey);

/* Whether a list for data.exclude names the file: unreadable files, copies, and all of a group of
   copies that contradict each other. */
bool ctkd__survey_excludes(const struct ctkd__surveyed *file, size_t index);

#endif
