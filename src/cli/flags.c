#include "cli/flags.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/ranks.h"
#include "util/error.h"
#include "util/text.h"

enum { NAMES_MAX = 128 }; /* names among which the nearest to an unknown flag is searched */

int ctkd__flag_find(const struct ctkd__flag *flags, const char *text, size_t length)
{
    for (int i = 0; flags && flags[i].name; i++)
        if (ctkd__arguments_same_flag(flags[i].name, text, length) ||
            (flags[i].letter && ctkd__arguments_same_flag(flags[i].letter, text, length)))
            return i;
    return -1;
}

static bool is_flag(const char *text)
{
    return text[0] == '-' && text[1] != '\0';
}

static bool takes_settings(const struct ctkd__command *command)
{
    return command->options || command->settings || command->passes_settings;
}

/* --- messages */

/* "found --json, which only these commands take: eval, inspect"; CTKD_OK if no command takes it. */
static ctkd_status refuse_foreign(const char *text, size_t length, ctkd_error *err)
{
    char takers[160] = "";
    size_t used = 0;
    for (size_t i = 0; ctkd__commands[i]; i++)
        if (ctkd__flag_find(ctkd__commands[i]->flags, text, length) >= 0)
            ctkd__text_append(takers, sizeof takers, &used, "%s%s", used ? ", " : "",
                              ctkd__commands[i]->name);
    if (!used)
        return CTKD_OK;
    return ctkd__fail(err, CTKD_EINVAL, "found %.*s, which only these commands take: %s",
                      (int)length, text, takers);
}

static ctkd_status refuse_unknown(const struct ctkd__command *command, const char *text,
                                  size_t length, ctkd_error *err)
{
    const char *names[NAMES_MAX] = { "--help" };
    char written[96], otherwise[64];
    size_t n = 1;
    const ctkd_status foreign = refuse_foreign(text, length, err);
    if (foreign != CTKD_OK)
        return foreign;
    for (const struct ctkd__flag *flag = command->flags; flag && flag->name; flag++)
        names[n++] = flag->name;
    if (command->options)
        ctkd__arguments_flag_names(names + n, NAMES_MAX - 1 - n);
    snprintf(written, sizeof written, "%.*s", (int)length, text);
    snprintf(otherwise, sizeof otherwise, "`ctkd %s --help` lists them", command->name);
    return ctkd__unknown("option", written, names, otherwise, err);
}

static ctkd_status check_choice(const struct ctkd__flag *flag, const char *value, ctkd_error *err)
{
    char all[160] = "";
    size_t used = 0;
    for (const char *const *choice = flag->choices; choice && *choice; choice++) {
        if (strcmp(*choice, value) == 0)
            return CTKD_OK;
        ctkd__text_append(all, sizeof all, &used, "%s%s", used ? ", " : "", *choice);
    }
    if (!flag->choices)
        return CTKD_OK;
    return ctkd__fail(err, CTKD_ERANGE, "%s: found '%.80s', expected one of %s", flag->name, value,
                      all);
}

/* --- reading */

/* Reads a flag of the command's table at argv[0], of which `length` characters are its name. */
static ctkd_status read_own(const struct ctkd__flag *flag, int argc, char *const *argv,
                            size_t length, struct ctkd__word *word, ctkd_error *err)
{
    const bool attached = argv[0][length] == '=';
    if (!flag->value && attached)
        return ctkd__fail(err, CTKD_EINVAL, "%s takes no value", flag->name);
    if (!flag->value)
        return CTKD_OK;
    if (!attached && argc < 2)
        return ctkd__fail(err, CTKD_EINVAL, "%s needs a value (%s)", flag->name, flag->value);
    word->text = attached ? argv[0] + length + 1 : argv[1]; /* also "-1", and "-" */
    word->used = attached ? 1 : 2;
    return check_choice(flag, word->text, err);
}

/* Reads the word at argv[0]. Flags of the command's table come first; others, and --preset even if
   the table has it, are those of a configuration. */
static ctkd_status read_word(const struct ctkd__command *command, int argc, char *const *argv,
                             struct ctkd__word *word, ctkd_error *err)
{
    const char *const text = argv[0];
    *word = (struct ctkd__word){ CTKD__WORD_NAME, text, 1 };
    if (!is_flag(text)) {
        if (strchr(text, '=') && (command->options || access(text, F_OK) != 0))
            word->flag = CTKD__WORD_SETTING;
        return CTKD_OK;
    }
    if (strcmp(text, "--help") == 0 || strcmp(text, "-h") == 0) {
        word->flag = CTKD__WORD_HELP;
        return CTKD_OK;
    }
    const size_t length = strcspn(text, "=");
    const int own = ctkd__flag_find(command->flags, text, length);
    if (command->options && (own >= 0) == ctkd__arguments_is_preset(text, length)) {
        const ctkd_status status = ctkd__arguments_read_flag(argc, argv, &word->used, err);
        word->flag = CTKD__WORD_CONFIGURATION;
        if (status != CTKD_ENOTFOUND)
            return status;
    }
    word->text = NULL;
    word->flag = own;
    return own < 0 ? refuse_unknown(command, text, length, err)
                   : read_own(&command->flags[own], argc, argv, length, word, err);
}

