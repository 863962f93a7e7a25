/* Portable C: no intrinsics, any processor. The meaning the other files have to match. */

#define TERN_ISA "generic"
enum { ROWS = 4 };

static inline void fields_of(int layout, int byte, int u[5])
{
	if (layout == TERN_T2) {
		for (int f = 0; f < 4; f++)
			u[f] = byte >> (2 * f) & 3;
	} else {
		int high = byte / 28, low = byte - 28 * high;
		u[0] = low % 3, u[1] = low / 3 % 3, u[2] = low / 9, u[3] = high % 3, u[4] = high / 3;
	}
}

/* out[r][lane] (+)= sum over the blocks of (code . activation), for `rows` <= ROWS rows of one panel. */
static void micro(int layout, const uint8_t *w, int tiles, const int8_t *a, int64_t lda, int rows, int64_t blocks,
		  int32_t *out, int add)
{
	const int step = block_weights(layout), fields = step / 4, lanes = tiles * LANES;
	if (!add)
		memset(out, 0, (size_t)rows * PANEL * sizeof *out);
	for (int64_t b = 0; b < blocks; b++, w += tiles * TILE_BYTES, a += step)
		for (int i = 0; i < lanes; i++)
			for (int j = 0; j < 4; j++) {
				int u[5];
				fields_of(layout, w[4 * i + j], u);
				for (int r = 0; r < rows; r++)
					for (int f = 0; f < fields; f++)
						out[r * PANEL + i] += u[f] * a[r * lda + 4 * f + j];
			}
}
