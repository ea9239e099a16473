-- Every question of the room `knowledge`. The tenant is never a parameter: row security supplies it, and
-- rows written in bulk ask for it once, in a question of its own: a default, or a function in `from`, would be evaluated
-- row by row, and costs more than the row. What is written with documents comes in columns that hold the rows of all of
-- them; the foreign keys see to it that each hangs on a document.

-- == intake =========================================================================================

-- name: lock_intake
-- Equal content and equal names wait for each other, and nothing else does. Sorted, so nobody deadlocks.
select pg_advisory_xact_lock(key) from unnest(%(keys)s::bigint[]) as u(key)

-- name: find_by_content
-- The current version only: content that was replaced may come back as a new version. Locked, like the two below,
-- because its label may be tightened by what was read here.
select d.id, d.number, d.collection, d.name, d.version, d.label, v.fingerprint, v.chunks
from knowledge.document_version v
join knowledge.document d on d.number = v.document and d.version = v.version
where v.fingerprint = %(fingerprint)s and d.collection = %(collection)s
order by d.id limit 1
for update of d

-- name: find_by_name
select d.id, d.number, d.collection, d.name, d.version, d.label, v.fingerprint, v.chunks
from knowledge.document d
join knowledge.document_version v on v.document = d.number and v.version = d.version
where d.collection = %(collection)s and d.name = %(name)s
for update of d

-- name: names_or_contents_here
-- Of these names those that are taken, and of these contents those that are here.
select d.name, null::bytea as fingerprint
from knowledge.document d where d.collection = %(collection)s and d.name = any(%(names)s::text[])
union all
select null, v.fingerprint
from knowledge.document_version v
join knowledge.document d on d.number = v.document and d.version = v.version
where v.fingerprint = any(%(fingerprints)s::bytea[]) and d.collection = %(collection)s

-- name: find_by_id
select d.id, d.number, d.collection, d.name, d.version, d.label, v.fingerprint, v.chunks
from knowledge.document d
join knowledge.document_version v on v.document = d.number and v.version = d.version
where d.id = %(id)s
for update of d

-- name: add_collection
insert into knowledge.collection (name) values (%(name)s) on conflict do nothing

-- name: add_document
insert into knowledge.document (id, collection, name, label)
values (%(id)s, %(collection)s, %(name)s, %(label)s)
returning number

-- name: add_documents
insert into knowledge.document (tenant_id, id, collection, name, label)
select (select store.tenant()), u.id, u.collection, u.name, u.label::jsonb
from unnest(%(ids)s::text[], %(collections)s::text[], %(names)s::text[], %(labels)s::text[])
         as u(id, collection, name, label)
returning id, number

-- name: renew_document
update knowledge.document set version = %(version)s, label = %(label)s, updated = now()
where number = %(document)s

-- name: add_versions
-- A reindexed version keeps its row and says anew what was found in it.
insert into knowledge.document_version as v (tenant_id, document, version, fingerprint, blob, bytes, media_type, title,
                                             language, pages, chunks, problems, marks, node_ids, node_marks,
                                             node_sketches, node_last, recipe)
select (select store.tenant()), u.document, u.version, u.fingerprint, u.blob, u.bytes, u.media_type, u.title,
       u.language, u.pages, u.chunks, array(select jsonb_array_elements_text(u.problems::jsonb)),
       array(select jsonb_array_elements_text(u.marks::jsonb)), u.node_ids::integer[], u.node_marks::bigint[],
       u.node_sketches::bigint[], u.node_last, %(recipe)s
from unnest(%(documents)s::bigint[], %(versions)s::integer[], %(fingerprints)s::bytea[], %(blobs)s::text[],
            %(bytes)s::bigint[], %(media_types)s::text[], %(titles)s::text[], %(languages)s::text[],
            %(pages)s::integer[], %(chunks)s::integer[], %(problems)s::text[], %(marks)s::text[],
            %(node_ids)s::text[], %(node_marks)s::text[], %(node_sketches)s::text[], %(node_lasts)s::integer[])
         as u(document, version, fingerprint, blob, bytes, media_type, title, language, pages, chunks, problems, marks,
            node_ids, node_marks, node_sketches, node_last)
on conflict (tenant_id, document, version) do update
set media_type = excluded.media_type, title = excluded.title, language = excluded.language, pages = excluded.pages,
    chunks = excluded.chunks, problems = excluded.problems, marks = excluded.marks, node_ids = excluded.node_ids,
    node_marks = excluded.node_marks, node_sketches = excluded.node_sketches, node_last = excluded.node_last,
    recipe = excluded.recipe

