/* All kernels, for one type of numbers and one instruction set; see vectors.h. */
#include "vectors.h"

#include "courses.h"
#include "differences.h"
#include "edges.h"
#include "epoch_samples.h"
#include "fractional_delay.h"
#include "lags.h"
#include "lms.h"
#include "median.h"
#include "multiplexed.h"
#include "overlap_save.h"
#include "shifted_templates.h"
#include "sos_rows.h"

#define JOIN_(a, b, c) a##_##b##_##c
#define JOIN(a, b, c) JOIN_(a, b, c)

/* The table ends with an empty entry. */
extern const kernel JOIN(kernels, CHAR, SUFFIX)[];
const kernel JOIN(kernels, CHAR, SUFFIX)[] = {
    {"overlap_save", "xnnn Xnnn nn xx XnXX xn", overlap_save},
    {"sos_rows", "xn Xn nnn ddnn Dn Dnn", sos_rows},
    {"median", "xnnn X Xn Xn", median},
    {"correct_blocks", "xqdqn xx nnnff X Xn D", correct_blocks},
    {"align_rows", "xqqn xx nnf XX", align_rows},
    {"subtract_shifted", "X xnn qd nxn X", subtract_shifted},
    {"delay_rows", "xqqn xn Xnn", delay_rows},
    {"add_rows", "XXn qqn xn", add_rows},
    {"cut_rows", "xqn xn f Xn", cut_rows},
    {"cut_differences", "dnqn xn Xn", cut_differences},
    {"subtract_lines", "dn qn dd X", subtract_lines},
    {"subtract_rows", "Dx qqq dd n", subtract_rows},
    {"predict_blocks", "xnn xxxx Xn qn XX XXXX", predict_blocks},
    {"take_rows", "snnn d n X", take_rows},
    {"put_rows", "xnnn x X", put_rows},
    {"average_rows", "dnnn Xn", average_rows},
    {"find_edges", "xnnnn X", find_edges},
#if !REAL_IS_FLOAT
    {"pick_differences", "dnn qn nn D", pick_differences},
    {"sos_between", "xn Xn nn dn DDD", sos_between},
    {"lms", "xxnnf XX", lms},
    {"find_lags", "dnqn dqnn DQ", find_lags},
    {"sum_rows", "dqqn dn ddn ddn ff Dn DD", sum_rows},
#endif
    {NULL, NULL, NULL},
};

#if USE_AVX2 && defined(__clang__)
#pragma clang attribute pop
#endif
