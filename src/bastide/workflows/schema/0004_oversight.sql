-- Oversight, held against who writes to these tables with the application's own role: a run does not change what it is
-- nor whose it is, rules are not loosened from within a job, and a verdict is a person's, about what this person opened.

-- Whose name the transaction acts in; row security has verified it. '-' is nobody: a key without a user, or the house.
create function workflows.acting() returns text language sql stable as $$
    select split_part(current_setting('bastide.context', true), '|', 2)
$$;

-- -- runs ---------------------------------------------------------------------------------------------

-- Oversight is looked up by a run's type and version, and its dispatcher may not agree to it: neither changes. Nor does
-- the maker of what dispatches by itself.
create function workflows.guard_identity() returns trigger language plpgsql as $$
begin
    raise exception 'workflows.superseded: what it is, and whose, is not changed afterwards' using errcode = 'BST09';
end
$$;
create trigger identity before update of tenant_id, id, type, version, user_id, app_id, key_id, permissions, origin
    on workflows.run for each row execute function workflows.guard_identity();
create trigger identity before update of tenant_id, id, user_id, app_id, key_id, permissions
    on workflows.schedule for each row execute function workflows.guard_identity();
create trigger identity before update of tenant_id, id, user_id, app_id, key_id, permissions
    on workflows.trigger for each row execute function workflows.guard_identity();

-- Who dispatches, dispatches in their own name. A schedule or a trigger does it in its maker's, whoever sets it off.
create function workflows.guard_dispatch() returns trigger language plpgsql as $$
begin
    if new.status not in ('delayed', 'queued') or new.fence is not null or new.attempt <> 0 then
        raise exception 'workflows.superseded: a run begins by the queue' using errcode = 'BST09';
    end if;
    if coalesce(new.user_id, '-') <> workflows.acting()
       and not exists (select from workflows.trigger m where m.id = new.origin
                       and m.user_id is not distinct from new.user_id and m.key_id is not distinct from new.key_id)
       and not exists (select from workflows.schedule m where m.id = new.origin
                       and m.user_id is not distinct from new.user_id and m.key_id is not distinct from new.key_id) then
        raise exception 'workflows.not_your_decision: a job is dispatched in one''s own name' using errcode = 'BST09';
    end if;
    return new;
end
$$;
create trigger dispatch before insert on workflows.run for each row
    when (new.status not in ('delayed', 'queued') or new.fence is not null or new.attempt <> 0
          or coalesce(new.user_id, '-') is distinct from split_part(current_setting('bastide.context', true), '|', 2))
    execute function workflows.guard_dispatch();

create function workflows.guard_maker() returns trigger language plpgsql as $$
begin
    raise exception 'workflows.not_your_decision: it is made in one''s own name' using errcode = 'BST09';
end
$$;
create trigger maker before insert on workflows.schedule for each row
    when (coalesce(new.user_id, '-') is distinct from split_part(current_setting('bastide.context', true), '|', 2))
    execute function workflows.guard_maker();
create trigger maker before insert on workflows.trigger for each row
    when (coalesce(new.user_id, '-') is distinct from split_part(current_setting('bastide.context', true), '|', 2))
    execute function workflows.guard_maker();

-- Only the queue begins a run and gives it a fence. What an overseer has stopped, its own asker does not begin again.
create function workflows.guard_beginning() returns trigger language plpgsql as $$
begin
    if new.fence is not null and new.fence is distinct from old.fence
       or new.status in ('handed', 'running') and new.status <> old.status then
        raise exception 'workflows.superseded: a run begins by the queue' using errcode = 'BST09';
    end if;
    if coalesce(new.user_id, '-') = workflows.acting() and workflows.overseer_stopped(new.id) then
        raise exception 'workflows.not_your_decision: an overseer has stopped %', new.id using errcode = 'BST09';
    end if;
    return new;
end
$$;
create function workflows.overseer_stopped(p_run text) returns boolean language sql stable as $$
    select exists (select from workflows.verdict v join workflows.approval a on a.id = v.approval
                   where a.run = p_run and v.verdict = 'stopped')
