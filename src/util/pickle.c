#include "util/pickle.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/error.h"

/* PUSHES_MAX bounds values, stack and items, and with them memory, whatever the pickle's size: the
   largest genuine pickles (150 thousand labels and names of CIFAR-100) need a tenth of it. */
enum { BLOCK_VALUES = 256, PERSISTENT_MAX = 16384, PUSHES_MAX = 1 << 21 };

struct ctkd__pickle_block {
    struct ctkd__pickle_block *next;
    size_t count;
    struct ctkd__pickle_value values[BLOCK_VALUES];
};

/* Bytes that the pickle does not hold verbatim and that had to be decoded. */
struct ctkd__pickle_bytes {
    struct ctkd__pickle_bytes *next;
    char bytes[];
};

typedef struct ctkd__pickle_value value;

/* The pickle machine. The first failure stays in `status`; operations after it do nothing. */
struct machine {
    struct ctkd__pickle *pickle;
    const char *name;
    const unsigned char *bytes;
    size_t size, at;
    value **stack;
    size_t count, capacity;
    size_t *marks; /* stack heights at the marks */
    size_t n_marks, marks_capacity;
    value **memo;
    size_t n_memo, memo_capacity; /* n_memo: entries set, the next index of MEMOIZE */
    size_t copied;                /* items by fill_ordered, bytes by decode_bytes */
    ctkd_status status;
    ctkd_error *err;
};

