-- Durable work. A run is a row here from the moment it is dispatched, in the caller's own transaction; the queue
-- (schema procrastinate) holds ids of those few that were handed over, in fair order. What a run was given, what its
-- steps gave and why it failed is sealed under the tenant's key.

create table workflows.run (
    tenant_id uuid not null default store.tenant(),
    id text not null,
    type text not null,
    version integer not null,
    status text not null check (status in
        ('delayed', 'queued', 'handed', 'running', 'waiting', 'stopping', 'done', 'failed', 'cancelled')),
    priority smallint not null default 0,
    due_at timestamptz not null default now(),
    deadline timestamptz,
    attempt integer not null default 0,      -- how often it was begun
    failures integer not null default 0,     -- how often it failed since it was dispatched or retried
    lost integer not null default 0,         -- how often its worker died
    fence uuid,                              -- who may commit for it: random, new for each beginning
    worker bigint,
    waits_for text,                          -- time, children, signal NAME, approval ID
    wake_at timestamptz,                     -- when a delayed or waiting run goes on by itself
    parent text,
    origin text,                             -- the schedule or trigger that dispatched it
    chain jsonb not null default '[]',       -- [origin, job] of those before it, oldest first
    key text,
    dedup text,
    user_id text, app_id text, key_id text, permissions text[] not null,    -- who asked, and what they might do
    label jsonb not null,
    input bytea,                             -- sealed
    output bytea,                            -- sealed
    problem_code text,
    problem bytea,                           -- sealed
    progress_done integer not null default 0,
    progress_total integer not null default 0,
    progress_note text not null default '',
    tokens_in bigint not null default 0, tokens_out bigint not null default 0, eur double precision not null default 0,
    budget_tokens bigint, budget_eur double precision,
    revision integer not null default 0,
    created_at timestamptz not null default now(),
    handed_at timestamptz,
    started_at timestamptz,
    ended_at timestamptz,
    primary key (tenant_id, id),
    foreign key (tenant_id, parent) references workflows.run on delete cascade
) with (fillfactor = 70);

create unique index run_by_key on workflows.run (tenant_id, type, key) where key is not null;
create unique index run_by_dedup on workflows.run (tenant_id, type, dedup)
    where dedup is not null and status in ('delayed', 'queued', 'handed');
create index run_lane on workflows.run (tenant_id, type, version, priority desc, due_at, id) where status = 'queued';
create index run_at_work on workflows.run (tenant_id, type) where status in ('handed', 'running', 'stopping');
create index run_wake on workflows.run (wake_at) where status in ('delayed', 'waiting');
create index run_deadline on workflows.run (deadline)
    where deadline is not null and status not in ('done', 'failed', 'cancelled');
create index run_children on workflows.run (tenant_id, parent, status) where parent is not null;
create index run_begun on workflows.run (tenant_id, type, handed_at);
create index run_ended on workflows.run (ended_at) where ended_at is not null;
create index run_held on workflows.run (worker) where worker is not null;
create index run_failed on workflows.run (tenant_id) where status = 'failed';
call store.protect('workflows.run');

-- What a step gave, once: an attempt that comes here again takes it from here.
create table workflows.step (
    tenant_id uuid not null default store.tenant(),
    run text not null,
    name text not null,
    kind text not null default 'step',       -- step, write, effect, sleep, signal, children
    attempt integer not null,
    output bytea,                            -- sealed
    took_ms double precision not null,
    at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, run, name),
    foreign key (tenant_id, run) references workflows.run on delete cascade
);
call store.protect('workflows.step');

-- What else happened to a run: failures, take-overs, waits, stops. No content.
create table workflows.moment (
    tenant_id uuid not null default store.tenant(),
    run text not null,
    n bigint not null generated always as identity,
    at timestamptz not null default clock_timestamp(),
    kind text not null,
    attempt integer not null default 0,
    facts jsonb not null default '{}',
    primary key (tenant_id, run, n),
    foreign key (tenant_id, run) references workflows.run on delete cascade
);
call store.protect('workflows.moment');

create table workflows.signal (
    tenant_id uuid not null default store.tenant(),
    run text not null,
    name text not null,
    payload bytea,                           -- sealed
    sender text,
    at timestamptz not null default now(),
    primary key (tenant_id, run, name),
    foreign key (tenant_id, run) references workflows.run on delete cascade
);
call store.protect('workflows.signal');

-- Which runs speak of a person, by a keyed pseudonym, so that an erasure reaches what they hold.
create table workflows.mention (
    tenant_id uuid not null default store.tenant(),
    subject bytea not null,
    run text not null,
    primary key (tenant_id, subject, run),
    foreign key (tenant_id, run) references workflows.run on delete cascade
);
call store.protect('workflows.mention');

-- What a tenant has set for one of its types, or for all of them (*).
create table workflows.lane (
    tenant_id uuid not null default store.tenant(),
    type text not null,
    paused boolean not null default false,
    concurrency integer check (concurrency > 0),
    rate integer check (rate > 0),
    rate_s double precision check (rate_s > 0),
    primary key (tenant_id, type)
);
call store.protect('workflows.lane');

