-- Upkeep: members and retention, holds, moving, what past answers were given from, likeness, quality, watched folders.

-- == members ========================================================================================

-- name: closed_collections
select knowledge.closed(%(access)s)

-- name: list_members
select m.member, m.access from knowledge.collection_member m where m.collection = %(collection)s order by m.member

-- name: forget_members
delete from knowledge.collection_member where collection = %(collection)s and member <> all(%(kept)s::text[])

-- name: put_members
insert into knowledge.collection_member as m (collection, member, access)
select %(collection)s, u.member, u.access from unnest(%(members)s::text[], %(accesses)s::text[]) as u(member, access)
on conflict (tenant_id, collection, member) do update set access = excluded.access

-- name: lock_collection
-- Whoever puts something into a collection waits for who changes its members, and sees what they are then.
select c.retention_days from knowledge.collection c where c.name = %(name)s for update

-- name: get_collection
select c.name, c.retention_days, c.created,
       (select count(*) from knowledge.document d where d.collection = c.name) as documents
from knowledge.collection c where c.name = %(name)s

-- name: set_retention
update knowledge.collection set retention_days = %(days)s where name = %(name)s

-- name: documents_past_retention
select d.id from knowledge.document d join knowledge.collection c on c.name = d.collection
where d.updated < now() - make_interval(days => c.retention_days)
order by d.id limit %(limit)s

-- name: past_retention
-- Looked at again where it is deleted: a new version may have come, or the days have been changed.
select d.id from knowledge.document d join knowledge.collection c on c.name = d.collection
where d.id = any(%(ids)s) and d.updated < now() - make_interval(days => c.retention_days)
order by d.id
for update of d

-- name: place_hold
insert into knowledge.hold as h (document, reason, placed_by)
select d.number, %(reason)s, %(placed_by)s from knowledge.document d where d.id = %(id)s
on conflict (tenant_id, document) do update set reason = excluded.reason, placed_by = excluded.placed_by, placed_at = now()

-- name: release_hold
delete from knowledge.hold h using knowledge.document d where d.id = %(id)s and h.document = d.number

-- name: holds_on
select d.id, h.reason from knowledge.hold h join knowledge.document d on d.number = h.document
where d.id = any(%(ids)s::text[]) order by d.id

-- name: list_holds
select d.id as document, d.name, d.collection, h.reason, h.placed_by, h.placed_at
from knowledge.hold h join knowledge.document d on d.number = h.document
where d.id > %(after)s order by d.id limit %(limit)s

-- == moving =========================================================================================

-- name: names_taken
-- Of these names in a collection those that another document has.
select d.name from knowledge.document d
where d.collection = %(collection)s and d.name = any(%(names)s::text[]) and d.id <> all(%(ids)s::text[])
order by d.name

-- name: lock_documents
select d.id, d.number, d.collection, d.name from knowledge.document d where d.id = any(%(ids)s::text[]) order by d.id
for update

-- name: move_documents
update knowledge.document set collection = %(collection)s where number = any(%(documents)s::bigint[])

-- name: rename_document
update knowledge.document set name = %(name)s where number = %(document)s

-- name: retitle_document
-- A document without a title of its own is called by its name.
update knowledge.document_version set title = %(title)s
where document = %(document)s and title = any(%(before)s::text[])

-- name: stir_extent
-- Nothing is counted anew, and who holds a copy of the index looks again.
update knowledge.extent e set chunks = e.chunks
where e.language in (select c.language from knowledge.chunk c where c.document = any(%(documents)s::bigint[]))

-- == past answers ===================================================================================

-- name: add_answer_sources
insert into knowledge.answer_source (receipt, document, version, label, model, cited)
select %(receipt)s, d.number, u.version, u.label::jsonb, %(model)s, u.cited
from unnest(%(ids)s::text[], %(versions)s::integer[], %(labels)s::text[], %(cited)s::boolean[])
         as u(id, version, label, cited)
join knowledge.document d on d.id = u.id
on conflict do nothing

-- name: answers_from
-- Newest first.
select s.receipt, s.version, s.model, s.cited, s.label, s.answered_at
from knowledge.answer_source s join knowledge.document d on d.number = s.document
where d.id = %(id)s and (%(label)s::jsonb is null or s.label = %(label)s::jsonb)
order by s.answered_at desc, s.receipt limit %(limit)s

-- name: answers_by_model
select s.model, count(*) as answers
from knowledge.answer_source s join knowledge.document d on d.number = s.document
where d.id = %(id)s and s.label = %(label)s::jsonb
group by s.model order by 2 desc, 1

-- == vectors that are there already =================================================================

-- name: chunks_embedded
-- Of one document: what each chunk's vector was made from, and the vector as it is written.
select c.section, c.text, v.title, e.model, e.v::text as vector
from knowledge.document d
join knowledge.document_version v on v.document = d.number and v.version = d.version
join knowledge.chunk c on c.document = d.number
join knowledge.embedding e on e.chunk = c.id
where d.id = %(id)s

-- == likeness =======================================================================================

-- name: put_likeness
insert into knowledge.likeness as l (tenant_id, document, shingles, sketch)
select (select store.tenant()), u.document, u.shingles, u.sketch
from unnest(%(documents)s::bigint[], %(shingles)s::integer[], %(sketches)s::bytea[]) as u(document, shingles, sketch)
on conflict (tenant_id, document) do update set shingles = excluded.shingles, sketch = excluded.sketch

