-- Straight into the log: what the process carries that takes the turns does not pass through the outbox.
--
-- Such calls have a slot of their own in each tenant's count. Only whoever has the turn counts in it, so that its
-- numbers stand in the log in their order whatever waits in the outbox meanwhile.

alter table audit.counter drop constraint counter_slot_check;
alter table audit.counter add constraint counter_slot_check check (slot between 0 and 32);

-- What is sealed does not compress any further.
alter table audit.payload alter column sealed set storage external;

-- enter: calls of the frames p_from to p_upto of a process become leaves, events and payloads at once, with the tiles
-- and the checkpoint that follow from them. It takes the turn itself, and says what came of it:
--
--     done      all of it is written
--     taken     somebody else has the turn
--     waits     something is in the outbox, maybe of the same process: it comes first, unless p_first says that it has
--     stale     the log does not end at p_base, or a tenant's count does not stand where p_stands says
--     carried   somebody has carried these frames already, or the database was set back
--
-- In all but the first nothing was written. `p_leaves` and `p_sealed` are cut by starts and sizes; `p_whose` says which
-- of the tenants each call is of, `p_counts` how many are each tenant's.
create function audit.enter(
    p_owner text, p_from bigint, p_upto bigint, p_base bigint, p_first boolean,
    p_tenants uuid[], p_producers text[], p_stands bigint[], p_counts bigint[],
    p_whose integer[], p_ids text[], p_acts text[], p_outcomes text[], p_times bigint[],
    p_leaves bytea, p_leaf_starts integer[], p_leaf_sizes integer[],
    p_sealed bytea, p_sealed_starts integer[], p_sealed_sizes integer[],
    p_about_tenants uuid[], p_about_ids text[], p_about bytea,
    p_levels integer[], p_ns bigint[], p_hashes bytea[], p_note text
) returns text language plpgsql set search_path = pg_catalog as $$
begin
    if not pg_try_advisory_xact_lock(7092446862314537474) then
        return 'taken';
    end if;
    if not p_first and (select seq from audit.outbox order by seq limit 1) is not null then
        return 'waits';
    end if;
    if p_base is distinct from (select max(size) from audit.checkpoint) or exists (
        select from unnest(p_tenants, p_producers, p_stands) as g (tenant, producer, n)
        left join audit.counter c on c.tenant_id = g.tenant and c.slot = 32
        where (coalesce(c.producer, g.producer), coalesce(c.n, 0)) is distinct from (g.producer, g.n)
    ) then
        return 'stale';
    end if;
    insert into audit.journal as j (owner, carried) values (p_owner, p_upto)
        on conflict (owner) do update set carried = excluded.carried, at = now() where j.carried = p_from;
    if not found then
        return 'carried';
    end if;
    insert into audit.leaf (index, body)
        select p_base + n - 1, substr(p_leaves, start, size)
        from unnest(p_leaf_starts, p_leaf_sizes) with ordinality as g (start, size, n);
    insert into audit.event (tenant_id, id, index, act, outcome, t)
        select p_tenants[whose], id, p_base + n - 1, act, outcome, t
        from unnest(p_whose, p_ids, p_acts, p_outcomes, p_times) with ordinality as g (whose, id, act, outcome, t, n);
    insert into audit.payload (tenant_id, id, sealed)
        select p_tenants[whose], id, substr(p_sealed, start, size)
        from unnest(p_whose, p_ids, p_sealed_starts, p_sealed_sizes) as g (whose, id, start, size);
    insert into audit.counter as c (tenant_id, slot, producer, n)
        select tenant, 32, producer, count
        from unnest(p_tenants, p_producers, p_counts) as g (tenant, producer, count)
        on conflict (tenant_id, slot) do update set n = c.n + excluded.n;
    if cardinality(p_about_ids) > 0 then
        insert into audit.mention (tenant_id, subject, id)
            select tenant, substr(p_about, (n * 32 - 31)::integer, 32), id
            from unnest(p_about_tenants, p_about_ids) with ordinality as g (tenant, id, n)
            on conflict do nothing;
    end if;
    insert into audit.tile (level, n, hashes) select * from unnest(p_levels, p_ns, p_hashes)
        on conflict (level, n) do update set hashes = excluded.hashes;
    insert into audit.checkpoint (size, note) values (p_base + cardinality(p_ids), p_note);
    return 'done';
end
$$;
revoke all on function audit.enter(text,bigint,bigint,bigint,boolean,uuid[],text[],bigint[],bigint[],integer[],text[],
    text[],text[],bigint[],bytea,integer[],integer[],bytea,integer[],integer[],uuid[],text[],bytea,integer[],bigint[],
    bytea[],text) from public;
grant execute on function audit.enter(text,bigint,bigint,bigint,boolean,uuid[],text[],bigint[],bigint[],integer[],text[],
    text[],text[],bigint[],bytea,integer[],integer[],bytea,integer[],integer[],uuid[],text[],bytea,integer[],bigint[],
    bytea[],text) to bastide_operator;
