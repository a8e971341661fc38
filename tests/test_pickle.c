#include <stdlib.h>

#include "support/check.h"
#include "util/pickle.h"

/* One pickle written out; the macro keeps the zeros inside the literal. */
struct parsed {
    struct ctkd__pickle pickle;
    const struct ctkd__pickle_value *root;
    ctkd_status status;
    ctkd_error err;
    size_t used;
};
#define PARSE(text) parse(text, sizeof(text) - 1)
static struct parsed parse(const char *bytes, size_t n)
{
    struct parsed p = { .err = { .status = CTKD_OK } };
    p.status = ctkd__pickle_read(&p.pickle, "x.pth", bytes, n, &p.used, &p.root, &p.err);
    assert_int_equal(p.status, p.err.status);
    assert_true((p.status == CTKD_OK) == (p.root != NULL));
    return p;
}

#define CHECK_REFUSED(text, message) check_refused(text, sizeof(text) - 1, message)
static void check_refused(const char *bytes, size_t n, const char *message)
{
    struct parsed p = parse(bytes, n);
    assert_string_equal(p.err.message, message);
    ctkd__pickle_fini(&p.pickle);
}

static void plain_values_have_their_kind(void **state)
{
    (void)state;
    struct parsed p = PARSE("\x80\x02(N\x88\x89J\xfe\xff\xff\xffK\xffM\x01\x02\x8a\x00\x8a\x02\x00"
                            "\x80G\x3f\xf8\x00\x00\x00\x00\x00\x00X\x02\x00\x00\x00hiC\x01zt.rest");
    check_ok(p.status, &p.err);
    assert_int_equal(p.used, 43); /* the rest is the caller's */
    assert_int_equal(p.root->kind, CTKD__PICKLE_TUPLE);
    assert_int_equal(p.root->count, 11);
    struct ctkd__pickle_value **items = p.root->items;
    const int64_t integers[] = { 0, 1, 0, -2, 255, 513, 0, -32768 };
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(items[i]->integer, integers[i]);
    assert_int_equal(items[0]->kind, CTKD__PICKLE_NONE);
    assert_int_equal(items[1]->kind, CTKD__PICKLE_BOOL);
    assert_int_equal(items[3]->kind, CTKD__PICKLE_INT);
    assert_int_equal(items[8]->kind, CTKD__PICKLE_FLOAT);
    assert_true(items[8]->number == 1.5);
    assert_true(ctkd__pickle_is_string(items[9], "hi"));
    assert_false(ctkd__pickle_is_string(items[9], "h"));
    assert_false(ctkd__pickle_is_string(items[10], "z")); /* bytes are no string */
    assert_int_equal(items[10]->kind, CTKD__PICKLE_BYTES);
    ctkd__pickle_fini(&p.pickle);
}

static void integers_beyond_64_bits_are_bytes(void **state)
{
    (void)state;
    struct parsed p = PARSE("\x80\x02\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01.");
    check_ok(p.status, &p.err);
    assert_int_equal(p.root->kind, CTKD__PICKLE_BYTES);
    assert_int_equal(p.root->length, 9);
    ctkd__pickle_fini(&p.pickle);
    p = PARSE("\x80\x02\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80.");
    check_ok(p.status, &p.err);
    assert_true(p.root->integer == INT64_MIN);
    ctkd__pickle_fini(&p.pickle);
}

static void containers_are_filled_by_every_operation(void **state)
{
    (void)state;
    /* [1, 2, 3] by APPEND and APPENDS, then {1: 2, 3: 4} by SETITEM and SETITEMS, LIST, DICT,
     * TUPLE1 */
    struct parsed p = PARSE("\x80\x02(]K\x01"
                            "a(K\x02K\x03"
                            "e}K\x01K\x02s(K\x03K\x04u(K\x07l(K\x08K\x09"
                            "dK\x05\x85t.");
    check_ok(p.status, &p.err);
    struct ctkd__pickle_value **items = p.root->items;
    const size_t counts[] = { 3, 4, 1, 2, 1 };
    const enum ctkd__pickle_kind kinds[] = { CTKD__PICKLE_LIST, CTKD__PICKLE_DICT,
                                             CTKD__PICKLE_LIST, CTKD__PICKLE_DICT,
                                             CTKD__PICKLE_TUPLE };
    assert_int_equal(p.root->count, 5);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(items[i]->kind, kinds[i]);
        assert_int_equal(items[i]->count, counts[i]);
    }
    assert_int_equal(items[0]->items[2]->integer, 3);
    assert_int_equal(items[1]->items[3]->integer, 4);
    ctkd__pickle_fini(&p.pickle);
}

