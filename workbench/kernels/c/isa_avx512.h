/* AVX-512 with VNNI (vpdpbusd: 64 products a step) and VBMI (vpermb: a table of 64 bytes, for T5).
 *
 * One row: T2 masks fields where they are and sums each in its own accumulator, whose scale 1, 4, 16, 64 is divided
 * away once at the end: 4 `and` + 4 `vpdpbusd` for 256 products. T5: 1 shift, 5 vpermb, 1 sub, 1 `and`, 5 vpdpbusd for 320.
 * Several rows: see isa_avx512_rows.h.
 */
#define TERN_ISA "avx512-vnni"
enum { ROWS = 12, AHEAD = 2048 /* bytes fetched before they are used; 8192 cost 5 to 18 % from memory */ };
enum { AHEAD_NEAR = 3072, AHEAD_FAR = 8192, WINDOW = 1 << 15 /* the same for Intel's processors */ };

/* Whose processor this is, which what is fastest depends on: never results. Tests compile either. */
#ifndef TERN_INTEL
#define TERN_INTEL __builtin_cpu_is("intel")
#endif
INLINE int on_intel(void) { return TERN_INTEL; }

#define BROADCAST(p) _mm512_set1_epi32(*(const int32_t_any *)(p))
typedef int32_t __attribute__((aligned(1), may_alias)) int32_t_any;

/* For byte >> 2: 28 g, g % 3, g / 3 with g = byte / 28; for the rest r: its three digits. vpermb ignores the upper two
 * bits of an index, so a shift of 16-bit halves is as good as one of bytes. */
#define G(h) ((h) / 7)
#define R(r) ((r) < 27 ? (r) : 26)
#define TABLE_OF(name, expression) \
	static const uint8_t name[64] __attribute__((aligned(64))) = { \
		ROW8(expression, 0), ROW8(expression, 8), ROW8(expression, 16), ROW8(expression, 24), \
		ROW8(expression, 32), ROW8(expression, 40), ROW8(expression, 48), ROW8(expression, 56) }
#define ROW8(e, i) e((i)), e((i) + 1), e((i) + 2), e((i) + 3), e((i) + 4), e((i) + 5), e((i) + 6), e((i) + 7)
#define TIMES28(h) (uint8_t)(28 * G(h))
#define DIGIT3(h) G(h) % 3
#define DIGIT4(h) G(h) / 3 % 3
#define DIGIT0(r) R(r) % 3
#define DIGIT1(r) R(r) / 3 % 3
#define DIGIT2(r) R(r) / 9
TABLE_OF(times28, TIMES28);
TABLE_OF(digit0, DIGIT0);
TABLE_OF(digit1, DIGIT1);
TABLE_OF(digit2, DIGIT2);
TABLE_OF(digit3, DIGIT3);
#define TIMES28_DIGIT4(h) (uint8_t)((28 * G(h) & 63) | DIGIT4(h) << 6)
TABLE_OF(digit4, DIGIT4);
TABLE_OF(times28_digit4, TIMES28_DIGIT4);
#define LOOK(index, table) _mm512_permutexvar_epi8(index, _mm512_load_si512(table))

INLINE void store(int32_t *out, __m512i sum, int add)
{
	_mm512_storeu_si512(out, add ? _mm512_add_epi32(sum, _mm512_loadu_si512(out)) : sum);
}

/* What becomes of a tile's sums. They are scaled where they are, for one that a store has just left takes long to load. */
INLINE void end_row(__m512i sum, int32_t *out, int add, const scaling *f, const int lane)
{
	if (!f) {
		store(out + lane, sum, add);
		return;
	}
	const __m512 scale = _mm512_mul_ps(_mm512_set1_ps(f->s), _mm512_loadu_ps(f->w_scale + lane));
	const __m512 exact = _mm512_cvtepi32_ps(_mm512_sub_epi32(sum, _mm512_set1_epi32(f->offset)));
	_mm512_storeu_ps(f->y + lane, _mm512_mul_ps(exact, scale));
}

