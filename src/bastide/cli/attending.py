"""The manners of every program: a failure is one sentence and a next step, and the exit status says so."""

from __future__ import annotations

import errno
import gc
import sys
from collections.abc import Callable

from bastide.cli.printing import failure
from bastide.errors import BastideError, FileNotWritten, WrongUsage

_NEXT = {
    errno.ENOSPC: "Make room on this disk, then try again.",
    errno.EDQUOT: "Make room within your quota, then try again.",
    errno.EACCES: "Run as a user who may do that, or choose another place.",
    errno.EPERM: "Run as a user who may do that, or choose another place.",
    errno.EROFS: "Choose a place that can be written.",
}


def attended(work: Callable[[], int], *, as_json: bool) -> int:
    """The exit status of `work`, its failure told."""
    gc.freeze()  # what was loaded stays
    gc.enable()
    try:
        return work()
    except BastideError as fault:
        failure(fault, as_json=as_json)
        return 2 if isinstance(fault, WrongUsage) else 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        raise  # the tree knows what that means
    except OSError as fault:
        step = _NEXT.get(fault.errno or 0)
        said = f"{fault.filename or 'This machine'}: {fault.strerror or fault}."
        failure(FileNotWritten(said, next_step=step), as_json=as_json)
        return 1
