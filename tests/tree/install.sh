#!/usr/bin/env bash
# usage: install.sh BUILD SOURCE
# builds: ctkd ctkd_shared ctkd_static
# Installs into a temporary prefix and uses the library as a stranger would: each header alone as C11, C17
# and C++11, a C and a C++ program through pkg-config (shared and static), and a CMake project.
set -euo pipefail
build=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix
fail() { echo "install.sh: $*" >&2; exit 1; }

cmake --install "$build" --prefix "$prefix" >"$work/install.log" || { cat "$work/install.log" >&2; fail "install failed"; }
config=$(find "$prefix" -name ctkd.pc)
[ -n "$config" ] || fail "ctkd.pc: not installed"
export PKG_CONFIG_PATH=${config%/*}
pc() { pkg-config "$@" ctkd; }
[ "$(pc --variable=prefix)" = "$prefix" ] || fail "ctkd.pc: prefix $(pc --variable=prefix), expected $prefix"
libdir=$(pc --variable=libdir)
version=$(sed -n 's/^#define CTKD_VERSION_[MP][A-Z]* //p' "$2/include/ctkd/version.h" | paste -sd.)
[ "$(pc --modversion)" = "$version" ] || fail "ctkd.pc: version $(pc --modversion), expected $version"
soname=$(readelf -d "$libdir/libctkd.so" | sed -n 's/.*SONAME.*\[\(.*\)\].*/\1/p')
[ "$soname" = "libctkd.so.${version%%.*}" ] || fail "soname $soname, expected libctkd.so.${version%%.*}"
strict="-Wall -Wextra -Werror -pedantic"
# A library built with sanitizers needs them in whatever links it.
sanitize=$(sed -n 's/^CTKD_SANITIZE:STRING=\(..*\)/-fsanitize=\1/p' "$build/CMakeCache.txt")

count=0
for header in "$prefix"/include/ctkd/*.h; do
    name=ctkd/${header##*/}
    echo "#include <$name>" >"$work/alone.c"
    echo "typedef int nothing;" >>"$work/alone.c"
    cp "$work/alone.c" "$work/alone.cc"
    for standard in c11 c17; do
        cc -std=$standard $strict $(pc --cflags) -c "$work/alone.c" -o "$work/alone.o" || fail "$name: not valid alone in $standard"
    done
    c++ -std=c++11 $strict $(pc --cflags) -c "$work/alone.cc" -o "$work/alone.o" || fail "$name: not valid alone in C++11"
    count=$((count + 1))
done
[ "$count" -eq "$(ls "$2"/include/ctkd/*.h | wc -l)" ] || fail "$count headers installed, expected all of include/ctkd"

cat >"$work/user.c" <<'END'
#include <stdio.h>
#include <string.h>

#include <ctkd/ctkd.h>

int main(void)
{
    const float s[3] = { 1, 2, 3 }, t[3] = { 3, 1, 2 };
    const int32_t label = 0;
    float ds[3];
    ctkd_plugin_report report;
    ctkd_plugin_config config = ctkd_plugin_defaults(1, 3);
    ctkd_plugin *plugin = NULL;
    config.method = "dkd"; /* the registry must survive static linking */
    config.method_weight = 1;
    if (ctkd_plugin_create(&config, &plugin) != CTKD_OK)
        return 1;
    if (ctkd_plugin_step(plugin, 1, s, t, &label, 1, ds, &report) != CTKD_OK)
        return 2;
    ctkd_plugin_destroy(plugin);
    if (strcmp(ctkd_version(), CTKD_VERSION_STRING) != 0)
        return 4;
    printf("%.4f\n", (double)report.tau_mean);
    return ds[0] < 0 && strcmp(ctkd_status_text(CTKD_OK), "success") == 0 ? 0 : 3;
}
END
cp "$work/user.c" "$work/user.cc"

# Whether a program needs what matches. Not through a pipe to grep -q: that stops reading at the match, and then
# ldd dies of SIGPIPE, which pipefail takes for no match.
needs() { ldd "$1" >"$work/needs" && grep -q "$2" "$work/needs"; }
run() { # name, environment and program
    local name=$1 out
    shift
    out=$(env "$@") || fail "$name: exit status $?, expected 0"
    [ "$out" = 15.6212 ] || fail "$name: printed \"$out\", expected tau 15.6212"
}
for language in "cc -std=c17:user.c" "c++ -std=c++11:user.cc"; do
    compiler=${language%:*} source=$work/${language#*:}
    $compiler $strict $sanitize $(pc --cflags) "$source" $(pc --libs) -o "$work/shared" || fail "$compiler: shared link"
    needs "$work/shared" "libctkd.*$prefix\|libctkd.*not found" || fail "$compiler: not linked to libctkd.so"
    run "$compiler, shared" LD_LIBRARY_PATH="$libdir" "$work/shared"
    $compiler $strict $sanitize $(pc --cflags) "$source" $(pc --static --libs | sed 's/-lctkd/-l:libctkd.a/') \
        -o "$work/static" || fail "$compiler: static link"
    ! needs "$work/static" libctkd || fail "$compiler: static program needs libctkd.so"
    run "$compiler, static" "$work/static"
done

mkdir "$work/project"
cat >"$work/project/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.18)
project(user C)
find_package(ctkd 0.1 REQUIRED)
foreach(kind shared static)
    add_executable(user_${kind} ../user.c)
    target_link_libraries(user_${kind} PRIVATE ctkd::${kind})
endforeach()
END
{ cmake -S "$work/project" -B "$work/project/build" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_FLAGS="$sanitize" &&
    cmake --build "$work/project/build"; } >"$work/cmake.log" 2>&1 || { cat "$work/cmake.log" >&2; fail "CMake project: build failed"; }
run "CMake project, shared" "$work/project/build/user_shared"
run "CMake project, static" "$work/project/build/user_static"
echo "install.sh: $count headers, C and C++, shared and static, pkg-config and CMake"
