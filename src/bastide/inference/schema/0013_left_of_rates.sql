-- A slice of a rate: a sixteenth of it, at least what is needed; where that is not there, how long to wait for it. What is
-- left then is told to clients.
drop function inference.draw(text, text, bigint);
create function inference.draw(p_rate text, p_whose text, p_tokens bigint)
    returns table (requests integer, tokens bigint, wait_s float8, left_requests float8, left_tokens float8)
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
    return query select took_requests::integer, took_tokens::bigint, waits,
        coalesce(has_requests - took_requests, 0), coalesce(has_tokens - took_tokens, 0);
end
$$;
