/* A library with static probe points, as systemtap's headers would write them: a nop and a note. */
#define POINT(name)                                                                                          \
	__asm__ volatile("990: nop\n"                                                                        \
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
	POINT("step");
	return n + 1;
}
