-- name: add_tenant_key
-- Two processes may meet a new tenant at the same moment: the first key stays.
insert into store.tenant_key (wrapped, wrapped_by) values (%(wrapped)s, %(wrapped_by)s)
on conflict (tenant_id) do nothing

-- name: tenant_key
select wrapped, wrapped_by from store.tenant_key

-- name: add_key_of
insert into store.tenant_key (tenant_id, wrapped, wrapped_by) values (%(tenant)s, %(wrapped)s, %(wrapped_by)s)
on conflict do nothing

-- name: key_of
select wrapped from store.tenant_key where tenant_id = %(tenant)s

-- name: use_blobs
-- Equal bytes of one tenant lie there once; the count says how many documents hold them.
insert into store.blob as b (tenant_id, address, bytes, uses)
select (select store.tenant()), u.address, u.bytes, u.uses
from unnest(%(addresses)s::bytea[], %(bytes)s::bigint[], %(uses)s::integer[]) as u(address, bytes, uses)
on conflict (tenant_id, address) do update set uses = b.uses + excluded.uses
returning address, uses

-- name: add_blob_pieces
insert into store.blob_piece (tenant_id, address, ord, sealed)
select (select store.tenant()), u.address, u.ord, u.sealed
from unnest(%(addresses)s::bytea[], %(ords)s::integer[], %(pieces)s::bytea[]) as u(address, ord, sealed)

-- name: blob_pieces
select ord, sealed from store.blob_piece where address = %(address)s order by ord

-- name: count_blob_pieces
select count(*) from store.blob_piece where address = %(address)s

-- name: blob_pieces_from
-- Some pieces at a time: all of them need not fit into memory.
select ord, sealed from store.blob_piece where address = %(address)s and ord >= %(first)s order by ord limit %(limit)s

-- name: release_blob
update store.blob set uses = uses - 1 where address = %(address)s returning uses

-- name: drop_blob
delete from store.blob where address = %(address)s and uses <= 0

-- The catalogue linter (lint.py): each question gives the names of what breaks one rule, and should give nothing.
-- `rooms` are our PostgreSQL schemas. A tenant's table is one that has tenant_id, or that nobody declared shared.

-- name: lint_powerful_roles
-- Superusers and roles with BYPASSRLS among: this login, the application, the operator, whatever any of them may
-- become, and the owners of our tables. (A superuser is a member of everything: it is named alone.)
with ours as (
    select oid from pg_roles where rolname in (session_user, current_user, 'bastide_app', 'bastide_operator')
    union select c.relowner from pg_class c join pg_namespace n on n.oid = c.relnamespace
          where n.nspname = any(%(rooms)s) and c.relkind in ('r', 'p')
)
select distinct r.rolname::text from pg_roles r
where (r.rolsuper or r.rolbypassrls)
  and exists (select from ours join pg_roles o on o.oid = ours.oid
              where o.oid = r.oid or (not o.rolsuper and pg_has_role(o.oid, r.oid, 'member')))

-- name: lint_owning_roles
-- The application (or the login that acts as it) owns a room's table or schema, or may become its owner or the operator.
select distinct r.rolname || ' as ' || o.rolname
from pg_roles r, pg_roles o
where r.rolname in ('bastide_app', session_user, current_user) and not r.rolsuper
  and pg_has_role(r.oid, o.oid, 'member')
  and (o.rolname = 'bastide_operator'
       or o.oid in (select c.relowner from pg_class c join pg_namespace n on n.oid = c.relnamespace
                    where n.nspname = any(%(rooms)s) and c.relkind in ('r', 'p', 'v', 'm')
                    union all select nspowner from pg_namespace where nspname = any(%(rooms)s)))

-- name: lint_unprotected_tables
with tables as (
    select c.oid, format('%%I.%%I', n.nspname, c.relname) as name, c.relrowsecurity and c.relforcerowsecurity as closed,
           exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id'
                   and not a.attisdropped) as of_a_tenant,
           coalesce(pg_partition_root(c.oid), c.oid)::oid as root
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = any(%(rooms)s) and c.relkind in ('r', 'p')
)
select t.name from tables t join pg_class r on r.oid = t.root join pg_namespace n on n.oid = r.relnamespace
where not t.closed
  and (t.of_a_tenant
       or format('%%I.%%I', n.nspname, r.relname) not in (select s.name from store.shared_table s))

-- name: lint_uncovered_commands
-- A command that the application is granted on a closed table, without a permissive policy for it.
select format('%%I.%%I (%%s)', n.nspname, c.relname, act.name)
from pg_class c join pg_namespace n on n.oid = c.relnamespace,
     (values ('select', 'r'), ('insert', 'a'), ('update', 'w'), ('delete', 'd')) as act(name, command)
where n.nspname = any(%(rooms)s) and c.relkind in ('r', 'p') and c.relrowsecurity
  and has_table_privilege('bastide_app', c.oid, act.name)
  and not exists (select from pg_policy p where p.polrelid = c.oid and p.polpermissive
                  and p.polcmd::text in ('*', act.command)
                  and (0::oid = any(p.polroles) or 'bastide_app'::regrole::oid = any(p.polroles)))

