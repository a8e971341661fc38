/*
 * Winograd for layers with many channels on small maps, where the 36 transformed matrices (four
 * times the weights) are the bulk of the memory and of its traffic: the weights are transformed
 * during the call, piece by piece so that each stays in the cache, and the gradient of the
 * transformed weights is never stored completely. Part of winograd.inc.h.
 */

enum {
    DEEP_CHUNK = 128,     /* input channels whose weights are transformed at a time */
    DEEP_BYTES = 6 << 20, /* of V and M together */
    DEEP_U_STEP = COLS * DEEP_CHUNK * VB + STEP_PAD,
};

struct deep {
    struct work work;
    float *u;  /* [36][COLS output blocks][DEEP_CHUNK][VB] */
    float *du; /* [36][VB c][VB o] */
};

static size_t deep_init(struct deep *deep, const struct ctkd__winograd_shape *shape, bool backward,
                        void *scratch)
{
    const size_t per_tile = POINTS * sizeof(float) * (shape->c + shape->o);
    struct ctkd__winograd_shape blocked = *shape;
    blocked.tile_block = DEEP_BYTES / per_tile < 8 * ROWS ? 8 * ROWS : DEEP_BYTES / per_tile;
    const size_t bytes = work_init(&deep->work, &blocked, backward, scratch);
    /* The work's own du is not needed: the pieces take its place. */
    const size_t before = bytes - ctkd__round_up(POINTS * shape->c * shape->o, 16) * sizeof(float);
    float *const at = scratch ? (float *)(void *)((char *)scratch + before) : NULL;
    deep->u = at;
    deep->du = at ? at + POINTS * DEEP_U_STEP : NULL;
    return before + (POINTS * DEEP_U_STEP + POINTS * VB * VB) * sizeof(float);
}

/* Weights of input blocks [first, last) and output block ob of a forward convolution. */
static void deep_weights_forward(const struct work *work, const float *weights, size_t ob,
                                 size_t first, size_t last, float *u)
{
    for (size_t cb = first; cb < last; cb++)
        for (size_t c = 0; c < VB; c++)
            weight_tile(weights + (ob * work->v_blocks + cb) * 9 * VB * VB + c * VB, VB * VB,
                        u + ((cb - first) * VB + c) * VB, DEEP_U_STEP);
}

/* The same for backward-data: the blocks' roles are exchanged, each is turned and transposed. */
static void deep_weights_backward(const struct work *work, const float *weights, size_t cb,
                                  size_t first, size_t last, float *u)
{
    float turned[9 * VB * VB];
    for (size_t ob = first; ob < last; ob++) {
        turn_block(weights + (ob * work->m_blocks + cb) * 9 * VB * VB, turned);
        for (size_t o = 0; o < VB; o++)
            weight_tile(turned + o * VB, VB * VB, u + ((ob - first) * VB + o) * VB, DEEP_U_STEP);
    }
}

/* All 36 products for `cols` output blocks from ob on. */
static void deep_multiply(const struct deep *deep, size_t ob, size_t cols, size_t first,
                          size_t last, size_t tiles)
{
    const struct work *const work = &deep->work;
    for (size_t k = 0; k < POINTS; k++)
        for (size_t tile = 0; tile < tiles; tile += ROWS) {
            const size_t rows = tiles - tile < ROWS ? tiles - tile : ROWS;
            const float *const v = v_tile(work, tile, first) + k * work->v_step;
            const float *const u = deep->u + k * DEEP_U_STEP;
            float *const m = m_tile(work, tile, ob) + k * work->m_step;
            if (cols == COLS)
                product_rows(v, u, DEEP_CHUNK * VB, last - first, m, first > 0, rows, COLS);
            else
                product_rows(v, u, DEEP_CHUNK * VB, last - first, m, first > 0, rows, 1);
        }
}

