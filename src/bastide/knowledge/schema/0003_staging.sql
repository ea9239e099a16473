-- What lies between a hand and a document: files that a job will take in, the intakes that gather them, and what an
-- export leaves to be fetched. The bytes are blobs of the store, sealed; a row here is one use of its blob.

-- One file that waits for its job. The row goes in the transaction that writes the document.
create table knowledge.staged (
    tenant_id uuid not null default store.tenant(),
    id text collate "C" not null,
    job text collate "C" not null,
    name text not null,
    blob text not null,
    bytes bigint not null,
    subjects text[] not null,                     -- whom it is about: an erasure reaches it before it is a document
    given_up boolean not null default false,      -- its job failed: it is kept for a retry, and waits for nothing
    made_at timestamptz not null default now(),
    primary key (tenant_id, id)
);
create index staged_job on knowledge.staged (tenant_id, job);
create index staged_age on knowledge.staged (tenant_id, made_at);
call store.protect('knowledge.staged');

-- One job that gathers files until it is closed. The row goes when the job has summed up.
create table knowledge.intake (
    tenant_id uuid not null default store.tenant(),
    job text collate "C" not null,
    collection text not null,
    label jsonb not null,
    closed boolean not null default false,
    made_at timestamptz not null default now(),
    primary key (tenant_id, job)
);
call store.protect('knowledge.intake');

-- What a job made to be fetched as a file.
create table knowledge.artifact (
    tenant_id uuid not null default store.tenant(),
    job text collate "C" not null,
    name text not null,
    media_type text not null,
    blob text not null,
    bytes bigint not null,
    made_at timestamptz not null default now(),
    primary key (tenant_id, job)
);
create index artifact_age on knowledge.artifact (tenant_id, made_at);
call store.protect('knowledge.artifact');
