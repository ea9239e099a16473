-- Questions about the graph of names. Which rows may be read, row security says (schema/0007_upkeep.sql); what names a
-- document is asked through knowledge.readable. `offset 0` keeps the planner from turning a few look-ups into a scan.

-- == written with a document ========================================================================

-- name: add_entity_sources
insert into knowledge.entity_source (tenant_id, document, chunk, key, extractor, type, name, start_at, end_at, times,
                                     confidence, self)
select (select store.tenant()), u.document, u.chunk, u.key, %(extractor)s, u.type, u.name, u.start_at, u.end_at,
       u.times, u.confidence, u.self
from unnest(%(documents)s::bigint[], %(chunks)s::bigint[], %(keys)s::bigint[], %(types)s::text[], %(names)s::text[],
            %(starts)s::integer[], %(ends)s::integer[], %(times)s::integer[], %(confidences)s::real[],
            %(selves)s::boolean[])
         as u(document, chunk, key, type, name, start_at, end_at, times, confidence, self)
on conflict do nothing

-- name: add_relation_sources
insert into knowledge.relation_source (tenant_id, document, chunk, a, b, type, extractor, start_at, end_at, weight,
                                       confidence, valid_from, valid_to)
select (select store.tenant()), u.document, u.chunk, u.a, u.b, u.type, %(extractor)s, u.start_at, u.end_at, u.weight,
       u.confidence, u.first, u.after
from unnest(%(documents)s::bigint[], %(chunks)s::bigint[], %(ones)s::bigint[], %(others)s::bigint[], %(types)s::text[],
            %(starts)s::integer[], %(ends)s::integer[], %(weights)s::real[],
            %(confidences)s::real[], %(firsts)s::date[], %(afters)s::date[])
         as u(document, chunk, a, b, type, start_at, end_at, weight, confidence, first, after)
on conflict do nothing

-- name: add_facts
insert into knowledge.fact (tenant_id, document, chunk, ord, kind, start_at, end_at, sentence_start, sentence_end,
                            valid_from, valid_to, detail, value, keys)
select (select store.tenant()), u.document, u.chunk, u.ord, u.kind, u.start_at, u.end_at, u.sentence_start,
       u.sentence_end, u.first, u.after, u.detail, u.value, u.keys::bigint[]
from unnest(%(documents)s::bigint[], %(ords)s::integer[], %(chunks)s::bigint[], %(kinds)s::text[],
            %(starts)s::integer[], %(ends)s::integer[], %(sentence_starts)s::integer[],
            %(sentence_ends)s::integer[], %(firsts)s::date[], %(afters)s::date[],
            %(details)s::text[], %(values)s::numeric[], %(keys)s::text[])
         as u(document, ord, chunk, kind, start_at, end_at, sentence_start, sentence_end, first, after, detail, value,
            keys)

-- name: add_citations
insert into knowledge.citation (tenant_id, document, chunk, ord, start_at, end_at, place, detail, act)
select (select store.tenant()), u.document, u.chunk, u.ord, u.start_at, u.end_at, u.place, u.detail, u.act
from unnest(%(documents)s::bigint[], %(ords)s::integer[], %(chunks)s::bigint[], %(starts)s::integer[],
            %(ends)s::integer[], %(places)s::text[], %(details)s::text[], %(acts)s::bigint[])
         as u(document, ord, chunk, start_at, end_at, place, detail, act)

-- name: add_alias_sources
insert into knowledge.alias_source (tenant_id, source, chunk, a, b, reason, score, start_at, end_at)
select (select store.tenant()), u.document, u.chunk, u.a, u.b, u.reason, u.score, u.start_at, u.end_at
from unnest(%(documents)s::bigint[], %(chunks)s::bigint[], %(shorts)s::bigint[], %(fulls)s::bigint[],
            %(reasons)s::text[], %(scores)s::real[], %(starts)s::integer[], %(ends)s::integer[])
         as u(document, chunk, a, b, reason, score, start_at, end_at)
on conflict do nothing

