/* Sizes of a convolution, which way it is computed, and the order its weights are packed in. */

enum { DIRECT_WEIGHTS = 258 /* * 127 < 2^15: their sum fits 16 bits */ };

static inline int64_t taps(const tern_conv_shape *c) { return c->kernel[0] * c->kernel[1]; }

static inline int64_t output_size(const tern_conv_shape *c, int axis)
{
	const int64_t size = axis ? c->width : c->height, reach = c->dilation[axis] * (c->kernel[axis] - 1) + 1;
	const int64_t room = size + 2 * c->padding[axis] - reach;
	return room < 0 ? 0 : room / c->stride[axis] + 1;
}

/* Weights are packed in the order [ky][kx][channel]. A row of the kernel that covers all channels of neighbouring pixels
 * meets activations that already lie side by side. */
static inline int joined(const tern_conv_shape *c) { return c->groups == 1 && c->dilation[1] == 1; }

static int check_conv(const tern_conv_shape *c)
{
	const int64_t most = INT64_C(1) << 30;
	int64_t elements = 1;
	const int64_t sizes[] = { c->channels, c->height + 2 * c->padding[0], c->width + 2 * c->padding[1] };
	for (int axis = 0; axis < 2; axis++)
		if (c->kernel[axis] < 1 || c->stride[axis] < 1 || c->dilation[axis] < 1 || c->padding[axis] < 0 ||
		    c->kernel[axis] > most || c->stride[axis] > most || c->dilation[axis] > most ||
		    c->padding[axis] > most || output_size(c, axis) < 1)
			return TERN_ESHAPE;
	for (int i = 0; i < 3; i++) {
		if (sizes[i] < 1 || sizes[i] > most / elements)
			return TERN_ESHAPE;
		elements *= sizes[i];
	}
	return c->batch < 0 || c->groups < 1 || c->outputs < 1 || c->channels % c->groups || c->outputs % c->groups ?
		       TERN_ESHAPE :
		       TERN_OK;
}

int tern_conv_output(const tern_conv_shape *c, int64_t size[2])
{
	int error = check_conv(c);
	for (int axis = 0; axis < 2 && !error; axis++)
		size[axis] = output_size(c, axis);
	return error;
}

int tern_conv_matrix(const tern_conv_shape *c, tern_matrix *out)
{
	int error = check_conv(c);
	if (error)
		return error;
	const int64_t n = c->outputs / c->groups, k = c->channels / c->groups * taps(c);
	*out = (tern_matrix){ .n = n, .k = k, .groups = 1, .layout = TERN_T2, .count = c->groups };
	/* Steps a pixel: 4 a tile and block, to write and, with many taps, to gather; or one addition for 22 pixels and a weight.
	 * With few outputs, or few channels side by side, tiles and blocks would be mostly padding. */
	const int64_t product = 4 * group_blocks(out) * ceil_div(n, LANES) + (taps(c) > 1 ? 24 : 12);
	if (k <= DIRECT_WEIGHTS && n * k < 22 * product)
		out->layout = TERN_S8;
	return check_matrix(out);
}

/* Rows from [channel][tap] to [tap][channel]: the order a pixel's neighbours have once channels lie side by side. */
static void reorder_row(const tern_conv_shape *c, const uint8_t *row, uint8_t *out)
{
	const int64_t channels = c->channels / c->groups, k = channels * taps(c);
	memset(out, 0, (size_t)ceil_div(k, 4));
	for (int64_t tap = 0, to = 0; tap < taps(c); tap++)
		for (int64_t i = 0; i < channels; i++, to++)
			out[to >> 2] |= (uint8_t)(code_at(row, i * taps(c) + tap) << (2 * (to & 3)));
}

int tern_pack_conv(const tern_conv_shape *c, const uint8_t *codes, uint8_t *out)
{
	tern_matrix w;
	int error = tern_conv_matrix(c, &w);
	if (error || w.layout == TERN_S8)
		return error ? error : tern_pack(&w, codes, out);
	const size_t bytes = (size_t)ceil_div(w.k, 4);
	uint8_t *ordered = malloc(bytes * (size_t)c->outputs);
	if (!ordered)
		return TERN_EMEMORY;
	for (int64_t n = 0; n < c->outputs; n++)
		reorder_row(c, codes + (size_t)n * bytes, ordered + (size_t)n * bytes);
	error = tern_pack(&w, ordered, out);
	free(ordered);
	return error;
}

/* One call: the input as integers and what its chunks need. */
typedef struct convolution {
	const tern_matrix *w;
	const tern_conv_shape *c;
	const float *w_scale, *bias, *x;
	float *y, *scale; /* scale [batch] */
	void *input;	  /* int8 with channels last, or int16 in planes */
	int16_t *weights; /* depthwise */
	int64_t *offsets; /* planes: of each tap */
	int64_t pitch, phase, channel; /* planes: elements of a row and of a phase, and of all phases of a channel */
	int64_t out_h, out_w, sample; /* elements of one sample of `input` */
	int64_t block, blocks;	      /* pixels, channels or outputs of a chunk; chunks of a line or sample */
	int64_t lead;		      /* pixels that the first chunk has less, so that the others begin where cache lines do */
	int activation;
	_Atomic int *failed; /* a chunk found no memory */
} convolution;

/* How many pixels of a cache line lie before those of images that follow one another; 0 where each lies otherwise. */
static inline int64_t pixels_before(const float *first, int64_t area)
{
	const int64_t bytes = (int64_t)((uintptr_t)first % 64);
	return area % LANES || bytes % (int64_t)sizeof *first ? 0 : bytes / (int64_t)sizeof *first;
}
