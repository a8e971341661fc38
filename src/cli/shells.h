/* What is the same in every completion script: functions of the shell behind the tables that
 * `ctkd completion` writes (command_completion.c). */
#ifndef CTKD_CLI_SHELLS_H
#define CTKD_CLI_SHELLS_H

extern const char ctkd__shell_bash[], ctkd__shell_zsh[];

#endif