-- name: forget_graph
-- Everything that hangs on the document, in one message.
with names as (delete from knowledge.entity_source where document = %(document)s),
     ties as (delete from knowledge.relation_source where document = %(document)s),
     facts as (delete from knowledge.fact where document = %(document)s),
     citations as (delete from knowledge.citation where document = %(document)s)
delete from knowledge.alias_source where source = %(document)s

-- name: forget_extracted
with names as (delete from knowledge.entity_source
               where document = %(document)s and starts_with(extractor, %(extractor)s))
delete from knowledge.relation_source where document = %(document)s and starts_with(extractor, %(extractor)s)

-- name: linked_keys
-- The keys of a document that links or decisions are about: the only ones whose entity can change when it goes.
select array_agg(distinct u.key)
from (select s.a as key from knowledge.alias_source s where s.source = %(document)s
      union select s.b from knowledge.alias_source s where s.source = %(document)s
      union select e.key from knowledge.entity_source e
            where e.document = %(document)s
              and exists (select from knowledge.decision d where e.key = any(d.keys || d.moved))) as u

-- == which keys are one =============================================================================

-- name: lock_aliases
select pg_advisory_xact_lock(hashtextextended('knowledge.alias ' || (select store.tenant())::text, 0))

-- name: prune_decisions
-- A decision about names that no document holds any more is itself the last trace of them. Only who sees every
-- collection can tell; otherwise it is left to the next one who does.
delete from knowledge.decision d
where cardinality(knowledge.closed()) = 0
  and not exists (select from knowledge.entity_source e where e.key = any(d.keys || d.moved))

-- name: prune_aliases
delete from knowledge.alias a
where not exists (select from knowledge.decision d where a.key = any(d.keys || d.moved))
  and not exists (select from knowledge.alias_source s where s.a = a.key or s.b = a.key)

-- name: links_around
-- Everything linked with these keys, directly or through others. Of an acronym: whether it links by itself.
with recursive link as (
    select d.id as ord, d.keys as keys, true as holds
    from knowledge.decision d where d.kind = 'merge' and d.undone_at is null
    union all
    select d.id, d.moved, true from knowledge.decision d where d.kind = 'split' and d.undone_at is null
    union all
    select '' as ord, array[s.b, s.a], max(s.score) >= %(automatic)s and count(distinct o.b) = 1
    from knowledge.alias_source s
    join knowledge.alias_source o on o.a = s.a
    group by s.a, s.b
),
around as (
    select unnest(%(keys)s::bigint[]) as key
    union
    select k.key from around join link on around.key = any(link.keys) cross join lateral unnest(link.keys) as k(key)
)
select distinct link.ord, link.keys, link.holds from link join around on around.key = any(link.keys)

-- name: forget_aliases
delete from knowledge.alias where key = any(%(keys)s::bigint[])

-- name: add_aliases
insert into knowledge.alias (key, entity)
select u.key, u.entity from unnest(%(keys)s::bigint[], %(entities)s::bigint[]) as u(key, entity)

-- == decided ========================================================================================

-- name: add_decision
insert into knowledge.decision (id, kind, keys, moved, who, why)
values (%(id)s, %(kind)s, %(keys)s::bigint[], %(moved)s::bigint[], %(who)s, %(why)s)

-- name: undo_decision
update knowledge.decision set undone_at = now(), undone_by = %(who)s, undone_why = %(why)s
where id = %(id)s and undone_at is null
returning kind, keys, moved

-- name: decisions
select d.id, d.kind, d.keys, d.moved, d.who, d.why, d.made_at, d.undone_at, d.undone_by
from knowledge.decision d
where (%(id)s::text is null or d.id = %(id)s) and (%(before)s::text is null or d.id < %(before)s)
order by d.id desc limit %(limit)s

-- name: undone_splits
select d.keys, d.moved from knowledge.decision d where d.kind = 'split' and d.undone_at is not null

