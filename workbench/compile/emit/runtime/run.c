/* The public entry points. Compiled for any processor of the machine, so that one that lacks the instructions the
 * rest needs is told so instead of being killed by them. NEEDED is the list of features, FORWARD_TARGET its name. */
#define _GNU_SOURCE
#include "entry.h"
#include "mlops_model.h"

#include <stddef.h>

int mlops_forward(const void *const *inputs, void *const *outputs, const int64_t *sizes, void *arena);
int mlops_threads = 1;

#if defined(__x86_64__)
#define HAS(feature) __builtin_cpu_supports(#feature)
#elif defined(__aarch64__)
#include <sys/auxv.h>
#define asimddp (getauxval(AT_HWCAP) >> 20 & 1)
#define sve (getauxval(AT_HWCAP) >> 22 & 1)
#define i8mm (getauxval(AT_HWCAP2) >> 13 & 1)
#define HAS(feature) feature
#elif defined(__riscv)
#include <setjmp.h>
#include <signal.h>
/* Not every kernel (nor emulator) reports vectors, so one instruction is tried, vsetvli t0, zero, e8, m1, ta, ma. */
static sigjmp_buf refused;
static void refuse(int number) { siglongjmp(refused, number); }
static int has_v(void) {
    struct sigaction ours = {.sa_handler = refuse}, before;
    sigaction(SIGILL, &ours, &before);
    const int found = !sigsetjmp(refused, 1);
    if (found) __asm__ volatile(".4byte 0x0c0072d7" ::: "t0");
    sigaction(SIGILL, &before, NULL);
    return found;
}
#define v has_v()
#define HAS(feature) feature
#else
#define HAS(feature) 1
#endif

int mlops_model_fits_cpu(void) {
    static _Atomic int known; /* 1: no, 2: yes */
    if (!known) known = NEEDED ? 2 : 1;
    return known == 2;
}

void mlops_model_set_threads(int threads) { mlops_threads = threads < 1 ? 1 : threads; }

int mlops_model_run(const void *const *inputs, void *const *outputs, const int64_t *sizes, void *arena) {
    if (!mlops_model_fits_cpu()) return MLOPS_BAD_CPU;
    return mlops_forward(inputs, outputs, sizes, arena);
}
