/* Prints one hash of accumulators on fixed pseudo-random cases, and how many differ from a plain sum: the same line on
 * every instruction set. With a seed: so many random shapes, of products and convolutions, against plain sums. */
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

/* The whole layer on whole numbers whose largest is 127, so that s = 1: y = sum + bias, exactly. */
static void one_layer(const tern_matrix *w, const int8_t *t, int8_t *q, int m)
{
	const int n = (int)w->n, k = (int)w->k;
	float *x = malloc((size_t)m * k * sizeof *x), *y = malloc((size_t)m * n * sizeof *y);
	float *scale = malloc((size_t)n * w->groups * sizeof *scale), *bias = malloc((size_t)n * sizeof *bias);
	for (int i = 0; i < m * k; i++) {
		q[i] = i % k ? q[i] < -127 ? -127 : q[i] : 127;
		x[i] = q[i];
	}
	for (int i = 0; i < n * w->groups; i++)
		scale[i] = 1.0f;
	for (int i = 0; i < n; i++)
		bias[i] = (float)(i - 7);
	wrong += tern_linear(w, scale, bias, x, y, m, TERN_NONE, 2);
	for (int r = 0; r < m; r++)
		for (int i = 0; i < n; i++) {
			int32_t sum = i - 7;
			for (int j = 0; j < k; j++)
				sum += q[r * k + j] * t[i * k + j];
			wrong += (float)sum != y[r * n + i];
		}
	free(x), free(y), free(scale), free(bias);
}

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
	one_layer(&w, t, q, m);
	free(codes), free(t), free(q), free(data), free(acc);
}

/* What y holds where every scale is one: a plain sum over the kernel's taps, no less than zero (the activation). */
static long plain_sum(const tern_conv_shape *c, const int8_t *t, const float *x, int64_t image, int64_t o, int64_t row, int64_t column)
{
	const int64_t inside = c->channels / c->groups, first = o / (c->outputs / c->groups) * inside;
	long sum = 0;
	for (int64_t i = 0; i < inside; i++)
		for (int64_t ky = 0; ky < c->kernel[0]; ky++)
			for (int64_t kx = 0; kx < c->kernel[1]; kx++) {
				const int64_t h = row * c->stride[0] + ky * c->dilation[0] - c->padding[0];
				const int64_t v = column * c->stride[1] + kx * c->dilation[1] - c->padding[1];
				if (h < 0 || h >= c->height || v < 0 || v >= c->width)
					continue;
				sum += (long)x[((image * c->channels + first + i) * c->height + h) * c->width + v] *
				       t[((o * inside + i) * c->kernel[0] + ky) * c->kernel[1] + kx];
			}
	return sum > 0 ? sum : 0;
}

static void one_convolution(tern_conv_shape c)
{
	int64_t k = c.channels / c.groups * c.kernel[0] * c.kernel[1], row = (k + 3) / 4, size[2];
	uint8_t *codes = calloc((size_t)c.outputs, (size_t)row);
	int8_t *t = malloc((size_t)(c.outputs * k));
	for (int64_t i = 0; i < c.outputs * k; i++) {
		t[i] = (int8_t)(draw() % 3) - 1;
		codes[i / k * row + i % k / 4] |= (uint8_t)((t[i] + 1) << (2 * (i % k % 4)));
	}
	tern_matrix w;
	wrong += tern_conv_matrix(&c, &w) || tern_conv_output(&c, size);
	uint8_t *data = aligned_alloc(64, (tern_packed_bytes(&w) + 63) / 64 * 64);
	wrong += tern_pack_conv(&c, codes, data);
	w.data = data;
	int64_t pixels = size[0] * size[1], inputs = c.batch * c.channels * c.height * c.width;
	int64_t each = inputs / c.batch, results = c.batch * c.outputs * pixels;
	float *x = malloc((size_t)inputs * sizeof *x), *y = malloc((size_t)results * sizeof *y);
	float *scale = malloc((size_t)c.outputs * sizeof *scale);
	for (int64_t i = 0; i < inputs; i++) /* so that s = 1 and y holds the sums */
		x[i] = i % each % 31 ? (float)(draw() % 200) - 100.0f : 127.0f;
	for (int64_t i = 0; i < c.outputs; i++)
		scale[i] = 1.0f;
	wrong += tern_conv(&w, &c, scale, NULL, x, y, TERN_RELU, 2);
	for (int64_t i = 0; i < results; i++, outputs++) {
		const int64_t image = i / pixels / c.outputs, o = i / pixels % c.outputs, at = i % pixels;
		wrong += plain_sum(&c, t, x, image, o, at / size[1], at % size[1]) != (long)y[i];
		note((int32_t)y[i]);
	}
	free(codes), free(t), free(data), free(x), free(y), free(scale);
}

