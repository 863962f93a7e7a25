/* The channels of a convolution by planes: the padded input is split into stride x stride phases; a tap is then an offset
 * into one of them, for all pixels at once. */

/* Unsigned, for what lies behind the last pixel is added up too, and may wrap. */
typedef uint16_t pixels __attribute__((vector_size(64), aligned(2), may_alias));
#if defined(__AVX512BW__) && !defined(TERN_GENERIC)
enum { LONG_RUN = 8 };
#else
enum { LONG_RUN = 4 }; /* vectors: more would not stay in registers */
#endif
enum { VECTOR_PIXELS = 32, RUN = 2 * VECTOR_PIXELS, BAND_PIXELS = 8192 };

static inline int64_t band_rows(int64_t pitch) { return pitch > BAND_PIXELS ? 1 : BAND_PIXELS / pitch; }
/* Pixels of the longest band, and what the last run adds beyond them. */
static inline int64_t band_room(int64_t pitch) { return (pitch > BAND_PIXELS ? pitch : BAND_PIXELS) + RUN; }

/* Where padded position (h, v) lies among the phases of its channel. Divisions: not for inner loops. */
static inline int64_t phase_place(const convolution *p, int64_t h, int64_t v)
{
	const int64_t *stride = p->c->stride, phase = h % stride[0] * stride[1] + v % stride[1];
	return phase * p->phase + h / stride[0] * p->pitch + v / stride[1];
}

#define EVEN4(i) (i), (i) + 2, (i) + 4, (i) + 6
#define EVEN16(i) EVEN4(i), EVEN4((i) + 8), EVEN4((i) + 16), EVEN4((i) + 24)
typedef uint32_t pair __attribute__((aligned(2), may_alias));
/* Neighbours apart, a constant number at a time, the last time overlapping: no loop is left over for odd ends. */
static inline __attribute__((always_inline)) void part_runs(const int16_t *from, int64_t count, const int run, int16_t *even,
							    int16_t *odd)
{
	for (int64_t i = 0; i < count; i += run) {
		const int64_t at = i + run <= count ? i : count - run;
#ifdef __AVX512BW__
		if (run == 32) {
			const pixels *v = (const pixels *)(from + 2 * at);
			*(pixels *)(even + at) = MIX(pixels, v[0], v[1], EVEN16(0), EVEN16(32));
			*(pixels *)(odd + at) = MIX(pixels, v[0], v[1], EVEN16(1), EVEN16(33));
			continue;
		}
#endif
		for (int j = 0; j < run; j++) {
			const uint32_t both = ((const pair *)(from + 2 * at))[j];
			even[at + j] = (int16_t)both;
			odd[at + j] = (int16_t)(both >> 16);
		}
	}
}

static void part_pairs(const int16_t *from, int64_t count, int16_t *even, int16_t *odd)
{
	if (count >= 32)
		part_runs(from, count, 32, even, odd);
	else if (count >= 8)
		part_runs(from, count, 8, even, odd);
	else
		part_runs(from, count, 1, even, odd);
}

/* One row of a channel to the phases of its columns; the first of them goes to `column` of `phase`. */
static inline void spread_row(const convolution *p, const int16_t *from, int64_t phase, int64_t column, int16_t *to)
{
	const int64_t step = p->c->stride[1], count = p->c->width;
	if (step == 1) {
		memcpy(to + column, from, (size_t)count * sizeof *from);
		return;
	}
	if (step == 2) {
		int16_t *even = to + phase * p->phase + column, *odd = to + !phase * p->phase + column + phase;
		part_pairs(from, count / 2, even, odd);
		if (count % 2)
			even[count / 2] = from[count - 1];
		return;
	}
	for (int64_t first = 0; first < step && first < count; first++) {
		int16_t *place = to + phase * p->phase + column;
		for (int64_t i = first; i < count; i += step)
			*place++ = from[i];
		if (++phase == step)
			phase = 0, column++;
	}
}

/* Rows of a channel, the first at padded height h, to the phases of their rows and columns. */
static void spread_rows(const convolution *p, const int16_t *from, int64_t rows, int64_t h, int16_t *planes)
{
	const int64_t down = p->c->stride[0], step = p->c->stride[1], left = p->c->padding[1];
	const int64_t phase = left % step, column = left / step;
	int64_t vertical = h % down, row = h / down;
	for (int64_t r = 0; r < rows; r++, from += p->c->width) {
		spread_row(p, from, phase, column, planes + vertical * step * p->phase + row * p->pitch);
		if (++vertical == down)
			vertical = 0, row++;
	}
}

/* Channels x to integers, split into phases, whose padding is zero already; `flat` holds a band of rows meanwhile. */
static void split_channels(const convolution *p, const float *x, int64_t channels, float s, int16_t *flat, int16_t *out)
{
	const tern_conv_shape *c = p->c;
	const int64_t plane = c->height * c->width, band = band_rows(c->width);
	for (int64_t i = 0; i < channels; i++, x += plane, out += p->channel)
		for (int64_t top = 0; top < c->height && s > 0; top += band) {
			const int64_t rows = c->height - top < band ? c->height - top : band;
			const int whole = rows == 1 && c->stride[1] == 1; /* goes to one place */
			int16_t *to = whole ? out + phase_place(p, top + c->padding[0], c->padding[1]) : flat;
			quantize_run16(x + top * c->width, rows * c->width, s, to);
			if (!whole)
				spread_rows(p, flat, rows, top + c->padding[0], out);
		}
}
