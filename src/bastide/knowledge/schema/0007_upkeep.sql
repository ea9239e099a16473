-- Upkeep: who may see a collection and for how long it keeps documents, what must not be deleted, what past answers were
-- given from, and what is like what.

alter table knowledge.collection
    add column retention_days integer check (retention_days > 0);   -- null keeps for good; counted from `updated`

-- Members of a collection. Without one it is open to the tenant; with one it is theirs alone, held by row security.
create table knowledge.collection_member (
    tenant_id uuid not null default store.tenant(),
    collection text collate "C" not null,
    member text collate "C" not null,             -- an id of a user or an app, or `role:` and a role
    access text collate "C" not null check (access in ('read', 'write', 'manage')),
    made_at timestamptz not null default now(),
    primary key (tenant_id, collection, member),
    foreign key (tenant_id, collection) references knowledge.collection on delete cascade
);
call store.protect('knowledge.collection_member');

-- closed: the collections that have members, of whom who acts here is none with this access. Empty for most tenants, after
-- one look into an index.
create function knowledge.closed(access text default 'read') returns text[] language plpgsql stable parallel safe as $$
declare
    me text[];
    enough text[] := case access when 'read' then '{read,write,manage}' when 'write' then '{write,manage}'
                     else '{manage}' end;
begin
    if not exists (select from knowledge.collection_member) then
        return '{}';
    end if;
    me := store.acting();
    if '*' = any(me) then
        return '{}';
    end if;
    return array(select m.collection from knowledge.collection_member m group by m.collection
                 having not bool_or(m.member = any(me) and m.access = any(enough)));
end
$$;

-- Restrictive policies: besides the tenant's own, which stay as they are. Only the application's role is bound by them.
create policy members_only on knowledge.collection as restrictive to bastide_app
    using (name <> all((select knowledge.closed())::text[]))
    with check (name <> all((select knowledge.closed('write'))::text[]));
create policy members_delete on knowledge.collection as restrictive for delete to bastide_app
    using (name <> all((select knowledge.closed('manage'))::text[]));
create policy members_only on knowledge.document as restrictive to bastide_app
    using (collection <> all((select knowledge.closed())::text[]))
    with check (collection <> all((select knowledge.closed('write'))::text[]));
create policy members_delete on knowledge.document as restrictive for delete to bastide_app
    using (collection <> all((select knowledge.closed('write'))::text[]));
-- The list of members is read by whoever sees the collection, and written by those who manage it. It is asked by
-- knowledge.closed, so its own policies for reading must not ask that.
create policy members_add on knowledge.collection_member as restrictive for insert to bastide_app
    with check (collection <> all((select knowledge.closed('manage'))::text[]));
create policy members_change on knowledge.collection_member as restrictive for update to bastide_app
    using (collection <> all((select knowledge.closed('manage'))::text[]));
create policy members_delete on knowledge.collection_member as restrictive for delete to bastide_app
    using (collection <> all((select knowledge.closed('manage'))::text[]));

-- keep_to_members: a table whose rows hang on a document (column `document`, its number) is read and written as that
-- document is. Where no collection is closed to who acts, no row is asked. `access` is what writing a row needs.
create procedure knowledge.keep_to_members(name text, access text default 'write') language plpgsql as $$
declare
    own text := (select relname from pg_class where oid = name::regclass);
    seen text := format('case when cardinality((select knowledge.closed())) = 0 then true '
                        'when %1$I.document is null then true '
                        'else exists (select from knowledge.document d where d.number = %1$I.document) end', own);
    held text := format('case when cardinality((select knowledge.closed(%2$L))) = 0 then true '
                        'when %1$I.document is null then true '
                        'else exists (select from knowledge.document d where d.number = %1$I.document '
                        'and d.collection <> all((select knowledge.closed(%2$L))::text[])) end', own, access);
begin
    execute format('create policy members_only on %s as restrictive to bastide_app using (%s) with check (%s)',
                   name::regclass, seen, held);
    execute format('create policy members_delete on %s as restrictive for delete to bastide_app using (%s)',
                   name::regclass, held);
end
$$;

