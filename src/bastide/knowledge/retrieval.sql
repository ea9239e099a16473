-- What a search asks besides the rankings: the phrases, and what stands around a passage.

-- name: add_mentions
insert into knowledge.mention (tenant_id, document, chunks, sizes, phrases)
select (select store.tenant()), u.document, u.chunks, u.sizes, u.phrases
from unnest(%(documents)s::bigint[], %(chunks)s::bytea[], %(sizes)s::bytea[], %(phrases)s::bytea[])
         as u(document, chunks, sizes, phrases)

-- name: forget_mentions
delete from knowledge.mention where document = %(document)s

-- name: mention_numbers
-- Which rows there are; asked only when the index has changed since the web was made.
select array_agg(m.number) from knowledge.mention m

-- name: mention_rows
-- Many rows as one: their columns one after the other, in the same order.
select array_agg(m.number order by m.number), array_agg(m.document order by m.number),
       array_agg(octet_length(m.chunks) order by m.number), string_agg(m.chunks, ''::bytea order by m.number),
       string_agg(m.sizes, ''::bytea order by m.number), string_agg(m.phrases, ''::bytea order by m.number)
from knowledge.mention m where m.number = any(%(numbers)s::bigint[])

-- name: neighbours
-- What stands before and after each passage.
select c.id as chunk, n.ord - c.ord as step, n.start_at as start, n.end_at as "end", n.page, n.text
from knowledge.chunk c
join knowledge.chunk n on n.document = c.document and n.ord between c.ord - 1 and c.ord + 1 and n.ord <> c.ord
where c.id = any(%(chunks)s::bigint[])
order by c.id, n.ord

-- name: rest_of_sections
-- What else stands under the same headings, as far as forty chunks to either side.
select c.id as chunk, n.ord - c.ord as step, n.start_at as start, n.end_at as "end", n.page, n.text
from knowledge.chunk c
join knowledge.chunk n on n.document = c.document and n.ord between c.ord - 40 and c.ord + 40 and n.ord <> c.ord
                      and n.section = c.section
where c.id = any(%(chunks)s::bigint[])
order by c.id, n.ord
