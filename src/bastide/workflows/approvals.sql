-- Oversight: what an effect needs, who said what, and the gate. The run's row is locked before the approval's, by
-- everybody, so that a decision, a stop and the effect itself come one after the other.

-- name: declare_effect
insert into workflows.declared as d (type, version, effect, mode)
values (%(type)s, %(version)s, %(effect)s, %(mode)s)
on conflict (type, version, effect) do update set mode = excluded.mode where d.mode <> excluded.mode

-- name: hold_for_effect
-- Holds the run as long as the transaction, if it is at work under this fence; with the rank of the oversight it needs.
select workflows.oversight_of(type, version, %(effect)s)
from workflows.run where id = %(run)s and fence = %(fence)s and status = 'running' for update

-- name: begin_effect
-- The trigger of the table decides whether it may.
insert into workflows.effect as e (run, name, key, status, fence, approval, digest)
values (%(run)s, %(name)s, %(key)s, 'begun', %(fence)s, %(approval)s, %(digest)s)
on conflict (tenant_id, run, name) do update
set status = 'begun', fence = excluded.fence, approval = excluded.approval, digest = excluded.digest,
    attempt = e.attempt + 1, begun_at = clock_timestamp(), ended_at = null

-- name: end_effect
-- Only by the attempt that began it last.
update workflows.effect set status = %(status)s, ended_at = clock_timestamp()
where run = %(run)s and name = %(name)s and fence = %(fence)s and status = 'begun'

-- name: effects_in_flight
select e.name from workflows.effect e join workflows.run r on r.tenant_id = e.tenant_id and r.id = e.run
where e.run = %(run)s and e.status = 'begun' and e.fence = r.fence
order by e.name

-- name: ask_approval
-- Whom, until when and what then is filled in by the trigger, from the tenant's rules.
insert into workflows.approval (id, run, effect, mode, digest, proposal, type, status, agreed, label, persons, stand_ins,
    deadline, fallback)
values (%(id)s, %(run)s, %(effect)s, %(mode)s, %(digest)s, %(proposal)s, '', 'pending', %(digest)s, '{}', '{}', '{}',
    now(), 'refuse')
returning deadline

-- name: latest_approval
-- The last that was asked for this effect. `retried`: a person had the job tried again after it was decided.
select a.id, a.run, a.effect, a.type, a.mode, a.status, a.digest, a.agreed, a.proposal, a.edited, a.result, a.label,
    a.dispatcher, a.persons, a.stand_ins, a.stand_in_at, a.deadline, a.fallback, a.asked_at, a.decided_at,
    a.deadline <= now() as late, coalesce(a.stand_in_at <= now(), false) as their_turn,
    exists (select from workflows.moment m where m.run = a.run and m.kind = 'retry' and m.at > a.decided_at) as retried
from workflows.approval a where a.run = %(run)s and a.effect = %(effect)s
order by a.asked_at desc, a.id desc limit 1

-- name: approval
select a.id, a.run, a.effect, a.type, a.mode, a.status, a.digest, a.agreed, a.proposal, a.edited, a.result, a.label,
    a.dispatcher, a.persons, a.stand_ins, a.stand_in_at, a.deadline, a.fallback, a.asked_at, a.decided_at,
    a.deadline <= now() as late, coalesce(a.stand_in_at <= now(), false) as their_turn, false as retried
from workflows.approval a where a.id = %(id)s

-- name: approvals
-- What a job that has ended still waited for is no longer pending, also before it is swept.
select a.id, a.run, a.effect, a.type, a.mode, a.status, a.digest, a.agreed, a.proposal, a.edited, a.result, a.label,
    a.dispatcher, a.persons, a.stand_ins, a.stand_in_at, a.deadline, a.fallback, a.asked_at, a.decided_at,
    a.deadline <= now() as late, coalesce(a.stand_in_at <= now(), false) as their_turn, false as retried
from workflows.approval a
where (%(status)s::text is null or a.status = %(status)s) and (%(run)s::text is null or a.run = %(run)s)
  and (%(after)s::text is null or a.id < %(after)s)
  and (a.status <> 'pending' or exists (select from workflows.run r
       where r.tenant_id = a.tenant_id and r.id = a.run and r.status not in ('stopping', 'done', 'failed', 'cancelled')))
order by a.id desc limit %(limit)s

-- name: verdicts
select approval, who, verdict, digest, at, reason, stand_in from workflows.verdict
where approval = any(%(approvals)s::text[]) order by n

-- name: add_verdict
insert into workflows.verdict (approval, who, verdict, digest, reason, stand_in)
values (%(approval)s, %(who)s, %(verdict)s, %(digest)s, %(reason)s, %(stand_in)s)

-- name: settle_approval
update workflows.approval
set status = %(status)s, agreed = %(agreed)s, edited = coalesce(%(edited)s, edited), result = coalesce(%(result)s, result),
    decided_at = case when %(status)s = 'pending' then null else clock_timestamp() end
where id = %(id)s

-- name: close_approval
update workflows.approval set status = %(status)s, decided_at = clock_timestamp()
where id = %(id)s and status = 'pending'
returning id

-- name: call_stand_ins
update workflows.approval set called = true
where id = %(id)s and status = 'pending' and not called and stand_in_at <= now() and stand_ins <> '{}'
returning run

