#!/usr/bin/env bash
# usage: bits.sh BUILD SOURCE
# builds: nothing
# KD, DKD and cross-entropy give the same bits whatever vectors the compiler makes of their loops: those that the loader picks
# on this CPU, none but the baseline's, AVX2's where the CPU has them, hardly optimised, and from clang where it is installed.
set -euo pipefail
source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "bits.sh: $*" >&2; exit 1; }
cat >"$work/hash.c" <<'END2'
#include <stdio.h>

#include "ctkd/ctkd.h"
#include "lib/math/rows.h"

enum { N = 19, K = 1203 };

static float s[N * K], t[N * K], ds[N * K], dt[N * K];
static unsigned long long hash = 1469598103934665603u;

static void add(const void *data, size_t bytes)
{
    for (const unsigned char *at = data; bytes > 0; bytes--, at++)
        hash = (hash ^ *at) * 1099511628211u;
}

/* In double: most differences of compilers would be lost in floats. */
static void add_rows(double tau, size_t skip)
{
    static double d[K];
    for (size_t i = 0; i < N; i++) {
        struct ctkd__kl_row row = { .k = K, .skip = skip, .s = s + i * K, .t = t + i * K, .tau = tau };
        d[0] = d[skip < K ? skip : 0] = 0;
        ctkd__kl_row_prepare(&row);
        ctkd__kl_row_sum(&row, (struct ctkd__ds_weights){ .difference = 1, .student = 0.5 },
                         (struct ctkd__row_gradient){ .doubles = d });
        add(d, sizeof d), add(&row.kl, sizeof row.kl), add(&row.dtau, sizeof row.dtau);
        add(&row.lse_difference, sizeof row.lse_difference);
    }
}

int main(void)
{
    int32_t labels[N];
    float loss, dtau;
    for (size_t i = 0; i < N * K; i++) {
        s[i] = 8 * ctkd_random_uniform(1, CTKD_RANDOM_TEST, 0, i);
        t[i] = 12 * ctkd_random_uniform(1, CTKD_RANDOM_TEST, 1, i);
    }
    for (int32_t i = 0; i < N; i++)
        labels[i] = 63 * i;
    for (float tau = 0.5f; tau < 30000; tau *= 3) {
        add_rows((double)tau, 7);
        add_rows((double)tau, CTKD__NO_CLASS);
        if (ctkd_kd_loss(N, K, s, t, &tau, 1, CTKD_KD_EXACT, &loss, ds, dt, &dtau) != CTKD_OK)
            return 1;
        add(&loss, sizeof loss), add(&dtau, sizeof dtau), add(ds, sizeof ds), add(dt, sizeof dt);
        if (ctkd_dkd_loss(N, K, s, t, labels, &tau, 1, 1, 8, &loss, ds, dt, &dtau) != CTKD_OK)
            return 1;
        add(&loss, sizeof loss), add(&dtau, sizeof dtau), add(ds, sizeof ds), add(dt, sizeof dt);
    }
    if (ctkd_cross_entropy(N, K, s, labels, &loss, ds) != CTKD_OK)
        return 1;
    add(&loss, sizeof loss), add(ds, sizeof ds);
    printf("%016llx\n", hash);
    return 0;
}
END2
files=("$work/hash.c")
for name in each random math/rows math/vexp loss/by_rows loss/cross_entropy loss/dkd loss/kd; do
    files+=("$source/src/lib/$name.c")
done
expected=
check() { # what, compiler and its options
    local what=$1 found
    shift
    "$@" -std=c17 -ffp-contract=off -I"$source/include" -I"$source/src" "${files[@]}" -o "$work/hash" -lm || fail "$what: does not compile"
    found=$("$work/hash") || fail "$what: exit status $?"
    [ "${expected:=$found}" = "$found" ] || fail "$what: $found, expected the $expected of the first"
    count=$((count + 1))
}
count=0
check "as released" cc -O3 -fno-math-errno -fno-trapping-math
check "baseline" cc -O3 -DCTKD_NO_CLONES
check "hardly optimised" cc -O1 -DCTKD_NO_CLONES
if grep -q '^flags.* avx2 ' /proc/cpuinfo; then
    check "AVX2 with FMA" cc -O3 -DCTKD_NO_CLONES -mavx2 -mfma
fi
for clang in clang clang-14; do
    if command -v "$clang" >/dev/null; then
        check "$clang" "$clang" -O2
        break
    fi
done
echo "bits.sh: $expected $count times"
