-- Files that clients hand in to have many calls made of them, the batches of calls, and what became of each line.

create table inference.file (
    tenant_id uuid not null default store.tenant(),
    id text collate "C" not null,
    name text not null check (length(name) between 1 and 500),
    purpose text not null check (purpose in ('batch', 'batch_output')),
    bytes bigint not null check (bytes >= 0),
    blob text,                                      -- null: it consists of lines of a batch
    batch text collate "C",
    errors boolean,                                 -- of an output: the lines that failed, or those that were answered
    said jsonb not null,                            -- the label of whoever handed it in
    label jsonb not null,                           -- joined with what its content says and what was found in it
    subjects text[] not null default '{}',
    user_id text,
    app_id text,
    key_id text,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    primary key (tenant_id, id),
    check ((blob is null) = (batch is not null) and (batch is null) = (errors is null))
);
create index file_expiry on inference.file (tenant_id, expires_at);
create index file_of_batch on inference.file (tenant_id, batch);
call store.protect('inference.file');

create table inference.batch (
    tenant_id uuid not null default store.tenant(),
    id text collate "C" not null,
    job text not null,
    input_file text collate "C" not null,
    endpoint text not null,
    window_h integer not null check (window_h between 1 and 168),
    metadata jsonb,
    keep_s integer not null,                        -- how long what comes of it is kept
    said jsonb not null,
    label jsonb not null,
    subjects text[] not null default '{}',
    user_id text,
    app_id text,
    key_id text,
    status text not null default 'validating' check (status in (
        'validating', 'in_progress', 'completed', 'expired', 'cancelling', 'cancelled', 'failed')),
    total integer not null default 0,
    answered integer not null default 0,
    failed integer not null default 0,
    tokens_in bigint not null default 0,
    tokens_out bigint not null default 0,
    tokens_cached bigint not null default 0,
    tokens_thought bigint not null default 0,
    problems jsonb,
    output_file text,
    error_file text,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    begun_at timestamptz,
    cancelling_at timestamptz,
    ended_at timestamptz,
    primary key (tenant_id, id)
);
create index batch_of_file on inference.batch (tenant_id, input_file);
call store.protect('inference.batch');

create table inference.batch_line (
    tenant_id uuid not null default store.tenant(),
    batch text collate "C" not null,
    n integer not null,                             -- its number in the file, from 1
    failed boolean not null,
    bytes integer not null,                         -- as it stands in the output, with its end
    sealed bytea not null,
    primary key (tenant_id, batch, n),
    foreign key (tenant_id, batch) references inference.batch on delete cascade
);
alter table inference.batch_line alter column sealed set storage external;      -- what is sealed does not compress
call store.protect('inference.batch_line');