/* sum += u . a, as an instruction of its own: gcc 12 copies and spills the many sums of a loop around the intrinsic. */
#define DOT(sum, u, a) __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(u), "v"(a))
/* Four of them in one go, each field with its activations: fields and products in turn would share pipes, and cost 6 %. */
#define DOT4(s0, s1, s2, s3, u0, u1, u2, u3) \
	__asm__("vpdpbusd %8, %4, %0\n\tvpdpbusd %9, %5, %1\n\tvpdpbusd %10, %6, %2\n\tvpdpbusd %11, %7, %3" \
		: "+v"(s0), "+v"(s1), "+v"(s2), "+v"(s3) \
		: "v"(u0), "v"(u1), "v"(u2), "v"(u3), "v"(a0), "v"(a1), "v"(a2), "v"(a3))
/* One load for several uses; as an operand of each, gcc would read memory again. */
#define IN_REGISTER(v) __asm__("" : "+v"(v))
/* AMD: one line of two, into the second cache only; the processor itself fetches the others, and what does so from memory is
 * up to a fifth slower if every line is asked for. Intel: every line, early into the second cache, late into the first, and
 * early at two places at once: the halves of the next window, half as fast as the kernel passes this one. In turns with one
 * place 1.05 to 1.2 times as fast from memory, 1.03 to 1.1 from the third cache. */
#define FETCH(kind, p) __asm__ volatile("prefetch" #kind " %0" : : "m"(*(p)))
#define FETCH_LINES(p, t) \
	if (intel) { \
		FETCH(t0, (p) + t * TILE_BYTES + AHEAD_NEAR); \
		if (tiles == TILES) \
			FETCH(t1, far_from(p) + t / 2 * (WINDOW / 2) + t % 2 * TILE_BYTES); \
	} else if (t % 2 == 0) \
		FETCH(t1, (p) + t * TILE_BYTES + AHEAD)
INLINE const uint8_t *far_from(const uint8_t *p) { return p - (uintptr_t)p % WINDOW / 2 + WINDOW; }
#define EACH_TILE(X) \
	X(0) \
	if (tiles > 1) \
		X(1) \
	if (tiles > 2) \
		X(2) \
	if (tiles > 3) \
		X(3)

