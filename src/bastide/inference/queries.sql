-- name: models
-- Best first: the order in which a model is chosen when none is named.
select m.name, m.kind, m.capabilities, m.record, m.url, m.upstream, m.local, m.rank, m.sealed_key, m.dimensions,
    m.requests_per_minute, m.pseudonymise, m.added_at,
    o.context_tokens, o.input_price, o.output_price, o.currency, o.seen_at, o.gone_at
from inference.model m
left join inference.offer o on o.record = m.record and o.url = m.url and o.name = m.upstream
order by m.rank, m.name

-- name: model
select m.name, m.kind, m.capabilities, m.record, m.url, m.upstream, m.local, m.rank, m.sealed_key, m.dimensions,
    m.requests_per_minute, m.pseudonymise, m.added_at,
    o.context_tokens, o.input_price, o.output_price, o.currency, o.seen_at, o.gone_at
from inference.model m
left join inference.offer o on o.record = m.record and o.url = m.url and o.name = m.upstream
where m.name = %(name)s

-- name: add_model
insert into inference.model
    (name, kind, capabilities, record, url, upstream, local, rank, sealed_key, requests_per_minute,
    pseudonymise)
values
    (%(name)s, %(kind)s, %(capabilities)s, %(record)s, %(url)s, %(upstream)s, %(local)s, %(rank)s, %(sealed_key)s,
    %(requests_per_minute)s, %(pseudonymise)s)
returning added_at

-- name: remove_model
delete from inference.model where name = %(name)s

-- name: routes
select name, members, ordered, hedge_ms, created
from inference.route
order by name

-- name: route
select name, members, ordered, hedge_ms, created
from inference.route
where name = %(name)s

-- name: add_route
insert into inference.route (name, members, ordered, hedge_ms)
values (%(name)s, %(members)s, %(ordered)s, %(hedge_ms)s)
returning name, members, ordered, hedge_ms, created

-- name: remove_route
delete from inference.route where name = %(name)s

-- name: names_taken
-- Models and routes share one space of names: a call names either.
select name, false as route from inference.model
union all
select name, true as route from inference.route