-- name: links_that_hold
-- All that joins keys today, in the order in which it does: what documents say by themselves, then what was decided.
select '' as id, 'said' as kind, array[s.b, s.a] as keys, '' as who, '' as why, now() as made_at
from knowledge.alias_source s
join knowledge.alias_source o on o.a = s.a
group by s.a, s.b
having max(s.score) >= %(automatic)s and count(distinct o.b) = 1
union all
select d.id, d.kind, case d.kind when 'split' then d.moved else d.keys end, d.who, d.why, d.made_at
from knowledge.decision d
where d.undone_at is null
order by 1

-- name: names_in_documents
-- What these documents call these keys, the surest and most frequent first. What two keys are called is left out, unless
-- a split made one of the other: `roots` is what each key was before any split. `root` of a name, too: it is called so
-- by mentions that were split off as well.
with known as (select * from unnest(%(keys)s::bigint[], %(roots)s::bigint[]) as u(key, root)),
said as materialized (
    select s.key, coalesce(k.root, s.key) as root, s.name, s.type, bool_or(s.extractor = %(rules)s) as by_rule,
           sum(s.times) as times
    from knowledge.entity_source s
    join knowledge.readable d on d.number = s.document
    left join known k on k.key = s.key
    where d.id = any(%(documents)s::text[])
    group by 1, 2, 3, 4
)
select a.key, a.root, a.name, a.type
from said a
where exists (select from known k where k.key = a.key)
  and not exists (select from said b where b.name = a.name and b.type = a.type and b.root <> a.root)
order by a.by_rule desc, a.times desc, a.name, a.type

-- name: all_splits
-- The oldest first. Those undone as well: what was split from what they made may still be apart.
select d.id, d.keys, d.moved, d.who, d.why, d.made_at, d.undone_at is null as holds
from knowledge.decision d where d.kind = 'split' order by d.made_at, d.id

-- name: places_in_documents
select s.key, d.id, s.start_at
from knowledge.entity_source s
join knowledge.readable d on d.number = s.document
where d.id = any(%(documents)s::text[]) and s.key = any(%(keys)s::bigint[])
group by 1, 2, 3

-- name: keys_named
select u.name, u.type, array_agg(distinct s.key)
from unnest(%(names)s::text[], %(types)s::text[]) as u(name, type)
join knowledge.entity_source s on s.name = u.name and s.type = u.type
join knowledge.readable d on d.number = s.document
where d.id = any(%(documents)s::text[])
group by 1, 2

-- name: sources_to_move
select s.document, s.chunk, s.key, s.start_at
from knowledge.entity_source s
join knowledge.readable d on d.number = s.document
join unnest(%(documents)s::text[], %(starts)s::integer[]) as u(id, start_at) on u.id = d.id and u.start_at = s.start_at
where s.key = any(%(keys)s::bigint[])

-- name: move_sources
with place as (select * from unnest(%(documents)s::bigint[], %(chunks)s::bigint[]) as u(document, chunk)),
     ones as (update knowledge.relation_source r set a = %(moved)s from place p
              where r.document = p.document and r.chunk = p.chunk and r.a = %(key)s),
     facts as (update knowledge.fact f set keys = array_replace(f.keys, %(key)s::bigint, %(moved)s::bigint) from place p
               where f.document = p.document and f.chunk = p.chunk and %(key)s = any(f.keys))
update knowledge.entity_source s set key = %(moved)s from place p
where s.document = p.document and s.chunk = p.chunk and s.key = %(key)s

-- name: move_ends
-- The other end, in a statement of its own: one statement changes a row once.
with place as (select * from unnest(%(documents)s::bigint[], %(chunks)s::bigint[]) as u(document, chunk))
update knowledge.relation_source r set b = %(moved)s from place p
where r.document = p.document and r.chunk = p.chunk and r.b = %(key)s

-- name: moved_sources
select distinct s.document, s.chunk, s.key from knowledge.entity_source s where s.key = any(%(keys)s::bigint[])

-- == told ===========================================================================================

