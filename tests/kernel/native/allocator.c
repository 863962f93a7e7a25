/* torch's allocator by name, and many ways to call it: each leaf of a tree has its own stack. */
#include <stddef.h>

#define NOINLINE __attribute__((noinline))

NOINLINE void _ZN3c1025ProfiledCPUMemoryReporter3NewEPvm(void *self, void *address, size_t size)
{
	__asm__ volatile("nop" : : "r"(self), "r"(address), "r"(size));	/* probed without a single step */
}

NOINLINE void _ZN3c1025ProfiledCPUMemoryReporter6DeleteEPv(void *self, void *address)
{
	__asm__ volatile("nop" : : "r"(self), "r"(address));
}

NOINLINE void left(int depth);
NOINLINE void right(int depth);

static void down(int depth)
{
	if (depth > 0) {
		left(depth - 1);
		right(depth - 1);
		return;
	}
	_ZN3c1025ProfiledCPUMemoryReporter3NewEPvm(NULL, (void *)64, 64);
	_ZN3c1025ProfiledCPUMemoryReporter6DeleteEPv(NULL, (void *)64);
}

NOINLINE void left(int depth)
{
	down(depth);
	__asm__ volatile("" : : : "memory");	/* no tail call */
}

NOINLINE void right(int depth)
{
	down(depth);
	__asm__ volatile("" : : : "memory");
}
