#!/usr/bin/env bash
# Downloads a kernel of Debian and unpacks what boot.sh needs of it, installing nothing.
#
#     fetch.sh SUITE FOLDER        SUITE: bullseye (5.10), bookworm (6.1), trixie (6.12), trixie-backports (the newest)
#
# FOLDER gets vmlinuz and modules/, numbered in the order in which they are loaded. Needs curl, xz, dpkg-deb, kmod.
set -euo pipefail
if [ $# != 2 ]; then
    echo "fetch.sh: give a suite of Debian and a folder" >&2
    exit 2
fi
suite=$1
folder=$2
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
[ ! -e "$folder/vmlinuz" ] || exit 0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
list=$mirror/dists/$suite/main/binary-amd64/Packages.xz
if ! curl --fail --silent --show-error --output "$work/Packages.xz" "$list"; then
    echo "fetch.sh: $suite: its list of packages, $list, can't be had; is it a suite of Debian?" >&2
    exit 1
fi
xz -d "$work/Packages.xz"
file_of() { # of the newest package of which the name matches
    awk -v wanted="$1" '/^Package: /{name = $2} /^Filename: /{file = $2} /^$/{if (name ~ wanted) print file}' \
        "$work/Packages" | sort -V | tail -1
}
files=$(file_of '^linux-image-[0-9.]+(-[0-9]+|[+]deb[0-9]+)-amd64$')
version=$(basename "$files" | sed 's/^linux-image-\(.*-amd64\)_.*/\1/')
# Of the newest ones that package is empty, and asks for these.
for part in base binary modules; do
    files="$files $(file_of "^linux-$part-${version//+/[+]}\$")"
done
for file in $files; do
    curl --fail --silent --show-error --output "$work/package.deb" "$mirror/$file"
    dpkg-deb --extract "$work/package.deb" "$work/unpacked"
done
# Older ones have /lib, newer ones /usr/lib.
[ -e "$work/unpacked/lib" ] || ln -s usr/lib "$work/unpacked/lib"
depmod --basedir "$work/unpacked" "$version"

mkdir -p "$folder/modules"
# What is built in is no file.
for module in virtio_pci virtio_blk ext4 9pnet_virtio 9p overlay; do
    modprobe --dirname "$work/unpacked" --set-version "$version" --show-depends "$module" 2>/dev/null || true
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | nl -nrz -w2 | while read -r number file; do
    module=$folder/modules/$number-$(basename "$file" .xz)
    case $file in
    *.xz) xz -dc "$file" >"$module" ;;
    *) cp "$file" "$module" ;;
    esac
done
cp "$(find "$work/unpacked" -name 'vmlinuz*' -type f | head -1)" "$folder/vmlinuz"
echo "$suite: Linux $version in $folder"
