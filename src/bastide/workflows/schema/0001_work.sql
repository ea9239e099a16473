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
