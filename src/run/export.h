/*
 * A trained network handed over: a folder with the weights (model.safetensors), the network itself
 * (model.onnx), a description (config.json), names of classes (labels.txt, where they are known)
 * and a model card (README.md) with what it reached and how it came about.
 *
 * config.json has the members that timm reads of a `local-dir:`, with an architecture of timm's
 * where the network and the names of its parameters are timm's (torchvision's residual networks);
 * it is "" otherwise, and timm refuses the folder.
 */
#ifndef CTKD_RUN_EXPORT_H
#define CTKD_RUN_EXPORT_H

#include <stdbool.h>

#include "ctkd/status.h"
#include "weights/match.h"

struct ctkd__export_options {
    bool plain;    /* model.onnx takes normalised images; else pixels from 0 to 1 */
    bool replaces; /* files of an export that is there */
};

/* CTKD_EEXIST: the folder holds an export already; the errors of reading weights and writing files.
   `note` says what was guessed of the weights. */
ctkd_status ctkd__export(const char *run, const char *folder,
                         const struct ctkd__export_options *options, char note[CTKD__NOTE_BYTES],
                         ctkd_error *err);

/* Whether timm has this network, with the same names of parameters. */
bool ctkd__export_timm_has(const char *network);

#endif
