"""What `bastide doctor` says of the organisation's proxy, and what a command says that may not have one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from bastide.api.health import proxy_parts
from bastide.egress import Egress
from bastide.settings import EgressSettings
from tests.rooms.egress.proxying import ConnectProxy, proxying
from tests.rooms.egress.socksing import socks

from .test_commands import bastide


@pytest.mark.parametrize("kind", [proxying, socks])
async def test_doctor_says_whether_the_proxy_answers(
    kind: Callable[..., AbstractAsyncContextManager[ConnectProxy]],
) -> None:
    assert await proxy_parts(Egress(EgressSettings())) == []
    async with kind(credentials="bastide:known") as proxy:
        for credentials, state in (("bastide:known", "ok"), ("bastide:forgotten", "attention")):
            egress = Egress(EgressSettings(proxy=proxy.settings(credentials=credentials)))
            (part,) = await proxy_parts(egress)
            assert (part.name, part.state) == ("proxy", state)
            assert "forgotten" not in str(part.to_wire())
        assert set(proxy.asked) == {"is-the-proxy-there.invalid:443"}, "nobody can be behind it"
    (part,) = await proxy_parts(egress)
    assert part.state == "attention"
    assert f"127.0.0.1:{proxy.port} does not answer" in part.message
    assert "BASTIDE_PROXY" in (part.next or "")


def test_no_house_opens_with_a_proxy_and_a_closed_air_gap(tmp_path: Path) -> None:
    done = bastide(
        "up", "--air-gap", home=tmp_path / "home", BASTIDE_PROXY="http://user:known-only-here@127.0.0.1:3128"
    )
    assert done.returncode == 1
    assert "BASTIDE_PROXY" in done.stderr
    assert "known-only-here" not in done.stdout + done.stderr
    assert not (tmp_path / "home").exists()
