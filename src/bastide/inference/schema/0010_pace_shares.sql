-- How much of the rate of an endpoint each process may use in any minute. The sum of the shares is never more than the
-- rate: a share counts for a minute after its time, because its holder may have used all of it at the last moment, and
-- for ten seconds after the server has started, because its holder could not say that it is still there.

create table inference.pace_share (
    tenant_id uuid not null default store.tenant(),
    pace text collate "C" not null,                 -- a keyed hash of the server, the model and the key
    holder text collate "C" not null,               -- a process
    requests integer not null check (requests >= 0),
    wants integer not null,
    expires_at timestamptz not null,
    primary key (tenant_id, pace, holder)
);
call store.protect('inference.pace_share');

-- What a process may use of a rate from now on, of which it says that it keeps so much and wants so much. What others
-- do not leave free is asked of them (`gives`) as far as they have more than their fair part: the least that somebody
-- wants is met first, and what that leaves is divided among the others.
create function inference.share_pace(
    p_pace text, p_holder text, p_rate integer, p_keeps integer, p_wants integer, p_seconds float8, p_tell boolean
) returns table (requests integer, gives integer, others boolean)
    language plpgsql set search_path = pg_catalog
as $$
#variable_conflict use_column
declare
    mine integer;
    lent integer;
    lacking integer;
    free integer;
    fair integer := 0;
    rest integer := p_rate;
    claims integer;
    claim record;
begin
    perform pg_advisory_xact_lock(hashtextextended('inference.pace ' || store.tenant() || p_pace, 0));
    delete from inference.pace_share s where s.pace = p_pace and s.holder <> p_holder and clock_timestamp() > greatest(
        s.expires_at + interval '60 s', pg_postmaster_start_time() + interval '10 s');
    select least(coalesce(sum(s.requests) filter (where s.holder = p_holder), 0), p_keeps),
           coalesce(sum(s.requests) filter (where s.holder <> p_holder), 0),
           coalesce(sum(greatest(0, least(s.wants, p_rate) - s.requests))
                    filter (where s.holder <> p_holder and s.expires_at > clock_timestamp()), 0)
        into mine, lent, lacking from inference.pace_share s where s.pace = p_pace;
    free := p_rate - lent - mine;
    claims := 1 + (select count(*) from inference.pace_share s
        where s.pace = p_pace and s.holder <> p_holder and s.expires_at > clock_timestamp());
    for claim in
        select p_wants as wants, true as ours
        union all
        select s.wants, false from inference.pace_share s
            where s.pace = p_pace and s.holder <> p_holder and s.expires_at > clock_timestamp()
        order by wants, ours desc
    loop
        fair := least(claim.wants, rest / claims);
        exit when claim.ours;
        rest := rest - fair;
        claims := claims - 1;
    end loop;
    mine := mine + greatest(0, least(free, greatest(fair, least(1, p_wants)) - mine));
    insert into inference.pace_share as s (pace, holder, requests, wants, expires_at)
        values (p_pace, p_holder, mine, p_wants, clock_timestamp() + make_interval(secs => p_seconds))
        on conflict (tenant_id, pace, holder) do update
        set requests = excluded.requests, wants = excluded.wants, expires_at = excluded.expires_at;
    if p_tell and mine < fair then
        perform pg_notify('changed', 'inference.pace ' || store.tenant() || ' ' || p_pace);
    end if;
    return query select mine, greatest(0, least(mine - fair, greatest(lacking, -free))), lent > 0;
end
$$;
