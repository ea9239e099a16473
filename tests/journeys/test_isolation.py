"""Every table that holds a tenant's rows, filled by real use, then looked at by a neighbour and by nobody.

Through the application role with raw SQL, with a forged context, with a foreign id in every filter, and on a
connection that the owner of the rows has just returned dirty: zero foreign rows.
"""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from bastide.app import House
from bastide.errors import Forbidden
from bastide.inference import ModelRoute, ModelSpec
from bastide.knowledge import GraphType, NewProjection, WatchedFile
from bastide.policy import Label
from bastide.store import Query, Scope, to_uuid
from bastide.testing import Says, ScriptedModel
from bastide.workflows import Competence, Job, Lane, OversightRule
from tests.conftest import scope_of
from tests.rooms.inference.batch_provider import BatchProvider
from tests.rooms.inference.test_gateway import Taken
from tests.rooms.knowledge.projections.doubles import OfS3, Place
from tests.rooms.knowledge.reading.made import paragraph, pdf

FAR = datetime(2099, 1, 1, tzinfo=UTC)
_TABLES = Query(
    "test",
    "tables",
    r"""select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
       join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id'
       where c.relkind in ('r', 'p') and not c.relispartition and n.nspname not like 'pg\_%%'
         and has_table_privilege('bastide_app', c.oid, 'select') order by 1""",
)
# Filled by what a first tenant's day does not contain; each with the reason.
EMPTY_IS_FINE = {
    "audit.outbox": "drained within a second",
    "knowledge.placement": "small tenants share a partition",
    "knowledge.refusal": "every file of this day could be read",
    "knowledge.staged": "a staged file goes when its document is there",
}


def _sql(text: str) -> Query:
    return Query("test", "raw", text)


@pytest.fixture(scope="module")
async def lived(house: House) -> Scope:
    """A tenant that has used everything once."""
    admin = await house.tenancy.system_scope((await _home(house)).tenant)
    owner = await _home(house)
    tenant = await house.tenancy.create_tenant(owner, f"lived-{uuid.uuid4().hex[:8]}")
    ours = await house.tenancy.acting_for(owner, tenant.id)
    assert admin.tenant != ours.tenant
    await house.tenancy.create_user(ours, email="clerk@example.org", name="Clerk")
    program = await house.tenancy.create_app(ours, name="intranet")
    await house.tenancy.create_key(ours, role="member", app=program.id)
    text = b"# Lease\n\nThe lease of the town hall ends on 30 June 2031.\n\n## Rent\n\nThe rent is 4,200 EUR a month.\n"
    await house.knowledge.ingest(
        ours, "lease.md", text, subjects=["person-17"], label={"class": "confidential"}, metadata={"kind": "lease"}
    )
    await house.knowledge.answer(ours, "When does the lease of the town hall end?")
    await house.inference.add_model(
        ours, _model_spec(name="ours", url="http://127.0.0.1:9/v1", key="sk-secret-of-ours")
    )
    await house.policy.enable(ours, "scaleway/generative-apis/fr-par")
    await _a_day_of_the_graph(house, ours)
    await _a_day_of_upkeep(house, ours)
    await _a_day_of_copies(house, ours)
    await _a_day_of_calls(house, ours, program.id)
    await _a_day_of_work(house, ours)
    return ours


NAMES = b"""# Minutes

The European Data Protection Board (EDPB) met in Brussels on 3 March 2024. Dr Clara Weiss, Dr Hans Brandt and Dr Marta
Silva met the Northern Water Authority. The fine of 4,200 euros follows Article 83(2) of Regulation (EU) 2016/679.
Dr Clara Weiss works for the Northern Water Authority, and so do Dr Hans Brandt and Dr Marta Silva. Dr Hans Brandt wrote
to Dr Marta Silva. The Harbour Office Ltd is located in Lindholm.
"""


async def _a_day_of_the_graph(house: House, ours: Scope) -> None:
    """Names, ties, sums, references, an acronym; a type of one's own; a merge; groups; a page."""
    graph = house.knowledge.graph
    await house.knowledge.ingest(ours, "minutes.md", NAMES)
    await house.knowledge.ingest(ours, "minutes.pdf", pdf([paragraph("The ferry leaves at nine.\nIt returns at ten.")]))
    await graph.add_type(ours, GraphType("relation", "rents", "Somebody rents something."))
    people = (await graph.entities(ours, query="Weiss")).items + (await graph.entities(ours, query="Lindholm")).items
    await graph.merge(ours, [one.id for one in people[:2]], "a test")
    grouped = await house.workflows.dispatch(ours, Job("knowledge.communities", {}))
    assert (await house.workflows.result(ours, grouped.id)).status == "done"


