"""Becomes another program under limits: run as a script, never imported.

Arguments: seconds of computing, bytes of memory, the program's path, its arguments. What reads a stranger's pixels may
not eat the machine; limits set by the parent between fork and exec are not safe where it has threads.
"""

import os
import sys


def main() -> None:
    """Sets the limits and becomes the program; 127 where it cannot be started."""
    try:
        import resource  # noqa: PLC0415  # absent on Windows
    except ImportError:
        pass
    else:
        wanted = (resource.RLIMIT_CPU, int(sys.argv[1])), (resource.RLIMIT_AS, int(sys.argv[2]))
        for what, most in (*wanted, (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
            _, hard = resource.getrlimit(what)
            grace = 2 if what == resource.RLIMIT_CPU else 0  # so that the first signal says what it was for
            soft, last = (n if hard == resource.RLIM_INFINITY else min(n, hard) for n in (most, most + grace))
            try:
                resource.setrlimit(what, (soft, last))
            except (ValueError, OSError):
                continue
    try:
        os.execv(sys.argv[3], sys.argv[3:])
    except OSError:
        sys.exit(127)


if __name__ == "__main__":
    main()
