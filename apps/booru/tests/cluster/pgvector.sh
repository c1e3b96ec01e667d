#!/bin/sh
# Builds pgvector from Debian's source, for the version of PostgreSQL that is there, and installs it into that.
# Only for the tests of apps/booru: what can't be had is said, and costs its own tests only.
set -u
version=0.8.0
sum=867a2c328d4928a5a9d6f052cd3bc78c7d60228a9b914ad32aa3db88e9de27b0
config=$(ls -1 /usr/lib/postgresql/*/bin/pg_config 2>/dev/null | sort -V | tail -n 1)
[ -n "$config" ] || { echo "no PostgreSQL: no pgvector for the tests of apps/booru"; exit 0; }
[ -e "$("$config" --sharedir)/extension/vector.control" ] && exit 0
[ -e "$("$config" --pgxs)" ] ||
    { echo "no postgresql-server-dev: no pgvector for the tests of apps/booru"; exit 0; }
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
curl -sSfO "http://deb.debian.org/debian/pool/main/p/pgvector/pgvector_$version.orig.tar.gz" &&
    echo "$sum  pgvector_$version.orig.tar.gz" | sha256sum --check --quiet &&
    tar xf "pgvector_$version.orig.tar.gz" && cd "pgvector-$version" &&
    make with_llvm=no OPTFLAGS= PG_CONFIG="$config" >log 2>&1 &&
    ${SUDO:-} make with_llvm=no PG_CONFIG="$config" install >>log 2>&1 && exit 0
echo "not built: pgvector for the tests of apps/booru"
tail -n 3 log 2>/dev/null
exit 0
