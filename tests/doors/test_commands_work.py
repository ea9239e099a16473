"""Durable work from the command line, as a person uses it: real processes, real jobs, and what goes wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from bastide.cli.giving import a_field, an_object, fitted, put_together
from bastide.errors import BadRequest, MissingFile
from tests.doors.test_commands import BASTIDE, CLEAN, Server, bastide
from tests.journeys.processes import free_port
from tests.journeys.typist import begun_and_heard

TEXT = (
    "The mill of the town has two wheels. It was built in 1284 by the people of the town. The lease of it ends on "
    "30 June 2031. The rent is paid in advance on the first day of each quarter. The tenant keeps the roof in repair."
)
COMMANDS = {
    "job": ("list", "show", "trace", "run", "follow", "cancel", "retry", "types", "lanes", "lane", "pause", "resume"),
    "approval": (
        "list",
        "show",
        "approve",
        "refuse",
        "edit",
        "take-over",
        "stop",
        "seen",
        "rules",
        "rule",
        "drop-rule",
    ),
    "schedule": ("create", "list", "show", "delete", "pause", "resume", "preview"),
    "trigger": ("create", "list", "show", "delete", "pause", "resume", "renew-secret"),
}
NO_JOB, NO_APPROVAL = "job_06ar2k8m1v6t7c9d0e1f2g3h4j", "apr_06ar2k8m1v6t7c9d0e1f2g3h4j"


def started(home: Path, *arguments: str, port: int = 0) -> Iterator[Server]:
    """A server on this home, stopped at the end."""
    words = [*arguments, "--port", str(port), "--home", str(home), "--json"]
    with begun_and_heard(words, environment=CLEAN) as (process, line):
        yield Server(home, json.loads(line), process)
        process.terminate()
        assert process.wait(timeout=120) == 0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from started(tmp_path_factory.mktemp("work") / "home", "up", "--no-examples")


def until(seen: Callable[[], Any], timeout_s: float = 60) -> Any:
    """Wait until it gives something."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := seen():
            return found
        time.sleep(0.2)
    raise AssertionError("it did not come about in time")


def summary(server: Server, *more: str) -> Any:
    return server.json("job", "run", "summarise", "--field", f"text={TEXT}", *more)


# -- jobs -------------------------------------------------------------------------------------------


def test_a_job_from_the_wish_to_the_output(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "mill.txt"
    file.write_text(TEXT)
    told = bastide("job", "run", "summarise", "--field", f"text=@{file}", home=server.home)
    assert told.returncode == 0, told.stderr
    assert "mill" in told.stdout
    assert " done after " in told.stdout
    assert "\x1b" not in told.stdout + told.stderr
    job = summary(server)
    assert job["status"] == "done"
    assert job["output"]
    assert server.json("job", "show", job["id"])["output"] == job["output"]
    listed = server.json("job", "list", "--type", "summarise", "--status", "done")["jobs"]
    assert job["id"] in [one["id"] for one in listed]
    assert server.json("job", "list", "--type", "summarise", "--status", "failed")["jobs"] == []
    followed = bastide("job", "follow", job["id"], home=server.home)
    assert (followed.returncode, "done" in followed.stdout) == (0, True)


def test_the_time_line_is_a_table_that_a_person_reads(server: Server) -> None:
    job = summary(server)
    moments = server.json("job", "trace", job["id"])["timeline"]
    assert [one["at"] for one in moments] == sorted(one["at"] for one in moments)
    shown = bastide("job", "trace", job["id"], home=server.home).stdout
    assert shown.startswith(job["id"])
    assert all(one["said"] in shown for one in moments)
    assert {"what", "attempt", "took"} <= set(shown.split())
    assert any(one["took_ms"] is not None for one in moments), "a step says how long it took"


def test_the_same_key_is_the_same_job(server: Server) -> None:
    first = summary(server, "--no-wait", "--key", "mill-1")
    again = summary(server, "--no-wait", "--key", "mill-1")
    assert (first["fresh"], again["fresh"], again["id"]) == (True, False, first["id"])
    words = ("job", "run", "summarise", "--field", f"text={TEXT}", "--no-wait", "--key", "mill-1")
    assert "was there already" in bastide(*words, home=server.home).stdout


def test_a_job_that_waits_says_why_and_can_be_cancelled_and_begun_again(server: Server) -> None:
    job = summary(server, "--no-wait", "--delay", "3600", "--priority", "7")
    shown = bastide("job", "show", job["id"], home=server.home).stdout
    assert "delayed" in shown
    assert "why it waits" in shown
    assert server.json("job", "show", job["id"])["why"]
    listed = bastide("job", "list", "--status", "delayed", home=server.home).stdout
    assert "why it waits" in listed
    assert "It is not due before" in listed
    cancelled = server.json("job", "cancel", job["id"], "--reason", "too early")
    assert cancelled["status"] == "cancelled"
    followed = bastide("job", "follow", job["id"], home=server.home)
    assert (followed.returncode, "cancelled" in followed.stdout) == (1, True)
    twice = bastide("job", "cancel", job["id"], "--json", home=server.home)
    assert json.loads(twice.stderr)["error"]["code"] == "workflows.job_ended"
    server.json("job", "retry", job["id"])
    assert server.json("job", "follow", job["id"])["status"] == "done"
    refused = bastide("job", "retry", job["id"], "--json", home=server.home)
    assert json.loads(refused.stderr)["error"]["code"] == "workflows.not_failed"


def test_ctrl_c_leaves_the_job_alone_and_says_how_to_go_on(server: Server) -> None:
    words = [
        BASTIDE,
        "job",
        "run",
        "summarise",
        "--field",
        f"text={TEXT}",
        "--delay",
        "3600",
        "--home",
        str(server.home),
    ]
    follower = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=CLEAN)
    assert follower.stderr is not None
    waits = follower.stderr.readline()
    assert waits.startswith("It waits: ")
    follower.send_signal(signal.SIGINT)
    out, said = follower.communicate(timeout=120)
    assert follower.returncode == 130
    assert out == ""
    assert "Traceback" not in said
    id = next(word for word in said.split() if word.startswith("job_"))
    assert f"bastide job follow {id}" in said
    assert server.json("job", "show", id)["status"] == "delayed"
    server.json("job", "cancel", id)


