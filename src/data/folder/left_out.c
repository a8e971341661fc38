#include "data/folder/left_out.h"

#include <assert.h>
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

void ctkd__left_out_text(const struct ctkd__left_out_list *list, char *out, size_t bytes)
{
    enum { KINDS = 16 }; /* more than the formats that are not read, and the two above */
    struct {
        const char *why;
        size_t count;
    } kinds[KINDS];
    size_t n = 0, used = 0;
    for (size_t i = 0; i < list->count; i++) {
        const char *const why = list->items[i].why;
        size_t k = 0;
        while (k < n && strcmp(kinds[k].why, why) != 0)
            k++;
        assert(k < KINDS);
        if (k == n)
            kinds[n++].count = 0;
        kinds[k].why = why;
        kinds[k].count++;
    }
    out[0] = '\0';
    for (size_t k = 0; k < n && used < bytes; k++)
        used += (size_t)snprintf(out + used, bytes - used, "%s%zu %s", k ? ", " : "",
                                 kinds[k].count, kind_of(kinds[k].why, kinds[k].count == 1));
}
