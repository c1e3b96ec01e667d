#!/bin/sh
# Downloads proftpd, pure-ftpd, vsftpd and libfaketime as Debian packages and unpacks them into a folder, for
# the tests of apps/mirror: nothing is installed and no service is started. What can't be had is said, and
# costs its own tests only.
# Usage: fetch.sh FOLDER (the tests look into target/mirror-servers)
set -u
folder=$1
mkdir -p "$folder/debs/partial" "$folder/root" || exit 1
folder=$(cd "$folder" && pwd)
fetch() {
    [ -e "$folder/root/$2" ] && return
    apt-get install --download-only --yes -qq --no-install-recommends -o Debug::NoLocking=1 \
        -o APT::Sandbox::User= -o "Dir::Cache::archives=$folder/debs" "$1" >"$folder/log" 2>&1
    for deb in "$folder"/debs/*.deb; do
        [ -e "$deb" ] && dpkg -x "$deb" "$folder/root" && rm -f "$deb"
    done
    [ -e "$folder/root/$2" ] && return
    echo "not there for the tests of apps/mirror: $1"
    tail -n 2 "$folder/log"
}
command -v apt-get >/dev/null || { echo "no apt-get: no FTP servers for the tests of apps/mirror"; exit 0; }
fetch proftpd-core usr/sbin/proftpd
fetch proftpd-mod-crypto usr/lib/proftpd/mod_tls.so
fetch vsftpd usr/sbin/vsftpd
fetch pure-ftpd usr/sbin/pure-ftpd
fetch faketime usr/bin/faketime
rm -rf "$folder/debs"
