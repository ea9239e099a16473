-- What a tenant has written down, in three layers that one DELETE removes together:
--   byte       document_version.blob names the original, which lies encrypted in the store
--   structure  node: the tree of sections and paragraphs of the current version
--   semantic   chunk, posting (words), embedding (meaning) of the current version
--
-- Everything below a document hangs on document.number, a bigint, because the large tables repeat it
-- millions of times; the id that people see is document.id.

create table knowledge.collection (
    tenant_id uuid not null default store.tenant(),
    name text collate "C" not null,
    created timestamptz not null default now(),
    primary key (tenant_id, name)
);
call store.protect('knowledge.collection');

create table knowledge.document (
    tenant_id uuid not null default store.tenant(),
    id text collate "C" not null,
    number bigint generated always as identity,
    collection text collate "C" not null,
    name text collate "C" not null,
    version integer not null default 1,           -- the current one, which is searched
    label jsonb not null,
    created timestamptz not null default now(),
    updated timestamptz not null default now(),
    primary key (tenant_id, id),
    unique (tenant_id, number),
    unique (tenant_id, collection, name),
    foreign key (tenant_id, collection) references knowledge.collection
);
call store.protect('knowledge.document');

-- Whom a document is about, as its label says: found by equality, because row security lets no
-- operator on jsonb use an index.
create table knowledge.document_subject (
    tenant_id uuid not null default store.tenant(),
    subject text collate "C" not null,
    document bigint not null,
    primary key (tenant_id, subject, document),
    foreign key (tenant_id, document) references knowledge.document (tenant_id, number) on delete cascade
);
create index document_subject_document on knowledge.document_subject (tenant_id, document);
call store.protect('knowledge.document_subject');

-- One row a version. Older versions keep their original and lose their chunks.
create table knowledge.document_version (
    tenant_id uuid not null default store.tenant(),
    document bigint not null,
    version integer not null,
    fingerprint bytea not null,                   -- HMAC of the content under the tenant's key
    blob text not null,
    bytes bigint not null,
    media_type text not null,
    title text not null,
    language text not null,
    pages integer,
    chunks integer not null,
    problems text[] not null,
    marks text[] not null,
    created timestamptz not null default now(),
    primary key (tenant_id, document, version),
    foreign key (tenant_id, document) references knowledge.document (tenant_id, number) on delete cascade
);
create index document_version_content on knowledge.document_version (tenant_id, fingerprint);
call store.protect('knowledge.document_version');

-- Files that could not be read, by content: what they were called stands in the audit log only.
create table knowledge.refusal (
    tenant_id uuid not null default store.tenant(),
    fingerprint bytea not null,
    code text not null,
    created timestamptz not null default now(),
    primary key (tenant_id, fingerprint)
);
call store.protect('knowledge.refusal');

create table knowledge.node (
    tenant_id uuid not null default store.tenant(),
    document bigint not null,
    ord integer not null,
    parent integer,
    kind text not null,
    level smallint not null,
    title text not null,
    start_at integer not null,
    end_at integer not null,
    page integer,
    language text not null,
    primary key (tenant_id, document, ord),
    foreign key (tenant_id, document) references knowledge.document (tenant_id, number) on delete cascade
);
call store.protect('knowledge.node');

create table knowledge.chunk (
    tenant_id uuid not null default store.tenant(),
    id bigint generated always as identity,
    document bigint not null,
    ord integer not null,
    node integer not null,
    section text[] not null,
    page integer,
    start_at integer not null,
    end_at integer not null,
    text text not null,
    language text not null,
    words integer not null,
    length integer not null,                      -- indexed terms, headings included: BM25's document length
    primary key (tenant_id, id),
    unique (tenant_id, document, ord),
    foreign key (tenant_id, document) references knowledge.document (tenant_id, number) on delete cascade
);
call store.protect('knowledge.chunk');

-- Words. One row holds all places of one term in one document: a term is the 64-bit hash of (language,
-- stem), chunks[i] says where, counts[i] = times * 65536 + length of that chunk. Compared with a row a
-- place, the same document is written with a tenth of the rows.
create table knowledge.posting (
    tenant_id uuid not null default store.tenant(),
    term bigint not null,
    document bigint not null,
    chunks bigint[] not null,
    counts integer[] not null,
    primary key (tenant_id, term, document),
    foreign key (tenant_id, document) references knowledge.document (tenant_id, number) on delete cascade
);
create index posting_document on knowledge.posting (tenant_id, document);
call store.protect('knowledge.posting');

-- How many chunks and terms a tenant has in each language: BM25's N and mean length without a count.
create table knowledge.extent (
    tenant_id uuid not null default store.tenant(),
    language text collate "C" not null,
    chunks bigint not null,
    length bigint not null,
    primary key (tenant_id, language)
);
call store.protect('knowledge.extent');