-- name: approvals_due
-- Across tenants: past the deadline, the stand-ins' turn, the job ended without it, or a stop that was not carried out.
select a.tenant_id, a.id, a.run, case
    when a.status in ('stopped', 'expired') then 'stop'
    when r.status in ('done', 'failed', 'cancelled') then 'withdraw'
    when a.deadline <= now() then 'deadline'
    else 'stand_in' end
from workflows.approval a join workflows.run r on r.tenant_id = a.tenant_id and r.id = a.run
where a.status = 'pending' and (a.deadline <= now() or not a.called and a.stand_in_at <= now()
        or r.status in ('done', 'failed', 'cancelled'))
   or a.status in ('stopped', 'expired') and a.decided_at > now() - interval '1 day' and r.status = 'waiting' and r.waits_for = 'approval ' || a.id
limit 200

-- name: approvals_pending
select count(*) from workflows.approval where status = 'pending'

-- name: forget_approvals
-- Of runs that have ended. A digest goes too: whoever guesses the content could confirm it.
with unopened as (
    delete from workflows.opening o using workflows.approval a
    where a.tenant_id = o.tenant_id and a.id = o.approval and a.run = any(%(runs)s::text[])
)
update workflows.approval set proposal = null, edited = null, result = null, digest = workflows.nothing(),
    agreed = workflows.nothing()
where run = any(%(runs)s::text[])

-- name: forget_reasons
update workflows.verdict v set reason = null, digest = workflows.nothing()
from workflows.approval a where a.tenant_id = v.tenant_id and a.id = v.approval and a.run = any(%(runs)s::text[])

-- name: forget_digests
update workflows.effect set digest = workflows.nothing() where run = any(%(runs)s::text[])

-- name: note_opening
-- The first time that this person opened it as it stands; a key is no person.
insert into workflows.opening (approval, who, digest)
select %(id)s, %(who)s, %(digest)s where %(who)s::text like 'usr\_%%'
on conflict do nothing

-- name: consent
-- What a yes of this person lacks: how long ago they opened what now stands (null: never), and the training asked for.
select (select extract(epoch from clock_timestamp() - o.at)::float8 from workflows.opening o
        where o.approval = a.id and o.who = %(who)s and o.digest = a.agreed),
    a.competence and not exists (select from workflows.competence c
        where c.user_id = %(who)s and c.type in (a.type, '*') and c.until > now())
from workflows.approval a where a.id = %(id)s

-- name: overseer_stopped
select workflows.overseer_stopped(%(run)s)

-- The rules and the records of training are written across tenants, by the operator: a job, which has the rights of the
-- application, cannot loosen its own oversight.

-- name: set_oversight
insert into workflows.oversight (tenant_id, type, effect, mode, persons, stand_ins, stand_in_after_s, deadline_s, fallback,
    competence)
values (%(tenant)s::uuid, %(type)s, %(effect)s, %(mode)s, %(persons)s, %(stand_ins)s, %(stand_in_after_s)s, %(deadline_s)s,
    %(fallback)s, %(competence)s)
on conflict (tenant_id, type, effect) do update
set mode = excluded.mode, persons = excluded.persons, stand_ins = excluded.stand_ins, set_at = now(),
    stand_in_after_s = excluded.stand_in_after_s, deadline_s = excluded.deadline_s, fallback = excluded.fallback,
    competence = excluded.competence

-- name: oversight_rules
select type, effect, mode, persons, stand_ins, stand_in_after_s, deadline_s, fallback, competence from workflows.oversight
order by type, effect

-- name: oversight_rule
select mode from workflows.oversight where type = %(type)s and effect = %(effect)s

-- name: delete_oversight
delete from workflows.oversight where tenant_id = %(tenant)s::uuid and type = %(type)s and effect = %(effect)s

-- name: set_competence
insert into workflows.competence (tenant_id, user_id, type, until, evidence, recorded_by)
values (%(tenant)s::uuid, %(user)s, %(type)s, %(until)s, %(evidence)s, %(by)s)
on conflict (tenant_id, user_id, type) do update
set until = excluded.until, evidence = excluded.evidence, recorded_by = excluded.recorded_by,
    recorded_at = clock_timestamp()

-- name: competences
select user_id, type, until, evidence, recorded_by, recorded_at, until > now() as holds from workflows.competence
order by user_id, type

-- name: competence
select user_id from workflows.competence where user_id = %(user)s and type = %(type)s

-- name: delete_competence
delete from workflows.competence where tenant_id = %(tenant)s::uuid and user_id = %(user)s and type = %(type)s

-- name: habits
-- How overseers decided. A yes follows an opening, a no may come without one.
select v.who, count(*) filter (where v.verdict in ('approved', 'edited', 'taken_over')) as agreed,
    count(*) filter (where v.verdict in ('approved', 'edited', 'taken_over') and v.looked_s < %(hasty_s)s) as hastily,
    count(*) filter (where v.verdict = 'edited') as edited,
    count(*) filter (where v.verdict in ('refused', 'stopped')) as refused,
    percentile_cont(0.5) within group (order by v.looked_s)
        filter (where v.verdict in ('approved', 'edited', 'taken_over')) as looked_s
from workflows.verdict v
where v.at > now() - make_interval(days => %(days)s) and v.verdict <> 'seen'
group by v.who order by hastily desc, agreed desc, v.who
