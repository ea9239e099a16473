-- Accounts: what calls of models may cost, what they did cost, and the slices that processes hold of it.
--
-- A pot is what one budget has for one of those it is for, in one period. A process leases a slice of a pot and spends
-- it without asking again; what it spent comes with the next settlement. A slice whose process is silent runs out.

create table inference.budget (
    tenant_id uuid not null default store.tenant(),
    id text collate "C" not null,
    scope text not null check (scope in ('tenant', 'department', 'app', 'user', 'key', 'model')),
    subject text collate "C" not null,              -- which one; `*` each one for itself; empty for the tenant
    period text not null check (period in ('day', 'month', 'total')),
    eur numeric check (eur >= 0),
    tokens bigint check (tokens >= 0),
    hard boolean not null,                          -- false: it only warns
    contact text not null default '',               -- whom to ask when it is spent
    made_by text,
    made_at timestamptz not null default now(),
    primary key (tenant_id, id),
    unique (tenant_id, scope, subject, period),
    check (eur is not null or tokens is not null)
);
call store.protect('inference.budget');

create table inference.pot (
    tenant_id uuid not null default store.tenant(),
    budget text collate "C" not null,
    whose text collate "C" not null,
    starts timestamptz not null,
    eur numeric not null default 0,                 -- spent
    tokens bigint not null default 0,
    primary key (tenant_id, budget, whose, starts),
    foreign key (tenant_id, budget) references inference.budget (tenant_id, id) on delete cascade
);
call store.protect('inference.pot');

create table inference.lease (
    tenant_id uuid not null default store.tenant(),
    budget text collate "C" not null,
    whose text collate "C" not null,
    starts timestamptz not null,
    holder text collate "C" not null,               -- a process
    eur numeric not null,                           -- lent to it and not yet settled
    tokens bigint not null,
    expires_at timestamptz not null,
    primary key (tenant_id, budget, whose, starts, holder),
    foreign key (tenant_id, budget, whose, starts) references inference.pot on delete cascade
);
call store.protect('inference.lease');

create table inference.rate (
    tenant_id uuid not null default store.tenant(),
    id text collate "C" not null,
    scope text not null check (scope in ('tenant', 'department', 'app', 'user', 'key', 'model')),
    subject text collate "C" not null,
    requests integer check (requests > 0),          -- a minute
    tokens bigint check (tokens > 0),
    made_by text,
    made_at timestamptz not null default now(),
    primary key (tenant_id, id),
    unique (tenant_id, scope, subject),
    check (requests is not null or tokens is not null)
);
call store.protect('inference.rate');

create table inference.bucket (                     -- what of a rate is left now; it fills by the clock
    tenant_id uuid not null default store.tenant(),
    rate text collate "C" not null,
    whose text collate "C" not null,
    requests double precision not null,
    tokens double precision not null,
    filled_at timestamptz not null,
    primary key (tenant_id, rate, whose),
    foreign key (tenant_id, rate) references inference.rate (tenant_id, id) on delete cascade
);
call store.protect('inference.bucket');

create table inference.department (                 -- of which department an app or a user is
    tenant_id uuid not null default store.tenant(),
    kind text not null check (kind in ('app', 'user')),
    subject text collate "C" not null,
    name text collate "C" not null,
    primary key (tenant_id, kind, subject)
);
call store.protect('inference.department');

create table inference.usage (
    tenant_id uuid not null default store.tenant(),
    hour timestamptz not null,
    app text collate "C" not null,                  -- empty: none
    member text collate "C" not null,               -- empty: none, or erased
    department text collate "C" not null,
    model text collate "C" not null,
    endpoint text collate "C" not null,
    outcome text not null,
    currency text not null,                         -- of the price; eur is 1:1 where no rate of exchange was set
    calls bigint not null,
    estimated bigint not null,                      -- of them: tokens were estimated
    unpriced bigint not null,                       -- of them: no price was known, so eur lacks them
    tokens_in bigint not null,
    tokens_out bigint not null,
    eur numeric not null,
    primary key (tenant_id, hour, app, member, department, model, endpoint, outcome, currency)
);
call store.protect('inference.usage');

create table inference.settled (                    -- settlements that were written: none counts twice
    tenant_id uuid not null default store.tenant(),
    id text collate "C" not null,
    at timestamptz not null default now(),
    primary key (tenant_id, id)
);
create index settled_at on inference.settled (tenant_id, at);
call store.protect('inference.settled');

-- A slice of a pot: an eighth of what is left, at least what is needed (below 0: none), never more than is left. `kept` says that the
-- holder's earlier slice was still its own. No row: the budget is gone.
create function inference.lend(
    p_budget text, p_whose text, p_starts timestamptz, p_holder text, p_eur float8, p_tokens bigint, p_seconds float8
) returns table (eur float8, tokens bigint, spent_eur float8, spent_tokens bigint, lent boolean, kept boolean)
    language plpgsql set search_path = pg_catalog
as $$
#variable_conflict use_column
declare
    budget record;
    pot record;
    others record;
    slice_eur numeric := 0;
    slice_tokens bigint := 0;
    was_kept boolean;
