-- The journal: receipts of calls that happened outside any transaction come from segments on the disk of their process.
--
-- How far a process's segments were carried is written in the transaction that carries them. So a crash between that
-- and the removal of a segment carries nothing twice.

create table audit.journal (
    owner text primary key,            -- random; the name of a process's segments
    carried bigint not null,           -- the frame that comes next
    at timestamptz not null default now()
);
call store.share('audit.journal', '', 'how far each process has carried its receipts; the application has no right on it');

grant select, insert, update, delete on audit.journal to bastide_operator;
-- By the id alone it is seen that something is there already; what is sealed stays out of sight.
grant select (tenant_id, id) on audit.payload to bastide_operator;
create policy operator_knows on audit.payload for select to bastide_operator using (true);

-- carry: events of many tenants, in their order, from the frames p_from to p_upto of a process. False: somebody has
-- carried these frames already, or the database was set back; nothing was written.
create function audit.carry(
    p_owner text, p_from bigint, p_upto bigint, p_tenants uuid[], p_ids text[], p_acts text[], p_outcomes text[],
    p_times bigint[], p_bodies text[], p_sealed bytea[],
    p_about_tenants uuid[], p_about_ids text[], p_about bytea[]
) returns boolean language plpgsql set search_path = pg_catalog as $$
declare
    whose uuid;
    free integer;
begin
    insert into audit.journal as j (owner, carried) values (p_owner, p_upto)
        on conflict (owner) do update set carried = excluded.carried, at = now() where j.carried = p_from;
    if not found then
        return false;
    end if;
    for whose in select distinct tenant from unnest(p_tenants) as tenant order by tenant loop
        for attempt in 0..31 loop
            free := (pg_backend_pid() + attempt) % 32;
            exit when pg_try_advisory_xact_lock(hashtextextended(whose::text, free));
        end loop;
        with given as (
            select * from unnest(p_tenants, p_ids, p_acts, p_outcomes, p_times, p_bodies, p_sealed)
                with ordinality as g (tenant, id, act, outcome, t, body, sealed, place)
            where tenant = whose
        ), kept as (
            insert into audit.payload (tenant_id, id, sealed) select tenant, id, sealed from given
            on conflict do nothing returning id
        ), fresh as (
            select g.*, row_number() over (order by place) as nth from given g join kept k on k.id = g.id
        ), counted as (
            insert into audit.counter as c (tenant_id, slot, producer, n)
            select whose, free, replace(gen_random_uuid()::text, '-', ''), count(*) from fresh having count(*) > 0
            on conflict (tenant_id, slot) do update set n = c.n + excluded.n
            returning c.producer, c.n
        )
        insert into audit.outbox (tenant_id, id, act, outcome, t, producer, n, body)
            select whose, f.id, f.act, f.outcome, f.t, c.producer, c.n - (select count(*) from fresh) + f.nth, f.body
            from fresh f cross join counted c order by f.nth;
    end loop;
    insert into audit.mention (tenant_id, subject, id)
        select a.tenant, a.subject, a.id from unnest(p_about_tenants, p_about_ids, p_about) as a (tenant, id, subject)
        on conflict do nothing;
    perform pg_notify('audit_outbox', '');
    return true;
end
$$;
revoke all on function audit.carry(text,bigint,bigint,uuid[],text[],text[],text[],bigint[],text[],bytea[],uuid[],text[],bytea[]) from public;
grant execute on function audit.carry(text,bigint,bigint,uuid[],text[],text[],text[],bigint[],text[],bytea[],uuid[],text[],bytea[])
    to bastide_operator;