async def _a_day_of_upkeep(house: House, ours: Scope) -> None:
    """A collection with members, a document on hold, an embedder that was chosen, a watched folder."""
    upkeep = house.knowledge.upkeep
    await house.knowledge.add_collection(ours, "staff")
    await upkeep.set_members(ours, "staff", {"role:administrator": "manage"})
    (lease,) = (await house.knowledge.documents(ours, name="lease.md")).items
    await upkeep.hold(ours, lease.id, reason="a case is pending")
    used = await house.workflows.dispatch(ours, Job("knowledge.use_embedder", {"model": "local/minilm"}))
    assert (await house.workflows.result(ours, used.id)).status == "done"
    await upkeep.note_watched(ours, "0" * 64, WatchedFile("lease.md", lease.id, 99, 1_700_000_000_000_000_000))


async def _a_day_of_copies(house: House, ours: Scope) -> None:
    """Copies in a bucket, which then answers no more: what changes from here on waits."""
    async with Place(bucket := OfS3()) as place:
        new = NewProjection("copy", "s3", place.url, key=bucket.key, options=bucket.options)
        _, job = await house.projections.add(ours, new)
        assert (await house.workflows.result(ours, job.id)).status == "done"


async def _a_day_of_calls(house: House, ours: Scope, app: str) -> None:
    """A model that is called within a budget and a rate, by a route; what its server offers; answers that are kept."""
    books = house.inference.accounts
    async with ScriptedModel(Says("At nine."), names=("scripted",)) as server:
        await house.inference.add_model(
            ours, _model_spec(name="called", url=server.url, upstream="scripted", requests_per_minute=600)
        )
        await house.inference.catalogue.sync(ours, model="called")
        await house.inference.routes.add(ours, ModelRoute("any", ("called",)))
        await books.set_department(ours, kind="app", subject=app, name="Harbour")
        await books.set_budget(ours, of="tenant", tokens=10_000_000)
        await books.set_rate(ours, of="tenant", requests=1000)
        await books.keep_answers(ours, "called")
        taken, body = Taken(), b'{"model":"any","messages":[{"role":"user","content":"When does the ferry leave?"}]}'
        house.inference.gateway.begin(ours, Label(), "chat", body, taken, request_id="req_day")
        await taken.ended.wait()
        assert taken.status == 200, taken.body
        await _a_day_of_batches(house, ours, body)
    await _a_day_of_handing_over(house, ours)
    assert await books.usage(ours)


async def _a_day_of_batches(house: House, ours: Scope, body: bytes) -> None:
    """A file of calls, and what came of it."""
    line = b'{"custom_id":"ferry","method":"POST","url":"/v1/chat/completions","body":' + body + b"}\n"
    file = await house.batches.files.add(ours, "ferries.jsonl", line, label=Label())
    made = await house.batches.create(ours, input_file=file.id, endpoint="/v1/chat/completions", label=Label())
    assert (await house.workflows.result(ours, made.job)).status == "done"
    assert (await house.batches.get(ours, made.id)).answered == 1


async def _a_day_of_handing_over(house: House, ours: Scope) -> None:
    """A file of calls that lies at a provider, which works through it for hours."""
    async with BatchProvider() as provider:
        provider.held = True
        spec = ModelSpec("nightly", kind="openai-batch", url=provider.url, local=True, upstream="scripted")
        await house.inference.add_model(ours, spec)
        line = b'{"custom_id":"ferry","method":"POST","url":"/v1/chat/completions","body":{"model":"nightly",'
        line += b'"messages":[{"role":"user","content":"When does the ferry leave?"}]}}\n'
        file = await house.batches.files.add(ours, "night.jsonl", line, label=Label())
        await house.batches.create(ours, input_file=file.id, endpoint="/v1/chat/completions", label=Label())
        async with asyncio.timeout(60):
            while not provider.made:
                await asyncio.sleep(0.02)