static ctkd_status check_names(const struct ctkd__line *line, ctkd_error *err)
{
    const struct ctkd__command *const command = line->command;
    const size_t count = ctkd__line_names(line);
    if (count >= command->names_min && count <= command->names_max)
        return CTKD_OK;
    if (count > command->names_max && command->names_max == 0)
        return ctkd__fail(err, CTKD_EINVAL, "found '%.80s', expected no argument",
                          ctkd__line_name(line, 0));
    return ctkd__fail(err, CTKD_EINVAL, "found %zu name%s, expected %s%zu; usage: ctkd %s %s",
                      count, count == 1 ? "" : "s",
                      command->names_min == command->names_max ? ""
                      : count > command->names_max             ? "at most "
                                                               : "at least ",
                      count > command->names_max ? command->names_max : command->names_min,
                      command->name, command->arguments);
}

static ctkd_status check_line(const struct ctkd__line *line, bool *help, ctkd_error *err)
{
    struct ctkd__word word;
    for (int at = 0; at < line->argc && !*help; at += word.used) {
        const ctkd_status status =
            read_word(line->command, line->argc - at, line->argv + at, &word, err);
        if (status != CTKD_OK)
            return status;
        *help = word.flag == CTKD__WORD_HELP;
        if (word.flag == CTKD__WORD_SETTING && !takes_settings(line->command))
            return ctkd__fail(err, CTKD_EINVAL, "found '%.80s', expected %s", word.text,
                              line->command->names_max ? "a name" : "no argument");
    }
    return *help ? CTKD_OK : check_names(line, err);
}

bool ctkd__line_read(const struct ctkd__command *command, int argc, char **argv,
                     struct ctkd__line *out, int *status)
{
    bool help = false;
    ctkd_error err = { 0 };
    *out = (struct ctkd__line){ command, argc, argv, 0 };
    if (check_line(out, &help, &err) != CTKD_OK) {
        ctkd__ranks_let_first_speak();
        *status = ctkd__cli_misused(command, &err);
        return false;
    }
    if (help)
        *status = ctkd__cli_help(command);
    return !help;
}

bool ctkd__line_next(const struct ctkd__line *line, int *at, struct ctkd__word *word)
{
    if (*at >= line->argc)
        return false;
    (void)read_word(line->command, line->argc - *at, line->argv + *at, word, NULL);
    *at += word->used;
    return true;
}

const char *ctkd__line_value(const struct ctkd__line *line, int flag)
{
    struct ctkd__word word;
    const char *value = NULL;
    for (int at = 0; ctkd__line_next(line, &at, &word);)
        if (word.flag == flag)
            value = word.text;
    return value;
}

bool ctkd__line_has(const struct ctkd__line *line, int flag)
{
    struct ctkd__word word;
    for (int at = 0; ctkd__line_next(line, &at, &word);)
        if (word.flag == flag)
            return true;
    return false;
}

size_t ctkd__line_names(const struct ctkd__line *line)
{
    size_t count = 0;
    while (ctkd__line_name(line, count))
        count++;
    return count;
}

const char *ctkd__line_name(const struct ctkd__line *line, size_t i)
{
    struct ctkd__word word;
    for (int at = 0; ctkd__line_next(line, &at, &word);)
        if (word.flag == CTKD__WORD_NAME && i-- == 0)
            return word.text;
    return NULL;
}

ctkd_status ctkd__line_number(const struct ctkd__line *line, int flag, double least, double most,
                              double *out, ctkd_error *err)
{
    const char *const text = ctkd__line_value(line, flag);
    if (!text)
        return CTKD_OK;
    char *end;
    const double value = strtod(text, &end);
    if (end == text || *end || !(value >= least && value <= most))
        return ctkd__fail(err, CTKD_ERANGE, "%s: found '%.80s', expected a number from %g to %g",
                          line->command->flags[flag].name, text, least, most);
    *out = value;
    return CTKD_OK;
}

ctkd_status ctkd__line_whole(const struct ctkd__line *line, int flag, long long least,
                             long long most, long long *out, ctkd_error *err)
{
    const char *const text = ctkd__line_value(line, flag);
    if (!text)
        return CTKD_OK;
    char *end;
    const long long value = strtoll(text, &end, 10); /* saturates, which the range refuses */
    if (end == text || *end || value < least || value > most)
        return ctkd__fail(err, CTKD_ERANGE,
                          "%s: found '%.80s', expected a whole number from %lld to %lld",
                          line->command->flags[flag].name, text, least, most);
    *out = value;
    return CTKD_OK;
}

ctkd_status ctkd__line_apply(const struct ctkd__line *line, struct ctkd__sections sections,
                             ctkd_error *err)
{
    struct ctkd__word word;
    ctkd_status status = CTKD_OK;
    for (int at = 0; status == CTKD_OK && ctkd__line_next(line, &at, &word);) {
        if (word.flag != CTKD__WORD_SETTING)
            continue;
        const char *const equals = strchr(word.text, '=');
        char key[64];
        snprintf(key, sizeof key, "%.*s", (int)(equals - word.text), word.text);
        status = ctkd__sections_set(sections, "command line", key, equals + 1, err);
    }
    return status;
}

void ctkd__line_split(struct ctkd__line *line)
{
    struct ctkd__word word;
    int front = 0;
    for (int at = 0; at < line->argc;) {
        const int from = at;
        ctkd__line_next(line, &at, &word);
        if (word.flag >= 0)
            continue;
        char *moved[2] = { line->argv[from], word.used == 2 ? line->argv[from + 1] : NULL };
        memmove(line->argv + front + word.used, line->argv + front,
                (size_t)(from - front) * sizeof *line->argv);
        memcpy(line->argv + front, moved, (size_t)word.used * sizeof *moved);
        front += word.used;
    }
    line->n_configuration = front;
}
