-- Metadata: what is said of a document beside its label, whole to be shown and as one row a value to be found.

alter table knowledge.document add column metadata jsonb not null default '{}';

create table knowledge.document_metadata (
    tenant_id uuid not null default store.tenant(),
    document bigint not null,
    key text collate "C" not null,
    word text collate "C" not null,               -- the value with a letter before it that says its type
    number double precision,                      -- where it is one
    primary key (tenant_id, key, word, document),
    foreign key (tenant_id, document) references knowledge.document (tenant_id, number) on delete cascade
);
create index document_metadata_number on knowledge.document_metadata (tenant_id, key, number) where number is not null;
create index document_metadata_document on knowledge.document_metadata (tenant_id, document);
call store.protect('knowledge.document_metadata');
call knowledge.keep_to_members('knowledge.document_metadata');
