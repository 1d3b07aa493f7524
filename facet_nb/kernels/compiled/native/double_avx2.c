/* Double precision, with AVX2 and fused multiply-add (x86-64 only). */
#if defined(__x86_64__)
#define REAL_IS_FLOAT 0
#define USE_AVX2 1
#include "kernels.h"
#endif