INLINE void one_row_t2(const int intel, const uint8_t *w, const int tiles, const int8_t *a, int64_t blocks, int32_t *out,
		       int add, const scaling *f)
{
	const __m512i m0 = _mm512_set1_epi8(0x03), m1 = _mm512_set1_epi8(0x0c), m2 = _mm512_set1_epi8(0x30),
		      m3 = _mm512_set1_epi8((char)0xc0), zero = _mm512_setzero_si512();
#define SUMS(t) __m512i s0_##t = zero, s1_##t = zero, s2_##t = zero, s3_##t = zero;
	SUMS(0) SUMS(1) SUMS(2) SUMS(3)
#undef SUMS
	for (int64_t b = 0; b < blocks; b++, w += tiles * TILE_BYTES, a += 16) {
		const __m512i a0 = BROADCAST(a), a1 = BROADCAST(a + 4), a2 = BROADCAST(a + 8), a3 = BROADCAST(a + 12);
#define STEP(t) \
	{ \
		__m512i v = _mm512_loadu_si512(w + t * TILE_BYTES); \
		IN_REGISTER(v); \
		DOT4(s0_##t, s1_##t, s2_##t, s3_##t, _mm512_and_si512(v, m0), _mm512_and_si512(v, m1), \
		     _mm512_and_si512(v, m2), _mm512_and_si512(v, m3)); \
		FETCH_LINES(w, t); \
	}
		EACH_TILE(STEP)
#undef STEP
	}
#define END(t) \
	{ \
		const __m512i low = _mm512_add_epi32(s0_##t, _mm512_srai_epi32(s1_##t, 2)); \
		const __m512i high = _mm512_add_epi32(_mm512_srai_epi32(s2_##t, 4), _mm512_srai_epi32(s3_##t, 6)); \
		end_row(_mm512_add_epi32(low, high), out, add, f, t * LANES); \
	}
	EACH_TILE(END)
#undef END
}

/* `group` is what byte >> 2 tells: in the lower six bits 28 (t3 + 3 t4), in the upper two t4 itself, whose sum is divided by 64
 * at the end. vpermb takes the lower six bits of the difference, those of the rest. Lookups first, then products: in turn
 * they would share pipes. */
INLINE void one_row_t5(const int intel, const uint8_t *w, const int tiles, const int8_t *a, int64_t blocks, int32_t *out,
		       int add, const scaling *f)
{
	const __m512i group = _mm512_load_si512(times28_digit4), d0 = _mm512_load_si512(digit0), d1 = _mm512_load_si512(digit1),
		      d2 = _mm512_load_si512(digit2), d3 = _mm512_load_si512(digit3), m4 = _mm512_set1_epi8((char)0xc0),
		      zero = _mm512_setzero_si512();
#define SUMS(t) __m512i s0_##t = zero, s1_##t = zero, s4_##t = zero;
	SUMS(0) SUMS(1) SUMS(2) SUMS(3)
#undef SUMS
	for (int64_t b = 0; b < blocks; b++, w += tiles * TILE_BYTES, a += 20) {
		const __m512i a0 = BROADCAST(a), a1 = BROADCAST(a + 4), a2 = BROADCAST(a + 8), a3 = BROADCAST(a + 12),
			      a4 = BROADCAST(a + 16);
#define STEP(t) \
	{ \
		__m512i v = _mm512_loadu_si512(w + t * TILE_BYTES); \
		IN_REGISTER(v); \
		FETCH_LINES(w, t); \
		const __m512i h = _mm512_srli_epi16(v, 2), g = _mm512_permutexvar_epi8(h, group), r = _mm512_sub_epi8(v, g); \
		const __m512i u0 = _mm512_permutexvar_epi8(r, d0), u1 = _mm512_permutexvar_epi8(r, d1); \
		const __m512i u2 = _mm512_permutexvar_epi8(r, d2), u3 = _mm512_permutexvar_epi8(h, d3); \
		DOT(s1_##t, u3, a3); \
		DOT(s4_##t, _mm512_and_si512(g, m4), a4); \
		DOT(s0_##t, u0, a0); \
		DOT(s1_##t, u1, a1); \
		DOT(s0_##t, u2, a2); \
	}
		EACH_TILE(STEP)
#undef STEP
	}
#define END(t) \
	end_row(_mm512_add_epi32(_mm512_add_epi32(s0_##t, s1_##t), _mm512_srai_epi32(s4_##t, 6)), out, add, f, t * LANES);
	EACH_TILE(END)
#undef END
}

#define CASE(kernel, t) \
	case t: \
		on_intel() ? kernel(1, w, t, a, blocks, out, add, NULL) : kernel(0, w, t, a, blocks, out, add, NULL); \
		break;
#define SUMS_ONE_ROW(layout, kernel) \
	static void sums_one_row_##layout(const uint8_t *w, int tiles, const int8_t *a, int64_t blocks, int32_t *out, int add) \
	{ \
		switch (tiles) { \
			CASE(kernel, 1) CASE(kernel, 2) CASE(kernel, 3) CASE(kernel, 4) \
		} \
	}
SUMS_ONE_ROW(TERN_T2, one_row_t2)
SUMS_ONE_ROW(TERN_T5, one_row_t5)
#undef CASE

#define SCALED_ROW
/* A whole panel. Functions of their own: in a loop over panels gcc would copy sums about. */
#define ONE_ROW(layout, kernel, maker, intel) \
	static __attribute__((noinline)) void one_row_##layout##_##maker(const uint8_t *w, const int8_t *a, int64_t blocks, \
									const scaling *f) \
	{ \
		kernel(intel, w, TILES, a, blocks, NULL, 0, f); \
	}
ONE_ROW(TERN_T2, one_row_t2, amd, 0)
ONE_ROW(TERN_T2, one_row_t2, intel, 1)
ONE_ROW(TERN_T5, one_row_t5, amd, 0)
ONE_ROW(TERN_T5, one_row_t5, intel, 1)
static void scaled_row(int layout, const uint8_t *w, const int8_t *a, int64_t blocks, const scaling *f)
{
	typedef void scaled(const uint8_t *, const int8_t *, int64_t, const scaling *);
	static scaled *const kernels[][2] = { { one_row_TERN_T2_amd, one_row_TERN_T2_intel },
					      { one_row_TERN_T5_amd, one_row_TERN_T5_intel } };
	kernels[layout == TERN_T5][on_intel()](w, a, blocks, f);
}