-- name: keys_of_entities
-- The keys of each entity; a key that is another entity's is led there.
with asked as (
    select distinct coalesce(a.entity, u.key) as entity
    from unnest(%(keys)s::bigint[]) as u(key) left join knowledge.alias a on a.key = u.key
)
select q.entity, array_agg(k.key)
from asked q cross join lateral (select q.entity as key union select a.key from knowledge.alias a where a.entity = q.entity) k
group by q.entity

-- name: list_entities
with seen as (
    select coalesce(a.entity, s.key) as entity, s.type, sum(s.times) as times, sum(s.confidence * s.times) as weight,
           bool_or(%(said)s::text is null or position(%(said)s in lower(s.name)) > 0) as hit
    from knowledge.entity_source s
    join knowledge.readable d on d.number = s.document
    left join knowledge.alias a on a.key = s.key
    where %(collection)s::text is null or d.collection = %(collection)s
    group by 1, 2
),
summed as (
    select entity, sum(times)::bigint as mentions, (array_agg(type order by weight desc, type))[1] as type,
           bool_or(hit) as hit
    from seen group by entity
)
select entity from summed
where hit and (%(type)s::text is null or type = %(type)s)
  and (%(mentions)s::bigint is null or (mentions, entity) < (%(mentions)s, %(entity)s))
order by mentions desc, entity desc
limit %(limit)s

-- name: entity_names
-- What readable documents call these entities. `owners` and `keys` pair an entity with each of its keys.
select o.entity, s.name, s.type, sum(s.times)::bigint as times, sum(s.confidence * s.times)::float8 as weight,
       max(s.confidence)::float8 as confidence, bool_or(s.key = o.entity) as own
from unnest(%(owners)s::bigint[], %(keys)s::bigint[]) as o(entity, key)
cross join lateral (select * from knowledge.entity_source e where e.key = o.key offset 0) s
where %(collection)s::text is null
   or exists (select from knowledge.readable d where d.number = s.document and d.collection = %(collection)s)
group by 1, 2, 3

-- name: entity_totals
select o.entity, count(distinct d.number) as documents, array_agg(distinct d.label) as labels, min(s.seen_at), max(s.seen_at)
from unnest(%(owners)s::bigint[], %(keys)s::bigint[]) as o(entity, key)
cross join lateral (select * from knowledge.entity_source e where e.key = o.key offset 0) s
cross join lateral (select * from knowledge.readable r where r.number = s.document offset 0) d
where %(collection)s::text is null or d.collection = %(collection)s
group by 1

-- name: entity_mentions
select d.id as document_id, d.name as document, d.version, c.section, c.page, c.start_at as passage_start,
       c.end_at as passage_end, c.text, s.key, s.name, s.times, s.type, s.extractor, s.confidence, s.seen_at, s.start_at,
       s.end_at
from knowledge.entity_source s
cross join lateral (select * from knowledge.readable o where o.number = s.document offset 0) d
join knowledge.chunk c on c.id = s.chunk
where s.key = any(%(keys)s::bigint[])
  and (%(after)s::text is null or (d.id, s.start_at, s.extractor) > (%(after)s, %(start)s::integer, %(extractor)s))
order by d.id, s.start_at, s.extractor
limit %(limit)s

-- name: near
-- One step from `entities`: of each pair and type the strength, the strongest first. What a document itself does is no
-- step. Which rows may be read, their own row security says; asked for once more, it would cost more than the step.
with own as (
    select u.entity, u.entity as key from unnest(%(entities)s::bigint[]) as u(entity)
    union all
    select x.entity, x.key from knowledge.alias x where x.entity = any(%(entities)s::bigint[])
),
tie as (
    select o.entity, r.b as other, r.type, true as forward, r.weight * r.confidence as weight
    from own o join knowledge.relation_source r on r.a = o.key
    where (%(types)s::text[] is null or r.type = any(%(types)s))
      and (%(as_of)s::date is null
           or (coalesce(r.valid_from <= %(as_of)s, true) and coalesce(r.valid_to > %(as_of)s, true)))
    union all
    select o.entity, r.a, r.type, false, r.weight * r.confidence
    from own o join knowledge.relation_source r on r.b = o.key
    where r.a <> 0 and (%(types)s::text[] is null or r.type = any(%(types)s))
      and (%(as_of)s::date is null
           or (coalesce(r.valid_from <= %(as_of)s, true) and coalesce(r.valid_to > %(as_of)s, true)))
)
select t.entity as via, coalesce(y.entity, t.other) as entity, t.type, bool_or(t.forward) as forward,
       sum(t.weight)::float8 as weight
