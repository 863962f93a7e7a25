/* Convolution: checks, and the way that suits its shape. */

static int run_samples(convolution *p, int threads)
{
	if (p->w->layout == TERN_T2)
		return run_gemm(p, threads);
	if (pointwise(p->c) && p->c->groups == 1)
		return run_bands(p, threads);
#ifdef CONV_WINDOWS
	if (small(p))
		return run_small(p, threads);
	window_plan plan;
	if (plan_windows(p, &plan))
		return run_windows(p, &plan, threads);
#endif
	return narrow(p) ? run_depthwise(p, threads) : run_planes(p, threads);
}

/* A few samples at a time, so that each is still near when what was read for its scale is read again. */
static int run_batch(const convolution *all, int threads)
{
	const tern_conv_shape *c = all->c;
	const int64_t in = c->channels * c->height * c->width, out = c->outputs * all->out_h * all->out_w;
	const int64_t stay = STAYS / (in * (int64_t)sizeof(float)), step = (stay > 1 ? stay : 1) * threads;
	int error = 0;
	for (int64_t n = 0; n < c->batch && !error; n += step) {
		tern_conv_shape some = *c;
		convolution p = *all;
		some.batch = c->batch - n < step ? c->batch - n : step;
		p.c = &some, p.x += n * in, p.y += n * out;
		if (pointwise(c) && c->height * c->width <= BAND_PIXELS) { /* one long line */
			some.width *= some.height, some.height = 1;
			p.out_w *= p.out_h, p.out_h = 1;
		}
		error = run_samples(&p, threads);
	}
	return error;
}

int tern_conv(const tern_matrix *w, const tern_conv_shape *c, const float *w_scale, const float *bias, const float *x,
	      float *y, int activation, int threads)
{
	tern_matrix expected;
	int error = tern_conv_matrix(c, &expected);
	if (error || !c->batch)
		return error;
	if (w->layout != expected.layout)
		return TERN_ELAYOUT;
	if (w->n != expected.n || w->k != expected.k || w->count != expected.count || w->groups != expected.groups)
		return TERN_ESHAPE;
	if (pointwise(c) && c->groups == 1 && c->height * c->width == 1 && w->layout == TERN_T2)
		return tern_linear(w, w_scale, bias, x, y, c->batch, activation, threads); /* a sample is a row */
	_Atomic int failed = 0;
	convolution p = { .w = w, .c = c, .w_scale = w_scale, .bias = bias, .x = x, .y = y,
			  .out_h = output_size(c, 0), .out_w = output_size(c, 1), .activation = activation,
			  .failed = &failed };
	threads = threads > 1 ? threads : 1;
#ifdef CONV_FEW
	error = few_outputs(c) ? run_few(&p, threads) : run_batch(&p, threads);
#else
	error = run_batch(&p, threads);
#endif
	return error ? error : failed ? TERN_EMEMORY : TERN_OK;
}
