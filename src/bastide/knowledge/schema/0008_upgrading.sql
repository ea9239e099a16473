-- What lets a house bring documents of an older one up to date, and find a changed paragraph again.

-- 64 bits a node that say what its words are about: two versions are compared by them where the words changed.
alter table knowledge.document_version
    add column node_sketches bigint[] not null default '{}';
