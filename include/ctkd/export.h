/** @file export.h  Which names of libctkd its users see. */
#ifndef CTKD_EXPORT_H
#define CTKD_EXPORT_H

/** In front of every public function: the library hides all other names. */
#if defined(__GNUC__)
#define CTKD_API __attribute__((visibility("default")))
#else
#define CTKD_API
#endif

#endif
