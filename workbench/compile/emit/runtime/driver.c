/* Runs a compiled model once, for machines without Python: driver INPUT OUTPUT.
 * INPUT holds the dynamic sizes as int64 and then the input arrays; OUTPUT gets the output arrays. */
#include <stdio.h>
#include <stdlib.h>

#include "mlops_model.h"

#define TENSORS (MLOPS_INPUTS + MLOPS_OUTPUTS)

static void *reserve(size_t bytes) { return aligned_alloc(64, (bytes + 127) & ~(size_t)63); }

int main(int count, char **words) {
    static const int width[] = MLOPS_ELEMENT_BYTES, rank[] = MLOPS_RANKS;
    int64_t sizes[MLOPS_SIZES + 1] = {0}, shapes[MLOPS_DIMENSIONS + 1];
    void *arrays[TENSORS];
    size_t bytes[TENSORS];
    if (count != 3) return 64;
    FILE *in = fopen(words[1], "rb"), *out = fopen(words[2], "wb");
    if (!in || !out || fread(sizes, sizeof *sizes, MLOPS_SIZES, in) != MLOPS_SIZES) return 66;
    mlops_model_shapes(sizes, shapes);
    for (int i = 0, at = 0; i < TENSORS; ++i) {
        bytes[i] = (size_t)width[i];
        for (int axis = 0; axis < rank[i]; ++axis) bytes[i] *= (size_t)shapes[at++];
        arrays[i] = reserve(bytes[i]);
        if (!arrays[i]) return 71;
        if (i < MLOPS_INPUTS && fread(arrays[i], 1, bytes[i], in) != bytes[i]) return 66;
    }
    const int status = mlops_model_run((const void *const *)arrays, arrays + MLOPS_INPUTS, sizes,
                                       reserve(mlops_model_arena_bytes(sizes)));
    for (int i = MLOPS_INPUTS; i < TENSORS; ++i)
        if (fwrite(arrays[i], 1, bytes[i], out) != bytes[i]) return 74;
    return fclose(out) ? 74 : status;
}
