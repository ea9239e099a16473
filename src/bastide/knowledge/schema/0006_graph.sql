-- The graph of names: who and what stands in which passage, how they are tied, when it happened.
--
-- There is no table of entities. An entity is what its sources say: rows that hang on a document and go with it, so a
-- name without a source cannot stay behind, and documents that bring the same new name at once have nothing to wait
-- for. `key` is a 64-bit hash of the name in its plain form (knowledge/graph/naming.py); `alias` says which keys are one
-- entity, and is worked out from `alias_source` (what documents say) and `decision` (what people and rules decided).
-- In `relation_source.a` the key 0 means the document itself.

-- Which documents a caller may read: the one place of that rule. Everything the graph tells is asked through it.
create view knowledge.readable with (security_invoker = true) as
select d.tenant_id, d.number, d.id, d.collection, d.name, d.version, d.label, d.created, d.updated
from knowledge.document d;
grant select on knowledge.readable to bastide_app;

-- Types that a tenant adds to the shipped ones.
create table knowledge.graph_type (
    tenant_id uuid not null default store.tenant(),
    kind text collate "C" not null,               -- node or relation
    name text collate "C" not null,
    about text not null,
    from_types text[] not null,                   -- of a relation; empty means any
    to_types text[] not null,
    is_symmetric boolean not null,
    inverse text not null,
    transitive boolean not null,
    made_at timestamptz not null default now(),
    primary key (tenant_id, kind, name)
);
call store.protect('knowledge.graph_type');

-- One row: a name in a passage, how often, and where first. Offsets count in the document's text.
create table knowledge.entity_source (
    tenant_id uuid not null default store.tenant(),
    document bigint not null,
    chunk bigint not null,
    key bigint not null,
    extractor text collate "C" not null,
    type text collate "C" not null,
    name text not null,
    start_at integer not null,
    end_at integer not null,
    times integer not null,
    confidence real not null,
    self boolean not null,                        -- the document is what is named: an act under its own title
    seen_at timestamptz not null default now(),
    primary key (tenant_id, document, chunk, key, extractor),
    foreign key (tenant_id, document) references knowledge.document (tenant_id, number) on delete cascade
);
create index entity_source_key on knowledge.entity_source (tenant_id, key);
call store.protect('knowledge.entity_source');

create table knowledge.relation_source (
    tenant_id uuid not null default store.tenant(),
    document bigint not null,
    chunk bigint not null,
    a bigint not null,
    b bigint not null,
    type text collate "C" not null,
    extractor text collate "C" not null,
    start_at integer not null,                    -- the sentence that says so
    end_at integer not null,
    weight real not null,
    confidence real not null,
    valid_from date,                              -- as the text says; null is open
    valid_to date,
    seen_at timestamptz not null default now(),
    primary key (tenant_id, document, chunk, a, b, type, extractor),
    foreign key (tenant_id, document) references knowledge.document (tenant_id, number) on delete cascade
);
create index relation_source_a on knowledge.relation_source (tenant_id, a);
create index relation_source_b on knowledge.relation_source (tenant_id, b);
call store.protect('knowledge.relation_source');

-- Dates and amounts, with the names in the same sentence. A date with a name is an episode.
create table knowledge.fact (
    tenant_id uuid not null default store.tenant(),
    document bigint not null,
    chunk bigint not null,
    ord integer not null,
    kind text collate "C" not null,               -- date or amount
    start_at integer not null,
    end_at integer not null,
    sentence_start integer not null,
    sentence_end integer not null,
    valid_from date,
    valid_to date,                                -- the first day on which it no longer holds
    detail text collate "C" not null,             -- of a date its precision, of an amount its currency
    value numeric,
    keys bigint[] not null,
    seen_at timestamptz not null default now(),
    primary key (tenant_id, document, chunk, ord),
    foreign key (tenant_id, document) references knowledge.document (tenant_id, number) on delete cascade
);
create index fact_chunk on knowledge.fact (tenant_id, chunk);
call store.protect('knowledge.fact');

-- "Article 17(1)", with the act where one is named; where it leads is looked up when it is asked.
create table knowledge.citation (
    tenant_id uuid not null default store.tenant(),
    document bigint not null,
    chunk bigint not null,
    ord integer not null,
    start_at integer not null,
    end_at integer not null,
    place text collate "C" not null,              -- as knowledge/references.py names places; empty for a whole act
    detail text not null,                         -- what stands behind the place: "(1)", "Abs. 1 Satz 2"
    act bigint,                                   -- the key of the act; null is this document
    primary key (tenant_id, document, chunk, ord),
    foreign key (tenant_id, document) references knowledge.document (tenant_id, number) on delete cascade
);
create index citation_act on knowledge.citation (tenant_id, act);
call store.protect('knowledge.citation');

