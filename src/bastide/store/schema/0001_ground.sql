-- The ground: who may see what, decided inside the database.
--
-- A transaction carries a signed context: tenant | user | backend pid | expiry | HMAC-SHA256. The
-- function store.tenant() verifies it with a key that the application role cannot read, and every policy asks
-- that function. So neither a forgotten WHERE, nor SQL injection, nor a connection returned dirty
-- can act for another tenant: there is nobody in the session who can sign.

create table store.context_key (
    id integer primary key default 1 check (id = 1),
    ipad bytea not null,          -- key xor 0x36, 64 bytes: HMAC's inner pad (RFC 2104)
    opad bytea not null           -- key xor 0x5c
);

-- Tables that belong to no tenant, and functions that run with their owner's rights: both are
-- exceptions, so both are listed with the reason, and the linter refuses any that is not.
create table store.shared_table (name text primary key, why text not null);
create table store.definer_allowed (name text primary key, why text not null);

create function store.tenant() returns uuid
    language plpgsql stable security definer parallel safe
    set search_path = pg_catalog
as $$
declare
    context text := current_setting('bastide.context', true);
    part text[];
    pads record;
begin
    if context is null or context = '' then
        return null;
    end if;
    part := string_to_array(context, '|');
    if cardinality(part) <> 5
       or part[1] !~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
       or part[3] !~ '^[0-9]{1,10}$' or part[4] !~ '^[0-9]{1,12}$'
       or part[3]::bigint <> pg_backend_pid()
       or part[4]::bigint < extract(epoch from clock_timestamp())::bigint then
        return null;
    end if;
    select ipad, opad into pads from store.context_key where id = 1;
    if not found or part[5] <> encode(sha256(pads.opad || sha256(pads.ipad ||
            convert_to(part[1] || '|' || part[2] || '|' || part[3] || '|' || part[4], 'UTF8'))), 'hex') then
        return null;
    end if;
    return part[1]::uuid;
end
$$;
revoke all on function store.tenant() from public;
grant execute on function store.tenant() to bastide_app, bastide_operator;
insert into store.definer_allowed values
    ('store.tenant()', 'verifies the signed context with a key that the application role cannot read');

-- protect: a tenant's table, from the moment it exists. Partitions get the policy too but no grant,
-- so that a child is never read past its parent.
create procedure store.protect(name text) language plpgsql as $$
declare
    child record;
begin
    execute format('alter table %s enable row level security', name::regclass);
    execute format('alter table %s force row level security', name::regclass);
    execute format('create policy tenant_only on %s using (tenant_id = (select store.tenant())) '
                   'with check (tenant_id = (select store.tenant()))', name::regclass);
    execute format('grant select, insert, update, delete on %s to bastide_app', name::regclass);
    for child in select inhrelid::regclass::text as name from pg_inherits where inhparent = name::regclass loop
        call store.protect_partition(child.name);
    end loop;
end
$$;

create procedure store.protect_partition(name text) language plpgsql as $$
begin
    execute format('alter table %s enable row level security', name::regclass);
    execute format('alter table %s force row level security', name::regclass);
    execute format('create policy tenant_only on %s using (tenant_id = (select store.tenant())) '
                   'with check (tenant_id = (select store.tenant()))', name::regclass);
end
$$;

-- share: a table without a tenant, declared with its reason and the rights of the application.
create procedure store.share(name text, rights text, why text) language plpgsql as $$
begin
    insert into store.shared_table values (name, why);
    if rights <> '' then
        execute format('grant %s on %s to bastide_app', rights, name::regclass);
    end if;
end
$$;

-- lend: a function that must look across tenants once (an API key is met before its tenant is known).
-- It runs as bastide_operator, which sees only what an explicit policy shows it; never as the owner.
create procedure store.lend(signature text, why text) language plpgsql as $$
declare
    room text := split_part(signature, '.', 1);
begin
    execute format('grant create on schema %I to bastide_operator', room);
    execute format('alter function %s owner to bastide_operator', signature::regprocedure);
    execute format('revoke create on schema %I from bastide_operator', room);
    execute format('revoke all on function %s from public', signature::regprocedure);
    execute format('grant execute on function %s to bastide_app', signature::regprocedure);
    insert into store.definer_allowed values (signature, why);
end
$$;

call store.share('store.migration', 'select', 'which numbered files have been applied');
call store.share('store.context_key', '', 'the pads of the context key; nobody but the owner reads them');
call store.share('store.shared_table', 'select', 'the list of tables without a tenant');
call store.share('store.definer_allowed', 'select', 'the list of functions with their owner''s rights');

-- One key a tenant, wrapped by a key-encryption key that lies outside the database.
create table store.tenant_key (
    tenant_id uuid primary key default store.tenant(),
    wrapped bytea not null,
    wrapped_by text not null,
    made_at timestamptz not null default now()
);
call store.protect('store.tenant_key');

-- Blobs: compressed, encrypted, in pieces of at most a mebibyte. The address is keyed by the
-- tenant's own key, so that equal bytes of two tenants have nothing in common.
create table store.blob (
    tenant_id uuid not null default store.tenant(),
    address bytea not null,
    bytes bigint not null,
    uses integer not null default 1,
    made_at timestamptz not null default now(),
    primary key (tenant_id, address)
);
call store.protect('store.blob');

create table store.blob_piece (
    tenant_id uuid not null default store.tenant(),
    address bytea not null,
    ord integer not null,
    sealed bytea not null,
    primary key (tenant_id, address, ord),
    foreign key (tenant_id, address) references store.blob on delete cascade
);
alter table store.blob_piece alter column sealed set storage external;   -- already compressed
call store.protect('store.blob_piece');
