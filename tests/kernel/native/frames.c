/* A tower of functions without frame pointers, each with a frame of its own size; the uppermost works. */
#define STOREY(name, next, size)			\
	__attribute__((noinline)) long name(long n)	\
	{						\
		volatile char room[size];		\
		long found;				\
							\
		room[n % 8] = 1;			\
		found = next(n) * 3;			\
		return found + room[3];			\
	}

__attribute__((noinline)) long storey_12(long n)
{
	volatile long sum = 0, turn;

	for (turn = 0; turn < n; turn++)
		sum += turn;
	return sum;
}

STOREY(storey_11, storey_12, 24)
STOREY(storey_10, storey_11, 40)
STOREY(storey_9, storey_10, 8)
STOREY(storey_8, storey_9, 200)
STOREY(storey_7, storey_8, 24)
STOREY(storey_6, storey_7, 72)
STOREY(storey_5, storey_6, 16)
STOREY(storey_4, storey_5, 1000)
STOREY(storey_3, storey_4, 24)
STOREY(storey_2, storey_3, 136)
STOREY(storey_1, storey_2, 24)
