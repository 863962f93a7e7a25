/* Kernels of the workbench inside a TVM module: Relax calls them by name, as it calls packed functions.
 *
 * Every function takes tensors, the last of which is the result. Whether a call is an object or a plain
 * DLTensor depends on who calls (the virtual machine or generated C); both are read.
 *
 *   mlops_linear_f32      x [..., K], panels [N / 16, K, 16], bias [N]?          -> y [..., N]
 *   mlops_matmul_f32      a [..., M, K], b [..., K, N], the same leading sizes   -> y [..., M, N]
 *   mlops_convolution_f32 x, weight, bias?, settings [19]                        -> y
 *   mlops_attention_f32   q, k, v, mask?, scale [1], settings [5]                -> y [batch, heads, queries, width]
 *   mlops_layer_norm_f32  x [..., N], weight [N], bias [N], epsilon [1]          -> y
 *   mlops_softmax_f32     x [..., N]                                             -> y
 *   mlops_gelu_f32        x, settings [1]                                        -> y
 *   mlops_linear_ternary  x [..., K], packed, scale [N, G], settings [4], bias?  -> y [..., N]
 *   mlops_conv_ternary    x, packed, scale [O], settings [17], bias?             -> y
 *   mlops_linear_dynamic  x [..., K], w_q [N, K], scale [N], sums [N], bias?     -> y [..., N]
 *   mlops_linear_static   x, w_q, scale, sums, step [1], zero point [1], bias?   -> y [..., N] */
#include <stdlib.h>

#include <dlpack/dlpack.h>
#include <tvm/ffi/c_api.h>

#include "ternary.h"

static int threads = 1;
#define mlops_threads threads

#include "base.h"
#include "threads.h"
#include "math.h"
#include "rows.h"
#include "gemm.h"
#include "convolution.h"
#include "integer.h"
#include "attention.h"
#undef mlops_threads

#define ENTRY(name)                                                                             \
    __attribute__((visibility("default"))) int __tvm_ffi_##name(void *self, const TVMFFIAny *a, \
                                                                int32_t n, TVMFFIAny *result)

INLINE const DLTensor *tensor(const TVMFFIAny *a) {
    return a->type_index == kTVMFFIDLTensorPtr ? a->v_ptr
                                               : (const DLTensor *)((const char *)a->v_obj + sizeof(TVMFFIObject));
}

INLINE void *data(const TVMFFIAny *a) {
    const DLTensor *t = tensor(a);
    return (char *)t->data + t->byte_offset;
}

INLINE int64_t size(const TVMFFIAny *a, int axis) {
    const DLTensor *t = tensor(a);
    return t->shape[axis < 0 ? t->ndim + axis : axis];
}

/* The product of all sizes but the last `without`. */
INLINE int64_t leading(const TVMFFIAny *a, int without) {
    int64_t product = 1;
    for (int axis = 0; axis < tensor(a)->ndim - without; ++axis) product *= tensor(a)->shape[axis];
    return product;
}

static int finish(TVMFFIAny *result, int failed) {
    result->type_index = kTVMFFINone;
    result->zero_padding = 0;
    result->v_int64 = 0;
    if (failed) TVMFFIErrorSetRaisedFromCStr("RuntimeError", "a kernel of the workbench refused its arguments");
    return failed ? -1 : 0;
}

ENTRY(mlops_threads) {
    (void)self, (void)n;
    threads = a[0].v_int64 < 1 ? 1 : (int)a[0].v_int64;
    return finish(result, 0);
}

ENTRY(mlops_linear_f32) {
    (void)self;
    const TVMFFIAny *y = a + n - 1;
    const int64_t depth = size(a, -1), columns = size(y, -1);
    const float *bias = n > 3 ? data(a + 2) : 0;
    product_f32(leading(a, 1), columns, depth, data(a), depth, data(a + 1), PANEL, depth * PANEL, data(y), columns,
             bias, 0, 1);
    return finish(result, 0);
}

ENTRY(mlops_matmul_f32) {
    (void)self, (void)n;
    const int64_t rows = size(a, -2), depth = size(a, -1), columns = size(a + 1, -1);
    const float *left = data(a), *right = data(a + 1);
    float *y = data(a + 2);
    for (int64_t i = leading(a, 2); i > 0; --i, left += rows * depth, right += depth * columns, y += rows * columns)
        product_f32(rows, columns, depth, left, depth, right, columns, PANEL, y, columns, 0, 0, 0);
    return finish(result, 0);
}

ENTRY(mlops_convolution_f32) {
    (void)self;
    const TVMFFIAny *y = a + n - 1;
    const int64_t *s = data(a + n - 2);
    const float *bias = n > 4 ? data(a + 2) : 0;
    const struct convolution t = {
        .batch = size(a, 0), .groups = s[0], .in = s[1], .out = s[2],
        .height = s[3] == 2 ? size(a, 2) : 1, .width = size(a, -1),
        .rows = s[3] == 2 ? size(y, 2) : 1, .columns = size(y, -1),
        .kernel = {s[4], s[5]}, .stride = {s[6], s[7]}, .padding = {s[8], s[9]}, .dilation = {s[10], s[11]},
    };
    if (t.in == 1 && t.groups > 1) {
        depthwise_f32(&t, data(a), data(a + 1), bias, data(y));
        return finish(result, 0);
    }
    float *patch = malloc((size_t)(t.in * t.kernel[0] * t.kernel[1] * t.rows * t.columns + 16) * sizeof *patch);
    if (patch) convolution_f32(&t, data(a), data(a + 1), bias, patch, data(y));
    free(patch);
    return finish(result, !patch);
}

