-- name: authenticate
-- Runs before a tenant is known; see the function.
select * from tenancy.authenticate(%(hash)s)

-- name: touch_key
update tenancy.key set used_at = now() where id = %(id)s

-- name: serialise
-- Names of tenants are unique, which no index may hold (it would tell of neighbours): one creation at a time.
select pg_advisory_xact_lock(hashtext('tenancy.tenant'))

-- name: tenant_named
select tenant_id, name, home, disabled_at, created_at from tenancy.tenant where name = %(name)s

-- name: tenant_of
select tenant_id, name, home, disabled_at, created_at from tenancy.tenant where tenant_id = %(tenant)s

-- name: home_tenant
select tenant_id, name, home, disabled_at, created_at from tenancy.tenant where home

-- name: add_tenant
insert into tenancy.tenant (tenant_id, name, home) values (%(tenant)s, %(name)s, %(home)s)
returning tenant_id, name, home, disabled_at, created_at

-- name: tenants
select tenant_id, name, home, disabled_at, created_at from tenancy.tenant
where %(after)s::uuid is null or tenant_id > %(after)s::uuid order by tenant_id limit %(limit)s

-- name: disable_tenant
update tenancy.tenant set disabled_at = coalesce(disabled_at, now()) where tenant_id = %(tenant)s
returning tenant_id, name, home, disabled_at, created_at

-- name: add_member
insert into tenancy.member (id, email, name, roles) values (%(id)s, %(email)s, %(name)s, %(roles)s)
returning id, email, name, roles, disabled_at, created_at

-- name: member
select id, email, name, roles, disabled_at, created_at from tenancy.member where id = %(id)s or email = %(id)s

-- name: members
select id, email, name, roles, disabled_at, created_at from tenancy.member
where id > %(after)s order by id limit %(limit)s

-- name: disable_member
update tenancy.member set disabled_at = coalesce(disabled_at, now()) where id = %(id)s
returning id, email, name, roles, disabled_at, created_at

-- name: add_app
insert into tenancy.app (id, name) values (%(id)s, %(name)s) returning id, name, disabled_at, created_at

-- name: app
select id, name, disabled_at, created_at from tenancy.app where id = %(id)s or name = %(id)s

-- name: apps
select id, name, disabled_at, created_at from tenancy.app where id > %(after)s order by id limit %(limit)s

-- name: disable_app
update tenancy.app set disabled_at = coalesce(disabled_at, now()) where id = %(id)s
returning id, name, disabled_at, created_at

-- name: add_key
insert into tenancy.key (id, hash, role, member, app, permissions, gateway, models, expires_at)
values (%(id)s, %(hash)s, %(role)s, %(member)s, %(app)s, %(permissions)s, %(gateway)s, %(models)s,
        now() + %(seconds)s * interval '1 second')
returning id, role, member, app, permissions, gateway, models, expires_at, former_until, disabled_at, used_at, created_at

-- name: key
select id, role, member, app, permissions, gateway, models, expires_at, former_until, disabled_at, used_at, created_at
from tenancy.key where id = %(id)s

-- name: keys
select id, role, member, app, permissions, gateway, models, expires_at, former_until, disabled_at, used_at, created_at
from tenancy.key where id > %(after)s order by id limit %(limit)s

-- name: disable_key
update tenancy.key set disabled_at = coalesce(disabled_at, now()) where id = %(id)s
returning id, role, member, app, permissions, gateway, models, expires_at, former_until, disabled_at, used_at, created_at

-- name: bind_key
update tenancy.key set models = %(models)s::text[] where id = %(id)s
returning id, role, member, app, permissions, gateway, models, expires_at, former_until, disabled_at, used_at, created_at

-- name: rotate_key
update tenancy.key
set hash = %(hash)s, former_hash = hash, former_until = now() + %(keep)s * interval '1 second',
    expires_at = coalesce(now() + %(seconds)s * interval '1 second', expires_at)
where id = %(id)s and disabled_at is null
returning id, role, member, app, permissions, gateway, models, expires_at, former_until, disabled_at, used_at, created_at

-- name: standing
-- Whether any of those who asked for some work was disabled since, the roles that the user has now, and the models that
-- the key may name now.
select exists (select from tenancy.tenant where disabled_at is not null)
    or exists (select from tenancy.member where id = %(user)s::text and disabled_at is not null)
    or exists (select from tenancy.app where id = %(app)s::text and disabled_at is not null)
    or exists (select from tenancy.key where id = %(key)s::text and disabled_at is not null),
    exists (select from tenancy.tenant where home),
    (select roles from tenancy.member where id = %(user)s::text),
    (select models from tenancy.key where id = %(key)s::text)
