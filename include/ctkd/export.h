/** @file export.h  Marks the names that libctkd exports. */
#ifndef CTKD_EXPORT_H
#define CTKD_EXPORT_H

/** Precedes every public function; all other names are hidden. */
#if defined(__GNUC__)
#define CTKD_API __attribute__((visibility("default")))
#else
#define CTKD_API
#endif

#endif
