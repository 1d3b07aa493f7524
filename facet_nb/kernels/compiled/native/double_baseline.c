/* Double precision, with instructions that every processor has. */
#define REAL_IS_FLOAT 0
#define USE_AVX2 0
#include "kernels.h"
