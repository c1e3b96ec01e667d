#!/usr/bin/env bash
# Runs the tests of what plimsoll tells of processes and caps, as they are built for this machine, under other kernels.
#
#     run.sh [SUITE...]        bullseye (5.10), bookworm (6.1), trixie (6.12), trixie-backports (the newest); all
#
# Takes some ten minutes each, as the machine is emulated: see boot.sh for what it needs. TESTS="truth cap" names
# fewer tests.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../../.."
read -ra tests <<<"${TESTS:-truth truth_files truth_processes no_harm unprivileged run record cap beacon}"

# Left out: what needs a reading or an end at a moment that an emulated machine is too slow for.
# The tests build what is missing or stale: not within the virtual machine, please.
cargo build --package plimsoll-cli --package plimsoll-subjects --bins
built=$(cargo test --package plimsoll-end-to-end --no-run --message-format=json |
    sed -n 's/.*"kind":\["test"\].*"name":"\([a-z_]*\)".*"executable":"\([^"]*\)".*/\1 \2/p')
# In a group of its own, as a session or a container is.
commands="mkdir /sys/fs/cgroup/session; echo \$\$ >/sys/fs/cgroup/session/cgroup.procs; cd testing/end-to-end; failed=0"
for test in "${tests[@]}"; do
    executable=$(awk -v test="$test" '$1 == test { print $2 }' <<<"$built")
    commands+="; echo '== $test'; timeout 1200 $executable --test-threads=2 --skip half_way --skip the_peak_and --skip documented_tables --skip shows_them_at_its_peak || failed=1"
done

[ $# -gt 0 ] || set -- bullseye bookworm trixie trixie-backports
failed=()
for suite in "$@"; do
    kernel=target/kernels/$suite
    "$here/fetch.sh" "$suite" "$kernel"
    # Stacks and heaps of the subjects would get huge pages otherwise, which Debian's kernels give to everybody.
    KERNEL_ARGUMENTS=transparent_hugepage=madvise MEMORY=${MEMORY:-6G} "$here/boot.sh" "$kernel" \
        "export PATH='$PATH' HOME=/tmp; $commands; exit \$failed" || failed+=("$suite")
done
[ ${#failed[@]} = 0 ] || { echo "failed under: ${failed[*]}"; exit 1; }
