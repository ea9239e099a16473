"""The command line as a person uses it: a real server, real files, and everything that a newcomer gets wrong."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
import zipfile
from asyncio import to_thread
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest
from mcp.client.session import ClientSession
from mcp.client.stdio import StdioServerParameters, stdio_client

from bastide.cli.attending import attended
from bastide.cli.running import read_key
from bastide.inference.adapters import ADAPTERS
from bastide.store import new_id
from tests.doors.test_media import studio
from tests.journeys.processes import Living
from tests.journeys.typist import typed

BASTIDE = str(Path(sys.executable).with_name("bastide"))
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("BASTIDE_")}
VERBS = ("create", "list", "show", "disable")
COMMANDS = (
    "up serve doctor ingest search ask receipt verify audit_verify audit_export provider_list provider_show "
    "provider_explain policy_show policy_test model_list model_add model_explain model_remove model_sync model_offered "
    "route_add route_list route_show route_remove "
    "collection_list collection_show collection_export collection_import "
    + " ".join(
        f"{kind}_{verb}" for kind in ("tenant", "user", "app", "key") for verb in ["create", "list", "show", "disable"]
    )
).split()


def bastide(*arguments: str, home: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command as a person types it, in a process of its own, without an interpreter's start."""
    words = [*arguments, *(["--home", str(home)] if home else [])]
    return typed(words, environment=CLEAN | environment)


@dataclass
class Server:
    """A server of our own on a home of its own."""

    home: Path
    first_line: dict[str, Any]
    process: Living

    def json(self, *arguments: str) -> Any:
        """A command that must succeed; its JSON."""
        done = bastide(*arguments, "--json", home=self.home)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        assert done.stdout.count("\n") == 1, "one JSON document and nothing else"
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("door") / "home"
    words = [BASTIDE, "up", "--no-examples", "--port", "0", "--home", str(home), "--json"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=CLEAN)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.stderr.read() if process.stderr else ""
    opened = Server(home, json.loads(line), process)
    tower = home.parent / "tower.md"
    tower.write_text("# Tower\n\nThe tower was built in 1284 by the people of the town.\n")
    assert opened.json("ingest", str(tower))["ingested"] == 1
    yield opened
    process.terminate()
    assert process.wait(timeout=120) == 0
    assert not (home / "run.json").exists()


def test_what_up_says_and_leaves(server: Server) -> None:
    line = server.first_line
    assert set(line) >= {"url", "home", "admin_key_file", "tenant", "database", "air_gap"}
    assert json.loads((server.home / "run.json").read_text()) == line
    assert Path(line["admin_key_file"]).stat().st_mode & 0o777 == 0o600
    assert server.home.stat().st_mode & 0o777 == 0o700
    assert Path(line["admin_key_file"]).read_text().startswith("bst_")


