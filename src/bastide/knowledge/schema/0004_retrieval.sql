-- The phrase graph: which names stand in which passages, found without a model when a document is taken in. One row
-- holds all of a document, so adding it costs one row whatever the others hold, and erasing it leaves nothing.
--
-- A phrase is a 64-bit hash of its words; no text is here. The three columns are arrays in bytes, little-endian, as
-- knowledge/walking.py reads them by the ten thousand: the chunks (8 bytes each), how many mentions each has (4), and
-- the mentions (13). `number` is new whenever the row is, so a reader that has seen a row knows it again.
create table knowledge.mention (
    tenant_id uuid not null default store.tenant(),
    document bigint not null,
    number bigint generated always as identity,
    chunks bytea not null,
    sizes bytea not null,
    phrases bytea not null,
    primary key (tenant_id, document),
    foreign key (tenant_id, document) references knowledge.document (tenant_id, number) on delete cascade
);
create unique index mention_number on knowledge.mention (tenant_id, number);
call store.protect('knowledge.mention');