def test_types_show_their_shape_and_an_example_that_works(server: Server) -> None:
    types = server.json("job", "types")["job_types"]
    assert {"summarise", "classify", "extract"} <= {one["name"] for one in types}
    assert "summarise" in bastide("job", "types", home=server.home).stdout
    shown = bastide("job", "types", "summarise", home=server.home).stdout
    assert "text" in shown
    assert "needed" in shown
    example = next(line.strip() for line in shown.splitlines() if line.strip().startswith("bastide job run"))
    script = example.replace("bastide", f"{BASTIDE} --home {server.home}", 1)
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=CLEAN, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_lanes_and_pauses(server: Server) -> None:
    lane = server.json("job", "lane", "title", "--concurrency", "2", "--rate", "30")
    assert (lane["concurrency"], lane["rate"], lane["rate_s"], lane["paused"]) == (2, 30, 60.0, False)
    paused = server.json("job", "lane", "title", "--pause")
    assert (paused["concurrency"], paused["paused"]) == (2, True), "what is not named stays"
    job = server.json("job", "run", "title", "--field", f"text={TEXT}", "--no-wait")
    why = until(lambda: server.json("job", "show", job["id"])["why"])
    assert "pause" in why.lower()
    assert server.json("job", "lanes")["lanes"] == [paused]
    server.json("job", "lane", "title", "--resume")
    assert server.json("job", "follow", job["id"])["status"] == "done"

    server.json("job", "pause")
    job = summary(server, "--no-wait")
    time.sleep(1.5)
    assert server.json("job", "show", job["id"])["status"] == "queued"
    assert "paused all work" in " ".join(bastide("job", "show", job["id"], home=server.home).stdout.split())
    server.json("job", "resume")
    assert server.json("job", "follow", job["id"])["status"] == "done"


def test_a_member_sees_their_own_jobs_and_steers_nothing(server: Server) -> None:
    hers = server.json("key", "create", "--role", "member")["key"]
    foreign = summary(server)
    listed = bastide("job", "list", "--json", home=server.home, BASTIDE_API_KEY=hers)
    assert json.loads(listed.stdout)["jobs"] == []
    for words, code in (
        (("job", "show", foreign["id"]), "workflows.unknown_job"),
        (("job", "cancel", foreign["id"]), "workflows.unknown_job"),
        (("job", "lane", "title", "--pause"), "tenancy.forbidden"),
        (("job", "pause"), "tenancy.forbidden"),
        (("approval", "rule", "knowledge.erase", "--mode", "none"), "tenancy.forbidden"),
        (("approval", "drop-rule", "knowledge.erase"), "tenancy.forbidden"),
    ):
        refused = bastide(*words, "--json", home=server.home, BASTIDE_API_KEY=hers)
        assert (refused.returncode, json.loads(refused.stderr)["error"]["code"]) == (1, code), words


