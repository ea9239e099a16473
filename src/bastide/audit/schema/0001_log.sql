-- The audit log: what happened, in an order that nobody can rewrite.
--
-- A tenant's act writes three rows in its own transaction: the event into the outbox, its sealed
-- payload, and the next number of its producer. One sequencer moves the outbox into the log: leaf,
-- tiles, signed checkpoint, and the tenant's own list of events, in one transaction. The application
-- has no right on the log itself; what belongs to no tenant (the platform's own events) stands under
-- the tenant of zeros, for which nobody can sign a context.

create table audit.log (
    one integer primary key default 1 check (one = 1),
    id text not null,              -- random; the log's origin is bastide/<id>
    vkey text not null,            -- its public key
    made_at timestamptz not null default now()
);
call store.share('audit.log', '', 'one log an installation: its name and public key');

create table audit.leaf (
    index bigint primary key check (index >= 0),
    body bytea not null            -- canonical JSON: pseudonyms and commitments, never text
);
call store.share('audit.leaf', '', 'the log''s leaves hold pseudonyms and commitments only; the application has no right on it');

create table audit.tile (
    level integer not null,
    n bigint not null,
    hashes bytea not null,         -- 32 bytes each, 256 when full
    primary key (level, n)
);
alter table audit.tile alter column hashes set storage external;   -- hashes do not compress
call store.share('audit.tile', '', 'hashes of the log''s tree; the application has no right on it');

create table audit.checkpoint (
    size bigint primary key check (size >= 0),
    note text not null,
    made_at timestamptz not null default clock_timestamp()
);
call store.share('audit.checkpoint', '', 'the log''s signed checkpoints; the application has no right on it');

-- Numbers without gaps. A transaction takes a free slot of its tenant (see audit.record), so that two
-- acts of one tenant never wait for each other, and each slot counts 1, 2, 3 … even across rollbacks:
-- a row that vanishes from the outbox leaves a hole that `verify` names.
create table audit.counter (
    tenant_id uuid not null default store.tenant(),
    slot integer not null check (slot between 0 and 31),
    producer text not null,        -- random: the leaf names it without naming the tenant
    n bigint not null,
    primary key (tenant_id, slot)
) with (fillfactor = 50);

create table audit.outbox (
    tenant_id uuid not null default store.tenant(),
    seq bigint not null generated always as identity,
    id text not null,
    act text not null,
    outcome text not null,
    t bigint not null,             -- milliseconds since 1970, by the producer's clock
    producer text not null,
    n bigint not null,
    body text not null,            -- the leaf, but for its place in the log
    primary key (tenant_id, seq)
);
create index outbox_order on audit.outbox (seq);

create table audit.event (
    tenant_id uuid not null default store.tenant(),
    id text not null,
    index bigint not null,         -- its leaf
    act text not null,
    outcome text not null,
    t bigint not null,
    primary key (tenant_id, id)
);
create index event_by_leaf on audit.event (tenant_id, index);
create index event_all on audit.event (index);   -- verification walks all tenants' events beside the leaves

create table audit.payload (
    tenant_id uuid not null default store.tenant(),
    id text not null,
    sealed bytea not null,         -- who, what, details, receipt, and the secret that opens the leaf's commitments
    primary key (tenant_id, id)
);

-- Which events speak of a person, found by a keyed pseudonym; deleted with the payload.
create table audit.mention (
    tenant_id uuid not null default store.tenant(),
    subject bytea not null,
    id text not null,
    primary key (tenant_id, subject, id)
);

call store.protect('audit.counter');
call store.protect('audit.outbox');
call store.protect('audit.event');
call store.protect('audit.payload');
call store.protect('audit.mention');
-- The application reads its tenant's events and payloads and may erase what can be read; the rest is written
-- by audit.record and by the sequencer.
revoke select, insert, update, delete on audit.counter, audit.outbox from bastide_app;
revoke insert, update, delete on audit.event from bastide_app;
revoke insert, update on audit.payload, audit.mention from bastide_app;

grant select, insert on audit.log, audit.leaf, audit.checkpoint to bastide_operator;
grant select, insert, update on audit.tile to bastide_operator;
grant select, insert, delete on audit.outbox to bastide_operator;
grant select, insert on audit.event to bastide_operator;
grant select, insert, update on audit.counter to bastide_operator;
grant insert on audit.payload, audit.mention to bastide_operator;
create policy operator_drains on audit.outbox to bastide_operator using (true) with check (true);
create policy operator_lists on audit.event to bastide_operator using (true) with check (true);
create policy operator_counts on audit.counter to bastide_operator using (true) with check (true);
create policy operator_writes on audit.payload for insert to bastide_operator with check (true);
create policy operator_writes on audit.mention for insert to bastide_operator with check (true);

-- record: one event of the transaction's tenant; of the platform where the operator itself asks. It is lent, not
-- left to the caller's rights, so that an injected statement can neither count for others nor write past the count.
create function audit.record(
    p_id text, p_act text, p_outcome text, p_t bigint, p_body text, p_sealed bytea, p_announce boolean,
    p_subjects bytea[] default '{}'
) returns void language plpgsql security definer set search_path = pg_catalog as $$
declare
    whose uuid := store.tenant();
    free integer;
begin
    if whose is null then
        if not pg_has_role(session_user, 'bastide_operator', 'member') then
            raise insufficient_privilege using message = 'an event needs a tenant';
        end if;
        whose := '00000000-0000-0000-0000-000000000000';
    end if;
    for attempt in 0..31 loop
        free := (pg_backend_pid() + attempt) % 32;
        exit when pg_try_advisory_xact_lock(hashtextextended(whose::text, free));
    end loop;
    with given as (
        insert into audit.counter as c (tenant_id, slot, producer, n)
        values (whose, free, replace(gen_random_uuid()::text, '-', ''), 1)
        on conflict (tenant_id, slot) do update set n = c.n + 1
        returning c.producer, c.n
    ), kept as (
        insert into audit.payload (tenant_id, id, sealed) values (whose, p_id, p_sealed)
    )
    insert into audit.outbox (tenant_id, id, act, outcome, t, producer, n, body)
        select whose, p_id, p_act, p_outcome, p_t, producer, n, p_body from given;
    if cardinality(p_subjects) > 0 then
        insert into audit.mention (tenant_id, subject, id)
            select whose, subject, p_id from unnest(p_subjects) as subject on conflict do nothing;
    end if;
    if p_announce then
        perform pg_notify('audit_outbox', '');
    end if;
end
$$;
call store.lend('audit.record(text,text,text,bigint,text,bytea,boolean,bytea[])',
    'writes an event of the verified tenant into tables on which the application has no right');
