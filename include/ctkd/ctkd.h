/** @file ctkd.h  Everything of libctkd: learnable temperature and distillation losses. */
#ifndef CTKD_H
#define CTKD_H

#define CTKD_VERSION_MAJOR 0
#define CTKD_VERSION_MINOR 1
#define CTKD_VERSION_PATCH 0
#define CTKD_VERSION_STRING "0.1.0"

#include "ctkd/curriculum.h"
#include "ctkd/loss.h"
#include "ctkd/option.h"
#include "ctkd/plugin.h"
#include "ctkd/random.h"
#include "ctkd/status.h"
#include "ctkd/temperature.h"

#endif
