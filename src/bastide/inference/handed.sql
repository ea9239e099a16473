-- What lies at a provider's batches.

-- name: add_handed
insert into inference.handed
    (id, batch, model, kind, url, record, upstream, local, wire, sealed_key, lines, of_label, labels, account, price)
values
    (%(id)s, %(batch)s, %(model)s, %(kind)s, %(url)s, %(record)s, %(upstream)s, %(local)s, %(wire)s, %(sealed_key)s,
    %(lines)s, %(of_label)s, %(labels)s, %(account)s, %(price)s)

-- name: handed_of_batch
select id, batch, state, model, kind, url, record, upstream, local, wire, sealed_key, lines, of_label, labels, said,
    account, price, upstream_file, upstream_batch, upstream_output, upstream_errors, handed_at, looks, tries, problem,
    coalesce(extract(epoch from clock_timestamp() - asked_at), 0)::float8 as asked_s,
    coalesce(extract(epoch from wait_until - clock_timestamp()), 0)::float8 as wait_s
from inference.handed where batch = %(batch)s and doomed_at is null order by id

-- name: handed_doomed
select id, batch, state, model, kind, url, record, upstream, local, wire, sealed_key, lines, of_label, labels, said,
    account, price, upstream_file, upstream_batch, upstream_output, upstream_errors, handed_at, looks, tries, problem,
    coalesce(extract(epoch from clock_timestamp() - asked_at), 0)::float8 as asked_s,
    coalesce(extract(epoch from wait_until - clock_timestamp()), 0)::float8 as wait_s
from inference.handed where doomed_at is not null and (%(id)s::text is null or id = %(id)s) order by id limit 100

-- name: note_handed
-- No row: it was doomed meanwhile, or it is there no more.
update inference.handed
set state = %(state)s, upstream_file = %(upstream_file)s, upstream_batch = %(upstream_batch)s,
    upstream_output = %(upstream_output)s, upstream_errors = %(upstream_errors)s,
    asked_at = case when %(asks)s then clock_timestamp() else asked_at end,
    handed_at = case when %(state)s = 'running' then coalesce(handed_at, clock_timestamp()) end,
    wait_until = clock_timestamp() + make_interval(secs => %(wait_s)s), looks = %(looks)s, tries = %(tries)s, problem = %(problem)s
where id = %(id)s and (doomed_at is not null) = %(doomed)s
returning id

-- name: fill_handed
-- Large, and so not written with what changes at every look.
update inference.handed set lines = %(lines)s, of_label = %(of_label)s, said = %(said)s
where id = %(id)s and doomed_at is null

-- name: halve_leases
-- Half of what one has reserved is from now on another's.
with left_ as (
    update inference.lease set eur = eur / 2, tokens = tokens / 2 where holder = %(holder)s
    returning budget, whose, starts, eur, tokens, expires_at
)
insert into inference.lease (budget, whose, starts, holder, eur, tokens, expires_at)
select budget, whose, starts, %(other)s, eur, tokens, expires_at from left_

-- name: batches_handed
select distinct batch from inference.handed where doomed_at is null limit 1000

-- name: doom_handed
update inference.handed set doomed_at = now(), tries = 0
where doomed_at is null and (id = %(id)s or batch = any(%(batches)s))

-- name: has_handed
select exists (select from inference.handed where batch = %(batch)s and doomed_at is null)

-- name: drop_handed
delete from inference.handed where id = %(id)s

-- name: forget_handed
-- Who paid is a person: what is settled later counts without them.
update inference.handed
set account = account || jsonb_build_object('user', '', 'pots', (
    select coalesce(jsonb_agg(pot), '[]'::jsonb) from jsonb_array_elements(account -> 'pots') as pot
    where pot ->> 1 <> %(member)s))
where account ->> 'user' = %(member)s
