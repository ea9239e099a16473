"""Verification of files, as somebody does it who has nothing of ours running and does not trust us."""

from __future__ import annotations

import copy
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bastide.audit import verify_file
from bastide.audit.note import SecretKey
from bastide.errors import OtherLog

from .conftest import Logged, facts, somebody


@pytest.fixture(scope="session")
async def wire(logged: Logged) -> dict[str, Any]:
    """A proven receipt with every kind of value in it."""
    ours = somebody()
    tls = {
        "ip": "192.0.2.1",
        "port": 443,
        "cert_sha256": "ab",
        "price": 1.25,
        "none": None,
        "list": [1, [2, {"a": "é"}]],
    }
    async with logged.store.under(ours) as db:
        id = await logged.audit.record(db, "inference.chat", receipt=facts(tls=tls, assurance="contractual"))
    await logged.act(somebody(), 20)
    receipt = (await logged.audit.receipt(ours, id)).to_wire()
    return json.loads(json.dumps(receipt))  # type: ignore[no-any-return]


@pytest.fixture
def key(logged: Logged) -> Path:
    return logged.home / "log.vkey"


def _paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict):
        for name in value:
            yield from _paths(value[name], (*at, name))
    elif isinstance(value, list):
        for i, one in enumerate(value):
            yield from _paths(one, (*at, i))
    yield at


def _changes(value: Any) -> list[Any]:
    if isinstance(value, bool):
        return [not value, None, int(value), str(value)]
    if isinstance(value, str):
        return [value + " ", value[:-1], None, "", value[::-1] + "x", [value]]
    if isinstance(value, int | float):
        return [value + 1, -value - 1, str(value), None]
    if value is None:
        return [0, "", False, {}]
    if isinstance(value, list):
        return [[*value, None], value[:-1] if value else None, value[::-1] if value[::-1] != value else "x"]
    return [{**value, "more": 1}, [], None]


def _write(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value, ensure_ascii=False))
    return path


@pytest.mark.parametrize("with_key", [True, False])
def test_a_receipt_with_any_field_changed_is_invalid(
    wire: dict[str, Any], key: Path, tmp_path: Path, with_key: bool
) -> None:
    given = key if with_key else None
    assert verify_file(_write(tmp_path / "r.json", wire), given).valid
    tried = 0
    for path in _paths(wire):
        if not path:
            continue
        holder = wire
        for step in path[:-1]:
            holder = holder[step]
        for changed in _changes(holder[path[-1]]):
            hurt = copy.deepcopy(wire)
            place = hurt
            for step in path[:-1]:
                place = place[step]
            place[path[-1]] = changed
            found = verify_file(_write(tmp_path / "r.json", hurt), given)
            assert not found.valid, (path, changed)
            assert found.problems
            tried += 1
        hurt = copy.deepcopy(wire)
        place = hurt
        for step in path[:-1]:
            place = place[step]
        del place[path[-1]]
        assert not verify_file(_write(tmp_path / "r.json", hurt), given).valid, path
    assert tried > 150
    assert not verify_file(_write(tmp_path / "r.json", {**wire, "note": "added"}), given).valid


def test_every_changed_byte_of_a_receipt_file_is_noticed_or_means_the_same(
    wire: dict[str, Any], key: Path, tmp_path: Path
) -> None:
    text = json.dumps(wire)
    dice = random.Random(7)
    for _ in range(600):
        at = dice.randrange(len(text))
        hurt = text[:at] + chr(dice.randrange(33, 127)) + text[at + 1 :]
        file = tmp_path / "r.json"
        file.write_text(hurt)
        found = verify_file(file, key)
        if found.valid:
            assert json.loads(hurt) == wire


