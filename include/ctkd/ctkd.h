/** @file ctkd.h  The whole API of libctkd: learnable temperature and distillation losses. */
#ifndef CTKD_H
#define CTKD_H

#include "ctkd/curriculum.h"
#include "ctkd/loss.h"
#include "ctkd/option.h"
#include "ctkd/plugin.h"
#include "ctkd/random.h"
#include "ctkd/status.h"
#include "ctkd/temperature.h"
#include "ctkd/version.h"

#endif