static void deep_convolve(const struct deep *deep, bool backward, size_t n, const float *x,
                          const struct ctkd__winograd_prologue *prologue, const float *weights,
                          const struct ctkd__winograd_epilogue *epilogue, float *y)
{
    const struct work *const work = &deep->work;
    const size_t tiles = n * work->tile_rows * work->tile_cols, piece = DEEP_CHUNK / VB;
    clear_ring(work);
    for (size_t begin = 0; begin < tiles; begin += work->block) {
        const size_t end = tiles - begin < work->block ? tiles : begin + work->block;
        transform_input(work, begin, end, x, prologue);
        for (size_t ob = 0; ob < work->m_blocks; ob += COLS) {
            const size_t cols = work->m_blocks - ob < COLS ? 1 : COLS;
            for (size_t first = 0; first < work->v_blocks; first += piece) {
                const size_t left = work->v_blocks - first,
                             last = first + (left < piece ? left : piece);
                for (size_t q = 0; q < cols; q++)
                    (backward ? deep_weights_backward : deep_weights_forward)(
                        work, weights, ob + q, first, last, deep->u + q * DEEP_CHUNK * VB);
                deep_multiply(deep, ob, cols, first, last, end - begin);
            }
            for (size_t q = 0; q < cols; q++)
                transform_output_any(work, begin, end, ob + q, epilogue, y);
        }
    }
}

/* dw of one pair of blocks from all tiles in V and M: 36 products, then G^T dU G, added to dw or
 * written. */
static void deep_gradient_block(const struct deep *deep, size_t cb, size_t ob, size_t tiles,
                                bool add, float *dw)
{
    const struct work *const work = &deep->work;
    float piece[9 * VB * VB];
    for (size_t k = 0; k < POINTS; k++)
        outer_product(work, k, cb, ob, tiles, deep->du + k * VB * VB, false, 1);
    float *const out = dw + (ob * work->v_blocks + cb) * 9 * VB * VB;
    float *const to = add ? piece : out;
    for (size_t c = 0; c < VB; c++)
        weight_gradient_tile(deep->du + c * VB, VB * VB, to + c * VB);
    for (size_t i = 0; add && i < 9 * VB * VB; i += VB)
        v_store(out + i, v_load(out + i) + v_load(piece + i));
}

static void deep_backward_weights(const struct deep *deep, size_t n, const float *x,
                                  const struct ctkd__winograd_prologue *prologue, const float *dy,
                                  float *dw)
{
    const struct work *const work = &deep->work;
    const size_t tiles = n * work->tile_rows * work->tile_cols;
    clear_ring(work);
    for (size_t begin = 0; begin < tiles; begin += work->block) {
        const size_t end = tiles - begin < work->block ? tiles : begin + work->block;
        transform_input(work, begin, end, x, prologue);
        transform_gradient(work, begin, end, dy);
        for (size_t ob = 0; ob < work->m_blocks; ob++)
            for (size_t cb = 0; cb < work->v_blocks; cb++)
                deep_gradient_block(deep, cb, ob, end - begin, begin > 0, dw);
    }
}

/* ---- What the table holds: one name for both ways ---- */

static void any_forward(const struct ctkd__winograd_shape *shape, size_t n, const float *x,
                        const struct ctkd__winograd_prologue *prologue, const float *packed,
                        const struct ctkd__winograd_epilogue *epilogue, float *y, void *scratch)
{
    static const struct ctkd__winograd_epilogue none = { 0 };
    struct deep deep;
    if (!shape->deep) {
        forward(shape, n, x, prologue, packed, epilogue, y, scratch);
        return;
    }
    deep_init(&deep, shape, false, scratch);
    deep_convolve(&deep, false, n, x, prologue, packed, epilogue ? epilogue : &none, y);
}

static void any_backward_data(const struct ctkd__winograd_shape *shape, size_t n, const float *dy,
                              const float *packed, const float *base, float *dx, void *scratch)
{
    const struct ctkd__winograd_epilogue epilogue = { .residual = base };
    struct deep deep;
    if (!shape->deep) {
        backward_data(shape, n, dy, packed, base, dx, scratch);
        return;
    }
    deep_init(&deep, shape, true, scratch);
    deep_convolve(&deep, true, n, dy, NULL, packed, &epilogue, dx);
}

static void any_backward_weights(const struct ctkd__winograd_shape *shape, size_t n, const float *x,
                                 const struct ctkd__winograd_prologue *prologue, const float *dy,
                                 float *dw, void *scratch)
{
    struct deep deep;
    if (!shape->deep) {
        backward_weights(shape, n, x, prologue, dy, dw, scratch);
        return;
    }
    deep_init(&deep, shape, false, scratch);
    deep_backward_weights(&deep, n, x, prologue, dy, dw);
}
