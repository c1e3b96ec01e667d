"""Exact inner-product search by faiss's IndexFlatIP or by numpy, as an image board would: vectors out of
similarity.db by one fetchall, a matrix, an index. Prints what it took as one line of JSON.

    flat_ip.py faiss|numpy FOLDER QUERIES K THREADS
"""

import ctypes
import gc
import json
import os
import sqlite3
import sys
import time

peer, folder, queries, k, threads = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = str(threads)

import numpy as np  # noqa: E402

if peer == "faiss":
    import faiss

    faiss.omp_set_num_threads(threads)


def status(name):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name))


def trim():
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


before, anonymous_before = status("VmRSS:"), status("RssAnon:")
begin = time.perf_counter()
connection = sqlite3.connect(os.path.join(folder, "similarity.db"))
rows = connection.execute("SELECT image_id, embedding FROM embeddings").fetchall()
ids = np.array([row[0] for row in rows], dtype=np.int64)
matrix = np.empty((len(rows), len(rows[0][1]) // 4), dtype=np.float32)
for number, row in enumerate(rows):
    matrix[number] = np.frombuffer(row[1], dtype=np.float32)
place = {int(image): number for number, image in enumerate(ids)}
vectors = np.ascontiguousarray(matrix[[place[image] for image in queries]])
del rows, place
if peer == "faiss":
    index = faiss.IndexFlatIP(matrix.shape[1])
    index.add(matrix)
    del matrix
else:
    index = matrix
    del matrix
build = time.perf_counter() - begin
built = status("VmRSS:")
connection.close()
trim()


def search(vector):
    if peer == "faiss":
        scores, rows = index.search(vector, k + 1)
        return ids[rows[0]], scores[0]
    scores = index @ vector[0]
    best = np.argpartition(-scores, k + 1)[: k + 1]
    best = best[np.argsort(-scores[best])]
    return ids[best], scores[best]


wall, cpu, answers = [], [], []
for image, vector in zip(queries, vectors):
    begin, processor = time.perf_counter(), time.process_time()
    found, _ = search(vector[None, :])
    cpu.append((time.process_time() - processor) * 1e3)
    wall.append((time.perf_counter() - begin) * 1e3)
    answers.append([int(one) for one in found if one != image][:k])
used = status("VmRSS:")
del index, vectors
trim()
print(
    json.dumps(
        {
            "build_seconds": build,
            "rss_before": before,
            "anonymous_before": anonymous_before,
            "anonymous_idle": status("RssAnon:"),
            "rss_built": built,
            "rss_used": used,
            "rss_peak": status("VmHWM:"),
            "rss_idle": status("VmRSS:"),
            "wall": wall,
            "cpu": cpu,
            "answers": answers,
        }
    )
)
