/* Working memory that a thread keeps between calls: asking the system each time would cost more than a small layer. */
#include <pthread.h>
#include <stdlib.h>

/* A call keeps its quantized input in the first while its own chunks, which run on any thread, use the second. */
enum scratch_use { SCRATCH_CALL, SCRATCH_CHUNK, SCRATCH_USES };

typedef struct scratch {
	void *memory[SCRATCH_USES];
	size_t bytes[SCRATCH_USES];
} scratch;

static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;

static void scratch_free(void *of_thread)
{
	for (int use = 0; use < SCRATCH_USES; use++)
		free(((scratch *)of_thread)->memory[use]);
	free(of_thread);
}

static void scratch_start(void) { pthread_key_create(&scratch_key, scratch_free); }

/* At least `bytes`, aligned to 64, until this thread's next call for the same use; NULL when there is no memory. */
static void *scratch_take(enum scratch_use use, size_t bytes)
{
	pthread_once(&scratch_once, scratch_start);
	scratch *mine = pthread_getspecific(scratch_key);
	if (!mine && (mine = calloc(1, sizeof *mine)))
		pthread_setspecific(scratch_key, mine);
	if (!mine)
		return NULL;
	if (mine->bytes[use] < bytes) {
		free(mine->memory[use]);
		mine->bytes[use] = (bytes + 4095) / 4096 * 4096;
		mine->memory[use] = aligned_alloc(64, mine->bytes[use]);
		if (!mine->memory[use])
			mine->bytes[use] = 0;
	}
	return mine->memory[use];
}
