/* The fixed part of each completion script: shell functions that follow the tables which
   `ctkd completion` writes (command_completion.c). */
#ifndef CTKD_CLI_SHELLS_H
#define CTKD_CLI_SHELLS_H

extern const char ctkd__shell_bash[], ctkd__shell_zsh[];

#endif