-- name: sketches
select d.id, l.shingles, l.sketch from knowledge.likeness l join knowledge.document d on d.number = l.document
where %(collection)s::text is null or d.collection = %(collection)s
order by d.id limit %(limit)s

-- name: texts_of
-- The words of documents, chunk by chunk; `fingerprint` is of the whole content.
select d.id, v.fingerprint, array(select c.text from knowledge.chunk c where c.document = d.number order by c.ord) as texts
from knowledge.document d
join knowledge.document_version v on v.document = d.number and v.version = d.version
where d.id = any(%(ids)s::text[])

-- == quality ========================================================================================

-- name: quality_refusals
select r.code, count(*) as files, max(r.created) as last_at from knowledge.refusal r group by r.code order by 2 desc, 1

-- name: quality_pages
select p.band, count(*) as pages
from knowledge.page p join knowledge.document d on d.number = p.document
where %(collection)s::text is null or d.collection = %(collection)s
group by p.band order by p.band

-- name: quality_counts
select count(*) as documents,
       count(*) filter (where v.chunks = 0) as empty,
       count(*) filter (where v.problems <> '{}') as with_problems,
       count(*) filter (where exists (
           select from knowledge.chunk c where c.document = d.number
             and not exists (select from knowledge.embedding e where e.chunk = c.id))) as not_embedded,
       count(*) filter (where v.language <> all(%(known)s::text[]) and %(known)s::text[] <> '{}') as other_language
from knowledge.document d
join knowledge.document_version v on v.document = d.number and v.version = d.version
where %(collection)s::text is null or d.collection = %(collection)s

-- name: quality_list
-- Documents of which something is to be said; the oldest first.
select d.id, d.name, d.collection, v.language, v.chunks, v.problems,
       exists (select from knowledge.chunk c where c.document = d.number
               and not exists (select from knowledge.embedding e where e.chunk = c.id)) as not_embedded,
       (select count(*) from knowledge.page p where p.document = d.number and p.band in ('rejected', 'provisional'))
           as doubtful_pages
from knowledge.document d
join knowledge.document_version v on v.document = d.number and v.version = d.version
where (%(collection)s::text is null or d.collection = %(collection)s) and d.id > %(after)s
  and (v.chunks = 0 or v.problems <> '{}'
       or (v.language <> all(%(known)s::text[]) and %(known)s::text[] <> '{}')
       or exists (select from knowledge.page p where p.document = d.number and p.band in ('rejected', 'provisional'))
       or exists (select from knowledge.chunk c where c.document = d.number
                  and not exists (select from knowledge.embedding e where e.chunk = c.id)))
order by d.id limit %(limit)s

-- == watched folders ================================================================================

-- name: list_watched
select w.path, d.id as document, w.bytes, w.modified
from knowledge.watched w left join knowledge.document d on d.number = w.document
where w.place = %(place)s order by w.path

-- name: put_watched
insert into knowledge.watched as w (place, path, document, bytes, modified)
values (%(place)s, %(path)s, (select d.number from knowledge.document d where d.id = %(document)s), %(bytes)s,
        %(modified)s)
on conflict (tenant_id, place, path) do update
set document = excluded.document, bytes = excluded.bytes, modified = excluded.modified, seen_at = now()

-- name: forget_watched
delete from knowledge.watched where place = %(place)s and path = any(%(paths)s::text[])

-- == what is left of a document =====================================================================

-- name: documents_here
select count(*) from knowledge.document d where d.id = any(%(ids)s::text[])

-- name: traces_before
-- By what a document would be known again.
select d.id, d.number, array(select v.fingerprint from knowledge.document_version v where v.document = d.number) as prints,
       array(select v.blob from knowledge.document_version v where v.document = d.number) as blobs,
       array(select c.text from knowledge.chunk c where c.document = d.number order by c.ord limit 200) as texts
from knowledge.document d where d.id = any(%(ids)s::text[]) order by d.id

-- name: words_elsewhere
-- Of these stretches of words those that some other document has, too.
select w from unnest(%(words)s::text[]) as w
where exists (select from knowledge.chunk c where c.document <> all(%(numbers)s::bigint[]) and strpos(c.text, w) > 0)

-- name: traces_of
select t.name, t.times from knowledge.traces_of(%(numbers)s, %(words)s) as t where t.times > 0

-- name: traces_by_content
-- The originals themselves; one that another document has, too, is no trace.
select count(*) from knowledge.document_version v where v.fingerprint = any(%(prints)s::bytea[])
  and v.document = any(%(numbers)s::bigint[])

-- name: blobs_left
select count(*) from store.blob b
where b.address = any(%(addresses)s::bytea[])
  and not exists (select from knowledge.document_version v where v.blob = encode(b.address, 'hex'))
  and not exists (select from knowledge.staged s where s.blob = encode(b.address, 'hex'))
  and not exists (select from knowledge.artifact a where a.blob = encode(b.address, 'hex'))

-- == carrying =======================================================================================

-- name: restore_times
-- An import is no change of the documents: their days go on counting.
update knowledge.document set created = least(created, %(created)s), updated = least(updated, %(updated)s)
where id = %(id)s
