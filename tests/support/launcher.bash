# For tests under a launcher of MPI, after work_folder.bash: `launch N COMMAND ...` runs N ranks, also as root, with fewer
# cores than ranks, and in containers that do not let processes read each other's memory. $launcher_kind: the MPI that the
# build found, openmpi or mpich. Without one, or without its launcher, the test is skipped.
launcher_kind=$(cat "$(dirname "$ctkd")/mpi.txt" 2>/dev/null || true)
[ -n "$launcher_kind" ] && { command -v "mpirun.$launcher_kind" || command -v mpirun; } >/dev/null || {
    echo "no MPI in this build, or no mpirun (Debian: libopenmpi-dev, openmpi-bin)"
    exit 77
}
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_btl_vader_single_copy_mechanism=none OMPI_MCA_plm_rsh_agent=false
export LSAN_OPTIONS=${LSAN_OPTIONS:-}:detect_leaks=0 # the library's own, at exit

use_launcher() { # openmpi or mpich
    mpirun=$(command -v "mpirun.$1" || command -v mpirun)
}
launch() { # number of ranks, command
    timeout -k 5 "${launch_limit:-300}" "$mpirun" -n "$@"
}
other_launcher() { # the one of both that the build did not find; nothing where it is not installed
    local kind
    case $launcher_kind in openmpi) kind=mpich ;; *) kind=openmpi ;; esac
    ! command -v "mpicc.$kind" "mpirun.$kind" >/dev/null || echo $kind
}
make_module() { # KIND FOLDER: the module of the command for that MPI
    "mpicc.$1" -shared -fPIC -O1 -std=gnu17 -w -I"$source/src" -I"$source/include" -o "$2/libctkd_mpi.so" \
        "$source"/src/dist/dist_mpi.c "$source"/src/util/{clock,error,text}.c
}
use_launcher "$launcher_kind"