def test_the_main_journey(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "papers"
    (folder / "below").mkdir(parents=True)
    (folder / "lease.md").write_text("# Lease\n\nThe lease of the mill ends on 30 June 2031.\n")
    (folder / "below" / "mill.txt").write_text("The mill has two wheels.")
    (folder / "bad.pdf").write_bytes(b"%PDF-1.7 cut off")
    said = ("--collection", "mill", "--class", "confidential", "--meta", "kind=paper", "--meta", "year:=2031")
    done = bastide("ingest", str(folder), *said, "--json", home=server.home)
    assert done.returncode == 1, "a file was refused"
    taken = json.loads(done.stdout)
    assert (taken["ingested"], taken["refused"]) == (2, 1)
    assert {one["name"] for one in taken["documents"]} == {"lease.md", "below/mill.txt", "bad.pdf"}
    again = server.json("ingest", str(folder / "lease.md"), "--collection", "mill", "--class", "confidential")
    assert again["unchanged"] == 1

    assert server.json("search", "mill", "--meta", "year=2031")["passages"] == []  # the text is not the number
    found = server.json("search", "mill", "-k", "2", "--collection", "mill", "--meta", "year:=2031")
    assert found["passages"][0]["metadata"] == {"kind": "paper", "year": 2031}
    assert found["passages"][0]["label"]["class"] == "confidential"
    answer = server.json("ask", "When does the lease of the mill end?")
    assert "30 June 2031" in answer["answer"]
    file, log = tmp_path / "receipt.json", tmp_path / "log"
    server.json("receipt", answer["receipt"], "--out", str(file))
    assert server.json("verify", str(file), "--key", str(server.home / "log.vkey"))["valid"] is True
    real = subprocess.run([BASTIDE, "verify", str(file), "--json"], capture_output=True, env=CLEAN, check=False)
    assert (real.returncode, json.loads(real.stdout)["valid"]) == (0, True), "and so it is without a typist"
    verified = server.json("audit", "verify")
    assert verified["valid"] is True
    assert verified["size"] > 0
    server.json("audit", "export", str(log))
    assert server.json("verify", str(log))["kind"] == "log"

    forged = json.loads(file.read_text())
    forged["model"] = "another"
    file.write_text(json.dumps(forged))
    refused = bastide("verify", str(file), "--json")
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["valid"] is False


def test_of_a_folder_each_file_that_is_refused_and_each_thing_that_is_skipped_is_named(
    server: Server, tmp_path: Path
) -> None:
    """More of them than go in one request, some alike, one with a name that no document may have."""
    folder = tmp_path / "papers"
    folder.mkdir()
    bad = {f"bad-{n:02}.pdf": b"%%PDF-1.7 cut off %d" % (n // 2) for n in range(34)} | {
        "empty.md": b"",
        "a\nb.md": b"x",
    }
    good = {'the "mill".md': b"The mill has two wheels, and a back\\slash.", "x\\y.md": b"The gate has two wings."}
    for name, data in (bad | good).items():
        (folder / name).write_bytes(data)
    (folder / "gone.md").symlink_to("nowhere.md")
    told = bastide("ingest", str(folder), "--collection", "heap", home=server.home)
    assert told.returncode == 1
    assert told.stdout == "2 taken in (2 chunks), 0 known already, 36 refused, 1 skipped.\n"
    lines = told.stderr.splitlines()
    refused = [
        line.partition(": ")[0] for line in lines if line.endswith((".unreadable_file)", ".empty_file)", "name)"))
    ]
    assert sorted(refused) == sorted(name.replace("\n", "\\n") for name in bad)
    assert "gone.md: skipped. It is a link that leads nowhere." in lines
    done = bastide("ingest", str(folder), "--collection", "heap", "--json", home=server.home)
    total = json.loads(done.stdout)
    assert (total["ingested"], total["unchanged"], total["refused"]) == (0, 2, 36)
    assert {one["name"] for one in total["documents"] if one["status"] == "refused" and one["error"]["next"]} == set(
        bad
    )
    assert {one["name"] for one in total["documents"] if one["status"] == "unchanged"} == set(good)
    assert total["skipped"] == [{"name": "gone.md", "why": "It is a link that leads nowhere."}]


def test_what_a_person_reads(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "gate.md"
    file.write_text("# Gate\n\nThe gate of the town is closed at nine.\n")
    told = bastide("ingest", str(file), home=server.home)
    assert "1 taken in" in told.stdout
    asked = bastide("ask", "When was the tower built?", home=server.home)
    assert "1284" in asked.stdout
    assert "Sources" in asked.stdout
    assert "extractive" in asked.stdout
    assert "\x1b" not in asked.stdout + asked.stderr, "no colours without a terminal"
    assert all(len(line) <= 110 for line in asked.stdout.splitlines())
    doctor = bastide("doctor", home=server.home)
    assert doctor.returncode == 0, doctor.stdout
    assert "row security" in doctor.stdout


def test_identities(server: Server) -> None:
    tenant = server.json("tenant", "create", "acme")
    assert tenant["id"].startswith("ten_")
    names = [one["name"] for one in server.json("tenant", "list")["tenants"]]
    assert [name for name in names if name != "elsewhere"] == ["home", "acme"], "that is of another test"
    key = server.json("key", "create", "--tenant", "acme", "--role", "member", "--expires", "30")
    assert key["key"].startswith("bst_")
    user = server.json("user", "create", "ada@example.org", "--name", "Ada", "--tenant", "acme")
    assert server.json("user", "show", "ada@example.org", "--tenant", "acme")["id"] == user["id"]
    assert server.json("app", "create", "intranet", "--tenant", "acme")["name"] == "intranet"
    assert server.json("user", "list")["users"] == [], "the home tenant has none"
    mine = bastide("search", "mill", "--json", home=server.home, BASTIDE_API_KEY=key["key"])
    assert json.loads(mine.stdout)["passages"] == []
    theirs = server.json("--tenant", "acme", "search", "mill")
    assert theirs["passages"] == []
    left = [one for one in server.json("key", "list", "--tenant", "acme")["keys"] if not one["disabled_at"]]
    assert [one["id"] for one in left] == [key["id"]], "a borrowed key is handed back"
    refused = bastide("tenant", "create", "beta", home=server.home, BASTIDE_API_KEY=key["key"])
    assert refused.returncode == 1
    assert "tenancy.forbidden" in refused.stderr
    bound = server.json("key", "bind", key["id"], "--tenant", "acme", "--model", "lane", "--model", "local/*")
    assert bound["models"] == ["lane", "local/*"]
    assert server.json("key", "bind", key["id"], "--tenant", "acme", "--every-model")["models"] is None
    other = ("key", "create", "--tenant", "acme", "--role", "member", "--model", "lane")
    assert server.json(*other)["models"] == ["lane"]
    rotated = server.json("key", "rotate", key["id"], "--tenant", "acme", "--keep", "1")
    assert rotated["id"] == key["id"]
    for secret in (key["key"], rotated["key"]):
        mine = bastide("search", "mill", "--json", home=server.home, BASTIDE_API_KEY=secret)
        assert mine.returncode == 0, mine.stderr
    server.json("key", "disable", key["id"], "--tenant", "acme")
    gone = bastide("search", "mill", "--json", home=server.home, BASTIDE_API_KEY=key["key"])
    assert gone.returncode == 1
    assert json.loads(gone.stderr)["error"]["code"] == "tenancy.disabled_key"


def test_law_and_models(server: Server, tmp_path: Path) -> None:
    listed = server.json("provider", "list")["providers"]
    outside = next(one["id"] for one in listed if one["kind"] == "api")
    assert server.json("provider", "show", outside)["attributes"]
    refused = bastide("provider", "explain", outside, "--class", "secret", home=server.home)
    assert refused.returncode == 1
    assert "no   " in refused.stdout
    assert bastide("provider", "explain", "local/onnx", home=server.home).returncode == 0
    assert "local/onnx" in server.json("policy", "show")["enabled"]
    draft = tmp_path / "draft.yaml"
    draft.write_text("cases:\n- {label: {class: public}, endpoint: local/onnx, allowed: true}\n")
    assert bastide("policy", "test", str(draft), home=server.home).returncode == 0
    draft.write_text(f"cases:\n- {{label: {{class: secret}}, endpoint: {outside}, allowed: true}}\n")
    assert bastide("policy", "test", str(draft), home=server.home).returncode == 1
    added = server.json("model", "add", "--name", "mine", "--url", "http://127.0.0.1:9/v1", "--local", "--model", "m")
    assert added["added_at"]
    assert "mine" in [one["name"] for one in server.json("model", "list")["models"]]
    made = server.json("route", "add", "writer", "mine", "local/extractive", "--order", "price", "--hedge-ms", "500")
    assert (made["members"], made["order"], made["hedge_ms"]) == (["mine", "local/extractive"], "price", 500)
    assert server.json("route", "show", "writer") == made
    assert server.json("route", "list")["routes"] == [made]
    explained = bastide("model", "explain", "writer", "--personal", "special", home=server.home)
    assert (explained.returncode, explained.stdout.count("yes  ")) == (0, 2), explained.stderr
    assert "yes  mine (local/runtime/m)" in explained.stdout
    spent = server.json("budget", "set", "model", "mine", "--tokens", "0")["id"]
    explained = bastide("model", "explain", "mine", home=server.home)
    assert (explained.returncode, "Nearest: mine" in explained.stdout, ".." in explained.stdout) == (1, True, False)
    server.json("budget", "remove", spent)
    assert server.json("call", "routes.list")["routes"] == [made]
    assert server.json("route", "remove", "writer")["removed"] is True
    assert server.json("model", "offered")["offers"] == []
    unreached = bastide("model", "sync", "mine", "--json", home=server.home)
    assert (unreached.returncode, json.loads(unreached.stderr)["error"]["code"]) == (1, "egress.unreachable")
    server.json("model", "remove", "mine")


async def test_pictures_and_sound_stand_in_usage_and_in_receipts_that_verify(server: Server, tmp_path: Path) -> None:
    words = ("model", "add", "--name", "studio", "--model", "studio-1", "--local", "--capability", "speech")
    key, _ = read_key(server.home, None)
    assert "pictures" not in (await to_thread(bastide, "usage", home=server.home)).stdout
    async with (
        studio() as made,
        openai.AsyncOpenAI(base_url=f"{server.first_line['url']}/v1", api_key=key, max_retries=0) as client,
    ):
        added = (*words, "--capability", "images", "--capability", "transcription", "--url", made.url)
        await to_thread(server.json, *added)
        await client.images.generate(model="studio", prompt="A town")
        made.says["transcriptions"] = b'{"text": "x", "duration": 2.375}'
        heard = await client.audio.transcriptions.with_raw_response.create(model="studio", file=("a.mp3", b"ID3"))
    await to_thread(server.json, "model", "remove", "studio")
    shown = (await to_thread(bastide, "usage", home=server.home)).stdout.splitlines()
    assert shown[0].split() == [
        "name",
        "calls",
        "tokens_in",
        "tokens_out",
        "pictures",
        "seconds",
        "eur",
        "estimated",
        "unpriced",
    ]
    assert ["studio", "2", "0", "0", "1", "2.375", "0.0", "0", "0"] in [line.split() for line in shown]
    file, receipt = tmp_path / "receipt.json", heard.headers["x-bastide-receipt"]
    await to_thread(server.json, "receipt", receipt, "--out", str(file))
    told = json.loads(file.read_text())
    assert told["usage"] == {"seconds": 2.375, "estimated": False}
    assert (await to_thread(server.json, "verify", str(file)))["valid"] is True
    file.write_text(json.dumps({**told, "usage": {"seconds": 1.0, "estimated": False}}))
    assert (await to_thread(bastide, "verify", str(file), "--json")).returncode == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    words = command.split("_")
    done = bastide(*words, "--help")
    assert done.returncode == 0
    assert f"Example:  bastide {' '.join(words)}" in " ".join(done.stdout.split("\n")).replace("   ", "  ") or (
        f"Example: bastide {' '.join(words)}" in " ".join(done.stdout.split())
    )
    assert "--json" in done.stdout
    assert "--home" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "status"),
    [
        (("nothing",), "cli.wrong_usage", 2),
        (("search",), "cli.wrong_usage", 2),
        (("search", "x", "--limt", "3"), "cli.wrong_usage", 2),
        (("search", "x", "-k", "many"), "cli.wrong_usage", 2),
        (("key", "create", "--role", "king"), "cli.wrong_usage", 2),
        (("key", "bind", "key_1"), "cli.wrong_usage", 2),
        (("key", "bind", "key_1", "--model", "x", "--every-model"), "cli.wrong_usage", 2),
        (("ingest", "/nowhere/at/all"), "cli.missing_file", 1),
        (("verify", "/nowhere/at/all"), "cli.missing_file", 1),
        (("policy", "test", "/nowhere/at/all"), "cli.missing_file", 1),
        (("model", "add", "--name", "x", "--url", "u", "--key-file", "/nowhere"), "cli.missing_file", 1),
        (("receipt", "nonsense"), "audit.unknown_receipt", 1),
        (("ask", "   "), "knowledge.bad_query", 1),
        (("ask", "x" * 5000), "knowledge.bad_query", 1),
        (("ask", "When was the tower built?", "--model", "nothing"), "inference.unknown_model", 1),
        (("ingest", __file__, "--class", "topsecret"), "policy.bad_label", 1),
        (("provider", "show", "nothing"), "policy.unknown_record", 1),
        (("tenant", "show", "nothing"), "tenancy.unknown_tenant", 1),
        (("search", "x", "--tenant", "nothing"), "tenancy.unknown_tenant", 1),
        (("collection", "show", "nothing"), "knowledge.unknown_collection", 1),
        (("collection", "export", "default"), "cli.wrong_usage", 2),
        (("collection", "export", "nothing", "--out", "/tmp/none.zip"), "knowledge.unknown_collection", 1),
        (("collection", "export", "default", "--out", __file__), "cli.file_exists", 1),
        (("collection", "export", "default", "--out", "/nowhere/at/all.zip"), "cli.missing_file", 1),
        (("collection", "import", "/nowhere/at/all.zip"), "cli.missing_file", 1),
        (("collection", "import", __file__), "knowledge.broken_export", 1),
    ],
)
def test_wrong_in_one_sentence(server: Server, arguments: tuple[str, ...], code: str, status: int) -> None:
    done = bastide(*arguments, home=server.home)
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    assert code in " ".join(done.stderr.split())
    assert "Next:" in done.stderr
    assert "Traceback" not in done.stderr
    as_json = bastide(*arguments, "--json", home=server.home)
    assert as_json.returncode == status
    error = json.loads(as_json.stderr)["error"]
    assert error["code"] == code
    assert error["next"]


def test_a_bad_key_and_no_key(server: Server) -> None:
    done = bastide("search", "x", "--json", home=server.home, BASTIDE_API_KEY="bst_" + "0" * 64)
    assert (done.returncode, json.loads(done.stderr)["error"]["code"]) == (1, "tenancy.unknown_key")


def test_a_second_up_and_a_taken_port(server: Server, tmp_path: Path) -> None:
    second = bastide("up", "--port", "0", home=server.home)
    assert second.returncode == 1
    assert server.first_line["url"] in second.stderr
    assert "app.already_running" in second.stderr
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        other = bastide("up", "--port", str(taken.getsockname()[1]), home=tmp_path / "other")
    assert other.returncode == 1
    assert "app.port_taken" in other.stderr
    assert not (tmp_path / "other" / "postgres").exists(), "nothing was opened"
    unusable = bastide("up", "--host", "203.0.113.7", "--port", "0", home=tmp_path / "other")
    assert "app.address_unusable" in unusable.stderr


def test_a_home_that_is_none(tmp_path: Path) -> None:
    done = bastide("search", "x", home=tmp_path / "nothing")
    assert (done.returncode, "cli.no_house" in done.stderr) == (1, True)
    assert not (tmp_path / "nothing").exists()
    (tmp_path / "file").write_text("in the way")
    blocked = bastide("up", "--port", "0", home=tmp_path / "file" / "home")
    assert (blocked.returncode, "store.home_not_writable" in blocked.stderr) == (1, True), blocked.stderr
    wrong = bastide("up", home=tmp_path / "x", BASTIDE_PORT="many")
    assert (wrong.returncode, "settings.bad_value" in wrong.stderr) == (1, True)
    doctor = bastide("doctor", "--json", home=tmp_path / "nothing")
    assert doctor.returncode == 0
    assert json.loads(doctor.stdout)["state"] == "attention"


def test_output_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    done = bastide("receipt", _a_receipt(server), "--out", "/proc/receipt.json", home=server.home)
    assert (done.returncode, "cli.file_not_written" in done.stderr) == (1, True), done.stderr
    with open("/dev/full", "w") as full:
        words = [BASTIDE, "provider", "list", "--json", "--home", str(server.home)]
        drowned = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, env=CLEAN, check=False)
    assert drowned.returncode == 1
    assert "cli.file_not_written" in drowned.stderr
    assert "Traceback" not in drowned.stderr
    words = f"{BASTIDE} provider list --home {server.home} | head -1"
    piped = subprocess.run(words, shell=True, capture_output=True, text=True, env=CLEAN, check=False)
    assert piped.stderr == ""


