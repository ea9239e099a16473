-- Several embedders side by side, and by which recipe each document was made.

-- The embedders of a collection's documents; where there is no row, it is the one that inference chooses. A row without a
-- collection is for every collection that has none of its own. What is `filling` reads new documents already and no query
-- yet: its vectors are not complete.
create table knowledge.embedder (
    tenant_id uuid not null default store.tenant(),
    id bigint generated always as identity,
    collection text collate "C",
    model text not null,
    state text not null check (state in ('filling', 'on')),
    languages text[] not null default '{}',       -- those that it knows; none said means as embedders.toml says
    made_at timestamptz not null default now(),
    primary key (tenant_id, id),
    unique nulls not distinct (tenant_id, collection, model),
    foreign key (tenant_id, collection) references knowledge.collection on delete cascade
);
call store.protect('knowledge.embedder');
create policy members_only on knowledge.embedder as restrictive to bastide_app
    using (collection is null or collection <> all((select knowledge.closed())::text[]));

-- By which recipe (bastide.knowledge.upgrading) a version was read, cut and indexed; 0 is a house that kept no such number.
alter table knowledge.document_version add column recipe integer not null default 0;
