-- Making documents anew from what is here.

-- name: documents_of
select d.id from knowledge.document d
where (%(collection)s::text is null or d.collection = %(collection)s)
  and (%(subject)s::text is null
       or exists (select from knowledge.document_subject s where s.document = d.number and s.subject = %(subject)s))
order by d.id limit %(limit)s

-- name: documents_there
select d.id from knowledge.document d where d.id = any(%(ids)s::text[]) order by d.id

-- name: chunks_to_embed
select c.id, c.section, c.text, v.title
from knowledge.document d
join knowledge.document_version v on v.document = d.number and v.version = d.version
join knowledge.chunk c on c.document = d.number
where d.id = %(id)s order by c.ord

-- name: chunk_ids
select array_agg(c.id order by c.ord) from knowledge.chunk c where c.document = %(document)s

-- name: note_embedded
-- What intake said of missing vectors is no longer so.
update knowledge.document_version
set problems = array(select p from unnest(problems) as p where p not like 'Not embedded%%')
where document = %(document)s and version = %(version)s
