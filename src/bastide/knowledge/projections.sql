-- Projections: targets, the outbox, what they hold.

-- == targets ========================================================================================

-- name: add_projection
insert into knowledge.projection (name, kind, url, record, options, sealed_key, collections, class_max, user_id, app_id,
                                  key_id, permissions, label)
values (%(name)s, %(kind)s, %(url)s, %(record)s, %(options)s, %(sealed_key)s, %(collections)s, %(class_max)s, %(user)s,
        %(app)s, %(key)s, %(permissions)s, %(label)s)

-- name: same_place
select p.name from knowledge.projection p
where p.kind = %(kind)s and p.url = %(url)s and p.options = %(options)s::jsonb

-- name: get_projection
select p.name, p.kind, p.url, p.record, p.options, p.sealed_key, p.collections, p.class_max, p.leaving
from knowledge.projection p where p.name = %(name)s

-- name: list_projections
select p.name, p.kind, p.url, p.record, p.options, p.sealed_key is not null as has_key, p.collections, p.class_max, p.leaving,
       p.made_at, p.problem,
       (select count(*) from knowledge.projection_copy c where c.projection = p.name and c.gone_at is null) as documents,
       (select coalesce(sum(c.items), 0)::bigint from knowledge.projection_copy c
        where c.projection = p.name and c.gone_at is null) as items,
       (select count(*) from knowledge.projection_change h where h.projection = p.name) as behind,
       (select coalesce(extract(epoch from now() - min(h.changed_at)), 0)::float8 from knowledge.projection_change h
        where h.projection = p.name) as oldest_s,
       (select count(*) from knowledge.projection_change h where h.projection = p.name and h.problem <> '') as refused
from knowledge.projection p where %(name)s::text is null or p.name = %(name)s
order by p.name

-- name: forget_projection
delete from knowledge.projection where name = %(name)s

-- name: projection_leaves
-- What it still has to send is not sent any more.
with gone as (delete from knowledge.projection_change where projection = %(name)s)
update knowledge.projection set leaving = true where name = %(name)s

-- name: projection_failed
update knowledge.projection
set failures = failures + 1, problem = %(problem)s,
    rests_until = now() + make_interval(secs => greatest(%(wait_s)s::float8, least(600, power(2, least(failures, 10)))))
where name = %(name)s

-- name: projection_answered
update knowledge.projection set failures = 0, problem = '', rests_until = now()
where name = %(name)s and (failures > 0 or problem <> '')

-- name: projections_to_wake
-- Across tenants, by the operator: whose target has something due, in whose name, and how much waits.
select p.tenant_id, p.name, p.kind, p.user_id, p.app_id, p.key_id, p.permissions, p.label, w.behind, w.oldest_s,
       w.due and p.rests_until <= now() and not p.leaving as due
from knowledge.projection p
cross join lateral (
    select count(*) as behind, coalesce(bool_or(c.due_at <= now()), false) as due,
           coalesce(extract(epoch from now() - min(c.changed_at)), 0)::float8 as oldest_s
    from knowledge.projection_change c where c.tenant_id = p.tenant_id and c.projection = p.name) as w
where w.behind > 0
limit %(limit)s

-- == the outbox =====================================================================================

-- name: changes_due
-- In their order; none while the target rests after a failure.
select c.subject, c.seq, c.attempts from knowledge.projection_change c
join knowledge.projection p on p.name = c.projection
where c.projection = %(name)s and c.due_at <= now() and not p.leaving
  and (%(even_resting)s or p.rests_until <= now())
order by c.seq limit %(limit)s

-- name: change_sent
-- Not where it has changed again since it was read.
delete from knowledge.projection_change where projection = %(name)s and subject = %(subject)s and seq = %(seq)s

-- name: change_failed
update knowledge.projection_change
set attempts = attempts + 1, problem = %(problem)s,
    due_at = now() + make_interval(secs => greatest(%(wait_s)s::float8, least(3600, 2 * power(3, least(attempts, 8)))))
where projection = %(name)s and subject = %(subject)s and seq = %(seq)s

-- name: note_all_changes
-- Everything that the target should hold or holds: what is the case is found out when it is sent.
with all_ as (
    select d.id from knowledge.document d
    union select c.subject from knowledge.projection_copy c where c.projection = %(name)s and c.gone_at is null
)
insert into knowledge.projection_change as h (projection, subject)
select %(name)s, a.id from all_ a order by a.id
on conflict (tenant_id, projection, subject) do update set seq = default, attempts = 0, due_at = now(), problem = ''

-- name: note_some_changes
insert into knowledge.projection_change as h (projection, subject)
select %(name)s, u.id from unnest(%(ids)s::text[]) as u(id) order by u.id
on conflict (tenant_id, projection, subject) do update set seq = default, attempts = 0, due_at = now(), problem = ''

-- name: all_before_are_over
-- Whether each transaction that could not see the target when it changed something has ended.
select p.made_in < pg_snapshot_xmin(pg_current_snapshot()) from knowledge.projection p where p.name = %(name)s

-- == copies =========================================================================================

-- name: copy_put
insert into knowledge.projection_copy as c (projection, subject, items, sent_at)
values (%(name)s, %(subject)s, %(items)s, now())
on conflict (tenant_id, projection, subject) do update
set items = excluded.items, sent_at = now(), gone_at = null, verified_at = null, why = ''

