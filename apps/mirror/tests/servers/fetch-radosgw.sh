#!/bin/sh
# Downloads Ceph's radosgw with all that it needs from Debian 13 (86 MB, 280 MB unpacked) into a folder of its
# own, whatever system this is, for a test of apps/mirror with the S3 server of others. Nothing is installed. What
# can't be had is said, and costs that test only.
# Usage: fetch-radosgw.sh FOLDER (the test looks into target/mirror-servers/radosgw)
set -u
folder=$1
[ -x "$folder/usr/bin/radosgw" ] && exit 0
keys=/usr/share/keyrings/debian-archive-keyring.gpg
command -v apt-get >/dev/null && [ -e $keys ] || { echo "no apt of Debian: no radosgw for the tests of apps/mirror"; exit 0; }
rm -rf "$folder.part"
mkdir -p "$folder.part/lists/partial" "$folder.part/cache/archives/partial" "$folder.part/root" || exit 1
part=$(cd "$folder.part" && pwd)
# As if nothing were installed: libraries of another release than this system's.
touch "$part/status"
echo "deb [signed-by=$keys] http://deb.debian.org/debian trixie main" >"$part/sources"
apt() {
    timeout 300 apt-get -qq -o "Dir::Etc::sourcelist=$part/sources" -o Dir::Etc::sourceparts=/dev/null \
        -o "Dir::State::lists=$part/lists" -o "Dir::State::status=$part/status" -o "Dir::Cache=$part/cache" \
        -o Debug::NoLocking=1 -o APT::Sandbox::User= "$@" >"$part/log" 2>&1
}
if apt update && apt install --yes --download-only --no-install-recommends radosgw; then
    for deb in "$part"/cache/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$part/root" --exclude=./usr/share || exit 1
    done
    mkdir -p "$part/root/tmp" "$part/root/dev"
    for name in bin lib lib64; do
        [ -e "$part/root/$name" ] || ln -s "usr/$name" "$part/root/$name"
    done
    mv "$part/root" "$folder"
else
    echo "not there for the tests of apps/mirror: radosgw"
    tail -n 2 "$part/log"
fi
rm -rf "$part"