static int between(int low, int high) { return low + (int)(draw() % (uint32_t)(high - low + 1)); }

/* Sizes of every kind: below a block and a panel, their multiples, and what lies between. */
static void random_product(void)
{
	/* One draw a statement: compilers differ in the order of arguments. */
	const int groups = draw() % 3 ? 1 : between(2, 5);
	const int layout = draw() % 2 ? TERN_T5 : TERN_T2, step = layout == TERN_T5 ? 20 : 16;
	const int length = draw() % 3 ? between(1, 300) : step * between(1, 20);
	const int n = draw() % 3 ? between(1, 150) : 64 * between(1, 2);
	const int m = between(1, 27);
	one_case(m, n, length * groups, groups, layout, draw() % 8 == 0);
}

static void random_convolution(void)
{
	const int depthwise = draw() % 3 == 0, groups = depthwise ? between(1, 40) : between(1, 3);
	const int channels = depthwise ? groups : groups * between(1, 9);
	const int outputs = groups * (depthwise ? between(1, 2) : between(1, 40));
	tern_conv_shape c = { .channels = channels, .outputs = outputs, .groups = groups };
	c.batch = between(1, 2);
	for (int axis = 0; axis < 2; axis++) {
		c.kernel[axis] = between(1, 5);
		c.stride[axis] = between(1, 3);
		c.padding[axis] = between(0, 2);
		c.dilation[axis] = between(1, 2);
	}
	c.height = (c.kernel[0] - 1) * c.dilation[0] + between(1, 9);
	c.width = (c.kernel[1] - 1) * c.dilation[1] + between(1, 19);
	one_convolution(c);
}

int main(int argc, char **argv)
{
	if (argc > 2) {
		state = strtoull(argv[1], NULL, 10);
		for (int i = atoi(argv[2]); i > 0; i--)
			random_product(), random_convolution();
		printf("outputs %ld wrong %ld hash %016llx\n", outputs, wrong, (unsigned long long)hash);
		return wrong != 0;
	}
	static const int shapes[][4] = { { 1, 64, 16, 1 }, { 1, 1, 1, 1 }, { 3, 70, 321, 3 }, { 2, 33, 777, 1 },
					 { 4, 200, 100, 5 }, { 13, 17, 83, 1 }, { 1, 80, 2600, 1 } };
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
		for (int extreme = 0; extreme < 2; extreme++)
			for (int layout = TERN_T2; layout <= TERN_T5; layout += TERN_T5 - TERN_T2)
				one_case(shapes[i][0], shapes[i][1], shapes[i][2], shapes[i][3], layout, extreme);
	one_convolution((tern_conv_shape){ 2, 8, 9, 11, 8, 8, { 3, 3 }, { 2, 1 }, { 1, 1 }, { 1, 2 } });
	one_convolution((tern_conv_shape){ 1, 6, 9, 11, 40, 2, { 3, 2 }, { 1, 2 }, { 0, 1 }, { 1, 1 } });
	printf("outputs %ld wrong %ld hash %016llx\n", outputs, wrong, (unsigned long long)hash);
	return wrong != 0;
}
