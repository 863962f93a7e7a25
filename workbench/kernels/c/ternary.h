/* Ternary (1.58-bit) linear layers and convolutions on CPUs.
 *
 * A weight is t in {-1, 0, 1}; activations are int8, found at each call. Every function here is exact in
 * int32: one packed weight gives the same accumulators on every instruction set.
 *
 * Canonical codes (what the quantizer stores): uint8 [n][ceil(k/4)], four codes a byte, little end first,
 * code = t + 1. Packed layouts (what kernels read, see layout.h): TERN_T2, TERN_T5; TERN_S8 for convolutions
 * with few outputs a group.
 *
 * All functions return 0, or a TERN_E... code and then have written nothing. Pointers to packed data should be
 * aligned to 64 bytes; others may have any alignment that suits their type. Thread-safe.
 */
#ifndef TERNARY_H
#define TERNARY_H

#include <stddef.h>
#include <stdint.h>

#include "entry.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TERN_API __attribute__((visibility("default")))
#define TERN_ABI 1 /* grows when a signature or a packed layout changes */

enum tern_layout {
	TERN_T2 = 2, /* 2 bits a weight: 16 weights of a row in 4 bytes */
	TERN_T5 = 5, /* 1.6 bits a weight: 20 weights of a row in 4 bytes */
	TERN_S8 = 8, /* a signed byte a weight, for convolutions with few outputs a group */
};

enum tern_activation { TERN_NONE, TERN_RELU, TERN_GELU /* with erf */, TERN_SILU };

enum tern_error {
	TERN_OK,
	TERN_ESHAPE,  /* a size is negative, zero where it may not be, or does not divide */
	TERN_ECODE,   /* the code 3, which is no weight */
	TERN_ELAYOUT, /* no such layout, or not for this function */
	TERN_EMEMORY, /* out of memory */
};

/* n rows of k weights, with `groups` scales a row (k divides by it). `count` matrices of this shape lie one after
 * the other: 1 for a linear layer, the number of groups for a convolution. */
typedef struct tern_matrix {
	const uint8_t *data;
	int64_t n, k;
	int32_t groups, layout;
	int64_t count;
} tern_matrix;

/* A convolution over two dimensions; one dimension is height 1. Weight rows are ordered [channel][ky][kx], as torch
 * has them; tern_pack_conv() orders them as the kernels want. */
typedef struct tern_conv_shape {
	int64_t batch, channels, height, width, outputs, groups;
	int64_t kernel[2], stride[2], padding[2], dilation[2];
} tern_conv_shape;

/* Which instruction set this library was compiled for, such as "avx512-vnni". */
TERN_API const char *tern_isa(void);
TERN_API int tern_abi(void);

/* Bytes of one packed matrix times count; 0 for an impossible shape. */
TERN_API size_t tern_packed_bytes(const tern_matrix *shape);

/* codes [count * n][ceil(k/4)] -> out, tern_packed_bytes(shape) bytes. */
TERN_API int tern_pack(const tern_matrix *shape, const uint8_t *codes, uint8_t *out);

/* The way back: weights as signed bytes [count * n][k]. */
TERN_API int tern_unpack(const tern_matrix *w, int8_t *out);

/* The layout a convolution is packed in (T2 or S8), and the matrix shape that goes with it (data stays NULL). */
TERN_API int tern_conv_matrix(const tern_conv_shape *shape, tern_matrix *out);
TERN_API int tern_pack_conv(const tern_conv_shape *shape, const uint8_t *codes, uint8_t *out);

/* acc[m][n] = sum_k q[m][k] * t[n][k]. */
TERN_API int tern_accumulate(const tern_matrix *w, const int8_t *q, int32_t *acc, int64_t m, int threads);

/* y[m][n] = act(sum_g float(acc[m][n][g]) * (s[m] * w_scale[n][g]) + bias[n])
 * with s[m] = max|x[m]| / 127 (1 where that is 0) and q = rne(x / s). A row with NaN or Inf gives NaN. bias may be NULL. */
TERN_API int tern_linear(const tern_matrix *w, const float *w_scale, const float *bias, const float *x, float *y,
			 int64_t m, int activation, int threads);

/* x [batch][channels][height][width] -> y [batch][outputs][out height][out width]; one scale s a sample. */
TERN_API int tern_conv(const tern_matrix *w, const tern_conv_shape *shape, const float *w_scale, const float *bias,
		       const float *x, float *y, int activation, int threads);
TERN_API int tern_conv_output(const tern_conv_shape *shape, int64_t size[2]);

/* chunk(job, i) for every i in 0 .. chunks - 1, in any order, with so many threads; the caller is one of them. */
TERN_API void tern_run(void (*chunk)(const void *job, int64_t i), const void *job, int64_t chunks, int threads);

/* One row of activations to int8, as tern_linear does it; returns the scale. */
TERN_API float tern_quantize_row(const float *x, int64_t k, int8_t *q);

#ifdef __cplusplus
}
#endif
#endif
