#include "util/path.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/error.h"

/* The caller's HOME, or the home directory of `user` according to the system; NULL if there is
   none. Borrowed until the next call. */
static const char *home_of(const char *user)
{
    const char *home = user[0] ? NULL : getenv("HOME");
    if (home && home[0] == '/')
        return home;
    const struct passwd *entry = user[0] ? getpwnam(user) : getpwuid(getuid());
    return entry ? entry->pw_dir : NULL;
}

ctkd_status ctkd__path_expand(const char *path, char **out, ctkd_error *err)
{
    *out = NULL;
    const size_t name = strcspn(path, ":/"); /* no '/': so that expanding twice changes nothing */
    const size_t begin = path[0] != '~' && path[name] == ':' ? name + 1 : 0;
    const char *home = "", *rest = path + begin;
    if (*rest == '~') {
        char user[64];
        const size_t length = strcspn(rest, "/") - 1;
        if (length < sizeof user) {
            memcpy(user, rest + 1, length);
            user[length] = '\0';
        }
        home = length < sizeof user ? home_of(user) : NULL;
        if (!home)
            return ctkd__fail(err, CTKD_ENOTFOUND,
                              "%.200s: %.*s names no user's home directory (for a file of that "
                              "name, write ./%.*s)",
                              path, (int)length + 1, rest, (int)length + 1, rest);
        rest += length + 1;
    }
    char *text = malloc(begin + strlen(home) + strlen(rest) + 1);
    if (!text)
        return ctkd__fail(err, CTKD_ENOMEM, "out of memory");
    memcpy(text, path, begin);
    strcpy(text + begin, home);
    strcat(text + begin, rest);
    *out = text;
    return CTKD_OK;
}