$$;
create trigger beginning before update of status, fence on workflows.run for each row
    when ((new.fence is not null and new.fence is distinct from old.fence
           or new.status in ('handed', 'running') and new.status <> old.status
           or old.status in ('stopping', 'done', 'failed', 'cancelled')
              and new.status not in ('stopping', 'done', 'failed', 'cancelled'))
          and not pg_has_role(current_user, 'bastide_operator', 'member'))
    execute function workflows.guard_beginning();

revoke delete on workflows.run from bastide_app;             -- with it would go what persons said of it
revoke update, delete on workflows.moment from bastide_app;

-- -- rules --------------------------------------------------------------------------------------------

-- A job acts in the name of who asked for it, with the application's role: it must not make its own oversight looser.
-- So rules are written by the operator, for whom the room has asked whether this person may.
alter table workflows.oversight add column competence boolean not null default false;   -- only who was trained decides
revoke insert, update, delete on workflows.oversight from bastide_app;
grant select, insert, update, delete on workflows.oversight to bastide_operator;
create policy operator_rules on workflows.oversight to bastide_operator using (true) with check (true);

-- Who was trained to oversee which work, until when (Article 14(4), 26(2)). Nobody says it of themselves.
create table workflows.competence (
    tenant_id uuid not null default store.tenant(),
    user_id text not null,
    type text not null,                      -- a job type, or *
    until timestamptz not null,
    evidence bytea not null,                 -- sealed: what the training was, who gave it
    recorded_by text not null,               -- a user, else a key
    recorded_at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, user_id, type)
);
call store.protect('workflows.competence');
revoke insert, update, delete on workflows.competence from bastide_app;
grant select, insert, update, delete on workflows.competence to bastide_operator;
create policy operator_rules on workflows.competence to bastide_operator using (true) with check (true);
alter table workflows.competence add constraint not_of_oneself check (recorded_by <> user_id);

-- -- what was opened ----------------------------------------------------------------------------------

-- When a person first opened what is proposed, as it then stood. Who has not opened it cannot agree to it.
create table workflows.opening (
    tenant_id uuid not null default store.tenant(),
    approval text not null,
    who text not null,
    digest bytea not null check (length(digest) = 32),
    at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, approval, who, digest),
    foreign key (tenant_id, approval) references workflows.approval on delete cascade
);
call store.protect('workflows.opening');
revoke update on workflows.opening from bastide_app;

create function workflows.guard_opening() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' then
        if workflows.has_ended((select run from workflows.approval where id = old.approval)) then
            return old;   -- an erasure
        end if;
        raise exception 'workflows.already_decided: what was opened stays opened' using errcode = 'BST09';
    end if;
    if new.who <> workflows.acting() then
        raise exception 'workflows.not_your_decision: it was not % who opened it', new.who using errcode = 'BST09';
    end if;
    new.at := clock_timestamp();
    return new;
end
$$;
create trigger guard before insert or delete on workflows.opening
    for each row when (pg_trigger_depth() = 0) execute function workflows.guard_opening();

alter table workflows.verdict add column looked_s double precision;      -- since this person opened it; null: never
alter table workflows.approval add column competence boolean not null default false;    -- as the rules asked then
create index verdict_at on workflows.verdict (tenant_id, at);

-- -- the guards of 0002, stricter ---------------------------------------------------------------------

create or replace function workflows.guard_approval() returns trigger language plpgsql as $$
declare
    r record;
    rule record;
    needed integer;
    acting text := workflows.acting();