-- name: lint_open_policies
-- A permissive policy that shows rows without asking first of all whose they are. Two kinds are meant to: operator_... for
-- bastide_operator alone, and owner_... for the table's owner alone; neither serves a request.
with policies as (
    select p.*, format('%%I.%%I.%%I', n.nspname, c.relname, p.polname) as name,
           '^\(+tenant_id = (\( SELECT store\.tenant\(\) AS tenant\)|store\.tenant\(\))\)( AND |$)' as asks,
           pg_get_expr(p.polqual, p.polrelid) as shows, pg_get_expr(p.polwithcheck, p.polrelid) as lets_in
    from pg_policy p join pg_class c on c.oid = p.polrelid join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = any(%(rooms)s) and p.polpermissive
      and not (starts_with(p.polname, 'operator_') and p.polroles = array['bastide_operator'::regrole::oid])
      and not (starts_with(p.polname, 'owner_') and p.polroles = array[c.relowner])
)
select name from policies
where (shows is not null and (shows !~ asks or shows ~ '\mOR\M'))
   or (lets_in is not null and (lets_in !~ asks or lets_in ~ '\mOR\M'))
   or coalesce(shows, lets_in) is null

-- name: lint_open_partitions
-- Read directly, a partition would be read past its parent.
select format('%%I.%%I', n.nspname, c.relname)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = any(%(rooms)s) and c.relispartition
  and (has_table_privilege('bastide_app', c.oid, 'select, insert, update, delete')
       or has_any_column_privilege('bastide_app', c.oid, 'select, insert, update'))

-- name: lint_bypassing_views
-- A view without security_invoker runs with its owner's rights; a materialised view keeps rows of everybody. Views over
-- views count, in whatever schema they stand.
with recursive over as (
    select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = any(%(rooms)s) and c.relkind in ('r', 'p')
      and exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped)
    union
    select w.ev_class from over
    join pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = over.oid
                    and d.classid = 'pg_rewrite'::regclass
    join pg_rewrite w on w.oid = d.objid and w.ev_class <> over.oid
)
select format('%%I.%%I', n.nspname, c.relname)
from over join pg_class c using (oid) join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'm'
   or c.relkind = 'v' and not exists (select from pg_options_to_table(c.reloptions)
                                      where option_name = 'security_invoker' and option_value::boolean)

-- name: lint_undeclared_definers
-- Functions that run with their owner's rights: ours, and others that the application may call.
select format('%%I.%%I(%%s)', n.nspname, p.proname, oidvectortypes(p.proargtypes))
from pg_proc p join pg_namespace n on n.oid = p.pronamespace
where p.prosecdef and n.nspname not in ('pg_catalog', 'information_schema')
  and (n.nspname = any(%(rooms)s)
       or has_schema_privilege('bastide_app', n.oid, 'usage') and has_function_privilege('bastide_app', p.oid, 'execute'))
  and p.oid not in (select f.oid from store.definer_allowed d
                    cross join lateral (select to_regprocedure(d.name)::oid as oid) f where f.oid is not null)

-- name: lint_unpinned_definers
-- Without a search_path of its own, such a function can be made to call somebody else's.
select format('%%I.%%I(%%s)', n.nspname, p.proname, oidvectortypes(p.proargtypes))
from pg_proc p join pg_namespace n on n.oid = p.pronamespace
where p.prosecdef and n.nspname = any(%(rooms)s)
  and not exists (select from unnest(p.proconfig) s where starts_with(s, 'search_path='))

-- name: lint_wide_grants
-- TRUNCATE empties every tenant, REFERENCES and TRIGGER look past row security; CREATE makes objects in a room.
select format('%%I.%%I (%%s)', n.nspname, c.relname, act.name)
from pg_class c join pg_namespace n on n.oid = c.relnamespace,
     (values ('truncate'), ('references'), ('trigger')) as act(name)
where n.nspname = any(%(rooms)s) and c.relkind in ('r', 'p') and has_table_privilege('bastide_app', c.oid, act.name)
union all
select format('schema %%I (create)', nspname) from pg_namespace
where (nspname = any(%(rooms)s) or nspname = 'public') and has_schema_privilege('bastide_app', oid, 'create')

-- name: lint_leakproof_functions
-- LEAKPROOF lets a function see rows before the policy has been asked.
select format('%%I.%%I(%%s)', n.nspname, p.proname, oidvectortypes(p.proargtypes))
from pg_proc p join pg_namespace n on n.oid = p.pronamespace
where p.proleakproof and (n.nspname = any(%(rooms)s) or n.nspname = 'public')
  and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')

-- name: lint_telling_keys
-- A unique key that does not begin with the tenant tells whether another tenant has a value.
select format('%%I.%%I', n.nspname, i.relname)
from pg_index x join pg_class i on i.oid = x.indexrelid join pg_namespace n on n.oid = i.relnamespace
join pg_attribute t on t.attrelid = x.indrelid and t.attname = 'tenant_id' and not t.attisdropped
where n.nspname = any(%(rooms)s) and not i.relispartition and (x.indisunique or x.indisexclusion)
  and x.indkey[0] <> t.attnum

-- name: lint_telling_references
-- Foreign keys are checked past row security: between tenants' tables they must carry the tenant.
select format('%%I.%%I.%%I', n.nspname, c.relname, k.conname)
from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace
join pg_attribute here on here.attrelid = k.conrelid and here.attname = 'tenant_id' and not here.attisdropped
join pg_attribute there on there.attrelid = k.confrelid and there.attname = 'tenant_id' and not there.attisdropped
where n.nspname = any(%(rooms)s) and k.contype = 'f' and k.conparentid = 0
  and not exists (select from generate_subscripts(k.conkey, 1) i
                  where k.conkey[i] = here.attnum and k.confkey[i] = there.attnum)

-- name: lint_versions
select current_setting('server_version_num')::integer,
       coalesce((select extversion from pg_extension where extname = 'vector'), '')
