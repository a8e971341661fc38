/* Sets of weights behind wrappers, by names alone: which are found, what they are called, which is
   taken. Files with such sets: tests/test_pth.c. */
#include "io/sets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/models/models.h"
#include "support/check.h"

enum { NAMES_MAX = 24 };

/* "NAME:RANK", or "DICTS/NAME:RANK" where dicts are around; ends with NULL. */
struct test_case {
    const char *names[NAMES_MAX];
    const char *sets; /* in order of preference, "NAME(tensors)" */
};

/* A network of four tensors behind a prefix. */
#define NET(p) p "conv1.weight:4", p "bn1.weight:1", p "fc.weight:2", p "fc.bias:1"

static const struct test_case cases[] = {
    { { NET("") }, "(4)" },
    { { NET("module.") }, "module(4)" },
    { { NET("_orig_mod.module.") }, "_orig_mod.module(4)" },
    { { NET("state_dict.backbone.module.") }, "state_dict.backbone(4)" },
    { { NET("resnet.") }, "resnet(4)" }, /* all names share it */
    { { NET("model/") }, "model(4)" },
    { { NET("anything/"), NET("something/") }, "anything(4) something(4)" }, /* dicts part */
    /* averages, with their counters */
    { { NET("model_ema/"), NET("model/") }, "model(4) model_ema(4)" },
    { { "ema_state_dict/n_averaged:0", NET("ema_state_dict/module."), NET("state_dict/") },
      "state_dict(4) ema_state_dict(4)" },
    { { NET(""), NET("ema.") }, "root(4) ema(4)" },
    { { NET("model."), NET("model_ema.module."), "model_ema.decay:0" }, "model(4) model_ema(4)" },
    /* distillers */
    { { NET("module.teacher."), NET("module.student."), "module.conv_reg.weight:4" },
      "student(4) teacher(4)" },
    { { NET("model/module.student."), NET("model/module.teacher.") },
      "model.student(4) model.teacher(4)" },
    { { NET("teacher."), NET("") }, "root(4) teacher(4)" },
    { { NET("student/"), NET("teacher/") }, "student(4) teacher(4)" },
    /* criteria and the like are none, and take nothing from the network */
    { { NET("model."), "criterion.embed.weight:2", "loss_fn.weight:1" }, "model(4)" },
    { { NET("model/"), "criterion/embed.weight:2" }, "model(4)" },
    { { NET("model/"), "best_acc:0" }, "model(4)" },
    /* a layer beside what is called a model is of the same network */
    { { "model.conv1.weight:4", "model.bn1.weight:1", "fc.weight:2", "fc.bias:1" }, "(4)" },
    /* parts of a network that all names share are no wrappers */
    { { "features.0.weight:4", "features.1.weight:1", "features.3.weight:4" }, "(3)" },
    { { "fc.weight:2", "fc.bias:1" }, "(2)" },
    { { "w:1" }, "(1)" },
    { { NULL }, "" },
};

static struct ctkd__set_member member_of(const char *text, char name[128])
{
    const char *const slash = strchr(text, '/'), *const colon = strchr(text, ':');
    snprintf(name, 128, "%.*s", (int)(colon - text), text);
    if (slash)
        name[slash - text] = '.';
    return (struct ctkd__set_member){ name, slash ? (size_t)(slash - text) + 1 : 0, atoi(colon + 1),
                                      7 };
}

static void sets_are_found_by_their_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ctkd__set_member members[NAMES_MAX];
        char names[NAMES_MAX][128], found[512] = "";
        struct ctkd__sets sets;
        ctkd_error err = { 0 };
        size_t n = 0, members_of_sets = 0;
        for (; cases[i].names[n]; n++)
            members[n] = member_of(cases[i].names[n], names[n]);
        check_ok(ctkd__sets_find(members, n, &sets, &err), &err);
        for (size_t k = 0; k < sets.count; k++) {
            snprintf(found + strlen(found), sizeof found - strlen(found), "%s%s(%zu)", k ? " " : "",
                     sets.items[k].name, sets.items[k].count);
            size_t own = 0;
            for (size_t j = 0; j < n; j++)
                if (members[j].set == sets.items[k].id) {
                    own++;
                    assert_true(strlen(members[j].name) > sets.items[k].cut);
                }
            assert_int_equal(own, sets.items[k].count);
            members_of_sets += own;
        }
        assert_true(members_of_sets <= n);
        if (strcmp(found, cases[i].sets) != 0)
            fail_msg("case %zu: %s, expected %s", i, found, cases[i].sets);
    }
}