static void classes_are_names_and_calls_are_not_made(void **state)
{
    (void)state;
    struct parsed p =
        PARSE("\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00(cos\nsystem\nX\x04\x00\x00"
              "\x00true\x85RX\x02\x00\x00\x00osX\x05\x00\x00\x00popen\x93)\x81"
              "K\x05Qt.");
    check_ok(p.status, &p.err);
    struct ctkd__pickle_value **items = p.root->items;
    assert_int_equal(items[0]->kind, CTKD__PICKLE_OBJECT);
    assert_true(ctkd__pickle_is_global(items[0]->callable, "os", "system"));
    assert_true(ctkd__pickle_is_string(items[0]->args->items[0], "true"));
    assert_true(ctkd__pickle_is_global(items[1]->callable, "os", "popen"));
    assert_int_equal(items[2]->kind, CTKD__PICKLE_PERSISTENT);
    assert_int_equal(items[2]->args->integer, 5);
    assert_int_equal(p.pickle.n_persistent, 1);
    assert_ptr_equal(p.pickle.persistent[0], items[2]);
    ctkd__pickle_fini(&p.pickle);
}

static void an_object_is_filled_like_a_dict_or_stays_opaque(void **state)
{
    (void)state;
    struct parsed p = PARSE("\x80\x02"
                            "ccollections\nOrderedDict\n)R(K\x01K\x02uK\x03K\x04s(K\x09"
                            "e}b.");
    check_ok(p.status, &p.err);
    assert_int_equal(p.root->kind, CTKD__PICKLE_OBJECT);
    assert_int_equal(p.root->count, 4);
    assert_int_equal(p.root->items[3]->integer, 4);
    ctkd__pickle_fini(&p.pickle);
}

static void an_ordered_dict_of_python_2_has_its_items(void **state)
{
    (void)state;
    struct parsed p = PARSE("\x80\x02"
                            "ccollections\nOrderedDict\n](](U\x01"
                            "aK\x01"
                            "eK\x02K\x03\x86"
                            "e\x85R.");
    check_ok(p.status, &p.err);
    assert_int_equal(p.root->count, 4);
    assert_true(ctkd__pickle_is_string(p.root->items[0], "a"));
    assert_int_equal(p.root->items[3]->integer, 3);
    ctkd__pickle_fini(&p.pickle);
}

static void the_memo_makes_shared_values_and_cycles(void **state)
{
    (void)state;
    struct parsed p = PARSE("\x80\x02]q\x00h\x00"
                            "aK\x07r\x01\x00\x00\x00\x94"
                            "0j\x01\x00\x00\x00"
                            "ah\x02"
                            "a.");
    check_ok(p.status, &p.err);
    assert_int_equal(p.root->count, 3);
    assert_ptr_equal(p.root->items[0], p.root); /* freed once all the same */
    assert_int_equal(p.root->items[1]->integer, 7);
    assert_ptr_equal(p.root->items[1], p.root->items[2]);
    ctkd__pickle_fini(&p.pickle);
}

