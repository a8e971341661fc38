#include "weights/match.h"

#include <stdio.h>
#include <stdlib.h>

#include "support/check.h"

/* conv 3 -> 4, batch norm, conv 4 -> 4, linear 4 -> 5 */
static struct ctkd__graph *network(void)
{
    struct ctkd__graph *graph;
    ctkd_error err = { 0 };
    const struct ctkd__conv_args args = { .out = 4, .kernel = 1, .stride = 1 };
    assert_int_equal(ctkd__graph_create(&graph), CTKD_OK);
    int x = ctkd__graph_input(graph, 3, 4, 4);
    x = ctkd__graph_conv(graph, x, "conv1", &args);
    x = ctkd__graph_batch_norm(graph, x, "bn1");
    x = ctkd__graph_conv(graph, x, "conv2", &args);
    x = ctkd__graph_global_pool(graph, x);
    x = ctkd__graph_linear(graph, x, "fc", 5, CTKD__INIT_CONSTANT, 0, CTKD__INIT_CONSTANT, 0);
    check_ok(ctkd__graph_finish(graph, x, &err), &err);
    return graph;
}

struct item {
    const char *name;
    int rank;
    int64_t shape[4];
};
static const struct item published[] = {
    { "conv1.weight", 4, { 4, 3, 1, 1 } },
    { "bn1.weight", 1, { 4 } },
    { "bn1.bias", 1, { 4 } },
    { "bn1.running_mean", 1, { 4 } },
    { "bn1.running_var", 1, { 4 } },
    { "conv2.weight", 4, { 4, 4, 1, 1 } },
    { "fc.weight", 2, { 5, 4 } },
    { "fc.bias", 1, { 5 } },
};
enum { COUNT = sizeof published / sizeof *published };

/* Adds a tensor; every element is the number of the tensor in the list. */
static void put(struct ctkd__tensors *list, const char *prefix, const char *name, int rank,
                const int64_t *shape)
{
    char full[128];
    struct ctkd__tensor *tensor;
    ctkd_error err;
    snprintf(full, sizeof full, "%s%s", prefix, name);
    check_ok(ctkd__tensors_add(list, full, CTKD__F32, rank, shape, &tensor, &err), &err);
    for (size_t i = 0; i < ctkd__tensor_elements(tensor); i++)
        ((float *)tensor->data)[i] = (float)list->count;
}

static struct ctkd__tensors listed(const char *prefix)
{
    struct ctkd__tensors list = { 0 };
    for (size_t i = 0; i < COUNT; i++)
        put(&list, prefix, published[i].name, published[i].rank, published[i].shape);
    return list;
}

static void rename_to(struct ctkd__tensors *list, size_t i, const char *name)
{
    free(list->items[i].name);
    list->items[i].name = strdup(name);
    assert_non_null(list->items[i].name);
}

/* Frees the list, which must be the published one, in order, with the values of put(). */
static void check_matches(struct ctkd__tensors *list, const char *note)
{
    struct ctkd__graph *const graph = network();
    char found[CTKD__NOTE_BYTES];
    ctkd_error err = { 0 };
    check_ok(ctkd__match(graph, list, found, &err), &err);
    if (!strstr(found, note) || (!note[0] && found[0]))
        fail_msg("\"%s\", expected \"%s\"", found, note);
    assert_int_equal(list->count, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        assert_string_equal(list->items[i].name, published[i].name);
        check_close(*(float *)list->items[i].data, i + 1, 0, 0);
    }
    ctkd__graph_destroy(graph);
    ctkd__tensors_fini(list);
}

/* Frees the list. */
static void check_refused(struct ctkd__tensors *list, const char *message)
{
    struct ctkd__graph *const graph = network();
    char note[CTKD__NOTE_BYTES];
    ctkd_error err = { 0 };
    const size_t count = list->count;
    assert_int_equal(ctkd__match(graph, list, note, &err), CTKD_ESHAPE);
    assert_string_equal(err.message, message);
    assert_int_equal(list->count, count);
    ctkd__graph_destroy(graph);
    ctkd__tensors_fini(list);
}

static void equal_names_match(void **state)
{
    (void)state;
    struct ctkd__tensors list = listed("");
    check_matches(&list, "");
}

static void names_count_not_their_order(void **state)
{
    (void)state;
    struct ctkd__tensors list = listed("");
    const struct ctkd__tensor first = list.items[0];
    list.items[0] = list.items[6];
    list.items[6] = first;
    check_matches(&list, "");
}

static void prefixes_of_wrappers_are_dropped_in_any_order(void **state)
{
    (void)state;
    const char *const prefixes[] = { "module.", "_orig_mod.module.", "module.model.",
                                     "state_dict.backbone.module." };
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        struct ctkd__tensors list = listed(prefixes[i]);
        check_matches(&list, "");
    }
}

static void a_distillers_student_is_found_among_its_other_modules(void **state)
{
    (void)state;
    struct ctkd__tensors list = listed("module.student.");
    put(&list, "module.teacher.", "conv1.weight", 1, (int64_t[]){ 3 });
    put(&list, "module.", "mlp.weight", 1, (int64_t[]){ 1 });
    check_matches(&list, "");
}