from tie t
left join knowledge.alias y on y.key = t.other
where coalesce(y.entity, t.other) <> t.entity
group by 1, 2, 3
order by 5 desc, 2, 3
limit %(fan)s

-- name: ties_among
select case when r.type = any(%(symmetric)s::text[]) then least(coalesce(x.entity, r.a), coalesce(y.entity, r.b))
            else coalesce(x.entity, r.a) end as a,
       case when r.type = any(%(symmetric)s::text[]) then greatest(coalesce(x.entity, r.a), coalesce(y.entity, r.b))
            else coalesce(y.entity, r.b) end as b, r.type, sum(r.weight)::float8 as weight,
       max(r.confidence)::float8 as confidence, count(*) as sources, array_agg(distinct r.extractor) as extractors,
       min(r.valid_from) as valid_from, max(r.valid_to) as valid_to, min(r.seen_at) as seen_at,
       (array_agg(r.chunk order by r.confidence desc, r.chunk))[1] as chunk,
       (array_agg(r.start_at order by r.confidence desc, r.chunk))[1] as start_at,
       (array_agg(r.end_at order by r.confidence desc, r.chunk))[1] as end_at, array_agg(distinct d.label) as labels
from knowledge.relation_source r
cross join lateral (select * from knowledge.readable o where o.number = r.document offset 0) d
left join knowledge.alias x on x.key = r.a
left join knowledge.alias y on y.key = r.b
where r.a = any(%(keys)s::bigint[]) and r.b = any(%(keys)s::bigint[])
group by 1, 2, 3
order by 4 desc, 1, 2, 3
limit %(limit)s

-- name: list_ties
-- Of one entity or document, or of all; where the document itself is an end, each document is a tie of its own.
select case when r.type = any(%(symmetric)s::text[]) then least(coalesce(x.entity, r.a), coalesce(y.entity, r.b))
            else coalesce(x.entity, r.a) end as a,
       case when r.type = any(%(symmetric)s::text[]) then greatest(coalesce(x.entity, r.a), coalesce(y.entity, r.b))
            else coalesce(y.entity, r.b) end as b, r.type, sum(r.weight)::float8 as weight,
       max(r.confidence)::float8 as confidence, count(*) as sources, array_agg(distinct r.extractor) as extractors,
       min(r.valid_from) as valid_from, max(r.valid_to) as valid_to, min(r.seen_at) as seen_at,
       (array_agg(r.chunk order by r.confidence desc, r.chunk))[1] as chunk,
       (array_agg(r.start_at order by r.confidence desc, r.chunk))[1] as start_at,
       (array_agg(r.end_at order by r.confidence desc, r.chunk))[1] as end_at, array_agg(distinct d.label) as labels,
       case when r.a = 0 then d.id end as document
from knowledge.relation_source r
cross join lateral (select * from knowledge.readable o where o.number = r.document offset 0) d
left join knowledge.alias x on x.key = r.a
left join knowledge.alias y on y.key = r.b
where (%(keys)s::bigint[] is null or r.a = any(%(keys)s) or r.b = any(%(keys)s))
  and (%(document)s::text is null or (d.id = %(document)s and r.a = 0))
  and (%(types)s::text[] is null or r.type = any(%(types)s))
  and (%(collection)s::text is null or d.collection = %(collection)s)
  and (%(as_of)s::date is null or (coalesce(r.valid_from <= %(as_of)s, true) and coalesce(r.valid_to > %(as_of)s, true)))
  and (%(known_at)s::timestamptz is null or r.seen_at <= %(known_at)s)
  and coalesce(x.entity, r.a) <> coalesce(y.entity, r.b)
