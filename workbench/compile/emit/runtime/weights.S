/* The constants, as they lie in weights.bin: mapped with the shared object, shared between processes. */
    .section .rodata.mlops, "a", %progbits
    .balign 64
    .globl mlops_weights
    .hidden mlops_weights
mlops_weights:
    .incbin "weights.bin"
    .section .note.GNU-stack, "", %progbits