async def _a_day_of_work(house: House, ours: Scope) -> None:
    """Jobs of every kind: one that ended, one that waits for a person, one that gathers, what begins by itself."""
    work = house.workflows
    await work.triggers.create(
        ours, name="keep up", on="document.ingested", type="knowledge.reembed", input={"collection": "{collection}"}
    )
    await work.schedules.create(
        ours, name="nightly", type="knowledge.reembed", cron="0 3 * * *", timezone="Europe/Paris"
    )
    await work.set_lane(ours, Lane("summarise", concurrency=3))
    gathering = await house.knowledge.intake(ours, collection="post", subjects=["person-17"])
    await house.knowledge.stage(ours, "letter.md", b"# Letter\n\nThe clerk writes to the mayor.\n", job=gathering.id)
    await work.signal(ours, gathering.id, "hello", {"from": "the clerk"})
    exported = await work.dispatch(ours, Job("knowledge.export", {"collection": "default"}))
    assert (await work.result(ours, exported.id)).status == "done"
    await work.approvals.set_rule(ours, OversightRule("knowledge.erase", "erase", mode="informed"))
    await work.result(ours, (await work.dispatch(ours, Job("knowledge.erase", {"subject": "person-99"}))).id)
    await house.knowledge.ingest(ours, "note.md", b"# Note\n\nPerson 18 was here.\n", subjects=["person-18"])
    erased = await work.dispatch(ours, Job("knowledge.erase", {"subject": "person-18"}))
    assert (await work.result(ours, erased.id)).status == "done"
    (notice,) = (await work.approvals.list(ours, status="informed", job=erased.id)).items
    claire = await house.tenancy.create_user(ours, email="claire@example.org", name="Claire", roles=["overseer"])
    await work.overseers.record(ours, Competence(claire.id, "knowledge.erase", FAR, "Course of 3 March."))
    overseer = await house.tenancy.create_key(ours, role="overseer", user=claire.id)
    person = await house.tenancy.authenticate(overseer.key)
    await work.approvals.get(person, notice.id)
    await work.approvals.see(person, notice.id)


def _model_spec(**values: Any) -> ModelSpec:
    return ModelSpec(kind="openai", local=True, **values)


async def _home(house: House) -> Scope:
    made = await house.tenancy.first_start() or await house.tenancy.renew_admin_key()
    return await house.tenancy.authenticate(made.key)


async def _tables(house: House, scope: Scope) -> list[str]:
    async with house.store.under(scope) as db:
        return [name for (name,) in await db.rows(tuple, _TABLES)]


async def test_real_use_has_filled_the_tables(house: House, lived: Scope) -> None:
    async with house.store.under(lived) as db:
        empty = [t for t in await _tables(house, lived) if await db.value(_sql(f"select count(*) from {t}")) == 0]
    assert set(empty) <= set(EMPTY_IS_FINE), "a table that nothing fills proves nothing"


async def test_a_neighbour_reads_not_one_row(house: House, lived: Scope, neighbour: Scope) -> None:
    foreign = to_uuid(lived.tenant)
    for table in await _tables(house, lived):
        async with house.store.under(neighbour) as db:
            assert await db.value(_sql(f"select count(*) from {table}")) in (0, 1 if table == "store.tenant_key" else 0)
            rows = _sql(f"select count(*) from {table} where tenant_id = %(t)s")
            assert await db.value(rows, t=foreign) == 0, table


@pytest.mark.parametrize(
    "context",
    ["", "x", "{t}", "{t}|u|1|9999999999|00", "{t}|u|{pid}|9999999999|" + "0" * 64],
    ids=["empty", "word", "tenant", "wrong pid", "guessed mac"],
)
async def test_an_injected_context_reads_not_one_row(
    house: House, lived: Scope, neighbour: Scope, context: str
) -> None:
    for table in await _tables(house, lived):
        async with house.store.under(neighbour) as db:
            pid = await db.value(_sql("select pg_backend_pid()"))
            forged = context.format(t=to_uuid(lived.tenant), pid=pid)
            await db.run(_sql("select set_config('bastide.context', %(c)s, true)"), c=forged)
            assert await db.value(_sql(f"select count(*) from {table}")) == 0, table


async def test_a_dirty_connection_shows_not_one_row(house: House, lived: Scope, neighbour: Scope) -> None:
    for table in await _tables(house, lived):
        async with house.store.under(lived) as db:
            await db.run(_sql("select set_config('bastide.context', current_setting('bastide.context'), false)"))
            await db.run(_sql("set search_path = knowledge, store"))
        async with house.store.under(neighbour) as db:
            rows = _sql(f"select count(*) from {table} where tenant_id = %(t)s")
            assert await db.value(rows, t=to_uuid(lived.tenant)) == 0, table


async def test_a_neighbour_changes_not_one_row(house: House, lived: Scope, neighbour: Scope) -> None:
    for table in await _tables(house, lived):
        for statement in ("delete from {} where tenant_id = %(t)s", "update {} set tenant_id = %(t)s"):
            try:
                async with house.store.under(neighbour) as db:
                    touched = await db.run(_sql(statement.format(table)), t=to_uuid(lived.tenant))
                    own_key = table == "store.tenant_key" and "update" in statement
                    assert touched == 0 or own_key, table
            except Exception as refused:  # no right on the table at all, or a row that may not become foreign
                assert "permission denied" in str(refused) or "row-level security" in str(refused), table


