-- What each tenant has decided, every version of it: a receipt names a policy by its hash, years later.
create table policy.tenant_policy (
    tenant_id uuid not null default store.tenant(),
    version integer not null check (version > 0),
    content jsonb not null,
    hash text not null,
    set_at timestamptz not null default now(),
    primary key (tenant_id, version)
);
call store.protect('policy.tenant_policy');

-- Every provider record that ever governed a decision, by its hash.
create table policy.record (
    hash text primary key,
    id text not null,
    content jsonb not null,
    first_seen timestamptz not null default now()
);
call store.share('policy.record', 'select', 'provider records are facts about providers, the same for every tenant');
grant select, insert on policy.record to bastide_operator;

-- Records that a probe has contradicted (R15): nobody uses them until a person has looked.
create table policy.quarantine (
    record_id text primary key,
    found text not null,
    found_at timestamptz not null default now()
);
call store.share('policy.quarantine', 'select', 'a contradiction of a provider record concerns every tenant');
grant select, insert, update, delete on policy.quarantine to bastide_operator;
