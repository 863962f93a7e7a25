/* Stands in for libcuda.so.1: the entry points a probe needs, and work that takes a known time. */
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#define CALL __attribute__((visibility("default"), noinline))

static void take(long nanoseconds)
{
	struct timespec now, start;

	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((now.tv_sec - start.tv_sec) * 1000000000L + now.tv_nsec - start.tv_nsec < nanoseconds);
}

CALL int cuMemAlloc_v2(unsigned long long *address, size_t bytes)
{
	*address = (unsigned long long)malloc(16);
	return 0;
}

CALL int cuMemFree_v2(unsigned long long address)
{
	free((void *)address);
	return 0;
}

CALL int cuMemcpyHtoD_v2(unsigned long long to, const void *from, size_t bytes)
{
	return 0;
}

CALL int cuMemcpyDtoH_v2(void *to, unsigned long long from, size_t bytes)
{
	return to ? 0 : 1; /* CUDA_ERROR_INVALID_VALUE */
}

CALL int cuLaunchKernel(void *function, unsigned x, unsigned y, unsigned z)
{
	return 0;
}

CALL int cuCtxSynchronize(void)
{
	take(1000000);
	return 0;
}
