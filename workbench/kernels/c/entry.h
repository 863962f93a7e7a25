/* What a tracer finds at a function's first byte: one instruction of five bytes that does nothing.
 *
 * The kernel turns a uprobe on exactly these bytes (0f 1f 44 00 00) into a call, several times cheaper than a trap.
 * Compilers write other five bytes when asked for five, so they are asked for one `nop`
 * (-fpatchable-function-entry=1), and the GNU assembler is told to spell that as below. Other processors have nops of a fixed size, which need no help.
 */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(TERN_ENTRY)
#define TERN_ENTRY
__asm__(".macro nop\n\t.byte 0x0f, 0x1f, 0x44, 0x00, 0x00\n\t.endm");
#endif
