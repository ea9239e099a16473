-- Schedules and triggers. The tenant is supplied by row security; the turns find what is due as the operator, then act
-- within one tenant, where each statement that moves something asks once more whether it is due.

-- name: add_schedule
insert into workflows.schedule (id, name, type, input, cron, timezone, priority, catch_up, user_id, app_id, key_id,
    permissions, label, next_at)
values (%(id)s, %(name)s, %(type)s, %(input)s, %(cron)s, %(timezone)s, %(priority)s, %(catch_up)s, %(user)s, %(app)s,
    %(key)s, %(permissions)s, %(label)s, %(next_at)s)

-- name: schedules
select id, name, type, input, cron, timezone, priority, catch_up, paused, user_id, app_id, key_id, permissions, label,
    next_at, moved_at, last_at, last_job, problem_code, problem, created_at, now() as now
from workflows.schedule
where (%(one)s::text is null or id = %(one)s or name = %(one)s) and (%(after)s::text is null or id > %(after)s)
order by id limit %(limit)s

-- name: schedule_due
-- Locked, so that a second process which comes to it at the same time finds it moved.
select id, name, type, input, cron, timezone, priority, catch_up, paused, user_id, app_id, key_id, permissions, label,
    next_at, moved_at, last_at, last_job, problem_code, problem, created_at, now() as now
from workflows.schedule
where id = %(id)s and not paused and (next_at <= now() or moved_at > now() + interval '5 minutes')
for update skip locked

-- name: move_schedule
update workflows.schedule set next_at = %(next_at)s, moved_at = now(), last_at = coalesce(%(last_at)s, last_at),
    last_job = coalesce(%(job)s, last_job), problem_code = %(code)s, problem = %(problem)s
where id = %(id)s

-- name: pause_schedule
update workflows.schedule set paused = true where id = %(id)s and not paused returning id

-- name: resume_schedule
update workflows.schedule set paused = false, next_at = %(next_at)s, moved_at = now(), problem_code = null, problem = null
where id = %(id)s and paused returning id

-- name: delete_schedule
delete from workflows.schedule where id = %(id)s returning id

-- name: blot_schedule
-- What it names was erased.
update workflows.schedule set input = %(input)s, paused = true, problem_code = %(code)s, problem = %(problem)s
where id = %(id)s

-- name: forget_problem
update workflows.schedule set problem = null where id = %(id)s

-- name: time_now
select now()

-- name: schedules_due
-- Also those that were moved by a clock which has been put back since: they would be silent until it is reached again.
select tenant_id, id from workflows.schedule
where not paused and next_at <= now()
union
select tenant_id, id from workflows.schedule
where not paused and moved_at > now() + interval '5 minutes'
limit %(limit)s

-- name: add_trigger
insert into workflows.trigger (id, name, event, type, rule, priority, user_id, app_id, key_id, permissions, label, secret,
    look_at)
values (%(id)s, %(name)s, %(event)s, %(type)s, %(rule)s, %(priority)s, %(user)s, %(app)s, %(key)s, %(permissions)s,
    %(label)s, %(secret)s, case when %(event)s::text = 'metric' then now() end)

-- name: triggers
select t.id, t.name, t.event, t.type, t.rule, t.priority, t.paused, t.user_id, t.app_id, t.key_id, t.permissions, t.label,
    t.created_at, fired.at as last_at, fired.job as last_job, latest.n as firing, latest.problem_code, latest.problem
from workflows.trigger t
left join lateral (select f.at, f.job from workflows.firing f where f.trigger = t.id and f.job is not null
    order by f.n desc limit 1) fired on true
left join lateral (select f.n, f.problem_code, f.problem from workflows.firing f where f.trigger = t.id
    order by f.n desc limit 1) latest on true
where (%(one)s::text is null or t.id = %(one)s or t.name = %(one)s) and (%(after)s::text is null or t.id > %(after)s)
order by t.id limit %(limit)s

-- name: triggers_on
select id, type, rule, priority, user_id, app_id, key_id, permissions, label from workflows.trigger
where event = %(event)s and not paused order by id

-- name: pause_trigger
update workflows.trigger set paused = true where id = %(id)s and not paused returning id

-- name: resume_trigger
-- A metric is looked at afresh: what it crossed while nobody looked is not made up for.
update workflows.trigger set paused = false, crossed = null, look_at = case when event = 'metric' then now() end
where id = %(id)s and paused returning id

-- name: delete_trigger
with gone as (delete from workflows.firing where trigger = %(id)s)
delete from workflows.trigger where id = %(id)s returning id

-- name: blot_trigger
-- What it names was erased.
update workflows.trigger set rule = %(rule)s, paused = true where id = %(id)s

-- name: firing_problems
select trigger, n, problem from workflows.firing where problem is not null

-- name: forget_firing
update workflows.firing set problem = null where trigger = %(trigger)s and n = %(n)s

-- name: note_firing
insert into workflows.firing (trigger, job, problem_code, problem)
select id, %(job)s, %(code)s, %(problem)s from workflows.trigger where id = %(trigger)s

-- name: renew_secret
update workflows.trigger set old_secret = secret, old_until = now() + interval '24 hours', secret = %(secret)s
where id = %(id)s and event = 'webhook' returning old_until

-- name: webhook_tenant
select workflows.webhook(%(id)s)

-- name: webhook
select id, type, rule, priority, user_id, app_id, key_id, permissions, label, paused, secret,
    case when old_until > now() then old_secret end as old_secret, extract(epoch from now())::float8 as now_s
from workflows.trigger where id = %(id)s and event = 'webhook'

-- name: chain_of
select chain, origin from workflows.run where id = %(id)s

-- name: metrics_due
select tenant_id, id from workflows.trigger
where event = 'metric' and not paused and look_at <= now() order by look_at limit %(limit)s

-- name: metric_due
select id, type, rule, priority, user_id, app_id, key_id, permissions, label, crossed from workflows.trigger
where id = %(id)s and event = 'metric' and not paused and look_at <= now()

-- name: look_again
-- Whoever changes the row first has looked; a second process that has measured the same meanwhile finds it changed.
update workflows.trigger set crossed = %(crossed)s, look_at = now() + interval '10 seconds'
where id = %(id)s and not paused and look_at <= now() and crossed is not distinct from %(before)s::boolean
returning id

-- name: prune_firings
-- The fifty latest of each trigger stay, however old.
delete from workflows.firing f where f.at < now() - interval '1 day' and exists (
    select from workflows.firing l where l.tenant_id = f.tenant_id and l.trigger = f.trigger and l.n > f.n offset 49)

-- name: metric_jobs
select count(*) filter (where status = 'queued'),
    count(*) filter (where status = 'failed'),
    coalesce(extract(epoch from now() - min(due_at) filter (where status = 'queued')), 0)::float8
from workflows.run where status in ('queued', 'failed')

-- name: metric_approvals
select count(*) from workflows.approval where status = 'pending'