static void fail(struct machine *m, ctkd_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void fail(struct machine *m, ctkd_status status, const char *format, ...)
{
    char what[128];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    if (m->status == CTKD_OK)
        m->status = ctkd__fail(m->err, status, "%s: pickle, byte %zu: %s", m->name, m->at, what);
}

/* The array with room for `count` pointers or sizes, new ones zero; NULL after a failure, the old
   one then stays as it is. */
static void *reserve(struct machine *m, void *array, size_t *capacity, size_t count)
{
    const size_t element = sizeof(void *);
    if (count <= *capacity)
        return array;
    const size_t larger = count < 4 ? 4 : 2 * count;
    char *resized = realloc(array, larger * element);
    if (!resized) {
        fail(m, CTKD_ENOMEM, "out of memory");
        return NULL;
    }
    memset(resized + *capacity * element, 0, (larger - *capacity) * element);
    *capacity = larger;
    return resized;
}
_Static_assert(sizeof(size_t) == sizeof(void *), "reserve() serves both");

/* The next n bytes, or NULL if fewer are left. */
static const unsigned char *read_bytes(struct machine *m, uint64_t n)
{
    if (m->status != CTKD_OK || n > m->size - m->at) {
        fail(m, CTKD_EFORMAT, "cut off");
        return NULL;
    }
    m->at += (size_t)n;
    return m->bytes + m->at - n;
}

static uint64_t read_number(struct machine *m, size_t n)
{
    const unsigned char *bytes = read_bytes(m, n);
    uint64_t number = 0;
    while (bytes && n-- > 0)
        number = number << 8 | bytes[n];
    return number;
}

static void push(struct machine *m, value *v)
{
    if (m->status == CTKD_OK && m->pickle->pushes++ == PUSHES_MAX)
        fail(m, CTKD_EFORMAT, "found more than 2097152 values");
    value **stack = m->status == CTKD_OK ? reserve(m, m->stack, &m->capacity, m->count + 1) : NULL;
    if (stack) {
        m->stack = stack;
        m->stack[m->count++] = v;
    }
}

/* A new value on the stack, or NULL after a failure. */
static value *push_new(struct machine *m, enum ctkd__pickle_kind kind)
{
    struct ctkd__pickle_block *block = m->pickle->blocks;
    if (m->status != CTKD_OK)
        return NULL;
    if (!block || block->count == BLOCK_VALUES) {
        block = calloc(1, sizeof *block);
        if (!block) {
            fail(m, CTKD_ENOMEM, "out of memory");
            return NULL;
        }
        block->next = m->pickle->blocks;
        m->pickle->blocks = block;
    }
    value *v = &block->values[block->count++];
    v->kind = kind;
    push(m, v);
    return m->status == CTKD_OK ? v : NULL;
}

/* The stack may not be popped below the last mark. */
static size_t stack_floor(const struct machine *m)
{
    return m->n_marks ? m->marks[m->n_marks - 1] : 0;
}

static value *pop(struct machine *m)
{
    if (m->status == CTKD_OK && m->count > stack_floor(m))
        return m->stack[--m->count];
    fail(m, CTKD_EFORMAT, "the stack is empty");
    return NULL;
}

/* Removes the last mark and returns its height; the stack's height when there is none. */
static size_t pop_mark(struct machine *m)
{
    if (m->status == CTKD_OK && m->n_marks)
        return m->marks[--m->n_marks];
    fail(m, CTKD_EFORMAT, "the stack has no mark");
    return m->count;
}

static void push_integer(struct machine *m, enum ctkd__pickle_kind kind, int64_t integer)
{
    value *v = push_new(m, kind);
    if (v)
        v->integer = integer;
}

/* Two's complement of `length` bytes; no bytes mean 0. */
static void push_long(struct machine *m, uint64_t length)
{
    const unsigned char *bytes = read_bytes(m, length);
    value *v = bytes ? push_new(m, length > 8 ? CTKD__PICKLE_BYTES : CTKD__PICKLE_INT) : NULL;
    if (!v)
        return;
    v->text = (const char *)bytes;
    v->length = (size_t)length;
    uint64_t number = length && bytes[length - 1] & 0x80 ? UINT64_MAX : 0;
    for (size_t i = (size_t)length; i-- > 0 && length <= 8;)
        number = number << 8 | bytes[i];
    v->integer = (int64_t)number;
}

static void push_float(struct machine *m)
{
    const unsigned char *bytes = read_bytes(m, 8);
    value *v = bytes ? push_new(m, CTKD__PICKLE_FLOAT) : NULL;
    uint64_t bits = 0;
    if (!v)
        return;
    for (size_t i = 0; i < 8; i++) /* big-endian, unlike all else */
        bits = bits << 8 | bytes[i];
    memcpy(&v->number, &bits, sizeof bits);
}

/* A text whose length is the next `width` bytes. */
static void push_text(struct machine *m, enum ctkd__pickle_kind kind, size_t width)
{
    const uint64_t length = read_number(m, width);
    const unsigned char *bytes = read_bytes(m, length);
    value *v = bytes ? push_new(m, kind) : NULL;
    if (v) {
        v->text = (const char *)bytes;
        v->length = (size_t)length;
    }
}

static void add_items(struct machine *m, value *v, value **items, size_t n)
{
    value **resized = reserve(m, v->items, &v->capacity, v->count + n);
    if (!resized)
        return;
    v->items = resized;
    memcpy(v->items + v->count, items, n * sizeof(value *));
    v->count += n;
}

/* Replaces the values above `from` on the stack by one value that holds them. */
static void collect(struct machine *m, enum ctkd__pickle_kind kind, size_t from)
{
    const size_t n = m->count - from;
    if (m->status != CTKD_OK)
        return;
    if (kind == CTKD__PICKLE_DICT && n % 2 != 0) {
        fail(m, CTKD_EFORMAT, "found a key without a value");
        return;
    }
    value *v = push_new(m, kind);
    if (!v)
        return;
    m->count = from;
    if (n)
        add_items(m, v, m->stack + from, n);
    m->stack[m->count++] = v;
}

static void collect_some(struct machine *m, size_t n)
{
    if (m->count < stack_floor(m) + n)
        fail(m, CTKD_EFORMAT, "the stack is empty");
    else
        collect(m, CTKD__PICKLE_TUPLE, m->count - n);
}

/* Moves the values above `from` on the stack into the container below them. Objects that are filled
 * like a list are opaque. */
static void extend(struct machine *m, enum ctkd__pickle_kind kind, size_t from)
{
    if (m->status != CTKD_OK)
        return;
    if (from <= stack_floor(m) || from > m->count) {
        fail(m, CTKD_EFORMAT, "the stack is empty");
        return;
    }
    value *v = m->stack[from - 1];
    const size_t n = m->count - from;
    if (v->kind != kind && v->kind != CTKD__PICKLE_OBJECT)
        fail(m, CTKD_EFORMAT, "found items for a value that is not a container");
    else if (kind == CTKD__PICKLE_DICT && n % 2 != 0)
        fail(m, CTKD_EFORMAT, "found a key without a value");
    else if (n && (kind == CTKD__PICKLE_DICT || v->kind == kind))
        add_items(m, v, m->stack + from, n);
    m->count = from;
}

/* A text up to the next newline. */
static const char *read_line(struct machine *m, size_t *length)
{
    const unsigned char *begin = m->bytes + m->at;
    const unsigned char *end = m->size > m->at ? memchr(begin, '\n', m->size - m->at) : NULL;
    *length = end ? (size_t)(end - begin) : 0;
    return (const char *)read_bytes(m, end ? *length + 1 : m->size - m->at + 1);
}

static void push_global(struct machine *m)
{
    size_t length = 0, name_length = 0;
    const char *module = read_line(m, &length);
    const char *name = module ? read_line(m, &name_length) : NULL;
    value *v = name ? push_new(m, CTKD__PICKLE_GLOBAL) : NULL;
    if (!v)
        return;
    v->text = module;
    v->length = length;
    v->name = name;
    v->name_length = name_length;
}

static void push_stack_global(struct machine *m)
{
    const value *name = pop(m), *module = pop(m);
    if (!name || !module)
        return;
    if (name->kind != CTKD__PICKLE_STRING || module->kind != CTKD__PICKLE_STRING) {
        fail(m, CTKD_EFORMAT, "found a name of a class that is not a string");
        return;
    }
    value *v = push_new(m, CTKD__PICKLE_GLOBAL);
    if (!v)
        return;
    v->text = module->text;
    v->length = module->length;
    v->name = name->text;
    v->name_length = name->length;
}

static bool is_pair(const value *v)
{
    return (v->kind == CTKD__PICKLE_TUPLE || v->kind == CTKD__PICKLE_LIST) && v->count == 2;
}

/* A hostile pickle may let many calls copy the same value. A genuine pickle copies each value once,
   so all copies together must be smaller than the pickle. */
static bool count_copies(struct machine *m, size_t n, const char *what)
{
    if (n > m->size - m->copied) {
        fail(m, CTKD_EFORMAT, "%s", what);
        return false;
    }
    m->copied += n;
    return true;
}

/* Python 2 hands an OrderedDict its items as an argument: a list of pairs. */
static void fill_ordered(struct machine *m, value *v)
{
    if (!ctkd__pickle_is_global(v->callable, "collections", "OrderedDict") ||
        v->args->kind != CTKD__PICKLE_TUPLE || v->args->count != 1)
        return;
    const value *list = v->args->items[0];
    if (!count_copies(m, list->count, "found too many dicts with the same items"))
        return;
    for (size_t i = 0; i < list->count && list->kind == CTKD__PICKLE_LIST; i++)
        if (is_pair(list->items[i]))
            add_items(m, v, list->items[i]->items, 2);
}

/* Latin-1 from UTF-8; false for a code point above 255 and for text that is not UTF-8. */
static bool decode_latin1(const char *text, size_t length, char *out, size_t *out_length)
{
    size_t n = 0;
    for (size_t i = 0; i < length; i++) {
        const unsigned char lead = (unsigned char)text[i];
        if (lead < 0x80) {
            out[n++] = (char)lead;
            continue;
        }
        if ((lead != 0xc2 && lead != 0xc3) || i + 1 == length ||
            ((unsigned char)text[i + 1] & 0xc0) != 0x80)
            return false;
        out[n++] = (char)(lead << 6 | ((unsigned char)text[++i] & 0x3f));
    }
    *out_length = n;
    return true;
}

/* Protocol 2 has no bytes: Python 3 writes b as _codecs.encode(text, "latin1"), and empty ones as
   bytes(). Such an object becomes its bytes. */
static void decode_bytes(struct machine *m, value *v)
{
    const value *args = v->args;
    if (ctkd__pickle_is_global(v->callable, "__builtin__", "bytes") && args->count == 0) {
        v->kind = CTKD__PICKLE_BYTES;
        v->text = "";
        return;
    }
    if (!ctkd__pickle_is_global(v->callable, "_codecs", "encode") ||
        args->kind != CTKD__PICKLE_TUPLE || args->count != 2 ||
        args->items[0]->kind != CTKD__PICKLE_STRING ||
        !ctkd__pickle_is_string(args->items[1], "latin1") ||
        !count_copies(m, args->items[0]->length, "found too many byte strings with the same text"))
        return;
    struct ctkd__pickle_bytes *copy = malloc(sizeof *copy + args->items[0]->length);
    if (!copy) {
        fail(m, CTKD_ENOMEM, "out of memory");
        return;
    }
    copy->next = m->pickle->bytes;
    m->pickle->bytes = copy;
    if (!decode_latin1(args->items[0]->text, args->items[0]->length, copy->bytes, &v->length)) {
        fail(m, CTKD_EFORMAT, "found bytes that are not Latin-1");
        return;
    }
    v->kind = CTKD__PICKLE_BYTES;
    v->text = copy->bytes;
}

static void push_object(struct machine *m, bool keywords)
{
    if (keywords)
        pop(m);
    value *args = pop(m), *callable = pop(m);
    value *v = args && callable ? push_new(m, CTKD__PICKLE_OBJECT) : NULL;
    if (v) {
        v->args = args;
        v->callable = callable;
        fill_ordered(m, v);
        decode_bytes(m, v);
    }
}

/* Sets the attributes of an object; attributes of anything else are ignored. */
static void build(struct machine *m)
{
    value *attributes = pop(m), *object = pop(m);
    if (!attributes || !object)
        return;
    if (object->kind == CTKD__PICKLE_OBJECT)
        object->attributes = attributes;
    m->count++; /* the object stays on the stack */
}

static void push_persistent(struct machine *m)
{
    struct ctkd__pickle *pickle = m->pickle;
    value *id = pop(m);
    value *v = id ? push_new(m, CTKD__PICKLE_PERSISTENT) : NULL;
    if (!v)
        return;
    v->args = id;
    if (pickle->n_persistent == PERSISTENT_MAX) {
        fail(m, CTKD_EFORMAT, "found more than 16384 storages");
        return;
    }
    value **resized =
        reserve(m, pickle->persistent, &pickle->persistent_capacity, pickle->n_persistent + 1);
    if (!resized)
        return;
    pickle->persistent = resized;
    pickle->persistent[pickle->n_persistent++] = v;
}

static void mark(struct machine *m)
{
    size_t *marks =
        m->status == CTKD_OK ? reserve(m, m->marks, &m->marks_capacity, m->n_marks + 1) : NULL;
    if (marks) {
        m->marks = marks;
        m->marks[m->n_marks++] = m->count;
    }
}

/* Python numbers its memo from 0, so an index beyond the pickle's size or its number of values is
   false and would waste memory. */
static void memo_put(struct machine *m, uint64_t index)
{
    if (m->status != CTKD_OK)
        return;
    if (m->count <= stack_floor(m) || index >= m->size || index >= PUSHES_MAX) {
        fail(m, CTKD_EFORMAT, "found a reference to a value that does not exist");
        return;
    }
    value **memo = reserve(m, m->memo, &m->memo_capacity, (size_t)index + 1);
    if (!memo)
        return;
    m->memo = memo;
    m->n_memo += !m->memo[index];
    m->memo[index] = m->stack[m->count - 1];
}

static void memo_get(struct machine *m, uint64_t index)
{
    if (m->status == CTKD_OK && (index >= m->memo_capacity || !m->memo[index]))
        fail(m, CTKD_EFORMAT, "found a reference to a value that does not exist");
    else if (m->status == CTKD_OK)
        push(m, m->memo[index]);
}

/* The top of the stack or, when that is a mark, the mark. */
static void discard(struct machine *m)
{
    if (m->n_marks && m->count == stack_floor(m))
        m->n_marks--;
    else
        pop(m);
}

static void duplicate(struct machine *m)
{
    value *v = pop(m);
    push(m, v);
    push(m, v);
}

static void check_protocol(struct machine *m)
{
    const uint64_t protocol = read_number(m, 1);
    if (protocol < 2 || protocol > 5)
        fail(m, CTKD_EUNSUPPORTED, "found protocol %ju, expected 2 to 5", (uintmax_t)protocol);
}

/* Operations on plain values; false when the code is none of them. */
static bool run_plain(struct machine *m, int code)
{
    switch (code) {
    case 'N': /* NONE */
        return push_integer(m, CTKD__PICKLE_NONE, 0), true;
    case 0x88: /* NEWTRUE */
        return push_integer(m, CTKD__PICKLE_BOOL, 1), true;
    case 0x89: /* NEWFALSE */
        return push_integer(m, CTKD__PICKLE_BOOL, 0), true;
    case 'J': /* BININT */
        return push_integer(m, CTKD__PICKLE_INT, (int32_t)read_number(m, 4)), true;
    case 'K': /* BININT1 */
        return push_integer(m, CTKD__PICKLE_INT, (int64_t)read_number(m, 1)), true;
    case 'M': /* BININT2 */
        return push_integer(m, CTKD__PICKLE_INT, (int64_t)read_number(m, 2)), true;
    case 0x8a: /* LONG1 */
        return push_long(m, read_number(m, 1)), true;
    case 0x8b: /* LONG4 */
        return push_long(m, read_number(m, 4)), true;
    case 'G': /* BINFLOAT */
        return push_float(m), true;
    case 'U':  /* SHORT_BINSTRING */
    case 0x8c: /* SHORT_BINUNICODE */
        return push_text(m, CTKD__PICKLE_STRING, 1), true;
    case 'T': /* BINSTRING */
    case 'X': /* BINUNICODE */
        return push_text(m, CTKD__PICKLE_STRING, 4), true;
    case 0x8d: /* BINUNICODE8 */
        return push_text(m, CTKD__PICKLE_STRING, 8), true;
    case 'C': /* SHORT_BINBYTES */
        return push_text(m, CTKD__PICKLE_BYTES, 1), true;
    case 'B': /* BINBYTES */
        return push_text(m, CTKD__PICKLE_BYTES, 4), true;
    case 0x8e: /* BINBYTES8 */
    case 0x96: /* BYTEARRAY8 */
        return push_text(m, CTKD__PICKLE_BYTES, 8), true;
    }
    return false;
}

/* Operations on tuples, lists, sets and dicts. */
static bool run_container(struct machine *m, int code)
{
    switch (code) {
    case '(': /* MARK */
        return mark(m), true;
    case ')': /* EMPTY_TUPLE */
        return push_new(m, CTKD__PICKLE_TUPLE), true;
    case ']':  /* EMPTY_LIST */
    case 0x8f: /* EMPTY_SET */
        return push_new(m, CTKD__PICKLE_LIST), true;
    case '}': /* EMPTY_DICT */
        return push_new(m, CTKD__PICKLE_DICT), true;
    case 't': /* TUPLE */
        return collect(m, CTKD__PICKLE_TUPLE, pop_mark(m)), true;
    case 'l':  /* LIST */
    case 0x91: /* FROZENSET */
        return collect(m, CTKD__PICKLE_LIST, pop_mark(m)), true;
    case 'd': /* DICT */
        return collect(m, CTKD__PICKLE_DICT, pop_mark(m)), true;
    case 0x85: /* TUPLE1, TUPLE2, TUPLE3 */
    case 0x86:
    case 0x87:
        return collect_some(m, (size_t)code - 0x84), true;
    case 'a': /* APPEND */
        return extend(m, CTKD__PICKLE_LIST, m->count - 1), true;
    case 'e':  /* APPENDS */
    case 0x90: /* ADDITEMS */
        return extend(m, CTKD__PICKLE_LIST, pop_mark(m)), true;
    case 's': /* SETITEM */
        return extend(m, CTKD__PICKLE_DICT, m->count - 2), true;
    case 'u': /* SETITEMS */
        return extend(m, CTKD__PICKLE_DICT, pop_mark(m)), true;
    }
    return false;
}

/* Operations on classes, instances, the memo and the stack itself. */
static bool run_object(struct machine *m, int code)
{
    switch (code) {
    case 'c': /* GLOBAL */
        return push_global(m), true;
    case 0x93: /* STACK_GLOBAL */
        return push_stack_global(m), true;
    case 'R':  /* REDUCE */
    case 0x81: /* NEWOBJ */
        return push_object(m, false), true;
    case 0x92: /* NEWOBJ_EX */
        return push_object(m, true), true;
    case 'b': /* BUILD */
        return build(m), true;
    case '0': /* POP */
        return discard(m), true;
    case '1': /* POP_MARK */
        return (void)(m->count = pop_mark(m)), true;
    case '2': /* DUP */
        return duplicate(m), true;
    case 'Q': /* BINPERSID */
        return push_persistent(m), true;
    case 'q': /* BINPUT */
        return memo_put(m, read_number(m, 1)), true;
    case 'r': /* LONG_BINPUT */
        return memo_put(m, read_number(m, 4)), true;
    case 0x94: /* MEMOIZE */
        return memo_put(m, m->n_memo), true;
    case 'h': /* BINGET */
        return memo_get(m, read_number(m, 1)), true;
    case 'j': /* LONG_BINGET */
        return memo_get(m, read_number(m, 4)), true;
    case 0x80: /* PROTO */
        return check_protocol(m), true;
    case 0x95: /* FRAME: a hint for readers of streams */
        return (void)read_bytes(m, 8), true;
    }
    return false;
}

static void run(struct machine *m)
{
    while (m->status == CTKD_OK) {
        const unsigned char *code = read_bytes(m, 1);
        if (!code || *code == '.')
            return;
        if (!run_plain(m, *code) && !run_container(m, *code) && !run_object(m, *code))
            fail(m, CTKD_EUNSUPPORTED, "found operation 0x%02x, expected one of protocols 2 to 5",
                 *code);
    }
}

ctkd_status ctkd__pickle_read(struct ctkd__pickle *pickle, const char *name, const char *bytes,
                              size_t size, size_t *used, const struct ctkd__pickle_value **out,
                              ctkd_error *err)
{
    struct machine m = { .pickle = pickle,
                         .name = name,
                         .bytes = (const unsigned char *)bytes,
                         .size = size,
                         .err = err };
    *out = NULL;
    run(&m);
    if (m.status == CTKD_OK && (m.count != 1 || m.n_marks != 0))
        fail(&m, CTKD_EFORMAT, "found several values or none at the end, expected one");
    if (m.status == CTKD_OK) {
        *out = m.stack[0];
        *used = m.at;
    }
    free(m.stack);
    free(m.marks);
    free(m.memo);
    return m.status;
}

void ctkd__pickle_fini(struct ctkd__pickle *pickle)
{
    for (struct ctkd__pickle_block *block = pickle->blocks, *next; block; block = next) {
        next = block->next;
        for (size_t i = 0; i < block->count; i++)
            free(block->values[i].items);
        free(block);
    }
    for (struct ctkd__pickle_bytes *bytes = pickle->bytes, *next; bytes; bytes = next) {
        next = bytes->next;
        free(bytes);
    }
    free(pickle->persistent);
    *pickle = (struct ctkd__pickle){ 0 };
}

static bool text_equals(const char *text, size_t length, const char *expected)
{
    return length == strlen(expected) && memcmp(text, expected, length) == 0;
}

bool ctkd__pickle_is_string(const struct ctkd__pickle_value *v, const char *text)
{
    return v && v->kind == CTKD__PICKLE_STRING && text_equals(v->text, v->length, text);
}

bool ctkd__pickle_is_global(const struct ctkd__pickle_value *v, const char *module,
                            const char *name)
{
    return v && v->kind == CTKD__PICKLE_GLOBAL && text_equals(v->text, v->length, module) &&
           text_equals(v->name, v->name_length, name);
}

static void write_global(const value *v, const char *before, char text[CTKD__PICKLE_TEXT])
{
    snprintf(text, CTKD__PICKLE_TEXT, "%s%.*s.%.*s", before, v->length < 50 ? (int)v->length : 50,
             v->text, v->name_length < 50 ? (int)v->name_length : 50, v->name);
}

const char *ctkd__pickle_text(const value *v, char text[CTKD__PICKLE_TEXT])
{
    const size_t bytes = CTKD__PICKLE_TEXT;
    const int length = v->length < 60 ? (int)v->length : 60;
    switch (v->kind) {
    case CTKD__PICKLE_NONE:
        snprintf(text, bytes, "None");
        break;
    case CTKD__PICKLE_BOOL:
        snprintf(text, bytes, v->integer ? "True" : "False");
        break;
    case CTKD__PICKLE_INT:
        snprintf(text, bytes, "%" PRId64, v->integer);
        break;
    case CTKD__PICKLE_FLOAT:
        snprintf(text, bytes, "%g", v->number);
        break;
    case CTKD__PICKLE_STRING:
        snprintf(text, bytes, "'%.*s'", length, v->text);
        break;
    case CTKD__PICKLE_BYTES:
        snprintf(text, bytes, "%zu bytes", v->length);
        break;
    case CTKD__PICKLE_TUPLE:
        snprintf(text, bytes, "a tuple of %zu", v->count);
        break;
    case CTKD__PICKLE_LIST:
        snprintf(text, bytes, "a list of %zu", v->count);
        break;
    case CTKD__PICKLE_DICT:
        snprintf(text, bytes, "a dict of %zu", v->count / 2);
        break;
    case CTKD__PICKLE_GLOBAL:
        write_global(v, "", text);
        break;
    case CTKD__PICKLE_OBJECT:
        if (v->callable->kind == CTKD__PICKLE_GLOBAL)
            write_global(v->callable, "an object of ", text);
        else
            snprintf(text, bytes, "an object");
        break;
    case CTKD__PICKLE_PERSISTENT:
        snprintf(text, bytes, "a storage");
        break;
    }
    return text;
}
