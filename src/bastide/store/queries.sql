-- name: add_tenant_key
-- Two processes may meet a new tenant at the same moment: the first key stays.
insert into store.tenant_key (wrapped, wrapped_by) values (%(wrapped)s, %(wrapped_by)s)
on conflict (tenant_id) do nothing

-- name: tenant_key
select wrapped, wrapped_by from store.tenant_key

-- name: use_blob
-- Equal bytes of one tenant lie there once; the count says how many documents hold them.
insert into store.blob as b (address, bytes) values (%(address)s, %(bytes)s)
on conflict (tenant_id, address) do update set uses = b.uses + 1
returning uses

-- name: add_blob_piece
insert into store.blob_piece (address, ord, sealed) values (%(address)s, %(ord)s, %(sealed)s)

-- name: blob_pieces
select ord, sealed from store.blob_piece where address = %(address)s order by ord

-- name: release_blob
update store.blob set uses = uses - 1 where address = %(address)s returning uses

-- name: drop_blob
delete from store.blob where address = %(address)s and uses <= 0