-- A document says that two names are one: "European Data Protection Board (EDPB)". Which keys are one is worked out from
-- all of a tenant's rows, whoever causes it: hence `source`, which no rule about members of a collection is put on. It
-- holds hashes and offsets only.
create table knowledge.alias_source (
    tenant_id uuid not null default store.tenant(),
    source bigint not null,                       -- the document
    chunk bigint not null,
    a bigint not null,                            -- the short name
    b bigint not null,                            -- the full one
    reason text collate "C" not null,
    score real not null,
    start_at integer not null,
    end_at integer not null,
    primary key (tenant_id, source, a, b),
    foreign key (tenant_id, source) references knowledge.document (tenant_id, number) on delete cascade
);
create index alias_source_a on knowledge.alias_source (tenant_id, a);
create index alias_source_b on knowledge.alias_source (tenant_id, b);
call store.protect('knowledge.alias_source');

-- Which keys are another entity than themselves. Worked out anew whenever what it rests on changes.
create table knowledge.alias (
    tenant_id uuid not null default store.tenant(),
    key bigint not null,
    entity bigint not null,
    primary key (tenant_id, key)
);
create index alias_entity on knowledge.alias (tenant_id, entity);
call store.protect('knowledge.alias');

-- Merges and splits: who, why, and whether it was undone. A split gives sources that had keys[i] the key moved[i].
create table knowledge.decision (
    tenant_id uuid not null default store.tenant(),
    id text collate "C" not null,
    kind text collate "C" not null,               -- merge or split
    keys bigint[] not null,                       -- of a merge: the one that stays, then the others; of a split: from
    moved bigint[] not null default '{}',
    who text not null,
    why text not null,
    made_at timestamptz not null default now(),
    undone_at timestamptz,
    undone_by text,
    undone_why text,
    primary key (tenant_id, id)
);
call store.protect('knowledge.decision');

-- Groups of entities that belong together. What a summary says is a copy of what documents say, so each of its sentences
-- hangs on the passages that it was made from, and goes with any of them, by foreign key: whoever deletes or replaces a
-- document, and whatever he may see. `documents` tells afterwards that something is missing.
create table knowledge.community (
    tenant_id uuid not null default store.tenant(),
    level smallint not null,
    number integer not null,
    parent integer,                               -- the community of the next level that holds it
    members bigint[] not null,                    -- entities, strongest first
    documents integer not null,                   -- how many documents its summary was made from
    made_by text not null,
    made_at timestamptz not null default now(),
    primary key (tenant_id, level, number)
);
call store.protect('knowledge.community');

create table knowledge.community_source (
    tenant_id uuid not null default store.tenant(),
    level smallint not null,
    number integer not null,
    ord integer not null,                         -- the number by which the summary cites it
    document bigint not null,
    chunk bigint not null,
    start_at integer not null,
    end_at integer not null,
    text text not null,                           -- the sentence
    primary key (tenant_id, level, number, ord),
    foreign key (tenant_id, level, number) references knowledge.community on delete cascade,
    foreign key (tenant_id, document) references knowledge.document (tenant_id, number) on delete cascade,
    foreign key (tenant_id, chunk) references knowledge.chunk (tenant_id, id) on delete cascade
);
create index community_source_document on knowledge.community_source (tenant_id, document);
create index community_source_chunk on knowledge.community_source (tenant_id, chunk);
call store.protect('knowledge.community_source');

-- A sentence that a model wrote, with the one to three sources that it cites.
create table knowledge.community_line (
    tenant_id uuid not null default store.tenant(),
    level smallint not null,
    number integer not null,
    ord integer not null,
    text text not null,
    first integer not null,
    second integer,
    third integer,
    primary key (tenant_id, level, number, ord),
    foreign key (tenant_id, level, number, first) references knowledge.community_source on delete cascade,
    foreign key (tenant_id, level, number, second) references knowledge.community_source on delete cascade,
    foreign key (tenant_id, level, number, third) references knowledge.community_source on delete cascade
);
call store.protect('knowledge.community_line');
