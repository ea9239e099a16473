-- name: offers
select record, url, name, context_tokens, output_tokens_max, input_price, output_price, currency, capabilities,
    stands_for, first_seen_at, seen_at, gone_at
from inference.offer
where %(record)s::text is null or record = %(record)s
order by record, url, name

-- name: offers_of_endpoint
select record, url, name, context_tokens, output_tokens_max, input_price, output_price, currency, capabilities,
    stands_for, first_seen_at, seen_at, gone_at
from inference.offer
where record = %(record)s and url = %(url)s
order by name
for update

-- name: keep_offer
insert into inference.offer
    (record, url, name, context_tokens, output_tokens_max, input_price, output_price, currency, capabilities, stands_for)
values
    (%(record)s, %(url)s, %(name)s, %(context_tokens)s, %(output_tokens_max)s, %(input)s, %(output)s, %(currency)s,
    %(capabilities)s, %(stands_for)s)
on conflict (tenant_id, record, url, name) do update set
    context_tokens = excluded.context_tokens,
    output_tokens_max = excluded.output_tokens_max,
    input_price = excluded.input_price,
    output_price = excluded.output_price,
    currency = excluded.currency,
    capabilities = excluded.capabilities,
    stands_for = excluded.stands_for,
    seen_at = now(),
    gone_at = null

-- name: offers_gone
-- What is listed no more stays, so that models over it can say since when.
update inference.offer
set gone_at = now()
where record = %(record)s and url = %(url)s and name = any(%(names)s)
