#include "train/class_columns.h"

#include <stdlib.h>

#include "support/check.h"

static const struct ctkd__names *names_of(const char *text)
{
    const struct ctkd__names *names;
    ctkd_error err;
    check_ok(ctkd__names_of_text("test", text, &names, &err), &err);
    return names;
}

static void outputs_are_found_by_name(void **state)
{
    (void)state;
    uint32_t *columns;
    ctkd_error err;
    const struct ctkd__names *const own = names_of("wasp\nbee\nant\nfly\n");
    check_ok(ctkd__class_columns("t", own, own, false, &columns, &err), &err);
    assert_null(columns);
    check_ok(
        ctkd__class_columns("t", own, names_of("ant\nbee\nfly\nwasp\n"), false, &columns, &err),
        &err);
    static const uint32_t all[] = { 2, 1, 3, 0 };
    assert_memory_equal(columns, all, sizeof all);
    free(columns);
    check_ok(ctkd__class_columns("t", own, names_of("ant\nwasp\n"), true, &columns, &err), &err);
    const float own_logits[] = { 1, 2, 3, 4, 5, 6, 7, 8 }, expected[] = { 3, 1, 7, 5 };
    float logits[4];
    ctkd__class_columns_take(2, 4, 2, columns, own_logits, logits);
    assert_memory_equal(logits, expected, sizeof expected);
    free(columns);
}

static void other_classes_are_listed(void **state)
{
    (void)state;
    static const struct {
        const char *own, *data, *message;
        bool select;
    } cases[] = {
        { "ant\nbee", "ant\nbee\ncat\ndog",
          "t: the network lacks 2 of the 4 classes of the data: cat, dog; expected a network that "
          "knows them",
          false },
        { "ant\nbee\ncat\ndog\neel\nfly\ngnu", "ant\nbee",
          "t: the network has 5 classes that the data do not have: cat, dog, eel, fly and 1 more; "
          "expected the same classes, or teacher.classes=FILE with the names of all its outputs to "
          "use those of the data alone",
          false },
        { "ant\nbee", "ant\nbees",
          "t: the network knows 1 of the 2 classes of the data: it lacks bees, and has bee; "
          "expected the same classes",
          false },
        { "ant\nbee\ncat", "ant\nbees",
          "t: the network lacks 1 of the 2 classes of the data: bees; expected a network that "
          "knows them",
          true },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t *columns;
        ctkd_error err;
        assert_int_equal(ctkd__class_columns("t", names_of(cases[i].own), names_of(cases[i].data),
                                             cases[i].select, &columns, &err),
                         CTKD_ESHAPE);
        assert_null(columns);
        assert_string_equal(err.message, cases[i].message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outputs_are_found_by_name),
        cmocka_unit_test(other_classes_are_listed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