group by 1, 2, 3, 15
order by 4 desc, 1, 2, 3, 15
limit %(limit)s offset %(offset)s

-- name: passages_at
select c.id, d.id as document_id, d.name, d.version, c.section, c.page, c.start_at, c.text
from knowledge.chunk c join knowledge.readable d on d.number = c.document
where c.id = any(%(chunks)s::bigint[])

-- name: names_like
-- The names in readable documents that have one of these words; few, the most frequent first.
select coalesce(a.entity, s.key) as entity, s.name, sum(s.times)::bigint as times
from knowledge.entity_source s
join knowledge.readable d on d.number = s.document
left join knowledge.alias a on a.key = s.key
where s.key = any(%(keys)s::bigint[])
   or exists (select from unnest(%(words)s::text[]) as w(word) where position(w.word in lower(s.name)) > 0)
group by 1, 2
order by 3 desc, 2
limit %(limit)s

-- name: acronyms_of
-- What readable documents explain as what, whether or not it was merged.
select s.a, s.b, max(s.score)::float8 as score
from knowledge.alias_source s join knowledge.readable d on d.number = s.source
where s.a = any(%(keys)s::bigint[]) or s.b = any(%(keys)s::bigint[])
group by 1, 2

-- name: episodes
select f.valid_from, f.valid_to, f.detail as precision, f.seen_at, f.keys, f.chunk, f.sentence_start as start_at,
       f.sentence_end as end_at
from knowledge.fact f
join knowledge.readable d on d.number = f.document
where f.kind = 'date' and cardinality(f.keys) > 0
  and (%(keys)s::bigint[] is null or (f.keys && %(keys)s and f.chunk in (select s.chunk from knowledge.entity_source s
                                                                         where s.key = any(%(keys)s))))
  and (%(collection)s::text is null or d.collection = %(collection)s)
  and (%(since)s::date is null or coalesce(f.valid_to > %(since)s, true))
  and (%(until)s::date is null or coalesce(f.valid_from < %(until)s, true))
  and (%(known_at)s::timestamptz is null or f.seen_at <= %(known_at)s)
order by coalesce(f.valid_from, f.valid_to), f.valid_to, f.chunk, f.start_at
limit %(limit)s offset %(offset)s

-- name: intakes
-- The versions of the documents that name one of these keys, as they came in.
select d.id as document_id, d.name, v.version, v.title, v.created
from knowledge.readable d
join knowledge.document_version v on v.document = d.number
where d.number in (select s.document from knowledge.entity_source s where s.key = any(%(keys)s::bigint[]))
  and (%(known_at)s::timestamptz is null or v.created <= %(known_at)s)
order by v.created, d.id, v.version
limit %(limit)s

-- name: citations_from
-- What a document points to. An act leads to the documents that are it; a place, to the chunks that its heading heads.
select f.chunk, f.start_at, f.end_at, f.place, f.detail, f.act, d.updated as seen_at, d.label
from knowledge.citation f join knowledge.readable d on d.number = f.document
where d.id = %(document)s and (%(from_at)s::integer is null or f.start_at between %(from_at)s and %(to_at)s)
order by f.start_at limit %(limit)s

-- name: citations_to
select f.chunk, f.start_at, f.end_at, f.place, f.detail, d.updated as seen_at, d.label, d.id as document
from knowledge.citation f join knowledge.readable d on d.number = f.document
where (%(place)s::text is null or f.place = %(place)s)
  and ((f.act is null and d.id = %(document)s)
       or f.act in (select s.key from knowledge.entity_source s join knowledge.readable o on o.number = s.document
                    where o.id = %(document)s and s.self))
order by f.document, f.start_at limit %(limit)s

-- name: documents_that_are
select s.key, d.id, d.number from knowledge.entity_source s join knowledge.readable d on d.number = s.document
where s.self and s.key = any(%(keys)s::bigint[])

