-- Embedders side by side, and documents that are behind.

-- name: embedders
select e.collection, e.model, e.state, e.languages from knowledge.embedder e order by e.id

-- name: put_embedders
-- What is there stays as it is.
insert into knowledge.embedder (collection, model, state, languages)
select %(collection)s, u.model, %(state)s, %(languages)s::text[] from unnest(%(models)s::text[]) with ordinality as u(model, n)
order by u.n
on conflict (tenant_id, collection, model) do nothing

-- name: switch_embedder_on
update knowledge.embedder set state = 'on' where collection is not distinct from %(collection)s and model = %(model)s

-- name: drop_embedders
delete from knowledge.embedder where collection is not distinct from %(collection)s and model = any(%(models)s::text[])

-- name: collections_here
select c.name from knowledge.collection c order by c.name

-- name: coverage
-- How many chunks of each collection each embedder has read.
select d.collection, e.model, count(*) as chunks
from knowledge.embedding e join knowledge.document d on d.number = e.document
group by d.collection, e.model

-- name: chunks_by_collection
select d.collection, sum(v.chunks)::bigint as chunks
from knowledge.document d
join knowledge.document_version v on v.document = d.number and v.version = d.version
group by d.collection

-- name: documents_lacking
-- Documents with a chunk that an embedder of their collection has not read, or, where `others` is true, with vectors of
-- another one. The pairs say which embedders each collection has.
select d.id from knowledge.document d
where d.collection = any(%(collections)s::text[]) and d.id <> all(%(without)s::text[])
  and (exists (
        select from unnest(%(collections)s::text[], %(models)s::text[]) as w(collection, model)
        join knowledge.chunk c on c.document = d.number
        where w.collection = d.collection
          and not exists (select from knowledge.embedding e where e.chunk = c.id and e.model = w.model))
    or (%(others)s and exists (
        select from knowledge.embedding e where e.document = d.number and not exists (
            select from unnest(%(collections)s::text[], %(models)s::text[]) as w(collection, model)
            where w.collection = d.collection and w.model = e.model))))
order by d.id limit %(limit)s

-- name: models_of_document
-- Which embedders have read every chunk of a document.
select e.model from knowledge.embedding e where e.document = %(document)s
group by e.model having count(*) = (select count(*) from knowledge.chunk c where c.document = %(document)s)

-- name: forget_vectors
-- Of these chunks those by these embedders, or by all but these.
delete from knowledge.embedding where chunk = any(%(chunks)s::bigint[])
  and (model = any(%(of)s::text[]) or (%(but)s::text[] <> '{}' and model <> all(%(but)s::text[])))

-- name: forget_vectors_of_collections
delete from knowledge.embedding e using knowledge.document d
where d.number = e.document and d.collection = any(%(collections)s::text[]) and e.model = any(%(models)s::text[])

-- name: documents_behind
-- Documents that were made by an older recipe.
select d.id from knowledge.document d
join knowledge.document_version v on v.document = d.number and v.version = d.version
where v.recipe < %(recipe)s
order by d.id limit %(limit)s

-- name: count_behind
select count(*) from knowledge.document d
join knowledge.document_version v on v.document = d.number and v.version = d.version
where v.recipe < %(recipe)s

-- name: leave_behind
-- It cannot be made anew: it stays as it is, and is not tried again before the next recipe.
update knowledge.document_version v
set recipe = %(recipe)s,
    problems = array(select p from unnest(v.problems) as p where p not like 'Not brought up to date%%') || %(problem)s::text
from knowledge.document d
where d.id = %(id)s and v.document = d.number and v.version = d.version
