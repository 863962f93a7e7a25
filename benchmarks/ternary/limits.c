/* What no kernel can beat here: reading bytes, and multiplying bytes that are already in registers. */
#include <stdint.h>
#include <string.h>

#if defined(__AVX512VNNI__)
#include <immintrin.h>
__attribute__((visibility("default"))) void read_bytes(const char *p, int64_t n)
{
	__m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
	for (int64_t i = 0; i + 256 <= n; i += 256) {
		a = _mm512_or_si512(a, _mm512_loadu_si512(p + i));
		b = _mm512_or_si512(b, _mm512_loadu_si512(p + i + 64));
		c = _mm512_or_si512(c, _mm512_loadu_si512(p + i + 128));
		d = _mm512_or_si512(d, _mm512_loadu_si512(p + i + 192));
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
#else
__attribute__((visibility("default"))) void read_bytes(const char *p, int64_t n)
{
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
