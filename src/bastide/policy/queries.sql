-- name: tenant_policy
select version, content from policy.tenant_policy order by version desc limit 1

-- name: tenant_policy_by_hash
select version, content from policy.tenant_policy where hash = %(hash)s order by version desc limit 1

-- name: set_tenant_policy
-- Two administrators at once: the second finds the version taken and is told so.
insert into policy.tenant_policy (version, content, hash) values (%(version)s, %(content)s, %(hash)s)
on conflict (tenant_id, version) do nothing

-- name: keep_record
insert into policy.record (hash, id, content) values (%(hash)s, %(id)s, %(content)s) on conflict (hash) do nothing

-- name: record_by_hash
select content from policy.record where hash = %(hash)s

-- name: quarantined
select record_id, found from policy.quarantine

-- name: put_in_quarantine
insert into policy.quarantine (record_id, found) values (%(record_id)s, %(found)s)
on conflict (record_id) do update set found = excluded.found, found_at = now()

-- name: release_from_quarantine
delete from policy.quarantine where record_id = %(record_id)s
