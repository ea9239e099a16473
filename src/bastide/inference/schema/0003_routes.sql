-- Names for several models, of which the first that may and can answers.

create table inference.route (
    tenant_id uuid not null default store.tenant(),
    name text not null check (length(name) between 1 and 128),
    members text[] not null check (cardinality(members) between 1 and 32),
    ordered text not null check (ordered in ('listed', 'price', 'latency')),
    hedge_ms integer check (hedge_ms between 1 and 600000),
    created timestamptz not null default now(),
    primary key (tenant_id, name)
);

call store.protect('inference.route');