def test_a_receipt_that_shows_two_values_is_refused(wire: dict[str, Any], key: Path, tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    file.write_text('{"model":"another/model",' + json.dumps(wire)[1:])
    assert not verify_file(file, key).valid


def test_a_receipt_is_still_good_however_its_json_is_laid_out(wire: dict[str, Any], key: Path, tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    file.write_text("\n " + json.dumps(dict(sorted(wire.items(), reverse=True)), indent=7, ensure_ascii=True) + "\n")
    assert verify_file(file, key).valid


def test_a_foreign_log_cannot_pose_as_ours(wire: dict[str, Any], key: Path, tmp_path: Path) -> None:
    """The whole receipt is rebuilt under a key of the forger's; it holds only where nobody asks whose key it is."""
    name = str(wire["key"]).split("+", 1)[0]
    forger = SecretKey.generate(name).public
    other = tmp_path / "other.vkey"
    other.write_text(str(forger))
    good = _write(tmp_path / "r.json", wire)
    found = verify_file(good, other)
    assert (found.valid, found.key) == (False, "given")
    assert not verify_file(_write(tmp_path / "r.json", {**wire, "key": str(forger)})).valid


def test_the_key_beside_the_file_is_used_before_the_one_inside(wire: dict[str, Any], key: Path, tmp_path: Path) -> None:
    good = _write(tmp_path / "r.json", wire)
    shutil.copy(key, tmp_path / "log.vkey")
    assert verify_file(good).key == "beside"
    (tmp_path / "log.vkey").write_text(str(SecretKey.generate("bastide/x").public))
    assert not verify_file(good).valid
    (tmp_path / "log.vkey").write_text("garbage")
    assert not verify_file(good).valid


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        b"\0" * 10_000,
        b"{}",
        b"[]",
        b"{" * 100_000,
        b'{"leaf": 1, "proof": 2, "opening": 3, "key": 4}',
        b'{"leaf": "", "proof": "", "opening": "", "key": ""}',
        b'{"key": "\\ud800+00000000+AAAA"}',
        b'{"a": "\\ud800"}',
        b"\xff\xfe",
        b"hello",
        b"a\n\n\xe2\x80\x94 b c\n",
        "\ufeff{}".encode(),
        random.Random(5).randbytes(5000),
        b"9" * 5000,
        b'{"a": ' + b"9" * 5000 + b"}",
    ],
    ids=lambda one: str(one[:12]),
)
def test_garbage_is_invalid_and_never_an_accident(key: Path, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x"
    file.write_bytes(content)
    for given in (None, key, file):
        found = verify_file(file, given)
        assert not found.valid
        assert len(found.problems) == 1


def test_truncated_anywhere_it_is_invalid(wire: dict[str, Any], key: Path, tmp_path: Path) -> None:
    text = json.dumps(wire)
    file = tmp_path / "r.json"
    for length in range(0, len(text), 37):
        file.write_text(text[:length])
        assert not verify_file(file, key).valid


def test_what_cannot_be_read_is_a_problem(key: Path, tmp_path: Path) -> None:
    assert not verify_file(tmp_path / "missing").valid
    assert not verify_file(key, tmp_path / "missing").valid
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate(3 * 1024**3)
    assert "larger" in verify_file(huge).problems[0]
    assert not verify_file(tmp_path).valid  # an empty folder


async def test_a_checkpoint_file(logged: Logged, key: Path, tmp_path: Path) -> None:
    await logged.act(somebody())
    file = tmp_path / "checkpoint.txt"
    note = await logged.audit.checkpoint()
    file.write_text(note)
    found = verify_file(file, key)
    assert (found.valid, found.kind, found.log) == (True, "checkpoint", note.split("\n")[0])
    assert found.size == int(note.split("\n")[1])
    assert "--key" in verify_file(file).problems[0]
    assert verify_file(logged.home / "checkpoint.latest").key == "beside"
    file.write_text(note.replace(f"\n{found.size}\n", f"\n{(found.size or 0) + 1}\n"))
    assert not verify_file(file, key).valid


# -- exported logs ------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
async def exported(logged: Logged, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of a log with several tiles."""
    ours = somebody()
    for _ in range(7):
        async with logged.store.under(ours) as db:
            for _ in range(90):
                await logged.audit.record(db, "test.act")
    await logged.settle()
    folder = tmp_path_factory.mktemp("export")
    done = await logged.audit.export(folder)
    assert done.size == done.added
    return folder


def test_an_export_verifies_offline(exported: Path, key: Path) -> None:
    for given in (None, key):
        found = verify_file(exported, given)
        assert found.valid, found.problems
        assert found.kind == "log"
    assert (exported / "tile" / "0" / "000").stat().st_size == 8192
    assert (exported / "tile" / "entries" / "000").exists()


def test_an_export_verifies_without_our_server_or_database(exported: Path, tmp_path: Path) -> None:
    """In a process of its own that has no network and may import neither psycopg nor anything that serves."""
    script = (
        "import sys, pathlib\n"
        "class No:\n"
        "    def find_spec(self, name, *a):\n"
        "        if name.split('.')[0] in {'fastapi', 'uvicorn', 'httpx2', 'onnxruntime'}: raise ImportError(name)\n"
        "sys.meta_path.insert(0, No())\n"
        "from bastide.audit import verify_file\n"
        f"print(verify_file(pathlib.Path({str(exported)!r})).valid)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == "True"


async def test_an_export_is_continued_and_stays_whole(logged: Logged, exported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(exported, folder)
    before = verify_file(folder).size or 0
    again = await logged.audit.export(folder)
    nothing = await logged.audit.export(folder)
    assert nothing.added == 0
    ours = somebody()
    async with logged.store.under(ours) as db:
        for _ in range(300):
            await logged.audit.record(db, "test.act")
    await logged.settle()
    more = await logged.audit.export(folder)
    assert more.size == before + again.added + 300
    assert more.added == 300
    assert more.files < 12
    found = verify_file(folder)
    assert found.valid, found.problems


async def test_an_export_refuses_the_folder_of_another_log(logged: Logged, exported: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(exported, other)
    (other / "log.vkey").write_text(str(SecretKey.generate("bastide/other").public))
    with pytest.raises(OtherLog):
        await logged.audit.export(other)
    shutil.copy(exported / "log.vkey", other / "log.vkey")
    (other / "checkpoint").write_text("junk")
    with pytest.raises(OtherLog):
        await logged.audit.export(other)
    (tmp_path / "tiles" / "tile").mkdir(parents=True)
    with pytest.raises(OtherLog):
        await logged.audit.export(tmp_path / "tiles")


def _flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(bytes(content))


def test_damage_to_an_export_is_found_and_named(exported: Path, tmp_path: Path) -> None:
    def fresh() -> Path:
        shutil.rmtree(tmp_path / "x", ignore_errors=True)
        return Path(shutil.copytree(exported, tmp_path / "x"))

    assert verify_file(fresh()).valid
    folder = fresh()
    bundle = folder / "tile" / "entries" / "001"
    length = int.from_bytes(bundle.read_bytes()[:2], "big")
    _flip(bundle, 2 + length + 2 + 30)
    assert verify_file(folder).index == 257
    folder = fresh()
    _flip(folder / "tile" / "0" / "001", 32 * 9)
    assert verify_file(folder).index == 265
    folder = fresh()
    (folder / "tile" / "entries" / "000").unlink()
    assert verify_file(folder).index == 0
    folder = fresh()
    bundle = folder / "tile" / "entries" / "001"
    bundle.write_bytes(bundle.read_bytes()[:-1])
    assert verify_file(folder).index == 256
    folder = fresh()
    (folder / "tile" / "0" / "001").unlink()
    assert not verify_file(folder).valid
    folder = fresh()
    upper = next((folder / "tile" / "1" / "000.p").iterdir())
    _flip(upper, 0)
    assert not verify_file(folder).valid
    folder = fresh()
    (folder / "checkpoint").write_text((folder / "checkpoint").read_text().replace("bastide", "Bastide", 1))
    assert not verify_file(folder).valid
    folder = fresh()
    shutil.rmtree(folder / "tile")
    assert verify_file(folder).index == 0
