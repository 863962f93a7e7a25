/* float16 and bfloat16 without a type of the compiler's: not every target has one. Rounds to the nearest, ties to even. */
INLINE float of_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

INLINE uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return bits;
}

INLINE float float_of_half(uint16_t half) {
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16, rest = (uint32_t)(half & 0x7fff) << 13;
    /* Times 2^112 the exponent's bias is float's, and subnormal numbers come out right; Inf and NaN stay so. */
    const uint32_t bits = bits_of(of_bits(rest) * 0x1p112f);
    return of_bits(sign | ((half & 0x7c00) == 0x7c00 ? rest | 0x7f800000 : bits));
}

INLINE uint16_t half_of_float(float x) {
    const uint32_t sign = bits_of(x) >> 16 & 0x8000, rest = bits_of(x) & 0x7fffffff;
    /* Below 2^-14 the sum of x and 1/2 has its last place where a subnormal half has it. */
    const uint32_t small = bits_of(of_bits(rest) + 0.5f) - 0x3f000000;
    const uint32_t normal = (rest - 0x38000000 + 0xfff + (rest >> 13 & 1)) >> 13;
    const uint32_t half = rest > 0x7f800000 ? 0x7e00 : rest >= 0x47800000 ? 0x7c00 : rest < 0x38800000 ? small : normal;
    return (uint16_t)(sign | half);
}

INLINE float round_float16(float x) { return float_of_half(half_of_float(x)); }

INLINE float round_bfloat16(float x) {
    const uint32_t bits = bits_of(x);
    return x == x ? of_bits((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000) : x;
}
