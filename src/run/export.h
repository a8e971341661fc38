/*
 * Exports a trained network to a folder: the weights (model.safetensors), the network itself
 * (model.onnx), a description (config.json), the names of the classes if they are known
 * (labels.txt), and a model card (README.md) with its accuracy and how it was trained.
 *
 * config.json has the members that timm reads of a `local-dir:`. Its architecture is timm's where
 * timm has the network with the same names of parameters (torchvision's residual networks);
 * otherwise it is "", and timm refuses the folder.
 */
#ifndef CTKD_RUN_EXPORT_H
#define CTKD_RUN_EXPORT_H

#include <stdbool.h>

#include "ctkd/status.h"
#include "weights/match.h"

struct ctkd__export_options {
    bool plain;    /* model.onnx takes normalised images; else pixels from 0 to 1 */
    bool replaces; /* overwrites the files of an earlier export */
};

/* `run`: a run directory or a weights file. `note`: what was guessed about the weights; "":
   nothing. CTKD_EEXIST: the folder holds an export already; else the errors of reading weights and
   writing files. An export that fails removes what it has written, unless it replaced files. */
ctkd_status ctkd__export(const char *run, const char *folder,
                         const struct ctkd__export_options *options, char note[CTKD__NOTE_BYTES],
                         ctkd_error *err);

/* Whether timm has this network, with the same names of parameters. */
bool ctkd__export_timm_has(const char *network);

#endif
