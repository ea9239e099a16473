-- Accounts: budgets, rates and departments; slices of them; what was used.

-- name: budgets
-- Each with what was spent of it in its period; of a budget for each one (`*`), the most that anyone has spent.
select b.id, b.scope, b.subject, b.period, b.eur::float8 as eur, b.tokens, b.hard, b.contact, b.made_by, b.made_at,
    coalesce(max(p.eur), 0)::float8 as spent_eur, coalesce(max(p.tokens), 0) as spent_tokens
from inference.budget b
left join inference.pot p on p.budget = b.id and p.starts = case b.period
    when 'day' then date_trunc('day', now() at time zone 'UTC') at time zone 'UTC'
    when 'month' then date_trunc('month', now() at time zone 'UTC') at time zone 'UTC'
    else 'epoch'::timestamptz end
group by b.tenant_id, b.id
order by b.id

-- name: set_budget
insert into inference.budget (id, scope, subject, period, eur, tokens, hard, contact, made_by)
values (%(id)s, %(scope)s, %(subject)s, %(period)s, %(eur)s, %(tokens)s, %(hard)s, %(contact)s, %(made_by)s)
on conflict (tenant_id, scope, subject, period) do update
set eur = excluded.eur, tokens = excluded.tokens, hard = excluded.hard, contact = excluded.contact,
    made_by = excluded.made_by, made_at = now()
returning id

-- name: remove_budget
delete from inference.budget where id = %(id)s

-- name: rates
select id, scope, subject, requests, tokens, made_by, made_at from inference.rate order by id

-- name: set_rate
insert into inference.rate (id, scope, subject, requests, tokens, made_by)
values (%(id)s, %(scope)s, %(subject)s, %(requests)s, %(tokens)s, %(made_by)s)
on conflict (tenant_id, scope, subject) do update
set requests = excluded.requests, tokens = excluded.tokens, made_by = excluded.made_by, made_at = now()
returning id

-- name: remove_rate
delete from inference.rate where id = %(id)s

-- name: departments
select kind, subject, name from inference.department order by name, kind, subject

-- name: set_department
insert into inference.department (kind, subject, name) values (%(kind)s, %(subject)s, %(name)s)
on conflict (tenant_id, kind, subject) do update set name = excluded.name

-- name: clear_department
delete from inference.department where kind = %(kind)s and subject = %(subject)s

-- name: lend
select eur, tokens, spent_eur, spent_tokens, lent, kept from inference.lend(%(budget)s, %(whose)s,
    to_timestamp(%(starts)s), %(holder)s, %(eur)s, %(tokens)s, %(seconds)s)

-- name: keep_lease
-- The slice lasts on, less what is given back of it. No row: it has run out.
update inference.lease set eur = greatest(0, eur - %(eur)s::numeric), tokens = greatest(0, tokens - %(tokens)s),
    expires_at = clock_timestamp() + make_interval(secs => %(seconds)s)
where budget = %(budget)s and whose = %(whose)s and starts = to_timestamp(%(starts)s) and holder = %(holder)s
    and expires_at >= clock_timestamp()
returning holder

-- name: leave_leases
delete from inference.lease where holder = %(holder)s

-- name: draw
select requests, tokens, wait_s, left_requests, left_tokens from inference.draw(%(rate)s, %(whose)s, %(tokens)s)

-- name: give_back
-- What was drawn of a rate and not used; it never holds more than a minute's worth.
update inference.bucket set requests = requests + %(requests)s, tokens = tokens + %(tokens)s
where rate = %(rate)s and whose = %(whose)s

-- name: settle
select inference.settle(%(id)s, %(holder)s, %(used)s, %(drawn)s)

-- name: forget_settled
delete from inference.settled where at < now() - interval '30 days'

-- name: usage
select case %(by)s when 'app' then app when 'user' then member when 'department' then department when 'model' then model
        when 'endpoint' then endpoint when 'outcome' then outcome
        when 'day' then to_char(hour at time zone 'UTC', 'YYYY-MM-DD')
        when 'hour' then to_char(hour at time zone 'UTC', 'YYYY-MM-DD"T"HH24":00Z"') else '' end as name,
    sum(calls)::bigint as calls, sum(estimated)::bigint as estimated, sum(unpriced)::bigint as unpriced,
    sum(tokens_in)::bigint as tokens_in, sum(tokens_out)::bigint as tokens_out, sum(eur)::float8 as eur,
    bool_or(currency not in ('EUR', '')) as unconverted, sum(pictures)::bigint as pictures,
    round(sum(seconds), 3)::float8 as seconds, sum(characters)::bigint as characters
from inference.usage
where hour >= %(since)s and hour < %(until)s
    and (%(app)s::text is null or app = %(app)s) and (%(member)s::text is null or member = %(member)s)
group by 1
order by 1
limit 10000

-- name: nameless_usage
-- What a person used stays counted, without them.
insert into inference.usage as u (hour, app, member, department, model, endpoint, outcome, currency,
    calls, estimated, unpriced, tokens_in, tokens_out, eur, pictures, seconds, characters)
select hour, app, '', department, model, endpoint, outcome, currency,
    calls, estimated, unpriced, tokens_in, tokens_out, eur, pictures, seconds, characters
from inference.usage where member = %(member)s
on conflict (tenant_id, hour, app, member, department, model, endpoint, outcome, currency) do update
set calls = u.calls + excluded.calls, estimated = u.estimated + excluded.estimated,
    unpriced = u.unpriced + excluded.unpriced, tokens_in = u.tokens_in + excluded.tokens_in,
    tokens_out = u.tokens_out + excluded.tokens_out, eur = u.eur + excluded.eur,
    pictures = u.pictures + excluded.pictures, seconds = u.seconds + excluded.seconds,
    characters = u.characters + excluded.characters

-- name: forget_usage
delete from inference.usage where member = %(member)s

-- name: forget_pots
delete from inference.pot where whose = %(member)s

-- name: forget_buckets
delete from inference.bucket where whose = %(member)s

-- name: forget_budgets
delete from inference.budget where scope = 'user' and subject = %(member)s

-- name: forget_rates
delete from inference.rate where scope = 'user' and subject = %(member)s

-- name: keeps
select model, ttl_s, forced, likeness, emptied, made_by, made_at from inference.kept_answers order by model

-- name: set_keeps
insert into inference.kept_answers (model, ttl_s, forced, likeness, made_by)
values (%(model)s, %(ttl_s)s, %(forced)s, %(likeness)s, %(made_by)s)
on conflict (tenant_id, model) do update
set ttl_s = excluded.ttl_s, forced = excluded.forced, likeness = excluded.likeness, emptied = kept_answers.emptied + 1,
    made_by = excluded.made_by, made_at = now()

-- name: empty_keeps
update inference.kept_answers set emptied = emptied + 1

-- name: remove_keeps
delete from inference.kept_answers where model = %(model)s

-- name: hold_book
select inference.hold_book(%(holder)s)

-- name: leave_book
delete from inference.book_holder where holder = %(holder)s
