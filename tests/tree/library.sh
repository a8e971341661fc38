#!/usr/bin/env bash
# usage: library.sh BUILD SOURCE
# builds: ctkd_shared
# libctkd as a part of other projects: alone without any package of the command, below an application's own CMake
# project (add_subdirectory, FetchContent) with that project's flags, with absolute install directories; and which
# names it shows.
set -euo pipefail
build=$1 source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "library.sh: $*" >&2; exit 1; }
quietly() { # what, command
    local what=$1
    shift
    "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; fail "$what"; }
}
# What a machine without the command's libraries has: no pkg-config, no OpenMP, no oneDNN.
bare=(-DCMAKE_DISABLE_FIND_PACKAGE_PkgConfig=ON -DCMAKE_DISABLE_FIND_PACKAGE_OpenMP=ON -DPKG_CONFIG_EXECUTABLE=/bin/false
      -DDNNL_LIBRARY=DNNL_LIBRARY-NOTFOUND -DCMAKE_BUILD_TYPE=Release)

# --- which names it shows
[ -e "$build/libctkd.so" ] || fail "$build/libctkd.so is missing; build it: scripts/check library"
nm -D --defined-only "$build/libctkd.so" | awk '{ print $3 }' >"$work/names"
grep -qx 'ctkd_plugin_create' "$work/names" || fail "libctkd.so does not show ctkd_plugin_create"
if [ -z "$(sed -n 's/^CTKD_SANITIZE:STRING=//p' "$build/CMakeCache.txt")" ]; then # sanitizers bring names along
    ! grep -vE '^ctkd_[a-z0-9]' "$work/names" || fail "libctkd.so shows the names above beside ctkd_*"
fi
sed -E 's/ *\/\/.*//' "$source"/include/ctkd/*.h | tr '\n' ' ' | grep -oE 'CTKD_API [^;{]*\(' |
    grep -oE 'ctkd_[a-z0-9_]+ *\($' | tr -d ' (' | sort -u >"$work/declared"
sort -u "$work/names" | grep '^ctkd_' | diff "$work/declared" - >"$work/log" ||
    { cat "$work/log" >&2; fail "headers (<) and libctkd.so (>) name different functions"; }

# --- alone
quietly "the library alone does not configure" cmake -S "$source" -B "$work/alone" -DCTKD_TOOLS=OFF -DCTKD_WERROR=ON \
    "${bare[@]}" -DBUILD_TESTING=OFF
quietly "the library alone does not build" cmake --build "$work/alone" -j2
quietly "the library alone: the example fails" "$work/alone/example_plugin"

# --- absolute directories of a distribution
quietly "absolute directories do not configure" cmake -S "$source" -B "$work/absolute" -DCTKD_TOOLS=OFF "${bare[@]}" \
    -DBUILD_TESTING=OFF -DCMAKE_INSTALL_PREFIX="$work/usr" -DCMAKE_INSTALL_LIBDIR="$work/far/lib" \
    -DCMAKE_INSTALL_INCLUDEDIR="$work/far/include"
for wanted in "libdir=$work/far/lib" "includedir=$work/far/include" "prefix=$work/usr"; do
    grep -qxF "$wanted" "$work/absolute/ctkd.pc" || fail "ctkd.pc lacks the line $wanted"
done

# --- in another project
cat >"$work/main.c" <<'END2'
#include <ctkd/ctkd.h>

int main(void)
{
    ctkd_plugin_config config = ctkd_plugin_defaults(4, 10);
    ctkd_plugin *plugin = 0;
    const ctkd_status status = ctkd_plugin_create(&config, &plugin);
    ctkd_plugin_destroy(plugin);
    return status == CTKD_OK && ctkd_version()[0] == '0' ? 0 : 1;
}
END2
project() { # directory, how it gets ctkd, language, file
    mkdir -p "$work/$1"
    cp "$work/main.c" "$work/$1/main.$4"
    cat >"$work/$1/CMakeLists.txt" <<END2
cmake_minimum_required(VERSION 3.18)
project(other LANGUAGES C $3)
set(CMAKE_C_FLAGS "-Wall -Wextra -Werror -pedantic")
set(CMAKE_CXX_FLAGS "-Wall -Wextra -Werror -pedantic")
set(CMAKE_CXX_STANDARD 11)
set(flags "\${CMAKE_C_FLAGS}|\${CMAKE_C_FLAGS_RELEASE}|\${CMAKE_C_STANDARD}|\${CMAKE_POSITION_INDEPENDENT_CODE}")
get_directory_property(options COMPILE_OPTIONS)
$2
get_directory_property(options_after COMPILE_OPTIONS)
foreach(name CMAKE_BUILD_TYPE BUILD_TESTING CMAKE_EXPORT_COMPILE_COMMANDS)
    if(DEFINED CACHE{\${name}} AND NOT "\$CACHE{\${name}}" STREQUAL "")
        message(FATAL_ERROR "ctkd set \${name} to \$CACHE{\${name}}")
    endif()
endforeach()
if(NOT "\${flags}" STREQUAL "\${CMAKE_C_FLAGS}|\${CMAKE_C_FLAGS_RELEASE}|\${CMAKE_C_STANDARD}|\${CMAKE_POSITION_INDEPENDENT_CODE}" OR
   NOT "\${options}" STREQUAL "\${options_after}")
    message(FATAL_ERROR "ctkd changed the project's flags")
endif()
foreach(kind static shared)
    add_executable(main_\${kind} main.$4)
    target_link_libraries(main_\${kind} PRIVATE ctkd::\${kind})
endforeach()
END2
}
below="add_subdirectory($source ctkd)"
fetched="include(FetchContent)
FetchContent_Declare(ctkd SOURCE_DIR $source)
FetchContent_MakeAvailable(ctkd)"
uses() { # name, compiler options of cmake
    local name=$1
    shift
    quietly "project $name does not configure" cmake -S "$work/$name" -B "$work/$name/build" "$@"
    quietly "project $name does not build" cmake --build "$work/$name/build" -j2
    [ ! -e "$work/$name/build/ctkd/example_plugin" ] || fail "project $name builds our examples"
    for kind in static shared; do
        quietly "project $name: main_$kind fails" "$work/$name/build/main_$kind"
    done
}
project below "$below" "" c
uses below "${bare[@]:0:3}"
project fetched "$fetched" CXX cc
uses fetched "${bare[@]:0:3}"
compilers="cc c++"
for clang in clang clang-14; do
    if command -v "$clang" >/dev/null; then
        project below_clang "$below" "" c
        uses below_clang -DCMAKE_C_COMPILER="$clang" -DCMAKE_C_COMPILER_LAUNCHER=
        compilers+=" $clang"
        break
    fi
done
echo "library.sh: $(wc -l <"$work/names") names, alone, absolute directories, add_subdirectory, FetchContent ($compilers)"