begin
    if tg_op = 'UPDATE' then
        if (new.digest, new.proposal) is distinct from (old.digest, old.proposal) then
            if new.proposal is null and new.edited is null and new.result is null and new.digest = workflows.nothing()
               and new.agreed = workflows.nothing() and new.status = old.status and workflows.has_ended(old.run) then
                return new;   -- an erasure
            end if;
            raise exception 'workflows.proposal_changed: approval %', old.id using errcode = 'BST09';
        end if;
        if not (old.status = 'pending' or new.status = old.status
                or old.status = 'informed' and new.status = 'seen') then
            raise exception 'workflows.already_decided: approval % is %', old.id, old.status using errcode = 'BST09';
        end if;
        -- What may run, and what a person gave, is changed by what this person said about it and by nothing else.
        if (new.agreed, new.edited) is distinct from (old.agreed, old.edited)
           and (old.status <> 'pending' or not exists (select from workflows.verdict v where v.approval = old.id
                and v.verdict = 'edited' and v.who = acting and v.digest = new.agreed))
           or new.result is distinct from old.result
           and (old.status <> 'pending' or not exists (select from workflows.verdict v where v.approval = old.id
                and v.verdict = 'taken_over' and v.who = acting)) then
            raise exception 'workflows.proposal_changed: approval %', old.id using errcode = 'BST09';
        end if;
        if new.status <> old.status and not (case new.status
            when 'approved' then (
                select count(distinct v.who) from workflows.verdict v
                where v.approval = old.id and v.digest = new.agreed and v.verdict in ('approved', 'edited')
            ) >= workflows.oversight_rank(old.mode) - 1
            when 'expired' then old.deadline <= now()
            when 'withdrawn' then true
            else exists (select from workflows.verdict v where v.approval = old.id and v.verdict = new.status)
        end) then
            raise exception 'workflows.approval_missing: nobody has said % of %', new.status, old.id
                using errcode = 'BST09';
        end if;
        return new;
    end if;
    select type, version, status, label, user_id, key_id into r from workflows.run where id = new.run;
    needed := workflows.oversight_of(r.type, r.version, split_part(new.effect, '#', 1));
    if r.status is distinct from 'running' or needed is null then
        raise exception 'workflows.approval_missing: nothing at work asks for this' using errcode = 'BST09';
    end if;
    needed := greatest(needed, workflows.oversight_rank(new.mode));
    select * into rule from workflows.oversight o
        where o.type in (r.type, '*') and o.effect in (split_part(new.effect, '#', 1), '*')
        order by workflows.oversight_rank(o.mode) desc, o.type <> '*' desc, o.effect <> '*' desc limit 1;
    new.type := r.type;
    new.mode := (array['informed', 'informed', 'approve', 'two_persons'])[needed + 1];
    new.status := case when needed < 2 then 'informed' else 'pending' end;
    new.agreed := new.digest;
    new.label := r.label;
    new.dispatcher := coalesce(r.user_id, r.key_id);
    new.persons := coalesce(rule.persons, '{}');
    new.stand_ins := coalesce(rule.stand_ins, '{}');
    new.stand_in_at := now() + make_interval(secs => rule.stand_in_after_s);
    new.deadline := now() + coalesce(make_interval(secs => rule.deadline_s), interval '7 days');
    new.fallback := coalesce(rule.fallback, 'refuse');
    new.competence := exists (select from workflows.oversight o where o.competence
        and o.type in (r.type, '*') and o.effect in (split_part(new.effect, '#', 1), '*'));
    new.edited := null; new.result := null; new.decided_at := null; new.called := false;
    new.asked_at := clock_timestamp();
    return new;
end
$$;

-- Whether this person may speak here: the rules of decisions.py once more, for who comes by another way.
create or replace function workflows.guard_verdict() returns trigger language plpgsql as $$
declare
    a record;
    acting text := workflows.acting();
    consents boolean := new.verdict in ('approved', 'edited', 'taken_over');
