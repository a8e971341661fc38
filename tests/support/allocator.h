/* A ctkd_allocator that counts, and fails at a chosen request. */
#ifndef CTKD_TESTS_ALLOCATOR_H
#define CTKD_TESTS_ALLOCATOR_H

#include "ctkd/temperature.h"

struct counting {
    size_t requests; /* so far */
    size_t fail_at;  /* 1 fails the first request; 0 never fails */
    size_t live;     /* blocks not yet released */
};

ctkd_allocator counting_allocator(struct counting *counting);

#endif
