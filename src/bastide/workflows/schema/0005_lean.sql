-- What a job costs the database. Every statement on its way (dispatch, hand over, take, load, step, end) stands in a
-- function, so that its plan is made once a session and not once a job. All run with the caller's rights, under row
-- security; what concerns the queue is the operator's alone.

-- A run that was never handed over stands in fewer indexes.
drop index workflows.run_begun;
create index run_begun on workflows.run (tenant_id, type, handed_at) where handed_at is not null;

-- A row of the queue lives until it is taken, no longer: see take.
drop function workflows.leave_queue(bigint);
delete from store.definer_allowed where name = 'workflows.leave_queue(bigint)';

create function workflows.add_run(
    p_id text, p_type text, p_version integer, p_priority integer, p_due_at timestamptz, p_deadline timestamptz,
    p_parent text, p_origin text, p_chain jsonb, p_key text, p_dedup text, p_user text, p_app text, p_key_id text,
    p_permissions text[], p_label jsonb, p_input bytea, p_budget_tokens bigint, p_budget_eur float8
) returns text language plpgsql set search_path = pg_catalog set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
declare
    added text;
begin
    insert into workflows.run (id, type, version, status, priority, due_at, wake_at, deadline, parent, origin, chain, key,
        dedup, user_id, app_id, key_id, permissions, label, input, budget_tokens, budget_eur)
    values (p_id, p_type, p_version, case when p_due_at > now() then 'delayed' else 'queued' end, p_priority,
        coalesce(p_due_at, now()), case when p_due_at > now() then p_due_at end, p_deadline, p_parent, p_origin, p_chain,
        p_key, p_dedup, p_user, p_app, p_key_id, p_permissions, p_label, p_input, p_budget_tokens, p_budget_eur)
    on conflict do nothing
    returning id into added;
    return added;
end
$$;

create function workflows.load_run(p_id text) returns table (
    type text, version integer, failures integer, parent text, chain jsonb, origin text, user_id text, app_id text,
    key_id text, permissions text[], label jsonb, input bytea, left_s float8, age_s float8, steps jsonb
) language plpgsql stable set search_path = pg_catalog set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
begin
    return query select r.type, r.version, r.failures, r.parent, r.chain, r.origin, r.user_id, r.app_id, r.key_id,
        r.permissions, r.label, r.input, extract(epoch from r.deadline - now())::float8,
        extract(epoch from now() - r.created_at)::float8,
        case when r.attempt > 1 then (select jsonb_agg(jsonb_build_array(s.name, s.kind, encode(s.output, 'base64')))
            from workflows.step s where s.run = r.id) end
        from workflows.run r where r.id = p_id;
end
$$;

-- add_step: the name that was kept, or nothing when the run is no longer the caller's.
create function workflows.add_step(p_run text, p_fence uuid, p_name text, p_kind text, p_output bytea, p_took_ms float8)
    returns setof text language plpgsql set search_path = pg_catalog set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
begin
    return query insert into workflows.step (tenant_id, run, name, kind, attempt, output, took_ms)
        select r.tenant_id, r.id, p_name, p_kind, r.attempt, p_output, p_took_ms from workflows.run r
        where r.id = p_run and r.fence = p_fence and r.status = 'running' for update
        returning name;
end
$$;

-- finish: the run is done, said by the worker that holds it. Raises no_data_found when it is no longer the worker's; so
-- that whatever else its transaction holds is undone, and all of it can be said in one message.
create function workflows.finish(p_run text, p_fence uuid, p_output bytea)
    returns void language plpgsql set search_path = pg_catalog set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
begin
    update workflows.run set status = 'done', fence = null, worker = null, waits_for = null, wake_at = null,
        ended_at = now(), output = p_output, problem_code = null, problem = null, progress_done = progress_total,
        revision = revision + 1
        where id = p_run and fence = p_fence and status in ('running', 'stopping');
    if not found then
        raise no_data_found using message = 'the run is no longer ours';
    end if;
end
$$;

revoke all on function workflows.add_run(text, text, integer, integer, timestamptz, timestamptz, text, text, jsonb, text, text,
    text, text, text, text[], jsonb, bytea, bigint, float8), workflows.load_run(text),
    workflows.add_step(text, uuid, text, text, bytea, float8), workflows.finish(text, uuid, bytea) from public;
grant execute on function workflows.add_run(text, text, integer, integer, timestamptz, timestamptz, text, text, jsonb, text,
    text, text, text, text, text[], jsonb, bytea, bigint, float8), workflows.load_run(text),
    workflows.add_step(text, uuid, text, text, bytea, float8), workflows.finish(text, uuid, bytea) to bastide_app;

-- take: the next row of the queue leaves it, and the run that it names begins, in one transaction. Only a run that still
-- stands in the queue is begun; it gets a fence that nobody else has ever had. From here on the run itself says who
-- works at it; the queue need not. Each statement sees what was committed before it, so that a run handed over a moment
-- ago is not missed.
create or replace function workflows.take(p_queues varchar[], p_worker bigint, p_fence uuid)
    returns table (queue_row bigint, run_tenant uuid, run_id text, run_type text, run_version integer, run_attempt integer)
    language plpgsql set search_path = pg_catalog, procrastinate set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
declare
    taken record;
begin
    loop
        delete from procrastinate_jobs where id = (
            select j.id from procrastinate_jobs j where j.status = 'todo' and j.queue_name = any(p_queues)
            order by j.priority desc, j.id limit 1 for update skip locked)
            returning id, args into taken;
        if not found then
            return;
        end if;
        return query
            update workflows.run r
            set status = 'running', attempt = attempt + 1, fence = p_fence, worker = p_worker, waits_for = null,
                wake_at = null, started_at = coalesce(started_at, now()), revision = revision + 1
            where r.tenant_id = (taken.args->>'tenant')::uuid and r.id = taken.args->>'run' and r.status = 'handed'
            returning taken.id, r.tenant_id, r.id, r.type, r.version, r.attempt;
        if found then
            return;
        end if;
    end loop;
