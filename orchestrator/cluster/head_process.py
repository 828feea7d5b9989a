"""Run as a process of its own: Ray on this machine, from when it prints its address until its standard input ends.

It has the working folder, the mask of file rights and the environment that Ray's processes inherit, so that the
driver, which goes on meanwhile, has to change none of its own. A driver that is killed closes the pipe.
"""

import logging
import sys

import ray


def main(cpus: int, folder: str) -> None:
    """Start Ray with `cpus` CPUs and its files in `folder`, say where, and wait."""
    started = ray.init(
        address="local",
        num_cpus=cpus,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _temp_dir=folder,
    )
    sys.stdout.write(f"{started.address_info['gcs_address']}\n")
    sys.stdout.flush()
    sys.stdin.read()
    ray.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
