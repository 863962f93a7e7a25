/* What every generated file begins with. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

/* One function an operator, each under its own name, so that a profile shows the layers of the model. */
#define OPERATOR static __attribute__((noinline))
#define INLINE static inline __attribute__((always_inline, unused))

/* One rounding for a multiply and an add, on every machine: sums come out alike wherever they are made. */
#define FMA_f32(a, b, c) __builtin_fmaf(a, b, c)
#define FMA_f64(a, b, c) __builtin_fma(a, b, c)

INLINE int64_t floordiv(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }
INLINE int64_t floormod(int64_t a, int64_t b) { return a - floordiv(a, b) * b; }
INLINE int64_t maximum(int64_t a, int64_t b) { return a > b ? a : b; }
INLINE int64_t minimum(int64_t a, int64_t b) { return a < b ? a : b; }

/* Where a profiler wants the times between the calls, in ns; NULL unless one looks. */
static int64_t *marks;
INLINE void mark(int call) {
    if (__builtin_expect(marks != NULL, 0)) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        marks[call] = now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
    }
}