-- name: add_nodes
insert into knowledge.node (tenant_id, document, ord, parent, kind, level, title, start_at, end_at, page, language, id,
                            boxes, cells, source, confidence)
select (select store.tenant()), u.document, u.ord, u.parent, u.kind, u.level, u.title, u.start_at, u.end_at, u.page,
       u.language, u.id, u.boxes::jsonb, u.cells::jsonb, u.source, u.confidence
from unnest(%(documents)s::bigint[], %(ords)s::integer[], %(parents)s::integer[], %(kinds)s::text[],
            %(levels)s::smallint[], %(titles)s::text[], %(starts)s::integer[], %(ends)s::integer[],
            %(pages)s::integer[], %(languages)s::text[], %(ids)s::integer[], %(boxes)s::text[], %(cells)s::text[],
            %(sources)s::text[], %(confidences)s::real[])
         as u(document, ord, parent, kind, level, title, start_at, end_at, page, language, id, boxes, cells, source,
            confidence)

-- name: add_chunks
-- A section path comes as one text, its headings parted by the unit separator (U+001F).
insert into knowledge.chunk (tenant_id, document, ord, node, section, page, start_at, end_at, text, language, words,
                             length, parent, boxes)
select (select store.tenant()), u.document, u.ord, u.node, string_to_array(u.section, chr(31)), u.page, u.start_at,
       u.end_at, u.text, u.language, u.words, u.length, u.parent, u.boxes::jsonb
from unnest(%(documents)s::bigint[], %(ords)s::integer[], %(nodes)s::integer[], %(sections)s::text[],
            %(pages)s::integer[], %(starts)s::integer[], %(ends)s::integer[], %(texts)s::text[], %(languages)s::text[],
            %(words)s::integer[], %(lengths)s::integer[], %(parents)s::integer[], %(boxes)s::text[])
         as u(document, ord, node, section, page, start_at, end_at, text, language, words, length, parent, boxes)
returning document, ord, id

-- name: add_postings
insert into knowledge.posting (tenant_id, term, document, chunks, counts)
select (select store.tenant()), u.term, u.document, u.chunks::bigint[], u.counts::integer[]
from unnest(%(documents)s::bigint[], %(terms)s::bigint[], %(chunks)s::text[], %(counts)s::text[])
         as u(document, term, chunks, counts)

-- name: add_embeddings
insert into knowledge.embedding (tenant_id, chunk, document, model, v)
select (select store.tenant()), u.chunk, u.document, u.model, u.v::halfvec
from unnest(%(documents)s::bigint[], %(chunks)s::bigint[], %(models)s::text[], %(vectors)s::text[])
         as u(document, chunk, model, v)

-- name: forget_subjects
delete from knowledge.document_subject where document = %(document)s

-- name: add_subjects
insert into knowledge.document_subject (subject, document)
select u.subject, %(document)s from unnest(%(subjects)s::text[]) as u(subject)

-- name: extent_of_document
select language, count(*) as chunks, sum(length)::bigint as length
from knowledge.chunk where document = %(document)s group by language

-- name: grow_extent
-- The last statement of a transaction that writes: these rows are the tenant's hottest. In order, so nobody deadlocks.
insert into knowledge.extent as e (language, chunks, length)
select u.language, u.chunks, u.length
from unnest(%(languages)s::text[], %(chunks)s::bigint[], %(lengths)s::bigint[]) as u(language, chunks, length)
order by u.language
on conflict (tenant_id, language) do update set chunks = e.chunks + excluded.chunks, length = e.length + excluded.length

-- name: trim_extent
delete from knowledge.extent where chunks <= 0

-- name: forget_chunks
delete from knowledge.chunk where document = %(document)s

-- name: forget_postings
delete from knowledge.posting where document = %(document)s

-- name: forget_nodes
delete from knowledge.node where document = %(document)s

-- name: add_refusal
insert into knowledge.refusal (fingerprint, code) values (%(fingerprint)s, %(code)s)
on conflict (tenant_id, fingerprint) do update set code = excluded.code, created = now()

-- name: forget_refusals
delete from knowledge.refusal where fingerprint = any(%(fingerprints)s::bytea[])

-- == search =========================================================================================