-- How much of the workers a tenant has had: the feeder serves who has had least (start-time fair queueing).
create table workflows.share (
    tenant_id uuid primary key default store.tenant(),
    had double precision not null default 0
) with (fillfactor = 50);
call store.protect('workflows.share');
revoke insert, update, delete on workflows.share from bastide_app;

create table workflows.worker (
    id bigint primary key,                   -- of procrastinate
    host text not null,
    pid integer not null,
    concurrency integer not null,
    types jsonb not null,                    -- {name: [compatible_from, version]}
    since timestamptz not null default now(),
    seen_at timestamptz not null default now()
);
call store.share('workflows.worker', 'select', 'which processes work; nothing of any tenant');

create table workflows.pause (
    type text primary key,                   -- or *
    since timestamptz not null default now()
);
call store.share('workflows.pause', 'select', 'what the operator of the platform has paused for everybody');

create table workflows.duty (
    name text primary key,
    holder uuid not null,
    until timestamptz not null
);
call store.share('workflows.duty', '', 'which process does the work that only one should do');

create table workflows.queue_version (name text primary key, applied_at timestamptz not null default now());
call store.share('workflows.queue_version', '', 'which of procrastinate''s own migrations are applied');

-- The operator feeds, takes over and counts. It reads no sealed column.
grant select (tenant_id, id, type, version, status, priority, due_at, deadline, attempt, failures, lost, fence, worker,
              waits_for, wake_at, parent, origin, handed_at, started_at, ended_at, revision, created_at),
      update (status, due_at, handed_at, started_at, ended_at, attempt, lost, fence, worker, waits_for, wake_at, revision)
    on workflows.run to bastide_operator;
grant delete on workflows.run to bastide_operator;
create policy operator_feeds on workflows.run to bastide_operator using (true) with check (true);
grant select, insert on workflows.moment to bastide_operator;
create policy operator_notes on workflows.moment to bastide_operator using (true) with check (true);
grant select on workflows.lane to bastide_operator;
create policy operator_reads on workflows.lane for select to bastide_operator using (true);
grant select, insert, update, delete on workflows.share to bastide_operator;
create policy operator_shares on workflows.share to bastide_operator using (true) with check (true);
grant select, insert, update, delete on workflows.worker, workflows.pause, workflows.duty to bastide_operator;
grant select on workflows.queue_version to bastide_operator;

-- leave_queue: the row of the queue goes in the transaction that ends its run. Lent, because the application has no
-- right on the queue; a row that names another tenant's run stays.
create function workflows.leave_queue(p_job bigint) returns void
    language plpgsql security definer set search_path = pg_catalog, procrastinate
as $$
begin
    delete from procrastinate.procrastinate_jobs
        where id = p_job and args->>'tenant' = store.tenant()::text;
end
$$;
call store.lend('workflows.leave_queue(bigint)', 'a run that ends takes its own row out of the queue');

-- Hands the next runs to the queue. Lanes (tenant, type, version) with work waiting are found by skipping along the
-- index, so that a lane with 50,000 runs costs as much as one with a single run. Who is next: start-time fair queueing
-- (Goyal, Vin, Cheng 1996) with equal weights. Each run of a tenant gets a start tag, and the smallest tags are served;
-- the tag begins at what the tenant has had, but not below the virtual time (kept under the tenant of zeros), so that
-- who was idle has saved nothing.
-- It is a function so that its plan is kept.
create function workflows.feed(p_types jsonb, p_stale_s float8) returns integer language plpgsql
    set search_path = pg_catalog, procrastinate
as $$
declare
    capacity integer;
    room integer;
    handed_now integer;
    ignored integer;
