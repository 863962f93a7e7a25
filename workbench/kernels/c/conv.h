/* Convolution: checks, and the way that suits its shape. */

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
	_Atomic int failed = 0;
	convolution p = { .w = w, .c = c, .w_scale = w_scale, .bias = bias, .x = x, .y = y,
			  .out_h = output_size(c, 0), .out_w = output_size(c, 1), .activation = activation,
			  .failed = &failed };
	if (w->layout == TERN_T2)
		error = run_gemm(&p, threads);
	else
		error = narrow(&p) ? run_depthwise(&p, threads) : run_planes(&p, threads);
	return error ? error : failed ? TERN_EMEMORY : TERN_OK;
}
