-- Human oversight of effects (Regulation (EU) 2024/1689, Article 14). What an effect needs is known here, and a trigger
-- refuses to let one begin without it: who writes to workflows.effect by another way meets the same refusal.
-- The person who decides is read from the signed context of the transaction, so a worker, which acts in the name of
-- who dispatched the job, cannot decide in somebody else's name.

-- Which effects the job types of this house have declared. Written by the house when it first comes to one.
create table workflows.declared (
    type text not null,
    version integer not null,
    effect text not null,
    mode text not null check (mode in ('none', 'informed', 'approve', 'two_persons')),
    primary key (type, version, effect)
);
call store.share('workflows.declared', 'select', 'which effects the job types declare; nothing of any tenant');
grant select, insert, update on workflows.declared to bastide_operator;

-- What a tenant asks beyond that, for a type and an effect, or for all of them (*).
create table workflows.oversight (
    tenant_id uuid not null default store.tenant(),
    type text not null,
    effect text not null default '*',
    mode text not null check (mode in ('none', 'informed', 'approve', 'two_persons')),
    persons text[] not null default '{}',    -- user ids; empty: everybody with work:approve
    stand_ins text[] not null default '{}',
    stand_in_after_s double precision check (stand_in_after_s >= 0),
    deadline_s double precision not null check (deadline_s > 0),
    fallback text not null default 'refuse' check (fallback in ('refuse', 'cancel')),
    set_at timestamptz not null default now(),
    primary key (tenant_id, type, effect)
);
call store.protect('workflows.oversight');

create table workflows.approval (
    tenant_id uuid not null default store.tenant(),
    id text not null,
    run text not null,
    effect text not null,                    -- with its count when repeated: send, send#2
    type text not null,
    mode text not null check (mode in ('informed', 'approve', 'two_persons')),
    status text not null check (status in
        ('pending', 'approved', 'refused', 'taken_over', 'stopped', 'expired', 'withdrawn', 'informed', 'seen')),
    digest bytea not null check (length(digest) = 32),   -- of what was proposed: SHA-256 of canonical JSON
    agreed bytea not null check (length(agreed) = 32),   -- of what it has become by an edit
    proposal bytea,                          -- sealed: the arguments, and what a person is shown
    edited bytea,                            -- sealed: the arguments as a person changed them
    result bytea,                            -- sealed: what the person gave who did it themselves
    label jsonb not null,
    dispatcher text,                         -- the user, else the key, who asked for the job
    persons text[] not null,
    stand_ins text[] not null,
    stand_in_at timestamptz,
    called boolean not null default false,   -- the stand-ins were called
    deadline timestamptz not null,
    fallback text not null check (fallback in ('refuse', 'cancel')),
    asked_at timestamptz not null default clock_timestamp(),
    decided_at timestamptz,
    primary key (tenant_id, id),
    foreign key (tenant_id, run) references workflows.run on delete cascade
);
create index approval_of_run on workflows.approval (tenant_id, run, effect, asked_at desc);
create index approval_by_status on workflows.approval (tenant_id, status, id);
create index approval_due on workflows.approval (deadline) where status = 'pending';
create index approval_stopped on workflows.approval (decided_at) where status in ('stopped', 'expired');
create index approval_stand_in on workflows.approval (stand_in_at) where status = 'pending' and not called;
call store.protect('workflows.approval');
revoke update, delete on workflows.approval from bastide_app;
grant update (status, digest, agreed, proposal, edited, result, called, decided_at) on workflows.approval to bastide_app;

-- What each person said. It is never changed, but erased: then who said what, and when, is left.
create table workflows.verdict (
    tenant_id uuid not null default store.tenant(),
    approval text not null,
    n bigint not null generated always as identity,
    who text not null,                       -- a user, else a key
    verdict text not null check (verdict in ('approved', 'edited', 'refused', 'taken_over', 'stopped', 'seen')),
    digest bytea not null check (length(digest) = 32),   -- of what this person said it about
    reason bytea,                            -- sealed
    stand_in boolean not null default false,
    at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, approval, n),
    foreign key (tenant_id, approval) references workflows.approval on delete cascade
);
call store.protect('workflows.verdict');
revoke update, delete on workflows.verdict from bastide_app;
grant update (digest, reason) on workflows.verdict to bastide_app;   -- an erasure, see guard_verdict

create table workflows.effect (
    tenant_id uuid not null default store.tenant(),
    run text not null,
    name text not null,
    key uuid not null,                       -- the same at every attempt, for the other side to know it again
    status text not null check (status in ('begun', 'done', 'failed', 'unknown')),
    fence uuid not null,                     -- of the attempt that began it
    attempt integer not null default 1,      -- how often it was begun
    approval text,
    digest bytea not null check (length(digest) = 32),   -- of what it was begun with
    begun_at timestamptz not null default clock_timestamp(),
    ended_at timestamptz,
    primary key (tenant_id, run, name),
    foreign key (tenant_id, run) references workflows.run on delete cascade,
    foreign key (tenant_id, approval) references workflows.approval on delete cascade
);
call store.protect('workflows.effect');
revoke delete on workflows.effect from bastide_app;

