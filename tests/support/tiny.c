#include "support/tiny.h"

#include <stdio.h>
#include <stdlib.h>

#include "config/arguments.h"
#include "ctkd/random.h"
#include "nn/models/models.h"
#include "selftest/selftest.h"
#include "support/check.h"
#include "support/temp_files.h"

enum { PIXELS = TINY_SIDE * TINY_SIDE };

static void put_u32(uint8_t *out, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(value >> (24 - 8 * i));
}

static void write_part(const char *folder, const char *part, size_t n, uint64_t seed)
{
    uint8_t *images = calloc(16 + n * PIXELS, 1), *labels = calloc(8 + n, 1);
    assert_non_null(images);
    assert_non_null(labels);
    put_u32(images, 0x803);
    put_u32(images + 4, (uint32_t)n);
    put_u32(images + 8, TINY_SIDE);
    put_u32(images + 12, TINY_SIDE);
    put_u32(labels, 0x801);
    put_u32(labels + 4, (uint32_t)n);
    for (size_t i = 0; i < n; i++) {
        const size_t label = i % TINY_CLASSES;
        labels[8 + i] = (uint8_t)label;
        for (size_t p = 0; p < PIXELS; p++) {
            const size_t stripe = p / TINY_SIDE * (label + 1) / TINY_SIDE % 2;
            const uint32_t noise = ctkd_random_below(seed, CTKD_RANDOM_TEST, i, p, 40);
            images[16 + i * PIXELS + p] = (uint8_t)(20 + 20 * label * stripe + noise);
        }
    }
    char name[64];
    snprintf(name, sizeof name, "%s-images-idx3-ubyte", part);
    temp_write(folder, name, images, 16 + n * PIXELS);
    snprintf(name, sizeof name, "%s-labels-idx1-ubyte", part);
    temp_write(folder, name, labels, 8 + n);
    free(images);
    free(labels);
}

void tiny_data_write(const char *folder, size_t n_train, size_t n_test)
{
    write_part(folder, "train", n_train, 1);
    write_part(folder, "t10k", n_test, 2);
}

static struct ctkd__config *configure(const char *folder, const char *settings, bool small)
{
    char line[4096], *argv[64], *save = NULL;
    int argc = 0;
    ctkd_error err = { 0 };
    struct ctkd__config *config;
    check_ok(ctkd__config_create(&config, &err), &err);
    snprintf(line, sizeof line,
             "data.set=mnist:%s student.network=resnet8 train.batch=16 train.threads=2 "
             "schedule.kind=constant run.name=tiny %s",
             folder, settings);
    for (char *word = strtok_r(line, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        assert_true(argc < 64);
        argv[argc++] = word;
    }
    if (small)
        check_ok(ctkd__selftest_make_small(config, &err), &err);
    check_ok(ctkd__arguments_apply(argc, argv, config, &err), &err);
    return config;
}

struct ctkd__config *tiny_config(const char *folder, const char *settings)
{
    return configure(folder, settings, false);
}

struct ctkd__config *tiny_small_config(const char *folder, const char *settings)
{
    return configure(folder, settings, true);
}

struct ctkd__session *tiny_session(const struct ctkd__config *config, bool distil)
{
    struct ctkd__session *session;
    ctkd_error err = { 0 };
    check_ok(ctkd__session_open(config, distil, NULL, &session, &err), &err);
    return session;
}

struct ctkd__network_info tiny_network_info(void)
{
    return (struct ctkd__network_info){ .network = "resnet8",
                                        .dataset = "mnist",
                                        .classes = TINY_CLASSES,
                                        .channels = 1,
                                        .height = TINY_SIDE,
                                        .width = TINY_SIDE,
                                        .has_normalisation = true,
                                        .mean = { 0.1307f },
                                        .std = { 0.3081f } };
}

void tiny_network_write(const char *file, uint64_t seed, const struct ctkd__network_info *info)
{
    const struct ctkd__model_args args = { info->channels, info->height, info->width,
                                           info->classes };
    struct ctkd__graph *graph;
    struct ctkd__weights *weights;
    ctkd_error err = { 0 };
    check_ok(ctkd__model_build(info->network[0] ? info->network : "resnet8", &args, &graph, &err),
             &err);
    check_ok(ctkd__weights_create(graph, 8, &weights, &err), &err);
    ctkd__weights_initialise(weights, seed);
    check_ok(ctkd__network_file_write(file, weights, info, &err), &err);
    ctkd__weights_destroy(weights);
    ctkd__graph_destroy(graph);
}