begin
    select coalesce(sum(concurrency), 0) into capacity
        from workflows.worker where seen_at > now() - make_interval(secs => p_stale_s);
    -- As many again wait in the queue as are at work, so that no worker waits for the feeder.
    select 2 * capacity - count(*) into room from workflows.run where status in ('handed', 'running', 'stopping');
    if room <= 0 then
        return 0;
    end if;
    with recursive kind as materialized (
        select * from jsonb_to_recordset(p_types)
            as t(type text, oldest integer, newest integer, per_tenant integer, overall integer, rate integer, rate_s float8)
        where type not in (select p.type from workflows.pause p)
          and not exists (select from workflows.pause p where p.type = '*')
    ), waiting_lane as (
        (select tenant_id, type, version from workflows.run where status = 'queued' order by tenant_id, type, version limit 1)
        union all
        select n.* from waiting_lane l cross join lateral (
            select r.tenant_id, r.type, r.version from workflows.run r
            where r.status = 'queued' and (r.tenant_id, r.type, r.version) > (l.tenant_id, l.type, l.version)
            order by r.tenant_id, r.type, r.version limit 1) n
    ), at_work as materialized (
        select tenant_id, type, count(*) as n from workflows.run where status in ('handed', 'running', 'stopping') group by 1, 2
    ), lane as materialized (
        select w.tenant_id, w.type, w.version,
            least(
                coalesce(own.concurrency, k.per_tenant) - coalesce((select n from at_work a
                    where a.tenant_id = w.tenant_id and a.type = w.type), 0),
                coalesce(own.rate, k.rate) - (select count(*) from workflows.run b
                    where b.tenant_id = w.tenant_id and b.type = w.type and coalesce(own.rate, k.rate) is not null
                      and b.handed_at > now() - make_interval(secs => coalesce(own.rate_s, k.rate_s)))
            ) as type_free,
            whole.concurrency - coalesce((select sum(n) from at_work a where a.tenant_id = w.tenant_id), 0) as tenant_free,
            k.overall - coalesce((select sum(n) from at_work a where a.type = w.type), 0) as overall_free
        from waiting_lane w
        join kind k on k.type = w.type and w.version between k.oldest and k.newest
        left join workflows.lane own on own.tenant_id = w.tenant_id and own.type = w.type
        left join workflows.lane whole on whole.tenant_id = w.tenant_id and whole.type = '*'
        where own.paused is not true and whole.paused is not true
    ), candidate as (
        select l.*, c.id, c.priority, c.due_at,
            row_number() over (partition by l.tenant_id, l.type order by c.priority desc, c.due_at, c.id) as of_type
        from lane l cross join lateral (
            select r.id, r.priority, r.due_at from workflows.run r
            where r.status = 'queued' and r.tenant_id = l.tenant_id and r.type = l.type and r.version = l.version
            order by r.priority desc, r.due_at, r.id limit least(room, greatest(l.type_free, 0))) c
    ), tagged as (
        select c.*, row_number() over (partition by c.tenant_id order by c.priority desc, c.due_at, c.id) as turn
        from candidate c where c.of_type <= c.type_free
    ), now_at as (
        select coalesce((select had from workflows.share where tenant_id = '00000000-0000-0000-0000-000000000000'), 0) as tag
    ), placed as (
        select t.*, greatest(coalesce(s.had, 0), now_at.tag) + t.turn - 1 as tag
        from tagged t cross join now_at left join workflows.share s on s.tenant_id = t.tenant_id
        where t.tenant_free is null or t.turn <= t.tenant_free
    ), chosen as (
        select p.*, row_number() over (partition by p.type order by p.tag, p.due_at, p.id) as of_all
        from placed p
    ), picked as materialized (
        select * from chosen where overall_free is null or of_all <= overall_free
        order by tag, due_at, id limit room
    ), handed as (
        update workflows.run r set status = 'handed', handed_at = now(), revision = revision + 1
        from picked n where r.tenant_id = n.tenant_id and r.id = n.id and r.status = 'queued'
        returning r.tenant_id, r.id, n.type, n.version, n.priority, n.tag
    ), queue_rows as materialized (
        select procrastinate.procrastinate_defer_jobs_v1(array_agg(
            row(type || '@' || version, 'run', priority, null, null, jsonb_build_object('tenant', tenant_id, 'run', id), null)
                ::procrastinate.procrastinate_job_to_defer_v1 order by tag)) as ids
        from handed
    ), charged as (
        insert into workflows.share as s (tenant_id, had)
        select tenant_id, max(tag) + 1 from handed group by tenant_id
        union all select '00000000-0000-0000-0000-000000000000', max(tag) from handed having count(*) > 0
        on conflict (tenant_id) do update set had = greatest(s.had, excluded.had)
    )
    select count(*), (select cardinality(ids) from queue_rows) into handed_now, ignored from handed;
    return handed_now;
end
$$;
revoke all on function workflows.feed(jsonb, float8) from public;
grant execute on function workflows.feed(jsonb, float8) to bastide_operator;

-- take: the next row of the queue, and the run that it names, in one transaction. Only a run that still stands in the
-- queue is begun; it gets a fence that nobody else has ever had. A row whose run is no longer wanted is taken out. Each
-- statement here sees what was committed before it, so that a run handed over a moment ago is not missed.
create function workflows.take(p_queues varchar[], p_worker bigint, p_fence uuid)
    returns table (queue_row bigint, run_tenant uuid, run_id text, run_type text, run_version integer, run_attempt integer)
    language plpgsql set search_path = pg_catalog, procrastinate
as $$
declare
    fetched record;
begin
    loop
        select j.id, j.args into fetched from procrastinate_fetch_job_v2(p_queues, p_worker) j;
        if fetched.id is null then
            return;
        end if;
        return query
            update workflows.run r
            set status = 'running', attempt = attempt + 1, fence = p_fence, worker = p_worker, waits_for = null,
                wake_at = null, started_at = coalesce(started_at, now()), revision = revision + 1
            where r.tenant_id = (fetched.args->>'tenant')::uuid and r.id = fetched.args->>'run' and r.status = 'handed'
            returning fetched.id, r.tenant_id, r.id, r.type, r.version, r.attempt;
        if found then
            return;
        end if;
        delete from procrastinate_jobs where id = fetched.id;
    end loop;
end
$$;
revoke all on function workflows.take(varchar[], bigint, uuid) from public;
grant execute on function workflows.take(varchar[], bigint, uuid) to bastide_operator;
