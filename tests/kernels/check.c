/* Prints one hash of accumulators on fixed pseudo-random cases, and how many differ from a plain sum: the same line on
 * every instruction set. */
#include <stdio.h>
#include <stdlib.h>

#include "ternary.h"

static uint64_t state = 12345, hash = 1469598103934665603ull;
static long wrong, outputs;

static uint32_t draw(void)
{
	state = state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(state >> 33);
}

static void note(int32_t value) { hash = (hash ^ (uint32_t)value) * 1099511628211ull; }

static void one_case(int m, int n, int k, int groups, int layout, int extreme)
{
	int row = (k + 3) / 4;
	uint8_t *codes = calloc((size_t)n, (size_t)row);
	int8_t *t = malloc((size_t)n * k), *q = malloc((size_t)m * k);
	for (int i = 0; i < n; i++)
		for (int j = 0; j < row * 4; j++) {
			int code = j < k ? (extreme ? i % 2 * 2 : (int)(draw() % 3)) : 1;
			codes[i * row + j / 4] |= (uint8_t)(code << (2 * (j % 4)));
			if (j < k)
				t[i * k + j] = (int8_t)(code - 1);
		}
	for (int i = 0; i < m * k; i++)
		q[i] = (int8_t)(extreme ? (i / k % 2 ? 127 : -128) : (int)(draw() % 256) - 128);
	tern_matrix w = { .n = n, .k = k, .groups = groups, .layout = layout, .count = 1 };
	uint8_t *data = aligned_alloc(64, (tern_packed_bytes(&w) + 63) / 64 * 64);
	int32_t *acc = malloc((size_t)m * n * sizeof *acc);
	wrong += tern_pack(&w, codes, data);
	for (size_t i = 0; i < tern_packed_bytes(&w); i += 7)
		note(data[i]);
	w.data = data;
	wrong += tern_accumulate(&w, q, acc, m, 2);
	for (int r = 0; r < m; r++)
		for (int i = 0; i < n; i++, outputs++) {
			int32_t sum = 0;
			for (int j = 0; j < k; j++)
				sum += q[r * k + j] * t[i * k + j];
			wrong += sum != acc[r * n + i];
			note(acc[r * n + i]);
		}
	free(codes), free(t), free(q), free(data), free(acc);
}

static void one_convolution(tern_conv_shape c)
{
	int64_t k = c.channels / c.groups * c.kernel[0] * c.kernel[1], row = (k + 3) / 4, size[2];
	uint8_t *codes = calloc((size_t)c.outputs, (size_t)row);
	for (int64_t i = 0; i < c.outputs * k; i++)
		codes[i / k * row + i % k / 4] |= (uint8_t)(draw() % 3 << (2 * (i % k % 4)));
	tern_matrix w;
	wrong += tern_conv_matrix(&c, &w) || tern_conv_output(&c, size);
	uint8_t *data = aligned_alloc(64, (tern_packed_bytes(&w) + 63) / 64 * 64);
	wrong += tern_pack_conv(&c, codes, data);
	w.data = data;
	int64_t inputs = c.batch * c.channels * c.height * c.width, results = c.batch * c.outputs * size[0] * size[1];
	float *x = malloc((size_t)inputs * sizeof *x), *y = malloc((size_t)results * sizeof *y);
	float *scale = malloc((size_t)c.outputs * sizeof *scale);
	for (int64_t i = 0; i < inputs; i++)
		x[i] = i % 31 ? (float)(draw() % 200) - 100.0f : 127.0f; /* so that s = 1 and y holds the sums */
	for (int64_t i = 0; i < c.outputs; i++)
		scale[i] = 1.0f;
	wrong += tern_conv(&w, &c, scale, NULL, x, y, TERN_RELU, 2);
	for (int64_t i = 0; i < results; i++, outputs++)
		note((int32_t)y[i]);
	free(codes), free(data), free(x), free(y), free(scale);
}

int main(int argc, char **argv)
{
	static const int shapes[][4] = { { 1, 64, 16, 1 }, { 1, 1, 1, 1 }, { 3, 70, 321, 3 }, { 2, 33, 777, 1 },
					 { 4, 200, 100, 5 }, { 13, 17, 83, 1 }, { 1, 80, 2600, 1 } };
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
		for (int extreme = 0; extreme < 2; extreme++)
			for (int layout = TERN_T2; layout <= TERN_T5; layout += TERN_T5 - TERN_T2)
				one_case(shapes[i][0], shapes[i][1], shapes[i][2], shapes[i][3], layout, extreme);
	one_convolution((tern_conv_shape){ 2, 8, 9, 11, 8, 8, { 3, 3 }, { 2, 1 }, { 1, 1 }, { 1, 2 } });
	one_convolution((tern_conv_shape){ 1, 6, 9, 11, 40, 2, { 3, 2 }, { 1, 2 }, { 0, 1 }, { 1, 1 } });
	printf("outputs %ld wrong %ld hash %016llx\n", outputs, wrong, (unsigned long long)hash);
	if (argc > 1 && argv[1][0] == 'v')
		printf("%s\n", tern_isa());
	return wrong != 0;
}
