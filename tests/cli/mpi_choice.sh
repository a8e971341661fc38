#!/usr/bin/env bash
# usage: mpi_choice.sh BUILD SOURCE
# Which MPI a build directory takes when that changes: none, and another one.
set -euo pipefail
source "$(dirname "$0")/../support/work_folder.bash"
source "$source/tests/support/launcher.bash"
[ -z "$sanitized" ] || { echo "nothing here depends on sanitizers" && exit 77; }
takes() { # KIND OPTION...
    cmake -S "$source" -B tree -DCTKD_TESTS=OFF -DCTKD_EXAMPLES=OFF "${@:2}" >out 2>&1 || { cat out && exit 1; }
    local found=none
    [ ! -e tree/mpi.txt ] || found=$(cat tree/mpi.txt)
    [ "$found" = "$1" ] && [ "$(cmake --build tree --target help | grep -c ctkd_mpi)" -eq $([ "$1" = none ] && echo 0 || echo 1) ] ||
        { cat out && echo "$*: found $found" && exit 1; }
}
takes "$launcher_kind" -DMPI_C_COMPILER="mpicc.$launcher_kind"
touch tree/libctkd_mpi.so
takes none -DCTKD_MPI=OFF
[ ! -e tree/libctkd_mpi.so ] || { echo "the module of an earlier build is still there" && exit 1; }
other=$(other_launcher)
if [ "$other" ]; then
    takes "$other" -DCTKD_MPI=ON -DMPI_C_COMPILER="mpicc.$other"
else
    takes "$launcher_kind" -DCTKD_MPI=ON
    echo "not run: no second MPI (Debian: mpich, libmpich-dev)"
fi