end
$$;

-- feed: as in 0001, where the idea is told; but a turn with nothing to hand over or no room for it ends after a look at
-- two indexes, and hands over several at a time: -1 says that work waits until more places are free. One word goes to
-- the workers, not one a row.
create or replace function workflows.feed(p_types jsonb, p_stale_s float8) returns integer language plpgsql
    set search_path = pg_catalog, procrastinate set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
declare
    capacity integer;
    room integer;
    handed_now integer;
begin
    select coalesce(sum(concurrency), 0) into capacity
        from workflows.worker where seen_at > now() - make_interval(secs => p_stale_s);
    if not exists (select from workflows.run where status = 'queued') then
        return 0;
    end if;
    -- As many again wait in the queue as are at work, so that no worker waits for the feeder.
    select 2 * capacity - count(*) into room from workflows.run where status in ('handed', 'running', 'stopping');
    if room < greatest(1, capacity / 2) then
        return -1;
    end if;
    with recursive kind as materialized (
        select * from jsonb_to_recordset(p_types)
            as t(type text, oldest integer, newest integer, per_tenant integer, overall integer, rate integer, rate_s float8)
        where type not in (select p.type from workflows.pause p)
          and not exists (select from workflows.pause p where p.type = '*')
    ), waiting_lane as (
        (select tenant_id, type, version from workflows.run where status = 'queued' order by tenant_id, type, version limit 1)
        union all
        select n.* from waiting_lane l cross join lateral (
            select r.tenant_id, r.type, r.version from workflows.run r
            where r.status = 'queued' and (r.tenant_id, r.type, r.version) > (l.tenant_id, l.type, l.version)
            order by r.tenant_id, r.type, r.version limit 1) n
    ), at_work as materialized (
        select tenant_id, type, count(*) as n from workflows.run where status in ('handed', 'running', 'stopping') group by 1, 2
    ), lane as materialized (
        select w.tenant_id, w.type, w.version,
            least(
                coalesce(own.concurrency, k.per_tenant) - coalesce((select n from at_work a
                    where a.tenant_id = w.tenant_id and a.type = w.type), 0),
                coalesce(own.rate, k.rate) - (select count(*) from workflows.run b
                    where b.tenant_id = w.tenant_id and b.type = w.type and coalesce(own.rate, k.rate) is not null
                      and b.handed_at > now() - make_interval(secs => coalesce(own.rate_s, k.rate_s)))
            ) as type_free,
            whole.concurrency - coalesce((select sum(n) from at_work a where a.tenant_id = w.tenant_id), 0) as tenant_free,
            k.overall - coalesce((select sum(n) from at_work a where a.type = w.type), 0) as overall_free
        from waiting_lane w
        join kind k on k.type = w.type and w.version between k.oldest and k.newest
        left join workflows.lane own on own.tenant_id = w.tenant_id and own.type = w.type
        left join workflows.lane whole on whole.tenant_id = w.tenant_id and whole.type = '*'
        where own.paused is not true and whole.paused is not true
    ), candidate as (
        select l.*, c.id, c.priority, c.due_at,
            row_number() over (partition by l.tenant_id, l.type order by c.priority desc, c.due_at, c.id) as of_type
        from lane l cross join lateral (
            select r.id, r.priority, r.due_at from workflows.run r
            where r.status = 'queued' and r.tenant_id = l.tenant_id and r.type = l.type and r.version = l.version
            order by r.priority desc, r.due_at, r.id limit least(room, greatest(l.type_free, 0))) c
    ), tagged as (
        select c.*, row_number() over (partition by c.tenant_id order by c.priority desc, c.due_at, c.id) as turn
        from candidate c where c.of_type <= c.type_free
    ), now_at as (
        select coalesce((select had from workflows.share where tenant_id = '00000000-0000-0000-0000-000000000000'), 0) as tag
    ), placed as (
        select t.*, greatest(coalesce(s.had, 0), now_at.tag) + t.turn - 1 as tag
        from tagged t cross join now_at left join workflows.share s on s.tenant_id = t.tenant_id
        where t.tenant_free is null or t.turn <= t.tenant_free
    ), chosen as (
        select p.*, row_number() over (partition by p.type order by p.tag, p.due_at, p.id) as of_all
        from placed p
    ), picked as materialized (
        select * from chosen where overall_free is null or of_all <= overall_free
        order by tag, due_at, id limit room
    ), handed as (
        update workflows.run r set status = 'handed', handed_at = now(), revision = revision + 1
        from picked n where r.tenant_id = n.tenant_id and r.id = n.id and r.status = 'queued'
        returning r.tenant_id, r.id, n.type, n.version, n.priority, n.tag
    ), queue_rows as (
        insert into procrastinate_jobs (queue_name, task_name, priority, args)
        select type || '@' || version, 'run', priority, jsonb_build_object('tenant', tenant_id, 'run', id)
        from handed order by tag
    ), charged as (
        insert into workflows.share as s (tenant_id, had)
        select tenant_id, max(tag) + 1 from handed group by tenant_id
        union all select '00000000-0000-0000-0000-000000000000', max(tag) from handed having count(*) > 0
        on conflict (tenant_id) do update set had = greatest(s.had, excluded.had)
    )
    select count(*) into handed_now from handed;
    if handed_now > 0 then
        perform pg_notify('procrastinate_any_queue_v1', '{"type":"job_inserted","job_id":0}');
    end if;
    return handed_now;
end
$$;
