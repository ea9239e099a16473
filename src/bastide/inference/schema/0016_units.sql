-- What calls of sound and pictures used, in their own units. A settlement that was written before says nothing of them.

alter table inference.usage
    add column pictures bigint not null default 0,          -- made
    add column seconds numeric not null default 0,          -- of sound that was heard
    add column characters bigint not null default 0;        -- spoken

create or replace function inference.settle(p_id text, p_holder text, p_used jsonb, p_drawn jsonb) returns boolean
    language plpgsql set search_path = pg_catalog
as $$
declare
    one record;
begin
    insert into inference.settled (id) values (p_id) on conflict do nothing;
    if not found then
        return false;
    end if;
    insert into inference.usage as u (hour, app, member, department, model, endpoint, outcome, currency,
                                      calls, estimated, unpriced, tokens_in, tokens_out, eur,
                                      pictures, seconds, characters)
        select to_timestamp(x.hour), x.app, x.member, x.department, x.model, x.endpoint, x.outcome, x.currency,
               x.calls, x.estimated, x.unpriced, x.tokens_in, x.tokens_out, x.eur,
               coalesce(x.pictures, 0), coalesce(x.seconds, 0), coalesce(x.characters, 0)
        from jsonb_to_recordset(p_used) as x (hour float8, app text, member text, department text, model text,
            endpoint text, outcome text, currency text, calls bigint, estimated bigint, unpriced bigint,
            tokens_in bigint, tokens_out bigint, eur numeric, pictures bigint, seconds numeric, characters bigint)
        order by 1, 2, 3, 4, 5, 6, 7, 8                                  -- in one order, so that two never wait in a ring
        on conflict (tenant_id, hour, app, member, department, model, endpoint, outcome, currency) do update
        set calls = u.calls + excluded.calls, estimated = u.estimated + excluded.estimated,
            unpriced = u.unpriced + excluded.unpriced, tokens_in = u.tokens_in + excluded.tokens_in,
            tokens_out = u.tokens_out + excluded.tokens_out, eur = u.eur + excluded.eur,
            pictures = u.pictures + excluded.pictures, seconds = u.seconds + excluded.seconds,
            characters = u.characters + excluded.characters;
    for one in
        select x.budget, x.whose, to_timestamp(x.starts) as starts, x.eur, x.tokens
        from jsonb_to_recordset(p_drawn) as x (budget text, whose text, starts float8, eur numeric, tokens bigint)
        where exists (select from inference.budget b where b.id = x.budget)
        order by 1, 2, 3
    loop
        insert into inference.pot as p (budget, whose, starts, eur, tokens)
            values (one.budget, one.whose, one.starts, one.eur, one.tokens)
            on conflict (tenant_id, budget, whose, starts) do update
            set eur = p.eur + excluded.eur, tokens = p.tokens + excluded.tokens;
        update inference.lease l set eur = greatest(0, l.eur - one.eur), tokens = greatest(0, l.tokens - one.tokens)
            where l.budget = one.budget and l.whose = one.whose and l.starts = one.starts and l.holder = p_holder;
    end loop;
    return true;
end
$$;
