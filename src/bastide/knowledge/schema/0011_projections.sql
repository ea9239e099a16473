-- Projections: copies of documents in other systems (vectors in Qdrant, names and ties in Neo4j, originals in S3). What is
-- true stands in the tables of this room; a projection can be lost and made anew.
--
-- The outbox is filled by triggers, so that no code that changes a document can forget it: the row is there if and only if
-- the change is. It says that something of this id has changed, and not what: who feeds a target reads the present state,
-- so a row may be sent twice, late, or in another order.

create table knowledge.projection (
    tenant_id uuid not null default store.tenant(),
    name text collate "C" not null,
    kind text collate "C" not null check (kind in ('qdrant', 'neo4j', 's3')),
    url text not null,
    record text not null,                         -- the provider record that describes it
    options jsonb not null,
    sealed_key bytea,
    collections text[],                           -- null: every collection without members
    class_max text not null,                      -- documents of a higher class are not sent
    leaving boolean not null default false,
    made_in xid8 not null default pg_current_xact_id(),
    user_id text,                                 -- in whose name it is fed
    app_id text,
    key_id text,
    permissions text[] not null,
    label jsonb not null,
    made_at timestamptz not null default now(),
    failures integer not null default 0,          -- of the target as a whole, since it last answered
    rests_until timestamptz not null default now(),
    problem text not null default '',
    primary key (tenant_id, name)
);
call store.protect('knowledge.projection');

-- What is to be sent: one row a target and document (or entity), however often it changed meanwhile.
create table knowledge.projection_change (
    tenant_id uuid not null default store.tenant(),
    projection text collate "C" not null,
    subject text collate "C" not null,            -- doc_... or ent_...
    seq bigint generated always as identity,      -- renewed by every change: who has sent an older state deletes nothing
    changed_at timestamptz not null default now(),
    attempts integer not null default 0,
    due_at timestamptz not null default now(),
    problem text not null default '',
    primary key (tenant_id, projection, subject),
    foreign key (tenant_id, projection) references knowledge.projection (tenant_id, name) on delete cascade
);
create index projection_change_due on knowledge.projection_change (tenant_id, projection, due_at);
call store.protect('knowledge.projection_change');

-- What a target holds of a document, and, of one that was taken away, since when: ids and counts only.
create table knowledge.projection_copy (
    tenant_id uuid not null default store.tenant(),
    projection text collate "C" not null,
    subject text collate "C" not null,
    items integer not null,                       -- points, nodes with mentions and ties, or objects
    sent_at timestamptz,
    gone_at timestamptz,                          -- taken away
    verified_at timestamptz,                      -- asked afterwards, and not found
    why text not null default '',                 -- erased, or what keeps it from being sent
    primary key (tenant_id, projection, subject),
    foreign key (tenant_id, projection) references knowledge.projection (tenant_id, name) on delete cascade
);
call store.protect('knowledge.projection_copy');

-- Which tenants have something to feed, and in whose name; no word of a document, no address, no key.
create policy operator_wakes on knowledge.projection for select to bastide_operator using (true);
create policy operator_wakes on knowledge.projection_change for select to bastide_operator using (true);
grant select (tenant_id, name, kind, leaving, user_id, app_id, key_id, permissions, label, rests_until, failures)
    on knowledge.projection to bastide_operator;
grant select (tenant_id, projection, changed_at, due_at) on knowledge.projection_change to bastide_operator;

-- note_changes: these ids have changed, for every target (of one kind).
create function knowledge.note_changes(ids text[], only_kind text default null) returns void language plpgsql as $$
begin
    insert into knowledge.projection_change as c (projection, subject)
    select p.name, u.id from knowledge.projection p, unnest(ids) as u(id)
    where only_kind is null or p.kind = only_kind
    order by p.name, u.id
    on conflict (tenant_id, projection, subject) do update
    set seq = default, attempts = 0, due_at = now(), problem = '';
end
$$;

-- Each is asked once a statement, and looks into an empty table where a tenant has no target.
create function knowledge.note_documents() returns trigger language plpgsql as $$
begin
    if exists (select from knowledge.projection) then
        perform knowledge.note_changes(array(select distinct id from changed));
    end if;
    return null;
end
$$;
create trigger projected_in after insert on knowledge.document
    referencing new table as changed for each statement execute function knowledge.note_documents();
create trigger projected_anew after update on knowledge.document
    referencing new table as changed for each statement execute function knowledge.note_documents();
create trigger projected_out after delete on knowledge.document
    referencing old table as changed for each statement execute function knowledge.note_documents();

create function knowledge.note_derived() returns trigger language plpgsql as $$
begin
    if exists (select from knowledge.projection p where p.kind = tg_argv[0]) then
        perform knowledge.note_changes(array(select d.id from knowledge.document d
                                             where d.number in (select c.document from changed c)), tg_argv[0]);
    end if;
    return null;
end
$$;
create trigger projected_in after insert on knowledge.embedding
    referencing new table as changed for each statement execute function knowledge.note_derived('qdrant');
create trigger projected_in after insert on knowledge.entity_source
    referencing new table as changed for each statement execute function knowledge.note_derived('neo4j');
create trigger projected_anew after update on knowledge.entity_source
    referencing new table as changed for each statement execute function knowledge.note_derived('neo4j');
create trigger projected_in after insert on knowledge.relation_source
    referencing new table as changed for each statement execute function knowledge.note_derived('neo4j');

-- Which keys are one entity: merged, split, undone.
create function knowledge.note_entities() returns trigger language plpgsql as $$
begin
    if exists (select from knowledge.projection p where p.kind = 'neo4j') then
        perform knowledge.note_changes(array(select distinct 'ent_' || lpad(to_hex(c.key), 16, '0') from changed c), 'neo4j');
    end if;
    return null;
end
$$;
create trigger projected_in after insert on knowledge.alias
    referencing new table as changed for each statement execute function knowledge.note_entities();
create trigger projected_anew after update on knowledge.alias
    referencing new table as changed for each statement execute function knowledge.note_entities();
create trigger projected_out after delete on knowledge.alias
    referencing old table as changed for each statement execute function knowledge.note_entities();

-- A collection that gets its first member is closed to targets that do not name it, and open again without one.
create function knowledge.note_members() returns trigger language plpgsql as $$
begin
    if exists (select from knowledge.projection) then
        perform knowledge.note_changes(array(select d.id from knowledge.document d
                                             where d.collection in (select c.collection from changed c)));
    end if;
    return null;
end
$$;
create trigger projected_in after insert on knowledge.collection_member
    referencing new table as changed for each statement execute function knowledge.note_members();
create trigger projected_out after delete on knowledge.collection_member
    referencing old table as changed for each statement execute function knowledge.note_members();
