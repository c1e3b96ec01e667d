"""Comic tools in small, after comic-utils: pages are rendered and written to an archive, a picture is
enhanced, an archive is unpacked.

    comic_pages.py convert --pages N --batch B     render B pages, write them, forget them, and so on;
                                                   B = 0: all pages first, then the archive
    comic_pages.py enhance --way whole|tiles       brighten one picture: at once, or in tiles
    comic_pages.py unpack --way all|each           extract an archive: in one call, or file by file

A page is --width (600) x --height (900) pixels of three bytes; pictures of `enhance` have nine times
as many. `enhance` prints what a reading of RSS before and after says of it, as comic-utils' memory
context does. Only the standard library is needed.
"""

import argparse
import gc
import mmap
import os
import shutil
import zipfile
import zlib


def rss():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * mmap.PAGESIZE


def render(number, arguments):
    """A page with some structure: it compresses, but not to nothing."""
    row = os.urandom(64) + bytes([number % 256]) * (3 * arguments.width - 64)
    return bytearray(row) * arguments.height


def convert(arguments):
    batch = arguments.batch or arguments.pages
    with zipfile.ZipFile("pages-%d.cbz" % os.getpid(), "w") as archive:
        for start in range(0, arguments.pages, batch):
            pages = [render(n, arguments) for n in range(start, min(start + batch, arguments.pages))]
            for number, page in enumerate(pages, start):
                archive.writestr("page_%03d.z" % number, zlib.compress(page, 1))
            pages.clear()
            gc.collect()
    os.remove(archive.filename)


def brighten(pixels):
    """Five steps, each with a frame of its own, as a chain of image filters makes them."""
    table = bytes(min(255, value + 16) for value in range(256))
    frames = [pixels]
    for _ in range(4):
        frames.append(frames[-1].translate(table))
    return frames[-1]


def enhance(arguments):
    gc.collect()
    before = rss()
    arguments.width, arguments.height = 3 * arguments.width, 3 * arguments.height
    picture = render(1, arguments)
    if arguments.way == "whole":
        result = brighten(picture)
    else:
        # Tiles of the picture that is there anyway, pasted into a second one that is there anyway;
        # and the result is copied once more to be saved.
        result = bytearray(len(picture))
        tile = 64 * 3 * arguments.width
        for at in range(0, len(picture), tile):
            result[at : at + tile] = brighten(picture[at : at + tile])
        result = bytes(result)
        result = (result, bytearray(result))[1]
    size = len(zlib.compress(result, 1))
    del picture, result
    gc.collect()
    print("enhance: %+.1f MiB by RSS before and after, %d bytes out" % ((rss() - before) / 2**20, size))


def unpack(arguments):
    path, folder = "comic-%d.cbz" % os.getpid(), "comic-%d" % os.getpid()
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(arguments.pages):
            archive.writestr("page_%03d" % number, bytes(render(number, arguments)[: 1 << 19]))
    with zipfile.ZipFile(path) as archive:
        if arguments.way == "all":
            archive.extractall(folder)
        else:
            for number, name in enumerate(archive.namelist()):
                archive.extract(name, folder)
                if number % 10 == 9:
                    gc.collect()
    shutil.rmtree(folder)
    os.remove(path)


def main():
    parser = argparse.ArgumentParser()
    work = {"convert": convert, "enhance": enhance, "unpack": unpack}
    parser.add_argument("work", choices=work)
    parser.add_argument("--way", choices=["whole", "tiles", "all", "each"], default="whole")
    parser.add_argument("--pages", type=int, default=20)
    parser.add_argument("--batch", type=int, default=0)
    parser.add_argument("--width", type=int, default=600)
    parser.add_argument("--height", type=int, default=900)
    arguments = parser.parse_args()
    work[arguments.work](arguments)


main()
