/* How Python calls a kernel. */
#ifndef FACET_NB_KERNEL_H
#define FACET_NB_KERNEL_H

#include <stddef.h>

typedef ptrdiff_t idx;

typedef union {
    void *array; /* first element, or NULL for None */
    idx n;
    double f;
} argument;

/* `kinds` has a letter for each argument: an array of the signal's type (x), of double (d), int64
 * (q) or int16 (s), a capital letter if the kernel writes to it; an integer (n) or a number (f). Spaces do not
 * count. */
typedef struct {
    const char *name, *kinds;
    void (*run)(const argument *);
} kernel;

enum { MOST_ARGUMENTS = 20 };

#endif
