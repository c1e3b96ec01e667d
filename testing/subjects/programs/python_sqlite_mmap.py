"""CPython with one SQLite database mapped by many connections, each of which has read all of it.

Prints `ready {json}` and waits until its standard input closes or a line arrives.
Arguments: --mib M (about, of the database), --connections N. The database is created in the
current directory.
"""

import argparse
import json
import os
import sqlite3
import sys


def create(path, bytes_wanted):
    """Rows of 1000 bytes, four to a page of 4096, so that no page is skipped by a scan."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA page_size = 4096")
    connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, content BLOB NOT NULL)")
    rows = bytes_wanted // 1024
    connection.executemany(
        "INSERT INTO item (content) VALUES (?)", ((os.urandom(1000),) for _ in range(rows))
    )
    connection.commit()
    connection.close()
    return rows


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mib", type=int, default=48)
    parser.add_argument("--connections", type=int, default=12)
    arguments = parser.parse_args()

    path = os.path.abspath("cache.db")
    rows = create(path, arguments.mib << 20)
    file_bytes = os.path.getsize(path)
    connections = []
    for _ in range(arguments.connections):
        connection = sqlite3.connect(path)
        # What SQLite really allows: it may be compiled with a lower limit, even zero.
        allowed = connection.execute("PRAGMA mmap_size = %d" % (1 << 30)).fetchone()
        connection.execute("PRAGMA cache_size = -256")
        total = connection.execute("SELECT sum(length(content)) FROM item").fetchone()[0]
        if total != rows * 1000:
            sys.exit("the database lost rows: %d" % total)
        connections.append(connection)

    allowed = allowed[0] if allowed else 0
    truth = {
        "file": path,
        "file_bytes": file_bytes,
        "connections": len(connections),
        "mmap_size_bytes": allowed,
        "mappings": len(connections) if allowed else 0,
        "resident_bytes_each": min(file_bytes, allowed),
        "distinct_bytes": min(file_bytes, allowed),
        "sqlite": sqlite3.sqlite_version,
        "runtime": sys.version.split()[0],
    }
    print("ready", json.dumps(truth), flush=True)
    sys.stdin.readline()


main()