begin
    select b.eur, b.tokens into budget from inference.budget b where b.id = p_budget;
    if not found then
        return;
    end if;
    insert into inference.pot (budget, whose, starts) values (p_budget, p_whose, p_starts) on conflict do nothing;
    select p.eur, p.tokens into pot from inference.pot p
        where p.budget = p_budget and p.whose = p_whose and p.starts = p_starts for update;
    delete from inference.lease l
        where l.budget = p_budget and l.whose = p_whose and l.starts = p_starts and l.expires_at < clock_timestamp();
    select coalesce(sum(l.eur), 0) as eur, coalesce(sum(l.tokens), 0)::bigint as tokens,
           coalesce(bool_or(l.holder = p_holder), false) as kept
        into others from inference.lease l
        where l.budget = p_budget and l.whose = p_whose and l.starts = p_starts;
    was_kept := others.kept;
    if budget.eur is not null and p_eur >= 0 then
        slice_eur := greatest(0, least(budget.eur - pot.eur - others.eur,
                                       greatest(p_eur::numeric, (budget.eur - pot.eur - others.eur) / 8)));
    end if;
    if budget.tokens is not null and p_tokens >= 0 then
        slice_tokens := greatest(0, least(budget.tokens - pot.tokens - others.tokens,
                                          greatest(p_tokens, (budget.tokens - pot.tokens - others.tokens) / 8)));
    end if;
    insert into inference.lease as l (budget, whose, starts, holder, eur, tokens, expires_at)
        values (p_budget, p_whose, p_starts, p_holder, slice_eur, slice_tokens,
                clock_timestamp() + make_interval(secs => p_seconds))
        on conflict (tenant_id, budget, whose, starts, holder) do update
        set eur = l.eur + excluded.eur, tokens = l.tokens + excluded.tokens, expires_at = excluded.expires_at;
    return query select slice_eur::float8, slice_tokens, pot.eur::float8, pot.tokens,
        others.eur > 0 or others.tokens > 0, was_kept;
end
$$;

-- A slice of a rate: a sixteenth of it, at least what is needed; where that is not there, how long to wait for it.
create function inference.draw(p_rate text, p_whose text, p_tokens bigint)
    returns table (requests integer, tokens bigint, wait_s float8)
    language plpgsql set search_path = pg_catalog
as $$
#variable_conflict use_column
declare
    rate record;
    bucket record;
    passed float8;
    has_requests float8;
    has_tokens float8;
    needs_tokens float8;
    took_requests float8 := 0;
    took_tokens float8 := 0;
    waits float8;
begin
    select r.requests::float8 as requests, r.tokens::float8 as tokens into rate
        from inference.rate r where r.id = p_rate;
    if not found then
        return;
    end if;
    insert into inference.bucket (rate, whose, requests, tokens, filled_at)
        values (p_rate, p_whose, coalesce(rate.requests, 0), coalesce(rate.tokens, 0), clock_timestamp())
        on conflict do nothing;
    select b.requests, b.tokens, b.filled_at into bucket from inference.bucket b
        where b.rate = p_rate and b.whose = p_whose for update;
    passed := greatest(0, extract(epoch from clock_timestamp() - bucket.filled_at)::float8);
    has_requests := least(rate.requests, bucket.requests + passed * rate.requests / 60);
    has_tokens := least(rate.tokens, bucket.tokens + passed * rate.tokens / 60);
    needs_tokens := least(p_tokens::float8, rate.tokens);             -- a call larger than a minute waits for a full one
    waits := greatest(coalesce((1 - has_requests) * 60 / rate.requests, 0),
                      coalesce((needs_tokens - has_tokens) * 60 / rate.tokens, 0), 0);
    if waits <= 0 then
        took_requests := coalesce(greatest(1, floor(least(has_requests, rate.requests / 16))), 0);
        took_tokens := coalesce(greatest(p_tokens::float8, floor(least(has_tokens, rate.tokens / 16))), 0);
    end if;
    update inference.bucket b set requests = coalesce(has_requests - took_requests, 0),
        tokens = coalesce(has_tokens - took_tokens, 0), filled_at = clock_timestamp()
        where b.rate = p_rate and b.whose = p_whose;
    return query select took_requests::integer, took_tokens::bigint, waits;
end
$$;

-- What a process has used since it last said so, once: false if this settlement was written before.
create function inference.settle(p_id text, p_holder text, p_used jsonb, p_drawn jsonb) returns boolean
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
                                      calls, estimated, unpriced, tokens_in, tokens_out, eur)
        select to_timestamp(x.hour), x.app, x.member, x.department, x.model, x.endpoint, x.outcome, x.currency,
               x.calls, x.estimated, x.unpriced, x.tokens_in, x.tokens_out, x.eur
        from jsonb_to_recordset(p_used) as x (hour float8, app text, member text, department text, model text,
            endpoint text, outcome text, currency text, calls bigint, estimated bigint, unpriced bigint,
            tokens_in bigint, tokens_out bigint, eur numeric)
        order by 1, 2, 3, 4, 5, 6, 7, 8                                  -- in one order, so that two never wait in a ring
        on conflict (tenant_id, hour, app, member, department, model, endpoint, outcome, currency) do update
        set calls = u.calls + excluded.calls, estimated = u.estimated + excluded.estimated,
            unpriced = u.unpriced + excluded.unpriced, tokens_in = u.tokens_in + excluded.tokens_in,
            tokens_out = u.tokens_out + excluded.tokens_out, eur = u.eur + excluded.eur;
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