static void other_names_match_by_order_and_shape(void **state)
{
    (void)state;
    struct ctkd__tensors list = listed("");
    rename_to(&list, 0, "stem.weight");
    rename_to(&list, 5, "body.weight");
    check_matches(&list, "2 of 8 parameters are matched by order: their shapes agree but not their "
                         "names (conv1.weight with stem.weight)");
}

static void order_wants_the_same_kind_and_shape(void **state)
{
    (void)state;
    struct ctkd__tensors list = listed("");
    rename_to(&list, 1, "norm.gamma"); /* [4], but no weight by its name */
    check_refused(&list,
                  "the weights do not fit: 1 missing (bn1.weight), 1 unexpected (norm.gamma), "
                  "0 of another shape");
    list = listed("");
    rename_to(&list, 0, "b.weight"); /* both at once, so that they would be exchanged */
    rename_to(&list, 5, "a.weight");
    const struct ctkd__tensor first = list.items[0];
    list.items[0] = list.items[5];
    list.items[5] = first;
    check_refused(&list, "the weights do not fit: 2 missing (conv1.weight, conv2.weight), "
                         "2 unexpected (a.weight, b.weight), 0 of another shape");
}

static void differences_are_counted_and_the_first_are_named(void **state)
{
    (void)state;
    struct ctkd__tensors list = { 0 };
    put(&list, "", "conv1.weight", 4, (int64_t[]){ 4, 1, 1, 1 });
    for (size_t i = 5; i < COUNT; i++)
        put(&list, "", published[i].name, published[i].rank, published[i].shape);
    put(&list, "", "extra", 0, NULL);
    check_refused(
        &list, "the weights do not fit: 4 missing (bn1.weight, bn1.bias, bn1.running_mean, ...), "
               "1 unexpected (extra), 1 of another shape (conv1.weight: found F32 [4, 1, 1, 1], "
               "expected F32 [4, 3, 1, 1])");
}

static void of_the_batch_counts_one_stays(void **state)
{
    (void)state;
    struct ctkd__graph *const graph = network();
    struct ctkd__tensors list = listed("module.");
    struct ctkd__tensor *tensor;
    char note[CTKD__NOTE_BYTES];
    ctkd_error err = { 0 };
    for (int i = 0; i < 2; i++) {
        char name[64];
        snprintf(name, sizeof name, "module.bn%d.num_batches_tracked", i);
        check_ok(ctkd__tensors_add(&list, name, CTKD__I64, 0, NULL, &tensor, &err), &err);
    }
    check_ok(ctkd__match(graph, &list, note, &err), &err);
    assert_int_equal(list.count, COUNT + 1);
    assert_string_equal(list.items[COUNT].name, "bn0.num_batches_tracked");
    ctkd__graph_destroy(graph);
    ctkd__tensors_fini(&list);
}

static void double_precision_becomes_single(void **state)
{
    (void)state;
    struct ctkd__tensors list = { 0 };
    struct ctkd__tensor *tensor;
    ctkd_error err;
    for (size_t i = 0; i < COUNT; i++) {
        check_ok(ctkd__tensors_add(&list, published[i].name, CTKD__F64, published[i].rank,
                                   published[i].shape, &tensor, &err),
                 &err);
        for (size_t k = 0; k < ctkd__tensor_elements(tensor); k++)
            ((double *)tensor->data)[k] = (double)(i + 1);
    }
    check_matches(&list, "");
}

static void sizes_and_the_network_are_seen_from_the_shapes(void **state)
{
    (void)state;
    const struct ctkd__model_args args = { 1, 32, 32, 7 };
    struct ctkd__graph *graph;
    struct ctkd__tensors list = { 0 };
    const char *names[4];
    size_t channels, classes, count;
    ctkd_error err;
    assert_false(ctkd__match_sizes(&list, &channels, &classes));
    check_ok(ctkd__model_build("resnet14", &args, &graph, &err), &err);
    for (int i = 0; i < graph->n_parameters; i++) {
        const struct ctkd__parameter *const p = &graph->parameters[i];
        int64_t shape[4];
        for (int k = 0; k < p->rank; k++)
            shape[k] = (int64_t)p->shape[k];
        put(&list, "", p->name, p->rank, shape);
    }
    ctkd__graph_destroy(graph);
    assert_true(ctkd__match_sizes(&list, &channels, &classes));
    assert_true(channels == 1 && classes == 7);
    check_ok(ctkd__match_networks(&list, 4, names, &count, &err), &err);
    assert_int_equal(count, 1);
    assert_string_equal(names[0], "resnet14");
    rename_to(&list, 0, "stem.weight");
    check_ok(ctkd__match_networks(&list, 4, names, &count, &err), &err);
    assert_int_equal(count, 0);
    ctkd__tensors_fini(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_names_match),
        cmocka_unit_test(names_count_not_their_order),
        cmocka_unit_test(prefixes_of_wrappers_are_dropped_in_any_order),
        cmocka_unit_test(a_distillers_student_is_found_among_its_other_modules),
        cmocka_unit_test(other_names_match_by_order_and_shape),
        cmocka_unit_test(order_wants_the_same_kind_and_shape),
        cmocka_unit_test(differences_are_counted_and_the_first_are_named),
        cmocka_unit_test(of_the_batch_counts_one_stays),
        cmocka_unit_test(double_precision_becomes_single),
        cmocka_unit_test(sizes_and_the_network_are_seen_from_the_shapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
