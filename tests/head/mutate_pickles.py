"""Run as a program: reads so many mutated pickles and .npy files; anything but a value or an InputError ends it."""

import random
import resource
import sys
import time
from pathlib import Path

import pickle_files

from vhap.head.flame_pickle import numbers_of, read_object_array, read_pickle
from vhap.util.errors import InputError

SLOWEST_S = 5.0
MEMORY = 2 << 30


def main(folder: Path, count: int, seed: int) -> None:
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
    rng, seeds = random.Random(seed), pickle_files.seeds()
    header = b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '|O', 'fortran_order': False, 'shape': (), }".ljust(117) + b"\n"
    read, refused = 0, 0
    for index in range(count):
        path = folder / "mutated"
        content = pickle_files.mutation(rng.choice(seeds), seeds, rng)
        is_npy = rng.random() < 0.1
        content = header + content if is_npy else content
        path.write_bytes(content)
        start = time.process_time()
        try:
            value = (read_object_array if is_npy else read_pickle)(path)
            for name in value if isinstance(value, dict) else ():
                numbers_of(value, name, path)
            read += 1
        except InputError as error:
            refused += len(str(error).splitlines()) == 1
        except BaseException:
            (folder / "culprit").write_bytes(content)
            raise
        assert time.process_time() - start < SLOWEST_S, f"mutation {index}"
    assert read + refused == count, "a message of several lines"
    print(read, refused)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