-- name: copy_taken
-- The row stays, as the proof; also of what was never there, so that nobody looks for it again.
insert into knowledge.projection_copy as c (projection, subject, items, gone_at, verified_at, why)
values (%(name)s, %(subject)s, 0, now(), now(), %(why)s)
on conflict (tenant_id, projection, subject) do update
set items = 0, gone_at = coalesce(c.gone_at, now()), verified_at = now(), why = excluded.why

-- name: forget_copies
delete from knowledge.projection_copy where projection = %(name)s and gone_at is null

-- name: old_departures
delete from knowledge.projection_copy
where projection = %(name)s and verified_at < now() - interval '400 days'

-- name: copies_held
select count(*) as documents, coalesce(sum(c.items), 0)::bigint as items
from knowledge.projection_copy c where c.projection = %(name)s and c.gone_at is null

-- name: some_copies
select c.subject, c.items from knowledge.projection_copy c
where c.projection = %(name)s and c.gone_at is null
  and not exists (select from knowledge.projection_change h where h.projection = c.projection and h.subject = c.subject)
order by md5(c.subject || %(seed)s::text) limit %(limit)s

-- name: some_departures
select c.subject from knowledge.projection_copy c
where c.projection = %(name)s and c.gone_at is not null
  and not exists (select from knowledge.projection_change h where h.projection = c.projection and h.subject = c.subject)
order by c.verified_at desc limit %(limit)s

-- name: departures
-- Documents that left a target, and those that still have to: they are no longer here, and a change waits.
select c.projection, c.subject as document, c.why, c.gone_at, c.verified_at, '' as pending
from knowledge.projection_copy c
where c.gone_at is not null and (%(documents)s::text[] is null or c.subject = any(%(documents)s))
  and not exists (select from knowledge.projection_change h where h.projection = c.projection and h.subject = c.subject)
union all
select h.projection, h.subject, 'erased', null, null,
       coalesce(nullif(h.problem, ''), nullif(p.problem, ''), 'It waits for its turn.')
from knowledge.projection_change h join knowledge.projection p on p.name = h.projection
where h.subject like 'doc\_%%' and (%(documents)s::text[] is null or h.subject = any(%(documents)s))
  and not exists (select from knowledge.document d where d.id = h.subject)
order by document, projection limit %(limit)s

-- name: copies_lacking
-- Documents that are here, of which the target has neither a copy nor a word that it must not have one, and nothing waits.
select d.id from knowledge.document d
where not exists (select from knowledge.projection_copy c where c.projection = %(name)s and c.subject = d.id)
  and not exists (select from knowledge.projection_change h where h.projection = %(name)s and h.subject = d.id)
order by d.id limit %(limit)s

-- name: copies_without
-- Copies of documents that are no longer here, and nothing waits.
select c.subject from knowledge.projection_copy c
where c.projection = %(name)s and c.gone_at is null and not exists (select from knowledge.document d where d.id = c.subject)
  and not exists (select from knowledge.projection_change h where h.projection = %(name)s and h.subject = c.subject)
order by c.subject limit %(limit)s

-- == what is sent ===================================================================================

-- name: projected_document
select d.id, d.number, d.version, d.collection, d.name, d.label, v.title, v.language,
       exists (select from knowledge.collection_member m where m.collection = d.collection) as closed
from knowledge.document d
join knowledge.document_version v on v.document = d.number and v.version = d.version
where d.id = %(id)s

-- name: projected_points
-- Of the embedder that has seen most of the document.
with own as (
    select e.model from knowledge.embedding e where e.document = %(document)s
    group by e.model order by count(*) desc, e.model limit 1
)
select e.model, c.ord, c.section, c.page, c.start_at, c.end_at, c.text, e.v::text as vector
from knowledge.chunk c
join knowledge.embedding e on e.chunk = c.id and e.model = (select model from own)
where c.document = %(document)s order by c.ord

-- name: projected_mentions
select 'ent_' || lpad(to_hex(s.key), 16, '0') as entity, min(s.type) as type, min(s.name) as name, sum(s.times)::integer as times,
       'ent_' || lpad(to_hex(coalesce(min(a.entity), s.key)), 16, '0') as same_as
from knowledge.entity_source s left join knowledge.alias a on a.key = s.key
where s.document = %(document)s group by s.key order by s.key

-- name: projected_ties
-- What the document itself does (key 0) stands in its mentions.
select 'ent_' || lpad(to_hex(r.a), 16, '0') as a, 'ent_' || lpad(to_hex(r.b), 16, '0') as b, r.type,
       max(r.weight)::float8 as weight, coalesce(min(r.valid_from)::text, '') as valid_from,
       coalesce(max(r.valid_to)::text, '') as valid_to
from knowledge.relation_source r
where r.document = %(document)s and r.a <> 0 and r.b <> 0 group by r.a, r.b, r.type order by r.a, r.b, r.type

-- name: projected_versions
select v.version from knowledge.document_version v where v.document = %(document)s order by v.version

-- name: projected_original
select v.blob from knowledge.document_version v where v.document = %(document)s and v.version = %(version)s

-- name: projected_alias
select 'ent_' || lpad(to_hex(a.entity), 16, '0') from knowledge.alias a where a.key = %(key)s