-- The operator looks for what is due; it reads nothing that was proposed.
grant select (tenant_id, id, run, mode, status, deadline, stand_in_at, called, decided_at) on workflows.approval to bastide_operator;
create policy operator_watches on workflows.approval for select to bastide_operator using (true);

-- What an erasure leaves of a digest: no bytes have it.
create function workflows.nothing() returns bytea language sql immutable as $$ select decode(repeat('00', 32), 'hex') $$;

create function workflows.has_ended(p_run text) returns boolean language sql stable as $$
    select exists (select from workflows.run r where r.id = p_run and r.status in ('done', 'failed', 'cancelled'))
$$;

create function workflows.oversight_rank(mode text) returns integer language sql immutable as $$
    select array_position(array['none', 'informed', 'approve', 'two_persons'], mode) - 1
$$;

-- The strictest of what the type declares, in the version of the run or any later one, and what the tenant asks.
-- Null when no version has declared the effect: then it may not run at all.
create function workflows.oversight_of(p_type text, p_version integer, p_effect text) returns integer
    language sql stable as $$
    select greatest(declared.rank, (
        select max(workflows.oversight_rank(o.mode)) from workflows.oversight o
        where o.type in (p_type, '*') and o.effect in (p_effect, '*')))
    from (select max(workflows.oversight_rank(d.mode)) as rank from workflows.declared d
          where d.type = p_type and d.version >= p_version and d.effect = p_effect) declared
    where declared.rank is not null
$$;

-- An approval is asked for by a run that is at work. Who decides, until when, and what happens then is taken from the
-- run and the tenant's rules, whatever the statement says.
create function workflows.guard_approval() returns trigger language plpgsql as $$
declare
    r record;
    rule record;
    needed integer;
begin
    if tg_op = 'UPDATE' then
        if (new.digest, new.proposal) is distinct from (old.digest, old.proposal) then
            if new.proposal is null and new.digest = workflows.nothing() and new.status = old.status
               and workflows.has_ended(old.run) then
                return new;   -- an erasure
            end if;
            raise exception 'workflows.proposal_changed: approval %', old.id using errcode = 'BST09';
        end if;
        if not (old.status = 'pending' or new.status = old.status
                or old.status = 'informed' and new.status = 'seen') then
            raise exception 'workflows.already_decided: approval % is %', old.id, old.status using errcode = 'BST09';
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
    new.edited := null; new.result := null; new.decided_at := null; new.called := false;
    return new;
end
$$;
create trigger guard before insert or update on workflows.approval
    for each row execute function workflows.guard_approval();

-- Whether this person may speak here: the rules of decisions.py once more, for who comes by another way.
create function workflows.guard_verdict() returns trigger language plpgsql as $$
declare
    a record;
    acting text := split_part(current_setting('bastide.context', true), '|', 2);   -- row security has verified it
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
    if acting is distinct from (case when new.who like 'key\_%' then '-' else new.who end)
       or consents and a.dispatcher = new.who and (a.mode = 'two_persons' or a.persons <> array[new.who])
       or consents and a.mode = 'two_persons' and new.who like 'key\_%'
       or new.verdict not in ('seen', 'stopped') and a.persons <> '{}' and new.who <> all(a.persons)
          and not (new.who = any(a.stand_ins) and a.stand_in_at <= now()) then
        raise exception 'workflows.not_your_decision: approval %', new.approval using errcode = 'BST09';
    end if;
    return new;
end
$$;
create trigger guard before insert or update on workflows.verdict
    for each row execute function workflows.guard_verdict();

-- The gate. An effect begins only while its run is at work under the fence that begins it, only if it is declared, and
-- only with what its oversight asks: a notice, or enough distinct persons who said yes to exactly these arguments.
create function workflows.guard_effect() returns trigger language plpgsql as $$
declare
    r record;
    a record;
    needed integer;
    said_yes integer;
begin
    if tg_op = 'UPDATE' and (new.run, new.name, new.key) is distinct from (old.run, old.name, old.key) then
        raise exception 'workflows.approval_missing: an effect is not renamed' using errcode = 'BST09';
    end if;
    if tg_op = 'UPDATE' and new.digest = workflows.nothing() and new.status = old.status and workflows.has_ended(old.run) then
        return new;   -- an erasure
    end if;
    if new.status <> 'begun' then
        if tg_op = 'INSERT' or old.status <> 'begun' then
            raise exception 'workflows.approval_missing: an effect ends only after it began' using errcode = 'BST09';
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
    select count(distinct v.who) into said_yes from workflows.verdict v
        where v.approval = a.id and v.digest = new.digest and v.verdict in ('approved', 'edited')
          and (needed < 3 or v.who not like 'key\_%');
    if a.status is distinct from 'approved' or a.agreed <> new.digest or said_yes < needed - 1 then
        raise exception 'workflows.approval_missing: the effect % of % has no approval for these arguments',
            new.name, new.run using errcode = 'BST09';
    end if;
    return new;
end
$$;
create trigger guard before insert or update on workflows.effect
    for each row execute function workflows.guard_effect();
