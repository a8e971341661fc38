#include "data/augment.h"

#include "ctkd/random.h"

/* Uniform on 0..bound-1; the bias is below 2^-32 * bound. */
static ptrdiff_t below(uint32_t word, size_t bound)
{
    return (ptrdiff_t)(((uint64_t)word * bound) >> 32);
}

struct ctkd__view ctkd__view_of_words(const uint32_t words[3], size_t padding)
{
    return (struct ctkd__view){
        .top = below(words[0], 2 * padding + 1) - (ptrdiff_t)padding,
        .left = below(words[1], 2 * padding + 1) - (ptrdiff_t)padding,
        .flip = words[2] >> 31,
    };
}

struct ctkd__view ctkd__view_draw(uint64_t seed, uint64_t epoch, uint64_t id, size_t padding)
{
    uint32_t words[4];
    ctkd_random_u32x4(seed, CTKD_RANDOM_AUGMENT, epoch, id, words);
    return ctkd__view_of_words(words, padding);
}

size_t ctkd__view_count(size_t padding)
{
    const size_t side = 2 * padding + 1;
    return 2 * side * side;
}

size_t ctkd__view_number(const struct ctkd__view *view, size_t padding)
{
    const size_t side = 2 * padding + 1;
    const size_t top = (size_t)(view->top + (ptrdiff_t)padding);
    const size_t left = (size_t)(view->left + (ptrdiff_t)padding);
    return 2 * (top * side + left) + view->flip;
}

struct ctkd__view ctkd__view_of_number(size_t number, size_t padding)
{
    const size_t side = 2 * padding + 1;
    return (struct ctkd__view){ .top = (ptrdiff_t)(number / 2 / side) - (ptrdiff_t)padding,
                                .left = (ptrdiff_t)(number / 2 % side) - (ptrdiff_t)padding,
                                .flip = number % 2 };
}

void ctkd__normalise_table(float mean, float std, float table[256])
{
    for (int v = 0; v < 256; v++)
        table[v] = ((float)v / 255.0f - mean) / std;
}

static ptrdiff_t clamp(ptrdiff_t value, ptrdiff_t low, ptrdiff_t high)
{
    return value < low ? low : value > high ? high : value;
}

static void fill(float *out, ptrdiff_t n, float value)
{
    for (ptrdiff_t i = 0; i < n; i++)
        out[i] = value;
}

void ctkd__view_plane(const uint8_t *plane, size_t height, size_t width,
                      const struct ctkd__view *view, const float table[256], size_t out_height,
                      size_t out_width, float *out)
{
    const ptrdiff_t n = (ptrdiff_t)out_width, rows = (ptrdiff_t)height;
    /* The columns of the view, before the flip, that lie inside the image; the same for every
       row. */
    const ptrdiff_t first = clamp(-view->left, 0, n);
    const ptrdiff_t last = clamp((ptrdiff_t)width - view->left, first, n);
    for (size_t r = 0; r < out_height; r++, out += out_width) {
        const ptrdiff_t row = (ptrdiff_t)r + view->top;
        if (row < 0 || row >= rows || first == last) {
            fill(out, n, table[0]);
            continue;
        }
        const uint8_t *in = plane + (size_t)row * width + (first + view->left);
        const ptrdiff_t inside = last - first, before = view->flip ? n - last : first;
        fill(out, before, table[0]);
        if (view->flip)
            for (ptrdiff_t i = 0; i < inside; i++)
                out[before + i] = table[in[inside - 1 - i]];
        else
            for (ptrdiff_t i = 0; i < inside; i++)
                out[before + i] = table[in[i]];
        fill(out + before + inside, n - before - inside, table[0]);
    }
}

void ctkd__view_bytes(const uint8_t *plane, size_t height, size_t width,
                      const struct ctkd__view *view, size_t out_height, size_t out_width,
                      uint8_t *out)
{
    const ptrdiff_t n = (ptrdiff_t)out_width, step = view->flip ? -1 : 1;
    for (size_t r = 0; r < out_height; r++) {
        const ptrdiff_t row = (ptrdiff_t)r + view->top;
        const bool inside = row >= 0 && row < (ptrdiff_t)height;
        const uint8_t *in = plane + (inside ? (size_t)row * width : 0);
        ptrdiff_t column = view->left + (view->flip ? n - 1 : 0);
        for (ptrdiff_t i = 0; i < n; i++, column += step)
            *out++ = inside && column >= 0 && column < (ptrdiff_t)width ? in[column] : 0;
    }
}
