-- Who there is: tenants, and within each its users, apps and keys.
--
-- The application role reads its own tenant's row and cannot write it: whether a tenant is the home of the
-- platform, or disabled, is decided by the operator alone.

create table tenancy.tenant (
    tenant_id uuid primary key default store.tenant(),
    name text collate "C" not null,
    home boolean not null default false,          -- its administrators run the platform
    disabled_at timestamptz,
    created_at timestamptz not null default now()
);
call store.protect('tenancy.tenant');
revoke insert, update, delete on tenancy.tenant from bastide_app;
create policy operator_keeps on tenancy.tenant to bastide_operator using (true) with check (true);
grant select, insert, update on tenancy.tenant to bastide_operator;

create table tenancy.member (
    tenant_id uuid not null default store.tenant(),
    id text collate "C" not null,
    email text collate "C" not null,              -- lower case
    name text not null,
    roles text[] not null,
    disabled_at timestamptz,
    created_at timestamptz not null default now(),
    primary key (tenant_id, id),
    unique (tenant_id, email)
);
call store.protect('tenancy.member');

create table tenancy.app (
    tenant_id uuid not null default store.tenant(),
    id text collate "C" not null,
    name text collate "C" not null,
    disabled_at timestamptz,
    created_at timestamptz not null default now(),
    primary key (tenant_id, id),
    unique (tenant_id, name)
);
call store.protect('tenancy.app');

-- A key is 256 random bits, so a plain SHA-256 of it can be stored: there is nothing to guess slowly.
create table tenancy.key (
    tenant_id uuid not null default store.tenant(),
    id text collate "C" not null,
    hash bytea not null,
    role text not null,
    member text collate "C",
    app text collate "C",
    permissions text[],                           -- null: all that the role has
    gateway boolean not null default false,       -- the identity headers must come with every request
    expires_at timestamptz,
    disabled_at timestamptz,
    used_at timestamptz,
    created_at timestamptz not null default now(),
    primary key (tenant_id, id),
    foreign key (tenant_id, member) references tenancy.member (tenant_id, id) on delete cascade,
    foreign key (tenant_id, app) references tenancy.app (tenant_id, id) on delete cascade
);
create index key_hash on tenancy.key (hash);
call store.protect('tenancy.key');

-- A key is met before its tenant is known. This function answers for exactly one hash, which nobody can
-- name who does not hold the key, and runs as the operator, which sees these columns and no more.
create policy operator_reads on tenancy.key for select to bastide_operator using (true);
create policy operator_reads on tenancy.member for select to bastide_operator using (true);
create policy operator_reads on tenancy.app for select to bastide_operator using (true);
grant select (tenant_id, id, hash, role, member, app, permissions, gateway, expires_at, disabled_at, used_at)
    on tenancy.key to bastide_operator;
grant select (tenant_id, id, roles, disabled_at) on tenancy.member to bastide_operator;
grant select (tenant_id, id, disabled_at) on tenancy.app to bastide_operator;

create function tenancy.authenticate(asked bytea)
    returns table (
        tenant uuid, home boolean, tenant_disabled boolean, id text, role text, member text, member_roles text[],
        member_disabled boolean, app text, app_disabled boolean, permissions text[], gateway boolean,
        expired boolean, disabled boolean, used_lately boolean
    )
    language sql stable security definer
    set search_path = pg_catalog
as $$
    select k.tenant_id, t.home, t.disabled_at is not null, k.id, k.role, k.member, m.roles,
           coalesce(m.disabled_at is not null, false), k.app, coalesce(a.disabled_at is not null, false),
           k.permissions, k.gateway, coalesce(k.expires_at <= now(), false), k.disabled_at is not null,
           coalesce(k.used_at > now() - interval '1 minute', false)
    from tenancy.key k
    join tenancy.tenant t on t.tenant_id = k.tenant_id
    left join tenancy.member m on m.tenant_id = k.tenant_id and m.id = k.member
    left join tenancy.app a on a.tenant_id = k.tenant_id and a.id = k.app
    where k.hash = asked
$$;
call store.lend('tenancy.authenticate(bytea)', 'a key is met before its tenant is known; answers for one hash only');