-- name: place_nodes
-- The outermost section that each place heads: `terms` are the terms of the places (knowledge/references.py).
select u.term, p.document, (select n.id from knowledge.chunk c join knowledge.node n on n.document = c.document
                            and n.ord = coalesce(c.parent, c.node) where c.id = p.chunks[1]) as node
from unnest(%(terms)s::bigint[]) as u(term)
join knowledge.posting p on p.term = u.term
where p.document = any(%(documents)s::bigint[])

-- name: section_place
select n.start_at, n.end_at, n.title, n.kind from knowledge.node n join knowledge.readable d on d.number = n.document
where d.id = %(document)s and n.id = %(node)s

-- name: document_number
select d.number from knowledge.readable d where d.id = %(id)s

-- == types ==========================================================================================

-- name: graph_types
select kind, name, about, from_types, to_types, is_symmetric, inverse, transitive from knowledge.graph_type order by made_at, name

-- name: add_graph_type
insert into knowledge.graph_type (kind, name, about, from_types, to_types, is_symmetric, inverse, transitive)
values (%(kind)s, %(name)s, %(about)s, %(from_types)s, %(to_types)s, %(symmetric)s, %(inverse)s, %(transitive)s)

-- name: forget_graph_type
delete from knowledge.graph_type where kind = %(kind)s and name = %(name)s

-- name: graph_type_in_use
select exists (select from knowledge.entity_source s where %(kind)s = 'node' and s.type = %(name)s)
    or exists (select from knowledge.relation_source r where %(kind)s = 'relation' and r.type = %(name)s)
    or exists (select from knowledge.graph_type t where %(kind)s = 'node' and %(name)s = any(t.from_types || t.to_types))

-- name: graph_statistics
select (select count(distinct coalesce(a.entity, s.key)) from knowledge.entity_source s
        join knowledge.readable d on d.number = s.document left join knowledge.alias a on a.key = s.key) as entities,
       (select coalesce(sum(s.times), 0)::bigint from knowledge.entity_source s join knowledge.readable d on d.number = s.document) as mentions,
       (select count(*) from knowledge.relation_source r join knowledge.readable d on d.number = r.document) as relations,
       (select count(*) from knowledge.fact f join knowledge.readable d on d.number = f.document) as facts,
       (select count(*) from knowledge.citation f join knowledge.readable d on d.number = f.document) as citations,
       (select count(*) from knowledge.community) as communities

-- name: graph_shares
select 'type' as of, s.type as name, count(distinct coalesce(a.entity, s.key)) as n
from knowledge.entity_source s join knowledge.readable d on d.number = s.document
left join knowledge.alias a on a.key = s.key group by s.type
union all
select 'relation', r.type, count(*) from knowledge.relation_source r join knowledge.readable d on d.number = r.document group by r.type
union all
select 'extractor', s.extractor, count(*) from knowledge.entity_source s join knowledge.readable d on d.number = s.document group by s.extractor

-- == communities ====================================================================================

-- name: community_edges
-- The strongest ties between entities, each pair once. Who is no member of a collection sees the rest only.
select least(e.a, e.b), greatest(e.a, e.b), sum(e.weight)::float8
from (select coalesce(x.entity, r.a) as a, coalesce(y.entity, r.b) as b, r.weight * r.confidence as weight
      from knowledge.relation_source r
      join knowledge.readable d on d.number = r.document
      left join knowledge.alias x on x.key = r.a
      left join knowledge.alias y on y.key = r.b
      where r.a <> 0) as e
where e.a <> e.b
group by 1, 2
order by 3 desc, 1, 2
limit %(limit)s

