-- Questions about the structure of documents: stable ids, pages, versions side by side.

-- name: nodes_known
-- What the newest version whose nodes are known calls them, and the last id that was ever given out.
select v.node_ids as ids, v.node_marks as marks, v.node_sketches as sketches,
       (select max(l.node_last) from knowledge.document_version l where l.document = %(document)s) as last
from knowledge.document_version v
where v.document = %(document)s and v.node_ids <> '{}'
order by v.version desc limit 1

-- name: add_pages
insert into knowledge.page (tenant_id, document, ord, page, width, height, tier, engine, language, band, confidence,
                            coverage, rotation, reason, doubts, receipts)
select d.tenant_id, d.number, u.ord - 1, u.page, u.width, u.height, u.tier, u.engine, u.language, u.band, u.confidence,
       u.coverage, u.rotation, u.reason, array(select jsonb_array_elements_text(u.doubts::jsonb)),
       array(select jsonb_array_elements_text(u.receipts::jsonb))
from knowledge.document d,
     unnest(%(pages)s::integer[], %(widths)s::real[], %(heights)s::real[], %(tiers)s::text[], %(engines)s::text[],
            %(languages)s::text[], %(bands)s::text[], %(confidences)s::real[], %(coverages)s::real[],
            %(rotations)s::smallint[], %(reasons)s::text[], %(doubts)s::text[], %(receipts)s::text[])
         with ordinality as u(page, width, height, tier, engine, language, band, confidence, coverage, rotation, reason,
                              doubts, receipts, ord)
where d.number = %(document)s

-- name: forget_pages
delete from knowledge.page where document = %(document)s

-- name: list_pages
select p.page, p.width, p.height, p.tier, p.engine, p.language, p.band, p.confidence, p.coverage, p.rotation, p.reason,
       p.doubts, p.receipts
from knowledge.document d join knowledge.page p on p.document = d.number
where d.id = %(id)s order by p.ord

-- name: version_nodes
select v.blob, v.version, v.media_type, d.name, v.node_ids as ids, v.node_marks as marks
from knowledge.document d join knowledge.document_version v on v.document = d.number
where d.id = %(id)s and v.version = %(version)s
