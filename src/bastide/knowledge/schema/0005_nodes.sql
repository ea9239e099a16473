-- What a place in a document is known by: an id that outlives a new version, where it stands on the page, the cells of
-- a table's row, what says that it is what it is; and how each page was read.
--
-- Of versions that were replaced, the ids and fingerprints of their nodes stay, in reading order: eight and four bytes a
-- node. Their text is read from the original again when somebody asks what changed; nothing is stored twice.

alter table knowledge.node
    add column id integer not null default 0,
    add column boxes jsonb not null default '[]',       -- [page, left, top, right, bottom] of each page, in points
    add column cells jsonb not null default '[]',       -- [column, start, end, span, header, box or null] of each cell
    add column source text not null default 'markup',
    add column confidence real not null default 1;
alter table knowledge.node alter column id type integer using ord;

alter table knowledge.chunk
    add column boxes jsonb not null default '[]',
    add column parent integer;                          -- the section it stands in, by its ord

alter table knowledge.document_version
    add column node_ids integer[] not null default '{}',
    add column node_marks bigint[] not null default '{}',
    add column node_last integer not null default -1;   -- no id up to this one is given out again

-- How each page was read: the provenance of everything on it. In an archive each file counts its own pages.
create table knowledge.page (
    tenant_id uuid not null default store.tenant(),
    document bigint not null,
    ord integer not null,
    page integer not null,
    width real not null,
    height real not null,
    tier text not null,
    engine text not null,
    language text not null,
    band text not null,
    confidence real,
    coverage real,
    rotation smallint not null,
    reason text not null,
    doubts text[] not null,
    primary key (tenant_id, document, ord),
    foreign key (tenant_id, document) references knowledge.document (tenant_id, number) on delete cascade
);
call store.protect('knowledge.page');
