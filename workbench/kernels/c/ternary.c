/* One library: everything, for the instruction set that the compiler's flags name. See ternary.h. */
#define _GNU_SOURCE
#include "ternary.h"

#include "layout.h"
#include "round_avx512.h"
#include "quantize.h"
#include "activation.h"
#include "pool.h"
#include "scratch.h"

#if defined(TERN_GENERIC)
#include "isa_generic.h"
#elif defined(__AVX512VNNI__) && defined(__AVX512VBMI__) && defined(__AVX512BW__)
#include "isa_avx512.h"
#include "isa_avx512_rows.h"
#elif defined(__AVX2__)
#include "isa_avx2.h"
#elif defined(__ARM_FEATURE_SVE) && defined(TERN_SVE)
#include "isa_sve.h"
#elif defined(__ARM_FEATURE_DOTPROD)
#include "isa_neon.h"
#elif defined(__riscv_vector)
#include "isa_rvv.h"
#else
#include "isa_generic.h"
#endif

#include "linear.h"
#include "conv_shape.h"
#include "conv_input.h"
#include "conv_output.h"
#include "conv_gemm.h"
#include "conv_depthwise.h"
#include "conv_phases.h"
#include "conv_planes.h"
#include "conv_few.h"
#include "conv_one.h"
#include "conv_windows.h"
#include "conv_small.h"
#include "conv.h"

const char *tern_isa(void) { return TERN_ISA; }
int tern_abi(void) { return TERN_ABI; }