begin
    if tg_op = 'UPDATE' then
        if new.reason is null and new.digest = workflows.nothing()
           and workflows.has_ended((select run from workflows.approval where id = old.approval)) then
            return new;   -- an erasure
        end if;
        raise exception 'workflows.already_decided: a verdict is not changed' using errcode = 'BST09';
    end if;
    select * into a from workflows.approval where id = new.approval for update;
    if not found
       or new.verdict = 'seen' and a.status not in ('informed', 'seen')
       or new.verdict not in ('seen', 'stopped') and a.status <> 'pending'
       or a.status = 'pending' and a.deadline <= now() then
        raise exception 'workflows.already_decided: approval %', new.approval using errcode = 'BST09';
    end if;
    -- A yes is a natural person's, and the transaction acts in that person's name.
    if acting is distinct from (case when new.who like 'key\_%' then '-' else new.who end)
       or new.who = '-'
       or consents and new.who like 'key\_%'
       or consents and a.dispatcher = new.who and (a.mode = 'two_persons' or a.persons <> array[new.who])
       or new.verdict not in ('seen', 'stopped') and a.persons <> '{}' and new.who <> all(a.persons)
          and not (new.who = any(a.stand_ins) and a.stand_in_at <= now())
       or consents and a.competence and not exists (select from workflows.competence c
          where c.user_id = new.who and c.type in (a.type, '*') and c.until > now()) then
        raise exception 'workflows.not_your_decision: approval %', new.approval using errcode = 'BST09';
    end if;
    select extract(epoch from clock_timestamp() - o.at) into new.looked_s from workflows.opening o
        where o.approval = new.approval and o.who = new.who and o.digest = a.agreed;
    if consents and (new.looked_s is null or new.verdict <> 'edited' and new.digest <> a.agreed
                     or new.digest = workflows.nothing()) then
        raise exception 'workflows.proposal_changed: % has not opened what is proposed', new.who using errcode = 'BST09';
    end if;
    new.at := clock_timestamp();
    return new;
end
$$;

create or replace function workflows.guard_effect() returns trigger language plpgsql as $$
declare
    r record;
    a record;
    needed integer;
    said_yes integer;
begin
    if tg_op = 'UPDATE' and (new.run, new.name, new.key) is distinct from (old.run, old.name, old.key) then
        raise exception 'workflows.approval_missing: an effect is not renamed' using errcode = 'BST09';
    end if;
    if tg_op = 'UPDATE' and new.digest = workflows.nothing() and new.status = old.status and workflows.has_ended(old.run)
       and (new.fence, new.approval, new.attempt) is not distinct from (old.fence, old.approval, old.attempt) then
        return new;   -- an erasure
    end if;
    if new.status <> 'begun' then
        if tg_op = 'INSERT' or old.status <> 'begun' then
            raise exception 'workflows.approval_missing: an effect ends only after it began' using errcode = 'BST09';
        end if;
        if (new.fence, new.approval, new.digest, new.attempt, new.begun_at)
           is distinct from (old.fence, old.approval, old.digest, old.attempt, old.begun_at) then
            raise exception 'workflows.approval_missing: what it began with is not changed' using errcode = 'BST09';
        end if;
        return new;
    end if;
    select type, version, status, fence into r from workflows.run where id = new.run for update;
    if not found or r.status <> 'running' or r.fence is distinct from new.fence
       or exists (select from workflows.step s where s.run = new.run and s.name = new.name) then
        raise exception 'workflows.superseded: this run is not at work here' using errcode = 'BST09';
    end if;
    needed := workflows.oversight_of(r.type, r.version, split_part(new.name, '#', 1));
    if needed is null then
        raise exception 'workflows.undeclared_effect: % declares no effect %', r.type, new.name using errcode = 'BST09';
    end if;
    -- What was once asked of this effect stays asked, also where the job itself asked for more than its type.
    needed := greatest(needed, (select max(workflows.oversight_rank(p.mode)) from workflows.approval p
        where p.run = new.run and p.effect = new.name));
    if needed = 0 then
        return new;
    end if;
    select * into a from workflows.approval p where p.id = new.approval and p.run = new.run and p.effect = new.name;
    if needed = 1 and a.digest = new.digest then
        return new;
    end if;
    -- A key's yes was given before this version; one still counts where one was asked.
    select count(distinct v.who) into said_yes from workflows.verdict v
        where v.approval = a.id and v.digest = new.digest and v.verdict in ('approved', 'edited') and v.who <> '-'
          and (needed < 3 or v.who not like 'key\_%');
    if a.status is distinct from 'approved' or a.agreed <> new.digest or said_yes < needed - 1
       or new.digest = workflows.nothing() then
        raise exception 'workflows.approval_missing: the effect % of % has no approval for these arguments',
            new.name, new.run using errcode = 'BST09';
    end if;
    return new;
end
$$;
