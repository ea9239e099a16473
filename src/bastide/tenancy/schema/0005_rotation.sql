-- A key may get another secret and stays what it is: its id, its rights, its rates. The former secret is good for a while.

alter table tenancy.key add column former_hash bytea, add column former_until timestamptz;
create index key_former_hash on tenancy.key (former_hash) where former_hash is not null;
grant select (former_hash, former_until) on tenancy.key to bastide_operator;

drop trigger tell on tenancy.key;
create trigger tell
    after update of hash, role, member, app, permissions, gateway, models, expires_at, disabled_at or delete
    on tenancy.key execute function tenancy.tell();

delete from store.definer_allowed where name = 'tenancy.authenticate(bytea)';
drop function tenancy.authenticate(bytea);
create function tenancy.authenticate(asked bytea)
    returns table (
        tenant uuid, home boolean, tenant_disabled boolean, id text, role text, member text, member_roles text[],
        member_disabled boolean, app text, app_disabled boolean, permissions text[], gateway boolean,
        expired boolean, disabled boolean, used_lately boolean, expires_at timestamptz, models text[]
    )
    language sql stable security definer
    set search_path = pg_catalog
as $$
    select k.tenant_id, t.home, t.disabled_at is not null, k.id, k.role, k.member, m.roles,
           coalesce(m.disabled_at is not null, false), k.app, coalesce(a.disabled_at is not null, false),
           k.permissions, k.gateway, coalesce(u.until <= now(), false), k.disabled_at is not null,
           coalesce(k.used_at > now() - interval '1 minute', false), u.until, k.models
    from tenancy.key k
    cross join lateral (
        select case when k.hash = asked then k.expires_at else least(k.expires_at, k.former_until) end
    ) u (until)
    join tenancy.tenant t on t.tenant_id = k.tenant_id
    left join tenancy.member m on m.tenant_id = k.tenant_id and m.id = k.member
    left join tenancy.app a on a.tenant_id = k.tenant_id and a.id = k.app
    where k.hash = asked or k.former_hash = asked
$$;
call store.lend('tenancy.authenticate(bytea)', 'a key is met before its tenant is known; answers for one hash only');
