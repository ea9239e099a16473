-- The core of durable work: dispatch, the queue, running, ending. A run's fence is the right to commit for it: each
-- statement that writes for a run names it, so that a worker that lost the run writes nothing.

-- name: add_run
-- The same key gives the run that is there; while one with the same dedup waits, that one.
select workflows.add_run(%(id)s, %(type)s, %(version)s, %(priority)s, %(due_at)s, %(deadline)s, %(parent)s, %(origin)s,
    %(chain)s, %(key)s, %(dedup)s, %(user)s, %(app)s, %(key_id)s, %(permissions)s, %(label)s, %(input)s,
    %(budget_tokens)s, %(budget_eur)s)

-- name: find_run_by_key
select id from workflows.run where type = %(type)s and key = %(key)s

-- name: find_run_by_dedup
select id from workflows.run
where type = %(type)s and dedup = %(dedup)s and status in ('delayed', 'queued', 'handed')

-- name: add_mention
insert into workflows.mention (subject, run) values (%(subject)s, %(run)s) on conflict do nothing

-- name: announce
select pg_notify('workflows', %(said)s)

-- name: queue_version
select array_agg(name) from workflows.queue_version

-- name: note_version
insert into workflows.queue_version (name) values (%(name)s) on conflict do nothing

-- name: take
select * from workflows.take(%(queues)s::varchar[], %(worker)s::bigint, %(fence)s::uuid)

-- name: load_run
select * from workflows.load_run(%(id)s)

-- name: hold
-- The row lock orders this commit and a stop: whoever comes second sees the other.
select status from workflows.run where id = %(id)s and fence = %(fence)s and status = 'running' for update

-- name: add_step
select * from workflows.add_step(%(run)s, %(fence)s, %(name)s, %(kind)s, %(output)s, %(took_ms)s)

-- name: note_progress
update workflows.run set progress_done = greatest(progress_done, %(done)s), progress_total = %(total)s, progress_note = %(note)s,
    revision = revision + 1
where id = %(id)s and fence = %(fence)s and status = 'running'
returning id

-- name: note_spent
update workflows.run set tokens_in = tokens_in + %(tokens_in)s, tokens_out = tokens_out + %(tokens_out)s, eur = eur + %(eur)s
where id = %(id)s and fence = %(fence)s
returning tokens_in + tokens_out, eur, budget_tokens, budget_eur

-- name: tighten_run
update workflows.run set label = %(label)s where id = %(id)s and fence = %(fence)s

-- name: finish
select workflows.finish(%(id)s, %(fence)s, %(output)s)

-- name: suspend_run
update workflows.run set status = 'waiting', fence = null, worker = null, waits_for = %(waits_for)s,
    wake_at = %(wake_at)s::timestamptz, revision = revision + 1
where id = %(id)s and fence = %(fence)s and status = 'running'
returning id

-- name: in_seconds
select now() + make_interval(secs => %(seconds)s)

-- name: wake_run
update workflows.run set status = 'queued', waits_for = null, wake_at = null, revision = revision + 1
where id = %(id)s and status = 'waiting' and waits_for = %(waits_for)s
returning id

-- name: give_back
-- A worker that stops gives its runs back; that is no failure.
update workflows.run set status = 'queued', fence = null, worker = null, revision = revision + 1
where id = %(id)s and fence = %(fence)s and status = 'running'
returning id

-- name: put_off
update workflows.run set status = 'delayed', fence = null, worker = null, failures = failures + %(counts)s, waits_for = 'time',
    wake_at = now() + make_interval(secs => %(pause_s)s), problem_code = %(code)s, problem = %(problem)s,
    revision = revision + 1
where id = %(id)s and fence = %(fence)s and status = 'running'
returning id

-- name: end_run
-- With a fence: by the worker that holds it. Without: by whoever decides for a run that nobody holds.
update workflows.run set status = %(status)s, fence = null, worker = null, waits_for = null, wake_at = null, ended_at = now(),
    output = %(output)s, problem_code = %(code)s, problem = %(problem)s, revision = revision + 1,
    progress_done = case when %(status)s = 'done' then progress_total else progress_done end
where id = %(id)s and status not in ('done', 'failed', 'cancelled')
  and (fence = %(fence)s::uuid and status in ('running', 'stopping') or %(fence)s::uuid is null and status <> 'running')
returning type, parent, user_id, origin, chain, label, attempt, ended_at - created_at as took