-- A document that must be kept: while this row is here the database itself refuses to delete it.
create table knowledge.hold (
    tenant_id uuid not null default store.tenant(),
    document bigint not null,
    reason text not null,
    placed_by text not null,
    placed_at timestamptz not null default now(),
    primary key (tenant_id, document),
    foreign key (tenant_id, document) references knowledge.document (tenant_id, number) on delete restrict
);
call store.protect('knowledge.hold');

-- What an answer was given from: ids only, no word of it. Goes with its document. Not cited is what a model was shown and
-- did not use.
create table knowledge.answer_source (
    tenant_id uuid not null default store.tenant(),
    receipt text collate "C" not null,
    document bigint not null,
    version integer not null,
    label jsonb not null,                         -- the document's, at that time
    model text not null,                          -- who wrote the answer, and so where
    cited boolean not null,
    answered_at timestamptz not null default now(),
    primary key (tenant_id, receipt, document),
    foreign key (tenant_id, document) references knowledge.document (tenant_id, number) on delete cascade
);
create index answer_source_document on knowledge.answer_source (tenant_id, document);
call store.protect('knowledge.answer_source');

-- A sketch of a document's words (MinHash), by which near duplicates are found. It is made from shingles hashed under the
-- tenant's key: without it nobody can tell whether some text is in here, and two tenants' sketches have nothing in common.
create table knowledge.likeness (
    tenant_id uuid not null default store.tenant(),
    document bigint not null,
    shingles integer not null,
    sketch bytea not null,                        -- 128 minima, 4 bytes each, little-endian
    primary key (tenant_id, document),
    foreign key (tenant_id, document) references knowledge.document (tenant_id, number) on delete cascade
);
call store.protect('knowledge.likeness');

-- What a watched folder's files were when they were last taken in. `place` names the folder (a keyed hash), `path` the
-- file in it. Of a file that was refused, or whose document was deleted, there is a row without one, or the next look at
-- the folder would bring it back; it goes when the file does.
create table knowledge.watched (
    tenant_id uuid not null default store.tenant(),
    place text collate "C" not null,
    path text collate "C" not null,
    document bigint,
    bytes bigint not null,
    modified bigint not null,                     -- nanoseconds since 1970, as the file system says
    seen_at timestamptz not null default now(),
    primary key (tenant_id, place, path),
    foreign key (tenant_id, document) references knowledge.document (tenant_id, number) on delete set null (document)
);
create index watched_document on knowledge.watched (tenant_id, document);
call store.protect('knowledge.watched');

do $$
declare
    found record;
begin
    for found in
        select c.oid::regclass::text as name
        from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'document' and not a.attisdropped
        where c.relnamespace = 'knowledge'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
        order by c.oid
    loop
        -- whoever reads a document leaves a trace of it
        call knowledge.keep_to_members(found.name, case when found.name like '%answer_source' then 'read' else 'write' end);
    end loop;
end
$$;

-- A sentence of a summary is told only to those who may read all that it cites.
create policy members_only on knowledge.community_line as restrictive for select to bastide_app
    using (case when cardinality((select knowledge.closed())) = 0 then true else
           num_nonnulls(first, second, third) = (
               select count(*) from knowledge.community_source s
               where s.level = community_line.level and s.number = community_line.number
                 and s.ord in (community_line.first, community_line.second, community_line.third)) end);

-- traces_of: in each table of this room, the rows that hang on these documents or hold one of these words. What deletes
-- documents asks it afterwards; it reads every row of the tenant.
create function knowledge.traces_of(numbers bigint[], words text[]) returns table (name text, times bigint)
    language plpgsql stable as $$
begin
    for name in
        select c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id'
        where c.relnamespace = 'knowledge'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
        order by c.relname
    loop
        execute format('select count(*) from knowledge.%I t where exists (select from unnest($2) w '
                       'where strpos(t::text, w) > 0 or strpos(t::text, to_json(w)::text) > 0) %s', name,
                       case when exists (select from pg_attribute a where a.attname = 'document' and not a.attisdropped
                                         and a.attrelid = format('knowledge.%I', name)::regclass
                                         and a.atttypid = 'bigint'::regtype)
                            then 'or t.document = any($1)' else '' end)
            into times using numbers, words;
        return next;
    end loop;
end
$$;