@pytest.mark.slow
def test_another_tenant_has_jobs_of_its_own(server: Server) -> None:
    server.json("tenant", "create", "acme")
    foreign = summary(server)
    theirs = server.json("job", "run", "summarise", "--field", f"text={TEXT}", "--tenant", "acme")
    assert theirs["status"] == "done"
    assert [one["id"] for one in server.json("job", "list", "--all", "--tenant", "acme")["jobs"]] == [theirs["id"]]
    refused = bastide("job", "show", foreign["id"], "--tenant", "acme", "--json", home=server.home)
    assert json.loads(refused.stderr)["error"]["code"] == "workflows.unknown_job"


# -- what waits for a person ------------------------------------------------------------------------


def a_person(server: Server, name: str) -> str:
    """The key of a new overseer."""
    server.json("user", "create", f"{name}@example.org", "--name", name, "--role", "overseer")
    return str(server.json("key", "create", "--role", "overseer", "--user", f"{name}@example.org")["key"])


def proposed(server: Server) -> tuple[str, dict[str, Any]]:
    """A job that wants to delete a document of its own, and the approval that it waits for."""
    made = server.json(
        "job", "run", "knowledge.erase", "--no-wait", "--field", "documents=doc_06ar2k8m1v6t7c9d0e1f2g3h4j",
        "--field", "reason=out of date",
    )  # fmt: skip

    def mine() -> Any:
        waiting = server.json("approval", "list", "--status", "pending")["approvals"]
        return next((one for one in waiting if one["job"] == made["id"]), None)

    return made["id"], until(mine)


def test_a_second_person_approves(server: Server) -> None:
    claire = a_person(server, "claire")
    rule = server.json("approval", "rule", "knowledge.erase", "--mode", "approve", "--deadline", "600")
    assert (rule["mode"], rule["deadline_s"]) == ("approve", 600.0)
    assert server.json("approval", "rules")["rules"] == [rule]
    job, approval = proposed(server)
    assert approval["arguments"] is None, "a list shows nothing of what is proposed"
    waits = " ".join(bastide("job", "show", job, home=server.home).stdout.split())
    assert f"bastide approval show {approval['id']}" in waits

    shown = bastide("approval", "show", approval["id"], home=server.home, BASTIDE_API_KEY=claire).stdout
    assert approval["digest"] in shown
    assert "out of date" in shown
    assert "one person must approve" in shown
    own = bastide("approval", "approve", approval["id"], home=server.home)
    assert own.returncode == 1
    assert "workflows.not_your_decision" in " ".join(own.stderr.split())
    assert own.stdout == ""
    done = bastide(
        "approval", "approve", approval["id"], "--reason", "so be it", home=server.home, BASTIDE_API_KEY=claire
    )
    assert (done.returncode, " is approved." in done.stdout) == (0, True), done.stderr
    again = bastide("approval", "refuse", approval["id"], "--reason", "no", home=server.home, BASTIDE_API_KEY=claire)
    assert (again.returncode, "workflows.already_decided" in " ".join(again.stderr.split())) == (1, True)
    assert server.json("job", "follow", job)["status"] == "done"
    verdicts = server.json("approval", "show", approval["id"])["verdicts"]
    assert [(one["verdict"], one["reason"]) for one in verdicts] == [("approved", "so be it")]


