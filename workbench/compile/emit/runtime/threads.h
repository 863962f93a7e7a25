/* Work in chunks for the threads of the model. Chunks write to places of their own, so results do not depend on who
 * does what; a job that is not worth waking anybody is done by the caller alone. */
#define GRAIN (1 << 18) /* multiply-adds that a thread should have: some ten microseconds */

INLINE void in_chunks(void (*run)(const void *, int64_t), const void *job, int64_t chunks, int64_t work) {
    tern_run(run, job, chunks, work < 2 * GRAIN ? 1 : mlops_threads);
}
