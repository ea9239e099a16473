-- What dispatches jobs by itself. Whoever made a schedule or a trigger is kept with the rights that they had; what it
-- hands to the job is sealed.

create table workflows.schedule (
    tenant_id uuid not null default store.tenant(),
    id text collate "C" not null,
    name text collate "C" not null,
    type text not null,
    input bytea not null,                    -- sealed
    cron text not null,
    timezone text not null,
    priority smallint not null default 0,
    catch_up boolean not null default false,
    paused boolean not null default false,
    user_id text, app_id text, key_id text, permissions text[] not null, label jsonb not null,    -- who made it
    next_at timestamptz not null,
    moved_at timestamptz not null default now(),     -- when next_at was last worked out
    last_at timestamptz,
    last_job text,
    problem_code text,
    problem bytea,                           -- sealed
    created_at timestamptz not null default now(),
    primary key (tenant_id, id),
    unique (tenant_id, name)
);
create index schedule_due on workflows.schedule (next_at) where not paused;
create index schedule_moved on workflows.schedule (moved_at) where not paused;
call store.protect('workflows.schedule');

create table workflows.trigger (
    tenant_id uuid not null default store.tenant(),
    id text collate "C" not null,
    name text collate "C" not null,
    event text not null,
    type text not null,
    rule bytea not null,                     -- sealed: the filter, and the input with its placeholders
    priority smallint not null default 0,
    paused boolean not null default false,
    user_id text, app_id text, key_id text, permissions text[] not null, label jsonb not null,    -- who made it
    secret bytea, old_secret bytea, old_until timestamptz,    -- sealed: a webhook's, and the one before it
    crossed boolean,                         -- a metric: on which side it was; null before the first look
    look_at timestamptz,                     -- a metric: when it is looked at next
    created_at timestamptz not null default now(),
    primary key (tenant_id, id),
    unique (tenant_id, name)
);
create index trigger_on on workflows.trigger (tenant_id, event) where not paused;
create index trigger_look on workflows.trigger (look_at) where event = 'metric' and not paused;
create index trigger_webhook on workflows.trigger (id) where event = 'webhook';
call store.protect('workflows.trigger');

-- What triggers did. Only ever added to, so that many transactions which fire the same trigger do not wait for one
-- another. It has no foreign key: a trigger that is deleted meanwhile must not break the act that fires it.
create table workflows.firing (
    tenant_id uuid not null default store.tenant(),
    trigger text collate "C" not null,
    n bigint not null generated always as identity,
    at timestamptz not null default clock_timestamp(),
    job text,
    problem_code text,
    problem bytea,                           -- sealed
    primary key (tenant_id, trigger, n)
);
create index firing_at on workflows.firing (at);
call store.protect('workflows.firing');

-- The operator looks for what is due; it reads nothing sealed.
grant select (tenant_id, id, next_at, moved_at, paused) on workflows.schedule to bastide_operator;
create policy operator_watches on workflows.schedule for select to bastide_operator using (true);
grant select (tenant_id, id, event, look_at, paused) on workflows.trigger to bastide_operator;
create policy operator_watches on workflows.trigger for select to bastide_operator using (true);
grant select (tenant_id, trigger, n, at), delete on workflows.firing to bastide_operator;
create policy operator_prunes on workflows.firing to bastide_operator using (true) with check (true);

-- A webhook comes with a signature instead of a key. Whose it is must be known before the signature can be checked;
-- this answers for exactly one id, of which 74 bits are random, and says nothing but the tenant.
create function workflows.webhook(asked text) returns uuid
    language sql stable security definer
    set search_path = pg_catalog
as $$
    select tenant_id from workflows.trigger where id = asked and event = 'webhook'
$$;
call store.lend('workflows.webhook(text)', 'a webhook is met before its tenant is known; answers for one id only');