@pytest.mark.slow
def test_two_persons_and_the_other_answers(server: Server) -> None:
    dora, emil = a_person(server, "dora"), a_person(server, "emil")
    server.json("approval", "rule", "knowledge.erase", "--mode", "two_persons")

    def says(key: str, *words: str) -> subprocess.CompletedProcess[str]:
        bastide("approval", "show", words[1], home=server.home, BASTIDE_API_KEY=key)  # nobody agrees to what is unread
        done = bastide("approval", *words, home=server.home, BASTIDE_API_KEY=key)
        assert done.returncode == 0, done.stderr
        return done

    job, approval = proposed(server)
    assert "Another person must agree too." in says(dora, "approve", approval["id"]).stdout
    assert server.json("job", "show", job)["status"] == "waiting"
    edited = json.dumps({"documents": [], "reason": "none of them"})
    assert "Another person must agree too." in says(emil, "edit", approval["id"], "--input", edited).stdout
    assert " is approved." in says(dora, "approve", approval["id"]).stdout
    assert server.json("job", "follow", job)["output"]["erased"] == 0, "what ran is what was agreed to"

    job, approval = proposed(server)
    says(dora, "refuse", approval["id"], "--reason", "they are needed")
    followed = bastide("job", "follow", job, home=server.home)
    assert followed.returncode == 1
    assert "workflows.approval_refused" in followed.stdout

    job, approval = proposed(server)
    says(dora, "take-over", approval["id"], "--result", '{"erased": 1, "documents": ["by hand"]}')
    assert server.json("job", "follow", job)["output"] == {"erased": 1, "documents": ["by hand"]}

    job, approval = proposed(server)
    says(dora, "stop", approval["id"])
    assert server.json("job", "show", job)["status"] == "cancelled"
    server.json("approval", "rule", "knowledge.erase", "--mode", "none")


def test_a_rule_is_set_and_dropped(server: Server) -> None:
    rule = server.json("approval", "rule", "knowledge.erase", "--effect", "erase", "--mode", "two_persons")
    assert rule in server.json("approval", "rules")["rules"]
    told = bastide("approval", "drop-rule", "knowledge.erase", "--effect", "erase", home=server.home)
    assert told.stdout == "There is no rule any more for the effect erase of knowledge.erase.\n"
    assert rule not in server.json("approval", "rules")["rules"]
    again = bastide("approval", "drop-rule", "knowledge.erase", "--effect", "erase", "--json", home=server.home)
    assert json.loads(again.stderr)["error"]["code"] == "workflows.unknown_oversight"


# -- by the clock, and by what happens --------------------------------------------------------------


def test_schedules(server: Server) -> None:
    times = server.json("schedule", "preview", "--cron", "30 2 * * *", "--timezone", "Europe/Paris", "--count", "3")
    assert len(times["times"]) == 3
    words = ("--type", "summarise", "--cron", "0 6 * * 1-5", "--timezone", "Europe/Paris", "--field", f"text={TEXT}")
    made = server.json("schedule", "create", "morning", *words)
    assert made["next_at"]
    assert [one["name"] for one in server.json("schedule", "list")["schedules"]] == ["morning"]
    shown = bastide("schedule", "list", home=server.home).stdout
    assert "0 6 * * 1-5" in shown
    server.json("schedule", "pause", "morning")
    assert server.json("schedule", "show", "morning")["paused"] is True
    server.json("schedule", "resume", made["id"])
    assert server.json("schedule", "show", made["id"])["paused"] is False
    server.json("schedule", "delete", "morning")
    assert server.json("schedule", "list")["schedules"] == []


def test_a_trigger_that_a_document_sets_off(server: Server, tmp_path: Path) -> None:
    made = server.json(
        "trigger", "create", "titles", "--on", "document.ingested", "--type", "title",
        "--filter", "collection=gates", "--field", "text={name} of the town, which is old",
    )  # fmt: skip
    assert made["filter"] == {"collection": "gates"}
    file = tmp_path / "gate.md"
    file.write_text("# Gate\n\nThe gate of the town is closed at nine.\n")
    server.json("ingest", str(file), "--collection", "gates")
    job = until(lambda: server.json("trigger", "show", "titles")["last_job"])
    assert server.json("job", "follow", job)["status"] == "done"
    assert server.json("job", "show", job)["origin"] == made["id"]
    server.json("trigger", "pause", "titles")
    assert [one["paused"] for one in server.json("trigger", "list")["triggers"]] == [True]
    server.json("trigger", "delete", "titles")
    assert server.json("trigger", "list")["triggers"] == []


def test_a_webhook_shows_its_secret_once(server: Server) -> None:
    words = ("trigger", "create", "hook", "--on", "webhook", "--type", "summarise", "--field", f"text={TEXT}")
    told = bastide(*words, home=server.home)
    assert told.returncode == 0, told.stderr
    assert "whsec_" in told.stdout
    assert "not shown again" in told.stdout
    assert "/api/v1/" in told.stdout, "where to send it"
    assert "whsec_" not in bastide("trigger", "show", "hook", home=server.home).stdout
    renewed = server.json("trigger", "renew-secret", "hook")
    assert renewed["secret"] not in told.stdout
    server.json("trigger", "delete", "hook")