-- name: take_along
-- Parts of the same job that nobody has begun, as the run's own in everything that says what may be done for them.
with first as materialized (
    select * from workflows.run where id = %(run)s and fence = %(fence)s and status = 'running' and parent is not null
), others as (
    select r.id from first f join workflows.run r on r.parent = f.parent and r.status = 'queued' and r.attempt = 0
        and r.type = f.type and r.version = f.version and r.deadline is null and r.budget_tokens is null
        and r.budget_eur is null and octet_length(r.input) <= %(bytes)s and r.label = f.label
        and r.permissions = f.permissions and r.chain = f.chain
        and (r.user_id, r.app_id, r.key_id, r.origin) is not distinct from (f.user_id, f.app_id, f.key_id, f.origin)
    order by r.id limit %(limit)s for update of r skip locked
), taken as (
    update workflows.run r set status = 'waiting', attempt = r.attempt + 1, waits_for = %(waits_for)s,
        wake_at = now() + make_interval(secs => %(seconds)s), started_at = coalesce(r.started_at, now()),
        revision = r.revision + 1
    from others o where r.id = o.id
    returning r.id, r.attempt, r.input
), noted as (
    insert into workflows.moment (run, kind, attempt, facts)
    select id, 'taken along', attempt, jsonb_build_object('by', %(run)s::text) from taken
)
select id, input from taken

-- name: hold_along
-- Whoever stops a job and its parts comes from the other side: he is not waited for.
select id from workflows.run where id = any(%(ids)s) and status = 'waiting' and waits_for = %(waits_for)s
order by id for update skip locked

-- name: leave_behind
update workflows.run set status = 'queued', waits_for = null, wake_at = null, attempt = attempt - %(fewer)s,
    revision = revision + 1
where parent = (select parent from workflows.run where id = %(run)s) and status = 'waiting' and waits_for = %(waits_for)s
  and (%(ids)s::text[] is null or id = any(%(ids)s::text[]))

-- name: end_together
update workflows.run r set status = 'done', waits_for = null, wake_at = null, ended_at = now(), output = g.output,
    problem_code = null, problem = null, progress_done = progress_total, revision = revision + 1
from unnest(%(ids)s::text[], %(outputs)s::bytea[]) g (id, output)
where r.id = g.id and r.status = 'waiting' and r.waits_for = %(waits_for)s
returning r.id, r.type, r.parent, r.user_id, r.origin, r.chain, r.label, r.attempt, r.ended_at - r.created_at as took

-- name: wake_parent
update workflows.run p set status = 'queued', waits_for = null, wake_at = null, revision = revision + 1
where id = %(id)s and status = 'waiting' and waits_for = 'children'
  and not exists (select from workflows.run c where c.parent = p.id and c.status not in ('done', 'failed', 'cancelled'))
returning id

-- name: add_moment
insert into workflows.moment (run, kind, attempt, facts)
select id, %(kind)s, attempt, %(facts)s from workflows.run where id = %(run)s

-- name: children
select id, status, output, problem_code, problem from workflows.run where parent = %(parent)s and id = any(%(ids)s)

-- name: all_children
select id, status, output, problem_code, problem from workflows.run where parent = %(parent)s order by id

-- name: children_left
select count(*) from workflows.run where parent = %(parent)s and status not in ('done', 'failed', 'cancelled')

-- name: add_signal
insert into workflows.signal (run, name, payload, sender) values (%(run)s, %(name)s, %(payload)s, %(sender)s)
on conflict (tenant_id, run, name) do nothing
returning run

-- name: signal
select payload from workflows.signal where run = %(run)s and name = %(name)s

-- name: stop_runs
-- The run and all that it fanned out to. Nobody holds it: it is cancelled at once. A worker holds it: it is stopping
-- until the worker has let go.
with recursive family as (
    select id from workflows.run where id = %(id)s
    union all select c.id from workflows.run c join family f on c.parent = f.id
)
update workflows.run r set revision = revision + 1, waits_for = null, wake_at = null,
    status = case when status in ('running', 'stopping') then 'stopping' else 'cancelled' end,
    ended_at = case when status in ('running', 'stopping') then null else now() end
from family f where f.id = r.id and r.status not in ('done', 'failed', 'cancelled')
returning r.id, r.status, r.parent

-- name: lock_run
select status, user_id, key_id, type from workflows.run where id = %(id)s for update

-- name: held_of
select tenant_id as tenant, id, status, lost, attempt from workflows.run
where worker = %(worker)s and status in ('running', 'stopping')

-- name: retry_run
update workflows.run set status = 'queued', failures = 0, lost = 0, ended_at = null, problem = null, problem_code = null,
    output = null, deadline = case when deadline > now() then deadline end, input = coalesce(%(input)s::bytea, input),
    due_at = now(), revision = revision + 1
