/* `ctkd selftest views`: a list of the views of all images of a folder, printed or compared. */
#ifndef CTKD_CLI_VIEW_LIST_H
#define CTKD_CLI_VIEW_LIST_H

/* Prints "FILE HASH" for each image in and below `path` (a folder, .zip or .tar), or compares them
   with the list in the file `against`; NULL: prints. Returns the exit status. */
int ctkd__view_list(const char *path, const char *against);

#endif
