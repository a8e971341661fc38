#include "data/folder/left_out.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char ctkd__no_ending[] = "it has no ending such as .jpg";
const char ctkd__no_class[] = "it is in no folder of a class";

bool ctkd__left_out_add(struct ctkd__left_out_list *list, size_t file, const char *why)
{
    if (list->count == list->room) {
        const size_t room = list->room ? 2 * list->room : 64;
        struct ctkd__left_out *const items = realloc(list->items, room * sizeof *items);
        if (!items)
            return false;
        list->items = items;
        list->room = room;
    }
    list->items[list->count++] = (struct ctkd__left_out){ (uint32_t)file, why };
    return true;
}

/* How one and several files of a kind are called. */
static const char *kind_of(const char *why, bool one)
{
    if (strcmp(why, ctkd__no_ending) == 0)
        return one ? "file without an ending" : "files without an ending";
    if (strcmp(why, ctkd__no_class) == 0)
        return one ? "image in no class" : "images in no class";
    return why;
}

static size_t count_from(const struct ctkd__left_out_list *list, size_t i, const char *why)
{
    size_t n = 0;
    for (; i < list->count; i++)
        n += strcmp(list->items[i].why, why) == 0;
    return n;
}

void ctkd__left_out_text(const struct ctkd__left_out_list *list, char *out, size_t bytes)
{
    out[0] = '\0';
    for (size_t i = 0, used = 0; i < list->count && used < bytes; i++) {
        const char *const why = list->items[i].why;
        size_t before = 0;
        while (strcmp(list->items[before].why, why) != 0)
            before++;
        if (before < i)
            continue; /* counted with the first of its kind */
        const size_t n = count_from(list, i, why);
        used += (size_t)snprintf(out + used, bytes - used, "%s%zu %s", used ? ", " : "", n,
                                 kind_of(why, n == 1));
    }
}