# -- what goes wrong --------------------------------------------------------------------------------


@pytest.mark.parametrize(("group", "verb"), [(group, verb) for group, verbs in COMMANDS.items() for verb in verbs])
def test_every_command_has_help_with_an_example(group: str, verb: str) -> None:
    done = bastide(group, verb, "--help")
    assert done.returncode == 0
    assert f"Example: bastide {group} {verb}" in " ".join(done.stdout.split())
    assert "--json" in done.stdout
    assert "--home" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "status"),
    [
        (("job", "run"), "cli.wrong_usage", 2),
        (("job", "run", "summarise", "--input", "{text: no}"), "cli.wrong_usage", 2),
        (("job", "run", "summarise", "--input", "[1]"), "cli.wrong_usage", 2),
        (("job", "run", "summarise", "--input", '{"text": NaN}'), "cli.wrong_usage", 2),
        (("job", "run", "summarise", "--field", "text"), "cli.wrong_usage", 2),
        (("job", "run", "summarise", "--field", "text:=no"), "cli.wrong_usage", 2),
        (("job", "run", "summarise", "--priority", "101"), "cli.wrong_usage", 2),
        (("job", "run", "summarise", "--delay", "-1"), "cli.wrong_usage", 2),
        (("job", "run", "summarise", "--input-file", "/nowhere"), "cli.missing_file", 1),
        (("job", "run", "summarise", "--field", "text=@/nowhere"), "cli.missing_file", 1),
        (("job", "run", "nothing"), "workflows.unknown_type", 1),
        (("job", "run", "summarise"), "workflows.bad_input", 1),
        (("job", "run", "summarise", "--field", "text=x", "--field", "colour=red"), "workflows.bad_input", 1),
        (("job", "run", "summarise", "--field", "text=x", "--class", "topsecret"), "policy.bad_label", 1),
        (("job", "show", ""), "cli.wrong_usage", 2),
        (("job", "show", "nonsense"), "workflows.unknown_job", 1),
        (("job", "show", NO_JOB), "workflows.unknown_job", 1),
        (("job", "follow", NO_JOB), "workflows.unknown_job", 1),
        (("job", "trace", NO_JOB), "workflows.unknown_job", 1),
        (("job", "types", "nothing"), "workflows.unknown_type", 1),
        (("job", "lane", "title", "--concurrency", "0"), "cli.wrong_usage", 2),
        (("approval", "show", NO_APPROVAL), "workflows.unknown_approval", 1),
        (("approval", "approve", NO_APPROVAL), "workflows.unknown_approval", 1),
        (("approval", "refuse", NO_APPROVAL), "cli.wrong_usage", 2),
        (("approval", "rule", "knowledge.erase", "--mode", "perhaps"), "cli.wrong_usage", 2),
        (("approval", "drop-rule", "title"), "workflows.unknown_oversight", 1),
        (("schedule", "preview", "--cron", "every day"), "workflows.bad_schedule", 1),
        (("schedule", "preview", "--cron", "0 6 * * *", "--timezone", "Mars/Olympus"), "workflows.bad_schedule", 1),
        (("schedule", "show", "nothing"), "workflows.unknown_schedule", 1),
        (("trigger", "create", "x", "--on", "full-moon", "--type", "title"), "workflows.bad_trigger", 1),
        (("trigger", "show", "nothing"), "workflows.unknown_trigger", 1),
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
    assert (as_json.returncode, as_json.stdout) == (status, "")
    error = json.loads(as_json.stderr)["error"]
    assert error["code"] == code
    assert error["next"]


# -- without a server, and with more than one process -----------------------------------------------


@pytest.mark.slow
def test_without_a_server_a_job_waits_for_one(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for opened in started(home, "up", "--no-examples"):
        assert opened.json("job", "list")["jobs"] == []
    words = ("job", "run", "summarise", "--field", f"text={TEXT}", "--delay", "2", "--no-wait")
    alone = bastide(*words, home=home)
    assert alone.returncode == 0, alone.stderr
    assert "No server runs on this home" in alone.stderr
    done = bastide("job", "run", "summarise", "--field", f"text={TEXT}", "--json", home=home)
    assert json.loads(done.stdout)["status"] == "done", "a command that follows brings its own worker"
    for opened in started(home, "up"):
        id = alone.stdout.split()[0]
        assert opened.json("job", "follow", id)["status"] == "done"


@pytest.mark.slow
def test_who_follows_stays_through_a_restart_of_the_server(tmp_path: Path) -> None:
    home, port = tmp_path / "home", free_port()
    words = [
        BASTIDE,
        "job",
        "run",
        "summarise",
        "--field",
        f"text={TEXT}",
        "--delay",
        "8",
        "--home",
        str(home),
        "--json",
    ]
    for _ in started(home, "up", "--no-examples", port=port):
        follower = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=CLEAN)
        until(lambda: json.loads(bastide("job", "list", "--json", home=home).stdout)["jobs"])
    assert follower.poll() is None, "the server is gone, who follows is not"
    for _ in started(home, "up", "--no-examples", port=port):
        out, said = follower.communicate(timeout=120)
    assert (follower.returncode, said) == (0, "")
    assert json.loads(out)["status"] == "done"


@pytest.mark.slow
def test_a_server_without_a_worker_says_so_until_one_comes(tmp_path: Path) -> None:
    home, log = tmp_path / "home", tmp_path / "worker.log"
    for opened in started(home, "serve", "--role", "api"):
        job = summary(opened, "--no-wait")
        shown = " ".join(bastide("job", "show", job["id"], home=home).stdout.split())
        assert "No worker is running. Start one: `bastide serve --role worker`." in shown
        with log.open("w") as out:
            words = [BASTIDE, "serve", "--role", "worker", "--home", str(home)]
            worker = subprocess.Popen(words, stdout=out, stderr=out, env={**CLEAN, "BASTIDE_WORKER_CONCURRENCY": "3"})
        until(lambda: "takes 3 jobs at a time" in log.read_text())
        assert opened.json("job", "follow", job["id"])["status"] == "done"
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=120) == 0, log.read_text()
        assert "Traceback" not in log.read_text()


