#include "support/drawn.h"

#include <stdlib.h>

#include "ctkd/random.h"

/* As in networks.py. */
enum { MAJOR_PIXELS = 1 << 20, MAJOR_DIRECTIONS = 1 << 21, MAJOR_TAPS = 1 << 23 };

static float normal(uint64_t seed, size_t major, size_t minor)
{
    return ctkd_random_normal(seed, CTKD_RANDOM_TEST, major, minor);
}

/* Element i of a parameter: He's deviation for weights, near their defaults for batch norm. */
static float draw(const struct ctkd__graph *graph, uint64_t seed, size_t index, size_t i)
{
    const struct ctkd__parameter *const parameter = &graph->parameters[index];
    const size_t fan_in = ctkd__parameter_elements(parameter) / parameter->shape[0];
    if (parameter->role == CTKD__ROLE_VARIANCE)
        return 0.75f + 0.5f * ctkd_random_uniform(seed, CTKD_RANDOM_TEST, index, i);
    if (parameter->rank > 1)
        return (float)sqrt(2.0 / (double)fan_in) * normal(seed, index, i);
    if (parameter->role == CTKD__ROLE_WEIGHT)
        return 1.0f + 0.125f * normal(seed, index, i);
    return 0.125f * normal(seed, index, i);
}

static float *add_like(struct ctkd__tensors *list, const struct ctkd__parameter *parameter)
{
    int64_t shape[4];
    for (int i = 0; i < 4; i++)
        shape[i] = (int64_t)parameter->shape[i];
    struct ctkd__tensor *tensor;
    ctkd_error err = { 0 };
    check_ok(
        ctkd__tensors_add(list, parameter->name, CTKD__F32, parameter->rank, shape, &tensor, &err),
        &err);
    return tensor->data;
}

void drawn_parameters(const struct ctkd__graph *graph, uint64_t seed, struct ctkd__tensors *values,
                      struct ctkd__tensors *directions)
{
    for (size_t index = 0; index < (size_t)graph->n_parameters; index++) {
        const struct ctkd__parameter *const parameter = &graph->parameters[index];
        float *const value = add_like(values, parameter);
        float *const direction = add_like(directions, parameter);
        const size_t n = ctkd__parameter_elements(parameter);
        for (size_t i = 0; i < n; i++) {
            value[i] = draw(graph, seed, index, i);
            direction[i] = normal(seed, MAJOR_DIRECTIONS + index, i);
        }
    }
}

float *drawn_pixels(uint64_t seed, size_t n)
{
    float *const x = malloc(n * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < n; i++)
        x[i] = normal(seed, MAJOR_PIXELS, i);
    return x;
}

int32_t drawn_label(size_t i)
{
    return (int32_t)((7 * i + 3) % DRAWN_CLASSES);
}

float drawn_tap_direction(uint64_t seed, size_t i, size_t j)
{
    return normal(seed, MAJOR_TAPS + i, j);
}

struct drawn_difference drawn_compare(const float *expected, size_t index, size_t samples,
                                      const float *values, const float *direction, size_t n,
                                      double floor)
{
    assert_int_equal((int)expected[0], (int)index);
    double squares = 0, projection = 0;
    for (size_t i = 0; i < n; i++) {
        squares += (double)values[i] * (double)values[i];
        projection += (double)values[i] * (double)direction[i];
    }
    assert_true(isfinite(squares));
    const double norm = (double)expected[1], scale = norm + floor;
    struct drawn_difference d = { fabs(sqrt(squares) - norm) / scale,
                                  fabs(projection - (double)expected[2]) / scale, 0 };
    for (size_t i = 0; i < samples; i++)
        d.element = fmax(d.element, fabs((double)values[i * (n - 1) / (DRAWN_SAMPLES - 1)] -
                                         (double)expected[3 + i]) *
                                        sqrt((double)n) / scale);
    return d;
}
