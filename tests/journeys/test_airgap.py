"""The main journey inside a network namespace that has loopback only; the record's reader finds what it must."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from tests.journeys import airgap


def _may_enter_a_namespace() -> bool:
    tools = all(map(shutil.which, ("unshare", "ip", "strace")))
    return tools and subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.early
@pytest.mark.skipif(not _may_enter_a_namespace(), reason="needs unshare, ip and strace, and the right to a namespace")
def test_the_main_journey_needs_nothing_but_loopback() -> None:
    done = subprocess.run([sys.executable, airgap.__file__], capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "0 to an address outside loopback" in done.stdout


@pytest.mark.parametrize(
    ("line", "leaves"),
    [
        ('1 connect(3, {sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr("93.184.216.34")}, 16) = -1', True),
        ('1 connect(3, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("10.0.0.2")}, 16) = 0', True),
        ('1 connect(3, {sa_family=AF_INET6, sin6_port=htons(443), inet_pton(AF_INET6, "2001:db8::1", &x)}, 28)', True),
        ('1 sendto(3, "x", 1, 0, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("8.8.8.8")}, 16)', True),
        ('1 connect(3, {sa_family=AF_INET, sin_port=htons(8092), sin_addr=inet_addr("127.0.0.1")}, 16) = 0', False),
        ('1 connect(3, {sa_family=AF_INET6, sin6_port=htons(80), inet_pton(AF_INET6, "::1", &x)}, 28)', False),
        ('1 connect(3, {sa_family=AF_UNIX, sun_path="/run/x/.s.PGSQL.5432"}, 110) = 0', False),
    ],
)
def test_the_record_is_read_rightly(line: str, leaves: bool) -> None:
    assert bool(airgap.outside(line)) is leaves
