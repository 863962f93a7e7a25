/* What no kernel can beat here: reading bytes, and multiplying bytes that are already in registers. */
#include <stdint.h>
#include <string.h>

/* tern_linear() so many times, as a compiled model calls it: without Python in between. */
typedef int linear_call(const void *, const float *, const float *, const float *, float *, int64_t, int, int);
__attribute__((visibility("default"))) void repeat_linear(linear_call *call, const void *w, const float *w_scale, const float *bias,
							  const float *x, float *y, int64_t m, int activation, int threads,
							  int64_t times)
{
	while (times--)
		call(w, w_scale, bias, x, y, m, activation, threads);
}

#if defined(__AVX512VNNI__)
#include <immintrin.h>
#define READ(p) \
	a = _mm512_or_si512(a, _mm512_loadu_si512(p)); \
	b = _mm512_or_si512(b, _mm512_loadu_si512((p) + 64)); \
	c = _mm512_or_si512(c, _mm512_loadu_si512((p) + 128)); \
	d = _mm512_or_si512(d, _mm512_loadu_si512((p) + 192));
#define AHEAD(p, step) \
	for (int line = 0; line < 256; line += step) \
		_mm_prefetch((p) + line, _MM_HINT_T1);
/* The ways there are, of which another is the fastest from each place and on each processor: one piece after the other; one line
 * of two asked for ahead; every line, further ahead; two halves side by side. */
#define WAYS 4
__attribute__((visibility("default"))) void read_bytes(const char *p, int64_t n, int way)
{
	__m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
	const char *const end = p + n / 512 * 512, *const half = p + n / 512 * 256;
	const int64_t behind = half - p;
	if (way == 3)
		for (; p < half; p += 256) {
			READ(p)
			READ(p + behind)
		}
	else if (way == 2)
		for (; p < end; p += 256) {
			READ(p)
			AHEAD(p + 8192, 64)
		}
	else if (way == 1)
		for (; p < end; p += 256) {
			READ(p)
			AHEAD(p + 4096, 128)
		}
	else
		for (; p < end; p += 256) {
			READ(p)
		}
	a = _mm512_or_si512(_mm512_or_si512(a, b), _mm512_or_si512(c, d));
	__asm__ volatile("" : : "v"(a));
}
__attribute__((visibility("default"))) int64_t multiply_adds(int64_t rounds) /* returns how many it did */
{
	/* Registers by name: an array of sums would travel through memory, which takes as long again. */
#define STEP(n) "vpdpbusd %%zmm13, %%zmm12, %%zmm" #n "\n\t"
	for (int64_t r = 0; r < rounds; r++)
		__asm__ volatile(STEP(0) STEP(1) STEP(2) STEP(3) STEP(4) STEP(5) STEP(6) STEP(7) STEP(8) STEP(9) STEP(10)
					 STEP(11)
				 :
				 :
				 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
				   "xmm11");
	return rounds * 12 * 64;
}

/* What a kernel for one row does with 4 tiles of 64 bytes, without reading them: return the bytes so decoded and multiplied.
 * zmm0-15 sums, 16 packed bytes, 17-22 masks or tables, 23-26 activations, 27-31 in between. */
#define SUMS "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", \
	     "xmm13", "xmm14", "xmm15", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31"
#define FIELD2(mask, a, between, sum) \
	"vpandd %%zmm" #mask ", %%zmm16, %%zmm" #between "\n\tvpdpbusd %%zmm" #a ", %%zmm" #between ", %%zmm" #sum "\n\t"
#define TILE2(a, b, c, d) FIELD2(17, 23, 27, a) FIELD2(18, 24, 28, b) FIELD2(19, 25, 29, c) FIELD2(20, 26, 30, d)
__attribute__((visibility("default"))) int64_t decode_t2(int64_t rounds)
{
	for (int64_t r = 0; r < rounds; r++)
		__asm__ volatile(TILE2(0, 1, 2, 3) TILE2(4, 5, 6, 7) TILE2(8, 9, 10, 11) TILE2(12, 13, 14, 15) : : : SUMS);
	return rounds * 256;
}
#define LOOK5(table, index, out) "vpermb %%zmm" #table ", %%zmm" #index ", %%zmm" #out "\n\t"
#define SUM5(digit, a, sum) "vpdpbusd %%zmm" #a ", %%zmm" #digit ", %%zmm" #sum "\n\t"
#define TILE5(a, b, c) \
	"vpsrlw $2, %%zmm16, %%zmm27\n\t" LOOK5(22, 27, 28) "vpsubb %%zmm28, %%zmm16, %%zmm29\n\t" LOOK5(17, 27, 27) \
	LOOK5(18, 29, 30) LOOK5(19, 29, 31) LOOK5(20, 29, 29) "vpandd %%zmm21, %%zmm28, %%zmm28\n\t" \
	SUM5(27, 23, a) SUM5(28, 24, b) SUM5(30, 25, c) SUM5(31, 26, a) SUM5(29, 23, c)
__attribute__((visibility("default"))) int64_t decode_t5(int64_t rounds)
{
	for (int64_t r = 0; r < rounds; r++)
		__asm__ volatile(TILE5(0, 1, 2) TILE5(3, 4, 5) TILE5(6, 7, 8) TILE5(9, 10, 11) : : : SUMS);
	return rounds * 256;
}
#else
#define WAYS 1
__attribute__((visibility("default"))) int64_t decode_t2(int64_t rounds) { return 0 * rounds; }
__attribute__((visibility("default"))) int64_t decode_t5(int64_t rounds) { return 0 * rounds; }
__attribute__((visibility("default"))) void read_bytes(const char *p, int64_t n, int way)
{
	(void)way;
	uint64_t sum[8] = { 0 };
	for (int64_t i = 0; i + 64 <= n; i += 64)
		for (int j = 0; j < 8; j++) {
			uint64_t word;
			memcpy(&word, p + i + 8 * j, 8);
			sum[j] |= word;
		}
	__asm__ volatile("" : : "r"(sum) : "memory");
}
__attribute__((visibility("default"))) int64_t multiply_adds(int64_t rounds)
{
	return 0 * rounds; /* no such instruction */
}
#endif
__attribute__((visibility("default"))) int ways_to_read(void) { return WAYS; }
