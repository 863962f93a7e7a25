/* A library with static probe points, as systemtap's headers would write them: a nop and a note. */
#define POINT(name, code)                                                                                    \
	__asm__ volatile("990: " code "\n"                                                                  \
			 ".pushsection .note.stapsdt,\"\",\"note\"\n"                                       \
			 ".balign 4\n"                                                                      \
			 ".4byte 992f-991f, 994f-993f, 3\n"                                                 \
			 "991: .asciz \"stapsdt\"\n"                                                        \
			 "992: .balign 4\n"                                                                 \
			 "993: .8byte 990b\n"                                                               \
			 ".8byte _.stapsdt.base\n"                                                          \
			 ".8byte 0\n"                                                                       \
			 ".asciz \"standin\"\n"                                                             \
			 ".asciz \"" name "\"\n"                                                            \
			 ".asciz \"\"\n"                                                                    \
			 "994: .balign 4\n"                                                                 \
			 ".popsection\n")

__asm__(".pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n"
	".weak _.stapsdt.base\n.hidden _.stapsdt.base\n_.stapsdt.base: .space 1\n"
	".size _.stapsdt.base, 1\n.popsection\n");

__attribute__((visibility("default"), noinline)) int step(int n)
{
	POINT("step", "nop");
	return n + 1;
}

/* As newer ones write them. */
__attribute__((visibility("default"), noinline)) int wide(int n)
{
	POINT("wide", ".byte 0x0f, 0x1f, 0x44, 0, 0");
	return n + 1;
}