static void damage_is_refused_with_its_place(void **state)
{
    (void)state;
    CHECK_REFUSED("", "x.pth: pickle, byte 0: cut off");
    CHECK_REFUSED("\x80\x02", "x.pth: pickle, byte 2: cut off");
    CHECK_REFUSED("\x80\x02.",
                  "x.pth: pickle, byte 3: found several values or none at the end, expected one");
    CHECK_REFUSED("\x80\x02NN.",
                  "x.pth: pickle, byte 5: found several values or none at the end, expected one");
    CHECK_REFUSED("\x80\x02N(.",
                  "x.pth: pickle, byte 5: found several values or none at the end, expected one");
    CHECK_REFUSED("\x80\x01N.", "x.pth: pickle, byte 2: found protocol 1, expected 2 to 5");
    CHECK_REFUSED("I1\n.",
                  "x.pth: pickle, byte 1: found operation 0x49, expected one of protocols 2 to 5");
    CHECK_REFUSED("0", "x.pth: pickle, byte 1: the stack is empty");
    CHECK_REFUSED("t", "x.pth: pickle, byte 1: the stack has no mark");
    CHECK_REFUSED("NN(NRt.", "x.pth: pickle, byte 5: the stack is empty");
    CHECK_REFUSED("N(\x85", "x.pth: pickle, byte 3: the stack is empty");
    CHECK_REFUSED("a", "x.pth: pickle, byte 1: the stack is empty");
    CHECK_REFUSED("Ns", "x.pth: pickle, byte 2: the stack is empty");
    CHECK_REFUSED("(Ne", "x.pth: pickle, byte 3: the stack is empty");
    CHECK_REFUSED("NNa", "x.pth: pickle, byte 3: found items for a value that is not a container");
    CHECK_REFUSED("}(Nu", "x.pth: pickle, byte 4: found a key without a value");
    CHECK_REFUSED("(Nd", "x.pth: pickle, byte 3: found a key without a value");
    CHECK_REFUSED("h\x05",
                  "x.pth: pickle, byte 2: found a reference to a value that does not exist");
    CHECK_REFUSED("Nr\xff\xff\xff\xff",
                  "x.pth: pickle, byte 6: found a reference to a value that does not exist");
    CHECK_REFUSED("NN\x93", "x.pth: pickle, byte 3: found a name of a class that is not a string");
    CHECK_REFUSED("X\xff\xff\xff\xff", "x.pth: pickle, byte 5: cut off");
    CHECK_REFUSED("\x8d\xff\xff\xff\xff\xff\xff\xff\xff", "x.pth: pickle, byte 9: cut off");
    CHECK_REFUSED("cos", "x.pth: pickle, byte 1: cut off");
    CHECK_REFUSED("cos\nsystem", "x.pth: pickle, byte 4: cut off");
}

static void items_named_by_many_dicts_do_not_multiply(void **state)
{
    (void)state;
    enum { ITEMS = 4000, CALLS = 4000 };
    char *bytes = malloc(100 + 3 * ITEMS + 8 * CALLS), *end = bytes;
    assert_non_null(bytes);
    const char head[] = "ccollections\nOrderedDict\nq\x01N\x86q\x02(", call[] = "h\x01h\x03\x85R0";
    memcpy(end, head, sizeof head - 1), end += sizeof head - 1;
    for (int i = 0; i < ITEMS; i++)
        memcpy(end, "h\x02", 2), end += 2;
    memcpy(end, "lq\x03", 3), end += 3;
    for (int i = 0; i < CALLS; i++)
        memcpy(end, call, sizeof call - 1), end += sizeof call - 1;
    *end++ = '.';
    struct parsed p = parse(bytes, (size_t)(end - bytes));
    assert_non_null(strstr(p.err.message, "found too many dicts with the same items"));
    ctkd__pickle_fini(&p.pickle);
    free(bytes);
}

static void attributes_of_an_object_are_kept(void **state)
{
    (void)state;
    struct parsed p = PARSE("\x80\x02"
                            "ca\nb\n)RK\x07"
                            "b.");
    check_ok(p.status, &p.err);
    assert_int_equal(p.root->attributes->integer, 7);
    ctkd__pickle_fini(&p.pickle);
    p = PARSE("\x80\x02]K\x07"
              "b."); /* of what is no object they are dropped */
    check_ok(p.status, &p.err);
    assert_int_equal(p.root->kind, CTKD__PICKLE_LIST);
    ctkd__pickle_fini(&p.pickle);
    CHECK_REFUSED("\x80\x02(K\x07"
                  "b",
                  "x.pth: pickle, byte 6: the stack is empty");
}