-- name: extent
-- What there is in each language, which transaction changed it last, and, for this model, the dimension of the
-- tenant's own graph if it has one; the collections that are closed to who asks, and, where some are, what of the
-- documents that leaves: how many, and which. Where there is a graph, this transaction will look at 100 candidates in it,
-- and go on while too few are the caller's.
select e.language, e.chunks, e.length, e.xmin::text::bigint as written,
       (select p.dimensions from knowledge.placement p, set_config('hnsw.ef_search', '100', true) as width,
               set_config('hnsw.iterative_scan', 'relaxed_order', true) as way
        where p.model = %(model)s) as graph, c.names as closed,
       case when cardinality(c.names) > 0
            then (select count(*) || ' ' || coalesce(sum(hashint8extended(d.number, 0)), 0) from knowledge.document d)
       end as seen
from knowledge.extent e, (select knowledge.closed() as names offset 0) as c
where e.chunks > 0

-- name: documents_within
-- The documents that a filtered search may look into. Of metadata each condition (`places` numbers them) is met in one of
-- the ways given: a word, a range of texts or of numbers, or that the key is there.
with way as (
    select w.place, w.key, w.word, w.low, w.high, w.least, w.most
    from unnest(%(places)s::int[], %(keys)s::text[], %(words)s::text[], %(lows)s::text[], %(highs)s::text[],
                %(leasts)s::float8[], %(mosts)s::float8[]) as w(place, key, word, low, high, least, most)
),
met as (
    select w.place, m.document from way w join knowledge.document_metadata m on m.key = w.key and m.word = w.word
    union all
    select w.place, m.document from way w
    join knowledge.document_metadata m on m.key = w.key and m.word >= w.low and m.word < w.high
    union all
    select w.place, m.document from way w
    join knowledge.document_metadata m on m.key = w.key and m.number between w.least and w.most
    union all
    select w.place, m.document from way w join knowledge.document_metadata m on m.key = w.key
    where w.word is null and w.low is null and w.least is null
)
select coalesce(array_agg(d.number), '{}') as numbers
from knowledge.document d
join knowledge.document_version v on v.document = d.number and v.version = d.version
where (%(collection)s::text is null or d.collection = %(collection)s)
  and (%(documents)s::text[] is null or d.id = any(%(documents)s))
  and (%(names)s::text[] is null or d.name = any(%(names)s))
  and (%(languages)s::text[] is null or v.language = any(%(languages)s))
  and (%(media_types)s::text[] is null or v.media_type = any(%(media_types)s))
  and (%(since)s::timestamptz is null or d.updated >= %(since)s)
  and (%(until)s::timestamptz is null or d.updated < %(until)s)
  and (%(classes)s::text[] is null or d.label ->> 'class' = any(%(classes)s))
  and (%(wanted)s::int = 0 or d.number in (select document from met group by document
                                           having count(distinct place) = %(wanted)s::int))
  and not exists (select from knowledge.document_metadata m
                  where m.document = d.number and m.key = any(%(absent)s::text[]))

-- name: postings
-- Where these terms stand, a row a term, as bytes: for each document its number, how many of its chunks, which, and the
-- counts. They come in the same order, and are added up by knowledge/postings.py.
select p.term, string_agg(int8send(p.document), ''::bytea), string_agg(int4send(cardinality(p.chunks)), ''::bytea),
       string_agg(array_send(p.chunks), ''::bytea), string_agg(array_send(p.counts), ''::bytea)
from knowledge.posting p where p.term = any(%(terms)s::bigint[])
group by p.term

-- name: postings_of_documents
-- The same of some documents only: those that changed since the others were read.
select p.term, string_agg(int8send(p.document), ''::bytea), string_agg(int4send(cardinality(p.chunks)), ''::bytea),
       string_agg(array_send(p.chunks), ''::bytea), string_agg(array_send(p.counts), ''::bytea)
from knowledge.posting p where p.term = any(%(terms)s::bigint[]) and p.document = any(%(documents)s::bigint[])
group by p.term