-- name: community_sentences
-- The sentences that tie the most of these entities, the strongest first.
with own as (
    select u.entity as key from unnest(%(entities)s::bigint[]) as u(entity)
    union
    select x.key from knowledge.alias x where x.entity = any(%(entities)s::bigint[])
),
tie as (
    select r.document, r.chunk, r.start_at, r.end_at, count(*) as n, sum(r.weight * r.confidence) as weight
    from knowledge.relation_source r
    where r.a in (select key from own) and r.b in (select key from own)
    group by 1, 2, 3, 4
)
select t.document, t.chunk, t.start_at, t.end_at, substr(c.text, t.start_at - c.start_at + 1, t.end_at - t.start_at) as text,
       d.label
from tie t
join knowledge.readable d on d.number = t.document
join knowledge.chunk c on c.id = t.chunk
order by t.weight desc, t.document, t.start_at
limit %(limit)s

-- name: forget_all_communities
delete from knowledge.community

-- name: add_communities
insert into knowledge.community (level, number, parent, members, documents, made_by)
select u.level, u.number, u.parent, u.members::bigint[], u.documents, u.made_by
from unnest(%(levels)s::smallint[], %(numbers)s::integer[], %(parents)s::integer[], %(members)s::text[],
            %(documents)s::integer[], %(made_by)s::text[]) as u(level, number, parent, members, documents, made_by)
on conflict do nothing

-- name: add_community_sources
insert into knowledge.community_source (level, number, ord, document, chunk, start_at, end_at, text)
select u.level, u.number, u.ord, u.document, u.chunk, u.start_at, u.end_at, u.text
from unnest(%(levels)s::smallint[], %(numbers)s::integer[], %(ords)s::integer[], %(documents)s::bigint[],
            %(chunks)s::bigint[], %(starts)s::integer[], %(ends)s::integer[], %(texts)s::text[])
         as u(level, number, ord, document, chunk, start_at, end_at, text)
join knowledge.chunk c on c.id = u.chunk
for key share of c

-- name: add_community_lines
insert into knowledge.community_line (level, number, ord, text, first, second, third)
select u.level, u.number, u.ord, u.text, u.first, u.second, u.third
from unnest(%(levels)s::smallint[], %(numbers)s::integer[], %(ords)s::integer[], %(texts)s::text[], %(firsts)s::integer[],
            %(seconds)s::integer[], %(thirds)s::integer[]) as u(level, number, ord, text, first, second, third)
where (select count(*) from knowledge.community_source s
       where s.level = u.level and s.number = u.number and s.ord in (u.first, u.second, u.third))
      = 1 + (u.second is not null)::integer + (u.third is not null)::integer

-- name: list_communities
select c.level, c.number, c.parent, c.members, c.documents, c.made_by, c.made_at
from knowledge.community c
where c.level = %(level)s
  and exists (select from knowledge.community_source s join knowledge.readable d on d.number = s.document
              where s.level = c.level and s.number = c.number)
  and not exists (select from knowledge.community_source s where s.level = c.level and s.number = c.number
                  and not exists (select from knowledge.readable d where d.number = s.document))
order by cardinality(c.members) desc, c.number
limit %(limit)s

-- name: community_sources
select s.number, s.ord, s.document, s.start_at, s.end_at, s.text, d.id as document_id, d.name, d.version, d.label,
       c.section, c.page
from knowledge.community_source s
join knowledge.readable d on d.number = s.document
join knowledge.chunk c on c.id = s.chunk
where s.level = %(level)s and s.number = any(%(numbers)s::integer[])
order by s.number, s.ord

-- name: community_lines
select l.number, l.text, l.first, l.second, l.third
from knowledge.community_line l
where l.level = %(level)s and l.number = any(%(numbers)s::integer[])
order by l.number, l.ord

-- == enriched by a model ============================================================================

-- name: documents_to_enrich
select d.id from knowledge.readable d
where (%(ids)s::text[] is null or d.id = any(%(ids)s)) and (%(collection)s::text is null or d.collection = %(collection)s)
order by d.id

-- name: version_to_enrich
select d.number, d.version, d.label from knowledge.document d where d.id = %(id)s for share

-- name: chunks_to_enrich
select c.id, c.start_at as start, c.text, c.language
from knowledge.chunk c where c.document = %(document)s order by c.ord limit %(limit)s
