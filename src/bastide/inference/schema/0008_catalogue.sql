-- What endpoints say that they offer, as it was when they were last asked.

create table inference.offer (
    tenant_id uuid not null default store.tenant(),
    record text not null,
    url text not null,
    name text not null check (length(name) between 1 and 256),
    context_tokens integer check (context_tokens > 0),
    output_tokens_max integer check (output_tokens_max > 0),
    input_price double precision check (input_price >= 0),      -- for a million tokens, in `currency`
    output_price double precision check (output_price >= 0),
    currency text not null default '',
    capabilities text[] not null default '{}',
    stands_for text not null default '',    -- of an alias: the model that it leads to
    first_seen_at timestamptz not null default now(),
    seen_at timestamptz not null default now(),
    gone_at timestamptz,                    -- when it was found to be listed no more
    primary key (tenant_id, record, url, name)
);

call store.protect('inference.offer');