def _a_receipt(server: Server) -> str:
    return str(server.json("ask", "When was the tower built?")["receipt"])


@pytest.mark.early
def test_commands_without_a_server_open_the_house_themselves(tmp_path: Path) -> None:
    home = tmp_path / "home"
    words = [BASTIDE, "up", "--no-examples", "--port", "0", "--home", str(home), "--json"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=CLEAN)
    assert process.stdout is not None
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=120) == 0
    alone = Server(home, {}, process)
    file = tmp_path / "bridge.md"
    file.write_text("The bridge has seven arches.")
    assert alone.json("ingest", str(file))["ingested"] == 1
    answer = alone.json("ask", "How many arches has the bridge?")
    assert "seven" in answer["answer"]
    parts = alone.json("doctor")["checks"]
    assert parts
    assert not [part for part in parts if part["state"] != "ok" and part["name"] != "disk"]
    assert not (home / "run.json").exists()

    # A server that was killed leaves a run.json; nobody is fooled by it.
    killed = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=CLEAN)
    assert killed.stdout is not None
    assert killed.stdout.readline()
    killed.kill()
    killed.wait()
    assert (home / "run.json").exists()
    assert "seven" in alone.json("ask", "How many arches has the bridge?")["answer"]


def test_help_comes_in_a_blink() -> None:
    """The real thing, an interpreter's start included; in seconds of computing, whoever else computes."""
    times = []
    for _ in range(4):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([BASTIDE, "--help"], capture_output=True, text=True, env=CLEAN, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert (done.returncode, "Usage: bastide" in done.stdout) == (0, True), done.stderr
    assert min(times) < 1.5, times


def test_the_help_names_every_kind_of_endpoint() -> None:
    said = subprocess.run([BASTIDE, "model", "add", "--help"], capture_output=True, text=True, env=CLEAN, check=True)
    words = set(re.findall(r"[a-z][a-z0-9-]+", said.stdout))
    assert set(ADAPTERS) <= words, sorted(set(ADAPTERS) - words)


async def test_a_program_speaks_mcp_on_standard_input(server: Server) -> None:
    """The real client starts `bastide mcp` itself, as desktop programs do."""
    words = StdioServerParameters(command=BASTIDE, args=["mcp", "--home", str(server.home)], env=CLEAN)
    async with stdio_client(words) as (incoming, outgoing), ClientSession(incoming, outgoing) as session:
        greeting = await session.initialize()
        assert greeting.server_info.name == "bastide"
        assert len((await session.list_tools()).tools) > 50
        found = await session.call_tool("search", {"query": "When was the tower built?"})
        assert "1284" in json.dumps(found.structured_content)
        refused = await session.call_tool("search", {"query": ""})
        assert refused.is_error


def test_any_operation_can_be_called_by_name(server: Server) -> None:
    listed = server.json("call")["operations"]
    assert len(listed) > 90
    found = server.json("call", "search", "--input", '{"query": "When was the tower built?"}')
    by_field = server.json("call", "search", "query=When was the tower built?", "limit:=1")
    assert by_field["passages"] == found["passages"][:1]
    assert "1284" in found["passages"][0]["text"]
    about = bastide("call", "graph.paths", "--about", home=server.home)
    assert about.returncode == 0, about.stderr
    assert "from_id" in about.stdout
    for words in (("call", "fly"), ("call", "fly", "--about"), ("call", "search", "--input", '{"query": ""}')):
        done = bastide(*words, home=server.home)
        assert (done.returncode, "Next:" in done.stderr) == (1, True), done.stderr


def test_a_collection_goes_out_to_a_file_and_comes_in_again(server: Server, tmp_path: Path) -> None:
    words = tmp_path / "board.md"
    words.write_text("A. Schmidt lives in Berlin. Anna Schmidt met Peter Novak.\n")
    server.json("ingest", str(words), "--collection", "board")
    found = server.json("call", "entities.list", "--input", '{"query": "Schmidt"}')["entities"]
    server.json(
        "call", "graph.merge", "--input", json.dumps({"entities": [one["id"] for one in found], "reason": "one"})
    )
    assert "board" in [one["name"] for one in server.json("collection", "list")["collections"]]
    assert "open to its tenant" in bastide("collection", "show", "board", home=server.home).stdout
    file = tmp_path / "board.zip"
    told = bastide("collection", "export", "board", "--out", str(file), home=server.home)
    assert told.returncode == 0, told.stderr
    assert "1 documents of board" in told.stdout
    assert file.stat().st_mode & 0o777 == 0o600
    again = server.json("collection", "export", "board", "--out", str(tmp_path / "again.zip"))
    assert hashlib.sha256((tmp_path / "again.zip").read_bytes()).hexdigest() == again["sha256"]
    assert (again["documents"], again["merges"], again["merges_left"]) == (1, 1, 0)
    here = server.json("collection", "import", str(file), "--into", "copy")
    assert (here["collection"], here["documents"], here["merges"]["known"]) == ("copy", 1, 1)
    server.json("tenant", "create", "elsewhere")
    there = bastide("collection", "import", str(file), "--tenant", "elsewhere", home=server.home)
    assert there.returncode == 0, there.stderr
    assert "1 made again" in there.stdout
    held = bastide("collection", "import", str(file), "--json", home=server.home)
    assert (held.returncode, json.loads(held.stderr)["error"]["code"]) == (1, "knowledge.name_held")
    server.json("call", "collections.set-members", "collection=board", f'members:={{"{new_id("usr")}": "read"}}')
    closed = bastide("collection", "export", "board", "--out", str(tmp_path / "b.zip"), "--json", home=server.home)
    assert (closed.returncode, json.loads(closed.stderr)["error"]["code"]) == (1, "knowledge.members_only")
    assert not (tmp_path / "b.zip").exists()


def test_ctrl_c_leaves_an_export_to_be_fetched_later(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "default.zip"
    server.json("job", "pause")
    words = [BASTIDE, "collection", "export", "default", "--out", str(file), "--home", str(server.home)]
    follower = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=CLEAN)
    waiting: list[dict[str, Any]] = []
    deadline = time.monotonic() + 60
    while not waiting and time.monotonic() < deadline:
        waiting = server.json("job", "list", "--type", "knowledge.export", "--status", "queued")["jobs"]
    follower.send_signal(signal.SIGINT)
    out, said = follower.communicate(timeout=120)
    assert (follower.returncode, out, "Traceback" in said) == (130, "", False), said
    assert not file.exists()
    server.json("job", "resume")
    id = next(word for word in said.split() if word.startswith("job_"))
    assert f"--job {id}" in said
    assert server.json("collection", "export", "default", "--out", str(file), "--job", id)["job"] == id
    assert zipfile.is_zipfile(file)


def test_a_watched_folder_is_taken_in_and_remembered(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "watched"
    folder.mkdir()
    (folder / "pier.md").write_text("The pier of Oldhaven was closed in 1971.\n")
    os.utime(folder / "pier.md", (1_700_000_000, 1_700_000_000))
    first = server.json("watch", str(folder), "--collection", "watched", "--once")
    assert (first["taken_in"], first["refused"]) == (1, 0)
    again = server.json("watch", str(folder), "--collection", "watched", "--once")
    assert (again["taken_in"], again["unchanged"]) == (0, 0), "it was remembered by size and time"
    (folder / "pier.md").unlink()
    gone = server.json("watch", str(folder), "--collection", "watched", "--once", "--mirror")
    assert gone["deleted"] == 1


def test_the_collector_of_circles_works_while_a_program_does() -> None:
    gc.disable()  # as while it is loaded
    try:
        assert attended(lambda: 7 if gc.isenabled() else 0, as_json=True) == 7
    finally:
        gc.enable()
        gc.unfreeze()