# -- what is given ----------------------------------------------------------------------------------

NAMES = st.text(min_size=1).filter(lambda name: "=" not in name and not name.endswith(":"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(name=NAMES, value=st.text().filter(lambda value: not value.startswith("@")))
def test_a_field_is_its_text(name: str, value: str) -> None:
    assert put_together(None, None, [a_field(f"{name}={value}")]) == {name: value}


@given(name=NAMES, value=JSON)
def test_a_field_of_json_is_that_json(name: str, value: Any) -> None:
    assert put_together(None, None, [a_field(f"{name}:={json.dumps(value)}")]) == {name: value}


@given(name=NAMES, values=st.lists(st.text(alphabet="abc"), min_size=2, max_size=4))
def test_the_same_name_again_makes_a_list(name: str, values: list[str]) -> None:
    assert put_together({name: "before"}, None, [a_field(f"{name}={value}") for value in values]) == {name: values}


@given(st.text())
def test_whatever_is_said_is_an_object_or_refused(said: str) -> None:
    try:
        assert isinstance(an_object(said), dict)
    except typer.BadParameter as refused:
        assert "JSON" in refused.message


def test_one_text_for_a_list_is_a_list_of_one() -> None:
    texts = {"type": "array", "items": {"type": "string"}}
    schema = {"properties": {"names": texts, "some": {"anyOf": [texts, {"type": "null"}]}, "text": {"type": "string"},
                             "either": {"anyOf": [texts, {"type": "string"}]}}}  # fmt: skip
    given = dict.fromkeys(("names", "some", "text", "either", "unknown"), "a")
    assert fitted(given, schema) == {**given, "names": ["a"], "some": ["a"]}
    assert fitted({"names": ["a", "b"]}, schema) == {"names": ["a", "b"]}


def test_files_of_input(tmp_path: Path) -> None:
    file = tmp_path / "input.json"
    file.write_text('{"text": "from the file", "sentences": 2}')
    assert put_together({"a": 1}, file, [("sentences:", "3")]) == {"a": 1, "text": "from the file", "sentences": 3}
    file.write_text("[]")
    with pytest.raises(BadRequest, match="JSON object"):
        put_together(None, file)
    file.write_bytes(os.urandom(64) + b"\xff")
    with pytest.raises(BadRequest, match="UTF-8"):
        put_together(None, None, [("text", f"@{file}")])
    with pytest.raises(MissingFile):
        put_together(None, tmp_path / "nothing")