-- name: nearest
-- The chunks whose vectors are nearest, exactly, and these chunks, each with its cosine: the inner product, because all
-- vectors are of length one. None is near where `vector` is null.
with near as (
    select e.chunk, -(e.v <#> %(vector)s::halfvec) as cosine
    from knowledge.embedding e
    where %(vector)s::halfvec is not null and e.model = %(model)s
      and (%(within)s::bigint[] is null or e.document = any(%(within)s))
    order by e.v <#> %(vector)s::halfvec
    limit %(limit)s
)
select f.chunk, f.cosine,
       case when %(several)s then (select c.language from knowledge.chunk c where c.id = f.chunk) end as language
from (select n.chunk, n.cosine from near n
      union all
      select u.chunk, (select -(e.v <#> %(vector)s::halfvec) from knowledge.embedding e
                       where e.chunk = u.chunk and e.model = %(model)s)
      from unnest(%(chunks)s::bigint[]) as u(chunk) where u.chunk not in (select n.chunk from near n)) as f

-- name: nearest_384
-- The same for a tenant with a partition of its own, by its graph; the cast is the indexed expression.
with near as (
    select e.chunk, -(e.v <#> %(vector)s::halfvec) as cosine
    from knowledge.embedding e
    where e.model = %(model)s
    order by e.v::halfvec(384) <#> %(vector)s::halfvec(384)
    limit %(limit)s
)
select f.chunk, f.cosine,
       case when %(several)s then (select c.language from knowledge.chunk c where c.id = f.chunk) end as language
from (select n.chunk, n.cosine from near n
      union all
      select u.chunk, (select -(e.v <#> %(vector)s::halfvec) from knowledge.embedding e
                       where e.chunk = u.chunk and e.model = %(model)s)
      from unnest(%(chunks)s::bigint[]) as u(chunk) where u.chunk not in (select n.chunk from near n)) as f

-- name: nearest_768
with near as (
    select e.chunk, -(e.v <#> %(vector)s::halfvec) as cosine
    from knowledge.embedding e
    where e.model = %(model)s
    order by e.v::halfvec(768) <#> %(vector)s::halfvec(768)
    limit %(limit)s
)
select f.chunk, f.cosine,
       case when %(several)s then (select c.language from knowledge.chunk c where c.id = f.chunk) end as language
from (select n.chunk, n.cosine from near n
      union all
      select u.chunk, (select -(e.v <#> %(vector)s::halfvec) from knowledge.embedding e
                       where e.chunk = u.chunk and e.model = %(model)s)
      from unnest(%(chunks)s::bigint[]) as u(chunk) where u.chunk not in (select n.chunk from near n)) as f

-- name: nearest_1024
with near as (
    select e.chunk, -(e.v <#> %(vector)s::halfvec) as cosine
    from knowledge.embedding e
    where e.model = %(model)s
    order by e.v::halfvec(1024) <#> %(vector)s::halfvec(1024)
    limit %(limit)s
)
select f.chunk, f.cosine,
       case when %(several)s then (select c.language from knowledge.chunk c where c.id = f.chunk) end as language
from (select n.chunk, n.cosine from near n
      union all
      select u.chunk, (select -(e.v <#> %(vector)s::halfvec) from knowledge.embedding e
                       where e.chunk = u.chunk and e.model = %(model)s)
      from unnest(%(chunks)s::bigint[]) as u(chunk) where u.chunk not in (select n.chunk from near n)) as f

-- name: texts
-- What the best are compared by; `offset 0` keeps the order of the joins: first the chunks, then what each is of.
select c.id, c.section, c.text, v.title
from (select c.id, c.section, c.text, c.document from knowledge.chunk c where c.id = any(%(chunks)s::bigint[])
      offset 0) as c
cross join lateral (select d.version from knowledge.document d where d.number = c.document offset 0) as d
cross join lateral (select v.title from knowledge.document_version v
                    where v.document = c.document and v.version = d.version offset 0) as v

-- name: passages
select c.id as chunk, c.section, c.page, c.start_at, c.end_at, c.text, c.language, d.id as document_id, d.name,
       d.collection, d.version, d.label, v.title, d.metadata
from (select c.* from knowledge.chunk c where c.id = any(%(chunks)s::bigint[]) offset 0) as c
cross join lateral (select d.id, d.name, d.collection, d.version, d.label, d.metadata from knowledge.document d
                    where d.number = c.document offset 0) as d
cross join lateral (select v.title from knowledge.document_version v
                    where v.document = c.document and v.version = d.version offset 0) as v

-- == documents ======================================================================================

-- name: list_documents
select d.id, d.collection, d.name, d.version, d.label, d.created, d.updated, v.bytes, v.media_type, v.title,
       v.language, v.pages, v.chunks, v.problems, v.marks, d.metadata
from knowledge.document d
join knowledge.document_version v on v.document = d.number and v.version = d.version
where (%(collection)s::text is null or d.collection = %(collection)s)
  and (%(name)s::text is null or d.name = %(name)s)
  and (%(before)s::text is null or d.id < %(before)s)
  and (%(subject)s::text is null
       or exists (select from knowledge.document_subject s where s.document = d.number and s.subject = %(subject)s))
order by d.id desc
limit %(limit)s

-- name: get_document
select d.id, d.collection, d.name, d.version, d.label, d.created, d.updated, v.bytes, v.media_type, v.title,
       v.language, v.pages, v.chunks, v.problems, v.marks, d.metadata
from knowledge.document d
join knowledge.document_version v on v.document = d.number and v.version = d.version
where d.id = %(id)s

-- name: metadata_of
select d.metadata from knowledge.document d where d.number = %(document)s

-- name: set_metadata
update knowledge.document set metadata = %(metadata)s, updated = now() where number = %(document)s

-- name: forget_metadata_rows
delete from knowledge.document_metadata where document = %(document)s

-- name: add_metadata_rows
insert into knowledge.document_metadata (tenant_id, document, key, word, number)
select d.tenant_id, d.number, u.key, u.word, u.number
from knowledge.document d, unnest(%(keys)s::text[], %(words)s::text[], %(numbers)s::float8[]) as u(key, word, number)
where d.number = %(document)s

-- name: list_versions
select v.version, v.bytes, v.media_type, v.title, v.language, v.pages, v.chunks, v.created, v.problems,
       v.version = d.version as current
from knowledge.document d join knowledge.document_version v on v.document = d.number
where d.id = %(id)s
order by v.version desc

-- name: original
select v.blob, v.media_type, d.name, v.version
from knowledge.document d join knowledge.document_version v on v.document = d.number
where d.id = %(id)s and v.version = coalesce(%(version)s, d.version)

-- name: list_nodes
select n.ord, n.parent, n.kind, n.level, n.title, n.start_at as start, n.end_at as "end", n.page, n.language, n.id,
       n.boxes, n.cells, n.source, n.confidence
from knowledge.document d join knowledge.node n on n.document = d.number
where d.id = %(id)s order by n.ord

-- name: list_chunks
select c.ord, c.node, c.section, c.page, c.start_at as start, c.end_at as "end", c.text, c.language, c.words, c.parent,
       c.boxes
from knowledge.document d join knowledge.chunk c on c.document = d.number
where d.id = %(id)s and c.ord > %(after)s
order by c.ord limit %(limit)s

-- name: blobs_of_document
-- One line a version: equal versions hold the same bytes more than once.
select blob from knowledge.document_version where document = %(document)s

-- name: forget_document
-- Everything that hangs on it goes with it.
delete from knowledge.document where number = %(document)s

-- name: relabel_document
update knowledge.document set label = %(label)s, updated = now() where number = %(document)s

-- name: list_collections
select c.name, c.created, count(d.id) as documents
from knowledge.collection c left join knowledge.document d on d.collection = c.name
group by c.tenant_id, c.name, c.created order by c.name

-- name: has_collection
select true from knowledge.collection where name = %(name)s

-- name: forget_collection
delete from knowledge.collection c
where c.name = %(name)s and not exists (select from knowledge.document d where d.collection = c.name)

-- name: statistics
select (select count(*) from knowledge.document) as documents,
       (select coalesce(sum(chunks), 0)::bigint from knowledge.extent) as chunks,
       (select count(*) from knowledge.refusal) as refused,
       (select count(*) from knowledge.staged where not given_up) as queued,
       (select count(distinct coalesce(a.entity, s.key)) from knowledge.entity_source s
        left join knowledge.alias a on a.key = s.key) as entities

-- name: document_languages
select v.language, count(*) as documents
from knowledge.document d
join knowledge.document_version v on v.document = d.number and v.version = d.version
group by v.language order by 2 desc, 1

-- == placement ======================================================================================

-- name: models_unplaced
-- Models with enough vectors for a partition with a graph, and none yet.
select e.model, min(vector_dims(e.v)) as dimensions
from knowledge.embedding e
where not exists (select from knowledge.placement p where p.model = e.model)
group by e.model
having count(*) >= %(least)s

-- name: extent_in_all
select coalesce(sum(chunks), 0)::bigint from knowledge.extent

-- name: tenant_here
-- For the name of the tenant's own partition.
select tenant_id::text from knowledge.extent limit 1

-- name: add_placement
insert into knowledge.placement (model, dimensions) values (%(model)s, %(dimensions)s) on conflict do nothing

-- name: place
-- By the owner only, in a transaction of its own.
call knowledge.place(%(tenant)s::uuid, %(model)s::text, %(dimensions)s::integer)