/* Strides of batch, heads and length of [batch, heads, length, width], or of it with heads and length swapped. */
INLINE void head_strides(const TVMFFIAny *a, int64_t swapped, int64_t *to) {
    to[0] = size(a, 1) * size(a, 2) * size(a, 3);
    to[1] = swapped ? size(a, 3) : size(a, 2) * size(a, 3);
    to[2] = swapped ? size(a, 2) * size(a, 3) : size(a, 3);
}

/* Strides of a mask over batch, heads, queries and keys: 0 where it is repeated. */
INLINE void mask_strides(const TVMFFIAny *a, int64_t *to) {
    int64_t step = 1;
    for (int axis = 3, own = tensor(a)->ndim - 1; axis >= 0; --axis, --own) {
        const int64_t length = own < 0 ? 1 : size(a, own);
        to[axis] = length == 1 ? 0 : step;
        step *= length;
    }
}

ENTRY(mlops_attention_f32) {
    (void)self;
    const TVMFFIAny *y = a + n - 1, *mask = a + 3;
    const int64_t *s = data(a + n - 2);
    struct attention t = {
        .batch = size(y, 0), .heads = size(y, 1), .queries = size(y, 2), .value_width = size(y, 3),
        .keys = size(a + 1, s[1] ? 1 : 2), .width = size(a, 3), .group = size(y, 1) / size(a + 1, s[1] ? 2 : 1),
        .scale = *(const float *)data(a + n - 3), .causal = (int)s[3],
    };
    head_strides(a, s[0], t.q);
    head_strides(a + 1, s[1], t.k);
    head_strides(a + 2, s[2], t.v);
    if (s[4]) mask_strides(mask, t.m);
    const int is_float = s[4] && tensor(mask)->dtype.code == kDLFloat;
    float *work = malloc((size_t)((t.width + TILE) * (t.keys + PANEL)) * sizeof *work);
    if (work)
        attention_f32(&t, data(a), data(a + 1), data(a + 2), is_float ? data(mask) : 0,
                      s[4] && !is_float ? data(mask) : 0, work, data(y));
    free(work);
    return finish(result, !work);
}

ENTRY(mlops_layer_norm_f32) {
    (void)self, (void)n;
    layer_norm_f32(data(a), data(a + 1), data(a + 2), data(a + 4), leading(a, 1), size(a, -1),
                   *(const float *)data(a + 3));
    return finish(result, 0);
}

ENTRY(mlops_softmax_f32) {
    (void)self, (void)n;
    softmax_f32(data(a), data(a + 1), leading(a, 1), size(a, -1));
    return finish(result, 0);
}

ENTRY(mlops_gelu_f32) {
    (void)self, (void)n;
    const float *x = data(a);
    float *y = data(a + 2);
    const int64_t count = leading(a, 0);
    if (*(const int64_t *)data(a + 1))
        for (int64_t i = 0; i < count; ++i) y[i] = gelu_tanh_f32(x[i]);
    else
        for (int64_t i = 0; i < count; ++i) y[i] = gelu_f32(x[i]);
    return finish(result, 0);
}

ENTRY(mlops_linear_ternary) {
    (void)self;
    const int64_t *s = data(a + 3);
    const tern_matrix matrix = {data(a + 1), s[0], s[1], (int32_t)s[2], (int32_t)s[3], 1};
    const float *bias = n > 5 ? data(a + 4) : 0;
    return finish(result, tern_linear(&matrix, data(a + 2), bias, data(a), data(a + n - 1), leading(a, 1),
                                      TERN_NONE, threads));
}

ENTRY(mlops_conv_ternary) {
    (void)self;
    const int64_t *s = data(a + 3);
    const float *bias = n > 5 ? data(a + 4) : 0;
    const tern_matrix matrix = {data(a + 1), s[0], s[1], (int32_t)s[2], (int32_t)s[3], s[4]};
    const tern_conv_shape shape = {
        .batch = size(a, 0), .channels = size(a, 1),
        .height = s[5] == 2 ? size(a, 2) : 1, .width = size(a, -1), .outputs = s[0] * s[4], .groups = s[6],
        .kernel = {s[7], s[8]}, .stride = {s[9], s[10]}, .padding = {s[11], s[12]}, .dilation = {s[13], s[14]},
    };
    return finish(result, tern_conv(&matrix, &shape, data(a + 2), bias, data(a), data(a + n - 1), TERN_NONE, threads));
}

ENTRY(mlops_linear_dynamic) {
    (void)self;
    const TVMFFIAny *y = a + n - 1;
    const int64_t depth = size(a, -1), columns = size(y, -1);
    uint8_t *q = malloc((size_t)depth + 64);
    if (q)
        linear_dynamic(leading(a, 1), columns, depth, data(a), depth, data(a + 1), data(a + 2), data(a + 3),
                       n > 5 ? data(a + 4) : 0, q, data(y));
    free(q);
    return finish(result, !q);
}

ENTRY(mlops_linear_static) {
    (void)self;
    const TVMFFIAny *y = a + n - 1;
    const int64_t depth = size(a, -1), columns = size(y, -1);
    uint8_t *q = malloc((size_t)depth + 64);
    if (q)
        linear_static(leading(a, 1), columns, depth, data(a), depth, data(a + 1), data(a + 2), data(a + 3),
                      n > 7 ? data(a + 6) : 0, *(const float *)data(a + 4), *(const int32_t *)data(a + 5), q, data(y));
    free(q);
    return finish(result, !q);
}
