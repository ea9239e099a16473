-- For which models a tenant has answers kept, and how long. Answers themselves are no rows.

create table inference.kept_answers (
    tenant_id uuid not null default store.tenant(),
    model text collate "C" not null,                -- a model's or a route's name; `*` all
    ttl_s integer not null check (ttl_s between 1 and 86400),
    forced boolean not null,                        -- also where a call leaves its answer to chance
    emptied bigint not null default 0,              -- what was kept under an earlier number is never given again
    made_by text,
    made_at timestamptz not null default now(),
    primary key (tenant_id, model)
);
call store.protect('inference.kept_answers');