async def test_nobody_may_call_any_operation(house: House, nobody: Scope) -> None:
    knowledge, tenancy, inference = house.knowledge, house.tenancy, house.inference
    work, doc, job, apr = house.workflows, "doc_" + "0" * 26, "job_" + "0" * 26, "apr_" + "0" * 26
    calls = [
        lambda: work.dispatch(nobody, Job("summarise", {"text": "x"})),
        lambda: work.job(nobody, job),
        lambda: work.jobs(nobody),
        lambda: work.trace(nobody, job),
        lambda: work.result(nobody, job),
        lambda: work.cancel(nobody, job),
        lambda: work.retry(nobody, job),
        lambda: work.signal(nobody, job, "go"),
        lambda: work.lanes(nobody),
        lambda: work.set_lane(nobody, Lane("*")),
        lambda: work.pause(nobody),
        lambda: work.approvals.list(nobody),
        lambda: work.approvals.get(nobody, apr),
        lambda: work.approvals.approve(nobody, apr),
        lambda: work.approvals.set_rule(nobody, OversightRule("summarise")),
        lambda: work.schedules.list(nobody),
        lambda: work.schedules.create(nobody, name="n", type="summarise", cron="0 6 * * *"),
        lambda: work.triggers.list(nobody),
        lambda: work.triggers.create(nobody, name="n", on="webhook", type="summarise"),
        lambda: knowledge.stage(nobody, "a.txt", b"text"),
        lambda: knowledge.intake(nobody),
        lambda: knowledge.ingest(nobody, "a.txt", b"text"),
        lambda: knowledge.search(nobody, "lease"),
        lambda: knowledge.answer(nobody, "lease?"),
        lambda: knowledge.documents(nobody),
        lambda: knowledge.document(nobody, doc),
        lambda: knowledge.original(nobody, doc),
        lambda: knowledge.structure(nobody, doc),
        lambda: knowledge.chunks(nobody, doc),
        lambda: knowledge.versions(nobody, doc),
        lambda: knowledge.delete(nobody, doc),
        lambda: knowledge.relabel(nobody, doc, {"class": "secret"}),
        lambda: knowledge.reindex(nobody, doc),
        lambda: knowledge.collections(nobody),
        lambda: knowledge.add_collection(nobody, "c"),
        lambda: knowledge.delete_collection(nobody, "c"),
        lambda: knowledge.statistics(nobody),
        lambda: tenancy.create_tenant(nobody, "t"),
        lambda: tenancy.disable_tenant(nobody, "t"),
        lambda: tenancy.create_user(nobody, email="a@b.c"),
        lambda: tenancy.list_users(nobody),
        lambda: tenancy.create_app(nobody, name="a"),
        lambda: tenancy.list_apps(nobody),
        lambda: tenancy.create_key(nobody, role="member"),
        lambda: tenancy.list_keys(nobody),
        lambda: tenancy.disable_key(nobody, "key_x"),
        lambda: inference.models(nobody),
        lambda: inference.remove_model(nobody, "m"),
        lambda: house.batches.files.add(nobody, "a.jsonl", b"{}", label=Label()),
        lambda: house.batches.files.list(nobody),
        lambda: house.batches.files.content(nobody, "file_x"),
        lambda: house.batches.files.delete(nobody, "file_x"),
        lambda: house.batches.create(nobody, input_file="file_x", endpoint="/v1/responses", label=Label()),
        lambda: house.batches.list(nobody),
        lambda: house.batches.cancel(nobody, "batch_x"),
        lambda: house.audit.events(nobody),
        lambda: house.policy.settings(nobody),
    ]
    for call in calls:
        with pytest.raises(Forbidden):
            await call()


async def test_same_names_in_two_tenants_never_meet(house: House, lived: Scope) -> None:
    other = scope_of((await house.tenancy.create_tenant(await _home(house), f"twin-{uuid.uuid4().hex[:8]}")).id)
    text = b"# Lease\n\nThe lease of the town hall ends on 30 June 2031.\n\n## Rent\n\nThe rent is 4,200 EUR a month.\n"
    taken = await house.knowledge.ingest(other, "lease.md", text)
    assert taken.documents[0].status == "ready", "not `unchanged`: the neighbour's copy is invisible"
    assert (await house.tenancy.create_user(other, email="clerk@example.org")).email == "clerk@example.org"
    assert (await house.tenancy.create_app(other, name="intranet")).name == "intranet"
    ours = {hit.document_id for hit in (await house.knowledge.search(lived, "lease")).passages}
    theirs = {hit.document_id for hit in (await house.knowledge.search(other, "lease")).passages}
    assert ours
    assert len(theirs) == 1
    assert not ours & theirs
