-- What waits between a hand and a document.

-- name: open_intake
insert into knowledge.intake (job, collection, label) values (%(job)s, %(collection)s, %(label)s)

-- name: find_intake
-- Those who add a file do not wait for each other; who closes waits for them, and they for him.
select collection, label, closed from knowledge.intake where job = %(job)s for share

-- name: close_intake
update knowledge.intake set closed = true where job = %(job)s

-- name: lately
select %(moment)s::timestamptz > now() - make_interval(secs => %(seconds)s)

-- name: forget_intake
delete from knowledge.intake where job = %(job)s

-- name: add_staged
insert into knowledge.staged (id, job, name, blob, bytes, subjects)
values (%(id)s, %(job)s, %(name)s, %(blob)s, %(bytes)s, %(subjects)s)

-- name: find_staged
select blob from knowledge.staged where id = %(id)s

-- name: sizes_of_staged
select id, bytes from knowledge.staged where id = any(%(ids)s)

-- name: find_all_staged
select id, blob from knowledge.staged where id = any(%(ids)s)

-- name: forget_all_staged
delete from knowledge.staged where id = any(%(ids)s) returning id, blob

-- name: forget_staged
delete from knowledge.staged where id = %(id)s returning blob

-- name: staged_names
select job, name from knowledge.staged where job = any(%(jobs)s)

-- name: give_up_staged
update knowledge.staged set given_up = true where job = any(%(jobs)s)

-- name: forget_staged_about
delete from knowledge.staged where %(subject)s = any(subjects) returning blob

-- name: forget_old_staged
delete from knowledge.staged s using (
    select id from knowledge.staged where made_at < now() - make_interval(days => %(days)s) order by made_at limit 100
) old where old.id = s.id
returning s.blob

-- name: forget_old_intakes
delete from knowledge.intake where made_at < now() - make_interval(days => %(days)s)

-- name: add_artifact
insert into knowledge.artifact (job, name, media_type, blob, bytes)
values (%(job)s, %(name)s, %(media_type)s, %(blob)s, %(bytes)s)

-- name: find_artifact
select name, media_type, bytes, blob from knowledge.artifact where job = %(job)s

-- name: forget_old_artifacts
delete from knowledge.artifact where made_at < now() - make_interval(days => %(days)s) returning blob
