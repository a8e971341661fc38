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
use_launcher "$launcher_kind"