where id = %(id)s and status in ('failed', 'cancelled') and (input is not null or %(input)s::bytea is not null)
returning id

-- name: forget_steps
delete from workflows.step where run = %(run)s

-- name: effects_of
select (select count(*) from workflows.step where run = %(run)s and kind in ('effect', 'write'))
    + (select count(*) from workflows.effect where run = %(run)s)

-- name: jobs
select id, type, version, status, priority, due_at, wake_at, deadline, attempt, failures, waits_for, parent, origin, user_id, key_id,
    label, output, problem_code, problem, progress_done, progress_total, progress_note, tokens_in, tokens_out, eur, revision,
    created_at, started_at, ended_at,
    case when progress_total = 0 then (
        select array[count(*) filter (where c.status in ('done', 'failed', 'cancelled')), count(*)]
        from workflows.run c where c.parent = r.id) end as children
from workflows.run r
where (%(mine)s::boolean is not true or user_id is not distinct from %(user)s and key_id is not distinct from %(key)s
       or user_id = %(user)s)
  and (%(ids)s::text[] is null or id = any(%(ids)s::text[]))
  and (%(status)s::text[] is null or status = any(%(status)s::text[]))
  and (%(type)s::text is null or type = %(type)s)
  and (%(parent)s::text is null or parent = %(parent)s)
  and (%(after)s::text is null or id < %(after)s)
order by id desc limit %(limit)s

-- name: moments
select at, kind, attempt, facts from workflows.moment where run = %(run)s order by n

-- name: steps_of
select at, kind, name, attempt, took_ms from workflows.step where run = %(run)s order by at

-- name: lanes
select type, paused, concurrency, rate, rate_s from workflows.lane order by type

-- name: set_lane
insert into workflows.lane (type, paused, concurrency, rate, rate_s)
values (%(type)s, %(paused)s, %(concurrency)s, %(rate)s, %(rate_s)s)
on conflict (tenant_id, type) do update
set paused = excluded.paused, concurrency = excluded.concurrency, rate = excluded.rate, rate_s = excluded.rate_s

-- name: set_pause
insert into workflows.pause (type) values (%(type)s) on conflict do nothing

-- name: end_pause
delete from workflows.pause where type = %(type)s or %(type)s = '*'

-- name: pauses
select type from workflows.pause

-- name: workers
select w.id, w.host, w.concurrency, w.types from workflows.worker w
where w.seen_at > now() - make_interval(secs => %(stale_s)s)

-- name: at_work_of
-- How many of this tenant's runs are at work: of one type, and altogether.
select count(*) filter (where type = %(type)s), count(*) from workflows.run
where status in ('handed', 'running', 'stopping')

-- name: ahead
select count(*) from workflows.run r, (select type, priority, due_at, id from workflows.run where id = %(id)s) me
where r.status = 'queued' and r.type = me.type
  and (-r.priority, r.due_at, r.id) < (-me.priority, me.due_at, me.id)

-- name: begun_lately
select count(*) from workflows.run where type = %(type)s and handed_at > now() - make_interval(secs => %(seconds)s)

-- name: forget_subject
-- What ended runs hold about a person goes; runs that have not ended are named, to be cancelled first.
update workflows.run r set input = null, output = null, problem = null, progress_note = ''
from workflows.mention m where m.subject = %(subject)s and m.run = r.id and m.tenant_id = r.tenant_id
  and r.status in ('done', 'failed', 'cancelled')
returning r.id

-- name: runs_about
select r.id from workflows.run r join workflows.mention m on m.run = r.id and m.tenant_id = r.tenant_id
where m.subject = %(subject)s and r.status not in ('done', 'failed', 'cancelled')

-- name: forget_steps_of
delete from workflows.step where run = any(%(runs)s)

-- name: forget_signals_of
delete from workflows.signal where run = any(%(runs)s)

-- name: forget_mention
delete from workflows.mention where subject = %(subject)s and run = any(%(runs)s)

-- The feeder's and the rescuer's questions, across tenants, on scheduling columns only.

-- name: feed
select workflows.feed(%(types)s::jsonb, %(stale_s)s::float8)

