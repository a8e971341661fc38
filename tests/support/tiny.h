/* A data set that a small network learns in a few steps, and configurations and files that use it.
 */
#ifndef CTKD_TESTS_TINY_H
#define CTKD_TESTS_TINY_H

#include "train/session.h"

enum { TINY_CLASSES = 10, TINY_SIDE = 16 };

/* Writes the four files of MNIST's format into a folder: stripes whose number tells the class,
 * noise. */
void tiny_data_write(const char *folder, size_t n_train, size_t n_test);

/* data.set=mnist:FOLDER, resnet8, batches of 16, two threads; then `settings`, as on a command
   line. Destroyed by the caller. */
struct ctkd__config *tiny_config(const char *folder, const char *settings);
/* Before `settings` also few negatives and the like, for the time of runs. */
struct ctkd__config *tiny_small_config(const char *folder, const char *settings);

/* Opens a session of a configuration; a failure fails the test. Closed by the caller. */
struct ctkd__session *tiny_session(const struct ctkd__config *config, bool distil);

/* The network that info names, drawn from `seed`, with metadata that fit the data of
   tiny_data_write; none named: a
   resnet8, as tiny_network_info has it. */
void tiny_network_write(const char *file, uint64_t seed, const struct ctkd__network_info *info);
struct ctkd__network_info tiny_network_info(void);

#endif
