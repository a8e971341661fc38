/* The transform of weights, G g G^T, for forward and backward-data. Part of winograd.inc.h. */

/* G g: 3 to 6. */
ALWAYS_INLINE void weight_1d(vf g0, vf g1, vf g2, vf u[6])
{
    const vf even = (g0 + g2) * (-1.0f / 6), odd = g1 * (1.0f / 6);
    const vf even2 = g0 * (1.0f / 24) + g2 * (1.0f / 6), odd2 = g1 * (1.0f / 12);
    u[0] = g0 * 0.25f;
    u[1] = even - odd;
    u[2] = even + odd;
    u[3] = even2 + odd2;
    u[4] = even2 - odd2;
    u[5] = g2;
}

/* Nine taps, tap_floats apart, into 36 vectors, step floats apart. */
static void weight_tile(const float *taps, size_t tap_floats, float *u, size_t step)
{
    vf t[6][3];
#pragma GCC unroll 3
    for (size_t j = 0; j < 3; j++) {
        vf column[6];
        weight_1d(v_load(taps + j * tap_floats), v_load(taps + (3 + j) * tap_floats),
                  v_load(taps + (6 + j) * tap_floats), column);
#pragma GCC unroll 6
        for (size_t i = 0; i < 6; i++)
            t[i][j] = column[i];
    }
#pragma GCC unroll 6
    for (size_t i = 0; i < 6; i++) {
        vf row[6];
        weight_1d(t[i][0], t[i][1], t[i][2], row);
#pragma GCC unroll 6
        for (size_t j = 0; j < 6; j++)
            v_store(u + (i * 6 + j) * step, row[j]);
    }
}

static void pack_forward(const struct ctkd__winograd_shape *shape, const float *weights,
                         float *packed, size_t part, size_t parts)
{
    const size_t c_blocks = shape->c / VB, blocks = shape->o / VB * c_blocks;
    for (size_t i = blocks * part / parts; i < blocks * (part + 1) / parts; i++)
        for (size_t c = 0; c < VB; c++) /* packed rows are in the order [o block][c block] too */
            weight_tile(weights + i * 9 * VB * VB + c * VB, VB * VB, packed + (i * VB + c) * VB,
                        packed_step(shape));
}

/* A block of weights as backward-data sees it: turned by 180 degrees, c and o exchanged. */
static void turn_block(const float *block, float *turned)
{
    for (size_t tap = 0; tap < 9; tap++)
        for (size_t o = 0; o < VB; o++)
            for (size_t c = 0; c < VB; c++)
                turned[((8 - tap) * VB + o) * VB + c] = block[(tap * VB + c) * VB + o];
}

static void pack_backward(const struct ctkd__winograd_shape *shape, const float *weights,
                          float *packed, size_t part, size_t parts)
{
    const size_t c_blocks = shape->c / VB, o_blocks = shape->o / VB, blocks = o_blocks * c_blocks;
    float turned[9 * VB * VB];
    for (size_t i = blocks * part / parts; i < blocks * (part + 1) / parts; i++) {
        const size_t cb = i / o_blocks, ob = i % o_blocks;
        turn_block(weights + (ob * c_blocks + cb) * 9 * VB * VB, turned);
        for (size_t o = 0; o < VB; o++)
            weight_tile(turned + o * VB, VB * VB, packed + (i * VB + o) * VB, packed_step(shape));
    }
}