/* Of each network, behind nothing and behind each wrapper: one set, and its own names. */
static void no_network_is_taken_apart(void **state)
{
    (void)state;
    static const char *const prefixes[] = { "",         "module.",     "_orig_mod.", "model.",
                                            "student.", "net.module.", "backbone.",  "encoder." };
    for (const struct ctkd__model_family *const *family = ctkd__model_families(); *family; family++)
        for (const struct ctkd__model *model = (*family)->models; model->name; model++) {
            const struct ctkd__model_args args = ctkd__model_published(*family);
            struct ctkd__graph *graph;
            ctkd_error err = { 0 };
            check_ok(ctkd__model_build(model->name, &args, &graph, &err), &err);
            for (size_t p = 0; p < sizeof prefixes / sizeof *prefixes; p++) {
                struct ctkd__tensors list = { 0 };
                struct ctkd__tensor *tensor;
                struct ctkd__sets sets;
                char name[256];
                for (int i = 0; i < graph->n_parameters; i++) {
                    const int64_t one[CTKD__RANK_MAX] = { 1, 1, 1, 1, 1, 1, 1, 1 };
                    snprintf(name, sizeof name, "%s%s", prefixes[p], graph->parameters[i].name);
                    check_ok(ctkd__tensors_add(&list, name, CTKD__F32, graph->parameters[i].rank,
                                               one, &tensor, &err),
                             &err);
                }
                check_ok(ctkd__sets_take(&list, "", "x", &sets, &err), &err);
                assert_int_equal(sets.count, 1);
                assert_int_equal(list.count, graph->n_parameters);
                for (int i = 0; i < graph->n_parameters; i++)
                    assert_string_equal(list.items[i].name, graph->parameters[i].name);
                ctkd__tensors_fini(&list);
            }
            ctkd__graph_destroy(graph);
        }
}

static struct ctkd__tensors pair(void)
{
    static const char *const names[] = { NET("model_ema.module."), NET("model.") };
    struct ctkd__tensors list = { 0 };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char name[128];
        struct ctkd__tensor *tensor;
        ctkd_error err = { 0 };
        const int64_t one[4] = { 1, 1, 1, 1 };
        const struct ctkd__set_member member = member_of(names[i], name);
        check_ok(ctkd__tensors_add(&list, name, CTKD__F32, member.rank, one, &tensor, &err), &err);
        *(float *)tensor->data = i < 4 ? 2 : 1;
    }
    return list;
}

static void the_set_that_is_asked_for_is_taken(void **state)
{
    (void)state;
    static const struct {
        const char *wanted;
        float value;
    } asked[] = { { NULL, 1 }, { "", 1 }, { "model", 1 }, { "model_ema", 2 } };
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        struct ctkd__tensors list = pair();
        struct ctkd__sets sets;
        char text[256];
        ctkd_error err = { 0 };
        check_ok(ctkd__sets_take(&list, asked[i].wanted, "x", &sets, &err), &err);
        assert_int_equal(list.count, 4);
        assert_string_equal(list.items[0].name, "conv1.weight");
        for (size_t k = 0; k < 4; k++)
            assert_true(*(float *)list.items[k].data == asked[i].value);
        assert_string_equal(ctkd__sets_text(&sets, "teacher.weights", text, sizeof text),
                            i > 1 ? ""
                                  : "using the weights of model; the file also has model_ema "
                                    "(teacher.weights=model_ema selects these)");
        ctkd__tensors_fini(&list);
    }
}

static void a_set_that_is_not_there_is_refused_with_those_that_are(void **state)
{
    (void)state;
    struct ctkd__tensors list = pair();
    struct ctkd__sets sets;
    ctkd_error err = { 0 };
    assert_int_equal(ctkd__sets_take(&list, "ema", "x.pth", &sets, &err), CTKD_EINVAL);
    assert_string_equal(err.message, "x.pth: found no weights 'ema', expected model, "
                                     "model_ema");
    assert_int_equal(list.count, 8);
    check_ok(ctkd__sets_take(&list, "model", "x.pth", &sets, &err), &err);
    assert_int_equal(ctkd__sets_take(&list, "model", "x.pth", &sets, &err), CTKD_EINVAL);
    assert_string_equal(err.message,
                        "x.pth: found weights 'model', but the file has a single set of "
                        "weights without a name");
    ctkd__tensors_fini(&list);
}

/* More sets than are kept, deep wrappers, and a name that is all dots. */
static void strange_names_are_bounded(void **state)
{
    (void)state;
    enum { MANY = 100 };
    static struct ctkd__set_member members[MANY];
    static char names[MANY][512];
    struct ctkd__sets sets;
    ctkd_error err = { 0 };
    for (size_t i = 0; i < MANY; i++) {
        if (i < 40)
            snprintf(names[i], sizeof names[i], "model%zu_net.conv.weight", i);
        else
            memset(names[i], '.', i);
        for (size_t k = 0; k < 30 && i >= 70; k++)
            memcpy(names[i] + 7 * k, "module.", 7);
        members[i] = (struct ctkd__set_member){ names[i], i % 3 ? strlen(names[i]) : 0, 4, 0 };
    }
    check_ok(ctkd__sets_find(members, MANY, &sets, &err), &err);
    assert_true(sets.count <= CTKD__SETS_MAX);
    for (size_t i = 0; i < sets.count; i++)
        assert_true(strlen(sets.items[i].name) < CTKD__SET_NAME_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_are_found_by_their_names),
        cmocka_unit_test(no_network_is_taken_apart),
        cmocka_unit_test(the_set_that_is_asked_for_is_taken),
        cmocka_unit_test(a_set_that_is_not_there_is_refused_with_those_that_are),
        cmocka_unit_test(strange_names_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
