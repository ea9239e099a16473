-- What of a batch was handed over to a provider's own batches: which lines, under which decisions, and what lies there.
-- A row outlives its batch: it goes when nothing of it lies at the provider any more.

alter table inference.model drop constraint model_kind_check;
alter table inference.model add constraint model_kind_check check (kind in (
    'openai', 'vllm', 'llamacpp', 'ollama', 'ovhcloud', 'mistral', 'scaleway', 'ionos', 'stackit', 't-systems',
    'infomaniak', 'nebius', 'openrouter', 'anthropic', 'gemini', 'openai-batch', 'ovhcloud-batch'
));

create table inference.handed (
    tenant_id uuid not null default store.tenant(),
    id text collate "C" not null,
    batch text collate "C" not null,
    state text not null default 'planned'
        check (state in ('planned', 'uploading', 'uploaded', 'creating', 'running')),
    model text not null,                            -- as the tenant called it then; it and its key may be removed since
    kind text not null,
    url text not null,
    record text not null,
    upstream text not null,
    local boolean not null,
    wire text not null,                             -- in which its lines are asked there
    sealed_key bytea,
    lines integer[] not null,                       -- their numbers in our file
    of_label integer[] not null,                    -- beside each line: which of `labels` it has, from 0
    labels jsonb not null,
    said jsonb,                                     -- beside each label: the decision under which it was handed over
    account jsonb not null,                         -- who pays
    price jsonb not null,
    upstream_file text,
    upstream_batch text,
    upstream_output text,
    upstream_errors text,
    asked_at timestamptz,                           -- since when it may be there although we do not know
    handed_at timestamptz,
    looks integer not null default 0,
    tries integer not null default 0,               -- in vain, one after the other
    problem text not null default '',
    wait_until timestamptz,                         -- it is not asked for before
    doomed_at timestamptz,                          -- nobody waits for it: whatever lies there is to be deleted
    primary key (tenant_id, id)
);
create index handed_of_batch on inference.handed (tenant_id, batch);
create index handed_doomed on inference.handed (tenant_id, doomed_at) where doomed_at is not null;
call store.protect('inference.handed');

create trigger tell after update of doomed_at on inference.handed
    for each row when (new.doomed_at is not null and old.doomed_at is null) execute function inference.tell('handed');
