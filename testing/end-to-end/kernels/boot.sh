#!/usr/bin/env bash
# Runs a command under another kernel: in a virtual machine whose root file system is this machine's, read-only below
# a disk that is gone with it, and whose cgroups are all of version 2.
#
#     boot.sh FOLDER COMMAND...
#
# FOLDER is a kernel that fetch.sh made. The command's exit status is passed on; 70 where the machine did not come to
# it. Needs qemu-system-x86_64, busybox (static), cpio, mkfs.ext4. MEMORY=4G and DISK=4G are what the machine has;
# KERNEL_ARGUMENTS=... is added to its command line. It is emulated, and some ten times slower, unless QEMU='-enable-kvm
# -cpu host' says otherwise: KVM within a virtual machine may hang instead of failing.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
if [ ! -e "${1:-}/vmlinuz" ]; then
    echo "boot.sh: ${1:-no folder given}: there is no kernel in it; fetch.sh SUITE FOLDER makes one" >&2
    exit 2
fi
kernel=$(cd "$1" && pwd)
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

root=$work/root
mkdir -p "$root"/{bin,proc,sys,dev}
cp "$(command -v busybox)" "$root/bin/busybox"
cp "$here/init" "$root/init"
cp -r "$kernel/modules" "$root/modules"
printf 'cd %q\n%s\n' "$PWD" "$*" >"$root/command"
(cd "$root" && find . | cpio --quiet -o -H newc) >"$work/initramfs"
truncate -s "${DISK:-4G}" "$work/disk"
PATH=$PATH:/usr/sbin mkfs.ext4 -q "$work/disk"

read -ra qemu <<<"${QEMU:--cpu max}"
qemu-system-x86_64 "${qemu[@]}" -m "${MEMORY:-4G}" -smp 2 -nographic -no-reboot -nodefaults -serial stdio \
    -kernel "$kernel/vmlinuz" -initrd "$work/initramfs" \
    -append "console=ttyS0 loglevel=3 panic=-1 ${KERNEL_ARGUMENTS:-}" \
    -virtfs local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap \
    -drive "file=$work/disk,format=raw,if=virtio,cache=unsafe" \
    </dev/null | stdbuf -oL tr -d '\r' | tee "$work/output"
status=$(sed -n 's/^exit status \([0-9]*\)$/\1/p' "$work/output" | tail -1)
exit "${status:-70}"
