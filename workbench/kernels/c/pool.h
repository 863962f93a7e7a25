/* Threads that help, and are never waited for unless they have begun.
 *
 * A caller publishes `remaining` chunks and claims them itself, one after the other, from the same atomic word as the
 * helpers do. It returns when all are done, so it waits at most for chunks that a helper has claimed: on a machine
 * without a free core it does everything alone and loses nothing but a wake-up. One job at a time; a second caller
 * finds the pool busy and works alone.
 *
 * The word: generation (24 bits), seats (8), remaining chunks (32). A helper takes a seat, so that a job asking for two
 * threads gets two, then claims chunk remaining - 1. Job fields are written before the word and read after a claim.
 */
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef void chunk_function(const void *job, int64_t chunk);

enum { MOST_HELPERS = 63, SPINS = 2000 };
#define SEAT (UINT64_C(1) << 32)
#define GENERATION (UINT64_C(1) << 40)

static struct {
	_Atomic uint64_t word;
	chunk_function *run;
	const void *job;
	uint32_t total;
	_Atomic uint32_t done, waiting, wake;
	_Atomic int busy;
	int helpers;
	pthread_once_t once;
} pool = { .once = PTHREAD_ONCE_INIT };

static void futex(_Atomic uint32_t *at, int operation, uint32_t value)
{
	syscall(SYS_futex, at, operation | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

static inline void relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#else
	__asm__ volatile("" ::: "memory");
#endif
}

/* Claim and run chunks of the job that `generation` names until none remain. */
static void claim_chunks(uint64_t generation)
{
	uint64_t word = atomic_load(&pool.word);
	while (word / GENERATION == generation && (uint32_t)word) {
		if (!atomic_compare_exchange_weak(&pool.word, &word, word - 1))
			continue;
		const uint32_t total = pool.total;
		pool.run(pool.job, (int64_t)(uint32_t)word - 1);
		if (atomic_fetch_add(&pool.done, 1) + 1 == total && atomic_load(&pool.waiting))
			futex(&pool.done, FUTEX_WAKE, INT_MAX);
		word = atomic_load(&pool.word);
	}
}

static void *help(void *unused)
{
	for (;;) {
		const uint32_t seen = atomic_load(&pool.wake);
		uint64_t word = atomic_load(&pool.word);
		while ((uint32_t)word && word / SEAT % 256)
			if (atomic_compare_exchange_weak(&pool.word, &word, word - SEAT)) {
				claim_chunks(word / GENERATION);
				break;
			}
		for (int i = 0; i < SPINS && atomic_load(&pool.wake) == seen; i++)
			relax();
		if (atomic_load(&pool.wake) == seen)
			futex(&pool.wake, FUTEX_WAIT, seen);
	}
	return unused;
}

/* A child has no helpers; whatever its parent was doing is not its job. */
static void forget_helpers(void)
{
	pool.helpers = 0;
	atomic_store(&pool.word, 0);
	atomic_store(&pool.busy, 0);
}

static void watch_forks(void) { pthread_atfork(NULL, NULL, forget_helpers); }

static void start_helpers(int wanted)
{
	pthread_once(&pool.once, watch_forks);
	sigset_t all, before;
	sigfillset(&all); /* signals are for the threads of the program */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (pthread_t thread; pool.helpers < wanted && !pthread_create(&thread, NULL, help, NULL); pool.helpers++)
		pthread_detach(thread);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void run_chunks(chunk_function *run, const void *job, int64_t chunks, int threads)
{
	int helpers = threads - 1 < MOST_HELPERS ? threads - 1 : MOST_HELPERS;
	if (helpers > chunks - 1)
		helpers = (int)chunks - 1;
	if (helpers < 1 || chunks > UINT32_MAX / 2 || atomic_exchange(&pool.busy, 1)) {
		for (int64_t chunk = 0; chunk < chunks; chunk++)
			run(job, chunk);
		return;
	}
	start_helpers(helpers);
	const uint64_t generation = (atomic_load(&pool.word) / GENERATION + 1) % (UINT64_MAX / GENERATION);
	pool.run = run, pool.job = job, pool.total = (uint32_t)chunks;
	atomic_store(&pool.done, 0);
	atomic_store(&pool.word, generation * GENERATION + (uint64_t)helpers * SEAT + (uint64_t)chunks);
	atomic_fetch_add(&pool.wake, 1);
	futex(&pool.wake, FUTEX_WAKE, (uint32_t)helpers);
	claim_chunks(generation);
	uint32_t done;
	for (int i = 0; i < SPINS && atomic_load(&pool.done) != (uint32_t)chunks; i++)
		relax();
	while ((done = atomic_load(&pool.done)) != (uint32_t)chunks) {
		atomic_store(&pool.waiting, 1);
		futex(&pool.done, FUTEX_WAIT, done);
		atomic_store(&pool.waiting, 0);
	}
	atomic_store(&pool.busy, 0);
}

void tern_run(chunk_function *chunk, const void *job, int64_t chunks, int threads)
{
	run_chunks(chunk, job, chunks, threads);
}