-- name: wake_due
-- What is due goes on, and so do parents whose parts have all ended; how many, and in how many seconds the next is due.
with due as (
    update workflows.run set status = 'queued', waits_for = null, wake_at = null, revision = revision + 1
    where status in ('delayed', 'waiting') and wake_at <= now()
    returning 1
), whole as (
    update workflows.run p set status = 'queued', waits_for = null, wake_at = null, revision = revision + 1
    where status = 'waiting' and waits_for = 'children' and wake_at is null and not exists (
        select from workflows.run c
        where c.tenant_id = p.tenant_id and c.parent = p.id and c.status not in ('done', 'failed', 'cancelled'))
    returning 1
)
select (select count(*) from due) + (select count(*) from whole),
    (select extract(epoch from min(wake_at) - now())::float8 from workflows.run
     where status in ('delayed', 'waiting') and wake_at > now())

-- name: overdue
select tenant_id, id from workflows.run
where deadline < now() and status in ('delayed', 'queued', 'handed', 'waiting') limit 500

-- name: lost_runs
-- Held by a worker that was not heard of: dead, frozen, or cut off.
select r.tenant_id as tenant, r.id, r.status, r.lost, r.attempt from workflows.run r
where r.status in ('running', 'stopping') and not exists (
    select from workflows.worker w where w.id = r.worker and w.seen_at > now() - make_interval(secs => %(stale_s)s))
limit 500

-- name: take_over
-- The fence goes with it: whatever the old worker still does is not committed. A worker that was frozen in the middle of a
-- transaction still holds the row: it is left to the next turn, and PostgreSQL ends that session after a minute.
with taken as (
    update workflows.run set status = 'queued', fence = null, worker = null, lost = lost + 1, revision = revision + 1
    where (tenant_id, id) in (
        select tenant_id, id from workflows.run
        where tenant_id = %(tenant)s::uuid and id = %(id)s and status = 'running' and attempt = %(attempt)s
        for update skip locked)
    returning tenant_id, id, attempt
), noted as (
    insert into workflows.moment (tenant_id, run, kind, attempt) select tenant_id, id, 'taken over', attempt from taken
)
select id from taken

-- name: release
-- The same for a run that is to end: nobody holds it any more.
update workflows.run set fence = null, worker = null, status = 'stopping'
where (tenant_id, id) in (
    select tenant_id, id from workflows.run
    where tenant_id = %(tenant)s::uuid and id = %(id)s and status = %(status)s and attempt = %(attempt)s
    for update skip locked)
returning id

-- name: forget_rows
delete from procrastinate.procrastinate_jobs where args->>'run' = any(%(runs)s)

-- name: lost_rows
-- Handed over, but the queue knows nothing of it: after a restore, or an operator's hand.
update workflows.run r set status = 'queued', revision = revision + 1
where status = 'handed' and handed_at < now() - interval '30 seconds'
  and not exists (select from procrastinate.procrastinate_jobs j where j.args->>'run' = r.id and j.status = 'todo')

-- name: add_worker
insert into workflows.worker (id, host, pid, concurrency, types) values (%(id)s, %(host)s, %(pid)s, %(concurrency)s, %(types)s)
on conflict (id) do update set seen_at = now()

-- name: beat
update workflows.worker set seen_at = now() where id = %(id)s returning id

-- name: drop_worker
delete from workflows.worker where id = %(id)s

-- name: prune_workers
delete from workflows.worker where seen_at < now() - interval '1 hour'

-- name: take_duty
insert into workflows.duty as d (name, holder, until) values (%(name)s, %(holder)s, now() + make_interval(secs => %(seconds)s))
on conflict (name) do update set holder = excluded.holder, until = excluded.until
where d.holder = excluded.holder or d.until < now()
returning name

-- name: drop_duty
delete from workflows.duty where name = %(name)s and holder = %(holder)s

-- name: health
select (select count(*) from workflows.worker where seen_at > now() - make_interval(secs => %(stale_s)s)),
    (select coalesce(sum(concurrency), 0) from workflows.worker where seen_at > now() - make_interval(secs => %(stale_s)s)),
    (select count(*) from workflows.run where status = 'queued'),
    count(*) filter (where status = 'handed'), count(*) filter (where status in ('running', 'stopping')),
    (select count(*) from workflows.run where status in ('delayed', 'waiting')),
    (select count(*) from workflows.run where status = 'failed'),
    coalesce(extract(epoch from now() - (select min(due_at) from workflows.run where status = 'queued')), 0)::float8,
    count(*) filter (where status = 'stopping' and revision > 0 and started_at < now() - interval '10 minutes')
from workflows.run where status in ('handed', 'running', 'stopping')

-- name: outdated
-- Ended long ago: what it was given and gave is deleted with it; the audit log keeps that it was.
delete from workflows.run where id in (
    select id from workflows.run where ended_at < now() - make_interval(days => %(days)s) and status in ('done', 'cancelled')
    limit 5000)
