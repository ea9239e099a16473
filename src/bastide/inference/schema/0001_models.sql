-- The models that a tenant has added. Built-in ones are not rows.

create table inference.model (
    tenant_id uuid not null default store.tenant(),
    name text not null check (length(name) between 1 and 128),
    kind text not null check (kind in ('openai')),
    capabilities text[] not null check (cardinality(capabilities) > 0),
    record text not null,           -- the provider record in `policy` that describes the endpoint
    url text not null,
    upstream text not null,         -- what the server itself calls the model
    local boolean not null,
    rank integer not null,
    sealed_key bytea,               -- under the tenant's key, about the model's name
    dimensions integer,
    added_at timestamptz not null default now(),
    primary key (tenant_id, name)
);

call store.protect('inference.model');
