-- Where on its page something that is cited stands.

-- name: places_of
-- The nodes that hold these stretches of documents, with their text and, for a table's row, the head of its table.
select u.n, n.kind, n.start_at as start, n.end_at as "end", n.page, n.boxes, n.cells, c.text, c.start_at as chunk_start,
       h.cells as head, hc.text as head_text, h.start_at - hc.start_at as head_start
from unnest(%(ns)s::integer[], %(documents)s::text[], %(starts)s::integer[], %(ends)s::integer[])
         as u(n, document, start_at, end_at)
join knowledge.document d on d.id = u.document
join knowledge.node n on n.document = d.number and n.start_at < u.end_at and n.end_at > u.start_at
     and n.kind not in ('document', 'section', 'table')
     and not exists (  -- the innermost: a list's item may hold further ones
         select from knowledge.node k
         where k.document = n.document and k.parent = n.ord and k.start_at < u.end_at and k.end_at > u.start_at)
join knowledge.chunk c on c.document = d.number and c.start_at <= u.start_at and c.end_at >= u.end_at
left join lateral (
    select f.cells, f.start_at from knowledge.node f
    where n.kind = 'table_row' and f.document = d.number and f.parent = n.parent and f.kind = 'table_row'
    order by f.ord limit 1) h on true
left join knowledge.chunk hc on hc.document = d.number and hc.start_at <= h.start_at and hc.end_at > h.start_at
order by u.n, n.ord