static void bytes_of_protocol_2_are_decoded(void **state)
{
    (void)state;
    struct parsed p = PARSE("\x80\x02"
                            "c_codecs\nencode\nX\x04\x00\x00\x00"
                            "a\xc3\xbfzX\x06\x00\x00\x00latin1\x86R.");
    check_ok(p.status, &p.err);
    assert_int_equal(p.root->kind, CTKD__PICKLE_BYTES);
    assert_int_equal(p.root->length, 3);
    assert_memory_equal(p.root->text, "a\xffz", 3);
    ctkd__pickle_fini(&p.pickle);
    p = PARSE("\x80\x02"
              "c__builtin__\nbytes\n)R.");
    check_ok(p.status, &p.err);
    assert_int_equal(p.root->kind, CTKD__PICKLE_BYTES);
    assert_int_equal(p.root->length, 0);
    ctkd__pickle_fini(&p.pickle);
    CHECK_REFUSED("\x80\x02"
                  "c_codecs\nencode\nX\x02\x00\x00\x00\xc4\x80X\x06\x00\x00\x00latin1\x86R",
                  "x.pth: pickle, byte 38: found bytes that are not Latin-1");
    CHECK_REFUSED("\x80\x02"
                  "c_codecs\nencode\nX\x01\x00\x00\x00\xc3X\x06\x00\x00\x00latin1\x86R",
                  "x.pth: pickle, byte 37: found bytes that are not Latin-1");
}

static void a_text_named_by_many_calls_is_not_multiplied(void **state)
{
    (void)state;
    enum { LENGTH = 4000, CALLS = 40 };
    static char bytes[LENGTH + 100 + CALLS * 20];
    char *end = bytes;
    static const char head[] = "\x80\x02"
                               "c_codecs\nencode\nq\x01X\xa0\x0f\x00\x00";
    static const char tail[] = "X\x06\x00\x00\x00latin1\x86q\x02", call[] = "R0h\x01h\x02";
    memcpy(end, head, sizeof head - 1), end += sizeof head - 1;
    memset(end, 'a', LENGTH), end += LENGTH;
    memcpy(end, tail, sizeof tail - 1), end += sizeof tail - 1;
    for (int i = 0; i < CALLS; i++)
        memcpy(end, call, sizeof call - 1), end += sizeof call - 1;
    struct parsed p = parse(bytes, (size_t)(end - bytes));
    assert_non_null(strstr(p.err.message, "found too many byte strings with the same text"));
    ctkd__pickle_fini(&p.pickle);
}

static void millions_of_values_are_refused(void **state)
{
    (void)state;
    enum { MANY = (1 << 21) + 10 };
    char *bytes = malloc(MANY);
    assert_non_null(bytes);
    memset(bytes, 'N', MANY);
    struct parsed p = parse(bytes, MANY);
    assert_string_equal(p.err.message,
                        "x.pth: pickle, byte 2097153: found more than 2097152 values");
    ctkd__pickle_fini(&p.pickle);
    memcpy(bytes, "Nr\x00\x00\x20\x00", 6); /* a memo beyond as many */
    p = parse(bytes, MANY);
    assert_string_equal(p.err.message,
                        "x.pth: pickle, byte 6: found a reference to a value that does not exist");
    ctkd__pickle_fini(&p.pickle);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_values_have_their_kind),
        cmocka_unit_test(integers_beyond_64_bits_are_bytes),
        cmocka_unit_test(containers_are_filled_by_every_operation),
        cmocka_unit_test(classes_are_names_and_calls_are_not_made),
        cmocka_unit_test(an_object_is_filled_like_a_dict_or_stays_opaque),
        cmocka_unit_test(an_ordered_dict_of_python_2_has_its_items),
        cmocka_unit_test(the_memo_makes_shared_values_and_cycles),
        cmocka_unit_test(damage_is_refused_with_its_place),
        cmocka_unit_test(items_named_by_many_dicts_do_not_multiply),
        cmocka_unit_test(attributes_of_an_object_are_kept),
        cmocka_unit_test(bytes_of_protocol_2_are_decoded),
        cmocka_unit_test(a_text_named_by_many_calls_is_not_multiplied),
        cmocka_unit_test(millions_of_values_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
